//! Rule files into rules: what is not understood is a problem or a warning with its line, never a panic.

use std::path::Path;

use chrono::TimeDelta;
use provost_model::{EntityKind, Family, Severity};

use super::rule::{
    AlertDetails, DataConnector, EntityMapping, Parameter, Rule, RuleKind, RunsWhere, Trigger,
    TriggerOperator, scalar,
};
use super::sample::RuleTest;
use super::yaml::{Fields, Node, Problem, Problems, Yaml, count, flag, real, text, texts};
use super::{bare_query, custom_detection, span};

/// A rule file that could be read.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedRule {
    /// The rule.
    pub rule: Rule,
    /// What in the file has no effect here.
    pub warnings: Vec<Problem>,
}

/// Keys of public rule files that are known and need no warning, although nothing is done with them.
const CARRIED: [&str; 10] = [
    "metadata",
    "suppressionEnabled",
    "suppressionDuration",
    "sentinelEntitiesMappings",
    "enabled",
    "templateVersion",
    "previewDescription",
    "triggerDescription",
    "additionalFields",
    "displayName",
];

impl Rule {
    /// Reads a rule file: an analytics rule or a hunting query of the public format, or a custom detection.
    pub fn parse(file: &str) -> Result<ParsedRule, Vec<Problem>> {
        Self::read(Node::read(file).map_err(|problem| vec![problem])?)
    }

    /// Reads a file by its name too: one that is nothing but KQL is a hunting query.
    pub(super) fn parse_file(path: &Path, text: &str) -> Result<ParsedRule, Vec<Problem>> {
        let is_kql_file = bare_query::is_kql_file(path);
        let yaml = if is_kql_file { Err(unreadable(text)) } else { Node::read(text) };
        match yaml {
            Ok(document @ Node { value: Yaml::Map(_), .. }) => Self::read(document),
            yaml => match bare_query::as_hunting_rule(path, text) {
                Some(document) => Self::read(document),
                None => Self::read(yaml.map_err(|problem| vec![problem])?),
            },
        }
    }

    fn read(document: Node) -> Result<ParsedRule, Vec<Problem>> {
        let document = custom_detection::as_analytics_rule(&document).unwrap_or(document);
        let mut problems = Vec::new();
        let rule = Fields::of(&document, "", &mut problems).and_then(|fields| rule(fields, &mut problems));
        match rule {
            Some(parsed) if problems.is_empty() => Ok(parsed),
            _ => Err(problems),
        }
    }
}

/// What is wrong with a text as KQL.
fn unreadable(text: &str) -> Problem {
    let message = provost_kql::parse(text).err().map(|faults| faults.to_string()).unwrap_or_default();
    Problem { line: 0, key: String::new(), message }
}

