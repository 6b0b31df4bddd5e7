//! How many requests a service takes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many in so long, all at once if need be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) name: &'static str,
    pub(crate) count: u32,
    pub(crate) per: Duration,
}

impl Limit {
    pub(crate) const fn new(name: &'static str, count: u32, seconds: u64) -> Self {
        Self { name, count, per: Duration::from_secs(seconds) }
    }
}

/// Buckets that fill by themselves, one for each limit and whom it is for.
#[derive(Debug)]
pub(crate) struct Limits {
    raised: f64,
    buckets: Mutex<HashMap<(&'static str, String), Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Limits {
    pub(crate) fn new(raised: u32) -> Self {
        Self { raised: f64::from(raised.max(1)), buckets: Mutex::new(HashMap::new()) }
    }

    /// Takes so many; otherwise tells after how long there will be enough.
    pub(crate) fn take(&self, limit: Limit, whose: &str, cost: u32) -> Result<(), Duration> {
        let most = f64::from(limit.count) * self.raised;
        let per_second = most / limit.per.as_secs_f64();
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry((limit.name, whose.to_owned())).or_insert(Bucket { left: most, at: now });
        bucket.left = (bucket.left + now.duration_since(bucket.at).as_secs_f64() * per_second).min(most);
        bucket.at = now;
        let cost = f64::from(cost).min(most);
        if bucket.left < cost {
            return Err(Duration::from_secs_f64((cost - bucket.left) / per_second));
        }
        bucket.left -= cost;
        Ok(())
    }
}

/// Whole seconds to wait, as headers have them.
pub(crate) fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
