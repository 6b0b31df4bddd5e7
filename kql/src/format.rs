//! Values as text and as JSON, and rows from JSON.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::arrow::error::ArrowError;
use serde_json::Value as Json;

use crate::functions::convert::convert;
use crate::time::{self, EPOCH_TICKS};
use crate::types::{Column, KqlType};
use crate::value::{Builder, Cells, Value, decimal_text, to_json};

/// A cell in the stable JSON form: datetime as ISO 8601 UTC, timespan as Kusto writes it, dynamic as JSON, a decimal as
/// its digits, and what JSON has no number for as `"NaN"`, `"Infinity"` or `"-Infinity"`.
///
/// The array is a column of a result, or of a table in any Arrow form that a [`crate::Table`] may have.
pub fn json_value(array: &dyn Array, row: usize, kind: KqlType) -> Json {
    let Some(value) = cell(array, row, kind) else { return Json::Null };
    match (&value, kind) {
        (Value::Long(ticks), KqlType::Datetime) => time::format_datetime(*ticks).into(),
        _ => to_json(&value, kind),
    }
}

/// A cell as Kusto's tables show it; null is the empty text.
pub fn text_value(array: &dyn Array, row: usize, kind: KqlType) -> String {
    match cell(array, row, kind) {
        Some(value) => value_text(&value, kind),
        None => String::new(),
    }
}

/// A value as text for a reader.
pub(crate) fn value_text(value: &Value<'_>, kind: KqlType) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Long(ticks) if kind == KqlType::Datetime => time::format_datetime(*ticks),
        Value::Long(ticks) if kind == KqlType::Timespan => time::format_timespan(*ticks),
        Value::Long(value) => value.to_string(),
        Value::Real(value) => real_text(*value),
        Value::Decimal(value) => decimal_text(*value),
        Value::Text(text) if kind == KqlType::Dynamic => match crate::json::parse(text) {
            Json::String(text) => text,
            value => value.to_string(),
        },
        Value::Text(text) => text.to_string(),
    }
}

/// A real as Kusto writes it: the shortest digits that read back the same; a whole one without a point.
pub(crate) fn real_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = value.abs();
    if (1e-5..1e15).contains(&magnitude) {
        return format!("{value}");
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = match exponent.strip_prefix('-') {
                Some(digits) => ('-', digits),
                None => ('+', exponent),
            };
            format!("{mantissa}E{sign}{digits:0>2}")
        }
        None => text,
    }
}

/// A cell, whichever of the accepted Arrow forms its column has.
fn cell(array: &dyn Array, row: usize, kind: KqlType) -> Option<Value<'static>> {
    if row >= array.len() || array.is_null(row) {
        return (kind == KqlType::String).then(|| Value::text(""));
    }
    if let Ok(cells) = Cells::new(array)
        && matches!(array.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
            | (*array.data_type() == kind.arrow())
    {
        return Some(cells.get(row).into_owned());
    }
    let normal = normalise(&array.slice(row, 1), kind).ok()?;
    let cells = Cells::new(normal.as_ref()).ok()?;
    Some(cells.get(0).into_owned())
}

/// Brings a column from any accepted Arrow form into the one that queries work on.
pub(crate) fn normalise(array: &ArrayRef, kind: KqlType) -> Result<ArrayRef, ArrowError> {
    let target = kind.arrow();
    if *array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), kind) {
        (DataType::Timestamp(unit, _), KqlType::Datetime) => {
            let (multiply, divide) = ticks_per(*unit);
            let values = cast(array, &DataType::Int64)?;
            let values = datafusion::arrow::array::cast::as_primitive_array::<
                datafusion::arrow::datatypes::Int64Type,
            >(&values);
            // Times of this age and unit are the rule: they need not be looked at one by one.
            let most = (i64::MAX - EPOCH_TICKS) / multiply;
            if divide == 1 && values.values().iter().all(|value| value.unsigned_abs() <= most.unsigned_abs())
            {
                let ticks = values.unary::<_, datafusion::arrow::datatypes::Int64Type>(|value| {
                    value.wrapping_mul(multiply).wrapping_add(EPOCH_TICKS)
                });
                return Ok(Arc::new(ticks));
            }
            let ticks = values.unary_opt::<_, datafusion::arrow::datatypes::Int64Type>(|value| {
                value.checked_mul(multiply)?.div_euclid(divide).checked_add(EPOCH_TICKS)
            });
            Ok(Arc::new(ticks))
        }
        (DataType::Date32 | DataType::Date64, KqlType::Datetime) => {
            normalise(&cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?, kind)
        }
        (DataType::Duration(unit), KqlType::Timespan) => {
            let (multiply, divide) = ticks_per(*unit);
            let values = cast(array, &DataType::Int64)?;
            let values = datafusion::arrow::array::cast::as_primitive_array::<
                datafusion::arrow::datatypes::Int64Type,
            >(&values);
            let ticks = values.unary_opt::<_, datafusion::arrow::datatypes::Int64Type>(|value| {
                Some(value.checked_mul(multiply)?.div_euclid(divide))
            });
            Ok(Arc::new(ticks))
        }
        _ => cast(array, &target),
    }
}

