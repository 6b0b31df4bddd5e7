//! Files for `externaldata`, at `https://files.example/`.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray};
use datafusion::parquet::arrow::ArrowWriter;
use provost_kql::{ExternalError, ExternalSource};

const HOST: &str = "https://files.example/";

/// Gives the files out that it has, of one host.
#[derive(Debug)]
pub(crate) struct Shelf;

#[async_trait]
impl ExternalSource for Shelf {
    fn permit(&self, address: &str) -> Result<(), ExternalError> {
        if address.starts_with(HOST) {
            return Ok(());
        }
        Err(ExternalError::new("queries may read from files.example only").with_help("move the file there"))
    }

    async fn fetch(&self, address: &str, limit: usize) -> Result<Bytes, ExternalError> {
        let name = address.trim_start_matches(HOST).split('?').next().unwrap_or_default();
        let content = content(name).ok_or_else(|| ExternalError::new(format!("there is no {name}")))?;
        assert!(content.len() <= limit);
        Ok(Bytes::from(content))
    }
}

/// The same, and counts how often it is asked.
#[derive(Debug, Default)]
pub(crate) struct CountingShelf {
    pub(crate) fetched: AtomicUsize,
}

#[async_trait]
impl ExternalSource for CountingShelf {
    fn permit(&self, address: &str) -> Result<(), ExternalError> {
        Shelf.permit(address)
    }

    async fn fetch(&self, address: &str, limit: usize) -> Result<Bytes, ExternalError> {
        self.fetched.fetch_add(1, Ordering::Relaxed);
        Shelf.fetch(address, limit).await
    }
}

/// Has every file there is, and nothing in any.
#[derive(Debug)]
pub(crate) struct EmptyFiles;

#[async_trait]
impl ExternalSource for EmptyFiles {
    fn permit(&self, _address: &str) -> Result<(), ExternalError> {
        Ok(())
    }

    async fn fetch(&self, _address: &str, _limit: usize) -> Result<Bytes, ExternalError> {
        Ok(Bytes::new())
    }
}

fn content(name: &str) -> Option<Vec<u8>> {
    let text = match name {
        "hosts.csv" | "hosts" => {
            "\u{feff}host,port,seen\r\n\"a, b\",443,2026-01-02\nc,many,\n\"two\nlines\",22\n"
        }
        "hosts.tsv" => "a\t1\nb\t2\n",
        "hosts.tsve" => "a\\tb\t1\nc\\\\d\t2\n",
        "hosts.psv" => "a|1\n\"b|c\"|2\n",
        "hosts.txt" => "# a list\n192.0.2.1\n192.0.2.2",
        "lines.json" => {
            "{\"host\": \"a\", \"port\": 1, \"tags\": [\"x\", \"y\"]}\n{\"host\": 7, \"port\": \"no\"}\n"
        }
        "array.json" => "[{\"host\": \"a\",\n \"port\": 1},\n {\"port\": 2.5, \"host\": {\"k\": null}}]",
        "broken.json" => "{\"host\": \"a\"}\n{\"host\":",
        "hosts.csv.gz" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(b"a,1\nb,2\n").ok()?;
            return encoder.finish().ok();
        }
        "hosts.parquet" => return parquet(),
        _ => return None,
    };
    Some(text.as_bytes().to_vec())
}

fn parquet() -> Option<Vec<u8>> {
    let hosts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
    let ports: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
    let scores: ArrayRef = Arc::new(Float64Array::from(vec![0.5, 1.5]));
    let batch = RecordBatch::try_from_iter([("host", hosts), ("port", ports), ("score", scores)]).ok()?;
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).ok()?;
    writer.write(&batch).ok()?;
    writer.close().ok()?;
    Some(bytes)
}
