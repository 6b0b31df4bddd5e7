//! What the clouds charge, by day.

use chrono::{Datelike, NaiveDate, Weekday};
use rand::Rng;

use super::ScenarioOptions;
use super::chance::{chance, mix};
use super::tenant::Tenant;

/// One day's charge of one service in one account and region.
#[derive(Debug, Clone, PartialEq)]
pub struct Charge {
    /// The day, UTC.
    pub day: NaiveDate,
    /// The AWS account or the Azure subscription.
    pub account: String,
    /// The service, as the bill names it.
    pub service: &'static str,
    /// The region.
    pub region: &'static str,
    /// What exactly was used.
    pub usage: String,
    /// How much of it.
    pub quantity: f64,
    /// The price in US dollars.
    pub amount: f64,
    /// The Azure resource group; empty for AWS.
    pub group: String,
}

/// Service, usage, dollars on a working day, and the share that is left on weekends.
const AWS: [(&str, &str, f64, f64); 7] = [
    ("Amazon Elastic Compute Cloud - Compute", "BoxUsage:m6i.large", 84.0, 0.6),
    ("EC2 - Other", "EBS:VolumeUsage.gp3", 19.0, 1.0),
    ("Amazon Simple Storage Service", "TimedStorage-ByteHrs", 11.5, 1.0),
    ("Amazon Relational Database Service", "InstanceUsage:db.r6g.large", 37.0, 1.0),
    ("AWS Lambda", "Lambda-GB-Second", 3.2, 0.4),
    ("AmazonCloudWatch", "CW:MetricMonitorUsage", 4.1, 1.0),
    ("AWS Key Management Service", "KMS-Requests", 0.9, 0.7),
];
const AZURE: [(&str, &str, f64, f64); 5] = [
    ("Virtual Machines", "D2s v5", 62.0, 0.7),
    ("Storage", "Hot LRS Data Stored", 9.0, 1.0),
    ("Azure App Service", "P1 v3 App", 14.0, 1.0),
    ("SQL Database", "vCore", 31.0, 1.0),
    ("Log Analytics", "Pay-as-you-go Data Ingestion", 7.5, 0.5),
];
/// A yearly support fee, charged on the first of each month: a step that is no attack.
const SUPPORT: &str = "AWS Support (Business)";

/// The last days of cost, the day of `end` included.
pub(crate) fn days(options: &ScenarioOptions) -> impl Iterator<Item = NaiveDate> + use<> {
    let last = options.end.date_naive();
    let first = last - chrono::Days::new(u64::from(options.cost_days.max(1)) - 1);
    first.iter_days().take_while(move |day| *day <= last)
}

/// The ordinary charges of AWS.
pub(crate) fn aws(options: &ScenarioOptions, tenant: &Tenant) -> Vec<Charge> {
    let mut charges = Vec::new();
    for (place, account) in tenant.accounts.iter().enumerate() {
        for (rank, region) in tenant.regions.iter().enumerate() {
            for (service, usage, dollars, weekend) in AWS {
                // The first account and the first region are the large ones.
                let size = dollars / ((place + 1) * (rank + 1)) as f64;
                let mut of =
                    Series { options, name: format!("{}{region}{service}", account.id), size, weekend };
                charges.extend(days(options).map(|day| {
                    let amount = of.on(day);
                    Charge {
                        day,
                        account: account.id.clone(),
                        service,
                        region,
                        usage: usage.to_owned(),
                        quantity: (amount * 10.4 * 1000.0).round() / 1000.0,
                        amount,
                        group: String::new(),
                    }
                }));
            }
        }
    }
    charges.extend(days(options).filter(|day| day.day() == 1).map(|day| Charge {
        day,
        account: tenant.accounts[0].id.clone(),
        service: SUPPORT,
        region: "global",
        usage: "Dollar".to_owned(),
        quantity: 1.0,
        amount: 640.0,
        group: String::new(),
    }));
    charges
}

/// The ordinary charges of Azure.
pub(crate) fn azure(options: &ScenarioOptions, tenant: &Tenant) -> Vec<Charge> {
    let mut charges = Vec::new();
    for (place, subscription) in tenant.subscriptions.iter().enumerate() {
        for (service, usage, dollars, weekend) in AZURE {
            let group = &subscription.groups[mix(0, service, 0) as usize % subscription.groups.len()];
            let size = dollars / (place + 1) as f64;
            let mut of = Series { options, name: format!("{}{service}", subscription.id), size, weekend };
            charges.extend(days(options).map(|day| {
                let amount = of.on(day);
                Charge {
                    day,
                    account: subscription.id.clone(),
                    service,
                    region: "EU West",
                    usage: usage.to_owned(),
                    quantity: amount * 8.0,
                    amount,
                    group: group.clone(),
                }
            }));
        }
    }
    charges
}

struct Series<'a> {
    options: &'a ScenarioOptions,
    name: String,
    size: f64,
    weekend: f64,
}

impl Series<'_> {
    fn on(&mut self, day: NaiveDate) -> f64 {
        let index = u64::try_from(day.num_days_from_ce()).unwrap_or_default();
        let noise = chance(self.options.seed, &self.name, index).random_range(0.93..1.07);
        let rest = if matches!(day.weekday(), Weekday::Sat | Weekday::Sun) { self.weekend } else { 1.0 };
        cents(self.size * noise * rest)
    }
}

/// Bills have ten digits; four are enough to tell charges apart.
pub(crate) fn cents(amount: f64) -> f64 {
    (amount * 10_000.0).round() / 10_000.0
}
