//! What the tree does not say and the text does: comments, brackets, and how words are spelled.

use crate::diagnostics::Span;
use crate::lexer::{Token, TokenKind, tokenize_with_comments};
use crate::types::KqlType;

/// A comment of the text.
#[derive(Debug, Clone)]
pub(super) struct Comment<'a> {
    /// With its slashes, without blanks at the end.
    pub(super) text: &'a str,
    pub(super) span: Span,
    /// Whether nothing stands before it on its line.
    pub(super) own_line: bool,
}

/// The text of the query that is printed.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) text: &'a str,
    pub(super) tokens: Vec<Token>,
    pub(super) comments: Vec<Comment<'a>>,
    /// For each opening bracket the place of its partner among the tokens; for all others their own.
    partner: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let (tokens, spans) = tokenize_with_comments(text);
        let mut line_start = 0;
        let mut comments = Vec::with_capacity(spans.len());
        let mut read = 0;
        for span in spans {
            if let Some(newline) = text[read..span.start].rfind('\n') {
                line_start = read + newline + 1;
            }
            read = span.start;
            let own_line = text[line_start..span.start].chars().all(is_blank);
            comments.push(Comment { text: text[span.start..span.end].trim_end(), span, own_line });
        }
        let mut partner: Vec<usize> = (0..tokens.len()).collect();
        let mut open = Vec::new();
        for (index, token) in tokens.iter().enumerate() {
            match token.kind {
                TokenKind::Punct("(" | "[" | "{") => open.push(index),
                TokenKind::Punct(")" | "]" | "}") => {
                    if let Some(start) = open.pop() {
                        partner[start] = index;
                    }
                }
                _ => {}
            }
        }
        Source { text, tokens, comments, partner }
    }

    /// The first token at or after a place.
    pub(super) fn token_at(&self, place: usize) -> usize {
        self.tokens.partition_point(|token| token.span.start < place)
    }

    pub(super) fn slice(&self, span: Span) -> &'a str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// Whether one pair of brackets encloses all of it.
    pub(super) fn in_brackets(&self, span: Span) -> bool {
        let first = self.token_at(span.start);
        self.tokens.get(first).is_some_and(|token| {
            token.kind == TokenKind::Punct("(")
                && self.tokens[self.partner[first]].span.end == span.end
                && self.partner[first] > first
        })
    }

    /// The tokens without the brackets that enclose them all.
    pub(super) fn within_brackets(&self, span: Span) -> &[Token] {
        let mut first = self.token_at(span.start);
        let mut end = self.token_at(span.end);
        while end > first + 1
            && self.tokens[first].kind == TokenKind::Punct("(")
            && self.partner[first] + 1 == end
        {
            first += 1;
            end -= 1;
        }
        &self.tokens[first..end.max(first)]
    }

    /// The text between two places, without blanks and comments between its tokens.
    pub(super) fn between(&self, start: usize, end: usize) -> String {
        let mut text = String::new();
        let mut last_word = false;
        for token in &self.tokens[self.token_at(start)..self.token_at(end)] {
            let word = !matches!(token.kind, TokenKind::Punct(_));
            if word && last_word {
                text.push(' ');
            }
            text.push_str(self.slice(token.span));
            last_word = word;
        }
        text
    }

    /// How the type is spelled that stands within a few tokens after a place.
    pub(super) fn type_after(&self, place: usize, kind: KqlType) -> Option<&'a str> {
        let first = self.token_at(place);
        self.tokens.iter().skip(first).take(4).find_map(|token| match &token.kind {
            TokenKind::Name(name) if KqlType::from_name(name) == Some(kind) => Some(self.slice(token.span)),
            _ => None,
        })
    }

    /// Whether the first token at or after a place is this one.
    pub(super) fn follows(&self, place: usize, text: &str) -> bool {
        self.tokens.get(self.token_at(place)).is_some_and(|token| self.slice(token.span) == text)
    }

    /// Whether the last token before a place is this one.
    pub(super) fn precedes(&self, place: usize, text: &str) -> bool {
        let before = self.token_at(place).checked_sub(1);
        before.is_some_and(|before| self.slice(self.tokens[before].span) == text)
    }

    /// Whether an empty line stands before a place, or before the `|` there.
    pub(super) fn blank_before(&self, place: usize) -> bool {
        let before = self.text.get(..place).unwrap_or_default();
        let gap = before.len() - before.trim_end_matches(|c| is_blank(c) || c == '|').len();
        before[before.len() - gap..].split('|').any(|part| part.matches('\n').count() > 1)
    }
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '\u{feff}' || c == '\u{200b}'
}
