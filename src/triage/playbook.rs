//! Playbooks: the questions of a technique's triage document, each with the KQL that answers it.

use std::collections::BTreeSet;
use std::path::Path;

use provost_model::Family;
use serde::Deserialize;

use crate::correlate::content::{yaml, yaml_files};
use crate::correlate::{ContentError, query, template};

macro_rules! files {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("../../playbooks/", $name)))),*] };
}

const PLAYBOOKS: &[(&str, &str)] = files!("T1583.004.yaml", "T1583.yaml", "T1584.003.yaml", "T1584.yaml");

/// The triage of one technique.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Playbook {
    /// The technique.
    pub technique: String,
    /// Its name.
    pub name: String,
    /// For incidents whose rules name none of the techniques that there are playbooks for.
    pub families: BTreeSet<Family>,
    /// What an analyst asks first.
    pub questions: Vec<Question>,
    /// What makes it a matter for the second tier; one is enough.
    pub criteria: Vec<Question>,
    /// What to do.
    pub steps: Vec<Step>,
}

/// A question, or a criterion that is met where a query has rows.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The name within the playbook.
    pub id: String,
    /// The question as the document puts it.
    pub ask: String,
    /// What answers it. Each query adds its sentence.
    pub queries: Vec<Ask>,
}

/// A query and how to read its answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// KQL over the lake. The incident's entities are `Ips`, `Domains`, `Hosts`, `Principals`, `Names` (principals by
    /// their short names, too), `Accounts`, `Resources`, `Credentials`, `Processes`, `Asns`; its span is `From`, `To`.
    pub query: String,
    /// What rows mean: `{rows}`, `{Column}` of all rows, `{Hosts}` and the other lists are filled in.
    pub some: String,
    /// What no row means.
    pub none: String,
    /// Tables without rows of which there is no answer. By default the query answers as long as one of its tables has
    /// rows.
    #[serde(default)]
    pub requires: Vec<String>,
    /// KQL without rows of which there is no answer: where a table is there, but not the events that the query reads.
    #[serde(default)]
    pub needs: Option<String>,
    /// How many days before the incident the query looks at.
    #[serde(default = "week")]
    pub days_before: u16,
}

fn week() -> u16 {
    7
}

/// Who takes a step, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The first tier, always.
    L1,
    /// The second tier, once the incident is escalated.
    T2,
    /// Containment, once the incident is escalated.
    Contain,
}

/// What to do. It is shown where each list that it names has entries.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Who and when.
    pub stage: Stage,
    /// What, with names to fill in.
    pub text: String,
}

/// The playbooks that ship.
pub fn built_in() -> Result<Vec<Playbook>, ContentError> {
    PLAYBOOKS.iter().map(|(file, text)| playbook(file, text)).collect()
}

/// The playbooks that ship and those of a folder; one there replaces the one of its technique.
pub fn with_folder(folder: &Path) -> Result<Vec<Playbook>, ContentError> {
    let mut playbooks = built_in()?;
    for (file, text) in yaml_files(folder)? {
        let playbook = playbook(&file, &text)?;
        playbooks.retain(|known| known.technique != playbook.technique);
        playbooks.push(playbook);
    }
    Ok(playbooks)
}

fn playbook(file: &str, text: &str) -> Result<Playbook, ContentError> {
    let playbook: Playbook = yaml(file, text)?;
    let lists: Vec<&str> = query::LISTS.iter().map(|&(name, _)| name).collect();
    for step in &playbook.steps {
        if let Some(name) = template::names(&step.text).find(|name| !lists.contains(name)) {
            let problem = format!("'{name}' is no list of entities{}", provost_model::hint(name, lists));
            return Err(ContentError::Wrong { file: file.to_owned(), problem });
        }
    }
    Ok(playbook)
}
