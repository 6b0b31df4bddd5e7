//! Custom tables of Microsoft Sentinel by the Logs Ingestion API.
//!
//! The API has no key to dedupe on, so a request whose answer was lost is stored twice. Every row therefore carries
//! its id and version, and `RowHash`, which are the same each time: the rules that read the table take one of each.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderValue, Method, StatusCode, header};
use provost_model::EventId;
use serde_json::{Map, Value};

use super::{failed, not_there};
use crate::api::Api;
use crate::azure::Endpoint;
use crate::clock::Clock;
use crate::config::SentinelIngestionConfig;
use crate::connectors::Connectors;
use crate::http::{Request, Response};
use crate::sink::{Payload, Refusal, Sink, SinkError};
use crate::source::{Check, CheckStatus, SourceError};

const SERVICE: &str = "sentinel_ingestion";
const API_VERSION: &str = "2023-01-01";
/// A call holds 1 MB, packed and unpacked; this leaves room for what is not counted here.
const CALL_BYTES: usize = 900_000;
/// A field holds 64 KB.
const FIELD_BYTES: usize = 64_000;

const WRONG_PLACE: &str =
    "check endpoint, rule_id (the immutable id, dcr-…) and the streams that the rule declares";

/// A payload as its table takes it.
struct Row {
    /// Where in the batch the payload stands.
    place: usize,
    columns: Value,
}

/// The sink. **At least once**, under ids that stay the same.
#[derive(Debug)]
pub(super) struct SentinelIngestion {
    name: String,
    api: Api,
    clock: Clock,
    config: SentinelIngestionConfig,
}

impl SentinelIngestion {
    pub(super) fn new(
        connectors: &Connectors,
        name: &str,
        config: &SentinelIngestionConfig,
    ) -> Result<Self, SinkError> {
        for (setting, value) in [
            ("rule_id", &config.rule_id),
            ("findings_stream", &config.findings_stream),
            ("incidents_stream", &config.incidents_stream),
        ] {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            if value.is_empty() || !value.chars().all(plain) {
                return Err(SinkError::Config(format!(
                    "sink {name}: {setting} = '{value}': letters, digits, - and _"
                )));
            }
        }
        let remedy = format!(
            "give the application Monitoring Metrics Publisher on the data collection rule {} (az role assignment create \
             --role 'Monitoring Metrics Publisher' --assignee APP --scope DCR-RESOURCE-ID) and wait up to half an hour",
            config.rule_id
        );
        let endpoint = Endpoint::Ingestion(config.endpoint.clone());
        let api = connectors.azure().and_then(|azure| azure.api(SERVICE, endpoint, remedy));
        let api = api.map_err(|error| failed(name, error))?;
        Ok(Self { name: name.to_owned(), api, clock: connectors.clock.clone(), config: config.clone() })
    }

    /// Sends rows. What is too much for one call is halved, and so is what the service can't read, until the row is
    /// alone that it can't: the others must not share its fate.
    async fn post(&self, stream: &str, rows: &[Row]) -> Result<Vec<Refusal>, SinkError> {
        let mut parts = vec![rows];
        let mut refused = Vec::new();
        while let Some(rows) = parts.pop() {
            if rows.is_empty() {
                continue;
            }
            let response = self.call(stream, rows).await.map_err(|error| failed(&self.name, error))?;
            if response.status == StatusCode::NOT_FOUND || response.says("InvalidStream") {
                return Err(not_there(&self.name, &response, WRONG_PLACE));
            }
            let unreadable =
                matches!(response.status, StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE);
            match rows {
                [only] if unreadable => {
                    let reason = format!("{}: {}", row_id(&only.columns), response.describe());
                    refused.push(Refusal { place: only.place, reason });
                }
                _ if unreadable => {
                    let (first, second) = rows.split_at(rows.len() / 2);
                    parts.extend([second, first]);
                }
                _ => {
                    self.api.success(response).map_err(|error| failed(&self.name, error))?;
                }
            }
        }
        Ok(refused)
    }

    async fn call(&self, stream: &str, rows: &[Row]) -> Result<Response, SourceError> {
        let path = format!("/dataCollectionRules/{}/streams/{stream}", self.config.rule_id);
        let url = self.api.url(&path, &[("api-version", API_VERSION)])?;
        let text = rows.iter().map(|row| row.columns.clone()).collect::<Value>().to_string();
        let packed = gzip(text.as_bytes()).map_err(|error| SourceError::Refused {
            service: SERVICE,
            message: format!("the rows can't be packed: {error}"),
        })?;
        let mut request = Request::new(SERVICE, Method::POST, url);
        request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        if let Ok(id) = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()) {
            request = request.header("x-ms-client-request-id", id);
        }
        request.body = packed;
        self.api.send(request).await
    }

    fn row(&self, payload: &Payload) -> (&str, Value) {
        let stream = match payload {
            Payload::Finding(_) => self.config.findings_stream.as_str(),
            Payload::Incident(..) => self.config.incidents_stream.as_str(),
        };
        (stream, Value::Object(row(payload, &provost_model::format_time(self.clock.now()))))
    }
}

#[async_trait]
impl Sink for SentinelIngestion {
    fn name(&self) -> &str {
        &self.name
    }

    fn wants(&self, _: &Payload) -> bool {
        true
    }

