//! Literals with a type's name before them: `datetime(2026-01-02)`, `guid(…)`, `dynamic({…})`.

use serde_json::Value;

use super::{Fault, Parsed, Parser};
use crate::ast::{Expr, ExprKind, Literal};
use crate::diagnostics::{Diagnostic, Span};
use crate::lexer::TokenKind;
use crate::time;
use crate::types::KqlType;

impl Parser<'_> {
    /// Whether a literal such as `datetime(…)` begins here.
    pub(super) fn typed_literal_ahead(&self) -> Option<KqlType> {
        let kind = KqlType::from_name(self.word()?)?;
        (kind != KqlType::String && self.is_ahead(1, "(")).then_some(kind)
    }

    pub(super) fn typed_literal(&mut self, kind: KqlType) -> Parsed<Expr> {
        let start = self.span();
        self.advance();
        if kind == KqlType::Dynamic {
            return self.dynamic_literal(start);
        }
        let literal_start = self.at;
        let text = self.raw_text()?;
        let bare = text.trim();
        let quoted =
            bare.strip_prefix(['"', '\'']).and_then(|rest| rest.strip_suffix(['"', '\''])).unwrap_or(bare);
        let literal = match literal_of(kind, quoted) {
            Some(literal) => literal,
            // `long(x)`, `string(x)`: not a literal but a conversion, which the engine takes too.
            None if !matches!(kind, KqlType::Datetime | KqlType::Timespan | KqlType::Guid) => {
                self.at = literal_start;
                let mut name = crate::ast::Name { text: format!("to{kind}"), span: start };
                if kind == KqlType::Real {
                    name.text = "toreal".to_owned();
                }
                self.expect("(")?;
                let args = self.arguments()?;
                return Ok(Expr { kind: ExprKind::Call(name, args), span: self.since(start) });
            }
            None => {
                let span = self.since(start);
                return Err(self.fault(Diagnostic::new(span, format!("`{bare}` is not a {kind}"))));
            }
        };
        Ok(Expr { kind: ExprKind::Literal(literal), span: self.since(start) })
    }

    /// The text between the bracket here and its partner, whatever it is.
    fn raw_text(&mut self) -> Parsed<String> {
        let open = self.expect("(")?;
        let mut depth = 1;
        loop {
            match self.token().kind {
                TokenKind::End => return Err(self.unexpected("`)`")),
                TokenKind::Punct("(") => depth += 1,
                TokenKind::Punct(")") => depth -= 1,
                _ => {}
            }
            let token = self.advance();
            if depth == 0 {
                return Ok(self.source[open.end..token.span.start].to_owned());
            }
        }
    }

    fn dynamic_literal(&mut self, start: Span) -> Parsed<Expr> {
        self.expect("(")?;
        let value = self.nested(Self::json)?;
        self.expect(")")?;
        let value = if value.is_null() { None } else { Some(value) };
        Ok(Expr { kind: ExprKind::Literal(Literal::Dynamic(value)), span: self.since(start) })
    }

    /// JSON, with what KQL adds to it: single quotes, verbatim strings, literals of other types.
    fn json(&mut self) -> Parsed<Value> {
        if self.take("[") {
            let mut items = Vec::new();
            while !self.take("]") {
                if !items.is_empty() {
                    self.expect(",")?;
                }
                items.push(self.nested(Self::json)?);
            }
            return Ok(Value::Array(items));
        }
        if self.take("{") {
            let mut bag = serde_json::Map::new();
            while !self.take("}") {
                if !bag.is_empty() {
                    self.expect(",")?;
                }
                let TokenKind::String(_) = &self.token().kind else {
                    return Err(self.unexpected("a key in quotes"));
                };
                let key = self.json_string()?;
                self.expect(":")?;
                bag.insert(key, self.nested(Self::json)?);
            }
            return Ok(Value::Object(bag));
        }
        if matches!(self.token().kind, TokenKind::String(_) | TokenKind::Invalid(_)) {
            let text = self.json_string()?;
            return Ok(Value::String(self.joined_strings(text)));
        }
        if let Some(kind) = self.typed_literal_ahead() {
            let start = self.span();
            if matches!(kind, KqlType::Int | KqlType::Decimal) {
                let message = format!("a dynamic literal cannot hold a literal of type {kind}");
                return Err(self.literal_fault(start, &message));
            }
            let expr = self.typed_literal(kind)?;
            return match expr.kind {
                ExprKind::Literal(literal) => Ok(literal_json(&literal)),
                _ => Err(self.fault(Diagnostic::new(
                    self.since(start),
                    "only literals may stand in a dynamic literal",
                ))),
            };
        }
        let negative = self.take("-");
        if !negative {
            self.take("+");
        }
        let token = self.token().clone();
        let value = match &token.kind {
            TokenKind::Name(word) if !negative => match word.as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                "null" => Value::Null,
                _ => return Err(self.unexpected("a JSON value")),
            },
            TokenKind::Long(value) => Value::from(if negative { value.wrapping_neg() } else { *value }),
            TokenKind::Real(value) => Value::from(if negative { -value } else { *value }),
            TokenKind::Timespan(ticks) => {
                Value::from(time::format_timespan(if negative { -ticks } else { *ticks }))
            }
            _ => return Err(self.unexpected("a JSON value")),
        };
        self.advance();
        Ok(value)
    }

    fn json_string(&mut self) -> Parsed<String> {
        let token = self.token().clone();
        let text = &self.source[token.span.start..token.span.end];
        // JSON has escapes that KQL has not.
        let value = match &token.kind {
            TokenKind::String(text) => text.clone(),
            _ => match serde_json::from_str(text) {
                Ok(text) => text,
                Err(_) => return Err(self.unexpected("a string")),
            },
        };
        self.advance();
        Ok(value)
    }

    pub(super) fn plain_literal(&mut self) -> Option<Literal> {
        let literal = match &self.token().kind {
            TokenKind::Long(value) => Literal::Long(Some(*value)),
            TokenKind::Real(value) => Literal::Real(Some(*value)),
            TokenKind::Timespan(ticks) => Literal::Timespan(Some(*ticks)),
            TokenKind::String(text) => Literal::String(text.clone()),
            TokenKind::Name(word) => match word.as_str() {
                "true" | "True" | "TRUE" => Literal::Bool(Some(true)),
                "false" | "False" | "FALSE" => Literal::Bool(Some(false)),
                _ => return None,
            },
            _ => return None,
        };
        self.advance();
        Some(literal)
    }

    /// String literals that follow one another are one.
    pub(super) fn joined_strings(&mut self, mut text: String) -> String {
        while let TokenKind::String(more) = &self.token().kind {
            text.push_str(more);
            self.advance();
        }
        text
    }

    /// `typeof(long)`, `typeof(a:long, b:string)`.
    pub(super) fn typeof_literal(&mut self) -> Parsed<Literal> {
        self.expect_word("typeof")?;
        self.expect("(")?;
        let mut kinds = Vec::new();
        loop {
            if matches!(self.token().kind, TokenKind::Name(_)) && self.is_ahead(1, ":") {
                self.advance();
                self.advance();
            }
            if self.take("*") {
                self.expect(")")?;
                return Ok(Literal::Type(kinds));
            }
            kinds.push(self.type_name()?);
            if self.take(")") {
                return Ok(Literal::Type(kinds));
            }
            self.expect(",")?;
        }
    }

    pub(super) fn literal_fault(&mut self, span: Span, message: &str) -> Fault {
        self.fault(Diagnostic::new(span, message))
    }
}

