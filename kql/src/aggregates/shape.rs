//! Aggregates over the shape of values, over bits, over pairs, and into series.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::codec::{Reader, Writer};
use super::grouped::State;
use crate::functions::Row;
use crate::value::Value;

/// The types met at one place of dynamics, and below it.
#[derive(Default, Clone)]
struct Shape {
    /// Names of scalar types, in the order in which they were met.
    scalars: Vec<String>,
    bag: Option<Vec<(String, Shape)>>,
    items: Option<Box<Shape>>,
}

/// Shapes are followed no deeper than this.
const MAX_DEPTH: usize = 64;

impl Shape {
    fn take_in(&mut self, value: &Json, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        let name = match value {
            Json::Null => return,
            Json::Bool(_) => "bool",
            Json::Number(number) if number.is_f64() => "double",
            Json::Number(_) => "long",
            Json::String(_) => "string",
            Json::Array(items) => {
                let shape = self.items.get_or_insert_default();
                items.iter().for_each(|item| shape.take_in(item, depth + 1));
                return;
            }
            Json::Object(entries) => {
                let bag = self.bag.get_or_insert_default();
                for (key, value) in entries {
                    let at = bag.iter().position(|(known, _)| known == key).unwrap_or_else(|| {
                        bag.push((key.clone(), Shape::default()));
                        bag.len() - 1
                    });
                    bag[at].1.take_in(value, depth + 1);
                }
                return;
            }
        };
        if !self.scalars.iter().any(|known| known == name) {
            self.scalars.push(name.to_owned());
        }
    }

    fn merge(&mut self, other: Shape) {
        for name in other.scalars {
            if !self.scalars.contains(&name) {
                self.scalars.push(name);
            }
        }
        if let Some(theirs) = other.bag {
            let bag = self.bag.get_or_insert_default();
            for (key, shape) in theirs {
                match bag.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, known)) => known.merge(shape),
                    None => bag.push((key, shape)),
                }
            }
        }
        if let Some(theirs) = other.items {
            self.items.get_or_insert_default().merge(*theirs);
        }
    }

    fn json(&self) -> Json {
        let mut all: Vec<Json> = self.scalars.iter().map(|name| name.as_str().into()).collect();
        let mut inner = Map::new();
        for (key, shape) in self.bag.iter().flatten() {
            inner.insert(key.clone(), shape.json());
        }
        if let Some(items) = &self.items {
            inner.insert("indexer".to_owned(), items.json());
        }
        if self.bag.is_some() || self.items.is_some() {
            all.push(Json::Object(inner));
        }
        match <[Json; 1]>::try_from(all) {
            Ok([only]) => only,
            Err(several) => Json::Array(several),
        }
    }

    /// What [`Shape::json`] wrote, read back.
    fn read(value: &Json) -> Self {
        let mut shape = Shape::default();
        let parts = match value {
            Json::Array(parts) => parts.as_slice(),
            one => std::slice::from_ref(one),
        };
        for part in parts {
            match part {
                Json::String(name) => shape.scalars.push(name.clone()),
                Json::Object(entries) => {
                    for (key, value) in entries {
                        if key == "indexer" {
                            shape.items = Some(Box::new(Shape::read(value)));
                        } else {
                            shape.bag.get_or_insert_default().push((key.clone(), Shape::read(value)));
                        }
                    }
                    if entries.is_empty() {
                        shape.bag.get_or_insert_default();
                    }
                }
                _ => {}
            }
        }
        shape
    }
}

/// `buildschema(value)`.
#[derive(Default)]
pub(crate) struct Schema {
    shape: Shape,
    bytes: usize,
}

impl State for Schema {
    fn update(&mut self, row: &Row<'_>) {
        self.shape.take_in(&row.json(0), 0);
        self.bytes = self.bytes.max(row.text(0).len());
    }

    fn merge(&mut self, other: Self) {
        self.shape.merge(other.shape);
        self.bytes = self.bytes.max(other.bytes);
    }

