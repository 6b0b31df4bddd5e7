//! The tests that a rule file carries: rows in, findings expected.

use chrono::{DateTime, TimeDelta, Utc};
use provost_model::{Entity, EntityKind, Severity, TableSpec, format_time, parse_time};
use serde_json::{Map, Value, json};

use super::span;
use super::yaml::{Fields, Node, Problem, Problems, Yaml, count, real, text, texts};

/// The most rows that one `repeat` may make.
const MOST_REPEATS: u64 = 100_000;

/// What `now()` says in a test that does not say it itself: a Wednesday noon.
const DEFAULT_NOW: &str = "2026-03-04T12:00:00Z";

/// One row, by column.
pub type SampleRow = Map<String, Value>;

/// A test of a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleTest {
    /// What it shows.
    pub name: String,
    /// What `now()` says.
    pub now: DateTime<Utc>,
    /// The rows, by table.
    pub rows: Vec<(String, Vec<SampleRow>)>,
    /// Watchlists that stand in for the shipped ones, by alias.
    pub watchlists: Vec<(String, Vec<SampleRow>)>,
    /// The findings, each of which must be found, and no other; none where the rule must stay quiet.
    pub expect: Vec<Expectation>,
}

/// What a test expects of one finding. What is not given is not looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Expectation {
    /// The severity.
    pub severity: Option<Severity>,
    /// Entities that must be among its entities.
    pub entities: Vec<Entity>,
    /// Custom details that it must have.
    pub details: SampleRow,
    /// A part of its title.
    pub title: Option<String>,
}

impl RuleTest {
    /// Reads one item of `provost.tests`.
    pub(super) fn parse(mut fields: Fields<'_>, problems: &mut Problems) -> Option<Self> {
        let name = fields.require("name", problems, text);
        let instant = |node: &Node| parse_time(&text(node)?).map_err(|error| error.to_string());
        let now = match fields.parse("now", problems, instant) {
            Some(now) => now,
            None => parse_time(DEFAULT_NOW).ok()?,
        };
        let rows_path = fields.path("rows");
        let rows = fields.node("rows").map_or_else(Vec::new, |node| tables(node, now, &rows_path, problems));
        let lists_path = fields.path("watchlists");
        let watchlists =
            fields.node("watchlists").map_or_else(Vec::new, |node| tables(node, now, &lists_path, problems));
        let expect = expectations(&mut fields, problems);
        problems.extend(fields.unknown());
        Some(Self { name: name?, now, rows, watchlists, expect: expect? })
    }
}

