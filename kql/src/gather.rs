//! Work that needs all rows of its input before it gives the first of its own, as DataFusion runs it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::TableType;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use datafusion::physical_expr::{
    EquivalenceProperties, OrderingRequirements, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties, stream::RecordBatchStreamAdapter,
};
use futures::stream;

/// What is done with the rows.
#[async_trait]
pub(crate) trait Gather: fmt::Debug + Send + Sync {
    /// What it is called in a plan.
    fn name(&self) -> &'static str;

    /// The rows it gives. They are in the order of their first columns, as many as [`Gather::ordered_by`] says.
    fn schema(&self) -> SchemaRef;

    /// How many of the first columns the rows are ordered by, ascending.
    fn ordered_by(&self) -> usize;

    /// Takes in all rows, and gives its own. What it holds of them it takes from `memory`.
    async fn gather(
        &self,
        rows: SendableRecordBatchStream,
        memory: &MemoryReservation,
    ) -> Result<RecordBatch>;
}

/// The rows that some work makes of a plan's.
#[derive(Debug)]
pub(crate) struct Gathered {
    plan: LogicalPlan,
    work: Arc<dyn Gather>,
}

impl Gathered {
    /// The work takes the plan's columns in their places, and the rows in the plan's order.
    pub(crate) fn new(plan: LogicalPlan, work: Arc<dyn Gather>) -> Self {
        Gathered { plan, work }
    }

    /// How many of the first columns the rows are ordered by.
    pub(crate) fn ordered_by(&self) -> usize {
        self.work.ordered_by()
    }
}

#[async_trait]
impl TableProvider for Gathered {
    fn schema(&self) -> SchemaRef {
        self.work.schema()
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
        let mut input = state.create_physical_plan(&self.plan).await?;
        if input.output_partitioning().partition_count() > 1 {
            input = Arc::new(CoalescePartitionsExec::new(input));
        }
        let exec = Arc::new(GatherExec::new(input, Arc::clone(&self.work)));
        let Some(projection) = projection else { return Ok(exec) };
        let schema = self.work.schema();
        let columns = projection.iter().map(|index| {
            let name = schema.field(*index).name();
            (Arc::new(PhysicalColumn::new(name, *index)) as Arc<dyn PhysicalExpr>, name.clone())
        });
        Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), exec)?))
    }
}

#[derive(Debug)]
struct GatherExec {
    input: Arc<dyn ExecutionPlan>,
    work: Arc<dyn Gather>,
    properties: Arc<PlanProperties>,
}

impl GatherExec {
    fn new(input: Arc<dyn ExecutionPlan>, work: Arc<dyn Gather>) -> Self {
        let schema = work.schema();
        let keys = schema.fields().iter().take(work.ordered_by()).enumerate();
        let keys: Vec<PhysicalSortExpr> = keys
            .map(|(index, field)| {
                let column = PhysicalColumn::new(field.name(), index);
                PhysicalSortExpr::new_default(Arc::new(column) as Arc<dyn PhysicalExpr>)
            })
            .collect();
        let orderings = if keys.is_empty() { Vec::new() } else { vec![keys] };
        let properties = PlanProperties::new(
            EquivalenceProperties::new_with_orderings(schema, orderings),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            input.boundedness(),
        );
        GatherExec { input, work, properties: Arc::new(properties) }
    }
}

impl DisplayAs for GatherExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GatherExec: {}", self.work.name())
    }
}

impl ExecutionPlan for GatherExec {
    fn name(&self) -> &str {
        "GatherExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![self.input.output_ordering().cloned().map(OrderingRequirements::from)]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.into_iter().next() {
            Some(input) => Ok(Arc::new(GatherExec::new(input, Arc::clone(&self.work)))),
            None => Ok(self),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let memory = MemoryConsumer::new(self.work.name()).register(context.memory_pool());
        let rows = self.input.execute(partition, context)?;
        let work = Arc::clone(&self.work);
        let batch = stream::once(async move { work.gather(rows, &memory).await });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.work.schema(), batch)))
    }
}
