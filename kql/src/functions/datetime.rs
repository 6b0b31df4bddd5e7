//! Date and time.

use chrono::{Datelike, Days, Months, NaiveDate, NaiveDateTime, Timelike};

use super::{Function, Kernel, Row, Typed, build, eval};
use crate::binder::{cast, common};
use crate::time::{
    self, TICKS_PER_DAY, TICKS_PER_HOUR, TICKS_PER_MICROSECOND, TICKS_PER_MILLISECOND, TICKS_PER_MINUTE,
    TICKS_PER_SECOND, datetime_from_ticks, ticks_from_naive, valid_datetime,
};
use crate::types::KqlType;
use crate::value::Value;

/// A part of time, by any of its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Year,
    Quarter,
    Month,
    Week,
    /// A fixed number of ticks.
    Ticks(i64),
}

fn part(name: &str) -> Option<Part> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return part(&name.to_ascii_lowercase());
    }
    Some(match name {
        "year" | "years" => Part::Year,
        "quarter" | "quarters" => Part::Quarter,
        "month" | "months" => Part::Month,
        "week" | "weeks" | "week_of_year" | "weekofyear" => Part::Week,
        "day" | "days" => Part::Ticks(TICKS_PER_DAY),
        "hour" | "hours" => Part::Ticks(TICKS_PER_HOUR),
        "minute" | "minutes" => Part::Ticks(TICKS_PER_MINUTE),
        "second" | "seconds" => Part::Ticks(TICKS_PER_SECOND),
        "millisecond" | "milliseconds" => Part::Ticks(TICKS_PER_MILLISECOND),
        "microsecond" | "microseconds" => Part::Ticks(TICKS_PER_MICROSECOND),
        "nanosecond" | "nanoseconds" => Part::Ticks(0),
        _ => return None,
    })
}

fn add_months(at: NaiveDateTime, months: i64) -> Option<NaiveDateTime> {
    let count = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    if months < 0 { at.checked_sub_months(count) } else { at.checked_add_months(count) }
}