fn expectations(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Vec<Expectation>> {
    let path = fields.path("expect");
    let node = fields.require("expect", problems, |node| Ok(node.clone()))?;
    match &node.value {
        Yaml::Text(word) if word == "none" => Some(Vec::new()),
        Yaml::List(items) if !items.is_empty() => {
            Some(items.iter().filter_map(|item| expectation(item, &path, problems)).collect())
        }
        _ => {
            let message = "expected `none` or a list of findings".to_owned();
            problems.push(Problem { line: node.line, key: path, message });
            None
        }
    }
}

fn expectation(node: &Node, path: &str, problems: &mut Problems) -> Option<Expectation> {
    let mut fields = Fields::of(node, path, problems)?;
    let severity = fields.parse("severity", problems, |node| text(node)?.parse());
    let title = fields.parse("title", problems, text);
    let details = fields.parse("details", problems, |node| match node.to_json() {
        Value::Object(details) => Ok(details),
        _ => Err(format!("expected a mapping, found {}", node.sort())),
    });
    let entities = fields.node("entities").map_or_else(Vec::new, |node| entities(node, path, problems));
    problems.extend(fields.unknown());
    Some(Expectation { severity, entities, details: details.unwrap_or_default(), title })
}

fn entities(node: &Node, path: &str, problems: &mut Problems) -> Vec<Entity> {
    let Some(fields) = Fields::of(node, &format!("{path}.entities"), problems) else { return Vec::new() };
    let mut found = Vec::new();
    for (name, values) in fields.entries() {
        let read = || {
            let kind: EntityKind = name.parse()?;
            let entity =
                |value: String| Entity::new(kind, &value).ok_or_else(|| format!("'{value}' names no {kind}"));
            texts(values)?.into_iter().map(entity).collect::<Result<Vec<_>, String>>()
        };
        match read() {
            Ok(read) => found.extend(read),
            Err(message) => problems.push(Problem { line: values.line, key: fields.path(name), message }),
        }
    }
    found
}

/// A mapping of tables (or watchlists) to lists of rows.
fn tables(
    node: &Node,
    now: DateTime<Utc>,
    path: &str,
    problems: &mut Problems,
) -> Vec<(String, Vec<SampleRow>)> {
    let Some(fields) = Fields::of(node, path, problems) else { return Vec::new() };
    let mut found = Vec::new();
    for (table, node) in fields.entries() {
        let key = fields.path(table);
        let Yaml::List(items) = &node.value else {
            let message = format!("expected a list of rows, found {}", node.sort());
            problems.push(Problem { line: node.line, key, message });
            continue;
        };
        let mut rows = Vec::new();
        for item in items {
            rows_of(item, now, &key, &mut rows, problems);
        }
        found.push((table.clone(), rows));
    }
    found
}

/// One row, or the rows that a `repeat` stands for.
fn rows_of(item: &Node, now: DateTime<Utc>, path: &str, rows: &mut Vec<SampleRow>, problems: &mut Problems) {
    let Some(mut fields) = Fields::of(item, path, problems) else { return };
    if fields.node("repeat").is_none() {
        rows.push(
            fields.entries().iter().map(|(column, node)| (column.clone(), cell(node, now, 0))).collect(),
        );
        return;
    }
    let Some(repeat) = Repeat::parse(fields, now, problems) else { return };
    rows.extend(repeat.rows(now));
}

/// A cell: times may be written as a length of time before `now` (`-2h`), `{n}` is the number of the row.
fn cell(node: &Node, now: DateTime<Utc>, number: u64) -> Value {
    match &node.value {
        Yaml::Text(text) => {
            if let Some(instant) = before(text, now) {
                return json!(format_time(instant));
            }
            json!(text.replace("{n}", &number.to_string()))
        }
        Yaml::List(items) => items.iter().map(|item| cell(item, now, number)).collect(),
        Yaml::Map(entries) => {
            Value::Object(entries.iter().map(|(key, node)| (key.clone(), cell(node, now, number))).collect())
        }
        Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) => node.to_json(),
    }
}

/// The instant that `-2h` stands for.
fn before(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let length = span::parse(text.strip_prefix('-')?).ok()?;
    now.checked_sub_signed(length)
}

/// `repeat: 96, every: 15m`: rows at a beat.
struct Repeat<'a> {
    count: u64,
    start: DateTime<Utc>,
    every: TimeDelta,
    jitter: f64,
    miss: f64,
    row: &'a [(String, Node)],
    vary: Vec<(&'a str, &'a [Node])>,
}

