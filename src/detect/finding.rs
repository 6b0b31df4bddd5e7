//! From the rows of a rule's result to findings: one fact, one finding.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use provost_kql::{Column, KqlType};
use provost_model::{Entity, EventId, Family, Finding, Severity, format_time, parse_time, stable_uuid};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::entities::{self, ResultRow};
use super::rule::Rule;
use super::steps::{Step, span_of};

/// The most entities that a finding keeps; an alert with hundreds of them helps nobody.
pub const MOST_ENTITIES: usize = 10;
/// The most rows of evidence that a finding keeps.
pub const MOST_EVIDENCE: usize = 20;
/// The longest text that a cell of evidence keeps.
const LONGEST_CELL: usize = 4096;
/// The longest title.
const LONGEST_TITLE: usize = 256;
/// The longest description.
const LONGEST_DESCRIPTION: usize = 5000;

/// Columns, in lower case, that say when the evidence of a row begins, the best first.
const FIRST: [&str; 7] =
    ["firstseen", "starttime", "starttimeutc", "firstseenutc", "firsttime", "start", "windowstart"];
/// Columns that say when it ends.
const LAST: [&str; 7] = ["lastseen", "endtime", "endtimeutc", "lastseenutc", "lasttime", "end", "windowend"];
/// Columns that say when it was.
const EVENT: [&str; 7] =
    ["timegenerated", "timestamp", "eventtime", "activitydatetime", "createddatetime", "time", "date"];

/// The rows of one fact.
#[derive(Debug)]
pub(super) struct Candidate {
    /// The id of the finding if its evidence begins a new one.
    pub(super) id: Uuid,
    /// The id of the finding that it may continue, from the span of time before.
    pub(super) earlier: Uuid,
    first_seen: DateTime<Utc>,
    last_seen: DateTime<Utc>,
    rows: Vec<TimedRow>,
}

#[derive(Debug)]
struct TimedRow {
    first: DateTime<Utc>,
    last: DateTime<Utc>,
    row: ResultRow,
}

/// Groups the rows of a result into facts, the oldest first.
pub(super) fn candidates(
    rule: &Rule,
    columns: &[Column],
    rows: Vec<ResultRow>,
    step: Step,
) -> Vec<Candidate> {
    let times = TimeColumns::of(columns);
    let mut facts: BTreeMap<(DateTime<Utc>, Vec<String>), Vec<TimedRow>> = BTreeMap::new();
    for row in rows {
        let (first, last) = times.of_row(rule, &row, step);
        let (span, _) = span_of(first, rule.finding_period);
        let fact = (span, fingerprint(rule, columns, &row));
        facts.entry(fact).or_default().push(TimedRow { first, last, row });
    }
    let candidate = |((span, fingerprint), mut rows): ((DateTime<Utc>, Vec<String>), Vec<TimedRow>)| {
        rows.sort_by_cached_key(|row| (row.first, row.last, Value::Object(row.row.clone()).to_string()));
        let id_at = |span: DateTime<Utc>| {
            let time = format_time(span);
            let own = [rule.id.as_str(), time.as_str()];
            let parts: Vec<&str> = own.into_iter().chain(fingerprint.iter().map(String::as_str)).collect();
            stable_uuid(&parts)
        };
        let first_seen = rows.iter().map(|row| row.first).min().unwrap_or(step.from);
        let last_seen = rows.iter().map(|row| row.last).max().unwrap_or(step.end);
        let earlier = span.checked_sub_signed(rule.finding_period).unwrap_or(span);
        Candidate { id: id_at(span), earlier: id_at(earlier), first_seen, last_seen, rows }
    };
    facts.into_iter().map(candidate).collect()
}

impl Candidate {
    /// The finding, if it is new or more than what is known of it.
    pub(super) fn finding(
        &self,
        rule: &Rule,
        family: Family,
        step: Step,
        known: &Known<'_>,
    ) -> Option<Finding> {
        let same = known(self.id);
        // A fact that reaches over the end of a span stays one finding.
        let continued = || known(self.earlier).filter(|earlier| earlier.last_seen >= self.first_seen);
        match same.or_else(continued) {
            Some(earlier) => self.grown(rule, family, step, earlier),
            None => Some(self.fresh(rule, family, step)),
        }
    }

