//! What may be typed at a place in a query, for prompts and editors.

use crate::lexer::{TokenKind, tokenize};

/// The end of a text that is being typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Where the word begins that is being typed, in bytes; the text's end where none is.
    pub word: usize,
    /// What the place takes.
    pub place: Place,
}

/// What a place in a query takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A table, or the first word of a statement.
    Source,
    /// An operator, after `|`.
    Operator,
    /// A column, or a function.
    Expression {
        /// The query whose columns are in scope, with the `let` statements before it. Empty where there is none.
        input: String,
    },
    /// Inside a string or a comment: nothing.
    Nothing,
}

/// Operators whose bracket holds a query.
const TAKING_QUERIES: [&str; 6] = ["facet", "fork", "join", "lookup", "partition", "union"];
/// Functions whose bracket holds a query.
const OF_QUERIES: [&str; 3] = ["materialize", "toscalar", "view"];

/// One level of brackets.
struct Level {
    /// Where its text begins.
    start: usize,
    /// Where its last `|` stands.
    pipe: Option<usize>,
    /// The operator after that, or the name it begins with.
    head: Option<String>,
    /// Whether a query stands in these brackets.
    query: bool,
}

impl Level {
    fn at(start: usize, query: bool) -> Self {
        Self { start, pipe: None, head: None, query }
    }
}

/// What the text's end takes; linear in the text.
pub fn cursor(text: &str) -> Cursor {
    let typed = text.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_');
    let (word, before) = (typed.len(), typed);
    if ends_inside_text(before) {
        return Cursor { word: text.len(), place: Place::Nothing };
    }
    let mut levels = vec![Level::at(0, true)];
    // `let` statements end with `;`, and stay in scope.
    let mut statement = 0;
    let mut last = None;
    for token in tokenize(before) {
        let Some(level) = levels.last_mut() else { break };
        match &token.kind {
            TokenKind::End => break,
            TokenKind::Punct("(" | "[" | "{") => {
                let is = |names: &[&str], name: &Option<String>| {
                    name.as_deref().is_some_and(|name| names.contains(&name))
                };
                let called = match &last {
                    Some(TokenKind::Name(name)) => Some(name.clone()),
                    _ => None,
                };
                let query = token.kind == TokenKind::Punct("{")
                    || is(&OF_QUERIES, &called)
                    || (level.pipe.is_some() || level.query) && is(&TAKING_QUERIES, &level.head);
                levels.push(Level::at(token.span.end, query));
            }
            // The outermost level stays.
            TokenKind::Punct(")" | "]" | "}") => levels.truncate(levels.len().max(2) - 1),
            TokenKind::Punct("|") => (level.pipe, level.head) = (Some(token.span.start), None),
            TokenKind::Punct(";") => {
                *level = Level::at(token.span.end, true);
                if levels.len() == 1 {
                    statement = token.span.end;
                }
            }
            TokenKind::Name(name) if level.head.is_none() => level.head = Some(name.clone()),
            _ => {}
        }
        last = Some(token.kind);
    }
    let after =
        |kinds: &[&'static str]| matches!(&last, Some(TokenKind::Punct(last)) if kinds.contains(last));
    let in_query = levels.last().is_some_and(|level| level.query && level.head.is_none());
    let place = match &last {
        _ if after(&["|"]) => Place::Operator,
        _ if in_query || last.is_none() => Place::Source,
        // `let name =` takes a table as well as a value; a table is the longer word.
        _ if after(&["="]) && levels.len() == 1 && levels[0].pipe.is_none() => Place::Source,
        _ => {
            let lets = &before[..statement];
            let piped = levels.iter().rev().find_map(|level| Some((level.start, level.pipe?)));
            let input = piped.map(|(start, pipe)| {
                let start = if start < statement { statement } else { start };
                format!("{lets}{}", unbound(before[start..pipe].trim()))
            });
            Place::Expression { input: input.unwrap_or_default() }
        }
    };
    Cursor { word, place }
}

/// The query in `let name = query`.
fn unbound(statement: &str) -> &str {
    let rest = statement.strip_prefix("let").filter(|rest| rest.starts_with(char::is_whitespace));
    rest.and_then(|rest| rest.split_once('=')).map_or(statement, |(_, query)| query.trim_start())
}

/// Whether a string or a comment has begun and not ended.
fn ends_inside_text(text: &str) -> bool {
    let tokens = tokenize(text);
    let open = tokens.iter().any(|token| {
        let starts = text[token.span.start..].starts_with(['"', '\'', '`', '~', '@', 'h', 'H']);
        matches!(token.kind, TokenKind::Invalid(_)) && starts
    });
    // A comment is no token: it lies between the last one and the end of its line.
    let end =
        tokens.iter().rev().find(|token| token.kind != TokenKind::End).map_or(0, |token| token.span.end);
    open || text[end..].rsplit('\n').next().is_some_and(|line| line.contains("//"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(query: &str) -> Place {
        Place::Expression { input: query.to_owned() }
    }

    #[test]
    fn the_place_decides_what_may_be_typed() {
        for (text, place) in [
            ("", Place::Source),
            ("Sign", Place::Source),
            ("let x = 1; ", Place::Source),
            ("let x = T", Place::Source),
            ("T | ", Place::Operator),
            ("T | whe", Place::Operator),
            ("T | where ", input("T")),
            ("T | where a > 1 | summarize count() by ", input("T | where a > 1")),
            ("T | where tolower(", input("T")),
            ("T | where a in (", input("T")),
            ("T | join kind=inner (", Place::Source),
            ("T | join kind=inner (U", Place::Source),
            ("T | join kind=inner (U | where ", input("U")),
            ("T | join (U | where x) on ", input("T")),
            ("T | union ", input("T")),
            ("union (", Place::Source),
            ("let x = 5; T | extend y = ", input("let x = 5;T")),
            ("let f = T | where ", input("T")),
            ("let f = () { T | where ", input("T")),
            ("let y = toscalar(T | summarize ", input("T")),
            ("T | where a == 'b | ", Place::Nothing),
            ("T | where a == \"", Place::Nothing),
            ("T // | ", Place::Nothing),
            ("T // x\n| ", Place::Operator),
            ("T | where a == 'x|y' and ", input("T")),
            ("T | where url == 'http://a' and ", input("T")),
        ] {
            assert_eq!(cursor(text).place, place, "{text}");
        }
    }

    #[test]
    fn the_word_under_way_is_what_a_choice_replaces() {
        assert_eq!(cursor("T | whe").word, 4);
        assert_eq!(cursor("T | where Événement").word, 10);
        assert_eq!(cursor("T | where 'abc").word, 14);
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_odd(text in ".*") {
            let cursor = cursor(&text);
            assert!(text.is_char_boundary(cursor.word));
        }
    }
}
