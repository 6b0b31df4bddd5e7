//! The report's tables as CSV that a spreadsheet may open: what would act as a formula is text.

use std::collections::BTreeSet;
use std::io;

use provost_model::{Entity, format_time, inert};
use serde_json::Value;

use super::Report;

/// One line for each incident.
pub fn incidents_csv(report: &Report<'_>, out: impl io::Write) -> io::Result<()> {
    let mut lines = Lines::new(out);
    lines.write([
        "IncidentId",
        "Version",
        "Severity",
        "Score",
        "Title",
        "Families",
        "Techniques",
        "FirstSeen",
        "LastSeen",
        "Escalate",
        "Findings",
        "Entities",
        "Reasons",
        "NextSteps",
        "SupersededBy",
    ])?;
    for incident in report.incidents {
        lines.write([
            incident.id.to_string(),
            incident.version.to_string(),
            incident.severity.to_string(),
            incident.score.to_string(),
            incident.title.clone(),
            joined(incident.families.iter()),
            joined(incident.techniques.iter()),
            format_time(incident.first_seen),
            format_time(incident.last_seen),
            incident.escalate.to_string(),
            incident.findings.len().to_string(),
            entities(&incident.entities),
            incident.reasons.join("; "),
            incident.next_steps.join("; "),
            incident.superseded_by.map(|id| id.to_string()).unwrap_or_default(),
        ])?;
    }
    lines.finish()
}

/// One line for each finding.
pub fn findings_csv(report: &Report<'_>, out: impl io::Write) -> io::Result<()> {
    let mut lines = Lines::new(out);
    lines.write([
        "FindingId",
        "Version",
        "Severity",
        "Family",
        "Rule",
        "Title",
        "Techniques",
        "FirstSeen",
        "LastSeen",
        "EvidenceCount",
        "Entities",
        "Incident",
    ])?;
    for finding in report.findings {
        let incident = report.incidents.iter().find(|one| one.findings.contains(&finding.id));
        lines.write([
            finding.id.to_string(),
            finding.version.to_string(),
            finding.severity.to_string(),
            finding.family.to_string(),
            finding.rule_name.clone(),
            finding.title.clone(),
            joined(finding.techniques.iter()),
            format_time(finding.first_seen),
            format_time(finding.last_seen),
            finding.evidence_count.to_string(),
            entities(&finding.entities),
            incident.map(|one| one.id.to_string()).unwrap_or_default(),
        ])?;
    }
    lines.finish()
}

/// The provisioning ledger, a line each, under the columns of its query.
pub fn ledger_csv(report: &Report<'_>, out: impl io::Write) -> io::Result<()> {
    let mut lines = Lines::new(out);
    if let Some(first) = report.ledger.first() {
        lines.write(first.keys())?;
    }
    for row in report.ledger {
        lines.write(row.values().map(|value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }))?;
    }
    lines.finish()
}

fn joined<T: ToString>(values: impl Iterator<Item = T>) -> String {
    values.map(|value| value.to_string()).collect::<Vec<_>>().join("; ")
}

fn entities(entities: &BTreeSet<Entity>) -> String {
    joined(entities.iter())
}

struct Lines<W: io::Write>(csv::Writer<W>);

impl<W: io::Write> Lines<W> {
    fn new(out: W) -> Self {
        Self(csv::Writer::from_writer(out))
    }

    fn write<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) -> io::Result<()> {
        self.0.write_record(cells.into_iter().map(|cell| inert::csv(&inert::terminal(cell.as_ref()))))?;
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}
