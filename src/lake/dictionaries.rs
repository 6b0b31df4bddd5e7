//! Strings of Parquet files in the dictionaries that the files hold them in.
//!
//! A file says in its metadata which Arrow types its columns are to be read as; here its reader is told another word on
//! that.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetFileReaderFactory;
use datafusion::error::Result;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::arrow::{ARROW_SCHEMA_META_KEY, encode_arrow_schema, parquet_to_arrow_schema};
use datafusion::parquet::basic::Encoding;
use datafusion::parquet::errors::Result as ParquetResult;
use datafusion::parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataBuilder,
};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;

/// The schema with the strings in dictionaries that have one in a file, throughout.
pub(super) fn with_dictionaries_of(schema: &SchemaRef, sample: &ParquetMetaData) -> SchemaRef {
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
pub(super) struct DictionaryReaders {
    readers: Arc<dyn ParquetFileReaderFactory>,
    schema: SchemaRef,
}

impl DictionaryReaders {
    /// Readers that ask others for the types of a schema.
    pub(super) fn new(readers: Arc<dyn ParquetFileReaderFactory>, schema: SchemaRef) -> Self {
        Self { readers, schema }
    }
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
