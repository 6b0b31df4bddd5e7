//! What the Sentinel workspace holds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// A stream of the data collection rule, which is also the table behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Such as `Custom-ProvostFindings_CL`.
    pub name: String,
    /// The columns that it declares; others are dropped without a word.
    pub columns: Vec<String>,
}

impl Stream {
    /// A stream with these columns.
    pub fn new(name: &str, columns: &[&str]) -> Self {
        Self { name: name.to_owned(), columns: columns.iter().map(|column| (*column).to_owned()).collect() }
    }

    /// The streams of the rule that Provost ships.
    pub fn shipped() -> Vec<Self> {
        let both = [
            "TimeGenerated",
            "Version",
            "Description",
            "Severity",
            "Tactics",
            "Techniques",
            "Entities",
            "FirstSeen",
            "LastSeen",
            "ActionHash",
            "RowHash",
            "Truncated",
        ];
        let findings = [
            "FindingId",
            "FindingTitle",
            "RuleId",
            "RuleName",
            "Family",
            "CustomDetails",
            "PeriodStart",
            "PeriodEnd",
            "EvidenceCount",
            "Evidence",
        ];
        let incidents = [
            "IncidentId",
            "IncidentTitle",
            "Score",
            "Families",
            "Findings",
            "Chain",
            "Reasons",
            "Escalate",
            "Triage",
            "NextSteps",
            "SupersededBy",
        ];
        vec![
            Self::new("Custom-ProvostFindings_CL", &[&both[..], &findings[..]].concat()),
            Self::new("Custom-ProvostIncidents_CL", &[&both[..], &incidents[..]].concat()),
        ]
    }
}

/// A copy of what the workspace holds.
#[derive(Debug, Clone, Default)]
pub struct SentinelCopy {
    /// Rows by stream, in order of arrival, duplicates included.
    pub rows: BTreeMap<String, Vec<Map<String, Value>>>,
    /// Values dropped because their column is not declared, by `stream/column`.
    pub dropped_columns: BTreeMap<String, u64>,
    /// Incidents by id.
    pub incidents: BTreeMap<String, IncidentCopy>,
}

/// An incident of the workspace.
#[derive(Debug, Clone, PartialEq)]
pub struct IncidentCopy {
    /// What was written of a GET's `properties`.
    pub properties: Map<String, Value>,
    /// `incidentNumber`
    pub number: u64,
    /// The version.
    pub etag: String,
    /// Comments by id.
    pub comments: BTreeMap<String, String>,
}

impl SentinelCopy {
    /// How many rows of a stream came more than once, by the value of a column.
    pub fn duplicates(&self, stream: &str, id_column: &str) -> usize {
        let ids = self.ids(stream, id_column);
        ids.len() - ids.iter().collect::<BTreeSet<_>>().len()
    }

    /// The values of a column, as rules see them that take one row for each.
    pub fn distinct(&self, stream: &str, id_column: &str) -> BTreeSet<String> {
        self.ids(stream, id_column).into_iter().collect()
    }

    fn ids(&self, stream: &str, id_column: &str) -> Vec<String> {
        let rows = self.rows.get(stream).map(Vec::as_slice).unwrap_or_default();
        rows.iter()
            .filter_map(|row| row.get(id_column))
            .map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned))
            .collect()
    }
}

/// The workspace itself.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    pub(crate) rows: BTreeMap<String, Vec<Map<String, Value>>>,
    pub(crate) dropped_columns: BTreeMap<String, u64>,
    pub(crate) incidents: BTreeMap<String, Incident>,
    pub(crate) last_number: u64,
}

#[derive(Debug)]
pub(crate) struct Incident {
    pub(crate) properties: Map<String, Value>,
    pub(crate) number: u64,
    pub(crate) created: String,
    pub(crate) modified: String,
    pub(crate) etag: String,
    pub(crate) comments: BTreeMap<String, String>,
}

impl Workspace {
    pub(crate) fn copy(&self) -> SentinelCopy {
        let incidents = self.incidents.iter().map(|(id, incident)| {
            let copy = IncidentCopy {
                properties: incident.properties.clone(),
                number: incident.number,
                etag: incident.etag.clone(),
                comments: incident.comments.clone(),
            };
            (id.clone(), copy)
        });
        SentinelCopy {
            rows: self.rows.clone(),
            dropped_columns: self.dropped_columns.clone(),
            incidents: incidents.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_streams_have_the_columns_that_the_shipped_template_declares() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/azure/sentinel.json");
        let text = std::fs::read_to_string(path).expect("the template");
        let template: Value = serde_json::from_str(&text).expect("JSON");
        for (stream, variable) in Stream::shipped().into_iter().zip(["findingsColumns", "incidentsColumns"]) {
            let declared = template["variables"][variable].as_array().expect("columns");
            let declared: BTreeSet<&str> =
                declared.iter().filter_map(|column| column["name"].as_str()).collect();
            let taken: BTreeSet<&str> = stream.columns.iter().map(String::as_str).collect();
            assert_eq!(taken, declared, "{}", stream.name);
        }
    }
}
