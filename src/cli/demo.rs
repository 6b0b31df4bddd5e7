//! `provost demo`: the real program against mock clouds of its own.
//!
//! The clouds run in this process; the work is done by a `provost run --once` of its own that knows nothing of a demo:
//! it reads a configuration, gets its credentials from the environment, and talks HTTPS.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use provost_mocks::{Clock, Faults, MockClouds, MockOptions, Scenario, ScenarioOptions};
use tokio::process::Command;

use super::{App, Outcome};
use crate::console::{Format, Sheet};
use crate::lake::Lake;
use serde_json::json;

/// Starts mock clouds and shows the whole way on them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  provost demo                       in ./provost-demo; run again, it adds nothing
  provost demo --faults              with throttling, errors, cut answers, duplicates and late records")]
pub(super) struct DemoArgs {
    /// Where lake, configuration and report go
    #[arg(long, default_value = "provost-demo")]
    folder: PathBuf,
    /// Days of logs
    #[arg(long, default_value_t = 7)]
    days: u32,
    /// Another tenant
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Switch every fault of the clouds on
    #[arg(long)]
    faults: bool,
}

/// The demo's clock stands still, so that it shows the same thing on every day.
const NOW: &str = "2026-03-12T12:00:00Z";

pub(super) async fn demo(app: &App, args: DemoArgs) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let now = match app.now {
        Some(now) => now,
        None => provost_model::parse_time(NOW)?,
    };
    let folder = args.folder;
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // A lake that was named is used; else the demo has one of its own.
    let own = folder.join("lake").display().to_string();
    let lake = if app.lake_named { app.config.lake.clone() } else { own };

    app.output.note("starting the mock clouds: Entra, Graph, ARM, Logs Ingestion, AWS");
    // A tenant small enough to be looked through within a minute, and with noise enough to hide in.
    let options = ScenarioOptions {
        seed: args.seed,
        days: args.days,
        end: now,
        devices: 16,
        users: 16,
        ..ScenarioOptions::default()
    };
    let mut mock = MockOptions::new(Scenario::new(options));
    mock.clock = Clock::Fixed(now);
    // Real limits would have the demo wait for them; their refusals are part of --faults.
    mock.limits_raised = 1_000;
    mock.faults = if args.faults { Faults::all() } else { Faults::none() };
    let clouds = MockClouds::start(mock).await.context("cannot start the mock clouds")?;
    let config = clouds
        .write_settings(&std::path::absolute(&folder)?)
        .with_context(|| format!("cannot write to {}", folder.display()))?;

    let before = counts(&lake).await?;
    let format = match app.output.format {
        Format::Table => "table",
        Format::Json => "json",
        Format::Csv => "csv",
    };
    provost(&clouds, &config, &lake, now, &["run", "--once", "--all", "--format", format]).await?;
    let report = folder.join("report.html");
    let report_name = report.display().to_string();
    provost(&clouds, &config, &lake, now, &["report", "--out", &report_name, "--format", format]).await?;
    let after = counts(&lake).await?;

    let mut sheet = Sheet::new(["Table", "RowsBefore", "RowsAdded"]);
    for (table, rows) in &after {
        let known = before.iter().find(|(name, _)| name == table).map_or(0, |(_, rows)| *rows);
        sheet.row([json!(table), json!(known), json!(rows - known)]);
    }
    if app.output.for_people() {
        app.output.sheet(&sheet)?;
        app.output.note(format!("report   {}", report.display()));
        app.output.note(format!("lake     {lake}"));
        app.output.note(format!("ask it   provost query --lake {lake} 'Incidents | project Title, Score'"));
        app.output.note(format!("took     {:.1} s", started.elapsed().as_secs_f64()));
    }
    clouds.stop().await;
    Ok(Outcome::Complete)
}

/// Runs this program as a user would.
async fn provost(
    clouds: &MockClouds,
    config: &Path,
    lake: &str,
    now: DateTime<Utc>,
    arguments: &[&str],
) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let status = Command::new(program)
        .args(arguments)
        .arg("--config")
        .arg(config)
        .args(["--lake", lake])
        .envs(clouds.environment().iter().map(|(name, secret)| (name, secret.reveal())))
        .env("PROVOST_NOW", provost_model::format_time(now))
        .kill_on_drop(true)
        .status()
        .await
        .context("cannot start this program")?;
    if !status.success() {
        bail!("provost {} ended with {status}", arguments.join(" "));
    }
    Ok(())
}

/// How many rows each table has, `Runs` aside: that one grows with every run.
async fn counts(lake: &str) -> anyhow::Result<Vec<(&'static str, u64)>> {
    let lake = Lake::open(lake)?;
    let mut counts = Vec::new();
    for spec in lake.existing(None).await? {
        if spec.name() != "Runs" {
            counts.push((spec.name(), lake.count(spec).await?));
        }
    }
    Ok(counts)
}
