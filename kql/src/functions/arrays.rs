//! Arrays and sets.

use std::cmp::Ordering;
use std::collections::HashSet;

use serde_json::Value as Json;

use super::convert::string_of;
use super::{Function, Row, eval};
use crate::time;
use crate::types::KqlType;
use crate::value::{Value, real_json};

fn array(items: Vec<Json>) -> Value<'static> {
    Value::from(Json::Array(items).to_string())
}

/// Numbers before strings before the rest; nulls last either way, as in Kusto's sorting of arrays.
pub(crate) fn compare(left: &Json, right: &Json) -> Ordering {
    match (left, right) {
        (Json::Number(left), Json::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(Ordering::Equal),
        },
        (Json::String(left), Json::String(right)) => left.cmp(right),
        (Json::Bool(left), Json::Bool(right)) => left.cmp(right),
        (left, right) => rank(left).cmp(&rank(right)),
    }
}

fn rank(value: &Json) -> u8 {
    match value {
        Json::Number(_) => 0,
        Json::Bool(_) => 1,
        Json::String(_) => 2,
        Json::Array(_) => 3,
        Json::Object(_) => 4,
        Json::Null => 5,
    }
}

/// Sorts the first array, and the others along with it.
fn sort(row: &Row<'_>, descending: bool) -> Value<'static> {
    let mut arrays: Vec<Vec<Json>> = Vec::new();
    let mut nulls_last = true;
    for index in 0..row.len() {
        if row.kind(index) == KqlType::Bool {
            nulls_last = row.bool(index).unwrap_or(true);
        } else {
            arrays.push(row.array(index).unwrap_or_default());
        }
    }
    let Some(first) = arrays.first() else { return Value::Null };
    if row.array(0).is_none() {
        return Value::Null;
    }
    let mut order: Vec<usize> = (0..first.len()).collect();
    order.sort_by(|left, right| {
        let (left, right) = (&first[*left], &first[*right]);
        match (left.is_null(), right.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) => {
                if nulls_last {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (false, true) => {
                if nulls_last {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            _ if descending => compare(right, left),
            _ => compare(left, right),
        }
    });
    let length = first.len();
    let sorted: Vec<Json> = arrays
        .iter()
        .map(|items| {
            if items.len() != length {
                return Json::Null;
            }
            Json::Array(order.iter().map(|at| items[*at].clone()).collect())
        })
        .collect();
    match <[Json; 1]>::try_from(sorted) {
        Ok([only]) => Value::json(&only),
        Err(several) => array(several),
    }
}

/// An index that may count from the end, brought into the array.
fn place(index: i64, length: usize) -> i64 {
    if index < 0 { index.saturating_add(i64::try_from(length).unwrap_or(i64::MAX)) } else { index }
}

fn slice(row: &Row<'_>) -> Value<'static> {
    let Some(items) = row.array(0) else { return Value::Null };
    let (Some(start), Some(end)) = (row.long(1), row.long(2)) else { return Value::Null };
    let start = usize::try_from(place(start, items.len()).max(0)).unwrap_or(usize::MAX);
    let end = place(end, items.len());
    let Ok(end) = usize::try_from(end) else { return array(Vec::new()) };
    let count = end.saturating_add(1).saturating_sub(start);
    array(items.into_iter().skip(start).take(count).collect())
}

fn shift(row: &Row<'_>, left: bool) -> Value<'static> {
    let (Some(items), Some(by)) = (row.array(0), row.long(1)) else { return Value::Null };
    let by = if left { by } else { by.saturating_neg() };
    let fill = if row.len() > 2 {
        row.json(2)
    } else if items.iter().any(Json::is_string) {
        Json::from("")
    } else {
        Json::Null
    };
    let shifted = (0..items.len()).map(|index| {
        let from = i64::try_from(index).unwrap_or(i64::MAX).saturating_add(by);
        let item = usize::try_from(from).ok().and_then(|from| items.get(from));
        item.unwrap_or(&fill).clone()
    });
    array(shifted.collect())
}

fn rotate(row: &Row<'_>, left: bool) -> Value<'static> {
    let (Some(mut items), Some(by)) = (row.array(0), row.long(1)) else { return Value::Null };
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    if length > 0 {
        let by = usize::try_from(by.rem_euclid(length)).unwrap_or(0);
        if left { items.rotate_left(by) } else { items.rotate_right(by) }
    }
    array(items)
}

fn split(row: &Row<'_>) -> Value<'static> {
    let Some(items) = row.array(0) else { return Value::Null };
    let cuts: Vec<i64> = match row.json(1) {
        Json::Array(cuts) => cuts.iter().filter_map(Json::as_i64).collect(),
        cut => cut.as_i64().into_iter().collect(),
    };
    let mut parts = Vec::new();
    let mut from = 0;
    for cut in cuts {
        let cut = usize::try_from(place(cut, items.len())).unwrap_or(0).clamp(from, items.len());
        parts.push(Json::Array(items[from..cut].to_vec()));
        from = cut;
    }
    parts.push(Json::Array(items[from..].to_vec()));
    array(parts)
}

fn range(row: &Row<'_>) -> Value<'static> {
    const MOST: usize = 1_048_576;
    let (kind, step_kind) = (row.kind(0), row.kind(2));
    let default_step = match kind {
        KqlType::Datetime | KqlType::Timespan => time::TICKS_PER_HOUR,
        _ => 1,
    };
    if kind == KqlType::Real || step_kind == KqlType::Real || row.kind(1) == KqlType::Real {
        let (Some(start), Some(stop)) = (row.real(0), row.real(1)) else { return Value::Null };
        let step = if row.len() > 2 { row.real(2).unwrap_or(1.0) } else { 1.0 };
        if step == 0.0 {
            return Value::Null;
        }
        let count = ((stop - start) / step + 1e-9).floor().max(-1.0) as usize + 1;
        let items = (0..count.min(MOST)).map(|index| real_json(start + step * index as f64));
        return array(if (stop - start) / step < 0.0 { Vec::new() } else { items.collect() });
    }
    let (Some(start), Some(stop)) = (row.long(0), row.long(1)) else { return Value::Null };
    let step = if row.len() > 2 { row.long(2).unwrap_or(default_step) } else { default_step };
    let mut items = Vec::new();
    let mut at = start;
    while step != 0 && (if step > 0 { at <= stop } else { at >= stop }) && items.len() < MOST {
        items.push(match kind {
            KqlType::Datetime => time::datetime_string(at).into(),
            KqlType::Timespan => time::format_timespan(at).into(),
            _ => at.into(),
        });
        let Some(next) = at.checked_add(step) else { break };
        at = next;
    }
    array(items)
}

/// The distinct elements of a list, in the order in which they come.
fn distinct(items: impl IntoIterator<Item = Json>) -> Vec<Json> {
    let mut seen = HashSet::new();
    items.into_iter().filter(|item| seen.insert(item.to_string())).collect()
}

fn set_of(row: &Row<'_>, keep: impl Fn(&HashSet<String>, &Json) -> bool) -> Value<'static> {
    let Some(mut items) = row.array(0) else { return Value::Null };
    for index in 1..row.len() {
        let Some(other) = row.array(index) else { return Value::Null };
        let other: HashSet<String> = other.iter().map(Json::to_string).collect();
        items.retain(|item| keep(&other, item));
    }
    array(distinct(items))
}

fn numbers(row: &Row<'_>, index: usize) -> Option<Vec<f64>> {
    Some(row.array(index)?.iter().filter_map(Json::as_f64).collect())
}

fn whole_or_real(value: f64, whole: bool) -> Json {
    match super::convert::truncate(value) {
        Some(number) if whole => number.into(),
        _ => real_json(value),
    }
}

fn iff(row: &Row<'_>) -> Value<'static> {
    let Some(conditions) = row.array(0) else { return Value::Null };
    let pick = |side: &Json, index: usize| match side {
        Json::Array(items) => items.get(index).cloned().unwrap_or(Json::Null),
        other => other.clone(),
    };
    let (then, otherwise) = (row.json(1), row.json(2));
    let chosen = conditions.iter().enumerate().map(|(index, condition)| match condition {
        Json::Bool(true) => pick(&then, index),
        Json::Bool(false) => pick(&otherwise, index),
        Json::Number(number) if number.as_f64() != Some(0.0) => pick(&then, index),
        Json::Number(_) => pick(&otherwise, index),
        _ => Json::Null,
    });
    array(chosen.collect())
}

fn zip(row: &Row<'_>) -> Value<'static> {
    let arrays: Vec<Vec<Json>> = (0..row.len()).map(|index| row.array(index).unwrap_or_default()).collect();
    let longest = arrays.iter().map(Vec::len).max().unwrap_or(0);
    let zipped = (0..longest).map(|index| {
        Json::Array(arrays.iter().map(|items| items.get(index).cloned().unwrap_or(Json::Null)).collect())
    });
    array(zipped.collect())
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        eval(
            "pack_array",
            "([value: any], ...) -> dynamic",
            "The values as an array.",
            ("pack_array(1, 'a')", "[1,\"a\"]"),
            |row| array((0..row.len()).map(|index| row.json(index)).collect()),
        ),
        eval(
            "array_length",
            "(array: dynamic) -> long",
            "The number of elements; null for what is no array.",
            ("array_length(dynamic([1, 2]))", "2"),
            |row| row.array(0).map(|items| items.len()).into(),
        )
        .also(&["arraylength"]),
        eval(
            "array_concat",
            "(array: dynamic, ...) -> dynamic",
            "The arrays one after another.",
            ("array_concat(dynamic([1]), dynamic([2]))", "[1,2]"),
            |row| array((0..row.len()).flat_map(|index| row.array(index).unwrap_or_default()).collect()),
        ),
        eval(
            "array_slice",
            "(array: dynamic, start: long, end: long) -> dynamic",
            "The elements from a place to another, both included; negative places count from the end.",
            ("array_slice(dynamic([1, 2, 3]), 1, 2)", "[2,3]"),
            slice,
        ),
        eval(
            "array_split",
            "(array: dynamic, places: any) -> dynamic",
            "The array cut at these places.",
            ("array_split(dynamic([1, 2, 3]), 1)", "[[1],[2,3]]"),
            split,
        ),
        eval(
            "array_index_of",
            "(array: dynamic, value: any, [start: long], [length: long], [occurrence: long]) -> long",
            "Where a value stands in the array, or -1.",
            ("array_index_of(dynamic(['a', 'b']), 'b')", "1"),
            |row| {
                let Some(items) = row.array(0) else { return Value::Null };
                let wanted = row.json(1);
                let start = place(row.long(2).unwrap_or(0), items.len());
                let start = usize::try_from(start.max(0)).unwrap_or(usize::MAX);
                let length =
                    row.long(3).and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX);
                let nth = usize::try_from(row.long(4).unwrap_or(1) - 1).unwrap_or(0);
                let found = items.iter().enumerate().skip(start).take(length).filter(|(_, item)| {
                    **item == wanted || item.as_f64().is_some_and(|number| Some(number) == wanted.as_f64())
                });
                match found.map(|(index, _)| index).nth(nth) {
                    Some(index) => index.into(),
                    None => Value::Long(-1),
                }
            },
        ),
        eval(
            "array_reverse",
            "(array: dynamic) -> dynamic",
            "The elements in the opposite order.",
            ("array_reverse(dynamic([1, 2]))", "[2,1]"),
            |row| row.array(0).map_or(Value::Null, |items| array(items.into_iter().rev().collect())),
        ),
        eval(
            "array_sort_asc",
            "(array: dynamic, [more: any], ...) -> dynamic",
            "The elements from the least to the greatest; further arrays are put in the same order.",
            ("array_sort_asc(dynamic([2, 1]))", "[1,2]"),
            |row| sort(row, false),
        ),
        eval(
            "array_sort_desc",
            "(array: dynamic, [more: any], ...) -> dynamic",
            "The elements from the greatest to the least; further arrays are put in the same order.",
            ("array_sort_desc(dynamic([1, 2]))", "[2,1]"),
            |row| sort(row, true),
        ),
        eval(
            "array_shift_left",
            "(array: dynamic, by: long, [fill: any]) -> dynamic",
            "The elements moved to the front, with the gap filled.",
            ("array_shift_left(dynamic([1, 2, 3]), 1, 0)", "[2,3,0]"),
            |row| shift(row, true),
        ),
        eval(
            "array_shift_right",
            "(array: dynamic, by: long, [fill: any]) -> dynamic",
            "The elements moved to the end, with the gap filled.",
            ("array_shift_right(dynamic([1, 2, 3]), 1, 0)", "[0,1,2]"),
            |row| shift(row, false),
        ),
        eval(
            "array_rotate_left",
            "(array: dynamic, by: long) -> dynamic",
            "The elements moved to the front, those that fall out put at the end.",
            ("array_rotate_left(dynamic([1, 2, 3]), 1)", "[2,3,1]"),
            |row| rotate(row, true),
        ),
        eval(
            "array_rotate_right",
            "(array: dynamic, by: long) -> dynamic",
            "The elements moved to the end, those that fall out put at the front.",
            ("array_rotate_right(dynamic([1, 2, 3]), 1)", "[3,1,2]"),
            |row| rotate(row, false),
        ),
        eval(
            "array_sum",
            "(array: dynamic) -> real",
            "The sum of the elements; null if one is no number.",
            ("array_sum(dynamic([1, 2]))", "3"),
            |row| {
                let Some(items) = row.array(0) else { return Value::Null };
                items.iter().map(Json::as_f64).sum::<Option<f64>>().into()
            },
        ),
        eval(
            "array_iff",
            "(conditions: dynamic, then: any, otherwise: any) -> dynamic",
            "For each condition the element of one array or the other.",
            ("array_iff(dynamic([true, false]), dynamic([1, 2]), dynamic([3, 4]))", "[1,4]"),
            iff,
        )
        .also(&["array_iif"]),
        eval(
            "range",
            "(start: measure, stop: measure, [step: measure]) -> dynamic",
            "The values from start to stop.",
            ("range(1, 7, 3)", "[1,4,7]"),
            range,
        ),
        eval(
            "repeat",
            "(value: any, count: long) -> dynamic",
            "An array of the value so many times.",
            ("repeat(1, 3)", "[1,1,1]"),
            |row| match row.long(1) {
                Some(count) => array(vec![row.json(0); usize::try_from(count).unwrap_or(0).min(1_048_576)]),
                None => Value::Null,
            },
        ),
        eval(
            "strcat_array",
            "(array: dynamic, delimiter: text) -> string",
            "The elements as one string, with a delimiter between them.",
            ("strcat_array(dynamic([1, 'a']), '->')", "1->a"),
            |row| {
                let items = row.array(0).unwrap_or_default();
                let texts: Vec<String> = items
                    .iter()
                    .map(|item| string_of(&Value::from(item.to_string()), KqlType::Dynamic))
                    .collect();
                Value::from(texts.join(row.text(1)))
            },
        ),
        eval(
            "zip",
            "(array: dynamic, ...) -> dynamic",
            "An array of the arrays' first elements, of their second ones and so on.",
            ("zip(dynamic([1, 2]), dynamic([3, 4]))", "[[1,3],[2,4]]"),
            zip,
        ),
        eval(
            "set_has_element",
            "(set: dynamic, value: any) -> bool",
            "Whether an array has an element.",
            ("set_has_element(dynamic([1, 2]), 2)", "true"),
            |row| {
                let Some(items) = row.array(0) else { return Value::Null };
                let wanted = row.json(1);
                items
                    .iter()
                    .any(|item| {
                        *item == wanted || item.as_f64().is_some_and(|number| Some(number) == wanted.as_f64())
                    })
                    .into()
            },
        ),
        eval(
            "set_union",
            "(set: dynamic, ...) -> dynamic",
            "The distinct elements of all arrays.",
            ("set_union(dynamic([1, 2]), dynamic([2, 3]))", "[1,2,3]"),
            |row| array(distinct((0..row.len()).flat_map(|index| row.array(index).unwrap_or_default()))),
        ),
        eval(
            "set_intersect",
            "(set: dynamic, ...) -> dynamic",
            "The distinct elements that all arrays have.",
            ("set_intersect(dynamic([1, 2]), dynamic([2, 3]))", "[2]"),
            |row| set_of(row, |other, item| other.contains(&item.to_string())),
        ),
        eval(
            "set_difference",
            "(set: dynamic, ...) -> dynamic",
            "The distinct elements of the first array that no other has.",
            ("set_difference(dynamic([1, 2]), dynamic([2, 3]))", "[1]"),
            |row| set_of(row, |other, item| !other.contains(&item.to_string())),
        ),
        eval(
            "set_equals",
            "(left: dynamic, right: dynamic) -> bool",
            "Whether two arrays have the same elements.",
            ("set_equals(dynamic([1, 2]), dynamic([2, 1]))", "true"),
            |row| {
                let set = |index: usize| -> Option<HashSet<String>> {
                    Some(row.array(index)?.iter().map(Json::to_string).collect())
                };
                set(0).zip(set(1)).map(|(left, right)| left == right).into()
            },
        ),
        eval(
            "jaccard_index",
            "(left: dynamic, right: dynamic) -> dynamic",
            "How alike two sets are: common elements by all elements.",
            ("jaccard_index(dynamic([1, 2]), dynamic([2, 3]))", "0.3333333333333333"),
            |row| {
                let set = |index: usize| -> Option<HashSet<String>> {
                    Some(row.array(index)?.iter().map(Json::to_string).collect())
                };
                match set(0).zip(set(1)) {
                    Some((left, right)) => {
                        let union = left.union(&right).count();
                        Value::json(&real_json(if union == 0 {
                            f64::NAN
                        } else {
                            left.intersection(&right).count() as f64 / union as f64
                        }))
                    }
                    None => Value::Null,
                }
            },
        ),
        eval(
            "array_min",
            "(array: dynamic) -> dynamic",
            "The least number.",
            ("array_min(dynamic([2, 1]))", "1"),
            |row| {
                let items = row.array(0).unwrap_or_default();
                let whole = items.iter().all(Json::is_i64);
                numbers(row, 0)
                    .and_then(|numbers| numbers.into_iter().reduce(f64::min))
                    .map_or(Value::Null, |least| Value::json(&whole_or_real(least, whole)))
            },
        ),
        eval(
            "array_max",
            "(array: dynamic) -> dynamic",
            "The greatest number.",
            ("array_max(dynamic([2, 1]))", "2"),
            |row| {
                let items = row.array(0).unwrap_or_default();
                let whole = items.iter().all(Json::is_i64);
                numbers(row, 0)
                    .and_then(|numbers| numbers.into_iter().reduce(f64::max))
                    .map_or(Value::Null, |most| Value::json(&whole_or_real(most, whole)))
            },
        ),
    ]
}
