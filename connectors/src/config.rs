//! Settings, as they stand in the configuration file. Secrets are not among them: they come from the environment, from
//! files, or from a managed or federated identity.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

pub use crate::limit::LimitName;

/// `[http]`: how every request is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Seconds to wait for a connection. Defaults to 10.
    pub connect_timeout_seconds: f64,
    /// Seconds to wait for an answer, from the first byte sent to the last received. Sources that need longer, such as
    /// advanced hunting, ask for it. Defaults to 60.
    pub timeout_seconds: f64,
    /// How often a request is tried in all. Defaults to 6.
    pub attempts: u32,
    /// Seconds to wait before the second try; doubled each time, and spread by chance. Defaults to 0.5.
    pub backoff_seconds: f64,
    /// The longest such wait. What a service asks for with `Retry-After` may be longer. Defaults to 30.
    pub max_backoff_seconds: f64,
    /// How long one request may wait in all between its tries; a service that asks for more is given up on until
    /// the next run. Defaults to 300.
    pub max_wait_seconds: f64,
    /// The largest answer that is taken in. Defaults to 256.
    pub max_body_megabytes: u64,
    /// A PEM file of certificates to trust besides the system's, such as that of an inspecting proxy.
    pub extra_ca_file: Option<PathBuf>,
    /// The proxy for all requests but those to the metadata services of the clouds. Where it is not set, the
    /// environment's `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` count. A proxy with a password goes there.
    pub proxy: Option<Url>,
    /// Hosts, suffixes and networks that are reached without the proxy.
    pub no_proxy: Vec<String>,
    /// Request rates that differ from what the services publish.
    pub limits: BTreeMap<LimitName, RateConfig>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            connect_timeout_seconds: 10.0,
            timeout_seconds: 60.0,
            attempts: 6,
            backoff_seconds: 0.5,
            max_backoff_seconds: 30.0,
            max_wait_seconds: 300.0,
            max_body_megabytes: 256,
            extra_ca_file: None,
            proxy: None,
            no_proxy: Vec::new(),
            limits: BTreeMap::new(),
        }
    }
}

/// So many requests in so many seconds, evenly spaced.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateConfig {
    /// How many requests.
    pub requests: u32,
    /// In how many seconds.
    pub seconds: f64,
}

/// `[azure]`: which tenant, and who asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AzureConfig {
    /// The tenant's id or one of its domains.
    pub tenant: String,
    /// Which cloud. Defaults to `public`.
    #[serde(default)]
    pub cloud: AzureCloud,
    /// Who asks. Defaults to the Azure CLI's sign-in.
    #[serde(default)]
    pub credential: AzureCredential,
    /// Other addresses than the cloud's; tokens stay those of the cloud.
    #[serde(default)]
    pub endpoints: AzureEndpoints,
}

/// The clouds of Azure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AzureCloud {
    /// The worldwide cloud.
    #[default]
    Public,
    /// Azure Government.
    UsGovernment,
    /// Azure operated by 21Vianet.
    China,
}

/// How tokens are got.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum AzureCredential {
    /// The sign-in of the Azure CLI, for a person's own machine.
    #[default]
    AzureCli,
    /// An application with a secret. The secret is read from `PROVOST_AZURE_CLIENT_SECRET`, or from a file.
    ClientSecret {
        /// The application's (client) id.
        client_id: String,
        /// The file that holds the secret and nothing else. It is read again for each token, so that a new secret
        /// counts without a restart.
        #[serde(default)]
        secret_file: Option<PathBuf>,
    },
    /// The identity of the machine, container app or function.
    ManagedIdentity {
        /// The client id of a user-assigned identity; the system's own without it.
        #[serde(default)]
        client_id: Option<String>,
    },
    /// Workload identity federation, as in Kubernetes and CI.
    WorkloadIdentity {
        /// The application's (client) id. Defaults to `AZURE_CLIENT_ID`.
        #[serde(default)]
        client_id: Option<String>,
        /// The file with the token of the other identity provider. Defaults to `AZURE_FEDERATED_TOKEN_FILE`.
        #[serde(default)]
        token_file: Option<PathBuf>,
    },
}

/// Other addresses than the cloud's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AzureEndpoints {
    /// Where tokens are issued, instead of `https://login.microsoftonline.com`.
    pub authority: Option<Url>,
    /// Azure Resource Manager, instead of `https://management.azure.com`.
    pub resource_manager: Option<Url>,
    /// Microsoft Graph, instead of `https://graph.microsoft.com`.
    pub graph: Option<Url>,
}

/// `[aws]`: which accounts. Credentials come from where AWS tools look for them: `AWS_ACCESS_KEY_ID` and its kin, the
/// shared files and `AWS_PROFILE`, web identity, the container's or the machine's role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AwsConfig {
    /// The profile of the shared files. Defaults to `AWS_PROFILE`.
    pub profile: Option<String>,
    /// The regions that are read, where an account or a source names none. Global services (IAM, STS, CloudFront) are
    /// recorded in `us-east-1`. Defaults to `us-east-1`.
    pub regions: Vec<String>,
    /// The accounts that are read, each through a role in it. None means the account of the credentials.
    pub accounts: Vec<AwsAccount>,
    /// The name of the sessions, as CloudTrail shows them. Defaults to `provost`.
    pub session_name: String,
    /// How long a session lasts. Defaults to 3600, the most that a role allows unless told otherwise.
    pub session_seconds: u32,
    /// One address for all services of AWS, such as that of a VPC endpoint or a test.
    pub endpoint: Option<Url>,
}

