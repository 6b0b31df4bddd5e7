//! Strings that a table has as dictionaries: they stay so on their way through a plan, as far as they can.
//!
//! Log columns have few values and many rows. What a filter or a function asks of a string is then asked once of each
//! value of its dictionary ([`expression`]), and rows are grouped by numbers ([`aggregate`]). Wherever a plan does
//! something else with such a column, its strings are written out.

mod aggregate;
mod expression;
mod groups;

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int32Array, StringArray};
use datafusion::arrow::compute::{cast, concat};
use datafusion::arrow::datatypes::{DataType, Int32Type, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::{ExecutionPlan, replace_children_if_necessary};

use crate::scan::KqlScanExec;
use expression::{Rewrite, written_out};

/// The strings of a column as places in a list of values.
pub(crate) type Coded = DictionaryArray<Int32Type>;

/// Whether a column of this type is strings in a dictionary, the one kind that is kept.
pub(crate) fn is_coded(kind: &DataType) -> bool {
    matches!(kind, DataType::Dictionary(key, value) if **key == DataType::Int32 && **value == DataType::Utf8)
}

/// The type of such columns.
pub(crate) fn coded() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// Whether two lists of values are one and the same in memory.
fn same(left: &StringArray, right: &StringArray) -> bool {
    left.len() == right.len()
        && std::ptr::eq(left.value_offsets(), right.value_offsets())
        && std::ptr::eq(left.value_data(), right.value_data())
}

/// Puts the empty string where nulls are. Batches in a row have the same values: what was made of them is kept.
#[derive(Debug, Default)]
pub(crate) struct Filler(Option<(StringArray, ArrayRef)>);

impl Filler {
    pub(crate) fn fill(&mut self, array: &Coded) -> Result<ArrayRef> {
        if array.keys().null_count() == 0 && array.values().null_count() == 0 {
            return Ok(Arc::new(array.clone()));
        }
        let values: &StringArray = array.values().as_string();
        if values.null_count() > 0 {
            return Ok(cast(&filled_one_by_one(array), &coded())?);
        }
        let filled = match &self.0 {
            Some((known, filled)) if same(known, values) => Arc::clone(filled),
            _ => {
                let filled = concat(&[values, &StringArray::from(vec![""])])?;
                self.0 = Some((values.clone(), Arc::clone(&filled)));
                filled
            }
        };
        let empty = i32::try_from(values.len()).unwrap_or(i32::MAX);
        let keys: Vec<i32> = array.keys().iter().map(|key| key.unwrap_or(empty)).collect();
        Ok(Arc::new(Coded::try_new(Int32Array::from(keys), filled)?))
    }
}

/// The same where a value itself is null, which writers have no reason for.
fn filled_one_by_one(array: &Coded) -> StringArray {
    let values: &StringArray = array.values().as_string();
    let text = |key: i32| (!values.is_null(key as usize)).then(|| values.value(key as usize));
    array.keys().iter().map(|key| Some(key.and_then(text).unwrap_or(""))).collect()
}

/// The rule that keeps dictionaries; the last one, for it knows what each operator reads.
#[derive(Debug)]
pub(crate) struct KeepDictionaries;

impl PhysicalOptimizerRule for KeepDictionaries {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = plan.schema();
        write_out(keep(plan)?, &schema)
    }

    fn name(&self) -> &str {
        "keep_dictionaries"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The plan with dictionaries in it, and perhaps in what it gives.
fn keep(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(scan) = plan.downcast_ref::<KqlScanExec>() {
        return Ok(match scan.with_dictionaries() {
            Some(scan) => Arc::new(scan),
            None => plan,
        });
    }
    let before: Vec<SchemaRef> = plan.children().iter().map(|child| child.schema()).collect();
    let children: Vec<Arc<dyn ExecutionPlan>> =
        plan.children().into_iter().map(|child| keep(Arc::clone(child))).collect::<Result<_>>()?;
    if let ([schema], [child]) = (before.as_slice(), children.as_slice())
        && differs(schema, &child.schema())
    {
        let after = child.schema();
        let rewrite = Rewrite { before: schema, after: &after };
        if let Some(filter) = plan.downcast_ref::<FilterExec>() {
            let filter = FilterExecBuilder::from(filter)
                .with_predicate(rewrite.whole(filter.predicate())?)
                .with_input(Arc::clone(child));
            return Ok(Arc::new(filter.build()?));
        }
        if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
            let exprs = projection.expr().iter().map(|projected| {
                Ok(ProjectionExpr::new(rewrite.kept(&projected.expr)?, projected.alias.clone()))
            });
            let exprs: Vec<ProjectionExpr> = exprs.collect::<Result<_>>()?;
            return Ok(Arc::new(ProjectionExec::try_new(exprs, Arc::clone(child))?));
        }
        if let Some(grouping) = plan.downcast_ref::<AggregateExec>()
            && let Some(grouping) = aggregate::over_dictionaries(grouping, Arc::clone(child), &rewrite)?
        {
            return Ok(grouping);
        }
        if plan.is::<CoalescePartitionsExec>() {
            return replace_children_if_necessary(plan, children);
        }
    }
    let children = children
        .into_iter()
        .zip(&before)
        .map(|(child, before)| write_out(child, before))
        .collect::<Result<_>>()?;
    replace_children_if_necessary(plan, children)
}

fn differs(before: &Schema, after: &Schema) -> bool {
    before.fields().iter().zip(after.fields()).any(|(before, after)| before.data_type() != after.data_type())
}

/// The plan with the columns of the schema it had.
fn write_out(plan: Arc<dyn ExecutionPlan>, before: &Schema) -> Result<Arc<dyn ExecutionPlan>> {
    let after = plan.schema();
    if !differs(before, &after) {
        return Ok(plan);
    }
    let columns = after.fields().iter().enumerate().map(|(index, field)| {
        let column = expression::column(field.name(), index);
        let expr = if is_coded(field.data_type()) { written_out(column) } else { column };
        ProjectionExpr::new(expr, field.name().clone())
    });
    let columns: Vec<ProjectionExpr> = columns.collect();
    Ok(Arc::new(ProjectionExec::try_new(columns, plan)?))
}
