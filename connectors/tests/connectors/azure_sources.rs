//! Activity log, cost query, Graph reports and advanced hunting.

use std::time::Duration;

use provost_connectors::config::{
    AzureActivityConfig, AzureCostConfig, DefenderNetworkConfig, EntraReportConfig, SourceConfig,
};
use provost_connectors::{CheckStatus, SourceError};
use serde_json::{Value, json};

use crate::fixtures::{SECRET, SUBSCRIPTION, TENANT, connectors, hour, pull, text, time, window};
use crate::server::{Answer, Asked, Server};

fn activity() -> SourceConfig {
    SourceConfig::AzureActivity(AzureActivityConfig { subscriptions: vec![SUBSCRIPTION.to_owned()] })
}

fn event(id: &str) -> Value {
    json!({
        "eventDataId": id, "eventTimestamp": "2026-03-01T10:15:00.1234567Z", "caller": "ann@contoso.example",
        "operationName": {"value": "Microsoft.Compute/virtualMachines/write"}, "status": {"value": "Started"},
    })
}

fn sign_in(id: &str) -> Value {
    json!({"id": id, "createdDateTime": "2026-03-01T10:15:00Z", "userPrincipalName": "ann@contoso.example",
           "status": {"errorCode": 0}})
}

fn network(report: u64, timestamp: &str) -> Value {
    json!({"Timestamp": timestamp, "DeviceId": "dev", "ReportId": report, "ActionType": "ConnectionSuccess"})
}

#[tokio::test]
async fn the_activity_log_is_read_to_its_last_page_through_an_empty_one() {
    let server = Server::start(|asked, count| {
        let next = |skip: &str| {
            format!("https://{}{}?api-version=2015-04-01&$skiptoken={skip}", asked.header("host"), asked.path)
        };
        match count {
            0 => Answer::json(&json!({"value": [event("a"), event("b")], "nextLink": next("1%2B1")})),
            1 => Answer::json(&json!({"value": [], "nextLink": next("2")})),
            _ => Answer::json(
                &json!({"value": [event("c"), {"eventTimestamp": "yesterday", "eventDataId": "d"}]}),
            ),
        }
    })
    .await;
    let source = connectors(&server).source("activity", &activity()).expect("a source");
    let (pulled, taken) = pull(&*source, hour()).await;
    let pulled = pulled.expect("read to its end");
    assert_eq!((pulled.records, pulled.requests), (4, 4), "three pages and a token");
    assert_eq!(taken.ids(), ["a", "b", "c"]);
    assert_eq!(taken.rejects.len(), 1, "what can't be read is kept with its reason");
    assert!(taken.rejects[0].reason.contains("'yesterday' is not a time"), "{:?}", taken.rejects[0]);

    let asked = server.asked();
    assert_eq!(asked[0].query["api-version"], "2015-04-01");
    assert_eq!(
        asked[0].query["$filter"],
        "eventTimestamp ge '2026-03-01T10:00:00Z' and eventTimestamp le '2026-03-01T11:00:00Z'"
    );
    assert_eq!(asked[0].header("prefer"), "wait=75");
    assert_eq!(asked[0].header("authorization"), "Bearer token-1");
    assert!(asked[0].header("user-agent").starts_with("provost/"));
    assert_eq!(asked[1].query["$skiptoken"], "1+1", "the link is followed as it came");
    let token = &server.tokens()[0];
    let form = String::from_utf8_lossy(&token.body).into_owned();
    assert!(
        form.contains("scope=https%3A%2F%2Fmanagement.azure.com%2F.default"),
        "the cloud's audience: {form}"
    );
    assert_eq!(token.path, format!("/{TENANT}/oauth2/v2.0/token"));
}

