//! Strings.

use serde_json::Value as Json;

use super::convert::string_of;
use super::{Function, Row, eval};
use crate::value::Value;

/// An argument as text, whatever its type.
fn text_of(row: &Row<'_>, index: usize) -> String {
    string_of(&row.get(index), row.kind(index))
}

/// The part of a text from a character on, of so many characters.
/// So many characters of a text, from one on.
pub(super) fn part(text: &str, start: usize, length: Option<usize>) -> &str {
    let from = text.char_indices().nth(start).map_or(text.len(), |(at, _)| at);
    let rest = &text[from..];
    match length.and_then(|length| rest.char_indices().nth(length)) {
        Some((end, _)) => &rest[..end],
        None => rest,
    }
}

fn substring<'a>(row: &Row<'a>) -> Value<'a> {
    let text = row.text(0);
    let start = row.long(1).unwrap_or(0);
    // A negative start counts from the end.
    let start = if start < 0 {
        i64::try_from(text.chars().count()).unwrap_or(i64::MAX).saturating_add(start).max(0)
    } else {
        start
    };
    let length = match row.long(2) {
        Some(length) if row.len() > 2 => match usize::try_from(length) {
            Ok(length) => Some(length),
            Err(_) => return Value::text(""),
        },
        _ => None,
    };
    Value::text(part(text, usize::try_from(start).unwrap_or(usize::MAX), length))
}

