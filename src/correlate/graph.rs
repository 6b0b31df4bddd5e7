//! Findings as nodes, ties between them as edges, and the groups of findings that the strong ties hold together.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use provost_model::{Entity, Finding, Incident};

use super::Options;
use super::bridge::Link;
use super::rarity::Rarities;

/// An entity that very many findings share would tie each to each. A finding is compared with this many of the next
/// ones in time; those tie on to the ones after them.
const NEIGHBOURS: usize = 32;

/// What ties two findings.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tie {
    /// The index of the finding that came first.
    pub(super) from: usize,
    /// The index of the other.
    pub(super) to: usize,
    /// The shared entity, or the two that a bridge joins.
    pub(super) via: Vec<Entity>,
    /// The bridge.
    pub(super) bridge: Option<String>,
    /// Between 0 and 1.
    pub(super) weight: f64,
    /// In words.
    pub(super) because: String,
}

/// Findings, and incidents known already, that belong together.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Indices of findings, by time.
    pub(super) findings: Vec<usize>,
    /// Indices of known incidents.
    pub(super) known: Vec<usize>,
    /// The ties that hold the group together.
    pub(super) ties: Vec<Tie>,
    /// How many further ties were cut because the group would have grown past its limits.
    pub(super) cut: usize,
}

/// The strongest tie of each pair of findings that has one above the bar.
pub(super) fn ties(findings: &[Finding], links: &[Link], rarities: &Rarities, options: &Options) -> Vec<Tie> {
    let mut by_entity: BTreeMap<&Entity, Vec<usize>> = BTreeMap::new();
    for (index, finding) in findings.iter().enumerate() {
        for entity in &finding.entities {
            by_entity.entry(entity).or_default().push(index);
        }
    }
    for indices in by_entity.values_mut() {
        indices.sort_by_key(|&index| (findings[index].first_seen, findings[index].id));
    }
    let mut strongest = Strongest { findings, options, ties: HashMap::new() };
    for (&entity, indices) in &by_entity {
        let rarity = rarities.of(entity);
        for (position, &earlier) in indices.iter().enumerate() {
            for &later in indices[position + 1..].iter().take(NEIGHBOURS) {
                strongest.offer(earlier, later, rarity.weight, || {
                    (vec![entity.clone()], None, format!("both name {entity} ({})", rarity.because))
                });
            }
        }
    }
    for link in links {
        let (Some(from), Some(to)) = (by_entity.get(&link.from), by_entity.get(&link.to)) else { continue };
        let strength = link.strength(rarities);
        for &one in from {
            let near = to.iter().filter(|&&other| {
                link.near(&findings[one])
                    && link.near(&findings[other])
                    && gap(&findings[one], &findings[other]) <= options.window
            });
            for &other in near.take(NEIGHBOURS) {
                strongest.offer(one, other, strength, || {
                    let via = vec![link.from.clone(), link.to.clone()];
                    (via, Some(link.bridge.clone()), link.because.clone())
                });
            }
        }
    }
    strongest.ties.into_values().collect()
}

struct Strongest<'a> {
    findings: &'a [Finding],
    options: &'a Options,
    ties: HashMap<(usize, usize), Tie>,
}

impl Strongest<'_> {
    fn offer(
        &mut self,
        one: usize,
        other: usize,
        weight: f64,
        describe: impl FnOnce() -> (Vec<Entity>, Option<String>, String),
    ) {
        if one == other {
            return;
        }
        let (first, second) = (&self.findings[one], &self.findings[other]);
        let gap = gap(first, second);
        let weight = weight * decay(gap, self.options.window);
        if gap > self.options.window || weight < self.options.bar {
            return;
        }
        let turned = (second.first_seen, second.id) < (first.first_seen, first.id);
        let (from, to) = if turned { (other, one) } else { (one, other) };
        let better = self.ties.get(&(from, to)).is_none_or(|known| known.weight < weight);
        if better {
            let (via, bridge, because) = describe();
            self.ties.insert((from, to), Tie { from, to, via, bridge, weight, because });
        }
    }
}

/// The time between the end of the one and the beginning of the other; none where they overlap.
pub(super) fn gap(one: &Finding, other: &Finding) -> TimeDelta {
    (other.first_seen - one.last_seen).max(one.first_seen - other.last_seen).max(TimeDelta::zero())
}

