//! CloudTrail's `LookupEvents`.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use crate::scenario::TrailEvent;

use super::aws::{Principal, error, json_answer, throttled};
use super::exchange::{Answer, Ask, Outcome};
use super::limits::Limit;
use super::pages::{self, BadToken};
use super::world::World;

/// As the older SDKs name the operation, and as the newer ones do.
const TARGETS: [&str; 2] = [
    "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents",
    "CloudTrail_20131101.LookupEvents",
];
const RATE: Limit = Limit::new("lookup events", 2, 1);
const KEYS: [&str; 8] = [
    "EventId",
    "EventName",
    "ReadOnly",
    "Username",
    "ResourceType",
    "ResourceName",
    "EventSource",
    "AccessKeyId",
];

pub(crate) fn answer(world: &World, ask: &Ask, principal: &Principal, region: &str) -> Outcome {
    let refuse = |code: &str, text: &str| error(ask, 400, code, text);
    if !ask.header("x-amz-target").is_some_and(|target| TARGETS.contains(&target)) {
        return Err(refuse("UnknownOperationException", "The operation is not known."));
    }
    if ask.header("content-type") != Some("application/x-amz-json-1.1") {
        return Err(refuse("SerializationException", "The content type must be application/x-amz-json-1.1."));
    }
    if principal.powerless {
        let text = format!(
            "User: {} is not authorized to perform: cloudtrail:LookupEvents because no identity-based policy allows the cloudtrail:LookupEvents action",
            principal.arn
        );
        return Err(refuse("AccessDeniedException", &text));
    }
    let whose = format!("{}/{region}", principal.account);
    world.limits.take(RATE, &whose, 1).map_err(|_| throttled(ask))?;
    let Some(Value::Object(body)) = ask.json() else {
        return Err(refuse("SerializationException", "The request body is not valid JSON."));
    };
    let question = Question::parse(&body, world.now()).map_err(|(code, text)| refuse(code, &text))?;
    let key = format!("{whose} {}", question.key);
    let place = match body.get("NextToken").and_then(Value::as_str) {
        None => 0,
        Some(token) => pages::place(token, &key).map_err(|problem| match problem {
            BadToken::Malformed => refuse("InvalidNextTokenException", "Invalid token."),
            BadToken::OtherQuestion => {
                refuse("InvalidNextTokenException", "The token belongs to a request with other parameters.")
            }
        })?,
    };
    let log = world.logs.trail.get(&(principal.account.clone(), region.to_owned()));
    let view = world.view();
    let mut events: Vec<&TrailEvent> =
        view.between(log.map(Vec::as_slice).unwrap_or_default(), question.from, question.to);
    events.retain(|event| question.holds(event));
    events.reverse();
    let page: Vec<Value> = events.iter().skip(place).take(question.most).map(|event| shown(event)).collect();
    let mut answer = json!({ "Events": page });
    if place + question.most < events.len() {
        answer["NextToken"] = json!(pages::token(place + question.most, &key));
    }
    Ok(respond(&answer))
}

fn respond(answer: &Value) -> Answer {
    json_answer(200, answer).with("x-amzn-requestid", uuid::Uuid::new_v4())
}

struct Question {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    attribute: Option<(String, String)>,
    insights: bool,
    most: usize,
    /// The parameters that a token is bound to.
    key: String,
}

