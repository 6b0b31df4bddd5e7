//! Real logs, where they are at hand (a fresh clone has none).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use provost_connectors::records::for_table;
use provost_model::{Row, TableSpec};
use serde_json::{Map, Value};

use crate::fixtures::text;

fn corpus(path: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora/logs");
    let near = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora/logs");
    let found = [near, root].into_iter().map(|root| root.join(path)).find(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: no corpus {path}");
    }
    found
}

fn documents(path: &Path) -> Vec<Value> {
    let content = std::fs::read_to_string(path).expect("a readable file");
    match serde_json::from_str(&content) {
        Ok(document) => vec![document],
        Err(_) => content.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect(),
    }
}

/// All rows of the JSON files that are logs.
fn read(table: &str, files: &[PathBuf]) -> Vec<Row> {
    let normaliser = for_table(table).expect("a table of ours");
    let mut rows = Vec::new();
    for file in files {
        let mut reading = normaliser.reading();
        for record in documents(file).into_iter().flat_map(|document| normaliser.records(document)) {
            rows.push(reading.row(&record).unwrap_or_else(|error| panic!("{}: {error}", file.display())));
        }
    }
    rows
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

fn distinct(rows: &[Row]) -> usize {
    rows.iter().map(|row| text(row, TableSpec::EVENT_ID)).collect::<BTreeSet<_>>().len()
}

/// A CSV file as the program reads it: one object a line, all values texts.
fn csv(path: &Path) -> Vec<Value> {
    let content = std::fs::read_to_string(path).expect("a readable file");
    let mut lines = split_csv(&content).into_iter();
    let names = lines.next().expect("a header");
    let object = |cells: Vec<String>| -> Map<String, Value> {
        names.iter().cloned().zip(cells.into_iter().map(Value::from)).collect()
    };
    lines.map(|cells| Value::Object(object(cells))).collect()
}

fn split_csv(content: &str) -> Vec<Vec<String>> {
    let mut lines = vec![vec![String::new()]];
    let mut quoted = false;
    let mut letters = content.chars().peekable();
    while let Some(c) = letters.next() {
        let line = lines.last_mut().expect("never empty");
        match c {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                line.last_mut().expect("never empty").push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => line.push(String::new()),
            '\r' if !quoted => {}
            '\n' if !quoted => lines.push(vec![String::new()]),
            c => line.last_mut().expect("never empty").push(c),
        }
    }
    lines.retain(|line| line.len() > 1);
    lines
}

#[test]
fn trail_files_of_a_real_account() {
    let Some(folder) = corpus("aws-invictus") else { return };
    let rows = read("AWSCloudTrail", &files(&folder, "json"));
    assert_eq!((rows.len(), distinct(&rows)), (2_900, 2_900));
}

#[test]
fn detonations_and_shipped_events() {
    let Some(folder) = corpus("aws-stratus") else { return };
    let rows = read("AWSCloudTrail", &files(&folder, "json"));
    assert_eq!(rows.len(), distinct(&rows));
    let Some(folder) = corpus("aws-otrf") else { return };
    let rows = read("AWSCloudTrail", &files(&folder, "json"));
    assert_eq!((rows.len(), distinct(&rows)), (103, 103));
}

#[test]
fn an_activity_log_in_former_column_names() {
    let Some(file) = corpus("azure/azure_activity.csv") else { return };
    let normaliser = for_table("AzureActivity").expect("a table of ours");
    let rows: Vec<Row> = csv(&file).iter().map(|record| normaliser.row(record).expect("a row")).collect();
    assert_eq!((rows.len(), distinct(&rows)), (325, 325));
    let statuses: BTreeSet<String> = rows.iter().map(|row| text(row, "ActivityStatusValue")).collect();
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), ["Accept", "Failure", "Start", "Success"]);
    assert!(rows.iter().all(|row| text(row, "OperationNameValue").starts_with("MICROSOFT.")));
}

#[test]
fn sign_ins_of_log_analytics() {
    let Some(file) = corpus("entra/aad_logons.jsonl") else { return };
    let rows = read("SigninLogs", &[file]);
    assert_eq!(rows.len(), 86);
    assert_eq!(distinct(&rows), 45, "the file holds most sign-ins twice");
}

#[test]
fn cost_lines_of_three_clouds() {
    let Some(file) = corpus("cost/focus_sample.csv") else { return };
    let normaliser = for_table("Costs").expect("a table of ours");
    let read = || -> Vec<Row> {
        let mut reading = normaliser.reading();
        csv(&file).iter().map(|record| reading.row(record).expect("a row")).collect()
    };
    let rows = read();
    assert_eq!((rows.len(), distinct(&rows)), (1_000, 1_000));
    let keys: BTreeSet<String> = rows.iter().map(|row| text(row, "_RowKey")).collect();
    assert_eq!(keys.len(), 1_000, "no line is taken for another version of a different one");
    let again: Vec<String> = read().iter().map(|row| text(row, TableSpec::EVENT_ID)).collect();
    assert_eq!(again, rows.iter().map(|row| text(row, TableSpec::EVENT_ID)).collect::<Vec<_>>());
    assert!(rows.iter().all(|row| text(row, "RegionId") != "NULL"));
}
