//! Planting events and keeping account of them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Timelike, Utc};
use provost_model::{Entity, EntityKind, Family};
use rand::Rng;
use rand::rngs::StdRng;

use super::ScenarioOptions;
use super::activity::{Actor, Operation, Record};
use super::browsing::{process_began, process_id};
use super::chance::chance;
use super::cost::{Charge, cents};
use super::identity::{Change, SignIn};
use super::label::AttackChain;
use super::network::NetworkEvent;
use super::programs::Program;
use super::tenant::{Device, Tenant};
use super::trail::{Call, Caller, TrailEvent};

/// Everything that was planted, by log.
#[derive(Debug, Default)]
pub(crate) struct Planted {
    pub(crate) network: Vec<NetworkEvent>,
    pub(crate) trail: Vec<TrailEvent>,
    pub(crate) activity: Vec<Record>,
    pub(crate) sign_ins: Vec<Record>,
    pub(crate) audits: Vec<Record>,
    pub(crate) aws_costs: Vec<Charge>,
    pub(crate) azure_costs: Vec<Charge>,
}

impl Planted {
    /// Orders each log by time.
    pub(crate) fn sort(&mut self) {
        self.network.sort_by_key(|event| event.time);
        self.trail.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        for log in [&mut self.activity, &mut self.sign_ins, &mut self.audits] {
            log.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        }
    }
}

/// A connection to plant.
#[derive(Debug, Clone)]
pub(crate) struct Contact<'a> {
    pub(crate) device: &'a Arc<Device>,
    pub(crate) program: &'static Program,
    pub(crate) ip: IpAddr,
    pub(crate) port: u16,
    pub(crate) name: Option<&'a str>,
}

/// An attack while it is told: what is planted through it belongs to it.
pub(crate) struct Story<'a> {
    pub(crate) options: &'a ScenarioOptions,
    pub(crate) tenant: &'a Tenant,
    pub(crate) rng: StdRng,
    planted: &'a mut Planted,
    ids: BTreeMap<&'static str, Vec<String>>,
    entities: Vec<Entity>,
    times: Vec<DateTime<Utc>>,
}

impl<'a> Story<'a> {
    pub(crate) fn new(
        options: &'a ScenarioOptions,
        tenant: &'a Tenant,
        planted: &'a mut Planted,
        name: &'static str,
    ) -> Self {
        Self {
            options,
            tenant,
            rng: chance(options.seed, name, 0),
            planted,
            ids: BTreeMap::new(),
            entities: Vec::new(),
            times: Vec::new(),
        }
    }

    /// An instant as a share of the scenario's time, on a whole second.
    pub(crate) fn moment(&self, share: f64) -> DateTime<Utc> {
        let span = (self.options.end - self.options.start()).num_seconds() as f64;
        let at = self.options.start() + TimeDelta::seconds((span * share) as i64);
        at.with_nanosecond(0).unwrap_or(at)
    }

    /// Names who or what takes part.
    pub(crate) fn names(&mut self, kind: EntityKind, value: impl ToString) {
        self.entities.extend(Entity::new(kind, &value.to_string()));
    }

    pub(crate) fn sign_in(&mut self, attempt: &SignIn<'_>, at: DateTime<Utc>) {
        let record = attempt.at(self.tenant, at, &mut self.rng);
        if self.note("SigninLogs", at, &record.id) {
            self.planted.sign_ins.push(record);
        }
    }

    pub(crate) fn audit(&mut self, change: &Change<'_>, at: DateTime<Utc>) {
        let record = change.at(self.tenant, at, &mut self.rng);
        if self.note("AuditLogs", at, &record.id) {
            self.planted.audits.push(record);
        }
    }

    pub(crate) fn call(&mut self, call: Call<'_>, caller: &Caller, at: DateTime<Utc>) {
        let event = call.by(caller, at, &mut self.rng);
        if self.note("AWSCloudTrail", at, &event.id) {
            self.planted.trail.push(event);
        }
    }

    pub(crate) fn operation(&mut self, operation: &Operation<'_>, actor: &Actor, at: DateTime<Utc>) {
        for record in operation.by(self.tenant, actor, at, &mut self.rng) {
            if self.note("AzureActivity", record.time, &record.id) {
                self.planted.activity.push(record);
            }
        }
    }

    pub(crate) fn contact(&mut self, contact: &Contact<'_>, at: DateTime<Utc>) {
        let event = NetworkEvent {
            time: at,
            arrives: at + TimeDelta::seconds(30),
            device: Arc::clone(contact.device),
            action: "ConnectionSuccess",
            remote_ip: contact.ip,
            remote_port: contact.port,
            remote_url: contact.name.map(Arc::from),
            local_port: self.rng.random_range(49_152..=65_535),
            program: contact.program,
            process_id: process_id(contact.device, contact.program, at),
            process_began: process_began(at),
            // Above the numbers of the noise, and each once.
            report_id: 900_000 + i64::try_from(self.planted.network.len()).unwrap_or_default(),
        };
        if self.note("DeviceNetworkEvents", at, &event.id()) {
            self.planted.network.push(event);
        }
    }

    /// Charges so many dollars an hour between two instants, day by day.
    pub(crate) fn charge_aws(&mut self, like: &Charge, hourly: f64, from: DateTime<Utc>, to: DateTime<Utc>) {
        let charges = self.by_day(like, hourly, from, to);
        self.planted.aws_costs.extend(charges);
    }

    pub(crate) fn charge_azure(
        &mut self,
        like: &Charge,
        hourly: f64,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) {
        let charges = self.by_day(like, hourly, from, to);
        self.planted.azure_costs.extend(charges);
    }

    fn by_day(&self, like: &Charge, hourly: f64, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<Charge> {
        let to = to.min(self.options.end);
        let midnight = |day: NaiveDate| day.and_time(chrono::NaiveTime::MIN).and_utc();
        from.date_naive()
            .iter_days()
            .take_while(|day| midnight(*day) < to)
            .map(|day| {
                let hours = (to.min(midnight(day) + TimeDelta::days(1)) - from.max(midnight(day)))
                    .num_minutes() as f64
                    / 60.0;
                Charge { day, quantity: cents(hours), amount: cents(hours * hourly), ..like.clone() }
            })
            .filter(|charge| charge.amount > 0.0)
            .collect()
    }

    /// Whether the event lies within the scenario; then it is noted.
    fn note(&mut self, table: &'static str, at: DateTime<Utc>, id: &str) -> bool {
        let inside = self.options.start() <= at && at < self.options.end;
        if inside {
            self.ids.entry(table).or_default().push(id.to_owned());
            self.times.push(at);
        }
        inside
    }

    /// The end of the story, and its label.
    pub(crate) fn told(
        self,
        name: &'static str,
        description: &'static str,
        techniques: &[&'static str],
        families: &[Family],
    ) -> AttackChain {
        let end = self.options.end;
        AttackChain {
            name,
            description,
            techniques: techniques.to_vec(),
            families: families.to_vec(),
            event_ids: self.ids,
            entities: self.entities,
            from: self.times.iter().min().copied().unwrap_or(end),
            to: self.times.iter().max().copied().unwrap_or(end),
        }
    }
}