fn index_of(row: &Row<'_>) -> Value<'static> {
    let (text, search) = (text_of(row, 0), text_of(row, 1));
    let count = text.chars().count();
    // Only -1 stands for the end as a length.
    if row.long(3).is_some_and(|length| length < -1) {
        return Value::Null;
    }
    let start = match row.long(2).unwrap_or(0) {
        start if start < 0 => i64::try_from(count).unwrap_or(i64::MAX).saturating_add(start).max(0),
        start => start,
    };
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    let length = row.long(3).and_then(|length| usize::try_from(length).ok());
    let occurrence = row.long(4).unwrap_or(1);
    let Some(occurrence) = occurrence.checked_sub(1).and_then(|nth| usize::try_from(nth).ok()) else {
        return Value::Null;
    };
    let range = part(&text, start, length);
    let mut from = 0;
    for nth in 0..=occurrence {
        let Some(at) = range.get(from..).and_then(|rest| rest.find(&search)) else { return Value::Long(-1) };
        if nth == occurrence {
            return (start.min(count) + range[..from + at].chars().count()).into();
        }
        from += at + range[from + at..].chars().next().map_or(1, char::len_utf8);
    }
    Value::Long(-1)
}

fn split(row: &Row<'_>) -> Value<'static> {
    let (text, delimiter) = (text_of(row, 0), row.text(1));
    let parts: Vec<Json> = if delimiter.is_empty() {
        vec![text.as_str().into()]
    } else {
        text.split(delimiter).map(Json::from).collect()
    };
    match row.long(2) {
        Some(index) if row.len() > 2 => {
            let part = usize::try_from(index).ok().and_then(|index| parts.into_iter().nth(index));
            Value::json(&Json::Array(part.into_iter().collect()))
        }
        _ => Value::json(&Json::Array(parts)),
    }
}

fn join_texts(row: &Row<'_>, from: usize, delimiter: &str) -> Value<'static> {
    let mut out = String::new();
    for index in from..row.len() {
        if index > from {
            out.push_str(delimiter);
        }
        out.push_str(&text_of(row, index));
    }
    Value::from(out)
}

/// `trim` and its kind: the pattern at the start, at the end, or at both.
fn trim(row: &Row<'_>, start: bool, end: bool) -> Value<'static> {
    let mut text = row.text(1);
    let pattern = row.text(0);
    if start
        && let Some(regex) = super::regex::compiled(&format!("^(?:{pattern})"))
        && let Some(found) = regex.find(text)
    {
        text = &text[found.end()..];
    }
    if end
        && let Some(regex) = super::regex::compiled(&format!("(?:{pattern})$"))
        && let Some(found) = regex.find(text)
    {
        text = &text[..found.start()];
    }
    Value::from(text.to_owned())
}

/// Replaces several strings in one pass; a lookup whose replacement is no string stays as it is.
fn replace_strings(row: &Row<'_>) -> Value<'static> {
    let lookups = row.array(1).unwrap_or_default();
    let replacements = row.array(2).unwrap_or_default();
    let pairs: Vec<(&str, &str)> = lookups
        .iter()
        .zip(&replacements)
        .filter_map(|(lookup, replacement)| {
            let lookup = lookup.as_str().filter(|lookup| !lookup.is_empty())?;
            Some((lookup, replacement.as_str().unwrap_or(lookup)))
        })
        .collect();
    let mut out = String::new();
    let mut rest = row.text(0);
    while let Some(first) = rest.chars().next() {
        match pairs.iter().find(|(lookup, _)| rest.starts_with(lookup)) {
            Some((lookup, replacement)) => {
                out.push_str(replacement);
                rest = &rest[lookup.len()..];
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    Value::from(out)
}

/// The characters of a text at places given from the end of one string to those of another.
fn translate(row: &Row<'_>) -> Value<'static> {
    let from: Vec<char> = row.text(0).chars().collect();
    let to: Vec<char> = row.text(1).chars().collect();
    let translated = row.text(2).chars().filter_map(|c| match from.iter().position(|known| *known == c) {
        None => Some(c),
        Some(at) => to.get(at).or(to.last()).copied(),
    });
    Value::from(translated.collect::<String>())
}

/// The arguments of a command line, by the rules of Windows.
fn command_line(text: &str) -> Vec<String> {
    let mut args = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return args;
        }
        let mut arg = String::new();
        let mut quoted = false;
        while let Some(c) = chars.peek().copied() {
            if c.is_whitespace() && !quoted {
                break;
            }
            chars.next();
            match c {
                '"' => quoted = !quoted,
                '\\' => {
                    let mut slashes = 1;
                    while chars.next_if_eq(&'\\').is_some() {
                        slashes += 1;
                    }
                    if chars.peek() == Some(&'"') {
                        arg.extend(std::iter::repeat_n('\\', slashes / 2));
                        if slashes % 2 == 1 {
                            chars.next();
                            arg.push('"');
                        }
                    } else {
                        arg.extend(std::iter::repeat_n('\\', slashes));
                    }
                }
                c => arg.push(c),
            }
        }
        args.push(arg);
    }
}

/// The fields of the first record of a CSV text.
fn csv(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut chars = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                if let Some(field) = fields.last_mut() {
                    field.push('"');
                }
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            '\n' | '\r' if !quoted => break,
            c => {
                if let Some(field) = fields.last_mut() {
                    field.push(c);
                }
            }
        }
    }
    fields
}

/// A version's four numbers as one decimal that compares as versions do.
fn version(text: &str) -> Option<String> {
    let mut parts =
        text.split('.').map(|part| part.trim().parse::<u32>().ok().filter(|part| *part < 100_000_000));
    let mut number = String::new();
    for _ in 0..4 {
        let part = match parts.next() {
            None => 0,
            Some(part) => part?,
        };
        number.push_str(&format!("{part:08}"));
    }
    parts.next().is_none().then_some(number)
}

fn path_parts(path: &str) -> Json {
    let mut bag = serde_json::Map::new();
    let (scheme, rest) = path.split_once("://").map_or(("", path), |(scheme, rest)| (scheme, rest));
    let separator = if rest.contains('\\') { '\\' } else { '/' };
    let mut root = String::new();
    let bytes = rest.as_bytes();
    let after_root = if let Some(host) = rest.strip_prefix("\\\\") {
        let host_end = host.find('\\').map_or(rest.len(), |at| at + 2);
        root = rest[..host_end].to_owned();
        &rest[host_end..]
    } else if bytes.get(1) == Some(&b':') {
        root = rest[..2].to_owned();
        &rest[2..]
    } else {
        rest
    };
    let (directory, file) = match after_root.rfind(separator) {
        Some(at) => (&after_root[..at], &after_root[at + separator.len_utf8()..]),
        None => ("", after_root),
    };
    let (file, stream) = file.split_once(':').map_or((file, ""), |(file, stream)| (file, stream));
    let directory_path = format!("{root}{directory}");
    // A share is part of the directory, not a root.
    let root = if root.starts_with('\\') { String::new() } else { root };
    let directory_name = directory.rsplit(separator).next().unwrap_or("");
    let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
    bag.insert("Scheme".to_owned(), scheme.into());
    bag.insert("RootPath".to_owned(), root.into());
    bag.insert("DirectoryPath".to_owned(), directory_path.into());
    bag.insert("DirectoryName".to_owned(), directory_name.into());
    bag.insert("Filename".to_owned(), file.into());
    bag.insert("Extension".to_owned(), extension.into());
    bag.insert("AlternateDataStreamName".to_owned(), stream.into());
    Json::Object(bag)
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        eval(
            "strcat",
            "(value: any, ...) -> string",
            "The values as one string.",
            ("strcat('a', 1, true)", "a1True"),
            |row| join_texts(row, 0, ""),
        ),
        eval(
            "strcat_delim",
            "(delimiter: text, value: any, ...) -> string",
            "The values as one string, with a delimiter between them.",
            ("strcat_delim('-', 1, 2)", "1-2"),
            |row| join_texts(row, 1, row.text(0)),
        ),
        eval(
            "strlen",
            "(text: string) -> long",
            "The number of characters.",
            ("strlen('höre')", "4"),
            |row| row.text(0).chars().count().into(),
        ),
        eval(
            "string_size",
            "(text: string) -> long",
            "The number of bytes.",
            ("string_size('höre')", "5"),
            |row| row.text(0).len().into(),
        ),
        eval(
            "strcmp",
            "(left: any, right: any) -> long",
            "-1, 0 or 1, as the left one sorts before, with or after the right one.",
            ("strcmp('a', 'b')", "-1"),
            |row| Value::Long(text_of(row, 0).cmp(&text_of(row, 1)) as i64),
        ),
        eval(
            "strrep",
            "(value: any, times: long, [delimiter: text]) -> string",
            "The value so many times.",
            ("strrep('ab', 3, '-')", "ab-ab-ab"),
            |row| {
                let text = text_of(row, 0);
                let times = usize::try_from(row.long(1).unwrap_or(0)).unwrap_or(0).min(1_024);
                Value::from(vec![text.as_str(); times].join(row.text(2)))
            },
        ),
        eval(
            "substring",
            "(text: text, start: long, [length: long]) -> string",
            "The part of a string from a character on.",
            ("substring('provost', 3, 2)", "vo"),
            substring,
        ),
        eval(
            "tolower",
            "(text: text) -> string",
            "The text in lower case.",
            ("tolower('AbC')", "abc"),
            |row| Value::from(row.text(0).to_lowercase()),
        ),
        eval(
            "toupper",
            "(text: text) -> string",
            "The text in upper case.",
            ("toupper('AbC')", "ABC"),
            |row| Value::from(row.text(0).to_uppercase()),
        ),
        eval(
            "indexof",
            "(text: any, search: any, [start: long], [length: long], [occurrence: long]) -> long",
            "Where a string first occurs, or -1.",
            ("indexof('abcabc', 'c', 3)", "5"),
            index_of,
        ),
        eval(
            "split",
            "(text: any, delimiter: string, [index: long]) -> dynamic",
            "The parts between delimiters, or the one of that index.",
            ("split('a.b.c', '.')", "[\"a\",\"b\",\"c\"]"),
            split,
        ),
        eval(
            "reverse",
            "(value: any) -> string",
            "The characters in the opposite order.",
            ("reverse('abc')", "cba"),
            |row| Value::from(text_of(row, 0).chars().rev().collect::<String>()),
        ),
        eval(
            "trim",
            "(regex: string, text: string) -> string",
            "The text without what the pattern matches at its start and end.",
            ("trim('-', '-a-')", "a"),
            |row| trim(row, true, true),
        ),
        eval(
            "trim_start",
            "(regex: string, text: string) -> string",
            "The text without what the pattern matches at its start.",
            ("trim_start('-+', '--a-')", "a-"),
            |row| trim(row, true, false),
        ),
        eval(
            "trim_end",
            "(regex: string, text: string) -> string",
            "The text without what the pattern matches at its end.",
            ("trim_end('-+', '-a--')", "-a"),
            |row| trim(row, false, true),
        ),
        eval(
            "replace_string",
            "(text: string, lookup: string, replacement: string) -> string",
            "The text with every occurrence replaced.",
            ("replace_string('a.b', '.', '-')", "a-b"),
            |row| {
                let lookup = row.text(1);
                if lookup.is_empty() {
                    Value::text(row.text(0))
                } else {
                    Value::from(row.text(0).replace(lookup, row.text(2)))
                }
            },
        ),
        eval(
            "replace_strings",
            "(text: string, lookups: dynamic, replacements: dynamic) -> string",
            "The text with several strings replaced, one after the other.",
            ("replace_strings('ab', dynamic(['a', 'b']), dynamic(['x', 'y']))", "xy"),
            replace_strings,
        ),
        eval(
            "translate",
            "(search: string, replacement: string, text: string) -> string",
            "The text with single characters replaced by those at the same place.",
            ("translate('abc', 'xyz', 'cab')", "zxy"),
            translate,
        ),
        eval(
            "isascii",
            "(text: text) -> bool",
            "Whether all characters are ASCII.",
            ("isascii('abc')", "true"),
            |row| row.text(0).is_ascii().into(),
        ),
        eval(
            "isutf8",
            "(text: text) -> bool",
            "Whether the text is UTF-8, which every text here is.",
            ("isutf8('abc')", "true"),
            |_| Value::Bool(true),
        ),
        eval(
            "make_string",
            "(codepoint: any, ...) -> string",
            "The characters of these code points; arrays stand for their elements.",
            ("make_string(dynamic([75, 81, 76]))", "KQL"),
            codepoints_to_string,
        )
        .also(&["unicode_codepoints_to_string"]),
        eval(
            "to_utf8",
            "(text: text) -> dynamic",
            "The code points of the characters.",
            ("to_utf8('KQL')", "[75,81,76]"),
            |row| Value::json(&row.text(0).chars().map(|c| Json::from(u32::from(c))).collect()),
        )
        .also(&["unicode_codepoints_from_string"]),
        eval(
            "has_any_index",
            "(text: string, terms: dynamic) -> long",
            "The place of the first term of a list that stands in the text, or -1.",
            ("has_any_index('a quick fox', dynamic(['dog', 'fox']))", "1"),
            |row| {
                let terms = row.array(1).unwrap_or_default();
                let found = terms.iter().position(|term| {
                    let term = term.as_str().map_or_else(|| term.to_string(), str::to_owned);
                    super::text_match::has(row.text(0), &term, false)
                });
                found.map_or(Value::Long(-1), Value::from)
            },
        ),
        eval(
            "parse_csv",
            "(text: string) -> dynamic",
            "The fields of the first line of a CSV text.",
            ("parse_csv('a,\"b,c\"')", "[\"a\",\"b,c\"]"),
            |row| Value::json(&csv(row.text(0)).into_iter().map(Json::from).collect()),
        ),
        eval(
            "parse_command_line",
            "(text: text, kind: string) -> dynamic",
            "The arguments of a command line, by the rules of Windows.",
            ("parse_command_line('run \"a b\" c', 'windows')", "[\"run\",\"a b\",\"c\"]"),
            |row| {
                let args = command_line(row.text(0));
                if args.is_empty() {
                    Value::Null
                } else {
                    Value::json(&args.into_iter().map(Json::from).collect())
                }
            },
        ),
        eval(
            "parse_version",
            "(text: string) -> decimal",
            "A version as a number that compares as versions do.",
            ("parse_version('1.2.10') > parse_version('1.2.9')", "true"),
            |row| {
                // The scale leaves no room for the zeros that Kusto's 32 digits end with, so the number is shorter by them.
                match version(row.text(0)) {
                    Some(digits) => {
                        crate::value::parse_decimal(&format!("{}.{}", &digits[..16], &digits[16..]))
                            .map_or(Value::Null, Value::Decimal)
                    }
                    None => Value::Null,
                }
            },
        ),
        eval(
            "parse_path",
            "(path: string) -> dynamic",
            "The parts of a file path.",
            ("parse_path('C:\\\\temp\\\\a.txt').Filename", "a.txt"),
            |row| Value::json(&path_parts(row.text(0))),
        ),
    ]
}

fn codepoints_to_string(row: &Row<'_>) -> Value<'static> {
    fn push(out: &mut String, value: &Json) {
        match value {
            Json::Array(items) => items.iter().for_each(|item| push(out, item)),
            value => {
                let code = value.as_u64().and_then(|code| u32::try_from(code).ok());
                out.extend(code.and_then(char::from_u32));
            }
        }
    }
    let mut out = String::new();
    for index in 0..row.len() {
        push(&mut out, &row.json(index));
    }
    Value::from(out)
}
