//! The documentation's examples: each a query and the table it must give.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use provost_kql::{Engine, EngineOptions, MemoryCatalog, QueryOptions, ResultSet};
use serde_json::Value;

use super::support::shared;

/// Columns in which a page prints another input than its query has. All others come out as printed.
const OTHER_INPUT: &[(&str, &[&str])] = &[
    ("series-acos-function.md#1", &["arr"]),
    ("series-atan-function.md#1", &["arr"]),
    ("series-cos-function.md#1", &["arr"]),
    ("series-sin-function.md#1", &["arr"]),
    ("toguid-function.md#1", &["str"]),
    ("url-encode-function.md#1", &["original"]),
];

/// Examples that do not come out as the documentation prints them, and why.
const KNOWN: &[(&str, &str)] = &[
    ("array-iff-function.md#3", "prints another input than the query's"),
    (
        "base64-decode-toguid-function.md#1",
        "its third group contradicts the example of base64_encode_fromguid()",
    ),
    (
        "gzip-base64-decompress.md#1",
        "prints quotes around the string, which the page of the other way has not",
    ),
    ("ipv4-lookup-plugin.md#3", "reads its table from the network, which a query may not do here"),
    ("join-innerunique.md#3", "any row of a key may stay; example 2, the same query, prints the other one"),
    ("parse-url-query-function.md#1", "prints bags in quotes within one another"),
    ("range-function.md#4", "prints a row of another example, and a colon"),
    ("replace-regex-function.md#1", "prints whole numbers as if tostring() gave them six decimal places"),
    ("replace-string-function.md#2", "prints whole numbers as if tostring() gave them six decimal places"),
    ("series-asin-function.md#1", "prints numbers as strings"),
    ("series-fill-linear-function.md#1", "prints a given 36 as 38 once, and rounds"),
    ("trim-end-function.md#2", "lacks the beginning of its query, which defines x"),
    ("url-encode-component-function.md#1", "prints a result without the slash at the input's end"),
    ("variancepif-aggregation-function.md#1", "prints the variance of a sample, as for varianceif()"),
];

#[tokio::test(flavor = "multi_thread")]
async fn examples_of_the_documentation_come_out_as_printed() {
    let Some(path) = shared("corpora/kql-docs/examples.jsonl") else { return };
    let text = std::fs::read_to_string(path).expect("the corpus is readable");
    let only = std::env::var("KQL_ONLY").ok();
    let engine = Engine::new(EngineOptions { target_partitions: Some(1), ..EngineOptions::default() })
        .expect("an engine without limits starts");
    // Whoever asks for some of them by name wants to see what is wrong with them.
    let known: BTreeMap<&str, &str> = KNOWN.iter().copied().filter(|_| only.is_none()).collect();
    let other_input: BTreeMap<&str, &[&str]> = OTHER_INPUT.iter().copied().collect();
    let (mut equal, mut but_for_input, mut total) = (0, 0, 0);
    let (mut unexpected, mut mended) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let example: Value = serde_json::from_str(line).expect("each line of the corpus is JSON");
        let id = example["id"].as_str().expect("each example has an id");
        if only.as_ref().is_some_and(|only| !id.contains(only.as_str())) {
            continue;
        }
        total += 1;
        if let Some(columns) = other_input.get(id) {
            match run(&engine, &example, columns).await {
                Ok(()) => but_for_input += 1,
                Err(problem) => unexpected.push(format!("{id}\n{problem}")),
            }
            continue;
        }
        match (run(&engine, &example, &[]).await, known.get(id)) {
            (Ok(()), None) => equal += 1,
            (Ok(()), Some(_)) => {
                equal += 1;
                mended.push(id.to_owned());
            }
            (Err(_), Some(_)) => {}
            (Err(problem), None) => unexpected.push(format!("{id}\n{problem}")),
        }
    }
    println!(
        "{equal} of {total} examples equal ({:.1} %), {but_for_input} more but for an input that the page prints otherwise",
        100.0 * f64::from(equal) / f64::from(total.max(1))
    );
    assert!(mended.is_empty(), "no longer different, take off the list: {mended:?}");
    assert!(unexpected.is_empty(), "{} examples differ:\n\n{}", unexpected.len(), unexpected.join("\n\n"));
}

