//! `provost status`

use chrono::{DateTime, TimeDelta, Utc};
use provost_model::format_time;
use serde_json::{Value, json};

use super::stages::Connections;
use super::{App, Outcome};
use crate::config::{JobStage, Schedules};
use crate::console::Sheet;
use crate::lake::PartitionStatus;

/// How long a run of a job may take before what it has not brought yet counts as missing.
const SLACK: TimeDelta = TimeDelta::minutes(2);
/// How long a source takes to show an event, where the source cannot be asked for its pace.
const SETTLE: TimeDelta = TimeDelta::minutes(5);

pub(super) async fn status(app: &App) -> anyhow::Result<Outcome> {
    let now = app.now();
    let pipeline = app.pipeline().await?;
    let schedules = Schedules::of(&app.config)?;
    let connections = Connections::open(&app.config, &pipeline, app.now);
    // A job should have come as far as its last two ticks and its source allow.
    let expected = |name: &str| -> Option<DateTime<Utc>> {
        let job = schedules.job(name)?;
        let next = job.next_after(now)?;
        let after = job.next_after(next)?;
        let ran = now - (after - next) * 2 - SLACK;
        let JobStage::Pull { source } = &job.stage else { return None };
        let source = connections.as_ref().ok().and_then(|connections| connections.source(source).ok());
        Some(source.map_or(ran - SETTLE, |source| source.pace().end(ran)))
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
    // What fits the screen.
    let mut short = Sheet::new(["Job", "Partition", "CoveredTo", "Lag", "Rows", "NextRun"]);
    let mut problems = Sheet::new(["Job", "Partition", "Problem"]);
    let minute = |instant: DateTime<Utc>| instant.format("%Y-%m-%d %H:%MZ").to_string();
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
        let place = short_partition(&partition.partition);
        short.row([
            json!(partition.job),
            json!(place),
            json!(partition.covered_to.map(minute)),
            json!(lag.as_deref().and_then(|lag| lag.split(' ').next())),
            json!(partition.rows),
            json!(next.map(|next| next.format("%H:%MZ").to_string())),
        ]);
        let missing = shown.iter().map(|gap| format!("not covered: {gap}"));
        for problem in missing.chain(partition.last_error.clone()) {
            problems.row([json!(partition.job), json!(place), json!(problem)]);
        }
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
        app.output.sheet(&short)?;
        if !problems.is_empty() {
            app.output.note("");
            app.output.sheet(&problems)?;
        }
    } else {
        app.output.sheet(&sheet)?;
    }
    Ok(if gaps { Outcome::Incomplete } else { Outcome::Complete })
}

/// A partition as a table has room for it: of a GUID the beginning.
fn short_partition(partition: &str) -> String {
    let parts = partition.split('/').map(|part| match uuid::Uuid::try_parse(part) {
        Ok(_) => format!("{}…", part.split('-').next().unwrap_or(part)),
        Err(_) => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("/")
}
