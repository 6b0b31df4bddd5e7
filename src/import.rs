//! `provost import`: files and folders into a table.
//!
//! A file is read record by record: JSON documents, arrays and envelopes, JSON lines, CSV; each also gzipped. A record
//! that can't be read goes to `Rejects` with file and line; a file that is no log is named and left alone.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use flate2::read::MultiGzDecoder;
use provost_connectors::records::{Normaliser, Reading, for_table};
use provost_model::{Reject, hint, tables};
use serde_json::{Map, Value};

use crate::lake::{Lake, LakeError};
use crate::pipeline::Batches;

/// Rows after which an import commits, so that a large one shows as it goes and begins again where it was killed.
const ROWS_PER_COMMIT: u64 = 500_000;
/// The most that one file may unpack to, so that a crafted archive cannot fill memory.
const LARGEST_DOCUMENT: u64 = 2 << 30;
/// The longest line.
const LONGEST_LINE: u64 = 64 << 20;

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportSummary {
    /// Files read.
    pub files: u64,
    /// Records read.
    pub records: u64,
    /// Rows that are new.
    pub written: u64,
    /// Rows that the table had.
    pub duplicates: u64,
    /// Records that could not be read; they are in `Rejects`.
    pub rejected: u64,
    /// Files that are no logs, and why.
    pub skipped: Vec<(PathBuf, String)>,
    /// Files that could not be read, and why.
    pub failed: Vec<(PathBuf, String)>,
}

/// Where an import stands.
#[derive(Debug, Clone, Copy)]
pub struct ImportProgress<'a> {
    /// The file that is done.
    pub file: &'a Path,
    /// Files done.
    pub done: usize,
    /// Files in all.
    pub total: usize,
    /// Records so far.
    pub records: u64,
}

