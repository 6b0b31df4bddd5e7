//! `DeviceNetworkEvents` of Microsoft Defender by advanced hunting (`runHuntingQuery`).
//!
//! The API has no pages and cuts at a number of rows without saying so. So time is read in slices, and a slice that
//! reaches the number is read again in halves; one that can't be halved is divided by device.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{TimeDelta, Timelike, Utc};
use http::{Method, StatusCode};
use provost_model::{Partition, TableSpec, Window};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::reading::{check, give, instant, table, within_retention};
use crate::api::Api;
use crate::azure::Endpoint;
use crate::clock::Clock;
use crate::config::{DefenderNetworkConfig, seconds};
use crate::connectors::Connectors;
use crate::http::{Request, Response};
use crate::limit::{LimitKey, LimitName};
use crate::meter::counted;
use crate::records::device_network;
use crate::source::{Check, Pace, Pulled, RowSink, Source, SourceError};

const SERVICE: &str = "defender_network";
const RETENTION: TimeDelta = TimeDelta::days(30);
/// A slice is not cut shorter than this by time.
const SHORTEST_SLICE: TimeDelta = TimeDelta::seconds(2);
/// Into how many parts devices are divided at most.
const MOST_SHARES: u32 = 256;
const REMEDY: &str = "grant the application ThreatHunting.Read.All of Microsoft Graph and consent as an administrator: \
                      az ad app permission admin-consent --id APP";

/// The source.
#[derive(Debug)]
pub(super) struct DefenderNetwork {
    table: &'static TableSpec,
    api: Api,
    clock: Clock,
    tenant: String,
    max_rows: usize,
    slice: TimeDelta,
    timeout: Duration,
}

/// What one query asks for: a time, and of that the devices whose hash leaves this remainder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slice {
    window: Window,
    share: u32,
    shares: u32,
}

/// An answer; rows stay text until each is read, because there may be a hundred thousand of them.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(alias = "Results")]
    results: Vec<Box<RawValue>>,
}

/// How a query went.
enum Outcome {
    Whole(Vec<Box<RawValue>>),
    /// The answer was, or would have been, cut off; this is why.
    TooMuch(SourceError),
}

impl DefenderNetwork {
    pub(super) fn new(connectors: &Connectors, config: &DefenderNetworkConfig) -> Result<Self, SourceError> {
        if config.max_rows < 2 || config.slice_minutes == 0 {
            return Err(SourceError::Config("max_rows: at least 2; slice_minutes: at least 1".to_owned()));
        }
        let azure = connectors.azure()?;
        Ok(Self {
            table: table("DeviceNetworkEvents")?,
            api: azure.api(SERVICE, Endpoint::Graph, REMEDY.to_owned())?,
            clock: connectors.clock.clone(),
            tenant: azure.tenant().to_owned(),
            max_rows: config.max_rows,
            slice: TimeDelta::minutes(config.slice_minutes.into()),
            timeout: seconds("timeout_seconds", config.timeout_seconds).map_err(SourceError::Config)?,
        })
    }

    async fn hunt(&self, query: &str, timespan: Window) -> Result<Response, SourceError> {
        let url = self.api.url("/v1.0/security/runHuntingQuery", &[])?;
        // Without a time span the service would cut the query's own times down to its default.
        let timespan = format!("{}/{}", instant(timespan.from()), instant(timespan.to()));
        let mut request = Request::for_json(SERVICE, Method::POST, url)
            .json(&json!({"Query": query, "Timespan": timespan}))
            .limit(LimitKey::new(LimitName::DefenderHunting, self.tenant.as_str()));
        request.headers.insert(
            http::header::CONTENT_TYPE,
            http::HeaderValue::from_static("application/json; charset=utf-8"),
        );
        request.timeout = Some(self.timeout);
        request.impatient = true;
        request.throttle_hint = Some(throttle_hint);
        self.api.send(request).await
    }

    async fn ask(&self, slice: Slice) -> Result<Outcome, SourceError> {
        let response = match self.hunt(&slice.query(), slice.window).await {
            Ok(response) => response,
            // No answer in time, or one larger than is taken in: less may do.
            Err(error @ (SourceError::Incomplete { .. } | SourceError::TimedOut { .. })) => {
                return Ok(Outcome::TooMuch(error));
            }
            Err(error) => return Err(error),
        };
        let too_large = response.status == StatusCode::BAD_REQUEST && response.says("exceeded");
        let too_slow = response.status == StatusCode::GATEWAY_TIMEOUT;
        if too_large || too_slow {
            let message = response.describe();
            return Ok(Outcome::TooMuch(SourceError::Incomplete { service: SERVICE, message }));
        }
        let answer: Answer = self.api.read(&self.api.success(response)?)?;
        let rows = answer.results.len();
        if rows >= self.max_rows {
            let message =
                format!("{slice:?}: {rows} rows, which is where the service cuts ({})", self.max_rows);
            return Ok(Outcome::TooMuch(SourceError::Incomplete { service: SERVICE, message }));
        }
        Ok(Outcome::Whole(answer.results))
    }

