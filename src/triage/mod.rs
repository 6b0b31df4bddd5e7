//! The analyst's first questions, answered from the lake. A log source that is not there is said to be missing; its
//! silence is never taken for a no.

mod functions;
mod playbook;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use provost_kql::{Catalog, Engine, Memo, QueryOptions, Scalar};
use provost_model::{Entity, EntityKind, Incident, TriageAnswer};
use serde_json::Value;

pub use functions::with_functions;
pub use playbook::{Ask, Playbook, Question, Stage, Step, built_in, with_folder};

use crate::correlate::{action_hash, query, template};

/// What triage may use.
#[derive(Debug, Clone)]
pub struct Options {
    /// The run's one `now()`.
    pub now: DateTime<Utc>,
    /// How long after the incident's last evidence the queries look.
    pub after: TimeDelta,
    /// How many rows of an answer are kept as evidence.
    pub evidence: usize,
    /// The most rows of one query.
    pub row_limit: usize,
    /// The longest one query may take.
    pub time_limit: Duration,
}

impl Options {
    /// The defaults, at a moment.
    pub fn at(now: DateTime<Utc>) -> Self {
        Self {
            now,
            after: TimeDelta::days(1),
            evidence: 5,
            row_limit: 1_000,
            time_limit: Duration::from_secs(60),
        }
    }
}

/// Answers the questions of the playbooks that apply, says which criteria for escalation are met, and lists the next
/// steps with the names filled in. An incident that went into another one keeps its last answers.
pub async fn triage(
    engine: &Engine,
    catalog: &Arc<dyn Catalog>,
    incident: &mut Incident,
    playbooks: &[Playbook],
    options: &Options,
) {
    if incident.superseded_by.is_some() {
        return;
    }
    let mut desk =
        Desk { engine, catalog, incident, options, memo: Memo::default(), present: HashMap::new() };
    let applying = applying(incident, playbooks);
    let mut answers = Vec::new();
    for playbook in &applying {
        for question in &playbook.questions {
            answers.push(desk.answer(playbook, question, false).await);
        }
        for criterion in &playbook.criteria {
            answers.push(desk.answer(playbook, criterion, true).await);
        }
    }
    incident.escalate = answers.iter().any(|answer| answer.met == Some(true));
    incident.triage = answers;
    incident.next_steps = steps(incident, &applying);
    incident.action_hash = action_hash(incident);
}

/// The playbooks of the incident's techniques, sub-techniques and their parents included; where its rules name none of
/// them, those of its families.
fn applying<'a>(incident: &Incident, playbooks: &'a [Playbook]) -> Vec<&'a Playbook> {
    let parent = |technique: &'_ str| technique.split('.').next().unwrap_or_default().to_owned();
    let techniques: BTreeSet<String> =
        incident.techniques.iter().map(|technique| parent(technique)).collect();
    let by_technique: Vec<&Playbook> =
        playbooks.iter().filter(|playbook| techniques.contains(&parent(&playbook.technique))).collect();
    if !by_technique.is_empty() {
        return by_technique;
    }
    playbooks.iter().filter(|playbook| !playbook.families.is_disjoint(&incident.families)).collect()
}

fn steps(incident: &Incident, playbooks: &[&Playbook]) -> Vec<String> {
    let lists = lists(incident);
    let wanted = |step: &&Step| {
        (step.stage == Stage::L1 || incident.escalate)
            && template::names(&step.text).all(|name| lists.get(name).is_some_and(|list| !list.is_empty()))
    };
    let mut steps: Vec<&Step> =
        playbooks.iter().flat_map(|playbook| &playbook.steps).filter(wanted).collect();
    steps.sort_by_key(|step| step.stage);
    let mut texts: Vec<String> = Vec::new();
    for step in steps {
        let stage = match step.stage {
            Stage::L1 => "L1",
            Stage::T2 => "T2",
            Stage::Contain => "Contain",
        };
        let text = template::fill(&step.text, |name| lists.get(name).cloned());
        let text = format!("{stage}: {text}");
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts
}

/// The incident's entities by kind, for sentences.
fn lists(incident: &Incident) -> HashMap<&'static str, String> {
    let of = |kind| incident.entities.iter().filter(move |entity| entity.kind() == kind);
    query::LISTS
        .iter()
        .map(|&(name, kind)| (name, template::list(of(kind).map(|entity| entity.value().to_owned()))))
        .collect()
}

/// What one query had to say.
enum Said {
    Rows { text: String, rows: Vec<query::Row>, cut: bool },
    Nothing { text: String },
    CannotSay { reason: String },
}

/// Where the questions of one incident are answered.
struct Desk<'a> {
    engine: &'a Engine,
    catalog: &'a Arc<dyn Catalog>,
    incident: &'a Incident,
    options: &'a Options,
    memo: Memo,
    /// Whether a table has rows in the days looked at.
    present: HashMap<(String, u16), bool>,
}

