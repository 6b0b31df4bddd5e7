//! Sources and sinks, one module per system, on one HTTP stack.
//!
//! A connector is small: it turns one API into rows for a window, or findings into requests. Scheduling, windows,
//! overlap, dedupe, checkpoints and the outbox belong to the program; timeouts, retries, rate limits, credentials
//! and redaction belong to the HTTP stack here.

pub mod config;
mod limit;
pub mod records;
mod sink;
mod source;

pub use sink::{Payload, Sink, SinkError};
pub use source::{Check, CheckStatus, Pace, Pulled, RowSink, Source, SourceError};
