//! Sentinel's incidents and their comments.

use axum::http::Method;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::arm::{error, only};
use super::exchange::{Answer, Ask, Outcome};
use super::pages;
use super::sentinel::{Incident, Workspace};
use super::world::{World, lock};

const READ_ONLY: [&str; 9] = [
    "additionalData",
    "createdTimeUtc",
    "incidentNumber",
    "incidentUrl",
    "lastModifiedTimeUtc",
    "providerIncidentId",
    "providerName",
    "relatedAnalyticRuleIds",
    "alerts",
];
const WRITABLE: [&str; 11] = [
    "title",
    "severity",
    "status",
    "description",
    "owner",
    "labels",
    "firstActivityTimeUtc",
    "lastActivityTimeUtc",
    "classification",
    "classificationReason",
    "classificationComment",
];

pub(crate) fn route(world: &World, ask: &Ask, rest: &[&str]) -> Outcome {
    let mut workspace = lock(&world.workspace);
    let base = ask.raw_path.split("/incidents").next().unwrap_or_default().to_owned() + "/incidents";
    match (ask.method.clone(), rest) {
        (Method::GET, ["incidents"]) => list(world, ask, &workspace, &base),
        (Method::GET, ["incidents", id]) => {
            let incident = workspace.incidents.get(*id).ok_or_else(|| not_found(id))?;
            Ok(Answer::json(200, &shown(id, incident, &base)))
        }
        (Method::PUT, ["incidents", id]) => put(&mut workspace, ask, id, world.now(), &base),
        (Method::DELETE, ["incidents", id]) => {
            let was = workspace.incidents.remove(*id);
            Ok(Answer::empty(if was.is_some() { 200 } else { 204 }))
        }
        (Method::GET, ["incidents", id, "comments"]) => {
            let incident = workspace.incidents.get(*id).ok_or_else(|| not_found(id))?;
            let value: Vec<Value> = incident
                .comments
                .iter()
                .map(|(name, comment)| shown_comment(name, comment, &base, id))
                .collect();
            Ok(Answer::json(200, &json!({ "value": value })))
        }
        (Method::GET, ["incidents", id, "comments", name]) => {
            let incident = workspace.incidents.get(*id).ok_or_else(|| not_found(id))?;
            let comment = incident.comments.get(*name).ok_or_else(|| not_found(name))?;
            Ok(Answer::json(200, &shown_comment(name, comment, &base, id)))
        }
        (Method::PUT, ["incidents", id, "comments", name]) => {
            put_comment(&mut workspace, ask, id, name, world.now(), &base)
        }
        (_, ["incidents", ..]) => {
            Err(error(405, "MethodNotAllowed", "The requested resource does not support the HTTP method."))
        }
        _ => Err(error(
            404,
            "InvalidResourceType",
            "The resource type could not be found in the namespace 'Microsoft.SecurityInsights'.",
        )),
    }
}

fn put(workspace: &mut Workspace, ask: &Ask, id: &str, now: DateTime<Utc>, base: &str) -> Outcome {
    if Uuid::parse_str(id).is_err() {
        return Err(bad(&format!("The incident id '{id}' is not a valid GUID.")));
    }
    let body = body(ask)?;
    only(&body, &["id", "name", "type", "etag", "systemData", "properties"], "Incident")?;
    let Some(Value::Object(properties)) = body.get("properties") else {
        return Err(bad("The request is invalid: properties is required."));
    };
    let known: Vec<&str> = WRITABLE.iter().chain(&READ_ONLY).copied().collect();
    only(properties, &known, "IncidentProperties")?;
    check(properties)?;
    let sent = body.get("etag").and_then(Value::as_str).map(|etag| etag.trim_matches('"').to_owned());
    let existing = workspace.incidents.get(id);
    match (existing, &sent) {
        (Some(incident), Some(etag)) if *etag == incident.etag => {}
        (Some(_), _) => {
            let text = "New version of resource exists. Data was not saved. Please refresh and try again.";
            return Err(error(409, "Conflict", text));
        }
        // An etag promises a version to replace, and there is none.
        (None, Some(_)) => {
            return Err(error(409, "Conflict", "Resource with the given etag does not exist."));
        }
        (None, None) => {}
    }
    let created = existing.is_none();
    let mut kept: Map<String, Value> = properties
        .iter()
        .filter(|(name, _)| WRITABLE.contains(&name.as_str()))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    let at = now.to_rfc3339_opts(SecondsFormat::Millis, true);
    kept.entry("owner").or_insert_with(
        || json!({ "objectId": null, "email": null, "assignedTo": null, "userPrincipalName": null }),
    );
    kept.entry("labels").or_insert_with(|| json!([]));
    if let Some(Value::Array(labels)) = kept.get_mut("labels") {
        for label in labels {
            label["labelType"] = json!("User");
        }
    }
    let (number, born, comments) = match workspace.incidents.remove(id) {
        Some(old) => (old.number, old.created, old.comments),
        None => {
            workspace.last_number += 1;
            (workspace.last_number, at.clone(), Default::default())
        }
    };
    let incident = Incident {
        properties: kept,
        number,
        created: born,
        modified: at,
        etag: Uuid::new_v4().to_string(),
        comments,
    };
    let answer = shown(id, &incident, base);
    workspace.incidents.insert(id.to_owned(), incident);
    Ok(Answer::json(if created { 201 } else { 200 }, &answer))
}

