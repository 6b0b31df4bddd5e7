//! Columns of the lake's files, decoded and kept while there is room.
//!
//! The rules of a run, and the questions of triage after them, ask the same files for the same columns again and again.
//! A file of a Delta table never changes, so that a column of it needs to be decoded once.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, new_empty_array};
use arrow::compute::concat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::TaskContext;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_plan::collect;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

/// Files larger than this many times the room have hardly a column that would fit: their footers are left unread.
const FAR_TOO_LARGE: u64 = 4;
/// What a column of a file is thought to take before one is seen; only the size of the first hash table hangs on it.
const USUAL_COLUMN: u64 = 256 * 1024;

/// How files of a table are read.
pub(super) struct Reading {
    /// Where the session finds their object store.
    pub(super) store: ObjectStoreUrl,
    /// The columns that are in the files, and behind them those that are the same throughout a file.
    pub(super) schema: TableSchema,
    /// The session they are read in.
    pub(super) task: Arc<TaskContext>,
}

/// Decoded columns by file. The least useful ones go when there is no more room.
pub(super) struct ColumnCache {
    columns: Cache<ColumnId, ArrayRef, Bytes>,
}

/// A column of a file, whose name no other file of the lake has.
#[derive(Clone, PartialEq, Eq, Hash)]
struct ColumnId {
    path: String,
    name: String,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<ColumnId, ArrayRef> for Bytes {
    fn weight(&self, _: &ColumnId, column: &ArrayRef) -> u64 {
        column.get_array_memory_size() as u64
    }
}

impl fmt::Debug for ColumnCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ColumnCache")
            .field("bytes", &self.columns.weight())
            .field("room", &self.columns.capacity())
            .finish()
    }
}

impl ColumnCache {
    /// A cache that holds as many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        let mut options = OptionsBuilder::new();
        // In more shards a large column would have room in none.
        options.shards(1).weight_capacity(bytes);
        options.estimated_items_capacity(usize::try_from(bytes / USUAL_COLUMN).unwrap_or(usize::MAX).max(1));
        // Building fails only where a capacity is not set.
        let options = options.build().unwrap_or_else(|_| unreachable!("both capacities are set"));
        let columns =
            Cache::with_options(options, Bytes, DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self { columns }
    }

    /// Whether there is room for all of some columns of some files. Where there is not, they would only push each other
    /// out.
    pub(super) async fn has_room_for(
        &self,
        reading: &Reading,
        files: &[&PartitionedFile],
        names: &[&str],
    ) -> DataFusionResult<bool> {
        let room = self.columns.capacity();
        let stored: u64 = files.iter().map(|file| file.object_meta.size).sum();
        if stored > room.saturating_mul(FAR_TOO_LARGE) {
            return Ok(false);
        }
        let mut bytes = 0;
        for file in files {
            bytes += decoded_bytes(reading, file, names).await?;
            if bytes > room {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A column of a file, whole. Those who ask for it at the same time wait for one of them to read it.
    pub(super) async fn column(
        &self,
        reading: &Reading,
        file: &PartitionedFile,
        name: &str,
    ) -> DataFusionResult<ArrayRef> {
        let id = ColumnId { path: file.object_meta.location.to_string(), name: name.to_owned() };
        self.columns.get_or_insert_async(&id, read(reading, file, name)).await
    }
}

/// How much memory columns of a file take, as its footer lets expect.
async fn decoded_bytes(reading: &Reading, file: &PartitionedFile, names: &[&str]) -> DataFusionResult<u64> {
    let runtime = reading.task.runtime_env();
    let store = runtime.object_store(&reading.store)?;
    let footer = DFParquetMetadata::new(store.as_ref(), &file.object_meta)
        .with_file_metadata_cache(Some(runtime.cache_manager.get_file_metadata_cache()))
        .fetch_metadata()
        .await?;
    let schema = reading.schema.table_schema();
    let mut bytes = 0;
    for name in names {
        let width = schema.field_with_name(name)?.data_type().primitive_width();
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

async fn read(reading: &Reading, file: &PartitionedFile, name: &str) -> DataFusionResult<ArrayRef> {
    let place = reading.schema.table_schema().index_of(name)?;
    let runtime = reading.task.runtime_env();
    let footers = CachedParquetFileReaderFactory::new(
        runtime.object_store(&reading.store)?,
        runtime.cache_manager.get_file_metadata_cache(),
    );
    let source =
        ParquetSource::new(reading.schema.clone()).with_parquet_file_reader_factory(Arc::new(footers));
    let config = FileScanConfigBuilder::new(reading.store.clone(), Arc::new(source))
        .with_file_groups(vec![FileGroup::new(vec![file.clone()])])
        .with_projection_indices(Some(vec![place]))?
        .build();
    let batches = collect(DataSourceExec::from_data_source(config), Arc::clone(&reading.task)).await?;
    let parts: Vec<&dyn arrow::array::Array> = batches.iter().map(|batch| batch.column(0).as_ref()).collect();
    if parts.is_empty() {
        return Ok(new_empty_array(reading.schema.table_schema().field(place).data_type()));
    }
    concat(&parts).map_err(DataFusionError::from)
}
