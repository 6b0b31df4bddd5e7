//! KQL on DataFusion: lexer, parser, binder, planner, functions, diagnostics.

mod aggregates;
pub mod ast;
mod binder;
mod catalog;
pub mod completion;
mod diagnostics;
mod dictionary;
mod engine;
mod error;
mod external;
mod format;
mod functions;
mod json;
mod lexer;
mod materialized;
mod memo;
mod parser;
mod pass;
mod patterns;
mod plugins;
mod print;
pub mod reference;
mod scan;
mod sequence;
mod time;
mod types;
mod value;
mod window;
mod zone;

pub use catalog::{Catalog, CatalogError, MemoryCatalog, Table};
pub use diagnostics::{Diagnostic, Diagnostics, Span};
pub use engine::{Engine, EngineOptions, Prepared, QueryOptions, RenderHint, ResultSet};
pub use error::QueryError;
pub use external::{ExternalError, ExternalSource};
pub use format::{export_batch, json_value, text_value};
pub use memo::Memo;
pub use parser::{MAX_DEPTH, MAX_QUERY_BYTES, parse};
pub use print::{FormatError, format_query, print_query};
pub use types::{Column, KqlType, Scalar};

/// The examples of the README, which are tested as the documentation's are.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
