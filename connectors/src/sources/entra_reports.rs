//! Entra sign-ins and directory audits by Microsoft Graph.

use async_trait::async_trait;
use chrono::TimeDelta;
use http::Method;
use provost_model::{Partition, Row, RowError, TableSpec, Window};
use serde_json::Value;
use url::Url;

use super::reading::{Page, check, give, instant, table, within_retention};
use crate::api::Api;
use crate::azure::Endpoint;
use crate::clock::Clock;
use crate::config::EntraReportConfig;
use crate::connectors::Connectors;
use crate::http::Request;
use crate::limit::{LimitKey, LimitName};
use crate::meter::counted;
use crate::records::{audit, signin};
use crate::source::{Check, Pace, Pulled, RowSink, Source, SourceError};

/// What tenants with a licence keep.
const RETENTION: TimeDelta = TimeDelta::days(30);
/// A slice that fails is not cut shorter than this.
const SHORTEST_SLICE: TimeDelta = TimeDelta::minutes(5);

/// One of the reports.
#[derive(Debug)]
pub(super) struct EntraReport {
    table: &'static TableSpec,
    report: Report,
    api: Api,
    clock: Clock,
    tenant: String,
    slice: TimeDelta,
    page_size: u32,
}

#[derive(Debug, Clone, Copy)]
struct Report {
    service: &'static str,
    path: &'static str,
    time: &'static str,
    normalise: fn(&Value) -> Result<Row, RowError>,
}

impl EntraReport {
    pub(super) fn signins(connectors: &Connectors, config: &EntraReportConfig) -> Result<Self, SourceError> {
        let report = Report {
            service: "entra_signins",
            path: "/v1.0/auditLogs/signIns",
            time: "createdDateTime",
            normalise: signin,
        };
        let remedy = "grant the application AuditLog.Read.All (and Directory.Read.All where the tenant still asks for \
                      it) and consent as an administrator: az ad app permission admin-consent --id APP; the tenant \
                      needs Entra ID P1";
        Self::new(connectors, config, "SigninLogs", report, remedy)
    }

    pub(super) fn audits(connectors: &Connectors, config: &EntraReportConfig) -> Result<Self, SourceError> {
        let report = Report {
            service: "entra_audits",
            path: "/v1.0/auditLogs/directoryAudits",
            time: "activityDateTime",
            normalise: audit,
        };
        let remedy = "grant the application AuditLog.Read.All and consent as an administrator: \
                      az ad app permission admin-consent --id APP";
        Self::new(connectors, config, "AuditLogs", report, remedy)
    }

    fn new(
        connectors: &Connectors,
        config: &EntraReportConfig,
        name: &'static str,
        report: Report,
        remedy: &str,
    ) -> Result<Self, SourceError> {
        if !(1..=1000).contains(&config.page_size) {
            return Err(SourceError::Config(format!("page_size = {}: from 1 to 1000", config.page_size)));
        }
        if config.slice_minutes == 0 {
            return Err(SourceError::Config("slice_minutes = 0: at least 1".to_owned()));
        }
        let azure = connectors.azure()?;
        Ok(Self {
            table: table(name)?,
            report,
            api: azure.api(report.service, Endpoint::Graph, remedy.to_owned())?,
            clock: connectors.clock.clone(),
            tenant: azure.tenant().to_owned(),
            slice: TimeDelta::minutes(config.slice_minutes.into()),
            page_size: config.page_size,
        })
    }

    fn first_page(&self, slice: Window, page_size: u32) -> Result<Url, SourceError> {
        // `ge` and `le` are what both reports take; the record at the very end is read twice.
        let time = self.report.time;
        let filter = format!("{time} ge {} and {time} le {}", instant(slice.from()), instant(slice.to()));
        self.api.url(self.report.path, &[("$filter", &filter), ("$top", &page_size.to_string())])
    }

    async fn page(&self, url: Url) -> Result<Page, SourceError> {
        let mut request = Request::for_json(self.report.service, Method::GET, url)
            .limit(LimitKey::new(LimitName::GraphReports, self.tenant.as_str()));
        request.impatient = true;
        self.api.ask(request).await
    }

    /// Reads a slice to its last page. Deep paging fails with 429 and timeouts, and a page token can't be resumed: a
    /// slice that fails so is read again in halves.
    async fn read_slice(&self, slice: Window, out: &mut dyn RowSink) -> Result<u64, SourceError> {
        let mut slices = vec![slice];
        let mut records = 0;
        while let Some(slice) = slices.pop() {
            match self.read_pages(slice, out).await {
                Ok(read) => records += read,
                Err(error) => {
                    let too_much = matches!(
                        error,
                        SourceError::Incomplete { .. }
                            | SourceError::Throttled { .. }
                            | SourceError::TimedOut { .. }
                    );
                    let halves =
                        slice.halves().filter(|(first, _)| too_much && first.length() >= SHORTEST_SLICE);
                    let Some((first, second)) = halves else { return Err(error) };
                    tracing::warn!(service = self.report.service, %slice, %error, "reading the slice in halves");
                    slices.extend([second, first]);
                }
            }
        }
        Ok(records)
    }

    async fn read_pages(&self, slice: Window, out: &mut dyn RowSink) -> Result<u64, SourceError> {
        let mut records = 0;
        let mut url = self.first_page(slice, self.page_size)?;
        loop {
            let page = self.page(url.clone()).await?;
            for record in &page.value {
                records += 1;
                let mut row = (self.report.normalise)(record);
                // The column holds the tenant's id; a tenant can also be configured by one of its domains.
                if let (Ok(row), Ok(tenant)) = (&mut row, uuid::Uuid::try_parse(&self.tenant)) {
                    row.set("AADTenantId", tenant.to_string())
                        .map_err(|error| SourceError::Sink(error.to_string()))?;
                }
                give(out, self.report.path, record, row).await?;
            }
            // Pages can be shorter than asked for, or empty, and go on: the end is where there is no next link.
            let Some(link) = page.next_link.filter(|link| !link.is_empty()) else { return Ok(records) };
            let next = self.api.follow(&link)?;
            if next == url {
                let message = format!("{slice}: a page names itself as the next");
                return Err(SourceError::Incomplete { service: self.report.service, message });
            }
            url = next;
        }
    }

    async fn read(
        &self,
        partition: &Partition,
        window: Window,
        out: &mut dyn RowSink,
    ) -> Result<u64, SourceError> {
        if partition.0 != self.tenant {
            return Err(SourceError::Config(format!(
                "{}: there is no partition {partition}",
                self.report.service
            )));
        }
        within_retention(self.report.service, window, RETENTION, self.clock.now())?;
        let mut records = 0;
        for slice in window.split(self.slice) {
            records += self.read_slice(slice, out).await?;
        }
        Ok(records)
    }
}

#[async_trait]
impl Source for EntraReport {
    fn table(&self) -> &'static TableSpec {
        self.table
    }

    fn pace(&self) -> Pace {
        Pace {
            max_window: TimeDelta::hours(6),
            overlap: TimeDelta::hours(1),
            settle: TimeDelta::minutes(5),
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
            let slice = Window::new(now - TimeDelta::hours(1), now)
                .ok_or_else(|| SourceError::Config("the clock is out of range".to_owned()))?;
            let page = self.page(self.first_page(slice, 1)?).await?;
            let seen = if page.value.is_empty() { "nothing" } else { "records" };
            Ok(format!("the report answers; {seen} in the last hour"))
        };
        vec![check(format!("Microsoft Graph {}", self.report.path), tried.await)]
    }
}