#[tokio::test]
async fn a_token_never_goes_to_another_host_than_the_one_that_is_configured() {
    let server = Server::start(|_, _| {
        Answer::json(&json!({"value": [event("a")], "nextLink": "https://evil.example/steal"}))
    })
    .await;
    let source = connectors(&server).source("activity", &activity()).expect("a source");
    let (pulled, _) = pull(&*source, hour()).await;
    let error = pulled.expect_err("refused").to_string();
    assert!(error.contains("the next link leads to https://evil.example"), "{error}");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_list_that_turns_in_a_circle_is_an_error() {
    let server = Server::start(|asked, _| {
        let link = format!("https://{}{}?again=1", asked.header("host"), asked.path);
        Answer::json(&json!({"value": [], "nextLink": link}))
    })
    .await;
    let source = connectors(&server).source("activity", &activity()).expect("a source");
    assert!(matches!(pull(&*source, hour()).await.0, Err(SourceError::Incomplete { .. })));
}

#[tokio::test]
async fn a_window_before_what_is_kept_is_refused_instead_of_coming_back_empty() {
    let server = Server::start(|_, _| Answer::json(&json!({"value": []}))).await;
    let source = connectors(&server).source("activity", &activity()).expect("a source");
    let (pulled, _) = pull(&*source, window("2025-11-01T00:00:00Z", "2025-11-01T01:00:00Z")).await;
    let error = pulled.expect_err("too long ago").to_string();
    assert!(error.contains("90 days"), "{error}");
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_missing_permission_is_named_with_its_remedy_and_no_secret_shows() {
    let server = Server::start(|asked, _| {
        let echo =
            format!("AuthorizationFailed for {} with client_secret={SECRET}", asked.header("authorization"));
        Answer::status(403)
            .body(&json!({"error": {"code": "AuthorizationFailed", "message": echo}}).to_string())
    })
    .await;
    let connectors = connectors(&server);
    let source = connectors.source("activity", &activity()).expect("a source");
    let checks = source.check().await;
    assert_eq!(checks[0].status, CheckStatus::Failed);
    assert!(
        checks[0].remedy.as_deref().is_some_and(|remedy| remedy.contains("Monitoring Reader")),
        "{checks:?}"
    );
    let (pulled, _) = pull(&*source, hour()).await;
    let error = pulled.expect_err("denied");
    assert!(matches!(error, SourceError::Denied { .. }), "{error}");
    for shown in [
        error.to_string(),
        format!("{error:?}"),
        format!("{source:?}"),
        format!("{connectors:?}"),
        format!("{checks:?}"),
    ] {
        assert!(!shown.contains(SECRET) && !shown.contains("token-1"), "{shown}");
    }
    assert!(error.to_string().contains("AuthorizationFailed for"), "what the service said is told: {error}");
}

#[tokio::test]
async fn a_token_that_is_not_accepted_any_more_is_replaced() {
    let server = Server::start(|asked, _| {
        if asked.header("authorization") == "Bearer token-1" {
            return Answer::status(401)
                .body(r#"{"error":{"code":"ExpiredAuthenticationToken","message":"expired"}}"#);
        }
        Answer::json(&json!({"value": [event("a")]}))
    })
    .await;
    let source = connectors(&server).source("activity", &activity()).expect("a source");
    let (pulled, taken) = pull(&*source, hour()).await;
    assert_eq!(pulled.expect("with a fresh token").requests, 4);
    assert_eq!(taken.ids(), ["a"]);
    assert_eq!(server.tokens().len(), 2);

    let server = Server::start(|_, _| Answer::status(401)).await;
    let source = connectors(&server).source("activity", &activity()).expect("a source");
    assert!(matches!(pull(&*source, hour()).await.0, Err(SourceError::Unauthenticated { .. })));
    assert_eq!(server.asked().len(), 4, "no more than that");
}

#[tokio::test]
async fn costs_are_read_by_column_name_and_the_next_page_is_asked_with_the_same_body() {
    let server = Server::start(|asked, count| match count {
        0 => Answer::status(429)
            .header("x-ms-ratelimit-microsoft.costmanagement-qpu-retry-after", "0")
            .header("x-ms-ratelimit-microsoft.costmanagement-clienttype-retry-after", "1"),
        1 => Answer::json(&json!({"properties": {
            "nextLink": format!("https://{}{}?api-version=2023-11-01&$skiptoken=x", asked.header("host"), asked.path),
            "columns": [{"name": "Cost", "type": "Number"}, {"name": "UsageDate", "type": "Number"},
                        {"name": "ServiceName", "type": "String"}, {"name": "ResourceLocation", "type": "String"},
                        {"name": "Currency", "type": "String"}],
            "rows": [[12.5, 20260227, "Virtual Machines", "westeurope", "EUR"], [0.5, 20260227, "Storage", "", "EUR"]]}})),
        _ => Answer::json(&json!({"properties": {
            "nextLink": null,
            "columns": [{"name": "Currency"}, {"name": "ServiceName"}, {"name": "UsageDate"}, {"name": "PreTaxCost"}],
            "rows": [["EUR", "Bandwidth", 20260228, 3], ["EUR", "Bandwidth", 20269999, 3]]}})),
    })
    .await;
    let config = SourceConfig::AzureCost(AzureCostConfig { subscriptions: vec![SUBSCRIPTION.to_owned()] });
    let source = connectors(&server).source("cost", &config).expect("a source");
    let started = std::time::Instant::now();
    let (pulled, taken) = pull(&*source, window("2026-02-27T00:00:00Z", "2026-03-01T00:00:00Z")).await;
    assert_eq!(pulled.expect("read to its end").records, 4);
    assert!(started.elapsed() >= Duration::from_secs(1), "the longest wait of the family counts");
    assert_eq!((taken.rows.len(), taken.rejects.len()), (3, 1));
    assert_eq!(taken.rows[0].time(), Some(time("2026-02-27T00:00:00Z")));
    assert_eq!(text(&taken.rows[0], "ServiceName"), "Virtual Machines");
    assert_eq!(text(&taken.rows[0], "RegionId"), "westeurope");
    assert_eq!(text(&taken.rows[0], "SubAccountId"), SUBSCRIPTION);
    let asked = server.asked();
    assert_eq!(
        asked[1].json()["timePeriod"],
        json!({"from": "2026-02-27T00:00:00Z", "to": "2026-02-28T23:59:59Z"})
    );
    assert_eq!((asked[2].method.as_str(), asked[2].json()), ("POST", asked[1].json()));
    assert_eq!(asked[2].query["$skiptoken"], "x");
}

#[tokio::test]
async fn no_content_means_no_costs() {
    let server = Server::start(|_, _| Answer::status(204)).await;
    let config = SourceConfig::AzureCost(AzureCostConfig { subscriptions: vec![SUBSCRIPTION.to_owned()] });
    let source = connectors(&server).source("cost", &config).expect("a source");
    let (pulled, taken) = pull(&*source, window("2026-02-27T00:00:00Z", "2026-02-28T00:00:00Z")).await;
    assert_eq!((pulled.expect("nothing").records, taken.rows.len()), (0, 0));
}

fn reports(slice_minutes: u32) -> SourceConfig {
    SourceConfig::EntraSignins(EntraReportConfig { slice_minutes, page_size: 1000 })
}

fn report_page(asked: &Asked, ids: &[&str], next: Option<&str>) -> Answer {
    let records: Vec<Value> = ids.iter().map(|id| sign_in(id)).collect();
    let link = next.map(|token| format!("https://{}{}?$skiptoken={token}", asked.header("host"), asked.path));
    Answer::json(&json!({"value": records, "@odata.nextLink": link}))
}

#[tokio::test]
async fn sign_ins_are_read_slice_by_slice_to_the_last_page_of_each() {
    let server = Server::start(|asked, count| match count {
        0 => report_page(asked, &["a"], Some("t")),
        1 => report_page(asked, &[], Some("u")),
        2 => report_page(asked, &["b"], None),
        _ => report_page(asked, &["c"], None),
    })
    .await;
    let source = connectors(&server).source("signins", &reports(30)).expect("a source");
    let (pulled, taken) = pull(&*source, hour()).await;
    assert_eq!(pulled.expect("read to its end").records, 3);
    assert_eq!(taken.ids(), ["a", "b", "c"]);
    assert_eq!(text(&taken.rows[0], "AADTenantId"), TENANT);
    let asked = server.asked();
    assert_eq!(asked[0].path, "/v1.0/auditLogs/signIns");
    assert_eq!(asked[0].query["$top"], "1000");
    assert_eq!(
        asked[0].query["$filter"],
        "createdDateTime ge 2026-03-01T10:00:00Z and createdDateTime le 2026-03-01T10:30:00Z"
    );
    assert!(asked[3].query["$filter"].starts_with("createdDateTime ge 2026-03-01T10:30:00Z"));
    assert!(String::from_utf8_lossy(&server.tokens()[0].body).contains("graph.microsoft.com"));
}

#[tokio::test]
async fn a_slice_that_is_too_much_for_the_service_is_read_in_halves() {
    let server = Server::start(|asked, _| {
        if asked.query["$filter"].ends_with("11:00:00Z")
            && asked.query["$filter"].contains("ge 2026-03-01T10:00:00Z")
        {
            return Answer::status(429)
                .body(r#"{"error":{"code":"TooManyRequests","message":"slow query"}}"#);
        }
        let id = asked.query["$filter"].clone();
        report_page(asked, &[&id], None)
    })
    .await;
    let source = connectors(&server).source("signins", &reports(60)).expect("a source");
    let (pulled, taken) = pull(&*source, hour()).await;
    assert_eq!(pulled.expect("in halves").records, 2);
    assert!(taken.ids()[0].ends_with("10:30:00Z"), "{:?}", taken.ids());
}

fn hunting(max_rows: usize) -> SourceConfig {
    SourceConfig::DefenderNetwork(DefenderNetworkConfig { max_rows, slice_minutes: 60, timeout_seconds: 0.5 })
}

/// The times of a hunting query, in seconds after 10:00.
fn times(asked: &Asked) -> (i64, i64) {
    let query = asked.json()["Query"].as_str().expect("a query").to_owned();
    let part = |before: &str| {
        let rest = query.split(before).nth(1).expect("a time");
        (time(rest.split(')').next().expect("a time")) - time("2026-03-01T10:00:00Z")).num_seconds()
    };
    (part(">= datetime("), part("< datetime("))
}

#[tokio::test]
async fn a_hunt_that_reaches_the_row_cap_is_halved_until_every_row_is_there_once() {
    let server = Server::start(|asked, _| {
        let (from, to) = times(asked);
        // One event a minute, cut at ten as the service cuts at its cap: without a word.
        let rows: Vec<Value> = (0..60)
            .filter(|minute| (from..to).contains(&(minute * 60)))
            .take(10)
            .map(|minute| network(minute as u64, &format!("2026-03-01T10:{minute:02}:00.0000000Z")))
            .collect();
        Answer::json(&json!({"schema": [{"Name": "Timestamp", "Type": "DateTime"}], "results": rows}))
    })
    .await;
    let source = connectors(&server).source("defender", &hunting(10)).expect("a source");
    let (pulled, taken) = pull(&*source, hour()).await;
    assert_eq!(pulled.expect("in parts").records, 60);
    let ids: std::collections::BTreeSet<String> = taken.ids().into_iter().collect();
    assert_eq!((ids.len(), taken.rows.len()), (60, 60));
    let first = &server.asked()[0];
    assert_eq!(first.path, "/v1.0/security/runHuntingQuery");
    assert_eq!(first.json()["Timespan"], "2026-03-01T10:00:00Z/2026-03-01T11:00:00Z");
}

#[tokio::test]
async fn a_second_with_more_rows_than_the_cap_is_divided_by_device() {
    let server = Server::start(|asked, _| {
        let (from, to) = times(asked);
        let query = asked.json()["Query"].as_str().expect("a query").to_owned();
        let share = query.split("hash(DeviceId, ").nth(1).map(|rest| {
            let (shares, rest) = rest.split_once(") == ").expect("a share");
            (shares.parse::<u64>().expect("a number"), rest.parse::<u64>().expect("a number"))
        });
        let rows: Vec<Value> = (0..30)
            .filter(|device| (from..to).contains(&100) && share.is_none_or(|(shares, share)| device % shares == share))
            .take(10)
            .map(|device| json!({"Timestamp": "2026-03-01T10:01:40Z", "DeviceId": format!("d{device}"), "ReportId": 1}))
            .collect();
        Answer::json(&json!({"Schema": [], "Results": rows}))
    })
    .await;
    let source = connectors(&server).source("defender", &hunting(10)).expect("a source");
    let (pulled, taken) = pull(&*source, hour()).await;
    assert_eq!(pulled.expect("in parts").records, 30);
    let ids: std::collections::BTreeSet<String> = taken.ids().into_iter().collect();
    assert_eq!(ids.len(), 30);
}

#[tokio::test]
async fn a_hunt_that_is_too_large_or_too_slow_is_halved() {
    let server = Server::start(|asked, count| match count {
        0 => Answer::status(400).body(r#"{"error":{"code":"BadRequest","message":"Query execution has exceeded the allowed result size."}}"#),
        1 => Answer::json(&json!({"results": []})).after(Duration::from_secs(3)),
        2 => Answer::status(504),
        _ => {
            let (from, _) = times(asked);
            Answer::json(&json!({"results": [network(from as u64, "2026-03-01T10:15:00Z")]}))
        }
    })
    .await;
    let source = connectors(&server).source("defender", &hunting(10)).expect("a source");
    let (pulled, _) = pull(&*source, hour()).await;
    let records = pulled.expect("in parts").records;
    assert_eq!(records, 4, "an eighth twice, a quarter and a half");
}

#[tokio::test]
async fn a_used_up_cpu_quota_is_not_waited_for_longer_than_allowed() {
    let server = Server::start(|_, _| {
        Answer::status(429).body(r#"{"error":{"code":"TooManyRequests","message":"CPU quota exceeded"}}"#)
    })
    .await;
    let source = connectors(&server).source("defender", &hunting(10)).expect("a source");
    let started = std::time::Instant::now();
    let (pulled, _) = pull(&*source, hour()).await;
    let error = pulled.expect_err("no quota");
    assert!(matches!(error, SourceError::Throttled { .. }), "{error}");
    assert!(error.to_string().contains("CPU quota exceeded"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_answer_without_results_is_not_taken_for_an_empty_one() {
    let server = Server::start(|_, _| Answer::json(&json!({"schema": []}))).await;
    let source = connectors(&server).source("defender", &hunting(10)).expect("a source");
    assert!(matches!(pull(&*source, hour()).await.0, Err(SourceError::Incomplete { .. })));
}
