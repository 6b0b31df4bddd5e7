//! Filling what is missing in a series.

use serde_json::Value as Json;

use super::{Function, Row, convert::truncate, eval, number};
use crate::value::{Value, real_json};

/// Whether an element is missing: null, or the placeholder given.
fn missing(item: &Json, placeholder: &Json) -> bool {
    item.is_null()
        || (!placeholder.is_null()
            && (item == placeholder || item.as_f64().is_some() && item.as_f64() == placeholder.as_f64()))
}

fn fill_forward(row: &Row<'_>) -> Value<'static> {
    let (Json::Array(mut items), placeholder) = (row.json(0), row.json(1)) else { return Value::Null };
    carry(items.iter_mut(), &placeholder);
    Value::json(&Json::Array(items))
}

fn fill_backward(row: &Row<'_>) -> Value<'static> {
    let (Json::Array(mut items), placeholder) = (row.json(0), row.json(1)) else { return Value::Null };
    carry(items.iter_mut().rev(), &placeholder);
    Value::json(&Json::Array(items))
}

/// Puts the last value that was there in the place of those that are missing after it.
fn carry<'a>(items: impl Iterator<Item = &'a mut Json>, placeholder: &Json) {
    let mut last = None;
    for item in items {
        if !missing(item, placeholder) {
            last = Some(item.clone());
        } else if let Some(last) = &last {
            item.clone_from(last);
        }
    }
}

fn fill_const(row: &Row<'_>) -> Value<'static> {
    let (Json::Array(mut items), fill, placeholder) = (row.json(0), row.json(1), row.json(2)) else {
        return Value::Null;
    };
    let whole = items.iter().any(Json::is_i64) && !items.iter().any(Json::is_f64);
    let fill = if fill.is_null() { if whole { 0.into() } else { real_json(0.0) } } else { fill };
    let fill = match fill.as_f64().and_then(truncate) {
        Some(number) if whole => number.into(),
        _ => fill,
    };
    for item in &mut items {
        if missing(item, &placeholder) {
            *item = fill.clone();
        }
    }
    Value::json(&Json::Array(items))
}

/// Missing values on the line between their neighbours.
fn fill_linear(row: &Row<'_>) -> Value<'static> {
    let (Json::Array(items), placeholder) = (row.json(0), row.json(1)) else { return Value::Null };
    let edges = row.bool(2).unwrap_or(true);
    let constant = row.real(3).unwrap_or(0.0);
    let whole = items.iter().any(Json::is_i64) && !items.iter().any(Json::is_f64);
    let known: Vec<(usize, f64)> = items
        .iter()
        .enumerate()
        .filter(|(_, item)| !missing(item, &placeholder))
        .filter_map(|(index, item)| Some((index, number(item)?)))
        .collect();
    let value = |index: usize| -> Option<f64> {
        if known.is_empty() {
            return Some(constant);
        }
        let after = known.partition_point(|(at, _)| *at <= index);
        match (after.checked_sub(1).map(|at| known[at]), known.get(after)) {
            (Some((at, value)), _) if at == index => Some(value),
            (Some((left, from)), Some((right, to))) => {
                Some(from + (to - from) * (index - left) as f64 / (right - left) as f64)
            }
            (Some((_, value)), None) => edges.then_some(value),
            (None, Some((_, value))) => edges.then_some(*value),
            (None, None) => None,
        }
    };
    let result = (0..items.len()).map(|index| match value(index) {
        None => Json::Null,
        Some(value) if whole => truncate(value).map_or(Json::Null, Json::from),
        Some(value) => real_json(value),
    });
    Value::json(&result.collect())
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        eval(
            "series_fill_forward",
            "(series: dynamic, [missing: any]) -> dynamic",
            "Missing values taken from the one before.",
            ("series_fill_forward(dynamic([1, null]))", "[1,1]"),
            fill_forward,
        ),
        eval(
            "series_fill_backward",
            "(series: dynamic, [missing: any]) -> dynamic",
            "Missing values taken from the one after.",
            ("series_fill_backward(dynamic([null, 1]))", "[1,1]"),
            fill_backward,
        ),
        eval(
            "series_fill_const",
            "(series: dynamic, [value: any], [missing: any]) -> dynamic",
            "Missing values replaced by a constant.",
            ("series_fill_const(dynamic([1, null]), 0)", "[1,0]"),
            fill_const,
        ),
        eval(
            "series_fill_linear",
            "(series: dynamic, [missing: any], [edges: bool], [constant: any]) -> dynamic",
            "Missing values on the line between their neighbours.",
            ("series_fill_linear(dynamic([1.0, null, 3.0]))", "[1.0,2.0,3.0]"),
            fill_linear,
        ),
    ]
}
