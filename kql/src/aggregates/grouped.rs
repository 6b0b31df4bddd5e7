//! Aggregates of our own, as DataFusion runs them: the state of every group in one list, its memory accounted for.

use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, BooleanArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, Expr, GroupsAccumulator, Signature,
};

use crate::functions::Row;
use crate::functions::Typed;
use crate::functions::kernel::{ANY_ARGUMENTS, row_at};
use crate::types::KqlType;
use crate::value::{Builder, Cells, Value};

/// What an aggregate remembers of one group.
pub(crate) trait State: Default + Send + Sync + 'static {
    /// Takes in a row.
    fn update(&mut self, row: &Row<'_>);
    /// Takes in what another part of the same group remembered.
    fn merge(&mut self, other: Self);
    /// Writes the state down.
    fn save(&self) -> Vec<u8>;
    /// Reads what [`State::save`] wrote.
    fn load(bytes: &[u8]) -> Self;
    /// The aggregate's value.
    fn finish(self) -> Value<'static>;
    /// Bytes held beyond the state itself; asked for before and after every row, so it has to be quick.
    fn size(&self) -> usize;
}

/// Calls an aggregate on arguments.
pub(crate) fn call<S: State>(
    name: &'static str,
    args: Vec<Typed>,
    returns: KqlType,
    filter: Option<Expr>,
) -> Expr {
    let kinds = args.iter().map(|arg| arg.kind).collect();
    let udaf = AggregateUDF::from(Grouped::<S> { name, kinds, returns, state: PhantomData });
    let args = args.into_iter().map(|arg| arg.expr).collect();
    Expr::AggregateFunction(datafusion::logical_expr::expr::AggregateFunction::new_udf(
        Arc::new(udaf),
        args,
        false,
        filter.map(Box::new),
        Vec::new(),
        None,
    ))
}

/// Whether an aggregate takes strings in dictionaries: these here do, and they alone have this signature.
pub(crate) fn reads_dictionaries(function: &AggregateUDF) -> bool {
    std::ptr::eq(function.signature(), &*STATES)
}

static STATES: LazyLock<Signature> = LazyLock::new(|| ANY_ARGUMENTS.clone());

struct Grouped<S> {
    name: &'static str,
    kinds: Vec<KqlType>,
    returns: KqlType,
    state: PhantomData<fn() -> S>,
}

impl<S> std::fmt::Debug for Grouped<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grouped")
            .field("name", &self.name)
            .field("kinds", &self.kinds)
            .finish_non_exhaustive()
    }
}

impl<S> PartialEq for Grouped<S> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.kinds == other.kinds
    }
}

impl<S> Eq for Grouped<S> {}

impl<S> Hash for Grouped<S> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.kinds.hash(state);
    }
}

impl<S: State> AggregateUDFImpl for Grouped<S> {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &STATES
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.returns.arrow())
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(One(self.groups())))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format!("{}[state]", args.name), DataType::Binary, true))])
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.groups()))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

impl<S: State> Grouped<S> {
    fn groups(&self) -> Groups<S> {
        Groups { kinds: self.kinds.clone(), returns: self.returns, groups: Vec::new(), held: 0 }
    }
}

/// States of more bytes than these lie in memory that answers faster to many questions at once than to one after the
/// other: they are touched before they are changed.
const FAR: usize = 1 << 20;

/// The states of all groups.
struct Groups<S> {
    kinds: Vec<KqlType>,
    returns: KqlType,
    groups: Vec<S>,
    /// Bytes that the states hold together.
    held: usize,
}

impl<S> std::fmt::Debug for Groups<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Groups").field("groups", &self.groups.len()).finish_non_exhaustive()
    }
}

impl<S: State> Groups<S> {
    fn grow(&mut self, total: usize) {
        self.groups.resize_with(total.max(self.groups.len()), S::default);
    }

    fn change(&mut self, group: usize, change: impl FnOnce(&mut S)) {
        let state = &mut self.groups[group];
        let before = state.size();
        change(state);
        self.held = (self.held + state.size()).saturating_sub(before);
    }

    fn emit(&mut self, emit_to: EmitTo) -> Vec<S> {
        let emitted = emit_to.take_needed(&mut self.groups);
        let freed: usize = emitted.iter().map(State::size).sum();
        self.held = self.held.saturating_sub(freed);
        emitted
    }
}

impl<S: State> GroupsAccumulator for Groups<S> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let cells = values
            .iter()
            .map(|array| Ok((Cells::new(array.as_ref())?, false)))
            .collect::<Result<Vec<_>>>()?;
        if size_of_val(self.groups.as_slice()) > FAR {
            let touched = group_indices.iter().fold(0, |touched, group| touched ^ self.groups[*group].size());
            std::hint::black_box(touched);
        }
        let kinds = std::mem::take(&mut self.kinds);
        for (row, group) in group_indices.iter().enumerate() {
            if opt_filter.is_some_and(|filter| filter.is_null(row) || !filter.value(row)) {
                continue;
            }
            self.change(*group, |state| state.update(&row_at(&cells, &kinds, row)));
        }
        self.kinds = kinds;
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let emitted = self.emit(emit_to);
        let mut builder = Builder::new(self.returns, emitted.len());
        for state in emitted {
            builder.push(&state.finish());
        }
        Ok(builder.finish())
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let mut builder = BinaryBuilder::new();
        for state in self.emit(emit_to) {
            builder.append_value(state.save());
        }
        Ok(vec![Arc::new(builder.finish())])
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let states: &BinaryArray = values[0].as_binary();
        for (row, group) in group_indices.iter().enumerate() {
            if !states.is_null(row) {
                self.change(*group, |state| state.merge(S::load(states.value(row))));
            }
        }
        Ok(())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |array| array.len());
        let mut each =
            Groups::<S> { kinds: self.kinds.clone(), returns: self.returns, groups: Vec::new(), held: 0 };
        let indices: Vec<usize> = (0..rows).collect();
        each.update_batch(values, &indices, opt_filter, rows)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<S>() + self.held
    }
}

/// A single group.
struct One<S>(Groups<S>);

impl<S> std::fmt::Debug for One<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("One")
    }
}

impl<S: State> Accumulator for One<S> {
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
