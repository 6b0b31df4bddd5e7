//! Polygons on the sphere, their edges the shortest lines between their corners.

use std::f64::consts::PI;

use serde_json::Value as Json;

use super::sphere::{EARTH_RADIUS, Place};
use super::{Function, eval};
use crate::value::Value;

/// A closed line and the smaller of the two sides into which it parts the sphere.
struct Ring {
    corners: Vec<Place>,
    /// On the unit sphere.
    area: f64,
    holds_north_pole: bool,
}

/// The way from one longitude to another, the short way round.
fn turn(from: f64, to: f64) -> f64 {
    (to - from + PI).rem_euclid(2.0 * PI) - PI
}

impl Ring {
    fn read(json: &Json) -> Option<Ring> {
        let corners: Option<Vec<Place>> = json.as_array()?.iter().map(place).collect();
        let corners = corners?;
        if corners.len() < 4 || corners.first() != corners.last() {
            return None;
        }
        // The area between every edge and the equator, and how often the line goes round the pole.
        let (mut below, mut round) = (0.0, 0.0);
        for edge in corners.windows(2) {
            let along = turn(edge[0].longitude, edge[1].longitude);
            let (from, to) = ((edge[0].latitude / 2.0).tan(), (edge[1].latitude / 2.0).tan());
            below += 2.0 * ((along / 2.0).tan() * (from + to)).atan2(1.0 + from * to);
            round += along;
        }
        let north = if f64::abs(round) < PI {
            4.0 * PI - f64::abs(below)
        } else {
            2.0 * PI - f64::signum(round) * below
        };
        Some(Ring { corners, area: north.min(4.0 * PI - north), holds_north_pole: north < 2.0 * PI })
    }

    /// Whether an odd number of edges lies between the place and the north pole, unless the pole itself is inside.
    fn holds(&self, place: Place) -> bool {
        let crossed = self.corners.windows(2).filter(|edge| {
            let from = turn(place.longitude, edge[0].longitude);
            let to = turn(place.longitude, edge[1].longitude);
            // An edge that crosses the meridian on the far side goes the long way here.
            if (from < 0.0) == (to < 0.0) || (from - to).abs() > PI {
                return false;
            }
            let rise = edge[1].latitude.tan() * from.sin() - edge[0].latitude.tan() * to.sin();
            (rise / (from - to).sin()).atan() > place.latitude
        });
        (crossed.count() % 2 == 1) != self.holds_north_pole
    }
}

/// A place as `[longitude, latitude]`.
fn place(json: &Json) -> Option<Place> {
    match json.as_array()?.as_slice() {
        [longitude, latitude, ..] => Place::of_degrees(longitude.as_f64()?, latitude.as_f64()?),
        _ => None,
    }
}

/// The polygons of a GeoJSON, each a shell and the holes in it.
fn polygons(json: &Json) -> Option<Vec<(Ring, Vec<Ring>)>> {
    let coordinates = json.get("coordinates")?;
    let rings = |json: &Json| -> Option<(Ring, Vec<Ring>)> {
        let (shell, holes) = json.as_array()?.split_first()?;
        Some((Ring::read(shell)?, holes.iter().map(Ring::read).collect::<Option<_>>()?))
    };
    match json.get("type")?.as_str()? {
        "Polygon" => Some(vec![rings(coordinates)?]),
        "MultiPolygon" => coordinates.as_array()?.iter().map(rings).collect(),
        _ => None,
    }
}

fn area(polygons: &[(Ring, Vec<Ring>)]) -> f64 {
    let of_one =
        |(shell, holes): &(Ring, Vec<Ring>)| shell.area - holes.iter().map(|hole| hole.area).sum::<f64>();
    // The sum of no reals at all would be -0.0.
    polygons.iter().map(of_one).fold(0.0, |sum, area| sum + area) * EARTH_RADIUS * EARTH_RADIUS
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        eval(
            "geo_point_in_polygon",
            "(longitude: real, latitude: real, polygon: dynamic) -> bool",
            "Whether a place is within a GeoJSON polygon or one of a multipolygon.",
            (
                "geo_point_in_polygon(1, 1, dynamic({'type': 'Polygon', 'coordinates': [[[0, 0], [3, 0], [0, 3], [0, 0]]]}))",
                "true",
            ),
            |row| match (Place::of_row(row, 0), polygons(&row.json(2))) {
                (Some(place), Some(polygons)) => polygons
                    .iter()
                    .any(|(shell, holes)| shell.holds(place) && !holes.iter().any(|hole| hole.holds(place)))
                    .into(),
                _ => Value::Null,
            },
        ),
        eval(
            "geo_polygon_area",
            "(polygon: dynamic) -> real",
            "The square metres of a GeoJSON polygon, or of a multipolygon whose parts do not overlap.",
            (
                "round(geo_polygon_area(dynamic({'type': 'Polygon', 'coordinates': [[[0, 0], [1, 0], [0, 1], [0, 0]]]})) / 1e6)",
                "6182",
            ),
            |row| polygons(&row.json(0)).map(|polygons| area(&polygons)).into(),
        ),
    ]
}
