//! Correlation and triage over the lake: `Findings` in, `Incidents` out.

use std::pin::pin;
use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use provost_model::{Finding, Incident, format_time};

use super::Pipeline;
use crate::correlate::{self, correlate};
use crate::lake::Lake;
use crate::parallel::in_tasks;
use crate::triage::{self, triage};

/// Findings older than this many correlation windows before the newest evidence are past.
const WINDOWS_BACK: i32 = 10;

/// What correlation did.
#[derive(Debug, Default)]
pub struct CorrelateSummary {
    /// Incidents that are new or have changed.
    pub incidents: Vec<Incident>,
    /// Bridges and measures that could not be asked.
    pub problems: Vec<String>,
}

impl Pipeline {
    /// Makes incidents of the findings of the last days, answers their playbooks, and keeps what is new. `progress`
    /// hears of each incident whose playbooks are answered.
    pub async fn correlate(
        &self,
        now: DateTime<Utc>,
        mut progress: impl FnMut(&Incident),
    ) -> anyhow::Result<CorrelateSummary> {
        let window = TimeDelta::hours(i64::from(self.correlation_hours.max(1)));
        let (findings, known) = self.recent(now, window * WINDOWS_BACK).await?;
        let options =
            correlate::Options { window, time_limit: self.query_timeout, ..correlate::Options::at(now) };
        let catalog = self.catalog();
        let outcome = correlate(&self.engine, &catalog, &findings, &known, &self.correlation, &options).await;
        let mut problems = outcome.problems;
        problems.extend(outcome.bridges.iter().filter_map(|bridge| {
            let problem = bridge.problem.as_ref()?;
            Some(format!("bridge {}: {problem}", bridge.id))
        }));
        let triage_options = triage::Options { time_limit: self.query_timeout, ..triage::Options::at(now) };
        let mut incidents = outcome.incidents;
        let answering = |mut incident: Incident| {
            let (pipeline, catalog, options) = (self.clone(), Arc::clone(&catalog), triage_options.clone());
            async move {
                triage(&pipeline.engine, &catalog, &mut incident, &pipeline.playbooks, &options).await;
                incident
            }
        };
        let mut running = pin!(in_tasks(incidents.iter().cloned().map(answering).collect()));
        while let Some((place, answered)) = running.next().await {
            incidents[place] = answered.context("triage ended abruptly")?;
            progress(&incidents[place]);
        }
        let spec = Lake::spec("Incidents")?;
        if !incidents.is_empty() {
            let rows = incidents.iter().map(Incident::to_row);
            self.lake.append_rows(spec, "correlate", now, rows, None).await?;
        }
        Ok(CorrelateSummary { incidents, problems })
    }

    /// Findings and incidents near the newest evidence. An old log that is imported today has findings of its own
    /// time, and they find each other then as well as today's do.
    async fn recent(
        &self,
        now: DateTime<Utc>,
        reach: TimeDelta,
    ) -> anyhow::Result<(Vec<Finding>, Vec<Incident>)> {
        let fresh = format!(
            "Findings | where ingestion_time() >= datetime({}) | summarize First = min(FirstSeen)",
            format_time(now - TimeDelta::days(2))
        );
        let answer = self.ask(&fresh, now).await?;
        let oldest_fresh = answer
            .objects()
            .next()
            .and_then(|row| provost_model::parse_time(row.get("First")?.as_str()?).ok())
            .unwrap_or(now);
        let from = format_time(oldest_fresh.min(now) - reach);
        let findings = self.ask(&format!("Findings | where LastSeen >= datetime({from})"), now).await?;
        let incidents = self.ask(&format!("Incidents | where LastSeen >= datetime({from})"), now).await?;
        let findings = findings.objects().map(Finding::from_row).collect::<Result<_, _>>()?;
        let incidents = incidents.objects().map(Incident::from_row).collect::<Result<_, _>>()?;
        Ok((findings, incidents))
    }
}
