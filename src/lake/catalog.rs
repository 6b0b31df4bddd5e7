//! The lake as KQL sees it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::Schema;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{ExprFunctionExt, col, lit};
use deltalake_core::DeltaTable;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoArrow;
use provost_kql::{
    Catalog, CatalogError, Column, Engine, KqlType, QueryError, QueryOptions, ResultSet, Table,
};
use provost_model::{ColumnKind, TableSpec, tables};

use super::data_files::data_files;
use super::files::Reading;
use super::open::OpenTable;
use super::rows::{TableRows, WithDictionaries};
use super::{Lake, LakeError, stored_schema};

/// Behind the name of a table that shows only the latest version of each row: all versions.
const HISTORY: &str = "History";

/// The tables of a lake, and watchlists by alias.
#[derive(Debug, Clone)]
pub struct LakeCatalog {
    lake: Arc<Lake>,
    watchlists: Arc<BTreeMap<String, Table>>,
}

impl LakeCatalog {
    /// The catalog of a lake.
    pub fn new(lake: Arc<Lake>, watchlists: BTreeMap<String, Table>) -> Self {
        Self { lake, watchlists: Arc::new(watchlists) }
    }
}

#[async_trait]
impl Catalog for LakeCatalog {
    fn table_names(&self) -> Vec<String> {
        let history = |spec: &TableSpec| spec.latest_by().map(|_| format!("{}{HISTORY}", spec.name()));
        tables()
            .iter()
            .flat_map(|spec| std::iter::once(spec.name().to_owned()).chain(history(spec)))
            .collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Table>, CatalogError> {
        let (spec, all_versions) = match (tables().get(name), name.strip_suffix(HISTORY)) {
            (Some(spec), _) => (spec, false),
            (None, Some(base)) => match tables().get(base).filter(|spec| spec.latest_by().is_some()) {
                Some(spec) => (spec, true),
                None => return Ok(None),
            },
            (None, None) => return Ok(None),
        };
        let provider = match all_versions || spec.latest_by().is_none() {
            true => self.lake.all_rows(spec, true).await,
            false => self.lake.latest_rows(spec).await,
        };
        let provider = provider.map_err(CatalogError::new)?;
        Ok(Some(Table { columns: columns_of(spec), provider }))
    }

    async fn watchlist(&self, alias: &str) -> Result<Option<Table>, CatalogError> {
        Ok(self.watchlists.get(alias).cloned())
    }
}

impl Lake {
    /// All rows of a table at its newest version; no rows where nothing was ever written. Strings may come in
    /// dictionaries where the caller can take them.
    async fn all_rows(
        &self,
        spec: &'static TableSpec,
        dictionaries: bool,
    ) -> Result<Arc<dyn TableProvider>, LakeError> {
        let mut open = self.newest(spec).await?;
        let Some(open) = open.as_mut() else {
            return self.no_rows(spec);
        };
        let rows = self.rows_of(spec, open)?;
        Ok(if dictionaries { Arc::new(WithDictionaries(rows)) } else { rows })
    }

    /// The latest version of each row.
    async fn latest_rows(&self, spec: &'static TableSpec) -> Result<Arc<dyn TableProvider>, LakeError> {
        let mut open = self.newest(spec).await?;
        let (Some(open), Some(key)) = (open.as_mut(), spec.latest_by()) else {
            return self.no_rows(spec);
        };
        if let Some(latest) = &open.latest {
            return Ok(Arc::clone(latest));
        }
        let rows = self.rows_of(spec, open)?;
        let latest = self.latest(spec, key, rows).map_err(|error| self.engine_error(spec, "read", error))?;
        open.latest = Some(Arc::clone(&latest));
        Ok(latest)
    }

    fn no_rows(&self, spec: &'static TableSpec) -> Result<Arc<dyn TableProvider>, LakeError> {
        let empty = MemTable::try_new(stored_schema(spec), vec![Vec::new()]);
        Ok(Arc::new(empty.map_err(|error| self.engine_error(spec, "read", error))?))
    }

    fn rows_of(&self, spec: &'static TableSpec, open: &mut OpenTable) -> Result<Arc<TableRows>, LakeError> {
        if let Some(rows) = &open.rows {
            return Ok(Arc::clone(rows));
        }
        let rows = Arc::new(self.rows(spec, open.table())?);
        open.rows = Some(Arc::clone(&rows));
        Ok(rows)
    }

    /// All rows of a table at its version.
    pub(super) fn rows(&self, spec: &'static TableSpec, table: &DeltaTable) -> Result<TableRows, LakeError> {
        let fail = |error| self.error(spec, "read", error);
        let files = data_files(table).map_err(fail)?;
        let schema = table.snapshot().map_err(fail)?.schema();
        let schema: Schema = schema.as_ref().try_into_arrow().map_err(|error| fail(error.into()))?;
        let reading = Reading::new(table, &schema, &self.session)
            .map_err(|error| self.engine_error(spec, "read", error))?;
        Ok(TableRows::new(files, reading, self.columns.clone()))
    }

    /// A view of a table with the latest version of each row.
    fn latest(
        &self,
        spec: &'static TableSpec,
        key: &str,
        rows: Arc<dyn TableProvider>,
    ) -> datafusion::error::Result<Arc<dyn TableProvider>> {
        let quoted = |name: &str| col(format!("\"{name}\""));
        let mut newest_first = vec![quoted(TableSpec::INGESTED_AT).sort(false, false)];
        if spec.position("Version").is_some() {
            newest_first.insert(0, quoted("Version").sort(false, false));
        }
        newest_first.push(quoted(TableSpec::EVENT_ID).sort(true, true));
        let place = "_Place";
        let numbered =
            row_number().partition_by(vec![quoted(key)]).order_by(newest_first).build()?.alias(place);
        let view = self
            .session
            .read_table(rows)?
            .window(vec![numbered])?
            .filter(quoted(place).eq(lit(1_u64)))?
            .drop_columns(&[format!("\"{place}\"").as_str()])?;
        Ok(view.into_view())
    }
}

impl Lake {
    /// How many rows a table has, all versions counted.
    pub async fn count(&self, spec: &'static TableSpec) -> Result<u64, LakeError> {
        let provider = self.all_rows(spec, false).await?;
        let fail = |error| self.engine_error(spec, "count", error);
        let rows = self.session.read_table(provider).map_err(fail)?.count().await.map_err(fail)?;
        Ok(rows as u64)
    }
}

/// Runs a query that the program itself asks of its own tables.
pub(super) async fn ask(lake: &Arc<Lake>, query: &str) -> Result<ResultSet, QueryError> {
    let catalog = Arc::new(LakeCatalog::new(Arc::clone(lake), BTreeMap::new()));
    let engine =
        Engine::new(provost_kql::EngineOptions { target_partitions: Some(1), ..Default::default() })?;
    engine.prepare(catalog, query, &QueryOptions::default()).await?.collect().await
}

/// The columns of a table as KQL declares them.
pub fn columns_of(spec: &TableSpec) -> Vec<Column> {
    spec.columns()
        .iter()
        .map(|column| Column {
            name: column.name.clone(),
            kind: match column.kind {
                ColumnKind::Bool => KqlType::Bool,
                ColumnKind::Int => KqlType::Int,
                ColumnKind::Long => KqlType::Long,
                ColumnKind::Real => KqlType::Real,
                ColumnKind::String => KqlType::String,
                ColumnKind::Datetime => KqlType::Datetime,
                ColumnKind::Dynamic => KqlType::Dynamic,
            },
            hidden: column.hidden(),
            alias_of: column.alias_of.clone(),
        })
        .collect()
}
