//! The words of an incident: a title that names the story, and a description that tells it.

use std::collections::{BTreeMap, BTreeSet};

use provost_model::{Entity, EntityKind, Family, Finding, Incident, format_time};

use uuid::Uuid;

use super::template::{list, list_of, plain};

/// How many entities of an incident are worth a person's first look.
const SHOWN_ENTITIES: usize = 10;
/// How many of a kind a title names.
const NAMED_IN_TITLE: usize = 1;
/// How many findings the description names.
const NAMED_FINDINGS: usize = 10;

/// The story in one line: what happened, in the order of time.
pub(super) fn title(incident: &Incident, members: &[&Finding]) -> String {
    let mut clauses: Vec<String> = Vec::new();
    let mut told: Vec<Family> = Vec::new();
    let contacted = created_and_contacted(incident, members);
    // A bill is by the day and comes late: it is told last.
    let (late, early): (Vec<&Finding>, Vec<&Finding>) =
        members.iter().partition(|finding| finding.family == Family::Billing);
    for finding in early.into_iter().chain(late) {
        if told.contains(&finding.family) {
            continue;
        }
        told.push(finding.family);
        let of = |kind| entities(members, finding.family, kind);
        let clause = match finding.family {
            Family::Network if contacted.is_some() => continue,
            Family::Account => with("unusual account activity", "of", &of(EntityKind::Principal)),
            Family::Billing => with("unexpected cost", "in account", &of(EntityKind::Account)),
            Family::Dns => {
                let names = with("unusual name resolution", "of", &of(EntityKind::Domain));
                with(&names, "by", &of(EntityKind::Host))
            }
            Family::Intel => {
                let known = format!("{} {}", of(EntityKind::Ip), of(EntityKind::Domain));
                with("a known indicator", "", known.trim())
            }
            Family::Network => {
                let hosts = with("unusual connections", "of", &of(EntityKind::Host));
                with(&hosts, "to", &destination(members))
            }
            Family::Provisioning => match &contacted {
                Some(hosts) => format!("{} contacted by {hosts}", created(members)),
                None => created(members),
            },
        };
        clauses.push(clause);
    }
    let line = clauses.join(", then ");
    let mut letters = line.chars();
    letters.next().map_or(line.clone(), |first| first.to_uppercase().chain(letters).collect())
}

/// The hosts that talk to what was created: their findings name its creator, or are tied to its creation by an address,
/// or name the address of one that is.
fn created_and_contacted(incident: &Incident, members: &[&Finding]) -> Option<String> {
    let of = |family: Family| members.iter().copied().filter(move |finding| finding.family == family);
    let created: BTreeSet<Uuid> = of(Family::Provisioning).map(|finding| finding.id).collect();
    let creators: BTreeSet<&Entity> = of(Family::Provisioning)
        .flat_map(|finding| &finding.entities)
        .filter(|entity| {
            matches!(entity.kind(), EntityKind::Credential | EntityKind::Principal | EntityKind::Resource)
        })
        .collect();
    let tied = |finding: &Finding| {
        incident.chain.iter().any(|edge| {
            (edge.from == finding.id && created.contains(&edge.to)
                || edge.to == finding.id && created.contains(&edge.from))
                && edge.via.iter().any(|entity| entity.kind() == EntityKind::Ip)
        })
    };
    let direct: Vec<&Finding> = of(Family::Network)
        .filter(|finding| finding.entities.iter().any(|entity| creators.contains(entity)) || tied(finding))
        .collect();
    let addresses: BTreeSet<&Entity> = direct
        .iter()
        .flat_map(|finding| &finding.entities)
        .filter(|entity| entity.kind() == EntityKind::Ip)
        .collect();
    let contacts: Vec<&Finding> = of(Family::Network)
        .filter(|finding| finding.entities.iter().any(|entity| addresses.contains(entity)))
        .collect();
    let hosts = entities(&contacts, Family::Network, EntityKind::Host);
    (!created.is_empty() && !hosts.is_empty()).then(|| format!("own hosts {hosts}"))
}

