//! Queries and what they give, as data: the files in `cases/`.
//!
//! A case is a heading `## …`, a query, a line `----`, and the rows, each a JSON array; or `error` and the first line of the
//! message. Where a query gives several tables, a line with its name stands before each. `PROVOST_BLESS=1 cargo test -p provost-kql --test kql_cases` writes what the engine gives now.

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use provost_kql::{Engine, EngineOptions, Memo, MemoryCatalog, QueryError, QueryOptions};

use support::shelf::{CountingShelf, Shelf};

const RULE: &str = "----\n";

struct Case {
    title: String,
    query: String,
    expected: String,
}

fn cases(text: &str) -> Vec<Case> {
    text.split("## ")
        .skip(1)
        .map(|block| {
            let (title, rest) = block.split_once('\n').expect("a title");
            let (query, expected) = rest.split_once(RULE).unwrap_or((rest, ""));
            Case {
                title: title.to_owned(),
                query: query.trim().to_owned(),
                expected: expected.trim().to_owned(),
            }
        })
        .collect()
}

async fn answer(engine: &Engine, query: &str) -> String {
    let options = QueryOptions {
        now: chrono::DateTime::from_timestamp(1_767_225_600, 0).expect("an instant"),
        ..QueryOptions::default()
    };
    let run = async {
        let mut tables = Vec::new();
        for prepared in engine.prepare_all(Arc::new(MemoryCatalog::new()), query, &options).await? {
            tables.push((prepared.name().map(str::to_owned), prepared.collect().await?));
        }
        Ok::<_, QueryError>(tables)
    };
    match run.await {
        Ok(tables) => {
            let mut text = String::new();
            for (name, result) in &tables {
                if tables.len() > 1 {
                    writeln!(text, "{}:", name.as_deref().unwrap_or("-")).expect("a string takes all");
                }
                for row in result.rows() {
                    writeln!(text, "{}", serde_json::Value::Array(row)).expect("a string takes all");
                }
            }
            text.trim().to_owned()
        }
        Err(error) => format!("error {}", error.to_string().lines().next().unwrap_or_default()),
    }
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let entries = fs::read_dir(folder).expect("the cases");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn every_case_gives_what_it_says() {
    let bless = std::env::var_os("PROVOST_BLESS").is_some();
    let options = EngineOptions { external_source: Some(Arc::new(Shelf)), ..EngineOptions::default() };
    let engine = Engine::new(options).expect("an engine");
    let mut wrong = String::new();
    for file in files() {
        let text = fs::read_to_string(&file).expect("a file of cases");
        let mut blessed = String::new();
        for case in cases(&text) {
            let given = answer(&engine, &case.query).await;
            if given != case.expected {
                writeln!(
                    wrong,
                    "{}: {}\n{}\nexpected\n{}\ngiven\n{given}\n",
                    file.display(),
                    case.title,
                    case.query,
                    case.expected
                )
                .expect("a string takes all");
            }
            write!(blessed, "## {}\n{}\n{RULE}{given}\n\n", case.title, case.query)
                .expect("a string takes all");
        }
        if bless {
            fs::write(&file, blessed.trim_end().to_owned() + "\n").expect("the file is writable");
        }
    }
    assert!(bless || wrong.is_empty(), "{wrong}");
}

#[tokio::test]
async fn queries_of_one_run_fetch_a_file_once() {
    let shelf = Arc::new(CountingShelf::default());
    let options = EngineOptions { external_source: Some(shelf.clone()), ..EngineOptions::default() };
    let engine = Engine::new(options).expect("an engine");
    let query = r#"externaldata(host:string)["https://files.example/hosts.csv"] | count"#;
    let run = QueryOptions { memo: Some(Memo::default()), ..QueryOptions::default() };
    for (options, fetched) in [(&run, 1), (&run, 1), (&QueryOptions::default(), 2)] {
        let catalog = Arc::new(MemoryCatalog::new());
        let prepared = engine.prepare(catalog, query, options).await.expect("a query");
        let rows: Vec<_> = prepared.collect().await.expect("an answer").rows().collect();
        assert_eq!(rows, [[serde_json::Value::from(4)]]);
        assert_eq!(shelf.fetched.load(Ordering::Relaxed), fetched);
    }
}

#[tokio::test]
async fn what_is_too_large_to_be_kept_is_worked_out_again() {
    let query = "let T = materialize(range x from 1 to 200000 step 1 | extend y = x * 2);
        union (T | summarize Sum = sum(x)), (T | summarize Sum = sum(y)) | sort by Sum asc";
    let small = EngineOptions { memory_limit: Some(1 << 20), ..EngineOptions::default() };
    for options in [small, EngineOptions::default()] {
        let engine = Engine::new(options).expect("an engine");
        assert_eq!(answer(&engine, query).await, "[20000100000]\n[40000200000]");
    }
}

#[tokio::test]
async fn what_has_to_be_held_whole_is_held_within_the_memory_limit() {
    let small = EngineOptions { memory_limit: Some(2 << 20), ..EngineOptions::default() };
    let engine = Engine::new(small).expect("an engine");
    for plugin in [
        "evaluate autocluster()",
        "evaluate basket()",
        "evaluate sequence_detect(t, 7d, 7d, a = x > 0, b = x > 0)",
    ] {
        let query = format!(
            "range x from 1 to 100000 step 1 | extend s = hash_sha256(x), t = datetime(2026-01-01) + x * 1s | {plugin}"
        );
        let answer = answer(&engine, &query).await;
        assert!(answer.starts_with("error the query needs more memory than the limit allows"), "{answer}");
    }
}
