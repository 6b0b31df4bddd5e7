//! `AzureActivity`: the Azure activity log from its REST API, its storage export, and Log Analytics.

use provost_model::{Cell, EventId, Row, RowError};
use serde_json::Value;

use super::fields::{Fields, at, content_id, embedded, instant, object, set, set_at, text, text_at};
use super::table;

/// Reads one event: an `EventData` of the REST API, a line of a `PT1H.json` of the storage export, or a row of Log
/// Analytics or the portal under today's or the former column names.
///
/// Whatever the way, `OperationNameValue` and `ResourceProviderValue` are in upper case and `ActivityStatusValue` is
/// one of `Start`, `Accept`, `Success`, `Failure` where it was one of their synonyms, as Sentinel has them today.
///
/// The identity is `eventDataId`; the storage export has none, there it is a hash of all that the record says.
pub fn activity(record: &Value) -> Result<Row, RowError> {
    object(record)?;
    let shape = if record.get("eventTimestamp").is_some() || record.get("eventDataId").is_some() {
        from_rest(record)?
    } else if record.get("time").is_some() {
        from_export(record)?
    } else {
        from_columns(record)?
    };
    finish(shape, record)
}

/// What every shape says in its own words.
struct Event {
    row: Row,
    operation: Option<String>,
    operation_display: Option<String>,
    status: Option<String>,
    substatus: Option<String>,
    category: Option<String>,
    provider: Option<String>,
    resource_id: Option<String>,
    level: Option<String>,
}

fn from_rest(record: &Value) -> Result<Event, RowError> {
    let time = instant(at(record, &["eventTimestamp"]), "eventTimestamp")?;
    let mut row =
        Row::new(table("AzureActivity")?, time, identity(text_at(record, &["eventDataId"]), record));
    for (column, path) in [
        ("Caller", &["caller"][..]),
        ("CorrelationId", &["correlationId"]),
        ("EventDataId", &["eventDataId"]),
        ("EventSubmissionTimestamp", &["submissionTimestamp"]),
        ("OperationId", &["operationId"]),
        ("ResourceGroup", &["resourceGroupName"]),
        ("ResourceProvider", &["resourceProviderName", "localizedValue"]),
        ("SubscriptionId", &["subscriptionId"]),
        ("ActivitySubstatus", &["subStatus", "localizedValue"]),
        ("CallerIpAddress", &["httpRequest", "clientIpAddress"]),
    ] {
        set_at(&mut row, column, record, path)?;
    }
    document(&mut row, "Authorization", Some("Authorization_d"), at(record, &["authorization"]))?;
    document(&mut row, "Claims", Some("Claims_d"), at(record, &["claims"]))?;
    document(&mut row, "HTTPRequest", None, at(record, &["httpRequest"]))?;
    document(&mut row, "Properties", Some("Properties_d"), at(record, &["properties"]))?;
    Ok(Event {
        row,
        operation: named(record, "operationName"),
        operation_display: text_at(record, &["operationName", "localizedValue"]),
        status: named(record, "status"),
        substatus: named(record, "subStatus"),
        category: named(record, "category").or_else(|| named(record, "eventCategory")),
        provider: named(record, "resourceProviderName"),
        resource_id: text_at(record, &["resourceId"]).or_else(|| text_at(record, &["resourceUri"])),
        level: text_at(record, &["level"]),
    })
}

