//! Laws that hold for any values: what the optimiser may not change, what `has` finds, and where bins begin.

use std::sync::{Arc, OnceLock};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use provost_kql::{Column, Engine, EngineOptions, KqlType, MemoryCatalog, QueryOptions};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().expect("a runtime starts"))
}

fn engine(unoptimized: bool) -> &'static Engine {
    static ENGINES: OnceLock<[Engine; 2]> = OnceLock::new();
    let engines = ENGINES.get_or_init(|| {
        [false, true].map(|unoptimized| {
            let options =
                EngineOptions { unoptimized, target_partitions: Some(1), ..EngineOptions::default() };
            Engine::new(options).expect("an engine starts")
        })
    });
    &engines[usize::from(unoptimized)]
}

/// The rows that a query gives over a catalog.
fn rows_over(unoptimized: bool, catalog: &Arc<MemoryCatalog>, query: &str) -> Result<Vec<Value>, String> {
    let options = QueryOptions {
        now: chrono::DateTime::from_timestamp(1_767_225_600, 0).expect("an instant"),
        ..QueryOptions::default()
    };
    let run = async { engine(unoptimized).prepare(catalog.clone(), query, &options).await?.collect().await };
    let result = runtime().block_on(run).map_err(|error| error.to_string())?;
    Ok(result.rows().map(Value::Array).collect())
}

/// The only row of `print …`, or all rows of one column.
fn column(query: &str) -> Vec<Value> {
    let catalog = Arc::new(MemoryCatalog::new());
    let rows = rows_over(false, &catalog, query).unwrap_or_else(|error| panic!("{query}\n{error}"));
    rows.into_iter().map(|row| row[0].clone()).collect()
}

// ---- the optimiser ----

type Row = (Option<i64>, &'static str, Option<bool>, Option<i64>);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        prop::option::of(-3..4_i64),
        select(vec!["", "a", "b", "Ab c"]),
        prop::option::of(any::<bool>()),
        prop::option::of(1..6_i64),
    );
    vec(row, 0..8)
}

fn catalog(tables: [(&str, &[Row]); 2]) -> Arc<MemoryCatalog> {
    let mut catalog = MemoryCatalog::new();
    for (name, rows) in tables {
        let rows: Vec<Value> = rows
            .iter()
            .map(|(k, s, b, day)| {
                let at = day.map(|day| format!("2026-01-{day:02}T00:00:00Z"));
                json!({"k": k, "s": s, "b": b, "t": at, "d": {"x": k, "y": [s]}})
            })
            .collect();
        let columns = vec![
            Column::new("k", KqlType::Long),
            Column::new("s", KqlType::String),
            Column::new("b", KqlType::Bool),
            Column::new("t", KqlType::Datetime),
            Column::new("d", KqlType::Dynamic),
        ];
        catalog.add_json(name, columns, &rows).expect("the rows are a table");
    }
    Arc::new(catalog)
}

fn condition() -> impl Strategy<Value = String> {
    let plain = select(vec![
        "k > 0",
        "k == 1",
        "k != 2",
        "isnull(k)",
        "s == 'a'",
        "s has 'ab'",
        "s contains 'B'",
        "isempty(s)",
        "b",
        "b == false",
        "t > datetime(2026-01-02)",
        "tolong(d.x) >= 1",
        "tostring(d.y[0]) =~ 'A'",
        "k in (1, 2, 3)",
        "s !in ('a', '')",
        "k in (U | project k)",
        "k !in ((U | where b | project k))",
        "k between (-1 .. 2)",
        "1 == 1",
        "1 == 2",
    ]);
    plain.prop_map(str::to_owned).prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} and {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} or {b})")),
            inner.prop_map(|a| format!("not({a})")),
        ]
    })
}

