//! Microsoft's own parser as a second opinion: which queries are valid, and which columns they give.
//!
//! `KQL_ORACLE` names a folder with `check.js` and its installed package; without it the suite is skipped.
//! `KQL_ORACLE_CASES` may name other queries to compare, one JSON object a line. `KQL_ORACLE_MUTATIONS` says how many changed forms of each query are compared as well, and `KQL_ORACLE_SEED` which.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use provost_kql::{Column, Engine, EngineOptions, KqlType, MemoryCatalog, QueryOptions};
use serde_json::{Value, json};

use super::mutations::{Random, mutated};
use super::rules::schemas;
use super::support::shelf::EmptyFiles;
use super::support::{query_of, shared};

/// Changed forms of each query, unless the environment says otherwise.
const MUTATIONS: u64 = 12;
/// The least share of queries on which both have to agree, in a hundred.
const LEAST_AGREEMENT: f64 = 99.0;

/// The columns of the table `T`, one of each type.
const KINDS: [&str; 10] = ["b", "i", "l", "r", "m", "s", "t", "p", "g", "d"];

/// What one of the two says of a query: its columns, or why it is refused.
type Verdict = Result<Vec<(String, String)>, String>;

struct Case {
    id: String,
    query: String,
}

/// The folder of the oracle, or `None` after saying what is missing.
fn oracle() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("KQL_ORACLE").map(PathBuf::from) else {
        println!("skipped: KQL_ORACLE does not name the folder of the oracle");
        return None;
    };
    for part in ["check.js", "node_modules"] {
        if !folder.join(part).exists() {
            println!("skipped: {} is not there (run npm install)", folder.join(part).display());
            return None;
        }
    }
    let node = Command::new("node").arg("--version").output();
    if node.is_err() {
        println!("skipped: there is no node to run the oracle");
        return None;
    }
    Some(folder)
}

/// The corpora's queries, or those of the file that `KQL_ORACLE_CASES` names.
fn cases() -> Option<Vec<Case>> {
    let mut cases = Vec::new();
    if let Some(path) = std::env::var_os("KQL_ORACLE_CASES") {
        let text = std::fs::read_to_string(path).expect("the file of cases is readable");
        for line in text.lines() {
            let case: Value = serde_json::from_str(line).expect("each line is JSON");
            let text = |key: &str| case[key].as_str().unwrap_or_default().to_owned();
            cases.push(Case { id: text("id"), query: text("query") });
        }
        return Some(cases);
    }
    let examples =
        std::fs::read_to_string(shared("corpora/kql-docs/examples.jsonl")?).expect("the corpus is readable");
    for line in examples.lines() {
        let example: Value = serde_json::from_str(line).expect("each line of the corpus is JSON");
        let text = |key: &str| example[key].as_str().unwrap_or_default().to_owned();
        cases.push(Case { id: text("id"), query: text("query") });
    }
    let rules = std::fs::read_dir(shared("corpora/sentinel-rules")?).expect("the folder is readable");
    let mut files: Vec<PathBuf> = rules.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "yaml")) {
        let id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let query = query_of(&std::fs::read_to_string(path).expect("the rule is readable"));
        cases.push(Case { id, query });
    }
    Some(cases)
}

/// Changed forms of each case, among them such as go on with the columns that it has by the oracle.
fn changed(cases: &[Case], verdicts: &[Verdict]) -> Vec<Case> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let mutations = number("KQL_ORACLE_MUTATIONS").unwrap_or(MUTATIONS);
    let mut random = Random::new(number("KQL_ORACLE_SEED").unwrap_or(1));
    let mut changed = Vec::new();
    for (case, verdict) in cases.iter().zip(verdicts) {
        let columns: Vec<String> = verdict.iter().flatten().map(|(name, _)| written(name)).collect();
        for number in 0..mutations {
            let query = mutated(&case.query, &columns, &mut random);
            changed.push(Case { id: format!("{}~{number}", case.id), query });
        }
    }
    changed
}

/// A column's name as a query writes it.
fn written(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { name.to_owned() } else { format!("['{name}']") }
}

