//! Findings and incidents.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::entity::Entity;

/// How grave a finding is, in Sentinel's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// Worth knowing.
    Informational,
    /// Low
    Low,
    /// Medium
    Medium,
    /// High
    High,
}

impl Severity {
    /// The name as Sentinel writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Informational => "Informational",
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Severity {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Informational, Self::Low, Self::Medium, Self::High]
            .into_iter()
            .find(|severity| severity.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| format!("severity '{name}' is none of Informational, Low, Medium, High"))
    }
}

/// The kind of signal a rule reads. Only findings of different families corroborate each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Sign-ins, users, keys, permissions.
    Account,
    /// Charges.
    Billing,
    /// Names and their resolution.
    Dns,
    /// Threat intelligence.
    Intel,
    /// Connections.
    Network,
    /// Cloud resources that come and go.
    Provisioning,
}

impl Family {
    /// All families.
    pub const ALL: [Self; 6] =
        [Self::Account, Self::Billing, Self::Dns, Self::Intel, Self::Network, Self::Provisioning];

    /// The name, lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Billing => "billing",
            Self::Dns => "dns",
            Self::Intel => "intel",
            Self::Network => "network",
            Self::Provisioning => "provisioning",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a rule found: one fact, one finding. The id follows from rule, entities and period, so that running a rule
/// again finds the same finding; a finding that grows gets the next version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The stable id.
    pub id: Uuid,
    /// 1 for the first sight of it, then counting.
    pub version: i32,
    /// The rule.
    pub rule_id: String,
    /// The rule's name.
    pub rule_name: String,
    /// One line for people.
    pub title: String,
    /// What was seen and what it is consistent with.
    pub description: String,
    /// How grave.
    pub severity: Severity,
    /// Which kind of signal.
    pub family: Family,
    /// MITRE ATT&CK tactics.
    pub tactics: Vec<String>,
    /// MITRE ATT&CK techniques.
    pub techniques: Vec<String>,
    /// What it is about.
    pub entities: BTreeSet<Entity>,
    /// The rule's own details, by name.
    pub custom_details: Map<String, Value>,
    /// Event time of the first evidence.
    pub first_seen: DateTime<Utc>,
    /// Event time of the last evidence.
    pub last_seen: DateTime<Utc>,
    /// The span the rule looked at, from.
    pub period_start: DateTime<Utc>,
    /// The span the rule looked at, to (not included).
    pub period_end: DateTime<Utc>,
    /// How many rows of the rule's result stand behind it.
    pub evidence_count: i64,
    /// The first of those rows.
    pub evidence: Vec<Map<String, Value>>,
    /// Changes only where the new version changes what to do; delivery sends a version again only then.
    pub action_hash: String,
}

/// Two findings of an incident, and what ties them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncidentEdge {
    /// One finding.
    pub from: Uuid,
    /// The other.
    pub to: Uuid,
    /// The entities on the way, in order; one where both share it, two where a bridge joins them.
    pub via: Vec<Entity>,
    /// The bridge that joins two entities, where one was needed.
    pub bridge: Option<String>,
    /// What the tie is worth: rare entities much, common ones little. Between 0 and 1.
    pub weight: f64,
    /// The tie in words, with its evidence.
    pub because: String,
}

/// A question of a playbook, answered from the lake.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TriageAnswer {
    /// The playbook, by technique.
    pub playbook: String,
    /// The question, or the criterion.
    pub question: String,
    /// The answer in words.
    pub answer: String,
    /// For an escalation criterion: whether it is met. `None` for a question.
    pub met: Option<bool>,
    /// How many rows the query gave.
    pub rows: usize,
    /// The first of them.
    pub evidence: Vec<Map<String, Value>>,
}

