//! Lines through a series.

use serde_json::Value as Json;

use super::{Function, Row, eval, filled};
use crate::value::{Value, real_json};

/// A line through points one apart.
pub(super) struct Line {
    pub(super) slope: f64,
    /// The line at the first point.
    first: f64,
    points: usize,
    /// The squares of the points' distances from their mean, added up.
    squares: f64,
    /// The squares of their distances from the line.
    rest: f64,
}

impl Line {
    pub(super) fn at(&self, index: usize) -> f64 {
        self.first + self.slope * index as f64
    }

    /// Where the line is one step before the first point, because Kusto counts steps from one.
    fn interception(&self) -> f64 {
        self.first - self.slope
    }

    fn variance(&self) -> f64 {
        of_sample(self.squares, self.points)
    }

    fn residual_variance(&self) -> f64 {
        of_sample(self.rest, self.points)
    }

    /// How much of the variance the line explains.
    fn r_square(&self) -> f64 {
        if self.squares == 0.0 { 0.0 } else { 1.0 - self.rest / self.squares }
    }
}

/// The variance of a sample, by its squares.
pub(super) fn of_sample(squares: f64, count: usize) -> f64 {
    squares / count.saturating_sub(1).max(1) as f64
}

/// The line of least squares.
pub(super) fn line(values: &[f64]) -> Line {
    let count = values.len() as f64;
    if values.is_empty() {
        return Line { slope: 0.0, first: 0.0, points: 0, squares: 0.0, rest: 0.0 };
    }
    let middle = (count - 1.0) / 2.0;
    let mean = values.iter().sum::<f64>() / count;
    let (mut across, mut along, mut squares) = (0.0, 0.0, 0.0);
    for (index, value) in values.iter().enumerate() {
        let x = index as f64 - middle;
        across += x * (value - mean);
        along += x * x;
        squares += (value - mean) * (value - mean);
    }
    let slope = if along == 0.0 { 0.0 } else { across / along };
    let first = mean - slope * middle;
    let rest: f64 = values
        .iter()
        .enumerate()
        .map(|(index, value)| value - first - slope * index as f64)
        .map(|rest| rest * rest)
        .sum();
    Line { slope, first, points: values.len(), squares, rest }
}

fn fit_line(row: &Row<'_>) -> Option<[Json; 6]> {
    let values = filled(row, 0)?;
    let line = line(&values);
    Some([
        real_json(line.r_square()),
        real_json(line.slope),
        real_json(line.variance()),
        real_json(line.residual_variance()),
        real_json(line.interception()),
        (0..values.len()).map(|index| real_json(line.at(index))).collect(),
    ])
}

/// Two lines, split where they fit best together.
fn fit_2lines(row: &Row<'_>) -> Option<Vec<Json>> {
    let values = filled(row, 0)?;
    let whole = line(&values);
    let mut best: Option<(f64, usize)> = None;
    for split in 1..values.len() {
        let (left, right) = values.split_at(split);
        let rest = line(left).rest + line(right).rest;
        if best.is_none_or(|(least, _)| rest < least) {
            best = Some((rest, split));
        }
    }
    let (rest, split) = best?;
    let (left_values, right_values) = values.split_at(split);
    let (left, right) = (line(left_values), line(right_values));
    let fit = (0..left_values.len())
        .map(|index| left.at(index))
        .chain((0..right_values.len()).map(|index| right.at(index)));
    let r_square = if whole.squares == 0.0 { 0.0 } else { 1.0 - rest / whole.squares };
    let mut parts = vec![
        real_json(r_square),
        split.into(),
        real_json(whole.variance()),
        real_json(of_sample(rest, values.len())),
        fit.map(real_json).collect(),
    ];
    for side in [right, left] {
        parts.extend([
            real_json(side.r_square()),
            real_json(side.slope),
            real_json(side.interception()),
            real_json(side.variance()),
            real_json(side.residual_variance()),
        ]);
    }
    Some(parts)
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        eval(
            "series_fit_line",
            "(series: dynamic) -> dynamic",
            "The line of least squares: r², slope, variance, residual variance, interception and line, each a column.",
            ("series_fit_line(dynamic([1, 2, 3]))[1]", "1.0"),
            |row| fit_line(row).map_or(Value::Null, |parts| Value::json(&parts.into_iter().collect())),
        ),
        eval(
            "series_fit_line_dynamic",
            "(series: dynamic) -> dynamic",
            "The line of least squares as a bag.",
            ("series_fit_line_dynamic(dynamic([1, 2, 3])).slope", "1.0"),
            |row| {
                let names = ["rsquare", "slope", "variance", "rvariance", "interception", "line_fit"];
                fit_line(row).map_or(Value::Null, |parts| {
                    Value::json(&Json::Object(
                        names.iter().map(|name| (*name).to_owned()).zip(parts).collect(),
                    ))
                })
            },
        ),
        eval(
            "series_fit_2lines",
            "(series: dynamic) -> dynamic",
            "The two lines that fit best, and where they part, each a column.",
            ("series_fit_2lines(dynamic([1, 1, 1, 5, 5, 5]))[1]", "3"),
            |row| fit_2lines(row).map_or(Value::Null, |parts| Value::json(&Json::Array(parts))),
        ),
        eval(
            "series_fit_2lines_dynamic",
            "(series: dynamic) -> dynamic",
            "The two lines that fit best, and where they part, as a bag.",
            ("series_fit_2lines_dynamic(dynamic([1, 1, 1, 5, 5, 5])).split_idx", "3"),
            |row| {
                let names = crate::functions::tuple_of("series_fit_2lines").unwrap_or_default();
                fit_2lines(row).map_or(Value::Null, |parts| {
                    let names = names.iter().map(|(name, _)| (*name).to_owned());
                    Value::json(&Json::Object(names.zip(parts).collect()))
                })
            },
        ),
    ]
}