    fn batches(&self, payloads: &[Payload]) -> Vec<Range<usize>> {
        let mut batches = Vec::new();
        let (mut start, mut bytes) = (0, 0);
        for (index, payload) in payloads.iter().enumerate() {
            let length = length(&self.row(payload).1) + 1;
            if bytes + length > CALL_BYTES && index > start {
                batches.push(start..index);
                (start, bytes) = (index, 0);
            }
            bytes += length;
        }
        if start < payloads.len() {
            batches.push(start..payloads.len());
        }
        batches
    }

    async fn send(&self, batch: &[Payload]) -> Result<Vec<Refusal>, SinkError> {
        let mut streams: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
        for (place, payload) in batch.iter().enumerate() {
            let (stream, columns) = self.row(payload);
            streams.entry(stream).or_default().push(Row { place, columns });
        }
        let mut refused = Vec::new();
        for (stream, rows) in &streams {
            refused.extend(self.post(stream, rows).await?);
        }
        Ok(refused)
    }

    /// An empty array is a real request, with token, role, rule and stream all looked at, that stores nothing.
    async fn check(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        for stream in [&self.config.findings_stream, &self.config.incidents_stream] {
            let tried = match self.call(stream, &[]).await {
                Ok(response) if response.status == StatusCode::BAD_REQUEST && !response.says("stream") => {
                    Ok("takes requests (an empty one it refuses)".to_owned())
                }
                Ok(response) => self.api.success(response).map(|_| "takes requests".to_owned()),
                Err(error) => Err(error),
            };
            let name = format!("{}: stream {stream}", self.name);
            checks.push(match tried {
                Ok(detail) => Check { name, status: CheckStatus::Ok, detail, remedy: None },
                Err(error) => {
                    let remedy = match &error {
                        SourceError::Denied { remedy, .. } => Some(remedy.clone()),
                        SourceError::Refused { .. } => Some(WRONG_PLACE.to_owned()),
                        _ => None,
                    };
                    Check { name, status: CheckStatus::Failed, detail: error.to_string(), remedy }
                }
            });
        }
        checks
    }
}

/// A payload as a row of its custom table.
///
/// `TimeGenerated` is when it is sent: one that is older than two days would be replaced anyway. When things happened
/// stands in columns of its own. `Title` is a name that custom tables can't have.
fn row(payload: &Payload, now: &str) -> Map<String, Value> {
    let (value, id_column, title_column) = match payload {
        Payload::Finding(finding) => (serde_json::to_value(finding), "FindingId", "FindingTitle"),
        Payload::Incident(incident, _) => (serde_json::to_value(incident), "IncidentId", "IncidentTitle"),
    };
    let Ok(Value::Object(fields)) = value else { return Map::new() };
    let mut row = Map::new();
    for (field, value) in fields {
        let column = match field.as_str() {
            "id" => id_column.to_owned(),
            "title" => title_column.to_owned(),
            field => column(field),
        };
        row.insert(column, value);
    }
    let hash = EventId::of(&[&Value::Object(row.clone()).to_string()]);
    row.insert("RowHash".to_owned(), hash.as_str().into());
    let mut limit = FIELD_BYTES;
    let mut fitted = fit(&row, limit);
    // Fields that each fit can be too much together.
    while fitted.iter().map(|(column, value)| column.len() + length(value) + 4).sum::<usize>()
        > CALL_BYTES - 1_000
        && limit > 1_000
    {
        limit /= 2;
        fitted = fit(&row, limit);
    }
    fitted.insert("TimeGenerated".to_owned(), now.into());
    fitted
}

/// What a row is about, for a message.
fn row_id(row: &Value) -> String {
    let id = row.get("FindingId").or_else(|| row.get("IncidentId")).and_then(Value::as_str);
    format!("{} version {}", id.unwrap_or_default(), row.get("Version").unwrap_or(&Value::Null))
}

/// `rule_name` as a column is named: `RuleName`.
fn column(field: &str) -> String {
    field
        .split('_')
        .map(|word| {
            let mut letters = word.chars();
            letters
                .next()
                .map(|first| first.to_ascii_uppercase())
                .into_iter()
                .chain(letters)
                .collect::<String>()
        })
        .collect()
}

/// Cuts fields that are too long, and says in `Truncated` which.
fn fit(row: &Map<String, Value>, limit: usize) -> Map<String, Value> {
    let mut fitted = Map::new();
    let mut cut = Vec::new();
    for (column, value) in row {
        let short = match value {
            Value::String(text) => (text.len() > limit).then(|| Value::String(beginning(text, limit))),
            Value::Array(items) => (length(value) > limit).then(|| Value::Array(first_items(items, limit))),
            other => (length(other) > limit)
                .then(|| serde_json::json!({"truncated": beginning(&other.to_string(), limit / 2)})),
        };
        if short.is_some() {
            cut.push(column.as_str());
        }
        fitted.insert(column.clone(), short.unwrap_or_else(|| value.clone()));
    }
    fitted.insert("Truncated".to_owned(), cut.join(",").into());
    fitted
}

fn beginning(text: &str, limit: usize) -> String {
    let end = (0..=limit.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    text[..end].to_owned()
}

fn first_items(items: &[Value], limit: usize) -> Vec<Value> {
    let mut bytes = 2;
    let fits = |item: &&Value| {
        bytes += length(item) + 1;
        bytes <= limit
    };
    items.iter().take_while(fits).cloned().collect()
}

/// How long a value is as JSON, without writing it down.
fn length(value: &Value) -> usize {
    struct Count(usize);
    impl Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting can't fail, and a value is always JSON.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

fn gzip(text: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text)?;
    Ok(Bytes::from(encoder.finish()?))
}
