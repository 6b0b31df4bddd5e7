//! Time: windows, partitions, and how instants are read and written.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// A span of event time: `from` belongs to it, `to` does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Window {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

impl Window {
    /// A window; `None` where it would be empty or turned round.
    pub fn new(from: DateTime<Utc>, to: DateTime<Utc>) -> Option<Self> {
        (from < to).then_some(Self { from, to })
    }

    /// The first instant inside.
    pub fn from(&self) -> DateTime<Utc> {
        self.from
    }

    /// The first instant past it.
    pub fn to(&self) -> DateTime<Utc> {
        self.to
    }

    /// How long it is.
    pub fn length(&self) -> TimeDelta {
        self.to - self.from
    }

    /// Whether the instant lies inside.
    pub fn contains(&self, instant: DateTime<Utc>) -> bool {
        self.from <= instant && instant < self.to
    }

    /// Two halves, or `None` for a window too short to be cut at the second.
    pub fn halves(&self) -> Option<(Self, Self)> {
        let middle = self.from + TimeDelta::seconds(self.length().num_seconds() / 2);
        Some((Self::new(self.from, middle)?, Self::new(middle, self.to)?))
    }

    /// Consecutive windows of at most `length` that together are this one.
    pub fn split(self, length: TimeDelta) -> impl Iterator<Item = Self> {
        let length = length.max(TimeDelta::seconds(1));
        let mut start = self.from;
        std::iter::from_fn(move || {
            let next = Self::new(start, self.to.min(start.checked_add_signed(length).unwrap_or(self.to)))?;
            start = next.to;
            Some(next)
        })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} .. {}", format_time(self.from), format_time(self.to))
    }
}

/// One independent part of a source: an account in a region, a subscription, a tenant.
///
/// The name is what the ledger shows, such as `111122223333/us-east-1`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Partition(pub String);

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a time; expected ISO 8601 such as 2026-01-31T12:00:00Z")]
pub struct TimeError(String);

/// Reads an instant as cloud logs write it: RFC 3339 with any fraction, without a zone (UTC), a bare date, or the
/// `4/26/2021, 7:18:24.156 PM` of portal exports.
pub fn parse_time(text: &str) -> Result<DateTime<Utc>, TimeError> {
    let trimmed = text.trim();
    if let Ok(instant) = DateTime::parse_from_rfc3339(trimmed) {
        return Ok(instant.with_timezone(&Utc));
    }
    for format in [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
        "%m/%d/%Y, %I:%M:%S%.f %p",
        "%m/%d/%Y %I:%M:%S%.f %p",
    ] {
        if let Ok(naive) = NaiveDateTime::parse_from_str(trimmed.trim_end_matches('Z'), format) {
            return Ok(naive.and_utc());
        }
    }
    if let Ok(instant) = DateTime::parse_from_str(trimmed, "%Y-%m-%d %H:%M:%S%.f%#z") {
        return Ok(instant.with_timezone(&Utc));
    }
    if let Ok(date) = NaiveDate::parse_from_str(trimmed, "%Y-%m-%d") {
        return Ok(date.and_time(chrono::NaiveTime::MIN).and_utc());
    }
    Err(TimeError(text.chars().take(64).collect()))
}

/// Writes an instant in ISO 8601 UTC, with as much of a fraction as it has.
pub fn format_time(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_in_every_dialect_of_the_clouds() {
        for (text, expected) in [
            ("2023-07-10T11:45:07Z", "2023-07-10T11:45:07Z"),
            ("2020-05-20T18:19:04.423", "2020-05-20T18:19:04.423Z"),
            ("2026-01-02T03:04:05.1234567Z", "2026-01-02T03:04:05.123456700Z"),
            ("2026-01-02T05:04:05+02:00", "2026-01-02T03:04:05Z"),
            ("4/26/2021, 7:18:24.156 PM", "2021-04-26T19:18:24.156Z"),
            ("2024-09-01 00:00:00", "2024-09-01T00:00:00Z"),
            ("2024-09-01", "2024-09-01T00:00:00Z"),
        ] {
            assert_eq!(parse_time(text).map(format_time), Ok(expected.to_owned()), "{text}");
        }
        assert!(parse_time("yesterday").is_err());
        assert!(parse_time("").is_err());
    }

    #[test]
    fn a_split_window_has_no_gap_and_no_overlap() {
        let start = DateTime::UNIX_EPOCH;
        let window = Window::new(start, start + TimeDelta::minutes(25)).expect("not empty");
        let parts: Vec<Window> = window.split(TimeDelta::minutes(10)).collect();
        assert_eq!(parts.len(), 3);
        assert_eq!(parts.first().map(Window::from), Some(window.from()));
        assert_eq!(parts.last().map(Window::to), Some(window.to()));
        assert!(parts.windows(2).all(|pair| pair[0].to() == pair[1].from()));
    }
}
