//! Entra: sign-ins and directory audits, and their noise.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::ScenarioOptions;
use super::activity::{Record, azure_time};
use super::chance::{about, chance, pick, uuid};
use super::tenant::{NAT, Place, Tenant, User, VPN};
use super::time::{busy, second_within};

/// Applications that people sign in to: name, id.
const APPS: [(&str, &str); 6] = [
    ("Office 365 Exchange Online", "00000002-0000-0ff1-ce00-000000000000"),
    ("Microsoft Teams", "1fec8e78-bce4-4aaf-ab1b-5451cc387264"),
    ("Azure Portal", "c44b4083-3bb0-49c1-b47d-974e53cbdf3c"),
    ("Microsoft Office", "d3590ed6-52b3-4102-aeff-aad2292ab01c"),
    ("GitHub Enterprise", "1f4b2c7d-8e3a-4d5b-9c6f-7a8b9c0d1e2f"),
    (AWS_APP.0, AWS_APP.1),
];
/// The application through which people come into AWS.
pub(crate) const AWS_APP: (&str, &str) =
    ("AWS Single-Account Access", "8b7f3e5a-2c4d-4e6f-8a9b-1c2d3e4f5a6b");
/// The portal.
pub(crate) const PORTAL: (&str, &str) = APPS[2];
/// Where the company's own addresses are.
pub(crate) const OFFICE: Place =
    Place { city: "Munich", state: "Bayern", country: "DE", latitude: 48.13, longitude: 11.57 };

/// An attempt to sign in.
#[derive(Debug, Clone)]
pub(crate) struct SignIn<'a> {
    pub(crate) user: &'a User,
    pub(crate) app: (&'static str, &'static str),
    pub(crate) from: IpAddr,
    pub(crate) place: Place,
    /// Zero for success.
    pub(crate) error: u32,
    /// Operating system and browser.
    pub(crate) device: (&'static str, &'static str),
}

pub(crate) const WINDOWS_EDGE: (&str, &str) = ("Windows11", "Edge 141.0.0");

impl SignIn<'_> {
    pub(crate) fn at(&self, tenant: &Tenant, time: DateTime<Utc>, rng: &mut StdRng) -> Record {
        let id = uuid(rng);
        let reason = match self.error {
            0 => Value::Null,
            50126 => json!("Error validating credentials due to invalid username or password."),
            50074 => json!("Strong Authentication is required."),
            50053 => json!(
                "The account is locked, you've tried to sign in too many times with an incorrect user ID or password."
            ),
            _ => json!("Other."),
        };
        let own = self.from == NAT || self.from == VPN;
        let managed = own && self.error == 0;
        let body = json!({
            "id": id,
            "createdDateTime": second(time),
            "userDisplayName": self.user.display_name,
            "userPrincipalName": self.user.upn,
            "userId": self.user.object_id,
            "appId": self.app.1,
            "appDisplayName": self.app.0,
            "ipAddress": self.from.to_string(),
            "clientAppUsed": "Browser",
            "correlationId": uuid(rng),
            "conditionalAccessStatus": if self.error == 0 { "success" } else { "notApplied" },
            "isInteractive": true,
            "riskDetail": "none",
            "riskLevelAggregated": "none",
            "riskLevelDuringSignIn": "none",
            "riskState": "none",
            "riskEventTypes": [],
            "riskEventTypes_v2": [],
            "resourceDisplayName": self.app.0,
            "resourceId": self.app.1,
            "status": { "errorCode": self.error, "failureReason": reason.as_str().unwrap_or("Other."),
                "additionalDetails": if self.error == 0 { json!("MFA requirement satisfied by claim in the token") } else { Value::Null } },
            "deviceDetail": {
                "deviceId": if managed { self.user.object_id.as_str() } else { "" }, "displayName": "",
                "operatingSystem": self.device.0, "browser": self.device.1, "isCompliant": managed, "isManaged": managed,
                "trustType": if managed { "Azure AD joined" } else { "" }
            },
            "location": {
                "city": self.place.city, "state": self.place.state, "countryOrRegion": self.place.country,
                "geoCoordinates": { "altitude": null, "latitude": self.place.latitude, "longitude": self.place.longitude }
            },
            "appliedConditionalAccessPolicies": []
        });
        let arrives = time + TimeDelta::seconds(rng.random_range(120..420));
        Record { id, time, arrives, subscription: tenant.id.clone(), body }
    }
}