fn datetime_add(row: &Row<'_>) -> Value<'static> {
    let (Some(part), Some(amount), Some(ticks)) = (part(row.text(0)), row.long(1), row.long(2)) else {
        return Value::Null;
    };
    let moved = match part {
        Part::Ticks(0) => ticks.checked_add(amount / 100),
        Part::Ticks(unit) => amount.checked_mul(unit).and_then(|span| ticks.checked_add(span)),
        Part::Week => amount.checked_mul(7 * TICKS_PER_DAY).and_then(|span| ticks.checked_add(span)),
        Part::Month | Part::Quarter | Part::Year => {
            let months = match part {
                Part::Month => Some(amount),
                Part::Quarter => amount.checked_mul(3),
                _ => amount.checked_mul(12),
            };
            let below_second = ticks.rem_euclid(TICKS_PER_SECOND);
            datetime_from_ticks(ticks - below_second)
                .zip(months)
                .and_then(|(at, months)| add_months(at, months))
                .and_then(ticks_from_naive)
                .map(|moved| moved + below_second)
        }
    };
    moved.and_then(valid_datetime).into()
}

fn datetime_diff(row: &Row<'_>) -> Value<'static> {
    let (Some(part), Some(later), Some(earlier)) = (part(row.text(0)), row.long(1), row.long(2)) else {
        return Value::Null;
    };
    let whole = |unit: i64, ticks: i64| ticks.div_euclid(unit);
    let difference = match part {
        Part::Ticks(0) => later.checked_sub(earlier).and_then(|ticks| ticks.checked_mul(100)),
        // How many borders of the unit lie between the two.
        Part::Ticks(unit) => Some(whole(unit, later) - whole(unit, earlier)),
        Part::Week => {
            // Weeks begin on Sunday; tick 0 is a Monday.
            let week = |ticks: i64| whole(7 * TICKS_PER_DAY, ticks + TICKS_PER_DAY);
            Some(week(later) - week(earlier))
        }
        Part::Year | Part::Quarter | Part::Month => {
            let months = |ticks: i64| {
                let at = datetime_from_ticks(ticks)?;
                Some(i64::from(at.year()) * 12 + i64::from(at.month0()))
            };
            let size = match part {
                Part::Year => 12,
                Part::Quarter => 3,
                _ => 1,
            };
            months(later)
                .zip(months(earlier))
                .map(|(later, earlier)| later.div_euclid(size) - earlier.div_euclid(size))
        }
    };
    difference.into()
}

fn datetime_part(row: &Row<'_>) -> Value<'static> {
    let Some(ticks) = row.long(1) else { return Value::Null };
    part_of(row.text(0), ticks).into()
}

fn part_of(name: &str, ticks: i64) -> Option<i64> {
    let at = datetime_from_ticks(ticks)?;
    let fraction = ticks.rem_euclid(TICKS_PER_SECOND);
    Some(match name.to_ascii_lowercase().as_str() {
        "year" => i64::from(at.year()),
        "quarter" => i64::from(at.month0() / 3 + 1),
        "month" => i64::from(at.month()),
        "week_of_year" | "weekofyear" | "week" => i64::from(at.iso_week().week()),
        "day" => i64::from(at.day()),
        "dayofyear" | "day_of_year" => i64::from(at.ordinal()),
        "hour" => i64::from(at.hour()),
        "minute" => i64::from(at.minute()),
        "second" => i64::from(at.second()),
        "millisecond" => fraction / TICKS_PER_MILLISECOND,
        "microsecond" => fraction / TICKS_PER_MICROSECOND,
        "nanosecond" => fraction * 100,
        _ => return None,
    })
}

/// The start of the calendar unit that a time falls in, moved by so many of them.
fn start_of(row: &Row<'_>, unit: Part, extra: i64) -> Option<i64> {
    let date = datetime_from_ticks(row.long(0)?)?.date();
    let offset = row.long(1).unwrap_or(0).checked_add(extra)?;
    let start = match unit {
        Part::Year => {
            add_months(NaiveDate::from_ymd_opt(date.year(), 1, 1)?.into(), offset.checked_mul(12)?)?
        }
        Part::Month => add_months(date.with_day(1)?.into(), offset)?,
        Part::Week => {
            let sunday =
                date.checked_sub_days(Days::new(u64::from(date.weekday().num_days_from_sunday())))?;
            let span = offset.checked_mul(7 * TICKS_PER_DAY)?;
            return valid_datetime(ticks_from_naive(sunday.into())?.checked_add(span)?);
        }
        _ => {
            let span = offset.checked_mul(TICKS_PER_DAY)?;
            return valid_datetime(ticks_from_naive(date.into())?.checked_add(span)?);
        }
    };
    ticks_from_naive(start)
}

/// The last tick of the calendar unit.
fn end_of(row: &Row<'_>, unit: Part) -> Option<i64> {
    start_of(row, unit, 1)?.checked_sub(1)
}

/// A time written as a format asks.
fn format_datetime(ticks: i64, format: &str) -> Option<String> {
    let at = datetime_from_ticks(ticks)?;
    let fraction = ticks.rem_euclid(TICKS_PER_SECOND);
    let mut out = String::new();
    for (c, run) in runs(format) {
        match (c, run) {
            ('y', 1 | 2) => out.push_str(&format!("{:02}", at.year() % 100)),
            ('y', width) => out.push_str(&format!("{:0width$}", at.year())),
            ('M', 1) => out.push_str(&at.month().to_string()),
            ('M', 2) => out.push_str(&format!("{:02}", at.month())),
            ('M', 3) => out.push_str(&at.format("%b").to_string()),
            ('M', _) => out.push_str(&at.format("%B").to_string()),
            ('d', 1) => out.push_str(&at.day().to_string()),
            ('d', 2) => out.push_str(&format!("{:02}", at.day())),
            ('d', 3) => out.push_str(&at.format("%a").to_string()),
            ('d', _) => out.push_str(&at.format("%A").to_string()),
            ('H', 1) => out.push_str(&at.hour().to_string()),
            ('H', _) => out.push_str(&format!("{:02}", at.hour())),
            ('h', 1) => out.push_str(&at.hour12().1.to_string()),
            ('h', _) => out.push_str(&format!("{:02}", at.hour12().1)),
            ('m', 1) => out.push_str(&at.minute().to_string()),
            ('m', _) => out.push_str(&format!("{:02}", at.minute())),
            ('s', 1) => out.push_str(&at.second().to_string()),
            ('s', _) => out.push_str(&format!("{:02}", at.second())),
            ('f', width) => out.push_str(&format!("{fraction:07}")[..width.min(7)]),
            ('F', width) => out.push_str(format!("{fraction:07}")[..width.min(7)].trim_end_matches('0')),
            ('t', _) => out.push_str(if at.hour() < 12 { "AM" } else { "PM" }),
            (c, run) => out.extend(std::iter::repeat_n(c, run)),
        }
    }
    Some(out)
}

/// A span written as a format asks.
fn format_timespan(ticks: i64, format: &str) -> String {
    let sign = if ticks < 0 { "-" } else { "" };
    let ticks = ticks.unsigned_abs();
    let unit = |size: i64| ticks / size.unsigned_abs();
    let fraction = ticks % TICKS_PER_SECOND.unsigned_abs();
    let mut out = sign.to_owned();
    for (c, run) in runs(format) {
        match (c, run) {
            ('d', width) => out.push_str(&format!("{:0width$}", unit(TICKS_PER_DAY))),
            ('H' | 'h', width) => out.push_str(&format!("{:0width$}", unit(TICKS_PER_HOUR) % 24)),
            ('m', width) => out.push_str(&format!("{:0width$}", unit(TICKS_PER_MINUTE) % 60)),
            ('s', width) => out.push_str(&format!("{:0width$}", unit(TICKS_PER_SECOND) % 60)),
            ('f', width) => out.push_str(&format!("{fraction:07}")[..width.min(7)]),
            ('F', width) => out.push_str(format!("{fraction:07}")[..width.min(7)].trim_end_matches('0')),
            (c, run) => out.extend(std::iter::repeat_n(c, run)),
        }
    }
    out
}

/// A format's characters, each with how often it stands in a row.
fn runs(format: &str) -> Vec<(char, usize)> {
    let mut runs: Vec<(char, usize)> = Vec::new();
    for c in format.chars() {
        match runs.last_mut() {
            Some((last, count)) if *last == c => *count += 1,
            _ => runs.push((c, 1)),
        }
    }
    runs
}

fn make_datetime(row: &Row<'_>) -> Option<i64> {
    if row.len() == 1 {
        return match row.kind(0) {
            KqlType::String => time::parse_datetime(row.text(0)),
            _ => valid_datetime(row.long(0)?),
        };
    }
    let number = |index: usize, default: i64| {
        if index < row.len() { row.real(index).map(|number| number as i64) } else { Some(default) }
    };
    let date = NaiveDate::from_ymd_opt(
        i32::try_from(number(0, 1)?).ok()?,
        u32::try_from(number(1, 1)?).ok()?,
        u32::try_from(number(2, 1)?).ok()?,
    )?;
    let (hour, minute) = (number(3, 0)?, number(4, 0)?);
    let second = if row.len() > 5 { row.real(5)? } else { 0.0 };
    if !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0.0..60.0).contains(&second) {
        return None;
    }
    let within = hour * TICKS_PER_HOUR
        + minute * TICKS_PER_MINUTE
        + time::ticks_from_f64(second * TICKS_PER_SECOND as f64)?;
    ticks_from_naive(date.into())?.checked_add(within)
}

fn make_timespan(row: &Row<'_>) -> Option<i64> {
    let number = |index: usize| row.real(index).unwrap_or(0.0);
    let (days, hours, minutes, seconds) = match row.len() {
        1 => return time::parse_timespan(row.text(0)),
        2 => (0.0, number(0), number(1), 0.0),
        3 => (0.0, number(0), number(1), number(2)),
        _ => (number(0), number(1), number(2), number(3)),
    };
    if !(0.0..24.0).contains(&hours) || !(0.0..60.0).contains(&minutes) || !(0.0..60.0).contains(&seconds) {
        return None;
    }
    time::ticks_from_f64(
        days * TICKS_PER_DAY as f64
            + hours * TICKS_PER_HOUR as f64
            + minutes * TICKS_PER_MINUTE as f64
            + seconds * TICKS_PER_SECOND as f64,
    )
}

fn from_unix(row: &Row<'_>, per_unit: f64) -> Option<i64> {
    let ticks = match row.get(0) {
        Value::Long(number) if per_unit >= 1.0 => number.checked_mul(per_unit as i64)?,
        Value::Long(number) => number.checked_div((1.0 / per_unit) as i64)?,
        value => time::ticks_from_f64(value.as_real()? * per_unit)?,
    };
    valid_datetime(ticks.checked_add(time::EPOCH_TICKS)?)
}

/// The greatest multiple of a size that is not above a value, counted from a fixed point.
/// A value and the size of its bins, brought to one type of numbers; times are measured by timespans.
fn measured(mut args: Vec<Typed>) -> Result<(Vec<Typed>, KqlType), String> {
    let [value, size, ..] = args.as_slice() else { return Err("a value and a size are needed".to_owned()) };
    let (value, size) = (value.kind, size.kind);
    if matches!(value, KqlType::Datetime | KqlType::Timespan) && size == KqlType::Timespan {
        return Ok((args, value));
    }
    let kind = match common(value, size) {
        Some(KqlType::Int) => KqlType::Long,
        Some(kind) if kind.is_numeric() => kind,
        _ => return Err(format!("a {value} cannot be measured by a {size}")),
    };
    args = args.into_iter().map(|arg| cast(arg, kind)).collect();
    Ok((args, kind))
}

fn bin(value: &Value<'_>, size: &Value<'_>, from: &Value<'_>) -> Value<'static> {
    match (value, size, from) {
        (Value::Real(_), _, _)
        | (_, Value::Real(_), _)
        | (_, _, Value::Real(_))
        | (Value::Decimal(_), _, _) => {
            let (Some(value), Some(size)) = (value.as_real(), size.as_real()) else { return Value::Null };
            let from = from.as_real().unwrap_or(0.0);
            if size <= 0.0 {
                return Value::Null;
            }
            Value::Real(((value - from) / size).floor() * size + from)
        }
        _ => {
            let (Some(value), Some(size)) = (value.as_long(), size.as_long()) else { return Value::Null };
            let from = from.as_long().unwrap_or(0);
            if size <= 0 {
                return Value::Null;
            }
            value
                .checked_sub(from)
                .map(|distance| distance.rem_euclid(size))
                .and_then(|rest| value.checked_sub(rest))
                .into()
        }
    }
}

fn zone_shift(row: &Row<'_>, to_utc: bool) -> Option<i64> {
    crate::zone::shift(row.long(0)?, row.text(1), to_utc)
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        build(
            "bin",
            "(value: measure, size: measure) -> any",
            "The value rounded down to a multiple of the size.",
            ("bin(17, 5)", "15"),
            |args| {
                let (args, kind) = measured(args)?;
                Ok(Kernel::call("bin", args, kind, |row| bin(&row.get(0), &row.get(1), &Value::Null)))
            },
        )
        .also(&["floor"]),
        build(
            "bin_at",
            "(value: measure, size: measure, fixed: measure) -> any",
            "The value rounded down, so that the fixed point is a border.",
            ("bin_at(6.5, 2.5, 7)", "4.5"),
            |args| {
                let (args, kind) = measured(args)?;
                Ok(Kernel::call("bin_at", args, kind, |row| bin(&row.get(0), &row.get(1), &row.get(2))))
            },
        ),
        eval(
            "datetime_add",
            "(part: string, amount: long, time: datetime) -> datetime",
            "The time so many parts later.",
            ("datetime_add('month', 1, datetime(2026-01-31))", "2026-02-28T00:00:00Z"),
            datetime_add,
        ),
        eval(
            "datetime_diff",
            "(part: string, later: datetime, earlier: datetime) -> long",
            "How many borders of a part lie between two times.",
            ("datetime_diff('hour', datetime(2026-01-01 03:10), datetime(2026-01-01 01:50))", "2"),
            datetime_diff,
        ),
        eval(
            "datetime_part",
            "(part: string, time: datetime) -> int",
            "A part of a time as a number.",
            ("datetime_part('month', datetime(2026-03-01))", "3"),
            datetime_part,
        )
        .also(&["date_part", "datepart"]),
        eval(
            "datetime_list_timezones",
            "() -> dynamic",
            "The names of the time zones.",
            ("array_index_of(datetime_list_timezones(), 'Europe/Paris') >= 0", "true"),
            |_| Value::json(&chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).collect()),
        ),
        eval(
            "format_datetime",
            "(time: datetime, format: string) -> string",
            "The time as the format says: `yyyy`, `MM`, `dd`, `HH`, `mm`, `ss`, `f…`.",
            ("format_datetime(datetime(2026-01-02 03:04:05), 'yy-MM-dd HH:mm')", "26-01-02 03:04"),
            |row| row.long(0).and_then(|ticks| format_datetime(ticks, row.text(1))).into(),
        ),
        eval(
            "format_timespan",
            "(span: timespan, format: string) -> string",
            "The span as the format says: `d`, `HH`, `mm`, `ss`, `f…`.",
            ("format_timespan(1h + 5m, 'hh:mm')", "01:05"),
            |row| row.long(0).map(|ticks| format_timespan(ticks, row.text(1))).into(),
        ),
        eval(
            "startofday",
            "(time: datetime, [offset: long]) -> datetime",
            "The first moment of the day.",
            ("startofday(datetime(2026-01-02 03:04))", "2026-01-02T00:00:00Z"),
            |row| start_of(row, Part::Ticks(TICKS_PER_DAY), 0).into(),
        ),
        eval(
            "startofweek",
            "(time: datetime, [offset: long]) -> datetime",
            "The first moment of the week, which begins on Sunday.",
            ("startofweek(datetime(2026-01-02))", "2025-12-28T00:00:00Z"),
            |row| start_of(row, Part::Week, 0).into(),
        ),
        eval(
            "startofmonth",
            "(time: datetime, [offset: long]) -> datetime",
            "The first moment of the month.",
            ("startofmonth(datetime(2026-01-22), 1)", "2026-02-01T00:00:00Z"),
            |row| start_of(row, Part::Month, 0).into(),
        ),
        eval(
            "startofyear",
            "(time: datetime, [offset: long]) -> datetime",
            "The first moment of the year.",
            ("startofyear(datetime(2026-05-02))", "2026-01-01T00:00:00Z"),
            |row| start_of(row, Part::Year, 0).into(),
        ),
        eval(
            "endofday",
            "(time: datetime, [offset: long]) -> datetime",
            "The last tick of the day.",
            ("endofday(datetime(2026-01-02))", "2026-01-02T23:59:59.9999999Z"),
            |row| end_of(row, Part::Ticks(TICKS_PER_DAY)).into(),
        ),
        eval(
            "endofweek",
            "(time: datetime, [offset: long]) -> datetime",
            "The last tick of the week.",
            ("endofweek(datetime(2026-01-02))", "2026-01-03T23:59:59.9999999Z"),
            |row| end_of(row, Part::Week).into(),
        ),
        eval(
            "endofmonth",
            "(time: datetime, [offset: long]) -> datetime",
            "The last tick of the month.",
            ("endofmonth(datetime(2026-02-02))", "2026-02-28T23:59:59.9999999Z"),
            |row| end_of(row, Part::Month).into(),
        ),
        eval(
            "endofyear",
            "(time: datetime, [offset: long]) -> datetime",
            "The last tick of the year.",
            ("endofyear(datetime(2026-01-02))", "2026-12-31T23:59:59.9999999Z"),
            |row| end_of(row, Part::Year).into(),
        ),
        eval(
            "getyear",
            "(time: datetime) -> int",
            "The year.",
            ("getyear(datetime(2026-01-02))", "2026"),
            |row| row.long(0).and_then(|ticks| part_of("year", ticks)).into(),
        ),
        eval(
            "getmonth",
            "(time: datetime) -> int",
            "The month.",
            ("getmonth(datetime(2026-01-02))", "1"),
            |row| row.long(0).and_then(|ticks| part_of("month", ticks)).into(),
        ),
        eval(
            "monthofyear",
            "(time: datetime) -> int",
            "The month.",
            ("monthofyear(datetime(2026-01-02))", "1"),
            |row| row.long(0).and_then(|ticks| part_of("month", ticks)).into(),
        ),
        eval(
            "dayofmonth",
            "(time: datetime) -> int",
            "The day within the month.",
            ("dayofmonth(datetime(2026-01-02))", "2"),
            |row| row.long(0).and_then(|ticks| part_of("day", ticks)).into(),
        ),
        eval(
            "dayofyear",
            "(time: datetime) -> int",
            "The day within the year.",
            ("dayofyear(datetime(2026-02-01))", "32"),
            |row| row.long(0).and_then(|ticks| part_of("dayofyear", ticks)).into(),
        ),
        eval(
            "dayofweek",
            "(time: datetime) -> timespan",
            "The days since Sunday.",
            ("dayofweek(datetime(2026-01-02))", "5.00:00:00"),
            |row| {
                let day = row
                    .long(0)
                    .and_then(datetime_from_ticks)
                    .map(|at| i64::from(at.weekday().num_days_from_sunday()));
                day.map(|day| day * TICKS_PER_DAY).into()
            },
        ),
        eval(
            "hourofday",
            "(time: datetime) -> int",
            "The hour.",
            ("hourofday(datetime(2026-01-02 03:04))", "3"),
            |row| row.long(0).and_then(|ticks| part_of("hour", ticks)).into(),
        ),
        eval(
            "week_of_year",
            "(time: datetime) -> int",
            "The week by ISO 8601.",
            ("week_of_year(datetime(2026-01-02))", "1"),
            |row| row.long(0).and_then(|ticks| part_of("week", ticks)).into(),
        )
        .also(&["weekofyear"]),
        eval(
            "make_datetime",
            "(year: any, month: any, day: any, [hour: any], [minute: any], [second: any]) -> datetime",
            "A time from its parts.",
            ("make_datetime(2026, 1, 2, 3, 4, 5)", "2026-01-02T03:04:05Z"),
            |row| make_datetime(row).into(),
        ),
        eval(
            "make_timespan",
            "(days_or_hours: any, hours_or_minutes: any, [minutes_or_seconds: any], [seconds: any]) -> timespan",
            "A span from its parts.",
            ("make_timespan(1, 2, 3, 4)", "1.02:03:04"),
            |row| make_timespan(row).into(),
        ),
        eval(
            "unixtime_seconds_todatetime",
            "(seconds: number) -> datetime",
            "A time from Unix seconds.",
            ("unixtime_seconds_todatetime(1767322845)", "2026-01-02T03:00:45Z"),
            |row| from_unix(row, 1e7).into(),
        ),
        eval(
            "unixtime_milliseconds_todatetime",
            "(milliseconds: number) -> datetime",
            "A time from Unix milliseconds.",
            ("unixtime_milliseconds_todatetime(1767322845001)", "2026-01-02T03:00:45.0010000Z"),
            |row| from_unix(row, 1e4).into(),
        ),
        eval(
            "unixtime_microseconds_todatetime",
            "(microseconds: number) -> datetime",
            "A time from Unix microseconds.",
            ("unixtime_microseconds_todatetime(1767322845000001)", "2026-01-02T03:00:45.0000010Z"),
            |row| from_unix(row, 10.0).into(),
        ),
        eval(
            "unixtime_nanoseconds_todatetime",
            "(nanoseconds: number) -> datetime",
            "A time from Unix nanoseconds.",
            ("unixtime_nanoseconds_todatetime(1767322845000000100)", "2026-01-02T03:00:45.0000001Z"),
            |row| from_unix(row, 0.01).into(),
        ),
        eval(
            "datetime_utc_to_local",
            "(time: datetime, zone: string) -> datetime",
            "A time of UTC in a zone.",
            ("datetime_utc_to_local(datetime(2026-01-02), 'Europe/Berlin')", "2026-01-02T01:00:00Z"),
            |row| zone_shift(row, false).into(),
        ),
        eval(
            "datetime_local_to_utc",
            "(time: datetime, zone: string) -> datetime",
            "A time of a zone in UTC.",
            ("datetime_local_to_utc(datetime(2026-01-02), 'Europe/Berlin')", "2026-01-01T23:00:00Z"),
            |row| zone_shift(row, true).into(),
        ),
    ]
}
