//! The lake's promises: nothing doubled, rows and coverage together, two writers at once, old lakes open.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use provost::lake::{Lake, LakeCatalog, LakeError, Ledger, Progress, Run, RunStatus};
use provost_kql::{Engine, EngineOptions, Prepared, QueryOptions};
use provost_model::{BatchBuilder, EventId, Row, TableSpec, Window};

fn spec() -> &'static TableSpec {
    Lake::spec("AWSCloudTrail").expect("a table of ours")
}

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(minute)
}

fn batch(ids: std::ops::Range<i64>) -> arrow::array::RecordBatch {
    let mut batch = BatchBuilder::new(spec());
    for id in ids {
        let mut row = Row::new(spec(), at(id), EventId::native(format!("event-{id}")));
        row.set("EventName", "RunInstances").expect("a column");
        batch.push(row).expect("same table");
    }
    batch.finish().expect("whole rows")
}

async fn append(lake: &Lake, ids: std::ops::Range<i64>) -> (u64, u64) {
    let mut append = lake.append(spec(), "test", at(0)).await.expect("begun");
    append.write(batch(ids)).await.expect("written");
    let done = append.commit(None).await.expect("committed");
    (done.written, done.duplicates)
}

fn lake() -> (tempfile::TempDir, Lake) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lake = Lake::open(&folder.path().join("lake").display().to_string()).expect("opened");
    (folder, lake)
}

#[tokio::test]
async fn a_row_is_kept_once_however_often_it_comes() {
    let (_folder, lake) = lake();
    assert_eq!(append(&lake, 0..100).await, (100, 0));
    assert_eq!(append(&lake, 50..150).await, (50, 50));
    assert_eq!(append(&lake, 0..150).await, (0, 150));
    assert_eq!(lake.count(spec()).await.expect("counted"), 150);

    // Twice within one append, too, and over the midnight between two days.
    let mut twice = lake.append(spec(), "test", at(0)).await.expect("begun");
    twice.write(batch(1400..1500)).await.expect("written");
    twice.write(batch(1450..1550)).await.expect("written");
    let done = twice.commit(None).await.expect("committed");
    assert_eq!((done.written, done.duplicates), (150, 50));
    assert_eq!(done.span, Some((at(1400), at(1549))));
}

#[tokio::test]
async fn what_is_not_committed_is_not_there() {
    let (_folder, lake) = lake();
    let mut dropped = lake.append(spec(), "test", at(0)).await.expect("begun");
    dropped.write(batch(0..10)).await.expect("written");
    drop(dropped);
    assert_eq!(lake.count(spec()).await.expect("counted"), 0);
    assert_eq!(append(&lake, 0..10).await, (10, 0));
}

#[tokio::test]
async fn rows_and_their_coverage_commit_together() {
    let (_folder, lake) = lake();
    let window = Window::new(at(0), at(60)).expect("not empty");
    let mut ledger = Ledger::read(&lake, spec(), "trail", "1/us-east-1").await.expect("read");
    assert_eq!(ledger.covered_to(), None);
    let progress = ledger.progress(window);
    let mut append = lake.append(spec(), "trail", at(0)).await.expect("begun");
    append.write(batch(0..60)).await.expect("written");
    append.commit(Some(progress.clone())).await.expect("committed");
    ledger.advance(&progress);

    let read = Ledger::read(&lake, spec(), "trail", "1/us-east-1").await.expect("read");
    assert_eq!(read, ledger);
    assert_eq!((read.covered_from(), read.covered_to()), (Some(at(0)), Some(at(60))));
    let other = Ledger::read(&lake, spec(), "trail", "1/eu-west-1").await.expect("read");
    assert_eq!(other.covered_to(), None);
}

#[tokio::test]
async fn a_window_that_somebody_else_has_won_is_not_taken_twice() {
    let (_folder, lake) = lake();
    let stale = Progress { name: "pull/x".into(), position: 10, expected: None, from: None };
    for (attempt, wanted) in [(1, true), (2, false)] {
        let mut append = lake.append(spec(), "test", at(0)).await.expect("begun");
        append.write(batch(attempt * 100..attempt * 100 + 10)).await.expect("written");
        let done = append.commit(Some(stale.clone())).await;
        assert_eq!(done.is_ok(), wanted, "{done:?}");
        assert!(wanted || matches!(done, Err(LakeError::Conflict { .. })));
    }
    assert_eq!(lake.count(spec()).await.expect("counted"), 10);
}

