//! Conversion between the scalar types.

use crate::format::{parse_guid, value_text};
use crate::time;
use crate::types::{DECIMAL_SCALE, KqlType};
use crate::value::{Value, parse_decimal, to_json};

/// A value of one type as a value of another; null where it has none there.
pub(crate) fn convert<'a>(value: &Value<'a>, from: KqlType, to: KqlType) -> Value<'a> {
    if from == to {
        return value.clone();
    }
    if from == KqlType::Dynamic {
        return from_dynamic(value, to);
    }
    match to {
        KqlType::Dynamic => Value::json(&to_json(value, from)),
        KqlType::String => Value::from(string_of(value, from)),
        _ => match value {
            Value::Null => Value::Null,
            Value::Text(text) => from_text(text, to),
            _ => from_number(value, from, to),
        },
    }
}

/// What `tostring()` gives.
pub(crate) fn string_of(value: &Value<'_>, kind: KqlType) -> String {
    match (value, kind) {
        (Value::Bool(value), _) => if *value { "True" } else { "False" }.to_owned(),
        (Value::Long(ticks), KqlType::Datetime) => time::datetime_string(*ticks),
        _ => value_text(value, kind),
    }
}

fn from_dynamic<'a>(value: &Value<'a>, to: KqlType) -> Value<'a> {
    let Value::Text(text) = value else {
        return if to == KqlType::String { Value::text("") } else { Value::Null };
    };
    let json = crate::json::parse(text);
    match json {
        serde_json::Value::Null if to == KqlType::String => Value::text(""),
        serde_json::Value::Null => Value::Null,
        serde_json::Value::String(text) if to == KqlType::String => Value::from(text),
        serde_json::Value::String(text) => from_text(&text, to),
        serde_json::Value::Bool(flag) if to == KqlType::String => Value::from(flag.to_string()),
        serde_json::Value::Bool(flag) => from_number(&Value::Bool(flag), KqlType::Bool, to),
        serde_json::Value::Number(number) if to == KqlType::String => match number.as_f64() {
            Some(real) if number.is_f64() => Value::from(value_text(&Value::Real(real), KqlType::Real)),
            _ => Value::from(number.to_string()),
        },
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(long) => from_number(&Value::Long(long), KqlType::Long, to),
            None => from_number(&Value::from(number.as_f64()), KqlType::Real, to),
        },
        other if to == KqlType::String => Value::from(other.to_string()),
        _ => Value::Null,
    }
}

fn from_text(text: &str, to: KqlType) -> Value<'static> {
    let text = text.trim();
    match to {
        KqlType::Bool => match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Value::Bool(true),
            "false" | "0" => Value::Bool(false),
            _ => text.parse::<i64>().ok().map(|number| number != 0).into(),
        },
        KqlType::Int => match parse_long(text).map(i32::try_from) {
            Some(Ok(number)) => Value::Int(number),
            _ => Value::Null,
        },
        KqlType::Long => parse_long(text).into(),
        KqlType::Real => parse_real(text).into(),
        KqlType::Decimal => parse_decimal(text).map_or(Value::Null, Value::Decimal),
        KqlType::Datetime => time::parse_datetime(text).into(),
        KqlType::Timespan => time::parse_timespan(text).into(),
        KqlType::Guid => parse_guid(text).into(),
        KqlType::String | KqlType::Dynamic => Value::from(text.to_owned()),
    }
}

/// A whole number; one with a fraction is cut.
fn parse_long(text: &str) -> Option<i64> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u64::from_str_radix(hex, 16).ok().map(u64::cast_signed);
    }
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    truncate(parse_real(text)?)
}

fn parse_real(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "inf" | "+inf" | "infinity" | "∞" => Some(f64::INFINITY),
        "-inf" | "-infinity" | "-∞" => Some(f64::NEG_INFINITY),
        lower if lower.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e')) => {
            text.parse().ok()
        }
        _ => None,
    }
}

/// A real cut to a whole number, where a long can hold it.
pub(crate) fn truncate(value: f64) -> Option<i64> {
    // 2^63 itself does not fit; every double below it does.
    (value.is_finite() && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value))
        .then_some(value as i64)
}

fn from_number(value: &Value<'_>, from: KqlType, to: KqlType) -> Value<'static> {
    let long = match value {
        Value::Bool(flag) => Some(i64::from(*flag)),
        Value::Int(number) => Some(i64::from(*number)),
        Value::Long(number) => Some(*number),
        Value::Real(number) => truncate(*number),
        Value::Decimal(number) => {
            i64::try_from(number / 10_i128.pow(u32::from(DECIMAL_SCALE.unsigned_abs()))).ok()
        }
        Value::Null | Value::Text(_) => None,
    };
    let real = match value {
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        value => value.as_real(),
    };
    match to {
        KqlType::Bool => match value {
            Value::Real(number) => Value::Bool(*number != 0.0),
            _ => long.map(|number| number != 0).into(),
        },
        KqlType::Int => long.and_then(|number| i32::try_from(number).ok()).map_or(Value::Null, Value::Int),
        KqlType::Long => long.into(),
        KqlType::Real => real.into(),
        KqlType::Decimal => match value {
            Value::Decimal(number) => Value::Decimal(*number),
            Value::Real(number) => parse_decimal(&format!("{number}")).map_or(Value::Null, Value::Decimal),
            _ => {
                long.and_then(|number| parse_decimal(&number.to_string())).map_or(Value::Null, Value::Decimal)
            }
        },
        // A number is a count of ticks, of a datetime as of a timespan; from a real, of days for a timespan.
        KqlType::Datetime => long.and_then(time::valid_datetime).into(),
        KqlType::Timespan if from == KqlType::Datetime => Value::Null,
        KqlType::Timespan if matches!(from, KqlType::Real | KqlType::Decimal) => {
            real.and_then(|days| time::ticks_from_f64(days * time::TICKS_PER_DAY as f64)).into()
        }
        KqlType::Timespan => long.into(),
        KqlType::Guid | KqlType::String | KqlType::Dynamic => Value::Null,
    }
}