/// Operators that keep the columns of the table, so that any may follow any.
fn step() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => condition().prop_map(|condition| format!("where {condition}")),
        1 => condition().prop_map(|condition| format!("extend b = {condition}")),
        1 => condition().prop_map(|condition| format!("extend k = iff({condition}, k, k + 1)")),
        1 => select(vec![
            "extend k = k * 2",
            "extend s = strcat(s, 'x')",
            "extend k = bin(k, 2)",
            "extend t = bin(t, 2d)",
            "project-reorder s, k",
            "project k, s, b, t, d",
            "distinct k, s, b, t | extend d = dynamic({'x': 2})",
            "sort by k asc, s asc, t desc",
            "summarize d = take_any(d) by k, s, b, t",
            "summarize k = sum(k), b = countif(b) > 1, t = max(t), d = take_any(dynamic({'x': 1})) by s",
            "join kind=inner (U | project k, b2 = b) on k | project-away k1, b2",
            "join kind=leftouter (U | distinct k | extend z = 1) on k | where z == 1 or k > 0 | project k, s, b, t, d",
            "join kind=leftanti (U | where k > 0) on k",
            "join kind=leftsemi U on k, s",
            "join kind=fullouter (U | distinct s) on s | project k, s, b, t, d",
            "lookup (U | summarize m = max(k) by s) on s | extend k = m | project-away m",
            "union (U | where k == 1)",
            "union U, (T | where false)",
            "mv-expand k = pack_array(k, 1) to typeof(long)",
            "sort by k asc, s asc, t asc, b asc | where k == 1 or prev(k) == 1",
            "as X",
        ])
        .prop_map(str::to_owned),
    ]
}

fn query() -> impl Strategy<Value = String> {
    let end = select(vec![
        "",
        "| count",
        "| summarize count(), sum(k), max(t), dcount(s) by b",
        "| summarize count() by s, bin(t, 1d)",
        "| summarize make_set(k), countif(b)",
        "| project x = k, y = d.x, z = strlen(s)",
        "| where false",
        "| top 2 by k asc | project k",
        "| extend n = toscalar(U | count) | project k, n",
    ]);
    (vec(step(), 0..4), end).prop_map(|(steps, end)| {
        let steps: String = steps.iter().map(|step| format!("| {step} ")).collect();
        format!("T {steps}{end}")
    })
}

