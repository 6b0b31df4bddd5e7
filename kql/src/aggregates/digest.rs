//! Percentiles in bounded memory: exact for few distinct values, by a t-digest beyond them.

use std::f64::consts::PI;

use serde_json::{Value as Json, json};

use super::codec::{Reader, Writer};
use super::grouped::State;
use super::sketch::Sketch;
use super::statistics::at_percent;
use crate::functions::{Row, convert, json_number};
use crate::types::KqlType;
use crate::value::{Value, real_json, to_json};

/// So many distinct values stay as they are.
const EXACT_BOUND: usize = 2_048;
/// No more values than this wait to be sorted in.
const MOST_HELD: usize = 2 * EXACT_BOUND;
/// How finely values are told apart beyond, more so at the ends than in the middle. Two neighbours take more than one
/// unit of the scale, so that there are never more than twice as many, which is within the bound.
const COMPRESSION: f64 = 1_000.0;

/// `tdigest(value, weight)`.
pub(crate) struct Digest {
    /// Values, or the means of neighbouring ones, with their weights; sorted when settled.
    values: Vec<(f64, u64)>,
    /// Of what type the values are: long, real, datetime or timespan.
    kind: KqlType,
}

impl Default for Digest {
    fn default() -> Self {
        Digest { values: Vec::new(), kind: KqlType::Real }
    }
}

impl Digest {
    fn add(&mut self, value: f64, weight: u64) {
        if value.is_nan() || weight == 0 {
            return;
        }
        if self.values.len() >= MOST_HELD {
            self.settle();
        }
        self.values.push((value, weight));
    }

    /// Sorts the values, puts equal ones together, and where they are too many, neighbours too.
    fn settle(&mut self) {
        self.values.sort_unstable_by(|left, right| left.0.total_cmp(&right.0));
        self.values.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = kept.1.saturating_add(next.1);
            }
            same
        });
        if self.values.len() > EXACT_BOUND {
            self.values = centroids(&self.values);
        }
    }

    /// The value at a percentage, as JSON of its type.
    pub(crate) fn percentile(&self, percent: f64) -> Json {
        match at_percent(&self.values, percent) {
            None => Json::Null,
            Some(value) if self.kind == KqlType::Real => real_json(value),
            Some(value) => {
                convert::truncate(value.round()).map_or(Json::Null, |value| to_json(&value.into(), self.kind))
            }
        }
    }

    /// The weight of the values up to this one, and that of all.
    pub(crate) fn rank(&self, value: f64) -> (f64, f64) {
        // The sum of no reals at all would be -0.0.
        let weight = |values: &[(f64, u64)]| values.iter().fold(0.0, |sum, (_, weight)| sum + *weight as f64);
        let below = self.values.partition_point(|(known, _)| *known <= value);
        (weight(&self.values[..below]), weight(&self.values))
    }
}

/// Neighbours of sorted values merged as far as the scale of the t-digest lets them.
fn centroids(sorted: &[(f64, u64)]) -> Vec<(f64, u64)> {
    let total: f64 = sorted.iter().map(|(_, weight)| *weight as f64).sum();
    let scale = |weight: f64| (2.0 * weight / total - 1.0).clamp(-1.0, 1.0).asin() * COMPRESSION / PI;
    let mut merged: Vec<(f64, u64)> = Vec::new();
    let (mut passed, mut limit) = (0.0, f64::NEG_INFINITY);
    for (value, weight) in sorted {
        passed += *weight as f64;
        match merged.last_mut() {
            Some((mean, held)) if scale(passed) <= limit => {
                *held = held.saturating_add(*weight);
                *mean += (value - *mean) * (*weight as f64 / *held as f64);
            }
            _ => {
                limit = scale(passed - *weight as f64) + 1.0;
                merged.push((*value, *weight));
            }
        }
    }
    merged
}

impl State for Digest {
    fn update(&mut self, row: &Row<'_>) {
        self.kind = match row.kind(0) {
            KqlType::Int => KqlType::Long,
            kind @ (KqlType::Long | KqlType::Datetime | KqlType::Timespan) => kind,
            _ => KqlType::Real,
        };
        let weight = if row.len() > 1 { row.long(1) } else { Some(1) };
        if let (Some(value), Some(weight)) = (row.real(0), weight) {
            self.add(value, u64::try_from(weight).unwrap_or(0));
        }
    }

    fn merge(&mut self, other: Self) {
        if !other.values.is_empty() {
            self.kind = other.kind;
        }
        other.values.into_iter().for_each(|(value, weight)| self.add(value, weight));
    }

    fn save(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.bytes(self.kind.name().as_bytes());
        for (value, weight) in &self.values {
            writer.real(*value).long(*weight);
        }
        writer.finish()
    }

    fn load(bytes: &[u8]) -> Self {
        let mut reader = Reader(bytes);
        let kind = KqlType::from_name(&reader.text()).unwrap_or(KqlType::Real);
        let mut digest = Digest { values: Vec::new(), kind };
        while !reader.is_empty() {
            let value = reader.real();
            digest.add(value, reader.long());
        }
        digest
    }

    /// The type's name, the values and their weights.
    fn finish(mut self) -> Value<'static> {
        self.settle();
        let values: Json = self.values.iter().map(|(value, _)| real_json(*value)).collect();
        let weights: Json = self.values.iter().map(|(_, weight)| Json::from(*weight)).collect();
        Value::json(&json!([self.kind.name(), values, weights]))
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<(f64, u64)>()
    }
}

impl Sketch for Digest {
    fn read(value: &Json) -> Option<Self> {
        let [kind, values, weights] = value.as_array()?.as_slice() else { return None };
        let mut digest = Digest { values: Vec::new(), kind: KqlType::from_name(kind.as_str()?)? };
        for (value, weight) in values.as_array()?.iter().zip(weights.as_array()?) {
            digest.add(json_number(value)?, weight.as_u64()?);
        }
        digest.settle();
        Some(digest)
    }
}
