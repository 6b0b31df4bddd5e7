//! Where tokens and keys come from, and that they don't show.

use provost_connectors::config::{
    AzureActivityConfig, AzureCloud, AzureConfig, AzureCredential, SourceConfig,
};
use provost_connectors::{Clock, Connectors, Secrets, SourceError};
use serde_json::json;

use crate::fixtures::{SUBSCRIPTION, azure, hour, http, now, pull, secrets};
use crate::server::{Answer, Server};

fn with(
    server: &Server,
    azure: &AzureConfig,
    secrets: &Secrets,
) -> std::sync::Arc<dyn provost_connectors::Source> {
    let connectors = Connectors::with_secrets(&http(server), Some(azure), None, Clock::fixed(now()), secrets);
    let config =
        SourceConfig::AzureActivity(AzureActivityConfig { subscriptions: vec![SUBSCRIPTION.to_owned()] });
    connectors.expect("good settings").source("activity", &config).expect("a source")
}

async fn server() -> Server {
    Server::start(|_, _| Answer::json(&json!({"value": []}))).await
}

fn form(server: &Server) -> std::collections::BTreeMap<String, String> {
    let body = server.tokens().last().expect("asked for a token").body.clone();
    url::form_urlencoded::parse(&body).into_owned().collect()
}

#[tokio::test]
async fn a_secret_file_is_read_for_each_token() {
    let server = server().await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "first\n").expect("written");
    let mut azure = azure(&server);
    azure.credential = AzureCredential::ClientSecret {
        client_id: "app".to_owned(),
        secret_file: Some(file.path().to_owned()),
    };
    pull(&*with(&server, &azure, &Secrets::default()), hour()).await.0.expect("read");
    assert_eq!(form(&server)["client_secret"], "first");
    std::fs::write(file.path(), "second").expect("written");
    pull(&*with(&server, &azure, &Secrets::default()), hour()).await.0.expect("read");
    assert_eq!(form(&server)["client_secret"], "second");
}

#[tokio::test]
async fn a_federated_token_is_presented_instead_of_a_secret() {
    let server = server().await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "outside-token").expect("written");
    let mut azure = azure(&server);
    azure.credential = AzureCredential::WorkloadIdentity {
        client_id: Some("app".to_owned()),
        token_file: Some(file.path().to_owned()),
    };
    pull(&*with(&server, &azure, &Secrets::default()), hour()).await.0.expect("read");
    let form = form(&server);
    assert_eq!(form["client_assertion"], "outside-token");
    assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
}

#[tokio::test]
async fn a_sovereign_cloud_has_its_own_audience_wherever_its_address_is() {
    let server = server().await;
    let azure = AzureConfig { cloud: AzureCloud::UsGovernment, ..azure(&server) };
    pull(&*with(&server, &azure, &secrets()), hour()).await.0.expect("read");
    assert_eq!(form(&server)["scope"], "https://management.usgovcloudapi.net/.default");
}

#[tokio::test]
async fn a_missing_secret_is_named() {
    let server = server().await;
    let error =
        pull(&*with(&server, &azure(&server), &Secrets::default()), hour()).await.0.expect_err("no secret");
    assert!(matches!(error, SourceError::Config(_)), "{error}");
    assert!(error.to_string().contains("PROVOST_AZURE_CLIENT_SECRET"), "{error}");
    assert!(server.tokens().is_empty());
}
