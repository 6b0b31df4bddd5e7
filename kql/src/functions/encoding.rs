//! Encoding and hashing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::convert::string_of;
use super::{Function, Row, eval};
use crate::value::Value;

/// The text behind percent signs; a plus is a blank where the text is a form's.
pub(super) fn url_decode(text: &str, form: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (bytes[at], hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (b'+', _) if form => {
                out.push(b' ');
                at += 1;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn url_encode(text: &str, plain: &[u8], blank_as_plus: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' if blank_as_plus => out.push('+'),
            byte if byte.is_ascii_alphanumeric() || plain.contains(&byte) => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02x}")),
        }
    }
    out
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    STANDARD.decode(text).ok().or_else(|| {
        let padded = text.trim_end_matches('=');
        base64::engine::general_purpose::STANDARD_NO_PAD.decode(padded).ok()
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decode_text(row: &Row<'_>) -> Value<'static> {
    match decoded(row.text(0)).map(String::from_utf8) {
        Some(Ok(text)) => Value::from(text),
        _ => Value::Null,
    }
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        eval(
            "base64_encode_tostring",
            "(text: string) -> string",
            "The text in base64.",
            ("base64_encode_tostring('KQL')", "S1FM"),
            |row| Value::from(STANDARD.encode(row.text(0))),
        )
        .also(&["base64_encodestring"]),
        eval(
            "base64_decode_tostring",
            "(text: string) -> string",
            "The text behind base64.",
            ("base64_decode_tostring('S1FM')", "KQL"),
            decode_text,
        )
        .also(&["base64_decodestring"]),
        eval(
            "base64_decode_toarray",
            "(text: string) -> dynamic",
            "The bytes behind base64.",
            ("base64_decode_toarray('S1FM')", "[75,81,76]"),
            |row| match decoded(row.text(0)) {
                Some(bytes) => Value::json(&bytes.into_iter().map(Json::from).collect()),
                None => Value::Null,
            },
        ),
        eval(
            "base64_encode_fromarray",
            "(bytes: dynamic) -> string",
            "Bytes in base64.",
            ("base64_encode_fromarray(dynamic([75, 81, 76]))", "S1FM"),
            |row| {
                let bytes: Option<Vec<u8>> = row
                    .array(0)
                    .unwrap_or_default()
                    .iter()
                    .map(|item| item.as_u64().and_then(|byte| u8::try_from(byte).ok()))
                    .collect();
                bytes.map(|bytes| STANDARD.encode(bytes)).into()
            },
        ),
        eval(
            "base64_encode_fromguid",
            "(guid: guid) -> string",
            "A guid's bytes in base64.",
            (
                "base64_encode_fromguid(guid(00000000-0000-0000-0000-000000000001))",
                "AAAAAAAAAAAAAAAAAAAAAQ==",
            ),
            |row| guid_bytes(row.text(0)).map(|bytes| STANDARD.encode(bytes)).into(),
        ),
        eval(
            "base64_decode_toguid",
            "(text: string) -> guid",
            "The guid whose bytes are behind base64.",
            ("base64_decode_toguid('AAAAAAAAAAAAAAAAAAAAAQ==')", "00000000-0000-0000-0000-000000000001"),
            |row| {
                let bytes = decoded(row.text(0)).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
                bytes.and_then(|bytes| crate::format::parse_guid(&hex(&mixed_endian(bytes)))).into()
            },
        ),
        eval(
            "hash_sha256",
            "(value: any) -> string",
            "The SHA-256 of a value's text.",
            ("substring(hash_sha256('KQL'), 0, 8)", "78d96279"),
            |row| Value::from(hex(&Sha256::digest(string_of(&row.get(0), row.kind(0)).as_bytes()))),
        ),
        eval(
            "url_encode",
            "(text: string) -> string",
            "The text as a form writes it in a URL.",
            ("url_encode('a b&c')", "a+b%26c"),
            |row| Value::from(url_encode(row.text(0), b"-_.!*()", true)),
        ),
        eval(
            "url_encode_component",
            "(text: string) -> string",
            "The text as a part of a URL.",
            ("url_encode_component('a b&c')", "a%20b%26c"),
            |row| Value::from(url_encode(row.text(0), b"-_.~", false)),
        ),
        eval(
            "url_decode",
            "(text: string) -> string",
            "The text behind a URL's percent signs.",
            ("url_decode('a%20b')", "a b"),
            |row| Value::from(url_decode(row.text(0), false)),
        ),
    ]
}

/// A guid's bytes as .NET lays them out: the first three groups with their low byte first.
fn guid_bytes(guid: &str) -> Option<[u8; 16]> {
    let digits: String = guid.chars().filter(|c| *c != '-').collect();
    let mut bytes = [0; 16];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(mixed_endian(bytes))
}

fn mixed_endian(mut bytes: [u8; 16]) -> [u8; 16] {
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}