    fn fresh(&self, rule: &Rule, family: Family, step: Step) -> Finding {
        // The newest row tells it best; the rows are in order of time.
        let empty = ResultRow::new();
        let row = self.rows.iter().max_by_key(|row| row.last).map_or(&empty, |row| &row.row);
        let details = &rule.alert_details;
        let severity = details.severity_column.as_ref().and_then(|column| severity(row.get(column)?));
        let title = details.name_format.as_ref().map(|format| filled(format, row));
        let description = details.description_format.as_ref().map(|format| filled(format, row));
        let tactics = details.tactics_column.as_ref().and_then(|column| row.get(column)).and_then(texts_of);
        let (entities, all_entities) =
            entities::of_rows(rule, self.rows.iter().map(|row| &row.row), MOST_ENTITIES);
        let mut finding = Finding {
            id: self.id,
            version: 1,
            rule_id: rule.id.clone(),
            rule_name: rule.name.clone(),
            title: clipped(
                title.filter(|title| !title.is_empty()).unwrap_or_else(|| rule.name.clone()),
                LONGEST_TITLE,
            ),
            description: clipped(
                description.unwrap_or_else(|| rule.description.clone()),
                LONGEST_DESCRIPTION,
            ),
            severity: severity.unwrap_or(rule.severity),
            family,
            tactics: tactics.unwrap_or_else(|| rule.tactics.clone()),
            techniques: rule.techniques.clone(),
            entities,
            custom_details: custom_details(rule, row, all_entities),
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            period_start: step.from,
            period_end: step.end,
            evidence_count: i64::try_from(self.rows.len()).unwrap_or(i64::MAX),
            evidence: self.rows.iter().take(MOST_EVIDENCE).map(|row| bounded(&row.row)).collect(),
            action_hash: String::new(),
        };
        finding.action_hash = action_hash(&finding);
        finding
    }

    fn grown(&self, rule: &Rule, family: Family, step: Step, earlier: &Finding) -> Option<Finding> {
        let now = self.fresh(rule, family, step);
        let mut entities: BTreeSet<Entity> = earlier.entities.clone();
        for entity in &now.entities {
            if entities.len() < MOST_ENTITIES {
                entities.insert(entity.clone());
            }
        }
        let grown = now.first_seen < earlier.first_seen
            || now.last_seen > earlier.last_seen
            || now.evidence_count > earlier.evidence_count
            || now.severity > earlier.severity
            || entities.len() > earlier.entities.len();
        if !grown {
            return None;
        }
        let mut finding = Finding {
            id: earlier.id,
            version: earlier.version.saturating_add(1),
            severity: now.severity.max(earlier.severity),
            entities,
            first_seen: now.first_seen.min(earlier.first_seen),
            last_seen: now.last_seen.max(earlier.last_seen),
            period_start: now.period_start.min(earlier.period_start),
            period_end: now.period_end.max(earlier.period_end),
            evidence_count: now.evidence_count.max(earlier.evidence_count),
            ..now
        };
        finding.action_hash = action_hash(&finding);
        Some(finding)
    }
}

/// Looks up the latest version of a finding that is known.
pub(super) type Known<'a> = dyn Fn(Uuid) -> Option<&'a Finding> + 'a;

/// Changes with the severity, the entities and the order of magnitude of the evidence, and with nothing else.
fn action_hash(finding: &Finding) -> String {
    let magnitude = finding.evidence_count.max(1).ilog10().to_string();
    let entities: Vec<String> = finding.entities.iter().map(ToString::to_string).collect();
    let mut parts = vec![finding.severity.name(), magnitude.as_str()];
    parts.extend(entities.iter().map(String::as_str));
    EventId::of(&parts).as_str().to_owned()
}

/// What makes the fact: the named columns; otherwise the entities; otherwise, where each row is an alert of its own,
/// its texts; otherwise nothing, and the whole result is one fact.
fn fingerprint(rule: &Rule, columns: &[Column], row: &ResultRow) -> Vec<String> {
    let mut values: Vec<String> = match &rule.fingerprint {
        Some(names) => names
            .iter()
            .map(|name| format!("{name}={}", row.get(name).map(plain).unwrap_or_default()))
            .collect(),
        None => entities::of_row(rule, row).iter().map(ToString::to_string).collect(),
    };
    if values.is_empty() && rule.alert_per_row {
        let texts = columns.iter().filter(|column| column.kind == KqlType::String);
        values = texts.map(|column| row.get(&column.name).map(plain).unwrap_or_default()).collect();
    }
    values.sort();
    values.dedup();
    values
}

