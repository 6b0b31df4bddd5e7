//! The addresses of the clouds, and what tokens are asked for.

use std::sync::Arc;

use url::Url;

use crate::api::Api;
use crate::azure::Tokens;
use crate::config::{AzureCloud, AzureConfig};
use crate::http::HttpClient;
use crate::secrets::Secrets;
use crate::source::SourceError;

/// The services that connectors talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Graph,
    /// A data collection endpoint or rule, which has an address of its own.
    Ingestion(Url),
    ResourceManager,
}

/// A tenant and who asks there.
#[derive(Debug, Clone)]
pub(crate) struct AzureContext {
    config: AzureConfig,
    http: HttpClient,
    tokens: Arc<Tokens>,
}

impl AzureContext {
    pub(crate) fn new(config: &AzureConfig, http: &HttpClient, secrets: &Secrets) -> Result<Self, String> {
        let authority = match &config.endpoints.authority {
            Some(authority) => authority.clone(),
            None => address("authority", preset(config.cloud).authority)?,
        };
        let tokens = Arc::new(Tokens::new(config, authority, http.clone(), secrets));
        Ok(Self { config: config.clone(), http: http.clone(), tokens })
    }

    pub(crate) fn tenant(&self) -> &str {
        &self.config.tenant
    }

    /// A service, with tokens of the cloud even where its address is another one.
    pub(crate) fn api(
        &self,
        service: &'static str,
        endpoint: Endpoint,
        remedy: String,
    ) -> Result<Api, SourceError> {
        let preset = preset(self.config.cloud);
        let overridden = &self.config.endpoints;
        let (base, audience) = match endpoint {
            Endpoint::Graph => {
                (overridden.graph.clone().map_or_else(|| address("graph", preset.graph), Ok), preset.graph)
            }
            // The doubled slash of the scope is how Microsoft's own samples ask.
            Endpoint::Ingestion(url) => (Ok(url), preset.ingestion),
            Endpoint::ResourceManager => (
                overridden
                    .resource_manager
                    .clone()
                    .map_or_else(|| address("resource_manager", preset.resource_manager), Ok),
                preset.resource_manager,
            ),
        };
        let base = base.map_err(SourceError::Config)?;
        if base.scheme() != "https" {
            return Err(SourceError::Config(format!("{base}: a token is sent over https only")));
        }
        let scope = format!("{audience}/.default");
        Ok(Api::new(service, base, self.http.clone(), Arc::clone(&self.tokens), scope, remedy))
    }
}

struct Preset {
    authority: &'static str,
    resource_manager: &'static str,
    graph: &'static str,
    ingestion: &'static str,
}

fn preset(cloud: AzureCloud) -> Preset {
    match cloud {
        AzureCloud::Public => Preset {
            authority: "https://login.microsoftonline.com",
            resource_manager: "https://management.azure.com",
            graph: "https://graph.microsoft.com",
            ingestion: "https://monitor.azure.com/",
        },
        AzureCloud::UsGovernment => Preset {
            authority: "https://login.microsoftonline.us",
            resource_manager: "https://management.usgovcloudapi.net",
            graph: "https://graph.microsoft.us",
            ingestion: "https://monitor.azure.us/",
        },
        AzureCloud::China => Preset {
            authority: "https://login.chinacloudapi.cn",
            resource_manager: "https://management.chinacloudapi.cn",
            graph: "https://microsoftgraph.chinacloudapi.cn",
            ingestion: "https://monitor.azure.cn/",
        },
    }
}

fn address(name: &str, url: &str) -> Result<Url, String> {
    Url::parse(url).map_err(|error| format!("azure.endpoints.{name} = {url}: {error}"))
}
