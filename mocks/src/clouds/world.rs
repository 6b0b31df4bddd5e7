//! What all services share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use crate::scenario::{NetworkEvent, Record, Scenario, TrailEvent, mix};

use super::aws::Sessions;
use super::faults::{Faults, Mishaps};
use super::limits::Limits;
use super::sentinel::Workspace;
use super::tokens::Tokens;
use super::{Clock, Endpoints, LoggedRequest, MockOptions, Stream};

/// What all services share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) scenario: Arc<Scenario>,
    pub(crate) logs: Logs,
    pub(crate) endpoints: Endpoints,
    pub(crate) tokens: Tokens,
    pub(crate) sessions: Sessions,
    pub(crate) limits: Limits,
    pub(crate) mishaps: Mishaps,
    pub(crate) workspace: Mutex<Workspace>,
    pub(crate) streams: Vec<Stream>,
    pub(crate) hunting_row_cap: usize,
    /// Requests that Cost Explorer bills.
    pub(crate) billed: AtomicU64,
    moving: Mutex<Moving>,
    requests: Mutex<VecDeque<LoggedRequest>>,
}

/// What a test may change on the way.
#[derive(Debug, Clone, Copy)]
struct Moving {
    faults: Faults,
    clock: Clock,
}

/// More requests than this are forgotten, the oldest first.
const REMEMBERED_REQUESTS: usize = 100_000;

impl World {
    pub(crate) fn new(options: &MockOptions, endpoints: Endpoints) -> Self {
        Self {
            scenario: Arc::clone(&options.scenario),
            logs: Logs::new(&options.scenario),
            endpoints,
            tokens: Tokens::default(),
            sessions: Sessions::default(),
            limits: Limits::new(options.limits_raised),
            mishaps: Mishaps::default(),
            workspace: Mutex::default(),
            streams: options.streams.clone(),
            hunting_row_cap: options.hunting_row_cap,
            billed: AtomicU64::new(0),
            moving: Mutex::new(Moving { faults: options.faults, clock: options.clock }),
            requests: Mutex::default(),
        }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.scenario.options().seed
    }

    pub(crate) fn faults(&self) -> Faults {
        lock(&self.moving).faults
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        lock(&self.moving).faults = faults;
    }

    pub(crate) fn set_clock(&self, clock: Clock) {
        lock(&self.moving).clock = clock;
    }

    pub(crate) fn clock(&self) -> Clock {
        lock(&self.moving).clock
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        match self.clock() {
            Clock::Fixed(now) => now,
            Clock::Live => Utc::now(),
        }
    }

    /// What can be seen of the logs now.
    pub(crate) fn view(&self) -> View {
        let faults = self.faults();
        View {
            now: self.now(),
            end: self.scenario.options().end,
            seed: self.seed(),
            late: faults.late_and_out_of_order,
            duplicates: faults.duplicates,
        }
    }

    pub(crate) fn log(&self, request: LoggedRequest) {
        let mut requests = lock(&self.requests);
        if requests.len() == REMEMBERED_REQUESTS {
            requests.pop_front();
        }
        requests.push_back(request);
    }

    pub(crate) fn requests(&self) -> Vec<LoggedRequest> {
        lock(&self.requests).iter().cloned().collect()
    }
}

/// What was written before a panic elsewhere still counts.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which records a request may see.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    pub(crate) now: DateTime<Utc>,
    end: DateTime<Utc>,
    seed: u64,
    late: bool,
    duplicates: bool,
}

impl View {
    /// When the record arrives. Everything is there when the scenario is over, so that runs with and without faults
    /// end with the same rows.
    pub(crate) fn arrival(&self, event: &impl Event) -> DateTime<Utc> {
        let chance = mix(self.seed, "late", event.mark());
        // One in twelve, from five minutes to four hours.
        let late = if self.late && chance.is_multiple_of(12) {
            TimeDelta::minutes(5 + i64::try_from(chance >> 16 & 0xff).unwrap_or_default())
        } else {
            TimeDelta::zero()
        };
        (event.arrives() + late).min(self.end).max(event.time())
    }

    pub(crate) fn shows(&self, event: &impl Event) -> bool {
        event.time() <= self.now && self.arrival(event) <= self.now
    }

    /// How often the record is given: one in forty comes twice.
    pub(crate) fn copies(&self, event: &impl Event) -> usize {
        1 + usize::from(self.duplicates && mix(self.seed, "twice", event.mark()).is_multiple_of(40))
    }

    /// The visible records of a span of time, both ends included, in the order of time.
    pub(crate) fn between<'a, T: Event>(
        &self,
        log: &'a [T],
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Vec<&'a T> {
        let first = log.partition_point(|event| event.time() < from);
        let past = log.partition_point(|event| event.time() <= to).max(first);
        log[first..past]
            .iter()
            .filter(|event| self.shows(*event))
            .flat_map(|event| std::iter::repeat_n(event, self.copies(event)))
            .collect()
    }

    /// Whether lists without a promised order have none.
    pub(crate) fn disorders(&self) -> bool {
        self.late
    }

    /// Takes records out of order, where the service promises none.
    pub(crate) fn disorder<T: Event>(&self, records: &mut [&T]) {
        if self.late {
            records.sort_by_key(|record| mix(self.seed, "order", record.mark()));
        }
    }
}

/// A record of a log.
pub(crate) trait Event {
    fn time(&self) -> DateTime<Utc>;
    fn arrives(&self) -> DateTime<Utc>;
    /// A number that tells it from others.
    fn mark(&self) -> u64;
}

impl Event for NetworkEvent {
    fn time(&self) -> DateTime<Utc> {
        self.time
    }
    fn arrives(&self) -> DateTime<Utc> {
        self.arrives
    }
    fn mark(&self) -> u64 {
        mix(self.report_id.unsigned_abs(), &self.device.id, self.time.timestamp_micros().unsigned_abs())
    }
}

impl Event for TrailEvent {
    fn time(&self) -> DateTime<Utc> {
        self.time
    }
    fn arrives(&self) -> DateTime<Utc> {
        self.arrives
    }
    fn mark(&self) -> u64 {
        mix(0, &self.id, 0)
    }
}

impl Event for Record {
    fn time(&self) -> DateTime<Utc> {
        self.time
    }
    fn arrives(&self) -> DateTime<Utc> {
        self.arrives
    }
    fn mark(&self) -> u64 {
        mix(0, &self.id, 0)
    }
}

/// The logs, each in the order of time.
#[derive(Debug)]
pub(crate) struct Logs {
    pub(crate) network: Vec<NetworkEvent>,
    /// By account and region.
    pub(crate) trail: BTreeMap<(String, String), Vec<TrailEvent>>,
    /// By subscription.
    pub(crate) activity: BTreeMap<String, Vec<Record>>,
    pub(crate) sign_ins: Vec<Record>,
    pub(crate) audits: Vec<Record>,
}

impl Logs {
    fn new(scenario: &Scenario) -> Self {
        let mut trail: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for event in scenario.trail_events() {
            trail.entry((event.account.clone(), event.region.clone())).or_default().push(event);
        }
        let mut activity: BTreeMap<_, Vec<_>> = scenario
            .tenant()
            .subscriptions
            .iter()
            .map(|subscription| (subscription.id.clone(), Vec::new()))
            .collect();
        for record in scenario.activity_records() {
            activity.entry(record.subscription.clone()).or_default().push(record);
        }
        Self {
            network: scenario.network_events().collect(),
            trail,
            activity,
            sign_ins: scenario.sign_ins().collect(),
            audits: scenario.audits().collect(),
        }
    }
}
