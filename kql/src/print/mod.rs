//! From the syntax tree back to text: canonical KQL, and queries laid out anew.

mod doc;
mod expression;
mod literal;
mod operator;
mod source;
mod statement;

use self::doc::Doc;
use self::source::Source;
use crate::ast::{ExpandColumn, Expr, ExprKind, Name, Named, Query, SortKey};
use crate::diagnostics::{Diagnostic, Diagnostics, Span};
use crate::lexer::{Token, TokenKind};
use crate::parser::parse;

/// Writes a query as canonical KQL: each operator on a line of its own, at most 100 characters a line where that is
/// possible, brackets only where they are needed.
///
/// Reading the text gives the query again, but for its spans. A tree that no text reads as, which only a program can make,
/// gives a text of some kind.
pub fn print_query(query: &Query) -> String {
    let mut text = Printer { source: None, next_comment: 0 }.query(query).render();
    text.push('\n');
    text
}

/// Why a query was not formatted.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The text is not KQL.
    #[error("{0}")]
    Syntax(Diagnostics),
    /// Something in the text has no place in the layout, and formatting would lose it. The text is left as it is.
    #[error("not formatted, for the query would not stay the same: {0}")]
    Unsafe(Diagnostics),
}

/// Lays a query out anew. Line breaks, blanks and commas are made regular; words, literals, brackets around expressions
/// and comments stay as they are written.
///
/// The result ends with a line break, and is the layout of itself. It says the same as the text did: it is read again, and
/// if tree, words or comments were not the same, the text is refused.
pub fn format_query(query: &str) -> Result<String, FormatError> {
    let mut text = lay_out(query)?;
    // A comment that has moved to the end of its line no longer breaks what it stood in, which may then fit on the line.
    for _ in 0..MAX_ROUNDS {
        let again = lay_out(&text)?;
        if again == text {
            return Ok(text);
        }
        text = again;
    }
    let message = "this has no lasting layout; put comments on lines of their own";
    Err(FormatError::Unsafe(Diagnostics::new(query, vec![Diagnostic::new(Span::default(), message)])))
}

/// How often a text is laid out before it has to stay as it is.
const MAX_ROUNDS: usize = 8;

fn lay_out(query: &str) -> Result<String, FormatError> {
    let parsed = parse(query).map_err(FormatError::Syntax)?;
    let source = Source::new(query);
    let mut text = Printer { source: Some(&source), next_comment: 0 }.query(&parsed).render();
    text.push('\n');
    let unsafe_at = |span, message: &str| {
        FormatError::Unsafe(Diagnostics::new(query, vec![Diagnostic::new(span, message)]))
    };
    let printed = Source::new(&text);
    if let Some(span) = first_lost(&source, &printed) {
        return Err(unsafe_at(span, "the formatter has no place for this"));
    }
    if let Some(span) = first_misplaced(&source, &printed) {
        return Err(unsafe_at(span, "this comment has no place; put it before the line it is about"));
    }
    match parse(&text) {
        Ok(again) if again.same_but_for_spans(&parsed) => Ok(text),
        _ => Err(unsafe_at(Span::default(), "the formatted query would be read as another one")),
    }
}

/// The first token that the printed text lacks, layout aside.
fn first_lost(source: &Source<'_>, printed: &Source<'_>) -> Option<Span> {
    fn is_word(token: &&Token) -> bool {
        !matches!(
            token.kind,
            TokenKind::Punct("(" | ")" | "{" | "}" | "," | ";" | "|" | ".") | TokenKind::End
        )
    }
    let mut kept = printed.tokens.iter().filter(is_word);
    for token in source.tokens.iter().filter(is_word) {
        if kept.next().is_none_or(|kept| printed.slice(kept.span) != source.slice(token.span)) {
            return Some(token.span);
        }
    }
    kept.next().map(|_| Span::new(source.text.len(), source.text.len()))
}

/// The first comment that the printed text lacks, or has elsewhere among the others.
fn first_misplaced(source: &Source<'_>, printed: &Source<'_>) -> Option<Span> {
    let mut kept = printed.comments.iter();
    let lost =
        source.comments.iter().find(|comment| kept.next().is_none_or(|kept| kept.text != comment.text));
    // One too many stands both in a literal, which is printed as it is written, and after it.
    let doubled = if kept.next().is_some() { source.comments.last() } else { None };
    lost.or(doubled).map(|comment| comment.span)
}

/// What may be no more than a name.
trait Plain {
    fn is_plain(&self) -> bool;
}

impl Plain for Expr {
    fn is_plain(&self) -> bool {
        matches!(self.kind, ExprKind::Name(_) | ExprKind::Wildcard(_) | ExprKind::Star)
    }
}

impl Plain for Named {
    fn is_plain(&self) -> bool {
        self.names.is_empty() && self.value.is_plain()
    }
}

impl Plain for SortKey {
    fn is_plain(&self) -> bool {
        self.value.is_plain()
    }
}

impl Plain for ExpandColumn {
    fn is_plain(&self) -> bool {
        self.name.is_none() && self.value.is_plain()
    }
}

impl<A: Plain, B> Plain for (A, B) {
    fn is_plain(&self) -> bool {
        self.0.is_plain()
    }
}

