//! Which files, and which batches of them, can hold rows that a query wants.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use provost_model::TableSpec;

use super::DAY;

/// Between which instants, in microseconds, the rows of a file or batch lie, and on which day, counted from the epoch;
/// none where that is not known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spans {
    pub(super) happened: Option<(i64, i64)>,
    pub(super) ingested: Option<(i64, i64)>,
    pub(super) day: Option<i32>,
}

/// One expression of all filters of a query.
pub(super) fn filter(
    session: &dyn Session,
    schema: &SchemaRef,
    filters: &[Expr],
) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let Some(filter) = conjunction(filters.iter().cloned()) else {
        return Ok(None);
    };
    session.create_physical_expr(filter, &DFSchema::try_from(Arc::clone(schema))?).map(Some)
}

/// What a filter leaves out.
pub(super) struct Pruning(Option<PruningPredicate>);

impl Pruning {
    /// That of a filter on a table's columns.
    pub(super) fn new(schema: &SchemaRef, filter: Option<&Arc<dyn PhysicalExpr>>) -> Result<Self> {
        let predicate = filter.map(|filter| {
            let predicate = PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema));
            predicate.try_build(Arc::clone(filter))
        });
        predicate.transpose().map(Self)
    }

    /// The parts in which rows can be wanted.
    pub(super) fn keep<T>(
        &self,
        parts: impl Iterator<Item = T>,
        spans: impl Fn(&T) -> Spans,
    ) -> Result<Vec<T>> {
        let parts: Vec<T> = parts.collect();
        let Some(predicate) = &self.0 else {
            return Ok(parts);
        };
        let kept = predicate.prune(&Known(parts.iter().map(spans).collect()))?;
        Ok(parts.into_iter().zip(kept).filter_map(|(part, kept)| kept.then_some(part)).collect())
    }
}

/// What is known of files or batches, one after the other.
struct Known(Vec<Spans>);

impl Known {
    fn bounds(&self, column: &Column, end: impl Fn((i64, i64)) -> i64) -> Option<ArrayRef> {
        let span = |spans: &Spans| match column.name.as_str() {
            TableSpec::TIME => Some(spans.happened),
            TableSpec::INGESTED_AT => Some(spans.ingested),
            _ => None,
        };
        if column.name == DAY {
            let days: Date32Array = self.0.iter().map(|spans| spans.day).collect();
            return Some(Arc::new(days));
        }
        let instants = self.0.iter().map(|spans| Some(span(spans)?.map(&end)));
        let instants: TimestampMicrosecondArray = instants.collect::<Option<Vec<Option<i64>>>>()?.into();
        Some(Arc::new(instants.with_timezone("UTC")))
    }
}

impl PruningStatistics for Known {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |(first, _)| first)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |(_, last)| last)
    }

    fn num_containers(&self) -> usize {
        self.0.len()
    }

    fn null_counts(&self, _: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
