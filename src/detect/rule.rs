//! A detection rule, read and ready to use.
//!
//! The file format is that of the public Sentinel repository; what is ours stands under the key `provost:`.

use std::collections::BTreeMap;

use chrono::{TimeDelta, Utc};
use provost_kql::Scalar;
use provost_model::{EntityKind, Family, Severity};
use serde_json::Value;

use super::sample::RuleTest;
use super::span;

/// What sort of rule a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleKind {
    /// A hunting query: no schedule of its own, run with the defaults.
    Hunting,
    /// Near real time: evaluated at every step of a minute.
    Nrt,
    /// Evaluated at every step of its frequency.
    Scheduled,
}

impl RuleKind {
    /// The name as Sentinel writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hunting => "Hunting",
            Self::Nrt => "NRT",
            Self::Scheduled => "Scheduled",
        }
    }
}

/// How the number of rows is compared with the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriggerOperator {
    /// `eq`
    Equal,
    /// `gt`
    GreaterThan,
    /// `lt`
    LessThan,
    /// `ne`
    NotEqual,
}

/// When a result counts as a detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trigger {
    /// How the number of rows is compared.
    pub operator: TriggerOperator,
    /// With what.
    pub threshold: u64,
}

impl Trigger {
    /// Whether so many rows set the rule off.
    pub fn fires(self, rows: usize) -> bool {
        let rows = rows as u64;
        match self.operator {
            TriggerOperator::Equal => rows == self.threshold,
            TriggerOperator::GreaterThan => rows > self.threshold,
            TriggerOperator::LessThan => rows < self.threshold,
            TriggerOperator::NotEqual => rows != self.threshold,
        }
    }
}

/// A connector that the rule needs, and the tables it fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataConnector {
    /// The connector's id in Sentinel.
    pub id: String,
    /// The tables.
    pub data_types: Vec<String>,
}

/// One entity of a result row, by Sentinel's kinds and identifiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityMapping {
    /// `Account`, `IP`, `Host` …
    pub entity_type: String,
    /// Identifier and column: `FullName` from `Caller`.
    pub fields: Vec<(String, String)>,
}

/// What of an alert comes from the row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertDetails {
    /// The title, with `{{Column}}` to be filled in.
    pub name_format: Option<String>,
    /// The description, with `{{Column}}` to be filled in.
    pub description_format: Option<String>,
    /// The column with the severity.
    pub severity_column: Option<String>,
    /// The column with the tactics.
    pub tactics_column: Option<String>,
}

/// Where a rule's query runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunsWhere {
    /// Over the lake.
    #[default]
    Lake,
    /// Where the data is: its KQL goes to Defender or Log Analytics.
    Source,
}

/// A number or word of a query that users may want to change.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// The name as the query uses it.
    pub name: String,
    /// Its value, unless the user's configuration says otherwise.
    pub value: Scalar,
    /// What it means, for people.
    pub meaning: String,
}

/// A detection rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The id, a UUID by custom.
    pub id: String,
    /// The name.
    pub name: String,
    /// What it finds, and what that may mean.
    pub description: String,
    /// How grave a hit is.
    pub severity: Severity,
    /// What sort of rule.
    pub kind: RuleKind,
    /// The rule's own version.
    pub version: String,
    /// `Available`, `Deprecated` …
    pub status: String,
    /// How often it is evaluated.
    pub frequency: TimeDelta,
    /// How far back each evaluation looks.
    pub period: TimeDelta,
    /// The stretch at the end of the period where evidence can set the rule off; what is before is history.
    pub recent: TimeDelta,
    /// When a result counts.
    pub trigger: Trigger,
    /// MITRE ATT&CK tactics.
    pub tactics: Vec<String>,
    /// MITRE ATT&CK techniques, those that can be observed after those that can only be inferred.
    pub techniques: Vec<String>,
    /// The query.
    pub query: String,
    /// The line of the file on which the query's text begins.
    pub query_line: u64,
    /// The entities of a row, in Sentinel's words.
    pub entity_mappings: Vec<EntityMapping>,
    /// The entities of a row of kinds that Sentinel has no word for: kind and columns.
    pub extra_entities: Vec<(EntityKind, Vec<String>)>,
    /// Details by name, and the columns they come from.
    pub custom_details: Vec<(String, String)>,
    /// What of the alert comes from the row.
    pub alert_details: AlertDetails,
    /// Each row is an alert of its own, even without entities that tell the rows apart.
    pub alert_per_row: bool,
    /// Whether Sentinel would open an incident by itself.
    pub creates_incident: bool,
    /// Tags.
    pub tags: Vec<String>,
    /// The connectors that fill its tables.
    pub connectors: Vec<DataConnector>,
    /// The kind of signal; found from the tables it reads where the file does not say.
    pub family: Option<Family>,
    /// How sure a hit is, 0 to 1.
    pub confidence: Option<f64>,
    /// The columns that make the fact; the entities where it is not given.
    pub fingerprint: Option<Vec<String>>,
    /// Evidence of one fact that begins within one such span is one finding.
    pub finding_period: TimeDelta,
    /// What users may tune.
    pub parameters: Vec<Parameter>,
    /// Honest reasons why a hit may mean nothing.
    pub false_positives: Vec<String>,
    /// Where its query runs.
    pub runs: RunsWhere,
    /// Its own tests.
    pub tests: Vec<RuleTest>,
}

