//! From the columns of a result row to typed entities.

use std::collections::BTreeSet;

use provost_model::{Entity, EntityKind};
use serde_json::{Map, Value};

use super::rule::{EntityMapping, Rule};

/// A row of a rule's result, by column.
pub(super) type ResultRow = Map<String, Value>;

/// The entities of a row, by the mapping they come from.
fn by_mapping(rule: &Rule, row: &ResultRow) -> Vec<Vec<Entity>> {
    let mut found = Vec::with_capacity(rule.entity_mappings.len() + rule.extra_entities.len());
    for mapping in &rule.entity_mappings {
        let mut entities = Vec::new();
        mapped(mapping, row, &mut entities);
        found.push(entities);
    }
    for (kind, columns) in &rule.extra_entities {
        let mut entities = Vec::new();
        for column in columns {
            each(*kind, row.get(column), &mut entities);
        }
        found.push(entities);
    }
    found
}

/// The entities of a row.
pub(super) fn of_row(rule: &Rule, row: &ResultRow) -> Vec<Entity> {
    by_mapping(rule, row).into_iter().flatten().collect()
}

/// At most so many entities of some rows, and how many there are in all. Each mapping has its turn, so that a long list
/// of addresses does not push out the host; within a mapping the order is that of their names, so that the same rows
/// always give the same choice.
pub(super) fn of_rows<'a>(
    rule: &Rule,
    rows: impl Iterator<Item = &'a ResultRow>,
    most: usize,
) -> (BTreeSet<Entity>, usize) {
    let mut mappings: Vec<BTreeSet<Entity>> = Vec::new();
    for row in rows {
        for (place, entities) in by_mapping(rule, row).into_iter().enumerate() {
            if mappings.len() <= place {
                mappings.push(BTreeSet::new());
            }
            mappings[place].extend(entities);
        }
    }
    let all = mappings.iter().flatten().collect::<BTreeSet<_>>().len();
    let mut turns: Vec<_> = mappings.into_iter().map(BTreeSet::into_iter).collect();
    let mut kept = BTreeSet::new();
    while kept.len() < most {
        let mut over = true;
        for turn in &mut turns {
            let Some(entity) = turn.next() else { continue };
            over = false;
            if kept.len() < most {
                kept.insert(entity);
            }
        }
        if over {
            break;
        }
    }
    (kept, all)
}

/// Whether a mapping names a kind of entity that we have.
pub(super) fn is_known(mapping: &EntityMapping) -> bool {
    matches!(
        mapping.entity_type.to_lowercase().as_str(),
        "account" | "azureresource" | "cloudapplication" | "dns" | "host" | "ip" | "mailbox" | "url"
    )
}

fn mapped(mapping: &EntityMapping, row: &ResultRow, found: &mut Vec<Entity>) {
    let value = |identifier: &str| {
        let column = mapping.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(identifier));
        column.and_then(|(_, column)| row.get(column))
    };
    let first = |identifiers: &[&str]| {
        identifiers
            .iter()
            .map(|identifier| value(identifier))
            .find(|cell| cell.is_some_and(|cell| !is_empty(cell)))
    };
    match mapping.entity_type.to_lowercase().as_str() {
        "account" => {
            each(
                EntityKind::Account,
                value("CloudAppAccountId").filter(|cell| is_cloud_account(cell)),
                found,
            );
            let name = joined(value("Name"), "@", value("UPNSuffix"))
                .or_else(|| joined(value("NTDomain"), "\\", value("Name")));
            match (first(&["FullName"]), name) {
                (Some(full), _) => each(EntityKind::Principal, full, found),
                (None, Some(name)) => found.extend(Entity::new(EntityKind::Principal, &name)),
                (None, None) => {
                    let any = ["Name", "AadUserId", "ObjectGuid", "PUID", "Sid", "DisplayName"];
                    each(EntityKind::Principal, first(&any).flatten(), found);
                }
            }
        }
        "azureresource" => each(EntityKind::Resource, value("ResourceId"), found),
        "cloudapplication" => {
            each(EntityKind::Principal, first(&["AppId", "InstanceName", "Name"]).flatten(), found);
        }
        "dns" => each(EntityKind::Domain, value("DomainName"), found),
        "host" => match joined(value("HostName"), ".", value("DnsDomain")) {
            Some(name) => found.extend(Entity::new(EntityKind::Host, &name)),
            None => {
                let any = ["FullName", "HostName", "NetBiosName", "AzureID", "OMSAgentID"];
                each(EntityKind::Host, first(&any).flatten(), found);
            }
        },
        "ip" => each(EntityKind::Ip, value("Address"), found),
        "mailbox" => {
            each(EntityKind::Principal, first(&["MailboxPrimaryAddress", "Upn"]).flatten(), found);
        }
        "url" => each(EntityKind::Domain, value("Url"), found),
        _ => {}
    }
}

