//! The operator in a physical plan.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use datafusion::physical_expr::{
    EquivalenceProperties, OrderingRequirements, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties, SendableRecordBatchStream, stream::RecordBatchStreamAdapter,
};
use futures::{StreamExt, future, stream};

use super::machine::{Machine, Run};

/// Runs `scan` over an input that comes in order.
#[derive(Debug)]
pub(super) struct SequencesExec {
    input: Arc<dyn ExecutionPlan>,
    machine: Arc<Machine>,
    number: String,
    properties: Arc<PlanProperties>,
}

impl SequencesExec {
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, machine: Arc<Machine>, number: String) -> Self {
        let schema = Arc::clone(&machine.schema);
        let number_key = schema.index_of(&number).ok().map(|index| {
            PhysicalSortExpr::new_default(
                Arc::new(PhysicalColumn::new(&number, index)) as Arc<dyn PhysicalExpr>
            )
        });
        let properties = PlanProperties::new(
            EquivalenceProperties::new_with_orderings(schema, number_key.map(|key| [key])),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            input.boundedness(),
        );
        SequencesExec { input, machine, number, properties: Arc::new(properties) }
    }
}

impl DisplayAs for SequencesExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SequencesExec: steps={}", self.machine.steps.len())
    }
}

impl ExecutionPlan for SequencesExec {
    fn name(&self) -> &str {
        "SequencesExec"
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
            Some(input) => {
                let machine = Arc::clone(&self.machine);
                Ok(Arc::new(SequencesExec::new(input, machine, self.number.clone())))
            }
            None => Ok(self),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let mut run = Run::new(Arc::clone(&self.machine));
        let batches = input.map(Some).chain(stream::once(future::ready(None)));
        let stream = batches.map(move |batch| match batch {
            Some(batch) => run.batch(batch?),
            None => {
                run.end_part();
                run.flush()
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.machine.schema), stream)))
    }
}
