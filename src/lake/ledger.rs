//! The coverage ledger: what was pulled, what is missing, how it went.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use provost_model::{BatchBuilder, EventId, Row, RowError, TableSpec, Window};
use serde_json::{Map, Value};

use super::catalog::ask;
use super::{Lake, LakeError, Progress};

/// What `provost status` reads. The error of the latest failure and the rows so far follow from it.
const RUNS: &str = "Runs | where Stage == 'pull' | project Job, Partition, Table, WindowStart, WindowEnd, Status, \
                    FinishedAt, RowsWritten, RowsRejected, Error";

/// How a run of one window went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    /// All of it was taken in.
    Ok,
    /// Nothing of it counts; it is tried again.
    Failed,
    /// The source no longer has it.
    Lost,
}

impl RunStatus {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One row of `Runs`: a stage of a job on one partition and window.
#[derive(Debug, Clone)]
pub struct Run {
    /// The job.
    pub job: String,
    /// `pull`, `detect`, or `job` for the run of a whole job.
    pub stage: &'static str,
    /// The partition, or empty.
    pub partition: String,
    /// The table, or empty.
    pub table: String,
    /// The window, where the stage has one.
    pub window: Option<Window>,
    /// How it went.
    pub status: RunStatus,
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub finished: DateTime<Utc>,
    /// Records read.
    pub read: u64,
    /// Rows written.
    pub written: u64,
    /// Rows that were there before.
    pub duplicate: u64,
    /// Records that could not be read.
    pub rejected: u64,
    /// Requests made.
    pub requests: u64,
    /// Why it failed.
    pub error: Option<String>,
    /// More, by name.
    pub detail: Map<String, Value>,
}

impl Run {
    /// One run of a whole job of the service.
    pub fn of_job(job: &str, status: RunStatus, started: DateTime<Utc>, error: Option<String>) -> Self {
        Self {
            job: job.to_owned(),
            stage: "job",
            partition: String::new(),
            table: String::new(),
            window: None,
            status,
            started,
            finished: started,
            read: 0,
            written: 0,
            duplicate: 0,
            rejected: 0,
            requests: 0,
            error,
            detail: Map::new(),
        }
    }

    pub(super) fn to_row(&self, spec: &'static TableSpec) -> Result<Row, RowError> {
        let window = self.window.map(|window| window.to_string()).unwrap_or_default();
        let started = provost_model::format_time(self.started);
        let id = EventId::of(&[
            &self.job,
            self.stage,
            &self.partition,
            &self.table,
            &window,
            self.status.name(),
            &started,
            self.error.as_deref().unwrap_or_default(),
        ]);
        let mut row = Row::new(spec, self.finished, id.clone());
        row.set("RunId", id.as_str())?;
        row.set("Job", self.job.as_str())?;
        row.set("Stage", self.stage)?;
        row.set("Partition", self.partition.as_str())?;
        row.set("Table", self.table.as_str())?;
        row.set("WindowStart", self.window.map(|window| window.from()))?;
        row.set("WindowEnd", self.window.map(|window| window.to()))?;
        row.set("Status", self.status.name())?;
        row.set("StartedAt", self.started)?;
        row.set("FinishedAt", self.finished)?;
        for (column, count) in [
            ("RowsRead", self.read),
            ("RowsWritten", self.written),
            ("RowsDuplicate", self.duplicate),
            ("RowsRejected", self.rejected),
            ("Requests", self.requests),
        ] {
            row.set(column, i64::try_from(count).unwrap_or(i64::MAX))?;
        }
        row.set("Error", self.error.as_deref())?;
        row.set_json("Detail", &Value::Object(self.detail.clone()))?;
        Ok(row)
    }
}

/// The progress of pulls on one partition: a watermark that moves in the commits of the table it fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    name: String,
    from: Option<i64>,
    to: Option<i64>,
}

/// Time that no run covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// From when to when.
    pub window: Window,
    /// Whether the source no longer has it.
    pub lost: bool,
}

/// One job and partition, as `provost status` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionStatus {
    /// The job.
    pub job: String,
    /// The partition.
    pub partition: String,
    /// The table it fills.
    pub table: String,
    /// Covered from.
    pub covered_from: Option<DateTime<Utc>>,
    /// Covered up to.
    pub covered_to: Option<DateTime<Utc>>,
    /// What is missing in between.
    pub gaps: Vec<Gap>,
    /// When it last went well.
    pub last_ok: Option<DateTime<Utc>>,
    /// The last error, if it came after that.
    pub last_error: Option<String>,
    /// Rows taken in so far.
    pub rows: u64,
    /// Records that could not be read.
    pub rejected: u64,
}

impl Ledger {
    /// What the lake knows of that job and partition.
    pub async fn read(
        lake: &Lake,
        spec: &'static TableSpec,
        job: &str,
        partition: &str,
    ) -> Result<Self, LakeError> {
        let name = format!("pull/{job}/{partition}");
        let from = lake.position(spec, &format!("{name}#from")).await?;
        let to = lake.position(spec, &name).await?;
        Ok(Self { name, from, to })
    }

