//! The tables of the lake: names, columns and KQL types.
//!
//! A raw table has the name and the columns of its Sentinel or Defender table, so that public rules run unmodified.
//! The columns stand as data in `tables/*.txt`: `Name: kind`, and behind that
//! `= Other` for a second name of another column, `absent` for a column that no source ever fills,
//! `latest` for the key of which only the row taken in last counts.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// The KQL type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnKind {
    /// `bool`
    Bool,
    /// `int`, 32 bit
    Int,
    /// `long`, 64 bit
    Long,
    /// `real`, 64 bit
    Real,
    /// `string`; a null reads as the empty string
    String,
    /// `datetime`, UTC, kept in microseconds
    Datetime,
    /// `dynamic`, kept as JSON text
    Dynamic,
}

impl ColumnKind {
    /// How the lake keeps a column of this kind.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int => DataType::Int32,
            Self::Long => DataType::Int64,
            Self::Real => DataType::Float64,
            Self::String | Self::Dynamic => DataType::Utf8,
            Self::Datetime => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    /// The name that KQL gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Long => "long",
            Self::Real => "real",
            Self::String => "string",
            Self::Datetime => "datetime",
            Self::Dynamic => "dynamic",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Bool, Self::Int, Self::Long, Self::Real, Self::String, Self::Datetime, Self::Dynamic]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// One column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSpec {
    /// The name as Sentinel users know it.
    pub name: String,
    /// Its KQL type.
    pub kind: ColumnKind,
    /// The column that this is a second name of.
    pub alias_of: Option<String>,
    /// Declared, but kept nowhere: reads as null.
    pub absent: bool,
}

impl ColumnSpec {
    /// Hidden columns answer to their name but are not part of a table's output.
    pub fn hidden(&self) -> bool {
        self.name.starts_with('_') || self.alias_of.is_some() || self.absent
    }

    /// Whether the lake keeps it.
    pub fn stored(&self) -> bool {
        self.alias_of.is_none() && !self.absent
    }
}

/// A table: its name and columns.
#[derive(Debug)]
pub struct TableSpec {
    name: &'static str,
    columns: Vec<ColumnSpec>,
    stored: Vec<usize>,
    position: BTreeMap<String, usize>,
    latest_by: Option<String>,
    schema: SchemaRef,
}

impl TableSpec {
    /// The identity of a row, used for dedupe.
    pub const EVENT_ID: &'static str = "_EventId";
    /// Schedule job and partition a row came from.
    pub const SOURCE: &'static str = "_Source";
    /// When the row was taken in.
    pub const INGESTED_AT: &'static str = "_IngestedAt";
    /// Event time: every table has it.
    pub const TIME: &'static str = "TimeGenerated";

    /// The name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// All columns, also those that are kept nowhere.
    pub fn columns(&self) -> &[ColumnSpec] {
        &self.columns
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&ColumnSpec> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The columns that the lake keeps, in the order of [`TableSpec::schema`].
    pub fn stored(&self) -> impl Iterator<Item = &ColumnSpec> {
        self.stored.iter().map(|&index| &self.columns[index])
    }

    /// The place of a stored column in [`TableSpec::schema`].
    pub fn position(&self, name: &str) -> Option<usize> {
        self.position.get(name).copied()
    }

    /// The type of the column at a place in [`TableSpec::schema`].
    pub fn kind_at(&self, place: usize) -> Option<ColumnKind> {
        self.stored.get(place).map(|&index| self.columns[index].kind)
    }

    /// Of rows that share this column's value, the one taken in last counts; the others are its history.
    pub fn latest_by(&self) -> Option<&str> {
        self.latest_by.as_deref()
    }

    /// The Arrow schema of the stored columns.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn parse(name: &'static str, text: &str) -> Result<Self, String> {
        let mut columns = Vec::new();
        let mut latest_by = None;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (column, rest) =
                line.split_once(':').ok_or_else(|| format!("{name}: no colon in '{line}'"))?;
            let mut words = rest.split_whitespace();
            let kind = words
                .next()
                .and_then(ColumnKind::parse)
                .ok_or_else(|| format!("{name}: no kind in '{line}'"))?;
            let mut spec = ColumnSpec { name: column.to_owned(), kind, alias_of: None, absent: false };
            match (words.next(), words.next()) {
                (None, _) => {}
                (Some("="), Some(other)) => spec.alias_of = Some(other.to_owned()),
                (Some("absent"), None) => spec.absent = true,
                (Some("latest"), None) => latest_by = Some(spec.name.clone()),
                _ => return Err(format!("{name}: cannot read '{line}'")),
            }
            columns.push(spec);
        }
        for (own, kind) in [
            (Self::EVENT_ID, ColumnKind::String),
            (Self::SOURCE, ColumnKind::String),
            (Self::INGESTED_AT, ColumnKind::Datetime),
        ] {
            columns.push(ColumnSpec { name: own.to_owned(), kind, alias_of: None, absent: false });
        }
        let stored: Vec<usize> = (0..columns.len()).filter(|&index| columns[index].stored()).collect();
        let position =
            stored.iter().enumerate().map(|(place, &index)| (columns[index].name.clone(), place)).collect();
        let fields: Vec<Field> = stored
            .iter()
            .map(|&index| Field::new(columns[index].name.clone(), columns[index].kind.arrow(), true))
            .collect();
        Ok(Self { name, columns, stored, position, latest_by, schema: Arc::new(Schema::new(fields)) })
    }
}

