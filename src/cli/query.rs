//! `provost query`

use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use futures::StreamExt;
use provost_kql::{Prepared, QueryError, QueryOptions};
use provost_model::inert;

use super::{App, Outcome, prompt};
use crate::config::Config;
use crate::console::{Chart, Format, Output, RowFormat, RowWriter, width};
use crate::pipeline::Pipeline;

/// Asks the lake in KQL.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  provost query 'Incidents | project Title, Score | top 5 by Score'
  provost query --file hunt.kql --format csv > hunt.csv
  provost query 'Costs | summarize sum(BilledCost) by ServiceName | render barchart'
  provost query 'AWSCloudTrail | where EventName == \"RunInstances\"' --out launches.parquet
  provost query                      a prompt with history and completion")]
pub(super) struct QueryArgs {
    /// The query; `-` reads it from standard input
    query: Option<String>,
    /// A file with the query
    #[arg(long, conflicts_with = "query")]
    file: Option<PathBuf>,
    /// Show the plan instead of running it
    #[arg(long, conflicts_with = "out")]
    explain: bool,
    /// Write the rows to a file that ends in .csv, .json or .parquet, or the chart of `render` to one in .svg
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The longest it may run, such as 30s or 5m [default: from the configuration]
    #[arg(long, value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
}

pub(super) async fn query(app: &App, args: QueryArgs) -> anyhow::Result<Outcome> {
    let options = QueryOptions {
        now: app.now(),
        time_limit: Some(args.timeout.unwrap_or(Duration::from_secs(app.config.query_timeout_seconds))),
        ..QueryOptions::default()
    };
    let text = match (args.query, args.file) {
        (Some(query), _) if query == "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
            text
        }
        (Some(query), _) => query,
        (None, Some(file)) => {
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?
        }
        (None, None) if std::io::stdin().is_terminal() => {
            return prompt::prompt(app, &app.pipeline().await?, options).await;
        }
        (None, None) => bail!("no query; give one, or --file, or - for standard input"),
    };
    // One query reads just what it needs: decoding whole columns pays where others ask for them too.
    let pipeline = Pipeline::open(&Config { cache_megabytes: 0, ..app.config.clone() }).await?;
    let tables = pipeline.engine().prepare_all(pipeline.catalog(), &text, &options).await?;
    if args.explain {
        for (index, prepared) in tables.iter().enumerate() {
            if tables.len() > 1 {
                println!("{}:", name(prepared, index));
            }
            println!("{}", prepared.explain().await?);
        }
        return Ok(Outcome::Complete);
    }
    match args.out {
        Some(path) => save(app.output, tables, &path).await?,
        None => show(app.output, tables).await?,
    }
    Ok(Outcome::Complete)
}

/// Runs a query and shows what it gives: to people as tables or charts, to programs row by row.
pub(super) async fn show(output: Output, tables: Vec<Prepared>) -> anyhow::Result<()> {
    let format = match output.format {
        Format::Json => RowFormat::Json,
        Format::Csv => RowFormat::Csv,
        Format::Table => {
            let several = tables.len() > 1;
            for (index, prepared) in tables.into_iter().enumerate() {
                if several {
                    let line = if index > 0 { "\n" } else { "" };
                    output.note(format!("{line}{}:", inert::terminal(&name(&prepared, index))));
                }
                show_one(output, prepared).await?;
            }
            return Ok(());
        }
    };
    match write(format, tables, std::io::stdout()).await {
        // Who reads has seen enough.
        Err(error) if is_closed_pipe(&error) => Ok(()),
        other => other,
    }
}

/// What a table is called: as the query says, or by its number.
fn name(prepared: &Prepared, index: usize) -> String {
    prepared.name().map_or_else(|| format!("Table_{index}"), str::to_owned)
}

