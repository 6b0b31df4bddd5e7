//! Public Sentinel rules: each binds against the official schemas and runs on empty tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use provost_kql::{Column, Engine, EngineOptions, KqlType, MemoryCatalog, QueryOptions};
use serde_json::Value;

use super::support::shelf::EmptyFiles;
use super::support::{query_of, shared};

/// Rules that are refused, and why.
const KNOWN: &[(&str, &str)] = &[
    (
        "huntmulti__AzureResourceCreationWithNetworkActivity.yaml",
        "reads only the table AzureNetworkAnalytics_CL, which has no public schema",
    ),
    (
        "huntmulti__SignInASNMismatchInteractiveVsNonInteractive.yaml",
        "looks into DeviceDetail, which the schema of AADNonInteractiveUserSignInLogs has as a string",
    ),
];

/// The tables of the public schemas, and their columns.
pub(super) fn schemas() -> Option<BTreeMap<String, Vec<Column>>> {
    let path = shared("reference/table-schemas.json")?;
    let text = std::fs::read_to_string(path).expect("the schemas are readable");
    let schemas: BTreeMap<String, Value> = serde_json::from_str(&text).expect("the schemas are JSON");
    let tables = schemas.into_iter().map(|(name, columns)| {
        let columns = columns.as_array().into_iter().flatten().filter_map(|column| {
            let kind = KqlType::from_name(column["type"].as_str()?).unwrap_or(KqlType::String);
            Some(Column::new(column["name"].as_str()?, kind))
        });
        (name, columns.collect())
    });
    Some(tables.collect())
}

/// A catalog of empty tables with the columns that the public schemas give them.
fn catalog() -> Option<MemoryCatalog> {
    let mut catalog = MemoryCatalog::new();
    for (name, mut columns) in schemas()? {
        if name.starts_with("Device") || name.starts_with("Email") || name.starts_with("Identity") {
            columns.push(Column::new("Timestamp", KqlType::Datetime).hidden().alias_of("TimeGenerated"));
        }
        // Every table has it, though not every schema says so.
        if !columns.iter().any(|column| column.name == "TenantId") {
            columns.push(Column::new("TenantId", KqlType::String).hidden());
        }
        catalog.add_json(name, columns, &[]).expect("an empty table is a table");
    }
    Some(catalog)
}

#[tokio::test(flavor = "multi_thread")]
async fn public_rules_bind_and_run_on_empty_tables() {
    let Some(folder) = shared("corpora/sentinel-rules") else { return };
    let Some(catalog) = catalog() else { return };
    let catalog = Arc::new(catalog);
    let options = EngineOptions {
        target_partitions: Some(1),
        external_source: Some(Arc::new(EmptyFiles)),
        ..EngineOptions::default()
    };
    let engine = Engine::new(options).expect("an engine without limits starts");
    let only = std::env::var("KQL_ONLY").ok();
    // Whoever asks for some of them by name wants to see what is wrong with them.
    let known: BTreeMap<&str, &str> = KNOWN.iter().copied().filter(|_| only.is_none()).collect();
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder is readable")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    let (mut ran, mut total, mut unexpected, mut mended) = (0, 0, Vec::new(), Vec::new());
    for path in files {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        total += 1;
        let text = std::fs::read_to_string(&path).expect("the rule is readable");
        let query = query_of(&text);
        let options = QueryOptions::default();
        let outcome = match engine.prepare(catalog.clone(), &query, &options).await {
            Ok(prepared) => prepared.collect().await.map(|_| ()).map_err(|error| format!("fails: {error}")),
            Err(error) => Err(format!("cannot be bound: {error}")),
        };
        match (outcome, known.get(name.as_str())) {
            (Ok(()), None) => ran += 1,
            (Ok(()), Some(_)) => mended.push(name),
            (Err(_), Some(_)) => {}
            (Err(problem), None) => unexpected.push(format!("{name}: {problem}")),
        }
    }
    println!("{ran} of {total} rules run ({:.1} %)", 100.0 * f64::from(ran) / f64::from(total.max(1)));
    assert!(mended.is_empty(), "now accepted, take off the list: {mended:?}");
    assert!(unexpected.is_empty(), "{} rules are refused:\n\n{}", unexpected.len(), unexpected.join("\n\n"));
}

/// The query between its heading and the verdict below it.
fn seed_query(text: &str) -> String {
    let lines = text.lines().skip_while(|line| *line != "kusto").skip(1);
    lines.take_while(|line| !line.starts_with("high severity")).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_three_part_query_runs_as_it_stands() {
    let Some(path) = shared("seeds/004_97693ef42047345b.txt") else { return };
    let query = seed_query(&std::fs::read_to_string(path).expect("the document is readable"));
    let now = chrono::DateTime::parse_from_rfc3339("2026-03-08T12:00:00Z").expect("a time").to_utc();
    let text = |name: &str| Column::new(name, KqlType::String);
    let columns = vec![
        Column::new("TimeGenerated", KqlType::Datetime),
        Column::new("Timestamp", KqlType::Datetime).hidden().alias_of("TimeGenerated"),
        text("DeviceId"),
        text("DeviceName"),
        text("ActionType"),
        text("RemoteIP"),
        Column::new("RemotePort", KqlType::Int),
        text("RemoteUrl"),
        text("InitiatingProcessFileName"),
        Column::new("SentBytes", KqlType::Long),
        Column::new("ReceivedBytes", KqlType::Long),
    ];
    let mut rows = Vec::new();
    for minute in 0..180 {
        let at = now - chrono::TimeDelta::minutes(200) + chrono::TimeDelta::minutes(minute);
        rows.push(serde_json::json!({
            "TimeGenerated": at.to_rfc3339(), "DeviceId": "d1", "DeviceName": "host1",
            "ActionType": "ConnectionSuccess", "RemoteIP": "203.0.113.7", "RemotePort": 443,
            "RemoteUrl": "c2.duckdns.org", "InitiatingProcessFileName": "curl.exe", "SentBytes": 100,
        }));
        rows.push(serde_json::json!({
            "TimeGenerated": at.to_rfc3339(), "DeviceId": "d2", "DeviceName": "host2",
            "ActionType": "ConnectionSuccess", "RemoteIP": format!("198.51.100.{}", minute % 100), "RemotePort": 53,
            "RemoteUrl": "flux.example", "InitiatingProcessFileName": "dropper.exe",
        }));
    }
    let mut catalog = MemoryCatalog::new();
    catalog.add_json("DeviceNetworkEvents", columns, &rows).expect("the rows are a table");
    let engine = Engine::new(EngineOptions::default()).expect("an engine without limits starts");
    let options = QueryOptions { now, ..QueryOptions::default() };
    let prepared = engine.prepare(Arc::new(catalog), &query, &options).await.expect("the query binds");
    assert_eq!(prepared.tables(), ["DeviceNetworkEvents"]);
    let result = prepared.collect().await.expect("the query runs");
    let mut alerts: BTreeMap<String, usize> = BTreeMap::new();
    for row in result.objects() {
        *alerts.entry(row["AlertType"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    // The dropper's addresses change through every hour of the three and a bit.
    let expected = [("PotentialBeaconing", 1), ("PotentialFastFluxActivity", 4), ("SuspiciousDynamicDNS", 1)];
    assert_eq!(alerts, expected.into_iter().map(|(name, count)| (name.to_owned(), count)).collect());
}
