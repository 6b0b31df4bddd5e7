//! Incidents of Microsoft Sentinel by its own API.
//!
//! An incident is written under an id that follows from Provost's own, so that writing it again changes it and makes
//! no twin. A write replaces the whole incident and is refused when someone else wrote meanwhile: then what is there is
//! read again and the two are put together. What an analyst decides (status, owner, classification) stays.

use std::ops::Range;

use async_trait::async_trait;
use http::{Method, StatusCode};
use provost_model::{Incident, Severity, inert, stable_uuid};
use serde_json::{Value, json};
use url::Url;

use super::{failed, not_there};
use crate::api::Api;
use crate::azure::Endpoint;
use crate::config::SentinelIncidentsConfig;
use crate::connectors::Connectors;
use crate::http::{Request, Response};
use crate::sink::{Payload, Refusal, Sink, SinkError};
use crate::source::{Check, CheckStatus, SourceError};

const SERVICE: &str = "sentinel_incidents";
const API_VERSION: &str = "2024-03-01";
/// How often a write is tried that others keep getting ahead of.
const CONFLICTS: u32 = 5;
const TITLE_CHARS: usize = 500;
const DESCRIPTION_CHARS: usize = 5_000;
const COMMENT_CHARS: usize = 30_000;
/// An incident holds 100 comments; some are left for people.
const COMMENTS: u64 = 80;

const WRONG_PLACE: &str = "check subscription, resource_group and workspace, and that Sentinel is on there";

/// The sink. **Exactly once** per incident and version: both the incident and its comments have ids that stay the same.
#[derive(Debug)]
pub(super) struct SentinelIncidents {
    name: String,
    api: Api,
    workspace: String,
    labels: Vec<String>,
}

