//! Rows on their way into the lake.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::identity::EventId;
use crate::table::{ColumnKind, TableSpec};
use crate::window::parse_time;

/// The value of one column in one row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// `bool`
    Bool(bool),
    /// `int` and `long`
    Long(i64),
    /// `real`
    Real(f64),
    /// `string`, and `dynamic` as JSON text
    Text(String),
    /// `datetime`
    Time(DateTime<Utc>),
}

impl From<bool> for Cell {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Self::Long(value)
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Cell {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<DateTime<Utc>> for Cell {
    fn from(value: DateTime<Utc>) -> Self {
        Self::Time(value)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Why a record is no row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The table has no such column.
    #[error("table {table} has no column {column}")]
    Column {
        /// The table.
        table: &'static str,
        /// The name that was asked for.
        column: String,
    },
    /// The value does not fit the column.
    #[error("column {column}: expected {expected}, found {found}")]
    Kind {
        /// The column.
        column: String,
        /// The KQL type of the column.
        expected: &'static str,
        /// The beginning of what was there.
        found: String,
    },
    /// A field without which there is no row.
    #[error("the record has no {0}")]
    Missing(&'static str),
    /// Anything else that is wrong with the record.
    #[error("{0}")]
    Record(String),
}

/// A record that could not be read, kept for `Rejects`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Where it was: file and line, or request.
    pub origin: String,
    /// What is wrong with it.
    pub reason: String,
    /// The record as it came.
    pub record: String,
}

/// One row of a table. Columns that are not set are null.
#[derive(Debug, Clone)]
pub struct Row {
    table: &'static TableSpec,
    cells: Vec<Cell>,
}

impl Row {
    /// A row with its event time and identity.
    pub fn new(table: &'static TableSpec, time: DateTime<Utc>, id: EventId) -> Self {
        let mut row = Self { table, cells: vec![Cell::Null; table.schema().fields().len()] };
        row.put(TableSpec::TIME, Cell::Time(time));
        row.put(TableSpec::EVENT_ID, Cell::Text(id.into_string()));
        row.put("Type", Cell::Text(table.name().to_owned()));
        row
    }

    /// The table.
    pub fn table(&self) -> &'static TableSpec {
        self.table
    }

    /// The event time.
    pub fn time(&self) -> Option<DateTime<Utc>> {
        match self.get(TableSpec::TIME) {
            Some(Cell::Time(time)) => Some(*time),
            _ => None,
        }
    }

    /// The value of a stored column.
    pub fn get(&self, column: &str) -> Option<&Cell> {
        self.table.position(column).map(|place| &self.cells[place])
    }

    /// Sets a column, turning the value into the column's type where that loses nothing (`"true"`, `"7"`, ISO times).
    pub fn set(&mut self, column: &str, value: impl Into<Cell>) -> Result<(), RowError> {
        let (place, kind) = self.place(column)?;
        self.cells[place] = fit(column, kind, value.into())?;
        Ok(())
    }

    /// Sets a column from JSON. Objects and arrays become JSON text in `dynamic` and `string` columns.
    pub fn set_json(&mut self, column: &str, value: &Value) -> Result<(), RowError> {
        let (place, kind) = self.place(column)?;
        let cell = match value {
            Value::Null => Cell::Null,
            other if kind == ColumnKind::Dynamic => Cell::Text(other.to_string()),
            Value::Bool(flag) => Cell::Bool(*flag),
            Value::Number(number) => match number.as_i64() {
                Some(whole) => Cell::Long(whole),
                None if kind == ColumnKind::String => Cell::Text(number.to_string()),
                None => number.as_f64().map_or(Cell::Null, Cell::Real),
            },
            Value::String(text) => Cell::Text(text.clone()),
            other => Cell::Text(other.to_string()),
        };
        self.cells[place] = fit(column, kind, cell)?;
        Ok(())
    }

    fn place(&self, column: &str) -> Result<(usize, ColumnKind), RowError> {
        let unknown = || RowError::Column { table: self.table.name(), column: column.to_owned() };
        let place = self.table.position(column).ok_or_else(unknown)?;
        let kind = self.table.kind_at(place).ok_or_else(unknown)?;
        Ok((place, kind))
    }

    fn put(&mut self, column: &str, cell: Cell) {
        if let Some(place) = self.table.position(column) {
            self.cells[place] = cell;
        }
    }
}

fn fit(column: &str, kind: ColumnKind, cell: Cell) -> Result<Cell, RowError> {
    let fail = |found: String| RowError::Kind {
        column: column.to_owned(),
        expected: kind.name(),
        found: found.chars().take(80).collect(),
    };
    Ok(match (kind, cell) {
        (_, Cell::Null) => Cell::Null,
        (ColumnKind::Bool, Cell::Bool(flag)) => Cell::Bool(flag),
        (ColumnKind::Int, Cell::Long(number)) => {
            Cell::Long(i32::try_from(number).map_err(|_| fail(number.to_string()))?.into())
        }
        (ColumnKind::Long, Cell::Long(number)) => Cell::Long(number),
        (ColumnKind::Int | ColumnKind::Long, Cell::Real(number))
            if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 =>
        {
            // The bound keeps the cast exact.
            return fit(column, kind, Cell::Long(number as i64));
        }
        (ColumnKind::Real, Cell::Real(number)) => Cell::Real(number),
        (ColumnKind::Real, Cell::Long(number)) => Cell::Real(number as f64),
        (ColumnKind::Datetime, Cell::Time(time)) => Cell::Time(time),
        (ColumnKind::String | ColumnKind::Dynamic, Cell::Text(text)) => Cell::Text(text),
        (ColumnKind::String, Cell::Bool(flag)) => Cell::Text(flag.to_string()),
        (ColumnKind::String, Cell::Long(number)) => Cell::Text(number.to_string()),
        (ColumnKind::String, Cell::Real(number)) => Cell::Text(number.to_string()),
        (ColumnKind::String, Cell::Time(time)) => Cell::Text(crate::format_time(time)),
        (_, Cell::Text(text)) if text.trim().is_empty() => Cell::Null,
        (ColumnKind::Bool, Cell::Text(text)) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => Cell::Bool(true),
            "false" | "0" => Cell::Bool(false),
            _ => return Err(fail(text)),
        },
        (ColumnKind::Int | ColumnKind::Long, Cell::Text(text)) => {
            let number: i64 = text.trim().parse().map_err(|_| fail(text))?;
            return fit(column, kind, Cell::Long(number));
        }
        (ColumnKind::Real, Cell::Text(text)) => Cell::Real(text.trim().parse().map_err(|_| fail(text))?),
        (ColumnKind::Datetime, Cell::Text(text)) => Cell::Time(parse_time(&text).map_err(|_| fail(text))?),
        (_, other) => return Err(fail(format!("{other:?}"))),
    })
}

/// Collects rows of one table into a record batch.
#[derive(Debug)]
pub struct BatchBuilder {
    table: &'static TableSpec,
    columns: Vec<Column>,
    rows: usize,
    bytes: usize,
}

#[derive(Debug)]
enum Column {
    Bool(BooleanBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Real(Float64Builder),
    Text(StringBuilder),
    Time(TimestampMicrosecondBuilder),
}

impl BatchBuilder {
    /// An empty batch of that table.
    pub fn new(table: &'static TableSpec) -> Self {
        let columns = table.stored().map(|spec| match spec.kind {
            ColumnKind::Bool => Column::Bool(BooleanBuilder::new()),
            ColumnKind::Int => Column::Int(Int32Builder::new()),
            ColumnKind::Long => Column::Long(Int64Builder::new()),
            ColumnKind::Real => Column::Real(Float64Builder::new()),
            ColumnKind::String | ColumnKind::Dynamic => Column::Text(StringBuilder::new()),
            ColumnKind::Datetime => Column::Time(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
        });
        Self { table, columns: columns.collect(), rows: 0, bytes: 0 }
    }

    /// The table.
    pub fn table(&self) -> &'static TableSpec {
        self.table
    }

