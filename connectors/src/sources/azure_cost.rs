//! Daily charges of Azure by the Cost Management query API, per subscription.

use async_trait::async_trait;
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Utc};
use http::{HeaderValue, Method, StatusCode};
use provost_model::{Partition, Row, RowError, TableSpec, Window};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::reading::{check, give, subscriptions, table, within_retention};
use crate::api::Api;
use crate::azure::Endpoint;
use crate::clock::Clock;
use crate::config::AzureCostConfig;
use crate::connectors::Connectors;
use crate::http::Request;
use crate::limit::{LimitKey, LimitName, Turn};
use crate::meter::counted;
use crate::records::DailyCharge;
use crate::source::{Check, Pace, Pulled, RowSink, Source, SourceError};

const SERVICE: &str = "azure_cost";
const API_VERSION: &str = "2023-11-01";
/// The query API reaches back 13 months.
const RETENTION: TimeDelta = TimeDelta::days(395);

/// The source.
#[derive(Debug)]
pub(super) struct AzureCost {
    table: &'static TableSpec,
    api: Api,
    tenant: String,
    clock: Clock,
    subscriptions: Vec<String>,
}

/// An answer: rows by position, what stands where is said by the columns.
#[derive(Debug, Deserialize)]
struct Answer {
    properties: Table,
}

#[derive(Debug, Deserialize)]
struct Table {
    #[serde(rename = "nextLink")]
    next_link: Option<String>,
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
struct Column {
    name: String,
}

impl AzureCost {
    pub(super) fn new(connectors: &Connectors, config: &AzureCostConfig) -> Result<Self, SourceError> {
        let remedy = "give the application Cost Management Reader: az role assignment create --role 'Cost Management \
                      Reader' --assignee APP --scope /subscriptions/SUBSCRIPTION";
        let azure = connectors.azure()?;
        Ok(Self {
            table: table("Costs")?,
            api: azure.api(SERVICE, Endpoint::ResourceManager, remedy.to_owned())?,
            tenant: azure.tenant().to_owned(),
            clock: connectors.clock.clone(),
            subscriptions: subscriptions(&config.subscriptions)?,
        })
    }

    /// A page; `None` where there is no data at all. Next links are asked like the first page, with the same body.
    async fn page(&self, url: Url, window: Window) -> Result<Option<Table>, SourceError> {
        let units = months(window);
        let request = Request::for_json(SERVICE, Method::POST, url)
            .json(&query(window))
            // Callers without a name of their own share one limit with all the others.
            .header("clienttype", HeaderValue::from_static("provost"))
            .limit(Turn { key: LimitKey::new(LimitName::AzureCost, self.tenant.as_str()), units });
        let response = self.api.success(self.api.send(request).await?)?;
        if response.status == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        Ok(Some(self.api.read::<Answer>(&response)?.properties))
    }

    fn first_page(&self, subscription: &str) -> Result<Url, SourceError> {
        let path = format!("/subscriptions/{subscription}/providers/Microsoft.CostManagement/query");
        self.api.url(&path, &[("api-version", API_VERSION)])
    }

    async fn read(
        &self,
        partition: &Partition,
        window: Window,
        out: &mut dyn RowSink,
    ) -> Result<u64, SourceError> {
        within_retention(SERVICE, window, RETENTION, self.clock.now())?;
        let mut records = 0;
        let mut url = self.first_page(&partition.0)?;
        loop {
            let Some(page) = self.page(url.clone(), window).await? else { return Ok(records) };
            for cells in &page.rows {
                records += 1;
                let record: Value = page
                    .columns
                    .iter()
                    .zip(cells)
                    .map(|(column, cell)| (column.name.clone(), cell.clone()))
                    .collect::<serde_json::Map<_, _>>()
                    .into();
                let row = charge(&partition.0, &record);
                give(out, &format!("cost query {partition}"), &record, row).await?;
            }
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
impl Source for AzureCost {
    fn table(&self) -> &'static TableSpec {
        self.table
    }

    fn pace(&self) -> Pace {
        Pace {
            // A query pays by the month it touches.
            max_window: TimeDelta::days(31),
            overlap: TimeDelta::days(5),
            settle: TimeDelta::hours(8),
            retention: RETENTION - TimeDelta::days(2),
            align: TimeDelta::days(1),
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
            let today = self.clock.now().date_naive().and_time(NaiveTime::MIN).and_utc();
            let tried = async {
                let window = Window::new(today - TimeDelta::days(2), today - TimeDelta::days(1))
                    .ok_or_else(|| SourceError::Config("the clock is out of range".to_owned()))?;
                let page = self.page(self.first_page(subscription)?, window).await?;
                let rows = page.map_or(0, |page| page.rows.len());
                Ok(format!("the query API answers; {rows} charges the day before yesterday"))
            };
            checks.push(check(format!("Azure costs {subscription}"), tried.await));
        }
        checks
    }
}

/// The question: what each service in each place cost on each day. The end of a period is inside for the service.
fn query(window: Window) -> Value {
    let first = window.from().date_naive();
    let last = (window.to() - TimeDelta::nanoseconds(1)).date_naive();
    json!({
        "type": "ActualCost",
        "timeframe": "Custom",
        "timePeriod": {"from": format!("{first}T00:00:00Z"), "to": format!("{last}T23:59:59Z")},
        "dataset": {
            "granularity": "Daily",
            "aggregation": {"totalCost": {"name": "Cost", "function": "Sum"}},
            "grouping": [
                {"type": "Dimension", "name": "ServiceName"},
                {"type": "Dimension", "name": "ResourceLocation"},
            ],
        },
    })
}

/// The calendar months that a window touches; each is a unit of the quota.
fn months(window: Window) -> u32 {
    let last = window.to() - TimeDelta::nanoseconds(1);
    let months = |time: DateTime<Utc>| time.year() * 12 + time.month0() as i32;
    u32::try_from(months(last) - months(window.from()) + 1).unwrap_or(1)
}

/// The names under which agreements give the sum.
const SUMS: [&str; 4] = ["Cost", "PreTaxCost", "CostInBillingCurrency", "totalCost"];

fn charge(subscription: &str, record: &Value) -> Result<Row, RowError> {
    let sum = SUMS.iter().find_map(|name| record.get(name));
    let amount = match sum {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.parse().ok(),
        _ => None,
    };
    let text = |name: &str| record.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    DailyCharge {
        provider: "Microsoft",
        issuer: "Microsoft",
        billing_account: None,
        account: subscription,
        account_type: "Subscription",
        service: text("ServiceName").ok_or(RowError::Missing("ServiceName"))?,
        region: text("ResourceLocation"),
        day: usage_day(record.get("UsageDate").or_else(|| record.get("Date")))?,
        amount: amount.ok_or(RowError::Missing("Cost"))?,
        currency: text("Currency").ok_or(RowError::Missing("Currency"))?,
        estimated: None,
    }
    .row()
}

/// `UsageDate` is a number such as 20260301; some agreements write a text.
fn usage_day(value: Option<&Value>) -> Result<DateTime<Utc>, RowError> {
    let text = match value {
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) => text.chars().filter(char::is_ascii_digit).take(8).collect(),
        _ => return Err(RowError::Missing("UsageDate")),
    };
    let day = NaiveDate::parse_from_str(&text, "%Y%m%d")
        .map_err(|_| RowError::Record(format!("UsageDate '{text}' is not a day")))?;
    Ok(day.and_time(NaiveTime::MIN).and_utc())
}
