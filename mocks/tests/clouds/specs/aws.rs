//! The service models of AWS: shapes, their members and their bounds.

use std::path::Path;

use serde_json::Value;

/// A service model.
pub(super) struct Model(Value);

impl Model {
    pub(super) fn load(path: &Path) -> Self {
        let text =
            std::fs::read_to_string(path).unwrap_or_else(|problem| panic!("{}: {problem}", path.display()));
        Self(serde_json::from_str(&text).expect("a service model"))
    }

    /// The names of an operation's errors.
    pub(super) fn errors(&self, operation: &str) -> Vec<String> {
        let errors = self.0["operations"][operation]["errors"].as_array().expect("errors");
        errors.iter().filter_map(|error| error["shape"].as_str()).map(str::to_owned).collect()
    }

    /// Whether the value has the shape, with no member that the model does not know.
    pub(super) fn check(&self, shape: &str, value: &Value) {
        self.walk(shape, value, shape);
    }

    fn walk(&self, name: &str, value: &Value, place: &str) {
        let shape = &self.0["shapes"][name];
        let fail = |what: &str| -> ! { panic!("{place}: {what} ({name}): {value}") };
        let size = |size: usize| {
            let within = shape["min"].as_u64().is_none_or(|min| min <= size as u64)
                && shape["max"].as_u64().is_none_or(|max| size as u64 <= max);
            if !within {
                fail("out of bounds");
            }
        };
        match shape["type"].as_str() {
            Some("structure") => {
                let Some(object) = value.as_object() else { fail("no structure") };
                for required in shape["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                    if !object.contains_key(required) {
                        fail(&format!("{required} is missing"));
                    }
                }
                for (member, value) in object {
                    match shape["members"][member]["shape"].as_str() {
                        Some(of) => self.walk(of, value, &format!("{place}.{member}")),
                        None => fail(&format!("unknown member {member}")),
                    }
                }
            }
            Some("list") => {
                let Some(list) = value.as_array() else { fail("no list") };
                size(list.len());
                let of = shape["member"]["shape"].as_str().expect("a list's member");
                for (index, value) in list.iter().enumerate() {
                    self.walk(of, value, &format!("{place}[{index}]"));
                }
            }
            Some("map") => {
                let Some(map) = value.as_object() else { fail("no map") };
                let of = shape["value"]["shape"].as_str().expect("a map's value");
                for (key, value) in map {
                    self.walk(of, value, &format!("{place}.{key}"));
                }
            }
            Some("string") => {
                let Some(text) = value.as_str() else { fail("no string") };
                size(text.chars().count());
                if shape["enum"].as_array().is_some_and(|words| !words.contains(value)) {
                    fail("no such word");
                }
            }
            Some("integer" | "long") => match value.as_i64() {
                Some(number) => size(usize::try_from(number).unwrap_or_default()),
                None => fail("no integer"),
            },
            Some("boolean") if !value.is_boolean() => fail("no boolean"),
            Some("timestamp" | "double" | "float") if !value.is_number() => fail("no number"),
            Some(_) => {}
            None => fail("no such shape"),
        }
    }
}
