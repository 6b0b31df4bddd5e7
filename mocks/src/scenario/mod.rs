//! A tenant made up from a seed: what its logs hold, and what of it is an attack.
//!
//! The noise is made hour by hour while it is read, so that a log may be longer than memory. Attacks are planted
//! when the scenario is made.

mod activity;
mod attacks;
mod browsing;
mod chance;
mod compute;
mod cost;
mod decoys;
mod identity;
mod label;
mod network;
mod options;
mod programs;
mod provisioning;
mod story;
mod tenant;
mod time;
mod trail;

use chrono::{DateTime, NaiveDate, Utc};

use story::Planted;

pub use activity::Record;
pub use cost::Charge;
pub use label::{AttackChain, Decoy};
pub use network::NetworkEvent;
pub use options::ScenarioOptions;
pub use programs::Program;
pub use tenant::{
    Account, DOMAIN, Device, ENGINEER_ROLE, NAT, PIPELINE_APP, PIPELINE_ROLE, Place, Subscription, Tenant,
    UNUSED_REGION, User, VPN,
};
pub use trail::TrailEvent;

pub(crate) use chance::mix;
pub(crate) use network::COLUMNS;

/// A made-up tenant: the same options give the same bytes.
#[derive(Debug)]
pub struct Scenario {
    options: ScenarioOptions,
    tenant: Tenant,
    planted: Planted,
    chains: Vec<AttackChain>,
    decoys: Vec<Decoy>,
}

impl Scenario {
    /// Makes up the tenant and plants the attacks in it; the noise is made while it is read.
    pub fn new(options: ScenarioOptions) -> Self {
        let tenant = Tenant::new(&options);
        let mut planted = Planted::default();
        let (mut chains, mut decoys) = (Vec::new(), Vec::new());
        if options.attacks {
            chains = attacks::plant(&options, &tenant, &mut planted);
            decoys = decoys::all(&tenant);
        }
        planted.sort();
        Self { options, tenant, planted, chains, decoys }
    }

    /// What it was made from.
    pub fn options(&self) -> &ScenarioOptions {
        &self.options
    }

    /// Who and what the tenant has.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The attacks.
    pub fn chains(&self) -> &[AttackChain] {
        &self.chains
    }

    /// What looks like an attack and is none.
    pub fn decoys(&self) -> &[Decoy] {
        &self.decoys
    }

    /// The ranges of providers that anyone can rent from, with their numbers and names: for a watchlist.
    pub fn hosting_ranges(&self) -> [(&'static str, &'static str, &'static str); 2] {
        [
            ("203.0.113.0/25", "AS64500", "Cheapbox Hosting"),
            ("203.0.113.128/25", "AS64501", "Nordrack Servers"),
        ]
    }

    /// What the tenant's own people would write into the watchlists, as CSV by the file's name: who may provision, and
    /// which ranges are for rent.
    pub fn watchlists(&self) -> [(&'static str, String); 2] {
        let roles = self
            .tenant
            .accounts
            .iter()
            .map(|account| format!("arn:aws:iam::{}:role/{PIPELINE_ROLE}", account.id));
        let approved: String = roles
            .chain([
                PIPELINE_ROLE.to_owned(),
                PIPELINE_APP.to_owned(),
                self.tenant.pipeline_object_id.clone(),
            ])
            .map(|principal| format!("{principal},principal,the pipeline\n"))
            .chain([format!("{},domain,the branch office's gateway\n", browsing::BRANCH_NAME)])
            .chain([format!("{},domain,remote management\n", browsing::RMM_NAME)])
            .collect();
        let ranges: String =
            self.hosting_ranges().map(|(range, asn, name)| format!("{range},{asn},{name}\n")).concat();
        [
            ("approved_infrastructure.csv", format!("SearchKey,Kind,Note\n{approved}")),
            ("hosting_ranges.csv", format!("SearchKey,Asn,Name\n{ranges}")),
        ]
    }

    /// `DeviceNetworkEvents`, in the order of time.
    pub fn network_events(&self) -> impl Iterator<Item = NetworkEvent> + '_ {
        self.by_hour(
            &self.planted.network,
            |event| event.time,
            |index, hour| {
                browsing::numbered(&self.tenant)
                    .flat_map(|(number, device)| {
                        browsing::device_hour(&self.options, device, number, index, hour)
                    })
                    .collect()
            },
        )
    }

    /// `AWSCloudTrail`, all accounts and regions, in the order of time.
    pub fn trail_events(&self) -> impl Iterator<Item = TrailEvent> + '_ {
        self.by_hour(
            &self.planted.trail,
            |event| event.time,
            |index, hour| provisioning::hour(&self.options, &self.tenant, index, hour),
        )
    }

    /// `AzureActivity`, all subscriptions, in the order of time.
    pub fn activity_records(&self) -> impl Iterator<Item = Record> + '_ {
        self.by_hour(
            &self.planted.activity,
            |record| record.time,
            |index, hour| activity::hour(&self.options, &self.tenant, index, hour),
        )
    }

    /// `SigninLogs`, in the order of time.
    pub fn sign_ins(&self) -> impl Iterator<Item = Record> + '_ {
        self.by_hour(
            &self.planted.sign_ins,
            |record| record.time,
            |index, hour| identity::sign_ins(&self.options, &self.tenant, index, hour),
        )
    }

    /// `AuditLogs`, in the order of time.
    pub fn audits(&self) -> impl Iterator<Item = Record> + '_ {
        self.by_hour(
            &self.planted.audits,
            |record| record.time,
            |index, hour| identity::audits(&self.options, &self.tenant, index, hour),
        )
    }

    /// What AWS charges.
    pub fn aws_charges(&self) -> Vec<Charge> {
        let mut charges = cost::aws(&self.options, &self.tenant);
        charges.extend(self.planted.aws_costs.iter().cloned());
        charges
    }

    /// What Azure charges.
    pub fn azure_charges(&self) -> Vec<Charge> {
        let mut charges = cost::azure(&self.options, &self.tenant);
        charges.extend(self.planted.azure_costs.iter().cloned());
        charges
    }

    /// The days that have charges.
    pub fn cost_days(&self) -> impl Iterator<Item = NaiveDate> + use<> {
        cost::days(&self.options)
    }

    /// Puts noise and planted events together, hour by hour.
    fn by_hour<'a, T: Clone>(
        &'a self,
        planted: &'a [T],
        time: impl Fn(&T) -> DateTime<Utc> + Copy + 'a,
        noise: impl Fn(u64, DateTime<Utc>) -> Vec<T> + 'a,
    ) -> impl Iterator<Item = T> + 'a {
        let end = self.options.end;
        time::hours(self.options.start(), end).flat_map(move |(index, hour)| {
            let mut events = noise(index, hour);
            let from = planted.partition_point(|event| time(event) < hour);
            let to = planted.partition_point(|event| time(event) < hour + chrono::TimeDelta::hours(1));
            events.extend_from_slice(&planted[from..to]);
            // Stable, so that equal instants keep their order on every run.
            events.sort_by_key(time);
            events.into_iter().filter(move |event| time(event) < end)
        })
    }
}
