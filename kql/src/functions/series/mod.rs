//! Series: functions over arrays of numbers.

mod arithmetic;
mod decompose;
mod fill;
mod filter;
mod fourier;
mod lines;
mod polynomial;
mod statistics;

use serde_json::Value as Json;

use super::{Function, Row, convert, eval};
use crate::value::{Value, real_json};

/// The numbers of an array; what is no number is `None`.
fn numbers(value: &Json) -> Option<Vec<Option<f64>>> {
    Some(value.as_array()?.iter().map(number).collect())
}

/// A number, also one that JSON can only write as a word or a time.
pub(crate) fn number(value: &Json) -> Option<f64> {
    match value {
        Json::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            // A point in time counts as its ticks.
            text if text.as_bytes().get(4) == Some(&b'-') => {
                crate::time::parse_datetime(text).map(|ticks| ticks as f64)
            }
            _ => None,
        },
        value => value.as_f64(),
    }
}

fn series(values: impl IntoIterator<Item = Option<f64>>) -> Value<'static> {
    Value::json(&values.into_iter().map(|value| value.map_or(Json::Null, real_json)).collect())
}

/// The numbers of an argument with nothing missing; missing ones read as zero.
fn filled(row: &Row<'_>, index: usize) -> Option<Vec<f64>> {
    Some(numbers(&row.json(index))?.into_iter().map(|value| value.unwrap_or(0.0)).collect())
}

pub(super) fn functions() -> Vec<Function> {
    let files = [
        arithmetic::functions,
        fill::functions,
        statistics::functions,
        lines::functions,
        polynomial::functions,
        filter::functions,
        fourier::functions,
    ];
    files.into_iter().flat_map(|functions| functions()).collect()
}

pub(super) fn seasons() -> Vec<Function> {
    decompose::functions()
}