/// Imports every file of the paths into the table.
pub async fn import(
    lake: &Lake,
    table: &str,
    paths: &[PathBuf],
    now: DateTime<Utc>,
    mut progress: impl FnMut(ImportProgress<'_>),
) -> anyhow::Result<ImportSummary> {
    let normaliser = for_table(table)
        .with_context(|| format!("there is no table '{table}'{}", hint(table, tables().names())))?;
    let mut summary = ImportSummary::default();
    let mut files = Vec::new();
    for path in paths {
        collect(path, true, &mut files, &mut summary)?;
    }
    files.sort();
    files.dedup();
    if files.is_empty() && summary.failed.is_empty() {
        bail!(
            "no log file found; expected .json, .jsonl, .ndjson, .log or .csv, each also with .gz behind it"
        );
    }
    let mut importer = Importer { lake, normaliser, now, batches: None, pending: 0, summary };
    for (index, file) in files.iter().enumerate() {
        match importer.file(file).await {
            Ok(FileOutcome::Read) => importer.summary.files += 1,
            Ok(FileOutcome::NoLog(reason)) => importer.summary.skipped.push((file.clone(), reason)),
            Err(FileError::Read(reason)) => importer.summary.failed.push((file.clone(), reason)),
            Err(FileError::Lake(error)) => {
                return Err(error).with_context(|| format!("importing {}", file.display()));
            }
        }
        progress(ImportProgress {
            file,
            done: index + 1,
            total: files.len(),
            records: importer.summary.records,
        });
    }
    importer.commit().await?;
    Ok(importer.summary)
}

/// Gathers files. Those in a folder that have no ending of a log are named, not read; a file that is named itself is
/// always read.
fn collect(
    path: &Path,
    named: bool,
    files: &mut Vec<PathBuf>,
    summary: &mut ImportSummary,
) -> anyhow::Result<()> {
    let found = std::fs::metadata(path);
    match found {
        Err(error) if named => bail!("cannot read {}: {error}", path.display()),
        Err(error) => summary.failed.push((path.to_owned(), error.to_string())),
        Ok(found) if found.is_dir() => {
            let entries = match std::fs::read_dir(path) {
                Ok(entries) => entries,
                Err(error) if named => bail!("cannot read {}: {error}", path.display()),
                Err(error) => {
                    summary.failed.push((path.to_owned(), error.to_string()));
                    return Ok(());
                }
            };
            for entry in entries {
                let entry = entry.with_context(|| format!("cannot list {}", path.display()))?;
                collect(&entry.path(), false, files, summary)?;
            }
        }
        Ok(_) if named || Format::of(path).is_some() => files.push(path.to_owned()),
        Ok(_) => summary.skipped.push((path.to_owned(), "not a log file by its name".to_owned())),
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
}

impl Format {
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        match name.rsplit_once('.')?.1 {
            "json" | "jsonl" | "ndjson" | "log" => Some(Self::Json),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }
}

enum FileOutcome {
    Read,
    NoLog(String),
}

enum FileError {
    Read(String),
    Lake(LakeError),
}

impl From<LakeError> for FileError {
    fn from(error: LakeError) -> Self {
        Self::Lake(error)
    }
}

struct Importer<'a> {
    lake: &'a Lake,
    normaliser: Normaliser,
    now: DateTime<Utc>,
    batches: Option<Batches<'a>>,
    pending: u64,
    summary: ImportSummary,
}

impl Importer<'_> {
    async fn file(&mut self, path: &Path) -> Result<FileOutcome, FileError> {
        let read = |error: std::io::Error| FileError::Read(error.to_string());
        let mut reader = open(path).map_err(read)?;
        let format = Format::of(path).unwrap_or(match first_byte(&mut reader).map_err(read)? {
            Some(b'{' | b'[') => Format::Json,
            _ => Format::Csv,
        });
        let mut source = FileRecords {
            path,
            reading: self.normaliser.reading(),
            waiting: Vec::new(),
            rejects: Vec::new(),
            understood: 0,
        };
        match format {
            Format::Json => self.json(&mut source, reader).await?,
            Format::Csv => self.csv(&mut source, reader).await?,
        }
        if source.understood == 0 {
            // Not one record of this table in it: most likely not such a log at all.
            if let Some(reject) = source.rejects.first() {
                return Ok(FileOutcome::NoLog(format!(
                    "no record of {}: {}",
                    self.normaliser.table().name(),
                    reject.reason
                )));
            }
        }
        self.take(&mut source).await?;
        Ok(FileOutcome::Read)
    }

    /// JSON lines, or one document. Which of them shows at the first line: a line that is a whole value is a record.
    async fn json(
        &mut self,
        source: &mut FileRecords<'_>,
        mut reader: Box<dyn BufRead + Send>,
    ) -> Result<(), FileError> {
        let mut line_number = 0_u64;
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut reader)
                .take(LONGEST_LINE + 1)
                .read_until(b'\n', &mut line)
                .map_err(|error| FileError::Read(format!("line {}: {error}", line_number + 1)))?;
            if read == 0 {
                return Ok(());
            }
            line_number += 1;
            let text = trim(&line);
            if text.is_empty() {
                continue;
            }
            match serde_json::from_slice::<Value>(text) {
                Ok(document) => self.document(source, document, line_number).await?,
                Err(_) if line_number == 1 || source.is_empty() => {
                    // A document over several lines, or a line so long that it was cut.
                    let mut rest = std::mem::take(&mut line);
                    (&mut reader)
                        .take(LARGEST_DOCUMENT)
                        .read_to_end(&mut rest)
                        .map_err(|error| FileError::Read(error.to_string()))?;
                    let values = serde_json::Deserializer::from_slice(trim(&rest)).into_iter::<Value>();
                    for value in values {
                        match value {
                            Ok(document) => self.document(source, document, line_number).await?,
                            Err(error) => {
                                let line = line_number - 1 + error.line() as u64;
                                source.refuse(line, format!("not JSON: {error}"), "");
                                break;
                            }
                        }
                    }
                    return Ok(());
                }
                Err(error) => {
                    source.refuse(line_number, format!("not JSON: {error}"), &String::from_utf8_lossy(text))
                }
            }
        }
    }

    async fn document(
        &mut self,
        source: &mut FileRecords<'_>,
        document: Value,
        line: u64,
    ) -> Result<(), FileError> {
        for record in self.normaliser.records(document) {
            source.record(&record, line);
        }
        self.take_when_many(source).await
    }

    async fn csv(
        &mut self,
        source: &mut FileRecords<'_>,
        reader: Box<dyn BufRead + Send>,
    ) -> Result<(), FileError> {
        let mut csv = csv::ReaderBuilder::new().flexible(true).from_reader(reader);
        let headers = csv.headers().map_err(|error| FileError::Read(error.to_string()))?.clone();
        let headers: Vec<String> =
            headers.iter().map(|header| header.trim_start_matches('\u{feff}').trim().to_owned()).collect();
        for record in csv.records() {
            match record {
                Ok(record) => {
                    let line = record.position().map_or(0, csv::Position::line);
                    let fields: Map<String, Value> = headers
                        .iter()
                        .zip(record.iter())
                        .map(|(header, field)| (header.clone(), Value::String(field.to_owned())))
                        .collect();
                    if record.len() == headers.len() {
                        source.record(&Value::Object(fields), line);
                    } else {
                        let reason = format!("{} fields, the header has {}", record.len(), headers.len());
                        source.refuse(line, reason, &Value::Object(fields).to_string());
                    }
                    self.take_when_many(source).await?;
                }
                Err(error) if error.is_io_error() => return Err(FileError::Read(error.to_string())),
                Err(error) => {
                    let line = error.position().map_or(0, csv::Position::line);
                    source.refuse(line, error.to_string(), "");
                }
            }
        }
        Ok(())
    }

    async fn take_when_many(&mut self, source: &mut FileRecords<'_>) -> Result<(), FileError> {
        if source.waiting.len() >= 10_000 { self.take(source).await } else { Ok(()) }
    }

    async fn take(&mut self, source: &mut FileRecords<'_>) -> Result<(), FileError> {
        if self.batches.is_none() {
            let table = self.normaliser.table();
            self.batches = Some(Batches::begin(self.lake, table, "import", self.now).await?);
        }
        let Some(batches) = &mut self.batches else { return Ok(()) };
        let rows = std::mem::take(&mut source.waiting);
        self.pending += rows.len() as u64;
        self.summary.records += rows.len() as u64;
        for row in rows {
            batches.add(row).await?;
        }
        for reject in std::mem::take(&mut source.rejects) {
            self.summary.records += 1;
            batches.refuse(reject);
        }
        if self.pending >= ROWS_PER_COMMIT {
            self.commit().await?;
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), LakeError> {
        let Some(batches) = self.batches.take() else { return Ok(()) };
        self.pending = 0;
        self.summary.rejected += batches.rejected;
        let appended = batches.commit("import", "", None).await?;
        self.summary.written += appended.written;
        self.summary.duplicates += appended.duplicates;
        Ok(())
    }
}

