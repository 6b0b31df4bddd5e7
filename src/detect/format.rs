//! Rule files with their queries laid out anew, and every other byte as it was.

use std::path::Path;

use provost_kql::format_query;
use serde_json::Value;

use super::bare_query::is_kql_file;
use super::yaml::Node;

/// The keys whose values are queries: that of an analytics rule, and that of a custom detection.
const QUERY_KEYS: [&str; 2] = ["query", "queryText"];

/// What the formatter has to say of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Formatting {
    /// It is as it should be.
    Unchanged,
    /// It should read so.
    Changed(String),
    /// Its query is not where the formatter may write; why.
    Left(&'static str),
    /// Its query cannot be formatted; why.
    Failed(String),
}

/// Formats the text of a file: a query, if its name says that it is KQL, and else a rule.
pub fn format_file(path: &Path, text: &str) -> Formatting {
    let formatted = if is_kql_file(path) {
        format_query(text)
            .map(|query| with_line_ends(&query, text))
            .map_err(|error| Formatting::Failed(error.to_string()))
    } else {
        format_rule(text)
    };
    match formatted {
        Ok(formatted) if formatted == text => Formatting::Unchanged,
        Ok(formatted) => Formatting::Changed(formatted),
        Err(outcome) => outcome,
    }
}

/// The text with the line ends of another one.
fn with_line_ends(text: &str, like: &str) -> String {
    if like.contains("\r\n") { text.replace("\r\n", "\n").replace('\n', "\r\n") } else { text.to_owned() }
}

fn format_rule(text: &str) -> Result<String, Formatting> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let block = match query_block(&lines) {
        Found::Block(block) => block,
        Found::OtherScalar => {
            return Err(Formatting::Left("its query is no block literal (`query: |`), and stays as it is"));
        }
        Found::Nothing => return Err(Formatting::Left("it has no query")),
    };
    let query = block.query(&lines);
    let formatted = format_query(&query).map_err(|error| Formatting::Failed(error.to_string()))?;
    let mut out = lines[..block.first].concat();
    for line in formatted.split_terminator('\n') {
        if !line.is_empty() {
            out.extend(std::iter::repeat_n(' ', block.indent));
        }
        out.push_str(line);
        out.push_str(if text.contains("\r\n") { "\r\n" } else { "\n" });
    }
    // The file may end without a line end.
    if block.end == lines.len() && !text.ends_with('\n') {
        out.truncate(out.trim_end_matches(['\r', '\n']).len());
    }
    out.push_str(&lines[block.end..].concat());
    if same_rule(text, &out, query.trim_end(), formatted.trim_end()) {
        Ok(out)
    } else {
        Err(Formatting::Failed("the file would not stay the same but for its query".to_owned()))
    }
}

/// A query in a file: the lines from `first` to before `end`, each of them indented.
struct Block {
    first: usize,
    end: usize,
    indent: usize,
}

impl Block {
    /// The text that the lines hold.
    fn query(&self, lines: &[&str]) -> String {
        let mut query = String::new();
        for line in &lines[self.first..self.end] {
            query.push_str(bare(line).get(self.indent..).unwrap_or_default());
            query.push('\n');
        }
        query
    }
}

enum Found {
    Block(Block),
    OtherScalar,
    Nothing,
}

/// Finds the block literal of the query. Other blocks are passed over: a description may speak of a `query: |`.
fn query_block(lines: &[&str]) -> Found {
    let mut at = 0;
    while at < lines.len() {
        let line = bare(lines[at]).trim_start_matches('\u{feff}');
        if line.trim_start().starts_with('#') {
            at += 1;
            continue;
        }
        let key_indent = indentation(line);
        let (key, value) = line.trim_start().split_once(':').unwrap_or_default();
        let key = key.trim_start_matches("- ").trim();
        let value = value.trim();
        at += 1;
        let is_query = QUERY_KEYS.contains(&key) && (key_indent == 0 || key == "queryText");
        if !value.starts_with(['|', '>']) {
            if is_query {
                return Found::OtherScalar;
            }
            continue;
        }
        let filled = |line: &&str| !bare(line).trim().is_empty();
        let inner = lines[at..].iter().find(|line| filled(line)).map_or(0, |line| indentation(bare(line)));
        let indent = match value.chars().find_map(|c| c.to_digit(10)) {
            Some(digit) if !value.contains('#') => key_indent + digit as usize,
            _ => inner,
        };
        let first = at;
        while at < lines.len()
            && (!filled(&lines[at]) || (indent > key_indent && indentation(bare(lines[at])) >= indent))
        {
            at += 1;
        }
        if is_query {
            // Empty lines at the end belong to the file, not to the query.
            let length = lines[first..at].iter().rposition(filled).map_or(0, |last| last + 1);
            return match value.starts_with('|') && length > 0 {
                true => Found::Block(Block { first, end: first + length, indent }),
                false => Found::OtherScalar,
            };
        }
    }
    Found::Nothing
}

