//! Daily charges of AWS by Cost Explorer. Every request costs money, so each is taken from a budget first.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_costexplorer::Client;
use aws_sdk_costexplorer::operation::get_cost_and_usage::GetCostAndUsageOutput;
use aws_sdk_costexplorer::types::{
    DateInterval, Granularity, GroupDefinition, GroupDefinitionType, ResultByTime,
};
use aws_smithy_types::retry::RetryConfig;
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use provost_model::{Partition, Row, RowError, TableSpec, Window, parse_time};
use serde_json::json;

use super::reading::{check, give, table, within_retention};
use crate::aws::{Account, AwsContext, failure};
use crate::budget::{Budget, BudgetError};
use crate::clock::Clock;
use crate::config::AwsCostConfig;
use crate::connectors::Connectors;
use crate::http::HttpClient;
use crate::meter::counted;
use crate::records::DailyCharge;
use crate::retry::REPLACEMENTS;
use crate::source::{Check, CheckStatus, Pace, Pulled, RowSink, Source, SourceError};

const SERVICE: &str = "aws_cost";
/// The API reaches back 13 months.
const RETENTION: TimeDelta = TimeDelta::days(395);
const METRIC: &str = "UnblendedCost";
const REMEDY: &str =
    "allow ce:GetCostAndUsage on * to the role, and activate IAM access to billing in the account";

/// The source.
#[derive(Debug)]
pub(super) struct AwsCost {
    table: &'static TableSpec,
    aws: Arc<AwsContext>,
    http: HttpClient,
    clock: Clock,
    budget: Arc<dyn Budget>,
    config: AwsCostConfig,
}

impl AwsCost {
    pub(super) fn new(connectors: &Connectors, config: &AwsCostConfig) -> Result<Self, SourceError> {
        let budget = connectors.budget.clone().ok_or_else(|| {
            SourceError::Config("aws_cost spends money and needs a place to keep its budget".to_owned())
        })?;
        Ok(Self {
            table: table("Costs")?,
            aws: Arc::clone(connectors.aws()?),
            http: connectors.http.clone(),
            clock: connectors.clock.clone(),
            budget,
            config: config.clone(),
        })
    }

    async fn accounts(&self) -> Result<Vec<Account>, SourceError> {
        let wanted = |account: &&Account| {
            self.config.accounts.is_empty() || self.config.accounts.contains(&account.id)
        };
        Ok(self.aws.accounts().await?.iter().filter(wanted).cloned().collect())
    }

