//! Who and what the tenant has. Addresses are those kept for documentation and benchmarks:
//!
//! | range | who |
//! |---|---|
//! | `198.51.100.0/24` | the company's own way out, its VPN and the cloud addresses that it has long had |
//! | `192.0.2.0/24` | people's homes |
//! | `203.0.113.0/24` | hosting providers that anyone can rent from |
//! | `198.18.0.0/16`, `2001:db8::/32` | services on the internet |
//! | `198.19.0.0/16` | addresses that the clouds hand out |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::ScenarioOptions;
use super::chance::{aws_id, chance, hex, pick, uuid};

/// The company's mail domain.
pub const DOMAIN: &str = "northwind.example";
/// Where the company's network meets the internet: one address for all devices.
pub const NAT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10));
/// Where the company's VPN meets the internet.
pub const VPN: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 20));
/// The role through which people work in AWS; their sessions bear their user principal names.
pub const ENGINEER_ROLE: &str = "CloudEngineer";
/// The role of the pipeline that may build anything in AWS.
pub const PIPELINE_ROLE: &str = "terraform-pipeline";
/// The service principal that may build anything in Azure.
pub const PIPELINE_APP: &str = "northwind-terraform";

const FIRST: [&str; 24] = [
    "ada", "ben", "carla", "deniz", "emil", "fatima", "georg", "hanna", "ivan", "jana", "karim", "lena",
    "milan", "nora", "oskar", "paula", "quentin", "rosa", "samir", "tilda", "ugo", "vera", "wanda", "yusuf",
];
const LAST: [&str; 20] = [
    "arndt", "brand", "cole", "dietz", "ebert", "falk", "gross", "haas", "imhof", "jung", "kern", "lang",
    "maier", "nagel", "otto", "pohl", "quast", "roth", "stark", "thoma",
];
const HOMES: [(&str, &str, &str, f64, f64); 4] = [
    ("Munich", "Bayern", "DE", 48.13, 11.57),
    ("Hamburg", "Hamburg", "DE", 53.55, 9.99),
    ("Vienna", "Wien", "AT", 48.2, 16.37),
    ("Leipzig", "Sachsen", "DE", 51.34, 12.37),
];

/// A place on earth, as sign-ins name it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// The city.
    pub city: &'static str,
    /// The state.
    pub state: &'static str,
    /// The country's two letters.
    pub country: &'static str,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
}

/// A person.
#[derive(Debug)]
pub struct User {
    /// The user principal name.
    pub upn: String,
    /// The name that people read.
    pub display_name: String,
    /// The account's name on devices.
    pub account: String,
    /// The object id in Entra.
    pub object_id: String,
    /// The security identifier.
    pub sid: String,
    /// The address at home.
    pub home: IpAddr,
    /// Where home is.
    pub place: Place,
    /// Works in the clouds.
    pub engineer: bool,
}

/// A workstation or server.
#[derive(Debug)]
pub struct Device {
    /// Forty hexadecimal digits.
    pub id: String,
    /// The full name.
    pub name: String,
    /// The private address.
    pub local_ip: IpAddr,
    /// The IPv6 address.
    pub local_ip6: IpAddr,
    /// Who sits before it; of a server, who runs it.
    pub user: Arc<User>,
    /// Runs day and night.
    pub server: bool,
}

/// An AWS account.
#[derive(Debug, Clone)]
pub struct Account {
    /// Twelve digits.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// The canonical part of the ids of its roles.
    pub role_id: String,
    /// The part of the ids of its users.
    pub user_id: String,
}

/// An Azure subscription.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The id.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// Its resource groups.
    pub groups: Vec<String>,
}

/// Who and what the tenant has.
#[derive(Debug)]
pub struct Tenant {
    /// The Entra tenant's id.
    pub id: String,
    /// People.
    pub users: Vec<Arc<User>>,
    /// Devices; the first fifth are servers.
    pub devices: Vec<Arc<Device>>,
    /// AWS accounts.
    pub accounts: Vec<Account>,
    /// AWS regions in use.
    pub regions: Vec<&'static str>,
    /// Azure subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// The object id of the pipeline's service principal.
    pub pipeline_object_id: String,
    /// The application id of the pipeline's service principal.
    pub pipeline_app_id: String,
}

/// The regions that the tenant may use, the most used first.
const REGIONS: [&str; 6] =
    ["us-east-1", "eu-central-1", "eu-west-1", "us-west-2", "eu-north-1", "ap-northeast-1"];

