//! `provost run`

use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::Args;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::stages::{Connections, correlate_all, deliver_all, detect_all, pull_one, request, show_incidents};
use super::{App, Outcome, cancelled_by_signals};
use crate::config::{Job, JobStage, Schedules};
use crate::lake::{Run, RunStatus};
use crate::pipeline::Pipeline;
use crate::scheduler::{self, JobResult};

/// The service, or one round of it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  provost run                        until SIGTERM or Ctrl-C
  provost run --once                 what is due, then exit: for cron and Kubernetes CronJobs
  provost run --once --all           everything, due or not")]
pub(super) struct RunArgs {
    /// Run what is due, then exit
    #[arg(long)]
    once: bool,
    /// With --once: run every job, due or not
    #[arg(long, requires = "once")]
    all: bool,
}

pub(super) async fn run(app: App, args: RunArgs) -> anyhow::Result<Outcome> {
    let service = Service::start(&app).await?;
    let cancel = cancelled_by_signals();
    let service = Arc::new(service);
    if args.once {
        return once(&service, &app, args.all, &cancel).await;
    }
    tracing::info!(jobs = service.schedules.jobs().count(), lake = %service.pipeline.lake().location(), "running");
    let schedules = service.schedules.clone();
    let fixed = app.now;
    scheduler::run(&schedules, &cancel, move |job, cancel| {
        let service = Arc::clone(&service);
        async move { service.job(&job, fixed.unwrap_or_else(Utc::now), cancel).await }
    })
    .await;
    tracing::info!("stopped");
    Ok(Outcome::Complete)
}

struct Service {
    pipeline: Pipeline,
    connections: Connections,
    schedules: Schedules,
}

impl Service {
    async fn start(app: &App) -> anyhow::Result<Self> {
        let pipeline = app.pipeline().await?;
        let connections = Connections::open(&app.config, &pipeline, app.now)?;
        let schedules = Schedules::of(&app.config)?;
        for job in schedules.jobs() {
            if let JobStage::Pull { source } = &job.stage {
                connections.source(source).with_context(|| format!("job '{}'", job.name))?;
            }
        }
        Ok(Self { pipeline, connections, schedules })
    }

    async fn is_due(&self, job: &Job, now: DateTime<Utc>) -> anyhow::Result<bool> {
        let last = self.pipeline.last_run(&job.name, now).await?;
        Ok(last.is_none_or(|last| job.next_after(last).is_some_and(|next| next <= now)))
    }

    /// One run of a job, told in the ledger and in the log.
    async fn job(&self, job: &Job, now: DateTime<Utc>, cancel: CancellationToken) -> JobResult {
        let outcome = self.stage(job, now, &cancel).await;
        let (status, error) = match &outcome {
            Ok(JobResult::Complete) => (RunStatus::Ok, None),
            Ok(JobResult::Incomplete) => (RunStatus::Failed, Some("some of it failed".to_owned())),
            Err(error) => (RunStatus::Failed, Some(format!("{error:#}"))),
        };
        if let Some(error) = &error {
            tracing::error!(job = %job.name, %error, "job failed");
        }
        let run = Run::of_job(&job.name, status, now, error);
        if let Err(error) = self.pipeline.lake().record(&[run], now).await {
            tracing::error!(job = %job.name, %error, "the run could not be recorded");
        }
        outcome.unwrap_or(JobResult::Incomplete)
    }

    async fn stage(
        &self,
        job: &Job,
        now: DateTime<Utc>,
        cancel: &CancellationToken,
    ) -> anyhow::Result<JobResult> {
        let complete = match &job.stage {
            JobStage::Pull { source } => {
                let source = self.connections.source(source)?;
                let request = request(&job.name, job.backfill, now, cancel.clone());
                let summary = pull_one(&self.pipeline, source, &request).await?;
                tracing::info!(job = %job.name, windows = summary.windows, rows = summary.written,
                    rejected = summary.rejected, failed = summary.failed, "pulled");
                summary.failed == 0
            }
            JobStage::Detect => {
                let summary = stopping(cancel, detect_all(&self.pipeline, now)).await?;
                tracing::info!(job = %job.name, new = summary.new, grown = summary.grown, "detected");
                summary.problems().next().is_none()
            }
            JobStage::Correlate => {
                let summary = stopping(cancel, correlate_all(&self.pipeline, now)).await?;
                tracing::info!(job = %job.name, incidents = summary.incidents.len(), "correlated");
                summary.problems.is_empty()
            }
            JobStage::Deliver => {
                let summary =
                    stopping(cancel, deliver_all(&self.pipeline, &self.connections.sinks, now)).await?;
                let delivered: usize = summary.sinks.values().map(|sink| sink.delivered).sum();
                tracing::info!(job = %job.name, delivered, "delivered");
                summary.complete()
            }
            JobStage::Maintain => {
                stopping(cancel, self.pipeline.maintain()).await?;
                true
            }
        };
        Ok(if complete { JobResult::Complete } else { JobResult::Incomplete })
    }
}

/// Drops the work where the run is told to stop: what it has committed stands, the rest is done by the next run.
async fn stopping<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    tokio::select! {
        done = work => done,
        () = cancel.cancelled() => Err(anyhow::anyhow!("stopped")),
    }
}

/// Pulls side by side, then the stages that read what they brought, in order.
async fn once(
    service: &Arc<Service>,
    app: &App,
    all: bool,
    cancel: &CancellationToken,
) -> anyhow::Result<Outcome> {
    let now = app.now();
    let mut due = Vec::new();
    for job in service.schedules.jobs() {
        if all || service.is_due(job, now).await? {
            due.push(job.clone());
        }
    }
    if due.is_empty() {
        app.output.note("nothing is due");
        return Ok(Outcome::Complete);
    }
    let (pulls, mut others): (Vec<Job>, Vec<Job>) =
        due.into_iter().partition(|job| matches!(job.stage, JobStage::Pull { .. }));
    let mut running = JoinSet::new();
    for job in pulls {
        let service = Arc::clone(service);
        let cancel = cancel.clone();
        running.spawn(async move { service.job(&job, now, cancel).await });
    }
    let mut results = running.join_all().await;
    others.sort_by_key(|job| match job.stage {
        JobStage::Pull { .. } => 0,
        // What a catch-up has brought lies in many small files, which every query after it would have to open.
        JobStage::Maintain => 1,
        JobStage::Detect => 2,
        JobStage::Correlate => 3,
        JobStage::Deliver => 4,
    });
    for job in others {
        if cancel.is_cancelled() {
            results.push(JobResult::Incomplete);
            break;
        }
        results.push(service.job(&job, now, cancel.clone()).await);
    }
    show_incidents(app.output, &service.pipeline.incidents(now).await?)?;
    let complete = results.iter().all(|result| *result == JobResult::Complete);
    Ok(if complete { Outcome::Complete } else { Outcome::Incomplete })
}
