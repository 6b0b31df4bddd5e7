//! Advanced hunting.

use std::cmp::Ordering;

use chrono::{DateTime, TimeDelta, Utc};
use provost_model::parse_time;
use serde_json::{Map, Value, json};

use crate::scenario::{COLUMNS, NetworkEvent, mix};

use super::exchange::{Answer, Ask, Outcome};
use super::graph::error;
use super::kql::{self, Comparison, Condition, Operand, Step};
use super::world::{View, World};

pub(crate) fn run(world: &World, ask: &Ask) -> Outcome {
    let bad = |text: &str| error(400, "BadRequest", text);
    if !ask.header("content-type").is_some_and(|kind| kind.starts_with("application/json")) {
        return Err(error(415, "UnsupportedMediaType", "The content type must be application/json."));
    }
    let Some(Value::Object(body)) = ask.json() else {
        return Err(bad(
            "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.",
        ));
    };
    if let Some(name) =
        body.keys().find(|name| !name.eq_ignore_ascii_case("Query") && !name.eq_ignore_ascii_case("Timespan"))
    {
        return Err(bad(&format!(
            "The parameter '{name}' in the request payload is not a valid parameter for the operation 'runHuntingQuery'."
        )));
    }
    let field =
        |name: &str| body.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let Some(text) = field("Query").and_then(Value::as_str).filter(|text| !text.trim().is_empty()) else {
        return Err(bad("Query is missing or empty."));
    };
    let now = world.now();
    let timespan = match field("Timespan") {
        None | Some(Value::Null) => (now - TimeDelta::days(30), now),
        Some(value) => value
            .as_str()
            .and_then(|text| span(text, now))
            .ok_or_else(|| bad(&format!("Timespan {value} is not a valid ISO 8601 value.")))?,
    };
    let query = kql::parse(text).map_err(|text| bad(&text))?;
    execute(world, &query, timespan).map(|answer| Answer::json(200, &answer)).map_err(|text| bad(&text))
}

/// `start/end`, `P1D/end`, `start/P1D`, `P1D`, or a start.
fn span(text: &str, now: DateTime<Utc>) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    match text.split_once('/') {
        None if text.starts_with('P') => Some((now - duration(text)?, now)),
        None => Some((parse_time(text).ok()?, now)),
        Some((length, end)) if length.starts_with('P') => {
            let end = parse_time(end).ok()?;
            Some((end - duration(length)?, end))
        }
        Some((start, length)) if length.starts_with('P') => {
            let start = parse_time(start).ok()?;
            Some((start, start + duration(length)?))
        }
        Some((start, end)) => Some((parse_time(start).ok()?, parse_time(end).ok()?)),
    }
}

/// `P1DT2H3M4S` and parts of it.
fn duration(text: &str) -> Option<TimeDelta> {
    let mut total = TimeDelta::zero();
    let mut number = String::new();
    let mut in_time = false;
    for letter in text.strip_prefix('P')?.chars() {
        if letter.is_ascii_digit() {
            number.push(letter);
            continue;
        }
        if letter == 'T' {
            in_time = true;
            continue;
        }
        let count: i64 = std::mem::take(&mut number).parse().ok()?;
        total += match (letter, in_time) {
            ('W', false) => TimeDelta::weeks(count),
            ('D', false) => TimeDelta::days(count),
            ('H', true) => TimeDelta::hours(count),
            ('M', true) => TimeDelta::minutes(count),
            ('S', true) => TimeDelta::seconds(count),
            _ => return None,
        };
    }
    (number.is_empty() && total > TimeDelta::zero()).then_some(total)
}

/// A row while a query runs. Columns are made only where they are needed.
#[derive(Clone, Copy)]
struct Row<'a> {
    event: &'a NetworkEvent,
    arrival: DateTime<Utc>,
}

impl Row<'_> {
    fn cell(&self, name: &str) -> Option<Cell> {
        Some(match name {
            "Timestamp" => Cell::Time(self.event.time),
            "ingestion_time()" => Cell::Time(self.arrival),
            "DeviceId" => Cell::Text(self.event.device.id.clone()),
            "DeviceName" => Cell::Text(self.event.device.name.clone()),
            "ReportId" => Cell::Number(self.event.report_id),
            "RemotePort" => Cell::Number(self.event.remote_port.into()),
            "ActionType" => Cell::Text(self.event.action.to_owned()),
            "RemoteIP" => Cell::Text(self.event.remote_ip.to_string()),
            _ => return None,
        })
    }
}

#[derive(Debug, PartialEq, PartialOrd)]
enum Cell {
    Time(DateTime<Utc>),
    Text(String),
    Number(i64),
}