/// Required fields, lengths and the words that enumerations know.
fn check(properties: &Map<String, Value>) -> Result<(), Answer> {
    const WORDS: [(&str, &[&str]); 4] = [
        ("severity", &["High", "Medium", "Low", "Informational"]),
        ("status", &["New", "Active", "Closed"]),
        ("classification", &["Undetermined", "TruePositive", "BenignPositive", "FalsePositive"]),
        (
            "classificationReason",
            &["SuspiciousActivity", "SuspiciousButExpected", "IncorrectAlertLogic", "InaccurateData"],
        ),
    ];
    for name in ["title", "severity", "status"] {
        if properties.get(name).and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(bad(&format!("Required property '{name}' not found in JSON. Path 'properties'.")));
        }
    }
    for (name, words) in WORDS {
        if let Some(value) = properties.get(name).filter(|value| !value.is_null())
            && !value.as_str().is_some_and(|word| words.contains(&word))
        {
            return Err(bad(&format!(
                "Error converting value {value} to type of '{name}'. Path 'properties.{name}'."
            )));
        }
    }
    if properties.get("status").and_then(Value::as_str) == Some("Closed")
        && properties.get("classification").is_none_or(Value::is_null)
    {
        return Err(bad("Classification must be set when closing an incident."));
    }
    if properties.get("description").and_then(Value::as_str).is_some_and(|text| text.chars().count() > 5_000)
    {
        return Err(bad("The field description must be a string with a maximum length of 5000."));
    }
    for name in ["firstActivityTimeUtc", "lastActivityTimeUtc"] {
        if let Some(value) = properties.get(name).filter(|value| !value.is_null())
            && value.as_str().is_none_or(|text| DateTime::parse_from_rfc3339(text).is_err())
        {
            return Err(bad(&format!(
                "Could not convert string to DateTime: {value}. Path 'properties.{name}'."
            )));
        }
    }
    for label in properties.get("labels").and_then(Value::as_array).into_iter().flatten() {
        let label = label.as_object().ok_or_else(|| bad("A label must be an object."))?;
        only(label, &["labelName", "labelType"], "IncidentLabel")?;
        if label.get("labelName").and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(bad("Required property 'labelName' not found in JSON. Path 'properties.labels[0]'."));
        }
    }
    if let Some(Value::Object(owner)) = properties.get("owner") {
        only(
            owner,
            &["objectId", "email", "userPrincipalName", "assignedTo", "ownerType"],
            "IncidentOwnerInfo",
        )?;
    }
    Ok(())
}

