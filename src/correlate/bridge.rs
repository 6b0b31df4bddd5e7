//! Bridges: KQL that finds, in the raw logs, pairs of entities that stand for one another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use provost_kql::{Catalog, Engine, QueryOptions};
use provost_model::{Entity, EntityKind, Finding};
use serde::{Deserialize, Deserializer, de::Error};
use tokio::task::JoinError;

use super::rarity::Rarities;
use super::{query, template};

/// Two kinds of entities and the query that pairs them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bridge {
    /// The stable name.
    pub id: String,
    /// For people.
    pub name: String,
    /// The kind of the column `From`.
    pub from: EntityKind,
    /// The kind of the column `To`.
    pub to: EntityKind,
    /// How far in time the fact may lie from a finding that it joins.
    #[serde(deserialize_with = "timespan")]
    pub window: TimeDelta,
    /// What the tie is worth at most, between 0 and 1.
    pub weight: f64,
    /// The tie in words; `{Column}` is filled in from the row.
    pub because: String,
    /// KQL that yields `From` and `To`, and may yield `FirstSeen`, `LastSeen` or `TimeGenerated`, `Evidence`, and
    /// `Weight`: how surely the one stands for the other. Without `Weight` the rarity of the two ends decides.
    pub query: String,
}

/// How a bridge fared.
#[derive(Debug, Clone)]
pub struct BridgeRun {
    /// The bridge.
    pub id: String,
    /// How many rows it gave.
    pub rows: usize,
    /// How many pairs of entities of findings are in them.
    pub pairs: usize,
    /// How long it took.
    pub took: Duration,
    /// Why its answer is missing or partial.
    pub problem: Option<String>,
}

/// A pair of entities that stand for one another.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) bridge: String,
    pub(super) from: Entity,
    pub(super) to: Entity,
    pub(super) because: String,
    weight: f64,
    certain: bool,
    first_seen: DateTime<Utc>,
    last_seen: DateTime<Utc>,
    window: TimeDelta,
}

impl Link {
    /// What a tie by this link is worth.
    pub(super) fn strength(&self, rarities: &Rarities) -> f64 {
        if self.certain {
            return self.weight;
        }
        self.weight * rarities.of(&self.from).weight.min(rarities.of(&self.to).weight)
    }

    /// Whether the fact lies near enough in time.
    pub(super) fn near(&self, finding: &Finding) -> bool {
        self.first_seen - self.window <= finding.last_seen
            && finding.first_seen <= self.last_seen + self.window
    }
}

impl Bridge {
    /// The links between entities of findings that the lake knows of.
    pub(super) async fn run(
        &self,
        engine: &Engine,
        catalog: &Arc<dyn Catalog>,
        entities: &BTreeSet<Entity>,
        options: &QueryOptions,
    ) -> (Vec<Link>, BridgeRun) {
        let started = Instant::now();
        let mut run =
            BridgeRun { id: self.id.clone(), rows: 0, pairs: 0, took: Duration::ZERO, problem: None };
        let has = |kind| entities.iter().any(|entity| entity.kind() == kind);
        if !has(self.from) || !has(self.to) {
            return (Vec::new(), run);
        }
        let mut options = options.clone();
        options.time_range = options.time_range.map(|(from, to)| (from - self.window, to + self.window));
        let links = match query::rows(engine, catalog, &self.query, &options).await {
            Ok(answer) => {
                run.rows = answer.rows.len();
                if answer.cut {
                    run.problem = Some(format!("only the first {} rows were read", run.rows));
                }
                self.links(&answer.rows, entities, &options)
            }
            Err(problem) => {
                run.problem = Some(problem);
                Vec::new()
            }
        };
        run.pairs = links.len();
        run.took = started.elapsed();
        (links, run)
    }

    /// What a run that ended abruptly leaves.
    pub(super) fn broken(&self, error: &JoinError) -> (Vec<Link>, BridgeRun) {
        let problem = Some(error.to_string());
        (Vec::new(), BridgeRun { id: self.id.clone(), rows: 0, pairs: 0, took: Duration::ZERO, problem })
    }

    fn links(&self, rows: &[query::Row], entities: &BTreeSet<Entity>, options: &QueryOptions) -> Vec<Link> {
        let mut links: BTreeMap<(Entity, Entity), Link> = BTreeMap::new();
        for row in rows {
            let end = |column, kind| {
                let text = row.get(column).and_then(|value| value.as_str())?;
                Entity::new(kind, text).filter(|entity| entities.contains(entity))
            };
            let (Some(from), Some(to)) = (end("From", self.from), end("To", self.to)) else { continue };
            if from == to {
                continue;
            }
            let generated = query::time(row, "TimeGenerated");
            let first_seen = query::time(row, "FirstSeen").or(generated).unwrap_or(options.now);
            let last_seen = query::time(row, "LastSeen").or(generated).unwrap_or(first_seen);
            let certainty = query::number(row, "Weight");
            let link = Link {
                bridge: self.id.clone(),
                because: template::fill(&self.because, |name| row.get(name).map(template::plain)),
                weight: self.weight * certainty.unwrap_or(1.0).clamp(0.0, 1.0),
                certain: certainty.is_some(),
                first_seen,
                last_seen,
                window: self.window,
                from: from.clone(),
                to: to.clone(),
            };
            links
                .entry((from, to))
                .and_modify(|known| {
                    known.first_seen = known.first_seen.min(link.first_seen);
                    known.last_seen = known.last_seen.max(link.last_seen);
                    if link.weight > known.weight {
                        known.weight = link.weight;
                        known.because.clone_from(&link.because);
                    }
                })
                .or_insert(link);
        }
        links.into_values().collect()
    }
}

fn timespan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimeDelta, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = || D::Error::custom(format!("'{text}' is no timespan such as 12h or 14d"));
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let number: i64 = number.parse().map_err(|_| wrong())?;
    match unit {
        "m" => TimeDelta::try_minutes(number),
        "h" => TimeDelta::try_hours(number),
        "d" => TimeDelta::try_days(number),
        _ => None,
    }
    .filter(|span| *span >= TimeDelta::zero())
    .ok_or_else(wrong)
}
