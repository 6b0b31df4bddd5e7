//! What is known about the planted events.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use provost_model::{Entity, Family};

/// An attack, and everything that belongs to it.
#[derive(Debug, Clone)]
pub struct AttackChain {
    /// A short name, such as `stolen-account`.
    pub name: &'static str,
    /// What happens.
    pub description: &'static str,
    /// ATT&CK techniques.
    pub techniques: Vec<&'static str>,
    /// The families of signals that should show it.
    pub families: Vec<Family>,
    /// The ids of its events by table. An id is the one that the source itself gives; for `DeviceNetworkEvents`
    /// see `NetworkEvent::id`.
    pub event_ids: BTreeMap<&'static str, Vec<String>>,
    /// Who and what takes part: an incident that shows the attack names these.
    pub entities: Vec<Entity>,
    /// The time of its first event.
    pub from: DateTime<Utc>,
    /// The time of its last event.
    pub to: DateTime<Utc>,
}

/// Something benign that looks like an attack: no incident may come of it.
#[derive(Debug, Clone)]
pub struct Decoy {
    /// A short name, such as `pipeline-burst`.
    pub name: &'static str,
    /// Why it is benign.
    pub description: &'static str,
    /// Who and what takes part.
    pub entities: Vec<Entity>,
}
