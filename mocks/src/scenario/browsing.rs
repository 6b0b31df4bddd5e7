//! The network noise: what people and machines do all day.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, NaiveTime, TimeDelta, Timelike, Utc};
use rand::Rng;
use rand::rngs::StdRng;

use super::ScenarioOptions;
use super::chance::{about, chance, mix, pick};
use super::network::NetworkEvent;
use super::programs::{
    CHROME, CODE, DEFENDER, EDGE, FIREFOX, GIT, MONITOR, ONEDRIVE, OUTLOOK, Program, RMM, SVCHOST, TEAMS,
    TERRAFORM, UPDATER, VPN_CLIENT,
};
use super::tenant::{Device, Tenant};
use super::time::{busy, within};

/// A service on the internet.
#[derive(Debug)]
struct Site {
    name: Arc<str>,
    /// The addresses it answers from; a content network has many, all of one network.
    addresses: Vec<IpAddr>,
    port: u16,
}

impl Site {
    fn new(name: &str, network: u8, addresses: u8) -> Self {
        let first = (mix(0, name, 0) % 200) as u8;
        let v4 = (0..addresses).map(|n| Ipv4Addr::new(198, 18, network, first.wrapping_add(n)).into());
        // Every third site answers over IPv6 too.
        let v6 = (0..addresses.div_ceil(2)).filter(|_| mix(0, name, 1).is_multiple_of(3)).map(|n| {
            Ipv6Addr::new(0x2001, 0xdb8, network.into(), first.into(), 0, 0, 0, u16::from(n) + 1).into()
        });
        Self { name: name.into(), addresses: v4.chain(v6).collect(), port: 443 }
    }
}

/// What people open in browsers; the last ones only rarely.
static WEB: LazyLock<Vec<Site>> = LazyLock::new(|| {
    let named = [
        "www.search.example",
        "news.daily.example",
        "mail.webmail.example",
        "wiki.knowledge.example",
        "video.stream.example",
        "shop.market.example",
        "docs.collab.example",
        "maps.places.example",
        "weather.today.example",
        "jobs.network.example",
        "bank.savings.example",
        "travel.trips.example",
        "static.cdn-one.example",
        "assets.cdn-two.example",
        "fonts.cdn-two.example",
        "img.cdn-one.example",
    ];
    let rare = (0..240).map(|n| format!("site-{n}.web.example"));
    named
        .iter()
        .map(|name| Site::new(name, 10, if name.contains("cdn") { 24 } else { 2 }))
        .chain(rare.enumerate().map(|(n, name)| Site::new(&name, 11 + (n % 40) as u8, 1)))
        .collect()
});

/// What else the programs of people talk to.
static WORK: LazyLock<Vec<(&'static Program, Site)>> = LazyLock::new(|| {
    vec![
        (&OUTLOOK, Site::new("outlook.office.example", 60, 8)),
        (&TEAMS, Site::new("teams.office.example", 60, 6)),
        (&ONEDRIVE, Site::new("storage.office.example", 61, 6)),
        (&CODE, Site::new("marketplace.editor.example", 62, 3)),
        (&GIT, Site::new("git.northwind.example", 63, 1)),
        (&TERRAFORM, Site::new("registry.terraform.example", 64, 2)),
    ]
});

/// What talks by a timer, on which devices, how often: regular as any beacon, shared by many, and wanted.
struct Timer {
    program: &'static Program,
    site: Site,
    seconds: u32,
    /// Every so many devices have it.
    every: u64,
}

static TIMERS: LazyLock<Vec<Timer>> = LazyLock::new(|| {
    let timer = |program, site, seconds, every| Timer { program, site, seconds, every };
    vec![
        timer(&DEFENDER, Site::new("edr.defender.example", 70, 4), 14_400, 1),
        timer(&SVCHOST, Site::new("update.windows.example", 71, 12), 21_600, 1),
        timer(&UPDATER, Site::new("update.browser.example", 72, 3), 18_000, 2),
        timer(&RMM, Site::new(RMM_NAME, 73, 1), 900, 6),
        timer(&MONITOR, Site::new("probe.uptimed.example", 74, 2), 600, 13),
        timer(&VPN_CLIENT, Site::new(BRANCH_NAME, 75, 1), 3_600, 8),
    ]
});

/// The remote management service: wanted, regular, on many devices.
pub(crate) const RMM_NAME: &str = "relay.fleetwise.example";
/// The branch office's VPN gateway, under a dynamic name and wanted.
pub(crate) const BRANCH_NAME: &str = "northwind-branch.ddns.net";
/// A content network whose addresses change all the time.
pub(crate) const CDN_NAME: &str = "static.cdn-one.example";