type Refusal = (&'static str, String);

impl Question {
    fn parse(body: &Map<String, Value>, now: DateTime<Utc>) -> Result<Self, Refusal> {
        const FIELDS: [&str; 6] =
            ["LookupAttributes", "StartTime", "EndTime", "EventCategory", "MaxResults", "NextToken"];
        if let Some(name) = body.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            return Err(("SerializationException", format!("Unexpected field '{name}'.")));
        }
        let from = time(body.get("StartTime"))?.unwrap_or(now - TimeDelta::days(90));
        let to = time(body.get("EndTime"))?.unwrap_or(now);
        if to < from {
            return Err((
                "InvalidTimeRangeException",
                "The start time must be before the end time.".to_owned(),
            ));
        }
        if to < now - TimeDelta::days(90) {
            return Err((
                "InvalidTimeRangeException",
                "The time range is outside the last 90 days.".to_owned(),
            ));
        }
        let most = match body.get("MaxResults") {
            None => 50,
            Some(value) => value
                .as_u64()
                .filter(|most| (1..=50).contains(most))
                .and_then(|most| usize::try_from(most).ok())
                .ok_or_else(|| {
                    ("InvalidMaxResultsException", "The maximum results must be between 1 and 50.".to_owned())
                })?,
        };
        let insights = match body.get("EventCategory").map(|category| category.as_str()) {
            None => false,
            Some(Some("insight")) => true,
            Some(_) => {
                return Err((
                    "InvalidEventCategoryException",
                    "The event category must be 'insight'.".to_owned(),
                ));
            }
        };
        let mut key = body.clone();
        key.remove("NextToken");
        Ok(Self {
            from,
            to,
            attribute: attribute(body.get("LookupAttributes"))?,
            insights,
            most,
            key: Value::Object(key).to_string(),
        })
    }

    fn holds(&self, event: &TrailEvent) -> bool {
        let Some((key, value)) = &self.attribute else {
            return !self.insights;
        };
        !self.insights
            && match key.as_str() {
                "EventId" => event.id == *value,
                "EventName" => event.name == *value,
                "ReadOnly" => event.read_only.to_string() == *value,
                "Username" => event.username.as_ref() == Some(value),
                "EventSource" => event.source == *value,
                "AccessKeyId" => event.access_key.as_ref() == Some(value),
                "ResourceType" => event.resources.iter().any(|(kind, _)| kind == value),
                _ => event.resources.iter().any(|(_, name)| name == value),
            }
    }
}

fn time(value: Option<&Value>) -> Result<Option<DateTime<Utc>>, Refusal> {
    let Some(value) = value else {
        return Ok(None);
    };
    let millis = value.as_f64().map(|seconds| (seconds * 1000.0).round() as i64);
    match millis.and_then(DateTime::from_timestamp_millis) {
        Some(time) => Ok(Some(time)),
        None => Err(("SerializationException", format!("{value} is not a timestamp."))),
    }
}

fn attribute(value: Option<&Value>) -> Result<Option<(String, String)>, Refusal> {
    let invalid = |text: &str| ("InvalidLookupAttributesException", text.to_owned());
    let Some(value) = value else {
        return Ok(None);
    };
    let list = value.as_array().ok_or_else(|| invalid("Lookup attributes must be a list."))?;
    let [attribute] = &list[..] else {
        return if list.is_empty() {
            Ok(None)
        } else {
            Err(invalid("Only one lookup attribute is allowed."))
        };
    };
    let (Some(key), Some(value)) = (attribute["AttributeKey"].as_str(), attribute["AttributeValue"].as_str())
    else {
        return Err(invalid("A lookup attribute needs a key and a value."));
    };
    if !KEYS.contains(&key) || value.is_empty() || value.chars().count() > 2_000 {
        return Err(invalid(&format!("The lookup attribute '{key}' is not valid.")));
    }
    Ok(Some((key.to_owned(), value.to_owned())))
}

fn shown(event: &TrailEvent) -> Value {
    let resources: Vec<Value> = event
        .resources
        .iter()
        .map(|(kind, name)| json!({ "ResourceType": kind, "ResourceName": name }))
        .collect();
    let mut shown = json!({
        "EventId": event.id,
        "EventName": event.name,
        // A text, as in life.
        "ReadOnly": event.read_only.to_string(),
        "EventTime": event.time.timestamp() as f64,
        "EventSource": event.source,
        "Resources": resources,
        "CloudTrailEvent": event.record
    });
    if let Some(key) = &event.access_key {
        shown["AccessKeyId"] = json!(key);
    }
    if let Some(user) = &event.username {
        shown["Username"] = json!(user);
    }
    shown
}
