//! `provost import`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{App, Outcome};
use crate::console::{Progress, Sheet};
use crate::import;

/// Reads files and folders into a table.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  provost import AWSCloudTrail trail-folder/
  provost import AzureActivity activity.csv PT1H.json.gz
  provost import Costs focus.csv --lake /var/lib/provost

Reads .json, .jsonl, .ndjson, .log and .csv, each also gzipped. A second import of the same file adds nothing.")]
pub(super) struct ImportArgs {
    /// The table, such as AWSCloudTrail, AzureActivity, DeviceNetworkEvents, SigninLogs, Costs
    table: String,
    /// Files and folders
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

pub(super) async fn import(app: &App, args: ImportArgs) -> anyhow::Result<Outcome> {
    let lake = crate::lake::Lake::open(&app.config.lake)?;
    let bar = Progress::bar("import", 0);
    let summary = import::import(&lake, &args.table, &args.paths, app.now(), |at| {
        bar.at(at.done as u64, at.total as u64, &format!("{} records, {}", at.records, at.file.display()));
    })
    .await?;
    bar.done();
    for (path, reason) in &summary.skipped {
        tracing::warn!("not a log file: {}: {reason}", path.display());
    }
    for (path, reason) in &summary.failed {
        tracing::error!("cannot read {}: {reason}", path.display());
    }
    if summary.rejected > 0 {
        tracing::warn!("{} records could not be read; see: provost query 'Rejects'", summary.rejected);
    }
    let mut sheet =
        Sheet::new(["Table", "Files", "Records", "Rows", "Duplicates", "Rejected", "NotLogs", "Unreadable"]);
    sheet.row([
        json!(args.table),
        json!(summary.files),
        json!(summary.records),
        json!(summary.written),
        json!(summary.duplicates),
        json!(summary.rejected),
        json!(summary.skipped.len()),
        json!(summary.failed.len()),
    ]);
    app.output.sheet(&sheet)?;
    Ok(if summary.failed.is_empty() { Outcome::Complete } else { Outcome::Incomplete })
}