    fn save(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.bytes(self.shape.json().to_string().as_bytes());
        writer.finish()
    }

    fn load(bytes: &[u8]) -> Self {
        let text = Reader(bytes).text();
        Schema { shape: Shape::read(&crate::json::parse(&text)), bytes: text.len() }
    }

    fn finish(self) -> Value<'static> {
        Value::json(&self.shape.json())
    }

    fn size(&self) -> usize {
        self.bytes
    }
}

/// `binary_all_and`, `binary_all_or`, `binary_all_xor`.
#[derive(Default)]
pub(crate) struct Bits<const OP: char>(Option<i64>);

impl<const OP: char> Bits<OP> {
    fn take_in(&mut self, value: i64) {
        self.0 = Some(match (self.0, OP) {
            (None, _) => value,
            (Some(all), '&') => all & value,
            (Some(all), '|') => all | value,
            (Some(all), _) => all ^ value,
        });
    }
}

impl<const OP: char> State for Bits<OP> {
    fn update(&mut self, row: &Row<'_>) {
        if let Some(value) = row.long(0) {
            self.take_in(value);
        }
    }

    fn merge(&mut self, other: Self) {
        if let Some(value) = other.0 {
            self.take_in(value);
        }
    }

    fn save(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        if let Some(value) = self.0 {
            writer.long(value.cast_unsigned());
        }
        writer.finish()
    }

    fn load(bytes: &[u8]) -> Self {
        let mut reader = Reader(bytes);
        Bits((!reader.is_empty()).then(|| reader.long().cast_signed()))
    }

    fn finish(self) -> Value<'static> {
        self.0.into()
    }

    fn size(&self) -> usize {
        0
    }
}

/// `covariance` and `covariancep`.
#[derive(Default)]
pub(crate) struct Covariance<const POPULATION: bool> {
    count: u64,
    left: f64,
    right: f64,
    together: f64,
}

impl<const POPULATION: bool> State for Covariance<POPULATION> {
    fn update(&mut self, row: &Row<'_>) {
        if let (Some(left), Some(right)) = (row.real(0), row.real(1)) {
            self.count += 1;
            let count = self.count as f64;
            let distance = left - self.left;
            self.left += distance / count;
            self.right += (right - self.right) / count;
            self.together += distance * (right - self.right);
        }
    }

    fn merge(&mut self, other: Self) {
        if other.count == 0 {
            return;
        }
        let (ours, theirs) = (self.count as f64, other.count as f64);
        let total = ours + theirs;
        let (left, right) = (other.left - self.left, other.right - self.right);
        self.together += other.together + left * right * ours * theirs / total;
        self.left += left * theirs / total;
        self.right += right * theirs / total;
        self.count += other.count;
    }

    fn save(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.long(self.count).real(self.left).real(self.right).real(self.together);
        writer.finish()
    }

    fn load(bytes: &[u8]) -> Self {
        let mut reader = Reader(bytes);
        Covariance {
            count: reader.long(),
            left: reader.real(),
            right: reader.real(),
            together: reader.real(),
        }
    }

    fn finish(self) -> Value<'static> {
        Value::Real(match (self.count, POPULATION) {
            (0 | 1, _) => 0.0,
            (count, true) => self.together / count as f64,
            (count, false) => self.together / (count - 1) as f64,
        })
    }

    fn size(&self) -> usize {
        0
    }
}

/// The values of a series by their places: `(place, value, length, default)`.
#[derive(Default)]
pub(crate) struct Series {
    places: Vec<(u64, String)>,
    length: u64,
    default: String,
    bytes: usize,
}

impl State for Series {
    fn update(&mut self, row: &Row<'_>) {
        self.length = row.long(2).and_then(|length| u64::try_from(length).ok()).unwrap_or(0);
        if self.default.is_empty() {
            self.default = row.json(3).to_string();
        }
        if let Some(place) = row.long(0).and_then(|place| u64::try_from(place).ok()) {
            let value = row.json(1).to_string();
            self.bytes += value.capacity();
            self.places.push((place, value));
        }
    }

