//! What the Sentinel workspace holds.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A stream of the data collection rule, the table behind it and its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Such as `Custom-ProvostFindings_CL`.
    pub name: String,
    /// The columns that it declares; others are dropped without a word.
    pub columns: Vec<String>,
}

impl Stream {
    /// The streams of the rule that Provost ships.
    pub fn shipped() -> Vec<Self> {
        Vec::new()
    }
}

/// A copy of what the workspace holds.
#[derive(Debug, Clone, Default)]
pub struct SentinelCopy {
    /// Rows by stream, in order of arrival, duplicates included.
    pub rows: BTreeMap<String, Vec<Map<String, Value>>>,
    /// Values dropped because their column is not declared, by `stream/column`.
    pub dropped_columns: BTreeMap<String, u64>,
    /// Incidents by id.
    pub incidents: BTreeMap<String, IncidentCopy>,
}

/// An incident of the workspace.
#[derive(Debug, Clone, PartialEq)]
pub struct IncidentCopy {
    /// What a GET gives as `properties`.
    pub properties: Map<String, Value>,
    /// The version.
    pub etag: String,
    /// Comments by id.
    pub comments: BTreeMap<String, String>,
}

impl SentinelCopy {
    /// How many rows of a stream came more than once, by the value of a column.
    pub fn duplicates(&self, stream: &str, id_column: &str) -> usize {
        let rows = self.rows.get(stream).map(Vec::as_slice).unwrap_or_default();
        let distinct: std::collections::BTreeSet<String> =
            rows.iter().filter_map(|row| row.get(id_column)).map(Value::to_string).collect();
        rows.len() - distinct.len()
    }
}
