//! Filters over a series.

use super::{Function, Row, eval, filled, series};
use crate::value::Value;

/// A filter with a finite response.
fn fir(row: &Row<'_>) -> Value<'static> {
    let (Some(values), Some(mut filter)) = (filled(row, 0), filled(row, 1)) else { return Value::Null };
    let sum: f64 = filter.iter().sum();
    if row.bool(2).unwrap_or(!filter.iter().any(|weight| *weight < 0.0)) && sum != 0.0 {
        filter.iter_mut().for_each(|weight| *weight /= sum);
    }
    let shift = if row.bool(3).unwrap_or(false) { filter.len() / 2 } else { 0 };
    let at = |index: usize| -> f64 {
        filter
            .iter()
            .enumerate()
            .filter_map(|(lag, weight)| Some(weight * values.get((index + shift).checked_sub(lag)?)?))
            .sum()
    };
    series((0..values.len()).map(|index| Some(at(index))))
}

/// A filter that feeds its results back.
fn iir(row: &Row<'_>) -> Value<'static> {
    let (Some(values), Some(forward), Some(back)) = (filled(row, 0), filled(row, 1), filled(row, 2)) else {
        return Value::Null;
    };
    let Some(first) = back.first().copied().filter(|first| *first != 0.0) else { return Value::Null };
    let mut out: Vec<f64> = Vec::with_capacity(values.len());
    for index in 0..values.len() {
        let taken = |weights: &[f64], from: &[f64], skip: usize| -> f64 {
            weights
                .iter()
                .enumerate()
                .skip(skip)
                .filter_map(|(lag, weight)| Some(weight * from.get(index.checked_sub(lag)?)?))
                .sum()
        };
        let value = (taken(&forward, &values, 0) - taken(&back, &out, 1)) / first;
        out.push(value);
    }
    series(out.into_iter().map(Some))
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        eval(
            "series_fir",
            "(series: dynamic, filter: dynamic, [normalize: bool], [center: bool]) -> dynamic",
            "The series under a filter with a finite response.",
            ("series_fir(dynamic([2, 4, 6]), dynamic([1, 1]))", "[1.0,3.0,5.0]"),
            fir,
        ),
        eval(
            "series_iir",
            "(series: dynamic, numerators: dynamic, denominators: dynamic) -> dynamic",
            "The series under a filter that feeds back.",
            ("series_iir(dynamic([1, 1, 1]), dynamic([1]), dynamic([1, -1]))", "[1.0,2.0,3.0]"),
            iir,
        ),
    ]
}
