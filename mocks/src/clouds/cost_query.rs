//! Cost Management's query.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Days, NaiveDate, Utc};
use provost_model::parse_time;
use serde_json::{Map, Value, json};

use crate::scenario::Charge;

use super::arm::{error, only};
use super::exchange::{Answer, Ask, Outcome};
use super::limits::{Limit, seconds};
use super::pages;
use super::world::World;

/// Query processing units: one for each month of data.
const UNITS: [Limit; 3] =
    [Limit::new("qpu 10 s", 12, 10), Limit::new("qpu minute", 60, 60), Limit::new("qpu hour", 600, 3_600)];
/// Rows on a page.
const PAGE: usize = 250;

pub(crate) fn run(world: &World, ask: &Ask, subscription: &str) -> Outcome {
    let Some(Value::Object(body)) = ask.json() else {
        return Err(bad("Invalid query definition: the request body is not valid JSON."));
    };
    let question = Question::parse(&body, world.now())?;
    let months = question.months();
    for limit in UNITS {
        world.limits.take(limit, "", months).map_err(|wait| throttled(seconds(wait)))?;
    }
    let key = format!("{subscription} {}", Value::Object(body));
    let place = match ask.query("$skiptoken") {
        None => 0,
        Some(token) => {
            pages::place(token, &key).map_err(|_| bad("The skip token does not belong to this query."))?
        }
    };
    let charges: Vec<Charge> = world
        .scenario
        .azure_charges()
        .into_iter()
        .filter(|charge| {
            charge.account == subscription && question.covers(charge) && known(charge.day, world.now())
        })
        .collect();
    let rows = question.rows(&charges);
    let page: Vec<&Value> = rows.iter().skip(place).take(PAGE).collect();
    let next = (place + PAGE < rows.len()).then(|| {
        let mut next = world.endpoints.arm.clone();
        next.set_path(&ask.raw_path);
        next.query_pairs_mut()
            .append_pair("api-version", ask.query("api-version").unwrap_or_default())
            .append_pair("$skiptoken", &pages::token(place + PAGE, &key));
        next.to_string()
    });
    let name = uuid::Uuid::new_v4().to_string();
    let answer = json!({
        "id": format!("subscriptions/{subscription}/providers/Microsoft.CostManagement/query/{name}"),
        "name": name, "type": "Microsoft.CostManagement/query", "location": null, "sku": null, "eTag": null,
        "properties": { "nextLink": next, "columns": question.columns(), "rows": page }
    });
    Ok(Answer::json(200, &answer).with("x-ms-ratelimit-microsoft.costmanagement-qpu-consumed", months).with(
        "x-ms-ratelimit-microsoft.costmanagement-qpu-remaining",
        "QueriesPerHour:590;QueriesPerMin:50;QueriesPer10Sec:10",
    ))
}

/// Charges of a day appear some hours after it begins.
fn known(day: NaiveDate, now: DateTime<Utc>) -> bool {
    day.and_hms_opt(8, 0, 0).is_some_and(|appears| appears.and_utc() <= now)
}

struct Question {
    from: NaiveDate,
    to: NaiveDate,
    daily: bool,
    /// What is summed, as the columns are named.
    sums: Vec<String>,
    groups: Vec<String>,
    filter: Option<Value>,
}

const SUMS: [&str; 5] = ["Cost", "PreTaxCost", "CostUSD", "PreTaxCostUSD", "UsageQuantity"];
const DIMENSIONS: [&str; 9] = [
    "ServiceName",
    "ResourceGroup",
    "ResourceGroupName",
    "ResourceLocation",
    "SubscriptionId",
    "SubscriptionName",
    "MeterCategory",
    "Meter",
    "ChargeType",
];

impl Question {
    fn parse(body: &Map<String, Value>, now: DateTime<Utc>) -> Result<Self, Answer> {
        only(body, &["type", "timeframe", "timePeriod", "dataset"], "QueryDefinition")?;
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        match text("type") {
            Some("Usage" | "ActualCost" | "AmortizedCost") => {}
            _ => {
                return Err(bad(
                    "Invalid query definition: type must be one of Usage, ActualCost, AmortizedCost.",
                ));
            }
        }
        let (from, to) = match text("timeframe") {
            Some("Custom") => period(body.get("timePeriod"))?,
            Some(_) if body.contains_key("timePeriod") => {
                return Err(bad(
                    "Invalid query definition: timePeriod is allowed with timeframe Custom only.",
                ));
            }
            Some(
                name @ ("MonthToDate"
                | "BillingMonthToDate"
                | "WeekToDate"
                | "TheLastMonth"
                | "TheLastBillingMonth"),
            ) => named_period(name, now.date_naive()),
            _ => return Err(bad("Invalid query definition: timeframe is missing or not supported.")),
        };
        let Some(Value::Object(dataset)) = body.get("dataset") else {
            return Err(bad("Invalid query definition: dataset is missing."));
        };
        only(
            dataset,
            &["granularity", "configuration", "aggregation", "grouping", "filter"],
            "QueryDataset",
        )?;
        let daily = match dataset.get("granularity").and_then(Value::as_str) {
            Some("Daily") => true,
            None | Some("None") => false,
            Some(other) => return Err(bad(&format!("Invalid dataset granularity '{other}'."))),
        };
        Ok(Self {
            from,
            to,
            daily,
            sums: sums(dataset.get("aggregation"))?,
            groups: groups(dataset.get("grouping"))?,
            filter: match dataset.get("filter") {
                None => None,
                Some(filter) => {
                    check_filter(filter)?;
                    Some(filter.clone())
                }
            },
        })
    }