    async fn read(
        &self,
        partition: &Partition,
        window: Window,
        out: &mut dyn RowSink,
    ) -> Result<u64, SourceError> {
        if partition.0 != self.tenant {
            return Err(SourceError::Config(format!("{SERVICE}: there is no partition {partition}")));
        }
        within_retention(SERVICE, window, RETENTION, self.clock.now())?;
        let whole = |window| Slice { window, share: 0, shares: 1 };
        // The last slice is the next one to be read.
        let mut slices: Vec<Slice> = window.split(self.slice).map(whole).collect();
        slices.reverse();
        let mut records = 0;
        while let Some(slice) = slices.pop() {
            match self.ask(slice).await? {
                Outcome::Whole(rows) => {
                    for raw in rows {
                        records += 1;
                        let record: Value = serde_json::from_str(raw.get()).unwrap_or(Value::Null);
                        give(
                            out,
                            &format!("runHuntingQuery {}", slice.window),
                            &record,
                            device_network(&record),
                        )
                        .await?;
                    }
                }
                Outcome::TooMuch(reason) => {
                    let Some((first, second)) = slice.halves() else { return Err(reason) };
                    tracing::debug!(%reason, "reading the slice in halves");
                    slices.extend([second, first]);
                }
            }
        }
        Ok(records)
    }
}

impl Slice {
    fn query(&self) -> String {
        let time = format!(
            "DeviceNetworkEvents\n| where Timestamp >= datetime({}) and Timestamp < datetime({})",
            instant(self.window.from()),
            instant(self.window.to())
        );
        match self.shares {
            1 => time,
            shares => format!("{time}\n| where hash(DeviceId, {shares}) == {}", self.share),
        }
    }

    /// Two slices that together are this one: by time, and where that is too short, by device.
    fn halves(&self) -> Option<(Self, Self)> {
        if self.shares == 1 && self.window.length() >= SHORTEST_SLICE * 2 {
            let (first, second) = self.window.halves()?;
            return Some((Self { window: first, ..*self }, Self { window: second, ..*self }));
        }
        // A hash modulo 2n is h or h + n where it is h modulo n.
        let shares = self.shares * 2;
        (shares <= MOST_SHARES)
            .then(|| (Self { shares, ..*self }, Self { shares, share: self.share + self.shares, ..*self }))
    }
}

/// How long to wait after a 429 that does not say: the body tells whether it was the rate, which passes within the
/// minute, or the CPU quota, which is renewed at the next quarter of an hour.
fn throttle_hint(response: &Response) -> Option<Duration> {
    let into_quarter = |now: chrono::DateTime<Utc>| u64::from(now.minute() % 15 * 60 + now.second());
    let quarter = Duration::from_secs(15 * 60 - into_quarter(Utc::now()));
    response.says("cpu").then_some(quarter)
}

#[async_trait]
impl Source for DefenderNetwork {
    fn table(&self) -> &'static TableSpec {
        self.table
    }

    fn pace(&self) -> Pace {
        Pace {
            max_window: TimeDelta::hours(6),
            // Devices that were offline send later.
            overlap: TimeDelta::hours(1),
            settle: TimeDelta::minutes(2),
            retention: RETENTION - TimeDelta::hours(1),
            align: TimeDelta::seconds(1),
        }
    }

    async fn partitions(&self) -> Result<Vec<Partition>, SourceError> {
        Ok(vec![Partition(self.tenant.clone())])
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
        let now = self.clock.now();
        let tried = async {
            let window = Window::new(now - TimeDelta::hours(1), now)
                .ok_or_else(|| SourceError::Config("the clock is out of range".to_owned()))?;
            let query = format!("{}\n| take 1", Slice { window, share: 0, shares: 1 }.query());
            let response = self.api.success(self.hunt(&query, window).await?)?;
            let answer: Answer = self.api.read(&response)?;
            let seen = if answer.results.is_empty() { "no event" } else { "events" };
            Ok(format!("advanced hunting answers; {seen} in the last hour"))
        };
        vec![check("Defender advanced hunting".to_owned(), tried.await)]
    }
}
