//! Hashes.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use twox_hash::XxHash64;

use super::convert::string_of;
use super::{Function, Row, eval};
use crate::value::Value;

/// The bytes of a value that are hashed.
fn bytes(row: &Row<'_>, index: usize) -> Vec<u8> {
    match (row.get(index), row.kind(index)) {
        (Value::Text(text), _) => text.as_bytes().to_vec(),
        (Value::Long(value), _) => value.to_le_bytes().to_vec(),
        (Value::Int(value), _) => value.to_le_bytes().to_vec(),
        (Value::Real(value), _) => value.to_le_bytes().to_vec(),
        (Value::Decimal(value), _) => value.to_le_bytes().to_vec(),
        (Value::Bool(value), _) => vec![u8::from(value)],
        (Value::Null, _) => Vec::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the cryptographic hashes are taken of: a value's text.
fn digest_input(row: &Row<'_>) -> Vec<u8> {
    string_of(&row.get(0), row.kind(0)).into_bytes()
}

fn modulo(hash: i64, row: &Row<'_>) -> Value<'static> {
    match row.long(1) {
        Some(modulus) if row.len() > 1 => hash.checked_rem(modulus).map(i64::abs).into(),
        _ => Value::Long(hash),
    }
}

/// An odd number of many bits, the first prime of xxHash.
const SPREAD: u64 = 0x9e37_79b1_85eb_ca87;

fn combine(hashes: impl Iterator<Item = u64>) -> Value<'static> {
    Value::Long(
        hashes
            .fold(0_u64, |combined, hash| combined.rotate_left(5) ^ hash.wrapping_mul(SPREAD))
            .cast_signed(),
    )
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        eval(
            "hash",
            "(value: any, [modulus: long]) -> long",
            "The xxHash64 of a value.",
            ("hash('World')", "1846988464401551951"),
            |row| modulo(XxHash64::oneshot(0, &bytes(row, 0)).cast_signed(), row),
        )
        .also(&["hash_xxhash64"]),
        eval(
            "hash_many",
            "(value: any, value: any, ...) -> long",
            "One hash of several values.",
            ("hash_many('a', 'b') == hash_many('b', 'a')", "false"),
            |row| combine((0..row.len()).map(|index| XxHash64::oneshot(0, &bytes(row, index)))),
        ),
        eval(
            "hash_combine",
            "(hash: long, hash: long, ...) -> long",
            "One hash of several hashes.",
            ("hash_combine(1, 2) == hash_combine(2, 1)", "false"),
            |row| combine((0..row.len()).filter_map(|index| row.long(index)).map(i64::cast_unsigned)),
        ),
        eval(
            "hash_sha256",
            "(value: any) -> string",
            "The SHA-256 of a value.",
            ("substring(hash_sha256('KQL'), 0, 8)", "78d96279"),
            |row| Value::from(hex(&Sha256::digest(digest_input(row)))),
        ),
        eval(
            "hash_sha1",
            "(value: any) -> string",
            "The SHA-1 of a value.",
            ("hash_sha1('World')", "70c07ec18ef89c5309bbb0937f3a6342411e1fdd"),
            |row| Value::from(hex(&Sha1::digest(digest_input(row)))),
        ),
        eval(
            "hash_md5",
            "(value: any) -> string",
            "The MD5 of a value.",
            ("hash_md5('World')", "f5a7924e621e84c9280a9a27e1bcb7f6"),
            |row| Value::from(hex(&Md5::digest(digest_input(row)))),
        ),
    ]
}
