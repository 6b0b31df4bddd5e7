//! Dynamics: bags, and what makes them.

use serde_json::{Map, Value as Json};

use super::convert::string_of;
use super::{Function, Row, eval};
use crate::json::{self, Step};
use crate::types::KqlType;
use crate::value::Value;

/// A path as `$.a.b[0]` or `$['a']` writes it.
pub(crate) fn json_path(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.trim();
    rest = rest.strip_prefix('$').unwrap_or(rest);
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let end = after.find(']')?;
            let inner = after[..end].trim();
            let quoted = inner.strip_prefix(['\'', '"']).and_then(|inner| inner.strip_suffix(['\'', '"']));
            steps.push(match quoted {
                Some(key) => Step::Key(key.to_owned()),
                None => Step::Index(inner.parse().ok()?),
            });
            rest = &after[end + 1..];
            continue;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        if end == 0 {
            return None;
        }
        steps.push(Step::Key(rest[..end].to_owned()));
        rest = &rest[end..];
    }
    Some(steps)
}

fn pack(row: &Row<'_>) -> Value<'static> {
    let mut bag = Map::new();
    for index in (0..row.len()).step_by(2) {
        bag.insert(string_of(&row.get(index), row.kind(index)), row.json(index + 1));
    }
    Value::from(Json::Object(bag).to_string())
}

fn merge(row: &Row<'_>) -> Value<'static> {
    let mut merged = Map::new();
    let mut any = false;
    for index in 0..row.len() {
        if let Some(bag) = row.bag(index) {
            any = true;
            for (key, value) in bag {
                merged.entry(key).or_insert(value);
            }
        }
    }
    if any { Value::from(Json::Object(merged).to_string()) } else { Value::Null }
}

/// Removes what a path leads to.
fn remove(value: &mut Json, path: &[Step]) {
    match (path, value) {
        ([Step::Key(key)], Json::Object(bag)) => {
            bag.shift_remove(key);
        }
        ([Step::Index(at)], Json::Array(items)) => {
            if let Ok(at) = usize::try_from(*at)
                && at < items.len()
            {
                items.remove(at);
            }
        }
        ([Step::Key(key), rest @ ..], Json::Object(bag)) => {
            if let Some(inner) = bag.get_mut(key) {
                remove(inner, rest);
            }
        }
        ([Step::Index(at), rest @ ..], Json::Array(items)) => {
            if let Some(inner) = usize::try_from(*at).ok().and_then(|at| items.get_mut(at)) {
                remove(inner, rest);
            }
        }
        _ => {}
    }
}

/// Sets what a path leads to, making bags on the way.
fn set(value: &mut Json, path: &[Step], new: Json) -> bool {
    match (path, value) {
        ([], value) => {
            *value = new;
            true
        }
        ([Step::Key(key), rest @ ..], Json::Object(bag)) => {
            let inner = bag.entry(key.clone()).or_insert_with(|| Json::Object(Map::new()));
            set(inner, rest, new)
        }
        ([Step::Index(at), rest @ ..], Json::Array(items)) => match usize::try_from(*at).ok() {
            Some(at) if at < items.len() => set(&mut items[at], rest, new),
            _ => false,
        },
        _ => false,
    }
}

fn steps_of(key: &str) -> Vec<Step> {
    match key.starts_with('$') {
        true => json_path(key).unwrap_or_default(),
        false => vec![Step::Key(key.to_owned())],
    }
}

fn tree_paths(value: &Json, prefix: &str, paths: &mut Vec<Json>) {
    match value {
        Json::Object(bag) => {
            for (key, value) in bag {
                let path = format!("{prefix}['{key}']");
                paths.push(path.as_str().into());
                tree_paths(value, &path, paths);
            }
        }
        Json::Array(items) => {
            if items.is_empty() {
                return;
            }
            let path = format!("{prefix}[0]");
            paths.push(path.as_str().into());
            for item in items {
                tree_paths(item, &path, paths);
            }
        }
        _ => {}
    }
}

fn url_parts(text: &str) -> Json {
    let mut bag = Map::new();
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (scheme, rest) = rest.split_once("://").unwrap_or(("", rest));
    let (authority, path) = match rest.find('/') {
        Some(at) if !scheme.is_empty() => (&rest[..at], &rest[at..]),
        None if !scheme.is_empty() => (rest, ""),
        _ => ("", rest),
    };
    let (credentials, address) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !host.ends_with(':') => {
            (host, port)
        }
        _ => (address, ""),
    };
    bag.insert("Scheme".to_owned(), scheme.into());
    bag.insert("Host".to_owned(), host.into());
    bag.insert("Port".to_owned(), port.into());
    bag.insert("Path".to_owned(), path.into());
    bag.insert("Username".to_owned(), user.into());
    bag.insert("Password".to_owned(), password.into());
    bag.insert("Query Parameters".to_owned(), Json::Object(query_parts(query)));
    bag.insert("Fragment".to_owned(), fragment.into());
    Json::Object(bag)
}

fn query_parts(query: &str) -> Map<String, Json> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (super::encoding::url_decode(key, true), super::encoding::url_decode(value, true).into())
        })
        .collect()
}

