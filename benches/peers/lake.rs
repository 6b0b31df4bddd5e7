//! The lake that all engines read: the scenario's logs, as the product itself writes them.

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use chrono::{DateTime, NaiveDate, Utc};
use provost::lake::{Append, Lake};
use provost_connectors::records::{Normaliser, for_table};
use provost_mocks::{Scenario, ScenarioOptions};
use provost_model::{BatchBuilder, Row};
use serde_json::Value;

const DAYS: u32 = 14;
const EVENTS_PER_DEVICE_HOUR: f64 = 20.0;
/// Rows in memory before they are written.
const ROWS_AT_ONCE: usize = 200_000;

/// Makes the lake where it is not there yet; gives the instant that its logs end at.
pub(crate) async fn make(folder: &Path, rows: u64, events: u64) -> anyhow::Result<DateTime<Utc>> {
    let hours = f64::from(DAYS) * 24.0;
    let options = ScenarioOptions {
        days: DAYS,
        devices: (rows as f64 / hours / EVENTS_PER_DEVICE_HOUR).ceil() as u32,
        users: 500,
        network_events_per_device_hour: EVENTS_PER_DEVICE_HOUR,
        trail_events_per_hour: events as f64 / hours,
        ..ScenarioOptions::default()
    };
    let end = options.end;
    let done = folder.join(format!("made-of-{rows}-and-{events}"));
    if done.is_file() {
        return Ok(end);
    }
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    let lake = Lake::open(&folder.display().to_string())?;
    let scenario = Scenario::new(options);
    let network = scenario.network_events().map(|event| Value::Object(event.columns()));
    write(&lake, "DeviceNetworkEvents", network).await?;
    let trail = scenario.trail_events().filter_map(|event| serde_json::from_str(&event.record).ok());
    write(&lake, "AWSCloudTrail", trail).await?;
    std::fs::write(done, "")?;
    Ok(end)
}

/// Appends a log day by day, a commit each.
async fn write(lake: &Lake, table: &str, records: impl Iterator<Item = Value>) -> anyhow::Result<()> {
    let started = Instant::now();
    let normaliser: Normaliser = for_table(table).context("a table of ours")?;
    let mut rows: Vec<Row> = Vec::with_capacity(ROWS_AT_ONCE);
    let mut day: Option<NaiveDate> = None;
    let mut append: Option<Append<'_>> = None;
    let mut written = 0;
    for record in records {
        let row = normaliser.row(&record)?;
        let today = row.time().context("every row has a time")?.date_naive();
        if rows.len() == ROWS_AT_ONCE || day != Some(today) {
            flush(lake, &normaliser, &mut append, &mut rows).await?;
        }
        if day != Some(today) {
            if let Some(append) = append.take() {
                written += append.commit(None).await?.written;
                eprintln!("{table}: {written} rows after {:.0} s", started.elapsed().as_secs_f64());
            }
            day = Some(today);
        }
        rows.push(row);
    }
    flush(lake, &normaliser, &mut append, &mut rows).await?;
    if let Some(append) = append {
        written += append.commit(None).await?.written;
    }
    eprintln!("{table}: {written} rows after {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

async fn flush<'a>(
    lake: &'a Lake,
    normaliser: &Normaliser,
    append: &mut Option<Append<'a>>,
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut batch = BatchBuilder::new(normaliser.table());
    for row in rows.drain(..) {
        batch.push(row)?;
    }
    let append = match append {
        Some(append) => append,
        None => append.insert(lake.append(normaliser.table(), "benchmark", Utc::now()).await?),
    };
    Ok(append.write(batch.finish()?).await?)
}
