//! YAML whose every value knows its line, so that a fault in a rule file can be shown where it is.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::Spanned;

/// A fault in a file: where, at which key, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1; 0 where none can be named.
    pub line: u64,
    /// The key, such as `provost.parameters.MinBeats.type`; empty for the file as a whole.
    pub key: String,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// A value and the line it stands on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) line: u64,
    pub(super) value: Yaml,
}

/// What YAML can say.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Yaml {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Reads one YAML document.
    pub(super) fn read(text: &str) -> Result<Self, Problem> {
        serde_saphyr::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| Problem {
            line: error.location().map_or(0, |at| at.line()),
            key: String::new(),
            message: format!("not readable as YAML: {}", first_line(&error.without_snippet().to_string())),
        })
    }

    /// The value as JSON, for what is handed on as it is.
    pub(super) fn to_json(&self) -> Value {
        match &self.value {
            Yaml::Null => Value::Null,
            Yaml::Bool(flag) => Value::Bool(*flag),
            Yaml::Number(number) => Value::Number(number.clone()),
            Yaml::Text(text) => Value::String(text.clone()),
            Yaml::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Yaml::Map(entries) => {
                Value::Object(entries.iter().map(|(key, node)| (key.clone(), node.to_json())).collect())
            }
        }
    }

    /// A scalar as text: `1.0.3`, `0` and `true` are all text to whoever asks for text.
    pub(super) fn text(&self) -> Option<String> {
        match &self.value {
            Yaml::Bool(flag) => Some(flag.to_string()),
            Yaml::Number(number) => Some(number.to_string()),
            Yaml::Text(text) => Some(text.trim().to_owned()),
            Yaml::Null | Yaml::List(_) | Yaml::Map(_) => None,
        }
    }

    /// What sort of value it is, in words.
    pub(super) fn sort(&self) -> &'static str {
        match &self.value {
            Yaml::Null => "nothing",
            Yaml::Bool(_) => "a truth value",
            Yaml::Number(_) => "a number",
            Yaml::Text(_) => "text",
            Yaml::List(_) => "a list",
            Yaml::Map(_) => "a mapping",
        }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Yaml>::deserialize(deserializer)?;
        Ok(Self { line: spanned.referenced.line(), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlVisitor)
    }
}

struct YamlVisitor;