/// The rows in an order that is no matter, nor the order within sets.
fn as_set(mut rows: Vec<Value>) -> Vec<String> {
    for cell in rows.iter_mut().filter_map(Value::as_array_mut).flatten() {
        if let Value::Array(items) = cell {
            items.sort_by_key(Value::to_string);
        }
    }
    let mut rows: Vec<String> = rows.iter().map(Value::to_string).collect();
    rows.sort();
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_optimiser_changes_no_result(t in rows(), u in rows(), query in query()) {
        let catalog = catalog([("T", &t), ("U", &u)]);
        let optimized = rows_over(false, &catalog, &query);
        let plain = rows_over(true, &catalog, &query);
        match (optimized, plain) {
            (Ok(optimized), Ok(plain)) => prop_assert_eq!(as_set(optimized), as_set(plain), "{}", query),
            // Simplified, a condition may be known to be never null where its plan does not say so.
            (Ok(_), Err(plain)) if plain.contains("field nullability") => {}
            (optimized, plain) => prop_assert!(false, "{query}\n{optimized:?}\n{plain:?}"),
        }
    }

    #[test]
    fn has_finds_whole_terms(pairs in vec(("[aAbB1é_. -]{0,8}", "[aAbB1é_. -]{0,3}"), 1..20)) {
        let quoted = |text: &str| format!("'{text}'");
        let cells: Vec<String> =
            pairs.iter().map(|(text, term)| format!("{}, {}", quoted(text), quoted(term))).collect();
        let table = format!("datatable(s:string, n:string)[{}]", cells.join(", "));
        let (_, first) = &pairs[0];
        for (operator, ignoring_case) in [("has", true), ("has_cs", false)] {
            let expected: Vec<Value> =
                pairs.iter().map(|(text, term)| naive_has(text, term, ignoring_case).into()).collect();
            prop_assert_eq!(column(&format!("{table} | project s {operator} n")), expected);
            let expected: Vec<Value> =
                pairs.iter().map(|(text, _)| naive_has(text, first, ignoring_case).into()).collect();
            prop_assert_eq!(column(&format!("{table} | project s {operator} {}", quoted(first))), expected);
        }
    }

    #[test]
    fn a_bin_of_whole_numbers_begins_at_or_below_them(
        values in vec(prop_oneof![any::<i64>(), -100..100_i64], 1..20),
        size in prop_oneof![1..20_i64, 1..=i64::MAX],
    ) {
        let expected: Vec<Option<i64>> = values
            .iter()
            .map(|value| {
                let floor = i128::from(*value).div_euclid(i128::from(size)) * i128::from(size);
                i64::try_from(floor).ok()
            })
            .collect();
        let list: Vec<String> = values.iter().map(|value| format!("long({value})")).collect();
        let bins = column(&format!("datatable(x:long)[{}] | project bin(x, {size})", list.join(", ")));
        prop_assert_eq!(bins, expected.iter().map(|bin| json!(bin)).collect::<Vec<_>>());
    }

    #[test]
    fn a_bin_of_time_counts_from_zero_and_from_the_first_of_all_days(
        ticks in vec(prop_oneof![-1_000..1_000_i64, any::<i64>().prop_map(|ticks| ticks / 4)], 1..20),
        step in prop_oneof![1..1_000_i64, 1..400_000_000_000_000_i64],
    ) {
        let cells: Vec<String> = ticks
            .iter()
            .map(|ticks| format!("{ticks}tick, {}tick", ticks.div_euclid(step) * step))
            .collect();
        let table = format!("datatable(x:timespan, expected:timespan)[{}]", cells.join(", "));
        let held = column(&format!("{table} | project bin(x, {step}tick) == expected"));
        prop_assert!(held.iter().all(|held| *held == json!(true)), "{held:?}");
        let first = "datetime(0001-01-01)";
        let held = column(&format!(
            "{table} | where expected >= 0s | project bin({first} + x, {step}tick) == {first} + expected"
        ));
        prop_assert!(held.iter().all(|held| *held == json!(true)), "{held:?}");
    }

    #[test]
    fn a_bin_of_reals_is_the_greatest_multiple_that_is_not_above(
        values in vec(-1e6..1e6_f64, 1..20),
        eighths in 1..1_000_u32,
    ) {
        // A step that a real holds exactly.
        let step = f64::from(eighths) / 8.0;
        let list: Vec<String> = values.iter().map(|value| format!("real({value:e})")).collect();
        let bins = column(&format!("datatable(x:real)[{}] | project bin(x, {step:?})", list.join(", ")));
        for (value, bin) in values.iter().zip(bins) {
            prop_assert_eq!(bin.as_f64(), Some((value / step).floor() * step + 0.0));
        }
    }
}

#[test]
fn null_is_in_no_table_as_it_is_in_no_list() {
    let row: Row = (None, "b", None, None);
    let catalog = catalog([("T", &[row, (Some(1), "a", None, None)]), ("U", &[(Some(1), "a", None, None)])]);
    for list in ["1", "(U | project k)", "U"] {
        let rows = rows_over(false, &catalog, &format!("T | where k !in ({list}) | project s"));
        assert_eq!(rows, Ok(vec![json!(["b"])]), "{list}");
        let rows = rows_over(false, &catalog, &format!("T | where not(k in ({list})) | project s"));
        assert_eq!(rows, Ok(vec![]), "{list}");
        let rows = rows_over(false, &catalog, &format!("T | where s == 'b' or k in ({list}) | count"));
        assert_eq!(rows, Ok(vec![json!([2])]), "{list}");
    }
}

/// Slow and plain: an occurrence with no letter or digit going on beyond its edges.
fn naive_has(text: &str, term: &str, ignoring_case: bool) -> bool {
    let fold = |text: &str| if ignoring_case { text.to_lowercase() } else { text.to_owned() };
    let (text, term): (Vec<char>, Vec<char>) = (fold(text).chars().collect(), fold(term).chars().collect());
    if term.is_empty() {
        return true;
    }
    let joined = |left: Option<&char>, right: Option<&char>| {
        left.is_some_and(|c| c.is_alphanumeric()) && right.is_some_and(|c| c.is_alphanumeric())
    };
    (0..text.len().saturating_sub(term.len() - 1)).any(|start| {
        let end = start + term.len();
        text[start..end] == term[..]
            && !joined(start.checked_sub(1).and_then(|before| text.get(before)), term.first())
            && !joined(term.last(), text.get(end))
    })
}
