//! The scalar types of KQL, and how they travel in Arrow.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use datafusion::arrow::datatypes::DataType;

/// A scalar type of KQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KqlType {
    /// `bool`: true, false or null.
    Bool,
    /// `int`: 32 bits.
    Int,
    /// `long`: 64 bits.
    Long,
    /// `real`: a double.
    Real,
    /// `decimal`: an exact decimal number.
    Decimal,
    /// `string`: never null.
    String,
    /// `datetime`: ticks of 100 ns, UTC, years 1 to 9999.
    Datetime,
    /// `timespan`: ticks of 100 ns.
    Timespan,
    /// `guid`.
    Guid,
    /// `dynamic`: any JSON value.
    Dynamic,
}

impl KqlType {
    /// The type's name in KQL.
    pub fn name(self) -> &'static str {
        match self {
            KqlType::Bool => "bool",
            KqlType::Int => "int",
            KqlType::Long => "long",
            KqlType::Real => "real",
            KqlType::Decimal => "decimal",
            KqlType::String => "string",
            KqlType::Datetime => "datetime",
            KqlType::Timespan => "timespan",
            KqlType::Guid => "guid",
            KqlType::Dynamic => "dynamic",
        }
    }

    /// The type a name stands for; KQL has several names for some of them.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "bool" | "boolean" => KqlType::Bool,
            "int" | "int32" => KqlType::Int,
            "long" | "int64" => KqlType::Long,
            "real" | "double" => KqlType::Real,
            "decimal" => KqlType::Decimal,
            "string" => KqlType::String,
            "datetime" | "date" => KqlType::Datetime,
            "timespan" | "time" => KqlType::Timespan,
            "guid" | "uuid" | "uniqueid" => KqlType::Guid,
            "dynamic" => KqlType::Dynamic,
            _ => return None,
        })
    }

    /// Whether arithmetic is defined on it as on a number.
    pub fn is_numeric(self) -> bool {
        matches!(self, KqlType::Int | KqlType::Long | KqlType::Real | KqlType::Decimal)
    }

    /// The Arrow type of this type's values while a query runs, and in its result: `datetime` is ticks since year 1
    /// and `timespan` ticks, both of 100 ns, because no Arrow timestamp has KQL's range at KQL's precision.
    pub fn arrow(self) -> DataType {
        match self {
            KqlType::Bool => DataType::Boolean,
            KqlType::Int => DataType::Int32,
            KqlType::Long | KqlType::Datetime | KqlType::Timespan => DataType::Int64,
            KqlType::Real => DataType::Float64,
            KqlType::Decimal => DataType::Decimal128(DECIMAL_PRECISION, DECIMAL_SCALE),
            KqlType::String | KqlType::Guid | KqlType::Dynamic => DataType::Utf8,
        }
    }
}

/// Digits of a decimal while a query runs.
pub(crate) const DECIMAL_PRECISION: u8 = 38;
/// Digits after the point of a decimal while a query runs.
pub(crate) const DECIMAL_SCALE: i8 = 17;

impl fmt::Display for KqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A column of a table or of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name, as a query writes it.
    pub name: String,
    /// Its type.
    pub kind: KqlType,
    /// Resolves by name, but is not part of the table's implicit output.
    pub hidden: bool,
    /// Another column of the same table that this one reads.
    pub alias_of: Option<String>,
}

impl Column {
    /// A visible column.
    pub fn new(name: impl Into<String>, kind: KqlType) -> Self {
        Column { name: name.into(), kind, hidden: false, alias_of: None }
    }

    /// The same column, hidden.
    pub fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// The same column, reading another one of its table.
    pub fn alias_of(mut self, other: impl Into<String>) -> Self {
        self.alias_of = Some(other.into());
        self
    }
}

/// A constant given to a query from outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// A `bool`.
    Bool(bool),
    /// An `int`.
    Int(i32),
    /// A `long`.
    Long(i64),
    /// A `real`.
    Real(f64),
    /// A `string`.
    String(String),
    /// A `datetime`.
    Datetime(DateTime<Utc>),
    /// A `timespan`.
    Timespan(TimeDelta),
    /// A `dynamic`.
    Dynamic(serde_json::Value),
}