impl Rule {
    /// The parameters as constants for a query.
    pub fn scalars(&self) -> BTreeMap<String, Scalar> {
        self.parameters.iter().map(|parameter| (parameter.name.clone(), parameter.value.clone())).collect()
    }

    /// Sets parameters from the user's configuration, by name.
    pub fn tune(&mut self, values: &BTreeMap<String, Value>) -> Result<(), String> {
        for (name, value) in values {
            let names = self.parameters.iter().map(|parameter| parameter.name.as_str());
            let hint = provost_model::hint(name, names);
            let parameter = self
                .parameters
                .iter_mut()
                .find(|parameter| parameter.name == *name)
                .ok_or_else(|| format!("rule {} has no parameter {name}{hint}", self.id))?;
            parameter.value = scalar(scalar_type(&parameter.value), value)
                .map_err(|reason| format!("rule {}, parameter {name}: {reason}", self.id))?;
        }
        Ok(())
    }

    /// The query with its parameters as `let` statements in front, to run where nobody supplies constants.
    pub fn portable_query(&self) -> String {
        let mut text = String::new();
        for parameter in &self.parameters {
            text.push_str(&format!("let {} = {};\n", parameter.name, literal(&parameter.value)));
        }
        text + &self.query
    }
}

/// The KQL type of a parameter, by the name rule files use.
fn scalar_type(value: &Scalar) -> &'static str {
    match value {
        Scalar::Bool(_) => "bool",
        Scalar::Int(_) => "int",
        Scalar::Long(_) => "long",
        Scalar::Real(_) => "real",
        Scalar::String(_) => "string",
        Scalar::Datetime(_) => "datetime",
        Scalar::Timespan(_) => "timespan",
        Scalar::Dynamic(_) => "dynamic",
    }
}

/// The types a parameter may have.
const SCALAR_TYPES: [&str; 8] = ["bool", "int", "long", "real", "string", "datetime", "timespan", "dynamic"];

/// A value as a constant of the named type.
pub(super) fn scalar(kind: &str, value: &Value) -> Result<Scalar, String> {
    let wrong = || format!("{value} is no {kind}");
    let words = || value.as_str().ok_or_else(wrong);
    Ok(match kind {
        "bool" => Scalar::Bool(value.as_bool().ok_or_else(wrong)?),
        "int" => Scalar::Int(value.as_i64().and_then(|number| i32::try_from(number).ok()).ok_or_else(wrong)?),
        "long" => Scalar::Long(value.as_i64().ok_or_else(wrong)?),
        "real" => Scalar::Real(value.as_f64().ok_or_else(wrong)?),
        "string" => Scalar::String(words()?.to_owned()),
        "datetime" => {
            Scalar::Datetime(provost_model::parse_time(words()?).map_err(|error| error.to_string())?)
        }
        "timespan" => Scalar::Timespan(span::parse(words()?)?),
        "dynamic" => Scalar::Dynamic(value.clone()),
        other => {
            let hint = provost_model::hint(other, SCALAR_TYPES);
            return Err(format!("'{other}' is no type of a parameter{hint}"));
        }
    })
}

fn literal(value: &Scalar) -> String {
    match value {
        Scalar::Bool(flag) => flag.to_string(),
        Scalar::Int(number) => format!("int({number})"),
        Scalar::Long(number) => format!("long({number})"),
        Scalar::Real(number) => format!("real({number})"),
        Scalar::String(text) => provost_model::inert::kql(text),
        Scalar::Datetime(instant) => {
            format!("datetime({})", provost_model::format_time(instant.with_timezone(&Utc)))
        }
        Scalar::Timespan(length) => span::kql(*length),
        Scalar::Dynamic(value) => format!("dynamic({value})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_parameter_takes_values_of_its_type_only() {
        assert_eq!(scalar("timespan", &json!("36h")), Ok(Scalar::Timespan(TimeDelta::hours(36))));
        assert_eq!(scalar("real", &json!(1)), Ok(Scalar::Real(1.0)));
        assert!(scalar("long", &json!("many")).is_err_and(|reason| reason.contains("is no long")));
        assert!(scalar("strng", &json!("x")).is_err_and(|reason| reason.contains("did you mean 'string'")));
    }
}
