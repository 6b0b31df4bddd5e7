//! Geography: places on the Earth as a sphere, geohashes, and where addresses are.

mod address;
mod geohash;
mod polygon;
mod sphere;

use super::{Function, Row, eval};

pub(crate) use address::{GeoIp, geo_info};

pub(super) fn functions() -> Vec<Function> {
    [sphere::functions, polygon::functions, geohash::functions, address::functions]
        .into_iter()
        .flat_map(|functions| functions())
        .collect()
}
