//! The string operators: `has`, `contains`, `startswith`, `matches regex` and their kind.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use regex::Regex;

use super::kernel::{ANY_ARGUMENTS, arrays};
use super::{Kernel, Typed};
use crate::types::KqlType;
use crate::value::{Cells, Value};

/// What is asked of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Test {
    Equal,
    Has,
    HasPrefix,
    HasSuffix,
    Contains,
    StartsWith,
    EndsWith,
    Regex,
}

/// The expression that tests a text.
pub(crate) fn text_match(test: Test, case_sensitive: bool, text: Typed, needle: Typed) -> Expr {
    if let (Some(text), Some(needle)) = (text.constant_text(), needle.constant_text()) {
        let matched =
            Matcher::new(test, case_sensitive, &needle).is_some_and(|matcher| matcher.matches(&text));
        return Typed::literal(Value::Bool(matched), KqlType::Bool).expr;
    }
    let udf = Arc::new(ScalarUDF::from(TextMatch { test, case_sensitive }));
    udf.call(vec![text.expr, needle.expr])
}

/// `has_any`, `has_all` against a list that only the row knows.
pub(crate) fn has_list(text: Typed, list: Typed, all: bool) -> Expr {
    let text = crate::binder::cast(text, KqlType::String);
    if all {
        return Kernel::call("has_all", vec![text, list], KqlType::Bool, |row| {
            let terms = row.array(1).unwrap_or_default();
            terms.iter().all(|term| has(row.text(0), &term_text(term), false)).into()
        })
        .expr;
    }
    Kernel::call("has_any", vec![text, list], KqlType::Bool, |row| {
        let terms = row.array(1).unwrap_or_default();
        terms.iter().any(|term| has(row.text(0), &term_text(term), false)).into()
    })
    .expr
}

fn term_text(term: &serde_json::Value) -> String {
    match term {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether a term stands in a text.
pub(crate) fn has(text: &str, term: &str, case_sensitive: bool) -> bool {
    Matcher::new(Test::Has, case_sensitive, term).is_some_and(|matcher| matcher.matches(text))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TextMatch {
    test: Test,
    case_sensitive: bool,
}

impl ScalarUDFImpl for TextMatch {
    fn name(&self) -> &str {
        match (self.test, self.case_sensitive) {
            (Test::Equal, _) => "equal_ignoring_case",
            (Test::Has, false) => "has",
            (Test::Has, true) => "has_cs",
            (Test::HasPrefix, false) => "hasprefix",
            (Test::HasPrefix, true) => "hasprefix_cs",
            (Test::HasSuffix, false) => "hassuffix",
            (Test::HasSuffix, true) => "hassuffix_cs",
            (Test::Contains, false) => "contains",
            (Test::Contains, true) => "contains_cs",
            (Test::StartsWith, false) => "startswith",
            (Test::StartsWith, true) => "startswith_cs",
            (Test::EndsWith, false) => "endswith",
            (Test::EndsWith, true) => "endswith_cs",
            (Test::Regex, _) => "matches_regex",
        }
    }

    fn signature(&self) -> &Signature {
        &ANY_ARGUMENTS
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (inputs, constant, rows) = arrays(&args)?;
        let (texts, needles) = (Cells::new(inputs[0].as_ref())?, Cells::new(inputs[1].as_ref())?);
        let rows = if constant == [true, true] { 1 } else { rows };
        let text = |row: usize| texts.text(if constant[0] { 0 } else { row }).unwrap_or("");
        let result: BooleanArray = if constant[1] {
            let matcher = Matcher::new(self.test, self.case_sensitive, needles.text(0).unwrap_or(""));
            (0..rows)
                .map(|row| Some(matcher.as_ref().is_some_and(|matcher| matcher.matches(text(row)))))
                .collect()
        } else {
            (0..rows)
                .map(|row| {
                    let matcher =
                        Matcher::new(self.test, self.case_sensitive, needles.text(row).unwrap_or(""));
                    Some(matcher.is_some_and(|matcher| matcher.matches(text(row))))
                })
                .collect()
        };
        if constant == [true, true] {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &(Arc::new(result) as ArrayRef),
                0,
            )?));
        }
        Ok(ColumnarValue::Array(Arc::new(result)))
    }
}

/// A test with its needle made ready.
struct Matcher {
    test: Test,
    needle: String,
    /// Finds the needle whatever its case; absent where case matters.
    ignoring_case: Option<std::rc::Rc<Regex>>,
    regex: Option<std::rc::Rc<Regex>>,
    /// Whether the needle begins, and ends, with a letter or digit, where a term's edge has to be looked at.
    edges: (bool, bool),
}

impl Matcher {
    fn new(test: Test, case_sensitive: bool, needle: &str) -> Option<Self> {
        let (mut ignoring_case, mut regex) = (None, None);
        if test == Test::Regex {
            regex = Some(super::regex::compiled(needle)?);
        } else if !case_sensitive && !needle.is_empty() {
            let escaped = regex::escape(needle);
            let pattern = match test {
                Test::Equal => format!("(?i)^{escaped}$"),
                Test::StartsWith => format!("(?i)^{escaped}"),
                Test::EndsWith => format!("(?i){escaped}$"),
                _ => format!("(?i){escaped}"),
            };
            ignoring_case = Some(super::regex::compiled(&pattern)?);
        }
        let edge = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let edges = (edge(needle.chars().next()), edge(needle.chars().next_back()));
        Some(Matcher { test, needle: needle.to_owned(), ignoring_case, regex, edges })
    }

    fn matches(&self, text: &str) -> bool {
        if let Some(regex) = &self.regex {
            return regex.is_match(text);
        }
        if self.needle.is_empty() {
            return self.test != Test::Equal || text.is_empty();
        }
        match (&self.ignoring_case, self.test) {
            (Some(found), Test::Equal | Test::Contains | Test::StartsWith | Test::EndsWith) => {
                found.is_match(text)
            }
            (Some(found), _) => {
                // Occurrences may overlap, so the search goes on one character after each start.
                let mut from = 0;
                while let Some(occurrence) = found.find_at(text, from) {
                    if self.is_term(text, occurrence.start(), occurrence.end()) {
                        return true;
                    }
                    from = next_char(text, occurrence.start());
                }
                false
            }
            (None, Test::Equal) => text == self.needle,
            (None, Test::Contains) => text.contains(&self.needle),
            (None, Test::StartsWith) => text.starts_with(&self.needle),
            (None, Test::EndsWith) => text.ends_with(&self.needle),
            (None, _) => {
                let mut from = 0;
                while let Some(at) = text[from..].find(&self.needle) {
                    let start = from + at;
                    if self.is_term(text, start, start + self.needle.len()) {
                        return true;
                    }
                    from = next_char(text, start);
                }
                false
            }
        }
    }

    /// Whether an occurrence begins or ends where terms do, as the test asks.
    fn is_term(&self, text: &str, start: usize, end: usize) -> bool {
        let free_before =
            !self.edges.0 || !text[..start].chars().next_back().is_some_and(char::is_alphanumeric);
        let free_after = !self.edges.1 || !text[end..].chars().next().is_some_and(char::is_alphanumeric);
        match self.test {
            Test::HasPrefix => free_before,
            Test::HasSuffix => free_after,
            _ => free_before && free_after,
        }
    }
}

fn next_char(text: &str, at: usize) -> usize {
    at + text[at..].chars().next().map_or(1, char::len_utf8)
}
