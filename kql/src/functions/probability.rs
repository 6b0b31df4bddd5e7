//! Probability: the beta distribution, and Welch's test.

use super::{Function, Row, eval};
use crate::value::Value;

/// The largest parameter of a beta distribution.
const MAX_SHAPE: f64 = 10_000.0;

/// The arguments of a function of the beta distribution. A shape that there is not makes a function not a number.
fn beta(row: &Row<'_>, work: impl Fn(f64, f64, f64) -> f64) -> Value<'static> {
    let (Some(x), Some(alpha), Some(beta)) = (row.real(0), row.real(1), row.real(2)) else {
        return Value::Null;
    };
    let valid = |shape: f64| shape > 0.0 && shape <= MAX_SHAPE;
    Value::Real(if valid(alpha) && valid(beta) { work(x, alpha, beta) } else { f64::NAN })
}

fn density(x: f64, alpha: f64, beta: f64) -> f64 {
    if !(x > 0.0 && x < 1.0) {
        return f64::NAN;
    }
    let log = libm::lgamma(alpha + beta) - libm::lgamma(alpha) - libm::lgamma(beta)
        + (alpha - 1.0) * x.ln()
        + (beta - 1.0) * (-x).ln_1p();
    log.exp()
}

/// The regularised incomplete beta function: the probability of no more than `x`.
fn cumulative(x: f64, alpha: f64, beta: f64) -> f64 {
    if !(0.0..=1.0).contains(&x) {
        return f64::NAN;
    }
    if x == 0.0 || x == 1.0 {
        return x;
    }
    let log = libm::lgamma(alpha + beta) - libm::lgamma(alpha) - libm::lgamma(beta)
        + alpha * x.ln()
        + beta * (-x).ln_1p();
    let front = log.exp();
    // The fraction converges fast on this side of the mean only.
    if x < (alpha + 1.0) / (alpha + beta + 2.0) {
        front * fraction(x, alpha, beta) / alpha
    } else {
        1.0 - front * fraction(1.0 - x, beta, alpha) / beta
    }
}

/// The continued fraction of the incomplete beta function, by Lentz's method.
fn fraction(x: f64, alpha: f64, beta: f64) -> f64 {
    const STEPS: u32 = 10_000;
    // Stands for zero where a division by it would follow.
    let nonzero = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / nonzero(1.0 - (alpha + beta) * x / (alpha + 1.0));
    let mut result = d;
    for step in 1..=STEPS {
        let m = f64::from(step);
        let even = m * (beta - m) * x / ((alpha + 2.0 * m - 1.0) * (alpha + 2.0 * m));
        d = 1.0 / nonzero(1.0 + even * d);
        c = nonzero(1.0 + even / c);
        result *= d * c;
        let odd = -(alpha + m) * (alpha + beta + m) * x / ((alpha + 2.0 * m) * (alpha + 2.0 * m + 1.0));
        d = 1.0 / nonzero(1.0 + odd * d);
        c = nonzero(1.0 + odd / c);
        result *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    result
}

/// The value whose probability this is, by halving, down to neighbouring numbers.
fn inverse(probability: f64, alpha: f64, beta: f64) -> f64 {
    if !(probability > 0.0 && probability <= 1.0) {
        return f64::NAN;
    }
    let (mut low, mut high) = (0.0, 1.0);
    loop {
        let middle = (low + high) / 2.0;
        if middle <= low || middle >= high || high - low < 1e-16 {
            return middle;
        }
        if cumulative(middle, alpha, beta) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
}

/// The probability that two samples of one mean differ by so much or more.
fn welch(row: &Row<'_>) -> Option<f64> {
    let sample = |at: usize| {
        let (mean, variance, count) = (row.real(at)?, row.real(at + 1)?, row.real(at + 2)?);
        (variance >= 0.0 && count > 1.0).then_some((mean, variance / count, count))
    };
    let (first_mean, first, first_count) = sample(0)?;
    let (second_mean, second, second_count) = sample(3)?;
    let both = first + second;
    if both == 0.0 {
        return Some(if first_mean == second_mean { 1.0 } else { 0.0 });
    }
    let squared = (first_mean - second_mean).powi(2) / both;
    let freedom =
        both * both / (first * first / (first_count - 1.0) + second * second / (second_count - 1.0));
    Some(cumulative(freedom / (freedom + squared), freedom / 2.0, 0.5))
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        eval(
            "beta_cdf",
            "(x: real, alpha: real, beta: real) -> real",
            "The probability of no more than `x` by the beta distribution.",
            ("round(beta_cdf(0.5, 10, 20), 12)", "0.96928582713"),
            |row| beta(row, cumulative),
        ),
        eval(
            "beta_inv",
            "(probability: real, alpha: real, beta: real) -> real",
            "The value that is not exceeded with this probability by the beta distribution.",
            ("round(beta_inv(0.5, 2, 2), 12)", "0.5"),
            |row| match row.real(0) {
                Some(probability) if !(0.0..=1.0).contains(&probability) => Value::Null,
                _ => beta(row, inverse),
            },
        ),
        eval(
            "beta_pdf",
            "(x: real, alpha: real, beta: real) -> real",
            "The density of the beta distribution.",
            ("round(beta_pdf(0.5, 2, 2), 12)", "1.5"),
            |row| beta(row, density),
        ),
        eval(
            "welch_test",
            "(mean1: real, variance1: real, count1: real, mean2: real, variance2: real, count2: real) -> real",
            "The probability that the difference of two samples' means is chance, by Welch's test on two sides.",
            ("round(welch_test(10, 4, 30, 11, 9, 40), 6)", "0.099465"),
            |row| welch(row).into(),
        ),
    ]
}
