//! The stages, each by itself: it reads tables of the lake and writes tables of the lake.

mod correlate;
mod deliver;
mod detect;
mod maintain;
mod pull;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Error, bail};
use chrono::{DateTime, Utc};
use provost_connectors::{ExternalFiles, Source};
use provost_kql::{Catalog, Engine, EngineOptions, QueryOptions, ResultSet, Table};
use provost_model::{Finding, Incident, Partition};

pub use correlate::CorrelateSummary;
pub use deliver::{DeliverSummary, SinkSummary};
pub use detect::DetectSummary;
pub use maintain::{KEEP_FILES, MaintainSummary};
pub use pull::{Batches, PullRequest, PullSummary};

use crate::config::{Config, Content, RuleChoice};
use crate::correlate::Content as CorrelationContent;
use crate::detect::{RuleFile, Watchlist, Watchlists};
use crate::external::Files;
use crate::lake::{Lake, LakeCatalog};
use crate::triage::{self, Playbook};

/// The lake, the engine over it, and the content that asks it. Every stage is a method.
#[derive(Clone)]
pub struct Pipeline {
    lake: Arc<Lake>,
    engine: Engine,
    catalog: Arc<dyn Catalog>,
    rules: Arc<Vec<RuleFile>>,
    watchlists: Arc<Watchlists>,
    correlation: Arc<CorrelationContent>,
    playbooks: Arc<Vec<Playbook>>,
    query_timeout: Duration,
    correlation_hours: u32,
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").field("lake", &self.lake).finish_non_exhaustive()
    }
}

impl Pipeline {
    /// Opens the lake and reads the content.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let lake = Arc::new(Lake::open(&config.lake)?.with_cache(config.cache_megabytes << 20));
        let files = ExternalFiles::new(&config.http, config.external_hosts.clone()).map_err(Error::msg)?;
        let engine = Engine::new(EngineOptions {
            memory_limit: Some(config.memory_megabytes.max(16) << 20),
            geoip_database: config.geoip_database.clone(),
            external_source: Some(Arc::new(Files(files))),
            ..EngineOptions::default()
        })?;
        let content = Content::load(config.content.as_deref())?;
        let rules: Vec<RuleFile> =
            content.detections.iter().map(|file| RuleFile::parse(&file.path, &file.text)).collect();
        let rules = chosen(rules, &config.rules)?;
        let mut watchlists = Watchlists::default();
        let mut tables: BTreeMap<String, Table> = BTreeMap::new();
        for file in &content.watchlists {
            let alias = file.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            watchlists.insert(alias.clone(), Watchlist::read(&file.text, &file.path)?);
            tables.extend(watchlists.table(&alias).await?.map(|table| (alias, table)));
        }
        let folder =
            |name: &str| config.content.as_ref().map(|folder| folder.join(name)).filter(|path| path.is_dir());
        let correlation = match folder("bridges") {
            Some(folder) => CorrelationContent::with_folder(&folder)?,
            None => CorrelationContent::built_in()?,
        };
        let playbooks = match folder("playbooks") {
            Some(folder) => triage::with_folder(&folder)?,
            None => triage::built_in()?,
        };
        let catalog = Arc::new(LakeCatalog::new(Arc::clone(&lake), tables));
        Ok(Self {
            lake,
            engine,
            catalog,
            rules: Arc::new(rules),
            watchlists: Arc::new(watchlists),
            correlation: Arc::new(correlation),
            playbooks: Arc::new(playbooks),
            query_timeout: Duration::from_secs(config.query_timeout_seconds),
            correlation_hours: config.correlation_hours,
        })
    }

    /// The lake.
    pub fn lake(&self) -> &Arc<Lake> {
        &self.lake
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The tables of the lake and the watchlists.
    pub fn catalog(&self) -> Arc<dyn Catalog> {
        Arc::clone(&self.catalog)
    }

    /// The rules, readable or not.
    pub fn rules(&self) -> &[RuleFile] {
        &self.rules
    }

    /// The watchlists, by alias.
    pub fn watchlists(&self) -> &Watchlists {
        &self.watchlists
    }

    /// Brings every partition of a source up to now. A partition that fails is told in the ledger and in the summary
    /// and does not keep the others.
    pub async fn pull(
        &self,
        source: &Arc<dyn Source>,
        request: &PullRequest,
        progress: impl FnMut(&Partition, &PullSummary),
    ) -> anyhow::Result<PullSummary> {
        Ok(pull::pull(&self.lake, source, request, progress).await?)
    }

    /// Asks the lake.
    pub async fn query(&self, text: &str, options: &QueryOptions) -> anyhow::Result<ResultSet> {
        Ok(self.engine.prepare(self.catalog(), text, options).await?.collect().await?)
    }

    /// All incidents in their last versions, without those that went into others.
    pub async fn incidents(&self, now: DateTime<Utc>) -> anyhow::Result<Vec<Incident>> {
        let rows = self.ask("Incidents | where isempty(SupersededBy)", now).await?;
        Ok(rows.objects().map(Incident::from_row).collect::<Result<_, _>>()?)
    }

    /// All findings in their last versions.
    pub async fn findings(&self, now: DateTime<Utc>) -> anyhow::Result<Vec<Finding>> {
        let rows = self.ask("Findings", now).await?;
        Ok(rows.objects().map(Finding::from_row).collect::<Result<_, _>>()?)
    }

    /// When a job of the service ran last.
    pub async fn last_run(&self, job: &str, now: DateTime<Utc>) -> anyhow::Result<Option<DateTime<Utc>>> {
        let query = format!(
            "Runs | where Stage == 'job' and Job == {} | summarize Last = max(StartedAt)",
            provost_model::inert::kql(job)
        );
        let rows = self.ask(&query, now).await?;
        Ok(rows.objects().next().and_then(|row| provost_model::parse_time(row.get("Last")?.as_str()?).ok()))
    }

    /// Asks the lake what the program itself wants to know.
    async fn ask(&self, text: &str, now: DateTime<Utc>) -> anyhow::Result<ResultSet> {
        let options = QueryOptions { now, partitions: Some(1), ..QueryOptions::default() };
        self.query(text, &options).await.with_context(|| format!("asking the lake: {text}"))
    }
}

/// The rules that the configuration wants to run. A name in it that no rule has is an error: it would silently leave
/// running, or not running, what was meant.
fn chosen(rules: Vec<RuleFile>, choice: &RuleChoice) -> anyhow::Result<Vec<RuleFile>> {
    let named = |file: &RuleFile, name: &String| {
        file.rule().is_some_and(|rule| rule.id == *name) || file.path.with_extension("").ends_with(name)
    };
    for (list, names) in [("enabled", choice.enabled.as_deref()), ("disabled", Some(&choice.disabled))] {
        for name in names.unwrap_or_default() {
            if !rules.iter().any(|file| named(file, name)) {
                let known = rules.iter().filter_map(|file| file.path.file_stem()?.to_str());
                let hint = provost_model::hint(name, known);
                bail!("rules.{list}: there is no rule '{name}'{hint}; `provost rules list` names them");
            }
        }
    }
    let wanted = |file: &RuleFile| {
        let is_in = |names: &[String]| names.iter().any(|name| named(file, name));
        choice.enabled.as_deref().is_none_or(is_in) && !is_in(&choice.disabled)
    };
    Ok(rules.into_iter().filter(wanted).collect())
}

/// The rule files at a path, for `provost rules check DIR`.
pub fn rule_files(path: &Path) -> anyhow::Result<Vec<RuleFile>> {
    crate::detect::load_rules(path).with_context(|| format!("cannot read {}", path.display()))
}
