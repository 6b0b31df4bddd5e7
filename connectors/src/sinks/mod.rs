//! The sinks, one module per system.

mod jsonl;
mod sentinel_incidents;
mod sentinel_ingestion;

use std::sync::Arc;

use crate::config::SinkConfig;
use crate::connectors::Connectors;
use crate::http::Response;
use crate::sink::{Sink, SinkError};
use crate::source::SourceError;

/// The sink that the settings describe.
pub(crate) fn make(
    connectors: &Connectors,
    name: &str,
    config: &SinkConfig,
) -> Result<Arc<dyn Sink>, SinkError> {
    Ok(match config {
        SinkConfig::Jsonl(config) => Arc::new(jsonl::Jsonl::new(name, config)),
        SinkConfig::SentinelIncidents(config) => {
            Arc::new(sentinel_incidents::SentinelIncidents::new(connectors, name, config)?)
        }
        SinkConfig::SentinelIngestion(config) => {
            Arc::new(sentinel_ingestion::SentinelIngestion::new(connectors, name, config)?)
        }
    })
}

/// What is written to is not there: a mistake in the settings. What was to be sent is kept until they are right.
fn not_there(sink: &str, response: &Response, remedy: &str) -> SinkError {
    SinkError::Denied { sink: sink.to_owned(), message: response.describe(), remedy: remedy.to_owned() }
}

/// An error of a service as one of the sink that talks to it.
fn failed(sink: &str, error: SourceError) -> SinkError {
    let sink = sink.to_owned();
    match error {
        SourceError::Denied { service, message, remedy } => {
            SinkError::Denied { sink, message: format!("{service}: {message}"), remedy }
        }
        SourceError::Unauthenticated { .. } => SinkError::Denied {
            sink,
            message: error.to_string(),
            remedy: "check the credentials: docs/connectors/credentials.md".to_owned(),
        },
        SourceError::Config(message) => SinkError::Config(format!("sink {sink}: {message}")),
        SourceError::Refused { .. } => SinkError::Refused { sink, message: error.to_string() },
        error => SinkError::Later { sink, message: error.to_string() },
    }
}
