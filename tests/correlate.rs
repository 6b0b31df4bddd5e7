//! Stories told in a few rows: what belongs together becomes one incident, what does not stays apart.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use provost::correlate::{Content, Options, Outcome, correlate, shown_entities};
use provost::report::{self, Report};
use provost::triage;
use provost_kql::{Catalog, Column, Engine, EngineOptions, KqlType, MemoryCatalog, QueryOptions};
use provost_model::{
    ColumnKind, Entity, EntityKind, Family, Finding, Incident, Severity, TableSpec, format_time, stable_uuid,
    tables,
};
use serde_json::{Map, Value, json};

fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 2, 8, 0, 0).unwrap()
}

fn hour(hours: f64) -> DateTime<Utc> {
    start() + TimeDelta::seconds((hours * 3600.0) as i64)
}

/// Rows by table; every table that Provost knows is there, if only empty.
#[derive(Default)]
struct Lake(BTreeMap<&'static str, Vec<Value>>);

impl Lake {
    fn row(&mut self, table: &'static str, at: f64, mut row: Value) -> &mut Self {
        row["TimeGenerated"] = json!(format_time(hour(at)));
        self.0.entry(table).or_default().push(row);
        self
    }

    fn catalog(&self) -> Arc<dyn Catalog> {
        let mut catalog = MemoryCatalog::new();
        for table in tables().iter() {
            let rows = self.0.get(table.name()).cloned().unwrap_or_default();
            catalog.add_json(table.name(), columns(table), &rows).unwrap();
        }
        let text =
            |names: &[&str]| names.iter().map(|name| Column::new(*name, KqlType::String)).collect::<Vec<_>>();
        let approved =
            [json!({ "SearchKey": "arn:aws:iam::111122223333:role/pipeline", "Kind": "principal" })];
        catalog
            .add_watchlist_json("approved_infrastructure", text(&["SearchKey", "Kind", "Note"]), &approved)
            .unwrap();
        let hosting = [json!({ "SearchKey": "198.51.100.0/24", "Asn": "AS64500", "Name": "Rented" })];
        catalog.add_watchlist_json("hosting_ranges", text(&["SearchKey", "Asn", "Name"]), &hosting).unwrap();
        let dynamic = [json!({ "SearchKey": "duckdns.org" })];
        catalog
            .add_watchlist_json("dynamic_dns_suffixes", text(&["SearchKey", "Provider"]), &dynamic)
            .unwrap();
        Arc::new(catalog)
    }
}

fn columns(table: &TableSpec) -> Vec<Column> {
    let column = |spec: &provost_model::ColumnSpec| {
        let kind = match spec.kind {
            ColumnKind::Bool => KqlType::Bool,
            ColumnKind::Int => KqlType::Int,
            ColumnKind::Long => KqlType::Long,
            ColumnKind::Real => KqlType::Real,
            ColumnKind::String => KqlType::String,
            ColumnKind::Datetime => KqlType::Datetime,
            ColumnKind::Dynamic => KqlType::Dynamic,
        };
        let column = Column::new(&spec.name, kind);
        match &spec.alias_of {
            Some(other) => column.alias_of(other).hidden(),
            None if spec.hidden() => column.hidden(),
            None => column,
        }
    };
    table.columns().iter().map(column).collect()
}

fn finding(
    name: &str,
    family: Family,
    severity: Severity,
    at: f64,
    entities: &[(EntityKind, &str)],
) -> Finding {
    Finding {
        id: stable_uuid(&[name]),
        version: 1,
        rule_id: format!("rule-{family}-{severity}"),
        rule_name: format!("{family} rule"),
        title: name.to_owned(),
        description: String::new(),
        severity,
        family,
        tactics: vec!["ResourceDevelopment".to_owned()],
        techniques: vec!["T1583".to_owned()],
        entities: entities.iter().map(|(kind, value)| Entity::new(*kind, value).unwrap()).collect(),
        custom_details: Map::new(),
        first_seen: hour(at),
        last_seen: hour(at + 0.5),
        period_start: hour(at),
        period_end: hour(at + 1.0),
        evidence_count: 1,
        evidence: Vec::new(),
        action_hash: String::new(),
    }
}

fn engine() -> Engine {
    Engine::new(EngineOptions { target_partitions: Some(1), ..EngineOptions::default() }).unwrap()
}

async fn run(lake: &Lake, findings: &[Finding], known: &[Incident]) -> Outcome {
    let content = Content::built_in().unwrap();
    let outcome =
        correlate(&engine(), &lake.catalog(), findings, known, &content, &Options::at(hour(200.0))).await;
    let failed: Vec<_> =
        outcome.bridges.iter().filter_map(|run| run.problem.as_ref().map(|why| (&run.id, why))).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(outcome.problems.is_empty(), "{:#?}", outcome.problems);
    outcome
}

/// The last version of each incident.
fn after(known: &[Incident], outcome: &Outcome) -> Vec<Incident> {
    let mut by_id: BTreeMap<_, _> = known.iter().map(|incident| (incident.id, incident.clone())).collect();
    by_id.extend(outcome.incidents.iter().map(|incident| (incident.id, incident.clone())));
    by_id.into_values().collect()
}

const ACCOUNT: &str = "111122223333";
const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/Engineer/ann@contoso.example";
const SERVER: &str = "203.0.113.40";

/// A person of Entra, her role session in AWS, a server of that session, an own host that talks to it, and the bill.
fn cross_cloud() -> (Lake, Vec<Finding>) {
    let mut lake = Lake::default();
    let aws = |name: &str, request: Value, response: Value| {
        json!({
            "EventName": name, "AWSRegion": "eu-north-1", "RecipientAccountId": ACCOUNT, "UserIdentityType": "AssumedRole",
            "UserIdentityArn": SESSION, "SessionIssuerArn": "arn:aws:iam::111122223333:role/Engineer",
            "SourceIpAddress": "198.51.100.7", "RequestParameters": request.to_string(), "ResponseElements": response.to_string(),
        })
    };
    for failed in 0..5 {
        lake.row("SigninLogs", 0.01 * f64::from(failed), json!({ "UserPrincipalName": "ann@contoso.example", "IPAddress": "198.51.100.7", "ResultType": "50126", "Location": "IS" }));
    }
    lake.row("SigninLogs", 0.1, json!({ "UserPrincipalName": "ann@contoso.example", "IPAddress": "198.51.100.7", "ResultType": "0", "Location": "IS" }));
    let items =
        json!({ "instancesSet": { "items": [{ "instanceId": "i-0aa" }, { "instanceId": "i-0ab" }] } });
    lake.row("AWSCloudTrail", 1.0, aws("RunInstances", json!({}), items));
    lake.row(
        "AWSCloudTrail",
        1.1,
        aws("AllocateAddress", json!({}), json!({ "publicIp": SERVER, "allocationId": "eipalloc-1" })),
    );
    lake.row(
        "AWSCloudTrail",
        1.2,
        aws("AssociateAddress", json!({ "allocationId": "eipalloc-1", "instanceId": "i-0aa" }), json!({})),
    );
    for beat in 0..120 {
        lake.row("DeviceNetworkEvents", 3.0 + f64::from(beat) / 12.0, json!({ "ActionType": "ConnectionSuccess", "DeviceId": "d7", "DeviceName": "WS-7", "RemoteIP": SERVER, "RemotePort": 443, "InitiatingProcessFileName": "sync.exe" }));
    }
    for device in 0..40 {
        lake.row("DeviceNetworkEvents", 2.0, json!({ "ActionType": "ConnectionSuccess", "DeviceId": format!("d{device}"), "DeviceName": format!("WS-{device}"), "RemoteIP": "192.0.2.80", "RemotePort": 443 }));
    }
    for day in 0..3 {
        let cost = if day < 2 { 10.0 } else { 900.0 };
        lake.row("Costs", -56.0 + 24.0 * f64::from(day), json!({ "SubAccountId": ACCOUNT, "ServiceName": "Amazon Elastic Compute Cloud - Compute", "ServiceCategory": "Compute", "BilledCost": cost, "BillingCurrency": "USD" }));
    }
    let findings = vec![
        finding(
            "Failed, then successful sign-in of ann from a new place",
            Family::Account,
            Severity::Medium,
            0.0,
            &[(EntityKind::Principal, "Ann@contoso.example")],
        ),
        finding(
            "Servers in a region never used",
            Family::Provisioning,
            Severity::Medium,
            1.0,
            &[
                (EntityKind::Principal, SESSION),
                (EntityKind::Account, ACCOUNT),
                (EntityKind::Resource, "i-0aa"),
            ],
        ),
        finding(
            "WS-7 connects to a rare address by a timer",
            Family::Network,
            Severity::Medium,
            3.0,
            &[(EntityKind::Host, "WS-7"), (EntityKind::Ip, SERVER)],
        ),
        finding(
            "Cost of compute rose",
            Family::Billing,
            Severity::Low,
            4.0,
            &[(EntityKind::Account, ACCOUNT)],
        ),
    ];
    (lake, findings)
}

#[tokio::test]
async fn a_chain_across_two_clouds_and_the_network_is_one_incident() {
    let (lake, findings) = cross_cloud();
    let outcome = run(&lake, &findings, &[]).await;
    let [incident] = outcome.incidents.as_slice() else { panic!("{:#?}", outcome.incidents) };
    assert_eq!(incident.findings.len(), 4);
    assert_eq!(incident.families.len(), 4);
    assert_eq!(incident.chain.len(), 3, "{:#?}", incident.chain);
    let bridges: BTreeSet<&str> = incident.chain.iter().filter_map(|edge| edge.bridge.as_deref()).collect();
    assert!(bridges.contains("person-role-session") && bridges.contains("account-spender"), "{bridges:?}");
    assert!(bridges.contains("address-created-by") || bridges.contains("resource-address"), "{bridges:?}");
    assert!(incident.score >= 75.0 && incident.severity == Severity::High, "{}", incident.score);
    let points: f64 = incident
        .reasons
        .iter()
        .filter_map(|reason| reason.strip_prefix('+')?.split(' ').next()?.parse::<f64>().ok())
        .sum();
    assert!((points - incident.score).abs() < 0.05, "{points} {:#?}", incident.reasons);
    assert_eq!(
        incident.title,
        "Unusual account activity of ann@contoso.example, then infrastructure created by ann@contoso.example in 111122223333 contacted by own hosts ws-7, then unexpected cost in account 111122223333"
    );
    assert!(shown_entities(incident).len() <= 10);
}

#[tokio::test]
async fn an_address_that_everyone_has_joins_no_strangers() {
    let mut lake = Lake::default();
    for person in 0..30 {
        lake.row("SigninLogs", -f64::from(person), json!({ "UserPrincipalName": format!("p{person}@contoso.example"), "IPAddress": "192.0.2.1", "ResultType": "0" }));
    }
    let findings = [
        finding(
            "a",
            Family::Account,
            Severity::Medium,
            1.0,
            &[(EntityKind::Principal, "p1@contoso.example"), (EntityKind::Ip, "192.0.2.1")],
        ),
        finding(
            "b",
            Family::Provisioning,
            Severity::Medium,
            2.0,
            &[(EntityKind::Principal, "p2@contoso.example"), (EntityKind::Ip, "192.0.2.1")],
        ),
    ];
    assert!(run(&lake, &findings, &[]).await.incidents.is_empty());
    // The same two findings at an address that only they have belong together.
    let outcome = run(&Lake::default(), &findings, &[]).await;
    assert_eq!(outcome.incidents.len(), 1);
}

#[tokio::test]
async fn what_lies_too_far_apart_or_is_of_one_kind_is_no_incident() {
    let host = [(EntityKind::Host, "ws-1")];
    let far = [
        finding("a", Family::Account, Severity::Medium, 0.0, &host),
        finding("b", Family::Network, Severity::Medium, 80.0, &host),
    ];
    assert!(run(&Lake::default(), &far, &[]).await.incidents.is_empty());
    let alike = [
        finding("a", Family::Network, Severity::Medium, 0.0, &host),
        finding("b", Family::Network, Severity::Medium, 1.0, &host),
    ];
    assert!(run(&Lake::default(), &alike, &[]).await.incidents.is_empty());
    let mut sure = finding("c", Family::Network, Severity::High, 0.0, &host);
    assert!(run(&Lake::default(), &[sure.clone()], &[]).await.incidents.is_empty());
    sure.custom_details.insert("Confidence".to_owned(), json!(0.95));
    let outcome = run(&Lake::default(), &[sure], &[]).await;
    assert_eq!(outcome.incidents.len(), 1);
    assert_eq!(outcome.incidents[0].severity, Severity::High);
}

#[tokio::test]
async fn running_again_gives_nothing_and_growth_keeps_the_id() {
    let (lake, findings) = cross_cloud();
    let first = run(&lake, &findings[1..3], &[]).await;
    let known = after(&[], &first);
    assert_eq!(known.len(), 1);
    assert!(run(&lake, &findings[1..3], &known).await.incidents.is_empty());

    // An older finding comes late: the id stays, though it would now follow from another finding.
    let second = run(&lake, &findings[..3], &known).await;
    let [grown] = second.incidents.as_slice() else { panic!("{:#?}", second.incidents) };
    assert_eq!((grown.id, grown.version), (known[0].id, 2));
    assert_eq!(grown.findings.len(), 3);
    assert_ne!(grown.action_hash, known[0].action_hash, "a new family changes what to do");
    let known = after(&known, &second);
    assert!(run(&lake, &findings[..3], &known).await.incidents.is_empty());

    // A finding that goes on for longer is a new version, but nothing else to do.
    let mut longer = findings[..3].to_vec();
    longer[2].version = 2;
    longer[2].last_seen = hour(9.0);
    let third = run(&lake, &longer, &known).await;
    assert_eq!(third.incidents[0].version, 3);
    assert_eq!(third.incidents[0].action_hash, known[0].action_hash);

    // Findings that are no longer looked at stay in it.
    let known = after(&known, &third);
    let fourth = run(&lake, &findings[2..], &known).await;
    assert_eq!(fourth.incidents.len(), 0, "the bill ties to a finding that is gone: {:#?}", fourth.incidents);
}

#[tokio::test]
async fn two_incidents_that_turn_out_to_be_one_are_merged_into_the_older() {
    let one = [
        finding(
            "a",
            Family::Account,
            Severity::Medium,
            0.0,
            &[(EntityKind::Principal, "ann@contoso.example")],
        ),
        finding(
            "b",
            Family::Provisioning,
            Severity::Medium,
            1.0,
            &[(EntityKind::Principal, "ann@contoso.example")],
        ),
    ];
    let other = [
        finding("c", Family::Network, Severity::Medium, 2.0, &[(EntityKind::Host, "ws-7")]),
        finding("d", Family::Dns, Severity::Medium, 3.0, &[(EntityKind::Host, "ws-7")]),
    ];
    let mut all = [one, other].concat();
    let known = after(&[], &run(&Lake::default(), &all, &[]).await);
    assert_eq!(known.len(), 2);
    all.push(finding(
        "e",
        Family::Account,
        Severity::Medium,
        4.0,
        &[(EntityKind::Principal, "ann@contoso.example"), (EntityKind::Host, "ws-7")],
    ));
    let outcome = run(&Lake::default(), &all, &known).await;
    let (gone, left): (Vec<_>, Vec<_>) =
        outcome.incidents.iter().partition(|incident| incident.superseded_by.is_some());
    assert_eq!((gone.len(), left.len()), (1, 1));
    assert_eq!(gone[0].superseded_by, Some(left[0].id));
    assert_eq!(left[0].first_seen, hour(0.0));
    assert_eq!(left[0].findings.len(), 5);
    let known = after(&known, &outcome);
    assert!(run(&Lake::default(), &all, &known).await.incidents.is_empty());
}

#[tokio::test]
async fn a_giant_falls_apart_at_its_weakest_ties_and_says_so() {
    // Forty pairs that belong together by a host each, all of them by one user of many addresses.
    let mut lake = Lake::default();
    for address in 0..8 {
        lake.row("SigninLogs", 0.0, json!({ "UserPrincipalName": "admin@contoso.example", "IPAddress": format!("192.0.2.{address}"), "ResultType": "0" }));
    }
    for other in 0..100 {
        lake.row("SigninLogs", 0.0, json!({ "UserPrincipalName": format!("p{other}@contoso.example"), "IPAddress": format!("198.51.100.{other}"), "ResultType": "0" }));
    }
    let mut findings = Vec::new();
    for pair in 0..40 {
        let host = format!("ws-{pair}");
        for family in [Family::Network, Family::Account] {
            let entities =
                [(EntityKind::Host, host.as_str()), (EntityKind::Principal, "admin@contoso.example")];
            findings.push(finding(
                &format!("{pair} {family}"),
                family,
                Severity::Medium,
                0.1 * f64::from(pair),
                &entities,
            ));
        }
    }
    let outcome = run(&lake, &findings, &[]).await;
    assert!(outcome.incidents.len() >= 2);
    for incident in &outcome.incidents {
        assert!(incident.findings.len() <= 60);
        assert!(
            incident.reasons.iter().any(|reason| reason.contains("ties were cut")),
            "{:?}",
            incident.reasons
        );
    }
    let mut host_of: BTreeMap<&Entity, uuid::Uuid> = BTreeMap::new();
    for incident in &outcome.incidents {
        for host in incident.entities.iter().filter(|entity| entity.kind() == EntityKind::Host) {
            assert_eq!(*host_of.entry(host).or_insert(incident.id), incident.id, "{host} is torn apart");
        }
    }
}

#[tokio::test]
async fn a_bridge_that_fails_is_reported_and_stops_nothing() {
    let (lake, findings) = cross_cloud();
    let mut content = Content::built_in().unwrap();
    content.bridges[0].query = "NoSuchTable | take 1".to_owned();
    let outcome =
        correlate(&engine(), &lake.catalog(), &findings, &[], &content, &Options::at(hour(200.0))).await;
    assert!(
        outcome.bridges[0].problem.as_ref().is_some_and(|why| why.contains("NoSuchTable")),
        "{:?}",
        outcome.bridges[0]
    );
    assert_eq!(outcome.incidents.len(), 1);
}

async fn triaged(lake: &Lake, findings: &[Finding]) -> Incident {
    let mut incident = run(lake, findings, &[]).await.incidents.remove(0);
    incident.techniques = ["T1583.003", "T1584", "T1071"].map(str::to_owned).into();
    let playbooks = triage::built_in().unwrap();
    triage::triage(&engine(), &lake.catalog(), &mut incident, &playbooks, &triage::Options::at(hour(200.0)))
        .await;
    incident
}

#[tokio::test]
async fn questions_are_answered_by_rows_and_a_missing_source_is_said() {
    let (lake, findings) = cross_cloud();
    let incident = triaged(&lake, &findings).await;
    let answer = |question: &str| {
        let found = incident.triage.iter().find(|answer| answer.question.contains(question));
        found.unwrap_or_else(|| panic!("{question}"))
    };
    let wrong: Vec<_> = incident.triage.iter().filter(|answer| answer.answer.contains("error")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(answer("new instances or servers").answer.contains("RunInstances"));
    assert!(answer("billing activity").answer.contains("900"), "{}", answer("billing activity").answer);
    assert_eq!(answer("unexplained server acquisitions").met, Some(true));
    assert_eq!(answer("multiple failed login attempts").met, Some(true));
    assert_eq!(answer("suggestive of C2").met, Some(true));
    let missing = answer("flagged by security threat intelligence");
    assert_eq!(missing.met, None);
    assert!(
        missing.answer.contains("Cannot be answered") && missing.answer.contains("ThreatIntelIndicators"),
        "{}",
        missing.answer
    );
    let silent = answer("certificate misuse");
    assert!(silent.answer.contains("Cannot be answered"), "no TLS was inspected: {}", silent.answer);
    assert!(incident.escalate);
    assert!(
        incident.next_steps.iter().any(|step| step == "Contain: Isolate ws-7."),
        "{:#?}",
        incident.next_steps
    );
    assert!(
        !incident.next_steps.iter().any(|step| step.contains("access keys")),
        "{:#?}",
        incident.next_steps
    );
}

#[tokio::test]
async fn an_indicator_that_names_the_server_is_seen() {
    let (mut lake, findings) = cross_cloud();
    lake.row("ThreatIntelIndicators", -300.0, json!({ "ObservableKey": "ipv4-addr:value", "ObservableValue": SERVER, "Source": "feed", "IsActive": true, "Confidence": 80 }));
    let incident = triaged(&lake, &findings).await;
    let flagged = incident.triage.iter().find(|answer| answer.question.contains("are flagged by")).unwrap();
    assert_eq!(flagged.met, Some(true), "{flagged:#?}");
    assert!(flagged.answer.contains(SERVER) && flagged.answer.contains("feed"), "{}", flagged.answer);
}

#[tokio::test]
async fn every_query_of_bridges_playbooks_and_ledger_binds() {
    let lake = Lake::default().catalog();
    let mut options =
        QueryOptions { now: start(), time_range: Some((hour(-1.0), hour(1.0))), ..QueryOptions::default() };
    for list in [
        "Accounts",
        "Asns",
        "Credentials",
        "Domains",
        "Hosts",
        "Ips",
        "Principals",
        "Processes",
        "Resources",
        "Names",
        "Families",
        "FindingIds",
    ] {
        options.scalars.insert(list.to_owned(), provost_kql::Scalar::Dynamic(json!(["x"])));
    }
    for end in ["From", "To"] {
        options.scalars.insert(end.to_owned(), provost_kql::Scalar::Datetime(start()));
    }
    let mut problems = Vec::new();
    let mut check = async |name: String, query: String, columns: &[&str]| match engine()
        .prepare(Arc::clone(&lake), &query, &options)
        .await
    {
        Err(error) => problems.push(format!("{name}: {error}")),
        Ok(prepared) => {
            let has: Vec<&str> = prepared.columns().iter().map(|column| column.name.as_str()).collect();
            for column in columns.iter().filter(|column| !has.contains(column)) {
                problems.push(format!("{name}: no column {column} in {has:?}"));
            }
            if let Err(error) = prepared.collect().await {
                problems.push(format!("{name}: {error}"));
            }
        }
    };
    let content = Content::built_in().unwrap();
    for bridge in &content.bridges {
        check(format!("bridge {}", bridge.id), bridge.query.clone(), &["From", "To"]).await;
    }
    for measure in &content.rarity {
        for (query, column) in [(&measure.query, "Seen"), (&measure.population, "Total")] {
            if let Some(query) = query {
                check(format!("rarity {}", measure.kind), query.clone(), &[column]).await;
            }
        }
    }
    for playbook in triage::built_in().unwrap() {
        for question in playbook.questions.iter().chain(&playbook.criteria) {
            for (number, ask) in question.queries.iter().enumerate() {
                let lists = ["rows", "Hosts", "Ips", "Domains", "Principals", "Accounts", "Resources"];
                let asked: Vec<&str> = [&ask.some, &ask.none]
                    .into_iter()
                    .flat_map(|text| text.split('{').skip(1).filter_map(|part| part.split_once('}')))
                    .map(|(name, _)| name)
                    .filter(|name| !lists.contains(name))
                    .collect();
                let name = format!("{} {} {number}", playbook.technique, question.id);
                check(name, triage::with_functions(&ask.query), &asked).await;
            }
        }
    }
    assert!(problems.is_empty(), "{} queries do not run:\n{}", problems.len(), problems.join("\n"));
    report::ledger(&engine(), &lake, &options).await.unwrap();
}

#[tokio::test]
async fn the_ledger_says_who_created_what_and_whether_it_is_approved() {
    let (mut lake, _) = cross_cloud();
    lake.row("AWSCloudTrail", 2.0, json!({ "EventName": "RunInstances", "UserIdentityArn": "arn:aws:iam::111122223333:role/pipeline", "RecipientAccountId": ACCOUNT, "ResponseElements": json!({ "instancesSet": { "items": [{ "instanceId": "i-0bb" }] } }).to_string() }));
    lake.row("Costs", 0.0, json!({ "ResourceId": "arn:aws:ec2:eu-north-1:111122223333:instance/i-0aa", "BilledCost": 12.5, "BillingCurrency": "USD" }));
    let options = QueryOptions { now: hour(100.0), ..QueryOptions::default() };
    let rows = report::ledger(&engine(), &lake.catalog(), &options).await.unwrap();
    assert_eq!(rows.len(), 3, "{rows:#?}");
    let of = |what: &str, who: &str| {
        rows.iter().find(|row| row["What"] == what && row["Who"].as_str().unwrap().contains(who)).unwrap()
    };
    let launched = of("RunInstances", "ann@");
    assert_eq!(
        (launched["Number"].clone(), launched["Approved"].clone(), launched["Cost"].clone()),
        (json!(2), json!(false), json!(12.5))
    );
    assert_eq!(of("RunInstances", "pipeline")["Approved"], json!(true));
    assert_eq!(of("AllocateAddress", "ann@")["Address"], json!(SERVER));
}

#[tokio::test]
async fn hostile_names_act_nowhere() {
    let evil = "<script>alert(1)</script>\u{202e}";
    let mut one = finding(
        evil,
        Family::Account,
        Severity::Medium,
        0.0,
        &[(EntityKind::Principal, "=cmd|'/c calc'!A0"), (EntityKind::Host, "ws-1")],
    );
    one.rule_name = "=HYPERLINK(\"http://evil.example\")".to_owned();
    let other = finding(
        "b",
        Family::Network,
        Severity::Medium,
        1.0,
        &[(EntityKind::Host, "ws-1"), (EntityKind::Process, "<img src=x onerror=alert(1)>")],
    );
    let findings = [one, other];
    let incidents = run(&Lake::default(), &findings, &[]).await.incidents;
    let ledger = [json!({ "Who": "+1+1", "What": "\"><svg onload=alert(1)>", "Approved": false })
        .as_object()
        .cloned()
        .unwrap()];
    let report = Report {
        made_at: hour(9.0),
        covers: (hour(0.0), hour(9.0)),
        incidents: &incidents,
        findings: &findings,
        ledger: &ledger,
    };
    let html = report::html(&report);
    for bad in ["<script", "<img", "<svg onload", "\u{202e}", "src=\"http", "url(", "http-equiv=\"refresh"] {
        assert!(!html.contains(bad), "{bad}");
    }
    assert!(html.contains("&lt;script&gt;") && html.contains("default-src 'none'"));
    let mut csv = Vec::new();
    report::incidents_csv(&report, &mut csv).unwrap();
    report::findings_csv(&report, &mut csv).unwrap();
    report::ledger_csv(&report, &mut csv).unwrap();
    let csv = String::from_utf8(csv).unwrap();
    assert!(csv.contains("'=HYPERLINK") && csv.contains("'+1+1"), "{csv}");
    for cell in csv.lines().flat_map(|line| line.split(',')) {
        assert!(!cell.trim_matches('"').starts_with(['=', '+', '@']), "{cell}");
    }
}

#[test]
fn every_question_of_a_playbook_is_in_the_table_of_features() {
    let features = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/features.md")).unwrap();
    for playbook in triage::built_in().unwrap() {
        assert!(playbook.questions.len() >= 4 && playbook.criteria.len() >= 3, "{}", playbook.technique);
        for question in &playbook.questions {
            assert!(features.contains(&question.ask), "{}", question.ask);
        }
        for question in playbook.questions.iter().chain(&playbook.criteria) {
            assert!(
                features.contains(&format!("`{}`", question.id)),
                "{} {}",
                playbook.technique,
                question.id
            );
        }
    }
    for bridge in Content::built_in().unwrap().bridges {
        let docs =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/correlation.md")).unwrap();
        assert!(docs.contains(&format!("`{}`", bridge.id)), "{}", bridge.id);
    }
}
