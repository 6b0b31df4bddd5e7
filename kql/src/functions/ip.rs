//! IP addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Function, Row, eval};
use crate::value::Value;

/// What stands before an IPv4 address that is mapped into IPv6.
const MAPPED: u128 = 0xffff_0000_0000;

/// An IPv4 address with the mask behind it, 32 where there is none.
pub(crate) fn ipv4(text: &str) -> Option<(u32, u32)> {
    let text = text.trim();
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, prefix.parse().ok().filter(|prefix| *prefix <= 32)?),
        None => (text, 32),
    };
    Some((u32::from(address.parse::<Ipv4Addr>().ok()?), prefix))
}

/// An IPv6 address with the mask behind it; an IPv4 address is mapped into IPv6.
pub(crate) fn ipv6(text: &str) -> Option<(u128, u32)> {
    let text = text.trim();
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse::<u32>().ok()?)),
        None => (text, None),
    };
    match address.parse::<IpAddr>().ok()? {
        IpAddr::V4(address) => {
            let prefix = prefix.unwrap_or(32);
            (prefix <= 32).then(|| (u128::from(address.to_ipv6_mapped()), 96 + prefix))
        }
        // `::192.0.2.1`, an older way to write the same.
        IpAddr::V6(address) if text.contains('.') && address.to_bits() >> 32 == 0 => {
            let prefix = prefix.unwrap_or(32);
            (prefix <= 32).then(|| (address.to_bits() | MAPPED, 96 + prefix))
        }
        IpAddr::V6(address) => {
            let prefix = prefix.unwrap_or(128);
            (prefix <= 128).then(|| (u128::from(address), prefix))
        }
    }
}

fn mask4(prefix: u32) -> u32 {
    u32::MAX.checked_shl(32 - prefix).unwrap_or(0)
}

/// The bits of an address that a mask of a length keeps.
pub(crate) fn mask6(prefix: u32) -> u128 {
    u128::MAX.checked_shl(128 - prefix).unwrap_or(0)
}

/// How two addresses compare under the shortest of the masks at hand.
fn compare4(row: &Row<'_>) -> Option<i64> {
    let (left, left_prefix) = ipv4(row.text(0))?;
    let (right, right_prefix) = ipv4(row.text(1))?;
    let prefix = left_prefix.min(right_prefix).min(extra_prefix(row, 32)?);
    let (left, right) = (left & mask4(prefix), right & mask4(prefix));
    Some(left.cmp(&right) as i64)
}

fn compare6(row: &Row<'_>) -> Option<i64> {
    let (left, left_prefix) = ipv6(row.text(0))?;
    let (right, right_prefix) = ipv6(row.text(1))?;
    let prefix = left_prefix.min(right_prefix).min(extra_prefix(row, 128)?);
    let (left, right) = (left & mask6(prefix), right & mask6(prefix));
    Some(left.cmp(&right) as i64)
}

fn extra_prefix(row: &Row<'_>, most: u32) -> Option<u32> {
    if row.len() < 3 {
        return Some(most);
    }
    u32::try_from(row.long(2)?).ok().filter(|prefix| *prefix <= most)
}

pub(crate) fn in_range4(address: &str, range: &str) -> Option<bool> {
    let (address, own) = ipv4(address)?;
    let (network, prefix) = ipv4(range)?;
    let prefix = prefix.min(own);
    Some(address & mask4(prefix) == network & mask4(prefix))
}

pub(crate) fn in_range6(address: &str, range: &str) -> Option<bool> {
    let (address, own) = ipv6(address)?;
    let (network, prefix) = ipv6(range)?;
    let prefix = prefix.min(own);
    Some(address & mask6(prefix) == network & mask6(prefix))
}

/// The ranges from an argument on: strings, or arrays of them.
fn ranges(row: &Row<'_>, from: usize) -> Vec<String> {
    let mut ranges = Vec::new();
    for index in from..row.len() {
        match row.json(index) {
            serde_json::Value::Array(items) => {
                ranges.extend(items.iter().filter_map(|item| item.as_str().map(str::to_owned)));
            }
            serde_json::Value::String(range) => ranges.push(range),
            _ => {}
        }
    }
    ranges
}

