//! Aggregates that collect: lists, sets, bags.

use std::collections::HashSet;

use serde_json::Value as Json;

use super::codec::{Reader, Writer};
use super::grouped::State;
use crate::functions::Row;
use crate::types::KqlType;
use crate::value::Value;

/// The most elements of a list or set, as in Kusto.
const MAX_ELEMENTS: usize = 1_048_576;

/// The bound given by an argument.
fn limit(row: &Row<'_>, index: usize) -> usize {
    row.long(index).and_then(|limit| usize::try_from(limit).ok()).unwrap_or(MAX_ELEMENTS).min(MAX_ELEMENTS)
}

/// The element that a row gives: its JSON text; `None` for null.
fn element(row: &Row<'_>) -> Option<String> {
    if row.is_null(0) {
        return None;
    }
    match (row.get(0), row.kind(0)) {
        (Value::Text(text), KqlType::Dynamic) => Some(text.into_owned()),
        _ => Some(row.json(0).to_string()),
    }
}

fn array(elements: impl Iterator<Item = String>) -> Value<'static> {
    let mut text = String::from("[");
    for (index, element) in elements.enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&element);
    }
    text.push(']');
    Value::from(text)
}

/// `make_list(value, limit, rank)`; with `WITH_NULLS`, nulls are elements too.
#[derive(Default)]
pub(crate) struct List<const WITH_NULLS: bool> {
    /// Each with its place in the order of the rows, where there is one.
    elements: Vec<(u64, String)>,
    limit: usize,
    bytes: usize,
}

impl<const WITH_NULLS: bool> State for List<WITH_NULLS> {
    fn update(&mut self, row: &Row<'_>) {
        self.limit = limit(row, 1);
        let rank = row.long(2).and_then(|rank| u64::try_from(rank).ok());
        let element = match element(row) {
            Some(element) => element,
            None if WITH_NULLS => "null".to_owned(),
            None => return,
        };
        // With an order, the first ones by it are wanted, so all have to be seen.
        if rank.is_none() && self.elements.len() >= self.limit {
            return;
        }
        self.bytes += element.capacity();
        self.elements.push((rank.unwrap_or(0), element));
    }

    fn merge(&mut self, other: Self) {
        self.limit = self.limit.max(other.limit);
        self.bytes += other.bytes;
        self.elements.extend(other.elements);
    }

    fn save(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.long(self.limit as u64);
        for (rank, element) in &self.elements {
            writer.long(*rank).bytes(element.as_bytes());
        }
        writer.finish()
    }

    fn load(bytes: &[u8]) -> Self {
        let mut reader = Reader(bytes);
        let mut list =
            List { limit: usize::try_from(reader.long()).unwrap_or(MAX_ELEMENTS), ..List::default() };
        while !reader.is_empty() {
            let rank = reader.long();
            let element = reader.text();
            list.bytes += element.capacity();
            list.elements.push((rank, element));
        }
        list
    }

    fn finish(mut self) -> Value<'static> {
        // Stable, so that without ranks the order of arrival stays.
        self.elements.sort_by_key(|(rank, _)| *rank);
        array(self.elements.into_iter().take(self.limit).map(|(_, element)| element))
    }

    fn size(&self) -> usize {
        self.elements.capacity() * size_of::<(u64, String)>() + self.bytes
    }
}

/// `make_set(value, limit)`.
#[derive(Default)]
pub(crate) struct Set {
    /// The JSON texts of the elements one behind the other, as they are saved.
    elements: Vec<u8>,
    count: usize,
    limit: usize,
    /// Filled only once a search through the elements would take long.
    seen: Option<Box<Seen>>,
}

#[derive(Default)]
struct Seen {
    elements: HashSet<Vec<u8>>,
    bytes: usize,
}

/// Up to here a set is searched element by element.
const SMALL_SET: usize = 16;

impl Set {
    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut reader = Reader(&self.elements);
        std::iter::from_fn(move || (!reader.is_empty()).then(|| reader.bytes()))
    }

    fn insert(&mut self, element: &[u8]) {
        if self.count >= self.limit {
            return;
        }
        if self.count < SMALL_SET {
            if self.iter().any(|known| known == element) {
                return;
            }
        } else {
            let mut seen = self.seen.take().unwrap_or_else(|| {
                let elements: HashSet<Vec<u8>> = self.iter().map(<[u8]>::to_vec).collect();
                Box::new(Seen { bytes: self.elements.len(), elements })
            });
            let is_new = seen.elements.insert(element.to_vec());
            seen.bytes += if is_new { element.len() } else { 0 };
            self.seen = Some(seen);
            if !is_new {
                return;
            }
        }
        let mut writer = Writer::after(std::mem::take(&mut self.elements));
        writer.bytes(element);
        self.elements = writer.finish();
        self.count += 1;
    }

    /// Whether a text is known to be in the set, without making an element of it.
    fn has(&self, text: &str) -> bool {
        let is_element =
            |known: &[u8]| known.len() == text.len() + 2 && known[1..=text.len()] == *text.as_bytes();
        // A text with escapes in it may look like another one's element.
        self.count < SMALL_SET && self.iter().any(is_element) && !text.contains('\\')
    }

    /// The elements of an array each by itself, as `make_set` of a dynamic takes them.
    fn insert_all(&mut self, row: &Row<'_>) {
        if row.kind(0) == KqlType::Dynamic
            && let Json::Array(items) = row.json(0)
        {
            for item in items {
                if !item.is_null() {
                    self.insert(item.to_string().as_bytes());
                }
            }
            return;
        }
        if let Some(element) = element(row) {
            self.insert(element.as_bytes());
        }
    }
}

