//! `SigninLogs` and its siblings: Entra sign-ins from Graph, from diagnostic settings, and from Log Analytics.

use provost_model::{EventId, Row, RowError, TableSpec};
use serde_json::Value;

use super::fields::{at, instant, is_content, object, set, set_at, text_at};
use super::{by_columns, table};

/// Columns whose Graph property is not simply the column's name with a small first letter.
const COLUMNS: &[(&str, &[&str])] = &[
    ("AppliedConditionalAccessPolicies", &["appliedConditionalAccessPolicies"]),
    ("AuthenticationMethodsUsed", &["authenticationMethodsUsed"]),
    ("ConditionalAccessPolicies", &["appliedConditionalAccessPolicies"]),
    ("CreatedDateTime", &["createdDateTime"]),
    ("Identity", &["userDisplayName"]),
    ("IPAddress", &["ipAddress"]),
    ("IPAddressFromResourceProvider", &["ipAddressFromResourceProvider"]),
    ("Location", &["location", "countryOrRegion"]),
    ("LocationDetails", &["location"]),
    ("ResourceIdentity", &["resourceId"]),
    ("ResultType", &["status", "errorCode"]),
    ("RiskEventTypes_V2", &["riskEventTypes_v2"]),
];

/// Columns that Graph has under the same name with another meaning, or not at all.
const NOT_FROM_GRAPH: &[&str] =
    &["Category", "Level", "OperationName", "OperationVersion", "Resource", "ResourceGroup", "ResourceId"];

/// Reads a sign-in into `SigninLogs`.
pub fn signin(record: &Value) -> Result<Row, RowError> {
    signin_of(table("SigninLogs")?, record)
}

/// Reads a sign-in: a `signIn` of Graph, a line of a diagnostic setting's export, whose `properties` are one, or a row
/// under the column names of the table.
///
/// The identity is the sign-in's `id`.
pub fn signin_of(table: &'static TableSpec, record: &Value) -> Result<Row, RowError> {
    object(record)?;
    let exported =
        at(record, &["properties"]).filter(|properties| properties.get("createdDateTime").is_some());
    let sign_in = exported.unwrap_or(record);
    if sign_in.get("createdDateTime").is_none() {
        return by_columns(table, record);
    }
    let time = instant(at(sign_in, &["createdDateTime"]), "createdDateTime")?;
    let id = text_at(sign_in, &["id"]).ok_or(RowError::Missing("id"))?;
    let mut row = Row::new(table, time, EventId::native(id));
    for column in table.stored().map(|column| column.name.as_str()) {
        if !is_content(column) || NOT_FROM_GRAPH.contains(&column) {
            continue;
        }
        match COLUMNS.iter().find(|(name, _)| *name == column) {
            Some((_, path)) => set_at(&mut row, column, sign_in, path)?,
            None => {
                if let Some(value) = at(sign_in, &[&property(column)]) {
                    set(&mut row, column, value)?;
                }
            }
        }
    }
    for (column, value) in
        [("OperationName", "Sign-in activity"), ("OperationVersion", "1.0"), ("Level", "4")]
    {
        row.set(column, value)?;
    }
    row.set("Category", category(table))?;
    row.set("SourceSystem", "Azure AD")?;
    row.set("ResourceGroup", "Microsoft.aadiam")?;
    // The reason says "Other." for a sign-in that went well.
    let failed = text_at(sign_in, &["status", "errorCode"]).is_some_and(|code| code != "0");
    let reason = text_at(sign_in, &["status", "failureReason"]).filter(|_| failed);
    row.set("ResultDescription", reason)?;
    if let Some(tenant) = text_at(record, &["tenantId"]).filter(|_| exported.is_some()) {
        set_if_present(&mut row, "AADTenantId", tenant)?;
    }
    Ok(row)
}

fn set_if_present(row: &mut Row, column: &str, value: String) -> Result<(), RowError> {
    if row.table().position(column).is_some() { row.set(column, value) } else { Ok(()) }
}

fn category(table: &TableSpec) -> &'static str {
    match table.name() {
        "AADManagedIdentitySignInLogs" => "ManagedIdentitySignInLogs",
        "AADNonInteractiveUserSignInLogs" => "NonInteractiveUserSignInLogs",
        "AADServicePrincipalSignInLogs" => "ServicePrincipalSignInLogs",
        _ => "SignInLogs",
    }
}

/// `UserPrincipalName` as Graph writes it: `userPrincipalName`.
pub(super) fn property(column: &str) -> String {
    let mut letters = column.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}
