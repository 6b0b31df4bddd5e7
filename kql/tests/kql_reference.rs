//! The reference of the language, `docs/kql.md`, says what the engine does: its examples are run, and the page is made
//! from what the engine knows of itself. `PROVOST_BLESS=1 cargo test -p provost-kql --test kql_reference` writes it.

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use provost_kql::reference::{FunctionInfo, OPERATORS, aggregate_functions, plugins, scalar_functions};
use provost_kql::{Engine, EngineOptions, MemoryCatalog, QueryError, QueryOptions, text_value};

use support::shelf::Shelf;

/// A query with each operator, over `T` with the columns `x`, `s` and `d`.
const OPERATOR_EXAMPLES: &[(&str, &str)] = &[
    ("as", "T | as Known | count"),
    ("consume", "T | consume"),
    ("count", "T | count"),
    ("datatable", "datatable(a: long, b: string)[1, 'x', 2, 'y']"),
    ("distinct", "T | distinct s"),
    ("evaluate", "T | evaluate bag_unpack(d)"),
    ("extend", "T | extend y = x * 2"),
    (
        "externaldata",
        "externaldata(host: string, port: int)['https://files.example/hosts.csv'] with (format='csv', ignoreFirstRecord=true)",
    ),
    ("facet", "T | facet by s, x with (where x > 1)"),
    ("filter", "T | filter x > 1"),
    ("find", "find in (T) where x > 1"),
    ("fork", "T | fork (count) (take 1)"),
    ("getschema", "T | getschema"),
    ("invoke", "let f = (t: (*)) { t | where x > 1 }; T | invoke f()"),
    ("join", "T | join kind=leftouter (T | project x, other = s) on x"),
    ("limit", "T | limit 2"),
    ("lookup", "T | lookup (T | project x, other = s) on x"),
    ("make-series", "T | make-series n = count() default = 0 on x from 0 to 5 step 1"),
    ("mv-apply", "T | mv-apply v = d.list on (summarize total = sum(tolong(v)))"),
    ("mv-expand", "T | mv-expand v = d.list to typeof(long)"),
    ("order", "T | order by x desc"),
    ("parse", "T | parse s with 'n' number: long"),
    (
        "parse-kv",
        "print s = 'a=1,b=2' | parse-kv s as (a: long, b: long) with (pair_delimiter=',', kv_delimiter='=')",
    ),
    ("parse-where", "T | parse-where s with 'n' number: long"),
    ("partition", "T | partition by s (top 1 by x)"),
    ("print", "print 1 + 1"),
    ("project", "T | project x, y = strlen(s)"),
    ("project-away", "T | project-away d"),
    ("project-by-names", "T | project-by-names 'x', 's'"),
    ("project-keep", "T | project-keep x, s*"),
    ("project-rename", "T | project-rename y = x"),
    ("project-reorder", "T | project-reorder s, x"),
    ("range", "range n from 1 to 10 step 3"),
    ("render", "T | summarize count() by s | render piechart"),
    ("sample", "T | sample 1"),
    ("sample-distinct", "T | sample-distinct 1 of s"),
    (
        "scan",
        "T | sort by x asc | scan declare (total: long = 0) with (step all: true => total = x + all.total;)",
    ),
    ("search", "search in (T) 'n1'"),
    ("serialize", "T | serialize before = prev(x)"),
    ("sort", "T | sort by x asc nulls first"),
    ("summarize", "T | summarize n = count(), most = max(x) by s"),
    ("take", "T | take 2"),
    ("top", "T | top 2 by x"),
    ("top-hitters", "T | top-hitters 1 of s"),
    ("top-nested", "T | top-nested 2 of s by count()"),
    ("union", "union withsource=From (T | take 1), (T | take 1)"),
    ("where", "T | where s startswith 'n' and x between (1 .. 2)"),
];

