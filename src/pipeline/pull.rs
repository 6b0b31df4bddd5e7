//! Pulling: windows, overlap, catch-up, commit. The source only reads a window; everything else is here, once.
//!
//! **Nothing lost**: the watermark of a partition moves in the same commit as the rows that prove it, window after
//! window; what fails is tried again from there. **Nothing doubled**: windows overlap, and the lake drops what it has.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures::stream::{self, StreamExt};
use provost_connectors::{Pace, Pulled, RowSink, Source, SourceError};
use provost_model::{BatchBuilder, EventId, Partition, Reject, Row, TableSpec, Window};
use serde_json::Map;
use tokio_util::sync::CancellationToken;

use crate::lake::{Append, Lake, LakeError, Ledger, Progress, Run, RunStatus};

/// Partitions of one source that are read side by side.
const PARTITIONS_AT_ONCE: usize = 8;
/// Rows that wait before they are written.
const ROWS_AT_ONCE: usize = 50_000;
/// Bytes that wait before they are written.
const BYTES_AT_ONCE: usize = 64 << 20;
/// Rows after which a pull commits.
const ROWS_PER_COMMIT: u64 = 100_000;
/// Time after which a pull commits, so that a kill costs no more than that.
const TIME_PER_COMMIT: Duration = Duration::from_secs(30);
/// How often a window is read again because another writer was faster.
const CONFLICT_ATTEMPTS: usize = 5;

/// What a pull is to do.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// The name that the ledger keeps.
    pub job: String,
    /// How far back the first pull reaches.
    pub backfill: TimeDelta,
    /// The one clock of the run.
    pub now: DateTime<Utc>,
    /// Ends the pull before its next window, and drops the one under way.
    pub cancel: CancellationToken,
}

/// What a pull did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PullSummary {
    /// Windows taken in.
    pub windows: u64,
    /// Records read.
    pub read: u64,
    /// Rows written.
    pub written: u64,
    /// Records that could not be read.
    pub rejected: u64,
    /// Requests made.
    pub requests: u64,
    /// Partitions that failed.
    pub failed: u64,
}

/// Why one partition got no further.
#[derive(Debug, thiserror::Error)]
enum PullError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error("stopped")]
    Stopped,
}

pub(super) async fn pull(
    lake: &Lake,
    source: &Arc<dyn Source>,
    request: &PullRequest,
    mut progress: impl FnMut(&Partition, &PullSummary),
) -> Result<PullSummary, LakeError> {
    let started = request.now;
    let mut total = PullSummary::default();
    let partitions = match source.partitions().await {
        Ok(partitions) => partitions,
        Err(error) => {
            tracing::error!(job = %request.job, %error, "cannot list partitions");
            let mut run = run(request, source.table(), "", None, RunStatus::Failed);
            run.error = Some(error.to_string());
            lake.record(&[run], started).await?;
            return Ok(PullSummary { failed: 1, ..total });
        }
    };
    let mut pulls = stream::iter(partitions)
        .map(|partition| async move {
            let (runs, summary) = pull_partition(lake, source.as_ref(), request, &partition).await;
            (partition, runs, summary)
        })
        .buffer_unordered(PARTITIONS_AT_ONCE);
    let mut ledger = Vec::new();
    while let Some((partition, runs, summary)) = pulls.next().await {
        ledger.extend(runs);
        total.windows += summary.windows;
        total.read += summary.read;
        total.written += summary.written;
        total.rejected += summary.rejected;
        total.requests += summary.requests;
        total.failed += summary.failed;
        progress(&partition, &summary);
    }
    // At the end, for the loop must not wait for the lake while pulls that it does not poll hold it; and all at once, for
    // a commit of its own for each partition would have a stopping service wait for each of them.
    lake.record(&ledger, started).await?;
    Ok(total)
}

async fn pull_partition(
    lake: &Lake,
    source: &dyn Source,
    request: &PullRequest,
    partition: &Partition,
) -> (Vec<Run>, PullSummary) {
    let mut runs = Vec::new();
    let mut summary = PullSummary::default();
    let outcome = pull_windows(lake, source, request, partition, &mut runs).await;
    for run in &runs {
        summary.windows += u64::from(run.status == RunStatus::Ok);
        summary.read += run.read;
        summary.written += run.written;
        summary.rejected += run.rejected;
        summary.requests += run.requests;
    }
    match outcome {
        Ok(()) | Err((_, PullError::Stopped)) => {}
        Err((window, error)) => {
            tracing::error!(job = %request.job, partition = %partition, %error, "pull failed");
            let mut failed = run(request, source.table(), &partition.0, window, RunStatus::Failed);
            failed.error = Some(error.to_string());
            runs.push(failed);
            summary.failed = 1;
        }
    }
    (runs, summary)
}

