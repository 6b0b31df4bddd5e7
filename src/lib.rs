//! Provost: a SIEM connector and scheduled cloud-log analyzer.
//!
//! One direction: sources fill the lake, rules read it, their findings become incidents, playbooks answer the
//! analyst's first questions, sinks send the result on. Each stage reads tables and writes tables.

pub mod cli;
pub mod config;
pub mod console;
pub mod correlate;
pub mod detect;
mod external;
pub mod import;
pub mod lake;
mod parallel;
pub mod pipeline;
pub mod report;
pub mod scheduler;
pub mod triage;