fn rule(mut fields: Fields<'_>, problems: &mut Problems) -> Option<ParsedRule> {
    let kind = fields.parse("kind", problems, kind);
    let scheduled = fields.node("queryFrequency").is_some() || matches!(kind, Some(RuleKind::Scheduled));
    let kind = kind.unwrap_or(if scheduled { RuleKind::Scheduled } else { RuleKind::Hunting });

    let id = fields.require("id", problems, text);
    let name = fields.require("name", problems, text);
    let query_line = fields.node("query").map_or(0, |node| node.line);
    let query = fields.require("query", problems, text);
    let description = fields.parse("description", problems, text).unwrap_or_default();
    let severity = match kind {
        RuleKind::Hunting => fields.parse("severity", problems, severity),
        RuleKind::Nrt | RuleKind::Scheduled => fields.require("severity", problems, severity),
    };
    let length = |node: &Node| span::parse(&text(node)?);
    let frequency = fields.parse("queryFrequency", problems, length);
    let period = fields.parse("queryPeriod", problems, length);
    let default_frequency = match kind {
        RuleKind::Nrt => TimeDelta::minutes(1),
        RuleKind::Hunting | RuleKind::Scheduled => TimeDelta::days(1),
    };
    let frequency = frequency.unwrap_or(default_frequency);
    let default_period = match kind {
        // The rows that reach an NRT rule are those of the last minute, and those that came late.
        RuleKind::Nrt => TimeDelta::hours(1),
        // A hunting query says itself how far back it looks.
        RuleKind::Hunting => TimeDelta::days(30),
        RuleKind::Scheduled => frequency,
    };
    let period = period.unwrap_or(default_period);
    let operator =
        fields.parse("triggerOperator", problems, operator).unwrap_or(TriggerOperator::GreaterThan);
    let threshold = fields.parse("triggerThreshold", problems, count).unwrap_or(0);
    let tactics = fields.parse("tactics", problems, texts).unwrap_or_default();
    let mut techniques = fields.parse("relevantTechniques", problems, texts).unwrap_or_default();
    techniques.extend(fields.parse("techniques", problems, texts).unwrap_or_default());
    let entity_mappings = list(&mut fields, "entityMappings", problems, entity_mapping);
    let custom_details =
        fields.node("customDetails").map_or_else(Vec::new, |node| names(node, "customDetails", problems));
    let alert_details = fields
        .node("alertDetailsOverride")
        .map_or_else(AlertDetails::default, |node| alert_details(node, problems));
    let alert_per_row =
        fields.node("eventGroupingSettings").is_some_and(|node| alert_per_row(node, problems));
    let creates_incident =
        fields.node("incidentConfiguration").is_none_or(|node| creates_incident(node, problems));
    let connectors = list(&mut fields, "requiredDataConnectors", problems, connector);
    let tags = fields.node("tags").map_or_else(Vec::new, tags);
    let version = fields.parse("version", problems, text).unwrap_or_default();
    let status = fields.parse("status", problems, text).unwrap_or_default();
    let own = fields.node("provost").map_or_else(Own::default, |node| own(node, problems));
    for key in CARRIED {
        fields.node(key);
    }
    let mut warnings = fields.unknown();
    if frequency > period {
        warnings.push(Problem {
            line: 0,
            key: "queryPeriod".to_owned(),
            message: "is shorter than queryFrequency: events between two evaluations are never looked at"
                .to_owned(),
        });
    }
    for mapping in &entity_mappings {
        if !super::entities::is_known(mapping) {
            warnings.push(Problem {
                line: 0,
                key: "entityMappings".to_owned(),
                message: format!(
                    "{} has no kind of entity here; its values stay in the evidence",
                    mapping.entity_type
                ),
            });
        }
    }

    let mut all_techniques = techniques;
    for technique in own.observable_techniques {
        if !all_techniques.contains(&technique) {
            all_techniques.push(technique);
        }
    }
    let rule = Rule {
        id: id?,
        name: name?,
        description: description.trim_matches(['\'', '"', ' ', '\n']).to_owned(),
        severity: severity.unwrap_or(Severity::Informational),
        kind,
        version,
        status,
        frequency,
        period,
        recent: own.recent.unwrap_or(period).min(period),
        trigger: Trigger { operator, threshold },
        tactics,
        techniques: all_techniques,
        query: query?,
        query_line,
        entity_mappings,
        extra_entities: own.entities,
        custom_details,
        alert_details,
        alert_per_row,
        creates_incident,
        tags,
        connectors,
        family: own.family,
        confidence: own.confidence,
        fingerprint: own.fingerprint,
        finding_period: own.period.unwrap_or_else(|| whole_days(period)),
        parameters: own.parameters,
        false_positives: own.false_positives,
        runs: own.runs,
        tests: own.tests,
    };
    Some(ParsedRule { rule, warnings })
}

/// The query period, rounded up to whole days.
fn whole_days(period: TimeDelta) -> TimeDelta {
    let days = period.num_seconds().div_euclid(86_400) + i64::from(period.num_seconds() % 86_400 > 0);
    TimeDelta::days(days.max(1))
}

fn kind(node: &Node) -> Result<RuleKind, String> {
    let name = text(node)?;
    [RuleKind::Hunting, RuleKind::Nrt, RuleKind::Scheduled]
        .into_iter()
        .find(|kind| kind.name().eq_ignore_ascii_case(&name))
        .ok_or_else(|| format!("'{name}' rules cannot be run here; known are Scheduled, NRT and Hunting"))
}

