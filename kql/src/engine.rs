//! Running a query: parse, bind, plan, execute.

use std::collections::{BTreeMap, BTreeSet, HashSet};
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
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionState;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::{Stream, StreamExt};

use crate::binder::{self, Answers, Environment, Need, Stop};
use crate::catalog::Catalog;
use crate::diagnostics::Diagnostics;
use crate::dictionary::KeepDictionaries;
use crate::error::QueryError;
use crate::external::{ExternalSource, Files};
use crate::format::json_value;
use crate::functions::GeoIp;
use crate::lexer::{TokenKind, tokenize};
use crate::memo::Memo;
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
    /// The MaxMind database of cities that `geo_info_from_ip_address()` looks into.
    pub geoip_database: Option<PathBuf>,
    /// What fetches the files that `externaldata` names; without it they are refused.
    pub external_source: Option<Arc<dyn ExternalSource>>,
    /// Runs plans nearly as they are bound, with no more rewriting than their execution needs: slower, to the same result.
    /// For finding out whether a fault is the optimiser's.
    pub unoptimized: bool,
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
    /// Parts worked on at once, where the engine's choice will not do: one where many queries run side by side.
    pub partitions: Option<usize>,
    /// What queries over the same catalog have learned of its watchlists, and the files that they have fetched.
    pub memo: Option<Memo>,
}

impl Default for QueryOptions {
    fn default() -> Self {
        QueryOptions {
            now: Utc::now(),
            time_range: None,
            scalars: BTreeMap::new(),
            row_limit: None,
            time_limit: None,
            partitions: None,
            memo: None,
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
    /// What every query's session begins as.
    state: Arc<SessionState>,
    geoip: Option<Arc<GeoIp>>,
    external_source: Option<Arc<dyn ExternalSource>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let partitions = self.state.config().target_partitions();
        f.debug_struct("Engine").field("target_partitions", &partitions).finish_non_exhaustive()
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
        let mut config = SessionConfig::new();
        // The rules begin and end with the columns; a second round finds hardly anything.
        config.options_mut().optimizer.max_passes = 1;
        if let Some(partitions) = options.target_partitions {
            config = config.with_target_partitions(partitions.max(1));
        }
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime.build_arc()?)
            .with_default_features()
            .with_optimizer_rules(if options.unoptimized { needed_rules() } else { optimizer_rules() })
            .with_physical_optimizer_rule(Arc::new(KeepDictionaries))
            .build();
        let geoip = options.geoip_database.as_deref().map(GeoIp::open).transpose()?;
        let external_source = options.external_source;
        Ok(Engine { state: Arc::new(state), geoip: geoip.map(Arc::new), external_source })
    }

    fn session(&self, options: &QueryOptions) -> SessionContext {
        let mut state = SessionState::clone(&self.state);
        if let Some(partitions) = options.partitions {
            state.config_mut().options_mut().execution.target_partitions = partitions.max(1);
        }
        SessionContext::new_with_state(state)
    }

    /// Reads and binds a query that is to give one table: afterwards every name and type in it is known, and it is ready to
    /// run. Of several statements the last gives the table; `fork` and `facet` are refused where they give several.
    ///
    /// What the shape of the result hangs on is run here already: `toscalar()`, and the plugins whose columns come from
    /// the data.
    pub async fn prepare(
        &self,
        catalog: Arc<dyn Catalog>,
        query: &str,
        options: &QueryOptions,
    ) -> Result<Prepared, QueryError> {
        let mut all = self.prepared(catalog, query, options, false).await?;
        // Binding gives at least one.
        all.pop().ok_or_else(|| QueryError::Execution("the query gives no table".to_owned()))
    }

    /// The same for a query that may give several tables, by several statements or by `fork` and `facet`: at least one, in
    /// the order in which the query has them.
    pub async fn prepare_all(
        &self,
        catalog: Arc<dyn Catalog>,
        query: &str,
        options: &QueryOptions,
    ) -> Result<Vec<Prepared>, QueryError> {
        self.prepared(catalog, query, options, true).await
    }

