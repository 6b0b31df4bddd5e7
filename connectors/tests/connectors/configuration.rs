//! Settings: what is written, what is left out, what is misspelt.

use provost_connectors::config::{AwsConfig, AzureConfig, HttpConfig, SinkConfig, SourceConfig};
use provost_connectors::{Clock, Connectors, Secrets};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    http: HttpConfig,
    azure: Option<AzureConfig>,
    aws: Option<AwsConfig>,
    #[serde(default)]
    source: std::collections::BTreeMap<String, SourceConfig>,
    #[serde(default)]
    sink: std::collections::BTreeMap<String, SinkConfig>,
}

const EVERYTHING: &str = r#"
[http]
connect_timeout_seconds = 10
timeout_seconds = 60
attempts = 6
backoff_seconds = 0.5
max_backoff_seconds = 30
max_wait_seconds = 300
max_body_megabytes = 256
no_proxy = ["internal.example"]
proxy = "http://proxy.internal.example:3128"
[http.limits]
graph_reports = { requests = 5, seconds = 10 }

[azure]
tenant = "contoso.onmicrosoft.com"
cloud = "usgovernment"
[azure.credential]
kind = "workload_identity"
client_id = "00000000-0000-0000-0000-000000000001"
[azure.endpoints]
resource_manager = "https://management.internal.example"

[aws]
regions = ["us-east-1", "eu-west-1"]
session_name = "provost"
session_seconds = 3600
[[aws.accounts]]
role_arn = "arn:aws:iam::111122223333:role/provost"
external_id = "e"
regions = ["us-east-1"]

[source.trail]
kind = "aws_cloudtrail"
regions = ["us-east-1"]
[source.aws-cost]
kind = "aws_cost"
monthly_requests = 60
accounts = ["111122223333"]
[source.activity]
kind = "azure_activity"
subscriptions = ["aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"]
[source.azure-cost]
kind = "azure_cost"
subscriptions = ["aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"]
[source.defender]
kind = "defender_network"
max_rows = 50000
[source.signins]
kind = "entra_signins"
[source.audits]
kind = "entra_audits"
slice_minutes = 30

[sink.sentinel]
kind = "sentinel_ingestion"
endpoint = "https://dce.westeurope-1.ingest.monitor.azure.com"
rule_id = "dcr-0123456789abcdef"
[sink.incidents]
kind = "sentinel_incidents"
subscription = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
resource_group = "soc"
workspace = "soc-logs"
[sink.file]
kind = "jsonl"
path = "findings.jsonl"
"#;

#[tokio::test]
async fn every_connector_can_be_made_from_a_file() {
    let file: File = toml::from_str(EVERYTHING).expect("good settings");
    let clock = Clock::system();
    let connectors = Connectors::with_secrets(
        &file.http,
        file.azure.as_ref(),
        file.aws.as_ref(),
        clock,
        &Secrets::default(),
    )
    .expect("good settings")
    .budget(std::sync::Arc::new(crate::fixtures::Purse::default()));
    assert_eq!((file.source.len(), file.sink.len()), (7, 3));
    for (name, config) in &file.source {
        let source = connectors.source(name, config).unwrap_or_else(|error| panic!("{error}"));
        assert!(source.pace().max_window > source.pace().settle, "{name}");
    }
    for (name, config) in &file.sink {
        assert_eq!(connectors.sink(name, config).unwrap_or_else(|error| panic!("{error}")).name(), name);
    }
}

#[test]
fn a_misspelt_setting_is_named() {
    for (text, word) in [
        ("[http]\ntimeout = 3", "timeout"),
        (
            "[azure]\ntenant = 't'\n[azure.credential]\nkind = 'client_secret'\nclient_id = 'c'\nsecret = 's'",
            "secret",
        ),
        ("[aws]\nregion = 'us-east-1'", "region"),
        ("[source.x]\nkind = 'aws_cloudtrail'\nregion = ['us-east-1']", "region"),
        ("[source.x]\nkind = 'azure_activty'", "azure_activty"),
        ("[source.x]\nkind = 'azure_activity'", "subscriptions"),
        ("[sink.x]\nkind = 'jsonl'\npath = 'p'\nfsync = true", "fsync"),
        ("[http.limits]\ngraph = { requests = 1, seconds = 1 }", "graph"),
    ] {
        let error = toml::from_str::<File>(text).expect_err(text).to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let refused = |text: &str| {
        let file: File = toml::from_str(text).expect("it can be read");
        let made = Connectors::with_secrets(
            &file.http,
            file.azure.as_ref(),
            file.aws.as_ref(),
            Clock::system(),
            &Secrets::default(),
        );
        let made = made.and_then(|connectors| {
            for (name, config) in &file.source {
                connectors.source(name, config)?;
            }
            for (name, config) in &file.sink {
                connectors
                    .sink(name, config)
                    .map_err(|error| provost_connectors::SourceError::Config(error.to_string()))?;
            }
            Ok(())
        });
        made.expect_err(text).to_string()
    };
    let azure = "[azure]\ntenant = 't'\n";
    for (text, word) in [
        ("[http]\ntimeout_seconds = -1".to_owned(), "http.timeout_seconds = -1"),
        ("[http]\nextra_ca_file = '/no/such/file'".to_owned(), "http.extra_ca_file /no/such/file"),
        ("[http]\nproxy = 'http://u:hunter2@p'".to_owned(), "http.proxy holds a password"),
        ("[http.limits]\ngraph_reports = { requests = 0, seconds = 1 }".to_owned(), "more than 0"),
        ("[aws]\nsession_seconds = 60".to_owned(), "aws.session_seconds = 60"),
        ("[[aws.accounts]]\nrole_arn = 'provost'".to_owned(), "'provost' is not the ARN of a role"),
        ("[source.x]\nkind = 'aws_cloudtrail'".to_owned(), "source x: there is no [aws] section"),
        (
            format!("{azure}[source.x]\nkind = 'azure_activity'\nsubscriptions = ['a/b']"),
            "'a/b' is not a subscription's id",
        ),
        (
            format!("{azure}[source.x]\nkind = 'azure_cost'\nsubscriptions = []"),
            "source x: subscriptions: name at least one",
        ),
        (format!("{azure}[source.x]\nkind = 'entra_audits'\npage_size = 5000"), "page_size = 5000"),
        (
            format!(
                "{azure}[sink.x]\nkind = 'sentinel_ingestion'\nendpoint = 'https://e'\nrule_id = 'dcr/../x'"
            ),
            "rule_id = 'dcr/../x'",
        ),
        (
            format!("{azure}[sink.x]\nkind = 'sentinel_ingestion'\nendpoint = 'http://e'\nrule_id = 'dcr-1'"),
            "https only",
        ),
    ] {
        let error = refused(&text);
        assert!(error.contains(word), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
