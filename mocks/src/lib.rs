//! The mock clouds over HTTPS, and the scenario they serve.
//!
//! [`Scenario`] is a tenant made up from a seed: devices, people, AWS accounts and Azure subscriptions with days of
//! benign noise, labelled attack chains and decoys. [`MockClouds`] plays the clouds' APIs over it on loopback, as
//! strictly as the real ones, with faults that can be switched on.

mod clouds;
pub mod scenario;

pub use clouds::{
    ACCESS_KEY_ID, CLIENT_ID, CLIENT_SECRET, Clock, EXTERNAL_ID, Endpoints, Faults, IncidentCopy,
    LoggedRequest, MockClouds, MockError, MockOptions, POWERLESS_ACCESS_KEY_ID, POWERLESS_CLIENT_ID, Ports,
    READER_ROLE, RESOURCE_GROUP, RULE_ID, SECRET_ACCESS_KEY, SentinelCopy, Stream, WORKSPACE,
};
pub use scenario::{AttackChain, Decoy, Scenario, ScenarioOptions};
