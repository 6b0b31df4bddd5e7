//! The words everyone in Provost shares: tables, rows, windows, entities, findings, incidents.
//!
//! Nothing here does input or output. A source connector fills [`Row`]s of a [`TableSpec`], the lake keeps them,
//! rules turn them into [`Finding`]s, correlation into [`Incident`]s, and a sink sends those on.

mod entity;
mod finding;
mod identity;
pub mod inert;
mod row;
mod secret;
mod suggest;
mod table;
mod window;

pub use entity::{Entity, EntityKind};
pub use finding::{Family, Finding, Incident, IncidentEdge, Severity, TriageAnswer};
pub use identity::{EventId, stable_uuid};
pub use row::{BatchBuilder, Cell, Reject, Row, RowError};
pub use secret::Secret;
pub use suggest::{did_you_mean, hint};
pub use table::{ColumnKind, ColumnSpec, TableSpec, tables};
pub use window::{Partition, TimeError, Window, format_time, parse_time};
