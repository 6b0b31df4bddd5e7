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
#[derive(Default)]
pub(crate) struct Hll(Distinct<false>);

impl Hll {
    /// How many there are.
    pub(crate) fn count(self) -> Value<'static> {
        self.0.finish()
    }
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
