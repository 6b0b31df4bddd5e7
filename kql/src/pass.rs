//! Work that goes over the rows of its input once and in their order, as DataFusion runs it.

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
use futures::stream::BoxStream;

/// What is done with the rows.
pub(crate) trait Pass: fmt::Debug + Send + Sync {
    /// What it is called in a plan.
    fn name(&self) -> String;

    /// The rows it gives.
    fn schema(&self) -> SchemaRef;

    /// The columns that the rows are ordered by, ascending and nulls first.
    fn order(&self) -> Vec<usize>;

    /// Whether rows come out while others go in, or after the last.
    fn emission(&self) -> EmissionType {
        EmissionType::Final
    }

    /// Takes in the rows, and gives its own. What it holds of them it takes from `memory`.
    fn run(
        self: Arc<Self>,
        rows: SendableRecordBatchStream,
        memory: MemoryReservation,
    ) -> BoxStream<'static, Result<RecordBatch>>;
}

/// The rows that a pass makes of a plan's.
#[derive(Debug)]
pub(crate) struct Passed {
    plan: LogicalPlan,
    pass: Arc<dyn Pass>,
}

impl Passed {
    /// The pass takes the plan's columns in their places, and the rows in the plan's order.
    pub(crate) fn new(plan: LogicalPlan, pass: Arc<dyn Pass>) -> Self {
        Passed { plan, pass }
    }

    /// The columns that the rows are ordered by.
    pub(crate) fn order(&self) -> Vec<usize> {
        self.pass.order()
    }
}

#[async_trait]
impl TableProvider for Passed {
    fn schema(&self) -> SchemaRef {
        self.pass.schema()
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
        let input = state.create_physical_plan(&self.plan).await?;
        let exec = Arc::new(PassExec::over(input, Arc::clone(&self.pass)));
        let Some(projection) = projection else { return Ok(exec) };
        let schema = self.pass.schema();
        let columns = projection.iter().map(|index| {
            let name = schema.field(*index).name();
            (Arc::new(PhysicalColumn::new(name, *index)) as Arc<dyn PhysicalExpr>, name.clone())
        });
        Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), exec)?))
    }
}

/// A pass over the rows of a physical plan, all in one stream.
#[derive(Debug)]
pub(crate) struct PassExec {
    input: Arc<dyn ExecutionPlan>,
    pass: Arc<dyn Pass>,
    properties: Arc<PlanProperties>,
}

impl PassExec {
    /// A pass over a plan whose rows come in one stream, or in no order.
    pub(crate) fn over(mut input: Arc<dyn ExecutionPlan>, pass: Arc<dyn Pass>) -> Self {
        if input.output_partitioning().partition_count() > 1 {
            input = Arc::new(CoalescePartitionsExec::new(input));
        }
        Self::new(input, pass)
    }

    /// The input may be in several ordered streams, while the optimiser is about to merge them.
    fn new(input: Arc<dyn ExecutionPlan>, pass: Arc<dyn Pass>) -> Self {
        let schema = pass.schema();
        let keys = pass.order().into_iter().map(|index| {
            let column = PhysicalColumn::new(schema.field(index).name(), index);
            PhysicalSortExpr::new_default(Arc::new(column) as Arc<dyn PhysicalExpr>)
        });
        let keys: Vec<PhysicalSortExpr> = keys.collect();
        let orderings = if keys.is_empty() { Vec::new() } else { vec![keys] };
        let properties = PlanProperties::new(
            EquivalenceProperties::new_with_orderings(schema, orderings),
            Partitioning::UnknownPartitioning(1),
            pass.emission(),
            input.boundedness(),
        );
        PassExec { input, pass, properties: Arc::new(properties) }
    }
}

impl DisplayAs for PassExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PassExec: {}", self.pass.name())
    }
}

impl ExecutionPlan for PassExec {
    fn name(&self) -> &str {
        "PassExec"
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
            Some(input) => Ok(Arc::new(PassExec::new(input, Arc::clone(&self.pass)))),
            None => Ok(self),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let memory = MemoryConsumer::new(self.pass.name()).register(context.memory_pool());
        let rows = self.input.execute(partition, context)?;
        let batches = Arc::clone(&self.pass).run(rows, memory);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.pass.schema(), batches)))
    }
}
