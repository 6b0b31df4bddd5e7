//! `provost status`

use chrono::{DateTime, TimeDelta, Utc};
use provost_model::format_time;
use serde_json::{Value, json};

use super::{App, Outcome};
use crate::config::Schedules;
use crate::console::Sheet;
use crate::lake::PartitionStatus;

/// A partition that is behind by less than this is up to date: its job just has not run again yet.
const SLACK: TimeDelta = TimeDelta::minutes(5);

pub(super) async fn status(app: &App) -> anyhow::Result<Outcome> {
    let now = app.now();
    let pipeline = app.pipeline().await?;
    let mut schedules = Schedules::load(&app.config.schedules)?;
    if schedules.jobs().next().is_none() {
        schedules = Schedules::usual(&app.config);
    }
    // A job should have come as far as its last two ticks allow.
    let expected = |job: &str| -> Option<DateTime<Utc>> {
        let job = schedules.job(job)?;
        let next = job.next_after(now)?;
        let after = job.next_after(next)?;
        Some(now - (after - next) * 2 - SLACK)
    };
    let partitions = PartitionStatus::read(pipeline.lake(), expected).await?;
    let mut sheet = Sheet::new([
        "Job",
        "Partition",
        "Table",
        "CoveredFrom",
        "CoveredTo",
        "Lag",
        "Gaps",
        "Rows",
        "Rejected",
        "LastError",
        "NextRun",
    ]);
    let time =
        |instant: Option<DateTime<Utc>>| instant.map_or(Value::Null, |instant| json!(format_time(instant)));
    let mut gaps = false;
    for partition in &partitions {
        let settle = expected(&partition.job);
        let shown: Vec<String> = partition
            .gaps
            .iter()
            .map(|gap| format!("{}{}", gap.window, if gap.lost { " (no longer at the source)" } else { "" }))
            .collect();
        gaps |= settle.is_some() && !shown.is_empty();
        let lag = partition.covered_to.map(|covered| {
            let seconds = (now - covered).num_seconds().max(0);
            humantime::format_duration(std::time::Duration::from_secs(seconds.unsigned_abs())).to_string()
        });
        let next = schedules.job(&partition.job).and_then(|job| job.next_after(now));
        sheet.row([
            json!(partition.job),
            json!(partition.partition),
            json!(partition.table),
            time(partition.covered_from),
            time(partition.covered_to),
            json!(lag),
            json!(shown.join("; ")),
            json!(partition.rows),
            json!(partition.rejected),
            json!(partition.last_error),
            time(next),
        ]);
    }
    if sheet.is_empty() {
        app.output.note("nothing was pulled yet");
    }
    if app.output.for_people() {
        // What fits the screen; the rest is in --format json.
        sheet = sheet.only(&["Job", "Partition", "CoveredTo", "Lag", "Gaps", "Rows", "LastError", "NextRun"]);
        app.output.sheet(&sheet)?;
    } else {
        app.output.sheet(&sheet)?;
    }
    Ok(if gaps { Outcome::Incomplete } else { Outcome::Complete })
}
