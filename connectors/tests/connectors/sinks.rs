//! Deliveries: batches, ids that stay, and what is there already.

use std::sync::{Arc, Mutex};

use provost_connectors::config::{JsonlConfig, SentinelIncidentsConfig, SentinelIngestionConfig, SinkConfig};
use provost_connectors::{CheckStatus, Payload, Sink, SinkError};
use provost_model::{Entity, EntityKind, Family, Finding, Incident, Severity, stable_uuid};
use serde_json::{Map, Value, json};

use crate::fixtures::{SUBSCRIPTION, connectors, time};
use crate::server::{Answer, Asked, Server};

pub(crate) fn finding(name: &str, version: i32) -> Finding {
    Finding {
        id: stable_uuid(&["finding", name]),
        version,
        rule_id: "r-1".to_owned(),
        rule_name: "Sudden provisioning".to_owned(),
        title: format!("Finding {name}"),
        description: "d".to_owned(),
        severity: Severity::High,
        family: Family::Provisioning,
        tactics: vec!["Impact".to_owned()],
        techniques: vec!["T1496".to_owned()],
        entities: Entity::new(EntityKind::Ip, "203.0.113.9").into_iter().collect(),
        custom_details: Map::new(),
        first_seen: time("2026-02-20T10:00:00Z"),
        last_seen: time("2026-02-20T11:00:00Z"),
        period_start: time("2026-02-20T10:00:00Z"),
        period_end: time("2026-02-20T12:00:00Z"),
        evidence_count: 1,
        evidence: vec![],
        action_hash: "h".to_owned(),
    }
}

pub(crate) fn incident(version: i32) -> Incident {
    Incident {
        id: stable_uuid(&["incident", "one"]),
        version,
        title: "An instance \u{1b}[31mtalks".to_owned(),
        description: format!("Version {version} of the story"),
        severity: Severity::Medium,
        score: 71.4,
        families: [Family::Network, Family::Provisioning].into(),
        tactics: ["Impact".to_owned()].into(),
        techniques: ["T1496".to_owned()].into(),
        findings: [stable_uuid(&["finding", "a"])].into(),
        entities: Entity::new(EntityKind::Domain, "evil.example").into_iter().collect(),
        chain: vec![],
        reasons: vec!["two families".to_owned()],
        first_seen: time("2026-02-20T10:00:00Z"),
        last_seen: time("2026-02-20T11:00:00Z"),
        escalate: true,
        triage: vec![],
        next_steps: vec!["Ask [ann](http://evil.example)".to_owned()],
        superseded_by: None,
        action_hash: "h".to_owned(),
    }
}

fn ingestion(server: &Server) -> Arc<dyn Sink> {
    let config = SinkConfig::SentinelIngestion(SentinelIngestionConfig {
        endpoint: server.url(),
        rule_id: "dcr-1".to_owned(),
        findings_stream: "Custom-ProvostFindings_CL".to_owned(),
        incidents_stream: "Custom-ProvostIncidents_CL".to_owned(),
    });
    connectors(server).sink("sentinel", &config).expect("a sink")
}

#[tokio::test]
async fn findings_and_incidents_go_to_their_streams_under_ids_that_stay() {
    let server = Server::start(|_, _| Answer::status(204)).await;
    let sink = ingestion(&server);
    let payloads = [Payload::Finding(finding("a", 1)), Payload::Incident(incident(2), vec![])];
    assert_eq!(sink.batches(&payloads).into_iter().flatten().collect::<Vec<_>>(), [0, 1]);
    sink.send(&payloads).await.expect("taken");
    sink.send(&payloads).await.expect("taken again");
    let asked = server.asked();
    assert_eq!(asked[0].path, "/dataCollectionRules/dcr-1/streams/Custom-ProvostFindings_CL");
    assert_eq!(asked[1].path, "/dataCollectionRules/dcr-1/streams/Custom-ProvostIncidents_CL");
    assert_eq!(asked[0].query["api-version"], "2023-01-01");
    assert_eq!(
        (asked[0].header("content-type"), asked[0].header("content-encoding")),
        ("application/json", "gzip")
    );
    let scope = String::from_utf8_lossy(&server.tokens()[0].body).into_owned();
    assert!(scope.contains("monitor.azure.com%2F%2F.default"), "{scope}");
    let row = &asked[0].unpacked()[0];
    for (column, value) in [
        ("FindingId", json!(finding("a", 1).id)),
        ("Version", json!(1)),
        ("FindingTitle", json!("Finding a")),
        ("Severity", json!("High")),
        ("FirstSeen", json!("2026-02-20T10:00:00Z")),
        ("Entities", json!([{"kind": "ip", "value": "203.0.113.9"}])),
        ("TimeGenerated", json!("2026-03-02T00:00:00Z")),
        ("Truncated", json!("")),
    ] {
        assert_eq!(row[column], value, "{column}");
    }
    assert!(row.get("Title").is_none() && row.get("id").is_none(), "names that tables can't have: {row}");
    assert_eq!(row["RowHash"], asked[2].unpacked()[0]["RowHash"]);
}

