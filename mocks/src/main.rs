//! Plays the clouds on loopback until it is told to stop.

use std::path::PathBuf;
use std::process::ExitCode;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use clap::Parser;
use provost_mocks::{Clock, Faults, MockClouds, MockOptions, Ports, Scenario, ScenarioOptions};
use tokio::signal::unix::{SignalKind, signal};

/// Plays Entra, Microsoft Graph, Azure, Log Analytics and AWS over HTTPS on loopback, for a made-up tenant.
#[derive(Debug, Parser)]
#[command(name = "provost-mocks", version)]
struct Arguments {
    /// The first of five ports in a row; free ports without it
    #[arg(long, value_name = "PORT")]
    listen_base_port: Option<u16>,
    /// The folder that gets ca.pem, provost.toml and the tenant's watchlists
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// Days of logs
    #[arg(long, default_value_t = 7)]
    days: u32,
    /// Devices of the tenant
    #[arg(long, default_value_t = 40)]
    devices: u32,
    /// What the tenant is made from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What goes wrong: all, none, or names with commas (throttling, server-errors, timeouts, cut-bodies, duplicates,
    /// late, expiring-tokens)
    #[arg(long, default_value = "none")]
    faults: Faults,
    /// Let records appear as time goes by; the scenario ends one to two hours from now
    #[arg(long)]
    live: bool,
    /// By how much the vendors' request limits are raised
    #[arg(long, default_value_t = 1)]
    raise_limits: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("PROVOST_LOG"))
        .with_writer(std::io::stderr)
        .init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("provost-mocks: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let scenario = Scenario::new(ScenarioOptions {
        seed: arguments.seed,
        end: end(Utc::now(), arguments.live)?,
        days: arguments.days,
        devices: arguments.devices,
        ..ScenarioOptions::default()
    });
    let mut options = MockOptions::new(scenario);
    options.faults = arguments.faults;
    options.limits_raised = arguments.raise_limits;
    options.ports = arguments.listen_base_port.map_or(Ports::Free, Ports::From);
    if arguments.live {
        options.clock = Clock::Live;
    }
    let mut terminated = signal(SignalKind::terminate())?;
    let clouds = MockClouds::start(options).await?;
    if let Some(folder) = &arguments.write {
        println!("settings   {}", clouds.write_settings(folder)?.display());
    }
    describe(&clouds);
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
    clouds.stop().await;
    Ok(())
}

/// Scenarios end on the hour, so that the same hour gives the same tenant's logs.
fn end(now: DateTime<Utc>, live: bool) -> Result<DateTime<Utc>, chrono::RoundingError> {
    let hour = TimeDelta::hours(1);
    let last = now.duration_trunc(hour)?;
    Ok(if live { last + hour * 2 } else { last })
}

fn describe(clouds: &MockClouds) {
    let endpoints = clouds.endpoints();
    let options = clouds.scenario().options();
    println!(
        "tenant     {} of {} devices, seed {}",
        clouds.scenario().tenant().id,
        options.devices,
        options.seed
    );
    println!("logs       {} .. {}", options.start(), options.end);
    println!("entra      {}", endpoints.entra);
    println!("graph      {}", endpoints.graph);
    println!("arm        {}", endpoints.arm);
    println!("ingestion  {}", endpoints.ingestion);
    println!("aws        {}", endpoints.aws);
    for chain in clouds.scenario().chains() {
        println!("attack     {}: {}", chain.name, chain.description);
    }
    println!("credentials, for loopback only:");
    for (name, value) in clouds.environment() {
        println!("export {name}={}", value.reveal());
    }
}
