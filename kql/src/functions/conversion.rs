//! Conversion functions.

use super::{Function, Typed, build, eval};
use crate::binder::cast;
use crate::types::KqlType;
use crate::value::Value;

fn to(args: Vec<Typed>, kind: KqlType) -> Result<Typed, String> {
    match args.into_iter().next() {
        Some(value) => Ok(cast(value, kind)),
        None => Err("a value is missing".to_owned()),
    }
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        build(
            "tostring",
            "(value: any) -> string",
            "The value as a string.",
            ("tostring(12)", "12"),
            |args| to(args, KqlType::String),
        ),
        build(
            "tolong",
            "(value: any) -> long",
            "The value as a long, or null.",
            ("tolong('12')", "12"),
            |args| to(args, KqlType::Long),
        ),
        build(
            "toint",
            "(value: any) -> int",
            "The value as an int, or null.",
            ("toint('12')", "12"),
            |args| to(args, KqlType::Int),
        ),
        build(
            "toreal",
            "(value: any) -> real",
            "The value as a real, or null.",
            ("toreal('1.5')", "1.5"),
            |args| to(args, KqlType::Real),
        )
        .also(&["todouble"]),
        build(
            "todecimal",
            "(value: any) -> decimal",
            "The value as a decimal, or null.",
            ("todecimal('1.50')", "1.5"),
            |args| to(args, KqlType::Decimal),
        ),
        build(
            "tobool",
            "(value: any) -> bool",
            "The value as a bool, or null.",
            ("tobool('true')", "true"),
            |args| to(args, KqlType::Bool),
        )
        .also(&["toboolean"]),
        build(
            "todatetime",
            "(value: any) -> datetime",
            "The value as a datetime, or null.",
            ("todatetime('2026-01-02')", "2026-01-02T00:00:00Z"),
            |args| to(args, KqlType::Datetime),
        ),
        build(
            "totimespan",
            "(value: any) -> timespan",
            "The value as a timespan, or null.",
            ("totimespan('1.02:00:00')", "1.02:00:00"),
            |args| to(args, KqlType::Timespan),
        )
        .also(&["totime"]),
        build(
            "toguid",
            "(value: json) -> guid",
            "The value as a guid, or null.",
            ("toguid('{0f8fad5b-d9cb-469f-a165-70867728950e}')", "0f8fad5b-d9cb-469f-a165-70867728950e"),
            |args| to(args, KqlType::Guid),
        ),
        eval(
            "parse_json",
            "(text: json) -> dynamic",
            "The JSON in a string as a dynamic; a text that is no JSON is a dynamic string.",
            ("parse_json('{\"a\": [1, 2]}').a[1]", "2"),
            |row| match (row.get(0), row.kind(0)) {
                (Value::Text(text), KqlType::Dynamic) => Value::Text(text),
                (Value::Text(text), _) if text.is_empty() => Value::Null,
                (Value::Text(text), _) if crate::json::is_compact(&text) => Value::Text(text),
                (Value::Text(text), _) => Value::json(&crate::json::parse(&text)),
                _ => Value::json(&row.json(0)),
            },
        )
        .also(&["parsejson", "todynamic", "toobject"]),
        eval(
            "gettype",
            "(value: any) -> string",
            "The type of a value, for a dynamic that of what it holds.",
            ("gettype(dynamic([1]))", "array"),
            |row| {
                if row.kind(0) != KqlType::Dynamic {
                    return Value::text(row.kind(0).name());
                }
                Value::text(match row.json(0) {
                    serde_json::Value::Null => "null",
                    serde_json::Value::Bool(_) => "bool",
                    serde_json::Value::Number(number) if number.is_f64() => "double",
                    serde_json::Value::Number(_) => "long",
                    serde_json::Value::String(_) => "string",
                    serde_json::Value::Array(_) => "array",
                    serde_json::Value::Object(_) => "dictionary",
                })
            },
        ),
        eval(
            "dynamic_to_json",
            "(value: any) -> string",
            "A dynamic as JSON text, the keys of bags sorted.",
            ("dynamic_to_json(dynamic({'b': 1, 'a': 2}))", "{\"a\":2,\"b\":1}"),
            |row| Value::from(sorted(row.json(0)).to_string()),
        ),
    ]
}

/// A value with the keys of all its bags in order.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(bag) => {
            let mut entries: Vec<_> = bag.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            entries.sort_by(|left, right| left.0.cmp(&right.0));
            serde_json::Value::Object(entries.into_iter().collect())
        }
        serde_json::Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}
