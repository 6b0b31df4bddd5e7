//! Hashes.

use sha2::{Digest, Sha256};

use super::convert::string_of;
use super::{Function, Row, eval};
use crate::types::KqlType;
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

const PRIME_1: u64 = 0x9e37_79b1_85eb_ca87;
const PRIME_2: u64 = 0xc2b2_ae3d_27d4_eb4f;
const PRIME_3: u64 = 0x1656_67b1_9e37_79f9;
const PRIME_4: u64 = 0x85eb_ca77_c2b2_ae63;
const PRIME_5: u64 = 0x27d4_eb2f_1656_67c5;

fn mix(sum: u64, lane: u64) -> u64 {
    sum.wrapping_add(lane.wrapping_mul(PRIME_2)).rotate_left(31).wrapping_mul(PRIME_1)
}

/// XXH64 with seed 0.
pub(crate) fn xxhash64(data: &[u8]) -> u64 {
    let mut rest = data;
    let mut hash = if data.len() >= 32 {
        let mut sums = [PRIME_1.wrapping_add(PRIME_2), PRIME_2, 0, 0_u64.wrapping_sub(PRIME_1)];
        while let Some((stripe, after)) = rest.split_first_chunk::<32>() {
            let (lanes, _) = stripe.as_chunks::<8>();
            for (sum, lane) in sums.iter_mut().zip(lanes) {
                *sum = mix(*sum, u64::from_le_bytes(*lane));
            }
            rest = after;
        }
        let joined = sums[0]
            .rotate_left(1)
            .wrapping_add(sums[1].rotate_left(7))
            .wrapping_add(sums[2].rotate_left(12))
            .wrapping_add(sums[3].rotate_left(18));
        sums.iter()
            .fold(joined, |hash, sum| (hash ^ mix(0, *sum)).wrapping_mul(PRIME_1).wrapping_add(PRIME_4))
    } else {
        PRIME_5
    };
    hash = hash.wrapping_add(data.len() as u64);
    while let Some((lane, after)) = rest.split_first_chunk::<8>() {
        hash = (hash ^ mix(0, u64::from_le_bytes(*lane)))
            .rotate_left(27)
            .wrapping_mul(PRIME_1)
            .wrapping_add(PRIME_4);
        rest = after;
    }
    if let Some((lane, after)) = rest.split_first_chunk::<4>() {
        let lane = u64::from(u32::from_le_bytes(*lane));
        hash =
            (hash ^ lane.wrapping_mul(PRIME_1)).rotate_left(23).wrapping_mul(PRIME_2).wrapping_add(PRIME_3);
        rest = after;
    }
    for byte in rest {
        hash = (hash ^ u64::from(*byte).wrapping_mul(PRIME_5)).rotate_left(11).wrapping_mul(PRIME_1);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(PRIME_2);
    hash = (hash ^ (hash >> 29)).wrapping_mul(PRIME_3);
    hash ^ (hash >> 32)
}

/// The message in blocks of 64 bytes, closed with its length in bits.
fn padded(data: &[u8], length: [u8; 8]) -> Vec<u8> {
    let mut message = data.to_vec();
    message.push(0x80);
    while message.len() % 64 != 56 {
        message.push(0);
    }
    message.extend_from_slice(&length);
    message
}

fn md5(data: &[u8]) -> [u8; 16] {
    const SHIFTS: [u32; 16] = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21];
    let mut state: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    let bits = (data.len() as u64).wrapping_mul(8).to_le_bytes();
    for block in padded(data, bits).as_chunks::<64>().0 {
        let words: Vec<u32> = block.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
        let [mut a, mut b, mut c, mut d] = state;
        for step in 0..64_usize {
            let (mixed, word) = match step / 16 {
                0 => ((b & c) | (!b & d), step),
                1 => ((d & b) | (!d & c), (5 * step + 1) % 16),
                2 => (b ^ c ^ d, (3 * step + 5) % 16),
                _ => (c ^ (b | !d), (7 * step) % 16),
            };
            // The table is the sine of the step, as the standard defines it.
            let sine = (((step + 1) as f64).sin().abs() * 4_294_967_296.0) as u32;
            let sum = a.wrapping_add(mixed).wrapping_add(sine).wrapping_add(words[word]);
            (a, d, c) = (d, c, b);
            b = b.wrapping_add(sum.rotate_left(SHIFTS[step / 16 * 4 + step % 4]));
        }
        for (state, value) in state.iter_mut().zip([a, b, c, d]) {
            *state = state.wrapping_add(value);
        }
    }
    let mut out = [0; 16];
    for (out, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *out = word.to_le_bytes();
    }
    out
}

fn sha1(data: &[u8]) -> [u8; 20] {
    let mut state: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let bits = (data.len() as u64).wrapping_mul(8).to_be_bytes();
    for block in padded(data, bits).as_chunks::<64>().0 {
        let mut words: Vec<u32> =
            block.as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word)).collect();
        for at in 16..80 {
            words.push((words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16]).rotate_left(1));
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (step, word) in words.iter().enumerate() {
            let (mixed, constant) = match step / 20 {
                0 => ((b & c) | (!b & d), 0x5a82_7999),
                1 => (b ^ c ^ d, 0x6ed9_eba1),
                2 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6_u32),
            };
            let next = a
                .rotate_left(5)
                .wrapping_add(mixed)
                .wrapping_add(e)
                .wrapping_add(constant)
                .wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (state, value) in state.iter_mut().zip([a, b, c, d, e]) {
            *state = state.wrapping_add(value);
        }
    }
    let mut out = [0; 20];
    for (out, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *out = word.to_be_bytes();
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the cryptographic hashes are taken of: a value's bytes.
fn digest_input(row: &Row<'_>) -> Vec<u8> {
    match row.kind(0) {
        KqlType::Datetime | KqlType::Timespan | KqlType::Int | KqlType::Long | KqlType::Real => bytes(row, 0),
        kind => string_of(&row.get(0), kind).into_bytes(),
    }
}

fn modulo(hash: i64, row: &Row<'_>) -> Value<'static> {
    match row.long(1) {
        Some(modulus) if row.len() > 1 => hash.checked_rem(modulus).map(i64::abs).into(),
        _ => Value::Long(hash),
    }
}

fn combine(hashes: impl Iterator<Item = u64>) -> Value<'static> {
    Value::Long(
        hashes
            .fold(0_u64, |combined, hash| combined.rotate_left(5) ^ hash.wrapping_mul(PRIME_1))
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
            |row| modulo(xxhash64(&bytes(row, 0)).cast_signed(), row),
        )
        .also(&["hash_xxhash64"]),
        eval(
            "hash_many",
            "(value: any, value: any, ...) -> long",
            "One hash of several values.",
            ("hash_many('a', 'b') == hash_many('b', 'a')", "false"),
            |row| combine((0..row.len()).map(|index| xxhash64(&bytes(row, index)))),
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
            ("hash_sha256('KQL')", "e4d9d8e4c6f1"),
            |row| Value::from(hex(&Sha256::digest(digest_input(row)))),
        ),
        eval(
            "hash_sha1",
            "(value: any) -> string",
            "The SHA-1 of a value.",
            ("hash_sha1('World')", "70c07ec18ef89c5309bbb0937f3a6342411e1fdd"),
            |row| Value::from(hex(&sha1(&digest_input(row)))),
        ),
        eval(
            "hash_md5",
            "(value: any) -> string",
            "The MD5 of a value.",
            ("hash_md5('World')", "f5a7924e621e84c9280a9a27e1bcb7f6"),
            |row| Value::from(hex(&md5(&digest_input(row)))),
        ),
    ]
}
