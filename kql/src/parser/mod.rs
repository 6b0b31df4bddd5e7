//! From tokens to the syntax tree.
//!
//! A recursive descent with one token of look-ahead, and a little more where KQL needs it. After a fault it skips to
//! the next `|` or `;` and goes on, so that one run reports all faults of a query.

mod expression;
mod literal;
mod names;
mod operator;
mod source;

pub use names::OPERATORS;

use crate::ast::{
    Body, Expr, ExprKind, Name, Parameter, ParameterType, PatternCase, Query, Setting, Statement,
};
use crate::diagnostics::{Diagnostic, Diagnostics, Span};
use crate::lexer::{Token, TokenKind, tokenize};
use crate::types::KqlType;

/// The longest query text that is read.
pub const MAX_QUERY_BYTES: usize = 1 << 20;
/// The deepest nesting of expressions that is read. Every later stage recurses over the tree, so this bounds them all.
pub const MAX_DEPTH: usize = 96;
/// Faults reported before the parser gives up.
const MAX_FAULTS: usize = 20;

/// Words that are not names unless in brackets and quotes.
const RESERVED: &[&str] = &[
    "and",
    "asc",
    "between",
    "boolean",
    "date",
    "datetime",
    "decimal",
    "desc",
    "double",
    "dynamic",
    "endswith",
    "false",
    "first",
    "flags",
    "float",
    "hasprefix",
    "int",
    "int32",
    "int64",
    "isfuzzy",
    "kind",
    "last",
    "like",
    "long",
    "nooptimization",
    "notcontains",
    "notlike",
    "or",
    "project",
    "real",
    "startswith",
    "string",
    "time",
    "timespan",
    "true",
    "uint32",
    "union",
    "uniqueid",
];

/// Whether a word is a name only in brackets and quotes.
pub(crate) fn is_reserved(word: &str) -> bool {
    RESERVED.binary_search(&word).is_ok()
}

/// Reads a query.
pub fn parse(query: &str) -> Result<Query, Diagnostics> {
    if query.len() > MAX_QUERY_BYTES {
        let fault = Diagnostic::new(
            Span::default(),
            format!("the query has {} bytes; at most {MAX_QUERY_BYTES} are read", query.len()),
        );
        return Err(Diagnostics::new("", vec![fault]));
    }
    let tokens = tokenize(query);
    let mut parser = Parser {
        source: query,
        tokens,
        at: 0,
        depth: 0,
        hints: Vec::new(),
        faults: Vec::new(),
        searching: false,
    };
    let parsed = parser.query();
    if parser.faults.is_empty() { Ok(parsed) } else { Err(Diagnostics::new(query, parser.faults)) }
}

/// A fault that the parser has already noted; the caller has only to find a place to go on.
#[derive(Debug)]
struct Fault;

type Parsed<T> = Result<T, Fault>;

struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    /// The hints of the operator that is being read.
    hints: Vec<Setting>,
    faults: Vec<Diagnostic>,
    /// Whether a condition of `search` is being read, in which `:` is an operator.
    searching: bool,
}

