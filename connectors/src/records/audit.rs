//! `AuditLogs`: Entra directory audits from Graph, from diagnostic settings, and from Log Analytics.

use provost_model::{EventId, Row, RowError};
use serde_json::Value;

use super::fields::{at, instant, object, set, set_at, text_at};
use super::{by_columns, table};

const COLUMNS: &[(&str, &[&str])] = &[
    ("AADOperationType", &["operationType"]),
    ("ActivityDateTime", &["activityDateTime"]),
    ("ActivityDisplayName", &["activityDisplayName"]),
    ("AdditionalDetails", &["additionalDetails"]),
    ("Category", &["category"]),
    ("CorrelationId", &["correlationId"]),
    ("Id", &["id"]),
    ("InitiatedBy", &["initiatedBy"]),
    ("LoggedByService", &["loggedByService"]),
    ("OperationName", &["activityDisplayName"]),
    ("Result", &["result"]),
    ("ResultDescription", &["resultReason"]),
    ("ResultReason", &["resultReason"]),
    ("TargetResources", &["targetResources"]),
];

/// Reads a directory audit: a `directoryAudit` of Graph, a line of a diagnostic setting's export, whose `properties`
/// are one, or a row under the column names of the table.
///
/// The identity is the audit's `id`.
pub fn audit(record: &Value) -> Result<Row, RowError> {
    object(record)?;
    let exported =
        at(record, &["properties"]).filter(|properties| properties.get("activityDateTime").is_some());
    let audit = exported.unwrap_or(record);
    if audit.get("activityDateTime").is_none() {
        return by_columns(table("AuditLogs")?, record);
    }
    let time = instant(at(audit, &["activityDateTime"]), "activityDateTime")?;
    let id = text_at(audit, &["id"]).ok_or(RowError::Missing("id"))?;
    let mut row = Row::new(table("AuditLogs")?, time, EventId::native(id));
    for (column, path) in COLUMNS {
        set_at(&mut row, column, audit, path)?;
    }
    if let Some(who) = at(audit, &["initiatedBy", "user", "displayName"])
        .or_else(|| at(audit, &["initiatedBy", "user", "userPrincipalName"]))
        .or_else(|| at(audit, &["initiatedBy", "app", "displayName"]))
    {
        set(&mut row, "Identity", who)?;
    }
    if let Some(tenant) = text_at(record, &["tenantId"]).filter(|_| exported.is_some()) {
        row.set("AADTenantId", tenant)?;
    }
    for (column, value) in [
        ("Level", "4"),
        ("OperationVersion", "1.0"),
        ("Resource", "Microsoft.aadiam"),
        ("ResourceGroup", "Microsoft.aadiam"),
        ("SourceSystem", "Azure AD"),
    ] {
        row.set(column, value)?;
    }
    Ok(row)
}