/// Two parts of a name, where both are there.
fn joined(first: Option<&Value>, between: &str, second: Option<&Value>) -> Option<String> {
    let first = first.and_then(Value::as_str).filter(|text| !text.is_empty())?;
    if first.contains(between) {
        return Some(first.to_owned());
    }
    let second = second.and_then(Value::as_str).filter(|text| !text.is_empty())?;
    Some(format!("{first}{between}{second}"))
}

/// AWS account numbers and the GUIDs of Azure subscriptions and tenants; public rules put other things here too.
fn is_cloud_account(cell: &Value) -> bool {
    let text = cell.as_str().unwrap_or_default();
    let digits = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits || (text.len() == 36 && uuid::Uuid::try_parse(text).is_ok())
}

fn is_empty(cell: &Value) -> bool {
    match cell {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// The entities of a cell: one, or one for each element of a list, also of a list written as JSON text.
fn each(kind: EntityKind, cell: Option<&Value>, found: &mut Vec<Entity>) {
    match cell {
        Some(Value::Array(items)) => {
            for item in items {
                each(kind, Some(item), found);
            }
        }
        Some(Value::String(text)) if text.starts_with('[') => {
            match serde_json::from_str::<Vec<Value>>(text) {
                Ok(items) => {
                    for item in items.iter().filter(|item| !item.is_array()) {
                        each(kind, Some(item), found);
                    }
                }
                // `[2001:db8::1]:443` is no list.
                Err(_) => push(kind, text, found),
            }
        }
        Some(Value::String(text)) => push(kind, text, found),
        Some(Value::Number(number)) => push(kind, &number.to_string(), found),
        Some(Value::Null | Value::Bool(_) | Value::Object(_)) | None => {}
    }
}

fn push(kind: EntityKind, text: &str, found: &mut Vec<Entity>) {
    if let Some(entity) = Entity::new(kind, text)
        && !found.contains(&entity)
    {
        found.push(entity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entities(entity_type: &str, fields: &[(&str, Value)]) -> Vec<String> {
        let mapping = EntityMapping {
            entity_type: entity_type.to_owned(),
            fields: fields.iter().map(|(name, _)| ((*name).to_owned(), format!("c_{name}"))).collect(),
        };
        let row = fields.iter().map(|(name, value)| (format!("c_{name}"), value.clone())).collect();
        let mut found = Vec::new();
        mapped(&mapping, &row, &mut found);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn sentinels_identifiers_become_entities_of_ours() {
        for (entity_type, fields, expected) in [
            (
                "Account",
                vec![("Name", json!("Ann")), ("UPNSuffix", json!("x.com"))],
                vec!["principal:ann@x.com"],
            ),
            (
                "Account",
                vec![("Name", json!("ann@x.com")), ("UPNSuffix", json!(""))],
                vec!["principal:ann@x.com"],
            ),
            ("Account", vec![("FullName", json!("X\\Ann")), ("Name", json!("b"))], vec!["principal:x\\ann"]),
            ("Account", vec![("Name", json!("ann")), ("NTDomain", json!("X"))], vec!["principal:x\\ann"]),
            ("Account", vec![("Name", json!("")), ("AadUserId", json!("7-a"))], vec!["principal:7-a"]),
            (
                "Account",
                vec![("Name", json!("bob")), ("CloudAppAccountId", json!("111122223333"))],
                vec!["account:111122223333", "principal:bob"],
            ),
            (
                "IP",
                vec![("Address", json!(["192.0.2.1", "192.0.2.2", "x"]))],
                vec!["ip:192.0.2.1", "ip:192.0.2.2"],
            ),
            ("IP", vec![("Address", json!("[\"192.0.2.1\"]"))], vec!["ip:192.0.2.1"]),
            ("IP", vec![("Address", json!("[2001:db8::1]:443"))], vec!["ip:2001:db8::1"]),
            ("Host", vec![("HostName", json!("Ws1")), ("DnsDomain", json!("x.com"))], vec!["host:ws1.x.com"]),
            ("Host", vec![("HostName", json!("Ws1"))], vec!["host:ws1"]),
            ("URL", vec![("Url", json!("https://A.example.com/x"))], vec!["domain:a.example.com"]),
            ("DNS", vec![("DomainName", json!("a.example.com."))], vec!["domain:a.example.com"]),
            (
                "AzureResource",
                vec![("ResourceId", json!("/Subscriptions/A"))],
                vec!["resource:/subscriptions/a"],
            ),
            ("FileHash", vec![("Value", json!("abc"))], vec![]),
        ] {
            assert_eq!(entities(entity_type, &fields), expected, "{entity_type} {fields:?}");
        }
    }
}
