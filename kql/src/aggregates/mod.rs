//! Aggregates.

mod best;
mod codec;
mod collect;
mod digest;
mod distinct;
pub(crate) mod grouped;
mod registry;
mod shape;
mod sketch;
mod statistics;

pub(crate) use best::{best, field_name};
pub(crate) use digest::Digest;
pub(crate) use grouped::reads_dictionaries;
pub(crate) use registry::{Aggregate, Aggregated, Arguments, Naming, lookup, names, no_arguments, registry};
pub(crate) use shape::{Keys, Series};
pub(crate) use sketch::{Hll, Sketch};
