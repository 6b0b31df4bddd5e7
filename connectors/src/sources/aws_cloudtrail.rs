//! CloudTrail management events by `LookupEvents`, per account and region.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::operation::lookup_events::LookupEventsOutput;
use aws_sdk_cloudtrail::types::Event;
use aws_smithy_types::DateTime as SdkTime;
use chrono::{DateTime, TimeDelta, Utc};
use provost_model::{Partition, TableSpec, Window};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::reading::{check, give, table, within_retention};
use crate::aws::{Account, AwsContext, failure};
use crate::clock::Clock;
use crate::config::AwsCloudtrailConfig;
use crate::connectors::Connectors;
use crate::limit::{LimitKey, LimitName};
use crate::meter::counted;
use crate::records::cloudtrail;
use crate::retry::REPLACEMENTS;
use crate::source::{Check, Pace, Pulled, RowSink, Source, SourceError};

const SERVICE: &str = "aws_cloudtrail";
const RETENTION: TimeDelta = TimeDelta::days(90);
const REMEDY: &str = "allow cloudtrail:LookupEvents on * to the role (deploy/aws has one)";

/// The source.
#[derive(Debug)]
pub(super) struct AwsCloudtrail {
    table: &'static TableSpec,
    aws: Arc<AwsContext>,
    clock: Clock,
    regions: Vec<String>,
    /// One client per partition, because a client keeps its session.
    clients: Mutex<HashMap<Partition, Client>>,
}

impl AwsCloudtrail {
    pub(super) fn new(connectors: &Connectors, config: &AwsCloudtrailConfig) -> Result<Self, SourceError> {
        Ok(Self {
            table: table("AWSCloudTrail")?,
            aws: Arc::clone(connectors.aws()?),
            clock: connectors.clock.clone(),
            regions: config.regions.clone(),
            clients: Mutex::new(HashMap::new()),
        })
    }

    async fn parts(&self) -> Result<Vec<(Partition, Account, String)>, SourceError> {
        let mut parts = Vec::new();
        for account in self.aws.accounts().await? {
            let regions = if self.regions.is_empty() { &account.regions } else { &self.regions };
            for region in regions {
                let partition = Partition(format!("{}/{region}", account.id));
                parts.push((partition, account.clone(), region.clone()));
            }
        }
        Ok(parts)
    }

    async fn part(&self, partition: &Partition) -> Result<(Account, String), SourceError> {
        let part = self.parts().await?.into_iter().find(|(name, ..)| name == partition);
        let (_, account, region) =
            part.ok_or_else(|| SourceError::Config(format!("{SERVICE}: there is no partition {partition}")))?;
        Ok((account, region))
    }

    async fn client(&self, partition: &Partition) -> Result<Client, SourceError> {
        if let Some(client) = self.clients.lock().await.get(partition) {
            return Ok(client.clone());
        }
        let (account, region) = self.part(partition).await?;
        let limit = LimitKey::new(LimitName::AwsCloudtrail, partition.0.as_str());
        let client = Client::new(&self.aws.sdk_config(&account, &region, SERVICE, Some(limit)).await);
        self.clients.lock().await.insert(partition.clone(), client.clone());
        Ok(client)
    }

    /// One page. A session that ended before its time is replaced.
    async fn page(
        &self,
        partition: &Partition,
        (start, end): (i64, i64),
        token: Option<&str>,
    ) -> Result<LookupEventsOutput, SourceError> {
        let mut replaced = 0;
        loop {
            let request = self.client(partition).await?.lookup_events();
            let page = request
                .start_time(SdkTime::from_secs(start))
                .end_time(SdkTime::from_secs(end))
                .max_results(50)
                .set_next_token(token.map(str::to_owned))
                .send()
                .await;
            match page.map_err(|error| failure(SERVICE, error, REMEDY)) {
                Err(SourceError::Unauthenticated { .. }) if replaced < REPLACEMENTS => {
                    replaced += 1;
                    self.clients.lock().await.remove(partition);
                    self.aws.forget_session(&self.part(partition).await?.0).await;
                }
                page => return page,
            }
        }
    }

