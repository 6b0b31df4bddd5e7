//! The outbox: what is in `Findings` and `Incidents` and not yet in `Deliveries`, sink by sink.
//!
//! **Delivered at least once**: a delivery is written down after the sink has confirmed it. A crash in between sends
//! it again, under the same id. A sink that is down keeps its outbox and nobody else's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use provost_connectors::{Payload, Sink, SinkError};
use provost_model::{EventId, Finding, Incident, Row, RowError};
use uuid::Uuid;

use super::Pipeline;
use crate::lake::Lake;

/// What delivery did, by sink.
#[derive(Debug, Default)]
pub struct DeliverSummary {
    /// By name of the sink.
    pub sinks: BTreeMap<String, SinkSummary>,
}

/// What went to one sink.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SinkSummary {
    /// Findings and incidents confirmed.
    pub delivered: usize,
    /// Those that the sink will never take.
    pub refused: usize,
    /// Those that wait for the next run.
    pub waiting: usize,
    /// Why they wait, or why the sink refused.
    pub errors: Vec<String>,
}

impl DeliverSummary {
    /// Whether everything reached every sink.
    pub fn complete(&self) -> bool {
        self.sinks.values().all(|sink| sink.waiting == 0)
    }
}

impl Pipeline {
    /// Sends every sink what it has not got yet.
    pub async fn deliver(
        &self,
        sinks: &[Arc<dyn Sink>],
        now: DateTime<Utc>,
        mut progress: impl FnMut(&str, usize),
    ) -> anyhow::Result<DeliverSummary> {
        let findings = self.ask("Findings | sort by FirstSeen asc, FindingId asc", now).await?;
        let findings: Vec<Finding> = findings.objects().map(Finding::from_row).collect::<Result<_, _>>()?;
        let incidents = self.ask("Incidents | sort by FirstSeen asc, IncidentId asc", now).await?;
        let incidents: Vec<Incident> =
            incidents.objects().map(Incident::from_row).collect::<Result<_, _>>()?;
        let by_id: BTreeMap<Uuid, &Finding> = findings.iter().map(|finding| (finding.id, finding)).collect();

        let mut summary = DeliverSummary::default();
        for sink in sinks {
            let delivered = self.delivered(sink.name(), now).await?;
            let due = |payload: &Payload| {
                let (id, hash) = key(payload);
                sink.wants(payload) && !delivered.contains(&(id.to_string(), hash.to_owned()))
            };
            let mut outbox: Vec<Payload> =
                findings.iter().cloned().map(Payload::Finding).filter(due).collect();
            outbox.extend(
                incidents
                    .iter()
                    .map(|incident| {
                        let members =
                            incident.findings.iter().filter_map(|id| by_id.get(id).copied().cloned());
                        Payload::Incident(incident.clone(), members.collect())
                    })
                    .filter(due),
            );
            let sent = self.empty_outbox(sink.as_ref(), &outbox, now, &mut progress).await?;
            summary.sinks.insert(sink.name().to_owned(), sent);
        }
        Ok(summary)
    }

    async fn empty_outbox(
        &self,
        sink: &dyn Sink,
        outbox: &[Payload],
        now: DateTime<Utc>,
        progress: &mut impl FnMut(&str, usize),
    ) -> anyhow::Result<SinkSummary> {
        let mut summary = SinkSummary::default();
        for range in sink.batches(outbox) {
            let batch = outbox.get(range).unwrap_or_default();
            if !summary.errors.is_empty() && summary.waiting > 0 {
                summary.waiting += batch.len();
                continue;
            }
            match sink.send(batch).await {
                Ok(refusals) => {
                    let reasons: BTreeMap<usize, String> =
                        refusals.into_iter().map(|refusal| (refusal.place, refusal.reason)).collect();
                    self.note(sink, batch, |place| reasons.get(&place).map(String::as_str), now).await?;
                    summary.delivered += batch.len() - reasons.len();
                    progress(sink.name(), batch.len() - reasons.len());
                    summary.refused += reasons.len();
                    for reason in reasons.into_values() {
                        tracing::error!(sink = sink.name(), reason, "refused");
                        summary.errors.push(format!("{}: refused: {reason}", sink.name()));
                    }
                }
                Err(error @ SinkError::Refused { .. }) => {
                    tracing::error!(sink = sink.name(), %error, "refused");
                    let reason = error.to_string();
                    self.note(sink, batch, |_| Some(reason.as_str()), now).await?;
                    summary.refused += batch.len();
                    summary.errors.push(error.to_string());
                }
                Err(error) => {
                    tracing::error!(sink = sink.name(), %error, "not delivered");
                    summary.waiting += batch.len();
                    summary.errors.push(error.to_string());
                }
            }
        }
        Ok(summary)
    }

    /// Ids and action hashes that a sink has confirmed, or refused for good.
    async fn delivered(&self, sink: &str, now: DateTime<Utc>) -> anyhow::Result<BTreeSet<(String, String)>> {
        let query = format!(
            "Deliveries | where Sink == {} | project ObjectId, ActionHash",
            provost_model::inert::kql(sink)
        );
        let answer = self.ask(&query, now).await?;
        let text = |value: Option<&serde_json::Value>| {
            value.and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
        };
        Ok(answer.rows().map(|row| (text(row.first()), text(row.get(1)))).collect())
    }

    /// Writes down that a sink has a batch, or by place in it why it does not take a payload.
    async fn note<'a>(
        &self,
        sink: &dyn Sink,
        batch: &[Payload],
        refused: impl Fn(usize) -> Option<&'a str>,
        now: DateTime<Utc>,
    ) -> anyhow::Result<()> {
        let spec = Lake::spec("Deliveries")?;
        let rows = batch.iter().enumerate().map(|(place, payload)| -> Result<Row, RowError> {
            let reason = refused(place);
            let (id, hash) = key(payload);
            let (kind, version) = match payload {
                Payload::Finding(finding) => ("finding", finding.version),
                Payload::Incident(incident, _) => ("incident", incident.version),
            };
            let id = id.to_string();
            let mut row = Row::new(spec, now, EventId::of(&[sink.name(), kind, &id, hash]));
            row.set("Sink", sink.name())?;
            row.set("Kind", kind)?;
            row.set("ObjectId", id)?;
            row.set("Version", i64::from(version))?;
            row.set("ActionHash", hash)?;
            row.set("Status", if reason.is_some() { "refused" } else { "delivered" })?;
            row.set("Detail", reason.unwrap_or_default())?;
            Ok(row)
        });
        let rows: Vec<_> = rows.collect();
        self.lake.append_rows(spec, &format!("deliver/{}", sink.name()), now, rows, None).await?;
        Ok(())
    }
}

/// The id, and what must change before a version is worth sending again.
fn key(payload: &Payload) -> (Uuid, &str) {
    match payload {
        Payload::Finding(finding) => (finding.id, &finding.action_hash),
        Payload::Incident(incident, _) => (incident.id, &incident.action_hash),
    }
}
