//! The lake: one Delta Lake table for every table of the model, in a folder or a bucket, and no other state.
//!
//! * **Nothing doubled**: an [`Append`] drops rows whose `_EventId` the table or the append itself already holds.
//!   Two writers at once cannot both pass that check: every append moves the table's own application transaction on,
//!   so that of two that began on the same version, one fails and looks again.
//! * **Rows and their coverage commit together**: the watermark of a job and partition is a second application
//!   transaction in the same commit.

mod append;
mod budget;
mod catalog;
mod columns;
mod data_files;
mod dictionaries;
mod error;
mod files;
mod ledger;
mod maintenance;
mod open;
mod pruning;
mod recorder;
mod rows;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::prelude::{SessionConfig, SessionContext};
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::{StructField, StructType};
use deltalake_core::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use provost_model::{TableSpec, hint, tables};
use tokio::sync::{Mutex, MutexGuard};
use url::Url;

pub use append::{Append, Appended, Progress};
pub use budget::LakeBudget;
pub use catalog::{LakeCatalog, columns_of};
pub use error::LakeError;
pub use ledger::{Gap, Ledger, PartitionStatus, Run, RunStatus};
pub use maintenance::{Compacted, Retained, Vacuumed};

use columns::ColumnCache;
use open::OpenTable;
use recorder::Recorder;

/// Partition column: the UTC day of `TimeGenerated`.
const DAY: &str = "_Day";

/// A folder or bucket of Delta tables.
pub struct Lake {
    root: Url,
    session: SessionContext,
    /// Each table behind a lock of its own: one that is being brought up to date keeps no other waiting, and
    /// partitions that start together do not create it twice.
    open: HashMap<&'static str, Mutex<Option<OpenTable>>>,
    recorder: Recorder,
    /// Decoded columns, where memory is given to them.
    columns: Option<Arc<ColumnCache>>,
}

impl fmt::Debug for Lake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lake").field("root", &self.root.as_str()).finish_non_exhaustive()
    }
}

impl Lake {
    /// The lake at a path or URL. Nothing is created before the first append.
    pub fn open(location: &str) -> Result<Self, LakeError> {
        let root = root_url(location)?;
        let config = SessionConfig::new().with_target_partitions(1);
        let session = SessionContext::new_with_config(config);
        let open = tables().iter().map(|spec| (spec.name(), Mutex::new(None))).collect();
        Ok(Self { root, session, open, recorder: Recorder::default(), columns: None })
    }

    /// The same lake that keeps decoded columns in so many bytes of memory, for one that is asked again and again.
    pub fn with_cache(mut self, bytes: u64) -> Self {
        self.columns = Some(bytes).filter(|bytes| *bytes > 0).map(|bytes| Arc::new(ColumnCache::new(bytes)));
        self
    }

    /// Where it is.
    pub fn location(&self) -> String {
        self.root.to_file_path().map_or_else(|()| self.root.to_string(), |path| path.display().to_string())
    }