impl Default for AwsConfig {
    fn default() -> Self {
        Self {
            profile: None,
            regions: vec!["us-east-1".to_owned()],
            accounts: Vec::new(),
            session_name: "provost".to_owned(),
            session_seconds: 3600,
            endpoint: None,
        }
    }
}

/// One account, and the role in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsAccount {
    /// The role to assume, `arn:aws:iam::111122223333:role/provost`.
    pub role_arn: String,
    /// The external id that the role's trust policy asks for.
    #[serde(default)]
    pub external_id: Option<String>,
    /// The regions of this account. Defaults to those of `[aws]`.
    #[serde(default)]
    pub regions: Vec<String>,
}

/// A source, by its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SourceConfig {
    /// CloudTrail management events, by `LookupEvents`.
    AwsCloudtrail(AwsCloudtrailConfig),
    /// Charges of AWS, by Cost Explorer.
    AwsCost(AwsCostConfig),
    /// The Azure activity log, by its REST API.
    AzureActivity(AzureActivityConfig),
    /// Charges of Azure, by the Cost Management query API.
    AzureCost(AzureCostConfig),
    /// `DeviceNetworkEvents` of Microsoft Defender, by advanced hunting.
    DefenderNetwork(DefenderNetworkConfig),
    /// Entra directory audits, by Microsoft Graph.
    EntraAudits(EntraReportConfig),
    /// Entra sign-ins, by Microsoft Graph.
    EntraSignins(EntraReportConfig),
}

/// Settings of `aws_cloudtrail`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AwsCloudtrailConfig {
    /// The regions that are read. Defaults to those of the account, else of `[aws]`.
    pub regions: Vec<String>,
}

/// Settings of `aws_cost`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AwsCostConfig {
    /// How many requests a calendar month may hold; each costs USD 0.01, and every page is one. Past it the source
    /// waits for the next month. Defaults to 100.
    pub monthly_requests: u32,
    /// The accounts whose Cost Explorer is asked. Where one pays for all, name only that one: it sees the charges of all.
    /// Defaults to the accounts of `[aws]`.
    pub accounts: Vec<String>,
}

impl Default for AwsCostConfig {
    fn default() -> Self {
        Self { monthly_requests: 100, accounts: Vec::new() }
    }
}

/// Settings of `azure_activity`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AzureActivityConfig {
    /// The subscriptions, by id.
    pub subscriptions: Vec<String>,
}

/// Settings of `azure_cost`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AzureCostConfig {
    /// The subscriptions, by id.
    pub subscriptions: Vec<String>,
}

/// Settings of `defender_network`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DefenderNetworkConfig {
    /// The number of rows at which an answer counts as cut off and is asked for again in halves. Defaults to
    /// 100000, which is where the service cuts.
    pub max_rows: usize,
    /// The longest time that one query asks for. Defaults to 60 minutes.
    pub slice_minutes: u32,
    /// Seconds to wait for an answer; the service gives up after 180. Defaults to 200.
    pub timeout_seconds: f64,
}

impl Default for DefenderNetworkConfig {
    fn default() -> Self {
        Self { max_rows: 100_000, slice_minutes: 60, timeout_seconds: 200.0 }
    }
}

/// Settings of `entra_signins` and `entra_audits`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EntraReportConfig {
    /// The longest time that one list of pages covers; deep paging fails. Defaults to 60 minutes.
    pub slice_minutes: u32,
    /// Records per page, at most 1000. Defaults to 1000.
    pub page_size: u32,
}

impl Default for EntraReportConfig {
    fn default() -> Self {
        Self { slice_minutes: 60, page_size: 1000 }
    }
}

/// A sink, by its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SinkConfig {
    /// A file of JSON lines.
    Jsonl(JsonlConfig),
    /// Incidents of Microsoft Sentinel, by its own API.
    SentinelIncidents(SentinelIncidentsConfig),
    /// Custom tables of Microsoft Sentinel, by the Logs Ingestion API.
    SentinelIngestion(SentinelIngestionConfig),
}

/// Settings of `jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonlConfig {
    /// The file; it is made when it is not there.
    pub path: PathBuf,
}

/// Settings of `sentinel_incidents`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentinelIncidentsConfig {
    /// The workspace's subscription.
    pub subscription: String,
    /// The workspace's resource group.
    pub resource_group: String,
    /// The workspace's name.
    pub workspace: String,
    /// Labels that every incident gets. Defaults to `provost`.
    #[serde(default = "default_labels")]
    pub labels: Vec<String>,
}

fn default_labels() -> Vec<String> {
    vec!["provost".to_owned()]
}

/// Settings of `sentinel_ingestion`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentinelIngestionConfig {
    /// The logs ingestion endpoint of the data collection rule or data collection endpoint.
    pub endpoint: Url,
    /// The immutable id of the data collection rule, `dcr-…`.
    pub rule_id: String,
    /// The stream that takes findings. Defaults to `Custom-ProvostFindings_CL`.
    #[serde(default = "default_findings_stream")]
    pub findings_stream: String,
    /// The stream that takes incidents. Defaults to `Custom-ProvostIncidents_CL`.
    #[serde(default = "default_incidents_stream")]
    pub incidents_stream: String,
}

fn default_findings_stream() -> String {
    "Custom-ProvostFindings_CL".to_owned()
}

fn default_incidents_stream() -> String {
    "Custom-ProvostIncidents_CL".to_owned()
}

/// Seconds from a file as a duration; what makes no sense there becomes an error in its name.
pub(crate) fn seconds(name: &str, seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("{name} = {seconds}: not a number of seconds"))
}
