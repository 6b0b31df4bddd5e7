//! What goes wrong, and that trying again gets over it.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use provost_mocks::{Clock, Faults, RULE_ID};
use reqwest::Method;
use serde_json::json;

use super::client::{Key, Setup};
use super::serves::{everything, hunt};

const GRAPH: &str = "https://graph.microsoft.com";
const ARM: &str = "https://management.azure.com";
const MONITOR: &str = "https://monitor.azure.com";

#[tokio::test]
async fn with_every_fault_the_same_records_come_in_the_end() {
    let plain = everything(&Setup::plain().await).await;
    let setup = Setup::start(|options| options.faults = Faults::all()).await;
    let faulty = everything(&setup).await;
    for ((table, count, ids), (_, faulty_count, faulty_ids)) in plain.iter().zip(&faulty) {
        assert_eq!(ids, faulty_ids, "{table}");
        assert!(faulty_count > count, "{table}: nothing came twice");
    }
    let faults: BTreeSet<&str> = setup.clouds.requests().iter().filter_map(|request| request.fault).collect();
    assert_eq!(faults, BTreeSet::from(["cut", "server error", "stalled", "throttled"]));
}

#[tokio::test]
async fn the_third_try_in_a_row_succeeds_and_each_fault_comes_alone() {
    let fault = |name: &str| name.parse::<Faults>().expect("a fault");
    for (name, expected) in [
        ("throttling", "throttled"),
        ("server-errors", "server error"),
        ("timeouts", "stalled"),
        ("cut-bodies", "cut"),
    ] {
        let setup = Setup::start(|options| options.faults = fault(name)).await;
        let token = setup.token(GRAPH).await;
        for place in 0..40 {
            let mut tries = 0;
            loop {
                tries += 1;
                assert!(tries <= 3, "{name}: request {place} failed three times");
                let path = format!("v1.0/auditLogs/signIns?$top={}", place + 1);
                let tried = setup.try_send(setup.graph(Method::GET, &path, &token)).await;
                if tried.is_ok_and(|reply| reply.status == 200) {
                    break;
                }
            }
        }
        let seen: BTreeSet<&str> =
            setup.clouds.requests().iter().filter_map(|request| request.fault).collect();
        assert_eq!(seen, BTreeSet::from([expected]));
    }
}

