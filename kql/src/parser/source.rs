//! Pipes, and what may begin one.

use super::{Fault, MAX_FAULTS, Parsed, Parser};
use crate::ast::{Expr, ExprKind, Operator, OperatorKind};
use crate::lexer::TokenKind;

impl Parser<'_> {
    /// An expression, and the operators piped after it.
    pub(super) fn pipe(&mut self) -> Parsed<Expr> {
        let start = self.span();
        let source = match self.source_operator() {
            Some(operator) => {
                let operator = operator?;
                Expr { span: operator.span, kind: ExprKind::Source(Box::new(operator)) }
            }
            None => self.expression()?,
        };
        if !self.is("|") {
            return Ok(source);
        }
        let operators = self.operators_after_pipe();
        Ok(Expr { kind: ExprKind::Pipe(Box::new(source), operators), span: self.since(start) })
    }

    fn operators_after_pipe(&mut self) -> Vec<Operator> {
        let mut operators = Vec::new();
        // Past the faults that are reported nothing is worth reading.
        while self.faults.len() < MAX_FAULTS && self.take("|") {
            let start = self.span();
            match self.operator() {
                Ok(operator) => {
                    operators.push(operator);
                    if !self.at_pipe_end() && !self.is(",") && !self.is("]") {
                        self.unexpected("`|`, `;` or the end of the query");
                        self.recover();
                    }
                }
                Err(Fault) => {
                    self.recover();
                    let span = self.since(start);
                    operators.push(Operator { kind: OperatorKind::Error, hints: Vec::new(), span });
                }
            }
        }
        operators
    }

    /// The pipe within brackets after `mv-apply … on`, `partition by …`, `fork`: operators without a source.
    pub(super) fn sub_pipe(&mut self) -> Parsed<Vec<Operator>> {
        let close = if self.take("{") {
            "}"
        } else {
            self.expect("(")?;
            ")"
        };
        self.take("|");
        let mut operators = vec![self.nested(Self::operator)?];
        operators.extend(self.operators_after_pipe());
        self.expect(close)?;
        Ok(operators)
    }

    /// The operator that begins a pipe here, if one does: `union`, `range`, `print` … are names too.
    fn source_operator(&mut self) -> Option<Parsed<Operator>> {
        let next = &self.ahead(1).kind;
        let operand_follows = !matches!(
            next,
            TokenKind::End
                | TokenKind::Punct(
                    "|" | ";" | ")" | "," | "." | "=" | "==" | "!=" | "<" | ">" | "+" | "/" | "}" | "]"
                )
        );
        let begins = match self.word()? {
            "print" => operand_follows || matches!(next, TokenKind::Punct("[")),
            "range" => matches!(next, TokenKind::Name(_) | TokenKind::Punct("[")) && !self.is_ahead(1, "("),
            "union" | "search" | "find" => operand_follows,
            "datatable" | "externaldata" => matches!(next, TokenKind::Punct("(") | TokenKind::Name(_)),
            "external_data" => matches!(next, TokenKind::Punct("(")),
            "evaluate" => matches!(next, TokenKind::Name(_)),
            _ => false,
        };
        begins.then(|| self.operator())
    }

    pub(super) fn datatable(&mut self) -> Parsed<OperatorKind> {
        self.hints()?;
        self.expect("(")?;
        let columns = self.columns_until(")")?;
        self.expect("[")?;
        let mut cells = Vec::new();
        while !self.take("]") {
            cells.push(self.expression()?);
            if !self.is("]") {
                self.expect(",")?;
            }
        }
        Ok(OperatorKind::Datatable { columns, cells })
    }

    pub(super) fn external_data(&mut self) -> Parsed<OperatorKind> {
        self.expect("(")?;
        let columns = self.columns_until(")")?;
        self.expect("[")?;
        let sources = self.expressions_until("]")?;
        let settings = self.with_settings()?;
        Ok(OperatorKind::ExternalData { columns, sources, settings })
    }

    /// `with (a=b, c=d)` or `with(a=b c=d)`, if it is here.
    pub(super) fn with_settings(&mut self) -> Parsed<Vec<crate::ast::Setting>> {
        let mut settings = Vec::new();
        if !self.take_word("with") {
            return Ok(settings);
        }
        self.expect("(")?;
        while !self.take(")") {
            let name = self.name("a setting")?;
            self.expect("=")?;
            let value = self.setting_value_or_list()?;
            settings.push(crate::ast::Setting { name, value });
            self.take(",");
        }
        Ok(settings)
    }

    /// A value; for `ycolumns=a, b` several names, of which only the text matters.
    fn setting_value_or_list(&mut self) -> Parsed<Expr> {
        let mut value = self.setting_value()?;
        while self.is(",")
            && matches!(self.ahead(1).kind, TokenKind::Name(_))
            && matches!(self.ahead(2).kind, TokenKind::Punct("," | ")"))
        {
            self.advance();
            let more = self.name("a name")?;
            if let ExprKind::Name(text) = &mut value.kind {
                text.push_str(", ");
                text.push_str(&more.text);
            }
        }
        Ok(value)
    }
}
