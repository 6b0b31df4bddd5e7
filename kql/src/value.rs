//! Single values: how functions see the cells of Arrow arrays, row by row.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBuilder, Decimal128Array, Decimal128Builder, Float64Array,
    Float64Builder, Int32Array, Int32Builder, Int64Array, Int64Builder, LargeStringArray, StringArray,
    StringBuilder, StringViewArray,
};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int32Type, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err};

use crate::dictionary;
use crate::time;
use crate::types::{DECIMAL_PRECISION, DECIMAL_SCALE, KqlType};

/// A value of any type. A datetime or timespan is a [`Value::Long`] of ticks, a guid a [`Value::Text`], a dynamic a
/// [`Value::Text`] of JSON; which one it is, the type beside it says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i32),
    Long(i64),
    Real(f64),
    /// Scaled by [`DECIMAL_SCALE`].
    Decimal(i128),
    Text(Cow<'a, str>),
}

impl<'a> Value<'a> {
    pub(crate) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Value::Text(text.into())
    }

    /// A dynamic; JSON null is the null of dynamic.
    pub(crate) fn json(value: &serde_json::Value) -> Self {
        if value.is_null() { Value::Null } else { Value::Text(Cow::Owned(value.to_string())) }
    }

    pub(crate) fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(value) => Value::Bool(value),
            Value::Int(value) => Value::Int(value),
            Value::Long(value) => Value::Long(value),
            Value::Real(value) => Value::Real(value),
            Value::Decimal(value) => Value::Decimal(value),
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
        }
    }

    /// The value as an Arrow scalar of its type.
    pub(crate) fn into_scalar(self, kind: KqlType) -> ScalarValue {
        match kind {
            KqlType::Bool => ScalarValue::Boolean(match self {
                Value::Bool(value) => Some(value),
                _ => None,
            }),
            KqlType::Int => ScalarValue::Int32(match self {
                Value::Int(value) => Some(value),
                Value::Long(value) => i32::try_from(value).ok(),
                _ => None,
            }),
            KqlType::Long | KqlType::Datetime | KqlType::Timespan => ScalarValue::Int64(self.as_long()),
            KqlType::Real => ScalarValue::Float64(self.as_real()),
            KqlType::Decimal => ScalarValue::Decimal128(
                match self {
                    Value::Decimal(value) => Some(value),
                    _ => None,
                },
                DECIMAL_PRECISION,
                DECIMAL_SCALE,
            ),
            KqlType::String | KqlType::Guid | KqlType::Dynamic => ScalarValue::Utf8(match self {
                Value::Text(text) => Some(text.into_owned()),
                _ if kind == KqlType::String => Some(String::new()),
                _ => None,
            }),
        }
    }

    pub(crate) fn as_long(&self) -> Option<i64> {
        match self {
            Value::Int(value) => Some(i64::from(*value)),
            Value::Long(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn as_real(&self) -> Option<f64> {
        match self {
            Value::Int(value) => Some(f64::from(*value)),
            Value::Long(value) => Some(*value as f64),
            Value::Real(value) => Some(*value),
            Value::Decimal(value) => Some(decimal_to_real(*value)),
            _ => None,
        }
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Value::Long(value)
    }
}

impl From<usize> for Value<'_> {
    fn from(value: usize) -> Self {
        i64::try_from(value).map_or(Value::Null, Value::Long)
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Value::Real(value)
    }
}

impl From<String> for Value<'_> {
    fn from(value: String) -> Self {
        Value::Text(Cow::Owned(value))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Value::Text(Cow::Borrowed(value))
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

pub(crate) fn decimal_to_real(value: i128) -> f64 {
    decimal_text(value).parse().unwrap_or(f64::NAN)
}

/// A decimal's digits, without zeros at the end.
pub(crate) fn decimal_text(value: i128) -> String {
    let unit = 10_u128.pow(u32::from(DECIMAL_SCALE.unsigned_abs()));
    let magnitude = value.unsigned_abs();
    let sign = if value < 0 { "-" } else { "" };
    let fraction = format!("{:0width$}", magnitude % unit, width = usize::from(DECIMAL_SCALE.unsigned_abs()));
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{fraction}", magnitude / unit)
}

/// Reads a decimal, with an exponent or without; digits past the scale are rounded.
pub(crate) fn parse_decimal(text: &str) -> Option<i128> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty()
        || !(whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()))
    {
        return None;
    }
    let mut number: i128 = 0;
    // The place of the last digit taken, counted from the point to the right.
    let mut scale = -exponent;
    for digit in whole.bytes() {
        number = number.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    for digit in fraction.bytes() {
        if scale > i32::from(DECIMAL_SCALE) {
            break;
        }
        number = number.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        scale += 1;
    }
    while scale < i32::from(DECIMAL_SCALE) {
        if number == 0 {
            break;
        }
        number = number.checked_mul(10)?;
        scale += 1;
    }
    while scale > i32::from(DECIMAL_SCALE) {
        if number == 0 {
            break;
        }
        number = (number + if scale == i32::from(DECIMAL_SCALE) + 1 { 5 } else { 0 }) / 10;
        scale -= 1;
    }
    Some(if negative { -number } else { number })
}

/// A column of cells, its Arrow type resolved once.
pub(crate) enum Cells<'a> {
    Null,
    Bool(&'a BooleanArray),
    Int(&'a Int32Array),
    Long(&'a Int64Array),
    Real(&'a Float64Array),
    Decimal(&'a Decimal128Array),
    Text(&'a StringArray),
    TextView(&'a StringViewArray),
    LargeText(&'a LargeStringArray),
    /// Strings in a dictionary: the place of each, and the values.
    Coded(&'a Int32Array, &'a StringArray),
}

impl<'a> Cells<'a> {
    pub(crate) fn new(array: &'a dyn Array) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Null => Cells::Null,
            DataType::Boolean => Cells::Bool(array.as_boolean()),
            DataType::Int32 => Cells::Int(array.as_primitive::<Int32Type>()),
            DataType::Int64 => Cells::Long(array.as_primitive::<Int64Type>()),
            DataType::Float64 => Cells::Real(array.as_primitive::<Float64Type>()),
            DataType::Decimal128(_, _) => Cells::Decimal(array.as_primitive::<Decimal128Type>()),
            DataType::Utf8 => Cells::Text(array.as_string()),
            DataType::Utf8View => Cells::TextView(array.as_string_view()),
            DataType::LargeUtf8 => Cells::LargeText(array.as_string()),
            kind if dictionary::is_coded(kind) => {
                let coded = array.as_dictionary::<Int32Type>();
                Cells::Coded(coded.keys(), coded.values().as_string())
            }
            other => return exec_err!("a column of Arrow type {other} has no KQL type"),
        })
    }

    #[inline]
    pub(crate) fn is_null(&self, row: usize) -> bool {
        match self {
            Cells::Null => true,
            Cells::Bool(array) => array.is_null(row),
            Cells::Int(array) => array.is_null(row),
            Cells::Long(array) => array.is_null(row),
            Cells::Real(array) => array.is_null(row),
            Cells::Decimal(array) => array.is_null(row),
            Cells::Text(array) => array.is_null(row),
            Cells::TextView(array) => array.is_null(row),
            Cells::LargeText(array) => array.is_null(row),
            Cells::Coded(keys, values) => keys.is_null(row) || values.is_null(keys.value(row) as usize),
        }
    }

    /// The text of a cell; `None` where it is null or no text.
    #[inline]
    pub(crate) fn text(&self, row: usize) -> Option<&'a str> {
        match self {
            _ if self.is_null(row) => None,
            Cells::Text(array) => Some(array.value(row)),
            Cells::TextView(array) => Some(array.value(row)),
            Cells::LargeText(array) => Some(array.value(row)),
            Cells::Coded(keys, values) => Some(values.value(keys.value(row) as usize)),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn get(&self, row: usize) -> Value<'a> {
        if self.is_null(row) {
            return Value::Null;
        }
        match self {
            Cells::Null => Value::Null,
            Cells::Bool(array) => Value::Bool(array.value(row)),
            Cells::Int(array) => Value::Int(array.value(row)),
            Cells::Long(array) => Value::Long(array.value(row)),
            Cells::Real(array) => Value::Real(array.value(row)),
            Cells::Decimal(array) => Value::Decimal(array.value(row)),
            Cells::Text(array) => Value::Text(Cow::Borrowed(array.value(row))),
            Cells::TextView(array) => Value::Text(Cow::Borrowed(array.value(row))),
            Cells::LargeText(array) => Value::Text(Cow::Borrowed(array.value(row))),
            Cells::Coded(keys, values) => Value::Text(Cow::Borrowed(values.value(keys.value(row) as usize))),
        }
    }
}

/// Builds an array of a type, value by value. A value that does not fit the type becomes null, and a null string
/// becomes the empty one.
pub(crate) enum Builder {
    Bool(BooleanBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Real(Float64Builder),
    Decimal(Decimal128Builder),
    /// Guid and dynamic.
    Text(StringBuilder),
    /// String.
    NonNullText(StringBuilder),
}

impl Builder {
    pub(crate) fn new(kind: KqlType, rows: usize) -> Self {
        match kind {
            KqlType::Bool => Builder::Bool(BooleanBuilder::with_capacity(rows)),
            KqlType::Int => Builder::Int(Int32Builder::with_capacity(rows)),
            KqlType::Long | KqlType::Datetime | KqlType::Timespan => {
                Builder::Long(Int64Builder::with_capacity(rows))
            }
            KqlType::Real => Builder::Real(Float64Builder::with_capacity(rows)),
            KqlType::Decimal => Builder::Decimal(
                Decimal128Builder::with_capacity(rows).with_data_type(KqlType::Decimal.arrow()),
            ),
            KqlType::String => Builder::NonNullText(StringBuilder::with_capacity(rows, rows * 8)),
            KqlType::Guid | KqlType::Dynamic => Builder::Text(StringBuilder::with_capacity(rows, rows * 8)),
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, value: &Value<'_>) {
        match (self, value) {
            (Builder::Bool(builder), Value::Bool(value)) => builder.append_value(*value),
            (Builder::Bool(builder), _) => builder.append_null(),
            (Builder::Int(builder), Value::Int(value)) => builder.append_value(*value),
            (Builder::Int(builder), Value::Long(value)) => builder.append_option(i32::try_from(*value).ok()),
            (Builder::Int(builder), _) => builder.append_null(),
            (Builder::Long(builder), value) => builder.append_option(value.as_long()),
            (Builder::Real(builder), value) => builder.append_option(value.as_real()),
            (Builder::Decimal(builder), Value::Decimal(value)) => builder.append_value(*value),
            (Builder::Decimal(builder), _) => builder.append_null(),
            (Builder::Text(builder) | Builder::NonNullText(builder), Value::Text(text)) => {
                builder.append_value(text)
            }
            (Builder::Text(builder), _) => builder.append_null(),
            (Builder::NonNullText(builder), _) => builder.append_value(""),
        }
    }

    pub(crate) fn finish(self) -> ArrayRef {
        match self {
            Builder::Bool(mut builder) => Arc::new(builder.finish()),
            Builder::Int(mut builder) => Arc::new(builder.finish()),
            Builder::Long(mut builder) => Arc::new(builder.finish()),
            Builder::Real(mut builder) => Arc::new(builder.finish()),
            Builder::Decimal(mut builder) => Arc::new(builder.finish()),
            Builder::Text(mut builder) | Builder::NonNullText(mut builder) => Arc::new(builder.finish()),
        }
    }
}

/// A value as dynamic holds it.
pub(crate) fn to_json(value: &Value<'_>, kind: KqlType) -> serde_json::Value {
    match value {
        Value::Null if kind == KqlType::String => serde_json::Value::from(""),
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Long(ticks) if kind == KqlType::Datetime => time::datetime_string(*ticks).into(),
        Value::Long(ticks) if kind == KqlType::Timespan => time::format_timespan(*ticks).into(),
        Value::Long(value) => (*value).into(),
        Value::Real(value) => real_json(*value),
        Value::Decimal(value) => decimal_text(*value).into(),
        Value::Text(text) if kind == KqlType::Dynamic => crate::json::parse(text),
        Value::Text(text) => text.as_ref().into(),
    }
}

/// A real in JSON, which has no word for what is not finite.
pub(crate) fn real_json(value: f64) -> serde_json::Value {
    match serde_json::Number::from_f64(value) {
        Some(number) => serde_json::Value::Number(number),
        None if value.is_nan() => "NaN".into(),
        None if value > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}
