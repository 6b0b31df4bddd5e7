//! Geohashes: a place as letters, each of which narrows a rectangle.

use serde_json::json;

use super::{Function, Row, eval};
use crate::value::Value;

const DIGITS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";

const MOST_DIGITS: usize = 18;

/// The degrees among which a geohash chooses: longitude and latitude.
const WHOLE: [(f64, f64); 2] = [(-180.0, 180.0), (-90.0, 90.0)];

/// The five bits of every digit halve the two ranges in turn, the longitude first.
fn halve(ranges: &mut [(f64, f64); 2], bit: usize, upper: impl Fn(usize, f64) -> bool) -> bool {
    let axis = bit % 2;
    let (low, high) = ranges[axis];
    let middle = (low + high) / 2.0;
    let upper = upper(axis, middle);
    ranges[axis] = if upper { (middle, high) } else { (low, middle) };
    upper
}

fn encode(place: [f64; 2], digits: usize) -> String {
    let mut ranges = WHOLE;
    let digit = |at: usize| {
        let index = (at * 5..at * 5 + 5).fold(0, |index, bit| {
            index << 1 | usize::from(halve(&mut ranges, bit, |axis, middle| place[axis] >= middle))
        });
        char::from(DIGITS[index])
    };
    (0..digits).map(digit).collect()
}

/// The middle of a geohash's rectangle.
fn decode(hash: &str) -> Option<[f64; 2]> {
    if !(1..=MOST_DIGITS).contains(&hash.len()) {
        return None;
    }
    let mut ranges = WHOLE;
    for (at, letter) in hash.bytes().enumerate() {
        let index = DIGITS.iter().position(|digit| *digit == letter.to_ascii_lowercase())?;
        for bit in 0..5 {
            halve(&mut ranges, at * 5 + bit, |_, _| index >> (4 - bit) & 1 == 1);
        }
    }
    Some(ranges.map(|(low, high)| (low + high) / 2.0))
}

fn of_place(row: &Row<'_>) -> Option<String> {
    let (longitude, latitude) = (row.real(0)?, row.real(1)?);
    super::sphere::Place::of_degrees(longitude, latitude)?;
    let digits = usize::try_from(row.long(2).unwrap_or(5)).ok()?;
    (1..=MOST_DIGITS).contains(&digits).then(|| encode([longitude, latitude], digits))
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        eval(
            "geo_point_to_geohash",
            "(longitude: real, latitude: real, [digits: long]) -> string",
            "The geohash of a place: 5 digits, or up to 18.",
            ("geo_point_to_geohash(-80.195829, 25.802215, 8)", "dhwfz15h"),
            |row| of_place(row).into(),
        ),
        eval(
            "geo_geohash_to_central_point",
            "(geohash: string) -> dynamic",
            "The middle of a geohash's rectangle, as a GeoJSON point.",
            (
                "geo_geohash_to_central_point('sunny')",
                "{\"type\":\"Point\",\"coordinates\":[42.47314453125,23.70849609375]}",
            ),
            |row| match decode(row.text(0)) {
                Some(place) => Value::json(&json!({"type": "Point", "coordinates": place})),
                None => Value::Null,
            },
        ),
    ]
}
