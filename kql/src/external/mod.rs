//! `externaldata`: rows from files outside the catalog, which whoever runs the engine fetches.

mod records;
mod unpack;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::{TryStreamExt, stream};
use tokio::sync::OnceCell;

pub(crate) use records::{FORMATS, Format};

use crate::types::Column;

/// The most bytes of one file, as it is fetched and as it is unpacked.
const MAX_BYTES: usize = 100 << 20;

/// Fetches the files that `externaldata` names: the engine itself has no way to the network.
#[async_trait]
pub trait ExternalSource: fmt::Debug + Send + Sync {
    /// Whether queries may read this address. The error says what to do to allow it.
    fn permit(&self, address: &str) -> Result<(), ExternalError>;

    /// The bytes at an address that is permitted. More than `limit` of them are an error.
    async fn fetch(&self, address: &str, limit: usize) -> Result<Bytes, ExternalError>;
}

/// Why a file may not or cannot be had. Nothing secret that the address holds may be in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExternalError {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl ExternalError {
    /// An error without advice.
    pub fn new(message: impl Into<String>) -> Self {
        ExternalError { message: message.into(), help: None }
    }

    /// The same with advice.
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// An address, and which files of a ZIP there are meant.
type FileKey = (String, Option<String>);

/// The files of one query, or of several with one memo, each fetched once.
#[derive(Debug)]
pub(crate) struct Files {
    source: Arc<dyn ExternalSource>,
    fetched: Mutex<HashMap<FileKey, Arc<OnceCell<Vec<Bytes>>>>>,
}

impl Files {
    pub(crate) fn new(source: Arc<dyn ExternalSource>) -> Self {
        Files { source, fetched: Mutex::default() }
    }

    pub(crate) fn permit(&self, address: &str) -> std::result::Result<(), ExternalError> {
        self.source.permit(address)
    }

    /// The file, unpacked where its name says that it is packed; of a ZIP the files that a pattern chooses.
    async fn content(&self, address: &str, pattern: Option<&str>) -> Result<Vec<Bytes>> {
        let cell = {
            let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(fetched.entry((address.to_owned(), pattern.map(str::to_owned))).or_default())
        };
        let failed = |error: ExternalError| DataFusionError::Execution(format!("externaldata: {error}"));
        let content = cell.get_or_try_init(|| async {
            let bytes = self.source.fetch(address, MAX_BYTES).await.map_err(failed)?;
            unpack::unpack(address, bytes, pattern, MAX_BYTES).map_err(failed)
        });
        Ok(content.await?.clone())
    }
}

/// The rows of files.
#[derive(Debug, Clone)]
pub(crate) struct External {
    files: Arc<Files>,
    addresses: Vec<String>,
    format: Format,
    options: Options,
    columns: Vec<Column>,
    schema: SchemaRef,
}

/// What a query says of files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Without one, the first file's name says it.
    pub(crate) format: Option<Format>,
    /// Whether each file begins with a heading.
    pub(crate) ignore_first_record: bool,
    /// Which files of a ZIP are meant; without one it is the first.
    pub(crate) zip_pattern: Option<String>,
}

impl External {
    pub(crate) fn new(
        files: Arc<Files>,
        addresses: Vec<String>,
        options: Options,
        columns: Vec<Column>,
    ) -> Self {
        let schema = records::schema(&columns);
        let name = match &options.zip_pattern {
            Some(pattern) => Some(pattern.as_str()),
            None => addresses.first().map(|address| unpack::inner_name(address)),
        };
        let format = options.format.or_else(|| Format::of_name(name?)).unwrap_or(Format::Csv);
        External { files, addresses, format, options, columns, schema }
    }

    async fn read(&self, address: &str, memory: &MemoryReservation) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        for content in self.files.content(address, self.options.zip_pattern.as_deref()).await? {
            memory.try_grow(content.len())?;
            let heading = self.options.ignore_first_record;
            let read = records::read(self.format, &content, heading, &self.columns, memory);
            memory.shrink(content.len());
            batches.extend(read.map_err(|error| match error {
                // Whatever the address holds beside its name may be secret.
                DataFusionError::Execution(message) => {
                    DataFusionError::Execution(format!("externaldata: {}: {message}", unpack::name(address)))
                }
                other => other,
            })?);
        }
        Ok(batches)
    }
}

impl PartitionStream for External {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let memory = MemoryConsumer::new("externaldata").register(context.memory_pool());
        let this = self.clone();
        let schema = Arc::clone(&self.schema);
        let batches = stream::once(async move {
            let mut batches = Vec::new();
            for address in &this.addresses {
                batches.extend(this.read(address, &memory).await?);
            }
            // The memory is held until the last batch is gone.
            Ok::<_, DataFusionError>(stream::unfold(
                (batches.into_iter(), memory),
                |(mut rest, memory)| async { rest.next().map(|batch| (Ok(batch), (rest, memory))) },
            ))
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, batches.try_flatten()))
    }
}
