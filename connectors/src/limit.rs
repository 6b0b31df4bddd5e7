//! Request rates: what each service publishes, kept per account, region, tenant or subscription.

use serde::{Deserialize, Serialize};

/// A published limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitName {
    /// `LookupEvents`: 2 requests a second per account and region.
    AwsCloudtrail,
    /// Activity log queries: 50 in 30 seconds.
    AzureActivity,
    /// Cost Management: 12 query units in 10 seconds per tenant, a unit per month asked for.
    AzureCost,
    /// Advanced hunting: 45 requests a minute per tenant.
    DefenderHunting,
    /// Identity and access reports of Graph: 5 requests in 10 seconds per application and tenant.
    GraphReports,
}
