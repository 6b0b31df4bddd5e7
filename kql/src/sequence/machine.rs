//! What `scan` remembers, and how a row changes it.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, new_null_array,
};
use datafusion::arrow::compute::{cast, concat, interleave};
use datafusion::arrow::datatypes::{DataType, Field, Fields, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;

use super::{Emit, Program};

/// A column of the result.
#[derive(Debug, Clone, Copy)]
enum Output {
    /// The input's column at this place.
    Source(usize),
    /// The set column at this place.
    Set(usize),
    MatchId,
    Number,
}

/// A step made ready to run.
#[derive(Debug)]
pub(super) struct ReadyStep {
    condition: Arc<dyn PhysicalExpr>,
    /// Whether the condition looks at earlier rows; if not, it is tested for all rows of a batch at once.
    looks_back: bool,
    /// For each set column the value that the step gives it, if it does.
    sets: Vec<Option<Arc<dyn PhysicalExpr>>>,
    emit: Emit,
    /// The slots that a row of this step fills, and from where.
    fills: Vec<(usize, Output)>,
}

/// A program made ready to run over an input.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) steps: Vec<ReadyStep>,
    /// The slots while no step has a row.
    empty: Vec<ArrayRef>,
    /// The input's columns that expressions look at; they come before the slots.
    watched: Vec<usize>,
    /// What expressions see.
    seen: SchemaRef,
    /// Columns that a step may set.
    settable: Vec<Settable>,
    parts: Vec<usize>,
    outputs: Vec<Output>,
    pub(super) schema: SchemaRef,
}

/// A column that a step may set, and what it holds where none does.
#[derive(Debug)]
struct Settable {
    kind: DataType,
    unset: Unset,
}

#[derive(Debug)]
enum Unset {
    Source(usize),
    Default(ArrayRef),
}

impl Machine {
    pub(super) fn new(
        program: &Program,
        state: &dyn Session,
        input: &SchemaRef,
        watched: &HashSet<String>,
        schema: SchemaRef,
    ) -> Result<Self> {
        let watched: Vec<usize> =
            (0..input.fields().len()).filter(|index| watched.contains(input.field(*index).name())).collect();
        let mut seen: Vec<Field> = watched.iter().map(|index| input.field(*index).clone()).collect();
        seen.extend(program.slots.iter().map(|slot| Field::new(&slot.name, slot.default.data_type(), true)));
        let seen = DFSchema::from_unqualified_fields(Fields::from(seen), Default::default())?;
        // Some functions are only there until they are simplified, which no optimiser does here.
        let context = SimplifyContext::builder().with_schema(Arc::new(seen.clone())).build();
        let simplifier = ExprSimplifier::new(context);
        let ready = |expr: &Expr| {
            let expr = simplifier.simplify(simplifier.coerce(expr.clone(), &seen)?)?;
            state.create_physical_expr(expr, &seen)
        };

        let mut names: Vec<&str> = program.declared.iter().map(|(name, _)| name.as_str()).collect();
        let set =
            program.steps.iter().flat_map(|step| step.assignments.iter().map(|(name, _)| name.as_str()));
        for name in set {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let settable = names.iter().map(|name| {
            Ok(match program.declared.iter().find(|(declared, _)| declared == name) {
                Some((_, default)) => {
                    Settable { kind: default.data_type(), unset: Unset::Default(default.to_array()?) }
                }
                None => {
                    let index = input.index_of(name)?;
                    Settable { kind: input.field(index).data_type().clone(), unset: Unset::Source(index) }
                }
            })
        });
        let output = |name: &str| -> Result<Output> {
            Ok(if name == program.number {
                Output::Number
            } else if program.match_id.as_deref() == Some(name) {
                Output::MatchId
            } else if let Some(place) = names.iter().position(|known| *known == name) {
                Output::Set(place)
            } else {
                Output::Source(input.index_of(name)?)
            })
        };
        let slot_names: HashSet<&str> = program.slots.iter().map(|slot| slot.name.as_str()).collect();
        let steps = program.steps.iter().enumerate().map(|(index, step)| {
            let sets = names.iter().map(|name| {
                let assigned = step.assignments.iter().rev().find(|(own, _)| own == name);
                assigned.map(|(_, expr)| ready(expr)).transpose()
            });
            let own = program.slots.iter().enumerate().filter(|(_, slot)| slot.step == index);
            let refs = step.condition.column_refs();
            Ok(ReadyStep {
                condition: ready(&step.condition)?,
                looks_back: refs.iter().any(|column| slot_names.contains(column.name.as_str())),
                sets: sets.collect::<Result<_>>()?,
                emit: step.emit,
                fills: own.map(|(at, slot)| Ok((at, output(&slot.column)?))).collect::<Result<_>>()?,
            })
        });
        Ok(Machine {
            steps: steps.collect::<Result<_>>()?,
            empty: program.slots.iter().map(|slot| slot.default.to_array()).collect::<Result<_>>()?,
            watched,
            settable: settable.collect::<Result<_>>()?,
            parts: program.parts.iter().map(|part| Ok(input.index_of(&part.name)?)).collect::<Result<_>>()?,
            outputs: schema.fields().iter().map(|field| output(field.name())).collect::<Result<_>>()?,
            seen: Arc::clone(seen.inner()),
            schema,
        })
    }

    /// What a column holds in one row.
    fn cell(&self, column: Output, found: &Found) -> ArrayRef {
        match column {
            Output::Set(place) => Arc::clone(&found.set[place]),
            Output::Source(index) => found.batch.column(index).slice(found.row, 1),
            Output::MatchId | Output::Number => Arc::new(Int64Array::from(vec![found.match_id])),
        }
    }

    /// An expression over one row and the slots.
    fn evaluate(
        &self,
        expr: &Arc<dyn PhysicalExpr>,
        batch: &RecordBatch,
        row: usize,
        values: &[ArrayRef],
    ) -> Result<ArrayRef> {
        let watched = self.watched.iter().map(|index| batch.column(*index).slice(row, 1));
        self.over(expr, watched.chain(values.iter().cloned()).collect(), 1)
    }

    /// A condition that does not look back, over all rows of a batch.
    fn for_all(&self, step: &ReadyStep, batch: &RecordBatch) -> Result<BooleanArray> {
        let rows = batch.num_rows();
        let watched = self.watched.iter().map(|index| Arc::clone(batch.column(*index)));
        let slots = self.empty.iter().map(|slot| new_null_array(slot.data_type(), rows));
        truths(&self.over(&step.condition, watched.chain(slots).collect(), rows)?)
    }

    fn over(&self, expr: &Arc<dyn PhysicalExpr>, columns: Vec<ArrayRef>, rows: usize) -> Result<ArrayRef> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let seen = RecordBatch::try_new_with_options(Arc::clone(&self.seen), columns, &options)?;
        expr.evaluate(&seen)?.into_array(rows)
    }
}