fn severity(node: &Node) -> Result<Severity, String> {
    text(node)?.parse()
}

fn operator(node: &Node) -> Result<TriggerOperator, String> {
    match text(node)?.to_lowercase().as_str() {
        "gt" | "greaterthan" => Ok(TriggerOperator::GreaterThan),
        "lt" | "lessthan" => Ok(TriggerOperator::LessThan),
        "eq" | "equal" => Ok(TriggerOperator::Equal),
        "ne" | "notequal" => Ok(TriggerOperator::NotEqual),
        other => Err(format!("'{other}' is none of gt, lt, eq, ne")),
    }
}

/// The items of a list of mappings, those that can be read.
fn list<'a, T>(
    fields: &mut Fields<'a>,
    key: &'a str,
    problems: &mut Problems,
    read: impl Fn(Fields<'_>, &mut Problems) -> Option<T>,
) -> Vec<T> {
    let Some(node) = fields.node(key) else { return Vec::new() };
    let path = fields.path(key);
    let Yaml::List(items) = &node.value else {
        problems.push(Problem {
            line: node.line,
            key: path,
            message: format!("expected a list, found {}", node.sort()),
        });
        return Vec::new();
    };
    items
        .iter()
        .filter_map(|item| Fields::of(item, &path, problems).and_then(|fields| read(fields, problems)))
        .collect()
}

fn entity_mapping(mut fields: Fields<'_>, problems: &mut Problems) -> Option<EntityMapping> {
    let entity_type = fields.require("entityType", problems, text);
    let mappings = list(&mut fields, "fieldMappings", problems, |mut field, problems| {
        let identifier = field.require("identifier", problems, text);
        let column = field.require("columnName", problems, text);
        Some((identifier?, column?))
    });
    Some(EntityMapping { entity_type: entity_type?, fields: mappings })
}

fn connector(mut fields: Fields<'_>, problems: &mut Problems) -> Option<DataConnector> {
    let id = fields.require("connectorId", problems, text)?;
    let data_types = fields.parse("dataTypes", problems, texts).unwrap_or_default();
    Some(DataConnector { id, data_types })
}

/// A mapping of names to texts.
fn names(node: &Node, path: &str, problems: &mut Problems) -> Vec<(String, String)> {
    let Some(fields) = Fields::of(node, path, problems) else { return Vec::new() };
    let mut found = Vec::new();
    for (key, value) in fields.entries() {
        match text(value) {
            Ok(column) => found.push((key.clone(), column)),
            Err(message) => problems.push(Problem { line: value.line, key: fields.path(key), message }),
        }
    }
    found
}

fn alert_details(node: &Node, problems: &mut Problems) -> AlertDetails {
    let Some(mut fields) = Fields::of(node, "alertDetailsOverride", problems) else {
        return AlertDetails::default();
    };
    let mut optional = |key, other| {
        let found = fields.parse(key, problems, text);
        found.or_else(|| fields.parse(other, problems, text))
    };
    AlertDetails {
        name_format: optional("alertDisplayNameFormat", "alertnameFormat"),
        description_format: optional("alertDescriptionFormat", "alertdescriptionFormat"),
        severity_column: optional("alertSeverityColumnName", "alertSeverity"),
        tactics_column: optional("alertTacticsColumnName", "alertTactics"),
    }
}

fn alert_per_row(node: &Node, problems: &mut Problems) -> bool {
    let Some(mut fields) = Fields::of(node, "eventGroupingSettings", problems) else { return false };
    let grouping = fields.parse("aggregationKind", problems, text).unwrap_or_default();
    grouping.eq_ignore_ascii_case("AlertPerResult")
}

fn creates_incident(node: &Node, problems: &mut Problems) -> bool {
    let Some(mut fields) = Fields::of(node, "incidentConfiguration", problems) else { return true };
    fields.parse("createIncident", problems, flag).unwrap_or(true)
}