fn in_any(row: &Row<'_>, test: fn(&str, &str) -> Option<bool>) -> Value<'static> {
    let found: Vec<Option<bool>> = ranges(row, 1).iter().map(|range| test(row.text(0), range)).collect();
    if found.contains(&Some(true)) {
        return Value::Bool(true);
    }
    if found.iter().all(Option::is_none) { Value::Null } else { Value::Bool(false) }
}

fn is_private(text: &str) -> Option<bool> {
    let (address, prefix) = ipv4(text)?;
    let private = [(0x0a00_0000, 8), (0xac10_0000, 12), (0xc0a8_0000, 16)];
    Some(private.iter().any(|(network, length)| prefix >= *length && address & mask4(*length) == *network))
}

fn has_address(row: &Row<'_>, test: impl Fn(&str) -> bool) -> bool {
    addresses(row.text(0)).any(test)
}

/// The IPv4 addresses in a text that are not part of something longer.
fn addresses(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.'))
        .map(|word| word.trim_matches('.'))
        .filter(|word| word.parse::<Ipv4Addr>().is_ok())
}

fn prefix_matches(address: &str, prefix: &str) -> bool {
    // A prefix is an address, or some of its octets with the dot behind them.
    if prefix.parse::<Ipv4Addr>().is_ok() {
        address == prefix
    } else {
        prefix.ends_with('.') && address.starts_with(prefix)
    }
}

fn format_address(row: &Row<'_>, with_mask: bool) -> Option<String> {
    let (address, own) = match row.kind(0) {
        crate::types::KqlType::String => ipv4(row.text(0))?,
        _ => (u32::try_from(row.get(0).as_long()?).ok()?, 32),
    };
    let prefix =
        if row.len() > 1 { u32::try_from(row.long(1)?).ok().filter(|prefix| *prefix <= 32)? } else { own };
    let prefix = prefix.min(own);
    let address = Ipv4Addr::from(address & mask4(prefix));
    Some(if with_mask { format!("{address}/{prefix}") } else { address.to_string() })
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        eval(
            "parse_ipv4",
            "(address: string) -> long",
            "An IPv4 address as a number.",
            ("parse_ipv4('10.0.0.1')", "167772161"),
            |row| ipv4(row.text(0)).map(|(address, prefix)| i64::from(address & mask4(prefix))).into(),
        ),
        eval(
            "parse_ipv4_mask",
            "(address: string, prefix: long) -> long",
            "An IPv4 address under a mask as a number.",
            ("parse_ipv4_mask('10.1.2.3', 8)", "167772160"),
            |row| {
                let prefix =
                    row.long(1).and_then(|prefix| u32::try_from(prefix).ok()).filter(|prefix| *prefix <= 32);
                ipv4(row.text(0))
                    .zip(prefix)
                    .map(|((address, own), prefix)| i64::from(address & mask4(prefix.min(own))))
                    .into()
            },
        ),
        eval(
            "parse_ipv6",
            "(address: string) -> string",
            "An IPv6 or IPv4 address in IPv6's full form.",
            ("parse_ipv6('::1')", "0000:0000:0000:0000:0000:0000:0000:0001"),
            |row| ipv6(row.text(0)).map(|(address, prefix)| full6(address & mask6(prefix))).into(),
        ),
        eval(
            "parse_ipv6_mask",
            "(address: string, prefix: long) -> string",
            "An IPv6 or IPv4 address under a mask in IPv6's full form.",
            ("parse_ipv6_mask('fe80::1', 16)", "fe80:0000:0000:0000:0000:0000:0000:0000"),
            |row| {
                let prefix =
                    row.long(1).and_then(|prefix| u32::try_from(prefix).ok()).filter(|prefix| *prefix <= 128);
                ipv6(row.text(0))
                    .zip(prefix)
                    .map(|((address, own), prefix)| full6(address & mask6(prefix.min(own))))
                    .into()
            },
        ),
        eval(
            "ipv4_compare",
            "(left: string, right: string, [prefix: long]) -> long",
            "-1, 0 or 1, under the shortest mask.",
            ("ipv4_compare('10.0.0.1', '10.0.0.2')", "-1"),
            |row| compare4(row).into(),
        ),
        eval(
            "ipv4_is_match",
            "(left: string, right: string, [prefix: long]) -> bool",
            "Whether two addresses are the same under the shortest mask.",
            ("ipv4_is_match('10.0.0.1', '10.0.0.0/24')", "true"),
            |row| compare4(row).map(|order| order == 0).into(),
        ),
        eval(
            "ipv4_is_in_range",
            "(address: string, range: string) -> bool",
            "Whether an address is in a range.",
            ("ipv4_is_in_range('10.0.0.5', '10.0.0.0/8')", "true"),
            |row| in_range4(row.text(0), row.text(1)).into(),
        ),
        eval(
            "ipv4_is_in_any_range",
            "(address: string, ranges: any, ...) -> bool",
            "Whether an address is in one of several ranges.",
            ("ipv4_is_in_any_range('10.0.0.5', dynamic(['192.168.0.0/16', '10.0.0.0/8']))", "true"),
            |row| in_any(row, in_range4),
        ),
        eval(
            "ipv4_is_private",
            "(address: string) -> bool",
            "Whether an address is of a private network; null for what is no IPv4 address.",
            ("ipv4_is_private('192.168.1.1')", "true"),
            |row| is_private(row.text(0)).into(),
        ),
        eval(
            "ipv4_netmask_suffix",
            "(address: string) -> long",
            "The length of the mask.",
            ("ipv4_netmask_suffix('10.0.0.0/8')", "8"),
            |row| ipv4(row.text(0)).map(|(_, prefix)| i64::from(prefix)).into(),
        ),
        eval(
            "ipv4_range_to_cidr_list",
            "(first: string, last: string) -> dynamic",
            "The ranges that cover all addresses from one to another.",
            ("ipv4_range_to_cidr_list('10.0.0.0', '10.0.0.2')", "[\"10.0.0.0/31\",\"10.0.0.2/32\"]"),
            |row| {
                let (Some((first, _)), Some((last, _))) = (ipv4(row.text(0)), ipv4(row.text(1))) else {
                    return Value::Null;
                };
                let mut blocks = Vec::new();
                let (mut at, last) = (u64::from(first), u64::from(last));
                while at <= last {
                    let mut size = 1_u64 << at.trailing_zeros().min(32);
                    while at + size - 1 > last {
                        size /= 2;
                    }
                    let address = Ipv4Addr::from(u32::try_from(at).unwrap_or(u32::MAX));
                    blocks.push(serde_json::Value::from(format!("{address}/{}", 32 - size.trailing_zeros())));
                    at += size;
                }
                Value::json(&serde_json::Value::Array(blocks))
            },
        ),
        eval(
            "format_ipv4",
            "(address: any, [prefix: long]) -> string",
            "An address as text, under a mask.",
            ("format_ipv4('192.168.1.1', 24)", "192.168.1.0"),
            |row| format_address(row, false).into(),
        ),
        eval(
            "format_ipv4_mask",
            "(address: any, [prefix: long]) -> string",
            "An address and its mask as text.",
            ("format_ipv4_mask('192.168.1.1', 24)", "192.168.1.0/24"),
            |row| format_address(row, true).into(),
        ),
        eval(
            "ipv6_compare",
            "(left: string, right: string, [prefix: long]) -> long",
            "-1, 0 or 1, under the shortest mask; IPv4 addresses are taken as well.",
            ("ipv6_compare('::1', '::2')", "-1"),
            |row| compare6(row).into(),
        ),
        eval(
            "ipv6_is_match",
            "(left: string, right: string, [prefix: long]) -> bool",
            "Whether two addresses are the same under the shortest mask.",
            ("ipv6_is_match('fe80::1', 'fe80::/64')", "true"),
            |row| compare6(row).map(|order| order == 0).into(),
        ),
        eval(
            "ipv6_is_in_range",
            "(address: string, range: string) -> bool",
            "Whether an address is in a range.",
            ("ipv6_is_in_range('fe80::1', 'fe80::/10')", "true"),
            |row| in_range6(row.text(0), row.text(1)).into(),
        ),
        eval(
            "ipv6_is_in_any_range",
            "(address: string, ranges: any, ...) -> bool",
            "Whether an address is in one of several ranges.",
            ("ipv6_is_in_any_range('fe80::1', dynamic(['fc00::/7', 'fe80::/10']))", "true"),
            |row| in_any(row, in_range6),
        ),
        eval(
            "has_ipv4",
            "(text: string, address: string) -> bool",
            "Whether an address stands in a text.",
            ("has_ipv4('from 10.0.0.1:80', '10.0.0.1')", "true"),
            |row| {
                if row.text(1).parse::<Ipv4Addr>().is_err() {
                    return Value::Bool(false);
                }
                has_address(row, |address| address == row.text(1)).into()
            },
        ),
        eval(
            "has_any_ipv4",
            "(text: string, addresses: any, ...) -> bool",
            "Whether one of several addresses stands in a text.",
            ("has_any_ipv4('from 10.0.0.1', dynamic(['10.0.0.2', '10.0.0.1']))", "true"),
            |row| {
                let wanted = ranges(row, 1);
                has_address(row, |address| wanted.iter().any(|one| one == address)).into()
            },
        ),
        eval(
            "has_ipv4_prefix",
            "(text: string, prefix: string) -> bool",
            "Whether an address that begins so stands in a text.",
            ("has_ipv4_prefix('from 10.0.0.1', '10.0.')", "true"),
            |row| has_address(row, |address| prefix_matches(address, row.text(1))).into(),
        ),
        eval(
            "has_any_ipv4_prefix",
            "(text: string, prefixes: any, ...) -> bool",
            "Whether an address that begins in one of several ways stands in a text.",
            ("has_any_ipv4_prefix('from 10.0.0.1', dynamic(['11.', '10.0.']))", "true"),
            |row| {
                let wanted = ranges(row, 1);
                has_address(row, |address| wanted.iter().any(|prefix| prefix_matches(address, prefix))).into()
            },
        ),
    ]
}

fn full6(address: u128) -> String {
    let groups: Vec<String> =
        Ipv6Addr::from(address).segments().iter().map(|group| format!("{group:04x}")).collect();
    groups.join(":")
}