impl State for Set {
    fn update(&mut self, row: &Row<'_>) {
        self.limit = limit(row, 1);
        let is_known = || row.kind(0) == KqlType::String && self.has(row.text(0));
        if self.count < self.limit && !is_known() {
            self.insert_all(row);
        }
    }

    fn merge(&mut self, other: Self) {
        self.limit = self.limit.max(other.limit);
        if self.count == 0 {
            *self = Set { limit: self.limit, ..other };
            return;
        }
        for element in other.iter() {
            self.insert(element);
        }
    }

    fn save(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.long(self.limit as u64).written(&self.elements);
        writer.finish()
    }

    fn load(bytes: &[u8]) -> Self {
        let mut reader = Reader(bytes);
        let limit = usize::try_from(reader.long()).unwrap_or(MAX_ELEMENTS);
        let mut set = Set { elements: reader.0.to_vec(), limit, ..Set::default() };
        set.count = set.iter().count();
        set
    }

    fn finish(self) -> Value<'static> {
        array(self.iter().map(|element| String::from_utf8_lossy(element).into_owned()))
    }

    fn size(&self) -> usize {
        let seen = self.seen.as_ref();
        let seen = seen.map_or(0, |seen| seen.elements.capacity() * size_of::<Vec<u8>>() + seen.bytes);
        self.elements.capacity() + seen
    }
}

/// `make_bag(bag, limit)`: of keys met twice, one value stays.
#[derive(Default)]
pub(crate) struct Bag {
    bag: serde_json::Map<String, Json>,
    limit: usize,
    bytes: usize,
}

impl Bag {
    fn insert(&mut self, key: String, value: Json) {
        if self.bag.len() < self.limit && !self.bag.contains_key(&key) {
            self.bytes += key.len() + value.to_string().len() + 64;
            self.bag.insert(key, value);
        }
    }
}

impl State for Bag {
    fn update(&mut self, row: &Row<'_>) {
        self.limit = limit(row, 1);
        for (key, value) in row.bag(0).unwrap_or_default() {
            self.insert(key, value);
        }
    }

    fn merge(&mut self, other: Self) {
        self.limit = self.limit.max(other.limit);
        for (key, value) in other.bag {
            self.insert(key, value);
        }
    }

    fn save(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.long(self.limit as u64).bytes(Json::Object(self.bag.clone()).to_string().as_bytes());
        writer.finish()
    }

    fn load(bytes: &[u8]) -> Self {
        let mut reader = Reader(bytes);
        let mut bag = Bag { limit: usize::try_from(reader.long()).unwrap_or(MAX_ELEMENTS), ..Bag::default() };
        if let Json::Object(map) = crate::json::parse(&reader.text()) {
            for (key, value) in map {
                bag.insert(key, value);
            }
        }
        bag
    }

    fn finish(self) -> Value<'static> {
        Value::from(Json::Object(self.bag).to_string())
    }

    fn size(&self) -> usize {
        self.bytes
    }
}

/// `take_any(value)`: the first value that is not null.
#[derive(Default)]
pub(crate) struct AnyOf(Option<Vec<u8>>);

impl AnyOf {
    fn value_bytes(value: &Value<'_>) -> Vec<u8> {
        let mut writer = Writer::default();
        match value {
            Value::Null => writer.long(0),
            Value::Bool(value) => writer.long(1).long(u64::from(*value)),
            Value::Int(value) => writer.long(2).long(i64::from(*value).cast_unsigned()),
            Value::Long(value) => writer.long(3).long(value.cast_unsigned()),
            Value::Real(value) => writer.long(4).real(*value),
            Value::Decimal(value) => writer.long(5).bytes(&value.to_le_bytes()),
            Value::Text(text) => writer.long(6).bytes(text.as_bytes()),
        };
        writer.finish()
    }

    fn read(bytes: &[u8]) -> Value<'static> {
        let mut reader = Reader(bytes);
        match reader.long() {
            1 => Value::Bool(reader.long() != 0),
            2 => i32::try_from(reader.long().cast_signed()).map_or(Value::Null, Value::Int),
            3 => Value::Long(reader.long().cast_signed()),
            4 => Value::Real(reader.real()),
            5 => reader
                .bytes()
                .try_into()
                .map_or(Value::Null, |bytes| Value::Decimal(i128::from_le_bytes(bytes))),
            6 => Value::from(reader.text()),
            _ => Value::Null,
        }
    }
}

impl State for AnyOf {
    fn update(&mut self, row: &Row<'_>) {
        if self.0.is_none() && !row.is_null(0) {
            self.0 = Some(Self::value_bytes(&row.get(0)));
        }
    }

    fn merge(&mut self, other: Self) {
        if self.0.is_none() {
            self.0 = other.0;
        }
    }

    fn save(&self) -> Vec<u8> {
        self.0.clone().unwrap_or_default()
    }

    fn load(bytes: &[u8]) -> Self {
        AnyOf((!bytes.is_empty()).then(|| bytes.to_vec()))
    }

    fn finish(self) -> Value<'static> {
        self.0.map_or(Value::Null, |bytes| Self::read(&bytes))
    }

    fn size(&self) -> usize {
        self.0.as_ref().map_or(0, Vec::capacity)
    }
}
