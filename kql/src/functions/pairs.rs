//! Keys and values in a text, for `parse-kv`.

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use serde_json::{Map, Value as Json};

use super::Typed;
use super::kernel::{ANY_ARGUMENTS, arrays};
use super::regex::compiled;
use crate::types::KqlType;
use crate::value::{Builder, Cells, Value};

/// How keys and values stand in a text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct PairFormat {
    /// The keys that are wanted.
    pub(crate) keys: Vec<String>,
    pub(crate) pair_delimiter: String,
    pub(crate) kv_delimiter: String,
    /// Each the opening and the closing sign, or one that does both.
    pub(crate) quotes: Vec<String>,
    /// The signs that take their meaning from the next.
    pub(crate) escapes: String,
    /// Whether a value may hold the delimiter of pairs, and ends before the next key only.
    pub(crate) greedy: bool,
    /// A pattern whose first group is a key, and whose second is its value.
    pub(crate) regex: String,
}

/// The keys and values in a text, as a bag.
pub(crate) fn key_values(text: Typed, format: PairFormat) -> Typed {
    let udf = Arc::new(ScalarUDF::from(format));
    Typed::new(udf.call(vec![text.expr]), KqlType::Dynamic)
}

impl ScalarUDFImpl for PairFormat {
    fn name(&self) -> &str {
        "key_values"
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let args: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        Ok(format!("key_values({}, {self:?})", args.join(",")))
    }

    fn signature(&self) -> &Signature {
        &ANY_ARGUMENTS
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(KqlType::Dynamic.arrow())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (inputs, constant, _) = arrays(&args)?;
        let cells = Cells::new(inputs[0].as_ref())?;
        let mut builder = Builder::new(KqlType::Dynamic, inputs[0].len());
        for row in 0..inputs[0].len() {
            let bag = self.bag(cells.text(row).unwrap_or(""));
            builder.push(&Value::from(Json::Object(bag).to_string()));
        }
        let array: ArrayRef = builder.finish();
        if constant.first() == Some(&true) {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

impl PairFormat {
    /// The wanted keys with their values; a key met again is left as it is.
    fn bag(&self, text: &str) -> Map<String, Json> {
        let mut bag = Map::new();
        let mut add = |key: &str, value: &str| {
            let key = key.trim();
            if self.keys.iter().any(|wanted| wanted == key) && !bag.contains_key(key) {
                bag.insert(key.to_owned(), value.trim().into());
            }
        };
        if !self.regex.is_empty() {
            for captures in compiled(&self.regex).iter().flat_map(|regex| regex.captures_iter(text)) {
                if let (Some(key), Some(value)) = (captures.get(1), captures.get(2)) {
                    add(key.as_str(), value.as_str());
                }
            }
        } else if self.pair_delimiter.is_empty() && self.kv_delimiter.is_empty() {
            self.words(text, add);
        } else {
            self.delimited(text, add);
        }
        bag
    }

    /// Without delimiters: the word after a key is its value.
    fn words(&self, text: &str, mut add: impl FnMut(&str, &str)) {
        let mut key: Option<String> = None;
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let word = if let Some((quoted, after)) = self.quoted(rest) {
                rest = after;
                quoted
            } else if first.is_alphanumeric() {
                let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                // What touches a word is no opening quote.
                let mut signs = after.chars();
                signs.next();
                rest = signs.as_str();
                word.to_owned()
            } else {
                rest = &rest[first.len_utf8()..];
                continue;
            };
            match key.take() {
                Some(key) => add(&key, &word),
                None => key = Some(word).filter(|word| self.keys.contains(word)),
            }
        }
    }

    /// With delimiters between pairs, and between a key and its value.
    fn delimited(&self, text: &str, mut add: impl FnMut(&str, &str)) {
        let or =
            |text: &'static str, own: &str| if own.is_empty() { text.to_owned() } else { own.to_owned() };
        let (pair, kv) = (or(" ", &self.pair_delimiter), or("=", &self.kv_delimiter));
        let mut rest = text;
        loop {
            rest = rest.trim_start();
            let quoted_key = self
                .quoted(rest)
                .and_then(|(key, after)| Some((key, after.trim_start().strip_prefix(kv.as_str())?)));
            let (key, after) = match quoted_key {
                Some(found) => found,
                None => {
                    let Some(at) = rest.find(&kv) else { break };
                    (self.key_before(&rest[..at], &pair).1.to_owned(), &rest[at + kv.len()..])
                }
            };
            // Blanks before a value are no part of it, but a blank that is the delimiter ends it.
            let after = if after.starts_with(&pair) { after } else { after.trim_start() };
            if let Some((value, after)) = self.quoted(after) {
                add(&key, &value);
                rest = after;
                continue;
            }
            let end = if self.greedy { self.next_key(after, &pair, &kv) } else { after.find(&pair) };
            let (value, after) = after.split_at(end.unwrap_or(after.len()));
            add(&key, value);
            rest = after;
        }
    }

    /// The key at the end of a text, and where it begins.
    fn key_before<'t>(&self, text: &'t str, pair: &str) -> (usize, &'t str) {
        let trimmed = text.trim_end();
        for (open, close) in self.signs() {
            if let Some(inner) = trimmed.strip_suffix(close)
                && let Some(at) = inner.rfind(open)
            {
                return (at, &inner[at + open.len_utf8()..]);
            }
        }
        let start = text.rfind(pair).map_or(0, |at| at + pair.len());
        (start, &text[start..])
    }

    /// Where a value ends that goes on to the next key.
    fn next_key(&self, text: &str, pair: &str, kv: &str) -> Option<usize> {
        let first = text.find(pair)?;
        let at = first + text[first..].find(kv)?;
        Some(self.key_before(&text[..at], pair).0)
    }

    /// The opening and the closing quotes.
    fn signs(&self) -> impl Iterator<Item = (char, char)> {
        self.quotes.iter().filter_map(|quote| {
            let open = quote.chars().next()?;
            Some((open, quote.chars().nth(1).unwrap_or(open)))
        })
    }

    /// What stands in quotes at the beginning of a text, and the text after it.
    fn quoted<'t>(&self, text: &'t str) -> Option<(String, &'t str)> {
        let first = text.chars().next()?;
        let (_, close) = self.signs().find(|(open, _)| *open == first)?;
        let mut value = String::new();
        let mut chars = text.chars();
        chars.next();
        while let Some(c) = chars.next() {
            if self.escapes.contains(c) {
                value.extend(chars.next());
            } else if c == close {
                break;
            } else {
                value.push(c);
            }
        }
        Some((value, chars.as_str()))
    }
}
