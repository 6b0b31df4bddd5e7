//! The cron service: runs each job when it is due.
//!
//! Every job is a task of its own, so that a slow one starves no other, and waits for itself, so that it never overlaps
//! itself. What fell due during downtime is made up for by one run: windows and steps catch up by the ledger, not by
//! repeated ticks.

use std::future::Future;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rand::Rng;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Job, Schedules};

/// How one run of a job went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobResult {
    /// All of it went well.
    Complete,
    /// Some or all of it failed, and is tried again when it is due next.
    Incomplete,
}

/// Runs all jobs when they are due, until cancelled; then waits for those under way, which see the same token.
pub async fn run<F, Fut>(schedules: &Schedules, cancel: &CancellationToken, run_job: F)
where
    F: Fn(Job, CancellationToken) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = JobResult> + Send + 'static,
{
    let run_job = Arc::new(run_job);
    let mut tasks = JoinSet::new();
    for job in schedules.jobs().cloned() {
        let run_job = Arc::clone(&run_job);
        let cancel = cancel.clone();
        tasks.spawn(async move {
            // Once at the start: what fell due while nothing ran.
            let mut due = Utc::now();
            loop {
                if !wait_until(due + jitter(&job), &cancel).await {
                    return;
                }
                run_job(job.clone(), cancel.clone()).await;
                match job.next_after(Utc::now()) {
                    Some(next) => due = next,
                    None => {
                        tracing::warn!(job = %job.name, "never due again");
                        return;
                    }
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        if let Err(error) = done {
            tracing::error!(%error, "a job ended abruptly");
        }
    }
}

/// Waits; `false` where it was cancelled meanwhile. The clock is looked at again every minute, so that a machine that
/// slept or whose clock was set does not oversleep.
async fn wait_until(instant: DateTime<Utc>, cancel: &CancellationToken) -> bool {
    const LOOK: std::time::Duration = std::time::Duration::from_secs(60);
    loop {
        if cancel.is_cancelled() {
            return false;
        }
        let left = match (instant - Utc::now()).to_std() {
            Ok(left) if !left.is_zero() => left,
            _ => return true,
        };
        tokio::select! {
            () = tokio::time::sleep(left.min(LOOK)) => {}
            () = cancel.cancelled() => return false,
        }
    }
}

fn jitter(job: &Job) -> chrono::TimeDelta {
    let most = u64::try_from(job.jitter.as_millis()).unwrap_or(u64::MAX);
    let by = if most == 0 { 0 } else { rand::rng().random_range(0..=most) };
    chrono::TimeDelta::milliseconds(i64::try_from(by).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    fn schedules(text: &str) -> Schedules {
        let mut schedules = Schedules::default();
        schedules.add(Path::new("test.toml"), text).expect("good schedules");
        schedules
    }

    #[tokio::test]
    async fn a_slow_job_starves_no_other_and_never_overlaps_itself() {
        let schedules = schedules(
            "[job.slow]\nstage = \"detect\"\ncron = \"* * * * * *\"\n[job.quick]\nstage = \"deliver\"\ncron = \"* * * * * *\"\n",
        );
        let cancel = CancellationToken::new();
        let quick = Arc::new(AtomicUsize::new(0));
        let slow = Arc::new(AtomicUsize::new(0));
        let most_at_once = Arc::new(AtomicUsize::new(0));
        let counts = (Arc::clone(&quick), Arc::clone(&slow), Arc::clone(&most_at_once));
        let stop = cancel.clone();
        run(&schedules, &cancel, move |job, cancel| {
            let (quick, slow, most_at_once) = counts.clone();
            let stop = stop.clone();
            async move {
                if job.name == "quick" {
                    if quick.fetch_add(1, Ordering::SeqCst) == 2 {
                        stop.cancel();
                    }
                } else {
                    let now = slow.fetch_add(1, Ordering::SeqCst) + 1;
                    most_at_once.fetch_max(now, Ordering::SeqCst);
                    cancel.cancelled().await;
                    slow.fetch_sub(1, Ordering::SeqCst);
                }
                JobResult::Complete
            }
        })
        .await;
        assert_eq!(quick.load(Ordering::SeqCst), 3);
        assert_eq!(most_at_once.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn cancelling_ends_the_wait_at_once() {
        let schedules = schedules("[job.rare]\nstage = \"detect\"\ncron = \"0 0 1 1 *\"\n");
        let cancel = CancellationToken::new();
        let stop = cancel.clone();
        let service = run(&schedules, &cancel, move |_, _| {
            stop.cancel();
            async { JobResult::Complete }
        });
        tokio::time::timeout(Duration::from_secs(5), service).await.expect("ends by itself");
    }
}
