//! The data files of a table at one version, as its log names them.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Date32Type, Int64Type, TimestampMicrosecondType};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::scalar::ScalarValue;
use deltalake_core::logstore::object_store::{ObjectMeta, path::Path};
use deltalake_core::{DeltaTable, DeltaTableError};
use provost_model::TableSpec;

use super::DAY;
use super::pruning::Spans;

/// The log rounds event times down to milliseconds.
const ROUNDED: i64 = 1000;

/// A Parquet file of a table.
#[derive(Debug)]
pub(super) struct DataFile {
    pub(super) file: PartitionedFile,
    pub(super) spans: Spans,
    /// How many rows it has, where the log says so.
    pub(super) rows: Option<usize>,
}

impl DataFile {
    /// Where it is in the table's store.
    pub(super) fn path(&self) -> &Path {
        &self.file.object_meta.location
    }

    /// In bytes.
    pub(super) fn size(&self) -> u64 {
        self.file.object_meta.size
    }
}

/// The files of a table. Another program can have deleted rows by vectors, or renamed columns: such a table is refused,
/// for its files do not say what its rows are.
pub(super) fn data_files(table: &DeltaTable) -> Result<Vec<DataFile>, DeltaTableError> {
    let state = table.snapshot()?;
    if state.metadata().configuration().contains_key("delta.columnMapping.mode") {
        return Err(unreadable("another program has mapped its columns to other names"));
    }
    let mut files = Vec::new();
    for batch in state.add_actions_batches(true)? {
        let mut columns = batch.schema_ref().fields().iter().zip(batch.columns());
        if columns.any(|(field, values)| {
            field.name().starts_with("deletion_vector") && values.null_count() < values.len()
        }) {
            return Err(unreadable("another program has deleted rows by vectors; have it rewrite the files"));
        }
        let column = |name: &str| batch.column_by_name(name);
        let text = column("path").map(|array| arrow::compute::cast(array, &DataType::Utf8)).transpose()?;
        let days = column(&format!("partition.{DAY}"));
        let (Some(paths), Some(sizes), Some(days)) = (
            text.as_ref().and_then(|array| array.as_string_opt::<i32>()),
            column("size_bytes").and_then(|array| array.as_primitive_opt::<Int64Type>()),
            days.and_then(|array| array.as_primitive_opt::<Date32Type>()),
        ) else {
            return Err(unreadable("its log does not name path, size and day of each file"));
        };
        let counts = column("num_records").and_then(|array| array.as_primitive_opt::<Int64Type>());
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
            let day = days.is_valid(row).then(|| days.value(row));
            let spans = Spans {
                happened: span(TableSpec::TIME, row),
                ingested: span(TableSpec::INGESTED_AT, row),
                day,
            };
            let rows = counts.filter(|counts| counts.is_valid(row)).map(|counts| counts.value(row));
            let file =
                PartitionedFile::new_from_meta(meta).with_partition_values(vec![ScalarValue::Date32(day)]);
            files.push(DataFile { file, spans, rows: rows.and_then(|rows| usize::try_from(rows).ok()) });
        }
    }
    Ok(files)
}

fn unreadable(reason: &str) -> DeltaTableError {
    DeltaTableError::Generic(reason.to_owned())
}