fn execute(
    world: &World,
    query: &kql::Query,
    timespan: (DateTime<Utc>, DateTime<Utc>),
) -> Result<Value, String> {
    let view = world.view();
    let (mut from, mut to) = (timespan.0.max(view.now - TimeDelta::days(30)), timespan.1);
    // The time in the first conditions bounds the search; the conditions themselves are checked again below.
    if let Some(Step::Where(conditions)) = query.steps.first() {
        for condition in conditions {
            narrow(condition, &mut from, &mut to);
        }
    }
    let events = if from <= to { view.between(&world.logs.network, from, to) } else { Vec::new() };
    let mut rows: Vec<Row<'_>> =
        events.into_iter().map(|event| Row { event, arrival: view.arrival(event) }).collect();
    if view_disorders(&view, query) {
        rows.sort_by_key(|row| mix(7, "rows", row.event.time.timestamp_micros().unsigned_abs()));
    }
    let mut columns: Vec<(String, &'static str)> =
        COLUMNS.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
    for step in &query.steps {
        match step {
            Step::Where(conditions) => {
                for condition in conditions {
                    check(condition)?;
                }
                rows.retain(|row| conditions.iter().all(|condition| holds(condition, row)));
            }
            Step::Count(name) => {
                let count = rows.len();
                return Ok(json!({
                    "schema": [{ "name": name, "type": "Int64" }], "results": [{ name.as_str(): count }]
                }));
            }
            Step::Order(keys) => order(&mut rows, keys)?,
            Step::Take(count) => rows.truncate(*count),
            Step::Project(names) => {
                columns = names
                    .iter()
                    .map(|name| {
                        columns
                            .iter()
                            .find(|(known, _)| known == name)
                            .cloned()
                            .ok_or_else(|| unresolved(name))
                    })
                    .collect::<Result<_, _>>()?;
            }
            Step::Ingestion(name) => columns.push((name.clone(), "DateTime")),
        }
    }
    // The service cuts here and says nothing of it.
    rows.truncate(world.hunting_row_cap);
    let schema: Vec<Value> =
        columns.iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect();
    let results: Vec<Value> = rows.iter().map(|row| Value::Object(shape(row, &columns))).collect();
    Ok(json!({
        "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#microsoft.graph.security.huntingQueryResults",
        "schema": schema,
        "results": results
    }))
}

/// Rows have no order of their own, and with the fault they show it.
fn view_disorders(view: &View, query: &kql::Query) -> bool {
    view.disorders() && !query.steps.iter().any(|step| matches!(step, Step::Order(_)))
}

fn shape(row: &Row<'_>, columns: &[(String, &'static str)]) -> Map<String, Value> {
    let mut all = row.event.columns();
    columns
        .iter()
        .map(|(name, _)| {
            let value = all.remove(name).unwrap_or_else(|| {
                // Only `extend name = ingestion_time()` makes a column that the table lacks.
                json!(row.arrival.format("%Y-%m-%dT%H:%M:%S%.6f0Z").to_string())
            });
            (name.clone(), value)
        })
        .collect()
}

fn narrow(condition: &Condition, from: &mut DateTime<Utc>, to: &mut DateTime<Utc>) {
    if let (Operand::Column(name), kql::Value::Time(time)) = (&condition.left, &condition.right) {
        if name != "Timestamp" {
            return;
        }
        match condition.comparison {
            Comparison::Greater | Comparison::GreaterOrEqual => *from = (*from).max(*time),
            Comparison::Less | Comparison::LessOrEqual => *to = (*to).min(*time),
            Comparison::Equal => (*from, *to) = (*time, *time),
            Comparison::NotEqual => {}
        }
    }
}

fn unresolved(name: &str) -> String {
    format!("'where' operator: Failed to resolve column or scalar expression named '{name}'")
}

/// Whether the columns of a condition are there and can be compared.
fn check(condition: &Condition) -> Result<(), String> {
    let name = match &condition.left {
        Operand::IngestionTime => return Ok(()),
        Operand::Column(name) | Operand::Hash(name, _) => name,
    };
    let known = ["Timestamp", "DeviceId", "DeviceName", "ReportId", "RemotePort", "ActionType", "RemoteIP"];
    if known.contains(&name.as_str()) { Ok(()) } else { Err(unresolved(name)) }
}

fn holds(condition: &Condition, row: &Row<'_>) -> bool {
    let left = match &condition.left {
        Operand::Column(name) => row.cell(name),
        Operand::IngestionTime => row.cell("ingestion_time()"),
        // Which hash it is matters to nobody as long as it is the same each time.
        Operand::Hash(name, modulus) => row.cell(name).map(|cell| {
            let hash = mix(0, &format!("{cell:?}"), 0) % modulus;
            Cell::Number(i64::try_from(hash).unwrap_or_default())
        }),
    };
    let right = match &condition.right {
        kql::Value::Time(time) => Cell::Time(*time),
        kql::Value::Text(text) => Cell::Text(text.clone()),
        kql::Value::Number(number) => Cell::Number(*number),
    };
    let order = left.and_then(|left| left.partial_cmp(&right));
    match condition.comparison {
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::NotEqual => order != Some(Ordering::Equal),
    }
}

fn order(rows: &mut [Row<'_>], keys: &[(String, bool)]) -> Result<(), String> {
    if let Some(row) = rows.first()
        && let Some((name, _)) = keys.iter().find(|(name, _)| row.cell(name).is_none())
    {
        return Err(unresolved(name));
    }
    rows.sort_by(|a, b| {
        keys.iter().fold(Ordering::Equal, |order, (name, ascending)| {
            order.then_with(|| {
                let by = a.cell(name).partial_cmp(&b.cell(name)).unwrap_or(Ordering::Equal);
                if *ascending { by } else { by.reverse() }
            })
        })
    });
    Ok(())
}
