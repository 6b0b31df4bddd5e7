//! A file's records as rows of declared columns. What a cell holds that is not of its column's type is null.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value as Json;

use crate::format::{from_json, normalise};
use crate::functions::convert::convert;
use crate::types::{Column, KqlType};
use crate::value::{Builder, Value};

/// How many rows are put together.
const BATCH_ROWS: usize = 8192;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Fields between commas, in quotes where they have to be.
    Csv,
    /// The same between tabs.
    Tsv,
    /// Between tabs, with a backslash before what would end a field.
    Tsve,
    /// Between pipes.
    Psv,
    /// Between semicolons.
    Scsv,
    /// Between the bytes 1.
    Sohsv,
    /// A line is a row of one column.
    Txt,
    /// The whole file is one cell.
    Raw,
    /// JSON objects, one after another, or in an array.
    Json,
    /// Parquet, by the columns' names.
    Parquet,
}

/// The names of the formats.
pub(crate) const FORMATS: &[(&str, Format)] = &[
    ("csv", Format::Csv),
    ("json", Format::Json),
    ("multijson", Format::Json),
    ("parquet", Format::Parquet),
    ("psv", Format::Psv),
    ("raw", Format::Raw),
    ("scsv", Format::Scsv),
    ("singlejson", Format::Json),
    ("sohsv", Format::Sohsv),
    ("tsv", Format::Tsv),
    ("tsve", Format::Tsve),
    ("txt", Format::Txt),
];

impl Format {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let known = FORMATS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        known.map(|(_, format)| *format)
    }

    /// By a file name's ending.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        name.rsplit_once('.').and_then(|(_, ending)| Format::from_name(ending))
    }
}

pub(super) fn schema(columns: &[Column]) -> SchemaRef {
    let fields = columns.iter().map(|column| Field::new(&column.name, column.kind.arrow(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The rows of a file. What they take is taken from `memory`.
pub(super) fn read(
    format: Format,
    file: &Bytes,
    ignore_first: bool,
    columns: &[Column],
    memory: &MemoryReservation,
) -> Result<Vec<RecordBatch>> {
    let content = file.strip_prefix("\u{feff}".as_bytes()).unwrap_or(file);
    let mut rows = Rows::new(columns, memory, ignore_first && format != Format::Raw);
    let text = || String::from_utf8_lossy(content);
    match format {
        Format::Csv => delimited(content, b',', &mut rows)?,
        Format::Tsv => delimited(content, b'\t', &mut rows)?,
        Format::Psv => delimited(content, b'|', &mut rows)?,
        Format::Scsv => delimited(content, b';', &mut rows)?,
        Format::Sohsv => delimited(content, 1, &mut rows)?,
        Format::Tsve => {
            for line in text().lines() {
                rows.texts(escaped_fields(line).iter().map(String::as_str))?;
            }
        }
        Format::Txt => {
            for line in text().lines() {
                rows.texts(std::iter::once(line))?;
            }
        }
        Format::Raw => rows.texts(std::iter::once(text().as_ref()))?,
        Format::Parquet => return parquet(file, columns, memory),
        Format::Json => {
            for value in serde_json::Deserializer::from_slice(content).into_iter::<Json>() {
                match value.map_err(|error| exec_datafusion_err!("this is not JSON: {error}"))? {
                    Json::Array(items) => items.iter().try_for_each(|item| rows.object(item))?,
                    value => rows.object(&value)?,
                }
            }
        }
    }
    rows.finish()
}

/// Rows as they come in.
struct Rows<'a> {
    columns: &'a [Column],
    memory: &'a MemoryReservation,
    schema: SchemaRef,
    /// Whether the next record is left out.
    skip: bool,
    builders: Vec<Builder>,
    count: usize,
    batches: Vec<RecordBatch>,
}

impl<'a> Rows<'a> {
    fn new(columns: &'a [Column], memory: &'a MemoryReservation, skip: bool) -> Self {
        let schema = schema(columns);
        Rows { columns, memory, schema, skip, builders: builders(columns), count: 0, batches: Vec::new() }
    }

    /// A record of texts, in the columns' order; those it lacks are empty.
    fn texts<'t>(&mut self, texts: impl Iterator<Item = &'t str>) -> Result<()> {
        if std::mem::take(&mut self.skip) {
            return Ok(());
        }
        let texts = texts.chain(std::iter::repeat(""));
        for ((column, builder), text) in self.columns.iter().zip(&mut self.builders).zip(texts) {
            builder.push(&from_text(text, column.kind));
        }
        self.next()
    }

    /// A record whose values have names. What is no object has none.
    fn object(&mut self, value: &Json) -> Result<()> {
        if std::mem::take(&mut self.skip) {
            return Ok(());
        }
        for (column, builder) in self.columns.iter().zip(&mut self.builders) {
            builder.push(&from_json(value.get(&column.name).unwrap_or(&Json::Null), column.kind));
        }
        self.next()
    }

    fn next(&mut self) -> Result<()> {
        self.count += 1;
        if self.count == BATCH_ROWS { self.put_together() } else { Ok(()) }
    }

    fn put_together(&mut self) -> Result<()> {
        let arrays: Vec<ArrayRef> = std::mem::replace(&mut self.builders, builders(self.columns))
            .into_iter()
            .map(Builder::finish)
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.count));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?;
        self.memory.try_grow(batch.get_array_memory_size())?;
        self.batches.push(batch);
        self.count = 0;
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<RecordBatch>> {
        if self.count > 0 {
            self.put_together()?;
        }
        Ok(self.batches)
    }
}

fn builders(columns: &[Column]) -> Vec<Builder> {
    columns.iter().map(|column| Builder::new(column.kind, BATCH_ROWS)).collect()
}

fn from_text(text: &str, kind: KqlType) -> Value<'_> {
    match kind {
        KqlType::String => Value::text(text),
        _ if text.is_empty() => Value::Null,
        KqlType::Dynamic => Value::json(&crate::json::parse(text)),
        kind => convert(&Value::text(text), KqlType::String, kind),
    }
}

