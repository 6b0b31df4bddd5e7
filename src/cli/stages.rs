//! `provost pull`, `detect`, `correlate`, `deliver`: one stage by itself; and the same stages as jobs of the service.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use provost_connectors::{Clock, Connectors, Sink, Source};
use provost_model::{Incident, format_time, hint};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{App, Outcome, cancelled_by_signals};
use crate::config::{Config, JobStage, Schedules};
use crate::console::{Output, Progress, Sheet};
use crate::lake::LakeBudget;
use crate::pipeline::{CorrelateSummary, DeliverSummary, DetectSummary, Pipeline, PullRequest, PullSummary};

/// Reads sources into the lake.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  provost pull                       every source
  provost pull cloudtrail            one source, by its name in provost.toml
  provost pull cloudtrail --since 30d")]
pub(super) struct PullArgs {
    /// The sources [default: all]
    sources: Vec<String>,
    /// How far back a first pull reaches [default: as its job in the schedules]
    #[arg(long, value_parser = humantime::parse_duration)]
    since: Option<Duration>,
}

/// How far back the first pull of a source reaches that no job reads.
const USUAL_BACKFILL: Duration = Duration::from_secs(7 * 86_400);

/// Sources and sinks, ready to use.
pub(super) struct Connections {
    pub(super) sources: BTreeMap<String, Arc<dyn Source>>,
    pub(super) sinks: Vec<Arc<dyn Sink>>,
}

impl Connections {
    /// Makes those of the configuration.
    pub(super) fn open(
        config: &Config,
        pipeline: &Pipeline,
        now: Option<DateTime<Utc>>,
    ) -> anyhow::Result<Self> {
        let clock = now.map_or_else(Clock::system, Clock::fixed);
        let budget = Arc::new(LakeBudget::new(Arc::clone(pipeline.lake())));
        let connectors =
            Connectors::new(&config.http, config.azure.as_ref(), config.aws.as_ref(), clock)?.budget(budget);
        let mut sources = BTreeMap::new();
        for (name, source) in &config.sources {
            let source = connectors.source(name, source).with_context(|| format!("source '{name}'"))?;
            sources.insert(name.clone(), source);
        }
        let mut sinks = Vec::new();
        for (name, sink) in &config.sinks {
            sinks.push(connectors.sink(name, sink).with_context(|| format!("sink '{name}'"))?);
        }
        Ok(Self { sources, sinks })
    }

    /// The source of that name.
    pub(super) fn source(&self, name: &str) -> anyhow::Result<&Arc<dyn Source>> {
        self.sources.get(name).with_context(|| {
            let hint = hint(name, self.sources.keys().map(String::as_str));
            format!("there is no source '{name}' in the configuration{hint}")
        })
    }
}

pub(super) async fn pull(app: &App, args: PullArgs) -> anyhow::Result<Outcome> {
    let pipeline = app.pipeline().await?;
    let connections = Connections::open(&app.config, &pipeline, app.now)?;
    let names: Vec<String> =
        if args.sources.is_empty() { connections.sources.keys().cloned().collect() } else { args.sources };
    if names.is_empty() {
        bail!("there is no source in the configuration; `provost init` writes one to fill in");
    }
    let schedules = Schedules::of(&app.config)?;
    let cancel = cancelled_by_signals();
    let mut sheet = Sheet::new(["Source", "Windows", "Records", "Rows", "Rejected", "Requests", "Failed"]);
    let mut outcome = Outcome::Complete;
    for name in names {
        let source = connections.source(&name)?;
        // Under the name of its job, so that both go on from where the other one came.
        let job = schedules.jobs().find(|job| job.stage == JobStage::Pull { source: name.clone() });
        let (job, usual) = job.map_or((&name, USUAL_BACKFILL), |job| (&job.name, job.backfill));
        let request = request(job, args.since.unwrap_or(usual), app.now(), cancel.clone());
        let summary = pull_one(&pipeline, source, &request).await?;
        if summary.failed > 0 || cancel.is_cancelled() {
            outcome = Outcome::Incomplete;
        }
        sheet.row([
            json!(name),
            json!(summary.windows),
            json!(summary.read),
            json!(summary.written),
            json!(summary.rejected),
            json!(summary.requests),
            json!(summary.failed),
        ]);
    }
    app.output.sheet(&sheet)?;
    Ok(outcome)
}

pub(super) async fn pull_one(
    pipeline: &Pipeline,
    source: &Arc<dyn Source>,
    request: &PullRequest,
) -> anyhow::Result<PullSummary> {
    let bar = Progress::spinner("pull");
    bar.say(&request.job);
    let mut rows = 0;
    let summary = pipeline
        .pull(source, request, |partition, done| {
            rows += done.written;
            bar.say(&format!("{} {partition}: {rows} rows", request.job));
        })
        .await?;
    bar.done();
    Ok(summary)
}

pub(super) async fn detect(app: &App) -> anyhow::Result<Outcome> {
    let pipeline = app.pipeline().await?;
    let summary = detect_all(&pipeline, app.now()).await?;
    let mut sheet = Sheet::new(["Rule", "Findings", "Steps", "Rows", "Milliseconds", "Problem"]);
    for rule in &summary.rules {
        let problem =
            summary.problems().find(|(other, _)| other.rule_id == rule.rule_id).map(|(_, problem)| problem);
        sheet.row([
            json!(rule.rule_name),
            json!(rule.findings.len()),
            json!(rule.steps.len()),
            json!(rule.rows),
            json!(u64::try_from(rule.duration.as_millis()).unwrap_or(u64::MAX)),
            json!(problem.unwrap_or_default()),
        ]);
    }
    app.output.sheet(&sheet)?;
    app.output.note(format!("{} new findings, {} grown", summary.new, summary.grown));
    Ok(if summary.problems().next().is_none() { Outcome::Complete } else { Outcome::Incomplete })
}