#[tokio::test]
async fn a_row_whose_answer_was_lost_is_stored_twice() {
    let setup = Setup::start(|options| options.faults = "cut-bodies".parse().expect("a fault")).await;
    let token = setup.token(MONITOR).await;
    let stream = "Custom-ProvostIncidents_CL";
    let path = format!("dataCollectionRules/{RULE_ID}/streams/{stream}?api-version=2023-01-01");
    for number in 0..30 {
        let body = format!(r#"[{{"IncidentId":"i{number}"}}]"#);
        while !setup
            .try_send(setup.ingest(&path, &token, body.clone()))
            .await
            .is_ok_and(|reply| reply.status == 204)
        {}
    }
    let copy = setup.clouds.sentinel();
    assert_eq!(copy.distinct(stream, "IncidentId").len(), 30);
    assert!(copy.duplicates(stream, "IncidentId") > 0);
}

#[tokio::test]
async fn tokens_die_before_their_time() {
    let setup = Setup::start(|options| options.faults = "expiring-tokens".parse().expect("a fault")).await;
    let token = setup.token(GRAPH).await;
    let mut statuses = Vec::new();
    for _ in 0..25 {
        statuses
            .push(setup.send(setup.graph(Method::GET, "v1.0/auditLogs/signIns?$top=1", &token)).await.status);
    }
    assert_eq!((statuses[0], statuses[24]), (200, 401));
}

#[tokio::test]
async fn records_appear_when_their_time_and_their_lateness_have_come() {
    let setup = Setup::start(|options| options.faults = "late".parse().expect("a fault")).await;
    let end = setup.end();
    let all = hunt(&setup).await.len();
    setup.clouds.set_clock(Clock::Fixed(end - TimeDelta::hours(6)));
    let earlier = hunt(&setup).await.len();
    setup.clouds.set_faults(Faults::none());
    let earlier_on_time = hunt(&setup).await.len();
    assert!(earlier < earlier_on_time && earlier_on_time < all, "{earlier} {earlier_on_time} {all}");
}

#[tokio::test]
async fn hunting_cuts_at_its_cap_without_a_sign() {
    let setup = Setup::start(|options| options.hunting_row_cap = 100).await;
    let token = setup.token(GRAPH).await;
    let ask = async |query: &str| {
        let request = setup
            .graph(Method::POST, "v1.0/security/runHuntingQuery", &token)
            .json(&json!({ "Query": query }));
        setup.send(request).await.json()
    };
    let cut = ask("DeviceNetworkEvents | order by Timestamp asc").await;
    assert_eq!(cut["results"].as_array().map(Vec::len), Some(100));
    assert!(cut.get("@odata.nextLink").is_none());
    let made = setup.clouds.scenario().network_events().count();
    assert_eq!(ask("DeviceNetworkEvents | count").await["results"][0]["Count"], json!(made));
    let mut by_share = 0;
    for share in 0..4 {
        let query =
            format!("DeviceNetworkEvents | where hash(DeviceId, 4) == {share} | summarize n = count()");
        by_share += ask(&query).await["results"][0]["n"].as_u64().expect("a count");
    }
    assert_eq!(by_share, made as u64);
    let late =
        "DeviceNetworkEvents | extend Arrived = ingestion_time() | project Timestamp, Arrived | take 1";
    let row = &ask(late).await["results"][0];
    assert!(row["Arrived"].as_str() > row["Timestamp"].as_str(), "{row}");
}

#[tokio::test]
async fn each_service_throttles_in_its_own_dialect() {
    let setup = Setup::start(|options| options.limits_raised = 1).await;
    let graph = setup.token(GRAPH).await;
    let arm = setup.token(ARM).await;
    let again = async |count: usize, request: &dyn Fn() -> reqwest::RequestBuilder| {
        let mut last = setup.send(request()).await;
        for _ in 1..count {
            last = setup.send(request()).await;
        }
        last
    };
    let reports =
        again(6, &|| setup.graph(Method::GET, "v1.0/auditLogs/directoryAudits?$top=1", &graph)).await;
    assert_eq!((reports.status, reports.code().as_str()), (429, "TooManyRequests"));
    assert!(reports.headers.contains_key("retry-after"));

    let hunting = again(46, &|| {
        let query = json!({ "Query": "DeviceNetworkEvents | take 1" });
        setup.graph(Method::POST, "v1.0/security/runHuntingQuery", &graph).json(&query)
    })
    .await;
    assert_eq!(hunting.status, 429);

    let account = setup.clouds.scenario().tenant().accounts[0].id.clone();
    let key: Key = setup.assume(&account).await;
    let lookup = again(6, &|| setup.lookup(&key, "us-east-1", &json!({ "MaxResults": 1 }))).await;
    assert_eq!((lookup.status, lookup.code().as_str()), (400, "ThrottlingException"));
    assert!(!lookup.headers.contains_key("retry-after"));
    let elsewhere = setup.send(setup.lookup(&key, "eu-central-1", &json!({ "MaxResults": 1 }))).await;
    assert_eq!(elsewhere.status, 200, "each region has a limit of its own");

    let subscription = setup.subscription();
    let path = format!(
        "subscriptions/{subscription}/providers/Microsoft.CostManagement/query?api-version=2025-03-01"
    );
    let year = json!({
        "type": "Usage", "timeframe": "Custom", "timePeriod": { "from": "2025-07-01", "to": "2026-06-02" },
        "dataset": { "granularity": "Daily" }
    });
    // A year is twelve units, which is all there is in ten seconds.
    let cost = again(2, &|| setup.arm(Method::POST, &path, &arm).json(&year)).await;
    assert_eq!(cost.status, 429);
    let wait = &cost.headers["x-ms-ratelimit-microsoft.costmanagement-qpu-retry-after"];
    assert!(wait.to_str().is_ok_and(|seconds| (1..=10).contains(&seconds.parse().unwrap_or(0))), "{wait:?}");
    assert!(!cost.headers.contains_key("retry-after"));
}
