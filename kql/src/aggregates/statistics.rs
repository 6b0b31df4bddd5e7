//! Aggregates over numbers: spread, percentiles, distinct counts.

use super::codec::{Reader, Writer};
use super::grouped::State;
use crate::functions::Row;
use crate::types::KqlType;
use crate::value::Value;

/// Mean and spread in one pass, by Welford's method.
#[derive(Default, Clone, Copy)]
struct Moments {
    count: u64,
    mean: f64,
    /// The sum of the squared distances from the mean.
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1;
        let distance = value - self.mean;
        self.mean += distance / self.count as f64;
        self.squares += distance * (value - self.mean);
    }

    fn merge(&mut self, other: Moments) {
        if other.count == 0 {
            return;
        }
        let count = self.count + other.count;
        let distance = other.mean - self.mean;
        self.squares +=
            other.squares + distance * distance * self.count as f64 * other.count as f64 / count as f64;
        self.mean += distance * other.count as f64 / count as f64;
        self.count = count;
    }

    fn variance(self, population: bool) -> f64 {
        match (self.count, population) {
            (0 | 1, _) => 0.0,
            (count, true) => self.squares / count as f64,
            (count, false) => self.squares / (count - 1) as f64,
        }
    }
}

/// `variance`, `variancep`, `stdev`, `stdevp`.
#[derive(Default)]
pub(crate) struct Spread<const POPULATION: bool, const ROOT: bool>(Moments);

impl<const POPULATION: bool, const ROOT: bool> State for Spread<POPULATION, ROOT> {
    fn update(&mut self, row: &Row<'_>) {
        if let Some(value) = row.real(0) {
            self.0.add(value);
        }
    }

    fn merge(&mut self, other: Self) {
        self.0.merge(other.0);
    }

    fn save(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.long(self.0.count).real(self.0.mean).real(self.0.squares);
        writer.finish()
    }

    fn load(bytes: &[u8]) -> Self {
        let mut reader = Reader(bytes);
        Spread(Moments { count: reader.long(), mean: reader.real(), squares: reader.real() })
    }

    fn finish(self) -> Value<'static> {
        let variance = self.0.variance(POPULATION);
        Value::Real(if ROOT { variance.sqrt() } else { variance })
    }

    fn size(&self) -> usize {
        0
    }
}

/// The mean of ticks, exact where a double would not be.
#[derive(Default)]
pub(crate) struct MeanTicks {
    sum: i128,
    count: u64,
}

impl State for MeanTicks {
    fn update(&mut self, row: &Row<'_>) {
        if let Some(value) = row.long(0) {
            self.sum += i128::from(value);
            self.count += 1;
        }
    }

    fn merge(&mut self, other: Self) {
        self.sum += other.sum;
        self.count += other.count;
    }

    fn save(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.long(self.count).bytes(&self.sum.to_le_bytes());
        writer.finish()
    }

    fn load(bytes: &[u8]) -> Self {
        let mut reader = Reader(bytes);
        let count = reader.long();
        MeanTicks { count, sum: reader.bytes().try_into().map_or(0, i128::from_le_bytes) }
    }

    fn finish(self) -> Value<'static> {
        if self.count == 0 {
            return Value::Null;
        }
        i64::try_from(self.sum / i128::from(self.count)).map_or(Value::Null, Value::Long)
    }

    fn size(&self) -> usize {
        0
    }
}

/// `percentile(value, percent, weight)`: the value at the nearest rank.
#[derive(Default)]
pub(crate) struct Percentile {
    values: Vec<(f64, u64)>,
    percent: f64,
    long: bool,
}

impl Percentile {
    fn add(&mut self, row: &Row<'_>) {
        self.percent = row.real(1).unwrap_or(50.0);
        self.long = row.kind(0) != KqlType::Real;
        let weight =
            if row.len() > 2 { row.long(2).and_then(|weight| u64::try_from(weight).ok()) } else { Some(1) };
        if let (Some(value), Some(weight)) = (row.real(0), weight)
            && weight > 0
        {
            self.values.push((value, weight));
        }
    }
}

impl State for Percentile {
    fn update(&mut self, row: &Row<'_>) {
        self.add(row);
    }

    fn merge(&mut self, other: Self) {
        if !other.values.is_empty() {
            self.percent = other.percent;
            self.long = other.long;
        }
        self.values.extend(other.values);
    }

    fn save(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.real(self.percent).long(u64::from(self.long));
        for (value, weight) in &self.values {
            writer.real(*value).long(*weight);
        }
        writer.finish()
    }

    fn load(bytes: &[u8]) -> Self {
        let mut reader = Reader(bytes);
        let mut state = Percentile { percent: reader.real(), long: reader.long() != 0, values: Vec::new() };
        while !reader.is_empty() {
            state.values.push((reader.real(), reader.long()));
        }
        state
    }

    fn finish(mut self) -> Value<'static> {
        self.values.sort_by(|left, right| left.0.total_cmp(&right.0));
        match at_percent(&self.values, self.percent) {
            None => Value::Null,
            Some(value) if self.long => crate::functions::convert::truncate(value.round()).into(),
            Some(value) => Value::Real(value),
        }
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<(f64, u64)>()
    }
}

/// The value at the nearest rank of sorted values with weights.
pub(crate) fn at_percent(sorted: &[(f64, u64)], percent: f64) -> Option<f64> {
    // As reals, for weights may be such that whole numbers would not hold their sum.
    let total: f64 = sorted.iter().map(|(_, weight)| *weight as f64).sum();
    let rank = (percent.clamp(0.0, 100.0) / 100.0 * total).ceil().max(1.0);
    let mut passed = 0.0;
    for (value, weight) in sorted {
        passed += *weight as f64;
        if passed >= rank {
            return Some(*value);
        }
    }
    sorted.last().map(|(value, _)| *value)
}

/// `percentiles_array(value, percents, weight)`.
#[derive(Default)]
pub(crate) struct Percentiles {
    inner: Percentile,
    percents: Vec<f64>,
}

impl State for Percentiles {
    fn update(&mut self, row: &Row<'_>) {
        if self.percents.is_empty() {
            self.percents =
                row.array(1).unwrap_or_default().iter().filter_map(serde_json::Value::as_f64).collect();
        }
        self.inner.add(row);
    }

    fn merge(&mut self, other: Self) {
        if !other.percents.is_empty() {
            self.percents = other.percents;
        }
        self.inner.merge(other.inner);
    }

    fn save(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.long(self.percents.len() as u64);
        for percent in &self.percents {
            writer.real(*percent);
        }
        let mut bytes = writer.finish();
        bytes.extend(self.inner.save());
        bytes
    }

    fn load(bytes: &[u8]) -> Self {
        let mut reader = Reader(bytes);
        let count = reader.long().min(bytes.len() as u64 / 8);
        let percents = (0..count).map(|_| reader.real()).collect();
        Percentiles { percents, inner: Percentile::load(reader.0) }
    }

    fn finish(mut self) -> Value<'static> {
        self.inner.values.sort_by(|left, right| left.0.total_cmp(&right.0));
        let values = self.percents.iter().map(|percent| match at_percent(&self.inner.values, *percent) {
            None => serde_json::Value::Null,
            Some(value) if self.inner.long => crate::functions::convert::truncate(value.round()).into(),
            Some(value) => crate::value::real_json(value),
        });
        Value::json(&serde_json::Value::Array(values.collect()))
    }

    fn size(&self) -> usize {
        self.inner.size() + self.percents.capacity() * 8
    }
}
