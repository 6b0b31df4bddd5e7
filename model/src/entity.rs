//! Entities: what findings are about, in one normal form each, so that two clouds' names for one thing meet.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What sort of thing an entity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntityKind {
    /// A cloud account, subscription or tenant.
    Account,
    /// An autonomous system, `AS14061`.
    Asn,
    /// An access key, certificate or application secret.
    Credential,
    /// A domain name.
    Domain,
    /// A device.
    Host,
    /// An IP address, v4 or v6.
    Ip,
    /// Who acts: a user principal name, a role or user ARN, a service principal.
    Principal,
    /// A program on a host, `host/name`.
    Process,
    /// A cloud resource: instance id, ARN or Azure resource id.
    Resource,
}

impl EntityKind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Account,
        Self::Asn,
        Self::Credential,
        Self::Domain,
        Self::Host,
        Self::Ip,
        Self::Principal,
        Self::Process,
        Self::Resource,
    ];

    /// The name, lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Asn => "asn",
            Self::Credential => "credential",
            Self::Domain => "domain",
            Self::Host => "host",
            Self::Ip => "ip",
            Self::Principal => "principal",
            Self::Process => "process",
            Self::Resource => "resource",
        }
    }
}

impl fmt::Display for EntityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EntityKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let hint = crate::hint(name, Self::ALL.map(Self::name));
            format!("'{name}' is no kind of entity{hint}")
        })
    }
}

/// A thing that findings are about, in its normal form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entity {
    kind: EntityKind,
    value: String,
}

impl Entity {
    /// The entity, or `None` where the text names none: empty, `-`, a service name where an address should be.
    pub fn new(kind: EntityKind, text: &str) -> Option<Self> {
        let trimmed = text.trim();
        if trimmed.is_empty() || trimmed == "-" || trimmed.eq_ignore_ascii_case("null") {
            return None;
        }
        let value = match kind {
            EntityKind::Ip => ip(trimmed)?,
            EntityKind::Domain => domain(trimmed)?,
            EntityKind::Host => {
                let lower = trimmed.trim_end_matches('.').to_lowercase();
                lower.rsplit(['\\', '/']).next().unwrap_or_default().to_owned()
            }
            EntityKind::Asn => {
                format!("AS{}", trimmed.trim_start_matches(['A', 'S', 'a', 's']).parse::<u32>().ok()?)
            }
            EntityKind::Principal if trimmed.starts_with("arn:") => trimmed.to_owned(),
            EntityKind::Principal | EntityKind::Process | EntityKind::Account => trimmed.to_lowercase(),
            EntityKind::Resource if trimmed.starts_with('/') => trimmed.to_lowercase(),
            EntityKind::Credential | EntityKind::Resource => trimmed.to_owned(),
        };
        (!value.is_empty()).then_some(Self { kind, value })
    }

    /// What sort of thing it is.
    pub fn kind(&self) -> EntityKind {
        self.kind
    }

    /// Its normal form.
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.value)
    }
}

fn ip(text: &str) -> Option<String> {
    let bare = text.trim_start_matches('[').split(']').next().unwrap_or_default();
    // `192.0.2.1:443`, as sign-in and activity logs sometimes write an address.
    let without_port = match bare.rsplit_once(':') {
        Some((address, port)) if bare.matches(':').count() == 1 && port.parse::<u16>().is_ok() => address,
        _ => bare,
    };
    let address: IpAddr = without_port.parse().ok()?;
    Some(address.to_canonical().to_string())
}

fn domain(text: &str) -> Option<String> {
    let after_scheme = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = after_scheme.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let name = name.trim_end_matches('.').to_lowercase();
    (name.contains('.') && ip(&name).is_none()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_thing_meet_in_one_form() {
        for (kind, text, expected) in [
            (EntityKind::Ip, " 192.0.2.1 ", Some("192.0.2.1")),
            (EntityKind::Ip, "192.0.2.1:443", Some("192.0.2.1")),
            (EntityKind::Ip, "::ffff:192.0.2.1", Some("192.0.2.1")),
            (EntityKind::Ip, "[2001:DB8::0001]:443", Some("2001:db8::1")),
            (EntityKind::Ip, "ec2.amazonaws.com", None),
            (EntityKind::Ip, "AWS Internal", None),
            (EntityKind::Domain, "https://User@Evil.DuckDNS.org:8443/x?y", Some("evil.duckdns.org")),
            (EntityKind::Domain, "localhost", None),
            (EntityKind::Domain, "http://192.0.2.1/", None),
            (EntityKind::Host, "CONTOSO\\WS-7", Some("ws-7")),
            (EntityKind::Asn, "as14061", Some("AS14061")),
            (EntityKind::Principal, "Ann@Contoso.com", Some("ann@contoso.com")),
            (
                EntityKind::Principal,
                "arn:aws:iam::111122223333:user/Ann",
                Some("arn:aws:iam::111122223333:user/Ann"),
            ),
            (
                EntityKind::Resource,
                "/Subscriptions/A/resourceGroups/B",
                Some("/subscriptions/a/resourcegroups/b"),
            ),
            (EntityKind::Account, "", None),
        ] {
            assert_eq!(Entity::new(kind, text).as_ref().map(Entity::value), expected, "{kind} {text}");
        }
    }
}