#[tokio::test]
async fn batches_stay_under_the_limit_before_packing_and_long_fields_are_cut_and_marked() {
    let server = Server::start(|_, _| Answer::status(204)).await;
    let sink = ingestion(&server);
    let long = |name: &str| {
        let mut finding = finding(name, 1);
        finding.description = "ü".repeat(100_000);
        finding.evidence = vec![Map::from_iter([("c".to_owned(), Value::from("x".repeat(1_000)))]); 200];
        Payload::Finding(finding)
    };
    let payloads: Vec<Payload> = (0..20).map(|index| long(&index.to_string())).collect();
    let batches = sink.batches(&payloads);
    assert!(batches.len() > 1);
    assert_eq!(batches.iter().flat_map(Clone::clone).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    for batch in batches {
        sink.send(&payloads[batch]).await.expect("taken");
    }
    for asked in server.asked() {
        let rows = asked.unpacked();
        assert!(rows.to_string().len() < 1_000_000);
        for row in rows.as_array().expect("rows") {
            assert_eq!(row["Truncated"], "Description,Evidence");
            assert!(row["Description"].as_str().expect("a text").len() <= 65_536);
            assert!(!row["Evidence"].as_array().expect("an array").is_empty());
        }
    }
}

#[tokio::test]
async fn a_call_that_is_too_large_after_all_is_halved() {
    let server = Server::start(|asked, _| {
        let rows = asked.unpacked().as_array().expect("rows").len();
        if rows > 2 { Answer::status(413) } else { Answer::status(204) }
    })
    .await;
    let sink = ingestion(&server);
    let payloads: Vec<Payload> =
        (0..7).map(|index| Payload::Finding(finding(&index.to_string(), 1))).collect();
    sink.send(&payloads).await.expect("taken in parts");
    let mut taken: Vec<String> = server
        .asked()
        .iter()
        .map(Asked::unpacked)
        .filter(|rows| rows.as_array().expect("rows").len() <= 2)
        .flat_map(|rows| rows.as_array().expect("rows").clone())
        .map(|row| row["FindingTitle"].to_string())
        .collect();
    assert_eq!(taken.len(), 7);
    taken.dedup();
    assert_eq!(taken.len(), 7);
}

#[tokio::test]
async fn a_row_that_the_service_cannot_read_does_not_take_the_others_with_it() {
    let server = Server::start(|asked, _| {
        let poisoned = asked.unpacked().to_string().contains("Finding 3");
        let bad = r#"{"error":{"code":"InvalidPayload","message":"no"}}"#;
        if poisoned { Answer::status(400).body(bad) } else { Answer::status(204) }
    })
    .await;
    let payloads: Vec<Payload> =
        (0..7).map(|index| Payload::Finding(finding(&index.to_string(), 1))).collect();
    let refused = ingestion(&server).send(&payloads).await.expect("the others are taken");
    assert_eq!(refused.iter().map(|refusal| refusal.place).collect::<Vec<_>>(), [3]);
    let reason = &refused[0].reason;
    assert!(reason.contains("InvalidPayload"), "{reason}");
    assert!(reason.contains(&finding("3", 1).id.to_string()), "{reason}");
    let taken: Vec<Value> = server
        .asked()
        .iter()
        .map(Asked::unpacked)
        .filter(|rows| !rows.to_string().contains("Finding 3"))
        .flat_map(|rows| rows.as_array().expect("rows").clone())
        .collect();
    assert_eq!(taken.len(), 6);
}

#[tokio::test]
async fn what_a_delivery_fails_of_decides_whether_it_is_tried_again() {
    for (status, expected) in
        [(403, "denied"), (404, "denied"), (429, "later"), (503, "later"), (400, "refused")]
    {
        let server =
            Server::start(move |_, _| Answer::status(status).body(r#"{"error":{"code":"X","message":"m"}}"#))
                .await;
        let sink = ingestion(&server);
        let kind = match sink.send(&[Payload::Finding(finding("a", 1))]).await {
            Err(SinkError::Denied { .. }) => "denied",
            Err(SinkError::Later { .. }) => "later",
            Ok(refused) if refused.len() == 1 => "refused",
            other => panic!("{status}: {other:?}"),
        };
        assert_eq!(kind, expected, "{status}");
        let checks = sink.check().await;
        let fails = status != 400;
        assert_eq!(
            checks.iter().all(|check| check.status == CheckStatus::Failed),
            fails,
            "{status}: {checks:?}"
        );
    }
}

/// An incident and its comments by id.
type Kept = Arc<Mutex<(Option<Value>, Map<String, Value>)>>;

/// A Sentinel that keeps one incident and its comments, and refuses writes without the current etag.
fn sentinel(state: Kept) -> impl Fn(&Asked, usize) -> Answer {
    move |asked, _| {
        let mut state = state.lock().expect("not poisoned");
        let (incident, comments) = &mut *state;
        if asked.path.contains("/comments/") {
            let id = asked.path.rsplit('/').next().expect("an id").to_owned();
            comments.insert(id, asked.json()["properties"]["message"].clone());
            if let Some(incident) = incident {
                incident["etag"] = json!(format!("{}c", incident["etag"].as_str().expect("a text")));
            }
            return Answer::status(201).body("{}");
        }
        match (asked.method.as_str(), incident.as_ref()) {
            ("GET", None) => Answer::status(404).body(r#"{"error":{"code":"NotFound","message":"no"}}"#),
            ("GET", Some(incident)) => Answer::json(incident),
            (_, Some(there)) if asked.json().get("etag") != there.get("etag") => Answer::status(409)
                .body(r#"{"error":{"code":"Conflict","message":"New version of resource exists. Data was not saved"}}"#),
            (_, there) => {
                let mut written = asked.json();
                let version = there.map_or(1, |there| there["etag"].as_str().expect("a text").len() + 1);
                written["etag"] = json!("e".repeat(version));
                written["properties"]["incidentNumber"] = json!(7);
                *incident = Some(written.clone());
                Answer::status(201).body(&written.to_string())
            }
        }
    }
}

fn incidents(server: &Server) -> Arc<dyn Sink> {
    let config = SinkConfig::SentinelIncidents(SentinelIncidentsConfig {
        subscription: SUBSCRIPTION.to_owned(),
        resource_group: "soc".to_owned(),
        workspace: "logs".to_owned(),
        labels: vec!["provost".to_owned()],
    });
    connectors(server).sink("incidents", &config).expect("a sink")
}

#[tokio::test]
async fn an_incident_is_written_once_grows_and_keeps_what_the_analyst_decided() {
    let state = Arc::new(Mutex::new((None, Map::new())));
    let server = Server::start(sentinel(Arc::clone(&state))).await;
    let sink = incidents(&server);
    assert!(!sink.wants(&Payload::Finding(finding("a", 1))));
    for _ in 0..2 {
        sink.send(&[Payload::Incident(incident(1), vec![])]).await.expect("written");
    }
    let writes = |server: &Server| {
        server
            .asked()
            .iter()
            .filter(|asked| asked.method == "PUT" && !asked.path.contains("/comments/"))
            .count()
    };
    assert_eq!(writes(&server), 1, "the second time nothing is left to change");
    {
        let mut state = state.lock().expect("not poisoned");
        assert_eq!(state.1.len(), 1, "one comment a version");
        let properties = &mut state.0.as_mut().expect("written")["properties"];
        assert_eq!(properties["title"], "An instance \u{fffd}[31mtalks");
        assert_eq!(properties["status"], "New");
        properties["status"] = json!("Active");
        properties["owner"] = json!({"assignedTo": "Ann"});
        properties["severity"] = json!("High");
        properties["labels"] = json!([{"labelName": "vip"}]);
    }
    sink.send(&[Payload::Incident(incident(2), vec![])]).await.expect("written");
    let state = state.lock().expect("not poisoned");
    let properties = &state.0.as_ref().expect("written")["properties"];
    assert_eq!(properties["status"], "Active");
    assert_eq!(properties["owner"]["assignedTo"], "Ann");
    assert_eq!(properties["severity"], "High", "an analyst raised it");
    assert_eq!(properties["labels"], json!([{"labelName": "vip"}, {"labelName": "provost"}]));
    assert!(properties["description"].as_str().expect("a text").starts_with("Version 2"));
    assert_eq!(state.1.len(), 2);
    let comment = state.1.values().next().and_then(Value::as_str).expect("a text");
    assert!(
        comment.contains("Ask \\[ann\\]\\(http://evil.example\\)"),
        "no link of an attacker's: {comment}"
    );
}

#[tokio::test]
async fn a_write_that_someone_got_ahead_of_is_put_together_again() {
    let state = Arc::new(Mutex::new((None, Map::new())));
    let inner = sentinel(Arc::clone(&state));
    let server = Server::start(move |asked, count| {
        let answer = inner(asked, count);
        // Between our first read and our first write, an analyst opens the incident.
        if count == 0 {
            let taken =
                json!({"etag": "other", "properties": {"title": "t", "severity": "Low", "status": "Active"}});
            state.lock().expect("not poisoned").0 = Some(taken);
        }
        answer
    })
    .await;
    incidents(&server).send(&[Payload::Incident(incident(1), vec![])]).await.expect("written");
    let asked = server.asked();
    let methods: Vec<&str> = asked.iter().map(|asked| asked.method.as_str()).collect();
    assert_eq!(methods, ["GET", "PUT", "GET", "PUT", "PUT"]);
    assert_eq!(asked[3].json()["etag"], "other");
    assert_eq!(asked[3].json()["properties"]["status"], "Active");
}

#[tokio::test]
async fn an_incident_that_went_into_another_is_closed_unless_someone_works_on_it() {
    let state = Arc::new(Mutex::new((None, Map::new())));
    let server = Server::start(sentinel(Arc::clone(&state))).await;
    let mut gone = incident(3);
    gone.superseded_by = Some(stable_uuid(&["incident", "two"]));
    incidents(&server).send(&[Payload::Incident(gone, vec![])]).await.expect("written");
    let state = state.lock().expect("not poisoned");
    let properties = &state.0.as_ref().expect("written")["properties"];
    assert_eq!(
        (&properties["status"], &properties["classification"]),
        (&json!("Closed"), &json!("Undetermined"))
    );
}

#[tokio::test]
async fn a_file_holds_each_version_once_and_no_torn_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out.jsonl");
    let server = Server::start(|_, _| Answer::status(500)).await;
    let open = || {
        let config = SinkConfig::Jsonl(JsonlConfig { path: path.clone() });
        connectors(&server).sink("file", &config).expect("a sink")
    };
    let payloads = [Payload::Finding(finding("a", 1)), Payload::Incident(incident(1), vec![finding("a", 1)])];
    let sink = open();
    sink.send(&payloads).await.expect("written");
    sink.send(&payloads).await.expect("nothing to do");
    // A crash in the middle of a line.
    let mut content = std::fs::read_to_string(&path).expect("a file");
    content.push_str("{\"kind\":\"finding\",\"fin");
    std::fs::write(&path, &content).expect("written");
    open()
        .send(&[Payload::Finding(finding("a", 1)), Payload::Finding(finding("a", 2))])
        .await
        .expect("written");
    let lines: Vec<Value> = std::fs::read_to_string(&path)
        .expect("a file")
        .lines()
        .map(|line| serde_json::from_str(line).expect("whole lines"))
        .collect();
    let seen: Vec<String> = lines
        .iter()
        .map(|line| format!("{} {}", line["kind"], line[line["kind"].as_str().expect("a kind")]["version"]))
        .collect();
    assert_eq!(seen, ["\"finding\" 1", "\"incident\" 1", "\"finding\" 2"]);
    assert_eq!(sink.check().await[0].status, CheckStatus::Ok);
    assert_eq!(
        serde_json::from_value::<Finding>(lines[0]["finding"].clone()).expect("a finding"),
        finding("a", 1)
    );
}