fn from_export(record: &Value) -> Result<Event, RowError> {
    let time = instant(at(record, &["time"]), "time")?;
    let properties = at(record, &["properties"]).map(document_of);
    let inside = |name: &str| properties.as_ref().and_then(|properties| text_at(properties, &[name]));
    let event_id = inside("eventDataId").or_else(|| text_at(record, &["eventDataId"]));
    let mut row = Row::new(table("AzureActivity")?, time, identity(event_id.clone(), record));
    row.set("EventDataId", event_id)?;
    row.set("OperationId", inside("operationId").or_else(|| text_at(record, &["operationId"])))?;
    for (column, path) in
        [("CallerIpAddress", &["callerIpAddress"][..]), ("CorrelationId", &["correlationId"])]
    {
        set_at(&mut row, column, record, path)?;
    }
    let identity = at(record, &["identity"]).map(document_of).unwrap_or(Value::Null);
    row.set("Caller", caller(&identity))?;
    document(&mut row, "Authorization", Some("Authorization_d"), at(&identity, &["authorization"]))?;
    document(&mut row, "Claims", Some("Claims_d"), at(&identity, &["claims"]))?;
    document(&mut row, "Properties", Some("Properties_d"), properties.as_ref())?;
    // `Succeeded.Created`: the status again, then what HTTP said.
    let substatus = text_at(record, &["resultSignature"])
        .map(|signature| signature.split_once('.').map_or(signature.clone(), |(_, after)| after.to_owned()))
        .filter(|substatus| !substatus.is_empty());
    Ok(Event {
        row,
        operation: text_at(record, &["operationName"]),
        operation_display: None,
        status: text_at(record, &["resultType"]),
        substatus,
        // `category` is the kind of operation here (`Write`, `Action`); the category of the event is inside.
        category: inside("eventCategory").or_else(|| text_at(record, &["category"])),
        provider: None,
        resource_id: text_at(record, &["resourceId"]),
        level: text_at(record, &["level"]),
    })
}

fn from_columns(record: &Value) -> Result<Event, RowError> {
    let fields = Fields::of(record)?;
    let time = fields.time(&["TimeGenerated"], "TimeGenerated")?;
    let event_id = fields.text(&["EventDataId"]);
    let mut row = Row::new(table("AzureActivity")?, time, identity(event_id, record));
    fields.fill(&mut row)?;
    for (plain, parsed) in
        [("Authorization", "Authorization_d"), ("Claims", "Claims_d"), ("Properties", "Properties_d")]
    {
        document(&mut row, plain, Some(parsed), fields.get(&[plain, parsed]))?;
    }
    // The former columns hold only the name for people; the operation itself is in the properties, or is the action
    // that was authorised.
    let looks_like_operation = |name: &String| name.contains('/');
    let inside = |column: &[&str], member: &str| {
        fields.get(column).map(document_of).and_then(|document| text_at(&document, &[member]))
    };
    let operation = fields
        .text(&["OperationNameValue"])
        .or_else(|| fields.text(&["OperationName"]).filter(looks_like_operation))
        .or_else(|| inside(&["Properties_d", "Properties"], "message").filter(looks_like_operation))
        .or_else(|| inside(&["Authorization_d", "Authorization"], "action"));
    Ok(Event {
        row,
        operation,
        operation_display: fields.text(&["OperationName"]),
        status: fields.text(&["ActivityStatusValue", "ActivityStatus"]),
        substatus: fields.text(&["ActivitySubstatusValue", "ActivitySubstatus"]),
        category: fields.text(&["CategoryValue", "Category"]),
        provider: fields.text(&["ResourceProviderValue"]),
        resource_id: fields.text(&["ResourceId", "_ResourceId"]),
        level: fields.text(&["Level"]),
    })
}

