//! What the sources share: giving records on, pages of a list, and turning a trial request into a check.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use provost_model::{Reject, Row, RowError, TableSpec, Window, tables};
use serde::Deserialize;
use serde_json::Value;

use crate::source::{Check, CheckStatus, RowSink, SourceError};

/// A table that has to be there.
pub(super) fn table(name: &'static str) -> Result<&'static TableSpec, SourceError> {
    tables().get(name).ok_or_else(|| SourceError::Config(format!("there is no table {name}")))
}

/// Gives a record on: as a row, or as a reject with the reason.
pub(super) async fn give(
    out: &mut dyn RowSink,
    origin: &str,
    record: &Value,
    row: Result<Row, RowError>,
) -> Result<(), SourceError> {
    match row {
        Ok(row) => out.row(row).await,
        Err(reason) => {
            let reject =
                Reject { origin: origin.to_owned(), reason: reason.to_string(), record: record.to_string() };
            out.reject(reject).await
        }
    }
}

/// A page of a list of Azure Resource Manager or Graph.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    /// Not optional: an answer without it is none.
    pub(super) value: Vec<Value>,
    #[serde(alias = "@odata.nextLink", rename = "nextLink")]
    pub(super) next_link: Option<String>,
}

/// A window that starts before what the API keeps would come back empty, as if nothing had happened then.
pub(super) fn within_retention(
    service: &'static str,
    window: Window,
    retention: TimeDelta,
    now: DateTime<Utc>,
) -> Result<(), SourceError> {
    if window.from() < now - retention {
        let days = retention.num_days();
        return Err(SourceError::Refused {
            service,
            message: format!("{window} starts before the {days} days that are kept"),
        });
    }
    Ok(())
}

/// An instant to the digit, for a filter.
pub(super) fn instant(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// The check that a trial request makes.
pub(super) fn check(name: String, tried: Result<String, SourceError>) -> Check {
    match tried {
        Ok(detail) => Check { name, status: CheckStatus::Ok, detail, remedy: None },
        Err(error) => {
            let status = match error {
                SourceError::Throttled { .. } | SourceError::Budget { .. } => CheckStatus::Warning,
                _ => CheckStatus::Failed,
            };
            let remedy = match &error {
                SourceError::Denied { remedy, .. } => Some(remedy.clone()),
                SourceError::Unreachable { .. } => {
                    Some("check the network, [http] proxy and extra_ca_file, and the endpoints".to_owned())
                }
                SourceError::Unauthenticated { .. } => {
                    Some("check the credentials: docs/connectors/credentials.md".to_owned())
                }
                _ => None,
            };
            Check { name, status, detail: error.to_string(), remedy }
        }
    }
}

/// Subscription ids, which become part of a path.
pub(super) fn subscriptions(ids: &[String]) -> Result<Vec<String>, SourceError> {
    if ids.is_empty() {
        return Err(SourceError::Config("subscriptions: name at least one".to_owned()));
    }
    for id in ids {
        uuid::Uuid::try_parse(id)
            .map_err(|_| SourceError::Config(format!("subscriptions: '{id}' is not a subscription's id")))?;
    }
    Ok(ids.to_vec())
}
