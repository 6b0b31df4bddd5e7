//! Functions over neighbouring rows, as DataFusion runs them.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{PartitionEvaluator, Signature, WindowUDFImpl};

use crate::functions::kernel::ANY_ARGUMENTS;
use crate::types::KqlType;
use crate::value::{Builder, Cells, Value};

/// Which function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RowKind {
    Previous,
    Next,
    Number,
    Sum,
    RankDense,
    RankMin,
    Session,
}

/// A function over all rows of a part, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RowFunction {
    pub(crate) kind: RowKind,
    pub(crate) kinds: Vec<KqlType>,
    pub(crate) returns: KqlType,
}

impl WindowUDFImpl for RowFunction {
    fn name(&self) -> &str {
        match self.kind {
            RowKind::Previous => "prev",
            RowKind::Next => "next",
            RowKind::Number => "row_number",
            RowKind::Sum => "row_cumsum",
            RowKind::RankDense => "row_rank_dense",
            RowKind::RankMin => "row_rank_min",
            RowKind::Session => "row_window_session",
        }
    }

    fn signature(&self) -> &Signature {
        &ANY_ARGUMENTS
    }

    fn partition_evaluator(&self, _args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(self.clone()))
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), self.returns.arrow(), true)))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }
}

impl RowFunction {
    /// `prev()` and `next()` by the same number of rows everywhere: the column moved, with defaults in the gap.
    fn shifted(&self, values: &[ArrayRef], num_rows: usize) -> Result<Option<ArrayRef>> {
        let (RowKind::Previous | RowKind::Next, [column, offsets, defaults]) = (self.kind, values) else {
            return Ok(None);
        };
        let as_is = |array: &ArrayRef| {
            *array.data_type() == self.returns.arrow()
                && array.len() == num_rows
                && (self.returns != KqlType::String || array.null_count() == 0)
        };
        let Some(offsets) = offsets.as_primitive_opt::<Int64Type>() else { return Ok(None) };
        let offset = match offsets.values().first() {
            Some(offset) if offsets.null_count() == 0 && offsets.values().iter().all(|own| own == offset) => {
                usize::try_from(*offset).ok()
            }
            _ => None,
        };
        let Some(offset) = offset.filter(|_| as_is(column) && as_is(defaults)) else { return Ok(None) };
        let gap = offset.min(num_rows);
        let stay = num_rows - gap;
        let parts: [ArrayRef; 2] = match self.kind {
            RowKind::Previous => [defaults.slice(0, gap), column.slice(0, stay)],
            _ => [column.slice(gap, stay), defaults.slice(stay, gap)],
        };
        Ok(Some(concat(&[parts[0].as_ref(), parts[1].as_ref()])?))
    }
}

impl PartitionEvaluator for RowFunction {
    fn evaluate_all(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        let cells = values.iter().map(|array| Cells::new(array.as_ref())).collect::<Result<Vec<_>>>()?;
        let cell = |index: usize, row: usize| match (cells.get(index), values.get(index)) {
            (Some(cells), Some(array)) if row < array.len() => cells.get(row),
            _ => Value::Null,
        };
        if let Some(shifted) = self.shifted(values, num_rows)? {
            return Ok(shifted);
        }
        let mut builder = Builder::new(self.returns, num_rows);
        match self.kind {
            RowKind::Previous | RowKind::Next => {
                for row in 0..num_rows {
                    let offset = cell(1, row).as_long().unwrap_or(1);
                    let offset =
                        if self.kind == RowKind::Previous { offset.checked_neg() } else { Some(offset) };
                    let from = offset.and_then(|offset| isize::try_from(offset).ok());
                    let from =
                        from.and_then(|offset| row.checked_add_signed(offset)).filter(|row| *row < num_rows);
                    builder.push(&match from {
                        Some(from) => cell(0, from),
                        None => cell(2, row),
                    });
                }
            }
            RowKind::Number => {
                let mut number = 0_i64;
                for row in 0..num_rows {
                    let start = cell(0, row).as_long().unwrap_or(1);
                    number = if row == 0 || cell(1, row) == Value::Bool(true) {
                        start
                    } else {
                        number.wrapping_add(1)
                    };
                    builder.push(&Value::Long(number));
                }
            }
            RowKind::Sum => {
                let (mut whole, mut real, mut decimal) = (0_i64, 0.0_f64, 0_i128);
                for row in 0..num_rows {
                    if cell(1, row) == Value::Bool(true) {
                        (whole, real, decimal) = (0, 0.0, 0);
                    }
                    let sum = match cell(0, row) {
                        Value::Real(term) => {
                            real += term;
                            Value::Real(real)
                        }
                        Value::Decimal(term) => {
                            decimal = decimal.saturating_add(term);
                            Value::Decimal(decimal)
                        }
                        Value::Null if self.returns == KqlType::Real => Value::Real(real),
                        Value::Null if self.returns == KqlType::Decimal => Value::Decimal(decimal),
                        term => {
                            whole = whole.wrapping_add(term.as_long().unwrap_or(0));
                            Value::Long(whole)
                        }
                    };
                    builder.push(&sum);
                }
            }
            RowKind::RankDense | RowKind::RankMin => {
                let (mut rank, mut count) = (0_i64, 0_i64);
                for row in 0..num_rows {
                    let restart = row == 0 || cell(1, row) == Value::Bool(true);
                    if restart {
                        (rank, count) = (0, 0);
                    }
                    count += 1;
                    if restart || cell(0, row) != cell(0, row - 1) {
                        rank = if self.kind == RowKind::RankDense { rank + 1 } else { count };
                    }
                    builder.push(&Value::Long(rank));
                }
            }
            RowKind::Session => {
                let (mut start, mut last) = (None::<i64>, None::<i64>);
                for row in 0..num_rows {
                    let Some(at) = cell(0, row).as_long() else {
                        builder.push(&Value::Null);
                        continue;
                    };
                    let within = |since: Option<i64>, most: Value<'_>| match (since, most.as_long()) {
                        (Some(since), Some(most)) => at.saturating_sub(since) <= most,
                        _ => false,
                    };
                    let goes_on = cell(3, row) != Value::Bool(true)
                        && within(start, cell(1, row))
                        && within(last, cell(2, row));
                    if !goes_on {
                        start = Some(at);
                    }
                    last = Some(at);
                    builder.push(&start.into());
                }
            }
        }
        Ok(builder.finish())
    }
}