fn bare(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Whether two files say the same as YAML, but for the query.
fn same_rule(before: &str, after: &str, query: &str, formatted: &str) -> bool {
    let (Ok(before), Ok(after)) = (Node::read(before), Node::read(after)) else { return false };
    same_value(&before.to_json(), &after.to_json(), query, formatted)
}

fn same_value(before: &Value, after: &Value, query: &str, formatted: &str) -> bool {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            before.len() == after.len()
                && before.iter().zip(after).all(|((key, before), (other_key, after))| {
                    key == other_key
                        && match (before, after) {
                            (Value::String(before), Value::String(after))
                                if QUERY_KEYS.contains(&key.as_str()) =>
                            {
                                before == after || before.trim_end() == query && after.trim_end() == formatted
                            }
                            _ => same_value(before, after, query, formatted),
                        }
                })
        }
        (Value::Array(before), Value::Array(after)) => {
            before.len() == after.len()
                && before.iter().zip(after).all(|(before, after)| same_value(before, after, query, formatted))
        }
        _ => before == after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Formatting {
        format_file(Path::new("rule.yaml"), text)
    }

    const RULE: &str = "\
id: x
description: |
  It holds a
  query: |
    T|take 1
query:   |-  # the heart of it
   // few
   T|where a==1|take   5

version:   1.0 # as is
";

    #[test]
    fn only_the_lines_of_the_query_change() {
        let expected = RULE.replace("   T|where a==1|take   5", "   T\n   | where a == 1\n   | take 5");
        assert_eq!(rule(RULE), Formatting::Changed(expected.clone()));
        assert_eq!(rule(&expected), Formatting::Unchanged);
    }

    #[test]
    fn line_ends_and_the_end_of_the_file_stay() {
        let windows = "query: |\r\n  T|take 5\r\nname: x";
        assert_eq!(rule(windows), Formatting::Changed("query: |\r\n  T\r\n  | take 5\r\nname: x".to_owned()));
        assert_eq!(rule("query: |\n  T|take 5"), Formatting::Changed("query: |\n  T\n  | take 5".to_owned()));
        let query = format_file(Path::new("a.kql"), "T|take 5\r\n");
        assert_eq!(query, Formatting::Changed("T\r\n| take 5\r\n".to_owned()));
    }

    #[test]
    fn the_query_of_a_custom_detection_is_found_where_it_is() {
        let text = "queryCondition:\n  queryText: |\n    T|take 5\n  period: 0\n";
        let expected = text.replace("T|take 5", "T\n    | take 5");
        assert_eq!(rule(text), Formatting::Changed(expected));
    }

    #[test]
    fn a_line_of_a_string_keeps_its_blanks() {
        let text = "query: |\n  print x = ```a\n     \n\n   b```\n";
        assert_eq!(rule(text), Formatting::Unchanged);
    }

    #[test]
    fn what_is_no_block_literal_is_left() {
        for text in ["query: T|take 5\n", "query: >\n  T|take 5\n", "query: |\n", "name: x\n"] {
            assert!(matches!(rule(text), Formatting::Left(_)), "{text}");
        }
    }

    #[test]
    fn what_is_no_query_is_told() {
        assert!(matches!(rule("query: |\n  T | whre x\n"), Formatting::Failed(why) if why.contains("where")));
    }
}