async fn pull_windows(
    lake: &Lake,
    source: &dyn Source,
    request: &PullRequest,
    partition: &Partition,
    runs: &mut Vec<Run>,
) -> Result<(), (Option<Window>, PullError)> {
    let early = |error: LakeError| (None, PullError::Lake(error));
    let table = source.table();
    let mut ledger = Ledger::read(lake, table, &request.job, &partition.0).await.map_err(early)?;
    let plan = plan(source.pace(), &ledger, request);
    if let Some(lost) = plan.lost {
        runs.push(run(request, table, &partition.0, Some(lost), RunStatus::Lost));
    }
    let mut windows = plan.windows.into_iter().peekable();
    let mut conflicts = 0;
    while let Some(first) = windows.peek().copied() {
        if request.cancel.is_cancelled() {
            return Err((Some(first), PullError::Stopped));
        }
        // Taken from a copy: after a lost race the same windows are read again.
        let mut ahead = windows.clone();
        let pulled = tokio::select! {
            pulled = pull_group(lake, source, request, partition, &mut ahead, &mut ledger) => pulled,
            () = request.cancel.cancelled() => Err(PullError::Stopped),
        };
        match pulled {
            Ok(group) => {
                runs.extend(group.runs);
                if let Some(failed) = group.failed {
                    return Err(failed);
                }
                windows = ahead;
                conflicts = 0;
            }
            Err(PullError::Lake(LakeError::Conflict { .. })) if conflicts < CONFLICT_ATTEMPTS => {
                conflicts += 1;
                ledger = Ledger::read(lake, table, &request.job, &partition.0).await.map_err(early)?;
            }
            Err(error) => return Err((Some(first), error)),
        }
    }
    Ok(())
}

/// Consecutive windows that were committed together.
struct Group {
    runs: Vec<Run>,
    failed: Option<(Option<Window>, PullError)>,
}

/// Reads windows until there is enough for a commit, and commits them with their coverage. Rows of a window that
/// breaks off are kept, for they are true; its coverage is not, so that it is read again.
async fn pull_group(
    lake: &Lake,
    source: &dyn Source,
    request: &PullRequest,
    partition: &Partition,
    windows: &mut impl Iterator<Item = Window>,
    ledger: &mut Ledger,
) -> Result<Group, PullError> {
    let table = source.table();
    let started = Instant::now();
    let origin = format!("{}/{partition}", request.job);
    let mut batches = Batches::begin(lake, table, &origin, request.now).await?;
    let mut group = Group { runs: Vec::new(), failed: None };
    let mut covered: Option<Window> = None;
    for window in windows {
        let rejected = batches.rejected;
        match source.pull(partition, window, &mut batches).await {
            Ok(Pulled { records, requests }) => {
                let mut done = run(request, table, &partition.0, Some(window), RunStatus::Ok);
                done.rejected = batches.rejected - rejected;
                done.read = records;
                done.requests = requests;
                group.runs.push(done);
                covered = Window::new(covered.map_or(window.from(), |covered| covered.from()), window.to());
            }
            Err(error) => {
                // What the lake said is what went wrong, not that the source could not go on.
                let error = batches.failure.take().map_or(PullError::Source(error), PullError::Lake);
                group.failed = Some((Some(window), error));
                break;
            }
        }
        if batches.taken >= ROWS_PER_COMMIT || started.elapsed() >= TIME_PER_COMMIT {
            break;
        }
    }
    let progress = covered.map(|covered| ledger.progress(covered));
    let appended = batches.commit(&request.job, &partition.0, progress.clone()).await?;
    if let Some(progress) = &progress {
        ledger.advance(progress);
    }
    // Which window a row that was there before belongs to is not known; the group's last run tells it.
    if let Some(last) = group.runs.last_mut() {
        last.written = appended.written;
        last.duplicate = appended.duplicates;
    }
    Ok(group)
}

struct Plan {
    lost: Option<Window>,
    windows: Vec<Window>,
}

