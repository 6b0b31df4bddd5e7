//! `provost lake`

use std::time::Duration;

use anyhow::Context;
use chrono::TimeDelta;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{App, Outcome};
use crate::console::{Progress, Sheet};
use crate::lake::Lake;

/// Keeps the lake tidy.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  provost lake compact                            small files into large ones
  provost lake vacuum --dry-run                   which files nothing needs any more
  provost lake retain --keep 400d AWSCloudTrail   rows older than that go")]
pub(super) struct LakeArgs {
    #[command(subcommand)]
    command: LakeCommand,
}

#[derive(Debug, Subcommand)]
enum LakeCommand {
    /// Joins small files
    Compact {
        /// The table [default: all]
        table: Option<String>,
    },
    /// Deletes files that no version needs
    Vacuum {
        /// The table [default: all]
        table: Option<String>,
        /// How long they are kept for readers that began before
        #[arg(long, default_value = "7d", value_parser = humantime::parse_duration)]
        keep: Duration,
        /// Only say how many
        #[arg(long)]
        dry_run: bool,
    },
    /// Deletes rows older than so many days
    Retain {
        /// The table [default: all]
        table: Option<String>,
        /// How long rows are kept
        #[arg(long, value_parser = humantime::parse_duration)]
        keep: Duration,
    },
}

pub(super) async fn lake(app: &App, args: LakeArgs) -> anyhow::Result<Outcome> {
    let lake = Lake::open(&app.config.lake)?;
    let only = match &args.command {
        LakeCommand::Compact { table }
        | LakeCommand::Vacuum { table, .. }
        | LakeCommand::Retain { table, .. } => table,
    };
    let tables = lake.existing(only.as_deref()).await?;
    let bar = Progress::bar("lake", tables.len() as u64);
    let mut sheet = match &args.command {
        LakeCommand::Compact { .. } => Sheet::new(["Table", "FilesJoined", "FilesMade"]),
        LakeCommand::Vacuum { .. } => Sheet::new(["Table", "FilesDeleted", "DryRun"]),
        LakeCommand::Retain { .. } => Sheet::new(["Table", "RowsDeleted", "KeptFrom"]),
    };
    for table in tables {
        bar.step(table.name());
        match &args.command {
            LakeCommand::Compact { .. } => {
                let done = lake.compact(table).await?;
                sheet.row([json!(done.table), json!(done.removed), json!(done.added)]);
            }
            LakeCommand::Vacuum { keep, dry_run, .. } => {
                let keep = TimeDelta::from_std(*keep).context("--keep is too long")?;
                let done = lake.vacuum(table, keep, *dry_run).await?;
                sheet.row([json!(done.table), json!(done.files), json!(dry_run)]);
            }
            LakeCommand::Retain { keep, .. } => {
                let keep = TimeDelta::from_std(*keep).context("--keep is too long")?;
                let done = lake.retain(table, keep, app.now()).await?;
                sheet.row([json!(done.table), json!(done.rows), json!(done.from.to_string())]);
            }
        }
    }
    bar.done();
    app.output.sheet(&sheet)?;
    Ok(Outcome::Complete)
}