/// Graph writes sign-ins with whole seconds.
fn second(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A change of the directory.
#[derive(Debug, Clone)]
pub(crate) struct Change<'a> {
    pub(crate) category: &'static str,
    pub(crate) activity: &'static str,
    pub(crate) operation: &'static str,
    pub(crate) by: &'a User,
    pub(crate) from: IpAddr,
    /// Type, id, name, user principal name.
    pub(crate) target: (&'static str, &'a str, &'a str, Option<&'a str>),
    /// Name, old, new.
    pub(crate) modified: Vec<(&'static str, Value, Value)>,
}

impl Change<'_> {
    pub(crate) fn at(&self, tenant: &Tenant, time: DateTime<Utc>, rng: &mut StdRng) -> Record {
        let id = format!("Directory_{}_{}", uuid(rng), rng.random_range(100_000..999_999));
        let (kind, target, name, upn) = self.target;
        let modified: Vec<Value> = self
            .modified
            .iter()
            // Old and new are texts that hold JSON.
            .map(|(name, old, new)| json!({ "displayName": name, "oldValue": old.to_string(), "newValue": new.to_string() }))
            .collect();
        let body = json!({
            "id": id,
            "category": self.category,
            "correlationId": uuid(rng),
            "result": "success",
            "resultReason": "",
            "activityDisplayName": self.activity,
            "activityDateTime": azure_time(time),
            "loggedByService": "Core Directory",
            "operationType": self.operation,
            "initiatedBy": { "app": null, "user": {
                "id": self.by.object_id, "displayName": null, "userPrincipalName": self.by.upn,
                "ipAddress": self.from.to_string()
            } },
            "targetResources": [{
                "id": target, "displayName": name, "type": kind, "userPrincipalName": upn, "groupType": null,
                "modifiedProperties": modified
            }],
            "additionalDetails": [{ "key": "User-Agent", "value": "Mozilla/5.0" }]
        });
        let arrives = time + TimeDelta::seconds(rng.random_range(120..600));
        Record { id, time, arrives, subscription: tenant.id.clone(), body }
    }
}

/// The sign-ins of one hour, in order.
pub(crate) fn sign_ins(
    options: &ScenarioOptions,
    tenant: &Tenant,
    index: u64,
    hour: DateTime<Utc>,
) -> Vec<Record> {
    let mut rng = chance(options.seed, "sign-ins", index);
    let rng = &mut rng;
    let mut records = Vec::new();
    for user in &tenant.users {
        for _ in 0..about(rng, 0.3 * busy(hour)) {
            let at = second_within(rng, hour);
            records.push(usual(rng, user, at, tenant));
        }
    }
    // In the evening somebody mistypes a password on the VPN and then gets in: from the usual place.
    if hour.hour() == 19 {
        let user = pick(rng, &tenant.users);
        let mut at = hour + TimeDelta::minutes(12);
        for error in [50126, 50126, 50126, 50126, 50126, 0] {
            let attempt =
                SignIn { user, app: APPS[0], from: VPN, place: OFFICE, error, device: WINDOWS_EDGE };
            records.push(attempt.at(tenant, at, rng));
            at += TimeDelta::seconds(rng.random_range(9..40));
        }
    }
    records.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
    records
}

fn usual(rng: &mut StdRng, user: &User, at: DateTime<Utc>, tenant: &Tenant) -> Record {
    let app = if user.engineer { *pick(rng, &APPS) } else { APPS[rng.random_range(0..4)] };
    let (from, place) = match rng.random_range(0..10) {
        0..6 => (NAT, OFFICE),
        6..8 => (VPN, OFFICE),
        _ => (user.home, user.place),
    };
    let error = match rng.random_range(0..60) {
        0 => 50126,
        1 => 50074,
        _ => 0,
    };
    let device =
        *pick(rng, &[WINDOWS_EDGE, ("Windows11", "Chrome 141.0.0"), ("iOS 18", "Mobile Safari 18.6")]);
    SignIn { user, app, from, place, error, device }.at(tenant, at, rng)
}

/// The directory audits of one hour, in order.
pub(crate) fn audits(
    options: &ScenarioOptions,
    tenant: &Tenant,
    index: u64,
    hour: DateTime<Utc>,
) -> Vec<Record> {
    const WORK: [(&str, &str, &str); 5] = [
        ("UserManagement", "Update user", "Update"),
        ("GroupManagement", "Add member to group", "Assign"),
        ("UserManagement", "Reset user password", "Update"),
        ("ApplicationManagement", "Update application", "Update"),
        ("DeviceManagement", "Update device", "Update"),
    ];
    let mut rng = chance(options.seed, "audits", index);
    let rng = &mut rng;
    let mut records: Vec<Record> = (0..about(rng, 1.2 * busy(hour)))
        .map(|_| {
            let (category, activity, operation) = *pick(rng, &WORK);
            let (by, target) = (pick(rng, &tenant.users[..2]), pick(rng, &tenant.users));
            let change = Change {
                category,
                activity,
                operation,
                by,
                from: NAT,
                target: ("User", &target.object_id, &target.display_name, Some(&target.upn)),
                modified: vec![("Department", json!(["Sales"]), json!(["Marketing"]))],
            };
            let at = second_within(rng, hour);
            change.at(tenant, at, rng)
        })
        .collect();
    records.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
    records
}
