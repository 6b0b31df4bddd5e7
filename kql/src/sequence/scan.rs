//! The operator `scan`, as DataFusion runs it: row after row, with what it remembers of the sequences under way.
//!
//! It holds one sequence for each step, and of each only the values that the steps refer to. The rows come in order, part
//! by part, so that the work grows with the rows alone, and what is remembered does not grow with them at all.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Column as PlanColumn, Result, ScalarValue};
use datafusion::datasource::TableType;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, SortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::EmissionType;
use futures::future;
use futures::stream::{self, BoxStream, StreamExt};

use super::machine::{Machine, Run};
use crate::pass::{Pass, PassExec};

/// Which rows of a step come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Emit {
    All,
    /// Of matches one after another, the last.
    Last,
    None,
}

/// A step: when a row belongs to it, and what it then sets.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) condition: Expr,
    /// Values by the name of the column that takes them.
    pub(crate) assignments: Vec<(String, Expr)>,
    pub(crate) emit: Emit,
}

/// A value of an earlier row that expressions refer to.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    /// What expressions call it.
    pub(crate) name: String,
    pub(crate) step: usize,
    pub(crate) column: String,
    /// Its value while the step has no row.
    pub(crate) default: ScalarValue,
}

/// What `scan` is to do. All columns are called as the plan calls them.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) steps: Vec<Step>,
    pub(crate) slots: Vec<Slot>,
    /// Columns beside those of the source, with the value that they have where no step sets them.
    pub(crate) declared: Vec<(String, ScalarValue)>,
    pub(crate) match_id: Option<String>,
    /// A column that counts the rows that come out.
    pub(crate) number: String,
    /// Where one of these changes, all sequences end.
    pub(crate) parts: Vec<PlanColumn>,
    /// The order of the rows within a part.
    pub(crate) order: Vec<SortExpr>,
}

/// The rows that `scan` makes of a plan's.
#[derive(Debug)]
pub(crate) struct Sequences {
    plan: LogicalPlan,
    program: Program,
    schema: SchemaRef,
}

impl Sequences {
    /// The plan's columns must have names that differ without their qualifiers.
    pub(crate) fn new(plan: LogicalPlan, program: Program) -> Self {
        let mut fields: Vec<Field> =
            plan.schema().fields().iter().map(|field| Field::clone(field).with_nullable(true)).collect();
        let long = ScalarValue::Int64(None);
        let declared = program.declared.iter().map(|(name, default)| (name, default));
        let added =
            declared.chain(program.match_id.iter().chain([&program.number]).map(|name| (name, &long)));
        fields.extend(added.map(|(name, value)| Field::new(name, value.data_type(), true)));
        Sequences { plan, program, schema: Arc::new(Schema::new(fields)) }
    }
}

#[async_trait]
impl TableProvider for Sequences {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let program = &self.program;
        let schema = match projection {
            Some(projection) => Arc::new(self.schema.project(projection)?),
            None => Arc::clone(&self.schema),
        };
        // Of the source only what comes out, what the steps look at, and what the order hangs on.
        let mut needed: HashSet<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let mut watched: HashSet<String> = HashSet::new();
        for step in &program.steps {
            for expr in std::iter::once(&step.condition).chain(step.assignments.iter().map(|(_, expr)| expr))
            {
                watched.extend(expr.column_refs().into_iter().map(|column| column.name.clone()));
            }
        }
        needed.extend(watched.iter().cloned());
        needed.extend(
            program.steps.iter().flat_map(|step| &step.assignments).map(|(column, _)| column.clone()),
        );
        needed.extend(program.slots.iter().map(|slot| slot.column.clone()));
        needed.extend(program.parts.iter().map(|column| column.name.clone()));
        for key in &program.order {
            needed.extend(key.expr.column_refs().into_iter().map(|column| column.name.clone()));
        }
        let columns = self.plan.schema().columns();
        let source = columns.into_iter().filter(|column| needed.contains(&column.name)).map(Expr::Column);
        let parts = program.parts.iter().map(|column| Expr::Column(column.clone()).sort(true, true));
        let keys: Vec<SortExpr> = parts.chain(program.order.iter().cloned()).collect();
        let mut plan = LogicalPlanBuilder::from(self.plan.clone()).project(source.collect::<Vec<_>>())?;
        if !keys.is_empty() {
            plan = plan.sort(keys)?;
        }
        let input = state.create_physical_plan(&plan.build()?).await?;
        let number = schema.index_of(&program.number).ok();
        let machine = Arc::new(Machine::new(program, state, &input.schema(), &watched, schema)?);
        Ok(Arc::new(PassExec::over(input, Arc::new(Scan { machine, number }))))
    }
}

/// The steps over an input that comes in order.
#[derive(Debug)]
struct Scan {
    machine: Arc<Machine>,
    /// The column that counts the rows, where it is asked for.
    number: Option<usize>,
}

impl Pass for Scan {
    fn name(&self) -> String {
        format!("scan, steps={}", self.machine.steps.len())
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.machine.schema)
    }

    fn order(&self) -> Vec<usize> {
        self.number.into_iter().collect()
    }

    fn emission(&self) -> EmissionType {
        EmissionType::Incremental
    }

    /// Of the rows nothing is held but the values of one sequence a step.
    fn run(
        self: Arc<Self>,
        rows: SendableRecordBatchStream,
        _memory: MemoryReservation,
    ) -> BoxStream<'static, Result<RecordBatch>> {
        let mut run = Run::new(Arc::clone(&self.machine));
        let batches = rows.map(Some).chain(stream::once(future::ready(None)));
        let results = batches.map(move |batch| match batch {
            Some(batch) => run.batch(batch?),
            None => {
                run.end_part();
                run.flush()
            }
        });
        results.boxed()
    }
}
