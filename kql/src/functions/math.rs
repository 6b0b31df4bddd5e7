//! Mathematics.

use super::convert::truncate;
use super::{Function, Kernel, Row, build, eval};
use crate::binder::cast;
use crate::types::KqlType;
use crate::value::Value;

fn real(row: &Row<'_>, work: impl Fn(f64) -> f64) -> Value<'static> {
    row.real(0).map(work).into()
}

fn longs(row: &Row<'_>, work: impl Fn(i64, i64) -> i64) -> Value<'static> {
    row.long(0).zip(row.long(1)).map(|(left, right)| work(left, right)).into()
}

/// A shift, which past the width of a long leaves nothing.
fn shift(row: &Row<'_>, left: bool) -> Value<'static> {
    let (Some(value), Some(by)) = (row.long(0), row.long(1)) else { return Value::Null };
    if by < 0 {
        return Value::Null;
    }
    let by = u32::try_from(by % 64).unwrap_or(0);
    Value::Long(if left { value.wrapping_shl(by) } else { value.wrapping_shr(by) })
}

fn around(row: &Row<'_>) -> Value<'static> {
    if let (Some(value), Some(center), Some(distance)) = (row.long(0), row.long(1), row.long(2)) {
        let (low, high) = (center.saturating_sub(distance), center.saturating_add(distance));
        return (low..=high).contains(&value).into();
    }
    match (row.real(0), row.real(1), row.real(2)) {
        (Some(value), Some(center), Some(distance)) => {
            (center - distance..=center + distance).contains(&value).into()
        }
        _ => Value::Null,
    }
}

fn round(row: &Row<'_>) -> Value<'static> {
    let Some(value) = row.real(0) else { return Value::Null };
    let digits = i32::try_from(row.long(1).unwrap_or(0).clamp(-300, 300)).unwrap_or(0);
    if matches!(row.kind(0), KqlType::Int | KqlType::Long) && digits >= 0 {
        return row.get(0).into_owned();
    }
    let unit = 10_f64.powi(digits.abs());
    let rounded = if digits >= 0 { (value * unit).round() / unit } else { (value / unit).round() * unit };
    // So many digits the value has not.
    let rounded = if rounded.is_finite() || digits < 0 { rounded } else { value };
    match row.kind(0) {
        KqlType::Int | KqlType::Long => truncate(rounded).into(),
        KqlType::Decimal => {
            crate::value::parse_decimal(&format!("{rounded}")).map_or(Value::Null, Value::Decimal)
        }
        _ => Value::Real(rounded),
    }
}

fn format_bytes(row: &Row<'_>) -> Value<'static> {
    const UNITS: [&str; 7] = ["Bytes", "KB", "MB", "GB", "TB", "PB", "EB"];
    let Some(size) = row.real(0) else { return Value::Null };
    let digits = usize::try_from(row.long(1).unwrap_or(0)).unwrap_or(0).min(15);
    let wanted = UNITS.iter().position(|unit| *unit == row.text(2));
    let index = wanted.unwrap_or_else(|| {
        let mut index = 0;
        let mut rest = size.abs();
        while rest >= 1024.0 && index + 1 < UNITS.len() {
            rest /= 1024.0;
            index += 1;
        }
        index
    });
    let scaled = size / 1024_f64.powi(i32::try_from(index).unwrap_or(0));
    let unit = 10_f64.powi(i32::try_from(digits).unwrap_or(0));
    let rounded = (scaled * unit).round() / unit;
    Value::from(format!("{rounded} {}", UNITS[index]))
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        build("abs", "(value: measure) -> any", "The value without its sign.", ("abs(-3)", "3"), |args| {
            let Some(value) = args.into_iter().next() else { return Err("a value is missing".to_owned()) };
            let value = if value.kind == KqlType::Int { cast(value, KqlType::Long) } else { value };
            let kind = value.kind;
            Ok(Kernel::call("abs", vec![value], kind, |row| match row.get(0) {
                Value::Long(value) => value.checked_abs().into(),
                Value::Real(value) => Value::Real(value.abs()),
                Value::Decimal(value) => value.checked_abs().map_or(Value::Null, Value::Decimal),
                _ => Value::Null,
            }))
        }),
        eval("sign", "(value: number) -> real", "-1, 0 or 1.", ("sign(-3)", "-1"), |row| match row.real(0) {
            None => Value::Null,
            Some(value) => Value::Real(if value == 0.0 { 0.0 } else { value.signum() }),
        }),
        eval(
            "ceiling",
            "(value: number) -> any",
            "The least whole number that is not below the value.",
            ("ceiling(1.2)", "2"),
            |row| match row.get(0) {
                Value::Real(value) => Value::Real(value.ceil()),
                Value::Decimal(value) => {
                    crate::value::parse_decimal(&format!("{}", crate::value::decimal_to_real(value).ceil()))
                        .map_or(Value::Null, Value::Decimal)
                }
                value => value.into_owned(),
            },
        ),
        eval(
            "round",
            "(value: number, [digits: long]) -> any",
            "The value rounded to so many digits.",
            ("round(2.345, 2)", "2.35"),
            round,
        ),
        eval(
            "around",
            "(value: measure, center: measure, distance: measure) -> bool",
            "Whether the value is no further from the center than the distance.",
            ("around(datetime(2026-01-01 01:29), datetime(2026-01-01 01:30), 1m)", "true"),
            around,
        ),
        eval("sqrt", "(value: real) -> real", "The square root.", ("sqrt(9)", "3"), |row| {
            row.real(0).filter(|value| *value >= 0.0).map(f64::sqrt).into()
        }),
        eval(
            "pow",
            "(base: real, exponent: real) -> real",
            "The base to the power of the exponent.",
            ("pow(2, 10)", "1024"),
            |row| row.real(0).zip(row.real(1)).map(|(base, exponent)| base.powf(exponent)).into(),
        ),
        eval("exp", "(value: real) -> real", "e to the power of the value.", ("exp(0)", "1"), |row| {
            real(row, f64::exp)
        }),
        eval("exp2", "(value: real) -> real", "2 to the power of the value.", ("exp2(3)", "8"), |row| {
            real(row, f64::exp2)
        }),
        eval(
            "exp10",
            "(value: real) -> real",
            "10 to the power of the value.",
            ("exp10(3)", "1000"),
            |row| real(row, |value| 10_f64.powf(value)),
        ),
        eval("log", "(value: real) -> real", "The natural logarithm.", ("log(1)", "0"), |row| {
            row.real(0).filter(|value| *value > 0.0).map(f64::ln).into()
        }),
        eval("log2", "(value: real) -> real", "The logarithm to base 2.", ("log2(8)", "3"), |row| {
            row.real(0).filter(|value| *value > 0.0).map(f64::log2).into()
        }),
        eval("log10", "(value: real) -> real", "The logarithm to base 10.", ("log10(1000)", "3"), |row| {
            row.real(0).filter(|value| *value > 0.0).map(f64::log10).into()
        }),
        eval("sin", "(angle: real) -> real", "The sine.", ("sin(0)", "0"), |row| real(row, f64::sin)),
        eval("cos", "(angle: real) -> real", "The cosine.", ("cos(0)", "1"), |row| real(row, f64::cos)),
        eval("tan", "(angle: real) -> real", "The tangent.", ("tan(0)", "0"), |row| real(row, f64::tan)),
        eval("cot", "(angle: real) -> real", "The cotangent.", ("round(cot(1), 4)", "0.6421"), |row| {
            real(row, |value| 1.0 / value.tan())
        }),
        eval("asin", "(value: real) -> real", "The angle whose sine this is.", ("asin(0)", "0"), |row| {
            row.real(0).filter(|value| value.abs() <= 1.0).map(f64::asin).into()
        }),
        eval("acos", "(value: real) -> real", "The angle whose cosine this is.", ("acos(1)", "0"), |row| {
            row.real(0).filter(|value| value.abs() <= 1.0).map(f64::acos).into()
        }),
        eval("atan", "(value: real) -> real", "The angle whose tangent this is.", ("atan(0)", "0"), |row| {
            real(row, f64::atan)
        }),
        eval("atan2", "(y: real, x: real) -> real", "The angle of a point.", ("atan2(0, 1)", "0"), |row| {
            row.real(0).zip(row.real(1)).map(|(y, x)| y.atan2(x)).into()
        }),
        eval("degrees", "(radians: real) -> real", "Radians as degrees.", ("degrees(0)", "0"), |row| {
            real(row, f64::to_degrees)
        }),
        eval("radians", "(degrees: real) -> real", "Degrees as radians.", ("radians(0)", "0"), |row| {
            real(row, f64::to_radians)
        }),
        eval("pi", "() -> real", "π.", ("pi()", "3.141592653589793"), |_| Value::Real(std::f64::consts::PI)),
        eval("gamma", "(value: real) -> real", "The gamma function.", ("gamma(5)", "24"), |row| {
            real(row, libm::tgamma)
        }),
        eval(
            "loggamma",
            "(value: real) -> real",
            "The logarithm of the gamma function.",
            ("round(loggamma(5), 3)", "3.178"),
            |row| real(row, libm::lgamma),
        ),
        eval(
            "erf",
            "(value: real) -> real",
            "The error function.",
            ("round(erf(1), 6)", "0.842701"),
            |row| real(row, libm::erf),
        ),
        eval(
            "erfc",
            "(value: real) -> real",
            "One less the error function.",
            ("round(erfc(1), 6)", "0.157299"),
            |row| real(row, libm::erfc),
        ),
        eval(
            "isnan",
            "(value: real) -> bool",
            "Whether a value is not a number.",
            ("isnan(real(nan))", "true"),
            |row| row.real(0).map(f64::is_nan).into(),
        ),
        eval(
            "isinf",
            "(value: real) -> bool",
            "Whether a value is infinite.",
            ("isinf(1.0 / 0.0)", "true"),
            |row| row.real(0).map(f64::is_infinite).into(),
        ),
        eval(
            "isfinite",
            "(value: real) -> bool",
            "Whether a value is finite.",
            ("isfinite(1.0)", "true"),
            |row| row.real(0).map(f64::is_finite).into(),
        ),
        eval(
            "binary_and",
            "(left: long, right: long) -> long",
            "The bits that are set in both.",
            ("binary_and(6, 3)", "2"),
            |row| longs(row, |left, right| left & right),
        ),
        eval(
            "binary_or",
            "(left: long, right: long) -> long",
            "The bits that are set in one or both.",
            ("binary_or(6, 3)", "7"),
            |row| longs(row, |left, right| left | right),
        ),
        eval(
            "binary_xor",
            "(left: long, right: long) -> long",
            "The bits that are set in one of them.",
            ("binary_xor(6, 3)", "5"),
            |row| longs(row, |left, right| left ^ right),
        ),
        eval("binary_not", "(value: long) -> long", "The other bits.", ("binary_not(0)", "-1"), |row| {
            row.long(0).map(|value| !value).into()
        }),
        eval(
            "binary_shift_left",
            "(value: long, by: long) -> long",
            "The bits moved to the left.",
            ("binary_shift_left(1, 4)", "16"),
            |row| shift(row, true),
        ),
        eval(
            "binary_shift_right",
            "(value: long, by: long) -> long",
            "The bits moved to the right.",
            ("binary_shift_right(16, 4)", "1"),
            |row| shift(row, false),
        ),
        eval(
            "bitset_count_ones",
            "(value: long) -> long",
            "How many bits are set.",
            ("bitset_count_ones(255)", "8"),
            |row| row.long(0).map(|value| i64::from(value.count_ones())).into(),
        ),
        eval(
            "format_bytes",
            "(size: number, [digits: long], [unit: string]) -> string",
            "A number of bytes in a unit that suits it.",
            ("format_bytes(2048)", "2 KB"),
            format_bytes,
        ),
        eval(
            "tohex",
            "(value: any, [length: long]) -> string",
            "The value in hexadecimal digits.",
            ("tohex(255, 4)", "00ff"),
            |row| {
                let width = usize::try_from(row.long(1).unwrap_or(0)).unwrap_or(0).min(64);
                match row.get(0) {
                    Value::Int(value) => Value::from(format!("{value:0width$x}")),
                    value => value.as_long().map(|value| format!("{value:0width$x}")).into(),
                }
            },
        ),
    ]
}
