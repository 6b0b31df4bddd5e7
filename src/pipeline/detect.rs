//! Detection over the lake: which rules are due at which steps, and their findings into `Findings`.
//!
//! The state of a rule is two application transactions in `Findings`: up to where it was evaluated, and when, so that
//! rows taken in since then, however old their event time, bring the steps they touch up again.

use std::collections::BTreeMap;
use std::pin::pin;

use anyhow::Context;
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use provost_kql::QueryOptions;
use provost_model::{Finding, format_time, parse_time, tables};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::Pipeline;
use crate::detect::{
    Evaluator, KnownFindings, Limits, Rule, RuleOutcome, RuleStatus, Step, steps_due, steps_touched,
};
use crate::lake::{Lake, Progress, Run, RunStatus};
use crate::parallel::in_tasks;

/// What a run of the rules did.
#[derive(Debug, Default)]
pub struct DetectSummary {
    /// How each rule fared.
    pub rules: Vec<RuleOutcome>,
    /// Findings seen for the first time.
    pub new: usize,
    /// Findings that have grown.
    pub grown: usize,
}

impl DetectSummary {
    /// The rules that could not be run, with the reason.
    pub fn problems(&self) -> impl Iterator<Item = (&RuleOutcome, &str)> {
        self.rules.iter().filter_map(|rule| match &rule.status {
            RuleStatus::Ok => None,
            RuleStatus::Refused(reason) | RuleStatus::Failed(reason) => Some((rule, reason.as_str())),
        })
    }
}

type Span = (DateTime<Utc>, DateTime<Utc>);

impl Pipeline {
    /// Runs every rule over what is new since it ran last. `progress` hears of each rule that is done.
    pub async fn detect(
        &self,
        now: DateTime<Utc>,
        mut progress: impl FnMut(&RuleOutcome),
    ) -> anyhow::Result<DetectSummary> {
        let limits = Limits { time: self.query_timeout, ..Limits::default() };
        let evaluator = Evaluator::new(self.engine.clone(), self.catalog()).with_limits(limits);
        let mut spans = Spans { pipeline: self, now, known: BTreeMap::new() };
        let mut waiting = Vec::new();
        for rule in self.rules.iter().filter_map(|file| file.rule()) {
            let state = self.rule_state(rule).await?;
            let steps = self.steps(rule, &state, &mut spans, now).await?;
            waiting.push((rule.clone(), state, steps));
        }

        let mut outcomes = BTreeMap::new();
        let evaluation = |(rule, state, steps): (Rule, RuleState, Vec<Step>)| {
            let (evaluator, known) = (evaluator.clone(), self.clone());
            async move {
                let outcome = evaluator.evaluate(&rule, &steps, &known).await;
                (rule, state, outcome)
            }
        };
        let mut running = pin!(in_tasks(waiting.into_iter().map(evaluation).collect()));
        while let Some((place, done)) = running.next().await {
            let (rule, state, outcome) = done.context("a rule ended abruptly")?;
            self.keep(&rule, &outcome, &state, now).await?;
            progress(&outcome);
            outcomes.insert(place, outcome);
        }

        let mut summary = DetectSummary::default();
        for outcome in outcomes.values() {
            summary.new += outcome.findings.iter().filter(|finding| finding.version == 1).count();
            summary.grown += outcome.findings.iter().filter(|finding| finding.version > 1).count();
        }
        let runs: Vec<Run> = outcomes
            .values()
            .filter(|outcome| !outcome.steps.is_empty() || outcome.status != RuleStatus::Ok)
            .map(|outcome| run(outcome, now))
            .collect();
        self.lake.record(&runs, now).await?;
        summary.rules = outcomes.into_values().collect();
        Ok(summary)
    }

    /// The steps that are due, and those that rows taken in since the rule ran last fall into.
    async fn steps(
        &self,
        rule: &Rule,
        state: &RuleState,
        spans: &mut Spans<'_>,
        now: DateTime<Utc>,
    ) -> anyhow::Result<Vec<Step>> {
        let mut steps = steps_due(rule, state.evaluated, now);
        let mut ingested = Vec::new();
        let tables = self.tables_of(rule, now).await;
        for table in tables.iter().flatten() {
            ingested.extend_from_slice(spans.since(table, state.seen).await?);
        }
        for span in joined(&mut ingested, rule.recent) {
            steps.extend(steps_touched(rule, span, state.evaluated.unwrap_or(now)));
        }
        if tables.is_some() && ingested.is_empty() && state.evaluated.is_none() {
            // Nothing to read and nothing known: the rule is up to date as it is. One that cannot be bound has to say so.
            steps.clear();
        }
        steps.sort();
        steps.dedup();
        Ok(steps)
    }

    /// Binding says what a rule reads. `None` for a rule that does not bind, which says why when it is evaluated.
    async fn tables_of(&self, rule: &Rule, now: DateTime<Utc>) -> Option<Vec<String>> {
        let options = QueryOptions { now, scalars: rule.scalars(), ..QueryOptions::default() };
        let prepared = self.engine.prepare(self.catalog(), &rule.query, &options).await;
        prepared.ok().map(|prepared| prepared.tables().to_vec())
    }

    async fn rule_state(&self, rule: &Rule) -> anyhow::Result<RuleState> {
        let spec = Lake::spec("Findings")?;
        let name = format!("detect/{}", rule.id);
        let position = self.lake.position(spec, &name).await?;
        let seen = self.lake.position(spec, &format!("{name}#from")).await?;
        let instant = |micros: Option<i64>| micros.and_then(DateTime::from_timestamp_micros);
        Ok(RuleState { name, position, evaluated: instant(position), seen: instant(seen) })
    }