/// Findings that belong together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// The stable id: it follows from the oldest finding.
    pub id: Uuid,
    /// 1 for the first sight of it, then counting.
    pub version: i32,
    /// One line for people.
    pub title: String,
    /// The story in a paragraph.
    pub description: String,
    /// How grave.
    pub severity: Severity,
    /// 0 to 100.
    pub score: f64,
    /// The independent kinds of signal in it.
    pub families: BTreeSet<Family>,
    /// MITRE ATT&CK tactics.
    pub tactics: BTreeSet<String>,
    /// MITRE ATT&CK techniques.
    pub techniques: BTreeSet<String>,
    /// Its findings.
    pub findings: BTreeSet<Uuid>,
    /// Its entities.
    pub entities: BTreeSet<Entity>,
    /// What ties its findings.
    pub chain: Vec<IncidentEdge>,
    /// Why the score is what it is, a line each.
    pub reasons: Vec<String>,
    /// Event time of the first evidence.
    pub first_seen: DateTime<Utc>,
    /// Event time of the last evidence.
    pub last_seen: DateTime<Utc>,
    /// Whether an escalation criterion is met.
    pub escalate: bool,
    /// The playbooks' questions and criteria, answered.
    pub triage: Vec<TriageAnswer>,
    /// What to do next, names filled in.
    pub next_steps: Vec<String>,
    /// The incident that this one went into, once two turn out to be one.
    pub superseded_by: Option<Uuid>,
    /// As [`Finding::action_hash`].
    pub action_hash: String,
}

mod lake {
    //! Findings and incidents as rows of their tables, and back.

    use super::{Finding, Incident};
    use crate::{EventId, Row, RowError, TableSpec, tables};
    use chrono::{DateTime, Utc};
    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use serde_json::{Map, Value};

    fn table(name: &'static str) -> Result<&'static TableSpec, RowError> {
        tables().get(name).ok_or_else(|| RowError::Record(format!("there is no table {name}")))
    }

    /// Sets each column to the field of its name in snake case.
    fn row(
        name: &'static str,
        value: &impl Serialize,
        id_column: &str,
        time: DateTime<Utc>,
        id: EventId,
    ) -> Result<Row, RowError> {
        let table = table(name)?;
        let fields = serde_json::to_value(value).map_err(|error| RowError::Record(error.to_string()))?;
        let mut row = Row::new(table, time, id);
        for column in table.stored().filter(|column| !column.hidden() && column.name != TableSpec::TIME) {
            let field = fields.get(field_of(&column.name, id_column)).unwrap_or(&Value::Null);
            row.set_json(&column.name, field)?;
        }
        Ok(row)
    }

    fn back<T: DeserializeOwned>(
        name: &'static str,
        id_column: &str,
        mut cells: Map<String, Value>,
    ) -> Result<T, RowError> {
        let mut fields = Map::new();
        for column in table(name)?.stored() {
            if let Some(value) = cells.remove(&column.name) {
                fields.insert(field_of(&column.name, id_column), value);
            }
        }
        serde_json::from_value(Value::Object(fields))
            .map_err(|error| RowError::Record(format!("a row of {name} cannot be read back: {error}")))
    }

    fn field_of(column: &str, id_column: &str) -> String {
        if column == id_column {
            return "id".to_owned();
        }
        let mut field = String::with_capacity(column.len() + 4);
        for (index, c) in column.char_indices() {
            if c.is_ascii_uppercase() && index > 0 {
                field.push('_');
            }
            field.push(c.to_ascii_lowercase());
        }
        field
    }

    impl Finding {
        /// This version of the finding as a row of `Findings`.
        pub fn to_row(&self) -> Result<Row, RowError> {
            let id = EventId::of(&[&self.id.to_string(), &self.version.to_string()]);
            row("Findings", self, "FindingId", self.last_seen, id)
        }

        /// The finding that a row of `Findings` holds, columns by name, `dynamic` as JSON.
        pub fn from_row(cells: Map<String, Value>) -> Result<Self, RowError> {
            back("Findings", "FindingId", cells)
        }
    }

    impl Incident {
        /// This version of the incident as a row of `Incidents`.
        pub fn to_row(&self) -> Result<Row, RowError> {
            let id = EventId::of(&[&self.id.to_string(), &self.version.to_string()]);
            row("Incidents", self, "IncidentId", self.last_seen, id)
        }

        /// The incident that a row of `Incidents` holds, columns by name, `dynamic` as JSON.
        pub fn from_row(mut cells: Map<String, Value>) -> Result<Self, RowError> {
            // A string is never null in KQL, so "none" comes back as the empty string.
            if cells.get("SupersededBy").is_some_and(|value| value.as_str() == Some("")) {
                cells.remove("SupersededBy");
            }
            back("Incidents", "IncidentId", cells)
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn columns_are_named_after_fields() {
            for (column, field) in [("RuleId", "rule_id"), ("FirstSeen", "first_seen"), ("FindingId", "id")] {
                assert_eq!(field_of(column, "FindingId"), field);
            }
        }
    }
}
