//! The other engines, asked through Python.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::answer::Answer;

/// An engine.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    python: PathBuf,
    folder: PathBuf,
    now: DateTime<Utc>,
    threads: usize,
}

/// What the script says.
#[derive(Deserialize)]
struct Said {
    seconds: Vec<f64>,
    rows: Vec<Vec<serde_json::Value>>,
}

/// A file of the benchmark.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(name)
}

/// A query.
pub(crate) fn text(name: &str) -> anyhow::Result<String> {
    let path = path("queries").join(name);
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

impl Peer {
    /// DuckDB and chDB.
    pub(crate) fn both(python: &Path, folder: &Path, now: DateTime<Utc>, threads: usize) -> Vec<Self> {
        ["duckdb", "chdb"]
            .map(|name| Self { name, python: python.to_owned(), folder: folder.to_owned(), now, threads })
            .into()
    }

    /// Runs a query some times, in a process of its own: the median time, and the answer.
    pub(crate) fn run(&self, query: &str, repeat: usize) -> anyhow::Result<(Duration, Answer)> {
        let output = Command::new(&self.python)
            .arg(path("peers.py"))
            .args([self.name, &self.threads.to_string(), &repeat.to_string()])
            .arg(path("queries").join(format!("{query}.{}.sql", self.name)))
            .arg(&self.folder)
            .arg(self.now.format("%Y-%m-%d %H:%M:%S").to_string())
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot run {}", self.python.display()))?;
        ensure!(output.status.success(), "{query}: {} failed", self.name);
        let said: Said = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{query}: what {} says cannot be read", self.name))?;
        let mut times: Vec<Duration> = said.seconds.into_iter().map(Duration::from_secs_f64).collect();
        Ok((crate::median(&mut times), Answer::from_rows(said.rows)))
    }
}
