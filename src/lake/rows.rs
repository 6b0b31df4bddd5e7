//! The rows of a table at one version, as queries read them.
//!
//! What fits into the lake's memory is decoded once and shared by all queries; of longer stretches each query reads from
//! the files what it needs.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{max, min};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::config::TableParquetOptions;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::FileGroup;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionContext;
use provost_model::TableSpec;

use super::columns::ColumnCache;
use super::data_files::DataFile;
use super::files::{Reading, Scan};
use super::pruning::{Pruning, Spans, filter};

/// Rows of one batch.
const BATCH: usize = 8192;

/// A table of the lake at one version.
pub(super) struct TableRows {
    files: Vec<DataFile>,
    reading: Reading,
    cache: Option<Arc<ColumnCache>>,
}

/// A table whose scans may give dictionaries of strings where its schema has strings.
#[derive(Debug)]
pub(super) struct WithDictionaries(pub(super) Arc<TableRows>);

impl fmt::Debug for TableRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableRows").field("files", &self.files.len()).finish_non_exhaustive()
    }
}

impl TableRows {
    /// The rows of files, from memory where a cache has room for them.
    pub(super) fn new(files: Vec<DataFile>, reading: Reading, cache: Option<Arc<ColumnCache>>) -> Self {
        Self { files, reading, cache }
    }

    /// The files that the rows are in.
    pub(super) fn files(&self) -> &[DataFile] {
        &self.files
    }

    /// The rows of some of the files, one file after the other.
    pub(super) async fn read(
        &self,
        files: &[&DataFile],
        session: &SessionContext,
    ) -> Result<SendableRecordBatchStream> {
        let scan = Scan {
            groups: vec![FileGroup::new(files.iter().map(|file| file.file.clone()).collect())],
            statistics: statistics(files, self.reading.columns()),
            columns: None,
            filter: None,
            limit: None,
            dictionaries: false,
        };
        let plan = self.reading.scan(&session.runtime_env(), TableParquetOptions::default(), scan).await?;
        execute_stream(plan, session.task_ctx())
    }

    async fn plan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
        dictionaries: bool,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = self.reading.columns();
        let filter = filter(session, columns, filters)?;
        let pruning = Pruning::new(columns, filter.as_ref())?;
        let files = pruning.keep(self.files.iter(), |file| file.spans)?;
        let schema = match projection {
            Some(projection) => Arc::new(columns.project(projection)?),
            None => Arc::clone(columns),
        };
        let partitions = session.config().target_partitions().max(1);
        if let Some(cache) = &self.cache
            && cache.has_room_for(&self.reading, &files, &schema).await?
        {
            let mut batches = Vec::new();
            for file in files {
                batches.extend(self.batches(cache, file, &schema, &pruning).await?);
            }
            let share = batches.len().div_ceil(partitions).max(1);
            let mut partitions: Vec<Vec<RecordBatch>> = batches.chunks(share).map(<[_]>::to_vec).collect();
            if partitions.is_empty() {
                partitions.push(Vec::new());
            }
            return Ok(MemorySourceConfig::try_new_exec(&partitions, schema, None)?);
        }
        let options = TableParquetOptions {
            global: session.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        let scan = Scan {
            statistics: statistics(&files, columns),
            groups: FileGroup::new(files.iter().map(|file| file.file.clone()).collect())
                .split_files(partitions),
            columns: projection.cloned(),
            filter,
            limit,
            dictionaries,
        };
        self.reading.scan(session.runtime_env(), options, scan).await
    }

    /// The batches of a file in which rows can be wanted.
    async fn batches(
        &self,
        cache: &ColumnCache,
        file: &DataFile,
        schema: &SchemaRef,
        pruning: &Pruning,
    ) -> Result<Vec<RecordBatch>> {
        let times = cache.column(&self.reading, &file.file, TableSpec::TIME).await?;
        let starts = (0..times.len()).step_by(BATCH);
        let slices = starts.map(|start| (start, BATCH.min(times.len() - start)));
        let spans = |(start, length): &(usize, usize)| {
            let times = times.slice(*start, *length);
            let times = times.as_primitive_opt::<TimestampMicrosecondType>();
            let happened = times.and_then(|times| min(times).zip(max(times)));
            Spans { happened, ..file.spans }
        };
        let slices = pruning.keep(slices, spans)?;
        if slices.is_empty() {
            return Ok(Vec::new());
        }
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            columns.push(cache.column(&self.reading, &file.file, field.name()).await?);
        }
        let batch = |(start, length)| {
            let columns = columns.iter().map(|column| column.slice(start, length)).collect();
            let options = RecordBatchOptions::new().with_row_count(Some(length));
            Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
        };
        slices.into_iter().map(batch).collect()
    }
}

/// What is known of all rows of some files.
fn statistics(files: &[&DataFile], columns: &SchemaRef) -> Statistics {
    let rows: Option<usize> = files.iter().map(|file| file.rows).sum();
    let bytes: u64 = files.iter().map(|file| file.size()).sum();
    let mut statistics = Statistics::new_unknown(columns);
    statistics.num_rows = rows.map_or(Precision::Absent, Precision::Exact);
    statistics.total_byte_size = usize::try_from(bytes).map_or(Precision::Absent, Precision::Inexact);
    statistics
}

#[async_trait]
impl TableProvider for TableRows {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.reading.columns())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // They only leave files and batches out, so that the answer is the same wherever the rows come from.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.plan(session, projection, filters, limit, false).await
    }
}

#[async_trait]
impl TableProvider for WithDictionaries {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        self.0.table_type()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.0.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.0.plan(session, projection, filters, limit, true).await
    }
}
