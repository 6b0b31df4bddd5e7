//! Public corpora, where they are at hand: the documentation's examples, and rules that people run.

mod support;

#[path = "corpus/docs.rs"]
mod docs;
#[path = "corpus/mutations.rs"]
mod mutations;
#[path = "corpus/oracle.rs"]
mod oracle;
#[path = "corpus/rules.rs"]
mod rules;
