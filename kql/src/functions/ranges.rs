//! Which of many address ranges hold an address, for `ipv4_lookup` and `ipv6_lookup`.

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{ListBuilder, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use serde_json::Value as Json;

use super::ip::{ipv4, ipv6, mask6};
use super::kernel::{ANY_ARGUMENTS, arrays};
use crate::value::Cells;

/// The addresses that a lookup takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    /// IPv6, and IPv4 mapped into it.
    Both,
}

impl Family {
    /// An address, as one of IPv6, and the length of the mask behind it.
    fn parse(self, text: &str) -> Option<(u128, u32)> {
        match self {
            Family::V4 => ipv4(text).and_then(|_| ipv6(text)),
            Family::Both => ipv6(text),
        }
    }
}

/// The ranges of a table by the length of their masks, so that an address meets one range of each length and not all
/// of them. An entry is `[range, key, …]`, as `pack_array()` gives it; the keys have to be the row's.
#[derive(Debug)]
pub(crate) struct Ranges {
    family: Family,
    of_keys: HashMap<String, BTreeMap<u32, HashMap<u128, Vec<String>>>>,
}

impl Ranges {
    pub(crate) fn new<'e>(family: Family, entries: impl IntoIterator<Item = &'e str>) -> Self {
        let mut ranges = Ranges { family, of_keys: HashMap::new() };
        for entry in entries {
            let Json::Array(mut parts) = crate::json::parse(entry) else { continue };
            // A key that is null equals nothing, not even another one.
            if parts.iter().any(Json::is_null) || parts.is_empty() {
                continue;
            }
            let Json::String(range) = parts.remove(0) else { continue };
            let Some((network, length)) = family.parse(&range) else { continue };
            let of_length = ranges.of_keys.entry(Json::Array(parts).to_string()).or_default();
            let of_network = of_length.entry(length).or_default();
            of_network.entry(network & mask6(length)).or_default().push(entry.to_owned());
        }
        ranges
    }

    /// The entries whose range holds an address, and whose keys are these.
    fn holding(&self, address: &str, keys: &str) -> Vec<&str> {
        let Some((address, own)) = self.family.parse(address) else { return Vec::new() };
        let mut found: Vec<&str> = Vec::new();
        for (length, networks) in self.of_keys.get(keys).into_iter().flatten() {
            if *length <= own {
                let entries = networks.get(&(address & mask6(*length)));
                found.extend(entries.into_iter().flatten().map(String::as_str));
            } else {
                // What is looked up is a range itself, which the shorter mask of the two decides on.
                let within = |network: &u128| network & mask6(own) == address & mask6(own);
                let entries = networks.iter().filter(|(network, _)| within(network));
                found.extend(entries.flat_map(|(_, entries)| entries).map(String::as_str));
            }
        }
        found
    }
}

/// The entries whose range holds an address, as a list; where there are none, one of null with `keep_none`.
pub(crate) fn ranges_holding(ranges: Arc<Ranges>, keep_none: bool, address: Expr, keys: Expr) -> Expr {
    Arc::new(ScalarUDF::from(RangesHolding { ranges, keep_none })).call(vec![address, keys])
}

#[derive(Debug)]
struct RangesHolding {
    ranges: Arc<Ranges>,
    keep_none: bool,
}

impl PartialEq for RangesHolding {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.ranges, &other.ranges) && self.keep_none == other.keep_none
    }
}

impl Eq for RangesHolding {}

impl Hash for RangesHolding {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.ranges).hash(state);
    }
}

impl ScalarUDFImpl for RangesHolding {
    fn name(&self) -> &str {
        "ranges_holding"
    }

    fn signature(&self) -> &Signature {
        &ANY_ARGUMENTS
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (inputs, constant, rows) = arrays(&args)?;
        let cells = inputs.iter().map(|array| Cells::new(array.as_ref())).collect::<Result<Vec<_>>>()?;
        let text = |index: usize, row: usize| {
            cells[index].text(if constant[index] { 0 } else { row }).unwrap_or_default()
        };
        let mut builder = ListBuilder::new(StringBuilder::new());
        for row in 0..rows {
            let found = self.ranges.holding(text(0, row), text(1, row));
            for entry in &found {
                builder.values().append_value(entry);
            }
            if found.is_empty() && self.keep_none {
                builder.values().append_null();
            }
            builder.append(true);
        }
        Ok(ColumnarValue::Array(Arc::new(builder.finish())))
    }
}
