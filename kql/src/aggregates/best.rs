//! `arg_max` and `arg_min`: the row with the greatest or least key.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, StructArray, UInt32Array,
};
use datafusion::arrow::compute::{SortOptions, take};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, Expr, GroupsAccumulator, Signature,
};

use crate::functions::Typed;
use crate::functions::kernel::ANY_ARGUMENTS;
use crate::types::KqlType;

/// The row of the best key: a struct of the arguments, the key first.
pub(crate) fn best(args: Vec<Typed>, greatest: bool, filter: Option<Expr>) -> Expr {
    let udaf = AggregateUDF::from(Best { kinds: args.iter().map(|arg| arg.kind).collect(), greatest });
    Expr::AggregateFunction(datafusion::logical_expr::expr::AggregateFunction::new_udf(
        Arc::new(udaf),
        args.into_iter().map(|arg| arg.expr).collect(),
        false,
        filter.map(Box::new),
        Vec::new(),
        None,
    ))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Best {
    kinds: Vec<KqlType>,
    greatest: bool,
}

impl Best {
    fn fields(&self) -> Fields {
        self.kinds
            .iter()
            .enumerate()
            .map(|(index, kind)| Field::new(field_name(index), kind.arrow(), true))
            .collect()
    }

    fn rows(&self) -> Result<BestRows> {
        // A null is the worst key either way.
        let options = SortOptions { descending: !self.greatest, nulls_first: true };
        let key = self.kinds.first().map_or(DataType::Null, |kind| kind.arrow());
        Ok(BestRows {
            fields: self.fields(),
            keys: RowConverter::new(vec![SortField::new_with_options(key, options)])?,
            rows: RowConverter::new(self.kinds.iter().map(|kind| SortField::new(kind.arrow())).collect())?,
            groups: Vec::new(),
            held: 0,
        })
    }
}

/// The name of an argument within the struct.
pub(crate) fn field_name(index: usize) -> String {
    format!("c{index}")
}

impl AggregateUDFImpl for Best {
    fn name(&self) -> &str {
        if self.greatest { "arg_max" } else { "arg_min" }
    }

    fn signature(&self) -> &Signature {
        &ANY_ARGUMENTS
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(self.fields()))
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(One(self.rows()?)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = |part: &str| format!("{}[{part}]", args.name);
        Ok(vec![
            Arc::new(Field::new(name("key"), DataType::Binary, true)),
            Arc::new(Field::new(name("row"), DataType::Binary, true)),
        ])
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.rows()?))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// A key in a form whose bytes compare as the keys do, and its row, in Arrow's row format both.
type KeyAndRow = Option<(Box<[u8]>, Box<[u8]>)>;

/// The best row of every group.
#[derive(Debug)]
struct BestRows {
    fields: Fields,
    keys: RowConverter,
    rows: RowConverter,
    groups: Vec<KeyAndRow>,
    /// Bytes that keys and rows hold together.
    held: usize,
}

impl BestRows {
    fn set(&mut self, group: usize, key: &[u8], row: &[u8]) {
        let before = self.groups[group].as_ref().map_or(0, |(key, row)| key.len() + row.len());
        self.groups[group] = Some((key.into(), row.into()));
        self.held = (self.held + key.len() + row.len()).saturating_sub(before);
    }

    fn is_better(&self, group: usize, key: &[u8]) -> bool {
        self.groups[group].as_ref().is_none_or(|(best, _)| key > best.as_ref())
    }

    fn grow(&mut self, total: usize) {
        self.groups.resize(total.max(self.groups.len()), None);
    }

    fn emit(&mut self, emit_to: EmitTo) -> Vec<KeyAndRow> {
        let emitted = emit_to.take_needed(&mut self.groups);
        let freed: usize = emitted.iter().flatten().map(|(key, row)| key.len() + row.len()).sum();
        self.held = self.held.saturating_sub(freed);
        emitted
    }
}

impl GroupsAccumulator for BestRows {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let keys = self.keys.convert_columns(&values[..1])?;
        // The winners of this batch first, by key alone; only their rows are written down.
        let mut winners: std::collections::HashMap<usize, u32> = std::collections::HashMap::new();
        for (row, group) in group_indices.iter().enumerate() {
            if opt_filter.is_some_and(|filter| filter.is_null(row) || !filter.value(row)) {
                continue;
            }
            let key = keys.row(row);
            let better = match winners.get(group) {
                Some(best) => key > keys.row(*best as usize),
                None => self.is_better(*group, key.as_ref()),
            };
            if better {
                winners.insert(*group, u32::try_from(row).unwrap_or(u32::MAX));
            }
        }
        let winners: Vec<(usize, u32)> = winners.into_iter().collect();
        let indices = UInt32Array::from_iter_values(winners.iter().map(|(_, row)| *row));
        let taken = values.iter().map(|array| take(array, &indices, None)).collect::<Result<Vec<_>, _>>()?;
        let rows = self.rows.convert_columns(&taken)?;
        for (index, (group, row)) in winners.into_iter().enumerate() {
            self.set(group, keys.row(row as usize).as_ref(), rows.row(index).as_ref());
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let emitted = self.emit(emit_to);
        let parser = self.rows.parser();
        let empty = {
            let nulls: Vec<ArrayRef> = self
                .fields
                .iter()
                .map(|field| datafusion::arrow::array::new_null_array(field.data_type(), 1))
                .collect();
            self.rows.convert_columns(&nulls)?
        };
        let rows = emitted.iter().map(|best| match best {
            Some((_, row)) => parser.parse(row),
            None => empty.row(0),
        });
        let arrays = self.rows.convert_rows(rows)?;
        Ok(Arc::new(StructArray::try_new(self.fields.clone(), arrays, None)?))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let mut keys = BinaryBuilder::new();
        let mut rows = BinaryBuilder::new();
        for best in self.emit(emit_to) {
            keys.append_option(best.as_ref().map(|(key, _)| key));
            rows.append_option(best.as_ref().map(|(_, row)| row));
        }
        Ok(vec![Arc::new(keys.finish()), Arc::new(rows.finish())])
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let keys = values[0].as_binary::<i32>();
        let rows = values[1].as_binary::<i32>();
        for (index, group) in group_indices.iter().enumerate() {
            if !keys.is_null(index) && self.is_better(*group, keys.value(index)) {
                self.set(*group, keys.value(index), rows.value(index));
            }
        }
        Ok(())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let keys = self.keys.convert_columns(&values[..1])?;
        let rows = self.rows.convert_columns(values)?;
        let mut key_builder = BinaryBuilder::new();
        let mut row_builder = BinaryBuilder::new();
        for row in 0..values[0].len() {
            let kept = opt_filter.is_none_or(|filter| !filter.is_null(row) && filter.value(row));
            key_builder.append_option(kept.then(|| keys.row(row)));
            row_builder.append_option(kept.then(|| rows.row(row)));
        }
        Ok(vec![Arc::new(key_builder.finish()), Arc::new(row_builder.finish())])
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<KeyAndRow>() + self.held + self.keys.size() + self.rows.size()
    }
}

/// A single group.
#[derive(Debug)]
struct One(BestRows);

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = values.first().map_or(0, |array| array.len());
        self.0.update_batch(values, &vec![0; rows], None, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.grow(1);
        ScalarValue::try_from_array(&self.0.evaluate(EmitTo::All)?, 0)
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.grow(1);
        let arrays = self.0.state(EmitTo::All)?;
        arrays.iter().map(|array| ScalarValue::try_from_array(array, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = states.first().map_or(0, |array| array.len());
        self.0.merge_batch(states, &vec![0; rows], 1)
    }
}
