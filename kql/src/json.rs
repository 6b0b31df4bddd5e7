//! JSON text as the values of `dynamic`.

use memchr::memmem::Finder;
use memchr::{memchr, memchr2};
use serde_json::Value;
use serde_json::value::RawValue;

/// Reads JSON; a text that is none stands for itself, as a string.
pub(crate) fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// Whether a text is JSON written as we would write it, as far as a glance tells: no blanks, no escapes, whole numbers of
/// a usual length. It then stands for its value as it is; any other text has to be read and written anew.
pub(crate) fn is_compact(text: &str) -> bool {
    let mut in_string = false;
    let mut digits = 0;
    for byte in text.bytes() {
        match byte {
            b'\\' => return false,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'0'..=b'9' if digits < 18 => {
                digits += 1;
                continue;
            }
            b'{' | b'}' | b'[' | b']' | b',' | b':' => {}
            // Of `true`, `false` and `null`; an exponent is none of them.
            b'a'..=b'z' if digits == 0 => {}
            _ => return false,
        }
        digits = 0;
    }
    serde_json::from_str::<&RawValue>(text).is_ok()
}

/// One step of a path into a dynamic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Key(String),
    /// Negative counts from the end.
    Index(i64),
}

/// The keys of a path, to see at once of most texts that it leads nowhere in them.
pub(crate) struct Keys(Vec<Finder<'static>>);

impl Keys {
    pub(crate) fn of(path: &[Step]) -> Self {
        let finders = path.iter().filter_map(|step| match step {
            Step::Key(key) => Some(Finder::new(&Value::from(key.as_str()).to_string()).into_owned()),
            Step::Index(_) => None,
        });
        Keys(finders.collect())
    }

    /// Whether the keys stand in a text, or may do so in another spelling.
    pub(crate) fn may_be_in(&self, text: &str) -> bool {
        let text = text.as_bytes();
        self.0.iter().all(|key| key.find(text).is_some()) || memchr(b'\\', text).is_some()
    }
}

/// The part of a JSON text that a path leads to, found by skipping over the rest rather than by reading it.
///
/// `None` where the path leads nowhere. The text up to there is checked only as far as is needed to skip it.
pub(crate) fn find<'a>(text: &'a str, path: &[Step]) -> Option<&'a str> {
    let mut at = text.trim_start();
    for step in path {
        at = match step {
            Step::Key(key) => find_key(at, key)?,
            Step::Index(index) => find_index(at, *index)?,
        };
    }
    let length = skip_value(at.as_bytes(), 0)?;
    Some(&at[..length])
}

/// The text from the value of a key on.
fn find_key<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'{') {
        return None;
    }
    let mut at = skip_blank(bytes, 1);
    while bytes.get(at) == Some(&b'"') {
        let end = skip_string(bytes, at)?;
        let name = &text[at + 1..end - 1];
        let same = if name.contains('\\') {
            serde_json::from_str::<String>(&text[at..end]).ok()? == key
        } else {
            name == key
        };
        at = skip_blank(bytes, end);
        if bytes.get(at) != Some(&b':') {
            return None;
        }
        at = skip_blank(bytes, at + 1);
        if same {
            return Some(&text[at..]);
        }
        at = skip_blank(bytes, skip_value(bytes, at)?);
        if bytes.get(at) != Some(&b',') {
            return None;
        }
        at = skip_blank(bytes, at + 1);
    }
    None
}

/// The text from an element of an array on.
fn find_index(text: &str, index: i64) -> Option<&str> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'[') {
        return None;
    }
    let mut starts = Vec::new();
    let mut at = skip_blank(bytes, 1);
    let mut count = 0_i64;
    while at < bytes.len() && bytes[at] != b']' {
        if count == index {
            return Some(&text[at..]);
        }
        if index < 0 {
            starts.push(at);
        }
        count += 1;
        at = skip_blank(bytes, skip_value(bytes, at)?);
        match bytes.get(at) {
            Some(b',') => at = skip_blank(bytes, at + 1),
            Some(b']') => break,
            _ => return None,
        }
    }
    let from_end = usize::try_from(count.checked_add(index)?).ok()?;
    starts.get(from_end).map(|start| &text[*start..])
}

fn skip_blank(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// The end of the string that begins here.
fn skip_string(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The end of the value that begins here.
fn skip_value(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    let mut open = 0_usize;
    loop {
        match bytes.get(at)? {
            b'"' => at = skip_string(bytes, at)?,
            b'{' | b'[' => {
                open += 1;
                at += 1;
            }
            b'}' | b']' => {
                open = open.checked_sub(1)?;
                at += 1;
            }
            _ if open > 0 => {
                at += 1;
                continue;
            }
            _ => {
                while matches!(bytes.get(at), Some(b) if !matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t' | b':'))
                {
                    at += 1;
                }
                return (at > start).then_some(at);
            }
        }
        if open == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_compact_text_is_what_reading_and_writing_it_gives(
            text in r#"(\[|\{)("[a-c]{0,2}" ?: ?)?([0-9]{1,3}|-?[0-9]{1,22}|[0-9]\.[0-9]{1,2}|[1-9]e[0-9]|true|null|nul|"x\\n"|"y z")(\]|\})"#
        ) {
            if is_compact(&text) {
                proptest::prop_assert_eq!(parse(&text).to_string(), text);
            }
        }
    }

    #[test]
    fn the_json_of_logs_is_compact() {
        for (text, compact) in [
            (r#"{"instanceType":"m5.large","count":2,"dry":false,"tags":[{"key":"a b"},null]}"#, true),
            ("12345", true),
            (r#""text""#, true),
            (r#"{"a": 1}"#, false),
            (r#"{"a":"\u0041"}"#, false),
            (r#"{"a":1.50}"#, false),
            (r#"{"a":1e3}"#, false),
            (r#"{"a":12345678901234567890}"#, false),
            (r#"{"a":1"#, false),
            ("plain", false),
        ] {
            assert_eq!(is_compact(text), compact, "{text}");
        }
    }
}