#[tokio::test]
async fn of_two_writers_of_the_same_rows_at_once_one_wins_and_one_is_told() {
    let (folder, lake) = lake();
    append(&lake, 0..1).await;
    let other = Lake::open(&folder.path().join("lake").display().to_string()).expect("opened");
    let mut first = lake.append(spec(), "a", at(0)).await.expect("begun");
    let mut second = other.append(spec(), "b", at(0)).await.expect("begun");
    first.write(batch(10..20)).await.expect("written");
    second.write(batch(15..25)).await.expect("written");
    first.commit(None).await.expect("the first one");
    let lost = second.commit(None).await;
    assert!(matches!(lost, Err(LakeError::Conflict { .. })), "{lost:?}");
    // Told, it reads again and takes what is still missing.
    assert_eq!(append(&other, 15..25).await, (5, 5));
    assert_eq!(lake.count(spec()).await.expect("counted"), 16);
}

#[tokio::test]
async fn writers_of_different_rows_do_not_disturb_each_other() {
    let (_folder, lake) = lake();
    append(&lake, 0..1).await;
    let lake = Arc::new(lake);
    let writers = (1..9).map(|writer| {
        let lake = Arc::clone(&lake);
        tokio::spawn(async move { append(&lake, writer * 100..writer * 100 + 10).await })
    });
    for writer in writers.collect::<Vec<_>>() {
        assert_eq!(writer.await.expect("no panic"), (10, 0));
    }
    assert_eq!(lake.count(spec()).await.expect("counted"), 81);
}

#[tokio::test]
async fn old_rows_go_and_small_files_are_joined_without_losing_a_row() {
    let (_folder, lake) = lake();
    for start in [0, 10, 20, 3000] {
        append(&lake, start..start + 10).await;
    }
    let done = lake.compact(spec()).await.expect("compacted");
    assert_eq!((done.removed, done.added), (3, 1));
    assert_eq!(lake.count(spec()).await.expect("counted"), 40);
    assert_eq!(append(&lake, 0..30).await, (0, 30));
    let done = lake.retain(spec(), TimeDelta::days(1), at(3 * 1440)).await.expect("deleted");
    assert_eq!(done.rows, 30);
    assert_eq!(lake.count(spec()).await.expect("counted"), 10);
    let gone = lake.vacuum(spec(), TimeDelta::zero(), false).await.expect("vacuumed");
    assert!(gone.files >= 4, "{gone:?}");
    assert_eq!(lake.count(spec()).await.expect("counted"), 10);
}

/// Takes a column out of a table, as if an older version of the program had made it: out of its schema in the log and out
/// of its only file.
fn forget_column(folder: &std::path::Path, name: &str) {
    let table = folder.join("lake/AWSCloudTrail");
    for version in 0..2 {
        let path = table.join(format!("_delta_log/{version:020}.json"));
        let commit = std::fs::read_to_string(&path).expect("a commit");
        let actions = commit.lines().map(|line| {
            let mut action: serde_json::Value = serde_json::from_str(line).expect("an action");
            if let Some(text) = action.pointer_mut("/metaData/schemaString") {
                let mut schema: serde_json::Value =
                    serde_json::from_str(text.as_str().expect("text")).expect("a schema");
                let fields = schema["fields"].as_array_mut().expect("fields");
                let before = fields.len();
                fields.retain(|field| field["name"] != name);
                assert_eq!(fields.len(), before - 1);
                *text = schema.to_string().into();
            }
            if let Some(add) = action.get_mut("add") {
                let file = table.join(add["path"].as_str().expect("a path"));
                let input = std::fs::File::open(&file).expect("a file");
                let reader = ParquetRecordBatchReaderBuilder::try_new(input).expect("Parquet");
                let mut batches: Vec<_> =
                    reader.build().expect("Parquet").map(|batch| batch.expect("rows")).collect();
                for batch in &mut batches {
                    batch.remove_column(batch.schema().index_of(name).expect("a column"));
                }
                let output = std::fs::File::create(&file).expect("writable");
                let mut writer = ArrowWriter::try_new(output, batches[0].schema(), None).expect("a writer");
                batches.iter().for_each(|batch| writer.write(batch).expect("written"));
                writer.close().expect("closed");
                add["size"] = std::fs::metadata(&file).expect("a file").len().into();
            }
            action.to_string()
        });
        let lines: Vec<String> = actions.collect();
        std::fs::write(path, lines.join("\n")).expect("written");
    }
}

