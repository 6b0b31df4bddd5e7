//! What a source is.

use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use provost_model::{Partition, Reject, Row, TableSpec, Window};

/// One API that fills one table.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync {
    /// The table that it fills.
    fn table(&self) -> &'static TableSpec;

    /// In which steps the API wants to be read.
    fn pace(&self) -> Pace;

    /// The independent parts, each with a ledger of its own.
    async fn partitions(&self) -> Result<Vec<Partition>, SourceError>;

    /// Gives every record of the window to `out`, in any order; a record that can't be read goes to
    /// [`RowSink::reject`]. `Ok` promises that the window was read to its end: a truncated answer is an error.
    async fn pull(
        &self,
        partition: &Partition,
        window: Window,
        out: &mut dyn RowSink,
    ) -> Result<Pulled, SourceError>;

    /// Tries credentials and permissions for real, one check each.
    async fn check(&self) -> Vec<Check>;
}

/// Takes what a source reads. Both wait while the lake is busy.
#[async_trait]
pub trait RowSink: Send {
    /// A row.
    async fn row(&mut self, row: Row) -> Result<(), SourceError>;
    /// A record that is no row.
    async fn reject(&mut self, reject: Reject) -> Result<(), SourceError>;
}

/// In which steps a source wants to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The longest window of one pull.
    pub max_window: TimeDelta,
    /// How far back the next pull reads again, for records that appear late.
    pub overlap: TimeDelta,
    /// How long after an event the API may not show it yet; a window ends this long before now.
    pub settle: TimeDelta,
    /// How far back the API can be read at all.
    pub retention: TimeDelta,
    /// Windows start and end on multiples of this since the epoch, such as whole days for cost.
    pub align: TimeDelta,
}

impl Pace {
    /// Up to where the source can be read at an instant.
    pub fn end(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.aligned(now - self.settle)
    }

    /// The last multiple of the alignment that is not after an instant.
    pub fn aligned(&self, instant: DateTime<Utc>) -> DateTime<Utc> {
        let step = self.align.num_seconds().max(1);
        let seconds = instant.timestamp().div_euclid(step) * step;
        DateTime::from_timestamp(seconds, 0).unwrap_or(instant)
    }
}

/// How a pull went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pulled {
    /// Records that the API gave.
    pub records: u64,
    /// Requests that were made, retries included.
    pub requests: u64,
}

/// Why a pull failed. Texts hold no secret and name the request.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The credentials are not accepted.
    #[error("{service}: not authenticated: {message}")]
    Unauthenticated {
        /// The API.
        service: &'static str,
        /// What it said, and what to do.
        message: String,
    },
    /// The credentials lack a permission.
    #[error("{service}: permission missing: {message}; {remedy}")]
    Denied {
        /// The API.
        service: &'static str,
        /// What it said.
        message: String,
        /// What to grant.
        remedy: String,
    },
    /// Still throttled after all retries.
    #[error("{service}: throttled: {message}")]
    Throttled {
        /// The API.
        service: &'static str,
        /// What it said.
        message: String,
    },
    /// The answer was cut off, hit a row cap or held an error inside: no part of it counts.
    #[error("{service}: incomplete answer: {message}")]
    Incomplete {
        /// The API.
        service: &'static str,
        /// What was missing.
        message: String,
    },
    /// A budget of requests is used up.
    #[error("{service}: budget used up: {message}")]
    Budget {
        /// The API.
        service: &'static str,
        /// Which one, and when it is renewed.
        message: String,
    },
    /// The API refused the request for another reason.
    #[error("{service}: {message}")]
    Refused {
        /// The API.
        service: &'static str,
        /// What it said.
        message: String,
    },
    /// No answer in time.
    #[error("{service}: no answer in time: {message}")]
    TimedOut {
        /// The API.
        service: &'static str,
        /// The last error.
        message: String,
    },
    /// Not reachable, after all retries.
    #[error("{service}: not reachable: {message}")]
    Unreachable {
        /// The API.
        service: &'static str,
        /// The last error.
        message: String,
    },
    /// The rows could not be taken in.
    #[error("rows could not be kept: {0}")]
    Sink(String),
    /// Wrong settings.
    #[error("{0}")]
    Config(String),
}

/// One thing that `provost doctor` tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was tried.
    pub name: String,
    /// How it went.
    pub status: CheckStatus,
    /// What was seen.
    pub detail: String,
    /// What to do where it did not go well.
    pub remedy: Option<String>,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckStatus {
    /// Well.
    Ok,
    /// It works, but not as it should.
    Warning,
    /// It does not work.
    Failed,
}
