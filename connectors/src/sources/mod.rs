//! The sources, one module per API.

mod aws_cloudtrail;
mod aws_cost;
mod azure_activity;
mod azure_cost;
mod defender_network;
mod entra_reports;
mod reading;

use std::sync::Arc;

use crate::config::SourceConfig;
use crate::connectors::Connectors;
use crate::source::{Source, SourceError};

/// The source that the settings describe.
pub(crate) fn make(connectors: &Connectors, config: &SourceConfig) -> Result<Arc<dyn Source>, SourceError> {
    Ok(match config {
        SourceConfig::AwsCloudtrail(config) => {
            Arc::new(aws_cloudtrail::AwsCloudtrail::new(connectors, config)?)
        }
        SourceConfig::AwsCost(config) => Arc::new(aws_cost::AwsCost::new(connectors, config)?),
        SourceConfig::AzureActivity(config) => {
            Arc::new(azure_activity::AzureActivity::new(connectors, config)?)
        }
        SourceConfig::AzureCost(config) => Arc::new(azure_cost::AzureCost::new(connectors, config)?),
        SourceConfig::DefenderNetwork(config) => {
            Arc::new(defender_network::DefenderNetwork::new(connectors, config)?)
        }
        SourceConfig::EntraAudits(config) => {
            Arc::new(entra_reports::EntraReport::audits(connectors, config)?)
        }
        SourceConfig::EntraSignins(config) => {
            Arc::new(entra_reports::EntraReport::signins(connectors, config)?)
        }
    })
}
