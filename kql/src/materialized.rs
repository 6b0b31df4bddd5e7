//! `materialize()`: rows that are worked out once, however many times a query reads them.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::{MemTable, TableType};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use tokio::sync::OnceCell;

/// The rows of a plan. The first scan runs it, and all scans share what it gave. Rows that are too many for the engine's
/// memory are not kept: each scan works them out again.
#[derive(Debug)]
pub(crate) struct Materialized {
    plan: LogicalPlan,
    schema: SchemaRef,
    rows: OnceCell<Option<Rows>>,
}

#[derive(Debug)]
struct Rows {
    table: MemTable,
    /// The rows' share of the engine's memory, for as long as they are held.
    _memory: MemoryReservation,
}

impl Materialized {
    /// The plan's columns must have names that differ without their qualifiers.
    pub(crate) fn new(plan: LogicalPlan) -> Self {
        let schema = Arc::new(Schema::clone(plan.schema().as_arrow()));
        Materialized { plan, schema, rows: OnceCell::new() }
    }

    async fn run(&self, state: &dyn Session) -> Result<Option<Rows>> {
        let plan = state.create_physical_plan(&self.plan).await?;
        let context = state.task_ctx();
        let memory = MemoryConsumer::new("materialize").register(context.memory_pool());
        let mut stream = execute_stream(plan, context)?;
        let mut batches = Vec::new();
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            if memory.try_grow(batch.get_array_memory_size()).is_err() {
                return Ok(None);
            }
            // The plan may know more of its columns' nulls than it declared.
            batches.push(RecordBatch::try_new(Arc::clone(&self.schema), batch.columns().to_vec())?);
        }
        let table = MemTable::try_new(Arc::clone(&self.schema), vec![batches])?;
        Ok(Some(Rows { table, _memory: memory }))
    }

    /// The plan's own scan, as if it were not materialized.
    async fn again(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut plan = LogicalPlanBuilder::from(self.plan.clone());
        if let Some(projection) = projection {
            plan = plan.select(projection.iter().copied())?;
        }
        state.create_physical_plan(&plan.build()?).await
    }
}

#[async_trait]
impl TableProvider for Materialized {
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
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match self.rows.get_or_try_init(|| self.run(state)).await? {
            Some(rows) => rows.table.scan(state, projection, filters, limit).await,
            None => self.again(state, projection).await,
        }
    }
}
