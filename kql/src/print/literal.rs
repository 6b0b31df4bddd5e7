//! Names and literals in their canonical spelling.

use std::fmt::Write as _;

use serde_json::Value;

use crate::ast::Literal;
use crate::lexer::{is_name_part, is_name_start};
use crate::time::{
    TICKS_PER_DAY, TICKS_PER_HOUR, TICKS_PER_MICROSECOND, TICKS_PER_MILLISECOND, TICKS_PER_MINUTE,
    TICKS_PER_SECOND, datetime_string, format_datetime, format_timespan,
};
use crate::types::KqlType;

/// Words that mean something where a name may stand.
const KEYWORDS: &[&str] = &[
    "False",
    "TRUE",
    "FALSE",
    "True",
    "alias",
    "as",
    "between",
    "by",
    "contains",
    "datatable",
    "declare",
    "default",
    "endswith",
    "evaluate",
    "external_data",
    "externaldata",
    "false",
    "find",
    "from",
    "has",
    "has_all",
    "has_any",
    "hasprefix",
    "hassuffix",
    "hint",
    "in",
    "invoke",
    "let",
    "limit",
    "matches",
    "not",
    "notcontains",
    "nulls",
    "of",
    "on",
    "optional",
    "others",
    "output",
    "print",
    "range",
    "restrict",
    "search",
    "set",
    "startswith",
    "step",
    "to",
    "true",
    "typeof",
    "union",
    "view",
    "where",
    "with",
];

/// A name, in brackets and quotes where it would not be read as one otherwise.
pub(super) fn name(text: &str) -> String {
    let keyword = crate::parser::is_reserved(text) || KEYWORDS.contains(&text);
    if is_word(text) && !keyword { text.to_owned() } else { in_brackets(text) }
}

/// A name that is the value of a setting: `true` and `inner` mean nothing else there.
pub(super) fn setting_value(text: &str) -> String {
    if is_word(text) { text.to_owned() } else { in_brackets(text) }
}

/// Whether a text is one word, and not the beginning of a literal such as `long(1)`.
fn is_word(text: &str) -> bool {
    let mut rest = text.chars();
    rest.next().is_some_and(is_name_start) && rest.all(is_name_part) && KqlType::from_name(text).is_none()
}

fn in_brackets(text: &str) -> String {
    format!("['{}']", escaped(text, '\''))
}

/// A string between quotes.
pub(super) fn string(text: &str) -> String {
    format!("\"{}\"", escaped(text, '"'))
}

fn escaped(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// A literal, so that it reads as the same value of the same type.
pub(super) fn literal(literal: &Literal) -> String {
    match literal {
        Literal::Bool(Some(value)) => value.to_string(),
        Literal::Int(Some(value)) => format!("int({value})"),
        Literal::Long(Some(value)) if *value < 0 => format!("long({value})"),
        Literal::Long(Some(value)) => value.to_string(),
        Literal::Real(Some(value)) => real(*value),
        Literal::Decimal(Some(digits)) => format!("decimal({digits})"),
        Literal::String(text) => string(text),
        Literal::Datetime(Some(ticks)) => datetime(*ticks),
        Literal::Timespan(Some(ticks)) => timespan(*ticks),
        Literal::Guid(Some(text)) => format!("guid({text})"),
        Literal::Dynamic(Some(value)) => format!("dynamic({})", json(value)),
        Literal::Type(kinds) if kinds.is_empty() => "typeof(*)".to_owned(),
        Literal::Type(kinds) => {
            let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            format!("typeof({})", kinds.join(", "))
        }
        Literal::Bool(None) => "bool(null)".to_owned(),
        Literal::Int(None) => "int(null)".to_owned(),
        Literal::Long(None) => "long(null)".to_owned(),
        Literal::Real(None) => "real(null)".to_owned(),
        Literal::Decimal(None) => "decimal(null)".to_owned(),
        Literal::Datetime(None) => "datetime(null)".to_owned(),
        Literal::Timespan(None) => "timespan(null)".to_owned(),
        Literal::Guid(None) => "guid(null)".to_owned(),
        Literal::Dynamic(None) => "dynamic(null)".to_owned(),
    }
}

/// A real by the shortest digits that read back the same.
fn real(value: f64) -> String {
    if value.is_nan() {
        "real(nan)".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "real(+inf)" } else { "real(-inf)" }.to_owned()
    } else if value.is_sign_negative() {
        format!("real({value:?})")
    } else {
        format!("{value:?}")
    }
}

fn datetime(ticks: i64) -> String {
    let text = if ticks % TICKS_PER_SECOND == 0 { format_datetime(ticks) } else { datetime_string(ticks) };
    // Midnight goes without saying.
    format!("datetime({})", text.strip_suffix("T00:00:00Z").unwrap_or(&text))
}

/// A timespan in the largest unit of which it is a whole number.
fn timespan(ticks: i64) -> String {
    const UNITS: &[(i64, &str)] = &[
        (TICKS_PER_DAY, "d"),
        (TICKS_PER_HOUR, "h"),
        (TICKS_PER_MINUTE, "m"),
        (TICKS_PER_SECOND, "s"),
        (TICKS_PER_MILLISECOND, "ms"),
        (TICKS_PER_MICROSECOND, "microsecond"),
        (1, "tick"),
    ];
    if ticks < 0 {
        return format!("timespan({})", format_timespan(ticks));
    }
    match UNITS.iter().find(|(unit, _)| ticks % unit == 0) {
        Some((unit, name)) if ticks > 0 => format!("{}{name}", ticks / unit),
        _ => "0s".to_owned(),
    }
}

fn json(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        // Its magnitude alone fits no long.
        Value::Number(number) if number.as_i64() == Some(i64::MIN) => format!("long({number})"),
        Value::Number(number) => number.to_string(),
        Value::String(text) => string(text),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(", "))
        }
        Value::Object(bag) => {
            let entries: Vec<String> =
                bag.iter().map(|(key, value)| format!("{}: {}", string(key), json(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}
