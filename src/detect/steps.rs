//! When a rule is evaluated: at the aligned ends of its frequency, over its period up to there.

use chrono::{DateTime, TimeDelta, Utc};

use super::rule::Rule;

/// More steps than this in one go are taken with longer strides, as far as a rule allows it without a gap.
const MANY_STEPS: i64 = 8;

/// One evaluation of a rule: its query sees the events of `[from, end)`, and `now()` is `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    /// The end of what the rule looks at, not included.
    pub end: DateTime<Utc>,
    /// The beginning of what the rule looks at.
    pub from: DateTime<Utc>,
}

impl Step {
    /// The evaluation of a rule that ends at an instant.
    pub fn ending(rule: &Rule, end: DateTime<Utc>) -> Self {
        Self { end, from: end.checked_sub_signed(rule.period).unwrap_or(DateTime::<Utc>::MIN_UTC) }
    }
}

/// The steps of a rule that time has brought since it was evaluated last; one that ends now where it never was.
pub fn steps_due(rule: &Rule, evaluated_up_to: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Vec<Step> {
    match evaluated_up_to {
        Some(evaluated) => aligned(rule, evaluated, now),
        None => vec![Step::ending(rule, now)],
    }
}

/// The steps of a rule, up to where it was evaluated, that rows taken in later could set off: those in whose recent
/// stretch an event time between the two instants (both included) falls.
///
/// Steps soon after the events are all taken. Further on, the late rows matter only together with later ones, and two
/// steps for each recent stretch see every such pair that lies close enough together.
pub fn steps_touched(
    rule: &Rule,
    ingested: (DateTime<Utc>, DateTime<Utc>),
    evaluated_up_to: DateTime<Utc>,
) -> Vec<Step> {
    let (first, last) = ingested;
    let later = |length| last.checked_add_signed(length).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let soon = later(rule.frequency).min(evaluated_up_to);
    let reach = later(rule.recent.max(rule.frequency));
    let mut steps = aligned(rule, first, soon);
    let half = TimeDelta::seconds(rule.recent.num_seconds() / 2);
    steps.extend(strides(rule, soon, reach.min(evaluated_up_to), half.max(rule.frequency)));
    // What was evaluated last need not have ended at an aligned instant.
    if first < evaluated_up_to && evaluated_up_to <= reach {
        steps.push(Step::ending(rule, evaluated_up_to));
    }
    steps.sort();
    steps.dedup();
    steps
}

/// The steps whose aligned end lies in `(after, until]`; a long stretch is walked in longer strides, without a gap.
fn aligned(rule: &Rule, after: DateTime<Utc>, until: DateTime<Utc>) -> Vec<Step> {
    let frequency = rule.frequency.num_seconds().max(1);
    let wanted = (until - after).num_seconds().max(0) / frequency;
    let widest = (rule.recent.num_seconds() / frequency).max(1);
    let stride = frequency * (wanted / MANY_STEPS).clamp(1, widest);
    let mut steps = strides(rule, after, until, TimeDelta::seconds(stride));
    // With a longer stride the last stretch must not wait for the next one.
    let last = DateTime::from_timestamp(until.timestamp().div_euclid(frequency) * frequency, 0);
    if let Some(end) = last.filter(|end| stride > frequency && *end > after) {
        steps.push(Step::ending(rule, end));
        steps.dedup();
    }
    steps
}

/// The steps that end at the multiples of a stride in `(after, until]`.
fn strides(rule: &Rule, after: DateTime<Utc>, until: DateTime<Utc>, stride: TimeDelta) -> Vec<Step> {
    let stride = stride.num_seconds().max(1);
    let mut steps = Vec::new();
    let mut seconds = (after.timestamp().div_euclid(stride) + 1).saturating_mul(stride);
    while let Some(end) = DateTime::from_timestamp(seconds, 0).filter(|end| *end <= until) {
        steps.push(Step::ending(rule, end));
        seconds = seconds.saturating_add(stride);
    }
    steps
}

/// The span of a given length, counted from the epoch, in which an instant lies.
pub(super) fn span_of(instant: DateTime<Utc>, length: TimeDelta) -> (DateTime<Utc>, DateTime<Utc>) {
    let seconds = length.num_seconds().max(1);
    let start = instant.timestamp().div_euclid(seconds) * seconds;
    let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or(instant);
    (at(start), at(start + seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use provost_model::parse_time;

    fn rule(frequency: &str, period: &str, recent: &str) -> Rule {
        let file = format!(
            "{{id: r, name: r, severity: Low, query: T, queryFrequency: {frequency}, queryPeriod: {period}, \
             provost: {{recent: {recent}}}}}"
        );
        Rule::parse(&file).expect("a rule").rule
    }

    fn at(time: &str) -> DateTime<Utc> {
        parse_time(&format!("2026-01-{time}Z")).expect("a time")
    }

    fn ends(steps: &[Step]) -> Vec<String> {
        steps.iter().map(|step| step.end.format("%dT%H:%M").to_string()).collect()
    }

    #[test]
    fn a_rule_is_due_at_each_aligned_end_since_the_last_one() {
        let rule = rule("1h", "1d", "1h");
        assert_eq!(ends(&steps_due(&rule, None, at("02T10:20:00"))), ["02T10:20"]);
        let due = steps_due(&rule, Some(at("02T08:00:00")), at("02T10:20:00"));
        assert_eq!(ends(&due), ["02T09:00", "02T10:00"]);
        assert_eq!(due[0].from, at("01T09:00:00"));
        assert!(steps_due(&rule, Some(at("02T10:00:00")), at("02T10:20:00")).is_empty());
    }

    #[test]
    fn late_rows_touch_the_steps_in_whose_recent_stretch_they_fall() {
        let hourly = rule("1h", "1d", "2h");
        let range = (at("02T03:30:00"), at("02T04:10:00"));
        let touched = steps_touched(&hourly, range, at("02T20:00:00"));
        assert_eq!(ends(&touched), ["02T04:00", "02T05:00", "02T06:00"]);
        let touched = steps_touched(&hourly, range, at("02T04:30:00"));
        assert_eq!(ends(&touched), ["02T04:00", "02T04:30"]);
        assert!(steps_touched(&hourly, range, at("02T03:00:00")).is_empty());
    }

    #[test]
    fn a_long_stretch_is_walked_in_longer_strides_without_a_gap() {
        let rule = rule("5m", "1d", "6h");
        let steps = steps_touched(&rule, (at("01T00:00:00"), at("11T00:00:00")), at("20T00:00:00"));
        assert!(steps.len() < 60, "{}", steps.len());
        assert!(steps.windows(2).all(|pair| pair[1].end - pair[0].end <= rule.recent));
        assert!(steps.first().is_some_and(|step| step.end <= at("01T06:00:00")));
        assert!(steps.last().is_some_and(|step| step.end >= at("11T00:00:00")));
    }
}
