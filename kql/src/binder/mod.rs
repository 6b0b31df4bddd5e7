//! From the syntax tree to a plan: names, scopes, types.

use std::collections::HashMap;

use datafusion::arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;

use crate::ast::Query;
use crate::catalog::Table;
use crate::diagnostics::Diagnostic;
use crate::engine::{QueryOptions, RenderHint};
use crate::types::Column;

/// What a query became.
pub(crate) struct Bound {
    pub(crate) plan: LogicalPlan,
    pub(crate) columns: Vec<Column>,
    pub(crate) tables: Vec<String>,
    pub(crate) render: Option<RenderHint>,
}

/// What binding has to be told before it can go on.
pub(crate) enum Need {
    Table(String),
    Watchlist(String),
    /// The rows of a plan, to be kept under a key.
    Rows {
        key: String,
        plan: Box<LogicalPlan>,
    },
}

/// Why binding stopped.
pub(crate) enum Stop {
    Fault(Box<Diagnostic>),
    Need(Need),
    Engine(Box<DataFusionError>),
}

/// What binding has been told so far.
pub(crate) struct Answers {
    pub(crate) table_names: Vec<String>,
    pub(crate) tables: HashMap<String, Option<Table>>,
    pub(crate) watchlists: HashMap<String, Option<Table>>,
    pub(crate) rows: HashMap<String, Vec<RecordBatch>>,
}

impl Answers {
    pub(crate) fn new(table_names: Vec<String>) -> Self {
        Answers { table_names, tables: HashMap::new(), watchlists: HashMap::new(), rows: HashMap::new() }
    }
}

/// What surrounds a query.
pub(crate) struct Environment<'a> {
    pub(crate) options: &'a QueryOptions,
    pub(crate) answers: &'a Answers,
}

pub(crate) fn bind(_query: &Query, _environment: &Environment<'_>) -> Result<Bound, Stop> {
    Err(Stop::Fault(Box::new(Diagnostic::new(crate::ast::Span::default(), "queries cannot be bound yet"))))
}
