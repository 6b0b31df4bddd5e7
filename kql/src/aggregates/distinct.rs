//! Counting distinct values: exactly up to a bound, by HyperLogLog beyond it.

use std::hash::{BuildHasher, Hasher};

use datafusion::common::hash_utils::QualityRandomState;

use super::codec::{Reader, Writer};
use super::grouped::State;
use crate::functions::Row;
use crate::value::Value;

/// The hash of a value. Equal values of one column hash alike in every stage. Every bit has to look random: hashes that
/// are good enough for tables make HyperLogLog count numbers in a row twice.
fn hash(value: &Value<'_>) -> u64 {
    let mut hasher = QualityRandomState::with_seed(SEED).build_hasher();
    match value {
        Value::Null => {}
        Value::Bool(value) => hasher.write_u8(u8::from(*value)),
        Value::Int(value) => hasher.write_i64(i64::from(*value)),
        Value::Long(value) => hasher.write_i64(*value),
        Value::Real(value) => hasher.write_u64(value.to_bits()),
        Value::Decimal(value) => hasher.write_i128(*value),
        Value::Text(text) => hasher.write(text.as_bytes()),
    }
    hasher.finish()
}

const SEED: u64 = 0x6b71_6c64_6973_7463;

/// Up to this many values are counted exactly (but for two of 2^64 hashes falling together).
pub(crate) const EXACT_BOUND: usize = 8_192;
/// 2^14 registers: an error of 0.8 %.
const PRECISION: u32 = 14;
const REGISTERS: usize = 1 << PRECISION;
/// That of a hash whose bits are all zero after those that choose the register.
const MOST_RANK: usize = 64 - PRECISION as usize + 1;

/// `dcount(value)`; with `EXACT`, `count_distinct(value)`, which is exact without bound.
#[derive(Default, Clone)]
pub(crate) struct Distinct<const EXACT: bool> {
    /// Hashes, sorted up to `sorted`, then as they came.
    hashes: Vec<u64>,
    sorted: usize,
    registers: Option<Box<[u8]>>,
}

impl<const EXACT: bool> Distinct<EXACT> {
    /// The values' hashes, sorted, where they are few enough to be known exactly.
    pub(super) fn exact(&mut self) -> Option<&[u64]> {
        self.settle();
        self.registers.is_none().then_some(self.hashes.as_slice())
    }

    fn insert(&mut self, hash: u64) {
        if let Some(registers) = &mut self.registers {
            register(registers, hash);
            return;
        }
        if self.hashes[..self.sorted].binary_search(&hash).is_ok() {
            return;
        }
        let fresh = self.hashes.len() - self.sorted;
        if fresh <= FRESH_SEARCHED && self.hashes[self.sorted..].contains(&hash) {
            return;
        }
        self.hashes.push(hash);
        if fresh > FRESH_SEARCHED.max(self.sorted / 4) {
            self.settle();
        }
    }

    pub(super) fn settle(&mut self) {
        self.hashes.sort_unstable();
        self.hashes.dedup();
        self.sorted = self.hashes.len();
        if !EXACT && self.hashes.len() > EXACT_BOUND {
            let mut registers = vec![0; REGISTERS].into_boxed_slice();
            for hash in self.hashes.drain(..) {
                register(&mut registers, hash);
            }
            self.hashes = Vec::new();
            self.sorted = 0;
            self.registers = Some(registers);
        }
    }
}

/// Hashes that are searched one by one before they are sorted in.
const FRESH_SEARCHED: usize = 16;

fn register(registers: &mut [u8], hash: u64) {
    let index = (hash >> (64 - PRECISION)) as usize;
    let rank = ((hash << PRECISION) | (1 << (PRECISION - 1))).leading_zeros() + 1;
    registers[index] = registers[index].max(u8::try_from(rank).unwrap_or(u8::MAX));
}

/// How many values the registers have seen, by Ertl's estimator (2017), which needs no correction anywhere in its range.
fn estimate(registers: &[u8]) -> f64 {
    let count = REGISTERS as f64;
    let mut by_rank = [0.0; MOST_RANK + 1];
    for rank in registers {
        by_rank[usize::from(*rank).min(MOST_RANK)] += 1.0;
    }
    let between = &by_rank[1..MOST_RANK];
    let full = count * tau(1.0 - by_rank[MOST_RANK] / count);
    let sum = between.iter().rfold(full, |sum, registers| 0.5 * (sum + registers));
    count * count * 0.5 / std::f64::consts::LN_2 / (sum + count * sigma(by_rank[0] / count))
}

/// What the empty registers, this part of all, add to the estimator's sum.
fn sigma(part: f64) -> f64 {
    if part >= 1.0 {
        return f64::INFINITY;
    }
    let (mut power, mut weight, mut sum) = (part, 1.0, part);
    loop {
        power *= power;
        let before = sum;
        sum += power * weight;
        weight *= 2.0;
        if sum == before {
            return sum;
        }
    }
}

/// What the full registers, all but this part, add to the estimator's sum.
fn tau(part: f64) -> f64 {
    if part <= 0.0 || part >= 1.0 {
        return 0.0;
    }
    let (mut root, mut weight, mut sum) = (part, 1.0, 1.0 - part);
    loop {
        root = root.sqrt();
        let before = sum;
        weight *= 0.5;
        sum -= (1.0 - root) * (1.0 - root) * weight;
        if sum == before {
            return sum / 3.0;
        }
    }
}

impl<const EXACT: bool> State for Distinct<EXACT> {
    fn update(&mut self, row: &Row<'_>) {
        let value = row.get(0);
        if value != Value::Null {
            self.insert(hash(&value));
        }
    }

    fn merge(&mut self, other: Self) {
        if self.hashes.is_empty() && self.registers.is_none() {
            *self = other;
            return;
        }
        match other.registers {
            Some(theirs) => {
                let mut ours = self.registers.take().unwrap_or_else(|| vec![0; REGISTERS].into_boxed_slice());
                for hash in self.hashes.drain(..) {
                    register(&mut ours, hash);
                }
                self.sorted = 0;
                for (our, their) in ours.iter_mut().zip(&theirs) {
                    *our = (*our).max(*their);
                }
                self.registers = Some(ours);
            }
            None if other.hashes.len() > FRESH_SEARCHED && self.registers.is_none() => {
                self.hashes.extend(other.hashes);
                self.settle();
            }
            None => {
                for hash in other.hashes {
                    self.insert(hash);
                }
            }
        }
    }

    fn save(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match &self.registers {
            Some(registers) => {
                writer.long(1).bytes(registers);
            }
            None => {
                writer.long(0);
                for hash in &self.hashes {
                    writer.long(*hash);
                }
            }
        }
        writer.finish()
    }

    fn load(bytes: &[u8]) -> Self {
        let mut reader = Reader(bytes);
        let mut state = Distinct::default();
        if reader.long() == 1 {
            let registers = reader.bytes();
            if registers.len() == REGISTERS {
                state.registers = Some(registers.into());
            }
            return state;
        }
        state.hashes.reserve_exact(reader.0.len() / 8);
        while !reader.is_empty() {
            state.hashes.push(reader.long());
        }
        state.settle();
        state
    }

    fn finish(mut self) -> Value<'static> {
        self.settle();
        match &self.registers {
            Some(registers) => crate::functions::convert::truncate(estimate(registers).round()).into(),
            None => self.hashes.len().into(),
        }
    }

    fn size(&self) -> usize {
        self.hashes.capacity() * 8 + self.registers.as_ref().map_or(0, |registers| registers.len())
    }
}