/// Ticks in a time unit, as multiplier and divisor.
pub(crate) fn ticks_per(unit: TimeUnit) -> (i64, i64) {
    match unit {
        TimeUnit::Second => (time::TICKS_PER_SECOND, 1),
        TimeUnit::Millisecond => (time::TICKS_PER_MILLISECOND, 1),
        TimeUnit::Microsecond => (time::TICKS_PER_MICROSECOND, 1),
        TimeUnit::Nanosecond => (1, 100),
    }
}

/// A result's batch with its columns in the Arrow types that a table stores: datetime as microseconds, timespan as
/// ticks. What lies between two microseconds is rounded down.
pub fn export_batch(batch: &RecordBatch, columns: &[Column]) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrays = Vec::with_capacity(columns.len());
    for (column, array) in columns.iter().zip(batch.columns()) {
        let array = if column.kind == KqlType::Datetime && *array.data_type() == DataType::Int64 {
            let ticks = datafusion::arrow::array::cast::as_primitive_array::<
                datafusion::arrow::datatypes::Int64Type,
            >(array);
            let micros =
                ticks.unary_opt::<_, datafusion::arrow::datatypes::TimestampMicrosecondType>(|ticks| {
                    Some(ticks.checked_sub(EPOCH_TICKS)?.div_euclid(time::TICKS_PER_MICROSECOND))
                });
            Arc::new(micros.with_timezone("UTC")) as ArrayRef
        } else {
            Arc::clone(array)
        };
        fields.push(Field::new(&column.name, array.data_type().clone(), true));
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
}

/// A batch of JSON objects, each column converted to its type as KQL's conversion functions do.
pub(crate) fn arrays_from_json(columns: &[Column], rows: &[Json]) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrays = Vec::with_capacity(columns.len());
    for column in columns.iter().filter(|column| column.alias_of.is_none()) {
        let mut builder = Builder::new(column.kind, rows.len());
        for row in rows {
            let value = row.get(&column.name).unwrap_or(&Json::Null);
            builder.push(&from_json(value, column.kind));
        }
        let array = builder.finish();
        fields.push(Field::new(&column.name, array.data_type().clone(), true));
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
}

/// A JSON value as a value of a type; what cannot be converted is null.
pub(crate) fn from_json(value: &Json, kind: KqlType) -> Value<'static> {
    match value {
        Json::Null => Value::Null,
        Json::String(text) if kind == KqlType::String => Value::from(text.clone()),
        _ if kind == KqlType::Dynamic => Value::from(value.to_string()),
        Json::Bool(value) => convert(&Value::Bool(*value), KqlType::Bool, kind),
        Json::Number(number) => match number.as_i64() {
            Some(number) => convert(&Value::Long(number), KqlType::Long, kind),
            None => convert(&Value::from(number.as_f64()), KqlType::Real, kind),
        },
        Json::String(text) => convert(&Value::text(text.as_str()), KqlType::String, kind).into_owned(),
        Json::Array(_) | Json::Object(_) => {
            convert(&Value::from(value.to_string()), KqlType::Dynamic, kind).into_owned()
        }
    }
}

/// A guid in its usual form, from 32 hexadecimal digits with hyphens and brackets anywhere or nowhere.
pub(crate) fn parse_guid(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let digits = digits.to_ascii_lowercase();
    Some(format!(
        "{}-{}-{}-{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..]
    ))
}