    fn months(&self) -> u32 {
        let months =
            (self.to.year() - self.from.year()) * 12 + self.to.month() as i32 - self.from.month() as i32 + 1;
        u32::try_from(months).unwrap_or(1)
    }

    fn covers(&self, charge: &Charge) -> bool {
        (self.from..=self.to).contains(&charge.day)
            && self.filter.as_ref().is_none_or(|filter| matches(filter, charge))
    }

    fn columns(&self) -> Vec<Value> {
        let column = |name: &str, kind: &str| json!({ "name": name, "type": kind });
        let mut columns: Vec<Value> = self.sums.iter().map(|name| column(name, "Number")).collect();
        if self.daily {
            columns.push(column("UsageDate", "Number"));
        }
        columns.extend(self.groups.iter().map(|name| column(name, "String")));
        columns.push(column("Currency", "String"));
        columns
    }

    fn rows(&self, charges: &[Charge]) -> Vec<Value> {
        let mut sums: BTreeMap<(Option<NaiveDate>, Vec<String>), (f64, f64)> = BTreeMap::new();
        for charge in charges {
            let groups = self.groups.iter().map(|name| dimension(name, charge)).collect();
            let sum = sums.entry((self.daily.then_some(charge.day), groups)).or_default();
            sum.0 += charge.amount;
            sum.1 += charge.quantity;
        }
        sums.into_iter()
            .map(|((day, groups), (amount, quantity))| {
                let mut row: Vec<Value> = self
                    .sums
                    .iter()
                    .map(|name| json!(if name == "UsageQuantity" { quantity } else { amount }))
                    .collect();
                row.extend(
                    day.map(|day| json!(day.year() * 10_000 + (day.month() * 100 + day.day()) as i32)),
                );
                row.extend(groups.into_iter().map(Value::String));
                row.push(json!("USD"));
                Value::Array(row)
            })
            .collect()
    }
}

fn period(period: Option<&Value>) -> Result<(NaiveDate, NaiveDate), Answer> {
    let Some(Value::Object(period)) = period else {
        return Err(bad("Invalid query definition: timePeriod is required with timeframe Custom."));
    };
    only(period, &["from", "to"], "QueryTimePeriod")?;
    let day = |name: &str| {
        let text = period.get(name).and_then(Value::as_str).unwrap_or_default();
        parse_time(text)
            .map(|time| time.date_naive())
            .map_err(|_| bad(&format!("Invalid query definition: timePeriod.{name} is not a valid date.")))
    };
    let (from, to) = (day("from")?, day("to")?);
    if to < from {
        return Err(bad("Invalid query definition: the start date must be before the end date."));
    }
    if from + Days::new(366) < to {
        return Err(bad(
            "Invalid query definition: the time period for pulling the data cannot exceed 1 year(s).",
        ));
    }
    Ok((from, to))
}

fn named_period(name: &str, today: NaiveDate) -> (NaiveDate, NaiveDate) {
    let first = today.with_day(1).unwrap_or(today);
    match name {
        "WeekToDate" => (today - Days::new(today.weekday().num_days_from_sunday().into()), today),
        "MonthToDate" | "BillingMonthToDate" => (first, today),
        _ => {
            let last = first - Days::new(1);
            (last.with_day(1).unwrap_or(last), last)
        }
    }
}