    async fn read(
        &self,
        partition: &Partition,
        window: Window,
        out: &mut dyn RowSink,
    ) -> Result<u64, SourceError> {
        within_retention(SERVICE, window, RETENTION, self.clock.now())?;
        let Some(seconds) = inclusive_seconds(window) else { return Ok(0) };
        let mut records = 0;
        let mut token: Option<String> = None;
        loop {
            // Pages are newest first: with an open end, events that happen meanwhile would shift them. All parameters
            // stay the same from page to page, else the token is refused.
            let page = self.page(partition, seconds, token.as_deref()).await?;
            for event in page.events() {
                records += 1;
                let record = record(event);
                give(out, &format!("LookupEvents {partition}"), &record, cloudtrail(&record)).await?;
            }
            // A page can be empty and have a token; the end is where there is none.
            let next = page.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
            match next {
                None => return Ok(records),
                Some(_) if next == token => {
                    return Err(SourceError::Incomplete {
                        service: SERVICE,
                        message: format!("{partition}: the same page token came twice"),
                    });
                }
                next => token = next,
            }
        }
    }

    async fn check_part(&self, partition: &Partition) -> Check {
        let now = self.clock.now();
        let tried = async {
            let seconds = ((now - TimeDelta::minutes(30)).timestamp(), now.timestamp());
            let page = self.page(partition, seconds, None).await?;
            let seen = if page.events().is_empty() { "no event" } else { "events" };
            Ok(format!("LookupEvents answers; {seen} in the last half hour"))
        };
        check(format!("CloudTrail {partition}"), tried.await)
    }
}

#[async_trait]
impl Source for AwsCloudtrail {
    fn table(&self) -> &'static TableSpec {
        self.table
    }

    fn pace(&self) -> Pace {
        Pace {
            max_window: TimeDelta::hours(6),
            overlap: TimeDelta::minutes(30),
            settle: TimeDelta::minutes(2),
            // A little less than the service keeps, for the time between planning a window and reading it.
            retention: RETENTION - TimeDelta::hours(1),
            align: TimeDelta::seconds(1),
        }
    }

    async fn partitions(&self) -> Result<Vec<Partition>, SourceError> {
        Ok(self.parts().await?.into_iter().map(|(partition, ..)| partition).collect())
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
        match self.partitions().await {
            Ok(partitions) => {
                let mut checks = Vec::with_capacity(partitions.len());
                for partition in &partitions {
                    checks.push(self.check_part(partition).await);
                }
                checks
            }
            Err(error) => vec![check("AWS credentials".to_owned(), Err(error))],
        }
    }
}

/// The first and the last whole second of a window: `LookupEvents` takes both ends as inside, and the times of events
/// are whole seconds. `None` where no whole second lies inside.
fn inclusive_seconds(window: Window) -> Option<(i64, i64)> {
    let start = ceil(window.from());
    let end = ceil(window.to()) - 1;
    (start <= end).then_some((start, end))
}

fn ceil(instant: DateTime<Utc>) -> i64 {
    instant.timestamp() + i64::from(instant.timestamp_subsec_nanos() > 0)
}

/// An element of `Events` as the API writes it, so that it can be read, and kept when it can't.
fn record(event: &Event) -> Value {
    json!({
        "EventId": event.event_id(),
        "EventName": event.event_name(),
        "EventTime": event.event_time().map(|time| time.secs()),
        "CloudTrailEvent": event.cloud_trail_event(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use provost_model::parse_time;

    #[test]
    fn half_open_windows_meet_without_gap_or_overlap_at_inclusive_ends() {
        for (from, to, seconds) in [
            ("2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z", Some((0, 3599))),
            ("2026-03-01T10:00:00.5Z", "2026-03-01T10:00:02.5Z", Some((1, 2))),
            ("2026-03-01T10:00:00.2Z", "2026-03-01T10:00:00.9Z", None),
        ] {
            let base = parse_time("2026-03-01T10:00:00Z").expect("a time").timestamp();
            let window = Window::new(parse_time(from).expect("a time"), parse_time(to).expect("a time"))
                .expect("not empty");
            let seconds = seconds.map(|(start, end)| (base + start, base + end));
            assert_eq!(inclusive_seconds(window), seconds, "{window}");
        }
    }
}
