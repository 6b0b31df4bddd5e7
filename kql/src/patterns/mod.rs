//! What rows have in common: the plugins `autocluster`, `basket` and `diffpatterns`.
//!
//! The input is the distinct rows of the dimensions, each with its weight, so that what is held grows with what differs,
//! not with the table.

mod search;
mod table;

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat, take};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::stream::{self, BoxStream, StreamExt};

use self::search::{Found, Search};
use self::table::{Table, Values};
use crate::pass::Pass;

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Method {
    /// The few patterns that weigh coverage against the number of columns they fix best.
    AutoCluster {
        /// How much coverage counts, against the number of columns: 0 to 1.
        size_weight: f64,
        /// From how many values the search begins.
        seeds: usize,
    },
    /// All patterns of a share of the rows.
    Basket {
        /// The least share.
        threshold: f64,
        /// The most columns that a pattern fixes on its own account.
        max_dimensions: usize,
    },
    /// Patterns whose shares of two sets of rows differ.
    DiffPatterns {
        /// The least difference of the shares.
        threshold: f64,
        /// The most columns that a pattern fixes on its own account.
        max_dimensions: usize,
    },
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Method::AutoCluster { .. } => "autocluster",
            Method::Basket { .. } => "basket",
            Method::DiffPatterns { .. } => "diffpatterns",
        }
    }

    /// The columns before the dimensions.
    pub(crate) fn columns(self) -> &'static [&'static str] {
        match self {
            Method::AutoCluster { .. } | Method::Basket { .. } => &["SegmentId", "Count", "Percent"],
            Method::DiffPatterns { .. } => {
                &["SegmentId", "CountA", "CountB", "PercentA", "PercentB", "PercentDiffAB"]
            }
        }
    }

    /// How many weights each row of the input has.
    pub(crate) fn sets(self) -> usize {
        match self {
            Method::AutoCluster { .. } | Method::Basket { .. } => 1,
            Method::DiffPatterns { .. } => 2,
        }
    }
}

/// A column of the result after the method's own.
#[derive(Debug, Clone)]
pub(crate) struct Dimension {
    pub(crate) name: String,
    /// The column of the input that it describes; a column that takes no part is always the wildcard.
    pub(crate) source: Option<usize>,
    pub(crate) wildcard: ScalarValue,
}

/// A search for patterns. Its input has the dimensions first, and then the weights of the rows in each set.
#[derive(Debug)]
pub(crate) struct Patterns {
    method: Method,
    dimensions: Vec<Dimension>,
    schema: SchemaRef,
}

impl Patterns {
    pub(crate) fn new(method: Method, dimensions: Vec<Dimension>) -> Self {
        let own = method.columns().iter().map(|name| {
            let kind = if name.starts_with("Percent") { DataType::Float64 } else { DataType::Int64 };
            Field::new(*name, kind, true)
        });
        let described = dimensions
            .iter()
            .map(|dimension| Field::new(&dimension.name, dimension.wildcard.data_type(), true));
        let schema = Arc::new(Schema::new(own.chain(described).collect::<Vec<_>>()));
        Patterns { method, dimensions, schema }
    }

    /// The columns before the dimensions.
    fn figures(&self, found: &[Found], totals: [f64; 2]) -> Vec<ArrayRef> {
        let ids = (0..).take(found.len());
        let percent = |set: usize| {
            let share = |found: &Found| match totals[set] > 0.0 {
                true => 100.0 * found.weight[set] / totals[set],
                false => 0.0,
            };
            found.iter().map(share).collect::<Vec<f64>>()
        };
        let count = |set: usize| -> ArrayRef {
            // A whole number, also where the weights are not.
            Arc::new(Int64Array::from_iter_values(found.iter().map(|found| found.weight[set].round() as i64)))
        };
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(ids));
        if self.method.sets() == 1 {
            return vec![ids, count(0), Arc::new(Float64Array::from(percent(0)))];
        }
        let (a, b) = (percent(0), percent(1));
        let difference = a.iter().zip(&b).map(|(a, b)| (a - b).abs());
        let difference = Float64Array::from_iter_values(difference);
        let (a, b) = (Float64Array::from(a), Float64Array::from(b));
        vec![ids, count(0), count(1), Arc::new(a), Arc::new(b), Arc::new(difference)]
    }

    /// A dimension's values in the patterns.
    fn described(&self, dimension: &Dimension, found: &[Found], values: &[Values]) -> Result<ArrayRef> {
        let wildcard = dimension.wildcard.to_array()?;
        let Some(source) = dimension.source else {
            return dimension.wildcard.to_array_of_size(found.len());
        };
        // The wildcard stands where the code for no value is.
        let known = values[source].array()?;
        let choices = concat(&[wildcard.as_ref(), known.as_ref()])?;
        let codes = UInt32Array::from_iter_values(found.iter().map(|found| found.codes[source]));
        Ok(take(choices.as_ref(), &codes, None)?)
    }
}

impl Pass for Patterns {
    fn name(&self) -> String {
        self.method.name().to_owned()
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn order(&self) -> Vec<usize> {
        vec![0]
    }

    fn run(
        self: Arc<Self>,
        rows: SendableRecordBatchStream,
        memory: MemoryReservation,
    ) -> BoxStream<'static, Result<RecordBatch>> {
        stream::once(async move { self.find(rows, &memory).await }).boxed()
    }
}

impl Patterns {
    async fn find(&self, rows: SendableRecordBatchStream, memory: &MemoryReservation) -> Result<RecordBatch> {
        let sets = self.method.sets();
        let (table, values) =
            Table::read(self.method.name(), rows, sets, memory, |totals| match self.method {
                Method::AutoCluster { .. } => [search::least_shared(totals[0]), 0.0],
                Method::Basket { threshold, .. } => [threshold * totals[0], 0.0],
                Method::DiffPatterns { threshold, .. } => [threshold * totals[0], threshold * totals[1]],
            })
            .await?;
        let mut search = Search::new(self.method.name(), &table, memory);
        let found = match self.method {
            Method::AutoCluster { size_weight, seeds } => search.auto_cluster(size_weight, seeds).await?,
            Method::Basket { threshold, max_dimensions } => search.basket(threshold, max_dimensions).await?,
            Method::DiffPatterns { threshold, max_dimensions } => {
                search.differences(threshold, max_dimensions).await?
            }
        };
        let mut arrays = self.figures(&found, table.totals);
        for dimension in &self.dimensions {
            arrays.push(self.described(dimension, &found, &values)?);
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), arrays)?)
    }
}
