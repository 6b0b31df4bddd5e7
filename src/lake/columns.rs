//! Columns of the lake's files, decoded and kept while there is room.
//!
//! The rules of a run, and the questions of triage after them, ask the same files for the same columns again and again.
//! A file of a Delta table never changes, so that a column of it needs to be decoded once.

use std::fmt;

use arrow::array::ArrayRef;
use arrow::datatypes::Schema;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::error::Result;
use provost_model::TableSpec;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use super::data_files::DataFile;
use super::files::Reading;

/// Files larger than this many times the room have hardly a column that would fit: their footers are left unread.
const FAR_TOO_LARGE: u64 = 4;
/// What a column of a file is thought to take before one is seen; only the size of the first hash table hangs on it.
const USUAL_COLUMN: u64 = 256 * 1024;

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

    /// Whether there is room for all of the columns of a schema, and for the time, of some files. Where there is not, they
    /// would only push each other out.
    pub(super) async fn has_room_for(
        &self,
        reading: &Reading,
        files: &[&DataFile],
        schema: &Schema,
    ) -> Result<bool> {
        let room = self.columns.capacity();
        let stored: u64 = files.iter().map(|file| file.size()).sum();
        if stored > room.saturating_mul(FAR_TOO_LARGE) {
            return Ok(false);
        }
        let mut names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        if !names.contains(&TableSpec::TIME) {
            names.push(TableSpec::TIME);
        }
        let mut bytes = 0;
        for file in files {
            bytes += reading.decoded_bytes(&file.file, &names).await?;
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
    ) -> Result<ArrayRef> {
        let id = ColumnId { path: file.object_meta.location.to_string(), name: name.to_owned() };
        self.columns.get_or_insert_async(&id, reading.column(file, name)).await
    }
}