/// What the text in `kind(text)` means.
fn literal_of(kind: KqlType, text: &str) -> Option<Literal> {
    let null = text.is_empty() || text.eq_ignore_ascii_case("null");
    Some(match kind {
        _ if null => match kind {
            KqlType::Bool => Literal::Bool(None),
            KqlType::Int => Literal::Int(None),
            KqlType::Long => Literal::Long(None),
            KqlType::Real => Literal::Real(None),
            KqlType::Decimal => Literal::Decimal(None),
            KqlType::Datetime => Literal::Datetime(None),
            KqlType::Timespan => Literal::Timespan(None),
            KqlType::Guid => Literal::Guid(None),
            KqlType::Dynamic => Literal::Dynamic(None),
            KqlType::String => return None,
        },
        KqlType::Bool => Literal::Bool(Some(match text.to_ascii_lowercase().as_str() {
            "true" | "1" => true,
            "false" | "0" => false,
            _ => return None,
        })),
        KqlType::Int => Literal::Int(Some(i32::try_from(whole_number(text)?).ok()?)),
        KqlType::Long => Literal::Long(Some(whole_number(text)?)),
        KqlType::Real => Literal::Real(Some(match text.to_ascii_lowercase().as_str() {
            "nan" => f64::NAN,
            "+inf" | "inf" => f64::INFINITY,
            "-inf" => f64::NEG_INFINITY,
            number => number_text(number)?.parse().ok()?,
        })),
        KqlType::Decimal => Literal::Decimal(Some(number_text(text)?.to_owned())),
        // `datetime(2026, 1, 2)` is taken as well.
        KqlType::Datetime
            if text.contains(',') && text.bytes().all(|b| b.is_ascii_digit() || b == b',' || b == b' ') =>
        {
            let joined =
                text.split(',').map(|part| format!("{:0>2}", part.trim())).collect::<Vec<_>>().join("-");
            Literal::Datetime(Some(time::parse_datetime(&joined)?))
        }
        // As is `datetime(2026 - 01 - 02)`.
        KqlType::Datetime => {
            let ticks = time::parse_datetime(text).or_else(|| {
                time::parse_datetime(&text.split('-').map(str::trim).collect::<Vec<_>>().join("-"))
            })?;
            Literal::Datetime(Some(ticks))
        }
        KqlType::Timespan => Literal::Timespan(Some(time::parse_timespan(text)?)),
        KqlType::Guid => Literal::Guid(Some(crate::format::parse_guid(text)?)),
        KqlType::String | KqlType::Dynamic => return None,
    })
}

