//! Request rates: what each service publishes, kept per account, region, tenant or subscription.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use serde::{Deserialize, Serialize};

use crate::config::RateConfig;

/// A published limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitName {
    /// `LookupEvents`: 2 requests a second per account and region.
    AwsCloudtrail,
    /// Activity log queries: 50 in 30 seconds.
    AzureActivity,
    /// Cost Management: 60 query units a minute (and 12 in 10 seconds) per tenant, a unit per month asked for.
    AzureCost,
    /// Advanced hunting: 45 requests a minute per tenant.
    DefenderHunting,
    /// Identity and access reports of Graph: 5 requests in 10 seconds per application and tenant.
    GraphReports,
}

impl LimitName {
    const ALL: [Self; 5] = [
        Self::AwsCloudtrail,
        Self::AzureActivity,
        Self::AzureCost,
        Self::DefenderHunting,
        Self::GraphReports,
    ];

    fn published(self) -> RateConfig {
        let (requests, seconds) = match self {
            Self::AwsCloudtrail => (2, 1.0),
            Self::AzureActivity => (50, 30.0),
            Self::AzureCost => (60, 60.0),
            Self::DefenderHunting => (45, 60.0),
            Self::GraphReports => (5, 10.0),
        };
        RateConfig { requests, seconds }
    }
}

/// What a request counts against: a limit, and whose.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct LimitKey {
    name: LimitName,
    owner: String,
}

/// What one request takes of a limit.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    pub(crate) key: LimitKey,
    pub(crate) units: u32,
}

impl LimitKey {
    pub(crate) fn new(name: LimitName, owner: impl Into<String>) -> Self {
        Self { name, owner: owner.into() }
    }
}

impl From<LimitKey> for Turn {
    fn from(key: LimitKey) -> Self {
        Self { key, units: 1 }
    }
}

/// All limits, for the whole process.
pub(crate) struct Limits {
    pacers: BTreeMap<LimitName, DefaultKeyedRateLimiter<String>>,
    /// Until when a service asked an owner to stay away.
    closed: Mutex<HashMap<LimitKey, Instant>>,
}

impl Limits {
    pub(crate) fn new(changed: &BTreeMap<LimitName, RateConfig>) -> Result<Self, String> {
        let pacers = LimitName::ALL
            .into_iter()
            .map(|name| {
                let rate = changed.get(&name).copied().unwrap_or_else(|| name.published());
                let period = Duration::try_from_secs_f64(rate.seconds / f64::from(rate.requests)).ok();
                // One at a time, evenly spaced: a burst at the start would break a limit on a sliding window.
                let quota =
                    period.and_then(Quota::with_period).map(|quota| quota.allow_burst(NonZeroU32::MIN));
                let quota = quota.ok_or_else(|| {
                    format!("http.limits: {name:?}: requests and seconds must be more than 0")
                })?;
                Ok((name, RateLimiter::keyed(quota)))
            })
            .collect::<Result<_, String>>()?;
        Ok(Self { pacers, closed: Mutex::new(HashMap::new()) })
    }

    /// Waits for this owner's turn.
    pub(crate) async fn wait(&self, turn: &Turn) {
        let key = &turn.key;
        loop {
            if let Some(pacer) = self.pacers.get(&key.name) {
                for _ in 0..turn.units {
                    pacer.until_key_ready(&key.owner).await;
                }
            }
            let Some(until) = self.closed_until(key) else { return };
            tokio::time::sleep_until(until.into()).await;
        }
    }

    /// Keeps every request of this owner back for a while: the service asked for it.
    pub(crate) fn close(&self, key: &LimitKey, wait: Duration) {
        let Some(until) = Instant::now().checked_add(wait) else { return };
        let mut closed = self.closed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let known = closed.entry(key.clone()).or_insert(until);
        *known = (*known).max(until);
    }

    fn closed_until(&self, key: &LimitKey) -> Option<Instant> {
        let mut closed = self.closed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let until = *closed.get(key)?;
        if until <= Instant::now() {
            closed.remove(key);
            return None;
        }
        Some(until)
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits").finish_non_exhaustive()
    }
}