    fn merge(&mut self, other: Self) {
        if !other.default.is_empty() {
            self.length = other.length;
            self.default = other.default;
        }
        self.bytes += other.bytes;
        self.places.extend(other.places);
    }

    fn save(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.long(self.length).bytes(self.default.as_bytes());
        for (place, value) in &self.places {
            writer.long(*place).bytes(value.as_bytes());
        }
        writer.finish()
    }

    fn load(bytes: &[u8]) -> Self {
        let mut reader = Reader(bytes);
        let mut series = Series { length: reader.long(), default: reader.text(), ..Series::default() };
        while !reader.is_empty() {
            let place = reader.long();
            let value = reader.text();
            series.bytes += value.capacity();
            series.places.push((place, value));
        }
        series
    }

    fn finish(self) -> Value<'static> {
        let length = usize::try_from(self.length).unwrap_or(0);
        let mut items = vec![self.default.as_str(); length];
        for (place, value) in &self.places {
            if let Some(item) = usize::try_from(*place).ok().and_then(|place| items.get_mut(place)) {
                *item = value;
            }
        }
        Value::from(format!("[{}]", items.join(",")))
    }

    fn size(&self) -> usize {
        self.places.capacity() * size_of::<(u64, String)>() + self.bytes
    }
}

/// The keys of bags and the types of their values, as a bag of type names.
#[derive(Default)]
pub(crate) struct Keys {
    keys: BTreeSet<(String, &'static str)>,
    bytes: usize,
}

/// The name of a value's type, from a fixed list so that it need not be copied.
fn type_name(name: &str) -> &'static str {
    ["bool", "datetime", "dynamic", "long", "null", "real"]
        .into_iter()
        .find(|known| *known == name)
        .unwrap_or("string")
}

impl State for Keys {
    fn update(&mut self, row: &Row<'_>) {
        for (key, value) in row.bag(0).unwrap_or_default() {
            let name = match &value {
                Json::Null => "null",
                Json::Bool(_) => "bool",
                Json::Number(number) if number.is_f64() => "real",
                Json::Number(_) => "long",
                Json::String(text) if crate::time::is_iso(text) => "datetime",
                Json::String(_) => "string",
                Json::Array(_) | Json::Object(_) => "dynamic",
            };
            let length = key.len();
            if self.keys.insert((key, name)) {
                self.bytes += length + 48;
            }
        }
    }

    fn merge(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.keys.extend(other.keys);
    }

    fn save(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        for (key, name) in &self.keys {
            writer.bytes(key.as_bytes()).bytes(name.as_bytes());
        }
        writer.finish()
    }

    fn load(bytes: &[u8]) -> Self {
        let mut reader = Reader(bytes);
        let mut keys = Keys::default();
        while !reader.is_empty() {
            let key = reader.text();
            let name = type_name(&reader.text());
            keys.bytes += key.len() + 48;
            keys.keys.insert((key, name));
        }
        keys
    }

    fn finish(self) -> Value<'static> {
        let mut bag: Map<String, Json> = Map::new();
        for (key, name) in self.keys {
            // A key with values of several types is a dynamic, but null fits all.
            match bag.get_mut(&key) {
                None => {
                    bag.insert(key, name.into());
                }
                Some(known) if *known == "null" => *known = name.into(),
                Some(known) => {
                    if name != "null" {
                        *known = match (known.as_str(), name) {
                            (Some("long"), "real") | (Some("real"), "long") => "real".into(),
                            (Some("datetime"), "string") | (Some("string"), "datetime") => "string".into(),
                            _ => "dynamic".into(),
                        };
                    }
                }
            }
        }
        Value::from(Json::Object(bag).to_string())
    }

    fn size(&self) -> usize {
        self.bytes
    }
}
