//! Series: arithmetic on arrays of numbers, filling, statistics and lines.

use serde_json::Value as Json;

use super::{Function, Row, eval};
use crate::value::{Value, real_json};

/// The numbers of an array; what is no number is `None`.
pub(super) fn numbers(value: &Json) -> Option<Vec<Option<f64>>> {
    Some(value.as_array()?.iter().map(number).collect())
}

/// A number, also one that JSON can only write as a word.
fn number(value: &Json) -> Option<f64> {
    match value {
        Json::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        value => value.as_f64(),
    }
}

pub(super) fn series(values: impl IntoIterator<Item = Option<f64>>) -> Value<'static> {
    Value::json(&values.into_iter().map(|value| value.map_or(Json::Null, real_json)).collect())
}

/// The numbers of an argument with nothing missing; missing ones read as zero.
pub(super) fn filled(row: &Row<'_>, index: usize) -> Option<Vec<f64>> {
    Some(numbers(&row.json(index))?.into_iter().map(|value| value.unwrap_or(0.0)).collect())
}

fn each(row: &Row<'_>, work: impl Fn(f64) -> f64) -> Value<'static> {
    match numbers(&row.json(0)) {
        Some(values) => series(values.into_iter().map(|value| value.map(&work))),
        None => Value::Null,
    }
}

/// Whole numbers stay whole.
fn each_whole(row: &Row<'_>, whole: fn(i64) -> i64, real: fn(f64) -> f64) -> Value<'static> {
    let Json::Array(items) = row.json(0) else { return Value::Null };
    let mapped = items.iter().map(|item| match item.as_i64() {
        Some(value) => whole(value).into(),
        None => number(item).map_or(Json::Null, |value| real_json(real(value))),
    });
    Value::json(&mapped.collect())
}

/// Element by element; a scalar stands beside every element, and the longer series is filled up with nulls.
fn pairs(row: &Row<'_>) -> Option<Vec<(Option<Json>, Option<Json>)>> {
    let sides = [row.json(0), row.json(1)];
    let length = sides.iter().filter_map(|side| side.as_array().map(Vec::len)).max()?;
    let at = |side: &Json, index: usize| match side {
        Json::Array(items) => items.get(index).cloned(),
        scalar => Some(scalar.clone()),
    };
    Some((0..length).map(|index| (at(&sides[0], index), at(&sides[1], index))).collect())
}

fn arithmetic(
    row: &Row<'_>,
    whole: Option<fn(i64, i64) -> Option<i64>>,
    real: fn(f64, f64) -> f64,
) -> Value<'static> {
    let Some(pairs) = pairs(row) else { return Value::Null };
    let result = pairs.into_iter().map(|(left, right)| {
        let (Some(left), Some(right)) = (left, right) else { return Json::Null };
        if let (Some(whole), Some(left), Some(right)) = (whole, left.as_i64(), right.as_i64())
            && let Some(value) = whole(left, right)
        {
            return value.into();
        }
        match (number(&left), number(&right)) {
            (Some(left), Some(right)) => real_json(real(left, right)),
            _ => Json::Null,
        }
    });
    Value::json(&result.collect())
}

fn comparison(row: &Row<'_>, test: fn(f64, f64) -> bool) -> Value<'static> {
    let Some(pairs) = pairs(row) else { return Value::Null };
    let result = pairs.into_iter().map(|(left, right)| {
        match (left.as_ref().and_then(number), right.as_ref().and_then(number)) {
            (Some(left), Some(right)) => test(left, right).into(),
            _ => Json::Null,
        }
    });
    Value::json(&result.collect())
}

/// Whether an element is missing: null, or the placeholder given.
fn missing(item: &Json, placeholder: &Json) -> bool {
    item.is_null()
        || (!placeholder.is_null()
            && (item == placeholder || item.as_f64().is_some() && item.as_f64() == placeholder.as_f64()))
}

fn fill_forward(row: &Row<'_>) -> Value<'static> {
    let (Json::Array(mut items), placeholder) = (row.json(0), row.json(1)) else { return Value::Null };
    let mut last = None;
    for item in &mut items {
        if missing(item, &placeholder) {
            if let Some(last) = &last {
                *item = Json::clone(last);
            }
        } else {
            last = Some(item.clone());
        }
    }
    Value::json(&Json::Array(items))
}

fn fill_backward(row: &Row<'_>) -> Value<'static> {
    let (Json::Array(mut items), placeholder) = (row.json(0), row.json(1)) else { return Value::Null };
    let mut last = None;
    for item in items.iter_mut().rev() {
        if missing(item, &placeholder) {
            if let Some(last) = &last {
                *item = Json::clone(last);
            }
        } else {
            last = Some(item.clone());
        }
    }
    Value::json(&Json::Array(items))
}

fn fill_const(row: &Row<'_>) -> Value<'static> {
    let (Json::Array(mut items), fill, placeholder) = (row.json(0), row.json(1), row.json(2)) else {
        return Value::Null;
    };
    let whole = items.iter().any(Json::is_i64) && !items.iter().any(Json::is_f64);
    let fill = if fill.is_null() { if whole { 0.into() } else { real_json(0.0) } } else { fill };
    let fill = match fill.as_f64().and_then(super::convert::truncate) {
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
        Some(value) if whole => super::convert::truncate(value).map_or(Json::Null, Json::from),
        Some(value) => real_json(value),
    });
    Value::json(&result.collect())
}

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

/// A line through points one apart.
pub(super) struct Line {
    pub(super) slope: f64,
    pub(super) interception: f64,
    pub(super) variance: f64,
    pub(super) residual_variance: f64,
}

impl Line {
    pub(super) fn at(&self, index: usize) -> f64 {
        self.interception + self.slope * index as f64
    }

    /// How much of the variance the line explains.
    fn r_square(&self) -> f64 {
        if self.variance == 0.0 { 0.0 } else { 1.0 - self.residual_variance / self.variance }
    }
}

/// The line of least squares.
pub(super) fn line(values: &[f64]) -> Line {
    let count = values.len() as f64;
    if values.is_empty() {
        return Line { slope: 0.0, interception: 0.0, variance: 0.0, residual_variance: 0.0 };
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
    let interception = mean - slope * middle;
    let rest: f64 = values
        .iter()
        .enumerate()
        .map(|(index, value)| value - interception - slope * index as f64)
        .map(|rest| rest * rest)
        .sum();
    Line { slope, interception, variance: squares / count, residual_variance: rest / count }
}

fn fit_line(row: &Row<'_>) -> Option<[Json; 6]> {
    let values = filled(row, 0)?;
    let line = line(&values);
    Some([
        real_json(line.r_square()),
        real_json(line.slope),
        real_json(line.variance),
        real_json(line.residual_variance),
        real_json(line.interception),
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
        let rest = line(left).residual_variance * left.len() as f64
            + line(right).residual_variance * right.len() as f64;
        if best.is_none_or(|(least, _)| rest < least) {
            best = Some((rest, split));
        }
    }
    let (rest, split) = best?;
    let residual = rest / values.len() as f64;
    let (left_values, right_values) = values.split_at(split);
    let (left, right) = (line(left_values), line(right_values));
    let fit = (0..left_values.len())
        .map(|index| left.at(index))
        .chain((0..right_values.len()).map(|index| right.at(index)));
    let r_square = if whole.variance == 0.0 { 0.0 } else { 1.0 - residual / whole.variance };
    Some(vec![
        real_json(r_square),
        split.into(),
        real_json(whole.variance),
        real_json(residual),
        fit.map(real_json).collect(),
        real_json(right.r_square()),
        real_json(right.slope),
        real_json(right.interception),
        real_json(right.variance),
        real_json(right.residual_variance),
        real_json(left.r_square()),
        real_json(left.slope),
        real_json(left.interception),
        real_json(left.variance),
        real_json(left.residual_variance),
    ])
}

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

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
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
            "series_add",
            "(left: any, right: any) -> dynamic",
            "The sums, element by element.",
            ("series_add(dynamic([1, 2]), dynamic([3, 4]))", "[4,6]"),
            |row| arithmetic(row, Some(i64::checked_add), |left, right| left + right),
        ),
        eval(
            "series_subtract",
            "(left: any, right: any) -> dynamic",
            "The differences, element by element.",
            ("series_subtract(dynamic([3, 4]), dynamic([1, 1]))", "[2,3]"),
            |row| arithmetic(row, Some(i64::checked_sub), |left, right| left - right),
        ),
        eval(
            "series_multiply",
            "(left: any, right: any) -> dynamic",
            "The products, element by element.",
            ("series_multiply(dynamic([1, 2]), dynamic([3, 4]))", "[3,8]"),
            |row| arithmetic(row, Some(i64::checked_mul), |left, right| left * right),
        ),
        eval(
            "series_divide",
            "(left: any, right: any) -> dynamic",
            "The quotients, element by element.",
            ("series_divide(dynamic([1, 2]), dynamic([2, 4]))", "[0.5,0.5]"),
            |row| arithmetic(row, None, |left, right| left / right),
        ),
        eval(
            "series_pow",
            "(base: any, exponent: any) -> dynamic",
            "The powers, element by element.",
            ("series_pow(dynamic([2, 3]), 2)", "[4.0,9.0]"),
            |row| arithmetic(row, None, f64::powf),
        ),
        eval(
            "series_equals",
            "(left: any, right: any) -> dynamic",
            "Whether the elements are equal.",
            ("series_equals(dynamic([1, 2]), dynamic([1, 3]))", "[true,false]"),
            |row| comparison(row, |left, right| left == right),
        ),
        eval(
            "series_not_equals",
            "(left: any, right: any) -> dynamic",
            "Whether the elements differ.",
            ("series_not_equals(dynamic([1, 2]), dynamic([1, 3]))", "[false,true]"),
            |row| comparison(row, |left, right| left != right),
        ),
        eval(
            "series_less",
            "(left: any, right: any) -> dynamic",
            "Whether the left elements are less.",
            ("series_less(dynamic([1, 2]), dynamic([2, 2]))", "[true,false]"),
            |row| comparison(row, |left, right| left < right),
        ),
        eval(
            "series_less_equals",
            "(left: any, right: any) -> dynamic",
            "Whether the left elements are less or equal.",
            ("series_less_equals(dynamic([1, 3]), dynamic([1, 2]))", "[true,false]"),
            |row| comparison(row, |left, right| left <= right),
        ),
        eval(
            "series_greater",
            "(left: any, right: any) -> dynamic",
            "Whether the left elements are greater.",
            ("series_greater(dynamic([3, 2]), dynamic([2, 2]))", "[true,false]"),
            |row| comparison(row, |left, right| left > right),
        ),
        eval(
            "series_greater_equals",
            "(left: any, right: any) -> dynamic",
            "Whether the left elements are greater or equal.",
            ("series_greater_equals(dynamic([2, 1]), dynamic([2, 2]))", "[true,false]"),
            |row| comparison(row, |left, right| left >= right),
        ),
        eval(
            "series_abs",
            "(series: dynamic) -> dynamic",
            "The elements without their signs.",
            ("series_abs(dynamic([-1, 2]))", "[1,2]"),
            |row| each_whole(row, i64::saturating_abs, f64::abs),
        ),
        eval(
            "series_sign",
            "(series: dynamic) -> dynamic",
            "-1, 0 or 1 for each element.",
            ("series_sign(dynamic([-6, 0, 8]))", "[-1,0,1]"),
            |row| each_whole(row, i64::signum, |value| if value == 0.0 { 0.0 } else { value.signum() }),
        ),
        eval(
            "series_floor",
            "(series: dynamic) -> dynamic",
            "The elements rounded down.",
            ("series_floor(dynamic([1.5]))", "[1.0]"),
            |row| each(row, f64::floor),
        ),
        eval(
            "series_ceiling",
            "(series: dynamic) -> dynamic",
            "The elements rounded up.",
            ("series_ceiling(dynamic([1.5]))", "[2.0]"),
            |row| each(row, f64::ceil),
        ),
        eval(
            "series_exp",
            "(series: dynamic) -> dynamic",
            "e to the power of the elements.",
            ("series_exp(dynamic([0]))", "[1.0]"),
            |row| each(row, f64::exp),
        ),
        eval(
            "series_log",
            "(series: dynamic) -> dynamic",
            "The natural logarithms.",
            ("series_log(dynamic([1]))", "[0.0]"),
            |row| each(row, f64::ln),
        ),
        eval(
            "series_sin",
            "(series: dynamic) -> dynamic",
            "The sines.",
            ("series_sin(dynamic([0]))", "[0.0]"),
            |row| each(row, f64::sin),
        ),
        eval(
            "series_cos",
            "(series: dynamic) -> dynamic",
            "The cosines.",
            ("series_cos(dynamic([0]))", "[1.0]"),
            |row| each(row, f64::cos),
        ),
        eval(
            "series_tan",
            "(series: dynamic) -> dynamic",
            "The tangents.",
            ("series_tan(dynamic([0]))", "[0.0]"),
            |row| each(row, f64::tan),
        ),
        eval(
            "series_asin",
            "(series: dynamic) -> dynamic",
            "The angles whose sines these are.",
            ("series_asin(dynamic([0]))", "[0.0]"),
            |row| each(row, f64::asin),
        ),
        eval(
            "series_acos",
            "(series: dynamic) -> dynamic",
            "The angles whose cosines these are.",
            ("series_acos(dynamic([1]))", "[0.0]"),
            |row| each(row, f64::acos),
        ),
        eval(
            "series_atan",
            "(series: dynamic) -> dynamic",
            "The angles whose tangents these are.",
            ("series_atan(dynamic([0]))", "[0.0]"),
            |row| each(row, f64::atan),
        ),
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
        eval(
            "series_sum",
            "(series: dynamic) -> real",
            "The sum.",
            ("series_sum(dynamic([1, 2]))", "3"),
            |row| numbers(&row.json(0)).map(|values| values.into_iter().flatten().sum::<f64>()).into(),
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
            |row| two(row).map(|(left, right)| dot(&left, &right)).into(),
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
            ("series_stats(dynamic([1, 3]))", "[1.0,0,3.0,1,2.0,1.4142135623730951,2.0]"),
            stats,
        ),
        eval(
            "series_stats_dynamic",
            "(series: dynamic, [ignore_nonfinite: bool]) -> dynamic",
            "The statistics of a series as a bag.",
            ("series_stats_dynamic(dynamic([1, 3])).avg", "2.0"),
            stats_bag,
        ),
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