fn finish(event: Event, record: &Value) -> Result<Row, RowError> {
    let Event { mut row, operation, operation_display, status, substatus, category, provider, .. } = event;
    if operation.is_none() && operation_display.is_none() {
        return Err(RowError::Missing("operationName"));
    }
    row.set("OperationNameValue", operation.as_ref().map(|name| name.to_ascii_uppercase()))?;
    row.set("OperationName", operation_display.or(operation))?;
    if let Some(status) = status {
        let (value, former) = status_words(&status);
        row.set("ActivityStatusValue", value)?;
        row.set("ActivityStatus", former)?;
    }
    if let Some(substatus) = substatus {
        let value = substatus.split(" (HTTP Status Code").next().unwrap_or_default().to_owned();
        row.set("ActivitySubstatusValue", value)?;
        if row.get("ActivitySubstatus") == Some(&Cell::Null) {
            row.set("ActivitySubstatus", substatus)?;
        }
    }
    row.set("CategoryValue", category.clone())?;
    row.set("Category", category)?;
    row.set("Level", event.level.map(|level| level_word(&level)))?;
    row.set("SourceSystem", "Azure")?;
    if let Some(hierarchy) = hierarchy(&row) {
        row.set("Hierarchy", hierarchy)?;
    }
    let id = event.resource_id;
    let provider = provider.or_else(|| id.as_deref().and_then(|id| segment(id, "providers")));
    row.set("ResourceProviderValue", provider.map(|name| name.to_ascii_uppercase()))?;
    if let Some(id) = id {
        set_when_null(&mut row, "SubscriptionId", segment(&id, "subscriptions"))?;
        set_when_null(&mut row, "ResourceGroup", segment(&id, "resourcegroups"))?;
        set_when_null(&mut row, "Resource", id.rsplit('/').next().map(str::to_owned))?;
        row.set("_ResourceId", id.to_ascii_lowercase())?;
        row.set("ResourceId", id)?;
    }
    let subscription = row.get("SubscriptionId").cloned().unwrap_or(Cell::Null);
    row.set("_SubscriptionId", subscription)?;
    if row.get("CallerIpAddress") == Some(&Cell::Null) {
        // The token that was used tells the address too.
        let claims = at(record, &["claims"]).or_else(|| at(record, &["identity", "claims"]));
        set_when_null(&mut row, "CallerIpAddress", claims.and_then(|claims| text_at(claims, &["ipaddr"])))?;
    }
    Ok(row)
}

fn identity(event_id: Option<String>, record: &Value) -> EventId {
    event_id.map_or_else(|| content_id(record), EventId::native)
}

/// `value` of a `{value, localizedValue}`, or the text where a variant of the schema has just that.
fn named(record: &Value, member: &str) -> Option<String> {
    text_at(record, &[member, "value"]).or_else(|| text_at(record, &[member]))
}

/// Who called, by the claims of the token: a person's name, else the application.
fn caller(identity: &Value) -> Option<String> {
    let claims = at(identity, &["claims"])?;
    [
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn",
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
        "http://schemas.microsoft.com/identity/claims/objectidentifier",
        "appid",
    ]
    .into_iter()
    .find_map(|claim| text_at(claims, &[claim]))
}

/// Sets the text column and its `dynamic` twin from an object, or from a text that holds one.
fn document(row: &mut Row, plain: &str, parsed: Option<&str>, value: Option<&Value>) -> Result<(), RowError> {
    let Some(value) = value else { return Ok(()) };
    let document = document_of(value);
    set(row, plain, &Value::String(text(&document).unwrap_or_else(|| document.to_string())))?;
    match parsed {
        Some(parsed) => row.set_json(parsed, &document),
        None => Ok(()),
    }
}

fn document_of(value: &Value) -> Value {
    match value {
        Value::String(text) => embedded(text),
        other => other.clone(),
    }
}

/// The status in today's word and in the former one.
fn status_words(status: &str) -> (&str, &str) {
    const WORDS: [(&str, &str); 4] =
        [("Start", "Started"), ("Accept", "Accepted"), ("Success", "Succeeded"), ("Failure", "Failed")];
    WORDS
        .into_iter()
        .find(|(value, former)| status.eq_ignore_ascii_case(value) || status.eq_ignore_ascii_case(former))
        .unwrap_or((status, status))
}

fn level_word(level: &str) -> String {
    if level.eq_ignore_ascii_case("information") { "Informational".to_owned() } else { level.to_owned() }
}

fn hierarchy(row: &Row) -> Option<String> {
    match (row.get("Hierarchy"), row.get("Properties_d")) {
        (Some(Cell::Null), Some(Cell::Text(properties))) => {
            let properties: Value = serde_json::from_str(properties).ok()?;
            text_at(&properties, &["hierarchy"])
        }
        _ => None,
    }
}

/// What follows a name in a resource id, whatever its letter case.
fn segment(id: &str, name: &str) -> Option<String> {
    let mut parts = id.split('/');
    parts.find(|part| part.eq_ignore_ascii_case(name))?;
    parts.next().filter(|part| !part.is_empty()).map(str::to_owned)
}

fn set_when_null(row: &mut Row, column: &str, value: Option<String>) -> Result<(), RowError> {
    if row.get(column) == Some(&Cell::Null) { row.set(column, value) } else { Ok(()) }
}