/// The records of one file on their way.
struct FileRecords<'a> {
    path: &'a Path,
    reading: Reading,
    waiting: Vec<provost_model::Row>,
    rejects: Vec<Reject>,
    understood: u64,
}

impl FileRecords<'_> {
    fn is_empty(&self) -> bool {
        self.understood == 0 && self.rejects.is_empty()
    }

    fn record(&mut self, record: &Value, line: u64) {
        match self.reading.row(record) {
            Ok(row) => {
                self.understood += 1;
                self.waiting.push(row);
            }
            Err(error) => self.refuse(line, error.to_string(), &record.to_string()),
        }
    }

    fn refuse(&mut self, line: u64, reason: String, record: &str) {
        let origin = format!("{}:{line}", self.path.display());
        self.rejects.push(Reject { origin, reason, record: record.to_owned() });
    }
}

fn open(path: &Path) -> std::io::Result<Box<dyn BufRead + Send>> {
    let mut file = BufReader::with_capacity(1 << 18, File::open(path)?);
    // By what it is, not by what it is called.
    let zipped = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if zipped {
        Box::new(BufReader::with_capacity(1 << 18, MultiGzDecoder::new(file)))
    } else {
        Box::new(file)
    })
}

fn first_byte(reader: &mut Box<dyn BufRead + Send>) -> std::io::Result<Option<u8>> {
    Ok(trim(reader.fill_buf()?).first().copied())
}

fn trim(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii()
}
