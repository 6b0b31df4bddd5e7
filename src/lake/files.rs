//! How the files of a table are read.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, new_empty_array};
use arrow::compute::concat;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::Statistics;
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::parquet::{
    CachedParquetFileReaderFactory, ParquetFileReaderFactory,
};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionContext;
use deltalake_core::DeltaTable;
use deltalake_core::logstore::object_store::{ObjectMeta, ObjectStore};

use super::DAY;
use super::dictionaries::{DictionaryReaders, with_dictionaries_of};

/// How the files of a table are read.
pub(super) struct Reading {
    /// Under which name a session finds their object store.
    url: ObjectStoreUrl,
    store: Arc<dyn ObjectStore>,
    /// The columns that are in the files, and behind them those that are the same throughout a file.
    schema: TableSchema,
    /// Where columns are read that are kept for all.
    task: Arc<TaskContext>,
}

/// Which rows of which files are read, and how.
pub(super) struct Scan {
    /// Files that are read side by side.
    pub(super) groups: Vec<FileGroup>,
    /// What is known of all rows of the files.
    pub(super) statistics: Statistics,
    /// Places of columns in the schema; all if none are named.
    pub(super) columns: Option<Vec<usize>>,
    /// What of the rows may be left out.
    pub(super) filter: Option<Arc<dyn PhysicalExpr>>,
    /// With how many rows it is enough.
    pub(super) limit: Option<usize>,
    /// Whether strings may come in dictionaries where the schema has strings.
    pub(super) dictionaries: bool,
}

impl Reading {
    /// That of a table whose columns, the day among them, are those of a schema.
    pub(super) fn new(table: &DeltaTable, schema: &Schema, session: &SessionContext) -> Result<Self> {
        let (day, columns): (Vec<_>, Vec<_>) =
            schema.fields().iter().cloned().partition(|field| field.name() == DAY);
        let schema =
            TableSchema::builder(Arc::new(Schema::new(columns))).with_table_partition_cols(day).build();
        // Two lakes can have tables of one name; a session that reads both must not take one for the other.
        let mut hash = DefaultHasher::new();
        table.table_url().as_str().hash(&mut hash);
        let url = ObjectStoreUrl::parse(format!("lake-files://{:016x}", hash.finish()))?;
        Ok(Reading { url, store: table.object_store(), schema, task: session.task_ctx() })
    }

    /// The columns of the table.
    pub(super) fn columns(&self) -> &SchemaRef {
        self.schema.table_schema()
    }

    /// A scan of files.
    pub(super) async fn scan(
        &self,
        runtime: &RuntimeEnv,
        options: TableParquetOptions,
        scan: Scan,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(first) = scan.groups.iter().flat_map(|group| group.iter()).next() else {
            let schema = match &scan.columns {
                Some(columns) => Arc::new(self.columns().project(columns)?),
                None => Arc::clone(self.columns()),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        };
        runtime.register_object_store(self.url.as_ref(), Arc::clone(&self.store));
        let cache = runtime.cache_manager.get_file_metadata_cache();
        let in_files = self.schema.file_schema();
        let mut readers: Arc<dyn ParquetFileReaderFactory> =
            Arc::new(CachedParquetFileReaderFactory::new(Arc::clone(&self.store), cache));
        let mut table = self.schema.clone();
        if scan.dictionaries {
            let schema = with_dictionaries_of(in_files, &*self.footer(runtime, &first.object_meta).await?);
            if schema.fields() != in_files.fields() {
                readers = Arc::new(DictionaryReaders::new(readers, Arc::clone(&schema)));
                table = TableSchema::builder(schema)
                    .with_table_partition_cols(self.schema.table_partition_cols().to_vec())
                    .build();
            }
        }
        let mut files = ParquetSource::new(table)
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(readers)
            .with_pushdown_filters(true);
        if let Some(filter) = scan.filter {
            files = files.with_predicate(filter);
        }
        let config = FileScanConfigBuilder::new(self.url.clone(), Arc::new(files))
            .with_file_groups(scan.groups)
            .with_statistics(scan.statistics)
            .with_projection_indices(scan.columns)?
            .with_limit(scan.limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// A column of a file, whole.
    pub(super) async fn column(&self, file: &PartitionedFile, name: &str) -> Result<ArrayRef> {
        let place = self.columns().index_of(name)?;
        let scan = Scan {
            groups: vec![FileGroup::new(vec![file.clone()])],
            statistics: Statistics::new_unknown(self.columns()),
            columns: Some(vec![place]),
            filter: None,
            limit: None,
            dictionaries: false,
        };
        let plan = self.scan(&self.task.runtime_env(), TableParquetOptions::default(), scan).await?;
        let batches = collect(plan, Arc::clone(&self.task)).await?;
        let parts: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(0).as_ref()).collect();
        match parts[..] {
            [] => Ok(new_empty_array(self.columns().field(place).data_type())),
            _ => concat(&parts).map_err(DataFusionError::from),
        }
    }

    /// How much memory columns of a file take, as its footer lets expect.
    pub(super) async fn decoded_bytes(&self, file: &PartitionedFile, names: &[&str]) -> Result<u64> {
        let footer = self.footer(&self.task.runtime_env(), &file.object_meta).await?;
        let mut bytes = 0;
        for name in names {
            let width = self.columns().field_with_name(name)?.data_type().primitive_width();
            for group in footer.row_groups() {
                // Text has an offset a row besides its bytes.
                let rows = u64::try_from(group.num_rows()).unwrap_or_default();
                bytes += rows * width.unwrap_or(size_of::<i32>()) as u64;
                let chunk = group.columns().iter().find(|chunk| chunk.column_path().parts() == [*name]);
                let text = chunk.filter(|_| width.is_none()).map(|chunk| {
                    chunk.unencoded_byte_array_data_bytes().unwrap_or_else(|| chunk.uncompressed_size())
                });
                bytes += text.and_then(|text| u64::try_from(text).ok()).unwrap_or_default();
            }
        }
        Ok(bytes)
    }

    async fn footer(&self, runtime: &RuntimeEnv, file: &ObjectMeta) -> Result<Arc<ParquetMetaData>> {
        DFParquetMetadata::new(self.store.as_ref(), file)
            .with_file_metadata_cache(Some(runtime.cache_manager.get_file_metadata_cache()))
            .fetch_metadata()
            .await
    }
}
