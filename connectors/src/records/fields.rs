//! Finding the fields of a record, however their names are written.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use provost_model::{ColumnKind, ColumnSpec, EventId, Row, RowError, TableSpec, parse_time, tables};
use serde_json::{Map, Value};

/// The fields of one record by name: letter case does not count, nor the ` [UTC]` of portal exports, nor a byte
/// order mark before the first column. Empty texts and the words for "nothing" of CSV exports are left out.
#[derive(Debug)]
pub(super) struct Fields<'a>(BTreeMap<String, &'a Value>);

impl<'a> Fields<'a> {
    pub(super) fn of(record: &'a Value) -> Result<Self, RowError> {
        let object = object(record)?;
        Ok(Self(
            object
                .iter()
                .filter(|(_, value)| !is_nothing(value))
                .map(|(name, value)| (plain_name(name), value))
                .collect(),
        ))
    }

    /// The first of these that is there.
    pub(super) fn get(&self, names: &[&str]) -> Option<&'a Value> {
        names.iter().find_map(|name| self.0.get(&name.to_ascii_lowercase()).copied())
    }

    /// The first of these that is there, as text.
    pub(super) fn text(&self, names: &[&str]) -> Option<String> {
        self.get(names).and_then(text)
    }

    /// The first of these that is there, as an instant; `missing` names the field that a row can't be without.
    pub(super) fn time(&self, names: &[&str], missing: &'static str) -> Result<DateTime<Utc>, RowError> {
        instant(self.get(names), missing)
    }

    /// Sets every column of the table that the record has a field for. Event time and identity are left alone.
    pub(super) fn fill(&self, row: &mut Row) -> Result<(), RowError> {
        let columns = columns(row.table());
        for (name, value) in &self.0 {
            if let Some(column) = columns.get(name) {
                set(row, &column.name, value)?;
            }
        }
        Ok(())
    }
}

/// The columns of a table that a record may fill, by name in small letters.
pub(super) fn columns(table: &TableSpec) -> &'static HashMap<String, &'static ColumnSpec> {
    static COLUMNS: LazyLock<HashMap<&'static str, HashMap<String, &'static ColumnSpec>>> =
        LazyLock::new(|| {
            let of_table = |table: &'static TableSpec| {
                let content = table.stored().filter(|column| is_content(&column.name));
                content.map(|column| (column.name.to_ascii_lowercase(), column)).collect()
            };
            tables().iter().map(|table| (table.name(), of_table(table))).collect()
        });
    static NONE: LazyLock<HashMap<String, &'static ColumnSpec>> = LazyLock::new(HashMap::new);
    COLUMNS.get(table.name()).unwrap_or(&NONE)
}

/// Whether a column holds what the record says, not what Provost adds.
pub(super) fn is_content(column: &str) -> bool {
    !matches!(
        column,
        TableSpec::TIME
            | TableSpec::EVENT_ID
            | TableSpec::SOURCE
            | TableSpec::INGESTED_AT
            | "Type"
            | "_RowKey"
    )
}

/// The record as an object.
pub(super) fn object(record: &Value) -> Result<&Map<String, Value>, RowError> {
    record.as_object().ok_or_else(|| RowError::Record("the record is no JSON object".to_owned()))
}

/// A member by its path; nothing where a part is missing, null or empty.
pub(super) fn at<'a>(record: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(record, |value, name| value.get(name)).filter(|value| !is_nothing(value))
}

/// A text or number as text; nothing for null, empty texts, objects and arrays.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// A member as text.
pub(super) fn text_at(record: &Value, path: &[&str]) -> Option<String> {
    at(record, path).and_then(text)
}

/// A member as an instant.
pub(super) fn instant(value: Option<&Value>, missing: &'static str) -> Result<DateTime<Utc>, RowError> {
    match value {
        Some(Value::String(text)) => parse_time(text).map_err(|error| RowError::Record(error.to_string())),
        // Epoch numbers, as the AWS command line writes them: seconds, or milliseconds where seconds make no sense.
        Some(Value::Number(number)) => {
            let seconds = number.as_f64().unwrap_or(f64::NAN);
            let millis = if seconds.abs() < 1e11 { seconds * 1e3 } else { seconds };
            // `as` saturates; whatever is out of range is refused by chrono.
            DateTime::from_timestamp_millis(millis.round() as i64)
                .filter(|_| millis.is_finite())
                .ok_or_else(|| RowError::Record(format!("'{number}' is not a time")))
        }
        _ => Err(RowError::Missing(missing)),
    }
}

/// Sets a column. A text in a `dynamic` column that is itself a JSON object or array is taken as what it says.
pub(super) fn set(row: &mut Row, column: &str, value: &Value) -> Result<(), RowError> {
    let dynamic = row.table().column(column).is_some_and(|spec| spec.kind == ColumnKind::Dynamic);
    match value {
        Value::String(text) if dynamic => row.set_json(column, &embedded(text)),
        value => row.set_json(column, value),
    }
}

/// Sets a column that may be absent from the record.
pub(super) fn set_at(row: &mut Row, column: &str, record: &Value, path: &[&str]) -> Result<(), RowError> {
    match at(record, path) {
        Some(value) => set(row, column, value),
        None => Ok(()),
    }
}

/// The JSON that a text holds, or the text where it holds none.
pub(super) fn embedded(text: &str) -> Value {
    if !text.trim_start().starts_with(['{', '[']) {
        return Value::String(text.to_owned());
    }
    match serde_json::from_str::<Value>(text) {
        Ok(parsed @ (Value::Object(_) | Value::Array(_))) => parsed,
        _ => Value::String(text.to_owned()),
    }
}

/// An identity made of everything the record says, whatever the order of its fields.
pub(super) fn content_id(record: &Value) -> EventId {
    EventId::of(&[&canonical(record)])
}

/// JSON text with sorted keys.
pub(super) fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut members: Vec<(&String, &Value)> = map.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            let members: Vec<String> = members
                .into_iter()
                .map(|(name, value)| format!("{}:{}", Value::String(name.clone()), canonical(value)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        other => other.to_string(),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

fn plain_name(name: &str) -> String {
    let name = name.trim_start_matches('\u{feff}').trim();
    name.strip_suffix("[UTC]").unwrap_or(name).trim().to_ascii_lowercase()
}