    async fn prepared(
        &self,
        catalog: Arc<dyn Catalog>,
        query: &str,
        options: &QueryOptions,
        several: bool,
    ) -> Result<Vec<Prepared>, QueryError> {
        let deadline = options.time_limit.map(|limit| (tokio::time::Instant::now() + limit, limit));
        let work = self.bind(catalog, query, options, several);
        let (session, bound) = match deadline {
            Some((deadline, limit)) => {
                tokio::time::timeout_at(deadline, work).await.map_err(|_| QueryError::TimeLimit(limit))??
            }
            None => work.await?,
        };
        let tables: Arc<[String]> = bound.tables.into();
        let prepared = bound.results.into_iter().map(|result| Prepared {
            session: session.clone(),
            result,
            tables: Arc::clone(&tables),
            row_limit: options.row_limit,
            deadline,
        });
        Ok(prepared.collect())
    }

    async fn bind(
        &self,
        catalog: Arc<dyn Catalog>,
        query: &str,
        options: &QueryOptions,
        several: bool,
    ) -> Result<(SessionContext, binder::Bound), QueryError> {
        let parsed = crate::parser::parse(query).map_err(QueryError::Syntax)?;
        let session = self.session(options);
        let mut answers = Answers::new(catalog.table_names());
        let (tables, watchlists) = mentioned(query, &answers.table_names);
        for name in tables {
            look_up_table(&*catalog, &mut answers, name).await?;
        }
        for alias in watchlists {
            look_up_watchlist(&*catalog, &mut answers, alias).await?;
        }
        let files = self.external_source.clone().map(|source| match &options.memo {
            Some(memo) => memo.files(source),
            None => Arc::new(Files::new(source)),
        });
        // Binding knows nothing of waiting: what it lacks it asks for, and begins anew when it is there.
        for _ in 0..MAX_QUESTIONS {
            let environment = Environment {
                options,
                answers: &answers,
                geoip: self.geoip.as_ref(),
                files: files.as_ref(),
                several,
            };
            match binder::bind(&parsed, &environment) {
                Ok(bound) => return Ok((session, bound)),
                Err(Stop::Fault(fault)) => {
                    return Err(QueryError::Bind(Diagnostics::new(query, vec![*fault])));
                }
                Err(Stop::Need(Need::Table(name))) => look_up_table(&*catalog, &mut answers, name).await?,
                Err(Stop::Need(Need::Watchlist(alias))) => {
                    look_up_watchlist(&*catalog, &mut answers, alias).await?;
                }
                Err(Stop::Need(Need::Rows { key, lasting, plan })) => {
                    let frame = session.execute_logical_plan(*plan).await?;
                    let batches = frame.collect().await?;
                    if let Some((memo, key)) = options.memo.as_ref().zip(lasting) {
                        memo.put(key, batches.clone());
                    }
                    answers.rows.insert(key, batches);
                }
                Err(Stop::Engine(error)) => return Err(QueryError::from(*error)),
            }
        }
        Err(QueryError::Execution("the query asks for too many tables".to_owned()))
    }
}

async fn look_up_table(catalog: &dyn Catalog, answers: &mut Answers, name: String) -> Result<(), QueryError> {
    let found = catalog.table(&name).await;
    let found = found.map_err(|cause| QueryError::Catalog { table: name.clone(), cause })?;
    answers.tables.insert(name, found);
    Ok(())
}

async fn look_up_watchlist(
    catalog: &dyn Catalog,
    answers: &mut Answers,
    alias: String,
) -> Result<(), QueryError> {
    let found = catalog.watchlist(&alias).await;
    let found = found.map_err(|cause| QueryError::Catalog { table: alias.clone(), cause })?;
    answers.watchlists.insert(alias, found);
    Ok(())
}

