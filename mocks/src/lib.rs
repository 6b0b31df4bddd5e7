//! The mock clouds over HTTPS, and the scenario they serve.
//!
//! [`Scenario`] is a tenant made up from a seed: devices, people, AWS accounts and Azure subscriptions with days of
//! benign noise, labelled attack chains and decoys. [`MockClouds`] plays the clouds' APIs over it on loopback, as
//! strictly as the real ones, with faults that can be switched on.

mod clouds;
pub mod scenario;

pub use clouds::{
    Clock, Endpoints, Faults, IncidentCopy, LoggedRequest, MockClouds, MockError, MockOptions, Ports,
    SentinelCopy, Stream,
};
pub use scenario::{AttackChain, Decoy, Scenario, ScenarioOptions};
