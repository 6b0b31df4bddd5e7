//! Writing runs down. What several jobs record at the same time goes into one commit: whoever's turn comes first takes
//! along what waits by then. A stopping service so waits for one or two commits, not for one of each job.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use provost_model::Row;

use super::{Lake, LakeError, Run};

/// Runs that wait to be written.
#[derive(Default)]
pub(super) struct Recorder {
    waiting: Mutex<Waiting>,
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Waiting {
    /// In the order of their tickets.
    rows: Vec<(u64, Row)>,
    last_ticket: u64,
}

impl Recorder {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // What another thread was doing when it broke off left whole rows.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves rows to be written, and gives the ticket they wait under.
    fn leave(&self, rows: Vec<Row>) -> u64 {
        let mut waiting = self.waiting();
        waiting.last_ticket += 1;
        let ticket = waiting.last_ticket;
        waiting.rows.extend(rows.into_iter().map(|row| (ticket, row)));
        ticket
    }
}

impl Lake {
    /// Writes rows of `Runs`.
    pub async fn record(&self, runs: &[Run], now: DateTime<Utc>) -> Result<(), LakeError> {
        let spec = Self::spec("Runs")?;
        let fail = |error: provost_model::RowError| LakeError::Rows {
            table: spec.name(),
            message: error.to_string(),
        };
        let rows = runs.iter().map(|run| run.to_row(spec)).collect::<Result<Vec<_>, _>>().map_err(fail)?;
        if rows.is_empty() {
            return Ok(());
        }
        let ticket = self.recorder.leave(rows);
        let _turn = self.recorder.turn.lock().await;
        // They wait until they are written: a caller that is dropped midway must not take others' rows with it.
        let waiting = self.recorder.waiting().rows.clone();
        let Some((last, _)) = waiting.last().filter(|_| waiting.iter().any(|(other, _)| *other == ticket))
        else {
            return Ok(());
        };
        let last = *last;
        let rows = waiting.into_iter().map(|(_, row)| Ok(row));
        let written = self.append_rows(spec, "provost", now, rows, None).await;
        // Where it failed, the others try for themselves.
        let done = |other: u64| if written.is_ok() { other <= last } else { other == ticket };
        self.recorder.waiting().rows.retain(|(other, _)| !done(*other));
        written.map(drop)
    }
}