fn whole_number(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text),
    };
    let magnitude = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => i64::from_str_radix(hex, 16).ok()?,
        None if digits.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{}{digits}", if negative { "-" } else { "" }).parse().ok()?
        }
        None => return None,
    };
    Some(if negative && magnitude > 0 { -magnitude } else { magnitude })
}

/// The text, if it is a number in the usual form.
fn number_text(text: &str) -> Option<&str> {
    let plain = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    (plain && text.parse::<f64>().is_ok()).then_some(text)
}

/// A literal inside a dynamic literal.
fn literal_json(literal: &Literal) -> Value {
    match literal {
        Literal::Bool(value) => value.map_or(Value::Null, Value::from),
        Literal::Int(value) => value.map_or(Value::Null, Value::from),
        Literal::Long(value) => value.map_or(Value::Null, Value::from),
        Literal::Real(value) => value.map_or(Value::Null, Value::from),
        Literal::Decimal(value) => {
            value.as_ref().and_then(|text| text.parse::<f64>().ok()).map_or(Value::Null, Value::from)
        }
        Literal::String(value) => Value::from(value.as_str()),
        Literal::Datetime(value) => value.map_or(Value::Null, |ticks| time::datetime_string(ticks).into()),
        Literal::Timespan(value) => value.map_or(Value::Null, |ticks| time::format_timespan(ticks).into()),
        Literal::Guid(value) => value.as_ref().map_or(Value::Null, |text| text.as_str().into()),
        Literal::Dynamic(value) => value.clone().unwrap_or(Value::Null),
        Literal::Type(_) => Value::Null,
    }
}