/// The region in which nobody of the tenant works.
pub const UNUSED_REGION: &str = "ap-southeast-3";

impl Tenant {
    pub(crate) fn new(options: &ScenarioOptions) -> Self {
        let seed = options.seed;
        let users: Vec<_> = (0..options.users.max(4)).map(|index| Arc::new(user(seed, index))).collect();
        let device_count = options.devices.max(5);
        let devices = (0..device_count)
            .map(|index| {
                let owner = &users[index as usize % users.len()];
                Arc::new(device(seed, index, index < device_count.div_ceil(5), owner))
            })
            .collect();
        let mut rng = chance(seed, "tenant", 0);
        Self {
            id: uuid(&mut rng),
            pipeline_object_id: uuid(&mut rng),
            pipeline_app_id: uuid(&mut rng),
            users,
            devices,
            accounts: (0..options.aws_accounts.max(2)).map(|index| account(seed, index)).collect(),
            regions: REGIONS[..(options.regions as usize).clamp(1, REGIONS.len())].to_vec(),
            subscriptions: (0..options.subscriptions.max(2)).map(|index| subscription(seed, index)).collect(),
        }
    }

    /// Every region that has events, the unused one included.
    pub fn watched_regions(&self) -> Vec<&'static str> {
        let mut regions = self.regions.clone();
        regions.push(UNUSED_REGION);
        regions
    }

    /// People who work in the clouds.
    pub(crate) fn engineers(&self) -> Vec<&Arc<User>> {
        self.users.iter().filter(|user| user.engineer).collect()
    }

    /// Devices of people.
    pub(crate) fn workstations(&self) -> &[Arc<Device>] {
        &self.devices[self.devices.len().div_ceil(5)..]
    }
}

fn user(seed: u64, index: u32) -> User {
    let mut rng = chance(seed, "user", index.into());
    let (first, last) = (FIRST[index as usize % FIRST.len()], pick(&mut rng, &LAST));
    // A second person of the same first name gets a number, so that names stay unique.
    let number = match index as usize / FIRST.len() {
        0 => String::new(),
        round => (round + 1).to_string(),
    };
    let account = format!("{first}.{last}{number}");
    let (city, state, country, latitude, longitude) = *pick(&mut rng, &HOMES);
    User {
        upn: format!("{account}@{DOMAIN}"),
        display_name: format!("{} {}{number}", title(first), title(last)),
        object_id: uuid(&mut rng),
        sid: format!("S-1-5-21-1004336348-1177238915-682003330-{}", 1100 + index),
        home: Ipv4Addr::new(192, 0, 2, u8::try_from(1 + index % 250).unwrap_or(1)).into(),
        place: Place { city, state, country, latitude, longitude },
        engineer: index.is_multiple_of(3),
        account,
    }
}

fn title(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn device(seed: u64, index: u32, server: bool, user: &Arc<User>) -> Device {
    let mut rng = chance(seed, "device", index.into());
    let kind = if server { "srv" } else { "ws" };
    let [_, high, middle, low] = index.to_be_bytes();
    Device {
        id: hex(&mut rng, 40),
        name: format!("{kind}-{:04}.{DOMAIN}", index + 1),
        local_ip: Ipv4Addr::new(10, high.wrapping_add(20), middle, low).into(),
        local_ip6: Ipv6Addr::new(0xfd00, 0x20, 0, 0, 0, 0, (index >> 16) as u16, index as u16).into(),
        user: Arc::clone(user),
        server,
    }
}

fn account(seed: u64, index: u32) -> Account {
    const KNOWN: [(&str, &str); 3] =
        [("111122223333", "platform"), ("444455556666", "research"), ("777788889999", "sandbox")];
    let mut rng = chance(seed, "account", index.into());
    let (id, name) = KNOWN.get(index as usize).map_or_else(
        || (format!("{:012}", 100_000_000_000_u64 + u64::from(index)), format!("team-{index}")),
        |(id, name)| ((*id).to_owned(), (*name).to_owned()),
    );
    Account { id, name, role_id: aws_id(&mut rng, "AROA"), user_id: aws_id(&mut rng, "AIDA") }
}

fn subscription(seed: u64, index: u32) -> Subscription {
    let mut rng = chance(seed, "subscription", index.into());
    let name = ["production", "workplace", "labs"]
        .get(index as usize)
        .map_or_else(|| format!("team-{index}"), |name| (*name).to_owned());
    let groups = ["web", "data", "shared"].map(|part| format!("rg-{name}-{part}")).to_vec();
    Subscription { id: uuid(&mut rng), name, groups }
}
