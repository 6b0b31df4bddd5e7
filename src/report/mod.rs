//! What an auditor or an analyst takes away: incidents, findings and the provisioning ledger, as one HTML file that
//! needs nothing else, and as CSV. All that comes from logs is made inert here, where it is shown.

mod chain;
mod csv;
mod html;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use provost_kql::{Catalog, Engine, QueryOptions};
use provost_model::{Finding, Incident};
use serde_json::{Map, Value};

pub use csv::{findings_csv, incidents_csv, ledger_csv};
pub use html::html;

use crate::correlate::query;
use crate::triage::with_functions;

const LEDGER: &str = include_str!("../../playbooks/ledger.kql");

/// What a report is made of.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// When it was made.
    pub made_at: DateTime<Utc>,
    /// The span of event time that it covers.
    pub covers: (DateTime<Utc>, DateTime<Utc>),
    /// The incidents in their last versions.
    pub incidents: &'a [Incident],
    /// The findings in their last versions.
    pub findings: &'a [Finding],
    /// The rows of [`ledger`].
    pub ledger: &'a [Map<String, Value>],
}

/// The provisioning ledger: who created what, where, when, from which address, whether it is approved, what it cost.
pub async fn ledger(
    engine: &Engine,
    catalog: &Arc<dyn Catalog>,
    options: &QueryOptions,
) -> Result<Vec<Map<String, Value>>, String> {
    let answer = query::rows(engine, catalog, &with_functions(LEDGER), options).await?;
    if answer.cut {
        return Err(format!("the ledger has more than {} rows; ask for fewer days", answer.rows.len()));
    }
    Ok(answer.rows)
}
