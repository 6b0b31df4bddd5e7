//! One process that plays the clouds over HTTPS on loopback.

mod faults;
mod sentinel;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use provost_model::Secret;
use url::Url;

use crate::scenario::Scenario;

pub use faults::Faults;
pub use sentinel::{IncidentCopy, SentinelCopy, Stream};

/// How the mock clouds are set up.
#[derive(Debug, Clone)]
pub struct MockOptions {
    /// What they serve.
    pub scenario: Arc<Scenario>,
    /// What goes wrong at first.
    pub faults: Faults,
    /// What time it is.
    pub clock: Clock,
    /// Where they listen.
    pub ports: Ports,
    /// By how much the vendors' request limits are raised, so that a test need not wait; 1 is real.
    pub limits_raised: u32,
    /// How many rows a hunting query gives at most, with no sign of the cut.
    pub hunting_row_cap: usize,
    /// How long a stalled request hangs before its connection is closed.
    pub stall: Duration,
    /// The streams that the data collection rule declares.
    pub streams: Vec<Stream>,
}

impl MockOptions {
    /// The scenario at its end, no faults, free ports, the vendors' limits.
    pub fn new(scenario: impl Into<Arc<Scenario>>) -> Self {
        let scenario = scenario.into();
        Self {
            clock: Clock::Fixed(scenario.options().end),
            scenario,
            faults: Faults::none(),
            ports: Ports::Free,
            limits_raised: 1,
            hunting_row_cap: 100_000,
            stall: Duration::from_secs(2),
            streams: Stream::shipped(),
        }
    }
}

/// What time it is for the mock clouds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// Always this; [`MockClouds::set_clock`] moves it.
    Fixed(DateTime<Utc>),
    /// The real time: a record shows when its time and its lateness have come.
    Live,
}

/// Where the mock clouds listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// Wherever it is free.
    Free,
    /// On five ports in a row: Entra, Graph, ARM, ingestion, AWS.
    From(u16),
}

/// Where each service listens.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// Entra, the token endpoint.
    pub entra: Url,
    /// Microsoft Graph.
    pub graph: Url,
    /// Azure Resource Manager.
    pub arm: Url,
    /// The data collection endpoint.
    pub ingestion: Url,
    /// Every AWS service of every region.
    pub aws: Url,
}

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedRequest {
    /// `entra`, `graph`, `arm`, `ingestion`, `cloudtrail`, `sts`, `ce`.
    pub service: &'static str,
    /// What was asked for, such as `LookupEvents 111122223333/us-east-1` or `runHuntingQuery`.
    pub operation: String,
    /// The status of the answer; 0 where none was given.
    pub status: u16,
    /// The fault that was played, if any.
    pub fault: Option<&'static str>,
}

/// Why the mock clouds could not start.
#[derive(Debug, thiserror::Error)]
pub enum MockError {
    /// No certificates.
    #[error("no certificates could be made: {0}")]
    Certificates(String),
    /// A port is taken or the network is not there.
    #[error("cannot listen on 127.0.0.1:{port}: {source}")]
    Listen {
        /// The port.
        port: u16,
        /// Why.
        source: std::io::Error,
    },
}

/// The mock clouds, running until they are stopped or dropped.
#[derive(Debug)]
pub struct MockClouds {
    endpoints: Endpoints,
    ca_pem: String,
}

impl MockClouds {
    /// Starts listening.
    pub async fn start(_options: MockOptions) -> Result<Self, MockError> {
        Err(MockError::Certificates("not made yet".to_owned()))
    }

    /// The certificate of the CA that clients must trust.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Where each service listens.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// The environment variables that give a client its credentials.
    pub fn environment(&self) -> BTreeMap<&'static str, Secret> {
        BTreeMap::new()
    }

    /// The text of a `provost.toml` for these clouds, with the CA read from that file.
    pub fn config_toml(&self, _ca_file: &PathBuf) -> String {
        String::new()
    }

    /// What the Sentinel workspace holds by now.
    pub fn sentinel(&self) -> SentinelCopy {
        SentinelCopy::default()
    }

    /// The requests so far, the oldest first; at most the last hundred thousand.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        Vec::new()
    }

    /// How many requests Cost Explorer would have billed.
    pub fn billed_requests(&self) -> u64 {
        0
    }

    /// Switches faults while running.
    pub fn set_faults(&self, _faults: Faults) {}

    /// Moves the clock while running.
    pub fn set_clock(&self, _clock: Clock) {}

    /// Stops listening and cuts every connection.
    pub async fn stop(self) {}
}