impl<'a> Repeat<'a> {
    fn parse(mut fields: Fields<'a>, now: DateTime<Utc>, problems: &mut Problems) -> Option<Self> {
        let length = |node: &Node| span::parse(&text(node)?);
        let share = |node: &Node| match real(node)? {
            share if (0.0..=1.0).contains(&share) => Ok(share),
            other => Err(format!("{other} is not between 0 and 1")),
        };
        let repeats = fields.parse("repeat", problems, |node| match count(node)? {
            times if times <= MOST_REPEATS => Ok(times),
            times => Err(format!("{times} rows are too many for a test; at most {MOST_REPEATS}")),
        });
        let start = fields.require("start", problems, |node| {
            let text = text(node)?;
            before(&text, now).map_or_else(|| parse_time(&text).map_err(|error| error.to_string()), Ok)
        });
        let every = fields.require("every", problems, length);
        let jitter = fields.parse("jitter", problems, share).unwrap_or(0.0);
        let miss = fields.parse("miss", problems, share).unwrap_or(0.0);
        let row_path = fields.path("row");
        let row = fields.node("row").and_then(|node| Fields::of(node, &row_path, problems));
        let vary_path = fields.path("vary");
        let mut vary = Vec::new();
        if let Some(columns) = fields.node("vary").and_then(|node| Fields::of(node, &vary_path, problems)) {
            for (column, node) in columns.entries() {
                match &node.value {
                    Yaml::List(values) if !values.is_empty() => {
                        vary.push((column.as_str(), values.as_slice()))
                    }
                    _ => problems.push(Problem {
                        line: node.line,
                        key: columns.path(column),
                        message: "expected a list of values to go round in".to_owned(),
                    }),
                }
            }
        }
        problems.extend(fields.unknown());
        Some(Self { count: repeats?, start: start?, every: every?, jitter, miss, row: row?.entries(), vary })
    }

    fn rows(&self, now: DateTime<Utc>) -> Vec<SampleRow> {
        let mut rows = Vec::new();
        let mut time = self.start;
        for number in 0..self.count {
            if chance(number, 1) >= self.miss {
                let mut row: SampleRow =
                    self.row.iter().map(|(column, node)| (column.clone(), cell(node, now, number))).collect();
                for (column, values) in &self.vary {
                    let value = &values[number as usize % values.len()];
                    row.insert((*column).to_owned(), cell(value, now, number));
                }
                row.insert(TableSpec::TIME.to_owned(), json!(format_time(time)));
                rows.push(row);
            }
            // As implants sleep: the full length, less a random share of it up to the jitter.
            let share = 1.0 - self.jitter * chance(number, 2);
            let sleep = (self.every.num_milliseconds() as f64 * share) as i64;
            let Some(next) = time.checked_add_signed(TimeDelta::milliseconds(sleep)) else { break };
            time = next;
        }
        rows
    }
}

/// A number in `[0, 1)` that looks random and is the same on every run (splitmix64).
fn chance(number: u64, stream: u64) -> f64 {
    let mut z =
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(stream.wrapping_mul(0xd1b5_4a32_d192_ed03));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_stands_for_rows_at_a_beat() {
        let file = "
name: beats
now: 2026-01-01T12:00:00Z
rows:
  T:
    - repeat: 4
      start: -2h
      every: 30m
      row: {Host: 'ws-{n}', Kept: {At: -1h}}
      vary: {Ip: [a, b]}
    - {TimeGenerated: -5m, Host: x}
expect: none
";
        let node = Node::read(file).expect("is YAML");
        let mut problems = Vec::new();
        let test =
            Fields::of(&node, "", &mut problems).and_then(|fields| RuleTest::parse(fields, &mut problems));
        assert_eq!(problems, []);
        let rows = &test.expect("a test").rows[0].1;
        assert_eq!(rows.len(), 5);
        assert_eq!(
            Value::Object(rows[3].clone()),
            json!({"Host": "ws-3", "Kept": {"At": "2026-01-01T11:00:00Z"}, "Ip": "b",
                   "TimeGenerated": "2026-01-01T11:30:00Z"})
        );
        assert_eq!(rows[4]["TimeGenerated"], "2026-01-01T11:55:00Z");
    }

    #[test]
    fn faults_of_a_test_are_named() {
        let node =
            Node::read("{name: x, rows: {T: [{repeat: many, row: {}}]}, expects: none}").expect("is YAML");
        let mut problems = Vec::new();
        let test =
            Fields::of(&node, "t", &mut problems).and_then(|fields| RuleTest::parse(fields, &mut problems));
        assert!(test.is_none());
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(
            told.iter().any(|problem| problem.contains("t.rows.T.repeat: expected a whole number")),
            "{told:?}"
        );
        assert!(told.iter().any(|problem| problem.contains("did you mean 'expect'")), "{told:?}");
    }
}