impl SentinelIncidents {
    pub(super) fn new(
        connectors: &Connectors,
        name: &str,
        config: &SentinelIncidentsConfig,
    ) -> Result<Self, SinkError> {
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '(' | ')');
        for (setting, value) in [
            ("subscription", &config.subscription),
            ("resource_group", &config.resource_group),
            ("workspace", &config.workspace),
        ] {
            if value.is_empty() || !value.chars().all(plain) {
                return Err(SinkError::Config(format!(
                    "sink {name}: {setting} = '{value}' is not such a name"
                )));
            }
        }
        let workspace = format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.OperationalInsights/workspaces/{}",
            config.subscription, config.resource_group, config.workspace
        );
        let remedy = format!(
            "give the application Microsoft Sentinel Responder on the workspace: az role assignment create --role \
             'Microsoft Sentinel Responder' --assignee APP --scope {workspace}"
        );
        let api = connectors.azure().and_then(|azure| azure.api(SERVICE, Endpoint::ResourceManager, remedy));
        let api = api.map_err(|error| failed(name, error))?;
        Ok(Self { name: name.to_owned(), api, workspace, labels: config.labels.clone() })
    }

    fn url(&self, path: &str, query: &[(&str, &str)]) -> Result<Url, SourceError> {
        let path = format!("{}/providers/Microsoft.SecurityInsights/incidents{path}", self.workspace);
        let query: Vec<(&str, &str)> =
            std::iter::once(("api-version", API_VERSION)).chain(query.iter().copied()).collect();
        self.api.url(&path, &query)
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response, SourceError> {
        let request = Request::for_json(SERVICE, method, self.url(path, &[])?);
        self.api
            .send(match body {
                Some(body) => request.json(body),
                None => request,
            })
            .await
    }

    /// Writes the incident, on top of what is there. Gives how many comments it has.
    async fn write(&self, id: &str, incident: &Incident) -> Result<u64, SinkError> {
        let failed = |error| failed(&self.name, error);
        let path = format!("/{id}");
        let mut conflicts = 0;
        loop {
            let found = self.request(Method::GET, &path, None).await.map_err(failed)?;
            let existing: Option<Value> = match found.status {
                StatusCode::NOT_FOUND => None,
                _ => Some(self.api.success(found).and_then(|found| self.api.read(&found)).map_err(failed)?),
            };
            let comments = existing
                .as_ref()
                .and_then(|existing| existing.pointer("/properties/additionalData/commentsCount"))
                .and_then(Value::as_u64)
                .unwrap_or(0);
            let Some(body) = self.merged(existing.as_ref(), incident) else { return Ok(comments) };
            let written = self.request(Method::PUT, &path, Some(&body)).await.map_err(failed)?;
            if written.status == StatusCode::NOT_FOUND {
                return Err(not_there(&self.name, &written, WRONG_PLACE));
            }
            if !is_conflict(written.status) {
                return self.api.success(written).map(|_| comments).map_err(failed);
            }
            conflicts += 1;
            if conflicts == CONFLICTS {
                return Err(SinkError::Later {
                    sink: self.name.clone(),
                    message: format!("{}; others were faster {conflicts} times", written.describe()),
                });
            }
        }
    }

    /// The incident as it is to be, or `None` where it already is so.
    fn merged(&self, existing: Option<&Value>, incident: &Incident) -> Option<Value> {
        let there = existing.and_then(|existing| existing.get("properties"));
        let text = |name: &str| there.and_then(|there| there.get(name)).and_then(Value::as_str);
        let mut properties = json!({
            "title": shown(&incident.title, TITLE_CHARS),
            "description": description(incident),
            "severity": severity(text("severity"), incident.severity).name(),
            "status": text("status").unwrap_or("New"),
            "firstActivityTimeUtc": provost_model::format_time(incident.first_seen),
            "lastActivityTimeUtc": provost_model::format_time(incident.last_seen),
            "labels": self.labels(there),
        });
        for kept in ["owner", "classification", "classificationReason", "classificationComment"] {
            if let Some(value) = there.and_then(|there| there.get(kept)).filter(|value| !value.is_null()) {
                properties[kept] = value.clone();
            }
        }
        // Nobody has taken it up, and it has become part of another one.
        if let Some(other) = incident.superseded_by.filter(|_| properties["status"] == "New") {
            properties["status"] = "Closed".into();
            properties["classification"] = "Undetermined".into();
            properties["classificationComment"] = format!("It went into incident {other}.").into();
        }
        if properties["status"] == "Closed" && properties.get("classification").is_none() {
            properties["classification"] = "Undetermined".into();
        }
        let same = |(name, value): (&String, &Value)| {
            there.and_then(|there| there.get(name)).is_some_and(|old| alike(old, value))
        };
        if properties.as_object().is_some_and(|properties| properties.iter().all(same)) {
            return None;
        }
        let mut body = json!({"properties": properties});
        if let Some(etag) = existing.and_then(|existing| existing.get("etag")) {
            body["etag"] = etag.clone();
        }
        Some(body)
    }

    fn labels(&self, there: Option<&Value>) -> Value {
        let existing = there.and_then(|there| there.get("labels")).and_then(Value::as_array);
        let mut names: Vec<String> = existing
            .into_iter()
            .flatten()
            .filter_map(|label| label.get("labelName").and_then(Value::as_str).map(str::to_owned))
            .collect();
        for label in &self.labels {
            if !names.contains(label) {
                names.push(label.clone());
            }
        }
        names.into_iter().map(|name| json!({"labelName": name})).collect()
    }

    /// What this version says, as a comment of its own.
    async fn comment(&self, id: &str, incident: &Incident) -> Result<(), SinkError> {
        let failed = |error| failed(&self.name, error);
        let version = incident.version.to_string();
        let comment = stable_uuid(&["comment", id, &version]);
        let body = json!({"properties": {"message": comment_text(incident)}});
        let path = format!("/{id}/comments/{comment}");
        let written = self.request(Method::PUT, &path, Some(&body)).await.map_err(failed)?;
        // A comment of that id is there already: an earlier try got through.
        if is_conflict(written.status) {
            return Ok(());
        }
        self.api.success(written).map(|_| ()).map_err(failed)
    }
}

#[async_trait]
impl Sink for SentinelIncidents {
    fn name(&self) -> &str {
        &self.name
    }

    fn wants(&self, payload: &Payload) -> bool {
        matches!(payload, Payload::Incident(..))
    }

    fn batches(&self, payloads: &[Payload]) -> Vec<Range<usize>> {
        (0..payloads.len()).map(|index| index..index + 1).collect()
    }