#[tokio::test]
async fn a_lake_of_an_older_version_is_read_and_widened() {
    let (folder, lake) = lake();
    append(&lake, 0..10).await;
    forget_column(folder.path(), "EventName");
    let location = folder.path().join("lake").display().to_string();
    for bytes in [0, 64 << 20] {
        let lake = Arc::new(Lake::open(&location).expect("opened").with_cache(bytes));
        let rows = answer(&lake, "AWSCloudTrail | summarize count() by EventName").await;
        assert_eq!(rows, [[serde_json::json!(""), serde_json::json!(10)]]);
    }
    let lake = Arc::new(Lake::open(&location).expect("opened"));
    assert_eq!(append(&lake, 5..15).await, (5, 5));
    for _ in 0..2 {
        for bytes in [0, 64 << 20] {
            let lake = Arc::new(Lake::open(&location).expect("opened").with_cache(bytes));
            let query = "AWSCloudTrail | summarize count() by EventName | order by EventName asc";
            let rows = answer(&lake, query).await;
            assert_eq!(serde_json::json!(rows), serde_json::json!([["", 10], ["RunInstances", 5]]));
        }
        lake.compact(spec()).await.expect("compacted");
    }
}

/// Another program's commit to the table, made of the actions of the first append.
fn commit_of_another(folder: &std::path::Path, change: impl Fn(&mut serde_json::Value)) {
    let log = folder.join("lake/AWSCloudTrail/_delta_log");
    let commits = [log.join("00000000000000000000.json"), log.join("00000000000000000001.json")];
    let commits = commits.map(|path| std::fs::read_to_string(path).expect("a commit"));
    let actions = commits.iter().flat_map(|commit| commit.lines());
    let actions =
        actions.map(|line| serde_json::from_str(line).expect("an action")).filter_map(|mut action| {
            let is_kept = |action: &serde_json::Value| action.get("metaData").or(action.get("add")).is_some();
            is_kept(&action).then(|| {
                change(&mut action);
                action.to_string()
            })
        });
    let protocol = serde_json::json!({"protocol": {"minReaderVersion": 3, "minWriterVersion": 7,
        "readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"]}});
    let lines: Vec<String> = std::iter::once(protocol.to_string()).chain(actions).collect();
    std::fs::write(log.join("00000000000000000002.json"), lines.join("\n")).expect("written");
}

#[tokio::test]
async fn a_table_whose_files_do_not_say_what_its_rows_are_is_refused() {
    let vector = serde_json::json!({"storageType": "u", "pathOrInlineDv": "ab^-aqEH.-t@S}K{vb[*k^",
        "offset": 4, "sizeInBytes": 40, "cardinality": 6});
    let deleted = |action: &mut serde_json::Value| {
        if let Some(add) = action.get_mut("add") {
            add["deletionVector"] = vector.clone();
        }
    };
    let renamed = |action: &mut serde_json::Value| {
        if let Some(table) = action.get_mut("metaData") {
            table["configuration"]["delta.columnMapping.mode"] = "name".into();
        }
    };
    assert_refused(deleted, "deleted rows by vectors").await;
    assert_refused(renamed, "mapped its columns to other names").await;
}

async fn assert_refused(change: impl Fn(&mut serde_json::Value), reason: &str) {
    let (folder, lake) = lake();
    append(&lake, 0..10).await;
    commit_of_another(folder.path(), change);
    let error = lake.count(spec()).await.expect_err("refused").to_string();
    assert!(error.contains(reason) && error.contains("AWSCloudTrail"), "{error}");
}