async fn run(engine: &Engine, example: &Value, left_out: &[&str]) -> Result<(), String> {
    let query = example["query"].as_str().unwrap_or_default();
    let catalog = Arc::new(MemoryCatalog::new());
    let prepared = engine
        .prepare(catalog, query, &QueryOptions::default())
        .await
        .map_err(|error| format!("{query}\n-- cannot be bound: {error}"))?;
    let result = prepared.collect().await.map_err(|error| format!("{query}\n-- fails: {error}"))?;
    compare(example, &result, left_out).map_err(|problem| format!("{query}\n-- {problem}"))
}

/// A cell in a form in which equal values are equal texts.
fn normal(kind: &str, value: &Value, sorted: bool) -> String {
    match value {
        Value::Null if kind == "string" => String::new(),
        Value::Null => "null".to_owned(),
        Value::String(text) => normal_text(kind, text, sorted),
        other if kind == "dynamic" => normal_json(other, sorted),
        other => normal_text(kind, &other.to_string(), sorted),
    }
}

fn normal_json(value: &Value, sorted: bool) -> String {
    match value {
        Value::Array(items) => {
            let mut items: Vec<String> = items.iter().map(|item| normal_json(item, sorted)).collect();
            if sorted {
                items.sort();
            }
            format!("[{}]", items.join(","))
        }
        Value::Object(bag) => {
            let mut entries: Vec<String> =
                bag.iter().map(|(key, value)| format!("{key:?}:{}", normal_json(value, sorted))).collect();
            entries.sort();
            format!("{{{}}}", entries.join(","))
        }
        Value::Number(number) => normal_real(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) if is_time(text) => normal_text("datetime", text, false),
        other => other.to_string(),
    }
}

fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 19 && bytes[4] == b'-' && bytes[7] == b'-' && (bytes[10] == b'T' || bytes[10] == b' ')
}

fn normal_real(value: f64) -> String {
    format!("{value:.10e}")
}

fn normal_text(kind: &str, text: &str, sorted: bool) -> String {
    let text = text.trim();
    let null = text.is_empty() || text == "null" || text == "(null)";
    match kind {
        "string" => text.split_whitespace().collect::<Vec<_>>().join(" "),
        _ if null => "null".to_owned(),
        "bool" => (text.eq_ignore_ascii_case("true") || text == "1").to_string(),
        "long" | "int" | "decimal" => {
            let plain = text.replace(',', "");
            plain.parse::<f64>().map_or(plain, normal_real)
        }
        "real" => match text {
            "∞" | "Infinity" => "inf".to_owned(),
            "-∞" | "-Infinity" => "-inf".to_owned(),
            text => text.parse::<f64>().map_or_else(|_| text.to_owned(), normal_real),
        },
        "datetime" => {
            let text = text.trim_end_matches('Z').replace(' ', "T");
            match text.split_once('.') {
                Some((time, fraction)) => {
                    format!("{time}.{}", format!("{fraction:0<7}").trim_end_matches('0'))
                }
                None => format!("{text}."),
            }
        }
        "timespan" => {
            let text =
                if text.matches(':').count() == 3 { text.replacen(':', ".", 1) } else { text.to_owned() };
            match text.rsplit_once('.') {
                Some((time, fraction)) if !fraction.contains(':') => {
                    let fraction = fraction.trim_end_matches('0');
                    if fraction.is_empty() { time.to_owned() } else { format!("{time}.{fraction}") }
                }
                _ => text,
            }
        }
        "dynamic" => match serde_json::from_str::<Value>(text)
            .or_else(|_| serde_json::from_str(&text.replace('\'', "\"")))
        {
            Ok(value) => normal_json(&value, sorted),
            Err(_) => format!("{text:?}"),
        },
        _ => text.to_owned(),
    }
}

