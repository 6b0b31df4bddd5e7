//! Chance that is the same on every run.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A generator of its own for each thing that is made up, so that one thing more changes no other.
pub(crate) fn chance(seed: u64, thing: &str, index: u64) -> StdRng {
    StdRng::seed_from_u64(mix(seed, thing, index))
}

/// A number that follows from all three, evenly spread.
pub(crate) fn mix(seed: u64, thing: &str, index: u64) -> u64 {
    // FNV-1a over the name, then the finaliser of SplitMix64.
    let name = thing
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ name ^ index.wrapping_mul(0xd1b5_4a32_d192_ed03);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A UUID of version 4's looks.
pub(crate) fn uuid(rng: &mut StdRng) -> String {
    uuid::Builder::from_random_bytes(rng.random()).into_uuid().to_string()
}

/// So many lower-case hexadecimal digits.
pub(crate) fn hex(rng: &mut StdRng, digits: usize) -> String {
    (0..digits).map(|_| char::from(b"0123456789abcdef"[rng.random_range(0..16)])).collect()
}

/// An AWS identifier such as `AKIA` and sixteen letters and digits.
pub(crate) fn aws_id(rng: &mut StdRng, prefix: &str) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let tail: String = (0..16).map(|_| char::from(ALPHABET[rng.random_range(0..32)])).collect();
    format!("{prefix}{tail}")
}

/// One of them.
pub(crate) fn pick<'a, T>(rng: &mut StdRng, choices: &'a [T]) -> &'a T {
    &choices[rng.random_range(0..choices.len())]
}

/// A whole number near the mean: the mean's fraction is a chance of one more.
pub(crate) fn about(rng: &mut StdRng, mean: f64) -> u32 {
    let spread = mean * rng.random_range(0.5..1.5);
    let whole = spread.floor();
    // Both ends are far below what a u32 holds.
    whole as u32 + u32::from(rng.random_bool(spread - whole))
}
