//! What the names in a query stand for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;

use crate::format::arrays_from_json;
use crate::types::Column;

/// What a table's name in a query stands for.
///
/// `columns` is the declared schema. A declared column that the provider lacks reads as null of its type (`""` for a
/// string); a column with [`Column::alias_of`] reads another one; a [`Column::hidden`] column resolves by name, but is
/// not part of the table's implicit output.
#[derive(Debug, Clone)]
pub struct Table {
    /// The declared columns, in order.
    pub columns: Vec<Column>,
    /// Where the rows come from. Its scans may give dictionaries of strings (`Dictionary(Int32, Utf8)`) where its schema
    /// has strings: filters and functions then look at each value of a dictionary once.
    pub provider: Arc<dyn TableProvider>,
}

/// Why a catalog could not answer.
#[derive(Debug)]
pub struct CatalogError(pub Box<dyn std::error::Error + Send + Sync>);

impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for CatalogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl CatalogError {
    /// Wraps any error, or a message.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        CatalogError(cause.into())
    }
}

/// Resolves the tables and watchlists that a query names.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// The names of all tables: for wildcards in `union`, for `search *`, and for "did you mean".
    fn table_names(&self) -> Vec<String>;

    /// The table of that name, or `None` where there is none.
    async fn table(&self, name: &str) -> Result<Option<Table>, CatalogError>;

    /// The watchlist of that alias, for `_GetWatchlist('alias')`.
    async fn watchlist(&self, alias: &str) -> Result<Option<Table>, CatalogError>;
}

/// A catalog of tables in memory: for tests, and for embedding.
#[derive(Debug, Default, Clone)]
pub struct MemoryCatalog {
    tables: BTreeMap<String, Table>,
    watchlists: BTreeMap<String, Table>,
}

impl MemoryCatalog {
    /// An empty catalog.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a table that any provider serves.
    pub fn add(&mut self, name: impl Into<String>, table: Table) {
        self.tables.insert(name.into(), table);
    }

    /// Adds a watchlist that any provider serves.
    pub fn add_watchlist(&mut self, alias: impl Into<String>, table: Table) {
        self.watchlists.insert(alias.into(), table);
    }

    /// Adds a table of record batches, which must share one schema.
    pub fn add_batches(
        &mut self,
        name: impl Into<String>,
        columns: Vec<Column>,
        batches: Vec<RecordBatch>,
    ) -> Result<(), CatalogError> {
        self.add(name, memory_table(columns, batches)?);
        Ok(())
    }

    /// Adds a table of JSON objects, one a row. A key that no column names is left out.
    pub fn add_json(
        &mut self,
        name: impl Into<String>,
        columns: Vec<Column>,
        rows: &[serde_json::Value],
    ) -> Result<(), CatalogError> {
        let batch = arrays_from_json(&columns, rows).map_err(CatalogError::new)?;
        self.add_batches(name, columns, vec![batch])
    }

    /// Adds a watchlist of JSON objects, one a row.
    pub fn add_watchlist_json(
        &mut self,
        alias: impl Into<String>,
        columns: Vec<Column>,
        rows: &[serde_json::Value],
    ) -> Result<(), CatalogError> {
        let batch = arrays_from_json(&columns, rows).map_err(CatalogError::new)?;
        let table = memory_table(columns, vec![batch])?;
        self.add_watchlist(alias, table);
        Ok(())
    }
}

fn memory_table(columns: Vec<Column>, batches: Vec<RecordBatch>) -> Result<Table, CatalogError> {
    let schema = match batches.first() {
        Some(batch) => batch.schema(),
        None => arrays_from_json(&columns, &[]).map_err(CatalogError::new)?.schema(),
    };
    let provider = MemTable::try_new(schema, vec![batches]).map_err(CatalogError::new)?;
    Ok(Table { columns, provider: Arc::new(provider) })
}

#[async_trait]
impl Catalog for MemoryCatalog {
    fn table_names(&self) -> Vec<String> {
        self.tables.keys().cloned().collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Table>, CatalogError> {
        Ok(self.tables.get(name).cloned())
    }

    async fn watchlist(&self, alias: &str) -> Result<Option<Table>, CatalogError> {
        let found = self.watchlists.iter().find(|(name, _)| name.eq_ignore_ascii_case(alias));
        Ok(found.map(|(_, table)| table.clone()))
    }
}