    /// Covered from.
    pub fn covered_from(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.from?)
    }

    /// Covered up to.
    pub fn covered_to(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.to?)
    }

    /// What a commit proves that takes in this window, which must begin no later than the watermark.
    pub fn progress(&self, window: Window) -> Progress {
        let end = window.to().timestamp_micros();
        Progress {
            name: self.name.clone(),
            position: self.to.map_or(end, |to| to.max(end)),
            expected: self.to,
            from: self.from.is_none().then(|| window.from().timestamp_micros()),
        }
    }

    /// The ledger after that progress was committed.
    pub fn advance(&mut self, progress: &Progress) {
        self.to = Some(progress.position);
        self.from = self.from.or(progress.from);
    }
}

impl Lake {
    /// Appends rows made one by one, in one commit.
    pub async fn append_rows(
        &self,
        spec: &'static TableSpec,
        source: &str,
        now: DateTime<Utc>,
        rows: impl IntoIterator<Item = Result<Row, RowError>>,
        progress: Option<Progress>,
    ) -> Result<super::Appended, LakeError> {
        let fail = |error: RowError| LakeError::Rows { table: spec.name(), message: error.to_string() };
        let mut batch = BatchBuilder::new(spec);
        for row in rows {
            batch.push(row.map_err(fail)?).map_err(fail)?;
        }
        let batch = batch
            .finish()
            .map_err(|error| LakeError::Rows { table: spec.name(), message: error.to_string() })?;
        let mut last = None;
        for _ in 0..5 {
            let mut append = self.append(spec, source, now).await?;
            append.write(batch.clone()).await?;
            match append.commit(progress.clone()).await {
                Err(LakeError::Conflict { table }) if progress.is_none() => {
                    last = Some(LakeError::Conflict { table });
                }
                other => return other,
            }
        }
        Err(last.unwrap_or(LakeError::Conflict { table: spec.name() }))
    }
}

impl Lake {
    /// Whether the lake can be written: commits a run that says so.
    pub async fn try_writing(&self, now: DateTime<Utc>) -> Result<(), LakeError> {
        self.record(&[Run::of_job("doctor", RunStatus::Ok, now, None)], now).await
    }
}

impl PartitionStatus {
    /// Every job and partition that ever ran. `expected_to` says how far a job should be by now.
    pub async fn read(
        lake: &Arc<Lake>,
        expected_to: impl Fn(&str) -> Option<DateTime<Utc>>,
    ) -> anyhow::Result<Vec<Self>> {
        let rows = ask(lake, RUNS).await?;
        let rows: Vec<Map<String, Value>> = rows.objects().collect();
        // By job and partition, with the instant of the last failure.
        type Known = (PartitionStatus, Option<DateTime<Utc>>);
        let mut partitions: BTreeMap<(String, String), Known> = BTreeMap::new();
        let mut lost: BTreeMap<(String, String), BTreeSet<Window>> = BTreeMap::new();
        for row in &rows {
            let key = (text(row, "Job").to_owned(), text(row, "Partition").to_owned());
            let (status, failed_at) = partitions.entry(key.clone()).or_insert_with(|| {
                let (job, partition) = key.clone();
                let table = text(row, "Table").to_owned();
                let status = Self {
                    job,
                    partition,
                    table,
                    covered_from: None,
                    covered_to: None,
                    gaps: Vec::new(),
                    last_ok: None,
                    last_error: None,
                    rows: 0,
                    rejected: 0,
                };
                (status, None)
            });
            let finished = instant(row, "FinishedAt");
            status.rows += row.get("RowsWritten").and_then(Value::as_u64).unwrap_or(0);
            status.rejected += row.get("RowsRejected").and_then(Value::as_u64).unwrap_or(0);
            match text(row, "Status") {
                "ok" => status.last_ok = status.last_ok.max(finished),
                "failed" if finished >= *failed_at => {
                    *failed_at = finished;
                    status.last_error = Some(text(row, "Error").to_owned());
                }
                "lost" => {
                    if let (Some(from), Some(to)) = (instant(row, "WindowStart"), instant(row, "WindowEnd")) {
                        lost.entry(key).or_default().extend(Window::new(from, to));
                    }
                }
                _ => {}
            }
        }
        let mut all = Vec::new();
        for (key, (mut status, failed_at)) in partitions {
            if failed_at < status.last_ok {
                status.last_error = None;
            }
            let ledger =
                Ledger::read(lake, Lake::spec(&status.table)?, &status.job, &status.partition).await?;
            status.covered_from = ledger.covered_from();
            status.covered_to = ledger.covered_to();
            let lost = lost.remove(&key).unwrap_or_default();
            status.gaps.extend(lost.into_iter().map(|window| Gap { window, lost: true }));
            if let (Some(covered), Some(expected)) = (status.covered_to, expected_to(&status.job)) {
                status.gaps.extend(Window::new(covered, expected).map(|window| Gap { window, lost: false }));
            }
            all.push(status);
        }
        Ok(all)
    }
}

fn text<'a>(row: &'a Map<String, Value>, column: &str) -> &'a str {
    row.get(column).and_then(Value::as_str).unwrap_or_default()
}

fn instant(row: &Map<String, Value>, column: &str) -> Option<DateTime<Utc>> {
    provost_model::parse_time(text(row, column)).ok()
}
