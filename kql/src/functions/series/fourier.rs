//! The Fourier transform of a series, in n log n steps whatever its length.

use std::f64::consts::PI;

use num_complex::Complex64;
use serde_json::Value as Json;

use super::{Function, Row, eval, filled};
use crate::value::{Value, real_json};

/// The point on the unit circle after this part of a clockwise turn.
fn turned(part: f64) -> Complex64 {
    Complex64::cis(-2.0 * PI * part)
}

/// The transform of as many values as a power of two: by Cooley and Tukey, even and odd places apart.
fn of_power(values: &[Complex64]) -> Vec<Complex64> {
    let count = values.len();
    if count <= 1 {
        return values.to_vec();
    }
    let half = |skip: usize| of_power(&values.iter().skip(skip).step_by(2).copied().collect::<Vec<_>>());
    let (even, odd) = (half(0), half(1));
    let odd: Vec<Complex64> =
        odd.iter().enumerate().map(|(index, value)| value * turned(index as f64 / count as f64)).collect();
    let pairs = || even.iter().zip(&odd);
    pairs().map(|(even, odd)| even + odd).chain(pairs().map(|(even, odd)| even - odd)).collect()
}

/// The transform of any number of values: by Bluestein, as a convolution, for which a power of two may be taken.
fn transform(values: &[Complex64]) -> Vec<Complex64> {
    let count = values.len();
    if count <= 1 || count.is_power_of_two() {
        return of_power(values);
    }
    // Half the square of the place, kept below a turn, where the angle is exact.
    let square = |index: usize| (index as u128 * index as u128 % (2 * count as u128)) as f64;
    let chirp: Vec<Complex64> = (0..count).map(|index| turned(square(index) / (2 * count) as f64)).collect();
    let length = (2 * count - 1).next_power_of_two();
    let mut left = vec![Complex64::ZERO; length];
    let mut right = left.clone();
    for (index, (value, chirp)) in values.iter().zip(&chirp).enumerate() {
        left[index] = value * chirp;
        right[index] = chirp.conj();
        // The places before the first one, at the end.
        right[(length - index) % length] = chirp.conj();
    }
    let product: Vec<Complex64> =
        of_power(&left).iter().zip(of_power(&right)).map(|(left, right)| left * right).collect();
    inverse(&product).iter().zip(&chirp).map(|(value, chirp)| value * chirp).collect()
}

/// From the frequencies back.
fn inverse(values: &[Complex64]) -> Vec<Complex64> {
    let mirrored: Vec<Complex64> = values.iter().map(Complex64::conj).collect();
    let count = values.len() as f64;
    transform(&mirrored).iter().map(|value| value.conj() / count).collect()
}

/// The series of the real and the imaginary parts, transformed.
fn parts(row: &Row<'_>, transform: fn(&[Complex64]) -> Vec<Complex64>) -> Value<'static> {
    let Some(real) = filled(row, 0) else { return Value::Null };
    let imaginary = if row.is_null(1) { Some(vec![0.0; real.len()]) } else { filled(row, 1) };
    let Some(imaginary) = imaginary.filter(|imaginary| imaginary.len() == real.len()) else {
        return Value::Null;
    };
    let values: Vec<Complex64> =
        real.into_iter().zip(imaginary).map(|(real, imaginary)| Complex64::new(real, imaginary)).collect();
    let values = transform(&values);
    let part = |part: fn(&Complex64) -> f64| values.iter().map(|value| real_json(part(value))).collect();
    Value::json(&Json::Array(vec![part(|value| value.re), part(|value| value.im)]))
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        eval(
            "series_fft",
            "(real: dynamic, [imaginary: dynamic]) -> dynamic",
            "The Fourier transform of a series: its real and its imaginary parts, each a column.",
            ("series_fft(dynamic([1, 0, 0, 0]))[0]", "[1.0,1.0,1.0,1.0]"),
            |row| parts(row, transform),
        ),
        eval(
            "series_ifft",
            "(real: dynamic, [imaginary: dynamic]) -> dynamic",
            "The series of which these are the Fourier transform: its real and its imaginary parts, each a column.",
            ("series_ifft(dynamic([4, 0, 0, 0]))[0]", "[1.0,1.0,1.0,1.0]"),
            |row| parts(row, inverse),
        ),
    ]
}
