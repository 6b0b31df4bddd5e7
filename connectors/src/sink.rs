//! What a sink is.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use provost_model::{Finding, Incident};

use crate::source::Check;

/// What is sent: this version of a finding or an incident. An incident comes with its findings.
#[derive(Debug, Clone)]
pub enum Payload {
    /// A finding.
    Finding(Finding),
    /// An incident and the findings in it.
    Incident(Incident, Vec<Finding>),
}

/// A payload that the system will never take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its place in the batch.
    pub place: usize,
    /// What the system said.
    pub reason: String,
}

/// A system that takes findings and incidents.
///
/// **Delivered at least once**: whatever `send` did not confirm is sent again, under the same ids.
#[async_trait]
pub trait Sink: fmt::Debug + Send + Sync {
    /// The name it has in the configuration; deliveries are kept under it.
    fn name(&self) -> &str;

    /// Whether this sink wants payloads of this kind at all.
    fn wants(&self, payload: &Payload) -> bool;

    /// Cuts the outbox into consecutive batches that one `send` can take.
    fn batches(&self, payloads: &[Payload]) -> Vec<Range<usize>>;

    /// Sends one batch; `Ok` when the system has answered for all of it: the payloads it will never take are named,
    /// and it has confirmed the others.
    async fn send(&self, batch: &[Payload]) -> Result<Vec<Refusal>, SinkError>;

    /// Tries credentials and permissions for real, one check each.
    async fn check(&self) -> Vec<Check>;
}

/// Why a batch was not delivered. Texts hold no secret.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Worth another try later: not reachable, throttled, an error of the system's own.
    #[error("{sink}: {message}; it will be sent again")]
    Later {
        /// The sink.
        sink: String,
        /// What happened.
        message: String,
    },
    /// Wrong credentials or permissions.
    #[error("{sink}: {message}; {remedy}")]
    Denied {
        /// The sink.
        sink: String,
        /// What happened.
        message: String,
        /// What to grant.
        remedy: String,
    },
    /// The system will never take this batch: it is kept in `Deliveries` as refused, and the rest goes on.
    #[error("{sink}: refused: {message}")]
    Refused {
        /// The sink.
        sink: String,
        /// What it said.
        message: String,
    },
    /// Wrong settings.
    #[error("{0}")]
    Config(String),
}
