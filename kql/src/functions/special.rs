//! Functions that the binder binds, and helpers of its own.

use std::sync::Arc;

use datafusion::arrow::array::{Float64Array, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use serde_json::Value as Json;

use super::{Function, Kernel, Typed, special};
use crate::json::Step;
use crate::types::KqlType;

/// Whether a value is an element of an array that only the row knows.
pub(crate) fn in_dynamic(value: Typed, list: Typed, ignoring_case: bool) -> Typed {
    if ignoring_case {
        return Kernel::call("in_dynamic_ignoring_case", vec![value, list], KqlType::Bool, |row| {
            let value = text_of(&row.json(0)).to_lowercase();
            row.array(1).unwrap_or_default().iter().any(|item| text_of(item).to_lowercase() == value).into()
        });
    }
    Kernel::call("in_dynamic", vec![value, list], KqlType::Bool, |row| {
        let value = row.json(0);
        match row.json(1) {
            Json::Array(items) => items.iter().any(|item| text_of(item) == text_of(&value)).into(),
            item => (text_of(&item) == text_of(&value)).into(),
        }
    })
}

fn text_of(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// One element of what a function with several results gives, in the type that it has there.
pub(crate) fn tuple_element(tuple: Typed, at: i64) -> Typed {
    if tuple.kind != KqlType::Dynamic {
        return tuple;
    }
    super::dynamic_path(tuple, Step::Index(at))
}

/// `estimate_data_size()`: the bytes of values as Kusto counts them: text as it is, other types at their width.
pub(crate) fn data_size(columns: Vec<Typed>) -> Typed {
    Kernel::call("estimate_data_size", columns, KqlType::Long, |row| {
        let size = |index: usize| match row.kind(index) {
            KqlType::Bool => 1,
            KqlType::Int => 4,
            KqlType::Long | KqlType::Real | KqlType::Datetime | KqlType::Timespan => 8,
            KqlType::Decimal | KqlType::Guid => 16,
            KqlType::String | KqlType::Dynamic => row.text(index).len(),
        };
        (0..row.len()).map(size).sum::<usize>().into()
    })
}

/// `rand()`: a number in [0, 1), or a whole one below the argument.
pub(crate) fn random(of: Typed) -> Typed {
    let udf = ScalarUDF::from(Random { text: false, signature: Signature::any(1, Volatility::Volatile) });
    let of = crate::binder::cast(of, KqlType::Long);
    Typed::new(Arc::new(udf).call(vec![of.expr]), KqlType::Real)
}

/// `new_guid()`.
pub(crate) fn new_guid() -> Typed {
    let udf = ScalarUDF::from(Random { text: true, signature: Signature::any(1, Volatility::Volatile) });
    Typed::new(Arc::new(udf).call(vec![Typed::null(KqlType::Long).expr]), KqlType::Guid)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Random {
    text: bool,
    signature: Signature,
}

/// 64 random bits, from the keys that the standard library draws for its hash maps.
fn random_bits() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

impl ScalarUDFImpl for Random {
    fn name(&self) -> &str {
        if self.text { "new_guid" } else { "rand" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(if self.text { DataType::Utf8 } else { DataType::Float64 })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        if self.text {
            let guids = (0..rows).map(|_| {
                let (high, low) = (random_bits(), random_bits());
                let digits = format!("{high:016x}{low:016x}");
                // Version 4, variant 1.
                crate::format::parse_guid(&format!("{}4{}a{}", &digits[..12], &digits[13..16], &digits[17..]))
            });
            return Ok(ColumnarValue::Array(Arc::new(guids.collect::<StringArray>())));
        }
        // A constant argument stands for one of as many rows.
        let limits = args.args[0].to_array(rows)?;
        let cells = crate::value::Cells::new(limits.as_ref())?;
        let numbers = (0..rows).map(|row| {
            let unit = (random_bits() >> 11) as f64 / (1_u64 << 53) as f64;
            match cells.get(row).as_long() {
                Some(below) if below > 1 => (unit * below as f64).floor(),
                _ => unit,
            }
        });
        Ok(ColumnarValue::Array(Arc::new(Float64Array::from_iter_values(numbers))))
    }
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        special(
            "now",
            "([offset: timespan]) -> datetime",
            "The time at which the query runs; the same throughout.",
            ("now() - now()", "00:00:00"),
        ),
        special(
            "ago",
            "(span: timespan) -> datetime",
            "The time at which the query runs, less a span.",
            ("now() - ago(1h)", "01:00:00"),
        ),
        special(
            "ingestion_time",
            "() -> datetime",
            "When the row came in; null where the table does not say.",
            ("isnull(ingestion_time())", "true"),
        ),
        special(
            "toscalar",
            "(table: any) -> any",
            "The first cell of a table, read before the query runs.",
            ("toscalar(print 2 + 2)", "4"),
        ),
        special(
            "materialize",
            "(table: any) -> any",
            "The table itself; where it is used several times, it is worked out once.",
            ("toscalar(materialize(print 7))", "7"),
        ),
        special(
            "assert",
            "(condition: bool, message: string) -> bool",
            "True; or, where the condition is false, the query is refused with the message.",
            ("assert(1 < 2, 'the order of numbers')", "true"),
        ),
        special(
            "bin_auto",
            "(value: number) -> any",
            "The value rounded down as by `bin_at()`, with the size and the fixed point that `set` has given.",
            ("set query_bin_auto_size = 5; set query_bin_auto_at = 1; bin_auto(17)", "16"),
        ),
        special(
            "column_ifexists",
            "(name: string, default: any) -> any",
            "The column of that name, or the default where the table has none.",
            ("column_ifexists('Nowhere', 'none')", "none"),
        )
        .also(&["columnifexists"]),
        special(
            "iscolumnexists",
            "(name: string) -> bool",
            "Whether the table has a column of that name.",
            ("iscolumnexists('Nowhere')", "false"),
        ),
        special(
            "column_names_of",
            "(table: any) -> dynamic",
            "The names of a table's columns.",
            ("column_names_of((print a=1, b=2))", "[\"a\",\"b\"]"),
        ),
        special(
            "prev",
            "(column: any, [offset: long], [default: any]) -> any",
            "The value in the row before.",
            ("toscalar(range x from 1 to 3 step 1 | serialize p = prev(x) | where x == 2 | project p)", "1"),
        ),
        special(
            "next",
            "(column: any, [offset: long], [default: any]) -> any",
            "The value in the row after.",
            ("toscalar(range x from 1 to 3 step 1 | serialize n = next(x) | where x == 2 | project n)", "3"),
        ),
        special(
            "row_number",
            "([start: long], [restart: bool]) -> long",
            "The number of the row.",
            (
                "toscalar(range x from 5 to 7 step 1 | serialize n = row_number() | where x == 6 | project n)",
                "2",
            ),
        ),
        special(
            "row_cumsum",
            "(term: number, [restart: bool]) -> any",
            "The sum of the rows so far.",
            (
                "toscalar(range x from 1 to 4 step 1 | serialize s = row_cumsum(x) | where x == 4 | project s)",
                "10",
            ),
        ),
        special(
            "row_rank_dense",
            "(term: any, [restart: bool]) -> long",
            "The rank by a term, without gaps.",
            (
                "toscalar(range x from 5 to 7 step 1 | serialize r = row_rank_dense(x) | where x == 7 | project r)",
                "3",
            ),
        )
        .also(&["row_rank"]),
        special(
            "row_rank_min",
            "(term: any, [restart: bool]) -> long",
            "The rank by a term; equal ones share the least.",
            (
                "toscalar(range x from 5 to 7 step 1 | serialize r = row_rank_min(x) | where x == 7 | project r)",
                "3",
            ),
        ),
        special(
            "row_window_session",
            "(time: datetime, from_first: timespan, between: timespan, [restart: bool]) -> datetime",
            "The start of the session that a row belongs to.",
            (
                "toscalar(datatable(t:datetime)[datetime(2026-01-01)] | serialize s = row_window_session(t, 1h, 5m) | project s)",
                "2026-01-01T00:00:00Z",
            ),
        ),
        special(
            "pack_all",
            "([ignore_null: bool]) -> dynamic",
            "All columns of the row as a bag.",
            ("toscalar(print a=1, b='x' | project pack_all())", "{\"a\":1,\"b\":\"x\"}"),
        ),
        special(
            "bag_pack_columns",
            "(column: any, ...) -> dynamic",
            "The named columns as a bag.",
            ("toscalar(print a=1, b='x' | project bag_pack_columns(b))", "{\"b\":\"x\"}"),
        ),
        special(
            "estimate_data_size",
            "(column: any, ...) -> long",
            "The bytes that the columns of the row take, or with `*` all of them.",
            ("toscalar(print a=1, b='abc' | project estimate_data_size(*))", "11"),
        ),
        special(
            "rand",
            "([below: long]) -> real",
            "A random number in [0, 1), or a whole one below the argument.",
            ("rand() < 1", "true"),
        ),
        special("new_guid", "() -> guid", "A random guid.", ("strlen(tostring(new_guid()))", "36")),
        special("table", "(name: string) -> any", "The table of that name.", ("1", "1")),
        special(
            "_GetWatchlist",
            "(alias: string) -> any",
            "The watchlist of that alias as a table.",
            ("1", "1"),
        ),
    ]
}
