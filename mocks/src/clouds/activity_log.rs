//! The activity log of a subscription.

use chrono::{DateTime, TimeDelta, Utc};
use provost_model::parse_time;
use serde_json::{Value, json};

use crate::scenario::Record;

use super::arm::{error, throttled};
use super::exchange::{Answer, Ask, Outcome};
use super::limits::{Limit, seconds};
use super::pages;
use super::world::World;

const QUERIES: Limit = Limit::new("activity", 50, 30);
/// Records on a page.
const PAGE: usize = 200;

pub(crate) fn list(world: &World, ask: &Ask, subscription: &str) -> Outcome {
    world.limits.take(QUERIES, "", 1).map_err(|wait| throttled(seconds(wait)))?;
    if let Some((name, _)) = ask
        .query
        .iter()
        .find(|(name, _)| !["api-version", "$filter", "$select", "$skipToken"].contains(&name.as_str()))
    {
        return Err(bad(&format!("The query parameter '{name}' is not supported.")));
    }
    let filter = ask.query("$filter").ok_or_else(|| bad("The $filter query parameter is required."))?;
    let view = world.view();
    let filter = Filter::parse(filter, view.now)?;
    let question = format!("{subscription} {}", ask.query("$filter").unwrap_or_default());
    let place = match ask.query("$skipToken") {
        None => 0,
        Some(token) => pages::place(token, &question).map_err(|_| bad("The skip token is not valid."))?,
    };
    let log = world.logs.activity.get(subscription).map(Vec::as_slice).unwrap_or_default();
    let mut records: Vec<&Record> = view.between(log, filter.from, filter.to);
    records.retain(|record| filter.holds(&record.body));
    // Newest first, as far as that goes: the service promises no order.
    records.reverse();
    view.disorder(&mut records);
    let page: Vec<Value> = records
        .iter()
        .skip(place)
        .take(PAGE)
        .map(|record| selected(&record.body, ask.query("$select")))
        .collect();
    let mut body = json!({ "value": page });
    if place + PAGE < records.len() {
        let mut next = world.endpoints.arm.clone();
        next.set_path(&ask.raw_path);
        {
            let mut pairs = next.query_pairs_mut();
            for (name, value) in ask.query.iter().filter(|(name, _)| name != "$skipToken") {
                pairs.append_pair(name, value);
            }
            pairs.append_pair("$skipToken", &pages::token(place + PAGE, &question));
        }
        body["nextLink"] = json!(next.as_str());
    }
    Ok(Answer::json(200, &body))
}

fn selected(record: &Value, select: Option<&str>) -> Value {
    let (Some(select), Some(record)) = (select, record.as_object()) else {
        return record.clone();
    };
    let names: Vec<&str> = select.split(',').map(str::trim).collect();
    record
        .iter()
        .filter(|(name, _)| names.contains(&name.as_str()))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect()
}

struct Filter {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    /// One more property that must be equal.
    more: Option<(&'static str, String)>,
}

/// Names in filters, and where records hold the value.
const PROPERTIES: [(&str, &str); 4] = [
    ("resourceGroupName", "/resourceGroupName"),
    ("resourceUri", "/resourceId"),
    ("resourceProvider", "/resourceProviderName/value"),
    ("correlationId", "/correlationId"),
];

impl Filter {
    /// `eventTimestamp ge 't' [and eventTimestamp le 't'] [and property eq 'value']` and nothing else.
    fn parse(filter: &str, now: DateTime<Utc>) -> Result<Self, Answer> {
        let (mut from, mut to, mut more) = (None, None, None);
        for clause in filter.split(" and ") {
            let [name, comparison, value] = clause.split_whitespace().collect::<Vec<_>>()[..] else {
                return Err(unsupported(filter));
            };
            let value = value
                .strip_prefix('\'')
                .and_then(|v| v.strip_suffix('\''))
                .ok_or_else(|| unsupported(filter))?;
            let slot = match (name, comparison) {
                ("eventTimestamp", "ge") => &mut from,
                ("eventTimestamp", "le") => &mut to,
                (name, "eq") if more.is_none() => {
                    let (_, place) = PROPERTIES
                        .iter()
                        .find(|(known, _)| *known == name)
                        .ok_or_else(|| unsupported(filter))?;
                    more = Some((*place, value.to_owned()));
                    continue;
                }
                _ => return Err(unsupported(filter)),
            };
            let time =
                parse_time(value).map_err(|_| bad(&format!("The timestamp '{value}' is not valid.")))?;
            if slot.replace(time).is_some() {
                return Err(unsupported(filter));
            }
        }
        let from = from.ok_or_else(|| bad("The filter must have a start time: eventTimestamp ge '…'."))?;
        let to = to.unwrap_or(now);
        if from < now - TimeDelta::days(90) {
            return Err(bad("The start time cannot be more than 90 days in the past."));
        }
        if to < from {
            return Err(bad("The end time must be after the start time."));
        }
        Ok(Self { from, to, more })
    }

    fn holds(&self, record: &Value) -> bool {
        self.more.as_ref().is_none_or(|(place, value)| {
            record
                .pointer(place)
                .and_then(Value::as_str)
                .is_some_and(|found| found.eq_ignore_ascii_case(value))
        })
    }
}

fn unsupported(filter: &str) -> Answer {
    bad(&format!("The filter '{filter}' is not supported."))
}

fn bad(text: &str) -> Answer {
    error(400, "BadRequest", text)
}