/// XML as a bag: an element's attributes under `@name`, its text as itself or under `#text`.
fn xml_value(text: &str) -> Option<Json> {
    let mut rest = text.trim_start();
    // What stands before the root element.
    while rest.starts_with("<?") || rest.starts_with("<!") {
        let end = rest.find('>')?;
        rest = rest[end + 1..].trim_start();
    }
    let (name, value, _) = xml_element(rest, 0)?;
    Some(Json::Object([(name, value)].into_iter().collect()))
}

fn xml_element(text: &str, depth: usize) -> Option<(String, Json, &str)> {
    if depth > 64 {
        return None;
    }
    let rest = text.strip_prefix('<')?;
    let end = rest.find('>')?;
    let (tag, mut rest) = (&rest[..end], &rest[end + 1..]);
    let closed = tag.ends_with('/');
    let tag = tag.trim_end_matches('/');
    let name_end = tag.find(char::is_whitespace).unwrap_or(tag.len());
    let name = tag[..name_end].to_owned();
    if name.is_empty() {
        return None;
    }
    let mut bag = Map::new();
    let mut attributes = tag[name_end..].trim_start();
    while let Some((key, after)) = attributes.split_once('=') {
        let after = after.trim_start();
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let close = after[1..].find(quote)?;
        bag.insert(format!("@{}", key.trim()), xml_text(&after[1..=close]).into());
        attributes = after[close + 2..].trim_start();
    }
    let mut content = String::new();
    if !closed {
        loop {
            if let Some(after) = rest.strip_prefix("</") {
                rest = &after[after.find('>')? + 1..];
                break;
            }
            if let Some(after) = rest.strip_prefix("<![CDATA[") {
                let end = after.find("]]>")?;
                content.push_str(&after[..end]);
                rest = &after[end + 3..];
            } else if rest.starts_with("<!--") {
                rest = &rest[rest.find("-->")? + 3..];
            } else if rest.starts_with('<') {
                let (name, value, after) = xml_element(rest, depth + 1)?;
                rest = after;
                match bag.get_mut(&name) {
                    None => {
                        bag.insert(name, value);
                    }
                    Some(Json::Array(items)) => items.push(value),
                    Some(first) => *first = Json::Array(vec![first.take(), value]),
                }
            } else {
                let end = rest.find('<')?;
                content.push_str(&xml_text(&rest[..end]));
                rest = &rest[end..];
            }
        }
    }
    let content = content.trim();
    let value = match (bag.is_empty(), content.is_empty()) {
        (true, true) => Json::Null,
        (true, false) => content.into(),
        (false, true) => Json::Object(bag),
        (false, false) => {
            bag.insert("#text".to_owned(), content.into());
            Json::Object(bag)
        }
    };
    Some((name, value, rest))
}

