//! Making connectors from settings.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::aws::AwsContext;
use crate::azure::AzureContext;
use crate::budget::Budget;
use crate::clock::Clock;
use crate::config::{AwsConfig, AzureConfig, HttpConfig, SinkConfig, SourceConfig};
use crate::http::HttpClient;
use crate::meter::RequestCounts;
use crate::secrets::Secrets;
use crate::sink::{Sink, SinkError};
use crate::sinks;
use crate::source::{Source, SourceError};
use crate::sources;

/// Makes sources and sinks that share one HTTP client, its limits, and credentials.
#[derive(Debug, Clone)]
pub struct Connectors {
    pub(crate) http: HttpClient,
    pub(crate) clock: Clock,
    pub(crate) budget: Option<Arc<dyn Budget>>,
    azure: Option<AzureContext>,
    aws: Option<Arc<AwsContext>>,
}

impl Connectors {
    /// With secrets from the environment.
    pub fn new(
        http: &HttpConfig,
        azure: Option<&AzureConfig>,
        aws: Option<&AwsConfig>,
        clock: Clock,
    ) -> Result<Self, SourceError> {
        Self::with_secrets(http, azure, aws, clock, &Secrets::from_env())
    }

    /// With secrets that the program got elsewhere.
    pub fn with_secrets(
        http: &HttpConfig,
        azure: Option<&AzureConfig>,
        aws: Option<&AwsConfig>,
        clock: Clock,
        secrets: &Secrets,
    ) -> Result<Self, SourceError> {
        let http = HttpClient::new(http).map_err(SourceError::Config)?;
        let azure = azure.map(|config| AzureContext::new(config, &http, secrets)).transpose();
        let aws = aws.map(|config| AwsContext::new(config, &http, secrets)).transpose();
        Ok(Self {
            azure: azure.map_err(SourceError::Config)?,
            aws: aws.map_err(SourceError::Config)?.map(Arc::new),
            http,
            clock,
            budget: None,
        })
    }

    /// The count of requests that cost money; sources that make such need it.
    #[must_use]
    pub fn budget(mut self, budget: Arc<dyn Budget>) -> Self {
        self.budget = Some(budget);
        self
    }

    /// A source. `name` is the one it has in the configuration, for messages.
    pub fn source(&self, name: &str, config: &SourceConfig) -> Result<Arc<dyn Source>, SourceError> {
        sources::make(self, config).map_err(|error| match error {
            SourceError::Config(message) => SourceError::Config(format!("source {name}: {message}")),
            error => error,
        })
    }

    /// A sink. `name` is the one it has in the configuration; deliveries are kept under it.
    pub fn sink(&self, name: &str, config: &SinkConfig) -> Result<Arc<dyn Sink>, SinkError> {
        sinks::make(self, name, config)
    }

    /// How many requests went to each service since the start.
    pub fn request_counts(&self) -> BTreeMap<&'static str, RequestCounts> {
        self.http.meter().counts()
    }

    pub(crate) fn azure(&self) -> Result<&AzureContext, SourceError> {
        self.azure.as_ref().ok_or_else(|| SourceError::Config("there is no [azure] section".to_owned()))
    }

    pub(crate) fn aws(&self) -> Result<&Arc<AwsContext>, SourceError> {
        self.aws.as_ref().ok_or_else(|| SourceError::Config("there is no [aws] section".to_owned()))
    }
}