fn put_comment(
    workspace: &mut Workspace,
    ask: &Ask,
    id: &str,
    name: &str,
    now: DateTime<Utc>,
    base: &str,
) -> Outcome {
    let body = body(ask)?;
    only(&body, &["id", "name", "type", "etag", "properties"], "IncidentComment")?;
    let Some(Value::Object(properties)) = body.get("properties") else {
        return Err(bad("The request is invalid: properties is required."));
    };
    only(properties, &["message"], "IncidentCommentProperties")?;
    let message = properties.get("message").and_then(Value::as_str).filter(|text| !text.is_empty());
    let message =
        message.ok_or_else(|| bad("Required property 'message' not found in JSON. Path 'properties'."))?;
    if message.chars().count() > 30_000 {
        return Err(bad("The field message must be a string with a maximum length of 30000."));
    }
    let incident = workspace.incidents.get_mut(id).ok_or_else(|| not_found(id))?;
    let new = !incident.comments.contains_key(name);
    if new && incident.comments.len() >= 100 {
        return Err(bad("The incident has reached the maximum number of comments, 100."));
    }
    incident.comments.insert(name.to_owned(), message.to_owned());
    // A comment is a new version of the incident.
    incident.etag = Uuid::new_v4().to_string();
    incident.modified = now.to_rfc3339_opts(SecondsFormat::Millis, true);
    Ok(Answer::json(if new { 201 } else { 200 }, &shown_comment(name, message, base, id)))
}

fn list(world: &World, ask: &Ask, workspace: &Workspace, base: &str) -> Outcome {
    let top = match ask.query("$top").map(str::parse::<usize>) {
        None => 1_000,
        Some(Ok(top)) if (1..=1_000).contains(&top) => top,
        Some(_) => return Err(bad("The value of $top must be between 1 and 1000.")),
    };
    let question = format!("incidents {top} {}", ask.query("$orderby").unwrap_or_default());
    let place = match ask.query("$skipToken") {
        None => 0,
        Some(token) => pages::place(token, &question).map_err(|_| bad("The skip token is not valid."))?,
    };
    let mut all: Vec<(&String, &Incident)> = workspace.incidents.iter().collect();
    all.sort_by_key(|(_, incident)| std::cmp::Reverse(incident.number));
    let value: Vec<Value> =
        all.iter().skip(place).take(top).map(|(id, incident)| shown(id, incident, base)).collect();
    let mut body = json!({ "value": value });
    if place + top < all.len() {
        let mut next = world.endpoints.arm.clone();
        next.set_path(&ask.raw_path);
        next.query_pairs_mut()
            .append_pair("api-version", ask.query("api-version").unwrap_or_default())
            .append_pair("$top", &top.to_string())
            .append_pair("$skipToken", &pages::token(place + top, &question));
        body["nextLink"] = json!(next.as_str());
    }
    Ok(Answer::json(200, &body))
}

fn shown(id: &str, incident: &Incident, base: &str) -> Value {
    let mut properties = incident.properties.clone();
    let url =
        format!("https://portal.azure.com/#asset/Microsoft_Azure_Security_Insights/Incident{base}/{id}");
    for (name, value) in [
        ("lastModifiedTimeUtc", json!(incident.modified)),
        ("createdTimeUtc", json!(incident.created)),
        ("incidentNumber", json!(incident.number)),
        (
            "additionalData",
            // An incident made by the API has no alerts and no entities.
            json!({ "alertsCount": 0, "bookmarksCount": 0, "commentsCount": incident.comments.len(),
                "alertProductNames": [], "tactics": [] }),
        ),
        ("relatedAnalyticRuleIds", json!([])),
        ("incidentUrl", json!(url)),
        ("providerName", json!("Azure Sentinel")),
        ("providerIncidentId", json!(incident.number.to_string())),
    ] {
        properties.insert(name.to_owned(), value);
    }
    json!({
        "id": format!("{base}/{id}"), "name": id, "etag": format!("\"{}\"", incident.etag),
        "type": "Microsoft.SecurityInsights/incidents", "properties": properties
    })
}

fn shown_comment(name: &str, message: &str, base: &str, id: &str) -> Value {
    json!({
        "id": format!("{base}/{id}/comments/{name}"), "name": name, "etag": "\"0\"",
        "type": "Microsoft.SecurityInsights/incidents/comments",
        "properties": { "message": message, "author": { "objectId": null, "email": null, "name": "provost", "userPrincipalName": null } }
    })
}

fn body(ask: &Ask) -> Result<Map<String, Value>, Answer> {
    match ask.json() {
        Some(Value::Object(body)) => Ok(body),
        _ => Err(error(
            400,
            "InvalidRequestContent",
            "The request content was invalid and could not be deserialized.",
        )),
    }
}

fn not_found(id: &str) -> Answer {
    error(404, "NotFound", &format!("Resource '{id}' was not found."))
}

fn bad(text: &str) -> Answer {
    error(400, "BadRequest", text)
}
