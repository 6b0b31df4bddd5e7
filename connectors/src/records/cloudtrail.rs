//! `AWSCloudTrail`: CloudTrail events from trail files, from `LookupEvents`, and as they are passed around.

use provost_model::{EventId, Row, RowError};
use serde_json::Value;

use super::fields::{Fields, at, content_id, instant, object, set_at, text_at};
use super::{by_columns, table};

/// Columns that hold a member of the event as it is.
const COLUMNS: &[(&str, &[&str])] = &[
    ("AdditionalEventData", &["additionalEventData"]),
    ("APIVersion", &["apiVersion"]),
    ("AwsEventId", &["eventID"]),
    ("AWSRegion", &["awsRegion"]),
    ("AwsRequestId", &["requestID"]),
    ("AwsRequestId_", &["requestID"]),
    ("Category", &["eventCategory"]),
    ("CipherSuite", &["tlsDetails", "cipherSuite"]),
    ("ClientProvidedHostHeader", &["tlsDetails", "clientProvidedHostHeader"]),
    ("EC2RoleDelivery", &["userIdentity", "sessionContext", "ec2RoleDelivery"]),
    ("ErrorCode", &["errorCode"]),
    ("ErrorMessage", &["errorMessage"]),
    ("EventName", &["eventName"]),
    ("EventSource", &["eventSource"]),
    ("EventTypeName", &["eventType"]),
    ("EventVersion", &["eventVersion"]),
    ("ManagementEvent", &["managementEvent"]),
    ("ReadOnly", &["readOnly"]),
    ("RecipientAccountId", &["recipientAccountId"]),
    ("RequestParameters", &["requestParameters"]),
    ("Resources", &["resources"]),
    ("ResponseElements", &["responseElements"]),
    ("ServiceEventDetails", &["serviceEventDetails"]),
    ("SessionCreationDate", &["userIdentity", "sessionContext", "attributes", "creationDate"]),
    ("SessionIssuerAccountId", &["userIdentity", "sessionContext", "sessionIssuer", "accountId"]),
    ("SessionIssuerArn", &["userIdentity", "sessionContext", "sessionIssuer", "arn"]),
    ("SessionIssuerPrincipalId", &["userIdentity", "sessionContext", "sessionIssuer", "principalId"]),
    ("SessionIssuerType", &["userIdentity", "sessionContext", "sessionIssuer", "type"]),
    ("SessionIssuerUserName", &["userIdentity", "sessionContext", "sessionIssuer", "userName"]),
    ("SessionMfaAuthenticated", &["userIdentity", "sessionContext", "attributes", "mfaAuthenticated"]),
    ("SharedEventId", &["sharedEventID"]),
    ("SourceIpAddress", &["sourceIPAddress"]),
    ("TlsVersion", &["tlsDetails", "tlsVersion"]),
    ("UserAgent", &["userAgent"]),
    ("UserIdentityAccessKeyId", &["userIdentity", "accessKeyId"]),
    ("UserIdentityAccountId", &["userIdentity", "accountId"]),
    ("UserIdentityArn", &["userIdentity", "arn"]),
    ("UserIdentityInvokedBy", &["userIdentity", "invokedBy"]),
    ("UserIdentityPrincipalid", &["userIdentity", "principalId"]),
    ("UserIdentityType", &["userIdentity", "type"]),
    ("UserIdentityUserName", &["userIdentity", "userName"]),
    ("VpcEndpointId", &["vpcEndpointId"]),
];

/// Reads one event: an element of a trail file's `Records`, an element of the `Events` of `LookupEvents` (whose
/// `CloudTrailEvent` is JSON in a text), an event by itself, also without `eventTime` but with the `@timestamp` of
/// a log shipper, or a row under the column names of the table.
///
/// The identity is `eventID`, by which AWS says that events are to be deduplicated.
pub fn cloudtrail(record: &Value) -> Result<Row, RowError> {
    object(record)?;
    if let Some(text) = at(record, &["CloudTrailEvent"]).and_then(Value::as_str) {
        let event: Value = serde_json::from_str(text)
            .map_err(|error| RowError::Record(format!("CloudTrailEvent is no JSON: {error}")))?;
        return event_row(&event);
    }
    if record.get("eventName").is_some() || record.get("eventID").is_some() {
        return event_row(record);
    }
    if Fields::of(record)?.get(&["AwsEventId", "EventTypeName"]).is_some() {
        return by_columns(table("AWSCloudTrail")?, record);
    }
    if record.get("EventId").is_some() {
        return Err(RowError::Missing("CloudTrailEvent"));
    }
    event_row(record)
}

fn event_row(event: &Value) -> Result<Row, RowError> {
    object(event)?;
    let time = instant(at(event, &["eventTime"]).or_else(|| at(event, &["@timestamp"])), "eventTime")?;
    // Every event has these two; what lacks one only speaks of events.
    for field in ["eventName", "eventSource"] {
        if at(event, &[field]).is_none() {
            return Err(RowError::Missing(field));
        }
    }
    let id = text_at(event, &["eventID"]).map_or_else(|| content_id(event), EventId::native);
    let mut row = Row::new(table("AWSCloudTrail")?, time, id);
    for (column, path) in COLUMNS {
        set_at(&mut row, column, event, path)?;
    }
    row.set("OperationName", "CloudTrail")?;
    row.set("SourceSystem", "AWS")?;
    opened_ports(&mut row, event)?;
    Ok(row)
}

/// The first permission of a request that opens or closes a security group.
fn opened_ports(row: &mut Row, event: &Value) -> Result<(), RowError> {
    let Some(parameters) = at(event, &["requestParameters"]) else { return Ok(()) };
    let permission = parameters
        .get("ipPermissions")
        .and_then(|permissions| permissions.get("items"))
        .and_then(|items| items.get(0))
        .unwrap_or(parameters);
    set_at(row, "IpProtocol", permission, &["ipProtocol"])?;
    set_at(row, "SourcePort", permission, &["fromPort"])?;
    set_at(row, "DestinationPort", permission, &["toPort"])?;
    let range =
        permission.get("ipRanges").and_then(|ranges| ranges.get("items")).and_then(|items| items.get(0));
    set_at(row, "CidrIp", range.unwrap_or(permission), &["cidrIp"])
}
