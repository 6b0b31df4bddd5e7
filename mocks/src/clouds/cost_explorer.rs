//! Cost Explorer's `GetCostAndUsage`.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use serde_json::{Map, Value, json};

use crate::scenario::Charge;

use super::aws::{Principal, error, json_answer, throttled};
use super::exchange::{Ask, Outcome};
use super::limits::Limit;
use super::pages::{self, BadToken};
use super::world::World;

const TARGET: &str = "AWSInsightsIndexService.GetCostAndUsage";
const RATE: Limit = Limit::new("cost explorer", 5, 1);
/// Groups on a page.
const PAGE: usize = 120;
const METRICS: [&str; 7] = [
    "AmortizedCost",
    "BlendedCost",
    "NetAmortizedCost",
    "NetUnblendedCost",
    "NormalizedUsageAmount",
    "UnblendedCost",
    "UsageQuantity",
];
const DIMENSIONS: [&str; 7] =
    ["SERVICE", "LINKED_ACCOUNT", "REGION", "USAGE_TYPE", "RECORD_TYPE", "OPERATION", "AZ"];

type Refusal = (&'static str, String);

pub(crate) fn answer(world: &World, ask: &Ask, principal: &Principal, region: &str) -> Outcome {
    let refuse = |(code, text): Refusal| error(ask, 400, code, &text);
    if ask.header("x-amz-target") != Some(TARGET) {
        return Err(refuse(("UnknownOperationException", "The operation is not known.".to_owned())));
    }
    if region != "us-east-1" {
        let text = format!("Credential should be scoped to a valid region, not '{region}'.");
        return Err(refuse(("InvalidSignatureException", text)));
    }
    if principal.powerless {
        let text = format!(
            "User: {} is not authorized to perform: ce:GetCostAndUsage on resource: arn:aws:ce:us-east-1:{}:/GetCostAndUsage because no identity-based policy allows the ce:GetCostAndUsage action",
            principal.arn, principal.account
        );
        return Err(refuse(("AccessDeniedException", text)));
    }
    world.limits.take(RATE, &principal.account, 1).map_err(|_| throttled(ask))?;
    // Each request is billed, each page is a request.
    world.billed.fetch_add(1, Ordering::Relaxed);
    let Some(Value::Object(body)) = ask.json() else {
        return Err(refuse(("SerializationException", "The request body is not valid JSON.".to_owned())));
    };
    let now = world.now();
    let question = Question::parse(&body, now).map_err(refuse)?;
    let payer = principal.account == world.scenario.tenant().accounts[0].id;
    let charges: Vec<Charge> = world
        .scenario
        .aws_charges()
        .into_iter()
        .filter(|charge| payer || charge.account == principal.account)
        .filter(|charge| known(charge.day, now) && question.covers(charge))
        .collect();
    let mut key = body.clone();
    key.remove("NextPageToken");
    let key = format!("{} {}", principal.account, Value::Object(key));
    let place = match body.get("NextPageToken").and_then(Value::as_str) {
        None => 0,
        Some(token) => pages::place(token, &key).map_err(|problem| match problem {
            BadToken::Malformed => {
                refuse(("InvalidNextTokenException", "The pagination token is invalid.".to_owned()))
            }
            BadToken::OtherQuestion => refuse((
                "RequestChangedException",
                "Your request parameters changed between pages.".to_owned(),
            )),
        })?,
    };
    let (results, next) = question.page(&charges, place, now);
    let mut answer = json!({ "ResultsByTime": results, "DimensionValueAttributes": [] });
    if !question.groups.is_empty() {
        let groups: Vec<Value> =
            question.groups.iter().map(|name| json!({ "Type": "DIMENSION", "Key": name })).collect();
        answer["GroupDefinitions"] = json!(groups);
    }
    if let Some(next) = next {
        answer["NextPageToken"] = json!(pages::token(next, &key));
    }
    Ok(json_answer(200, &answer).with("x-amzn-requestid", uuid::Uuid::new_v4()))
}

/// Charges of a day appear half a day after it begins.
fn known(day: NaiveDate, now: DateTime<Utc>) -> bool {
    day.and_hms_opt(12, 0, 0).is_some_and(|appears| appears.and_utc() <= now)
}

struct Question {
    from: NaiveDate,
    /// The first day past it.
    to: NaiveDate,
    monthly: bool,
    metrics: Vec<String>,
    groups: Vec<String>,
    filter: Option<Value>,
}

impl Question {
    fn parse(body: &Map<String, Value>, now: DateTime<Utc>) -> Result<Self, Refusal> {
        const FIELDS: [&str; 7] =
            ["TimePeriod", "Granularity", "Filter", "Metrics", "GroupBy", "BillingViewArn", "NextPageToken"];
        let invalid = |text: &str| ("ValidationException", text.to_owned());
        if let Some(name) = body.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            return Err(("SerializationException", format!("Unexpected field '{name}'.")));
        }
        let day = |name: &str| {
            let text = body.get("TimePeriod").and_then(|period| period[name].as_str()).unwrap_or_default();
            NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| {
                invalid(&format!("Time period {name} '{text}' must have the format yyyy-MM-dd."))
            })
        };
        let (from, to) = (day("Start")?, day("End")?);
        if to <= from {
            return Err(invalid("Start date (and hour) should be before end date (and hour)"));
        }
        let today = now.date_naive();
        if from > today {
            return Err(invalid("The start date must be today or earlier."));
        }
        if from < today - Months::new(14) {
            return Err(invalid("You haven't enabled historical data beyond 14 months"));
        }
        let monthly = match body.get("Granularity").and_then(Value::as_str) {
            Some("DAILY") => false,
            Some("MONTHLY") => true,
            Some("HOURLY") => return Err(invalid("Hourly data is not enabled for this account.")),
            _ => return Err(invalid("Granularity must be one of DAILY, MONTHLY, HOURLY.")),
        };
        let metrics = names(body.get("Metrics"));
        if metrics.is_empty() || metrics.iter().any(|name| !METRICS.contains(&name.as_str())) {
            return Err(invalid(&format!("Metrics must be of {}.", METRICS.join(", "))));
        }
        let mut groups = Vec::new();
        for group in body.get("GroupBy").and_then(Value::as_array).into_iter().flatten() {
            match (group["Type"].as_str(), group["Key"].as_str()) {
                (Some("DIMENSION"), Some(key)) if DIMENSIONS.contains(&key) => groups.push(key.to_owned()),
                _ => return Err(invalid(&format!("Group definition {group} is invalid."))),
            }
        }
        if groups.len() > 2 {
            return Err(invalid("Too many group definitions: at most 2 are allowed."));
        }
        let filter = body.get("Filter").cloned();
        if let Some(filter) = &filter {
            check(filter).map_err(|text| invalid(&text))?;
        }
        Ok(Self { from, to, monthly, metrics, groups, filter })
    }

    fn covers(&self, charge: &Charge) -> bool {
        (self.from..self.to).contains(&charge.day)
            && self.filter.as_ref().is_none_or(|filter| matches(filter, charge))
    }

    /// The periods with what of them falls on the page, and where the next page begins.
    fn page(&self, charges: &[Charge], place: usize, now: DateTime<Utc>) -> (Vec<Value>, Option<usize>) {
        let mut rows: BTreeMap<(NaiveDate, Vec<String>), (f64, f64)> = BTreeMap::new();
        for charge in charges {
            let keys = self.groups.iter().map(|name| dimension(name, charge)).collect();
            let sum = rows.entry((self.period(charge.day).0, keys)).or_default();
            sum.0 += charge.amount;
            sum.1 += charge.quantity;
        }
        let total = rows.len();
        let taken: Vec<_> = rows.into_iter().skip(place).take(PAGE).collect();
        let mut periods: BTreeMap<NaiveDate, (Vec<Value>, Value)> = BTreeMap::new();
        // A page without rows still names its periods, as one day without charges would.
        if place == 0 && total == 0 {
            let mut day = self.from;
            while day < self.to {
                periods.entry(day).or_default();
                day = self.period(day).1;
            }
        }
        for ((start, keys), (amount, quantity)) in taken {
            let period = periods.entry(start).or_default();
            let metrics = self.metrics(amount, quantity);
            if self.groups.is_empty() {
                period.1 = metrics;
            } else {
                period.0.push(json!({ "Keys": keys, "Metrics": metrics }));
            }
        }
        let results = periods.into_iter().map(|(start, (groups, total))| {
            let end = self.period(start).1;
            json!({
                "TimePeriod": { "Start": start.to_string(), "End": end.to_string() },
                "Total": if total.is_null() { json!({}) } else { total },
                "Groups": groups,
                // What was billed in the last days may still change.
                "Estimated": end + Days::new(3) > now.date_naive()
            })
        });
        (results.collect(), (place + PAGE < total).then_some(place + PAGE))
    }

    /// The first day of the period that a day is in, and the first day past it.
    fn period(&self, day: NaiveDate) -> (NaiveDate, NaiveDate) {
        if !self.monthly {
            return (day, day + Days::new(1));
        }
        let first = day.with_day(1).unwrap_or(day);
        (first.max(self.from), (first + Months::new(1)).min(self.to))
    }

    fn metrics(&self, amount: f64, quantity: f64) -> Value {
        self.metrics
            .iter()
            .map(|name| {
                let value = match name.as_str() {
                    // Amounts are texts.
                    "UsageQuantity" | "NormalizedUsageAmount" => {
                        json!({ "Amount": format!("{quantity:.10}"), "Unit": "N/A" })
                    }
                    _ => json!({ "Amount": format!("{amount:.10}"), "Unit": "USD" }),
                };
                (name.clone(), value)
            })
            .collect()
    }
}

