//! A file of JSON lines: each finding and each incident, one version a line.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::config::JsonlConfig;
use crate::sink::{Payload, Refusal, Sink, SinkError};
use crate::source::{Check, CheckStatus};

/// Lines of one `send`; more would only keep more in memory.
const BATCH: usize = 500;

/// The sink. **Exactly once**: what stands in the file already is not written again, so a delivery that was not
/// confirmed because of a crash is not doubled by the next one. One process writes to a file.
#[derive(Debug)]
pub(super) struct Jsonl {
    name: String,
    path: PathBuf,
    /// What the file holds; `None` until it was read, and after a failure.
    written: Arc<Mutex<Option<HashSet<String>>>>,
}

impl Jsonl {
    pub(super) fn new(name: &str, config: &JsonlConfig) -> Self {
        Self { name: name.to_owned(), path: config.path.clone(), written: Arc::default() }
    }
}

#[async_trait]
impl Sink for Jsonl {
    fn name(&self) -> &str {
        &self.name
    }

    fn wants(&self, _: &Payload) -> bool {
        true
    }

    fn batches(&self, payloads: &[Payload]) -> Vec<Range<usize>> {
        (0..payloads.len()).step_by(BATCH).map(|start| start..payloads.len().min(start + BATCH)).collect()
    }

    async fn send(&self, batch: &[Payload]) -> Result<Vec<Refusal>, SinkError> {
        let lines: Vec<(String, Value)> = batch.iter().map(line).collect();
        let (path, written) = (self.path.clone(), Arc::clone(&self.written));
        let append = tokio::task::spawn_blocking(move || append(&path, &written, &lines)).await;
        let done = append.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        done.map(|()| Vec::new()).map_err(|error| SinkError::Later {
            sink: self.name.clone(),
            message: format!("{}: {error}", self.path.display()),
        })
    }

    async fn check(&self) -> Vec<Check> {
        let path = self.path.clone();
        let name = format!("{}: {}", self.name, path.display());
        let opened = OpenOptions::new().append(true).create(true).open(&path);
        vec![match opened {
            Ok(_) => {
                Check { name, status: CheckStatus::Ok, detail: "can be written".to_owned(), remedy: None }
            }
            Err(error) => Check {
                name,
                status: CheckStatus::Failed,
                detail: error.to_string(),
                remedy: Some("make the folder, and let the process write to it".to_owned()),
            },
        }]
    }
}

fn line(payload: &Payload) -> (String, Value) {
    match payload {
        Payload::Finding(finding) => (
            key("finding", &finding.id.to_string(), finding.version),
            json!({"kind": "finding", "finding": finding}),
        ),
        Payload::Incident(incident, findings) => (
            key("incident", &incident.id.to_string(), incident.version),
            json!({"kind": "incident", "incident": incident, "findings": findings}),
        ),
    }
}

fn key(kind: &str, id: &str, version: i32) -> String {
    format!("{kind} {id} {version}")
}

/// The key of a line, as [`line()`] gives it.
fn key_of(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    let kind = line.get("kind")?.as_str()?;
    let payload = line.get(kind)?;
    let version = i32::try_from(payload.get("version")?.as_i64()?).ok()?;
    Some(key(kind, payload.get("id")?.as_str()?, version))
}

fn append(
    path: &Path,
    written: &Mutex<Option<HashSet<String>>>,
    lines: &[(String, Value)],
) -> io::Result<()> {
    let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
    // Taken out, so that after a failure the file is read again: nobody knows how much of it was written.
    let (mut file, mut known) = match written.take() {
        Some(known) => (open(path)?, known),
        None => read(path)?,
    };
    let mut text = String::new();
    for (key, line) in lines {
        if known.insert(key.clone()) {
            text.push_str(&line.to_string());
            text.push('\n');
        }
    }
    if !text.is_empty() {
        file.seek(SeekFrom::End(0))?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
    }
    *written = Some(known);
    Ok(())
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// What a file holds. A last line without its end was cut off by a crash and was never confirmed: it is taken away.
fn read(path: &Path) -> io::Result<(File, HashSet<String>)> {
    let file = open(path)?;
    let mut reader = BufReader::new(&file);
    let mut keys = HashSet::new();
    let mut whole = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            break;
        }
        whole += length as u64;
        keys.extend(key_of(&String::from_utf8_lossy(&line)));
    }
    drop(reader);
    if file.metadata()?.len() > whole {
        file.set_len(whole)?;
    }
    Ok((file, keys))
}