/// The noise of one device in one hour, in order.
pub(crate) fn device_hour(
    options: &ScenarioOptions,
    device: &Arc<Device>,
    number: u64,
    hour_index: u64,
    hour: DateTime<Utc>,
) -> Vec<NetworkEvent> {
    // Mixing by place keeps devices and hours apart for up to four thousand million of either.
    let mut rng = chance(options.seed, "network", (number << 32) | hour_index);
    let mut events = Vec::new();
    let pace = if device.server { 0.5 } else { busy(hour) };
    for _ in 0..about(&mut rng, options.network_events_per_device_hour * pace) {
        let at = within(&mut rng, hour);
        events.push(ordinary(&mut rng, device, at));
    }
    for timer in TIMERS.iter().filter(|timer| number.is_multiple_of(timer.every)) {
        let from = hour.timestamp();
        let period = i64::from(timer.seconds);
        // The phase is the device's own, and stays.
        let phase = i64::try_from(mix(options.seed, &timer.site.name, number) % u64::from(timer.seconds))
            .unwrap_or(0);
        let mut due = from + (phase - from).rem_euclid(period);
        while due < from + 3600 {
            let late = TimeDelta::microseconds(rng.random_range(0..400_000));
            let at = hour + TimeDelta::seconds(due - from) + late;
            let ip = *pick(&mut rng, &timer.site.addresses);
            events.push(connection(&mut rng, device, at, timer.program, ip, &timer.site));
            due += period;
        }
    }
    events.sort_by_key(|event| event.time);
    for (place, event) in events.iter_mut().enumerate() {
        event.report_id = report_id(hour_index, place);
    }
    events
}

/// The number repeats after some days, as the real one does; planted events keep above it.
fn report_id(hour_index: u64, place: usize) -> i64 {
    i64::try_from(hour_index % 60 * 5_000 + place as u64 % 5_000).unwrap_or_default() + 1
}

fn ordinary(rng: &mut StdRng, device: &Arc<Device>, at: DateTime<Utc>) -> NetworkEvent {
    let kind = rng.random_range(0..100);
    if device.server || kind < 8 {
        return internal(rng, device, at);
    }
    if kind < 35 {
        let (program, site) = pick(rng, &WORK);
        let ip = *pick(rng, &site.addresses);
        return connection(rng, device, at, program, ip, site);
    }
    // Squaring makes the first sites the usual ones.
    let choice: f64 = rng.random_range(0.0_f64..1.0).powi(3);
    let site = &WEB[((choice * WEB.len() as f64) as usize).min(WEB.len() - 1)];
    let ip = *pick(rng, &site.addresses);
    let browser: &'static Program = match rng.random_range(0..10) {
        0..5 => &EDGE,
        5..9 => &CHROME,
        _ => &FIREFOX,
    };
    let mut event = connection(rng, device, at, browser, ip, site);
    match rng.random_range(0..40) {
        0 => event.action = "ConnectionFailed",
        1..4 => event.action = "SslConnectionInspected",
        4 => event.action = "DnsConnectionInspected",
        // Now and then the name is not known.
        5..8 => event.remote_url = None,
        _ => {}
    }
    event
}

fn internal(rng: &mut StdRng, device: &Arc<Device>, at: DateTime<Utc>) -> NetworkEvent {
    let server = Ipv4Addr::new(10, 20, 250, rng.random_range(1..6));
    let site = Site {
        name: "dc.northwind.example".into(),
        addresses: Vec::new(),
        port: *pick(rng, &[53, 88, 389, 445]),
    };
    let mut event = connection(rng, device, at, &SVCHOST, server.into(), &site);
    if rng.random_range(0..12) == 0 {
        event.action = "InboundConnectionAccepted";
    }
    event
}

fn connection(
    rng: &mut StdRng,
    device: &Arc<Device>,
    at: DateTime<Utc>,
    program: &'static Program,
    remote_ip: IpAddr,
    site: &Site,
) -> NetworkEvent {
    NetworkEvent {
        time: at,
        // The sensor sends within seconds; one in fifty devices' reports waits for the network to come back.
        arrives: at
            + TimeDelta::seconds(if rng.random_range(0..50) == 0 { rng.random_range(60..900) } else { 20 }),
        device: Arc::clone(device),
        action: "ConnectionSuccess",
        remote_ip,
        remote_port: site.port,
        remote_url: Some(Arc::clone(&site.name)),
        local_port: rng.random_range(49_152..=65_535),
        program,
        process_id: process_id(device, program, at),
        process_began: process_began(at),
        report_id: 0,
    }
}

/// A process lives for a day.
pub(crate) fn process_id(device: &Device, program: &Program, at: DateTime<Utc>) -> u32 {
    let day = at.timestamp().div_euclid(86_400) as u64;
    (mix(day, program.file, mix(0, &device.id, 0)) % 15_000) as u32 * 4 + 1000
}

/// Machines start at five in the morning.
pub(crate) fn process_began(at: DateTime<Utc>) -> DateTime<Utc> {
    let five = at.date_naive().and_time(NaiveTime::MIN).and_utc() + TimeDelta::hours(5);
    if at.hour() >= 6 { five } else { five - TimeDelta::days(1) }
}

/// Every device of the tenant with its number.
pub(crate) fn numbered(tenant: &Tenant) -> impl Iterator<Item = (u64, &Arc<Device>)> {
    tenant.devices.iter().enumerate().map(|(number, device)| (number as u64, device))
}
