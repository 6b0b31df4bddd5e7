//! Detection: rule files in, findings out.
//!
//! A rule file has the format of the public Sentinel repository, so a user drops a rule in and it runs; what is ours
//! stands under its key `provost:`. [`load_rules`] reads a folder, [`check`] says what can be run, [`run_tests`] runs
//! the tests that the files carry, and [`evaluate`] (or, step by step, [`Evaluator`]) turns rows into findings: one
//! fact, one finding, the same on every run.

mod bare_query;
mod check;
mod custom_detection;
mod entities;
mod evaluate;
mod finding;
mod format;
mod load;
mod parse;
mod rule;
mod sample;
mod span;
mod steps;
mod watchlist;
mod yaml;

pub use check::{CheckStatus, RuleCheck, TestResult, check, run_tests};
pub use evaluate::{Evaluator, FindingsInMemory, KnownFindings, Limits, RuleOutcome, RuleStatus, evaluate};
pub use finding::{MOST_ENTITIES, MOST_EVIDENCE};
pub use format::{Formatting, format_file};
pub use load::{RuleFile, load_rules, rule_paths};
pub use parse::ParsedRule;
pub use rule::{
    AlertDetails, DataConnector, EntityMapping, Parameter, Rule, RuleKind, RunsWhere, Trigger,
    TriggerOperator,
};
pub use sample::{Expectation, RuleTest, SampleRow};
pub use steps::{Step, steps_due, steps_touched};
pub use watchlist::{Watchlist, WatchlistError, Watchlists};
pub use yaml::Problem;