impl<'de> Visitor<'de> for YamlVisitor {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_none<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Yaml, D::Error> {
        Yaml::deserialize(deserializer)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Yaml, E> {
        Ok(Yaml::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Yaml, E> {
        Ok(Yaml::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Yaml, E> {
        Ok(Yaml::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Yaml, E> {
        Ok(Number::from_f64(number).map_or(Yaml::Null, Yaml::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Yaml, E> {
        Ok(Yaml::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Yaml, E> {
        Ok(Yaml::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Yaml, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Yaml::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Yaml, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry::<String, Node>()? {
            map.push(entry);
        }
        Ok(Yaml::Map(map))
    }
}

/// Reads a mapping key by key. Faults are collected, so that a file shows all of them at once.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    path: String,
    line: u64,
    entries: &'a [(String, Node)],
    taken: Vec<&'a str>,
}

/// The faults found so far.
pub(super) type Problems = Vec<Problem>;

impl<'a> Fields<'a> {
    /// The fields of a mapping, or nothing and a problem.
    pub(super) fn of(node: &'a Node, path: &str, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Yaml::Map(entries) => {
                Some(Self { path: path.to_owned(), line: node.line, entries, taken: vec![] })
            }
            _ => {
                let message = format!("expected a mapping of keys to values, found {}", node.sort());
                problems.push(Problem { line: node.line, key: path.to_owned(), message });
                None
            }
        }
    }

    /// The full name of a key.
    pub(super) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of a key; a null counts as absent.
    pub(super) fn node(&mut self, key: &'a str) -> Option<&'a Node> {
        self.taken.push(key);
        let (_, node) = self.entries.iter().find(|(name, _)| name == key)?;
        (node.value != Yaml::Null).then_some(node)
    }

    /// The value of a key, turned into what it means; the function says what is wrong otherwise.
    pub(super) fn parse<T>(
        &mut self,
        key: &'a str,
        problems: &mut Problems,
        read: impl FnOnce(&Node) -> Result<T, String>,
    ) -> Option<T> {
        let node = self.node(key)?;
        match read(node) {
            Ok(value) => Some(value),
            Err(message) => {
                problems.push(Problem { line: node.line, key: self.path(key), message });
                None
            }
        }
    }

    /// The same for a key that has to be there.
    pub(super) fn require<T>(
        &mut self,
        key: &'a str,
        problems: &mut Problems,
        read: impl FnOnce(&Node) -> Result<T, String>,
    ) -> Option<T> {
        if self.node(key).is_none() {
            let message = "is missing; add it".to_owned();
            problems.push(Problem { line: self.line, key: self.path(key), message });
            return None;
        }
        self.parse(key, problems, read)
    }

    /// Keys that nobody asked for, each with the key that may have been meant.
    pub(super) fn unknown(&self) -> Problems {
        let unread = self.entries.iter().filter(|(name, _)| !self.taken.contains(&name.as_str()));
        unread
            .map(|(name, node)| Problem {
                line: node.line,
                key: self.path(name),
                message: format!("unknown key{}", provost_model::hint(name, self.taken.iter().copied())),
            })
            .collect()
    }

    /// All entries, for mappings whose keys are names.
    pub(super) fn entries(&self) -> &'a [(String, Node)] {
        self.entries
    }
}

/// Text that is not empty.
pub(super) fn text(node: &Node) -> Result<String, String> {
    match node.text() {
        Some(text) if !text.is_empty() => Ok(text),
        Some(_) => Err("is empty".to_owned()),
        None => Err(format!("expected text, found {}", node.sort())),
    }
}

/// A list of texts; a single text is a list of one.
pub(super) fn texts(node: &Node) -> Result<Vec<String>, String> {
    match &node.value {
        Yaml::List(items) => items.iter().map(text).collect(),
        _ => Ok(vec![text(node)?]),
    }
}

/// `true` or `false`, also as text.
pub(super) fn flag(node: &Node) -> Result<bool, String> {
    let found = node.text().unwrap_or_default();
    found.to_lowercase().parse().map_err(|_| format!("expected true or false, found {}", node.sort()))
}

/// A number, also as text.
pub(super) fn real(node: &Node) -> Result<f64, String> {
    let found = node.text().unwrap_or_default();
    match found.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(format!("expected a number, found {}", node.sort())),
    }
}

/// A whole number that is not negative.
pub(super) fn count(node: &Node) -> Result<u64, String> {
    let found = node.text().unwrap_or_default();
    found.parse().map_err(|_| format!("expected a whole number of at least 0, found '{found}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_their_line_and_keys_their_neighbours() {
        let node = Node::read("a: 1\nb:\n  - x\n  - {c: true, colour: red}\n").expect("is YAML");
        let mut problems = Vec::new();
        let mut fields = Fields::of(&node, "", &mut problems).expect("a mapping");
        let list = fields.node("b").expect("is there");
        let Yaml::List(items) = &list.value else { panic!("a list") };
        assert_eq!((items[0].line, items[1].line), (3, 4));
        let mut inner = Fields::of(&items[1], "b", &mut problems).expect("a mapping");
        assert_eq!(inner.parse("c", &mut problems, flag), Some(true));
        inner.node("color");
        assert_eq!(inner.unknown()[0].to_string(), "line 4: b.colour: unknown key; did you mean 'color'?");
        assert!(problems.is_empty());
    }

    #[test]
    fn what_is_no_yaml_is_a_problem_with_a_line() {
        let problem = Node::read("a: [1\nb: }").expect_err("is no YAML");
        assert!(problem.line > 0, "{problem}");
        assert!(Node::read("").is_err() || Node::read("").is_ok_and(|node| node.value == Yaml::Null));
    }
}
