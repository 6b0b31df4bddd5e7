//! When a request is tried again, and how long to wait before.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};
use rand::Rng;

use crate::config::{HttpConfig, seconds};

/// How often a token or session that a service does not accept any more is replaced for one request. More than once:
/// what is shared by many requests can come to its end again while one of them waits for its turn.
pub(crate) const REPLACEMENTS: u32 = 3;

/// How often and how patiently a request is tried.
#[derive(Debug, Clone)]
pub(crate) struct RetryPolicy {
    pub(crate) attempts: u32,
    pub(crate) backoff: Duration,
    pub(crate) max_backoff: Duration,
    /// What one request may wait in all between its tries.
    pub(crate) max_wait: Duration,
}

impl RetryPolicy {
    pub(crate) fn new(config: &HttpConfig) -> Result<Self, String> {
        Ok(Self {
            attempts: config.attempts.max(1),
            backoff: seconds("http.backoff_seconds", config.backoff_seconds)?,
            max_backoff: seconds("http.max_backoff_seconds", config.max_backoff_seconds)?,
            max_wait: seconds("http.max_wait_seconds", config.max_wait_seconds)?,
        })
    }

    /// The wait after that many failed attempts: doubled each time, and between half and all of it by chance, so that
    /// many clients that failed together don't come back together.
    pub(crate) fn backoff(&self, failed_attempts: u32) -> Duration {
        let doublings = failed_attempts.saturating_sub(1).min(20);
        let full = self.backoff.saturating_mul(1 << doublings).min(self.max_backoff);
        full.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

/// Whether the same request may go better later.
pub(crate) fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// How long the service asks to wait, in any of the dialects of Azure and Graph. Cost Management sends several at
/// once, one per limit that was met: the longest counts.
pub(crate) fn asked_wait(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    headers
        .iter()
        .filter_map(|(name, value)| {
            let value = value.to_str().ok()?.trim();
            match name.as_str() {
                "retry-after" => after(value, now),
                "retry-after-ms" | "x-ms-retry-after-ms" => {
                    Some(Duration::from_secs_f64(positive(value)? / 1000.0))
                }
                name if name.starts_with("x-ms-ratelimit-") && name.ends_with("-retry-after") => {
                    Some(Duration::from_secs_f64(positive(value)?))
                }
                _ => None,
            }
        })
        .max()
}

/// `Retry-After`: seconds, or a date.
fn after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    if let Some(seconds) = positive(value) {
        return Some(Duration::from_secs_f64(seconds));
    }
    let date = DateTime::parse_from_rfc2822(value).ok()?;
    Some((date.with_timezone(&Utc) - now).to_std().unwrap_or(Duration::ZERO))
}

/// A number of at most a year's seconds; more is a mistake of the sender and would overflow a duration.
fn positive(value: &str) -> Option<f64> {
    value.parse::<f64>().ok().filter(|number| (0.0..=31_536_000_000.0).contains(number))
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;
    use http::HeaderName;

    use super::*;

    #[test]
    fn the_longest_wait_that_is_asked_for_counts_in_every_dialect() {
        let now = Utc.with_ymd_and_hms(2026, 3, 1, 10, 0, 0).single().expect("a time");
        type Case<'a> = (&'a [(&'a str, &'a str)], Option<u64>);
        let cases: [Case<'_>; 8] = [
            (&[("retry-after", "7")], Some(7_000)),
            (&[("retry-after", "Sun, 01 Mar 2026 10:00:30 GMT")], Some(30_000)),
            (&[("retry-after", "Sun, 01 Mar 2026 09:00:00 GMT")], Some(0)),
            (&[("x-ms-retry-after-ms", "250")], Some(250)),
            (
                &[
                    ("retry-after", "3"),
                    ("x-ms-ratelimit-microsoft.costmanagement-qpu-retry-after", "11"),
                    ("x-ms-ratelimit-microsoft.costmanagement-clienttype-retry-after", "42"),
                    ("x-ms-ratelimit-microsoft.costmanagement-qpu-remaining", "99"),
                ],
                Some(42_000),
            ),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "-5")], None),
            (&[], None),
        ];
        for (headers, expected) in cases {
            let headers: HeaderMap = headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a header value")))
                .collect();
            assert_eq!(
                asked_wait(&headers, now).map(|wait| wait.as_millis() as u64),
                expected,
                "{headers:?}"
            );
        }
    }

    #[test]
    fn back_off_doubles_up_to_its_bound() {
        let policy = RetryPolicy {
            attempts: 9,
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(5),
            max_wait: Duration::from_secs(60),
        };
        for (failed, low, high) in
            [(1, 0.5, 1.0), (2, 1.0, 2.0), (3, 2.0, 4.0), (4, 2.5, 5.0), (900, 2.5, 5.0)]
        {
            let wait = policy.backoff(failed).as_secs_f64();
            assert!((low..=high).contains(&wait), "{wait} after {failed}");
        }
    }
}
