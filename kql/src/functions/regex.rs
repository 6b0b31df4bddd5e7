//! Regular expressions, in the syntax of RE2.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use ::regex::{Captures, Regex, RegexBuilder};
use serde_json::Value as Json;

use super::string::part;
use super::{Function, Kernel, Typed, eval};
use crate::types::KqlType;
use crate::value::Value;

/// The compiled patterns that a thread keeps.
const KEPT: usize = 256;
/// The bytes that one compiled pattern may take.
const MAX_COMPILED: usize = 10 << 20;

thread_local! {
    static COMPILED: RefCell<HashMap<String, Option<Rc<Regex>>>> = RefCell::default();
}

/// A pattern made ready, once for each thread; `None` if it is no pattern.
pub(super) fn compiled(pattern: &str) -> Option<Rc<Regex>> {
    COMPILED.with_borrow_mut(|kept| {
        if let Some(regex) = kept.get(pattern) {
            return regex.clone();
        }
        if kept.len() >= KEPT {
            kept.clear();
        }
        let regex = compile(pattern).ok().map(Rc::new);
        kept.insert(pattern.to_owned(), regex.clone());
        regex
    })
}

fn compile(pattern: &str) -> Result<Regex, ::regex::Error> {
    RegexBuilder::new(&translate(pattern)).size_limit(MAX_COMPILED).build()
}

/// What RE2 writes in another way: `\<` is a plain `<` there, and `\Q…\E` quotes.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some(c @ ('<' | '>')) => out.push(c),
            Some('Q') => {
                let rest = chars.as_str();
                let quoted = rest.split("\\E").next().unwrap_or(rest);
                out.push_str(&::regex::escape(quoted));
                let used = (quoted.len() + 2).min(rest.len());
                chars = rest[used..].chars();
            }
            Some('Z') => out.push_str("\\z"),
            Some(c) => {
                out.push('\\');
                out.push(c);
            }
            None => out.push('\\'),
        }
    }
    out
}

/// Says what is wrong with a pattern.
pub(crate) fn check_regex(pattern: &str) -> Result<(), String> {
    match compile(pattern) {
        Ok(_) => Ok(()),
        Err(error) => {
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Err(format!("this is not a regular expression: {reason}"))
        }
    }
}

/// How the groups are called that stand for columns, beside those of a pattern's own.
pub(crate) const PARSED: &str = "parsed_";

/// The groups of a pattern's first match that stand for columns, as an array of texts, or null.
pub(crate) fn regex_groups(text: Typed, pattern: Typed) -> Typed {
    Kernel::call("regex_groups", vec![text, pattern], KqlType::Dynamic, |row| {
        let Some(regex) = compiled(row.text(1)) else { return Value::Null };
        let Some(captures) = regex.captures(row.text(0)) else { return Value::Null };
        let named = regex.capture_names().zip(captures.iter());
        let groups = named.filter(|(name, _)| name.is_some_and(|name| name.starts_with(PARSED)));
        let texts = groups.map(|(_, group)| group.map_or(Json::Null, |group| group.as_str().into()));
        Value::json(&Json::Array(texts.collect()))
    })
}

fn group_text(captures: &Captures<'_>, group: i64) -> Option<String> {
    let group = usize::try_from(group).ok()?;
    Some(captures.get(group).map_or("", |group| group.as_str()).to_owned())
}

