//! Counting requests: per service for the metrics of the process, and per pull for its record.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

tokio::task_local! {
    /// The count of the pull that this task is in. A task-local reaches through the SDKs, which a parameter does not.
    static PULL: Arc<AtomicU64>;
}

/// How many requests went to a service, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// Requests in all, tries included.
    pub requests: u64,
    /// Requests that the service refused for being too many.
    pub throttled: u64,
    /// Requests that had no answer, or one that was cut off.
    pub unanswered: u64,
    /// Answers with a status of 500 or more.
    pub failed: u64,
}

/// The counts of every service.
#[derive(Debug, Default)]
pub(crate) struct Meter(Mutex<BTreeMap<&'static str, RequestCounts>>);

impl Meter {
    pub(crate) fn request(&self, service: &'static str) {
        let _ = PULL.try_with(|count| count.fetch_add(1, Ordering::Relaxed));
        self.change(service, |counts| counts.requests += 1);
    }

    pub(crate) fn unanswered(&self, service: &'static str) {
        self.change(service, |counts| counts.unanswered += 1);
    }

    pub(crate) fn answered(&self, service: &'static str, status: u16) {
        self.change(service, |counts| match status {
            429 => counts.throttled += 1,
            500.. => counts.failed += 1,
            _ => {}
        });
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, RequestCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, service: &'static str, change: impl FnOnce(&mut RequestCounts)) {
        change(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(service).or_default());
    }
}

/// Runs a pull and counts the requests it makes, those for tokens included.
pub(crate) async fn counted<T>(pull: impl Future<Output = T>) -> (T, u64) {
    let count = Arc::new(AtomicU64::new(0));
    let done = PULL.scope(Arc::clone(&count), pull).await;
    (done, count.load(Ordering::Relaxed))
}