fn names(value: Option<&Value>) -> Vec<String> {
    value
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn dimension(name: &str, charge: &Charge) -> String {
    match name {
        "SERVICE" => charge.service.to_owned(),
        "LINKED_ACCOUNT" => charge.account.clone(),
        "REGION" => charge.region.to_owned(),
        "USAGE_TYPE" => charge.usage.clone(),
        "RECORD_TYPE" => "Usage".to_owned(),
        _ => String::new(),
    }
}

/// `And`, `Or`, `Not`, `Dimensions`: one of them at each place.
fn check(filter: &Value) -> Result<(), String> {
    let parts = filter.as_object().ok_or("The expression is not an object.")?;
    let [(name, value)] = parts.iter().collect::<Vec<_>>()[..] else {
        return Err("Expression should have only one root: And, Or, Not, Dimensions.".to_owned());
    };
    match name.as_str() {
        "And" | "Or" => {
            let parts = value.as_array().filter(|parts| parts.len() >= 2);
            parts
                .ok_or(format!("The expression '{name}' needs at least two operands."))?
                .iter()
                .try_for_each(check)
        }
        "Not" => check(value),
        "Dimensions" => {
            let key = value["Key"].as_str().unwrap_or_default();
            if DIMENSIONS.contains(&key) && !names(value.get("Values")).is_empty() {
                Ok(())
            } else {
                Err(format!("The dimension '{key}' is not valid here."))
            }
        }
        other => Err(format!("'{other}' is not supported.")),
    }
}

fn matches(filter: &Value, charge: &Charge) -> bool {
    if let Some(parts) = filter["And"].as_array() {
        return parts.iter().all(|part| matches(part, charge));
    }
    if let Some(parts) = filter["Or"].as_array() {
        return parts.iter().any(|part| matches(part, charge));
    }
    if filter.get("Not").is_some() {
        return !matches(&filter["Not"], charge);
    }
    let dimensions = &filter["Dimensions"];
    let value = dimension(dimensions["Key"].as_str().unwrap_or_default(), charge);
    names(dimensions.get("Values")).contains(&value)
}
