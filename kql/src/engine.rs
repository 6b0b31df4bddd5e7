//! Running a query: parse, bind, plan, execute.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use chrono::{DateTime, Utc};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::{Stream, StreamExt};

use crate::binder::{self, Answers, Environment, Need, Stop};
use crate::catalog::Catalog;
use crate::diagnostics::Diagnostics;
use crate::error::QueryError;
use crate::format::json_value;
use crate::types::{Column, KqlType, Scalar};

/// What an engine may use.
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    /// The bytes that all its queries together may hold; past them they spill, and where they cannot, they fail.
    pub memory_limit: Option<usize>,
    /// Where to spill; a temporary directory otherwise.
    pub spill_dir: Option<PathBuf>,
    /// Parts worked on at once; as many as there are processors otherwise.
    pub target_partitions: Option<usize>,
}

/// What a query is given beside its text.
#[derive(Debug, Clone)]
pub struct QueryOptions {
    /// What `now()` says throughout the query.
    pub now: DateTime<Utc>,
    /// Only rows whose `TimeGenerated` lies in `[from, to)`, in every table the query reads.
    pub time_range: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Constants in scope as if by `let`; the query's own `let` of the same name wins.
    pub scalars: BTreeMap<String, Scalar>,
    /// The most rows the result may have; further ones are cut off.
    pub row_limit: Option<usize>,
    /// The longest it may run.
    pub time_limit: Option<Duration>,
}

impl Default for QueryOptions {
    fn default() -> Self {
        QueryOptions {
            now: Utc::now(),
            time_range: None,
            scalars: BTreeMap::new(),
            row_limit: None,
            time_limit: None,
        }
    }
}

/// What `render` asks of whoever shows the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderHint {
    /// `timechart`, `barchart`, `piechart`, `table` …
    pub kind: String,
    /// The settings after `with`, each as text.
    pub properties: BTreeMap<String, String>,
}

/// Runs queries; cheap to clone, and safe to share between threads.
#[derive(Clone)]
pub struct Engine {
    runtime: Arc<RuntimeEnv>,
    target_partitions: Option<usize>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("target_partitions", &self.target_partitions).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine within the given bounds.
    pub fn new(options: EngineOptions) -> Result<Self, QueryError> {
        let mut runtime = RuntimeEnvBuilder::new();
        if let Some(limit) = options.memory_limit {
            runtime = runtime.with_memory_pool(Arc::new(FairSpillPool::new(limit)));
        }
        if let Some(dir) = options.spill_dir {
            runtime = runtime.with_temp_file_path(dir);
        }
        Ok(Engine { runtime: runtime.build_arc()?, target_partitions: options.target_partitions })
    }

    fn session(&self) -> SessionContext {
        let mut config = SessionConfig::new();
        if let Some(partitions) = self.target_partitions {
            config = config.with_target_partitions(partitions.max(1));
        }
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(Arc::clone(&self.runtime))
            .with_default_features()
            .build();
        SessionContext::new_with_state(state)
    }

    /// Reads and binds a query: afterwards every name and type in it is known, and it is ready to run.
    ///
    /// What the shape of the result hangs on is run here already: `toscalar()`, and the plugins whose columns come from
    /// the data.
    pub async fn prepare(
        &self,
        catalog: Arc<dyn Catalog>,
        query: &str,
        options: &QueryOptions,
    ) -> Result<Prepared, QueryError> {
        let deadline = options.time_limit.map(|limit| (tokio::time::Instant::now() + limit, limit));
        let work = self.bind(catalog, query, options);
        let (session, bound) = match deadline {
            Some((deadline, limit)) => {
                tokio::time::timeout_at(deadline, work).await.map_err(|_| QueryError::TimeLimit(limit))??
            }
            None => work.await?,
        };
        Ok(Prepared { session, bound, row_limit: options.row_limit, deadline })
    }

    async fn bind(
        &self,
        catalog: Arc<dyn Catalog>,
        query: &str,
        options: &QueryOptions,
    ) -> Result<(SessionContext, binder::Bound), QueryError> {
        let parsed = crate::parser::parse(query).map_err(QueryError::Syntax)?;
        let session = self.session();
        let mut answers = Answers::new(catalog.table_names());
        // Binding knows nothing of waiting: what it lacks it asks for, and begins anew when it is there.
        for _ in 0..MAX_QUESTIONS {
            let environment = Environment { options, answers: &answers };
            match binder::bind(&parsed, &environment) {
                Ok(bound) => return Ok((session, bound)),
                Err(Stop::Fault(fault)) => {
                    return Err(QueryError::Bind(Diagnostics::new(query, vec![*fault])));
                }
                Err(Stop::Need(Need::Table(name))) => {
                    let found = catalog.table(&name).await;
                    let found = found.map_err(|cause| QueryError::Catalog { table: name.clone(), cause })?;
                    answers.tables.insert(name, found);
                }
                Err(Stop::Need(Need::Watchlist(alias))) => {
                    let found = catalog.watchlist(&alias).await;
                    let found = found.map_err(|cause| QueryError::Catalog { table: alias.clone(), cause })?;
                    answers.watchlists.insert(alias, found);
                }
                Err(Stop::Need(Need::Rows { key, plan })) => {
                    let frame = session.execute_logical_plan(*plan).await?;
                    let batches = frame.collect().await?;
                    answers.rows.insert(key, batches);
                }
                Err(Stop::Engine(error)) => return Err(QueryError::from(*error)),
            }
        }
        Err(QueryError::Execution("the query asks for too many tables".to_owned()))
    }
}

