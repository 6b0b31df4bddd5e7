//! Datetimes and timespans: ticks of 100 ns, a datetime counting from the start of year 1.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc};

pub(crate) const TICKS_PER_MICROSECOND: i64 = 10;
pub(crate) const TICKS_PER_MILLISECOND: i64 = 10_000;
pub(crate) const TICKS_PER_SECOND: i64 = 10_000_000;
pub(crate) const TICKS_PER_MINUTE: i64 = 60 * TICKS_PER_SECOND;
pub(crate) const TICKS_PER_HOUR: i64 = 60 * TICKS_PER_MINUTE;
pub(crate) const TICKS_PER_DAY: i64 = 24 * TICKS_PER_HOUR;
/// The Unix epoch.
pub(crate) const EPOCH_TICKS: i64 = 621_355_968_000_000_000;
/// The last tick of year 9999.
pub(crate) const MAX_DATETIME: i64 = 3_155_378_975_999_999_999;

/// The ticks of a point in time, if a datetime can hold it.
pub(crate) fn ticks_from_datetime(at: DateTime<Utc>) -> Option<i64> {
    let seconds = at.timestamp().checked_mul(TICKS_PER_SECOND)?;
    let ticks =
        seconds.checked_add(i64::from(at.timestamp_subsec_nanos() / 100))?.checked_add(EPOCH_TICKS)?;
    valid_datetime(ticks)
}

/// The ticks, if they lie within years 1 to 9999.
pub(crate) fn valid_datetime(ticks: i64) -> Option<i64> {
    (0..=MAX_DATETIME).contains(&ticks).then_some(ticks)
}

/// The point in time of a datetime's ticks.
pub(crate) fn datetime_from_ticks(ticks: i64) -> Option<NaiveDateTime> {
    let unix = ticks.checked_sub(EPOCH_TICKS)?;
    let nanos = u32::try_from(unix.rem_euclid(TICKS_PER_SECOND) * 100).ok()?;
    Some(DateTime::from_timestamp(unix.div_euclid(TICKS_PER_SECOND), nanos)?.naive_utc())
}

/// The ticks of a calendar time.
pub(crate) fn ticks_from_naive(at: NaiveDateTime) -> Option<i64> {
    ticks_from_datetime(at.and_utc())
}

/// The ticks of a duration.
pub(crate) fn ticks_from_delta(delta: TimeDelta) -> Option<i64> {
    let seconds = delta.num_seconds().checked_mul(TICKS_PER_SECOND)?;
    seconds.checked_add(i64::from(delta.subsec_nanos()) / 100)
}

/// A whole number of ticks near a real one.
pub(crate) fn ticks_from_f64(ticks: f64) -> Option<i64> {
    // Every i64 above 2^53 is spaced wider than one, so the comparison may be done in doubles.
    (ticks.is_finite() && ticks.abs() < 9.2e18).then(|| ticks.round() as i64)
}

/// A datetime as Kusto prints it: ISO 8601 with seven digits, or none where they are all zero.
pub(crate) fn format_datetime(ticks: i64) -> String {
    let Some(at) = datetime_from_ticks(ticks) else { return String::new() };
    let fraction = ticks.rem_euclid(TICKS_PER_SECOND);
    let date = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    );
    if fraction == 0 { format!("{date}Z") } else { format!("{date}.{fraction:07}Z") }
}

/// A datetime as `tostring()` gives it: always seven digits.
pub(crate) fn datetime_string(ticks: i64) -> String {
    let Some(at) = datetime_from_ticks(ticks) else { return String::new() };
    let fraction = ticks.rem_euclid(TICKS_PER_SECOND);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{fraction:07}Z",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// A timespan as Kusto prints it: `[-][d.]hh:mm:ss[.fffffff]`.
pub(crate) fn format_timespan(ticks: i64) -> String {
    let sign = if ticks < 0 { "-" } else { "" };
    let ticks = ticks.unsigned_abs();
    let per = |unit: i64| unit.unsigned_abs();
    let days = ticks / per(TICKS_PER_DAY);
    let hours = ticks / per(TICKS_PER_HOUR) % 24;
    let minutes = ticks / per(TICKS_PER_MINUTE) % 60;
    let seconds = ticks / per(TICKS_PER_SECOND) % 60;
    let fraction = ticks % per(TICKS_PER_SECOND);
    let days = if days == 0 { String::new() } else { format!("{days}.") };
    let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:07}") };
    format!("{sign}{days}{hours:02}:{minutes:02}:{seconds:02}{fraction}")
}

/// Reads `[-][d.]hh:mm[:ss[.f…]]`, a bare number of days, or a number with a unit (`1.5h`).
pub(crate) fn parse_timespan(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let ticks = if text.contains(':') { parse_clock(text)? } else { parse_unit(text)? };
    Some(if negative { -ticks } else { ticks })
}

