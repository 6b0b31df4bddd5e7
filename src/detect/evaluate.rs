//! Running rules: each by itself, each step in order, only what is new or has grown comes out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use provost_kql::{Catalog, Engine, Memo, Prepared, QueryError, QueryOptions};
use provost_model::{Family, Finding};
use uuid::Uuid;

use super::finding::{Candidate, candidates};
use super::rule::Rule;
use super::steps::Step;

/// What one step of a rule may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A rule whose query gives more rows than this is refused: a cut result would not be the same on every run.
    pub rows: usize,
    /// How long its query may run.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rows: 20_000, time: Duration::from_secs(300) }
    }
}

/// The findings there are already.
#[async_trait]
pub trait KnownFindings: Send + Sync {
    /// The latest version of each of these findings that exists.
    async fn latest(&self, ids: &[Uuid]) -> anyhow::Result<BTreeMap<Uuid, Finding>>;
}

/// Findings in memory; empty, it stands for a lake that has none.
#[derive(Debug, Clone, Default)]
pub struct FindingsInMemory(pub BTreeMap<Uuid, Finding>);

impl FindingsInMemory {
    /// Takes in what an evaluation gave.
    pub fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.0.extend(findings.into_iter().map(|finding| (finding.id, finding)));
    }
}

#[async_trait]
impl KnownFindings for FindingsInMemory {
    async fn latest(&self, ids: &[Uuid]) -> anyhow::Result<BTreeMap<Uuid, Finding>> {
        Ok(ids.iter().filter_map(|id| Some((*id, self.0.get(id)?.clone()))).collect())
    }
}

/// How it went with a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleStatus {
    /// Every step was evaluated.
    Ok,
    /// The query cannot be run here: not KQL that we know, or a table that is not there.
    Refused(String),
    /// The query ran into an error, or over a limit.
    Failed(String),
}

/// What became of a rule.
#[derive(Debug, Clone)]
pub struct RuleOutcome {
    /// The rule.
    pub rule_id: String,
    /// Its name.
    pub rule_name: String,
    /// How it went.
    pub status: RuleStatus,
    /// New findings, and findings that have grown.
    pub findings: Vec<Finding>,
    /// How many rows its query gave, over all steps.
    pub rows: usize,
    /// The tables it reads.
    pub tables: Vec<String>,
    /// The steps that were evaluated.
    pub steps: Vec<Step>,
    /// How long it took.
    pub duration: Duration,
}

/// Runs rules over a catalog.
#[derive(Clone)]
pub struct Evaluator {
    engine: Engine,
    catalog: Arc<dyn Catalog>,
    limits: Limits,
    memo: Memo,
}

impl std::fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evaluator").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Evaluates every rule once, over its period up to `now`.
pub async fn evaluate(
    engine: &Engine,
    catalog: Arc<dyn Catalog>,
    rules: &[Rule],
    now: DateTime<Utc>,
    known: &dyn KnownFindings,
) -> Vec<RuleOutcome> {
    let evaluator = Evaluator::new(engine.clone(), catalog);
    let mut outcomes = Vec::with_capacity(rules.len());
    for rule in rules {
        outcomes.push(evaluator.evaluate(rule, &[Step::ending(rule, now)], known).await);
    }
    outcomes
}

impl Evaluator {
    /// An evaluator with the default limits.
    pub fn new(engine: Engine, catalog: Arc<dyn Catalog>) -> Self {
        Self { engine, catalog, limits: Limits::default(), memo: Memo::default() }
    }

    /// The same with other limits.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Evaluates a rule at some steps, in order of time. A rule that fails says so, and gives what its earlier steps
    /// found.
    pub async fn evaluate(&self, rule: &Rule, steps: &[Step], known: &dyn KnownFindings) -> RuleOutcome {
        let started = Instant::now();
        let mut outcome = RuleOutcome {
            rule_id: rule.id.clone(),
            rule_name: rule.name.clone(),
            status: RuleStatus::Ok,
            findings: Vec::new(),
            rows: 0,
            tables: Vec::new(),
            steps: Vec::new(),
            duration: Duration::ZERO,
        };
        let mut ordered = steps.to_vec();
        ordered.sort();
        let mut seen = Seen::default();
        for step in ordered {
            if let Err(status) = self.step(rule, step, known, &mut seen, &mut outcome).await {
                outcome.status = status;
                break;
            }
            outcome.steps.push(step);
        }
        outcome.findings = seen.changed.into_values().collect();
        outcome.duration = started.elapsed();
        outcome
    }

