//! The Defender device tables, foremost `DeviceNetworkEvents`: from advanced hunting, from the streaming API and from
//! Log Analytics.

use chrono::{DurationRound, TimeDelta};
use provost_model::{EventId, Row, RowError, TableSpec, format_time};
use serde_json::Value;

use super::fields::{Fields, at, content_id, object};
use super::table;

/// Reads a network event into `DeviceNetworkEvents`.
pub fn device_network(record: &Value) -> Result<Row, RowError> {
    device_event(table("DeviceNetworkEvents")?, record)
}

/// Reads an event of a device table: a row of advanced hunting, a line of the streaming API, whose `properties` hold
/// the columns, or a row of Log Analytics, which says `TimeGenerated` for `Timestamp`.
///
/// The identity is device, report and time, as Microsoft says: a report id by itself repeats. Time counts down to the
/// microsecond, which is what the lake keeps, so that ways which write more or fewer digits meet.
pub fn device_event(table: &'static TableSpec, record: &Value) -> Result<Row, RowError> {
    object(record)?;
    let event = at(record, &["properties"]).filter(|properties| properties.is_object()).unwrap_or(record);
    let fields = Fields::of(event)?;
    let time = fields.time(&["Timestamp", "TimeGenerated"], "Timestamp")?;
    let device = fields.text(&["DeviceId"]).or_else(|| fields.text(&["DeviceName"]));
    let id = match (fields.text(&["ReportId"]), device) {
        (Some(report), Some(device)) => {
            let kept = time.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(time);
            EventId::of(&[table.name(), &report, &device, &format_time(kept)])
        }
        _ => content_id(event),
    };
    let mut row = Row::new(table, time, id);
    fields.fill(&mut row)?;
    Ok(row)
}