    async fn send(&self, batch: &[Payload]) -> Result<Vec<Refusal>, SinkError> {
        for payload in batch {
            let Payload::Incident(incident, _) = payload else { continue };
            let id = stable_uuid(&["incident", &incident.id.to_string()]).to_string();
            let sent = async {
                let comments = self.write(&id, incident).await?;
                if comments < COMMENTS { self.comment(&id, incident).await } else { Ok(()) }
            };
            sent.await?;
        }
        Ok(Vec::new())
    }

    async fn check(&self) -> Vec<Check> {
        let tried = async {
            let request = Request::for_json(SERVICE, Method::GET, self.url("", &[("$top", "1")])?);
            let _: Value = self.api.ask(request).await?;
            Ok::<_, SourceError>(())
        };
        let name =
            format!("{}: incidents of {}", self.name, self.workspace.rsplit('/').next().unwrap_or_default());
        vec![match tried.await {
            Ok(()) => Check {
                name,
                status: CheckStatus::Ok,
                detail: "can be read; writing also needs Microsoft Sentinel Responder".to_owned(),
                remedy: None,
            },
            Err(error) => {
                let remedy = match &error {
                    SourceError::Denied { remedy, .. } => Some(remedy.clone()),
                    SourceError::Refused { .. } => Some(
                        "check subscription, resource_group and workspace, and that Sentinel is on there"
                            .to_owned(),
                    ),
                    _ => None,
                };
                Check { name, status: CheckStatus::Failed, detail: error.to_string(), remedy }
            }
        }]
    }
}

fn is_conflict(status: StatusCode) -> bool {
    matches!(status, StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED)
}

/// Ours, unless what is there is graver: an analyst may have raised it.
fn severity(there: Option<&str>, ours: Severity) -> Severity {
    there.and_then(|name| name.parse().ok()).map_or(ours, |there: Severity| there.max(ours))
}

/// Whether a service that writes times its own way means the same.
fn alike(left: &Value, right: &Value) -> bool {
    let time = |value: &Value| value.as_str().and_then(|text| provost_model::parse_time(text).ok());
    let names = |value: &Value| -> Option<Vec<String>> {
        let labels = value.as_array()?.iter();
        labels.map(|label| label.get("labelName").and_then(Value::as_str).map(str::to_owned)).collect()
    };
    left == right
        || time(left).is_some_and(|instant| Some(instant) == time(right))
        || names(left).is_some_and(|left| Some(left) == names(right))
}

/// Text from logs, made inert line by line, and cut.
fn shown(text: &str, chars: usize) -> String {
    let lines: Vec<String> = text.lines().map(inert::terminal).collect();
    cut(lines.join("\n"), chars)
}

fn cut(text: String, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text;
    }
    text.chars().take(chars - 1).chain(['…']).collect()
}

fn description(incident: &Incident) -> String {
    let mut parts = vec![incident.description.clone()];
    if !incident.reasons.is_empty() {
        parts.push(format!("Score {:.0}:\n- {}", incident.score, incident.reasons.join("\n- ")));
    }
    shown(&parts.join("\n\n"), DESCRIPTION_CHARS)
}

/// The comment is Markdown, and holds what attackers could write into logs.
fn comment_text(incident: &Incident) -> String {
    let mut text = format!(
        "**Provost, version {}** (score {:.0}, {} findings{})\n",
        incident.version,
        incident.score,
        incident.findings.len(),
        if incident.escalate { ", to be escalated" } else { "" }
    );
    if let Some(other) = incident.superseded_by {
        text.push_str(&format!("\nIt went into incident {other}.\n"));
    }
    let mut section = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            text.push_str(&format!("\n**{title}**\n"));
            for line in lines {
                text.push_str(&format!("- {line}\n"));
            }
        }
    };
    section(
        "What ties it together",
        incident.chain.iter().map(|edge| inert::markdown(&edge.because)).collect(),
    );
    section(
        "Questions",
        incident
            .triage
            .iter()
            .map(|answer| {
                let met = match answer.met {
                    Some(true) => " (met)",
                    Some(false) => " (not met)",
                    None => "",
                };
                format!("{}{met}: {}", inert::markdown(&answer.question), inert::markdown(&answer.answer))
            })
            .collect(),
    );
    section("Next steps", incident.next_steps.iter().map(|step| inert::markdown(step)).collect());
    section(
        "Entities",
        incident.entities.iter().map(|entity| inert::markdown(&entity.to_string())).collect(),
    );
    cut(text, COMMENT_CHARS)
}
