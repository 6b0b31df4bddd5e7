//! Time zones.

use chrono::{Offset, TimeZone};
use chrono_tz::Tz;

use crate::time::{TICKS_PER_SECOND, datetime_from_ticks, valid_datetime};

/// A time moved between a zone and UTC.
pub(crate) fn shift(ticks: i64, zone: &str, to_utc: bool) -> Option<i64> {
    let zone: Tz = zone.parse().ok()?;
    let at = datetime_from_ticks(ticks)?;
    // A local time that does not exist, or exists twice, is read by the offset that holds before the change.
    let offset = if to_utc {
        match zone.offset_from_local_datetime(&at) {
            chrono::LocalResult::Single(offset) | chrono::LocalResult::Ambiguous(offset, _) => offset.fix(),
            chrono::LocalResult::None => zone.offset_from_utc_datetime(&at).fix(),
        }
    } else {
        zone.offset_from_utc_datetime(&at).fix()
    };
    let span = i64::from(offset.local_minus_utc()) * TICKS_PER_SECOND;
    valid_datetime(if to_utc { ticks.checked_sub(span)? } else { ticks.checked_add(span)? })
}