#[tokio::test]
async fn files_are_joined_while_others_append_and_read() {
    let (folder, lake) = lake();
    for start in [0, 10, 20] {
        append(&lake, start..start + 10).await;
    }
    let other = Arc::new(Lake::open(&folder.path().join("lake").display().to_string()).expect("opened"));
    let mut under_way = other.append(spec(), "other", at(0)).await.expect("begun");
    under_way.write(batch(25..35)).await.expect("written");
    let query = prepared(&other, "AWSCloudTrail | summarize count(), dcount(_EventId)").await;
    let done = lake.compact(spec()).await.expect("compacted");
    assert_eq!((done.removed, done.added), (3, 1));
    let before: Vec<_> = query.collect().await.expect("the old files are still there").rows().collect();
    assert_eq!(before, [[30, 30]]);
    let added = under_way.commit(None).await.expect("committed");
    assert_eq!((added.written, added.duplicates), (5, 5));
    assert_eq!(lake.count(spec()).await.expect("counted"), 35);
    // What was joined is not joined again by itself.
    let again = lake.compact(spec()).await.expect("compacted");
    assert_eq!((again.removed, again.added), (2, 1));
    let again = lake.compact(spec()).await.expect("compacted");
    assert_eq!((again.removed, again.added), (0, 0));
    assert_eq!(append(&lake, 0..35).await, (0, 35));
}

#[tokio::test]
async fn strings_of_files_are_grouped_by_their_dictionaries() {
    let (_folder, lake) = lake();
    for start in [0, 3000, 6000] {
        append(&lake, start..start + 100).await;
    }
    let lake = Arc::new(lake);
    // Of three days the second and the third; no row has a region.
    let query = "AWSCloudTrail | where TimeGenerated >= datetime(2024-10-05T12:00:00Z) and EventName has 'runinstances'
        | summarize Events = count(), Names = dcount(_EventId) by EventName, AWSRegion";
    let plan = prepared(&lake, query).await.explain().await.expect("planned");
    assert!(plan.contains("DictionaryAggregateExec: by=[EventName"), "{plan}");
    assert_eq!(
        serde_json::json!(answer(&lake, query).await),
        serde_json::json!([["RunInstances", "", 200, 200]])
    );
}

