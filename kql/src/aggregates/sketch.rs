//! Aggregates whose value is their own state, so that it may be kept and merged later.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use super::distinct::Distinct;
use super::grouped::State;
use crate::functions::Row;
use crate::value::Value;

/// A state that its value holds.
pub(crate) trait Sketch: State {
    /// What [`State::finish`] gave, read back.
    fn read(value: &Json) -> Option<Self>;

    /// All the sketches of a row as one.
    fn merged(row: &Row<'_>) -> Option<Self> {
        (0..row.len()).filter_map(|index| Self::read(&row.json(index))).reduce(|mut all, one| {
            all.merge(one);
            all
        })
    }
}

/// `hll(value)`: the values that `dcount()` counts.
#[derive(Default, Clone)]
pub(crate) struct Hll(Distinct<false>);

impl Hll {
    /// How many there are.
    pub(crate) fn count(self) -> Value<'static> {
        self.0.finish()
    }

    /// How many values the first set has, the first two have in common, and so on.
    pub(crate) fn intersections(mut sets: Vec<Hll>) -> Vec<i64> {
        let exact: Option<Vec<&[u64]>> = sets.iter_mut().map(|set| set.0.exact()).collect();
        if let Some(exact) = exact {
            let mut common: Option<Vec<u64>> = None;
            return exact
                .iter()
                .map(|set| {
                    let both = match common.take() {
                        Some(mut common) => {
                            common.retain(|hash| set.binary_search(hash).is_ok());
                            common
                        }
                        None => set.to_vec(),
                    };
                    let count = i64::try_from(both.len()).unwrap_or(i64::MAX);
                    common = Some(both);
                    count
                })
                .collect();
        }
        let mut least = i64::MAX;
        (1..=sets.len())
            .map(|count| {
                least = common_estimate(&sets[..count]).clamp(0, least);
                least
            })
            .collect()
    }
}

/// How many values all sets have, by the sizes of the unions of some of them: added and taken away in turn.
fn common_estimate(sets: &[Hll]) -> i64 {
    fn unions(union: Option<&Hll>, rest: &[Hll], odd: bool) -> i64 {
        let Some((first, rest)) = rest.split_first() else {
            let count = union.and_then(|union| union.clone().count().as_long()).unwrap_or(0);
            return if odd { count } else { -count };
        };
        let mut with_first = union.cloned().unwrap_or_default();
        with_first.merge(first.clone());
        unions(union, rest, odd).saturating_add(unions(Some(&with_first), rest, !odd))
    }
    unions(None, sets, false)
}

impl State for Hll {
    fn update(&mut self, row: &Row<'_>) {
        self.0.update(row);
    }

    fn merge(&mut self, other: Self) {
        self.0.merge(other.0);
    }

    fn save(&self) -> Vec<u8> {
        self.0.save()
    }

    fn load(bytes: &[u8]) -> Self {
        Hll(Distinct::load(bytes))
    }

    fn finish(mut self) -> Value<'static> {
        // The same values give the same state, in whatever order they came.
        self.0.settle();
        Value::json(&STANDARD.encode(self.save()).into())
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

impl Sketch for Hll {
    fn read(value: &Json) -> Option<Self> {
        Some(Hll::load(&STANDARD.decode(value.as_str()?).ok()?))
    }
}

/// `hll_merge(state)`, `tdigest_merge(state)`.
#[derive(Default)]
pub(crate) struct Merged<S>(S);

impl<S: Sketch> State for Merged<S> {
    fn update(&mut self, row: &Row<'_>) {
        if let Some(other) = S::read(&row.json(0)) {
            self.0.merge(other);
        }
    }

    fn merge(&mut self, other: Self) {
        self.0.merge(other.0);
    }

    fn save(&self) -> Vec<u8> {
        self.0.save()
    }

    fn load(bytes: &[u8]) -> Self {
        Merged(S::load(bytes))
    }

    fn finish(self) -> Value<'static> {
        self.0.finish()
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}