    /// Binds a rule's query, which shows what it reads and gives without running it.
    pub(super) async fn prepare(&self, rule: &Rule, step: Step) -> Result<Prepared, QueryError> {
        let options = QueryOptions {
            now: step.end,
            time_range: Some((step.from, step.end)),
            scalars: rule.scalars(),
            // One more than is allowed, to see that there are more.
            row_limit: Some(self.limits.rows.saturating_add(1)),
            time_limit: Some(self.limits.time),
            // Rules run side by side, which uses the processors better than parts of a query would.
            partitions: Some(1),
            memo: Some(self.memo.clone()),
        };
        self.engine.prepare(Arc::clone(&self.catalog), &rule.query, &options).await
    }

    async fn step(
        &self,
        rule: &Rule,
        step: Step,
        known: &dyn KnownFindings,
        seen: &mut Seen,
        outcome: &mut RuleOutcome,
    ) -> Result<(), RuleStatus> {
        let prepared = self.prepare(rule, step).await.map_err(|error| refused_or_failed(rule, &error))?;
        outcome.tables = prepared.tables().to_vec();
        let result = prepared.collect().await.map_err(|error| refused_or_failed(rule, &error))?;
        outcome.rows += result.len();
        if result.len() > self.limits.rows {
            let reason = format!("the query gives more than {} rows; narrow it", self.limits.rows);
            return Err(RuleStatus::Failed(reason));
        }
        if !rule.trigger.fires(result.len()) {
            return Ok(());
        }
        let family = rule.family.unwrap_or_else(|| family_of(&outcome.tables));
        let facts = candidates(rule, &result.columns, result.objects().collect(), step);
        seen.look_up(&facts, known).await.map_err(|error| {
            RuleStatus::Failed(format!("the findings there are already cannot be read: {error:#}"))
        })?;
        for fact in facts {
            let finding = fact.finding(rule, family, step, &|id| seen.latest(id));
            if let Some(finding) = finding {
                seen.take(finding);
            }
        }
        Ok(())
    }
}

/// What is known of the findings that an evaluation has to do with.
#[derive(Default)]
struct Seen {
    known: BTreeMap<Uuid, Option<Finding>>,
    changed: BTreeMap<Uuid, Finding>,
}

impl Seen {
    async fn look_up(&mut self, facts: &[Candidate], known: &dyn KnownFindings) -> anyhow::Result<()> {
        let wanted = facts.iter().flat_map(|fact| [fact.id, fact.earlier]);
        let ids: Vec<Uuid> = wanted.filter(|id| !self.known.contains_key(id)).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let mut found = known.latest(&ids).await?;
        for id in ids {
            let finding = found.remove(&id);
            self.known.entry(id).or_insert(finding);
        }
        Ok(())
    }

    fn latest(&self, id: Uuid) -> Option<&Finding> {
        self.changed.get(&id).or_else(|| self.known.get(&id)?.as_ref())
    }

    /// Takes a new version in. However many steps it grew in, it goes out as one version.
    fn take(&mut self, mut finding: Finding) {
        let before = self.known.get(&finding.id).and_then(Option::as_ref);
        finding.version = before.map_or(1, |before| before.version.saturating_add(1));
        self.changed.insert(finding.id, finding);
    }
}

/// A query that names what is not there is refused; one that breaks while it runs has failed.
pub(super) fn refused_or_failed(rule: &Rule, error: &QueryError) -> RuleStatus {
    match error {
        QueryError::Syntax(_) | QueryError::Bind(_) => {
            RuleStatus::Refused(format!("query at line {}: {error}", rule.query_line))
        }
        _ => RuleStatus::Failed(error.to_string()),
    }
}

/// The kind of signal of a rule that does not say it: what its tables speak of.
fn family_of(tables: &[String]) -> Family {
    let reads = |names: &[&str]| tables.iter().any(|table| names.iter().any(|name| table.starts_with(name)));
    if reads(&["ThreatIntel"]) {
        Family::Intel
    } else if reads(&["Costs"]) {
        Family::Billing
    } else if reads(&["DnsEvents", "DNSQueryLogs", "AZFWDnsQuery"]) {
        Family::Dns
    } else if reads(&["SigninLogs", "AuditLogs", "AAD", "Identity", "OfficeActivity"]) {
        Family::Account
    } else if reads(&["Device", "AWSVPCFlow", "AZFW", "NTANetAnalytics", "CommonSecurityLog"]) {
        Family::Network
    } else if reads(&["AzureActivity"]) {
        Family::Provisioning
    } else {
        Family::Account
    }
}
