//! The Azure activity log by its REST API, per subscription.

use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use http::{HeaderValue, Method};
use provost_model::{Partition, TableSpec, Window};
use url::Url;

use super::reading::{Page, check, give, instant, subscriptions, table, within_retention};
use crate::api::Api;
use crate::azure::Endpoint;
use crate::clock::Clock;
use crate::config::AzureActivityConfig;
use crate::connectors::Connectors;
use crate::http::Request;
use crate::limit::{LimitKey, LimitName};
use crate::meter::counted;
use crate::records::activity;
use crate::source::{Check, Pace, Pulled, RowSink, Source, SourceError};

const SERVICE: &str = "azure_activity";
const RETENTION: TimeDelta = TimeDelta::days(90);
/// The service gives itself 75 seconds when asked to.
const TIMEOUT: Duration = Duration::from_secs(90);

/// The source.
#[derive(Debug)]
pub(super) struct AzureActivity {
    table: &'static TableSpec,
    api: Api,
    clock: Clock,
    subscriptions: Vec<String>,
}

impl AzureActivity {
    pub(super) fn new(connectors: &Connectors, config: &AzureActivityConfig) -> Result<Self, SourceError> {
        let remedy = "give the application Monitoring Reader: az role assignment create --role 'Monitoring Reader' \
                      --assignee APP --scope /subscriptions/SUBSCRIPTION";
        Ok(Self {
            table: table("AzureActivity")?,
            api: connectors.azure()?.api(SERVICE, Endpoint::ResourceManager, remedy.to_owned())?,
            clock: connectors.clock.clone(),
            subscriptions: subscriptions(&config.subscriptions)?,
        })
    }

    fn first_page(&self, subscription: &str, window: Window) -> Result<Url, SourceError> {
        let path = format!(
            "/subscriptions/{subscription}/providers/Microsoft.Insights/eventtypes/management/values"
        );
        // Both ends are inside for the service. An event at the very end is read by the next window too, which costs
        // nothing; an end made earlier by some fraction would lose what lies in it.
        let filter = format!(
            "eventTimestamp ge '{}' and eventTimestamp le '{}'",
            instant(window.from()),
            instant(window.to())
        );
        self.api.url(&path, &[("api-version", "2015-04-01"), ("$filter", &filter)])
    }

    async fn page(&self, subscription: &str, url: Url) -> Result<Page, SourceError> {
        let mut request = Request::for_json(SERVICE, Method::GET, url)
            .header("prefer", HeaderValue::from_static("wait=75"))
            .limit(LimitKey::new(LimitName::AzureActivity, subscription));
        request.timeout = Some(TIMEOUT);
        self.api.ask(request).await
    }

    async fn read(
        &self,
        partition: &Partition,
        window: Window,
        out: &mut dyn RowSink,
    ) -> Result<u64, SourceError> {
        within_retention(SERVICE, window, RETENTION, self.clock.now())?;
        let mut records = 0;
        let mut url = self.first_page(&partition.0, window)?;
        loop {
            let page = self.page(&partition.0, url.clone()).await?;
            for record in &page.value {
                records += 1;
                give(out, &format!("activity log {partition}"), record, activity(record)).await?;
            }
            // A page can be empty and have a next link; the end is where there is none.
            let Some(link) = page.next_link.filter(|link| !link.is_empty()) else { return Ok(records) };
            let next = self.api.follow(&link)?;
            if next == url {
                let message = format!("{partition}: a page names itself as the next");
                return Err(SourceError::Incomplete { service: SERVICE, message });
            }
            url = next;
        }
    }
}

#[async_trait]
impl Source for AzureActivity {
    fn table(&self) -> &'static TableSpec {
        self.table
    }

    fn pace(&self) -> Pace {
        Pace {
            max_window: TimeDelta::hours(6),
            // Events appear 3 to 20 minutes late.
            overlap: TimeDelta::minutes(45),
            settle: TimeDelta::minutes(2),
            retention: RETENTION - TimeDelta::hours(1),
            align: TimeDelta::seconds(1),
        }
    }

    async fn partitions(&self) -> Result<Vec<Partition>, SourceError> {
        Ok(self.subscriptions.iter().cloned().map(Partition).collect())
    }

    async fn pull(
        &self,
        partition: &Partition,
        window: Window,
        out: &mut dyn RowSink,
    ) -> Result<Pulled, SourceError> {
        let (records, requests) = counted(self.read(partition, window, out)).await;
        Ok(Pulled { records: records?, requests })
    }

    async fn check(&self) -> Vec<Check> {
        let mut checks = Vec::with_capacity(self.subscriptions.len());
        for subscription in &self.subscriptions {
            let now = self.clock.now();
            let tried = async {
                let window = Window::new(now - TimeDelta::minutes(30), now)
                    .ok_or_else(|| SourceError::Config("the clock is out of range".to_owned()))?;
                let page = self.page(subscription, self.first_page(subscription, window)?).await?;
                Ok(format!("the activity log answers; {} events in the last half hour", page.value.len()))
            };
            checks.push(check(format!("Azure activity log {subscription}"), tried.await));
        }
        checks
    }
}
