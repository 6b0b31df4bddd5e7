//! The rows of a query as they come: a large result is never held whole.

use std::io::{BufWriter, Write};
use std::sync::Arc;

use anyhow::Context;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;
use provost_kql::{Column, export_batch, json_value, text_value};
use provost_model::inert;
use serde_json::{Map, Value};

/// Writes batches one after the other.
pub struct RowWriter<W: Write + Send> {
    columns: Vec<Column>,
    form: Form<W>,
}

enum Form<W: Write + Send> {
    Json { out: BufWriter<W>, empty: bool },
    Csv(Box<csv::Writer<W>>),
    Parquet(Box<ArrowWriter<W>>),
}

/// How rows are written to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    /// One array of objects, columns in order.
    Json,
    /// With a header line.
    Csv,
    /// Datetimes as UTC microseconds, timespans as ticks of 100 ns, dynamic values as JSON text.
    Parquet,
}

impl<W: Write + Send> RowWriter<W> {
    /// Begins with what stands before the first row. `schema` is that of the batches.
    pub fn begin(format: RowFormat, columns: &[Column], schema: &SchemaRef, out: W) -> anyhow::Result<Self> {
        let form = match format {
            RowFormat::Json => {
                let mut out = BufWriter::new(out);
                out.write_all(b"[")?;
                Form::Json { out, empty: true }
            }
            RowFormat::Csv => {
                let mut out = csv::Writer::from_writer(out);
                out.write_record(columns.iter().map(|column| &column.name))?;
                Form::Csv(Box::new(out))
            }
            RowFormat::Parquet => {
                let schema = export_batch(&RecordBatch::new_empty(Arc::clone(schema)), columns)?.schema();
                let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
                Form::Parquet(Box::new(ArrowWriter::try_new(out, schema, Some(properties))?))
            }
        };
        Ok(Self { columns: columns.to_vec(), form })
    }

    /// Writes the rows of a batch.
    pub fn write(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        let Self { columns, form } = self;
        match form {
            Form::Json { out, empty } => {
                for row in 0..batch.num_rows() {
                    out.write_all(if *empty { b"\n" } else { b",\n" })?;
                    *empty = false;
                    serde_json::to_writer(&mut *out, &object(columns, batch.columns(), row))?;
                }
            }
            Form::Csv(out) => {
                for row in 0..batch.num_rows() {
                    out.write_record(texts(columns, batch.columns(), row).map(|text| inert::csv(&text)))?;
                }
            }
            Form::Parquet(out) => {
                out.write(&export_batch(batch, columns)?).context("the rows do not fit into Parquet")?;
            }
        }
        Ok(())
    }

    /// Ends with what stands after the last row.
    pub fn finish(self) -> anyhow::Result<()> {
        match self.form {
            Form::Json { mut out, empty } => {
                out.write_all(if empty { b"]\n" } else { b"\n]\n" })?;
                out.flush()?;
            }
            Form::Csv(mut out) => out.flush()?,
            Form::Parquet(out) => drop(out.close()?),
        }
        Ok(())
    }
}

fn object(columns: &[Column], arrays: &[ArrayRef], row: usize) -> Map<String, Value> {
    let cells = arrays.iter().zip(columns);
    cells.map(|(array, column)| (column.name.clone(), json_value(array, row, column.kind))).collect()
}

/// The cells of a row as text.
pub(super) fn texts<'a>(
    columns: &'a [Column],
    arrays: &'a [ArrayRef],
    row: usize,
) -> impl Iterator<Item = String> + 'a {
    arrays.iter().zip(columns).map(move |(array, column)| text_value(array, row, column.kind))
}
