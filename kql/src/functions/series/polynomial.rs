//! A polynomial through a series.

use serde_json::Value as Json;

use super::lines::of_sample;
use super::{Function, Row, eval, filled};
use crate::value::{Value, real_json};

/// The highest degree; beyond it a fit says nothing in doubles.
const MAX_DEGREE: i64 = 20;

/// The polynomial of least squares: its coefficients, those of high powers first.
///
/// By Householder's reflections, which lose far less than the normal equations do.
fn fit(xs: &[f64], ys: &[f64], degree: usize) -> Option<Vec<f64>> {
    let width = degree + 1;
    if xs.len() < width {
        return None;
    }
    // Columns of powers, the highest first.
    let mut columns: Vec<Vec<f64>> = (0..width)
        .map(|column| {
            let power = i32::try_from(degree - column).unwrap_or(0);
            xs.iter().map(|x| x.powi(power)).collect()
        })
        .collect();
    let mut right = ys.to_vec();
    let mut diagonal = vec![0.0; width];
    for at in 0..width {
        let norm = columns[at][at..].iter().map(|value| value * value).sum::<f64>().sqrt();
        if !norm.is_finite() || norm == 0.0 {
            return None;
        }
        let reflected = if columns[at][at] > 0.0 { -norm } else { norm };
        let mut normal: Vec<f64> = columns[at][at..].to_vec();
        normal[0] -= reflected;
        let length: f64 = normal.iter().map(|value| value * value).sum();
        diagonal[at] = reflected;
        let reflect = |column: &mut [f64]| {
            let along: f64 = normal.iter().zip(column.iter()).map(|(left, right)| left * right).sum();
            for (value, normal) in column.iter_mut().zip(&normal) {
                *value -= 2.0 * along / length * normal;
            }
        };
        for column in &mut columns[at + 1..] {
            reflect(&mut column[at..]);
        }
        reflect(&mut right[at..]);
    }
    let mut coefficients = vec![0.0; width];
    for at in (0..width).rev() {
        let known: f64 = (at + 1..width).map(|column| columns[column][at] * coefficients[column]).sum();
        coefficients[at] = (right[at] - known) / diagonal[at];
    }
    Some(coefficients)
}

fn fit_poly(row: &Row<'_>) -> Option<[Json; 5]> {
    let ys = filled(row, 0)?;
    let xs = match row.len() {
        1 => (1..=ys.len()).map(|x| x as f64).collect(),
        _ => filled(row, 1)?,
    };
    let degree = if row.len() > 2 { row.long(2)? } else { 1 };
    if xs.len() != ys.len() || !(0..=MAX_DEGREE).contains(&degree) {
        return None;
    }
    let coefficients = fit(&xs, &ys, usize::try_from(degree).ok()?)?;
    let fitted: Vec<f64> =
        xs.iter().map(|x| coefficients.iter().fold(0.0, |sum, coefficient| sum * x + coefficient)).collect();
    let mean = ys.iter().sum::<f64>() / ys.len() as f64;
    let squares = ys.iter().map(|y| (y - mean) * (y - mean)).sum::<f64>();
    let rest = ys.iter().zip(&fitted).map(|(y, fit)| (y - fit) * (y - fit)).sum::<f64>();
    Some([
        real_json(if squares == 0.0 { 0.0 } else { 1.0 - rest / squares }),
        coefficients.into_iter().map(real_json).collect(),
        real_json(of_sample(squares, ys.len())),
        real_json(of_sample(rest, ys.len())),
        fitted.into_iter().map(real_json).collect(),
    ])
}

pub(super) fn functions() -> Vec<Function> {
    vec![eval(
        "series_fit_poly",
        "(series: dynamic, [x: dynamic], [degree: long]) -> dynamic",
        "The polynomial of least squares over x, by default 1, 2 …, of a degree up to 20, by default 1: r², coefficients \
         from the highest power, variance, residual variance and fit, each a column.",
        ("round(toreal(series_fit_poly(dynamic([2, 5, 10]), dynamic([1, 2, 3]), 2)[1][0]), 9)", "1"),
        |row| fit_poly(row).map_or(Value::Null, |parts| Value::json(&parts.into_iter().collect())),
    )]
}
