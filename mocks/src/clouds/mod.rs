//! One process that plays the clouds over HTTPS on loopback.

mod activity_log;
mod arm;
mod aws;
mod config;
mod cost_explorer;
mod cost_query;
mod entra;
mod exchange;
mod faults;
mod graph;
mod hunting;
mod incidents;
mod ingestion;
mod kql;
mod limits;
mod lookup;
mod pages;
mod reports;
mod sentinel;
mod serve;
mod sigv4;
mod sts;
mod tokens;
mod world;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};
use provost_model::Secret;
use tokio::task::JoinHandle;
use url::Url;

use crate::scenario::Scenario;

use serve::{Certificates, Service};
use world::{World, lock};

pub use arm::{RESOURCE_GROUP, WORKSPACE};
pub use aws::{ACCESS_KEY_ID, POWERLESS_ACCESS_KEY_ID, SECRET_ACCESS_KEY};
pub use entra::{CLIENT_ID, CLIENT_SECRET, POWERLESS_CLIENT_ID};
pub use faults::Faults;
pub use ingestion::RULE_ID;
pub use sentinel::{IncidentCopy, SentinelCopy, Stream};
pub use sts::{EXTERNAL_ID, READER_ROLE};

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
    /// The scenario could not be made.
    #[error("the scenario could not be made: {0}")]
    Scenario(String),
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
    world: Arc<World>,
    ca_pem: String,
    limits_raised: u32,
    listeners: Vec<JoinHandle<()>>,
}

impl MockClouds {
    /// Starts listening.
    pub async fn start(options: MockOptions) -> Result<Self, MockError> {
        let certificates = Certificates::make()?;
        let mut listeners = Vec::new();
        for (service, place) in Service::ALL.into_iter().zip(0_u16..) {
            let port = match options.ports {
                Ports::Free => 0,
                Ports::From(first) => first.saturating_add(place),
            };
            listeners.push((service, serve::bind(port).await?));
        }
        let mut urls = Vec::new();
        for (_, listener) in &listeners {
            let address = listener.local_addr().map_err(|source| MockError::Listen { port: 0, source })?;
            urls.push(Url::parse(&format!("https://{address}/")).map_err(|problem| MockError::Listen {
                port: address.port(),
                source: std::io::Error::other(problem),
            })?);
        }
        let [entra, graph, arm, ingestion, aws] = <[Url; 5]>::try_from(urls)
            .map_err(|_| MockError::Certificates("a service without an address".to_owned()))?;
        let endpoints = Endpoints { entra, graph, arm, ingestion, aws };
        // Making up days of logs takes a second or two of one core.
        let limits_raised = options.limits_raised;
        let stall = options.stall;
        let made = tokio::task::spawn_blocking(move || World::new(&options, endpoints)).await;
        let world = Arc::new(made.map_err(|problem| MockError::Scenario(problem.to_string()))?);
        let listeners = listeners
            .into_iter()
            .map(|(service, listener)| {
                serve::serve(Arc::clone(&world), service, listener, &certificates, stall)
            })
            .collect();
        Ok(Self { world, ca_pem: certificates.ca_pem, limits_raised, listeners })
    }

    /// The certificate of the CA that clients must trust.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Where each service listens.
    pub fn endpoints(&self) -> &Endpoints {
        &self.world.endpoints
    }

    /// The environment variables that give a client its credentials.
    pub fn environment(&self) -> BTreeMap<&'static str, Secret> {
        config::environment()
    }

    /// The text of a `provost.toml` for these clouds, with the CA read from that file.
    pub fn config_toml(&self, ca_file: &Path) -> String {
        config::toml(&self.world, ca_file, self.limits_raised)
    }

    /// Writes everything a client needs besides the secrets into a folder: `ca.pem`, the tenant's watchlists, and
    /// `provost.toml`, whose path it gives.
    pub fn write_settings(&self, folder: &Path) -> std::io::Result<PathBuf> {
        let folder = std::path::absolute(folder)?;
        let lists = folder.join("content").join("watchlists");
        std::fs::create_dir_all(&lists)?;
        for (name, text) in self.scenario().watchlists() {
            std::fs::write(lists.join(name), text)?;
        }
        let ca = folder.join("ca.pem");
        std::fs::write(&ca, self.ca_pem())?;
        let settings = folder.join("provost.toml");
        std::fs::write(&settings, format!("content = \"content\"\n\n{}", self.config_toml(&ca)))?;
        Ok(settings)
    }

    /// The scenario that is served.
    pub fn scenario(&self) -> &Scenario {
        &self.world.scenario
    }

    /// What the Sentinel workspace holds by now.
    pub fn sentinel(&self) -> SentinelCopy {
        lock(&self.world.workspace).copy()
    }

    /// The requests so far, the oldest first; at most the last hundred thousand.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.world.requests()
    }

    /// How many requests Cost Explorer would have billed.
    pub fn billed_requests(&self) -> u64 {
        self.world.billed.load(Ordering::Relaxed)
    }

    /// Switches faults while running.
    pub fn set_faults(&self, faults: Faults) {
        self.world.set_faults(faults);
    }

    /// Moves the clock while running.
    pub fn set_clock(&self, clock: Clock) {
        self.world.set_clock(clock);
    }

    /// Ends every token and session that was issued so far.
    pub fn expire_tokens(&self) {
        self.world.tokens.expire_all();
        self.world.sessions.expire_all();
    }

    /// Stops listening and cuts every connection.
    pub async fn stop(mut self) {
        for listener in std::mem::take(&mut self.listeners) {
            listener.abort();
            // Aborted is what it is meant to be.
            let _ = listener.await;
        }
    }
}

impl Drop for MockClouds {
    fn drop(&mut self) {
        for listener in &self.listeners {
            listener.abort();
        }
    }
}
