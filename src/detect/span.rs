//! Lengths of time as rule files write them: `1d`, `15m`, `PT5M`, `P1DT12H`.

use chrono::TimeDelta;

/// The longest span that a rule may name: anything longer is a slip.
const LONGEST_DAYS: i64 = 3650;

/// Reads a length of time.
pub(super) fn parse(text: &str) -> Result<TimeDelta, String> {
    let trimmed = text.trim();
    let seconds = match trimmed.strip_prefix(['P', 'p']) {
        Some(rest) => iso(rest),
        None => short(trimmed),
    };
    seconds
        .filter(|seconds| (1..=LONGEST_DAYS * 86_400).contains(seconds))
        .map(TimeDelta::seconds)
        .ok_or_else(|| format!("'{trimmed}' is no length of time; write 15m, 1h, 14d or PT5M"))
}

/// Writes a length of time as a KQL literal.
pub(super) fn kql(length: TimeDelta) -> String {
    let seconds = length.num_seconds();
    match seconds {
        s if s % 86_400 == 0 => format!("{}d", s / 86_400),
        s if s % 3600 == 0 => format!("{}h", s / 3600),
        s if s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

fn short(text: &str) -> Option<i64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(unit_at);
    digits.parse::<i64>().ok()?.checked_mul(unit_seconds(unit)?)
}

fn unit_seconds(unit: &str) -> Option<i64> {
    Some(match unit.trim().to_lowercase().as_str() {
        "s" | "sec" | "second" | "seconds" => 1,
        "m" | "min" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3600,
        "d" | "day" | "days" => 86_400,
        "w" | "week" | "weeks" => 604_800,
        _ => return None,
    })
}

/// What stands behind the `P` of an ISO 8601 duration: days and weeks, then `T` and hours, minutes, seconds.
fn iso(text: &str) -> Option<i64> {
    let lower = text.to_lowercase();
    let (days, time) = lower.split_once('t').unwrap_or((&lower, ""));
    let mut total = 0_i64;
    for (part, units) in [(days, "wd"), (time, "hms")] {
        let mut rest = part;
        while let Some(at) = rest.find(|c: char| !c.is_ascii_digit()) {
            let (digits, tail) = rest.split_at(at);
            let unit = tail.chars().next().filter(|unit| units.contains(*unit))?;
            let seconds = digits.parse::<i64>().ok()?.checked_mul(unit_seconds(&unit.to_string())?)?;
            total = total.checked_add(seconds)?;
            rest = &tail[unit.len_utf8()..];
        }
        if !rest.is_empty() {
            return None;
        }
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_styles_are_read_and_nonsense_is_not() {
        for (text, seconds) in [
            ("1d", 86_400),
            ("5m", 300),
            ("6h ", 21_600),
            ("PT5M", 300),
            ("P1D", 86_400),
            ("P1DT12H", 129_600),
            ("pt1h30m", 5_400),
            ("P2W", 1_209_600),
        ] {
            assert_eq!(parse(text), Ok(TimeDelta::seconds(seconds)), "{text}");
        }
        for text in ["", "d", "1", "P", "PT", "PT5X", "1y", "-1d", "99999999999999999999d", "0m", "9d9", "é"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(kql(TimeDelta::hours(36)), "36h");
    }
}
