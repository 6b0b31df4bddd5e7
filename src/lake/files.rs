//! The files of a table as queries read them: strings stay in the dictionaries that the files hold them in.
//!
//! Delta chooses the files and says what of them a query may leave unread; then Parquet's reader is asked for
//! dictionaries where Delta's would ask for strings.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::parquet::{
    CachedParquetFileReaderFactory, ParquetFileReaderFactory,
};
use datafusion::datasource::physical_plan::{
    FileScanConfig, FileScanConfigBuilder, FileSource, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::arrow::{ARROW_SCHEMA_META_KEY, encode_arrow_schema, parquet_to_arrow_schema};
use datafusion::parquet::basic::Encoding;
use datafusion::parquet::errors::Result as ParquetResult;
use datafusion::parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataBuilder,
};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{Distribution, ExecutionPlan};
use futures::FutureExt;
use futures::future::BoxFuture;

/// A Delta table whose scans may give dictionaries of strings where its schema has strings.
#[derive(Debug)]
pub(super) struct Files(pub(super) Arc<dyn TableProvider>);

#[async_trait]
impl TableProvider for Files {
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
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = self.0.scan(state, projection, filters, limit).await?;
        Ok(with_dictionaries(state, &plan).await?.unwrap_or(plan))
    }
}

/// The scan of the files themselves; `None` where Delta does more than to read them, or where no column has a
/// dictionary.
async fn with_dictionaries(
    state: &dyn Session,
    plan: &Arc<dyn ExecutionPlan>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    // Rows that have to be counted, because some are deleted.
    if let Some(Distribution::SinglePartition) = plan.input_distribution_requirements().child_distribution(0)
    {
        return Ok(None);
    }
    let [source] = plan.children()[..] else { return Ok(None) };
    let Some(source) = source.downcast_ref::<DataSourceExec>() else { return Ok(None) };
    let Some(config) = source.data_source().downcast_ref::<FileScanConfig>() else { return Ok(None) };
    let Some(parquet) = config.file_source().downcast_ref::<ParquetSource>() else { return Ok(None) };
    let in_files = parquet.table_schema().file_schema();
    // A column that is not in the files as it is asked for is one that Delta makes.
    let mut columns = Vec::new();
    for wanted in plan.schema().fields() {
        match in_files.index_of(wanted.name()) {
            Ok(index) if in_files.field(index).data_type() == wanted.data_type() => columns.push(index),
            _ => return Ok(None),
        }
    }
    let Some(first) = config.file_groups.iter().flat_map(|group| group.iter()).next() else {
        return Ok(None);
    };
    let store = state.runtime_env().object_store(&config.object_store_url)?;
    let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
    let sample = DFParquetMetadata::new(store.as_ref(), &first.object_meta)
        .with_file_metadata_cache(Some(Arc::clone(&cache)))
        .fetch_metadata()
        .await?;
    let schema = with_dictionaries_of(in_files, &sample);
    if schema.fields() == in_files.fields() {
        return Ok(None);
    }
    let readers = DictionaryReaders {
        readers: CachedParquetFileReaderFactory::new(store, cache),
        schema: Arc::clone(&schema),
    };
    let table = TableSchema::builder(schema)
        .with_table_partition_cols(parquet.table_schema().table_partition_cols().to_vec())
        .build();
    let mut files = ParquetSource::new(table)
        .with_table_parquet_options(parquet.table_parquet_options().clone())
        .with_parquet_file_reader_factory(Arc::new(readers));
    if let Some(predicate) = parquet.filter() {
        files = files.with_predicate(predicate);
    }
    let config = FileScanConfigBuilder::from(config.clone())
        .with_source(Arc::new(files))
        .with_projection_indices(Some(columns))?
        .build();
    Ok(Some(DataSourceExec::from_data_source(config)))
}

/// The schema with the strings in dictionaries that have one in a file, throughout.
fn with_dictionaries_of(schema: &SchemaRef, sample: &ParquetMetaData) -> SchemaRef {
    let has_dictionary = |field: &Field| {
        let mut chunks = sample.row_groups().iter().flat_map(|group| group.columns());
        let mut own =
            chunks.by_ref().filter(|chunk| chunk.column_path().string() == *field.name()).peekable();
        own.peek().is_some() && own.all(is_dictionary)
    };
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 if has_dictionary(field) => {
            let kind = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
            Arc::new(Field::clone(field).with_data_type(kind))
        }
        _ => Arc::clone(field),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Whether all values of a part of a column stand in its dictionary.
fn is_dictionary(chunk: &ColumnChunkMetaData) -> bool {
    let only = |encoding| chunk.page_encoding_stats_mask().is_some_and(|mask| mask.is_only(encoding));
    chunk.dictionary_page_offset().is_some()
        && (only(Encoding::RLE_DICTIONARY) || only(Encoding::PLAIN_DICTIONARY))
}

/// Readers of files that give dictionaries where a schema has them.
#[derive(Debug)]
struct DictionaryReaders {
    readers: CachedParquetFileReaderFactory,
    schema: SchemaRef,
}

impl ParquetFileReaderFactory for DictionaryReaders {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let reader = self.readers.create_reader(partition_index, file, metadata_size_hint, metrics)?;
        Ok(Box::new(DictionaryReader { reader, schema: Arc::clone(&self.schema) }))
    }
}

struct DictionaryReader {
    reader: Box<dyn AsyncFileReader + Send>,
    schema: SchemaRef,
}

impl AsyncFileReader for DictionaryReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.reader.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        self.reader.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let metadata = self.reader.get_metadata(options);
        let schema = Arc::clone(&self.schema);
        async move { Ok(Arc::new(asking_for(&schema, &*metadata.await?)?)) }.boxed()
    }
}

/// The metadata of a file whose own word on its Arrow types, which Parquet's reader goes by, is that of a schema.
fn asking_for(schema: &Schema, metadata: &ParquetMetaData) -> ParquetResult<ParquetMetaData> {
    let file = metadata.file_metadata();
    let own = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())?;
    let fields = own.fields().iter().map(|field| match schema.field_with_name(field.name()) {
        Ok(wanted) if matches!(wanted.data_type(), DataType::Dictionary(..)) => {
            Arc::new(Field::clone(field).with_data_type(wanted.data_type().clone()))
        }
        _ => Arc::clone(field),
    });
    let asked = encode_arrow_schema(&Schema::new(fields.collect::<Vec<_>>()));
    let mut pairs = file.key_value_metadata().cloned().unwrap_or_default();
    pairs.retain(|pair| pair.key != ARROW_SCHEMA_META_KEY);
    pairs.push(KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), asked));
    let file = FileMetaData::new(
        file.version(),
        file.num_rows(),
        file.created_by().map(str::to_owned),
        Some(pairs),
        file.schema_descr_ptr(),
        file.column_orders().cloned(),
    );
    Ok(ParquetMetaDataBuilder::new(file)
        .set_row_groups(metadata.row_groups().to_vec())
        .set_column_index(metadata.column_index().cloned())
        .set_offset_index(metadata.offset_index().cloned())
        .build())
}

impl fmt::Debug for DictionaryReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DictionaryReader").finish_non_exhaustive()
    }
}
