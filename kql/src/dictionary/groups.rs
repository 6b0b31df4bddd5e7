//! Groups of rows by numbers: strings by the place at which they were first met.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, StringArray, StringBuilder,
};
use datafusion::arrow::datatypes::{DataType, Int32Type, Int64Type};
use datafusion::common::{Result, exec_err};

use super::{Coded, is_coded, same};

/// A table of places, found by hash; what is at a place, its owner knows.
#[derive(Default)]
struct Places {
    /// The upper half of a hash above the place and one; 0 where there is none. A power of two long.
    slots: Vec<u64>,
    length: u32,
}

impl Places {
    /// The place of what has this hash and is the same; the next free one, and `true`, if there is none yet.
    fn find(&mut self, hash: u64, same: impl Fn(u32) -> bool) -> (u32, bool) {
        if self.length as usize * 2 >= self.slots.len() {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let upper = hash >> 32;
        let mut at = upper as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                let place = self.length;
                self.length += 1;
                self.slots[at] = upper << 32 | u64::from(self.length);
                return (place, true);
            }
            if slot >> 32 == upper {
                let place = slot as u32 - 1;
                if same(place) {
                    return (place, false);
                }
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let slots = vec![0; (self.slots.len() * 2).max(1024)];
        let mask = slots.len() - 1;
        for slot in std::mem::replace(&mut self.slots, slots) {
            let mut at = (slot >> 32) as usize & mask;
            while slot != 0 && self.slots[at] != 0 {
                at = (at + 1) & mask;
            }
            if slot != 0 {
                self.slots[at] = slot;
            }
        }
    }

    /// Touches where [`Places::find`] will look, and what is at those places: far memory answers faster to many questions
    /// at once than to one after the other.
    fn touch(&self, hashes: &[u64], at_place: impl Fn(usize) -> u32) {
        if self.slots.len() < LARGE {
            return;
        }
        let mask = self.slots.len() - 1;
        let touched = hashes.iter().fold(0, |touched, hash| {
            let slot = self.slots[(hash >> 32) as usize & mask] as u32;
            touched ^ if slot == 0 { 0 } else { at_place(slot as usize - 1) }
        });
        std::hint::black_box(touched);
    }

    fn size(&self) -> usize {
        self.slots.capacity() * 8
    }
}

/// A table of so many slots is larger than a processor's nearest memory.
const LARGE: usize = 1 << 15;

/// The numbers of a group, mixed so that whoever chooses them cannot choose their hashes.
fn hash(seed: u64, words: &[u32]) -> u64 {
    words.chunks(2).fold(seed, |state, pair| {
        let word = u64::from(pair[0]) | u64::from(*pair.get(1).unwrap_or(&0)) << 32;
        let product = u128::from(state ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        (product >> 64) as u64 ^ product as u64
    })
}

/// Strings, each with a number.
#[derive(Default)]
struct Strings {
    places: Places,
    hasher: RandomState,
    text: String,
    /// Where each string ends.
    ends: Vec<usize>,
}

impl Strings {
    fn get(&self, number: u32) -> &str {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.text[start..self.ends[number]]
    }

    fn number(&mut self, text: &str) -> u32 {
        let hash = self.hasher.hash_one(text);
        let mut places = std::mem::take(&mut self.places);
        let (number, is_new) = places.find(hash, |number| self.get(number) == text);
        self.places = places;
        if is_new {
            self.text.push_str(text);
            self.ends.push(self.text.len());
        }
        number
    }

    fn size(&self) -> usize {
        self.places.size() + self.text.capacity() + self.ends.capacity() * 8
    }
}

/// No number: null, or not looked up yet.
const NONE: u32 = u32::MAX;
/// How many dictionaries' numbers are kept.
const KEPT: usize = 4;

/// The strings of one key.
#[derive(Default)]
struct TextKey {
    strings: Strings,
    /// The numbers of the values of the dictionaries met last, as far as they were looked up.
    known: Vec<(StringArray, Vec<u32>)>,
}

impl TextKey {
    /// Writes the numbers of the rows, one in each group's words.
    fn write(&mut self, array: &ArrayRef, words: &mut [u32], width: usize, at: usize) {
        let words = words[at..].iter_mut().step_by(width);
        let Some(coded) = array.as_any().downcast_ref::<Coded>() else {
            let texts: &StringArray = array.as_string();
            for (word, text) in words.zip(texts) {
                *word = text.map_or(NONE, |text| self.strings.number(text));
            }
            return;
        };
        let values: &StringArray = coded.values().as_string();
        let known = self.known.iter().position(|(known, _)| same(known, values));
        let known = known.unwrap_or_else(|| {
            if self.known.len() == KEPT {
                self.known.remove(0);
            }
            self.known.push((values.clone(), vec![NONE; values.len()]));
            self.known.len() - 1
        });
        let numbers = &mut self.known[known].1;
        let keys = coded.keys();
        for (row, (word, key)) in words.zip(keys.values()).enumerate() {
            let key = *key as usize;
            if keys.is_null(row) || values.is_null(key) {
                *word = NONE;
                continue;
            }
            if numbers[key] == NONE {
                numbers[key] = self.strings.number(values.value(key));
            }
            *word = numbers[key];
        }
    }

    /// The strings with the numbers in the groups' words.
    fn read(&self, words: &[u32], width: usize, at: usize) -> ArrayRef {
        let count = words.len() / width;
        let mut texts = StringBuilder::with_capacity(count, count * 16);
        for number in words[at..].iter().step_by(width) {
            texts.append_option((*number != NONE).then(|| self.strings.get(*number)));
        }
        Arc::new(texts.finish())
    }

    fn size(&self) -> usize {
        let known =
            self.known.iter().map(|(values, numbers)| values.get_buffer_memory_size() + numbers.len() * 4);
        self.strings.size() + known.sum::<usize>()
    }
}

/// A key of the groups.
enum Key {
    Text(TextKey),
    /// Whole numbers and truths.
    Number(DataType),
}

impl Key {
    fn new(kind: &DataType) -> Option<Self> {
        match kind {
            DataType::Utf8 => Some(Key::Text(TextKey::default())),
            kind if is_coded(kind) => Some(Key::Text(TextKey::default())),
            DataType::Int32 | DataType::Int64 | DataType::Boolean => Some(Key::Number(kind.clone())),
            _ => None,
        }
    }

    /// The words that it takes.
    fn width(&self) -> usize {
        if matches!(self, Key::Number(DataType::Int64)) { 2 } else { 1 }
    }
}

/// Whether rows can be grouped by keys of these types.
pub(super) fn can_group_by(kinds: &[DataType]) -> bool {
    let known = kinds.iter().all(|kind| Key::new(kind).is_some());
    // A word tells the nulls of all numbers.
    known && kinds.iter().any(is_coded) && kinds.len() <= 32
}

/// The groups of rows with the same keys, numbered as they are met.
pub(super) struct Groups {
    /// Each with the place of its first word.
    keys: Vec<(Key, usize)>,
    seed: u64,
    /// The words of a group: those of its keys, and one with a bit for each number that is null.
    width: usize,
    places: Places,
    words: Vec<u32>,
    /// Those of the rows at hand, and their hashes.
    rows: Vec<u32>,
    hashes: Vec<u64>,
}

impl Groups {
    /// The types must be such that [`can_group_by`] allows them.
    pub(super) fn new(kinds: &[DataType]) -> Self {
        let mut width = 0;
        let keys = kinds.iter().filter_map(Key::new).map(|key| {
            let at = width;
            width += key.width();
            (key, at)
        });
        let keys: Vec<(Key, usize)> = keys.collect();
        width += usize::from(keys.iter().any(|(key, _)| matches!(key, Key::Number(_))));
        let seed = RandomState::new().hash_one(0);
        let (places, words, rows, hashes) = Default::default();
        Groups { keys, seed, width, places, words, rows, hashes }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.places.length as usize
    }

    /// The groups of rows.
    pub(super) fn of(&mut self, arrays: &[ArrayRef], rows: usize, groups: &mut Vec<usize>) -> Result<()> {
        let width = self.width;
        groups.clear();
        if rows == 0 {
            return Ok(());
        }
        self.rows.clear();
        self.rows.resize(rows * width, 0);
        for (number, ((key, at), array)) in self.keys.iter_mut().zip(arrays).enumerate() {
            match key {
                Key::Text(key) => key.write(array, &mut self.rows, width, *at),
                Key::Number(_) => write_numbers(array, &mut self.rows, width, *at, number)?,
            }
        }
        let (places, known) = (&mut self.places, &mut self.words);
        self.hashes.clear();
        self.hashes.extend(self.rows.chunks_exact(width).map(|row| hash(self.seed, row)));
        places.touch(&self.hashes, |place| known[place * width]);
        groups.extend(self.rows.chunks_exact(width).zip(&self.hashes).map(|(row, hash)| {
            let same =
                |place: u32| known[place as usize * width..].iter().zip(row).all(|(own, row)| own == row);
            let (group, is_new) = places.find(*hash, same);
            if is_new {
                known.extend_from_slice(row);
            }
            group as usize
        }));
        Ok(())
    }

    /// The keys of some of the groups.
    pub(super) fn keys(&self, from: usize, count: usize) -> Vec<ArrayRef> {
        let words = &self.words[from * self.width..][..count * self.width];
        let columns = self.keys.iter().enumerate().map(|(number, (key, at))| -> ArrayRef {
            let kind = match key {
                Key::Text(key) => return key.read(words, self.width, *at),
                Key::Number(kind) => kind,
            };
            let own = words.chunks_exact(self.width).map(|group| {
                let is_null = group[self.width - 1] >> number & 1 == 1;
                (!is_null).then_some(&group[*at..])
            });
            match kind {
                DataType::Int64 => {
                    let whole = |own: &[u32]| (u64::from(own[0]) | u64::from(own[1]) << 32).cast_signed();
                    Arc::new(own.map(|own| own.map(whole)).collect::<Int64Array>())
                }
                DataType::Int32 => {
                    Arc::new(own.map(|own| own.map(|own| own[0].cast_signed())).collect::<Int32Array>())
                }
                _ => Arc::new(own.map(|own| own.map(|own| own[0] != 0)).collect::<BooleanArray>()),
            }
        });
        columns.collect()
    }

    /// The bytes held.
    pub(super) fn size(&self) -> usize {
        let keys = self.keys.iter().map(|(key, _)| match key {
            Key::Text(key) => key.size(),
            Key::Number(_) => 0,
        });
        let rows = self.rows.capacity() * 4 + self.hashes.capacity() * 8;
        self.places.size() + self.words.capacity() * 4 + rows + keys.sum::<usize>()
    }
}

fn write_numbers(array: &ArrayRef, words: &mut [u32], width: usize, at: usize, number: usize) -> Result<()> {
    let own = words.chunks_exact_mut(width);
    match array.data_type() {
        DataType::Int64 => own.zip(array.as_primitive::<Int64Type>().values()).for_each(|(row, value)| {
            row[at] = value.cast_unsigned() as u32;
            row[at + 1] = (value.cast_unsigned() >> 32) as u32;
        }),
        DataType::Int32 => own
            .zip(array.as_primitive::<Int32Type>().values())
            .for_each(|(row, value)| row[at] = value.cast_unsigned()),
        DataType::Boolean => {
            own.zip(array.as_boolean().values()).for_each(|(row, value)| row[at] = u32::from(value));
        }
        other => return exec_err!("rows cannot be grouped by {other} here"),
    }
    if array.null_count() > 0 {
        let wide = usize::from(*array.data_type() == DataType::Int64);
        for (_, row) in words.chunks_exact_mut(width).enumerate().filter(|(row, _)| array.is_null(*row)) {
            row[at..=at + wide].fill(0);
            row[width - 1] |= 1 << number;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coded(values: &[&str], keys: &[Option<i32>]) -> ArrayRef {
        let keys = Int32Array::from(keys.to_vec());
        Arc::new(Coded::try_new(keys, Arc::new(StringArray::from(values.to_vec()))).expect("keys of values"))
    }

    #[test]
    fn the_same_string_is_the_same_group_in_whatever_dictionary_it_stands() {
        let kinds = [super::super::coded(), DataType::Int64, DataType::Utf8];
        assert!(can_group_by(&kinds));
        let mut groups = Groups::new(&kinds);
        let mut found = Vec::new();
        let mut of = |texts: ArrayRef, numbers: Vec<Option<i64>>, plain: Vec<&str>| {
            let rows = numbers.len();
            let arrays: [ArrayRef; 3] =
                [texts, Arc::new(Int64Array::from(numbers)), Arc::new(StringArray::from(plain))];
            groups.of(&arrays, rows, &mut found).expect("numbered");
            found.clone()
        };
        let first = coded(&["a", "b", "a"], &[Some(0), Some(1), Some(2), None]);
        assert_eq!(of(first, vec![Some(1), Some(1), Some(1), Some(1)], vec!["x"; 4]), [0, 1, 0, 2]);
        let second = coded(&["b", "a"], &[Some(0), Some(1), Some(1), Some(1)]);
        assert_eq!(of(second, vec![Some(1), Some(1), None, Some(0)], vec!["x"; 4]), [1, 0, 3, 4]);
        let keys = groups.keys(1, 3);
        assert_eq!(keys[0].as_string::<i32>().iter().collect::<Vec<_>>(), [Some("b"), None, Some("a")]);
        assert_eq!(keys[1].as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(1), Some(1), None]);
    }

    #[test]
    fn groups_are_found_again_however_many_there_are() {
        let mut groups = Groups::new(&[super::super::coded(), DataType::Int64]);
        let numbers: ArrayRef = Arc::new((0..100_000_i64).map(Some).collect::<Int64Array>());
        let texts = coded(&["a"], &vec![Some(0); 100_000]);
        let mut found = Vec::new();
        for _ in 0..2 {
            groups.of(&[Arc::clone(&texts), Arc::clone(&numbers)], 100_000, &mut found).expect("numbered");
            assert!(found.iter().copied().eq(0..100_000));
        }
        assert_eq!(groups.len(), 100_000);
    }
}
