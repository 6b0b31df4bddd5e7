//! The first stage of grouping, over strings in dictionaries.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};

use super::expression::Rewrite;
use super::groups::{Groups, can_group_by};
use crate::aggregates::reads_dictionaries;

/// An aggregate and what it is given.
#[derive(Debug, Clone)]
struct Aggregate {
    function: Arc<AggregateFunctionExpr>,
    args: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
}

/// The grouping over an input that has dictionaries now; `None` if its keys or aggregates are such that they have to be
/// written out.
pub(super) fn over_dictionaries(
    grouping: &AggregateExec,
    input: Arc<dyn ExecutionPlan>,
    rewrite: &Rewrite<'_>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let last = match grouping.mode() {
        AggregateMode::Partial => None,
        AggregateMode::Single => Some(AggregateMode::Final),
        AggregateMode::SinglePartitioned => Some(AggregateMode::FinalPartitioned),
        _ => return Ok(None),
    };
    let by = grouping.group_expr();
    if by.is_empty() || !by.is_single() || by.has_grouping_set() || grouping.limit_options().is_some() {
        return Ok(None);
    }
    let keys = by.expr().iter().map(|(key, _)| rewrite.kept(key)).collect::<Result<Vec<_>>>()?;
    let schema = input.schema();
    let kinds = keys.iter().map(|key| key.data_type(&schema)).collect::<Result<Vec<_>>>()?;
    let plain = |function: &AggregateFunctionExpr| {
        function.groups_accumulator_supported() && !function.is_distinct() && function.order_bys().is_empty()
    };
    if !can_group_by(&kinds) || !grouping.aggr_expr().iter().all(|function| plain(function)) {
        return Ok(None);
    }
    let aggregates = grouping.aggr_expr().iter().zip(grouping.filter_expr()).map(|(function, filter)| {
        let ours = reads_dictionaries(function.fun());
        let args = function.expressions();
        let args = args.iter().map(|arg| if ours { rewrite.kept(arg) } else { rewrite.whole(arg) });
        Ok(Aggregate {
            function: Arc::clone(function),
            args: args.collect::<Result<_>>()?,
            filter: filter.as_ref().map(|filter| rewrite.whole(filter)).transpose()?,
        })
    });
    let aggregates: Vec<Aggregate> = aggregates.collect::<Result<_>>()?;
    let functions = grouping.aggr_expr().to_vec();
    let first = AggregateExec::try_new(
        AggregateMode::Partial,
        by.clone(),
        functions.clone(),
        grouping.filter_expr().to_vec(),
        Arc::clone(grouping.input()),
        grouping.input_schema(),
    )?;
    let first = DictionaryAggregateExec::new(keys, kinds, aggregates, input, first.schema());
    let Some(last) = last else { return Ok(Some(Arc::new(first))) };
    let filters = vec![None; functions.len()];
    let last = AggregateExec::try_new(
        last,
        by.as_final(),
        functions,
        filters,
        Arc::new(first),
        grouping.input_schema(),
    )?;
    Ok(Some(Arc::new(last)))
}

/// Groups the rows of each partition by itself and gives the states of their aggregates, as the first of DataFusion's two
/// stages does. Where memory ends it gives what it has and begins anew: the second stage puts together what belongs
/// together.
#[derive(Debug)]
struct DictionaryAggregateExec {
    keys: Arc<[Arc<dyn PhysicalExpr>]>,
    kinds: Arc<[DataType]>,
    aggregates: Arc<[Aggregate]>,
    input: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl DictionaryAggregateExec {
    fn new(
        keys: Vec<Arc<dyn PhysicalExpr>>,
        kinds: Vec<DataType>,
        aggregates: Vec<Aggregate>,
        input: Arc<dyn ExecutionPlan>,
        schema: SchemaRef,
    ) -> Self {
        let properties = properties(&input, &schema);
        Self {
            keys: keys.into(),
            kinds: kinds.into(),
            aggregates: aggregates.into(),
            input,
            schema,
            properties,
        }
    }
}

fn properties(input: &Arc<dyn ExecutionPlan>, schema: &SchemaRef) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(Arc::clone(schema)),
        Partitioning::UnknownPartitioning(input.properties().output_partitioning().partition_count()),
        EmissionType::Final,
        input.properties().boundedness,
    ))
}

impl DisplayAs for DictionaryAggregateExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(|key| key.to_string()).collect();
        let names: Vec<&str> = self.aggregates.iter().map(|aggregate| aggregate.function.name()).collect();
        write!(f, "DictionaryAggregateExec: by=[{}], aggr=[{}]", keys.join(", "), names.join(", "))
    }
}