/// Shows a table, or the chart that it asks for.
async fn show_one(output: Output, prepared: Prepared) -> anyhow::Result<()> {
    let hint = prepared.render().cloned();
    let result = prepared.collect().await?;
    match hint.map(|hint| Chart::of(&hint, &result)) {
        Some(Ok(Some(chart))) => output.page(&chart.terminal(width()))?,
        Some(Err(problem)) => {
            output.table(&result)?;
            eprintln!("a table, for {problem}");
        }
        Some(Ok(None)) | None => output.table(&result)?,
    }
    Ok(())
}

/// Writes what a query gives. Of several tables, CSV has an empty line between them, and JSON an array of objects with
/// their names and rows.
async fn write(format: RowFormat, tables: Vec<Prepared>, mut out: impl Write + Send) -> anyhow::Result<()> {
    let several = tables.len() > 1;
    for (index, prepared) in tables.into_iter().enumerate() {
        match format {
            RowFormat::Json if several => {
                let before = if index == 0 { "[" } else { "," };
                let name = serde_json::to_string(&name(&prepared, index))?;
                write!(out, "{before}\n{{\"name\":{name},\"rows\":")?;
                write_rows(format, prepared, &mut out).await?;
                write!(out, "}}")?;
            }
            RowFormat::Parquet if several => {
                bail!("a Parquet file holds one table, and the query gives several")
            }
            _ => {
                if index > 0 {
                    writeln!(out)?;
                }
                write_rows(format, prepared, &mut out).await?;
            }
        }
    }
    if several && format == RowFormat::Json {
        writeln!(out, "\n]")?;
    }
    Ok(out.flush()?)
}

async fn write_rows(format: RowFormat, prepared: Prepared, out: impl Write + Send) -> anyhow::Result<()> {
    let columns = prepared.columns().to_vec();
    let mut batches = prepared.stream().await?;
    let mut rows = RowWriter::begin(format, &columns, &batches.schema(), out)?;
    while let Some(batch) = batches.next().await {
        rows.write(&batch.map_err(QueryError::from)?)?;
    }
    rows.finish()
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        kind == Some(std::io::ErrorKind::BrokenPipe)
    })
}

/// Runs a query into a file, which appears when it is whole.
async fn save(output: Output, tables: Vec<Prepared>, path: &Path) -> anyhow::Result<()> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let format = match extension.as_str() {
        "csv" => Some(RowFormat::Csv),
        "json" => Some(RowFormat::Json),
        "parquet" => Some(RowFormat::Parquet),
        "svg" => None,
        other => bail!("--out {}: '{other}' is none of csv, json, parquet, svg", path.display()),
    };
    let part = path.with_added_extension("part");
    let file = File::create(&part).with_context(|| format!("cannot write {}", path.display()))?;
    if let Err(error) = write_to(format, tables, file).await {
        // What went wrong is the error to tell; half a file is only in the way.
        let _ = std::fs::remove_file(&part);
        return Err(error);
    }
    std::fs::rename(&part, path).with_context(|| format!("cannot write {}", path.display()))?;
    output.note(format!("written to {}", path.display()));
    Ok(())
}

/// Writes rows in a format; without one, the chart of them.
async fn write_to(format: Option<RowFormat>, tables: Vec<Prepared>, mut file: File) -> anyhow::Result<()> {
    if let Some(format) = format {
        return write(format, tables, file).await;
    }
    let mut drawn = tables.into_iter().filter_map(|prepared| Some((prepared.render().cloned()?, prepared)));
    let (hint, prepared) = match (drawn.next(), drawn.next()) {
        (Some(drawn), None) => drawn,
        (Some(_), Some(_)) => bail!("one picture is drawn of one `render`, and the query has several"),
        (None, _) => {
            bail!("a picture is drawn of `render`: end the query in it, such as `| render timechart`")
        }
    };
    let chart = Chart::of(&hint, &prepared.collect().await?).map_err(anyhow::Error::msg)?;
    let Some(chart) = chart else { bail!("`render {}` draws no picture", hint.kind) };
    Ok(file.write_all(chart.svg().map_err(anyhow::Error::msg)?.as_bytes())?)
}
