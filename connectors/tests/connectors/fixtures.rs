//! What the tests share: settings that point at a server, a place for rows, times.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use provost_connectors::config::{
    AwsConfig, AzureConfig, AzureCredential, AzureEndpoints, HttpConfig, LimitName, RateConfig,
};
use provost_connectors::{
    AwsKeys, Budget, BudgetError, Clock, Connectors, Pulled, RowSink, Secrets, Source, SourceError,
};
use provost_model::{Cell, Partition, Reject, Row, Secret, TableSpec, Window, parse_time};

use crate::server::Server;

pub(crate) const TENANT: &str = "11111111-2222-3333-4444-555555555555";
pub(crate) const SUBSCRIPTION: &str = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";
pub(crate) const SECRET: &str = "s3cr3t-that-must-not-show";
pub(crate) const AWS_SECRET: &str = "aws-s3cr3t-that-must-not-show";

/// Takes rows and rejects.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) rows: Vec<Row>,
    pub(crate) rejects: Vec<Reject>,
}

impl Taken {
    pub(crate) fn ids(&self) -> Vec<String> {
        self.rows.iter().map(|row| text(row, TableSpec::EVENT_ID)).collect()
    }
}

#[async_trait]
impl RowSink for Taken {
    async fn row(&mut self, row: Row) -> Result<(), SourceError> {
        self.rows.push(row);
        Ok(())
    }

    async fn reject(&mut self, reject: Reject) -> Result<(), SourceError> {
        self.rejects.push(reject);
        Ok(())
    }
}

/// A budget in memory.
#[derive(Debug, Default)]
pub(crate) struct Purse(pub(crate) Mutex<BTreeMap<(String, String), u32>>);

#[async_trait]
impl Budget for Purse {
    async fn take(&self, name: &str, month: &str, limit: u32) -> Result<(), BudgetError> {
        let mut spent = self.0.lock().expect("not poisoned");
        let spent = spent.entry((name.to_owned(), month.to_owned())).or_default();
        if *spent >= limit {
            return Err(BudgetError::UsedUp { month: month.to_owned(), limit });
        }
        *spent += 1;
        Ok(())
    }
}

pub(crate) fn time(text: &str) -> DateTime<Utc> {
    parse_time(text).expect("a time")
}

pub(crate) fn now() -> DateTime<Utc> {
    time("2026-03-02T00:00:00Z")
}

pub(crate) fn window(from: &str, to: &str) -> Window {
    Window::new(time(from), time(to)).expect("not empty")
}

pub(crate) fn hour() -> Window {
    window("2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z")
}

pub(crate) fn text(row: &Row, column: &str) -> String {
    match row.get(column) {
        Some(Cell::Text(text)) => text.clone(),
        other => format!("{other:?}"),
    }
}

pub(crate) fn http(server: &Server) -> HttpConfig {
    let quick = RateConfig { requests: 10_000, seconds: 1.0 };
    HttpConfig {
        extra_ca_file: Some(server.ca_file.path().to_owned()),
        attempts: 4,
        backoff_seconds: 0.005,
        max_backoff_seconds: 0.02,
        max_wait_seconds: 3.0,
        timeout_seconds: 2.0,
        limits: [
            LimitName::AwsCloudtrail,
            LimitName::AzureActivity,
            LimitName::AzureCost,
            LimitName::DefenderHunting,
            LimitName::GraphReports,
        ]
        .map(|name| (name, quick))
        .into(),
        ..HttpConfig::default()
    }
}

pub(crate) fn azure(server: &Server) -> AzureConfig {
    AzureConfig {
        tenant: TENANT.to_owned(),
        cloud: Default::default(),
        credential: AzureCredential::ClientSecret { client_id: "app".to_owned(), secret_file: None },
        endpoints: AzureEndpoints {
            authority: Some(server.url()),
            resource_manager: Some(server.url()),
            graph: Some(server.url()),
        },
    }
}

pub(crate) fn secrets() -> Secrets {
    Secrets {
        azure_client_secret: Some(Secret::new(SECRET)),
        aws: Some(AwsKeys {
            access_key_id: "AKIAEXAMPLE".to_owned(),
            secret_access_key: Secret::new(AWS_SECRET),
            session_token: None,
        }),
    }
}

pub(crate) fn connectors(server: &Server) -> Connectors {
    connectors_with(server, &http(server), &AwsConfig::default())
}

pub(crate) fn connectors_with(server: &Server, http: &HttpConfig, aws: &AwsConfig) -> Connectors {
    let aws = AwsConfig { endpoint: Some(server.url()), ..aws.clone() };
    Connectors::with_secrets(http, Some(&azure(server)), Some(&aws), Clock::fixed(now()), &secrets())
        .expect("good settings")
        .budget(std::sync::Arc::new(Purse::default()))
}

pub(crate) async fn pull(source: &dyn Source, window: Window) -> (Result<Pulled, SourceError>, Taken) {
    let partitions = source.partitions().await.expect("partitions");
    pull_part(source, &partitions[0], window).await
}

pub(crate) async fn pull_part(
    source: &dyn Source,
    partition: &Partition,
    window: Window,
) -> (Result<Pulled, SourceError>, Taken) {
    let mut taken = Taken::default();
    let pulled = source.pull(partition, window, &mut taken).await;
    (pulled, taken)
}