impl Desk<'_> {
    async fn answer(&mut self, playbook: &Playbook, question: &Question, criterion: bool) -> TriageAnswer {
        // What was found comes first, what was not next, what could not be asked last.
        let (mut found_some, mut found_none, mut unanswered) = (Vec::new(), Vec::new(), Vec::new());
        let mut evidence = Vec::new();
        let mut rows = 0;
        for ask in &question.queries {
            match self.ask(ask).await {
                Said::Rows { text, rows: found, cut } => {
                    rows += found.len();
                    found_some.push(if cut { format!("{text} (and more)") } else { text });
                    evidence.extend(found.into_iter().take(self.options.evidence));
                }
                Said::Nothing { text } => found_none.push(text),
                Said::CannotSay { reason } => unanswered.push(reason),
            }
        }
        // A criterion that no query could decide is neither met nor unmet.
        let decided = rows > 0 || !found_none.is_empty();
        TriageAnswer {
            playbook: playbook.technique.clone(),
            question: question.ask.clone(),
            answer: [found_some, found_none, unanswered].concat().join(" "),
            met: (criterion && decided).then_some(rows > 0),
            rows,
            evidence,
        }
    }

    async fn ask(&mut self, ask: &Ask) -> Said {
        let options = self.query_options(ask.days_before);
        let cannot = |reason: String| Said::CannotSay { reason: format!("Cannot be answered: {reason}.") };
        let text = functions::with_functions(&ask.query);
        let prepared = match self.engine.prepare(Arc::clone(self.catalog), &text, &options).await {
            Ok(prepared) => prepared,
            Err(error) => return cannot(error.to_string()),
        };
        let tables = prepared.tables().to_vec();
        let mut missing = Vec::new();
        for table in &tables {
            if !self.present(table, ask.days_before, &options).await {
                missing.push(table.clone());
            }
        }
        let vital = ask.requires.iter().any(|table| missing.contains(table));
        if vital || (!tables.is_empty() && missing.len() == tables.len()) {
            let without = if vital { &ask.requires } else { &missing };
            return cannot(format!("the lake has no rows of {} for these days", without.join(", ")));
        }
        if let Some(needs) = &ask.needs {
            match query::rows(self.engine, self.catalog, needs, &options).await {
                Ok(answer) if answer.rows.is_empty() => {
                    let tables = tables.join(", ");
                    return cannot(format!(
                        "{tables} has no events of the kind that would tell for these days"
                    ));
                }
                Ok(_) => {}
                Err(problem) => return cannot(problem),
            }
        }
        let answer = match query::answer(prepared, &options).await {
            Ok(answer) => answer,
            Err(problem) => return cannot(problem),
        };
        let caveat = match missing.is_empty() {
            true => String::new(),
            false => format!(" ({} could not be asked: no rows for these days.)", missing.join(", ")),
        };
        let lists = lists(self.incident);
        let fill = |text: &str| {
            let filled = template::fill(text, |name| match name {
                "rows" => Some(answer.rows.len().to_string()),
                _ if lists.contains_key(name) => lists.get(name).cloned(),
                _ => Some(template::list(
                    answer.rows.iter().filter_map(|row| row.get(name)).map(template::plain),
                )),
            });
            filled + &caveat
        };
        if answer.rows.is_empty() {
            return Said::Nothing { text: fill(&ask.none) };
        }
        Said::Rows { text: fill(&ask.some), rows: answer.rows, cut: answer.cut }
    }

    fn query_options(&self, days_before: u16) -> QueryOptions {
        let (from, to) = (self.incident.first_seen, self.incident.last_seen);
        let mut scalars = query::scalars(&self.incident.entities, from, to);
        let strings =
            |values: BTreeSet<String>| Scalar::Dynamic(values.into_iter().map(Value::from).collect());
        scalars.insert("Names".to_owned(), strings(principal_names(&self.incident.entities)));
        let families = self.incident.families.iter().map(|family| family.name().to_owned()).collect();
        scalars.insert("Families".to_owned(), strings(families));
        let findings = self.incident.findings.iter().map(ToString::to_string).collect();
        scalars.insert("FindingIds".to_owned(), strings(findings));
        QueryOptions {
            now: self.options.now,
            time_range: Some((from - TimeDelta::days(i64::from(days_before)), to + self.options.after)),
            scalars,
            row_limit: Some(self.options.row_limit),
            time_limit: Some(self.options.time_limit),
            partitions: Some(1),
            memo: Some(self.memo.clone()),
        }
    }

    async fn present(&mut self, table: &str, days_before: u16, options: &QueryOptions) -> bool {
        let key = (table.to_owned(), days_before);
        if let Some(&present) = self.present.get(&key) {
            return present;
        }
        let text = format!("['{table}'] | take 1");
        let present = query::rows(self.engine, self.catalog, &text, options)
            .await
            .is_ok_and(|answer| !answer.rows.is_empty());
        self.present.insert(key, present);
        present
    }
}

/// Principals under the names that other logs know them by: the end of an ARN is a user or a session.
fn principal_names(entities: &BTreeSet<Entity>) -> BTreeSet<String> {
    let principals = entities.iter().filter(|entity| entity.kind() == EntityKind::Principal);
    principals
        .flat_map(|entity| {
            let end = entity.value().rsplit('/').next().unwrap_or_default();
            [entity.value().to_owned(), end.to_owned()]
        })
        .collect()
}