    /// How many rows it holds.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// About how many bytes it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a row of the same table.
    pub fn push(&mut self, row: Row) -> Result<(), RowError> {
        if row.table.name() != self.table.name() {
            return Err(RowError::Record(format!(
                "a row of {} in a batch of {}",
                row.table.name(),
                self.table.name()
            )));
        }
        for (column, cell) in self.columns.iter_mut().zip(row.cells) {
            self.bytes += 8;
            // `Row` holds only cells that fit their column, so whatever does not match is the null.
            match (column, cell) {
                (Column::Bool(column), Cell::Bool(flag)) => column.append_value(flag),
                (Column::Bool(column), _) => column.append_null(),
                (Column::Int(column), Cell::Long(number)) => column.append_option(i32::try_from(number).ok()),
                (Column::Int(column), _) => column.append_null(),
                (Column::Long(column), Cell::Long(number)) => column.append_value(number),
                (Column::Long(column), _) => column.append_null(),
                (Column::Real(column), Cell::Real(number)) => column.append_value(number),
                (Column::Real(column), _) => column.append_null(),
                (Column::Text(column), Cell::Text(text)) => {
                    self.bytes += text.len();
                    column.append_value(text);
                }
                (Column::Text(column), _) => column.append_null(),
                (Column::Time(column), Cell::Time(time)) => column.append_value(time.timestamp_micros()),
                (Column::Time(column), _) => column.append_null(),
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// The batch; the builder is empty afterwards.
    pub fn finish(&mut self) -> Result<RecordBatch, arrow::error::ArrowError> {
        let arrays = self.columns.iter_mut().map(|column| -> ArrayRef {
            match column {
                Column::Bool(column) => Arc::new(column.finish()),
                Column::Int(column) => Arc::new(column.finish()),
                Column::Long(column) => Arc::new(column.finish()),
                Column::Real(column) => Arc::new(column.finish()),
                Column::Text(column) => Arc::new(column.finish()),
                Column::Time(column) => Arc::new(column.finish()),
            }
        });
        let arrays: Vec<ArrayRef> = arrays.collect();
        self.rows = 0;
        self.bytes = 0;
        RecordBatch::try_new(self.table.schema(), arrays)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables;
    use serde_json::json;

    fn row() -> Row {
        let table = tables().get("DeviceNetworkEvents").expect("a table of ours");
        Row::new(table, DateTime::UNIX_EPOCH, EventId::of(&["a"]))
    }

    #[test]
    fn values_are_fitted_to_the_column_or_refused_with_its_name() {
        let mut row = row();
        row.set_json("RemotePort", &json!("443")).expect("a number in a string fits");
        assert_eq!(row.get("RemotePort"), Some(&Cell::Long(443)));
        row.set_json("AdditionalFields", &json!({"a": 1})).expect("an object fits dynamic");
        assert_eq!(row.get("AdditionalFields"), Some(&Cell::Text("{\"a\":1}".into())));
        row.set_json("DeviceName", &json!(7)).expect("a number fits string");
        assert_eq!(row.get("DeviceName"), Some(&Cell::Text("7".into())));

        let error = row.set_json("RemotePort", &json!("https")).expect_err("no number");
        assert_eq!(error.to_string(), "column RemotePort: expected int, found https");
        let error = row.set_json("RemotePort", &json!(4_294_967_296_u64)).expect_err("too big");
        assert!(error.to_string().contains("expected int"), "{error}");
        assert!(row.set("SentBytes", 1_i64).is_err(), "a column that is kept nowhere can't be set");
    }

    #[test]
    fn a_batch_has_the_schema_of_its_table() {
        let first = row();
        let mut batch = BatchBuilder::new(first.table());
        batch.push(first).expect("same table");
        let finished = batch.finish().expect("columns of one length");
        assert_eq!(finished.num_rows(), 1);
        assert_eq!(finished.schema(), batch.table().schema());
    }
}
