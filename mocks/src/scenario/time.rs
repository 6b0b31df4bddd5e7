//! Hours, days and how busy they are.

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc, Weekday};
use rand::Rng;
use rand::rngs::StdRng;

/// The whole hours from the start to the end.
pub(crate) fn hours(
    start: DateTime<Utc>,
    end: DateTime<Utc>,
) -> impl Iterator<Item = (u64, DateTime<Utc>)> + Clone {
    let count = u64::try_from((end - start).num_hours()).unwrap_or_default();
    (0..count).map(move |index| (index, start + TimeDelta::hours(i64::try_from(index).unwrap_or_default())))
}

/// How much people do in this hour; the average over a week is about one.
pub(crate) fn busy(hour: DateTime<Utc>) -> f64 {
    let weekend = matches!(hour.weekday(), Weekday::Sat | Weekday::Sun);
    let by_day = match hour.hour() {
        6 | 17 | 18 => 1.2,
        7..=16 => 2.6,
        19..=21 => 0.6,
        _ => 0.15,
    };
    if weekend { by_day * 0.15 } else { by_day }
}

/// An instant in the hour.
pub(crate) fn within(rng: &mut StdRng, hour: DateTime<Utc>) -> DateTime<Utc> {
    hour + TimeDelta::microseconds(rng.random_range(0..3_600_000_000))
}

/// A whole second in the hour, for logs that know no finer time.
pub(crate) fn second_within(rng: &mut StdRng, hour: DateTime<Utc>) -> DateTime<Utc> {
    hour + TimeDelta::seconds(rng.random_range(0..3600))
}

/// The instants of a timer in a span: each wait is the period, shortened by chance by up to the jitter's share of it.
pub(crate) fn timer(
    rng: &mut StdRng,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    period: TimeDelta,
    jitter: f64,
) -> Vec<DateTime<Utc>> {
    let length = period.num_microseconds().unwrap_or(i64::MAX);
    let mut instants = Vec::new();
    let mut at = from;
    while at < to {
        instants.push(at);
        let shortened = length as f64 * (1.0 - jitter * rng.random_range(0.0..=1.0));
        at += TimeDelta::microseconds((shortened as i64).max(1));
    }
    instants
}
