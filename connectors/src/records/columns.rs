//! Any table, from records whose fields are named like its columns.

use provost_model::{EventId, Row, RowError, TableSpec, format_time};
use serde_json::Value;

use super::fields::{Fields, content_id};

/// The columns that together tell one row from another, where the system that wrote the table has such.
pub(super) const IDENTITIES: &[(&str, &[&str])] = &[
    ("AADManagedIdentitySignInLogs", &["Id"]),
    ("AADNonInteractiveUserSignInLogs", &["Id"]),
    ("AADServicePrincipalSignInLogs", &["Id"]),
    ("AWSCloudTrail", &["AwsEventId"]),
    ("AuditLogs", &["Id"]),
    ("AzureActivity", &["EventDataId"]),
    ("CloudAppEvents", &["ReportId"]),
    ("IdentityLogonEvents", &["ReportId"]),
    ("OfficeActivity", &["OfficeId"]),
    ("SecurityAlert", &["SystemAlertId", "TimeGenerated"]),
    ("SigninLogs", &["Id"]),
    ("UrlClickEvents", &["ReportId"]),
];

/// Reads a record whose fields are the table's columns, in any letter case, as Log Analytics and the portal export
/// them (`TimeGenerated [UTC]` too). Fields that the table does not know are left out.
///
/// The identity is the native id of the table where there is one, else a hash of all that the record says.
pub fn by_columns(table: &'static TableSpec, record: &Value) -> Result<Row, RowError> {
    let fields = Fields::of(record)?;
    let also: Vec<&str> = table
        .columns()
        .iter()
        .filter(|column| column.alias_of.as_deref() == Some(TableSpec::TIME))
        .map(|column| column.name.as_str())
        .collect();
    let names: Vec<&str> = std::iter::once(TableSpec::TIME).chain(also).chain(["Timestamp"]).collect();
    let time = fields.time(&names, TableSpec::TIME)?;
    let native = IDENTITIES.iter().find(|(name, _)| *name == table.name()).and_then(|(_, columns)| {
        let parts: Option<Vec<String>> = columns
            .iter()
            .map(|column| match *column {
                TableSpec::TIME => Some(format_time(time)),
                column => fields.text(&[column]),
            })
            .collect();
        parts
    });
    let id = match native.as_deref() {
        Some([only]) => EventId::native(only.as_str()),
        Some(parts) => EventId::of(&parts.iter().map(String::as_str).collect::<Vec<_>>()),
        None => content_id(record),
    };
    let mut row = Row::new(table, time, id);
    fields.fill(&mut row)?;
    Ok(row)
}