fn created(members: &[&Finding]) -> String {
    let of = |kind| entities(members, Family::Provisioning, kind);
    let by = with("infrastructure created", "by", &of(EntityKind::Principal));
    let regions =
        members.iter().filter(|finding| finding.family == Family::Provisioning).flat_map(|finding| {
            ["Region", "Regions"].iter().filter_map(|name| finding.custom_details.get(*name))
        });
    let places = list_of(NAMED_IN_TITLE, regions.map(plain));
    let place = if places.is_empty() { of(EntityKind::Account) } else { places };
    with(&by, "in", &place)
}

fn destination(members: &[&Finding]) -> String {
    let domains = entities(members, Family::Network, EntityKind::Domain);
    if domains.is_empty() { entities(members, Family::Network, EntityKind::Ip) } else { domains }
}

/// The entities of a kind that a family's findings name, those of most findings first.
fn entities(members: &[&Finding], family: Family, kind: EntityKind) -> String {
    let mut named: BTreeMap<&Entity, usize> = BTreeMap::new();
    for finding in members.iter().filter(|finding| finding.family == family) {
        for entity in finding.entities.iter().filter(|entity| entity.kind() == kind) {
            *named.entry(entity).or_default() += 1;
        }
    }
    // A role is whoever acts in it; where that is known, the role adds nothing.
    let is_role = |entity: &Entity| entity.value().contains(":role/");
    if named.keys().any(|entity| !is_role(entity)) {
        named.retain(|entity, _| !is_role(entity));
    }
    let mut named: Vec<(&Entity, usize)> = named.into_iter().collect();
    named.sort_by(|(_, a), (_, b)| b.cmp(a));
    list_of(NAMED_IN_TITLE, named.into_iter().map(|(entity, _)| short(entity)))
}

/// To a reader of a title `arn:aws:iam::1111:user/ann` is ann, and of a GUID the beginning is enough.
fn short(entity: &Entity) -> String {
    let value = entity.value();
    match entity.kind() {
        EntityKind::Principal if value.starts_with("arn:") => {
            value.rsplit(['/', ':']).next().unwrap_or(value).to_owned()
        }
        EntityKind::Account | EntityKind::Principal if Uuid::try_parse(value).is_ok() => {
            format!("{}…", value.split('-').next().unwrap_or(value))
        }
        _ => plain(&value.into()),
    }
}

fn with(clause: &str, preposition: &str, names: &str) -> String {
    match (names.is_empty(), preposition.is_empty()) {
        (true, _) => clause.to_owned(),
        (false, true) => format!("{clause} {names}"),
        (false, false) => format!("{clause} {preposition} {names}"),
    }
}

/// The story in a paragraph.
pub(super) fn description(incident: &Incident, members: &[&Finding]) -> String {
    let families = list(incident.families.iter().map(|family| family.name().to_owned()));
    let mut text = format!(
        "{} findings of {} independent kinds ({families}) between {} and {} belong together.",
        incident.findings.len(),
        incident.families.len(),
        format_time(incident.first_seen),
        format_time(incident.last_seen),
    );
    for finding in members.iter().take(NAMED_FINDINGS) {
        text.push_str(&format!("\n{} {}", format_time(finding.first_seen), finding.title));
    }
    if members.len() > NAMED_FINDINGS {
        text.push_str(&format!("\nand {} more findings", members.len() - NAMED_FINDINGS));
    }
    text
}

/// The entities worth a first look, at most ten: those that tie findings together, then those to act on.
pub fn shown_entities(incident: &Incident) -> Vec<&Entity> {
    let ties = |entity: &Entity| incident.chain.iter().filter(|edge| edge.via.contains(entity)).count();
    let act = |entity: &Entity| match entity.kind() {
        EntityKind::Principal => 0,
        EntityKind::Host => 1,
        EntityKind::Credential => 2,
        EntityKind::Ip => 3,
        EntityKind::Domain => 4,
        EntityKind::Resource => 5,
        EntityKind::Account => 6,
        EntityKind::Process => 7,
        EntityKind::Asn => 8,
    };
    let mut shown: Vec<&Entity> = incident.entities.iter().collect();
    shown.sort_by_cached_key(|entity| {
        (std::cmp::Reverse(ties(entity).min(3)), act(entity), (*entity).clone())
    });
    shown.truncate(SHOWN_ENTITIES);
    shown
}