/// Kusto writes groups in a replacement as `\1`.
fn replacement(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '$' => out.push_str("$$"),
            '\\' => match chars.next() {
                Some(digit) if digit.is_ascii_digit() => {
                    out.push_str("${");
                    out.push(digit);
                    out.push('}');
                }
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    out
}

fn replace_regex(row: &super::Row<'_>) -> Value<'static> {
    match compiled(row.text(1)) {
        Some(regex) => Value::from(regex.replace_all(row.text(0), replacement(row.text(2))).into_owned()),
        None => Value::from(row.text(0).to_owned()),
    }
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        eval(
            "extract",
            "(regex: string, group: long, text: string, [type: any]) -> string",
            "What a group of the pattern matches first, as a string or as the type given by `typeof(…)`.",
            ("extract('([0-9]+)', 1, 'port 443')", "443"),
            |row| {
                let captures = compiled(row.text(0)).and_then(|regex| regex.captures(row.text(2)));
                captures.and_then(|captures| group_text(&captures, row.long(1)?)).into()
            },
        ),
        eval(
            "extract_all",
            "(regex: string, groups: any, [text: string]) -> dynamic",
            "All matches; of a pattern with several groups, an array of its groups for each.",
            ("extract_all('([a-z])', 'a1b2')", "[\"a\",\"b\"]"),
            |row| {
                let (text, wanted) =
                    if row.len() > 2 { (row.text(2), row.array(1)) } else { (row.text(1), None) };
                let Some(regex) = compiled(row.text(0)) else { return Value::Null };
                let count = regex.captures_len();
                let groups: Vec<usize> = match wanted {
                    Some(wanted) => wanted
                        .iter()
                        .filter_map(|group| match group {
                            Json::String(name) => {
                                regex.capture_names().position(|known| known == Some(name.as_str()))
                            }
                            group => group.as_u64().and_then(|group| usize::try_from(group).ok()),
                        })
                        .collect(),
                    None if count == 1 => vec![0],
                    None => (1..count).collect(),
                };
                let text_of = |captures: &Captures<'_>, group: usize| {
                    Json::from(captures.get(group).map_or("", |group| group.as_str()))
                };
                let all: Vec<Json> = regex
                    .captures_iter(text)
                    .map(|captures| match groups.as_slice() {
                        [group] => text_of(&captures, *group),
                        groups => groups.iter().map(|group| text_of(&captures, *group)).collect(),
                    })
                    .collect();
                if all.is_empty() { Value::Null } else { Value::json(&Json::Array(all)) }
            },
        )
        .also(&["extractall"]),
        eval(
            "replace_regex",
            "(text: string, regex: string, replacement: string) -> string",
            "The text with every match replaced; `\\1` in the replacement is the first group.",
            ("replace_regex('a1b2', '[0-9]', '#')", "a#b#"),
            replace_regex,
        ),
        eval(
            "replace",
            "(regex: string, replacement: string, text: string) -> string",
            "An older form of `replace_regex`, with the text last.",
            ("replace('[0-9]', '#', 'a1b2')", "a#b#"),
            |row| match compiled(row.text(0)) {
                Some(regex) => {
                    Value::from(regex.replace_all(row.text(2), replacement(row.text(1))).into_owned())
                }
                None => Value::from(row.text(2).to_owned()),
            },
        ),
        eval(
            "indexof_regex",
            "(text: string, regex: string, [start: long], [length: long], [occurrence: long]) -> long",
            "Where the pattern first matches, or -1.",
            ("indexof_regex('abc123', '[0-9]')", "3"),
            |row| {
                let text = row.text(0);
                let (start, occurrence) = (row.long(2).unwrap_or(0), row.long(4).unwrap_or(1));
                let nth = usize::try_from(occurrence.saturating_sub(1));
                let length = row.long(3).unwrap_or(-1);
                let (Ok(start), Ok(occurrence), -1..) = (usize::try_from(start), nth, length) else {
                    return Value::Null;
                };
                let Some((offset, _)) = text.char_indices().chain([(text.len(), ' ')]).nth(start) else {
                    return Value::Long(-1);
                };
                let Some(regex) = compiled(row.text(1)) else { return Value::Long(-1) };
                let within = part(text, start, usize::try_from(length).ok());
                match regex.find_iter(within).nth(occurrence) {
                    Some(found) => (start + text[offset..offset + found.start()].chars().count()).into(),
                    None => Value::Long(-1),
                }
            },
        ),
        eval(
            "countof",
            "(text: string, search: string, [kind: string]) -> long",
            "How often a string, or with kind `regex` a pattern, occurs.",
            ("countof('banana', 'an')", "2"),
            |row| {
                let (text, search) = (row.text(0), row.text(1));
                if search.is_empty() {
                    return Value::Long(0);
                }
                if row.text(2) == "regex" {
                    return compiled(search).map_or(0, |regex| regex.find_iter(text).count()).into();
                }
                // Plain strings may overlap.
                (0..text.len())
                    .filter(|at| text.is_char_boundary(*at) && text[*at..].starts_with(search))
                    .count()
                    .into()
            },
        ),
        eval(
            "regex_quote",
            "(text: text) -> string",
            "The text with all that means something in a pattern escaped.",
            ("regex_quote('a.b')", "a\\.b"),
            |row| {
                let mut out = String::new();
                for c in row.text(0).chars() {
                    if !c.is_alphanumeric() && c != '_' && c.is_ascii() {
                        out.push('\\');
                    }
                    out.push(c);
                }
                Value::from(out)
            },
        ),
    ]
}