/// The tables and watchlists that a query names in so many words: known before it is bound, they need not stop it.
fn mentioned(query: &str, table_names: &[String]) -> (BTreeSet<String>, BTreeSet<String>) {
    let known: HashSet<&str> = table_names.iter().map(String::as_str).collect();
    let tokens = tokenize(query);
    let tables = tokens.iter().filter_map(|token| match &token.kind {
        TokenKind::Name(name) if known.contains(name.as_str()) => Some(name.clone()),
        _ => None,
    });
    let watchlists =
        tokens.windows(3).filter_map(|three| match [&three[0].kind, &three[1].kind, &three[2].kind] {
            [TokenKind::Name(name), TokenKind::Punct("("), TokenKind::String(alias)]
                if name == "_GetWatchlist" =>
            {
                Some(alias.clone())
            }
            _ => None,
        });
    (tables.collect(), watchlists.collect())
}

/// DataFusion's rules, after a first one of them: log tables are wide and queries speak of few columns, so that all
/// others have far less to look at once the unused columns are gone.
fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![Arc::new(OptimizeProjections::new())];
    rules.extend(Optimizer::new().rules);
    rules
}

/// The rules without which some plans cannot run: those that give `in (T)`, `distinct` and `coalesce` an execution.
fn needed_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    vec![
        Arc::new(SimplifyExpressions::new()),
        Arc::new(ReplaceDistinctWithAggregate::new()),
        Arc::new(DecorrelatePredicateSubquery::new()),
        // A join that minds nulls does so only by equal columns.
        Arc::new(ExtractEquijoinPredicate::new()),
    ]
}

/// The most tables, watchlists and `toscalar()` of one query.
const MAX_QUESTIONS: usize = 10_000;

/// A query that is ready to run, or of one that gives several tables what gives one of them.
pub struct Prepared {
    session: SessionContext,
    result: binder::BoundResult,
    tables: Arc<[String]>,
    row_limit: Option<usize>,
    deadline: Option<(tokio::time::Instant, Duration)>,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("columns", &self.result.columns).finish_non_exhaustive()
    }
}

impl Prepared {
    /// What the query calls this table: by `as` at its end, by the name of a pipe of `fork`, or the column of `facet`.
    pub fn name(&self) -> Option<&str> {
        self.result.name.as_deref()
    }

    /// The columns of the result.
    pub fn columns(&self) -> &[Column] {
        &self.result.columns
    }

    /// The tables that the whole query reads, each once.
    pub fn tables(&self) -> &[String] {
        &self.tables
    }

    /// What `render` at the query's end asks for.
    pub fn render(&self) -> Option<&RenderHint> {
        self.result.render.as_ref()
    }

    /// The plan as the optimiser leaves it, logical and physical.
    pub async fn explain(&self) -> Result<String, QueryError> {
        let state = self.session.state();
        let logical = state.optimize(&self.plan()?)?;
        let physical = state.create_physical_plan(&logical).await?;
        Ok(format!("{}\n\n{}", logical.display_indent(), displayable(physical.as_ref()).indent(false)))
    }

    fn plan(&self) -> Result<LogicalPlan, QueryError> {
        let plan = self.result.plan.clone();
        Ok(match self.row_limit {
            Some(limit) => {
                datafusion::logical_expr::LogicalPlanBuilder::from(plan).limit(0, Some(limit))?.build()?
            }
            None => plan,
        })
    }

    /// Runs the query. The batches hold the columns in [`KqlType::arrow`]'s types; dropping the stream cancels the run.
    pub async fn stream(self) -> Result<SendableRecordBatchStream, QueryError> {
        let start = async {
            let frame = self.session.execute_logical_plan(self.plan()?).await?;
            Ok::<_, QueryError>(frame.execute_stream().await?)
        };
        let inner = match self.deadline {
            Some((at, limit)) => {
                tokio::time::timeout_at(at, start).await.map_err(|_| QueryError::TimeLimit(limit))??
            }
            None => start.await?,
        };
        let deadline = self.deadline.map(|(at, limit)| (Box::pin(tokio::time::sleep_until(at)), limit));
        Ok(Box::pin(Limited { inner, deadline, _session: self.session }))
    }

    /// Runs the query and gathers its rows.
    pub async fn collect(self) -> Result<ResultSet, QueryError> {
        let columns = self.result.columns.clone();
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