    async fn read(
        &self,
        partition: &Partition,
        window: Window,
        out: &mut dyn RowSink,
    ) -> Result<u64, SourceError> {
        within_retention(SERVICE, window, RETENTION, self.clock.now())?;
        let account = self.accounts().await?.into_iter().find(|account| account.id == partition.0);
        let account = account
            .ok_or_else(|| SourceError::Config(format!("{SERVICE}: there is no partition {partition}")))?;
        let mut records = 0;
        let mut token = None;
        loop {
            let page = self.page(&account, window, token.clone()).await?;
            for day in page.results_by_time() {
                records += self.give_day(&account, day, out).await?;
            }
            let next = page.next_page_token().filter(|token| !token.is_empty()).map(str::to_owned);
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

    /// One page. The SDK must not repeat a request by itself here: each try is paid for.
    async fn page(
        &self,
        account: &Account,
        window: Window,
        token: Option<String>,
    ) -> Result<GetCostAndUsageOutput, SourceError> {
        let days = interval(window).map_err(SourceError::Config)?;
        let group =
            |key: &str| GroupDefinition::builder().r#type(GroupDefinitionType::Dimension).key(key).build();
        let request = |client: &Client| {
            client
                .get_cost_and_usage()
                .time_period(days.clone())
                .granularity(Granularity::Daily)
                .metrics(METRIC)
                .group_by(group("LINKED_ACCOUNT"))
                .group_by(group("SERVICE"))
                .set_next_page_token(token.clone())
        };
        let retry = self.http.retry();
        let mut client = self.client(account).await;
        let mut replaced = 0;
        let mut waited = Duration::ZERO;
        let mut tries = 1;
        loop {
            self.spend(account).await?;
            let error = match request(&client).send().await {
                Ok(page) => return Ok(page),
                Err(error) => failure(SERVICE, error, REMEDY),
            };
            // A session that ended before its time is replaced.
            if matches!(error, SourceError::Unauthenticated { .. }) && replaced < REPLACEMENTS {
                replaced += 1;
                self.aws.forget_session(account).await;
                client = self.client(account).await;
                continue;
            }
            let may_pass = matches!(
                error,
                SourceError::Incomplete { .. }
                    | SourceError::Throttled { .. }
                    | SourceError::TimedOut { .. }
                    | SourceError::Unreachable { .. }
            );
            let wait = retry.backoff(tries);
            if !may_pass || tries >= retry.attempts || waited + wait > retry.max_wait {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
            waited += wait;
            tries += 1;
        }
    }

    async fn spend(&self, account: &Account) -> Result<(), SourceError> {
        let month = self.clock.now().format("%Y-%m").to_string();
        let name = format!("{SERVICE}/{}", account.id);
        let taken = self.budget.take(&name, &month, self.config.monthly_requests).await;
        taken.map_err(|error| {
            let hint = match error {
                BudgetError::UsedUp { .. } => "; it is renewed with the month, or raise monthly_requests",
                BudgetError::NotKept(_) => "",
            };
            SourceError::Budget { service: SERVICE, message: format!("{error}{hint}") }
        })
    }

    async fn client(&self, account: &Account) -> Client {
        let region = account.regions.first().map_or("us-east-1", String::as_str);
        // Cost Explorer lives in one region of each partition of AWS.
        let region = if region.starts_with("cn-") { "cn-northwest-1" } else { "us-east-1" };
        let config = self.aws.sdk_config(account, region, SERVICE, None).await;
        let config = config.into_builder().retry_config(RetryConfig::disabled()).build();
        Client::new(&config)
    }

    async fn give_day(
        &self,
        account: &Account,
        day: &ResultByTime,
        out: &mut dyn RowSink,
    ) -> Result<u64, SourceError> {
        let start = day.time_period().map(|period| period.start()).unwrap_or_default();
        for group in day.groups() {
            let metric = group.metrics().and_then(|metrics| metrics.get(METRIC));
            let amount = metric.and_then(|metric| metric.amount());
            let unit = metric.and_then(|metric| metric.unit());
            let record = json!({
                "Start": start, "Keys": group.keys(), "Amount": amount, "Unit": unit, "Estimated": day.estimated(),
            });
            let row = charge(&account.id, start, group.keys(), amount, unit, day.estimated());
            give(out, &format!("GetCostAndUsage {}", account.id), &record, row).await?;
        }
        Ok(day.groups().len() as u64)
    }
}

#[async_trait]
impl Source for AwsCost {
    fn table(&self) -> &'static TableSpec {
        self.table
    }

    fn pace(&self) -> Pace {
        Pace {
            max_window: TimeDelta::days(31),
            // The last days are restated for a while.
            overlap: TimeDelta::days(5),
            settle: TimeDelta::hours(8),
            retention: RETENTION - TimeDelta::days(2),
            align: TimeDelta::days(1),
        }
    }

    async fn partitions(&self) -> Result<Vec<Partition>, SourceError> {
        Ok(self.accounts().await?.into_iter().map(|account| Partition(account.id)).collect())
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
        let accounts = match self.accounts().await {
            Ok(accounts) => accounts,
            Err(error) => return vec![check("AWS credentials".to_owned(), Err(error))],
        };
        let mut checks = Vec::with_capacity(accounts.len());
        for account in accounts {
            let today = self.clock.now().date_naive().and_time(NaiveTime::MIN).and_utc();
            let tried = async {
                let window = Window::new(today - TimeDelta::days(2), today - TimeDelta::days(1))
                    .ok_or_else(|| SourceError::Config("the clock is out of range".to_owned()))?;
                let page = self.page(&account, window, None).await?;
                let charges: usize = page.results_by_time().iter().map(|day| day.groups().len()).sum();
                Ok(format!(
                    "GetCostAndUsage answers; {charges} charges the day before yesterday (USD 0.01 spent)"
                ))
            };
            checks.push(check(format!("Cost Explorer {}", account.id), tried.await));
        }
        if checks.is_empty() {
            checks.push(Check {
                name: "Cost Explorer".to_owned(),
                status: CheckStatus::Warning,
                detail: "none of the accounts of [aws] is among those of this source".to_owned(),
                remedy: None,
            });
        }
        checks
    }
}

/// The days that a window touches; the end is the first day that is not asked for.
fn interval(window: Window) -> Result<DateInterval, String> {
    let last = window.to() - TimeDelta::nanoseconds(1);
    DateInterval::builder()
        .start(window.from().date_naive().to_string())
        .end((last.date_naive() + TimeDelta::days(1)).to_string())
        .build()
        .map_err(|error| error.to_string())
}

fn charge(
    payer: &str,
    start: &str,
    keys: &[String],
    amount: Option<&str>,
    unit: Option<&str>,
    estimated: bool,
) -> Result<Row, RowError> {
    let [account, service] = keys else {
        return Err(RowError::Record(format!("{} keys where two were asked for", keys.len())));
    };
    let day: DateTime<Utc> = parse_time(start).map_err(|error| RowError::Record(error.to_string()))?;
    let amount = amount.ok_or(RowError::Missing(METRIC))?;
    let amount: f64 = amount.parse().map_err(|_| RowError::Record(format!("'{amount}' is not an amount")))?;
    DailyCharge {
        provider: "AWS",
        issuer: "Amazon Web Services",
        billing_account: Some(payer),
        account,
        account_type: "Account",
        service,
        region: None,
        day,
        amount,
        currency: unit.unwrap_or("USD"),
        estimated: Some(estimated),
    }
    .row()
}
