//! Why a query gave no answer.

use std::path::PathBuf;
use std::time::Duration;

use datafusion::error::DataFusionError;

use crate::catalog::CatalogError;
use crate::diagnostics::Diagnostics;

/// Why a query gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The text is not KQL.
    #[error("{0}")]
    Syntax(Diagnostics),
    /// The text is KQL, but a name, a type or an argument in it is wrong.
    #[error("{0}")]
    Bind(Diagnostics),
    /// A table could not be opened.
    #[error("cannot open table `{table}`: {cause}")]
    Catalog {
        /// The table's name.
        table: String,
        /// Why.
        cause: CatalogError,
    },
    /// The engine's GeoIP database cannot be used.
    #[error("cannot read the GeoIP database {}: {cause}", path.display())]
    GeoIp {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The time limit of the query passed.
    #[error("the query took longer than its limit of {0:?}")]
    TimeLimit(Duration),
    /// The query needs more memory than the engine may use, and could not spill.
    #[error("the query needs more memory than the limit allows: {0}")]
    MemoryLimit(String),
    /// The engine failed while the query ran.
    #[error("the query failed: {0}")]
    Execution(String),
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        if let DataFusionError::External(inner) = error.find_root()
            && let Some(QueryError::TimeLimit(limit)) = inner.downcast_ref::<QueryError>()
        {
            return QueryError::TimeLimit(*limit);
        }
        match error.find_root() {
            DataFusionError::ResourcesExhausted(message) => QueryError::MemoryLimit(message.clone()),
            DataFusionError::Execution(message) => QueryError::Execution(message.clone()),
            root => QueryError::Execution(root.to_string()),
        }
    }
}
