//! Graph's sign-ins and directory audits.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::scenario::{Record, mix};

use super::exchange::{Answer, Ask, Outcome};
use super::graph::error;
use super::pages;
use super::world::World;

pub(crate) fn sign_ins(world: &World, ask: &Ask) -> Outcome {
    let report = Report {
        name: "signIns",
        context: "auditLogs/signIns",
        time: "createdDateTime",
        options: &["$filter", "$top", "$skiptoken", "$orderby"],
    };
    report.list(world, ask, &world.logs.sign_ins)
}

pub(crate) fn audits(world: &World, ask: &Ask) -> Outcome {
    let report = Report {
        name: "directoryAudits",
        context: "auditLogs/directoryAudits",
        time: "activityDateTime",
        options: &["$filter", "$top", "$skiptoken", "$orderby"],
    };
    report.list(world, ask, &world.logs.audits)
}

struct Report {
    name: &'static str,
    context: &'static str,
    /// The property that can be filtered and ordered by.
    time: &'static str,
    options: &'static [&'static str],
}

/// What a page holds where nothing else is asked for, and at most.
const MOST: usize = 1000;
/// Marks the token of an empty page, which must not lead to another.
const AFTER_EMPTY: &str = "~";

impl Report {
    fn list(&self, world: &World, ask: &Ask, log: &[Record]) -> Outcome {
        for (name, _) in &ask.query {
            if name == "$skip" {
                return Err(error(400, "BadRequest", "The query option '$skip' is not allowed."));
            }
            if name.starts_with('$') && !self.options.contains(&name.as_str()) {
                let text = format!("Query option '{name}' is not supported for '{}'.", self.name);
                return Err(error(400, "BadRequest", &text));
            }
        }
        let top = match ask.query("$top").map(str::parse::<usize>) {
            None => MOST,
            Some(Ok(top)) if (1..=MOST).contains(&top) => top,
            Some(_) => {
                let text =
                    format!("Invalid value for $top query option. The value must be between 1 and {MOST}.");
                return Err(error(400, "BadRequest", &text));
            }
        };
        let descending = match ask.query("$orderby") {
            None => true,
            Some(order) => self.order(order)?,
        };
        let filter = ask.query("$filter").unwrap_or_default();
        let span = Span::parse(filter, self.time).map_err(|text| error(400, "BadRequest", &text))?;
        let view = world.view();
        let (from, to) = span.closed();
        let mut records: Vec<&Record> = view.between(log, from, to);
        records.retain(|record| span.holds(record.time));
        if descending {
            records.reverse();
        }
        let question = format!("{} {filter} {top} {descending}", self.name);
        let place = match ask.query("$skiptoken") {
            None => 0,
            Some(token) => pages::place(token.trim_end_matches(AFTER_EMPTY), &question)
                .map_err(|_| error(400, "BadRequest", "Skip token is not valid for this request."))?,
        };
        Ok(self.page(world, ask, &records, place, top, &question))
    }

    fn order(&self, order: &str) -> Result<bool, Answer> {
        match order.split_whitespace().collect::<Vec<_>>()[..] {
            [name] | [name, "asc"] if name == self.time => Ok(false),
            [name, "desc"] if name == self.time => Ok(true),
            _ => Err(error(400, "BadRequest", &format!("Ordering by '{order}' is not supported."))),
        }
    }

    fn page(
        &self,
        world: &World,
        ask: &Ask,
        records: &[&Record],
        place: usize,
        top: usize,
        question: &str,
    ) -> Answer {
        let left = records.len().saturating_sub(place);
        // Now and then a page is short, or even empty, though more follows: as in life.
        let chance = mix(world.seed(), question, place as u64);
        let empty = chance.is_multiple_of(11)
            && place > 0
            && ask.query("$skiptoken").is_some_and(|token| !token.ends_with(AFTER_EMPTY));
        let size = if empty {
            0
        } else if chance.is_multiple_of(5) && left > 1 {
            top.min(left).div_ceil(2)
        } else {
            top.min(left)
        };
        let page: Vec<&Value> = records.iter().skip(place).take(size).map(|record| &record.body).collect();
        let mut body = json!({
            "@odata.context": format!("https://graph.microsoft.com/v1.0/$metadata#{}", self.context),
            "value": page
        });
        if place + size < records.len() {
            let token = pages::token(place + size, question) + if empty { AFTER_EMPTY } else { "" };
            let mut next = world.endpoints.graph.clone();
            next.set_path(&ask.raw_path);
            {
                let mut pairs = next.query_pairs_mut();
                for (name, value) in ask.query.iter().filter(|(name, _)| name != "$skiptoken") {
                    pairs.append_pair(name, value);
                }
                pairs.append_pair("$skiptoken", &token);
            }
            body["@odata.nextLink"] = json!(next.as_str());
        }
        Answer::json(200, &body)
    }
}

/// A span of time as `$filter` writes it.
#[derive(Debug, Default)]
struct Span {
    /// Each with whether the instant itself belongs to it.
    from: Option<(DateTime<Utc>, bool)>,
    to: Option<(DateTime<Utc>, bool)>,
}

impl Span {
    /// `time ge 2026-01-01T00:00:00Z and time lt 2026-01-02T00:00:00Z`, either part or nothing.
    fn parse(filter: &str, time: &str) -> Result<Self, String> {
        let mut span = Self::default();
        let invalid = || format!("Invalid filter clause: '{filter}'.");
        for clause in filter.split(" and ").map(str::trim).filter(|clause| !clause.is_empty()) {
            let [name, comparison, instant] = clause.split_whitespace().collect::<Vec<_>>()[..] else {
                return Err(invalid());
            };
            if name != time {
                return Err(format!("Could not find a property named '{name}' that can be filtered."));
            }
            // Graph takes an instant without quotes only.
            let instant = DateTime::parse_from_rfc3339(instant).map_err(|_| invalid())?.with_timezone(&Utc);
            let (side, inclusive) = match comparison {
                "ge" => (&mut span.from, true),
                "gt" => (&mut span.from, false),
                "le" => (&mut span.to, true),
                "lt" => (&mut span.to, false),
                "eq" => {
                    span.from = Some((instant, true));
                    (&mut span.to, true)
                }
                _ => return Err(invalid()),
            };
            if side.is_some() {
                return Err(invalid());
            }
            *side = Some((instant, inclusive));
        }
        Ok(span)
    }

    fn closed(&self) -> (DateTime<Utc>, DateTime<Utc>) {
        (
            self.from.map_or(DateTime::<Utc>::MIN_UTC, |(at, _)| at),
            self.to.map_or(DateTime::<Utc>::MAX_UTC, |(at, _)| at),
        )
    }

    fn holds(&self, time: DateTime<Utc>) -> bool {
        self.from.is_none_or(|(at, inclusive)| at < time || (inclusive && at == time))
            && self.to.is_none_or(|(at, inclusive)| time < at || (inclusive && at == time))
    }
}