fn parse_clock(text: &str) -> Option<i64> {
    let mut parts: Vec<&str> = text.split(':').collect();
    let mut days = 0_i64;
    if parts.len() == 4 {
        days = parse_digits(parts.remove(0))?;
    } else if let Some((day, hour)) = parts[0].split_once('.') {
        days = parse_digits(day)?;
        parts[0] = hour;
    }
    if !(2..=3).contains(&parts.len()) {
        return None;
    }
    let hours = parse_digits(parts[0])?;
    let minutes = parse_digits(parts[1])?;
    let (seconds, fraction) = match parts.get(2) {
        None => (0, 0),
        Some(part) => match part.split_once('.') {
            None => (parse_digits(part)?, 0),
            Some((seconds, fraction)) => (parse_digits(seconds)?, parse_fraction(fraction)?),
        },
    };
    if hours > 23 && days > 0 || minutes > 59 || seconds > 59 {
        return None;
    }
    days.checked_mul(TICKS_PER_DAY)?
        .checked_add(hours.checked_mul(TICKS_PER_HOUR)?)?
        .checked_add(minutes * TICKS_PER_MINUTE)?
        .checked_add(seconds * TICKS_PER_SECOND)?
        .checked_add(fraction)
}

fn parse_digits(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Digits after the point of a second, as ticks; those past the seventh are dropped.
fn parse_fraction(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits: String = text.chars().chain("0000000".chars()).take(7).collect();
    digits.parse().ok()
}

fn parse_unit(text: &str) -> Option<i64> {
    let split = text.find(|c: char| c.is_ascii_alphabetic() && c != 'e' && c != 'E').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = match unit.trim() {
        "" | "d" | "day" | "days" => TICKS_PER_DAY,
        "h" | "hr" | "hrs" | "hour" | "hours" => TICKS_PER_HOUR,
        "m" | "min" | "minute" | "minutes" => TICKS_PER_MINUTE,
        "s" | "sec" | "second" | "seconds" => TICKS_PER_SECOND,
        "ms" | "millisecond" | "milliseconds" => TICKS_PER_MILLISECOND,
        "microsecond" | "microseconds" => TICKS_PER_MICROSECOND,
        "tick" | "ticks" => 1,
        _ => return None,
    };
    let number = number.trim();
    if let Ok(whole) = number.parse::<i64>() {
        return whole.checked_mul(unit);
    }
    if !number.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'e' || b == b'E') {
        return None;
    }
    ticks_from_f64(number.parse::<f64>().ok()? * unit as f64)
}

/// Reads a datetime in the forms Kusto takes: ISO 8601 with or without time and zone, RFC 822 and 850, and the
/// common spellings of en-US.
pub(crate) fn parse_datetime(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    parse_iso(text).or_else(|| parse_other(text))
}

fn parse_iso(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let year_length = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    if year_length != 4 {
        return None;
    }
    let year: i32 = text[..4].parse().ok()?;
    let rest = &text[4..];
    if rest.is_empty() {
        return date_ticks(NaiveDate::from_ymd_opt(year, 1, 1)?);
    }
    let separator = rest.chars().next().filter(|c| matches!(c, '-' | '/' | '.'))?;
    let (month, rest) = take_number(&rest[1..], 2)?;
    let (day, rest) = match rest.strip_prefix(separator) {
        Some(rest) => take_number(rest, 2)?,
        None => (1, rest),
    };
    let date = NaiveDate::from_ymd_opt(year, month, day)?;
    if rest.is_empty() {
        return date_ticks(date);
    }
    let rest = rest.strip_prefix(['T', 't', ' ']).map(str::trim_start);
    let (time, rest) = take_time(rest?)?;
    apply_zone(date_ticks(date)?.checked_add(time)?, rest.trim())
}

fn date_ticks(date: NaiveDate) -> Option<i64> {
    ticks_from_naive(date.and_time(NaiveTime::MIN))
}

fn take_number(text: &str, most: usize) -> Option<(u32, &str)> {
    let length = text.bytes().take(most).take_while(|b| b.is_ascii_digit()).count();
    let number = text[..length].parse().ok()?;
    Some((number, &text[length..]))
}

