//! Statements, functions and their parameters.

use super::Printer;
use super::doc::Doc;
use super::expression::Level;
use crate::ast::{
    Body, Expr, ExprKind, Lambda, Name, Operator, Parameter, ParameterType, PatternCase, Query, Statement,
};
use crate::diagnostics::Span;
use crate::types::KqlType;

/// A statement, or the result of a function.
enum Part<'e> {
    Statement(&'e Statement),
    Result(&'e Expr),
}

impl Printer<'_> {
    pub(super) fn query(&mut self, query: &Query) -> Doc {
        let parts: Vec<Part<'_>> = query.statements.iter().map(Part::Statement).collect();
        self.parts(&parts, usize::MAX)
    }

    /// Statements, each on lines of its own, and the comments up to where they end.
    fn parts(&mut self, parts: &[Part<'_>], end: usize) -> Doc {
        let mut docs = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let start = match part {
                Part::Statement(statement) => start_of(statement),
                Part::Result(expr) => expr.span.start,
            };
            let (trailing, own) = self.comments(start);
            docs.push(trailing);
            if index > 0 {
                docs.push(Doc::HardLine);
            }
            let separate = index > 0 || !own.is_nil();
            docs.push(own);
            let last = index + 1 == parts.len();
            match *part {
                Part::Statement(Statement::Expression(expr)) | Part::Result(expr) => {
                    if separate {
                        docs.push(self.blank(expr.span.start));
                    }
                    docs.push(self.result(expr));
                    if !last {
                        docs.push(Doc::text(";"));
                    }
                }
                Part::Statement(statement) => {
                    if separate {
                        docs.push(self.blank_before_word(start));
                    }
                    docs.push(self.statement(statement));
                    docs.push(Doc::text(";"));
                }
            }
        }
        let (trailing, own) = self.comments(end);
        docs.push(trailing);
        if !own.is_nil() {
            docs.extend([Doc::HardLine, own]);
        }
        Doc::Concat(docs)
    }

    /// An empty line, if the text has one before the keyword that a statement's name follows.
    fn blank_before_word(&self, name: usize) -> Doc {
        let Some(source) = self.source else { return Doc::nil() };
        match source.token_at(name).checked_sub(1) {
            Some(keyword) => self.blank(source.tokens[keyword].span.start),
            None => Doc::nil(),
        }
    }

    fn statement(&mut self, statement: &Statement) -> Doc {
        match statement {
            Statement::Let { name, value } => {
                let name = self.name(name);
                let value = self.let_value(value);
                Doc::Concat(vec![Doc::text("let "), name, Doc::text(" = "), value])
            }
            Statement::Set { name, value } => {
                let mut parts = vec![Doc::text("set "), self.name(name)];
                if let Some(value) = value {
                    parts.extend([Doc::text(" = "), self.expr(value)]);
                }
                Doc::Concat(parts)
            }
            Statement::Parameters(params) => {
                let params = self.parameters(params);
                Doc::Concat(vec![Doc::text("declare query_parameters"), params])
            }
            Statement::Pattern { name, params, path, cases } => {
                self.pattern(name, params, path.as_ref(), cases)
            }
            Statement::Ignored { text, .. } => Doc::text(text),
            Statement::Expression(expr) => self.result(expr),
        }
    }

    fn let_value(&mut self, value: &Expr) -> Doc {
        match &value.kind {
            ExprKind::Pipe(source, operators) if !self.is_written_in_brackets(value.span) => {
                let source = self.pipe_source(source);
                let lines = self.pipe_lines(operators, &operator_break(operators));
                Doc::group(Doc::Concat(vec![source, Doc::indent(lines)]))
            }
            _ => self.operand(value, Level::Pipe),
        }
    }

    fn is_written_in_brackets(&self, span: Span) -> bool {
        self.source.is_some_and(|source| source.in_brackets(span))
    }

    /// What a query or a function gives: its operators always have lines of their own.
    fn result(&mut self, expr: &Expr) -> Doc {
        match &expr.kind {
            ExprKind::Pipe(source, operators) if !self.is_written_in_brackets(expr.span) => {
                let source = self.pipe_source(source);
                let lines = self.pipe_lines(operators, &|| Doc::HardLine);
                Doc::Concat(vec![source, lines])
            }
            _ => self.operand(expr, Level::Pipe),
        }
    }

    // ---- pipes ----

    /// A pipe within an expression: a single operator may stay on the line.
    pub(super) fn pipe(&mut self, source: &Expr, operators: &[Operator]) -> Doc {
        let source = self.pipe_source(source);
        let lines = self.pipe_lines(operators, &operator_break(operators));
        Doc::Concat(vec![source, lines])
    }

    fn pipe_source(&mut self, source: &Expr) -> Doc {
        // An operator that begins a pipe needs no brackets, a pipe does.
        let least = if matches!(source.kind, ExprKind::Source(_)) { Level::Pipe } else { Level::Or };
        self.operand(source, least)
    }

    pub(super) fn pipe_lines(&mut self, operators: &[Operator], line: &dyn Fn() -> Doc) -> Doc {
        let mut parts = Vec::new();
        for operator in operators {
            let (trailing, own) = self.comments(operator.span.start);
            let blank = self.blank(operator.span.start);
            let operator = self.operator(operator);
            parts.extend([trailing, line(), own, blank, Doc::text("| "), operator]);
        }
        Doc::Concat(parts)
    }

    /// The operators in brackets that run on parts of a table, up to where they end.
    pub(super) fn sub_pipe(&mut self, operators: &[Operator], end: usize) -> Doc {
        let mut content = Vec::new();
        if let Some((first, further)) = operators.split_first() {
            content.push(self.opening(first.span.start));
            content.push(self.operator(first));
            content.push(self.pipe_lines(further, &|| Doc::HardLine));
        }
        let end = operators.last().map_or(end, |last| match self.source {
            // The bracket that closes it is the next token.
            Some(source) => source.tokens[source.token_at(last.span.end)].span.start,
            None => end,
        });
        self.enclosed("(", Doc::Concat(content), ")", end)
    }

    // ---- functions ----

    pub(super) fn lambda(&mut self, lambda: &Lambda, span: Span) -> Doc {
        let view = if lambda.view { "view " } else { "" };
        let params = self.parameters(&lambda.params);
        let body = self.function_body(&lambda.body, span.end);
        Doc::Concat(vec![Doc::text(view), params, Doc::text(" "), body])
    }

    fn function_body(&mut self, body: &Body, end: usize) -> Doc {
        let mut parts: Vec<Part<'_>> = body.statements.iter().map(Part::Statement).collect();
        parts.extend(body.result.as_deref().map(Part::Result));
        if let [Part::Result(result)] = parts.as_slice()
            && !matches!(result.kind, ExprKind::Pipe(..))
        {
            let (trailing, own) = self.comments(result.span.start);
            let result = self.operand(result, Level::Pipe);
            let closing = self.leading(end);
            let content = Doc::indent(Doc::Concat(vec![trailing, Doc::Line, own, result, closing]));
            return Doc::group(Doc::Concat(vec![Doc::text("{"), content, Doc::Line, Doc::text("}")]));
        }
        // A comment that ends the line of the bracket stays there.
        let content = self.parts_after_bracket(&parts, end);
        Doc::Concat(vec![Doc::text("{"), Doc::indent(content), Doc::HardLine, Doc::text("}")])
    }

    fn parts_after_bracket(&mut self, parts: &[Part<'_>], end: usize) -> Doc {
        let start = match parts.first() {
            Some(Part::Statement(statement)) => start_of(statement),
            Some(Part::Result(expr)) => expr.span.start,
            None => end,
        };
        let (trailing, own) = self.comments(start);
        Doc::Concat(vec![trailing, Doc::HardLine, own, self.parts(parts, end)])
    }

    pub(super) fn parameters(&mut self, params: &[Parameter]) -> Doc {
        let list = self.items(params, false, |param| param.name.span.start, Self::parameter);
        let end = params
            .last()
            .map_or(0, |param| param.default.as_ref().map_or(param.name.span, |default| default.span).end);
        self.enclosed("(", list, ")", end)
    }

    fn parameter(&mut self, param: &Parameter) -> Doc {
        let mut parts = vec![self.name(&param.name)];
        let typed = self.source.is_none_or(|source| source.follows(param.name.span.end, ":"));
        match &param.kind {
            ParameterType::Scalar(kind) if typed => {
                parts.push(Doc::Text(format!(":{}", self.type_name(*kind, param.name.span.end))));
            }
            ParameterType::Scalar(_) => {}
            ParameterType::Table(columns) if columns.is_empty() => parts.push(Doc::text(":(*)")),
            ParameterType::Table(columns) => {
                parts.extend([Doc::text(":"), self.columns(columns)]);
            }
        }
        if let Some(default) = &param.default {
            parts.extend([Doc::text(" = "), self.expr(default)]);
        }
        Doc::Concat(parts)
    }

    /// `(name:type, …)`
    pub(super) fn columns(&mut self, columns: &[(Name, KqlType)]) -> Doc {
        let list = self.items(
            columns,
            false,
            |(name, _)| name.span.start,
            |printer, (name, kind)| printer.column(name, *kind),
        );
        let end = columns.last().map_or(0, |(name, _)| name.span.end);
        self.enclosed("(", list, ")", end)
    }

    pub(super) fn column(&mut self, name: &Name, kind: KqlType) -> Doc {
        let text = format!(":{}", self.type_name(kind, name.span.end));
        Doc::Concat(vec![self.name(name), Doc::Text(text)])
    }

    /// A type as it is written after a place, or its canonical name.
    pub(super) fn type_name(&self, kind: KqlType, place: usize) -> String {
        let written = self.source.and_then(|source| source.type_after(place, kind));
        written.unwrap_or(kind.name()).to_owned()
    }

    fn pattern(
        &mut self,
        name: &Name,
        params: &[Parameter],
        path: Option<&Parameter>,
        cases: &[PatternCase],
    ) -> Doc {
        let mut parts = vec![Doc::text("declare pattern "), self.name(name)];
        if params.is_empty() && cases.is_empty() {
            return Doc::Concat(parts);
        }
        parts.extend([Doc::text(" = "), self.parameters(params)]);
        if let Some(path) = path {
            parts.extend([Doc::text("["), self.parameter(path), Doc::text("]")]);
        }
        let mut lines = Vec::new();
        for case in cases {
            lines.push(Doc::HardLine);
            let end = case.values.last().map_or(0, |value| value.span.end);
            lines.push(self.values("(", &case.values, ")", end));
            if let Some(path) = &case.path {
                lines.extend([Doc::text(".["), self.expr(path), Doc::text("]")]);
            }
            lines.push(Doc::text(" = "));
            let end = case.body.result.as_ref().map_or(0, |result| result.span.end);
            lines.extend([self.function_body(&case.body, end), Doc::text(";")]);
        }
        let lines = Doc::indent(Doc::Concat(lines));
        parts.extend([Doc::text(" {"), lines, Doc::HardLine, Doc::text("}")]);
        Doc::Concat(parts)
    }
}

/// Where the first word stands that a statement's tree knows of.
fn start_of(statement: &Statement) -> usize {
    match statement {
        Statement::Let { name, .. } | Statement::Set { name, .. } | Statement::Pattern { name, .. } => {
            name.span.start
        }
        Statement::Parameters(params) => params.first().map_or(0, |param| param.name.span.start),
        Statement::Ignored { span, .. } => span.start,
        Statement::Expression(expr) => expr.span.start,
    }
}

/// A single operator may stay on the line of its source.
fn operator_break(operators: &[Operator]) -> impl Fn() -> Doc + use<> {
    let single = operators.len() == 1;
    move || if single { Doc::Line } else { Doc::HardLine }
}