impl ExecutionPlan for DictionaryAggregateExec {
    fn name(&self) -> &str {
        "DictionaryAggregateExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let aggregates = self.aggregates.iter();
        let exprs = aggregates.flat_map(|aggregate| aggregate.args.iter().chain(&aggregate.filter));
        let mut recursion = TreeNodeRecursion::Continue;
        for expr in self.keys.iter().chain(exprs) {
            recursion = visit(expr)?;
        }
        Ok(recursion)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.into_iter().next() else { return Ok(self) };
        Ok(Arc::new(Self {
            keys: Arc::clone(&self.keys),
            kinds: Arc::clone(&self.kinds),
            aggregates: Arc::clone(&self.aggregates),
            properties: properties(&input, &self.schema),
            schema: Arc::clone(&self.schema),
            input,
        }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        // It gives way where memory ends, and so takes a fair share of it only.
        let memory =
            MemoryConsumer::new(format!("DictionaryAggregateExec[{partition}]")).with_can_spill(true);
        let stage = Stage {
            keys: Arc::clone(&self.keys),
            kinds: Arc::clone(&self.kinds),
            aggregates: Arc::clone(&self.aggregates),
            schema: Arc::clone(&self.schema),
            batch_size: context.session_config().batch_size(),
            memory: memory.register(context.memory_pool()),
            groups: Groups::new(&self.kinds),
            accumulators: accumulators(&self.aggregates)?,
            of_rows: Vec::new(),
        };
        let state = (input, Some(stage), VecDeque::new());
        let batches = stream::try_unfold(state, |(mut input, mut stage, mut ready)| async move {
            loop {
                if let Some(batch) = ready.pop_front() {
                    return Ok(Some((batch, (input, stage, ready))));
                }
                let Some(running) = &mut stage else { return Ok(None) };
                match input.next().await {
                    Some(batch) => {
                        running.take_in(&batch?)?;
                        if !running.fits() {
                            ready = running.give_out()?;
                        }
                    }
                    None => {
                        ready = running.give_out()?;
                        stage = None;
                    }
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches.into_stream())))
    }
}

fn accumulators(aggregates: &[Aggregate]) -> Result<Vec<Box<dyn GroupsAccumulator>>> {
    aggregates.iter().map(|aggregate| aggregate.function.create_groups_accumulator()).collect()
}

/// The groups of one partition as far as its rows have come.
struct Stage {
    keys: Arc<[Arc<dyn PhysicalExpr>]>,
    kinds: Arc<[DataType]>,
    aggregates: Arc<[Aggregate]>,
    schema: SchemaRef,
    batch_size: usize,
    memory: MemoryReservation,
    groups: Groups,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    /// The group of each row of a batch.
    of_rows: Vec<usize>,
}

impl Stage {
    fn take_in(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        let evaluate = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(batch)?.into_array(rows);
        let keys = self.keys.iter().map(evaluate).collect::<Result<Vec<_>>>()?;
        self.groups.of(&keys, rows, &mut self.of_rows)?;
        for (aggregate, accumulator) in self.aggregates.iter().zip(&mut self.accumulators) {
            let args = aggregate.args.iter().map(evaluate).collect::<Result<Vec<_>>>()?;
            let filter = aggregate.filter.as_ref().map(evaluate).transpose()?;
            let filter = filter.as_ref().map(|filter| filter.as_boolean());
            accumulator.update_batch(&args, &self.of_rows, filter, self.groups.len())?;
        }
        Ok(())
    }

    /// Whether there is memory for what is held.
    fn fits(&mut self) -> bool {
        let accumulators = self.accumulators.iter().map(|accumulator| accumulator.size());
        let held = self.groups.size() + accumulators.sum::<usize>();
        self.groups.len() < MOST_GROUPS && self.memory.try_resize(held).is_ok()
    }

    /// All groups with their states, and none are left.
    fn give_out(&mut self) -> Result<VecDeque<RecordBatch>> {
        let groups = std::mem::replace(&mut self.groups, Groups::new(&self.kinds));
        let fresh = accumulators(&self.aggregates)?;
        let mut states: Vec<ArrayRef> = Vec::new();
        if groups.len() > 0 {
            for mut accumulator in std::mem::replace(&mut self.accumulators, fresh) {
                states.extend(accumulator.state(EmitTo::All)?);
            }
        }
        let mut batches = VecDeque::new();
        for from in (0..groups.len()).step_by(self.batch_size.max(1)) {
            let count = self.batch_size.min(groups.len() - from);
            let mut columns = groups.keys(from, count);
            columns.extend(states.iter().map(|state| state.slice(from, count)));
            let options = RecordBatchOptions::new().with_row_count(Some(count));
            batches.push_back(RecordBatch::try_new_with_options(
                Arc::clone(&self.schema),
                columns,
                &options,
            )?);
        }
        self.memory.free();
        Ok(batches)
    }
}

/// More groups than these are not kept at once, whatever the memory.
const MOST_GROUPS: usize = 1 << 30;
