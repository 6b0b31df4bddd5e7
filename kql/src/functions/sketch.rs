//! What `hll()` and `tdigest()` have gathered.

use serde_json::Value as Json;

use super::{Function, Kernel, Row, Typed, eval};
use crate::aggregates::{Digest, Hll, Sketch};
use crate::types::KqlType;
use crate::value::Value;

fn merge<S: Sketch>(row: &Row<'_>) -> Value<'static> {
    S::merged(row).map_or(Value::Null, S::finish)
}

/// How many values sets have in common: the first, the first two, and so on, as an array.
pub(crate) fn dcount_intersect(sets: Vec<Typed>) -> Typed {
    Kernel::call("dcount_intersect", sets, KqlType::Dynamic, |row| {
        let sets: Option<Vec<Hll>> = (0..row.len()).map(|index| Hll::read(&row.json(index))).collect();
        sets.map_or(Value::Null, |sets| Value::json(&Hll::intersections(sets).into()))
    })
}

fn digest(row: &Row<'_>) -> Option<Digest> {
    Digest::read(&row.json(0))
}

fn rank(row: &Row<'_>) -> Option<(f64, f64)> {
    Some(digest(row)?.rank(row.real(1)?))
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        eval(
            "dcount_hll",
            "(hll: dynamic) -> long",
            "How many distinct values `hll()` has met.",
            ("dcount_hll(toscalar(range x from 1 to 9 step 1 | summarize hll(x % 3)))", "3"),
            |row| Hll::read(&row.json(0)).map_or(Value::Null, Hll::count),
        ),
        eval(
            "hll_merge",
            "(hll: dynamic, other: dynamic, ...) -> dynamic",
            "Several of what `hll()` gives as one.",
            (
                "dcount_hll(hll_merge(toscalar(print x = 1 | summarize hll(x)), toscalar(print x = 2 | summarize hll(x))))",
                "2",
            ),
            merge::<Hll>,
        ),
        eval(
            "merge_tdigest",
            "(digest: dynamic, ...) -> dynamic",
            "Several of what `tdigest()` gives as one.",
            (
                "merge_tdigest(toscalar(print x = 1 | summarize tdigest(x)), toscalar(print x = 2 | summarize tdigest(x)))",
                "[\"long\",[1.0,2.0],[1,1]]",
            ),
            merge::<Digest>,
        )
        .also(&["tdigest_merge"]),
        eval(
            "percentile_tdigest",
            "(digest: dynamic, percent: real) -> dynamic",
            "The value at a percentage of those that `tdigest()` has met; a third argument, as `typeof(long)`, says the type.",
            (
                "percentile_tdigest(toscalar(range x from 1 to 9 step 1 | summarize tdigest(x)), 50, typeof(long))",
                "5",
            ),
            |row| match (digest(row), row.real(1)) {
                (Some(digest), Some(percent)) => Value::json(&digest.percentile(percent)),
                _ => Value::Null,
            },
        ),
        eval(
            "percentiles_array_tdigest",
            "(digest: dynamic, percent: any, ...) -> dynamic",
            "The values at several percentages, which may be an array.",
            (
                "percentiles_array_tdigest(toscalar(range x from 1 to 9 step 1 | summarize tdigest(x)), 50, 100)",
                "[5,9]",
            ),
            |row| {
                let Some(digest) = digest(row) else { return Value::Null };
                let percents = (1..row.len()).flat_map(|index| match row.json(index) {
                    Json::Array(percents) => percents,
                    percent => vec![percent],
                });
                let values = percents.map(|percent| match percent.as_f64() {
                    Some(percent) => digest.percentile(percent),
                    None => Json::Null,
                });
                Value::json(&values.collect())
            },
        ),
        eval(
            "rank_tdigest",
            "(digest: dynamic, value: measure) -> real",
            "How many of the values that `tdigest()` has met are no greater than this one.",
            ("rank_tdigest(toscalar(range x from 1 to 9 step 1 | summarize tdigest(x)), 4)", "4"),
            |row| rank(row).map(|(below, _)| below).into(),
        ),
        eval(
            "percentrank_tdigest",
            "(digest: dynamic, value: measure) -> real",
            "The percentage of the values that `tdigest()` has met that are no greater than this one.",
            ("percentrank_tdigest(toscalar(range x from 1 to 8 step 1 | summarize tdigest(x)), 4)", "50"),
            |row| {
                let percent = rank(row).filter(|(_, all)| *all > 0.0);
                percent.map(|(below, all)| below / all * 100.0).into()
            },
        ),
    ]
}