/// Every table that Provost knows.
#[derive(Debug)]
pub struct Tables(BTreeMap<&'static str, TableSpec>);

impl Tables {
    /// The table of that name.
    pub fn get(&self, name: &str) -> Option<&TableSpec> {
        self.0.get(name)
    }

    /// All tables, by name.
    pub fn iter(&self) -> impl Iterator<Item = &TableSpec> {
        self.0.values()
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }
}

/// The tables that Provost knows.
pub fn tables() -> &'static Tables {
    static TABLES: LazyLock<Tables> = LazyLock::new(|| {
        let parsed =
            SOURCES.iter().filter_map(|(name, text)| Some((*name, TableSpec::parse(name, text).ok()?)));
        Tables(parsed.collect())
    });
    &TABLES
}

macro_rules! sources {
    ($($name:literal),* $(,)?) => {
        const SOURCES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../tables/", $name, ".txt")))),*];
    };
}

sources!(
    "AADManagedIdentitySignInLogs",
    "AADNonInteractiveUserSignInLogs",
    "AADServicePrincipalSignInLogs",
    "AWSCloudTrail",
    "AWSCloudWatch",
    "AWSGuardDuty",
    "AWSVPCFlow",
    "AZFWApplicationRule",
    "AZFWDnsQuery",
    "AZFWNetworkRule",
    "AlertEvidence",
    "AlertInfo",
    "AuditLogs",
    "AzureActivity",
    "AzureDiagnostics",
    "BehaviorAnalytics",
    "CloudAppEvents",
    "CommonSecurityLog",
    "Costs",
    "DNSQueryLogs",
    "Deliveries",
    "DeviceEvents",
    "DeviceFileCertificateInfo",
    "DeviceInfo",
    "DeviceLogonEvents",
    "DeviceNetworkEvents",
    "DeviceNetworkInfo",
    "DeviceProcessEvents",
    "DnsEvents",
    "Findings",
    "GCPAuditLogs",
    "GoogleCloudSCC",
    "IdentityInfo",
    "IdentityLogonEvents",
    "Incidents",
    "NTANetAnalytics",
    "OfficeActivity",
    "Rejects",
    "Runs",
    "SecurityAlert",
    "SecurityEvent",
    "SecurityIncident",
    "SigninLogs",
    "Syslog",
    "ThreatIntelIndicators",
    "ThreatIntelObjects",
    "ThreatIntelligenceIndicator",
    "UrlClickEvents",
    "W3CIISLog",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_file_can_be_read_and_has_event_time() {
        for (name, text) in SOURCES {
            let table = TableSpec::parse(name, text).unwrap_or_else(|error| panic!("{error}"));
            let time = table.column(TableSpec::TIME).unwrap_or_else(|| panic!("{name} has no TimeGenerated"));
            assert_eq!(time.kind, ColumnKind::Datetime, "{name}");
            for column in table.columns() {
                if let Some(other) = &column.alias_of {
                    assert!(table.position(other).is_some(), "{name}.{} names no column", column.name);
                }
            }
        }
        assert_eq!(tables().iter().count(), SOURCES.len());
    }

    #[test]
    fn defender_tables_answer_to_timestamp_and_lack_the_byte_counts_that_queries_name() {
        let table = tables().get("DeviceNetworkEvents").expect("a table of ours");
        assert_eq!(table.column("Timestamp").and_then(|c| c.alias_of.as_deref()), Some("TimeGenerated"));
        assert!(table.column("SentBytes").is_some_and(|c| c.absent && c.hidden()));
        assert!(table.position("SentBytes").is_none());
    }
}
