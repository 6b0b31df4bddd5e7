//! The program as a user meets it: results, messages and exit codes.

mod common;

use common::{Sandbox, shared};
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

#[test]
fn a_wrong_setting_is_one_clear_message_and_exit_code_2() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.path("provost.toml"), "lake = \"lake\"\n[http]\ntimeout_second = 5\n")
        .expect("written");
    let run = sandbox.provost(&["status"]);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("provost.toml") && run.stderr.contains("line 3"), "{run:?}");
    assert!(run.stderr.contains("did you mean 'timeout_seconds'?"), "{run:?}");

    let run = sandbox.provost(&["statsu"]);
    assert_eq!(run.code, 2, "{run:?}");
    let run = sandbox.provost(&["status", "--config", "nowhere.toml"]);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("cannot read nowhere.toml"), "{run:?}");
}

#[test]
fn an_unknown_table_is_told_with_the_nearest_name() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.path("a.json"), "{}").expect("written");
    let run = sandbox.provost(&["import", "AWSCloudTrial", "a.json"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(
        run.stderr.contains("there is no table 'AWSCloudTrial'; did you mean 'AWSCloudTrail'?"),
        "{run:?}"
    );

    let run = sandbox.provost(&["query", "AWSCloudTrial | take 1"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("AWSCloudTrial") && run.stderr.contains("AWSCloudTrail"), "{run:?}");
}

#[test]
fn a_mistake_in_a_query_is_shown_where_it_is() {
    let sandbox = Sandbox::new();
    let run = sandbox.provost(&["query", "AWSCloudTrail\n| where EventNam == 'x'"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains('^') && run.stderr.contains("EventName"), "{run:?}");
}

#[test]
fn a_record_that_cannot_be_read_stops_nothing_and_is_kept() {
    let sandbox = Sandbox::new();
    let good = r#"{"eventID":"1","eventTime":"2026-01-01T00:00:00Z","eventName":"RunInstances","eventSource":"ec2.amazonaws.com"}"#;
    let text = format!("{good}\n{{\"eventID\":\"2\"}}\nnot json\n{}\n", good.replace("\"1\"", "\"3\""));
    std::fs::write(sandbox.path("trail.jsonl"), text).expect("written");
    for (rows, duplicates) in [(2, 0), (0, 2)] {
        let run = sandbox.provost(&["import", "AWSCloudTrail", "trail.jsonl", "--format", "json"]);
        assert_eq!(run.code, 0, "{run:?}");
        let summary = &run.json()[0];
        assert_eq!(
            (summary["Rows"].as_u64(), summary["Rejected"].as_u64()),
            (Some(rows), Some(2)),
            "{run:?}"
        );
        assert_eq!(summary["Duplicates"].as_u64(), Some(duplicates), "{run:?}");
    }
    let run = sandbox.provost(&[
        "query",
        "--format",
        "json",
        "Rejects | project Origin, Reason | sort by Origin asc",
    ]);
    let rejects = run.json();
    assert_eq!(rejects.as_array().map(Vec::len), Some(2), "twice imported, kept once: {run:?}");
    assert!(rejects[0]["Origin"].as_str().is_some_and(|origin| origin.ends_with("trail.jsonl:2")), "{run:?}");
}

#[test]
fn a_file_that_is_not_there_or_no_log_is_named() {
    let sandbox = Sandbox::new();
    let run = sandbox.provost(&["import", "AWSCloudTrail", "nowhere"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("cannot read nowhere"), "{run:?}");

    std::fs::create_dir(sandbox.path("trail")).expect("made");
    std::fs::write(sandbox.path("trail/LICENSE"), "MIT").expect("written");
    std::fs::write(sandbox.path("trail/notes.json"), "{\"a\": 1}").expect("written");
    let run = sandbox.provost(&["import", "AWSCloudTrail", "trail"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("LICENSE") && run.stderr.contains("notes.json"), "{run:?}");
}

#[test]
fn a_lake_that_cannot_be_written_is_told() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.path("lake"), "a file in the way").expect("written");
    std::fs::write(
        sandbox.path("a.json"),
        r#"{"eventID":"1","eventTime":"2026-01-01T00:00:00Z","eventName":"x","eventSource":"y"}"#,
    )
    .expect("written");
    let run = sandbox.provost(&["import", "AWSCloudTrail", "a.json"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("the lake at"), "{run:?}");
    let run = sandbox.provost(&["doctor"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stdout.contains("failed"), "{run:?}");

    let run = sandbox.provost(&["status", "--lake", "gs://bucket"]);
    assert!(run.stderr.contains("gs://"), "{run:?}");
}

#[test]
fn a_full_disk_loses_nothing_and_the_next_import_goes_on() {
    let sandbox = Sandbox::new();
    let Some(small) = sandbox.small_disk() else {
        println!("skipped: no small file system can be mounted here");
        return;
    };
    let record = |id: u32| {
        format!(
            "{{\"eventID\":\"{id}\",\"eventTime\":\"2026-01-01T00:00:00Z\",\"eventName\":\"x\",\"eventSource\":\"y\",\
             \"userAgent\":\"{}\"}}\n",
            sandbox.noise(id, 400)
        )
    };
    std::fs::write(sandbox.path("little.jsonl"), (0..10).map(record).collect::<String>()).expect("written");
    std::fs::write(sandbox.path("much.jsonl"), (0..20_000).map(record).collect::<String>()).expect("written");
    let lake = small.path().display().to_string();
    assert_eq!(sandbox.provost(&["import", "AWSCloudTrail", "little.jsonl", "--lake", &lake]).code, 0);
    let run = sandbox.provost(&["import", "AWSCloudTrail", "much.jsonl", "--lake", &lake]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("no space left"), "{run:?}");
    let run = sandbox.provost(&["query", "--lake", &lake, "--format", "json", "AWSCloudTrail | count"]);
    assert_eq!(run.json()[0]["Count"], 10, "{run:?}");
    small.enlarge();
    let run =
        sandbox.provost(&["import", "AWSCloudTrail", "much.jsonl", "--lake", &lake, "--format", "json"]);
    assert_eq!(run.json()[0]["Rows"], 19_990, "{run:?}");
}

#[test]
fn the_real_trail_is_read_once_and_can_be_asked() {
    let Some(shared) = shared() else {
        println!("skipped: the corpora are not there");
        return;
    };
    let sandbox = Sandbox::new();
    let trail = shared.join("corpora/logs/aws-invictus").display().to_string();
    for (rows, duplicates) in [(2900, 0), (0, 2900)] {
        let run = sandbox.provost(&["import", "AWSCloudTrail", &trail, "--format", "json"]);
        let summary = &run.json()[0];
        assert_eq!(summary["Rows"], rows, "{run:?}");
        assert_eq!(summary["Duplicates"], duplicates, "{run:?}");
        assert_eq!(summary["NotLogs"], 2, "{run:?}");
        assert!(run.stderr.contains("labels.jsonl") && run.stderr.contains("LICENSE"), "{run:?}");
    }
    for (table, file, rows) in
        [("AzureActivity", "azure/azure_activity.csv", 325), ("Costs", "cost/focus_sample.csv", 1000)]
    {
        let file = shared.join("corpora/logs").join(file).display().to_string();
        for expected in [rows, 0] {
            let run = sandbox.provost(&["import", table, &file, "--format", "json"]);
            assert_eq!(run.json()[0]["Rows"], expected, "{run:?}");
        }
        let run = sandbox.provost(&["query", "--format", "json", &format!("{table} | count")]);
        assert_eq!(run.json()[0]["Count"], rows, "{run:?}");
    }
    let run = sandbox.provost(&[
        "query",
        "--format",
        "json",
        "AWSCloudTrail | summarize n=count() by EventName | top 5 by n",
    ]);
    let counts: Vec<u64> =
        run.json().as_array().expect("rows").iter().filter_map(|row| row["n"].as_u64()).collect();
    assert_eq!(counts.len(), 5, "{run:?}");
    assert_eq!(counts, top_five(&trail), "{run:?}");

    let run = sandbox.provost(&["detect", "--format", "json"]);
    assert_eq!(run.code, 0, "{run:?}");
    let run = sandbox.provost(&["query", "--format", "json", "Findings | project Title, Evidence"]);
    let findings = run.json().to_string();
    for event in ["instances (p2.xlarge)", "CreateUser", "CreateAccessKey"] {
        assert!(findings.contains(event), "{event} is in no finding: {findings}");
    }
}

/// Counted straight from the files.
fn top_five(folder: &str) -> Vec<u64> {
    let mut counts = std::collections::HashMap::<String, u64>::new();
    for entry in std::fs::read_dir(folder).expect("the corpus") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|end| end != "json") {
            continue;
        }
        let trail: Value = serde_json::from_slice(&std::fs::read(&path).expect("a file")).expect("JSON");
        for event in trail["Records"].as_array().into_iter().flatten() {
            *counts.entry(event["eventName"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    let mut counts: Vec<u64> = counts.into_values().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    counts.truncate(5);
    counts
}

#[test]
fn a_result_goes_into_files_and_its_chart_into_a_picture() {
    let sandbox = Sandbox::new();
    let query = "range Hour from datetime(2026-01-01) to datetime(2026-01-02) step 1h \
                 | extend Count = hourofday(Hour), Detail = dynamic({'a': [1]}), Long = Hour - datetime(2025-12-31)";
    let shown = sandbox.provost(&["query", "--format", "json", query]).json();
    assert_eq!(shown.as_array().map(Vec::len), Some(25));
    for name in ["rows.json", "rows.csv", "rows.parquet"] {
        let run = sandbox.provost(&["query", query, "--out", name]);
        assert_eq!(run.code, 0, "{run:?}");
    }
    let json = std::fs::read_to_string(sandbox.path("rows.json")).expect("written");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).expect("JSON"), shown);
    let csv = sandbox.provost(&["query", "--format", "csv", query]).stdout;
    assert_eq!(std::fs::read_to_string(sandbox.path("rows.csv")).expect("written"), csv);
    let parquet = std::fs::File::open(sandbox.path("rows.parquet")).expect("written");
    let rows = ParquetRecordBatchReaderBuilder::try_new(parquet).expect("Parquet");
    let types: Vec<String> = rows
        .schema()
        .fields()
        .iter()
        .map(|field| format!("{} {}", field.name(), field.data_type()))
        .collect();
    assert_eq!(types, ["Hour Timestamp(µs, \"UTC\")", "Count Int32", "Detail Utf8", "Long Int64"]);
    let rows: usize = rows.build().expect("readable").map(|batch| batch.expect("whole").num_rows()).sum();
    assert_eq!(rows, 25);

    let chart = format!("{query} | project Hour, Count | render timechart");
    let run = sandbox.provost(&["query", &chart]);
    assert!(run.stdout.contains('█') && !run.stdout.contains("Hour"), "{run:?}");
    let run = sandbox.provost(&["query", &chart, "--out", "chart.svg"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(std::fs::read_to_string(sandbox.path("chart.svg")).expect("written").contains("<polyline"));
    let mut left: Vec<_> = std::fs::read_dir(sandbox.path("."))
        .expect("readable")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name != "lake")
        .collect();
    left.sort();
    assert_eq!(left, ["chart.svg", "rows.csv", "rows.json", "rows.parquet"], "no half a file beside them");

    for (out, query, problem) in [
        ("x.xlsx", query, "'xlsx' is none of csv, json, parquet, svg"),
        ("x.svg", query, "a picture is drawn of `render`"),
        ("nowhere/x.csv", query, "cannot write nowhere/x.csv"),
        ("x.csv", "print x = toint('a') / 0 | where y > 1", "no column `y`"),
    ] {
        let run = sandbox.provost(&["query", query, "--out", out]);
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.stderr.contains(problem), "{problem}: {run:?}");
        assert!(!sandbox.path(out).exists());
    }
}

#[test]
fn a_query_of_several_tables_shows_each_with_its_name() {
    let sandbox = Sandbox::new();
    let query = "range x from 1 to 3 step 1 | fork few = (where x > 1) (count); print y = 'end'";
    let json = sandbox.provost(&["query", "--format", "json", query]).json();
    let expected = serde_json::json!([
        {"name": "few", "rows": [{"x": 2}, {"x": 3}]},
        {"name": "Table_1", "rows": [{"Count": 3}]},
        {"name": "Table_2", "rows": [{"y": "end"}]},
    ]);
    assert_eq!(json, expected);
    let csv = sandbox.provost(&["query", "--format", "csv", query]).stdout;
    assert_eq!(csv, "x\n2\n3\n\nCount\n3\n\ny\nend\n");
    let table = sandbox.provost(&["query", query]).stdout;
    for part in ["few:", "Table_1:", "Count", "Table_2:", "end"] {
        assert!(table.contains(part), "{table}");
    }
    let run = sandbox.provost(&["query", query, "--out", "rows.csv"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(std::fs::read_to_string(sandbox.path("rows.csv")).expect("written"), csv);
    let run = sandbox.provost(&["query", query, "--out", "rows.parquet"]);
    assert!(run.code == 1 && run.stderr.contains("a Parquet file holds one table"), "{run:?}");
    assert!(!sandbox.path("rows.parquet").exists());
}

#[test]
fn a_file_from_elsewhere_is_read_only_where_the_configuration_allows_its_host() {
    let sandbox = Sandbox::new();
    let query = "externaldata(ip: string)['https://lists.example/bad.csv?sig=secret']";
    let run = sandbox.provost(&["query", query]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("the host lists.example is not one that queries may read from"), "{run:?}");
    assert!(run.stderr.contains("add \"lists.example\" to external_hosts in provost.toml"), "{run:?}");
    // Allowed, a plan can be made; nothing is fetched for it.
    std::fs::write(sandbox.path("provost.toml"), "external_hosts = [\"lists.example\"]\n").expect("written");
    let run = sandbox.provost(&["query", query, "--explain"]);
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn a_hunting_query_without_metadata_is_a_rule_named_for_its_file() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("hunts")).expect("a folder");
    let query = "// Launches by night\nAWSCloudTrail\n| where EventName == 'RunInstances' and hourofday(TimeGenerated) < 5\n";
    std::fs::write(sandbox.path("hunts/night-launches.kql"), query).expect("written");
    std::fs::write(sandbox.path("hunts/typo.kql"), "AWSCloudTrail | where EventNam == 'x'").expect("written");
    let run = sandbox.provost(&["rules", "check", "hunts", "--format", "json"]);
    let checks = run.json();
    assert_eq!((&checks[0]["id"], &checks[0]["status"]), (&"night-launches".into(), &"ok".into()));
    assert_eq!((&checks[1]["id"], &checks[1]["status"]), (&"typo".into(), &"refused".into()));
    assert!(checks[1]["reason"].as_str().is_some_and(|reason| reason.contains("EventName")), "{checks}");
}

#[test]
fn a_rule_that_cannot_be_bound_says_so_at_every_run_and_stops_no_other() {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.path("content/detections")).expect("a folder");
    std::fs::write(sandbox.path("provost.toml"), "content = \"content\"\n").expect("written");
    let rule = |name: &str| sandbox.path(&format!("content/detections/{name}.kql"));
    std::fs::write(rule("typo"), "AWSCloudTrail | where EventNam == 'x'").expect("written");
    std::fs::write(rule("fine"), "AWSCloudTrail | where EventName == 'x'").expect("written");
    for _ in 0..2 {
        let run = sandbox.provost(&["detect", "--format", "json"]);
        assert_eq!(run.code, 3, "some of it failed: {run:?}");
        let rules = run.json();
        let problem = |name: &str| {
            let rule = rules.as_array().into_iter().flatten().find(|rule| rule["Rule"] == name);
            rule.and_then(|rule| rule["Problem"].as_str()).unwrap_or("no such rule").to_owned()
        };
        assert!(problem("typo").contains("did you mean `EventName`?"), "{run:?}");
        assert_eq!(problem("fine"), "", "{run:?}");
    }
}

#[test]
fn rules_are_laid_out_in_place_and_nothing_else_of_them_changes() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("rules")).expect("made");
    let rule = "id:   x # kept\nquery: |\n  // few\n  T|where a==1|take 5\n\nversion:  1.0.0\n";
    let neat = rule.replace("  T|where a==1|take 5", "  T\n  | where a == 1\n  | take 5");
    std::fs::write(sandbox.path("rules/a.yaml"), rule).expect("written");
    std::fs::write(sandbox.path("rules/b.kql"), "T|count").expect("written");
    std::fs::write(sandbox.path("rules/c.yml"), "query: T|count\n").expect("written");
    std::fs::write(sandbox.path("rules/notes.txt"), "T|count").expect("written");
    let read = |name: &str| std::fs::read_to_string(sandbox.path(name)).expect("readable");

    let run = sandbox.provost(&["rules", "fmt", "--check", "rules"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stdout.contains("a.yaml") && run.stdout.contains("b.kql"), "{run:?}");
    assert_eq!(read("rules/a.yaml"), rule, "--check changes nothing");

    let run = sandbox.provost(&["rules", "fmt", "rules"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("c.yml") && run.stdout.contains("block literal"), "{run:?}");
    assert_eq!((read("rules/a.yaml"), read("rules/b.kql")), (neat, "T\n| count\n".to_owned()));
    assert_eq!(read("rules/c.yml") + &read("rules/notes.txt"), "query: T|count\nT|count");

    let run = sandbox.provost(&["rules", "fmt", "--check", "rules", "--format", "json"]);
    assert_eq!((run.code, run.json()[0]["status"].as_str()), (0, Some("unchanged")), "{run:?}");

    std::fs::write(sandbox.path("rules/d.kql"), "T | whree x").expect("written");
    let run = sandbox.provost(&["rules", "fmt", "rules/d.kql"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stdout.contains("did you mean `where`?"), "{run:?}");
    assert_eq!(read("rules/d.kql"), "T | whree x");
    let run = sandbox.provost(&["rules", "fmt"]);
    assert!(run.code != 0 && run.stderr.contains("content"), "{run:?}");
}