/// Which windows bring a partition up to now.
fn plan(pace: Pace, ledger: &Ledger, request: &PullRequest) -> Plan {
    let end = pace.end(request.now);
    // A window must not begin so close to the end of what the source keeps that it has slipped out when it is asked.
    let oldest = pace.aligned(request.now - pace.retention) + pace.align.max(TimeDelta::minutes(5));
    let (start, lost) = match ledger.covered_to() {
        Some(covered) => {
            let overlapped = pace.aligned(covered - pace.overlap);
            let from = ledger.covered_from().map_or(overlapped, |from| overlapped.max(from));
            (from.max(oldest), Window::new(covered, oldest))
        }
        None => (pace.aligned(request.now - request.backfill).max(oldest), None),
    };
    let due = ledger.covered_to().is_none_or(|covered| covered < end);
    let windows = match Window::new(start, end).filter(|_| due) {
        Some(window) => window.split(pace.max_window.max(pace.align)).collect(),
        None => Vec::new(),
    };
    Plan { lost, windows }
}

fn run(
    request: &PullRequest,
    table: &'static TableSpec,
    partition: &str,
    window: Option<Window>,
    status: RunStatus,
) -> Run {
    Run {
        job: request.job.clone(),
        stage: "pull",
        partition: partition.to_owned(),
        table: table.name().to_owned(),
        window,
        status,
        started: request.now,
        finished: request.now,
        read: 0,
        written: 0,
        duplicate: 0,
        rejected: 0,
        requests: 0,
        error: None,
        detail: Map::new(),
    }
}

/// Collects rows into batches for an append, and rejects for `Rejects`. Shared with `provost import`.
#[derive(Debug)]
pub struct Batches<'a> {
    lake: &'a Lake,
    append: Append<'a>,
    batch: BatchBuilder,
    rejects: Vec<Reject>,
    now: DateTime<Utc>,
    /// Records that could not be read so far.
    pub rejected: u64,
    taken: u64,
    failure: Option<LakeError>,
}

impl<'a> Batches<'a> {
    /// Begins an append to the table.
    pub async fn begin(
        lake: &'a Lake,
        table: &'static TableSpec,
        origin: &str,
        now: DateTime<Utc>,
    ) -> Result<Self, LakeError> {
        let append = lake.append(table, origin, now).await?;
        let batch = BatchBuilder::new(table);
        Ok(Self { lake, append, batch, rejects: Vec::new(), now, rejected: 0, taken: 0, failure: None })
    }

    /// Adds a row.
    pub async fn add(&mut self, row: Row) -> Result<(), LakeError> {
        let table = self.batch.table().name();
        self.batch.push(row).map_err(|error| LakeError::Rows { table, message: error.to_string() })?;
        self.taken += 1;
        if self.batch.rows() >= ROWS_AT_ONCE || self.batch.bytes() >= BYTES_AT_ONCE {
            self.flush().await?;
        }
        Ok(())
    }

    /// Keeps a record that is no row.
    pub fn refuse(&mut self, reject: Reject) {
        self.rejected += 1;
        self.rejects.push(reject);
    }

    async fn flush(&mut self) -> Result<(), LakeError> {
        let table = self.batch.table().name();
        let batch =
            self.batch.finish().map_err(|error| LakeError::Rows { table, message: error.to_string() })?;
        self.append.write(batch).await
    }

    /// Commits rejects, then rows and progress. Rejects have an identity too: after a crash in between they are
    /// not doubled.
    pub async fn commit(
        mut self,
        job: &str,
        partition: &str,
        progress: Option<Progress>,
    ) -> Result<crate::lake::Appended, LakeError> {
        if !self.rejects.is_empty() {
            let spec = Lake::spec("Rejects")?;
            let table = self.batch.table().name();
            let rows = self.rejects.iter().map(|reject| {
                let id = EventId::of(&[table, &reject.record]);
                let mut row = Row::new(spec, self.now, id);
                row.set("Job", job)?;
                row.set("Partition", partition)?;
                row.set("Table", table)?;
                row.set("Origin", reject.origin.as_str())?;
                row.set("Reason", reject.reason.as_str())?;
                row.set("Record", reject.record.as_str())?;
                Ok(row)
            });
            let rows: Vec<_> = rows.collect();
            self.lake.append_rows(spec, job, self.now, rows, None).await?;
        }
        self.flush().await?;
        self.append.commit(progress).await
    }
}

#[async_trait]
impl RowSink for Batches<'_> {
    async fn row(&mut self, row: Row) -> Result<(), SourceError> {
        match self.add(row).await {
            Ok(()) => Ok(()),
            Err(error) => {
                let message = error.to_string();
                self.failure = Some(error);
                Err(SourceError::Sink(message))
            }
        }
    }

    async fn reject(&mut self, reject: Reject) -> Result<(), SourceError> {
        self.refuse(reject);
        Ok(())
    }
}