/// Reads `h[h][:mm[:ss[.f…]]] [AM|PM]`.
fn take_time(text: &str) -> Option<(i64, &str)> {
    let (mut hour, mut rest) = take_number(text, 2)?;
    let (mut minute, mut second, mut fraction) = (0, 0, 0);
    if let Some(after) = rest.strip_prefix(':') {
        (minute, rest) = take_number(after, 2)?;
        if let Some(after) = rest.strip_prefix(':') {
            (second, rest) = take_number(after, 2)?;
            if let Some(after) = rest.strip_prefix(['.', ',']) {
                let length = after.bytes().take_while(|b| b.is_ascii_digit()).count();
                fraction = parse_fraction(&after[..length])?;
                rest = &after[length..];
            }
        }
    }
    let trimmed = rest.trim_start();
    let half = trimmed.get(..2).map(str::to_ascii_lowercase);
    if let Some("am" | "pm") = half.as_deref() {
        if !(1..=12).contains(&hour) {
            return None;
        }
        hour = hour % 12 + if half.as_deref() == Some("pm") { 12 } else { 0 };
        rest = &trimmed[2..];
    }
    // 24:00 is the next midnight.
    if hour > 24 || minute > 59 || second > 59 || (hour == 24 && (minute > 0 || second > 0)) {
        return None;
    }
    let ticks = i64::from(hour) * TICKS_PER_HOUR
        + i64::from(minute) * TICKS_PER_MINUTE
        + i64::from(second) * TICKS_PER_SECOND
        + fraction;
    Some((ticks, rest))
}

fn apply_zone(ticks: i64, zone: &str) -> Option<i64> {
    let offset = match zone {
        "" | "Z" | "z" | "UTC" | "GMT" | "UT" => 0,
        _ => {
            let (sign, rest) = match zone.split_at_checked(1)? {
                ("+", rest) => (1, rest),
                ("-", rest) => (-1, rest),
                _ => return None,
            };
            let (hours, rest) = take_number(rest, 2)?;
            let rest = rest.strip_prefix(':').unwrap_or(rest);
            let (minutes, rest) = if rest.is_empty() { (0, rest) } else { take_number(rest, 2)? };
            if !rest.is_empty() || hours > 14 || minutes > 59 {
                return None;
            }
            sign * (i64::from(hours) * TICKS_PER_HOUR + i64::from(minutes) * TICKS_PER_MINUTE)
        }
    };
    valid_datetime(ticks.checked_sub(offset)?)
}

/// `Sat, 8 Nov 2014 15:05:02 GMT`, `Saturday, 08-Nov-14 15:05:02 UTC`, `8 Nov 2014`, `11/8/2014 3:05 PM`, `Nov 8, 2014`.
fn parse_other(text: &str) -> Option<i64> {
    let mut text = text;
    if let Some((day_name, rest)) = text.split_once(',')
        && day_name.len() >= 3
        && day_name.bytes().all(|b| b.is_ascii_alphabetic())
        && weekday(day_name)
    {
        text = rest.trim_start();
    }
    let (date, rest) = take_date(text)?;
    let rest = rest.trim_start_matches([' ', 'T', ',']);
    if rest.is_empty() {
        return date_ticks(date);
    }
    let (time, rest) = take_time(rest)?;
    apply_zone(date_ticks(date)?.checked_add(time)?, rest.trim())
}

fn weekday(text: &str) -> bool {
    text.get(..3).is_some_and(|day| {
        ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].iter().any(|known| day.eq_ignore_ascii_case(known))
    })
}

fn take_date(text: &str) -> Option<(NaiveDate, &str)> {
    if let Some((month, rest)) = take_month(text) {
        let (day, rest) = take_number(rest.trim_start(), 2)?;
        let (year, rest) = take_number(rest.trim_start_matches([',', ' ']), 4)?;
        return Some((NaiveDate::from_ymd_opt(full_year(year), month, day)?, rest));
    }
    let (first, rest) = take_number(text, 2)?;
    let separator = rest.chars().next().filter(|c| matches!(c, '/' | '-'));
    if let Some(separator) = separator
        && rest[1..].starts_with(|c: char| c.is_ascii_digit())
    {
        let (day, rest) = take_number(&rest[1..], 2)?;
        let (year, rest) = take_number(rest.strip_prefix(separator)?, 4)?;
        return Some((NaiveDate::from_ymd_opt(full_year(year), first, day)?, rest));
    }
    let (month, rest) = take_month(rest.trim_start_matches([' ', '-']))?;
    let (year, rest) = take_number(rest.trim_start_matches([' ', '-', ',']), 4)?;
    Some((NaiveDate::from_ymd_opt(full_year(year), month, first)?, rest))
}

fn take_month(text: &str) -> Option<(u32, &str)> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let length = text.bytes().take_while(|b| b.is_ascii_alphabetic()).count();
    let word = text[..length].to_ascii_lowercase();
    if word.len() < 3 {
        return None;
    }
    let month = MONTHS.iter().position(|month| month.starts_with(&word))?;
    Some((u32::try_from(month).ok()? + 1, &text[length..]))
}

fn full_year(year: u32) -> i32 {
    let year = i32::try_from(year).unwrap_or(0);
    match year {
        0..=49 => year + 2000,
        50..=99 => year + 1900,
        _ => year,
    }
}

/// Whether a text is a datetime as dynamics hold it.
pub(crate) fn is_iso(text: &str) -> bool {
    text.len() >= 19 && text.as_bytes().get(10) == Some(&b'T') && parse_iso(text).is_some()
}
