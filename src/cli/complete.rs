//! Completion at the prompt: tables, operators, functions, and the columns that are in scope where the cursor stands.

use std::borrow::Cow;

use chrono::Utc;
use provost_kql::completion::{Place, cursor};
use provost_kql::{QueryOptions, reference};
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use tokio::runtime::Handle;

use crate::pipeline::Pipeline;

/// Words that stand in an expression and are no functions.
const WORDS: [&str; 14] = [
    "and",
    "asc",
    "between",
    "by",
    "contains",
    "desc",
    "has",
    "has_any",
    "in",
    "matches",
    "not",
    "on",
    "or",
    "startswith",
];
/// First words of a statement that are no tables.
const BEGINNINGS: [&str; 6] = ["datatable", "find", "let", "print", "range", "union"];

/// Knows the lake and what was typed so far.
pub(super) struct PromptHelper {
    pipeline: Pipeline,
    options: QueryOptions,
    runtime: Handle,
    functions: Vec<&'static str>,
    /// The lines of the query before the one that is being typed.
    pub(super) earlier: String,
}

impl PromptHelper {
    pub(super) fn new(pipeline: Pipeline, options: QueryOptions) -> Self {
        let scalar = reference::scalar_functions();
        let scalar = scalar.iter().flat_map(|(_, functions)| functions.iter().map(|function| function.name));
        let mut functions: Vec<&'static str> = scalar.collect();
        functions.extend(reference::aggregate_functions().iter().map(|function| function.name));
        functions.extend(reference::plugins().iter().map(|plugin| plugin.name));
        functions.sort_unstable();
        functions.dedup();
        Self { pipeline, options, runtime: Handle::current(), functions, earlier: String::new() }
    }

    /// The columns of a query's result; none where it cannot be bound.
    fn columns(&self, query: &str) -> Vec<String> {
        let options = QueryOptions { now: Utc::now(), ..self.options.clone() };
        let work = self.pipeline.engine().prepare(self.pipeline.catalog(), query, &options);
        // The prompt waits for a key here, outside of the runtime's own work.
        let prepared = tokio::task::block_in_place(|| self.runtime.block_on(work));
        let columns = prepared.map(|prepared| prepared.columns().to_vec()).unwrap_or_default();
        columns.into_iter().map(|column| column.name).collect()
    }

    /// What may stand at a place.
    fn offers(&self, place: Place) -> Vec<String> {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        match place {
            Place::Nothing => Vec::new(),
            Place::Operator => owned(reference::OPERATORS),
            Place::Source => {
                let mut offers = self.pipeline.catalog().table_names();
                offers.extend(owned(&BEGINNINGS));
                offers
            }
            Place::Expression { input } => {
                let mut offers = if input.is_empty() { Vec::new() } else { self.columns(&input) };
                offers.extend(owned(&WORDS));
                offers.extend(self.functions.iter().map(|name| format!("{name}(")));
                offers
            }
        }
    }
}

impl Completer for PromptHelper {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = line.get(..at).unwrap_or(line);
        let text = format!("{}{typed}", self.earlier);
        let cursor = cursor(&text);
        let word = text.get(cursor.word..).unwrap_or_default();
        let start = at.saturating_sub(word.len());
        let word = word.to_lowercase();
        let mut offers = self.offers(cursor.place);
        offers.retain(|offer| offer.to_lowercase().starts_with(&word));
        let pairs = offers.into_iter().map(|offer| Pair { display: offer.clone(), replacement: offer });
        Ok((start, pairs.collect()))
    }
}

impl Hinter for PromptHelper {
    type Hint = String;
}

impl Highlighter for PromptHelper {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        Cow::Borrowed(line)
    }
}

impl Validator for PromptHelper {}
impl Helper for PromptHelper {}
