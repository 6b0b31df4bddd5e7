//! The rows of a table at one version, as queries read them.
//!
//! What fits into the lake's memory is decoded once and shared by all queries; of longer stretches Delta's own scan
//! reads what each query needs.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray,
};
use arrow::compute::{max, min};
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use deltalake_core::logstore::object_store::{ObjectMeta, path::Path};
use deltalake_core::{DeltaTable, DeltaTableError};
use provost_model::TableSpec;

use super::DAY;
use super::columns::{ColumnCache, Reading};

/// Rows of one batch.
const BATCH: usize = 8192;
/// The log rounds event times down to milliseconds.
const ROUNDED: i64 = 1000;

/// A table of the lake at one version.
pub(super) struct TableRows {
    delta: Arc<dyn TableProvider>,
    files: Vec<DataFile>,
    reading: Reading,
    cache: Arc<ColumnCache>,
}

impl fmt::Debug for TableRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableRows").field("files", &self.files.len()).finish_non_exhaustive()
    }
}

/// A Parquet file of the table.
struct DataFile {
    file: PartitionedFile,
    spans: Spans,
}

/// Between which instants, in microseconds, the rows of a file or batch lie; none where that is not known.
#[derive(Clone, Copy)]
struct Spans {
    happened: Option<(i64, i64)>,
    ingested: Option<(i64, i64)>,
}

/// The rows of a table, from memory where the cache has room for them. `delta` is Delta's own view of the same version.
pub(super) fn table_rows(
    table: &DeltaTable,
    delta: Arc<dyn TableProvider>,
    session: &SessionContext,
    cache: &Arc<ColumnCache>,
) -> Result<Arc<dyn TableProvider>, DeltaTableError> {
    let Some(files) = data_files(table)? else {
        return Ok(delta);
    };
    let (day, columns): (Vec<_>, Vec<_>) =
        delta.schema().fields().iter().cloned().partition(|field| field.name() == DAY);
    let schema = TableSchema::builder(Arc::new(Schema::new(columns))).with_table_partition_cols(day).build();
    // A scheme of its own: Delta keeps its stores in the same registry.
    let name = table.table_url().path().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let store = ObjectStoreUrl::parse(format!("lake-files://{}", name.to_ascii_lowercase()))?;
    session.runtime_env().register_object_store(store.as_ref(), table.object_store());
    let reading = Reading { store, schema, task: session.task_ctx() };
    Ok(Arc::new(TableRows { delta, files, reading, cache: Arc::clone(cache) }))
}

/// The files of a table, or nothing where only Delta's own scan may read them: another program can have deleted rows
/// by vectors, or renamed columns.
fn data_files(table: &DeltaTable) -> Result<Option<Vec<DataFile>>, DeltaTableError> {
    let state = table.snapshot()?;
    if state.metadata().configuration().contains_key("delta.columnMapping.mode") {
        return Ok(None);
    }
    let mut files = Vec::new();
    for batch in state.add_actions_batches(true)? {
        let schema = batch.schema();
        if schema.fields().iter().any(|field| field.name().starts_with("deletion_vector")) {
            return Ok(None);
        }
        let column = |name: &str| batch.column_by_name(name);
        let text = column("path").map(|array| arrow::compute::cast(array, &DataType::Utf8)).transpose()?;
        let (Some(paths), Some(sizes), Some(days)) = (
            text.as_ref().and_then(|array| array.as_string_opt::<i32>()),
            column("size_bytes").and_then(|array| array.as_primitive_opt::<Int64Type>()),
            column(&format!("partition.{DAY}")),
        ) else {
            return Ok(None);
        };
        let instant = |bound: &str, name: &str, row: usize| {
            let instants = column(&format!("{bound}.{name}"))?;
            let instants = instants.as_primitive_opt::<TimestampMicrosecondType>()?;
            instants.is_valid(row).then(|| instants.value(row))
        };
        let span = |name: &str, row: usize| {
            let (first, last) = (instant("min", name, row)?, instant("max", name, row)?);
            Some((first, last.saturating_add(ROUNDED)))
        };
        for row in 0..batch.num_rows() {
            let path = paths.value(row);
            let meta = ObjectMeta {
                location: Path::parse(path).unwrap_or_else(|_| Path::from(path)),
                // Files are never changed, so that their age is of no interest.
                last_modified: chrono::DateTime::UNIX_EPOCH,
                size: u64::try_from(sizes.value(row)).unwrap_or_default(),
                e_tag: None,
                version: None,
            };
            let day = ScalarValue::try_from_array(days, row)?;
            let spans =
                Spans { happened: span(TableSpec::TIME, row), ingested: span(TableSpec::INGESTED_AT, row) };
            let file = PartitionedFile::new_from_meta(meta).with_partition_values(vec![day]);
            files.push(DataFile { file, spans });
        }
    }
    Ok(Some(files))
}

