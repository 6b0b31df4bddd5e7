//! The size and the time of a scenario.

use chrono::{DateTime, TimeDelta, TimeZone, Utc};

/// The size and the time of a scenario.
#[derive(Debug, Clone)]
pub struct ScenarioOptions {
    /// What the tenant is made from.
    pub seed: u64,
    /// The first instant past the scenario.
    pub end: DateTime<Utc>,
    /// How many days of logs there are.
    pub days: u32,
    /// How many days of cost there are, the last one being the day of `end`.
    pub cost_days: u32,
    /// Workstations and servers.
    pub devices: u32,
    /// People.
    pub users: u32,
    /// AWS accounts; the first one pays.
    pub aws_accounts: u32,
    /// AWS regions that the tenant uses; attackers use one more.
    pub regions: u32,
    /// Azure subscriptions.
    pub subscriptions: u32,
    /// Network events of a device in an average hour.
    pub network_events_per_device_hour: f64,
    /// CloudTrail events of the tenant in an average hour.
    pub trail_events_per_hour: f64,
    /// Whether attacks and decoys are planted.
    pub attacks: bool,
}

impl ScenarioOptions {
    /// The first instant of the logs.
    pub fn start(&self) -> DateTime<Utc> {
        self.end - TimeDelta::days(i64::from(self.days))
    }
}

impl Default for ScenarioOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            // A date that exists; a caller that polls by the real clock sets its own.
            end: Utc.timestamp_opt(1_780_272_000, 0).single().unwrap_or_default(),
            days: 7,
            cost_days: 30,
            devices: 40,
            users: 30,
            aws_accounts: 3,
            regions: 2,
            subscriptions: 2,
            network_events_per_device_hour: 5.0,
            trail_events_per_hour: 40.0,
            attacks: true,
        }
    }
}
