//! From a group of findings to an incident that keeps its id while it grows.

use std::collections::BTreeSet;

use provost_model::{
    Entity, EntityKind, EventId, Family, Finding, Incident, IncidentEdge, Severity, stable_uuid,
};

use super::graph::{Group, Tie};
use super::{Options, score, story};

/// A single finding of high severity opens an incident where its rule is at least this sure.
const SURE: f64 = 0.8;

/// The incident of a group where it is new or has changed, and the incidents that went into it.
pub(super) fn incidents(
    group: &Group,
    findings: &[Finding],
    known: &[Incident],
    options: &Options,
) -> Vec<Incident> {
    let members: Vec<&Finding> = group.findings.iter().map(|&index| &findings[index]).collect();
    let mut before: Vec<&Incident> = group.known.iter().map(|&index| &known[index]).collect();
    before.sort_by_key(|incident| (incident.first_seen, incident.id));
    let Some((&oldest, others)) = before.split_first() else {
        return if opens(&members) { vec![open(group, &members, findings, options)] } else { Vec::new() };
    };
    if others.is_empty() && !grown(oldest, &members) {
        return Vec::new();
    }
    let incident = grow(oldest, others, group, &members, findings, options);
    let gone = others.iter().map(|&other| superseded(other, &incident));
    std::iter::once(incident.clone()).chain(gone).collect()
}

/// Whether the findings say enough to trouble a person.
fn opens(members: &[&Finding]) -> bool {
    let families: BTreeSet<Family> = members.iter().map(|finding| finding.family).collect();
    let sure = |finding: &&Finding| {
        finding.severity == Severity::High && score::confidence(finding).is_some_and(|sure| sure >= SURE)
    };
    families.len() >= 2 || members.iter().any(sure)
}

fn grown(incident: &Incident, members: &[&Finding]) -> bool {
    members.iter().any(|finding| {
        !incident.findings.contains(&finding.id)
            || finding.last_seen > incident.last_seen
            || finding.first_seen < incident.first_seen
            || finding.severity > incident.severity
            || !finding.entities.is_subset(&incident.entities)
    })
}

fn open(group: &Group, members: &[&Finding], findings: &[Finding], options: &Options) -> Incident {
    // The findings of a group are in the order of time, and a group has at least one.
    let oldest = members[0];
    let blank = Incident {
        id: stable_uuid(&["incident", &oldest.id.to_string()]),
        version: 0,
        title: String::new(),
        description: String::new(),
        severity: Severity::Informational,
        score: 0.0,
        families: BTreeSet::new(),
        tactics: BTreeSet::new(),
        techniques: BTreeSet::new(),
        findings: BTreeSet::new(),
        entities: BTreeSet::new(),
        chain: Vec::new(),
        reasons: Vec::new(),
        first_seen: oldest.first_seen,
        last_seen: oldest.last_seen,
        escalate: false,
        triage: Vec::new(),
        next_steps: Vec::new(),
        superseded_by: None,
        action_hash: String::new(),
    };
    grow(&blank, &[], group, members, findings, options)
}

/// The next version: what it was, what went into it, and what the group has now.
fn grow(
    before: &Incident,
    others: &[&Incident],
    group: &Group,
    members: &[&Finding],
    findings: &[Finding],
    options: &Options,
) -> Incident {
    let mut incident = before.clone();
    incident.version += 1;
    for other in others {
        incident.families.extend(&other.families);
        incident.tactics.extend(other.tactics.iter().cloned());
        incident.techniques.extend(other.techniques.iter().cloned());
        incident.findings.extend(&other.findings);
        incident.entities.extend(other.entities.iter().cloned());
        incident.chain.extend(other.chain.iter().cloned());
        incident.first_seen = incident.first_seen.min(other.first_seen);
        incident.last_seen = incident.last_seen.max(other.last_seen);
    }
    for finding in members {
        incident.families.insert(finding.family);
        incident.tactics.extend(finding.tactics.iter().cloned());
        incident.techniques.extend(finding.techniques.iter().cloned());
        incident.findings.insert(finding.id);
        incident.entities.extend(finding.entities.iter().cloned());
        incident.first_seen = incident.first_seen.min(finding.first_seen);
        incident.last_seen = incident.last_seen.max(finding.last_seen);
    }
    incident.chain.extend(group.ties.iter().map(|tie| edge(tie, findings)));
    let (score, mut reasons) = score::score(members, &incident.chain);
    // Findings that have left the days looked at still count for what they counted.
    if score >= before.score {
        incident.score = score;
        if group.cut > 0 {
            reasons.push(format!(
                "{} more ties were cut: an incident holds at most {} findings and {} days, the strongest ties first",
                group.cut,
                options.max_findings,
                options.max_span.num_days()
            ));
        }
        incident.reasons = reasons;
    }
    let gravest = members.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Informational);
    incident.severity = score::severity(incident.score).max(gravest).max(before.severity);
    incident.title = story::title(&incident, members);
    incident.description = story::description(&incident, members);
    incident.action_hash = action_hash(&incident);
    incident
}

fn edge(tie: &Tie, findings: &[Finding]) -> IncidentEdge {
    IncidentEdge {
        from: findings[tie.from].id,
        to: findings[tie.to].id,
        via: tie.via.clone(),
        bridge: tie.bridge.clone(),
        weight: (tie.weight * 1000.0).round() / 1000.0,
        because: tie.because.clone(),
    }
}

fn superseded(incident: &Incident, by: &Incident) -> Incident {
    let mut incident = incident.clone();
    incident.version += 1;
    incident.superseded_by = Some(by.id);
    incident.action_hash = action_hash(&incident);
    incident
}

/// Changes only where an incident changes what to do: how grave it is, whether to escalate, a new kind of signal, a
/// new thing to isolate, revoke or block. Part of it is triage's, which therefore calls this again.
pub fn action_hash(incident: &Incident) -> String {
    let key = |entity: &&Entity| {
        matches!(
            entity.kind(),
            EntityKind::Account
                | EntityKind::Credential
                | EntityKind::Domain
                | EntityKind::Host
                | EntityKind::Ip
                | EntityKind::Principal
        )
    };
    let mut parts = vec![
        incident.severity.name().to_owned(),
        incident.escalate.to_string(),
        incident.superseded_by.map(|id| id.to_string()).unwrap_or_default(),
    ];
    parts.extend(incident.families.iter().map(|family| family.name().to_owned()));
    parts.extend(incident.entities.iter().filter(key).map(Entity::to_string));
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    EventId::of(&parts).as_str().to_owned()
}
