//! Places, and how far apart they are.

use serde_json::Value as Json;

use super::{Function, Row, eval};
use crate::value::Value;

/// In metres, as Kusto has it.
pub(super) const EARTH_RADIUS: f64 = 6_371_010.0;

/// A place, in radians.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    pub(super) longitude: f64,
    pub(super) latitude: f64,
}

impl Place {
    /// The place of these degrees, where there is one.
    pub(super) fn of_degrees(longitude: f64, latitude: f64) -> Option<Place> {
        // What is not a number is in no range.
        let valid = (-180.0..=180.0).contains(&longitude) && (-90.0..=90.0).contains(&latitude);
        valid.then(|| Place { longitude: longitude.to_radians(), latitude: latitude.to_radians() })
    }

    /// The place that two arguments name, the longitude first.
    pub(super) fn of_row(row: &Row<'_>, index: usize) -> Option<Place> {
        Place::of_degrees(row.real(index)?, row.real(index + 1)?)
    }

    /// The direction in which another place lies: radians from north, clockwise.
    fn azimuth(self, other: Place) -> f64 {
        let along = other.longitude - self.longitude;
        let east = along.sin() * other.latitude.cos();
        let north = self.latitude.cos() * other.latitude.sin()
            - self.latitude.sin() * other.latitude.cos() * along.cos();
        east.atan2(north).rem_euclid(std::f64::consts::TAU)
    }

    /// The metres to another place, by the haversine formula, which is exact for near places too.
    fn distance(self, other: Place) -> f64 {
        let half = |left: f64, right: f64| ((right - left) / 2.0).sin().powi(2);
        let across = self.latitude.cos() * other.latitude.cos() * half(self.longitude, other.longitude);
        let haversine = half(self.latitude, other.latitude) + across;
        // Rounding may lead past the antipode.
        2.0 * haversine.min(1.0).sqrt().asin() * EARTH_RADIUS
    }
}

fn distance(row: &Row<'_>) -> Option<f64> {
    Some(Place::of_row(row, 0)?.distance(Place::of_row(row, 2)?))
}

/// The length of a `LineString` or `MultiLineString`.
fn line_length(line: &Json) -> Option<f64> {
    let coordinates = line["coordinates"].as_array()?;
    match line["type"].as_str()? {
        "LineString" => path_length(coordinates),
        "MultiLineString" => coordinates.iter().map(|path| path_length(path.as_array()?)).sum(),
        _ => None,
    }
}

fn path_length(points: &[Json]) -> Option<f64> {
    let place = |point: &Json| Place::of_degrees(point[0].as_f64()?, point[1].as_f64()?);
    let places = points.iter().map(place).collect::<Option<Vec<_>>>()?;
    (places.len() > 1).then(|| places.windows(2).map(|two| two[0].distance(two[1])).sum())
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        eval(
            "geo_distance_2points",
            "(longitude: real, latitude: real, other_longitude: real, other_latitude: real) -> real",
            "The metres between two places, on a sphere.",
            ("round(geo_distance_2points(-122.407628, 47.578557, -118.275287, 34.019056), 3)", "1546754.352"),
            |row| distance(row).into(),
        ),
        eval(
            "geo_point_in_circle",
            "(longitude: real, latitude: real, center_longitude: real, center_latitude: real, radius: real) -> bool",
            "Whether a place is no more than so many metres from another.",
            ("geo_point_in_circle(-122.317404, 47.609119, -122.3493, 47.6205, 3500)", "true"),
            |row| match (distance(row), row.real(4)) {
                (Some(distance), Some(radius)) if radius >= 0.0 => (distance <= radius).into(),
                _ => Value::Null,
            },
        ),
        eval(
            "geo_azimuth",
            "(longitude: real, latitude: real, other_longitude: real, other_latitude: real) -> real",
            "The direction from one place to another: radians from north, clockwise.",
            ("degrees(geo_azimuth(10, 10, 10, -10))", "180"),
            |row| Place::of_row(row, 0).zip(Place::of_row(row, 2)).map(|(from, to)| from.azimuth(to)).into(),
        ),
        eval(
            "geo_line_length",
            "(line: dynamic) -> real",
            "The metres along a GeoJSON line, or several, on a sphere.",
            (
                "round(geo_line_length(dynamic({'type': 'LineString', 'coordinates': [[0, 0], [0, 1], [1, 1]]})))",
                "222373",
            ),
            |row| line_length(&row.json(0)).into(),
        ),
    ]
}
