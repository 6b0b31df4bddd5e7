//! Five detections over the same Parquet files by Provost, DuckDB and chDB: the answers compared, the times side by side.
//! `README.md` beside this file has the method.

mod answer;
mod lake;
mod peer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use comfy_table::{Table, presets};
use mimalloc::MiMalloc;
use provost::lake::{Lake, LakeCatalog};
use provost_kql::{Engine, EngineOptions, QueryOptions};

use answer::Answer;
use peer::Peer;

/// The product's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The queries: one file each for Provost (`.kql`) and for every peer (`.duckdb.sql`, `.chdb.sql`).
const QUERIES: [&str; 5] = ["three-part", "beacons", "json", "first-seen", "series"];

/// Five detections over the same Parquet files by Provost, DuckDB and chDB.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the lake is, or is to be made
    #[arg(long, default_value = "target/bench-lake")]
    folder: PathBuf,
    /// Rows of DeviceNetworkEvents
    #[arg(long, default_value_t = 20_000_000)]
    rows: u64,
    /// Rows of AWSCloudTrail
    #[arg(long, default_value_t = 5_000_000)]
    events: u64,
    /// A Python that has duckdb and chdb; without it, Provost is timed alone
    #[arg(long)]
    python: Option<PathBuf>,
    /// How often each query runs; the median counts
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Only this query
    #[arg(long)]
    only: Option<String>,
    /// Processors to use
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// The memory that Provost's engine may hold
    #[arg(long, default_value_t = 8_192)]
    memory_megabytes: usize,
    /// What `cargo bench` hands to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let now = lake::make(&arguments.folder, arguments.rows, arguments.events).await?;
    let lake = Arc::new(Lake::open(&arguments.folder.display().to_string())?);
    let catalog = Arc::new(LakeCatalog::new(lake, Default::default()));
    let engine = Engine::new(EngineOptions {
        memory_limit: Some(arguments.memory_megabytes << 20),
        target_partitions: Some(arguments.threads),
        ..EngineOptions::default()
    })?;
    let peers = match &arguments.python {
        Some(python) => Peer::both(python, &arguments.folder, now, arguments.threads),
        None => Vec::new(),
    };

    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["query", "rows", "Provost", "DuckDB", "chDB", "of the faster"]);
    let mut ratios = Vec::new();
    for name in QUERIES.into_iter().filter(|name| arguments.only.as_deref().is_none_or(|only| only == *name))
    {
        let query = peer::text(&format!("{name}.kql"))?;
        let options = QueryOptions { now, ..QueryOptions::default() };
        let mut times = Vec::new();
        let mut ours = None;
        for _ in 0..arguments.repeat.max(1) {
            let started = Instant::now();
            let prepared = engine.prepare(Arc::clone(&catalog) as _, &query, &options).await;
            let result = prepared.with_context(|| name.to_owned())?.collect().await?;
            times.push(started.elapsed());
            ours = Some(Answer::of(&result));
        }
        let ours = ours.context("no run")?;
        let time = median(&mut times);
        let mut row = vec![name.to_owned(), ours.len().to_string(), seconds(time)];
        let mut fastest: Option<Duration> = None;
        for peer in &peers {
            let (their_time, theirs) = peer.run(name, arguments.repeat)?;
            let difference = ours.difference(&theirs);
            ensure!(difference.is_empty(), "{name}: {} answers otherwise: {difference}", peer.name);
            fastest = Some(fastest.map_or(their_time, |fastest| fastest.min(their_time)));
            row.push(seconds(their_time));
        }
        row.resize(5, "-".to_owned());
        row.push(match fastest {
            Some(fastest) => {
                let ratio = time.as_secs_f64() / fastest.as_secs_f64();
                ratios.push(ratio);
                format!("{ratio:.2}")
            }
            None => "-".to_owned(),
        });
        table.add_row(row);
    }
    println!("{table}");
    if !ratios.is_empty() {
        let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
        println!("geometric mean of Provost's time over the faster peer's: {mean:.2}");
    }
    Ok(())
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
