//! `provost.toml`, the environment over it, and the schedules.

mod content;
mod environment;
mod error;
mod schedules;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use provost_connectors::ExternalHost;
use provost_connectors::config::{AwsConfig, AzureConfig, HttpConfig, SinkConfig, SourceConfig};
use serde::Deserialize;

pub use content::{Content, ContentFile};
pub use error::ConfigError;
pub use schedules::{Job, JobStage, Schedules};

/// The name of the configuration file where none is given.
pub const FILE_NAME: &str = "provost.toml";

/// The settings, as they stand in `provost.toml`. Every one of them can be given by the environment too:
/// `PROVOST_LAKE`, `PROVOST_HTTP__TIMEOUT_SECONDS`, `PROVOST_SOURCES__TRAIL__KIND`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The lake: a folder or a URL. Defaults to `lake`.
    pub lake: String,
    /// What queries may hold in memory, in mebibytes; past it they spill to disk. Defaults to 1024.
    pub memory_megabytes: usize,
    /// What is kept in memory of the lake's files once they are decoded, in mebibytes, so that the next rule need not
    /// read them again; none with 0. Defaults to 512.
    pub cache_megabytes: u64,
    /// The longest that one query of a rule, bridge or playbook may run. Defaults to 300.
    pub query_timeout_seconds: u64,
    /// A GeoIP database in MaxMind's format, for `geo_info_from_ip_address()`. Defaults to none.
    pub geoip_database: Option<PathBuf>,
    /// The hosts from which `externaldata` in queries and rules may read files, over https. Defaults to none.
    pub external_hosts: Vec<ExternalHost>,
    /// A folder with `detections`, `bridges`, `playbooks` and `watchlists` of one's own. A file there takes the place
    /// of the built-in one of the same name.
    pub content: Option<PathBuf>,
    /// Which rules run. Defaults to all.
    pub rules: RuleChoice,
    /// The folder of the schedules. Defaults to `schedules`.
    pub schedules: PathBuf,
    /// How long findings can find each other as one incident.
    pub correlation_hours: u32,
    /// How requests are made.
    pub http: HttpConfig,
    /// The Azure tenant.
    pub azure: Option<AzureConfig>,
    /// The AWS accounts.
    pub aws: Option<AwsConfig>,
    /// What is read, by name.
    pub sources: BTreeMap<String, SourceConfig>,
    /// Where findings and incidents go, by name.
    pub sinks: BTreeMap<String, SinkConfig>,
}

/// Which rules run: all of them, or those named. A rule is named by its id or by its file, such as
/// `network/beaconing-by-regularity` or `beaconing-by-regularity`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuleChoice {
    /// Only these, where there is such a list.
    pub enabled: Option<Vec<String>>,
    /// All but these.
    pub disabled: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lake: "lake".to_owned(),
            memory_megabytes: 1024,
            cache_megabytes: 512,
            query_timeout_seconds: 300,
            geoip_database: None,
            external_hosts: Vec::new(),
            content: None,
            rules: RuleChoice::default(),
            schedules: PathBuf::from("schedules"),
            correlation_hours: 72,
            http: HttpConfig::default(),
            azure: None,
            aws: None,
            sources: BTreeMap::new(),
            sinks: BTreeMap::new(),
        }
    }
}

impl Config {
    /// Reads the named file, or `provost.toml` here; without either the defaults count. The environment goes over it.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        Self::load_with(path, std::env::vars())
    }

    fn load_with(
        path: Option<&Path>,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let file = match path {
            Some(path) => Some(path.to_owned()),
            None => Some(PathBuf::from(FILE_NAME)).filter(|path| path.exists()),
        };
        let text = match &file {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Read { path: path.clone(), source })?,
            None => String::new(),
        };
        let name = file.clone().unwrap_or_else(|| PathBuf::from("the environment"));
        // The file by itself first: only then do errors have a line.
        toml::from_str::<Self>(&text).map_err(|error| ConfigError::toml(&name, &error))?;
        let mut table: toml::Table =
            toml::from_str(&text).map_err(|error| ConfigError::toml(&name, &error))?;
        environment::overlay(&mut table, variables)?;
        let mut config: Self = toml::Value::Table(table)
            .try_into()
            .map_err(|error: toml::de::Error| ConfigError::toml(Path::new("the environment"), &error))?;
        if let Some(folder) = file.as_deref().and_then(Path::parent) {
            config.resolve(folder);
        }
        Ok(config)
    }

    /// Paths in the file are meant from where the file is.
    fn resolve(&mut self, folder: &Path) {
        let resolve = |path: &mut PathBuf| *path = folder.join(&*path);
        resolve(&mut self.schedules);
        self.geoip_database.as_mut().map(resolve);
        self.content.as_mut().map(resolve);
        self.http.extra_ca_file.as_mut().map(resolve);
        if !self.lake.contains("://") {
            self.lake = folder.join(&self.lake).display().to_string();
        }
        for sink in self.sinks.values_mut() {
            if let SinkConfig::Jsonl(jsonl) = sink {
                resolve(&mut jsonl.path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(FILE_NAME);
        std::fs::write(&path, text).expect("written");
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load_with(Some(&path), variables)
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_line_and_nearest_key() {
        let error = load("lake = \"x\"\nmemory_megabyte = 5\n", &[]).expect_err("no such key").to_string();
        assert!(error.contains("line 2"), "{error}");
        assert!(error.contains("did you mean 'memory_megabytes'?"), "{error}");
    }

    #[test]
    fn the_environment_goes_over_the_file() {
        let variables =
            [("PROVOST_LAKE", "memory://x"), ("PROVOST_HTTP__ATTEMPTS", "3"), ("PROVOST_CONFIG", "y")];
        let config = load("lake = \"x\"\n", &variables).expect("all known");
        assert_eq!(config.lake, "memory://x");
        assert_eq!(config.http.attempts, 3);
        let error = load("", &[("PROVOST_HTTP__ATTEMPT", "3")]).expect_err("no such key").to_string();
        assert!(error.contains("did you mean 'attempts'?"), "{error}");
    }

    #[test]
    fn an_external_host_is_a_host_alone() {
        let config =
            load("", &[("PROVOST_EXTERNAL_HOSTS", "['Lists.example', 'b.example:8443']")]).expect("hosts");
        let hosts: Vec<String> = config.external_hosts.iter().map(ToString::to_string).collect();
        assert_eq!(hosts, ["lists.example", "b.example:8443"]);
        let error = load("external_hosts = ['https://a.example/']\n", &[]).expect_err("a URL").to_string();
        assert!(error.contains("line 1") && error.contains("without https://"), "{error}");
    }

    #[test]
    fn paths_are_meant_from_the_files_folder() {
        let config = load("[sinks.out]\nkind = \"jsonl\"\npath = \"out.jsonl\"\n", &[]).expect("all known");
        assert!(Path::new(&config.lake).is_absolute());
        assert!(matches!(&config.sinks["out"], SinkConfig::Jsonl(jsonl) if jsonl.path.is_absolute()));
    }
}
