//! Custom detections of Microsoft Defender (`kind: CustomDetection`), read as the analytics rules they say the same as.
//!
//! Source: Microsoft Graph, resource `detectionRule`, and "Create custom detection rules" of the Defender documentation
//! for how far back a rule looks.

use chrono::TimeDelta;

use super::span;
use super::yaml::{Node, Yaml};

/// Entities whose kind is not the singular of the list they stand in.
const KINDS: [(&str, &str); 3] =
    [("mailboxes", "Mailbox"), ("dnsResolutions", "DNS"), ("processes", "Process")];

/// The analytics rule that a custom detection stands for; none where the file is no such detection.
pub(super) fn as_analytics_rule(document: &Node) -> Option<Node> {
    let kind = at(document, &["kind"]).and_then(Node::text)?;
    if !kind.eq_ignore_ascii_case("CustomDetection") {
        return None;
    }
    let rule = at(document, &["properties"])?;
    let alert = at(rule, &["detectionAction", "alertTemplate"]);
    let alert = |key: &str| alert.and_then(|alert| at(alert, &[key]));
    let frequency = at(rule, &["schedule", "frequency"]);
    let mut entries: Vec<(String, Node)> = Vec::new();
    let mut put = |key: &str, node: Option<Node>| entries.extend(node.map(|node| (key.to_owned(), node)));
    put("id", at(rule, &["id"]).cloned());
    put("name", at(rule, &["displayName"]).or_else(|| alert("title")).cloned());
    put("description", alert("description").cloned());
    put("severity", alert("severity").cloned());
    put("query", at(rule, &["queryCondition", "queryText"]).cloned());
    put("queryFrequency", frequency.cloned());
    put("queryPeriod", frequency.and_then(period));
    put("tactics", alert("tactics").map(|tactics| each(tactics, |tactic| at(tactic, &["tactic"]).cloned())));
    put("relevantTechniques", alert("tactics").map(techniques));
    put("entityMappings", alert("entityMappings").map(entity_mappings));
    Some(Node { line: document.line, value: Yaml::Map(entries) })
}

/// The node at the end of a path of keys.
fn at<'a>(node: &'a Node, path: &[&str]) -> Option<&'a Node> {
    path.iter().try_fold(node, |node, key| match &node.value {
        Yaml::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
        _ => None,
    })
}

fn items(node: &Node) -> &[Node] {
    match &node.value {
        Yaml::List(items) => items,
        _ => &[],
    }
}

fn each(list: &Node, pick: impl Fn(&Node) -> Option<Node>) -> Node {
    Node { line: list.line, value: Yaml::List(items(list).iter().filter_map(pick).collect()) }
}

/// A daily rule looks back for a month, one that runs more often for four times its frequency.
fn period(frequency: &Node) -> Option<Node> {
    let every = span::parse(&frequency.text()?).ok()?;
    let back = if every >= TimeDelta::days(1) { TimeDelta::days(30).max(every) } else { every * 4 };
    Some(Node { line: frequency.line, value: Yaml::Text(span::kql(back)) })
}

fn techniques(tactics: &Node) -> Node {
    let named = items(tactics).iter().filter_map(|tactic| at(tactic, &["techniques"])).flat_map(items);
    let names = named.filter_map(|technique| at(technique, &["technique"]).cloned());
    Node { line: tactics.line, value: Yaml::List(names.collect()) }
}

/// From lists by kind, whose items name a column for each identifier (`upnSuffixColumn`), to the rule format's mappings.
fn entity_mappings(kinds: &Node) -> Node {
    let text = |line: u64, text: &str| Node { line, value: Yaml::Text(text.to_owned()) };
    let map = |line: u64, entries: Vec<(&str, Node)>| {
        let entries = entries.into_iter().map(|(key, node)| (key.to_owned(), node)).collect();
        Node { line, value: Yaml::Map(entries) }
    };
    let mut mappings = Vec::new();
    if let Yaml::Map(kinds) = &kinds.value {
        for (kind, list) in kinds {
            let known = KINDS.iter().find(|(name, _)| name == kind).map(|(_, kind)| *kind);
            let kind = known.unwrap_or_else(|| kind.strip_suffix('s').unwrap_or(kind));
            for entity in items(list) {
                let Yaml::Map(columns) = &entity.value else { continue };
                let fields = columns.iter().filter_map(|(key, column)| {
                    let identifier = key.strip_suffix("Column")?;
                    let field =
                        vec![("identifier", text(column.line, identifier)), ("columnName", column.clone())];
                    Some(map(column.line, field))
                });
                let fields = Node { line: entity.line, value: Yaml::List(fields.collect()) };
                let mapping = vec![("entityType", text(entity.line, kind)), ("fieldMappings", fields)];
                mappings.push(map(entity.line, mapping));
            }
        }
    }
    Node { line: kinds.line, value: Yaml::List(mappings) }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use crate::detect::{EntityMapping, Rule};

    const DETECTION: &str = "\
kind: CustomDetection
properties:
  id: moved
  displayName: Subscription moved
  queryCondition:
    queryText: |-
      AzureActivity
      | where OperationNameValue has 'updateTenant'
  schedule:
    frequency: PT1H
  detectionAction:
    alertTemplate:
      title: It moved
      severity: medium
      entityMappings:
        accounts:
        - id: account1
          nameColumn: Name
          upnSuffixColumn: Suffix
        mailboxes:
        - upnColumn: Mail
      tactics:
      - tactic: Impact
        techniques:
        - technique: T1496
";

    #[test]
    fn a_custom_detection_is_a_rule() {
        let parsed = Rule::parse(DETECTION).expect("a rule");
        assert!(parsed.warnings.is_empty(), "{:?}", parsed.warnings);
        let rule = parsed.rule;
        assert_eq!(
            (rule.id.as_str(), rule.name.as_str(), rule.query_line),
            ("moved", "Subscription moved", 7)
        );
        assert_eq!((rule.frequency, rule.period), (TimeDelta::hours(1), TimeDelta::hours(4)));
        assert_eq!((rule.tactics, rule.techniques), (vec!["Impact".to_owned()], vec!["T1496".to_owned()]));
        let mapping = |kind: &str, fields: &[(&str, &str)]| EntityMapping {
            entity_type: kind.to_owned(),
            fields: fields.iter().map(|(name, column)| ((*name).to_owned(), (*column).to_owned())).collect(),
        };
        let expected = [
            mapping("account", &[("name", "Name"), ("upnSuffix", "Suffix")]),
            mapping("Mailbox", &[("upn", "Mail")]),
        ];
        assert_eq!(rule.entity_mappings, expected);
    }

    #[test]
    fn what_it_lacks_is_named() {
        let problems = Rule::parse(&DETECTION.replace("queryText", "text")).expect_err("no query");
        assert!(problems.iter().any(|problem| problem.key == "query"), "{problems:?}");
    }
}