/// A condition's values, also where they are all null and of no type.
fn truths(values: &ArrayRef) -> Result<BooleanArray> {
    Ok(cast(values, &DataType::Boolean)?.as_boolean().clone())
}

/// A row that belongs to a step.
#[derive(Debug)]
struct Found {
    batch: Arc<RecordBatch>,
    row: usize,
    /// The set columns.
    set: Vec<ArrayRef>,
    match_id: i64,
}

/// A sequence under way, held by the last step it has reached.
#[derive(Debug)]
struct Sequence {
    match_id: i64,
    /// The slots; those of later steps are empty.
    values: Vec<ArrayRef>,
    /// The last match, where only the last comes out.
    pending: Option<Found>,
}

/// A run over the rows.
pub(super) struct Run {
    machine: Arc<Machine>,
    /// For each step the sequence that has reached it.
    states: Vec<Option<Sequence>>,
    next_id: i64,
    part: Vec<ScalarValue>,
    /// Rows to come out.
    found: Vec<Found>,
    /// How many have come out.
    count: i64,
}

impl Run {
    pub(super) fn new(machine: Arc<Machine>) -> Self {
        let states = machine.steps.iter().map(|_| None).collect();
        Run { machine, states, next_id: 0, part: Vec::new(), found: Vec::new(), count: 0 }
    }

