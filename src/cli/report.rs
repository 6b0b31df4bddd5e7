//! `provost report`

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use chrono::TimeDelta;
use clap::Args;
use provost_kql::QueryOptions;

use super::{App, Outcome};
use crate::report::{Report, findings_csv, html, incidents_csv, ledger, ledger_csv};

/// Writes findings, incidents and the provisioning ledger.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  provost report --out report.html
  provost report --out report.html --csv report-csv/ --since 90d")]
pub(super) struct ReportArgs {
    /// The HTML file
    #[arg(long, default_value = "report.html")]
    out: PathBuf,
    /// A folder for incidents.csv, findings.csv and ledger.csv
    #[arg(long)]
    csv: Option<PathBuf>,
    /// How far back it reaches
    #[arg(long, default_value = "30d", value_parser = humantime::parse_duration)]
    since: Duration,
}

pub(super) async fn report(app: &App, args: ReportArgs) -> anyhow::Result<Outcome> {
    let pipeline = app.pipeline().await?;
    let now = app.now();
    let from = now - TimeDelta::from_std(args.since).context("--since is too long")?;
    let options = QueryOptions {
        now,
        time_range: Some((from, now)),
        time_limit: Some(Duration::from_secs(app.config.query_timeout_seconds)),
        ..QueryOptions::default()
    };
    let rows = ledger(pipeline.engine(), &pipeline.catalog(), &options).await.map_err(anyhow::Error::msg)?;
    let mut incidents = pipeline.incidents(now).await?;
    incidents.retain(|incident| incident.last_seen >= from);
    let mut findings = pipeline.findings(now).await?;
    findings.retain(|finding| finding.last_seen >= from);
    let report = Report {
        made_at: now,
        covers: (from, now),
        incidents: &incidents,
        findings: &findings,
        ledger: &rows,
    };
    std::fs::write(&args.out, html(&report))
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    app.output.note(format!(
        "{}: {} incidents, {} findings, {} entries of the provisioning ledger",
        args.out.display(),
        incidents.len(),
        findings.len(),
        rows.len()
    ));
    if let Some(folder) = &args.csv {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        incidents_csv(&report, create(&folder.join("incidents.csv"))?)?;
        findings_csv(&report, create(&folder.join("findings.csv"))?)?;
        ledger_csv(&report, create(&folder.join("ledger.csv"))?)?;
        app.output.note(format!("{}: incidents.csv, findings.csv, ledger.csv", folder.display()));
    }
    Ok(Outcome::Complete)
}

fn create(path: &Path) -> anyhow::Result<BufWriter<File>> {
    Ok(BufWriter::new(File::create(path).with_context(|| format!("cannot write {}", path.display()))?))
}
