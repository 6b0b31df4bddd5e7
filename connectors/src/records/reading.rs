//! Reading a file of records: finding the records in a document, and telling equal ones apart.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use provost_model::{Cell, EventId, Row, RowError, TableSpec, tables};
use serde_json::Value;

use super::columns::IDENTITIES;
use super::{activity, audit, by_columns, cloudtrail, device_event, focus, signin_of};

type Read = fn(&'static TableSpec, &Value) -> Result<Row, RowError>;

/// How records become rows of one table.
#[derive(Debug, Clone, Copy)]
pub struct Normaliser {
    table: &'static TableSpec,
    read: Read,
    repeats: bool,
}

/// The normaliser of a table; every table has one, if only [`by_columns`].
pub fn for_table(name: &str) -> Option<Normaliser> {
    let table = tables().get(name)?;
    let has_native_id = IDENTITIES.iter().any(|(known, _)| *known == name);
    let (read, repeats): (Read, bool) = match name {
        "AWSCloudTrail" => (|_, record| cloudtrail(record), false),
        "AuditLogs" => (|_, record| audit(record), false),
        "AzureActivity" => (|_, record| activity(record), false),
        "Costs" => (|_, record| focus(record), true),
        "SigninLogs"
        | "AADManagedIdentitySignInLogs"
        | "AADNonInteractiveUserSignInLogs"
        | "AADServicePrincipalSignInLogs" => (signin_of, false),
        name if name.starts_with("Device") && table.position("ReportId").is_some() => (device_event, false),
        _ => (by_columns, !has_native_id),
    };
    Some(Normaliser { table, read, repeats })
}

impl Normaliser {
    /// The table.
    pub fn table(&self) -> &'static TableSpec {
        self.table
    }

    /// Reads one record by itself.
    pub fn row(&self, record: &Value) -> Result<Row, RowError> {
        (self.read)(self.table, record)
    }

    /// Starts a file.
    pub fn reading(&self) -> Reading {
        Reading { normaliser: *self, seen: HashMap::new() }
    }

    /// The records in a JSON document: the document itself, the elements of an array, or what is in the envelope
    /// of trail files, of API answers and of Log Analytics query results.
    pub fn records(&self, document: Value) -> Vec<Value> {
        const ENVELOPES: [&str; 6] = ["Records", "records", "Events", "value", "results", "Results"];
        match document {
            Value::Array(items) => items.into_iter().flat_map(|item| self.records(item)).collect(),
            Value::Object(mut members) => {
                if let Some(Value::Array(tables)) = members.get_mut("tables").map(Value::take) {
                    return tables.iter().flat_map(positional).collect();
                }
                let envelope =
                    ENVELOPES.into_iter().find(|name| members.get(*name).is_some_and(Value::is_array));
                match envelope.and_then(|name| members.remove(name)) {
                    Some(Value::Array(items)) => items,
                    _ => vec![Value::Object(members)],
                }
            }
            other => vec![other],
        }
    }
}

/// One file being read.
///
/// Tables without an id of their own are identified by what a record says. Two records of a file that say the same
/// are both kept there: the second one's identity says that it is the second. So a file that is read again gives the
/// same identities, and nothing is doubled or merged.
#[derive(Debug)]
pub struct Reading {
    normaliser: Normaliser,
    /// How often a key was seen. 64 bits of it keep large files cheap; a collision does no more than count two
    /// different records as one series, the same way at every reading.
    seen: HashMap<u64, u32>,
}

impl Reading {
    /// Reads the next record of the file.
    pub fn row(&mut self, record: &Value) -> Result<Row, RowError> {
        let mut row = self.normaliser.row(record)?;
        if self.normaliser.repeats {
            self.tell_apart(&mut row)?;
        }
        Ok(row)
    }

    fn tell_apart(&mut self, row: &mut Row) -> Result<(), RowError> {
        let key_column = self.normaliser.table.latest_by().filter(|column| column.starts_with('_'));
        let key = text_of(row, key_column.unwrap_or(TableSpec::EVENT_ID));
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let count = self.seen.entry(hasher.finish()).or_insert(0);
        *count += 1;
        if *count > 1 {
            let nth = count.to_string();
            for column in [Some(TableSpec::EVENT_ID), key_column].into_iter().flatten() {
                let told_apart = EventId::of(&[&text_of(row, column), &nth]);
                row.set(column, told_apart.as_str())?;
            }
        }
        Ok(())
    }
}

fn text_of(row: &Row, column: &str) -> String {
    match row.get(column) {
        Some(Cell::Text(text)) => text.clone(),
        _ => String::new(),
    }
}

/// The rows of a `{columns: [{name}], rows: [[…]]}` as objects.
fn positional(table: &Value) -> Vec<Value> {
    let member =
        |name: &str| table.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let names: Vec<&str> = member("columns")
        .iter()
        .map(|column| column.get("name").and_then(Value::as_str).unwrap_or_default())
        .collect();
    member("rows")
        .iter()
        .filter_map(Value::as_array)
        .map(|cells| {
            Value::Object(
                names.iter().zip(cells).map(|(name, cell)| ((*name).to_owned(), cell.clone())).collect(),
            )
        })
        .collect()
}