    /// Takes a batch in, and gives the rows that come out by it.
    pub(super) fn batch(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let machine = Arc::clone(&self.machine);
        let batch = Arc::new(batch);
        let known = machine
            .steps
            .iter()
            .map(|step| if step.looks_back { Ok(None) } else { machine.for_all(step, &batch).map(Some) })
            .collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            self.enter_part(&batch, row)?;
            self.row(&batch, row, &known)?;
        }
        self.flush()
    }

    /// Ends all sequences where a new part begins.
    fn enter_part(&mut self, batch: &RecordBatch, row: usize) -> Result<()> {
        let machine = Arc::clone(&self.machine);
        if machine.parts.is_empty() {
            return Ok(());
        }
        let part = machine.parts.iter().map(|index| ScalarValue::try_from_array(batch.column(*index), row));
        let part = part.collect::<Result<Vec<_>>>()?;
        if part != self.part {
            self.end_part();
            self.part = part;
        }
        Ok(())
    }

    pub(super) fn end_part(&mut self) {
        for state in self.states.iter_mut().rev() {
            self.found.extend(state.take().and_then(|sequence| sequence.pending));
        }
        self.next_id = 0;
    }

    /// Holds a row against the steps, from the last to the first.
    fn row(&mut self, batch: &Arc<RecordBatch>, row: usize, known: &[Option<BooleanArray>]) -> Result<()> {
        let machine = Arc::clone(&self.machine);
        let meets = |step: usize, state: Option<&Sequence>| match &known[step] {
            Some(all) => Ok(all.is_valid(row) && all.value(row)),
            None => {
                let values = state.map_or(&machine.empty, |sequence| &sequence.values);
                let met = truths(&machine.evaluate(&machine.steps[step].condition, batch, row, values)?)?;
                Ok::<_, datafusion::error::DataFusionError>(met.is_valid(0) && met.value(0))
            }
        };
        for step in (0..machine.steps.len()).rev() {
            let before = step.checked_sub(1);
            if let Some(before) = before.filter(|before| self.states[*before].is_some())
                && meets(step, self.states[before].as_ref())?
            {
                // The sequence goes on to this step, in the place of the one that was here.
                let old = self.states[step].take().and_then(|sequence| sequence.pending);
                self.found.extend(old);
                if let Some(mut sequence) = self.states[before].take() {
                    self.found.extend(sequence.pending.take());
                    self.matched(step, sequence, batch, row)?;
                }
            } else if (step == 0 || self.states[step].is_some()) && meets(step, self.states[step].as_ref())? {
                let sequence = self.states[step].take().unwrap_or_else(|| {
                    self.next_id += 1;
                    Sequence { match_id: self.next_id - 1, values: machine.empty.clone(), pending: None }
                });
                self.matched(step, sequence, batch, row)?;
            }
        }
        Ok(())
    }

    /// Puts a row into a sequence, which then stands at the step.
    fn matched(
        &mut self,
        step: usize,
        mut sequence: Sequence,
        batch: &Arc<RecordBatch>,
        row: usize,
    ) -> Result<()> {
        let machine = Arc::clone(&self.machine);
        let ready = &machine.steps[step];
        let set = ready.sets.iter().zip(&machine.settable).map(|(value, settable)| {
            Ok(match (value, &settable.unset) {
                // One kind of string for another.
                (Some(value), _) => {
                    cast(&machine.evaluate(value, batch, row, &sequence.values)?, &settable.kind)?
                }
                (None, Unset::Source(index)) => batch.column(*index).slice(row, 1),
                (None, Unset::Default(default)) => Arc::clone(default),
            })
        });
        let set = set.collect::<Result<Vec<_>>>()?;
        let found = Found { batch: Arc::clone(batch), row, set, match_id: sequence.match_id };
        for (slot, column) in &ready.fills {
            sequence.values[*slot] = machine.cell(*column, &found);
        }
        match ready.emit {
            Emit::All => self.found.push(found),
            Emit::Last => sequence.pending = Some(found),
            Emit::None => {}
        }
        self.states[step] = Some(sequence);
        Ok(())
    }

    /// The rows that wait to come out.
    pub(super) fn flush(&mut self) -> Result<RecordBatch> {
        let found = std::mem::take(&mut self.found);
        let rows = found.len();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let schema = Arc::clone(&self.machine.schema);
        if rows == 0 {
            return Ok(RecordBatch::new_empty(schema));
        }
        let mut batches: Vec<&Arc<RecordBatch>> = Vec::new();
        let mut places = Vec::with_capacity(rows);
        for row in &found {
            // They are few: that of now, and those of matches that had to wait.
            let known = batches.iter().rposition(|batch| Arc::ptr_eq(batch, &row.batch));
            let batch = known.unwrap_or_else(|| {
                batches.push(&row.batch);
                batches.len() - 1
            });
            places.push((batch, row.row));
        }
        let first = self.count;
        let arrays = self.machine.outputs.iter().map(|output| {
            Ok(match output {
                Output::Source(index) => {
                    let sources: Vec<&dyn Array> =
                        batches.iter().map(|batch| batch.column(*index).as_ref()).collect();
                    interleave(&sources, &places)?
                }
                Output::Set(place) => {
                    let cells: Vec<&dyn Array> = found.iter().map(|row| row.set[*place].as_ref()).collect();
                    concat(&cells)?
                }
                Output::MatchId => {
                    Arc::new(Int64Array::from_iter_values(found.iter().map(|row| row.match_id)))
                }
                Output::Number => Arc::new(Int64Array::from_iter_values((first..).take(rows))),
            })
        });
        let arrays = arrays.collect::<Result<Vec<ArrayRef>>>()?;
        self.count += i64::try_from(rows).unwrap_or(i64::MAX);
        Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
    }
}