/// The most tables, watchlists and `toscalar()` of one query.
const MAX_QUESTIONS: usize = 10_000;

/// A query that is ready to run.
pub struct Prepared {
    session: SessionContext,
    bound: binder::Bound,
    row_limit: Option<usize>,
    deadline: Option<(tokio::time::Instant, Duration)>,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("columns", &self.bound.columns).finish_non_exhaustive()
    }
}

impl Prepared {
    /// The columns of the result.
    pub fn columns(&self) -> &[Column] {
        &self.bound.columns
    }

    /// The tables that the query reads, each once.
    pub fn tables(&self) -> &[String] {
        &self.bound.tables
    }

    /// What `render` at the query's end asks for.
    pub fn render(&self) -> Option<&RenderHint> {
        self.bound.render.as_ref()
    }

    /// The plan as the optimiser leaves it, logical and physical.
    pub async fn explain(&self) -> Result<String, QueryError> {
        let state = self.session.state();
        let logical = state.optimize(&self.plan()?)?;
        let physical = state.create_physical_plan(&logical).await?;
        Ok(format!("{}\n\n{}", logical.display_indent(), displayable(physical.as_ref()).indent(false)))
    }

    fn plan(&self) -> Result<LogicalPlan, QueryError> {
        let plan = self.bound.plan.clone();
        Ok(match self.row_limit {
            Some(limit) => {
                datafusion::logical_expr::LogicalPlanBuilder::from(plan).limit(0, Some(limit))?.build()?
            }
            None => plan,
        })
    }

    /// Runs the query. The batches hold the columns in [`KqlType::arrow`]'s types; dropping the stream cancels the run.
    pub async fn stream(self) -> Result<SendableRecordBatchStream, QueryError> {
        let frame = self.session.execute_logical_plan(self.plan()?).await?;
        let inner = frame.execute_stream().await?;
        let deadline = self.deadline.map(|(at, limit)| (Box::pin(tokio::time::sleep_until(at)), limit));
        Ok(Box::pin(Limited { inner, deadline, _session: self.session }))
    }

    /// Runs the query and gathers its rows.
    pub async fn collect(self) -> Result<ResultSet, QueryError> {
        let columns = self.bound.columns.clone();
        let mut stream = self.stream().await?;
        let mut batches = Vec::new();
        while let Some(batch) = stream.next().await {
            batches.push(batch?);
        }
        Ok(ResultSet { columns, batches })
    }
}

/// A stream that ends with an error when its time is over.
struct Limited {
    inner: SendableRecordBatchStream,
    deadline: Option<(Pin<Box<tokio::time::Sleep>>, Duration)>,
    /// Holds what the plan refers to for as long as it runs.
    _session: SessionContext,
}

impl Stream for Limited {
    type Item = DataFusionResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some((sleep, limit)) = &mut self.deadline
            && sleep.as_mut().poll(context).is_ready()
        {
            let error = DataFusionError::External(Box::new(QueryError::TimeLimit(*limit)));
            return Poll::Ready(Some(Err(error)));
        }
        self.inner.poll_next_unpin(context)
    }
}

impl RecordBatchStream for Limited {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }
}

/// The rows a query gives.
#[derive(Debug, Clone)]
pub struct ResultSet {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows, in [`KqlType::arrow`]'s types.
    pub batches: Vec<RecordBatch>,
}

impl ResultSet {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows, each a list of cells in the order of the columns.
    pub fn rows(&self) -> impl Iterator<Item = Vec<serde_json::Value>> + '_ {
        self.batches.iter().flat_map(move |batch| {
            (0..batch.num_rows()).map(move |row| {
                let cells = self.columns.iter().zip(batch.columns());
                cells.map(|(column, array)| json_value(array.as_ref(), row, column.kind)).collect()
            })
        })
    }

    /// The rows, each a JSON object in the order of the columns.
    pub fn objects(&self) -> impl Iterator<Item = serde_json::Map<String, serde_json::Value>> + '_ {
        self.rows().map(|row| self.columns.iter().map(|column| column.name.clone()).zip(row).collect())
    }

    /// The type of a column.
    pub fn kind(&self, name: &str) -> Option<KqlType> {
        self.columns.iter().find(|column| column.name == name).map(|column| column.kind)
    }
}