impl Parser<'_> {
    // ---- tokens ----

    fn token(&self) -> &Token {
        self.ahead(0)
    }

    fn ahead(&self, distance: usize) -> &Token {
        // The list ends with `End`, and `at` never passes it.
        &self.tokens[(self.at + distance).min(self.tokens.len() - 1)]
    }

    fn span(&self) -> Span {
        self.token().span
    }

    /// The end of the token before this one.
    fn last_end(&self) -> usize {
        self.at.checked_sub(1).map_or(0, |at| self.tokens[at].span.end)
    }

    fn since(&self, start: Span) -> Span {
        Span::new(start.start, self.last_end().max(start.start))
    }

    fn advance(&mut self) -> Token {
        let token = self.token().clone();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    fn is(&self, punct: &str) -> bool {
        self.is_ahead(0, punct)
    }

    fn is_ahead(&self, distance: usize, punct: &str) -> bool {
        matches!(self.ahead(distance).kind, TokenKind::Punct(found) if found == punct)
    }

    fn is_word(&self, word: &str) -> bool {
        self.is_word_ahead(0, word)
    }

    fn is_word_ahead(&self, distance: usize, word: &str) -> bool {
        matches!(&self.ahead(distance).kind, TokenKind::Name(found) if found == word)
    }

    fn word(&self) -> Option<&str> {
        match &self.token().kind {
            TokenKind::Name(name) => Some(name),
            _ => None,
        }
    }

    fn take(&mut self, punct: &str) -> bool {
        let found = self.is(punct);
        if found {
            self.advance();
        }
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, punct: &'static str) -> Parsed<Span> {
        if self.is(punct) { Ok(self.advance().span) } else { Err(self.unexpected(&format!("`{punct}`"))) }
    }

    fn expect_word(&mut self, word: &str) -> Parsed<Span> {
        if self.is_word(word) { Ok(self.advance().span) } else { Err(self.unexpected(&format!("`{word}`"))) }
    }

    /// Whether a token touches the one before it, as in `project-away`.
    fn touches(&self, distance: usize) -> bool {
        distance + self.at > 0 && {
            let before = &self.tokens[(self.at + distance - 1).min(self.tokens.len() - 1)];
            before.span.end == self.ahead(distance).span.start
        }
    }

    /// Whether the pipe that is being read ends here.
    fn at_pipe_end(&self) -> bool {
        matches!(self.token().kind, TokenKind::End | TokenKind::Punct("|" | ";" | ")" | "}"))
    }

    // ---- faults ----

    fn fault(&mut self, diagnostic: Diagnostic) -> Fault {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(diagnostic);
        }
        Fault
    }

    fn unexpected(&mut self, expected: &str) -> Fault {
        let token = self.token().clone();
        let found = match &token.kind {
            TokenKind::Invalid(problem) => return self.fault(Diagnostic::new(token.span, *problem)),
            TokenKind::End => "the end of the query".to_owned(),
            _ => format!(
                "`{}`",
                self.source[token.span.start..token.span.end].chars().take(40).collect::<String>()
            ),
        };
        let after = match self.at.checked_sub(1).map(|at| self.tokens[at].span) {
            Some(span) => {
                format!(" after `{}`", self.source[span.start..span.end].chars().take(40).collect::<String>())
            }
            None => String::new(),
        };
        self.fault(Diagnostic::new(token.span, format!("expected {expected}{after}, found {found}")))
    }

    /// Skips to where the next operator or statement may begin, over anything bracketed on the way.
    fn recover(&mut self) {
        let mut open = 0_usize;
        loop {
            match self.token().kind {
                TokenKind::End => return,
                TokenKind::Punct("(" | "[" | "{") => open += 1,
                TokenKind::Punct("|" | ";") if open == 0 => return,
                TokenKind::Punct(")" | "]" | "}") => {
                    if open == 0 {
                        return;
                    }
                    open -= 1;
                }
                _ => {}
            }
            self.advance();
        }
    }

    /// Runs a rule one level deeper, or reports that the query is nested too deeply.
    fn nested<T>(&mut self, rule: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_DEPTH {
            let span = self.span();
            // Nothing after this can be read with any sense.
            self.at = self.tokens.len() - 1;
            return Err(
                self.fault(Diagnostic::new(span, format!("nested more than {MAX_DEPTH} levels deep")))
            );
        }
        self.depth += 1;
        let result = rule(self);
        self.depth -= 1;
        result
    }

    // ---- statements ----

    fn query(&mut self) -> Query {
        let mut statements = Vec::new();
        while self.token().kind != TokenKind::End && self.faults.len() < MAX_FAULTS {
            match self.statement() {
                Ok(statement) => statements.push(statement),
                Err(Fault) => self.recover(),
            }
            if !matches!(self.token().kind, TokenKind::End | TokenKind::Punct(";")) {
                if self.faults.is_empty() {
                    self.unexpected("`;`, `|` or the end of the query");
                }
                self.recover();
                // What stopped the recovery may be a bracket that nothing opened.
                if !matches!(self.token().kind, TokenKind::End | TokenKind::Punct(";")) {
                    self.advance();
                }
            }
            self.take(";");
        }
        if statements.is_empty() && self.faults.is_empty() {
            self.fault(Diagnostic::new(Span::default(), "the query is empty"));
        }
        Query { statements }
    }

    fn statement(&mut self) -> Parsed<Statement> {
        let names_follow = matches!(self.ahead(1).kind, TokenKind::Name(_) | TokenKind::Punct("["));
        match self.word() {
            Some("let") if names_follow => self.let_statement(),
            Some("set") if names_follow => {
                self.advance();
                let name = self.name("an option's name")?;
                let value = if self.take("=") { Some(self.expression()?) } else { None };
                Ok(Statement::Set { name, value })
            }
            Some("declare") if self.is_word_ahead(1, "query_parameters") => {
                self.advance();
                self.advance();
                Ok(Statement::Parameters(self.parameters()?))
            }
            Some("declare") if self.is_word_ahead(1, "pattern") => self.pattern(),
            Some("alias" | "restrict") if names_follow => {
                let start = self.span();
                self.recover();
                let span = self.since(start);
                Ok(Statement::Ignored { text: self.source[span.start..span.end].to_owned(), span })
            }
            _ => Ok(Statement::Expression(self.pipe()?)),
        }
    }

    fn let_statement(&mut self) -> Parsed<Statement> {
        self.advance();
        let name = self.name("a name")?;
        self.expect("=")?;
        let value = self.let_value()?;
        Ok(Statement::Let { name, value })
    }

    fn let_value(&mut self) -> Parsed<Expr> {
        let view = self.is_word("view") && self.is_ahead(1, "(");
        if view || (self.is("(") && self.lambda_ahead()) {
            return self.nested(|parser| parser.lambda(view));
        }
        self.pipe()
    }

    /// Whether the bracket here closes before a `{`: then it holds the parameters of a function.
    fn lambda_ahead(&self) -> bool {
        let mut open = 0_usize;
        for distance in 0.. {
            match self.ahead(distance).kind {
                TokenKind::End => return false,
                TokenKind::Punct("(") => open += 1,
                TokenKind::Punct(")") => {
                    open -= 1;
                    if open == 0 {
                        return self.is_ahead(distance + 1, "{");
                    }
                }
                _ => {}
            }
        }
        false
    }

    fn lambda(&mut self, view: bool) -> Parsed<Expr> {
        let start = self.span();
        if view {
            self.advance();
        }
        let params = self.parameters()?;
        let body = self.body()?;
        let lambda = crate::ast::Lambda { view, params, body };
        Ok(Expr { kind: ExprKind::Lambda(Box::new(lambda)), span: self.since(start) })
    }

    fn body(&mut self) -> Parsed<Body> {
        self.expect("{")?;
        let mut statements = Vec::new();
        let mut result = None;
        while !self.is("}") {
            if self.take(";") {
                continue;
            }
            match self.statement()? {
                Statement::Expression(expr) => {
                    if result.replace(Box::new(expr)).is_some() {
                        return Err(self.unexpected("one result in a function"));
                    }
                }
                statement => statements.push(statement),
            }
            if !self.is("}") && !self.is(";") {
                return Err(self.unexpected("`;` or `}`"));
            }
        }
        self.advance();
        Ok(Body { statements, result })
    }

    fn parameters(&mut self) -> Parsed<Vec<Parameter>> {
        self.expect("(")?;
        let mut params = Vec::new();
        while !self.take(")") {
            params.push(self.parameter()?);
            if !self.is(")") {
                self.expect(",")?;
            }
        }
        Ok(params)
    }

    fn parameter(&mut self) -> Parsed<Parameter> {
        let name = self.name("a parameter's name")?;
        let kind = if self.take(":") {
            if self.is("(") {
                self.advance();
                if self.take("*") {
                    self.expect(")")?;
                    ParameterType::Table(Vec::new())
                } else {
                    ParameterType::Table(self.columns_until(")")?)
                }
            } else {
                ParameterType::Scalar(self.type_name()?)
            }
        } else {
            ParameterType::Scalar(KqlType::String)
        };
        let default = if self.take("=") { Some(self.expression()?) } else { None };
        Ok(Parameter { name, kind, default })
    }

    fn pattern(&mut self) -> Parsed<Statement> {
        self.advance();
        self.advance();
        let name = self.name("the pattern's name")?;
        let mut params = Vec::new();
        let mut path = None;
        let mut cases = Vec::new();
        if self.take("=") {
            params = self.parameters()?;
            if self.take("[") {
                if !self.is("]") {
                    path = Some(self.parameter()?);
                }
                self.expect("]")?;
            }
            self.expect("{")?;
            while !self.take("}") {
                self.expect("(")?;
                let values = self.expressions_until(")")?;
                let mut case_path = None;
                if self.take(".") {
                    self.expect("[")?;
                    case_path = Some(self.expression()?);
                    self.expect("]")?;
                }
                self.expect("=")?;
                let body = self.body()?;
                cases.push(PatternCase { values, path: case_path, body });
                self.take(";");
            }
        }
        Ok(Statement::Pattern { name, params, path, cases })
    }

    // ---- names, types, settings ----

    /// A plain name, or one in brackets and quotes.
    fn name(&mut self, what: &str) -> Parsed<Name> {
        if let TokenKind::Name(text) = &self.token().kind {
            let text = text.clone();
            let span = self.advance().span;
            return Ok(Name { text, span });
        }
        if let (TokenKind::Punct("["), TokenKind::String(text)) = (&self.token().kind, &self.ahead(1).kind) {
            let text = text.clone();
            let start = self.advance().span;
            self.advance();
            self.expect("]")?;
            return Ok(Name { text, span: self.since(start) });
        }
        Err(self.unexpected(what))
    }

    /// The name of something that the query makes: not a keyword, unless in brackets and quotes.
    fn new_name(&mut self, what: &str) -> Parsed<Name> {
        if let Some(word) = self.word()
            && is_reserved(word)
        {
            let message = format!("`{word}` is a keyword; as a name it is written ['{word}']");
            let fault = Diagnostic::new(self.span(), message);
            return Err(self.fault(fault));
        }
        self.name(what)
    }

    /// Whether a name and `=` stand here: then a value is being named.
    fn name_and_equals(&self) -> bool {
        match self.token().kind {
            TokenKind::Name(_) => self.is_ahead(1, "="),
            TokenKind::Punct("[") => {
                matches!(self.ahead(1).kind, TokenKind::String(_))
                    && self.is_ahead(2, "]")
                    && self.is_ahead(3, "=")
            }
            _ => false,
        }
    }

    fn type_name(&mut self) -> Parsed<KqlType> {
        let kind = self.word().and_then(KqlType::from_name);
        match kind {
            Some(kind) => {
                self.advance();
                Ok(kind)
            }
            None => Err(self.unexpected("a type")),
        }
    }

    /// `name:type, …` up to a closing bracket, which is taken.
    fn columns_until(&mut self, close: &'static str) -> Parsed<Vec<(Name, KqlType)>> {
        let mut columns = Vec::new();
        while !self.take(close) {
            let name = self.new_name("a column's name")?;
            self.expect(":")?;
            columns.push((name, self.type_name()?));
            if !self.is(close) {
                self.expect(",")?;
            }
        }
        Ok(columns)
    }

    /// `name=value` pairs, as after `join` or `union`; the names in `known` and all `hint.…` are settings.
    fn settings(&mut self, known: &[&str]) -> Parsed<Vec<Setting>> {
        let mut settings = Vec::new();
        while let Some(setting) = self.setting(known)? {
            settings.push(setting);
        }
        Ok(settings)
    }

    fn setting(&mut self, known: &[&str]) -> Parsed<Option<Setting>> {
        let Some(word) = self.word() else { return Ok(None) };
        let hint = word == "hint" && self.is_ahead(1, ".");
        if !(hint || known.contains(&word) && self.is_ahead(1, "=")) {
            return Ok(None);
        }
        let mut name = self.name("a setting")?;
        while self.take(".") {
            let part = self.name("a hint")?;
            name.text = format!("{}.{}", name.text, part.text);
            name.span = name.span.to(part.span);
        }
        self.expect("=")?;
        let value = self.setting_value()?;
        Ok(Some(Setting { name, value }))
    }

    /// A literal or a name; nothing that could run into what follows.
    fn setting_value(&mut self) -> Parsed<Expr> {
        let start = self.span();
        // In `join kind=inner (T)` the bracket begins the table; only the name of a type goes on with it.
        let literal = self.word().is_some_and(|word| crate::types::KqlType::from_name(word).is_some());
        if matches!(self.token().kind, TokenKind::Name(_)) && !(literal && self.is_ahead(1, "(")) {
            let text = self.name("a value")?.text;
            return Ok(Expr { kind: ExprKind::Name(text), span: self.since(start) });
        }
        self.unary()
    }
}