/// Asks the oracle for all cases at once. What it said to the same questions before is kept beside it.
fn ask(folder: &Path, tables: &BTreeMap<String, Vec<Column>>, cases: &[Case]) -> Vec<Verdict> {
    let tables: BTreeMap<&str, Value> = tables
        .iter()
        .map(|(name, columns)| {
            let columns = columns.iter().map(|column| (column.name.clone(), column.kind.name().into()));
            (name.as_str(), Value::Object(columns.collect()))
        })
        .collect();
    let schema = json!({"database": "db", "tables": tables}).to_string();
    let lines: Vec<String> =
        cases.iter().map(|case| json!({"id": case.id, "query": case.query}).to_string()).collect();
    let questions = lines.join("\n");
    let mut hasher = DefaultHasher::new();
    (&schema, &questions).hash(&mut hasher);
    let stem = format!("{:016x}", hasher.finish());
    let kept = folder.join(format!("{stem}.verdicts.jsonl"));
    if !kept.exists() {
        let (schema_file, question_file) =
            (folder.join(format!("{stem}.schema.json")), folder.join(format!("{stem}.jsonl")));
        std::fs::write(&schema_file, schema).expect("the oracle's folder is writable");
        std::fs::write(&question_file, questions).expect("the oracle's folder is writable");
        let output = Command::new("node")
            .arg(folder.join("check.js"))
            .arg("--schema")
            .arg(schema_file)
            .arg("--jsonl")
            .arg(question_file)
            .output()
            .expect("node runs");
        assert!(output.status.success(), "the oracle fails: {}", String::from_utf8_lossy(&output.stderr));
        std::fs::write(&kept, output.stdout).expect("the oracle's folder is writable");
    }
    let answers = std::fs::read_to_string(kept).expect("the verdicts are readable");
    let verdicts: Vec<Verdict> = answers
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| verdict(&serde_json::from_str(line).expect("JSON")))
        .collect();
    assert_eq!(verdicts.len(), cases.len(), "the oracle answers each question");
    verdicts
}

fn verdict(answer: &Value) -> Verdict {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if answer["ok"] != true {
        let faults = answer["diagnostics"].as_array().into_iter().flatten();
        let fault = faults.into_iter().find(|fault| fault["severity"] == "Error");
        let fault = fault.map(|fault| format!("{} at `{}`", text(&fault["message"]), text(&fault["text"])));
        return Err(fault.unwrap_or_else(|| text(&answer["crash"])));
    }
    match &answer["columns"] {
        Value::Array(columns) => {
            Ok(columns.iter().map(|column| (text(&column[0]), text(&column[1]))).collect())
        }
        // A scalar, which here is a table of one cell.
        kind => Ok(vec![("print_0".to_owned(), text(kind))]),
    }
}

