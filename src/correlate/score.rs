//! How much an incident weighs: what doubt is left after each independent kind of signal and each tie between them.

use std::collections::{BTreeMap, BTreeSet};

use provost_model::{Family, Finding, IncidentEdge, Severity};

use super::template::list;

/// How far one more rule of a family that has spoken already lessens the doubt, and how many may.
const FURTHER_RULE: f64 = 0.05;
const FURTHER_RULES: usize = 4;

/// How likely a finding by itself stands for an attack.
pub(super) fn belief(finding: &Finding) -> f64 {
    let by_severity = match finding.severity {
        Severity::Informational => 0.05,
        Severity::Low => 0.15,
        Severity::Medium => 0.3,
        Severity::High => 0.5,
    };
    by_severity * confidence(finding).unwrap_or(1.0)
}

/// The rule's own word for how sure it is, as a share of certainty.
pub(super) fn confidence(finding: &Finding) -> Option<f64> {
    let value = finding.custom_details.get("Confidence")?;
    if let Some(number) = value.as_f64() {
        return Some(if number > 1.0 { number / 100.0 } else { number }.clamp(0.0, 1.0));
    }
    match value.as_str()?.to_lowercase().as_str() {
        "high" => Some(1.0),
        "medium" => Some(0.8),
        "low" => Some(0.5),
        _ => None,
    }
}

/// 0 to 100, and each contribution to it in points and words.
pub(super) fn score(findings: &[&Finding], chain: &[IncidentEdge]) -> (f64, Vec<String>) {
    let mut tally = Tally { doubt: 1.0, reasons: Vec::new() };
    let mut families: BTreeMap<Family, Vec<&Finding>> = BTreeMap::new();
    for &finding in findings {
        families.entry(finding.family).or_default().push(finding);
    }
    let mut families: Vec<(Family, Vec<&Finding>)> = families.into_iter().collect();
    for (_, members) in &mut families {
        members.sort_by(|a, b| belief(b).total_cmp(&belief(a)).then(a.first_seen.cmp(&b.first_seen)));
    }
    families.sort_by(|(_, a), (_, b)| belief(b[0]).total_cmp(&belief(a[0])));
    for (family, members) in &families {
        let strongest = members[0];
        tally.lessen(belief(strongest), &format!("{family}: {} ({})", strongest.title, strongest.severity));
        let others: BTreeSet<&str> = members
            .iter()
            .filter(|other| other.rule_id != strongest.rule_id)
            .map(|other| other.rule_name.as_str())
            .collect();
        if !others.is_empty() {
            let share = 1.0 - (1.0 - FURTHER_RULE).powi(others.len().min(FURTHER_RULES) as i32);
            tally.lessen(share, &format!("{family}: also {}", list(others.into_iter().map(str::to_owned))));
        }
    }
    for ((one, other), edge) in across(findings, chain) {
        tally.lessen(edge.weight / 2.0, &format!("{one} and {other} are tied: {}", edge.because));
    }
    (tally.score(), tally.reasons)
}

/// The strongest edge between each two families, strongest first.
fn across<'a>(findings: &[&Finding], chain: &'a [IncidentEdge]) -> Vec<((Family, Family), &'a IncidentEdge)> {
    let family: BTreeMap<_, _> = findings.iter().map(|finding| (finding.id, finding.family)).collect();
    let mut strongest: BTreeMap<(Family, Family), &IncidentEdge> = BTreeMap::new();
    for edge in chain {
        let (Some(&one), Some(&other)) = (family.get(&edge.from), family.get(&edge.to)) else { continue };
        if one != other {
            let known = strongest.entry((one.min(other), one.max(other))).or_insert(edge);
            if known.weight < edge.weight {
                *known = edge;
            }
        }
    }
    let mut edges: Vec<_> = strongest.into_iter().collect();
    edges.sort_by(|(_, a), (_, b)| b.weight.total_cmp(&a.weight));
    edges
}

struct Tally {
    doubt: f64,
    reasons: Vec<String>,
}

impl Tally {
    fn lessen(&mut self, share: f64, because: &str) {
        let before = self.score();
        self.doubt *= 1.0 - share.clamp(0.0, 1.0);
        self.reasons.push(format!("+{:.1} {because}", self.score() - before));
    }

    /// To one decimal, so that the points shown add up.
    fn score(&self) -> f64 {
        (1000.0 * (1.0 - self.doubt)).round() / 10.0
    }
}

/// How grave a score is.
pub(super) fn severity(score: f64) -> Severity {
    match score {
        s if s >= 75.0 => Severity::High,
        s if s >= 50.0 => Severity::Medium,
        s if s >= 25.0 => Severity::Low,
        _ => Severity::Informational,
    }
}