pub(super) async fn detect_all(pipeline: &Pipeline, now: DateTime<Utc>) -> anyhow::Result<DetectSummary> {
    let rules = pipeline.rules().iter().filter(|file| file.rule().is_some()).count();
    let bar = Progress::bar("detect", rules as u64);
    let summary = pipeline.detect(now, |rule| bar.step(&rule.rule_name)).await?;
    bar.done();
    for (rule, problem) in summary.problems() {
        tracing::error!(rule = %rule.rule_name, "{problem}");
    }
    for file in pipeline.rules() {
        if let Err(problems) = &file.result {
            let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
            tracing::error!("rule file {} cannot be read: {}", file.path.display(), text.join("; "));
        }
    }
    Ok(summary)
}

pub(super) async fn correlate(app: &App) -> anyhow::Result<Outcome> {
    let pipeline = app.pipeline().await?;
    let summary = correlate_all(&pipeline, app.now()).await?;
    show_incidents(app.output, &summary.incidents)?;
    app.output.note(format!("{} incidents are new or have changed", summary.incidents.len()));
    Ok(if summary.problems.is_empty() { Outcome::Complete } else { Outcome::Incomplete })
}

pub(super) async fn correlate_all(
    pipeline: &Pipeline,
    now: DateTime<Utc>,
) -> anyhow::Result<CorrelateSummary> {
    let bar = Progress::spinner("correlate");
    let summary = pipeline.correlate(now, |incident| bar.say(&incident.title)).await?;
    bar.done();
    for problem in &summary.problems {
        tracing::error!("{problem}");
    }
    Ok(summary)
}

pub(super) async fn deliver(app: &App) -> anyhow::Result<Outcome> {
    let pipeline = app.pipeline().await?;
    let connections = Connections::open(&app.config, &pipeline, app.now)?;
    if connections.sinks.is_empty() {
        bail!("there is no sink in the configuration; `provost init` writes one to fill in");
    }
    let summary = deliver_all(&pipeline, &connections.sinks, app.now()).await?;
    let mut sheet = Sheet::new(["Sink", "Delivered", "Waiting", "Refused", "Error"]);
    for (name, sink) in &summary.sinks {
        sheet.row([
            json!(name),
            json!(sink.delivered),
            json!(sink.waiting),
            json!(sink.refused),
            json!(sink.errors.first().cloned().unwrap_or_default()),
        ]);
    }
    app.output.sheet(&sheet)?;
    Ok(if summary.complete() { Outcome::Complete } else { Outcome::Incomplete })
}

pub(super) async fn deliver_all(
    pipeline: &Pipeline,
    sinks: &[Arc<dyn Sink>],
    now: DateTime<Utc>,
) -> anyhow::Result<DeliverSummary> {
    let bar = Progress::spinner("deliver");
    let mut sent = 0;
    let summary = pipeline
        .deliver(sinks, now, |sink, count| {
            sent += count;
            bar.say(&format!("{sink}: {sent}"));
        })
        .await?;
    bar.done();
    Ok(summary)
}

/// An incident's entities that the table of incidents names.
const ENTITIES_AT_A_GLANCE: usize = 4;

/// Incidents as a person reads them: the gravest first.
pub(super) fn show_incidents(output: Output, incidents: &[Incident]) -> anyhow::Result<()> {
    let mut shown: Vec<&Incident> =
        incidents.iter().filter(|incident| incident.superseded_by.is_none()).collect();
    shown.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut full =
        Sheet::new(["Score", "Severity", "Incident", "Families", "Entities", "Escalate", "FirstSeen"]);
    let mut short = Sheet::new(["Score", "Chain", "Incident"]);
    for incident in &shown {
        let score = incident.score.round() as i64;
        let families: Vec<&str> = incident.families.iter().map(|family| family.name()).collect();
        let entities: Vec<&str> =
            crate::correlate::shown_entities(incident).iter().map(|entity| entity.value()).collect();
        let first_seen = format_time(incident.first_seen);
        let first_look = entities.iter().take(ENTITIES_AT_A_GLANCE).copied().collect::<Vec<_>>().join(", ");
        let others = incident.entities.len().saturating_sub(ENTITIES_AT_A_GLANCE);
        let escalate = if incident.escalate { "escalate" } else { "" };
        short.row([
            json!([score.to_string(), incident.severity.name(), escalate]),
            json!(families),
            json!([
                &incident.title,
                &format!("since {first_seen}, {} findings", incident.findings.len()),
                &match others {
                    0 => first_look,
                    others => format!("{first_look} and {others} more"),
                },
            ]),
        ]);
        full.row([
            json!(score),
            json!(incident.severity.name()),
            json!(incident.title),
            json!(families),
            json!(entities),
            json!(incident.escalate),
            json!(first_seen),
        ]);
    }
    output.sheet(if output.for_people() { &short } else { &full })?;
    Ok(())
}

/// A pull as the service does it.
pub(super) fn request(
    job: &str,
    backfill: Duration,
    now: DateTime<Utc>,
    cancel: CancellationToken,
) -> PullRequest {
    let backfill = TimeDelta::from_std(backfill).unwrap_or(TimeDelta::MAX);
    PullRequest { job: job.to_owned(), backfill, now, cancel }
}
