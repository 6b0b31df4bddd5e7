//! Every record of the scenario is served, and each once.

use std::collections::BTreeSet;

use chrono::{SecondsFormat, TimeDelta};
use provost_model::EventId;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Key, Setup};

const GRAPH: &str = "https://graph.microsoft.com";
const ARM: &str = "https://management.azure.com";

/// Everything that hunting gives, hour by hour.
pub(crate) async fn hunt(setup: &Setup) -> Vec<Value> {
    let mut token = setup.token(GRAPH).await;
    let mut rows = Vec::new();
    let options = setup.clouds.scenario().options();
    let mut from = options.start();
    while from < options.end {
        let to = from + TimeDelta::hours(6);
        let text = |time: chrono::DateTime<chrono::Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let query = format!(
            "DeviceNetworkEvents | where Timestamp >= datetime({}) and Timestamp < datetime({})",
            text(from),
            text(to)
        );
        let body = json!({ "Query": query, "Timespan": format!("{}/{}", text(from), text(to)) });
        let request = setup.graph(Method::POST, "v1.0/security/runHuntingQuery", &token).json(&body);
        let Ok(reply) = setup.try_send(request).await else { continue };
        match reply.status {
            200 => {
                rows.extend(reply.json()["results"].as_array().expect("results").iter().cloned());
                from = to;
            }
            401 => token = setup.token(GRAPH).await,
            429 | 500.. => {}
            other => panic!("{other}: {}", reply.text),
        }
    }
    rows
}

/// Every page of a list, by its next links.
pub(crate) async fn pages(setup: &Setup, first: &str, resource: &str, link: &str) -> Vec<Value> {
    let mut token = setup.token(resource).await;
    let mut records = Vec::new();
    let mut next = first.to_owned();
    loop {
        let Ok(reply) = setup.try_send(setup.client.get(&next).bearer_auth(&token)).await else { continue };
        match reply.status {
            200 => {
                let page = reply.json();
                records.extend(page["value"].as_array().expect("a list").iter().cloned());
                match page[link].as_str() {
                    Some(link) => link.clone_into(&mut next),
                    None => return records,
                }
            }
            401 => token = setup.token(resource).await,
            429 | 500.. => {}
            other => panic!("{other}: {}", reply.text),
        }
    }
}

pub(crate) async fn sign_ins(setup: &Setup, report: &str) -> Vec<Value> {
    let url = format!("{}v1.0/auditLogs/{report}?$top=100", setup.clouds.endpoints().graph);
    pages(setup, &url, GRAPH, "@odata.nextLink").await
}

pub(crate) async fn activity(setup: &Setup) -> Vec<Value> {
    let options = setup.clouds.scenario().options();
    let mut records = Vec::new();
    for subscription in &setup.clouds.scenario().tenant().subscriptions {
        let url = format!(
            "{}subscriptions/{}/providers/Microsoft.Insights/eventtypes/management/values?api-version=2015-04-01&$filter=eventTimestamp ge '{}' and eventTimestamp le '{}'",
            setup.clouds.endpoints().arm,
            subscription.id,
            options.start().to_rfc3339_opts(SecondsFormat::Secs, true),
            options.end.to_rfc3339_opts(SecondsFormat::Secs, true)
        );
        records.extend(pages(setup, &url, ARM, "nextLink").await);
    }
    records
}

pub(crate) async fn trail(setup: &Setup) -> Vec<Value> {
    let options = setup.clouds.scenario().options();
    let tenant = setup.clouds.scenario().tenant();
    let mut records = Vec::new();
    for account in &tenant.accounts {
        let mut key: Key = setup.assume(&account.id).await;
        for region in tenant.watched_regions() {
            let mut token: Option<String> = None;
            loop {
                let mut body = json!({ "StartTime": options.start().timestamp(), "EndTime": options.end.timestamp(), "MaxResults": 50 });
                if let Some(token) = &token {
                    body["NextToken"] = json!(token);
                }
                let Ok(reply) = setup.try_send(setup.lookup(&key, region, &body)).await else { continue };
                if reply.status != 200 {
                    match reply.code().as_str() {
                        "ExpiredTokenException" => key = setup.assume(&account.id).await,
                        "ThrottlingException" | "ServiceUnavailable" | "InternalFailure" => {}
                        other => panic!("{other}: {}", reply.text),
                    }
                    continue;
                }
                let page = reply.json();
                for event in page["Events"].as_array().expect("events") {
                    let text = event["CloudTrailEvent"].as_str().expect("the record as text");
                    records.push(serde_json::from_str(text).expect("JSON"));
                }
                token = page["NextToken"].as_str().map(str::to_owned);
                if token.is_none() {
                    break;
                }
            }
        }
    }
    records
}

pub(crate) fn ids(records: &[Value], name: &str) -> BTreeSet<String> {
    records.iter().map(|record| record[name].as_str().expect("an id").to_owned()).collect()
}

/// The identities that the lake gives.
pub(crate) fn network_ids(rows: &[Value]) -> BTreeSet<String> {
    rows.iter()
        .map(|row| {
            let time = provost_model::parse_time(row["Timestamp"].as_str().expect("a time")).expect("a time");
            let parts = [
                "DeviceNetworkEvents",
                &row["ReportId"].to_string(),
                row["DeviceId"].as_str().expect("a device"),
                &provost_model::format_time(time),
            ];
            EventId::of(&parts).as_str().to_owned()
        })
        .collect()
}

/// Everything that can be pulled, by table: how many records came, and their identities.
pub(crate) async fn everything(setup: &Setup) -> Vec<(&'static str, usize, BTreeSet<String>)> {
    let network = hunt(setup).await;
    let sign_in = sign_ins(setup, "signIns").await;
    let audit = sign_ins(setup, "directoryAudits").await;
    let act = activity(setup).await;
    let cloud = trail(setup).await;
    vec![
        ("DeviceNetworkEvents", network.len(), network_ids(&network)),
        ("SigninLogs", sign_in.len(), ids(&sign_in, "id")),
        ("AuditLogs", audit.len(), ids(&audit, "id")),
        ("AzureActivity", act.len(), ids(&act, "eventDataId")),
        ("AWSCloudTrail", cloud.len(), ids(&cloud, "eventID")),
    ]
}

#[tokio::test]
async fn every_record_is_served_exactly_once() {
    let setup = Setup::plain().await;
    let scenario = setup.clouds.scenario();
    let served = everything(&setup).await;
    let made = [
        scenario.network_events().count(),
        scenario.sign_ins().count(),
        scenario.audits().count(),
        scenario.activity_records().count(),
        scenario.trail_events().count(),
    ];
    for ((table, count, ids), made) in served.iter().zip(made) {
        assert_eq!((*count, ids.len()), (made, made), "{table}");
    }
    for chain in scenario.chains() {
        for (table, labelled) in &chain.event_ids {
            let (_, _, ids) = served.iter().find(|(known, _, _)| known == table).expect("a table");
            assert!(
                !labelled.is_empty() && labelled.iter().all(|id| ids.contains(id)),
                "{} {table}",
                chain.name
            );
        }
    }
}