impl Plain for Name {
    /// A name here is given to a value.
    fn is_plain(&self) -> bool {
        false
    }
}

/// Makes the layout of a tree, in the order of the text.
struct Printer<'a> {
    /// The text that the tree was read from, where its spelling and its comments are to be kept.
    source: Option<&'a Source<'a>>,
    /// The first comment that is not in the layout yet.
    next_comment: usize,
}

impl<'a> Printer<'a> {
    /// The comments before a place: those that end the line so far, and those with lines of their own.
    fn comments(&mut self, place: usize) -> (Doc, Doc) {
        let Some(source) = self.source else { return (Doc::nil(), Doc::nil()) };
        let (mut trailing, mut own) = (Vec::new(), Vec::new());
        while let Some(comment) = source.comments.get(self.next_comment)
            && comment.span.start < place
        {
            self.next_comment += 1;
            if comment.own_line {
                if source.blank_before(comment.span.start) {
                    own.push(Doc::Blank);
                }
                own.push(Doc::Comment(comment.text.to_owned()));
            } else if own.is_empty() {
                trailing.push(Doc::Trailing(comment.text.to_owned()));
            } else {
                own.push(Doc::Trailing(comment.text.to_owned()));
            }
        }
        (Doc::Concat(trailing), Doc::Concat(own))
    }

    /// The comments before a place in the middle of a line.
    fn leading(&mut self, place: usize) -> Doc {
        let (trailing, own) = self.comments(place);
        if own.is_nil() { trailing } else { Doc::Concat(vec![trailing, own]) }
    }

    /// The comments after an opening bracket, which belong to what is in it.
    fn opening(&mut self, place: usize) -> Doc {
        let Some(source) = self.source else { return Doc::nil() };
        let mut own = Vec::new();
        while let Some(comment) = source.comments.get(self.next_comment)
            && comment.span.start < place
        {
            self.next_comment += 1;
            own.push(Doc::Comment(comment.text.to_owned()));
        }
        Doc::Concat(own)
    }

    /// An empty line, if the text has one before a place.
    fn blank(&self, place: usize) -> Doc {
        match self.source {
            Some(source) if source.blank_before(place) => Doc::Blank,
            _ => Doc::nil(),
        }
    }

    /// A name or literal as it is written, or else in its canonical spelling.
    fn word(&mut self, span: Span, canonical: impl FnOnce() -> String) -> Doc {
        let Some(source) = self.source else { return Doc::Text(canonical()) };
        let tokens = source.within_brackets(span);
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return Doc::nil() };
        let span = first.span.to(last.span);
        let leading = self.leading(span.start);
        let text = Doc::text(source.slice(span));
        if leading.is_nil() { text } else { Doc::Concat(vec![leading, text]) }
    }

    /// Items and the commas between them, each a line break or, with `fill`, as many on a line as fit.
    fn items<T>(
        &mut self,
        items: &[T],
        fill: bool,
        start: impl Fn(&T) -> usize,
        mut print: impl FnMut(&mut Self, &T) -> Doc,
    ) -> Doc {
        let mut parts = Vec::with_capacity(2 * items.len());
        for (index, item) in items.iter().enumerate() {
            if index == 0 {
                parts.push(self.opening(start(item)));
                parts.push(print(self, item));
                continue;
            }
            let (trailing, own) = self.comments(start(item));
            let item = Doc::Concat(vec![trailing, Doc::Line, own, print(self, item)]);
            parts.push(Doc::text(","));
            parts.push(if fill { Doc::group(item) } else { item });
        }
        Doc::Concat(parts)
    }

    /// A list in brackets that end at a place, with the comments after its last item.
    fn enclosed(&mut self, open: &str, list: Doc, close: &str, end: usize) -> Doc {
        let closing = self.leading(end);
        Doc::bracketed(open, Doc::Concat(vec![list, closing]), close)
    }

    /// A list after an operator's name: one item goes on with the line, several may have lines of their own. Of plain
    /// names as many as fit share a line.
    fn body<T: Plain>(
        &mut self,
        items: &[T],
        start: impl Fn(&T) -> usize,
        print: impl FnMut(&mut Self, &T) -> Doc,
    ) -> Doc {
        let list = self.items(items, items.iter().all(Plain::is_plain), start, print);
        match items.len() {
            0 => list,
            1 => Doc::Concat(vec![Doc::text(" "), list]),
            _ => Doc::indent(Doc::Concat(vec![Doc::Line, list])),
        }
    }

    /// A further part of an operator, which may have a line of its own.
    fn clause(&mut self, start: usize, content: impl FnOnce(&mut Self) -> Doc) -> Doc {
        let (trailing, own) = self.comments(start);
        Doc::indent(Doc::Concat(vec![trailing, Doc::Line, own, content(self)]))
    }

    /// `word a, b, c` as a further part of an operator.
    fn list_clause<T: Plain>(
        &mut self,
        word: &str,
        items: &[T],
        start: impl Fn(&T) -> usize,
        print: impl FnMut(&mut Self, &T) -> Doc,
    ) -> Doc {
        let Some(first) = items.first() else { return Doc::nil() };
        self.clause(start(first), |printer| {
            let list = printer.body(items, start, print);
            Doc::group(Doc::Concat(vec![Doc::text(word), list]))
        })
    }
}
