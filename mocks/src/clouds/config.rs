//! What a client is told: credentials for the environment, and a configuration file.

use std::collections::BTreeMap;
use std::path::Path;

use provost_model::Secret;

use super::aws::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use super::entra::{CLIENT_ID, CLIENT_SECRET};
use super::ingestion::RULE_ID;
use super::sts::{EXTERNAL_ID, READER_ROLE};
use super::world::World;
use super::{Clock, arm};

pub(crate) fn environment() -> BTreeMap<&'static str, Secret> {
    BTreeMap::from([
        ("PROVOST_AZURE_CLIENT_SECRET", Secret::new(CLIENT_SECRET)),
        ("AWS_ACCESS_KEY_ID", Secret::new(ACCESS_KEY_ID)),
        ("AWS_SECRET_ACCESS_KEY", Secret::new(SECRET_ACCESS_KEY)),
        // No profile and no metadata service of the machine that runs the test may come in between.
        ("AWS_EC2_METADATA_DISABLED", Secret::new("true")),
    ])
}

pub(crate) fn toml(world: &World, ca_file: &Path, raised: u32) -> String {
    let tenant = world.scenario.tenant();
    let endpoints = &world.endpoints;
    let quoted = |names: &[&str]| names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    let subscriptions: Vec<&str> =
        tenant.subscriptions.iter().map(|subscription| subscription.id.as_str()).collect();
    let accounts: String = tenant
        .accounts
        .iter()
        .map(|account| {
            format!(
                "\n[[aws.accounts]] # {}\nrole_arn = \"arn:aws:iam::{}:role/{READER_ROLE}\"\nexternal_id = \"{EXTERNAL_ID}\"\n",
                account.name, account.id
            )
        })
        .collect();
    let limits: String = [
        ("aws_cloudtrail", 2, 1),
        ("azure_activity", 50, 30),
        ("azure_cost", 12, 10),
        ("defender_hunting", 45, 60),
        ("graph_reports", 5, 10),
    ]
    .iter()
    .map(|(name, requests, seconds)| {
        format!("{name} = {{ requests = {}, seconds = {seconds} }}\n", requests * u64::from(raised))
    })
    .collect();
    let limits = if raised > 1 { format!("\n[http.limits]\n{limits}") } else { String::new() };
    let clock = match world.clock() {
        Clock::Fixed(now) => format!("# The mock clouds' clock stands at {}.\n", now.to_rfc3339()),
        Clock::Live => String::new(),
    };
    format!(
        r#"# Provost with the mock clouds of provost-mocks. Secrets come from the environment.
{clock}
[http]
extra_ca_file = {ca:?}
{limits}
[azure]
tenant = "{tenant_id}"
credential = {{ kind = "client_secret", client_id = "{CLIENT_ID}" }}

[azure.endpoints]
authority = "{entra}"
resource_manager = "{arm_url}"
graph = "{graph}"

[aws]
regions = [{regions}]
endpoint = "{aws}"
{accounts}
[sources.network]
kind = "defender_network"

[sources.cloudtrail]
kind = "aws_cloudtrail"

[sources.activity]
kind = "azure_activity"
subscriptions = [{subscriptions}]

[sources.signins]
kind = "entra_signins"

[sources.audits]
kind = "entra_audits"

[sources.aws_cost]
kind = "aws_cost"

[sources.azure_cost]
kind = "azure_cost"
subscriptions = [{subscriptions}]

[sinks.sentinel]
kind = "sentinel_ingestion"
endpoint = "{ingestion}"
rule_id = "{RULE_ID}"

[sinks.sentinel_incidents]
kind = "sentinel_incidents"
subscription = "{first}"
resource_group = "{group}"
workspace = "{workspace}"
"#,
        ca = ca_file.display().to_string(),
        tenant_id = tenant.id,
        entra = endpoints.entra,
        arm_url = endpoints.arm,
        graph = endpoints.graph,
        regions = quoted(&tenant.watched_regions()),
        aws = endpoints.aws,
        subscriptions = quoted(&subscriptions),
        ingestion = endpoints.ingestion,
        first = subscriptions[0],
        group = arm::RESOURCE_GROUP,
        workspace = arm::WORKSPACE,
    )
}
