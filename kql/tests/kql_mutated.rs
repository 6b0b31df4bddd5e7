//! Queries that are nearly a case of this crate: whatever they say, no stage panics, and none outlives its limits.
//!
//! A few seconds of what `fuzz/` does at length. `KQL_MUTATED_SECONDS` makes it go on for so long, and `KQL_MUTATED_SEED`
//! begins it elsewhere.

#[path = "corpus/mutations.rs"]
mod mutations;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mutations::{Random, mutated};
use provost_kql::{
    Column, Engine, EngineOptions, FormatError, KqlType, MemoryCatalog, QueryOptions, format_query, parse,
    print_query,
};
use serde_json::json;

/// Far more than any query within its limit of time takes.
const LONGEST: Duration = Duration::from_secs(20);

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The queries of this crate's own cases.
fn queries() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut queries = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the cases") {
        let text = std::fs::read_to_string(entry.expect("a file").path()).expect("a file of cases");
        for block in text.split("## ").skip(1) {
            let (_, rest) = block.split_once('\n').expect("a title");
            queries.push(rest.split("----\n").next().unwrap_or_default().to_owned());
        }
    }
    queries.sort();
    queries
}

fn catalog() -> Arc<MemoryCatalog> {
    let columns =
        [("x", KqlType::Long), ("s", KqlType::String), ("t", KqlType::Datetime), ("d", KqlType::Dynamic)];
    let columns = columns.map(|(name, kind)| Column::new(name, kind)).to_vec();
    let rows = [
        json!({"x": i64::MIN, "s": "a b", "t": "0001-01-01T00:00:00Z", "d": {"k": [1, "x", null]}}),
        json!({"x": i64::MAX, "s": "10.0.0.1", "t": "9999-12-31T23:59:59Z", "d": []}),
        json!({}),
    ];
    let mut catalog = MemoryCatalog::new();
    catalog.add_json("T", columns, &rows).expect("the rows are a table");
    Arc::new(catalog)
}

/// What is read is printed as the same query, and its layout is stable.
fn check_print(query: &str) {
    let Ok(parsed) = parse(query) else { return };
    let printed = print_query(&parsed);
    let again = parse(&printed).unwrap_or_else(|faults| panic!("{query}\nprinted as\n{printed}\n{faults}"));
    assert!(again.same_but_for_spans(&parsed), "{query}\nis printed as another query:\n{printed}");
    match format_query(query) {
        Ok(formatted) => assert_eq!(format_query(&formatted).ok().as_deref(), Some(&*formatted), "{query}"),
        Err(FormatError::Unsafe(_)) => {}
        Err(FormatError::Syntax(faults)) => panic!("{query}\n{faults}"),
    }
}

#[tokio::test]
async fn no_stage_panics_or_hangs() {
    let engine = Engine::new(EngineOptions {
        memory_limit: Some(64 << 20),
        target_partitions: Some(1),
        ..EngineOptions::default()
    })
    .expect("an engine starts");
    let options = QueryOptions {
        now: chrono::DateTime::from_timestamp(1_767_225_600, 0).expect("an instant"),
        row_limit: Some(1_000),
        time_limit: Some(Duration::from_secs(2)),
        ..QueryOptions::default()
    };
    let (queries, catalog) = (queries(), catalog());
    let columns: Vec<String> = ["x", "s", "t", "d"].map(str::to_owned).to_vec();
    let seconds = Duration::from_secs(variable("KQL_MUTATED_SECONDS", 5));
    let seed = variable("KQL_MUTATED_SEED", 1);
    let (start, mut count, mut ran) = (Instant::now(), 0_u64, 0_u64);
    while start.elapsed() < seconds {
        let mut random = Random::new(seed.wrapping_add(count));
        let mut query = queries[usize::try_from(count).unwrap_or_default() % queries.len()].clone();
        for _ in 0..=(count % 4) {
            query = mutated(&query, &columns, &mut random);
        }
        check_print(&query);
        let begun = Instant::now();
        let run = async { engine.prepare(catalog.clone(), &query, &options).await?.collect().await };
        match run.await {
            Ok(result) => {
                ran += 1;
                result.rows().for_each(|row| assert_eq!(row.len(), result.columns.len()));
            }
            Err(error) => {
                // A fault of the plan is ours to find first.
                let text = error.to_string();
                assert!(!text.contains("Internal error"), "{query}\n{text}");
            }
        }
        assert!(begun.elapsed() < LONGEST, "{:?} for\n{query}", begun.elapsed());
        count += 1;
    }
    println!("{count} queries, {ran} of them ran");
}