    /// The table of that name, or an error that offers the nearest one.
    pub fn spec(name: &str) -> Result<&'static TableSpec, LakeError> {
        tables().get(name).ok_or_else(|| LakeError::UnknownTable {
            name: name.to_owned(),
            hint: hint(name, tables().names()),
        })
    }

    /// The Delta table at its newest version; `None` where nothing was ever written to it.
    async fn table(&self, spec: &'static TableSpec) -> Result<Option<DeltaTable>, LakeError> {
        let open = self.newest(spec).await?;
        Ok(open.as_ref().map(|open| open.table().clone()))
    }

    /// The table at its newest version, kept from all others as long as the caller holds it.
    async fn newest(&self, spec: &'static TableSpec) -> Result<MutexGuard<'_, Option<OpenTable>>, LakeError> {
        let Some(open) = self.open.get(spec.name()) else {
            return Err(LakeError::UnknownTable { name: spec.name().to_owned(), hint: String::new() });
        };
        let mut open = open.lock().await;
        match open.as_mut() {
            Some(table) => table.refresh().await.map_err(|error| self.error(spec, "read", error))?,
            None => *open = self.load(spec).await?.map(OpenTable::new),
        }
        Ok(open)
    }

    async fn load(&self, spec: &'static TableSpec) -> Result<Option<DeltaTable>, LakeError> {
        if !self.may_exist(spec) {
            return Ok(None);
        }
        let mut table = self.handle(spec)?;
        match table.load().await {
            Ok(()) => Ok(Some(table)),
            Err(DeltaTableError::NotATable(_) | DeltaTableError::InvalidTableLocation(_)) => Ok(None),
            Err(error) => Err(self.error(spec, "open", error)),
        }
    }

    /// The Delta table, created or widened to the columns of this version of the program.
    async fn table_for_writing(&self, spec: &'static TableSpec) -> Result<DeltaTable, LakeError> {
        let mut open = self.newest(spec).await?;
        let changed = match open.as_ref() {
            None => self.create(spec).await?,
            Some(known) => match self.widened(spec, known.table()).await? {
                Some(widened) => widened,
                None => return Ok(known.table().clone()),
            },
        };
        *open = Some(OpenTable::new(changed.clone()));
        Ok(changed)
    }

    /// The table with the columns that it lacks; `None` where it has them all.
    async fn widened(
        &self,
        spec: &'static TableSpec,
        table: &DeltaTable,
    ) -> Result<Option<DeltaTable>, LakeError> {
        let known = table.snapshot().map_err(|error| self.error(spec, "read", error))?.schema();
        let wanted = delta_fields(spec).map_err(|error| self.error(spec, "describe", error.into()))?;
        let missing: Vec<StructField> =
            wanted.into_iter().filter(|field| known.field(field.name()).is_none()).collect();
        if missing.is_empty() {
            return Ok(None);
        }
        let widened = table.clone().add_columns().with_fields(missing).await;
        widened.map(Some).map_err(|error| self.error(spec, "add columns to", error))
    }

    async fn create(&self, spec: &'static TableSpec) -> Result<DeltaTable, LakeError> {
        self.make_folder(spec)?;
        let fields = delta_fields(spec).map_err(|error| self.error(spec, "describe", error.into()))?;
        let created = self
            .handle(spec)?
            .create()
            .with_table_name(spec.name())
            .with_columns(fields)
            .with_partition_columns([DAY])
            .with_configuration_property(
                deltalake_core::TableProperty::DataSkippingStatsColumns,
                Some(format!("{},{}", TableSpec::TIME, TableSpec::INGESTED_AT)),
            )
            .await;
        match created {
            Ok(table) => Ok(table),
            // Another program was first: its table is as good.
            Err(error) => match self.load(spec).await? {
                Some(table) => Ok(table),
                None => Err(self.error(spec, "create", error)),
            },
        }
    }

    fn handle(&self, spec: &'static TableSpec) -> Result<DeltaTable, LakeError> {
        let url = self.table_url(spec)?;
        DeltaTableBuilder::from_url(url)
            .and_then(DeltaTableBuilder::build)
            .map_err(|error| self.error(spec, "open", error))
    }

    fn table_url(&self, spec: &'static TableSpec) -> Result<Url, LakeError> {
        self.root.join(&format!("{}/", spec.name())).map_err(|error| LakeError::Location {
            location: self.root.to_string(),
            reason: error.to_string(),
        })
    }

    /// A folder that is not there is no table yet; of a bucket only reading tells.
    fn may_exist(&self, spec: &'static TableSpec) -> bool {
        self.root.to_file_path().map_or(true, |root| root.join(spec.name()).join("_delta_log").is_dir())
    }

    /// Object stores have no folders; a file system wants them first.
    fn make_folder(&self, spec: &'static TableSpec) -> Result<(), LakeError> {
        let Ok(root) = self.root.to_file_path() else { return Ok(()) };
        std::fs::create_dir_all(root.join(spec.name())).map_err(|error| LakeError::Location {
            location: root.display().to_string(),
            reason: error.to_string(),
        })
    }

    fn error(&self, spec: &'static TableSpec, action: &'static str, error: DeltaTableError) -> LakeError {
        LakeError::delta(self.location(), spec.name(), action, error)
    }

    fn engine_error(
        &self,
        spec: &'static TableSpec,
        action: &'static str,
        error: datafusion::error::DataFusionError,
    ) -> LakeError {
        LakeError::engine(self.location(), spec.name(), action, &error)
    }
}

fn root_url(location: &str) -> Result<Url, LakeError> {
    let fail = |reason: String| LakeError::Location { location: location.to_owned(), reason };
    // One letter and a colon is a drive, not a scheme.
    let mut url = match Url::parse(location) {
        Ok(url) if url.scheme().len() > 1 => match url.scheme() {
            "file" | "memory" => url,
            other => {
                return Err(fail(format!(
                    "this build keeps a lake in a folder (a path or file://), not at {other}://"
                )));
            }
        },
        _ => {
            let path =
                std::path::absolute(PathBuf::from(location)).map_err(|error| fail(error.to_string()))?;
            Url::from_directory_path(path).map_err(|()| fail("not a path".to_owned()))?
        }
    };
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// The stored schema of a table: the model's columns and the day.
fn stored_schema(spec: &TableSpec) -> Arc<Schema> {
    let mut fields: Vec<Arc<Field>> = spec.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(DAY, DataType::Date32, true)));
    Arc::new(Schema::new(fields))
}

fn delta_fields(spec: &TableSpec) -> Result<Vec<StructField>, arrow::error::ArrowError> {
    let schema = stored_schema(spec);
    let delta: StructType = schema.as_ref().try_into_kernel()?;
    Ok(delta.fields().cloned().collect())
}