/// Tags are texts, or mappings such as `SchemaVersion: 1`; both are kept as text.
fn tags(node: &Node) -> Vec<String> {
    let Yaml::List(items) = &node.value else { return Vec::new() };
    let tag = |item: &Node| item.text().unwrap_or_else(|| item.to_json().to_string());
    items.iter().map(tag).collect()
}

/// What stands under `provost:`.
#[derive(Default)]
struct Own {
    family: Option<Family>,
    confidence: Option<f64>,
    entities: Vec<(EntityKind, Vec<String>)>,
    fingerprint: Option<Vec<String>>,
    period: Option<TimeDelta>,
    recent: Option<TimeDelta>,
    parameters: Vec<Parameter>,
    observable_techniques: Vec<String>,
    false_positives: Vec<String>,
    runs: RunsWhere,
    tests: Vec<RuleTest>,
}

fn own(node: &Node, problems: &mut Problems) -> Own {
    let Some(mut fields) = Fields::of(node, "provost", problems) else { return Own::default() };
    let length = |node: &Node| span::parse(&text(node)?);
    let own = Own {
        family: fields.parse("family", problems, family),
        confidence: fields.parse("confidence", problems, confidence),
        entities: fields.node("entities").map_or_else(Vec::new, |node| extra_entities(node, problems)),
        fingerprint: fields.parse("fingerprint", problems, texts),
        period: fields.parse("period", problems, length),
        recent: fields.parse("recent", problems, length),
        parameters: fields.node("parameters").map_or_else(Vec::new, |node| parameters(node, problems)),
        observable_techniques: fields.parse("observableTechniques", problems, texts).unwrap_or_default(),
        false_positives: fields.parse("falsePositives", problems, texts).unwrap_or_default(),
        runs: fields.parse("runs", problems, runs).unwrap_or_default(),
        tests: list(&mut fields, "tests", problems, RuleTest::parse),
    };
    problems.extend(fields.unknown());
    own
}

fn family(node: &Node) -> Result<Family, String> {
    let name = text(node)?;
    Family::ALL.into_iter().find(|family| family.name() == name).ok_or_else(|| {
        let hint = provost_model::hint(&name, Family::ALL.map(Family::name));
        format!("'{name}' is no family of signals{hint}")
    })
}

fn confidence(node: &Node) -> Result<f64, String> {
    let number = real(node)?;
    if (0.0..=1.0).contains(&number) { Ok(number) } else { Err(format!("{number} is not between 0 and 1")) }
}

fn runs(node: &Node) -> Result<RunsWhere, String> {
    match text(node)?.as_str() {
        "lake" => Ok(RunsWhere::Lake),
        "source" => Ok(RunsWhere::Source),
        other => Err(format!("'{other}' is neither lake nor source")),
    }
}

fn extra_entities(node: &Node, problems: &mut Problems) -> Vec<(EntityKind, Vec<String>)> {
    let path = "provost.entities";
    let Some(fields) = Fields::of(node, path, problems) else { return Vec::new() };
    let mut found = Vec::new();
    for (name, columns) in fields.entries() {
        match name.parse().and_then(|kind: EntityKind| Ok((kind, texts(columns)?))) {
            Ok(entity) => found.push(entity),
            Err(message) => problems.push(Problem { line: columns.line, key: fields.path(name), message }),
        }
    }
    found
}

fn parameters(node: &Node, problems: &mut Problems) -> Vec<Parameter> {
    let path = "provost.parameters";
    let Some(fields) = Fields::of(node, path, problems) else { return Vec::new() };
    let mut found = Vec::new();
    for (name, node) in fields.entries() {
        let Some(mut fields) = Fields::of(node, &fields.path(name), problems) else { continue };
        let kind = fields.require("type", problems, text);
        let meaning = fields.require("meaning", problems, text);
        let value =
            kind.and_then(|kind| fields.require("default", problems, |node| scalar(&kind, &node.to_json())));
        problems.extend(fields.unknown());
        if let (Some(value), Some(meaning)) = (value, meaning) {
            found.push(Parameter { name: name.clone(), value, meaning });
        }
    }
    found
}
