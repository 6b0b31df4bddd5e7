//! OpenAPI descriptions of Azure, which refer to one another.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use serde_json::Value;

/// A description, and those it refers to.
pub(super) struct Document {
    /// The trees that, laid over one another, are the repository of the descriptions.
    roots: Vec<PathBuf>,
    /// The file within its tree.
    file: PathBuf,
    main: Rc<Value>,
    others: RefCell<HashMap<PathBuf, Rc<Value>>>,
}

impl Document {
    pub(super) fn load(specs: &Path, file: &str) -> Self {
        let entries = std::fs::read_dir(specs).expect("a folder");
        let roots: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("azure-")))
            .collect();
        let file: PathBuf = Path::new(file).components().skip(1).collect();
        let main = read(&roots, &file);
        Self { roots, file, main, others: RefCell::default() }
    }

    /// A part of the description.
    pub(super) fn at(&self, pointer: &str) -> &Value {
        self.main.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not described"))
    }

    /// Whether the value is what the definition says, with no property that it does not know.
    pub(super) fn check(&self, definition: &str, value: &Value) {
        let schema = self.at(&format!("/definitions/{definition}")).clone();
        self.walk(&self.file, &schema, value, definition);
    }

    pub(super) fn check_by(&self, schema: &Value, value: &Value) {
        self.walk(&self.file, schema, value, "");
    }

    fn walk(&self, file: &Path, schema: &Value, value: &Value, place: &str) {
        if let Some(reference) = schema["$ref"].as_str() {
            let (file, schema) = self.follow(file, reference);
            return self.walk(&file, &schema, value, place);
        }
        if value.is_null() {
            // The services write null where a value is not there.
            return;
        }
        if let Some(words) = schema["enum"].as_array() {
            assert!(words.contains(value), "{place}: {value} is none of {words:?}");
        }
        let properties = self.properties(file, schema);
        let kind = schema["type"].as_str().unwrap_or(if properties.is_empty() { "any" } else { "object" });
        match kind {
            "object" => {
                let object = value.as_object().unwrap_or_else(|| panic!("{place}: no object: {value}"));
                for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str)
                {
                    assert!(object.contains_key(required), "{place}: {required} is missing: {value}");
                }
                for (name, value) in object {
                    let place = format!("{place}.{name}");
                    match (properties.get(name), &schema["additionalProperties"]) {
                        (Some((file, schema)), _) => self.walk(file, schema, value, &place),
                        (None, Value::Object(more)) => {
                            self.walk(file, &Value::Object(more.clone()), value, &place)
                        }
                        (None, Value::Bool(true)) => {}
                        (None, _) => assert!(properties.is_empty(), "{place} is not described: {value}"),
                    }
                }
            }
            "array" => {
                let list = value.as_array().unwrap_or_else(|| panic!("{place}: no array: {value}"));
                for (index, value) in list.iter().enumerate() {
                    self.walk(file, &schema["items"], value, &format!("{place}[{index}]"));
                }
            }
            "string" => {
                let text = value.as_str().unwrap_or_else(|| panic!("{place}: no string: {value}"));
                if schema["format"] == "date-time" {
                    assert!(chrono::DateTime::parse_from_rfc3339(text).is_ok(), "{place}: no time: {text}");
                }
            }
            "integer" => assert!(value.is_i64() || value.is_u64(), "{place}: no integer: {value}"),
            "number" => assert!(value.is_number(), "{place}: no number: {value}"),
            "boolean" => assert!(value.is_boolean(), "{place}: no boolean: {value}"),
            _ => {}
        }
    }

    /// The properties of a schema and of what it is made of, each with the file that describes it.
    fn properties(&self, file: &Path, schema: &Value) -> HashMap<String, (PathBuf, Value)> {
        let mut found = HashMap::new();
        for part in schema["allOf"].as_array().into_iter().flatten() {
            match part["$ref"].as_str() {
                Some(reference) => {
                    let (file, part) = self.follow(file, reference);
                    found.extend(self.properties(&file, &part));
                }
                None => found.extend(self.properties(file, part)),
            }
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            found.insert(name.clone(), (file.to_owned(), property.clone()));
        }
        found
    }

    fn follow(&self, file: &Path, reference: &str) -> (PathBuf, Value) {
        let (path, pointer) = reference.split_once('#').expect("a reference into a file");
        let target = if path.is_empty() {
            file.to_owned()
        } else {
            normal(&file.parent().expect("a folder").join(path))
        };
        let document = if target == self.file {
            Rc::clone(&self.main)
        } else {
            Rc::clone(
                self.others.borrow_mut().entry(target.clone()).or_insert_with(|| read(&self.roots, &target)),
            )
        };
        let schema = document.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere")).clone();
        (target, schema)
    }
}

fn read(roots: &[PathBuf], file: &Path) -> Rc<Value> {
    let path = roots.iter().map(|root| root.join(file)).find(|path| path.is_file());
    let path = path.unwrap_or_else(|| panic!("{} is in none of the trees", file.display()));
    let text = std::fs::read_to_string(&path).expect("a readable file");
    // Some begin with a byte order mark.
    Rc::new(serde_json::from_str(text.trim_start_matches('\u{feff}')).expect("JSON"))
}

/// The path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut normal, component| {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            other => normal.push(other),
        }
        normal
    })
}