#[async_trait]
impl TableProvider for TableRows {
    fn schema(&self) -> SchemaRef {
        self.delta.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        // They only leave files and batches out, so that the answer is the same wherever the rows come from.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let pruning = pruning(session, &self.schema(), filters)?;
        let files: Vec<&DataFile> = keep(self.files.iter(), |file| file.spans, pruning.as_ref())?;
        let schema = match projection {
            Some(projection) => Arc::new(self.schema().project(projection)?),
            None => self.schema(),
        };
        let files: Vec<&PartitionedFile> = files.into_iter().map(|file| &file.file).collect();
        let mut names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        if !names.contains(&TableSpec::TIME) {
            names.push(TableSpec::TIME);
        }
        if !self.cache.has_room_for(&self.reading, &files, &names).await? {
            return self.delta.scan(session, projection, filters, limit).await;
        }
        let mut batches = Vec::new();
        for file in files {
            batches.extend(self.batches(file, &schema, pruning.as_ref()).await?);
        }
        let share = batches.len().div_ceil(session.config().target_partitions().max(1)).max(1);
        let mut partitions: Vec<Vec<RecordBatch>> = batches.chunks(share).map(<[_]>::to_vec).collect();
        if partitions.is_empty() {
            partitions.push(Vec::new());
        }
        Ok(MemorySourceConfig::try_new_exec(&partitions, schema, None)?)
    }
}

impl TableRows {
    /// The batches of a file in which rows can be wanted.
    async fn batches(
        &self,
        file: &PartitionedFile,
        schema: &SchemaRef,
        pruning: Option<&PruningPredicate>,
    ) -> DataFusionResult<Vec<RecordBatch>> {
        let times = self.cache.column(&self.reading, file, TableSpec::TIME).await?;
        let starts = (0..times.len()).step_by(BATCH);
        let slices = starts.map(|start| (start, BATCH.min(times.len() - start)));
        let spans = |(start, length): &(usize, usize)| {
            let times = times.slice(*start, *length);
            let times = times.as_primitive_opt::<TimestampMicrosecondType>();
            Spans { happened: times.and_then(|times| min(times).zip(max(times))), ingested: None }
        };
        let slices = keep(slices, spans, pruning)?;
        if slices.is_empty() {
            return Ok(Vec::new());
        }
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            columns.push(self.cache.column(&self.reading, file, field.name()).await?);
        }
        let batch = |(start, length)| {
            let columns = columns.iter().map(|column| column.slice(start, length)).collect();
            let options = RecordBatchOptions::new().with_row_count(Some(length));
            Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
        };
        slices.into_iter().map(batch).collect()
    }
}

/// What the filters of a query leave out.
fn pruning(
    session: &dyn Session,
    schema: &SchemaRef,
    filters: &[Expr],
) -> DataFusionResult<Option<PruningPredicate>> {
    let Some(filter) = conjunction(filters.iter().cloned()) else {
        return Ok(None);
    };
    let filter = session.create_physical_expr(filter, &DFSchema::try_from(Arc::clone(schema))?)?;
    let pruning = PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema)).try_build(filter)?;
    Ok(Some(pruning))
}

/// What is known of files or batches, one after the other.
struct Known(Vec<Spans>);

impl Known {
    fn instants(&self, column: &Column, end: impl Fn((i64, i64)) -> i64) -> Option<ArrayRef> {
        let span = |spans: &Spans| match column.name.as_str() {
            TableSpec::TIME => Some(spans.happened),
            TableSpec::INGESTED_AT => Some(spans.ingested),
            _ => None,
        };
        let instants = self.0.iter().map(|spans| Some(span(spans)?.map(&end)));
        let instants: TimestampMicrosecondArray = instants.collect::<Option<Vec<Option<i64>>>>()?.into();
        Some(Arc::new(instants.with_timezone("UTC")))
    }
}

impl PruningStatistics for Known {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.instants(column, |(first, _)| first)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.instants(column, |(_, last)| last)
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

    fn contained(&self, _: &Column, _: &std::collections::HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// The parts in which rows can be wanted.
fn keep<T>(
    parts: impl Iterator<Item = T>,
    spans: impl Fn(&T) -> Spans,
    pruning: Option<&PruningPredicate>,
) -> DataFusionResult<Vec<T>> {
    let parts: Vec<T> = parts.collect();
    let Some(pruning) = pruning else {
        return Ok(parts);
    };
    let kept = pruning.prune(&Known(parts.iter().map(spans).collect()))?;
    Ok(parts.into_iter().zip(kept).filter_map(|(part, kept)| kept.then_some(part)).collect())
}