const TABLE: &str = "let T = datatable(x: long, s: string, d: dynamic)[
    1, 'n1', dynamic({\"list\": [1, 2]}), 2, 'n2', dynamic({\"list\": [3]}), 3, 'n1', dynamic({\"list\": []})];\n";

const INTRODUCTION: &str = "# KQL

Rules, bridges, playbooks and `provost query` are written in the Kusto Query Language, as Microsoft documents it. This page
is what of it runs here; it is made from the engine and its examples are run by the tests. What does not run is refused
before anything is read, with the place, the reason and, where there is one, the name that was probably meant.

* A column that a table's schema declares and the stored rows lack is null, or empty where it is a string.
* `now()` and `ago()` are one instant for the whole query.
* `materialize()` works its rows out once. Where they are too many for the memory that queries may use, they are worked out
  each time.
* `externaldata` reads files of hosts that the configuration allows: CSV and its kin, lines of text, JSON and Parquet, packed
  as `.gz` or `.zip` too; of a ZIP it is the first file, or with `zipPattern='*.csv'` those that are called so. A cell that is
  not of its column's type is null. Other reads outside the lake (`cluster()`, `workspace()`) are refused.
* A query may give several tables, by several statements, `fork` or `facet`; where one is needed, as in a rule, the last
  statement's is taken, and the two operators are refused.
";

/// Text as a cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn code(text: &str) -> String {
    format!("`{}`", cell(text))
}

fn functions(page: &mut String, title: &str, functions: &[FunctionInfo]) {
    let _ = write!(page, "\n### {title}\n\n| function | meaning | example |\n|---|---|---|\n");
    for function in functions {
        let names = std::iter::once(&function.name).chain(function.aliases).map(|name| code(name));
        let names = names.collect::<Vec<_>>().join(", ");
        let (example, value) = function.example;
        let _ = writeln!(
            page,
            "| {names} {} | {} | {} gives {} |",
            code(function.signature),
            cell(function.about),
            code(example),
            code(value)
        );
    }
}

async fn run(query: &str) -> Result<Vec<Vec<String>>, QueryError> {
    let options = EngineOptions { external_source: Some(Arc::new(Shelf)), ..EngineOptions::default() };
    let catalog = Arc::new(MemoryCatalog::new());
    let prepared = Engine::new(options)?.prepare_all(catalog, query, &QueryOptions::default()).await?;
    let first = prepared.into_iter().next().expect("a query gives a table at least");
    let result = first.collect().await?;
    let rows = result.batches.iter().flat_map(|batch| {
        let kinds = result.columns.iter().map(|column| column.kind).collect::<Vec<_>>();
        (0..batch.num_rows()).map(move |row| {
            let cells = batch.columns().iter().zip(&kinds);
            cells.map(|(array, kind)| text_value(array, row, *kind)).collect()
        })
    });
    Ok(rows.collect())
}

#[tokio::test]
async fn the_page_is_what_the_engine_does() {
    let mut page = INTRODUCTION.to_owned();
    page.push_str("\n## Operators\n\n| operator | example |\n|---|---|\n");
    for (name, example) in OPERATOR_EXAMPLES {
        if let Err(error) = run(&format!("{TABLE}{example}")).await {
            panic!("{example}: {error}");
        }
        let _ = writeln!(page, "| {} | {} |", code(name), code(example));
    }
    page.push_str("\n## Plugins\n\nThe examples give their first row.\n");
    functions(&mut page, "After `evaluate`", plugins());
    page.push_str("\n## Scalar functions\n");
    for (title, list) in scalar_functions() {
        functions(&mut page, title, &list);
    }
    page.push_str("\n## Aggregates\n\nThe examples are over the numbers 1 to 5 as `x`.\n");
    functions(&mut page, "In `summarize`", &aggregate_functions());

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/kql.md");
    if std::env::var_os("PROVOST_BLESS").is_some() {
        std::fs::write(&path, &page).expect("the page can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/kql.md is not what the engine does; run this test with PROVOST_BLESS=1");
}

#[test]
fn every_operator_has_an_example() {
    let shown: Vec<&str> = OPERATOR_EXAMPLES.iter().map(|(name, _)| *name).collect();
    assert_eq!(shown, OPERATORS);
}

#[tokio::test]
async fn every_plugin_gives_what_it_says() {
    for plugin in plugins() {
        let (example, row) = plugin.example;
        let rows =
            run(&format!("{TABLE}{example}")).await.unwrap_or_else(|error| panic!("{example}: {error}"));
        assert_eq!(rows.first().map(|row| row.join(", ")).as_deref(), Some(row), "{example}");
    }
}

#[tokio::test]
async fn every_example_gives_what_it_says() {
    let mut wrong = String::new();
    let scalars = scalar_functions().into_iter().flat_map(|(_, functions)| functions).map(|function| {
        let (example, value) = function.example;
        // What stands before the expression has to be set.
        let query = match example.rsplit_once("; ") {
            Some((before, expression)) => format!("{before}; print {expression}"),
            None => format!("print {example}"),
        };
        (query, value)
    });
    let aggregates = aggregate_functions().into_iter().map(|function| {
        let (example, value) = function.example;
        (format!("range x from 1 to 5 step 1 | summarize {example}"), value)
    });
    for (query, expected) in scalars.chain(aggregates) {
        match run(&query).await {
            Ok(rows) if rows.first().and_then(|row| row.first()).is_some_and(|value| value == expected) => {}
            other => {
                let _ = writeln!(wrong, "{query}\n  expected {expected}\n  given    {other:?}");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
