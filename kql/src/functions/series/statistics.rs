//! Sums, products and statistics of a series, and how two go together.

use super::{Function, Row, eval, filled, numbers};
use crate::value::{Value, real_json};

/// Count, mean and variance of the numbers, and where the least and the greatest are.
struct Summary {
    least: (f64, usize),
    greatest: (f64, usize),
    mean: f64,
    variance: f64,
    sum: f64,
    count: usize,
}

fn summary(values: &[Option<f64>]) -> Option<Summary> {
    let present: Vec<(usize, f64)> =
        values.iter().enumerate().filter_map(|(index, value)| Some((index, (*value)?))).collect();
    let (first, value) = *present.first()?;
    let (mut least, mut greatest, mut sum) = ((value, first), (value, first), 0.0);
    for (index, value) in &present {
        if *value < least.0 {
            least = (*value, *index);
        }
        if *value > greatest.0 {
            greatest = (*value, *index);
        }
        sum += value;
    }
    let mean = sum / present.len() as f64;
    let squares: f64 = present.iter().map(|(_, value)| (value - mean) * (value - mean)).sum();
    let variance = if present.len() > 1 { squares / (present.len() - 1) as f64 } else { 0.0 };
    Some(Summary { least, greatest, mean, variance, sum, count: present.len() })
}

fn stats(row: &Row<'_>) -> Value<'static> {
    match numbers(&row.json(0)).as_deref().and_then(summary) {
        None => Value::Null,
        Some(found) => Value::json(&serde_json::json!([
            real_json(found.least.0),
            found.least.1,
            real_json(found.greatest.0),
            found.greatest.1,
            real_json(found.mean),
            real_json(found.variance.sqrt()),
            real_json(found.variance),
        ])),
    }
}

fn stats_bag(row: &Row<'_>) -> Value<'static> {
    match numbers(&row.json(0)).as_deref().and_then(summary) {
        None => Value::Null,
        Some(found) => Value::json(&serde_json::json!({
            "min": real_json(found.least.0),
            "min_idx": found.least.1,
            "max": real_json(found.greatest.0),
            "max_idx": found.greatest.1,
            "avg": real_json(found.mean),
            "variance": real_json(found.variance),
            "stdev": real_json(found.variance.sqrt()),
            "sum": real_json(found.sum),
            "len": found.count,
        })),
    }
}

/// The sum of no reals at all would be -0.0 by the standard library.
fn sum(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |sum, value| sum + value)
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    sum(left.iter().zip(right).map(|(left, right)| left * right))
}

fn two(row: &Row<'_>) -> Option<(Vec<f64>, Vec<f64>)> {
    filled(row, 0).zip(filled(row, 1)).filter(|(left, right)| left.len() == right.len())
}

fn pearson(left: &[f64], right: &[f64]) -> f64 {
    let count = left.len() as f64;
    let (left_mean, right_mean) = (left.iter().sum::<f64>() / count, right.iter().sum::<f64>() / count);
    let (mut both, mut of_left, mut of_right) = (0.0, 0.0, 0.0);
    for (left, right) in left.iter().zip(right) {
        both += (left - left_mean) * (right - right_mean);
        of_left += (left - left_mean) * (left - left_mean);
        of_right += (right - right_mean) * (right - right_mean);
    }
    both / (of_left * of_right).sqrt()
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        eval(
            "series_sum",
            "(series: dynamic) -> real",
            "The sum.",
            ("series_sum(dynamic([1, 2]))", "3"),
            |row| numbers(&row.json(0)).map(|values| sum(values.into_iter().flatten())).into(),
        ),
        eval(
            "series_product",
            "(series: dynamic) -> real",
            "The product.",
            ("series_product(dynamic([2, 3]))", "6"),
            |row| numbers(&row.json(0)).map(|values| values.into_iter().flatten().product::<f64>()).into(),
        ),
        eval(
            "series_magnitude",
            "(series: dynamic) -> real",
            "The length of the vector.",
            ("series_magnitude(dynamic([3, 4]))", "5"),
            |row| filled(row, 0).map(|values| dot(&values, &values).sqrt()).into(),
        ),
        eval(
            "series_dot_product",
            "(left: any, right: any) -> real",
            "The sum of the products.",
            ("series_dot_product(dynamic([1, 2]), dynamic([3, 4]))", "11"),
            |row| match (row.real(0), row.real(1)) {
                (None, Some(factor)) => {
                    filled(row, 0).map(|values| values.iter().map(|value| value * factor).sum::<f64>()).into()
                }
                (Some(factor), None) => {
                    filled(row, 1).map(|values| values.iter().map(|value| factor * value).sum::<f64>()).into()
                }
                _ => two(row).map(|(left, right)| dot(&left, &right)).into(),
            },
        ),
        eval(
            "series_cosine_similarity",
            "(left: dynamic, right: dynamic, [left_magnitude: real], [right_magnitude: real]) -> real",
            "The cosine of the angle between two vectors.",
            ("series_cosine_similarity(dynamic([1, 0]), dynamic([2, 0]))", "1"),
            |row| {
                two(row)
                    .map(|(left, right)| {
                        dot(&left, &right) / (dot(&left, &left).sqrt() * dot(&right, &right).sqrt())
                    })
                    .into()
            },
        ),
        eval(
            "series_pearson_correlation",
            "(left: dynamic, right: dynamic) -> real",
            "How far two series go together.",
            ("series_pearson_correlation(dynamic([1, 2, 3]), dynamic([2, 4, 6]))", "1"),
            |row| two(row).map(|(left, right)| (pearson(&left, &right) * 1e12).round() / 1e12).into(),
        ),
        eval(
            "series_stats",
            "(series: dynamic, [ignore_nonfinite: bool]) -> dynamic",
            "Least and greatest value with their places, mean, standard deviation and variance, each a column.",
            ("series_stats(dynamic([1, 3]))[5]", "1.4142135623730951"),
            stats,
        ),
        eval(
            "series_stats_dynamic",
            "(series: dynamic, [ignore_nonfinite: bool]) -> dynamic",
            "The statistics of a series as a bag.",
            ("series_stats_dynamic(dynamic([1, 3])).avg", "2.0"),
            stats_bag,
        ),
    ]
}
