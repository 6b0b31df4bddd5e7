//! From text to tokens.

use crate::diagnostics::Span;
use crate::time::{self, TICKS_PER_MICROSECOND, TICKS_PER_MILLISECOND, TICKS_PER_SECOND};

/// A token and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Span,
}

/// What a token is. Keywords are names: which of them mean something depends on the place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TokenKind {
    Name(String),
    Long(i64),
    Real(f64),
    Timespan(i64),
    String(String),
    /// An operator or bracket.
    Punct(&'static str),
    /// Something that is no token. It is an error only if the parser gets to it: the inside of `datetime(…)` and its
    /// relatives is read from the text, not from tokens.
    Invalid(&'static str),
    End,
}

/// Operators and brackets, longest first so that the first match is the right one.
const PUNCTUATION: &[&str] = &[
    "==", "=~", "!=", "!~", "<>", "<=", ">=", "=>", "..", "(", ")", "[", "]", "{", "}", "|", ";", ",", ".",
    ":", "=", "<", ">", "+", "-", "*", "/", "%", "!", "~", "?", "@", "&",
];

/// Splits a text into tokens; the last is always [`TokenKind::End`].
pub(crate) fn tokenize(source: &str) -> Vec<Token> {
    tokenize_with_comments(source).0
}

/// The same, with the places of the comments, each up to the end of its line.
pub(crate) fn tokenize_with_comments(source: &str) -> (Vec<Token>, Vec<Span>) {
    let mut lexer = Lexer { source, at: 0, comments: Vec::new() };
    let mut tokens = Vec::with_capacity(source.len() / 4 + 1);
    loop {
        let token = lexer.next();
        let end = token.kind == TokenKind::End;
        tokens.push(token);
        if end {
            return (tokens, lexer.comments);
        }
    }
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    comments: Vec<Span>,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.source[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Token {
        self.skip_blank();
        let start = self.at;
        let kind = self.kind();
        Token { kind, span: Span::new(start, self.at) }
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed =
                rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}' || c == '\u{200b}');
            let blank = rest.len() - trimmed.len();
            // Only a comment is searched for its end: the rest of the text may be long.
            let comment = trimmed.starts_with("//").then(|| trimmed.find('\n').unwrap_or(trimmed.len()));
            self.at += blank;
            match comment {
                Some(length) => {
                    self.comments.push(Span::new(self.at, self.at + length));
                    self.at += length;
                }
                None => return,
            }
        }
    }

    fn kind(&mut self) -> TokenKind {
        let Some(first) = self.peek() else { return TokenKind::End };
        let rest = self.rest();
        if first.is_ascii_digit() {
            return self.number();
        }
        let after_h = if rest.starts_with(['h', 'H']) { &rest[1..] } else { rest };
        let prefix = rest.len() - after_h.len();
        if after_h.starts_with(['"', '\'']) {
            self.at += prefix;
            return self.string();
        }
        if after_h.starts_with("@\"") || after_h.starts_with("@'") {
            self.at += prefix + 1;
            return self.verbatim_string();
        }
        for fence in ["```", "~~~"] {
            if after_h.starts_with(fence) {
                self.at += prefix;
                return self.fenced_string(fence);
            }
        }
        if is_name_start(first) {
            // The first character may be a `$`, which a name cannot go on with.
            let rest_of_name = &rest[first.len_utf8()..];
            let length = rest_of_name.find(|c| !is_name_part(c)).unwrap_or(rest_of_name.len());
            let name = rest[..first.len_utf8() + length].to_owned();
            let length = name.len();
            self.at += length;
            return TokenKind::Name(name);
        }
        for punctuation in PUNCTUATION {
            if rest.starts_with(punctuation) {
                self.at += punctuation.len();
                return TokenKind::Punct(punctuation);
            }
        }
        self.at += first.len_utf8();
        TokenKind::Invalid("unexpected character")
    }

    fn digits(&mut self) {
        let rest = self.rest();
        self.at += rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    }

    fn number(&mut self) -> TokenKind {
        let start = self.at;
        if let Some(hex) = self.rest().strip_prefix("0x").or_else(|| self.rest().strip_prefix("0X")) {
            let length = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
            let value = u64::from_str_radix(&hex[..length], 16);
            self.at += 2 + length;
            return match value {
                Ok(value) => TokenKind::Long(value.cast_signed()),
                Err(_) => TokenKind::Invalid("this number does not fit a long"),
            };
        }
        self.digits();
        let mut real = false;
        let mut after = self.rest().chars();
        if after.next() == Some('.') {
            let next = after.next();
            if next.is_some_and(|c| c.is_ascii_digit()) {
                real = true;
                self.at += 1;
                self.digits();
            } else if next != Some('.') && !next.is_some_and(is_name_start) {
                real = true;
                self.at += 1;
            }
        }
        let exponent =
            self.rest().strip_prefix(['e', 'E']).map(|rest| rest.strip_prefix(['+', '-']).unwrap_or(rest));
        if let Some(exponent) = exponent
            && exponent.starts_with(|c: char| c.is_ascii_digit())
        {
            real = true;
            self.at = self.source.len() - exponent.len();
            self.digits();
        }
        let text = &self.source[start..self.at];
        let suffix_length = self.rest().find(|c| !is_name_part(c)).unwrap_or(self.rest().len());
        if suffix_length > 0 {
            let suffix = &self.rest()[..suffix_length];
            let unit = unit_ticks(suffix);
            let number = text.parse::<f64>();
            self.at += suffix_length;
            return match (unit, number) {
                (Some(unit), Ok(number)) => {
                    match text.parse::<i64>().ok().and_then(|n| n.checked_mul(unit)) {
                        Some(ticks) => TokenKind::Timespan(ticks),
                        None => match time::ticks_from_f64(number * unit as f64) {
                            Some(ticks) => TokenKind::Timespan(ticks),
                            None => TokenKind::Invalid("this timespan is too long"),
                        },
                    }
                }
                // A name may begin with a digit, where what follows makes no number of it.
                _ if self.source[start..self.at].chars().all(is_name_part) => {
                    TokenKind::Name(self.source[start..self.at].to_owned())
                }
                _ => TokenKind::Invalid("a number cannot be followed by letters"),
            };
        }
        if real {
            return match text.parse() {
                Ok(value) => TokenKind::Real(value),
                Err(_) => TokenKind::Invalid("not a number"),
            };
        }
        match text.parse() {
            Ok(value) => TokenKind::Long(value),
            Err(_) => TokenKind::Invalid("this number does not fit a long"),
        }
    }

    fn string(&mut self) -> TokenKind {
        let quote = self.peek().unwrap_or('"');
        self.at += quote.len_utf8();
        let mut text = String::new();
        let mut problem = None;
        loop {
            let Some(c) = self.peek() else { return TokenKind::Invalid("this string is not closed") };
            if c == '\n' || c == '\r' {
                return TokenKind::Invalid("this string is not closed before the end of its line");
            }
            self.at += c.len_utf8();
            if c == quote {
                return problem.map_or(TokenKind::String(text), TokenKind::Invalid);
            }
            if c != '\\' {
                text.push(c);
                continue;
            }
            let Some(escaped) = self.peek() else { return TokenKind::Invalid("this string is not closed") };
            self.at += escaped.len_utf8();
            match self.escape(escaped) {
                Some(c) => text.push(c),
                None => {
                    problem = Some(
                        "this string holds an escape that KQL does not know; write @\"…\" to take \\ as it is",
                    )
                }
            }
        }
    }

    /// The character that `\` and what follows it stand for.
    fn escape(&mut self, escaped: char) -> Option<char> {
        Some(match escaped {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            '\\' | '"' | '\'' => escaped,
            'x' => return self.hex_escape(2),
            'u' => {
                let high = self.hex_number(4)?;
                if !(0xd800..0xdc00).contains(&high) {
                    return char::from_u32(high);
                }
                // A character beyond the first plane is written as two escapes.
                self.at += self.rest().strip_prefix("\\u").map(|_| 2)?;
                let low = self.hex_number(4)?;
                return char::from_u32(0x10000 + ((high - 0xd800) << 10) + low.checked_sub(0xdc00)?);
            }
            'U' => return self.hex_escape(8),
            '0'..='7' => {
                let rest = self.rest();
                let length = rest.find(|c: char| !('0'..='7').contains(&c)).unwrap_or(rest.len()).min(2);
                let number = u32::from_str_radix(&format!("{escaped}{}", &rest[..length]), 8).ok()?;
                self.at += length;
                return char::from_u32(number);
            }
            _ => return None,
        })
    }

    fn hex_escape(&mut self, length: usize) -> Option<char> {
        char::from_u32(self.hex_number(length)?)
    }

    fn hex_number(&mut self, length: usize) -> Option<u32> {
        let digits = self.rest().get(..length)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let number = u32::from_str_radix(digits, 16).ok()?;
        self.at += length;
        Some(number)
    }

    fn verbatim_string(&mut self) -> TokenKind {
        let quote = self.peek().unwrap_or('"');
        self.at += quote.len_utf8();
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let Some(end) = rest.find(quote) else {
                self.at = self.source.len();
                return TokenKind::Invalid("this string is not closed");
            };
            text.push_str(&rest[..end]);
            let doubled = rest[end + 1..].starts_with(quote);
            self.at += end + 1;
            if !doubled {
                return TokenKind::String(text);
            }
            text.push(quote);
            self.at += 1;
        }
    }

    fn fenced_string(&mut self, fence: &str) -> TokenKind {
        self.at += fence.len();
        let rest = self.rest();
        match rest.find(fence) {
            Some(end) => {
                let text = rest[..end].to_owned();
                self.at += end + fence.len();
                TokenKind::String(text)
            }
            None => {
                self.at = self.source.len();
                TokenKind::Invalid("this multi-line string is not closed")
            }
        }
    }
}

pub(crate) fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c == '$'
}

pub(crate) fn is_name_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Ticks in one of a timespan literal's units.
fn unit_ticks(unit: &str) -> Option<i64> {
    Some(match unit {
        "tick" | "ticks" => 1,
        "microsecond" | "microseconds" | "micro" | "micros" => TICKS_PER_MICROSECOND,
        "ms" | "millisecond" | "milliseconds" | "milli" | "millis" => TICKS_PER_MILLISECOND,
        "s" | "sec" | "secs" | "second" | "seconds" => TICKS_PER_SECOND,
        "m" | "min" | "mins" | "minute" | "minutes" => 60 * TICKS_PER_SECOND,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600 * TICKS_PER_SECOND,
        "d" | "day" | "days" => 86_400 * TICKS_PER_SECOND,
        _ => return None,
    })
}
