//! Normalisers: a record of an API or a file becomes a row of its table.
//!
//! They are pure functions from JSON to [`Row`](provost_model::Row), one file per table, used by the sources and by `provost import`
//! alike, so that an event has the same columns and the same identity whichever way it comes. A record that can't be
//! read is an error with its reason, for `Rejects`.

mod activity;
mod audit;
mod cloudtrail;
mod columns;
mod cost;
mod device;
mod fields;
mod reading;
mod signin;

use provost_model::{RowError, TableSpec, tables};

pub use activity::activity;
pub use audit::audit;
pub use cloudtrail::cloudtrail;
pub use columns::by_columns;
pub use cost::focus;
pub use device::{device_event, device_network};
pub use reading::{Normaliser, Reading, for_table};
pub use signin::{signin, signin_of};

pub(crate) use cost::DailyCharge;

fn table(name: &'static str) -> Result<&'static TableSpec, RowError> {
    tables().get(name).ok_or_else(|| RowError::Record(format!("there is no table {name}")))
}

#[cfg(test)]
mod tests;