fn sums(aggregation: Option<&Value>) -> Result<Vec<String>, Answer> {
    let Some(aggregation) = aggregation else {
        return Ok(vec!["PreTaxCost".to_owned()]);
    };
    let aggregation = aggregation.as_object().ok_or_else(|| bad("Invalid dataset aggregation."))?;
    if aggregation.is_empty() || aggregation.len() > 2 {
        return Err(bad("Invalid dataset aggregation: up to 2 aggregation clauses are allowed."));
    }
    aggregation
        .values()
        .map(|clause| {
            let clause = clause.as_object().ok_or_else(|| bad("Invalid dataset aggregation."))?;
            only(clause, &["name", "function"], "QueryAggregation")?;
            let name = clause.get("name").and_then(Value::as_str).unwrap_or_default();
            if clause.get("function").and_then(Value::as_str) != Some("Sum") || !SUMS.contains(&name) {
                return Err(bad(&format!("Invalid dataset aggregation clause for '{name}'.")));
            }
            Ok(name.to_owned())
        })
        .collect()
}

fn groups(grouping: Option<&Value>) -> Result<Vec<String>, Answer> {
    let Some(grouping) = grouping else {
        return Ok(Vec::new());
    };
    let grouping = grouping.as_array().ok_or_else(|| bad("Invalid dataset grouping."))?;
    if grouping.len() > 2 {
        return Err(bad("Invalid dataset grouping: up to 2 group by clauses are allowed."));
    }
    grouping
        .iter()
        .map(|clause| {
            let clause = clause.as_object().ok_or_else(|| bad("Invalid dataset grouping."))?;
            only(clause, &["type", "name"], "QueryGrouping")?;
            let name = clause.get("name").and_then(Value::as_str).unwrap_or_default();
            match clause.get("type").and_then(Value::as_str) {
                Some("Dimension") if DIMENSIONS.contains(&name) => Ok(name.to_owned()),
                Some("TagKey") => Ok(name.to_owned()),
                _ => Err(bad(&format!(
                    "Invalid dataset grouping: '{name}'; valid values: {}.",
                    DIMENSIONS.join(",")
                ))),
            }
        })
        .collect()
}

fn dimension(name: &str, charge: &Charge) -> String {
    match name {
        "ServiceName" | "MeterCategory" => charge.service.to_owned(),
        "ResourceGroup" | "ResourceGroupName" => charge.group.clone(),
        "ResourceLocation" => charge.region.to_owned(),
        "SubscriptionId" => charge.account.clone(),
        "Meter" => charge.usage.clone(),
        "ChargeType" => "usage".to_owned(),
        _ => String::new(),
    }
}

/// `and` and `or` of at least two, `dimensions`, `tags`.
fn check_filter(filter: &Value) -> Result<(), Answer> {
    let filter = filter.as_object().ok_or_else(|| bad("Invalid dataset filter."))?;
    only(filter, &["and", "or", "dimensions", "tags"], "QueryFilter")?;
    let [(name, value)] = filter.iter().collect::<Vec<_>>()[..] else {
        return Err(bad("Invalid dataset filter: exactly one of and, or, dimensions, tags is allowed."));
    };
    if name == "and" || name == "or" {
        let parts = value.as_array().filter(|parts| parts.len() >= 2);
        return parts
            .ok_or_else(|| bad(&format!("Invalid dataset filter: '{name}' must have at least 2 items.")))?
            .iter()
            .try_for_each(check_filter);
    }
    let comparison = value.as_object().ok_or_else(|| bad("Invalid dataset filter."))?;
    only(comparison, &["name", "operator", "values"], "QueryComparisonExpression")?;
    if comparison.get("operator").and_then(Value::as_str) != Some("In")
        || !comparison.get("values").is_some_and(Value::is_array)
        || !comparison.get("name").is_some_and(Value::is_string)
    {
        return Err(bad("Invalid dataset filter: name, operator In and values are required."));
    }
    Ok(())
}

fn matches(filter: &Value, charge: &Charge) -> bool {
    if let Some(parts) = filter["and"].as_array() {
        return parts.iter().all(|part| matches(part, charge));
    }
    if let Some(parts) = filter["or"].as_array() {
        return parts.iter().any(|part| matches(part, charge));
    }
    let comparison = &filter["dimensions"];
    let value = dimension(comparison["name"].as_str().unwrap_or_default(), charge);
    comparison["values"].as_array().is_some_and(|values| {
        values.iter().filter_map(Value::as_str).any(|wanted| wanted.eq_ignore_ascii_case(&value))
    })
}

/// Several headers say how long to wait, and not the same.
pub(crate) fn throttled(wait: u64) -> Answer {
    error(429, "429", "Too many requests. Please retry.")
        .with("x-ms-ratelimit-microsoft.costmanagement-qpu-retry-after", wait)
        .with("x-ms-ratelimit-microsoft.costmanagement-entity-retry-after", wait.saturating_sub(1))
        .with("x-ms-ratelimit-microsoft.costmanagement-clienttype-retry-after", wait)
}

fn bad(text: &str) -> Answer {
    error(400, "BadRequest", text)
}
