//! A dynamic's elements as a list, for `mv-expand`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use datafusion::arrow::array::{Int64Array, Int64Builder, ListBuilder, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use serde_json::Value as Json;

use super::kernel::{ANY_ARGUMENTS, arrays};
use crate::json;
use crate::value::Cells;

/// The elements of an array, or the pairs of a bag; a scalar is its own only element.
///
/// With `keep_null`, null gives one element of null; an empty array never gives any.
pub(crate) fn elements(expr: Expr, as_pairs: bool, keep_null: bool, limit: Option<usize>) -> Expr {
    Arc::new(ScalarUDF::from(Elements { as_pairs, keep_null, limit, indexes: false })).call(vec![expr])
}

/// The numbers of the elements of the longest of several dynamics.
pub(crate) fn element_indexes(exprs: Vec<Expr>, keep_null: bool, limit: Option<usize>) -> Expr {
    Arc::new(ScalarUDF::from(Elements { as_pairs: false, keep_null, limit, indexes: true })).call(exprs)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Elements {
    as_pairs: bool,
    keep_null: bool,
    limit: Option<usize>,
    indexes: bool,
}

impl Elements {
    fn of(&self, text: Option<&str>) -> Vec<Option<String>> {
        let Some(text) = text else {
            return if self.keep_null { vec![None] } else { Vec::new() };
        };
        let mut items: Vec<Option<String>> = match json::parse(text) {
            Json::Array(items) => {
                items.iter().map(|item| (!item.is_null()).then(|| item.to_string())).collect()
            }
            Json::Object(bag) if self.as_pairs => bag
                .into_iter()
                .map(|(key, value)| Some(Json::Array(vec![key.into(), value]).to_string()))
                .collect(),
            Json::Object(bag) => bag
                .into_iter()
                .map(|(key, value)| Some(Json::Object([(key, value)].into_iter().collect()).to_string()))
                .collect(),
            Json::Null if !self.keep_null => Vec::new(),
            Json::Null => vec![None],
            scalar => vec![Some(scalar.to_string())],
        };
        if let Some(limit) = self.limit {
            items.truncate(limit);
        }
        items
    }
}

impl ScalarUDFImpl for Elements {
    fn name(&self) -> &str {
        if self.indexes { "element_indexes" } else { "elements" }
    }

    fn signature(&self) -> &Signature {
        &ANY_ARGUMENTS
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        let item = if self.indexes { DataType::Int64 } else { DataType::Utf8 };
        Ok(DataType::List(Arc::new(Field::new_list_field(item, true))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (inputs, constant, rows) = arrays(&args)?;
        let cells = inputs.iter().map(|array| Cells::new(array.as_ref())).collect::<Result<Vec<_>>>()?;
        let text = |index: usize, row: usize| cells[index].text(if constant[index] { 0 } else { row });
        if self.indexes {
            let mut builder = ListBuilder::new(Int64Builder::new());
            for row in 0..rows {
                let longest =
                    (0..cells.len()).map(|index| self.of(text(index, row)).len()).max().unwrap_or(0);
                for number in 0..longest {
                    builder.values().append_value(i64::try_from(number).unwrap_or(i64::MAX));
                }
                builder.append(true);
            }
            return Ok(ColumnarValue::Array(Arc::new(builder.finish())));
        }
        let mut builder = ListBuilder::new(StringBuilder::new());
        for row in 0..rows {
            for item in self.of(text(0, row)) {
                builder.values().append_option(item);
            }
            builder.append(true);
        }
        Ok(ColumnarValue::Array(Arc::new(builder.finish())))
    }
}

/// A number that no other row of the process has.
pub(crate) fn row_id() -> Expr {
    Arc::new(ScalarUDF::from(RowId { signature: Signature::nullary(Volatility::Volatile) })).call(Vec::new())
}

static NEXT_ROW: AtomicI64 = AtomicI64::new(0);

#[derive(Debug, PartialEq, Eq, Hash)]
struct RowId {
    signature: Signature,
}

impl ScalarUDFImpl for RowId {
    fn name(&self) -> &str {
        "row_id"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = i64::try_from(args.number_rows).unwrap_or(i64::MAX);
        let first = NEXT_ROW.fetch_add(rows, Ordering::Relaxed);
        Ok(ColumnarValue::Array(Arc::new(Int64Array::from_iter_values(
            (0..rows).map(|row| first.wrapping_add(row)),
        ))))
    }
}