/// A tie weighs half at the end of the window.
fn decay(gap: TimeDelta, window: TimeDelta) -> f64 {
    if window <= TimeDelta::zero() {
        return 1.0;
    }
    0.5_f64.powf(gap.num_seconds() as f64 / window.num_seconds() as f64)
}

/// The groups that the ties make, the strongest tie first; a tie that would make a group larger or longer than the
/// limits is cut, so that a giant falls apart at its weakest places. What is one incident already stays one.
pub(super) fn groups(
    findings: &[Finding],
    known: &[Incident],
    mut ties: Vec<Tie>,
    options: &Options,
) -> Vec<Group> {
    let mut forest = Forest::new(findings, known);
    for (index, incident) in known.iter().enumerate() {
        for (finding, _) in findings.iter().enumerate().filter(|(_, f)| incident.findings.contains(&f.id)) {
            forest.join(finding, findings.len() + index);
        }
    }
    let across = |tie: &Tie| findings[tie.from].family != findings[tie.to].family;
    ties.sort_by(|a, b| {
        b.weight
            .total_cmp(&a.weight)
            .then(across(b).cmp(&across(a)))
            .then(findings[a.from].id.cmp(&findings[b.from].id))
            .then(findings[a.to].id.cmp(&findings[b.to].id))
    });
    let mut held = Vec::new();
    let mut cut = Vec::new();
    for tie in ties {
        let (one, other) = (forest.root(tie.from), forest.root(tie.to));
        if one == other {
            continue;
        }
        let (size, span) = forest.together(one, other);
        if size > options.max_findings || span > options.max_span {
            cut.push(tie);
        } else {
            forest.join(one, other);
            held.push(tie);
        }
    }
    let mut groups: BTreeMap<usize, Group> = BTreeMap::new();
    for index in 0..findings.len() {
        groups.entry(forest.root(index)).or_default().findings.push(index);
    }
    for index in 0..known.len() {
        groups.entry(forest.root(findings.len() + index)).or_default().known.push(index);
    }
    for tie in held {
        groups.entry(forest.root(tie.from)).or_default().ties.push(tie);
    }
    for tie in cut {
        let (one, other) = (forest.root(tie.from), forest.root(tie.to));
        for root in [one, other] {
            if one != other {
                groups.entry(root).or_default().cut += 1;
            }
        }
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    for group in &mut groups {
        group.findings.sort_by_key(|&index| (findings[index].first_seen, findings[index].id));
    }
    groups
}

/// Disjoint sets of findings and known incidents, each with its size and its span of time.
struct Forest {
    parent: Vec<usize>,
    size: Vec<usize>,
    span: Vec<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Forest {
    fn new(findings: &[Finding], known: &[Incident]) -> Self {
        let present: std::collections::HashSet<_> = findings.iter().map(|finding| finding.id).collect();
        let gone = |incident: &Incident| incident.findings.iter().filter(|id| !present.contains(id)).count();
        let spans = findings.iter().map(|finding| (finding.first_seen, finding.last_seen));
        Self {
            parent: (0..findings.len() + known.len()).collect(),
            size: findings.iter().map(|_| 1).chain(known.iter().map(gone)).collect(),
            span: spans.chain(known.iter().map(|known| (known.first_seen, known.last_seen))).collect(),
        }
    }

    fn root(&mut self, node: usize) -> usize {
        let mut root = node;
        while self.parent[root] != root {
            root = self.parent[root];
        }
        let mut step = node;
        while self.parent[step] != root {
            step = std::mem::replace(&mut self.parent[step], root);
        }
        root
    }

    fn together(&self, one: usize, other: usize) -> (usize, TimeDelta) {
        let (from, to) = self.joined_span(one, other);
        (self.size[one] + self.size[other], to - from)
    }

    fn joined_span(&self, one: usize, other: usize) -> (DateTime<Utc>, DateTime<Utc>) {
        let ((from, to), (other_from, other_to)) = (self.span[one], self.span[other]);
        (from.min(other_from), to.max(other_to))
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        if one != other {
            self.span[one] = self.joined_span(one, other);
            self.size[one] += self.size[other];
            self.parent[other] = one;
        }
    }
}
