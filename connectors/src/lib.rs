//! Sources and sinks, one module per system, on one HTTP stack.
//!
//! A connector is small: it turns one API into rows for a window, or findings into requests. Scheduling, windows,
//! overlap, dedupe, checkpoints and the outbox belong to the program; timeouts, retries, rate limits, credentials
//! and redaction belong to the HTTP stack here.

mod api;
mod aws;
mod azure;
mod budget;
mod clock;
pub mod config;
mod connectors;
mod external;
mod http;
mod limit;
mod meter;
pub mod records;
mod redact;
mod retry;
mod secrets;
mod sink;
mod sinks;
mod source;
mod sources;

pub use budget::{Budget, BudgetError};
pub use clock::Clock;
pub use connectors::Connectors;
pub use external::{AddressError, ExternalFiles, ExternalHost};
pub use meter::RequestCounts;
pub use secrets::{AwsKeys, Secrets};
pub use sink::{Payload, Refusal, Sink, SinkError};
pub use source::{Check, CheckStatus, Pace, Pulled, RowSink, Source, SourceError};