fn xml_text(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        eval(
            "bag_pack",
            "(key: any, value: any, ...) -> dynamic",
            "A bag of keys and values.",
            ("bag_pack('a', 1, 'b', 'x')", "{\"a\":1,\"b\":\"x\"}"),
            pack,
        )
        .also(&["pack", "pack_dictionary"]),
        eval(
            "bag_keys",
            "(bag: dynamic) -> dynamic",
            "The keys of a bag.",
            ("bag_keys(dynamic({'a': 1, 'b': 2}))", "[\"a\",\"b\"]"),
            |row| match row.bag(0) {
                Some(bag) => Value::json(&bag.keys().map(|key| Json::from(key.as_str())).collect()),
                None => Value::Null,
            },
        ),
        eval(
            "bag_has_key",
            "(bag: dynamic, key: string) -> bool",
            "Whether a bag has a key, which may be a path `$.a.b`.",
            ("bag_has_key(dynamic({'a': 1}), 'a')", "true"),
            |row| {
                if row.bag(0).is_none() {
                    return Value::Null;
                }
                json::find(row.text(0), &steps_of(row.text(1))).is_some().into()
            },
        ),
        eval(
            "bag_merge",
            "(bag: dynamic, ...) -> dynamic",
            "The bags as one; of a key met twice the first value stays.",
            ("bag_merge(dynamic({'a': 1}), dynamic({'a': 2, 'b': 3}))", "{\"a\":1,\"b\":3}"),
            merge,
        ),
        eval(
            "bag_remove_keys",
            "(bag: dynamic, keys: dynamic) -> dynamic",
            "The bag without these keys, which may be paths `$.a.b`.",
            ("bag_remove_keys(dynamic({'a': 1, 'b': 2}), dynamic(['a']))", "{\"b\":2}"),
            |row| {
                let mut value = row.json(0);
                if !value.is_object() {
                    return Value::Null;
                }
                for key in row.array(1).unwrap_or_default() {
                    remove(&mut value, &steps_of(key.as_str().unwrap_or_default()));
                }
                Value::json(&value)
            },
        ),
        eval(
            "bag_set_key",
            "(bag: dynamic, key: string, value: any) -> dynamic",
            "The bag with a key set, which may be a path `$.a.b`.",
            ("bag_set_key(dynamic({'a': 1}), 'b', 2)", "{\"a\":1,\"b\":2}"),
            |row| {
                let mut value = row.json(0);
                if !value.is_object() || !set(&mut value, &steps_of(row.text(1)), row.json(2)) {
                    return Value::Null;
                }
                Value::json(&value)
            },
        ),
        eval(
            "bag_zip",
            "(keys: dynamic, values: dynamic) -> dynamic",
            "A bag of an array of keys and one of values.",
            ("bag_zip(dynamic(['a', 'b']), dynamic([1, 2]))", "{\"a\":1,\"b\":2}"),
            |row| {
                let Some(keys) = row.array(0) else { return Value::Null };
                let mut values = row.array(1).unwrap_or_default().into_iter();
                let mut bag = Map::new();
                for key in keys {
                    let value = values.next().unwrap_or(Json::Null);
                    // Only strings are keys.
                    if let Json::String(key) = key {
                        bag.insert(key, value);
                    }
                }
                Value::from(Json::Object(bag).to_string())
            },
        ),
        eval(
            "extractjson",
            "(path: string, text: any, [type: any]) -> string",
            "What a path leads to in a JSON text.",
            ("extractjson('$.a[0]', '{\"a\": [5]}')", "5"),
            |row| {
                let Some(path) = json_path(row.text(0)) else { return Value::Null };
                let text = string_of(&row.get(1), row.kind(1));
                match super::step_value(&text, &path) {
                    Value::Null => Value::text(""),
                    value => super::convert::convert(&value, KqlType::Dynamic, KqlType::String).into_owned(),
                }
            },
        )
        .also(&["extract_json"]),
        eval(
            "treepath",
            "(value: dynamic) -> dynamic",
            "The paths to all that a dynamic holds.",
            ("treepath(dynamic({'a': {'b': 1}}))", "[\"['a']\",\"['a']['b']\"]"),
            |row| {
                let mut paths = Vec::new();
                tree_paths(&row.json(0), "", &mut paths);
                let mut seen = std::collections::HashSet::new();
                paths.retain(|path| seen.insert(path.to_string()));
                Value::json(&Json::Array(paths))
            },
        ),
        eval(
            "parse_url",
            "(url: string) -> dynamic",
            "The parts of a URL.",
            ("parse_url('https://a.example:8443/x?y=1').Port", "8443"),
            |row| {
                if row.text(0).is_empty() { Value::Null } else { Value::json(&url_parts(row.text(0))) }
            },
        )
        .also(&["parseurl"]),
        eval(
            "parse_urlquery",
            "(query: string) -> dynamic",
            "The parameters of a URL's query.",
            ("parse_urlquery('a=1&b=2')['Query Parameters'].b", "2"),
            |row| {
                let query = row.text(0);
                let query = query.split_once('?').map_or(query, |(_, query)| query);
                Value::json(&serde_json::json!({ "Query Parameters": query_parts(query) }))
            },
        )
        .also(&["parseurlquery"]),
        eval(
            "parse_xml",
            "(text: string) -> dynamic",
            "XML as a bag.",
            ("parse_xml('<a b=\"1\"><c>2</c></a>').a.c", "2"),
            |row| match xml_value(row.text(0)) {
                Some(value) => Value::json(&value),
                None => Value::Null,
            },
        ),
    ]
}
