//! What is wrong with a query, said so that the reader can mend it.

use std::fmt;

/// A stretch of the query's text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// From `start` up to, not including, `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Span { start, end }
    }

    /// From the start of this one to the end of the other.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// One fault, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong.
    pub message: String,
    /// Where in the query.
    pub span: Span,
    /// What might be meant instead.
    pub help: Option<String>,
    /// Whether something that the query names is not there, which a fuzzy union lets pass.
    pub absent: bool,
}

impl Diagnostic {
    /// A fault at a place.
    pub fn new(span: Span, message: impl Into<String>) -> Self {
        Diagnostic { message: message.into(), span, help: None, absent: false }
    }

    /// Something that the query names is not there.
    pub fn absent(span: Span, message: impl Into<String>) -> Self {
        Diagnostic { absent: true, ..Diagnostic::new(span, message) }
    }

    /// The same with advice.
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same with "did you mean", if one of the candidates is close to what was written.
    pub fn did_you_mean<'a>(self, written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        match closest(written, candidates) {
            Some(candidate) => self.with_help(format!("did you mean `{candidate}`?")),
            None => self,
        }
    }
}

/// The candidate nearest to what was written, where one is near enough to be a slip.
fn closest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = written.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().min(written.len()) / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

/// The faults of one query together with its text, so that they print with line, column and caret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    source: String,
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// The faults found in a query's text.
    pub fn new(source: impl Into<String>, list: Vec<Diagnostic>) -> Self {
        Diagnostics { source: source.into(), list }
    }

    /// The faults, in the order they were found.
    pub fn list(&self) -> &[Diagnostic] {
        &self.list
    }

    /// Line and column of a byte of the query, both from 1, the column in characters.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let mut offset = offset.min(self.source.len());
        while !self.source.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &self.source[..offset];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// The widest stretch of a source line that is shown; longer lines are cut around the fault.
const SHOWN_WIDTH: usize = 160;

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.list.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let (line, column) = self.position(diagnostic.span.start);
            writeln!(f, "{} (line {line}, column {column})", diagnostic.message)?;
            let text = self.source.lines().nth(line - 1).unwrap_or("");
            let from = if column > SHOWN_WIDTH { column - SHOWN_WIDTH / 2 } else { 0 };
            let shown: String = text
                .chars()
                .skip(from)
                .take(SHOWN_WIDTH)
                // A query may hold anything; what would move the cursor must not reach a terminal.
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect();
            let number = line.to_string();
            let length = self.source.get(diagnostic.span.start..diagnostic.span.end).map_or(1, |covered| {
                covered.lines().next().unwrap_or("").chars().count().clamp(1, SHOWN_WIDTH)
            });
            writeln!(f, " {number} | {shown}")?;
            let pad = " ".repeat(number.len());
            write!(f, " {pad} | {}{}", " ".repeat(column - 1 - from), "^".repeat(length))?;
            if let Some(help) = &diagnostic.help {
                write!(f, "\n {pad} = {help}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
