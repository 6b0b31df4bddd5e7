//! Arithmetic and comparison, element by element.

use serde_json::Value as Json;

use super::{Function, Row, eval, number, numbers, series};
use crate::value::{Value, real_json};

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
    ]
}