fn compare(example: &Value, result: &ResultSet, left_out: &[&str]) -> Result<(), String> {
    let oracle: Vec<(String, String)> = example["oracle_columns"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|column| (text_of(&column[0]), text_of(&column[1])))
        .collect();
    let ours: Vec<(String, String)> =
        result.columns.iter().map(|column| (column.name.clone(), column.kind.name().to_owned())).collect();
    let mut problem = String::new();
    let doc_columns: Vec<String> = example["columns"].as_array().into_iter().flatten().map(text_of).collect();
    // Where the columns come from the data, nobody but the documentation knows them.
    let by_name = example["columns_match"] == "order";
    let mut oracle: Vec<(String, String)> = if oracle.len() < doc_columns.len() {
        let kinds = ours.iter().map(|(_, kind)| kind.clone());
        doc_columns.iter().cloned().zip(kinds).collect()
    } else if example["columns_match"] == "count" {
        oracle.into_iter().filter(|(name, _)| doc_columns.contains(name)).collect()
    } else {
        oracle
    };
    if by_name {
        let place = |name: &str| ours.iter().position(|(own, _)| own == name);
        oracle.sort_by_key(|(name, _)| place(name));
    }
    if ours != oracle {
        let _ = writeln!(problem, "columns: expected {oracle:?}\n         found    {ours:?}");
        return Err(problem);
    }
    let loose: Vec<String> = example["loose"].as_array().into_iter().flatten().map(text_of).collect();
    let sorted = loose.iter().any(|what| what.contains("set") || what.contains("list"));
    // Whose algorithm is nobody's business gives some number.
    let any_number = loose.iter().any(|what| what == "hash_many");
    let normal = |kind: &str, value: &Value, sorted: bool| match value {
        value if any_number && kind == "long" && !value.is_null() => String::new(),
        value => normal(kind, value, sorted),
    };
    let mut expected: Vec<Vec<String>> = Vec::new();
    for row in example["rows"].as_array().into_iter().flatten() {
        let cells: Vec<&Value> = row.as_array().into_iter().flatten().collect();
        let mut normal_row = Vec::new();
        for (index, (name, kind)) in oracle.iter().enumerate() {
            let at = if by_name {
                doc_columns.iter().position(|column| column == name).unwrap_or(index)
            } else {
                index
            };
            if !left_out.contains(&name.as_str()) {
                normal_row.push(normal(kind, cells.get(at).copied().unwrap_or(&Value::Null), sorted));
            }
        }
        expected.push(normal_row);
    }
    let mut found: Vec<Vec<String>> = result
        .rows()
        .map(|row| {
            let cells = row.iter().zip(&result.columns);
            let cells = cells.filter(|(_, column)| !left_out.contains(&column.name.as_str()));
            cells.map(|(cell, column)| normal(column.kind.name(), cell, sorted)).collect()
        })
        .collect();
    if example["ordered"] != true {
        expected.sort();
        found.sort();
    }
    if example["partial"] == true {
        return Ok(());
    }
    let kinds: Vec<&str> = oracle
        .iter()
        .filter(|(name, _)| !left_out.contains(&name.as_str()))
        .map(|(_, kind)| kind.as_str())
        .collect();
    let same = expected.len() == found.len()
        && expected.iter().zip(&found).all(|(expected, found)| {
            expected.len() == found.len()
                && expected
                    .iter()
                    .zip(found)
                    .zip(&kinds)
                    .all(|((left, right), kind)| same_cell(kind, left, right))
        });
    if same {
        return Ok(());
    }
    for (what, rows) in [("expected", &expected), ("found", &found)] {
        let _ = writeln!(problem, "{what}:");
        for row in rows.iter().take(12) {
            let _ = writeln!(problem, "  {}", row.join(" | "));
        }
    }
    Err(problem)
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Whether two cells are the same; reals, also within a dynamic, to the digits that the documentation prints.
fn same_cell(kind: &str, left: &str, right: &str) -> bool {
    if left == right {
        return true;
    }
    if !matches!(kind, "real" | "dynamic" | "decimal") {
        return false;
    }
    let split = |text: &str| -> (String, Vec<f64>) {
        let mut shape = String::new();
        let mut numbers = Vec::new();
        for part in text.split_inclusive([',', '[', ']', '{', '}', ':']) {
            let bare = part.trim_end_matches([',', '[', ']', '{', '}', ':']);
            match bare.parse::<f64>() {
                Ok(number) if !bare.is_empty() => {
                    numbers.push(number);
                    shape.push('#');
                    shape.push_str(&part[bare.len()..]);
                }
                _ => shape.push_str(part),
            }
        }
        (shape, numbers)
    };
    let ((left_shape, left), (right_shape, right)) = (split(left), split(right));
    left_shape == right_shape
        && left.len() == right.len()
        && left.iter().zip(&right).all(|(left, right)| (left - right).abs() <= 1e-6 * left.abs().max(1e-9))
}