#[test]
fn an_unknown_table_is_told_with_the_nearest_name() {
    let error = Lake::spec("AWSCloudTrial").expect_err("no such table").to_string();
    assert_eq!(error, "there is no table 'AWSCloudTrial'; did you mean 'AWSCloudTrail'?");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_recorded_at_once_are_all_there_after_few_commits() {
    let (folder, lake) = lake();
    let lake = Arc::new(lake);
    let recording = (0..40).map(|job| {
        let lake = Arc::clone(&lake);
        tokio::spawn(async move {
            let run = Run::of_job(&format!("job {job}"), RunStatus::Ok, at(job), None);
            lake.record(&[run], at(job)).await
        })
    });
    for recorded in recording.collect::<Vec<_>>() {
        recorded.await.expect("not broken off").expect("recorded");
    }
    assert_eq!(lake.count(Lake::spec("Runs").expect("a table of ours")).await.expect("counted"), 40);
    let log = std::fs::read_dir(folder.path().join("lake/Runs/_delta_log")).expect("a Delta table");
    let commits = log.filter(|entry| {
        entry
            .as_ref()
            .is_ok_and(|entry| entry.path().extension().is_some_and(|extension| extension == "json"))
    });
    let commits = commits.count();
    assert!(commits < 20, "{commits} commits for 40 runs");
}

#[tokio::test]
async fn who_stops_while_recording_takes_nothing_of_others_along() {
    let (_folder, lake) = lake();
    let run = |job: &str| [Run::of_job(job, RunStatus::Ok, at(0), None)];
    let (first, second) = (run("first"), run("second"));
    {
        let mut stopped = pin!(lake.record(&first, at(0)));
        // It has its turn and begins to write.
        assert!(futures::poll!(stopped.as_mut()).is_pending());
    }
    lake.record(&second, at(0)).await.expect("recorded");
    assert_eq!(lake.count(Lake::spec("Runs").expect("a table of ours")).await.expect("counted"), 2);
}

async fn prepared(lake: &Arc<Lake>, query: &str) -> Prepared {
    let catalog = Arc::new(LakeCatalog::new(Arc::clone(lake), BTreeMap::new()));
    let engine = Engine::new(EngineOptions::default()).expect("an engine");
    engine.prepare(catalog, query, &QueryOptions::default()).await.expect("it binds")
}

async fn answer(lake: &Arc<Lake>, query: &str) -> Vec<Vec<serde_json::Value>> {
    prepared(lake, query).await.collect().await.expect("it runs").rows().collect()
}

#[tokio::test]
async fn a_query_reads_the_days_and_columns_it_speaks_of_and_skips_row_groups_by_value() {
    let (_folder, lake) = lake();
    let lake = Arc::new(lake);
    for day in 0..3 {
        append(&lake, day * 1440..day * 1440 + 10).await;
    }
    let query = format!(
        "AWSCloudTrail | where TimeGenerated >= datetime({}) and EventName == 'RunInstances' | project AWSRegion",
        provost_model::format_time(at(2 * 1440))
    );
    let plan = prepared(&lake, &query).await.explain().await.expect("planned");
    let (_, physical) = plan.split_once("DataSourceExec").expect("files are read");
    assert_eq!(physical.matches(".parquet").count(), 1, "the file of one day: {plan}");
    assert!(physical.contains("projection=[TimeGenerated, AWSRegion, EventName"), "no other column: {plan}");
    for pruning in ["EventName_min@", "RunInstances <= EventName_max@", "TimeGenerated_max@"] {
        assert!(physical.contains(pruning), "{pruning}: {plan}");
    }
    assert_eq!(answer(&lake, &query).await.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_from_memory_are_the_rows_of_the_files() {
    let (folder, plain) = lake();
    let location = folder.path().join("lake").display().to_string();
    let open = |bytes| Arc::new(Lake::open(&location).expect("opened").with_cache(bytes));
    // One with room for all, and one that everything is too large for.
    let (plain, roomy, narrow) = (Arc::new(plain), open(64 << 20), open(1));
    let queries = [
        "AWSCloudTrail | count".to_owned(),
        "AWSCloudTrail | where EventName == 'RunInstances' | summarize count(), dcount(_EventId)".to_owned(),
        "AWSCloudTrail | top 3 by TimeGenerated desc | project TimeGenerated, EventName, UserAgent"
            .to_owned(),
        format!(
            "AWSCloudTrail | where TimeGenerated between (datetime({}) .. datetime({})) | summarize count() by EventName",
            provost_model::format_time(at(5)),
            provost_model::format_time(at(1445)),
        ),
        "AWSCloudTrail | where ingestion_time() > datetime(2200-01-01) | count".to_owned(),
    ];
    for step in 0..4 {
        match step {
            0 => {}
            3 => assert!(plain.compact(spec()).await.expect("compacted").added > 0),
            _ => assert_eq!(
                append(&roomy, step * 1000 - 1000..step * 1000 + 500).await.0,
                1500 - 500 * (step as u64 - 1)
            ),
        }
        for query in &queries {
            let expected = answer(&plain, query).await;
            let (first, again) = tokio::join!(answer(&roomy, query), answer(&roomy, query));
            assert_eq!((&first, &again), (&expected, &expected), "step {step}: {query}");
            assert_eq!(answer(&narrow, query).await, expected, "step {step}: {query}");
        }
    }
    let plan = prepared(&roomy, &queries[1]).await.explain().await.expect("planned");
    assert!(!plan.contains(".parquet"), "{plan}");
    let plan = prepared(&narrow, &queries[1]).await.explain().await.expect("planned");
    assert!(plan.contains(".parquet"), "{plan}");
}

#[tokio::test]
async fn a_column_that_is_in_memory_is_not_read_again() {
    let (folder, lake) = lake();
    let lake = Arc::new(lake.with_cache(64 << 20));
    append(&lake, 0..1000).await;
    let names = "AWSCloudTrail | summarize count() by EventName";
    let expected = answer(&lake, names).await;
    assert_eq!(expected, [[serde_json::json!("RunInstances"), serde_json::json!(1000)]]);
    let table = folder.path().join("lake/AWSCloudTrail");
    for day in std::fs::read_dir(table).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if day.file_name().is_some_and(|name| name != "_delta_log") {
            std::fs::remove_dir_all(day).expect("removed");
        }
    }
    // Another question about the same columns, and one about a column that nobody has asked for yet.
    assert_eq!(answer(&lake, "AWSCloudTrail | where EventName == 'RunInstances' | count").await.len(), 1);
    assert_eq!(answer(&lake, names).await, expected);
    let gone = prepared(&lake, "AWSCloudTrail | summarize count() by AWSRegion").await.collect().await;
    assert!(gone.is_err(), "{gone:?}");
}
