//! The command line: what was typed becomes calls of the stages.
//!
//! Exit codes: 0 all went well; 1 it failed; 2 wrong usage or settings; 3 some of it failed and the rest is done.

mod complete;
mod demo;
mod doctor;
mod import;
mod init;
mod lake;
mod prompt;
mod query;
mod report;
mod rules;
mod run;
mod stages;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand};
use provost_connectors::SourceError;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ConfigError};
use crate::console::{Format, Output};
use crate::pipeline::Pipeline;

/// A SIEM connector and scheduled cloud-log analyzer: pulls cloud logs into an open lake, runs KQL detections over
/// them, joins findings into incidents, and sends those to Microsoft Sentinel.
#[derive(Debug, Parser)]
#[command(name = "provost", version, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  provost demo                                  see it work, on clouds of its own
  provost init                                  write a commented provost.toml
  provost doctor                                try credentials and permissions
  provost run                                   the service, until SIGTERM
  provost import AWSCloudTrail trail-folder/    read files instead of APIs
  provost query 'AWSCloudTrail | summarize count() by EventName | top 5 by count_'

Exit codes: 0 all went well, 1 failed, 2 wrong usage or settings, 3 some of it failed and the rest is done.";

#[derive(Debug, Args)]
struct Global {
    /// The configuration file [default: provost.toml here, if there is one]
    #[arg(long, global = true, env = "PROVOST_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The lake: a folder, or a URL [default: from the configuration, else ./lake]
    #[arg(long, global = true, value_name = "URL")]
    lake: Option<String>,
    /// How results are written
    #[arg(long, global = true, env = "PROVOST_FORMAT", value_enum, default_value = "table")]
    format: Format,
    /// Say more on standard error; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// The clock of this run, for tests and replays
    #[arg(long, global = true, env = "PROVOST_NOW", hide = true, value_parser = provost_model::parse_time)]
    now: Option<DateTime<Utc>>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts mock clouds and shows the whole way on them, from pull to Sentinel
    Demo(demo::DemoArgs),
    /// Runs the schedules until SIGTERM, or once what is due
    Run(run::RunArgs),
    /// Reads sources into the lake
    Pull(stages::PullArgs),
    /// Runs the rules over what is new
    Detect,
    /// Makes incidents of findings and answers the playbooks
    Correlate,
    /// Sends new findings and incidents to the sinks
    Deliver,
    /// Reads files and folders into a table
    Import(import::ImportArgs),
    /// Asks the lake in KQL; without a query, at a prompt
    Query(query::QueryArgs),
    /// Shows each job and partition: covered up to, gaps, lag, last error, next run
    Status,
    /// Tries settings, credentials and permissions, each for real
    Doctor,
    /// The rules: which there are, what is wrong with them, their own tests
    Rules(rules::RulesArgs),
    /// Writes findings, incidents and the provisioning ledger for an auditor
    Report(report::ReportArgs),
    /// Writes a commented provost.toml
    Init(init::InitArgs),
    /// Keeps the lake tidy
    Lake(lake::LakeArgs),
}

/// How a command ended, if not in an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Complete,
    Incomplete,
    Failed,
}

/// What every command has at hand.
struct App {
    config: Config,
    output: Output,
    now: Option<DateTime<Utc>>,
    config_file: Option<PathBuf>,
    lake_named: bool,
}

impl App {
    /// The one clock of a run.
    fn now(&self) -> DateTime<Utc> {
        self.now.unwrap_or_else(Utc::now)
    }

    async fn pipeline(&self) -> anyhow::Result<Pipeline> {
        Pipeline::open(&self.config).await
    }
}

/// Reads the arguments and runs the command.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; a closed pipe is nobody's fault.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    start_logging(cli.global.verbose);
    match start(cli) {
        Ok(Outcome::Complete) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::from(1),
        Ok(Outcome::Incomplete) => ExitCode::from(3),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if is_about_settings(&error) { 2 } else { 1 })
        }
    }
}

fn start(cli: Cli) -> anyhow::Result<Outcome> {
    let Cli { global, command } = cli;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    // `init` is for those who have no configuration yet, or a broken one.
    let mut config = match &command {
        Command::Init(_) => Config::default(),
        _ => Config::load(global.config.as_deref())?,
    };
    let lake_named = global.lake.is_some();
    if let Some(lake) = global.lake {
        config.lake = lake;
    }
    let output = Output { format: global.format };
    let app = App { config, output, now: global.now, config_file: global.config, lake_named };
    let outcome = runtime.block_on(dispatch(app, command));
    // Work that was cancelled must not keep the process: nothing of it is committed.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    outcome
}

async fn dispatch(app: App, command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Demo(args) => demo::demo(&app, args).await,
        Command::Run(args) => run::run(app, args).await,
        Command::Pull(args) => stages::pull(&app, args).await,
        Command::Detect => stages::detect(&app).await,
        Command::Correlate => stages::correlate(&app).await,
        Command::Deliver => stages::deliver(&app).await,
        Command::Import(args) => import::import(&app, args).await,
        Command::Query(args) => query::query(&app, args).await,
        Command::Status => status::status(&app).await,
        Command::Doctor => doctor::doctor(&app).await,
        Command::Rules(args) => rules::rules(&app, args).await,
        Command::Report(args) => report::report(&app, args).await,
        Command::Init(args) => init::init(&app, &args),
        Command::Lake(args) => lake::lake(&app, args).await,
    }
}

/// A token that SIGTERM, SIGINT and Ctrl-C cancel; a second signal ends the process.
fn cancelled_by_signals() -> CancellationToken {
    let token = CancellationToken::new();
    let cancel = token.clone();
    tokio::spawn(async move {
        signal().await;
        tracing::info!("stopping");
        cancel.cancel();
        signal().await;
        std::process::exit(130);
    });
    token
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

#[cfg(not(unix))]
async fn signal() {
    drop(tokio::signal::ctrl_c().await);
}

/// Structured logs on standard error. `PROVOST_LOG` takes the filter of `tracing`.
fn start_logging(verbose: u8) {
    use std::io::IsTerminal;
    use tracing_subscriber::EnvFilter;

    let default = match verbose {
        // A lost race for a commit is told by us, once it matters.
        0 => {
            "provost=info,provost_connectors=warn,deltalake_core=off,aws_smithy_runtime::client::http=off,error"
        }
        1 => "provost=debug,provost_connectors=debug,provost_kql=debug,warn",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env("PROVOST_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();
}

fn is_about_settings(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<ConfigError>() || matches!(cause.downcast_ref(), Some(SourceError::Config(_)))
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
