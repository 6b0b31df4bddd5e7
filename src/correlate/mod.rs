//! Findings become incidents: a graph of findings and the entities they are about, joined also where two entities
//! stand for one another (bridges, KQL), each tie priced by how rare the entity is in the lake (KQL, too).
//!
//! `docs/correlation.md` has the formulas and the reasons.

mod bridge;
pub(crate) mod content;
mod graph;
mod lifecycle;
pub(crate) mod query;
mod rarity;
mod score;
mod story;
pub(crate) mod template;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use provost_kql::{Catalog, Engine, Memo, QueryOptions};
use provost_model::{Entity, Finding, Incident};

pub use bridge::{Bridge, BridgeRun};
pub use content::{Content, ContentError};
pub use lifecycle::action_hash;
pub use rarity::Measure;
pub use story::shown_entities;

use crate::parallel::in_tasks;

/// How findings are joined.
#[derive(Debug, Clone)]
pub struct Options {
    /// The run's one `now()`.
    pub now: DateTime<Utc>,
    /// Findings further apart than this are not tied to each other; a chain may be longer.
    pub window: TimeDelta,
    /// A tie below this weight ties nothing.
    pub bar: f64,
    /// An incident grows no further than this.
    pub max_findings: usize,
    /// Nor does it last longer than this.
    pub max_span: TimeDelta,
    /// How far back rarity is measured before the first finding.
    pub baseline: TimeDelta,
    /// The most rows of one query.
    pub row_limit: usize,
    /// The longest one query may take.
    pub time_limit: Duration,
}

impl Options {
    /// The defaults, at a moment.
    pub fn at(now: DateTime<Utc>) -> Self {
        Self {
            now,
            window: TimeDelta::hours(72),
            bar: 0.35,
            max_findings: 60,
            max_span: TimeDelta::days(14),
            baseline: TimeDelta::days(14),
            row_limit: 20_000,
            time_limit: Duration::from_secs(60),
        }
    }
}

/// What correlation found.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Incidents that are new or have changed, by time; none where nothing has.
    pub incidents: Vec<Incident>,
    /// How each bridge fared.
    pub bridges: Vec<BridgeRun>,
    /// What could not be measured. The incidents stand, with such entities weighing half.
    pub problems: Vec<String>,
}

/// Joins the findings of the last days into incidents. `known` are the incidents so far, in their last versions;
/// what was one incident stays one, under its id.
pub async fn correlate(
    engine: &Engine,
    catalog: &Arc<dyn Catalog>,
    findings: &[Finding],
    known: &[Incident],
    content: &Content,
    options: &Options,
) -> Outcome {
    let findings = latest(findings);
    let known: Vec<Incident> = known.iter().filter(|one| one.superseded_by.is_none()).cloned().collect();
    let (Some(from), Some(to)) =
        (findings.iter().map(|one| one.first_seen).min(), findings.iter().map(|one| one.last_seen).max())
    else {
        return Outcome::default();
    };
    let entities: BTreeSet<Entity> = findings.iter().flat_map(|one| one.entities.iter().cloned()).collect();
    let entities = Arc::new(entities);
    // Event time is a closed span, a query's range is open at its end.
    let to = to + TimeDelta::microseconds(1);
    let questions = QueryOptions {
        now: options.now,
        time_range: Some((from, to)),
        scalars: query::scalars(&entities, from, to),
        row_limit: Some(options.row_limit),
        time_limit: Some(options.time_limit),
        partitions: Some(1),
        memo: Some(Memo::default()),
    };
    let baseline = QueryOptions { time_range: Some((from - options.baseline, to)), ..questions.clone() };
    let (rarities, problems) =
        rarity::Rarities::measure(engine, catalog, &content.rarity, &entities, &baseline).await;
    let mut outcome = Outcome { problems, ..Outcome::default() };
    let mut links = Vec::new();
    let asking = |bridge: Bridge| {
        let (engine, catalog) = (engine.clone(), Arc::clone(catalog));
        let (entities, questions) = (Arc::clone(&entities), questions.clone());
        async move { bridge.run(&engine, &catalog, &entities, &questions).await }
    };
    let runs = in_tasks(content.bridges.iter().cloned().map(asking).collect());
    // In the bridges' order, whichever is done first.
    for (place, ran) in runs.collect::<BTreeMap<_, _>>().await {
        let (found, run) = ran.unwrap_or_else(|error| content.bridges[place].broken(&error));
        links.extend(found);
        outcome.bridges.push(run);
    }
    let ties = graph::ties(&findings, &links, &rarities, options);
    let groups = graph::groups(&findings, &known, ties, options);
    outcome.incidents =
        groups.iter().flat_map(|group| lifecycle::incidents(group, &findings, &known, options)).collect();
    outcome.incidents.sort_by_key(|incident| (incident.first_seen, incident.id));
    outcome
}

/// The last version of each finding, by time.
fn latest(findings: &[Finding]) -> Vec<Finding> {
    let mut by_id: BTreeMap<_, &Finding> = BTreeMap::new();
    for finding in findings {
        let known = by_id.entry(finding.id).or_insert(finding);
        if known.version < finding.version {
            *known = finding;
        }
    }
    let mut findings: Vec<Finding> = by_id.into_values().cloned().collect();
    findings.sort_by_key(|finding| (finding.first_seen, finding.id));
    findings
}
