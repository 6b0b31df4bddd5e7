//! `provost query`

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use provost_kql::QueryOptions;

use super::{App, Outcome, prompt};

/// Asks the lake in KQL.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  provost query 'Incidents | project Title, Score | top 5 by Score'
  provost query --file hunt.kql --format csv > hunt.csv
  echo 'Runs | count' | provost query -
  provost query                      a prompt with history")]
pub(super) struct QueryArgs {
    /// The query; `-` reads it from standard input
    query: Option<String>,
    /// A file with the query
    #[arg(long, conflicts_with = "query")]
    file: Option<PathBuf>,
    /// Show the plan instead of running it
    #[arg(long)]
    explain: bool,
    /// The longest it may run, such as 30s or 5m [default: from the configuration]
    #[arg(long, value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
}

pub(super) async fn query(app: &App, args: QueryArgs) -> anyhow::Result<Outcome> {
    let pipeline = app.pipeline().await?;
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
            return prompt::prompt(app, &pipeline, options).await;
        }
        (None, None) => bail!("no query; give one, or --file, or - for standard input"),
    };
    if args.explain {
        let prepared = pipeline.engine().prepare(pipeline.catalog(), &text, &options).await?;
        println!("{}", prepared.explain().await?);
        return Ok(Outcome::Complete);
    }
    let result = pipeline.query(&text, &options).await?;
    app.output.result(&result)?;
    Ok(Outcome::Complete)
}