/// Where the two may differ, and why.
fn deliberate(query: &str, oracle: &Verdict, ours: &Verdict) -> Option<&'static str> {
    match (oracle, ours) {
        (Ok(_), Err(problem)) => {
            const REFUSED: &[(&str, &str)] = &[
                ("a place that this engine does not reach", "other clusters"),
                ("is not supported", "a feature refused by name"),
                ("` is not a ", "a literal that is none of its type"),
                ("the query has only definitions", "a query without a result"),
                ("no part of this union is there", "a fuzzy union without any table"),
                ("a dynamic has no order", "an order of dynamics"),
                ("is not defined for a datetime and a", "a time and a number"),
                ("is not defined for a timespan and a", "a time and a number"),
                ("this range has more than", "a range too large to lay out"),
            ];
            let refused = REFUSED.iter().find(|(part, _)| problem.contains(part)).map(|(_, reason)| *reason);
            let unknown = problem.starts_with("there is no column");
            refused
                .or((unknown && query.contains("bag_unpack")).then_some("columns that only the data knows"))
                .or((unknown && query.contains("search ")).then_some("a search leaves out tables"))
                .or((unknown && query.contains("table(")).then_some("functions that name their table"))
        }
        (Err(problem), Ok(_)) => {
            let fuzzy = query.contains("isfuzzy") && problem.contains("does not refer to any known");
            let count = problem.starts_with("A value of type bool") && query.contains("count(");
            let seconds = problem.contains("must be an integer") && query.contains("make_timespan");
            let ignored =
                problem.starts_with("A value of type string") && query.contains("ignoredProperties");
            None.or(fuzzy.then_some("a fuzzy union leaves out what is not there"))
                .or(count.then_some("`count(x)`, as the real engine takes it"))
                .or(seconds.then_some("seconds with a fraction, as the real engine takes them"))
                .or(ignored.then_some("arguments of `bag_unpack`, as the real engine takes them"))
        }
        (Ok(oracle), Ok(ours)) => {
            let from_data = ["bag_unpack", "pivot("].iter().any(|plugin| query.contains(plugin))
                && oracle.iter().all(|column| ours.contains(column));
            let names = |columns: &[(String, String)]| {
                columns.iter().map(|(name, _)| name.clone()).collect::<std::collections::BTreeSet<_>>()
            };
            // The oracle shows a column twice that `parse` puts in another's place.
            let replaced =
                query.contains("parse ") && names(oracle) == names(ours) && oracle.len() > ours.len();
            None.or(from_data.then_some("columns that only the data knows"))
                .or(replaced.then_some("`parse` replaces a column that is there"))
                .or(query.contains("search ").then_some("a search leaves out tables"))
        }
        (Err(_), Err(_)) => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_judged_as_by_microsofts_parser() {
    let Some(folder) = oracle() else { return };
    let Some(mut tables) = schemas() else { return };
    for (name, columns) in &mut tables {
        if name.starts_with("Device") && !columns.iter().any(|column| column.name == "Timestamp") {
            columns.push(Column::new("Timestamp", KqlType::Datetime));
        }
    }
    let kinds =
        ["bool", "int", "long", "real", "decimal", "string", "datetime", "timespan", "guid", "dynamic"];
    let one_of_each = KINDS
        .into_iter()
        .zip(kinds)
        .map(|(name, kind)| Column::new(name, KqlType::from_name(kind).expect("a type")));
    tables.insert("T".to_owned(), one_of_each.collect());
    let Some(mut cases) = cases() else { return };
    let mut verdicts = ask(&folder, &tables, &cases);
    let more = changed(&cases, &verdicts);
    verdicts.extend(ask(&folder, &tables, &more));
    cases.extend(more);
    let mut catalog = MemoryCatalog::new();
    for (name, columns) in tables {
        catalog.add_json(name, columns, &[]).expect("an empty table is a table");
    }
    let catalog = Arc::new(catalog);
    let options = EngineOptions {
        target_partitions: Some(1),
        external_source: Some(Arc::new(EmptyFiles)),
        ..EngineOptions::default()
    };
    let engine = Engine::new(options).expect("an engine without limits starts");
    let (mut same, mut allowed, mut different) = (0_usize, BTreeMap::<&str, usize>::new(), Vec::new());
    for (case, oracle) in cases.iter().zip(verdicts) {
        let options = QueryOptions { time_limit: Some(Duration::from_secs(20)), ..QueryOptions::default() };
        let ours: Verdict = match engine.prepare(catalog.clone(), &case.query, &options).await {
            Ok(prepared) => {
                let columns = prepared.columns().iter();
                Ok(columns.map(|column| (column.name.clone(), column.kind.name().to_owned())).collect())
            }
            Err(error) => Err(error.to_string()),
        };
        let agree = match (&oracle, &ours) {
            (Ok(oracle), Ok(ours)) => oracle == ours,
            (Err(_), Err(_)) => true,
            _ => false,
        };
        if agree {
            same += 1;
        } else if let Some(reason) = deliberate(&case.query, &oracle, &ours) {
            *allowed.entry(reason).or_default() += 1;
        } else {
            different.push(
                json!({"id": case.id, "query": case.query, "oracle": say(&oracle), "ours": say(&ours)}),
            );
        }
    }
    let counted = same + different.len();
    let rate = 100.0 * same as f64 / counted.max(1) as f64;
    println!("{same} of {counted} queries judged alike ({rate:.2} %); set aside: {allowed:?}");
    let report: Vec<String> = different.iter().map(Value::to_string).collect();
    std::fs::write(folder.join("different.jsonl"), report.join("\n"))
        .expect("the oracle's folder is writable");
    assert!(rate >= LEAST_AGREEMENT, "see different.jsonl in the oracle's folder");
}

fn say(verdict: &Verdict) -> Value {
    match verdict {
        Ok(columns) => json!(columns.iter().map(|(name, kind)| format!("{name}:{kind}")).collect::<Vec<_>>()),
        Err(problem) => json!(problem),
    }
}