fn delimited(content: &[u8], delimiter: u8, rows: &mut Rows<'_>) -> Result<()> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(content);
    let mut record = csv::ByteRecord::new();
    loop {
        let more = reader.read_byte_record(&mut record);
        if !more.map_err(|error| exec_datafusion_err!("{error}"))? {
            return Ok(());
        }
        let texts: Vec<_> = record.iter().map(String::from_utf8_lossy).collect();
        rows.texts(texts.iter().map(AsRef::as_ref))?;
    }
}

/// A line's fields between tabs; a backslash stands before what is meant as it is, or for a tab or a line's end.
fn escaped_fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let Some(field) = fields.last_mut() else { break };
        match c {
            '\t' => fields.push(String::new()),
            '\\' => match chars.next() {
                Some('t') => field.push('\t'),
                Some('n') => field.push('\n'),
                Some('r') => field.push('\r'),
                Some(other) => field.push(other),
                None => field.push('\\'),
            },
            other => field.push(other),
        }
    }
    fields
}

fn parquet(file: &Bytes, columns: &[Column], memory: &MemoryReservation) -> Result<Vec<RecordBatch>> {
    let wrong =
        |error: &dyn std::fmt::Display| exec_datafusion_err!("this cannot be read as Parquet: {error}");
    let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone()).map_err(|error| wrong(&error))?;
    let schema = schema(columns);
    let mut batches = Vec::new();
    for batch in builder.with_batch_size(BATCH_ROWS).build().map_err(|error| wrong(&error))? {
        let batch = batch.map_err(|error| wrong(&error))?;
        let arrays = columns.iter().map(|column| match batch.column_by_name(&column.name) {
            Some(array) => normalise(array, column.kind)
                .map_err(|error| exec_datafusion_err!("column `{}`: {error}", column.name)),
            None => Ok(new_null_array(&column.kind.arrow(), batch.num_rows())),
        });
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options)?;
        memory.try_grow(batch.get_array_memory_size())?;
        batches.push(batch);
    }
    Ok(batches)
}