/// Which columns of a result say when its rows were.
struct TimeColumns {
    first: Option<String>,
    last: Option<String>,
    event: Option<String>,
}

impl TimeColumns {
    fn of(columns: &[Column]) -> Self {
        let find = |names: &[&str]| {
            let times = columns.iter().filter(|column| column.kind == KqlType::Datetime);
            let ranked = times.filter_map(|column| {
                let place = names.iter().position(|name| column.name.eq_ignore_ascii_case(name))?;
                Some((place, column.name.clone()))
            });
            ranked.min().map(|(_, name)| name)
        };
        Self { first: find(&FIRST), last: find(&LAST), event: find(&EVENT) }
    }

    fn of_row(&self, rule: &Rule, row: &ResultRow, step: Step) -> (DateTime<Utc>, DateTime<Utc>) {
        let read = |column: &Option<String>| {
            column
                .as_ref()
                .and_then(|column| row.get(column))
                .and_then(Value::as_str)
                .and_then(|text| parse_time(text).ok())
        };
        let (first, last, event) = (read(&self.first), read(&self.last), read(&self.event));
        // A row without a time stands for the span it was found in: always the same instant, however often it is found.
        let anywhere = || span_of(step.end - chrono::TimeDelta::seconds(1), rule.finding_period).0;
        let first = first.or(event).or(last).unwrap_or_else(anywhere);
        let last = last.or(event).unwrap_or(first);
        (first.min(last), first.max(last))
    }
}

fn custom_details(rule: &Rule, row: &ResultRow, entities: usize) -> Map<String, Value> {
    let mut details = Map::new();
    for (name, column) in &rule.custom_details {
        details.insert(name.clone(), clipped_cell(row.get(column).unwrap_or(&Value::Null)));
    }
    if let Some(confidence) = rule.confidence {
        details.insert("Confidence".to_owned(), json!(confidence));
    }
    if entities > MOST_ENTITIES {
        details.insert("EntitiesNotKept".to_owned(), json!(entities - MOST_ENTITIES));
    }
    details
}

fn severity(cell: &Value) -> Option<Severity> {
    cell.as_str()?.trim().parse().ok()
}

fn texts_of(cell: &Value) -> Option<Vec<String>> {
    let listed = |items: &Vec<Value>| items.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let found: Vec<String> = match cell {
        Value::Array(items) => listed(items),
        Value::String(text) => serde_json::from_str::<Vec<Value>>(text).map_or_else(
            |_| text.split(',').map(|word| word.trim().to_owned()).collect(),
            |items| listed(&items),
        ),
        _ => Vec::new(),
    };
    let found: Vec<String> = found.into_iter().filter(|word| !word.is_empty()).collect();
    (!found.is_empty()).then_some(found)
}

/// A format with each `{{Column}}` replaced by the row's value.
fn filled(format: &str, row: &ResultRow) -> String {
    let mut out = String::new();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, tail)) = after.split_once("}}") else { break };
        out.push_str(before);
        out.push_str(&row.get(name.trim()).map(plain).unwrap_or_default());
        rest = tail;
    }
    out.push_str(rest);
    out.trim().trim_matches('\'').to_owned()
}

/// A cell as text; lists as their elements.
fn plain(cell: &Value) -> String {
    match cell {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn bounded(row: &ResultRow) -> ResultRow {
    row.iter().map(|(name, cell)| (name.clone(), clipped_cell(cell))).collect()
}

fn clipped_cell(cell: &Value) -> Value {
    match cell {
        Value::String(text) if text.len() > LONGEST_CELL => json!(clipped(text.clone(), LONGEST_CELL)),
        Value::Array(_) | Value::Object(_) => {
            let text = cell.to_string();
            if text.len() > LONGEST_CELL { json!(clipped(text, LONGEST_CELL)) } else { cell.clone() }
        }
        other => other.clone(),
    }
}

fn clipped(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        let end = (0..=longest).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_filled_from_the_row() {
        let row = json!({"A": "x", "N": 7, "L": ["a", "b"]});
        let Value::Object(row) = row else { panic!("an object") };
        assert_eq!(filled("'{{A}} has {{ N }} of {{L}}, {{Missing}}{{'", &row), "x has 7 of a, b, {{");
        assert_eq!(clipped("äöü".to_owned(), 3), "ä…");
    }
}