    /// Findings and the rule's new state, in one commit. A rule that failed keeps its state and is tried again.
    async fn keep(
        &self,
        rule: &Rule,
        outcome: &RuleOutcome,
        state: &RuleState,
        now: DateTime<Utc>,
    ) -> anyhow::Result<()> {
        let spec = Lake::spec("Findings")?;
        let moved = outcome.status == RuleStatus::Ok && !outcome.steps.is_empty();
        let progress = moved.then(|| Progress {
            name: state.name.clone(),
            position: state.evaluated.map_or(now, |evaluated| evaluated.max(now)).timestamp_micros(),
            expected: state.position,
            from: Some(now.timestamp_micros()),
        });
        if progress.is_none() && outcome.findings.is_empty() {
            return Ok(());
        }
        let rows = outcome.findings.iter().map(Finding::to_row);
        self.lake.append_rows(spec, &format!("detect/{}", rule.id), now, rows, progress).await?;
        Ok(())
    }
}

struct RuleState {
    name: String,
    position: Option<i64>,
    evaluated: Option<DateTime<Utc>>,
    seen: Option<DateTime<Utc>>,
}

/// Spans in the order of time, those less than `gap` apart made one: their steps would lie in each other's way.
fn joined(spans: &mut [Span], gap: TimeDelta) -> Vec<Span> {
    spans.sort();
    let mut joined: Vec<Span> = Vec::new();
    for (first, last) in spans.iter().copied() {
        match joined.last_mut() {
            Some(before) if first - before.1 < gap => before.1 = before.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    joined
}

/// The stretches of event time in which rows were taken in since an instant, by table; each is asked once.
struct Spans<'a> {
    pipeline: &'a Pipeline,
    now: DateTime<Utc>,
    known: BTreeMap<(String, Option<DateTime<Utc>>), Vec<Span>>,
}

impl Spans<'_> {
    async fn since(&mut self, table: &str, seen: Option<DateTime<Utc>>) -> anyhow::Result<&[Span]> {
        let key = (table.to_owned(), seen);
        if !self.known.contains_key(&key) {
            let spans = self.ask(table, seen).await?;
            self.known.insert(key.clone(), spans);
        }
        Ok(self.known.get(&key).map(Vec::as_slice).unwrap_or_default())
    }

    async fn ask(&self, table: &str, seen: Option<DateTime<Utc>>) -> anyhow::Result<Vec<Span>> {
        if tables().get(table).is_none() {
            return Ok(Vec::new());
        }
        // Rows of the same instant as the last run may have come after it.
        let filter = seen
            .map(|seen| format!("| where ingestion_time() >= datetime({})", format_time(seen)))
            .unwrap_or_default();
        let query = format!(
            "{table} {filter} | summarize First = min(TimeGenerated), Last = max(TimeGenerated) \
             by bin(TimeGenerated, 6h)"
        );
        let answer = self.pipeline.ask(&query, self.now).await?;
        let instant = |row: &Map<String, Value>, name: &str| {
            row.get(name)?.as_str().and_then(|text| parse_time(text).ok())
        };
        let rows = answer.objects();
        let mut spans: Vec<Span> =
            rows.filter_map(|row| instant(&row, "First").zip(instant(&row, "Last"))).collect();
        Ok(joined(&mut spans, TimeDelta::hours(6)))
    }
}

#[async_trait]
impl KnownFindings for Pipeline {
    async fn latest(&self, ids: &[Uuid]) -> anyhow::Result<BTreeMap<Uuid, Finding>> {
        let list: Vec<String> = ids.iter().map(|id| provost_model::inert::kql(&id.to_string())).collect();
        let query = format!("Findings | where FindingId in ({})", list.join(", "));
        let rows = self.ask(&query, Utc::now()).await?;
        rows.objects()
            .map(|row| {
                let finding = Finding::from_row(row)?;
                Ok((finding.id, finding))
            })
            .collect()
    }
}

fn run(outcome: &RuleOutcome, now: DateTime<Utc>) -> Run {
    let (status, error) = match &outcome.status {
        RuleStatus::Ok => (RunStatus::Ok, None),
        RuleStatus::Refused(reason) | RuleStatus::Failed(reason) => (RunStatus::Failed, Some(reason.clone())),
    };
    let mut detail = Map::new();
    detail.insert("Steps".to_owned(), outcome.steps.len().into());
    detail.insert(
        "Milliseconds".to_owned(),
        u64::try_from(outcome.duration.as_millis()).unwrap_or(u64::MAX).into(),
    );
    detail.insert("Tables".to_owned(), outcome.tables.clone().into());
    let first = outcome.steps.iter().map(|step: &Step| step.from).min();
    let last = outcome.steps.iter().map(|step| step.end).max();
    Run {
        job: outcome.rule_id.clone(),
        stage: "detect",
        partition: String::new(),
        table: "Findings".to_owned(),
        window: first.zip(last).and_then(|(first, last)| provost_model::Window::new(first, last)),
        status,
        started: now - TimeDelta::from_std(outcome.duration).unwrap_or_default(),
        finished: now,
        read: outcome.rows as u64,
        written: outcome.findings.len() as u64,
        duplicate: 0,
        rejected: 0,
        requests: 0,
        error,
        detail,
    }
}
