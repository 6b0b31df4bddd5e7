//! Where IP addresses are, as a MaxMind database says.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};
use maxminddb::{Reader, geoip2};
use serde_json::{Map, Value as Json};

use crate::error::QueryError;
use crate::functions::kernel::ANY_ARGUMENTS;
use crate::functions::{Function, Typed, special};
use crate::types::KqlType;
use crate::value::{Builder, Cells, Value, real_json};

/// A database of cities, in memory.
pub(crate) struct GeoIp(Reader<Vec<u8>>);

impl GeoIp {
    pub(crate) fn open(path: &Path) -> Result<GeoIp, QueryError> {
        Reader::open_readfile(path)
            .map(GeoIp)
            .map_err(|error| QueryError::GeoIp { path: path.to_owned(), cause: error.to_string() })
    }

    /// What is known of an address; null where it is none, or one of which nothing is known.
    fn info(&self, address: &str) -> Option<Json> {
        let address: IpAddr = address.trim().parse().ok()?;
        let found: geoip2::City<'_> = self.0.lookup(address).ok()?.decode().ok()??;
        let state = found.subdivisions.first().and_then(|state| state.names.english);
        let known = [
            ("country", found.country.names.english.map(Json::from)),
            ("state", state.map(Json::from)),
            ("city", found.city.names.english.map(Json::from)),
            ("latitude", found.location.latitude.map(real_json)),
            ("longitude", found.location.longitude.map(real_json)),
        ];
        let known = known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Some(known.collect::<Map<_, _>>().into())
    }
}

/// The call of `geo_info_from_ip_address()`.
pub(crate) fn geo_info(database: &Arc<GeoIp>, address: Typed) -> Typed {
    let udf = ScalarUDF::from(GeoInfo(Arc::clone(database)));
    Typed::new(udf.call(vec![address.expr]), KqlType::Dynamic)
}

struct GeoInfo(Arc<GeoIp>);

impl std::fmt::Debug for GeoInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GeoInfo")
    }
}

// Two calls are alike where they look into the same database.
impl PartialEq for GeoInfo {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for GeoInfo {}

impl Hash for GeoInfo {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl ScalarUDFImpl for GeoInfo {
    fn name(&self) -> &str {
        "geo_info_from_ip_address"
    }

    fn signature(&self) -> &Signature {
        &ANY_ARGUMENTS
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(KqlType::Dynamic.arrow())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (constant, rows) = match &args.args[0] {
            ColumnarValue::Scalar(_) => (true, 1),
            ColumnarValue::Array(_) => (false, args.number_rows),
        };
        let addresses = args.args[0].to_array(rows)?;
        let cells = Cells::new(addresses.as_ref())?;
        let mut builder = Builder::new(KqlType::Dynamic, rows);
        for row in 0..rows {
            let info = cells.text(row).and_then(|address| self.0.info(address));
            builder.push(&info.map_or(Value::Null, |info| Value::json(&info)));
        }
        let infos = builder.finish();
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&infos, 0)?)
        } else {
            ColumnarValue::Array(infos)
        })
    }
}

pub(super) fn functions() -> Vec<Function> {
    vec![special(
        "geo_info_from_ip_address",
        "(address: string) -> dynamic",
        "Country, state, city, latitude and longitude of an address, from the GeoIP database that is configured.",
        ("1", "1"),
    )]
}
