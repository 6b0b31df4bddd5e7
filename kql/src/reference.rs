//! What the language knows here: operators and functions, for documentation and completion.

use crate::aggregates;
use crate::functions;

pub use crate::parser::OPERATORS;
use crate::plugins::PLUGINS;

/// What a function is and does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionInfo {
    /// Its name.
    pub name: &'static str,
    /// Older names that mean the same.
    pub aliases: &'static [&'static str],
    /// Its parameters and result.
    pub signature: &'static str,
    /// What it does.
    pub about: &'static str,
    /// An expression, and the text of its value. An aggregate's is over the numbers 1 to 5 as `x`; a plugin's is a query,
    /// which may be over a table `T`, and the first row that it gives.
    pub example: (&'static str, &'static str),
}

/// The scalar functions by subject.
pub fn scalar_functions() -> Vec<(&'static str, Vec<FunctionInfo>)> {
    functions::subjects()
        .iter()
        .map(|(title, functions)| {
            let functions = functions.iter().map(|function| FunctionInfo {
                name: function.name,
                aliases: function.aliases,
                signature: function.written,
                about: function.about,
                example: function.example,
            });
            (*title, functions.collect())
        })
        .collect()
}

/// The aggregates.
pub fn aggregate_functions() -> Vec<FunctionInfo> {
    aggregates::registry()
        .iter()
        .map(|aggregate| FunctionInfo {
            name: aggregate.name,
            aliases: &[],
            signature: aggregate.written,
            about: aggregate.about,
            example: aggregate.example,
        })
        .collect()
}

/// The plugins that `evaluate` calls.
pub fn plugins() -> &'static [FunctionInfo] {
    PLUGINS
}
