//! Scalar expressions, and pipes as expressions.

use super::{Parsed, Parser};
use crate::ast::{Argument, BinaryOp, Expr, ExprKind, InOp, Literal, Named, SortKey, TextOp, UnaryOp};
use crate::lexer::TokenKind;

impl Parser<'_> {
    /// An expression without a pipe.
    pub(super) fn expression(&mut self) -> Parsed<Expr> {
        self.nested(Self::or)
    }

    fn or(&mut self) -> Parsed<Expr> {
        self.chain("or", BinaryOp::Or, Self::and)
    }

    fn and(&mut self) -> Parsed<Expr> {
        self.chain("and", BinaryOp::And, Self::equality)
    }

    /// Operands joined by one associative operator. They become a balanced tree, so that the depth of a tree made of
    /// a thousand `or` stays small.
    fn chain(&mut self, word: &str, op: BinaryOp, operand: fn(&mut Self) -> Parsed<Expr>) -> Parsed<Expr> {
        let mut operands = vec![operand(self)?];
        while self.take_word(word) {
            operands.push(operand(self)?);
        }
        Ok(balance(operands, op))
    }

    fn equality(&mut self) -> Parsed<Expr> {
        let start = self.span();
        let left = self.relational()?;
        let op = match &self.token().kind {
            TokenKind::Punct("==") => BinaryOp::Equal,
            TokenKind::Punct("!=" | "<>") => BinaryOp::NotEqual,
            _ => return self.list_test(left),
        };
        self.advance();
        let right = self.relational()?;
        Ok(Expr { span: self.since(start), kind: ExprKind::Binary(op, Box::new(left), Box::new(right)) })
    }

    /// `in`, `between`, `has_any`, `has_all` and their negations, if one of them follows.
    fn list_test(&mut self, left: Expr) -> Parsed<Expr> {
        let negated = self.is("!") && matches!(self.ahead(1).kind, TokenKind::Name(_));
        let word = match &self.ahead(usize::from(negated)).kind {
            TokenKind::Name(word) => word.clone(),
            _ => return Ok(left),
        };
        let op = match word.as_str() {
            "in" => None,
            "has_any" if !negated => Some(InOp::HasAny),
            "has_all" if !negated => Some(InOp::HasAll),
            "between" => return self.between(left, negated),
            _ => return Ok(left),
        };
        if negated {
            self.advance();
        }
        self.advance();
        let op = match op {
            Some(op) => op,
            None => {
                let ignoring_case = self.is("~") && self.touches(0);
                if ignoring_case {
                    self.advance();
                }
                InOp::In { ignoring_case, negated }
            }
        };
        self.expect("(")?;
        let items = self.items_until_close()?;
        let span = left.span.to(self.since(left.span));
        Ok(Expr { kind: ExprKind::In(op, Box::new(left), items), span })
    }

    fn between(&mut self, left: Expr, negated: bool) -> Parsed<Expr> {
        if negated {
            self.advance();
        }
        self.advance();
        self.expect("(")?;
        let low = self.expression()?;
        self.expect("..")?;
        let high = self.expression()?;
        self.expect(")")?;
        let span = left.span.to(self.since(left.span));
        let kind =
            ExprKind::Between { negated, value: Box::new(left), low: Box::new(low), high: Box::new(high) };
        Ok(Expr { kind, span })
    }

    fn relational(&mut self) -> Parsed<Expr> {
        let start = self.span();
        let left = self.additive()?;
        let op = match &self.token().kind {
            TokenKind::Punct("<") => BinaryOp::Less,
            TokenKind::Punct("<=") => BinaryOp::LessEqual,
            TokenKind::Punct(">") => BinaryOp::Greater,
            TokenKind::Punct(">=") => BinaryOp::GreaterEqual,
            _ => return Ok(left),
        };
        self.advance();
        let right = self.additive()?;
        Ok(Expr { span: self.since(start), kind: ExprKind::Binary(op, Box::new(left), Box::new(right)) })
    }

    fn additive(&mut self) -> Parsed<Expr> {
        self.left_chain(Self::multiplicative, |kind| match kind {
            TokenKind::Punct("+") => Some(BinaryOp::Add),
            TokenKind::Punct("-") => Some(BinaryOp::Subtract),
            _ => None,
        })
    }

    fn multiplicative(&mut self) -> Parsed<Expr> {
        self.left_chain(Self::text_test, |kind| match kind {
            TokenKind::Punct("*") => Some(BinaryOp::Multiply),
            TokenKind::Punct("/") => Some(BinaryOp::Divide),
            TokenKind::Punct("%") => Some(BinaryOp::Modulo),
            _ => None,
        })
    }

    fn left_chain(
        &mut self,
        operand: fn(&mut Self) -> Parsed<Expr>,
        operator: fn(&TokenKind) -> Option<BinaryOp>,
    ) -> Parsed<Expr> {
        let start = self.span();
        let mut left = operand(self)?;
        let depth = self.depth;
        while let Some(op) = operator(&self.token().kind) {
            self.advance();
            // Each further operand makes the tree one level deeper.
            self.depth += 1;
            let right = self.nested(operand);
            let right = match right {
                Ok(right) => right,
                Err(fault) => {
                    self.depth = depth;
                    return Err(fault);
                }
            };
            left =
                Expr { span: self.since(start), kind: ExprKind::Binary(op, Box::new(left), Box::new(right)) };
        }
        self.depth = depth;
        Ok(left)
    }

    fn text_test(&mut self) -> Parsed<Expr> {
        let start = self.span();
        let mut left = self.unary()?;
        let depth = self.depth;
        while let Some(op) = self.text_operator() {
            self.depth += 1;
            let right = self.nested(Self::unary);
            let right = match right {
                Ok(right) => right,
                Err(fault) => {
                    self.depth = depth;
                    return Err(fault);
                }
            };
            left =
                Expr { span: self.since(start), kind: ExprKind::Binary(op, Box::new(left), Box::new(right)) };
        }
        self.depth = depth;
        Ok(left)
    }

    /// Takes a string operator, if one is here.
    fn text_operator(&mut self) -> Option<BinaryOp> {
        let text = |op, case_sensitive, negated| BinaryOp::Text { op, case_sensitive, negated };
        if self.take("=~") {
            return Some(text(TextOp::EqualIgnoringCase, false, false));
        }
        if self.take("!~") {
            return Some(text(TextOp::EqualIgnoringCase, false, true));
        }
        if self.searching && self.take(":") {
            return Some(text(TextOp::Term, false, false));
        }
        let negated = self.is("!");
        let TokenKind::Name(word) = &self.ahead(usize::from(negated)).kind else { return None };
        if word == "matches" && !negated && self.is_word_ahead(1, "regex") {
            self.advance();
            self.advance();
            return Some(text(TextOp::MatchesRegex, true, false));
        }
        let case_sensitive = word.ends_with("_cs");
        let op = match word.strip_suffix("_cs").unwrap_or(word) {
            "has" => TextOp::Has,
            "hasprefix" => TextOp::HasPrefix,
            "hassuffix" => TextOp::HasSuffix,
            "contains" => TextOp::Contains,
            "startswith" => TextOp::StartsWith,
            "endswith" => TextOp::EndsWith,
            // Names that older queries use.
            "contains_cs" | "containscs" => return self.take_old_text(negated, TextOp::Contains),
            "notcontains" if !negated => {
                self.advance();
                return Some(text(TextOp::Contains, case_sensitive, true));
            }
            _ => return None,
        };
        if negated {
            self.advance();
        }
        self.advance();
        Some(text(op, case_sensitive, negated))
    }

    fn take_old_text(&mut self, negated: bool, op: TextOp) -> Option<BinaryOp> {
        if negated {
            self.advance();
        }
        self.advance();
        Some(BinaryOp::Text { op, case_sensitive: true, negated })
    }

    pub(super) fn unary(&mut self) -> Parsed<Expr> {
        let op = match self.token().kind {
            TokenKind::Punct("-") => UnaryOp::Minus,
            TokenKind::Punct("+") => UnaryOp::Plus,
            _ => return self.postfix(),
        };
        // One sign: `- -1` is not KQL.
        let start = self.advance().span;
        let operand = self.postfix()?;
        Ok(Expr { span: self.since(start), kind: ExprKind::Unary(op, Box::new(operand)) })
    }

    /// A primary expression and the paths after it.
    pub(super) fn postfix(&mut self) -> Parsed<Expr> {
        let start = self.span();
        let mut expr = self.primary()?;
        let depth = self.depth;
        loop {
            self.depth += 1;
            if self.depth > super::MAX_DEPTH {
                self.depth = depth;
                let span = self.span();
                self.at = self.tokens.len() - 1;
                return Err(self.literal_fault(span, "this path is too long"));
            }
            if self.is(".") && self.is_ahead(1, "[") {
                // `a.[b]` is `a[b]`.
                self.advance();
            } else if self.is(".") {
                self.advance();
                let name = self.name("a property's name")?;
                if self.is("(") {
                    self.advance();
                    let args = self.arguments()?;
                    let call = Expr { span: self.since(start), kind: ExprKind::Call(name.clone(), args) };
                    // `database("x").f(y)`: where a function is found is no matter on one lake.
                    if !is_cluster_path(&expr) {
                        let message = format!("`{}()` cannot follow a `.`", name.text);
                        return Err(self.literal_fault(name.span, &message));
                    }
                    expr = call;
                } else {
                    expr = Expr { span: self.since(start), kind: ExprKind::Member(Box::new(expr), name) };
                }
            } else if self.is("[") {
                self.advance();
                let index = self.expression()?;
                self.expect("]")?;
                expr =
                    Expr { span: self.since(start), kind: ExprKind::Index(Box::new(expr), Box::new(index)) };
            } else {
                self.depth = depth;
                return Ok(expr);
            }
        }
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let start = self.span();
        if let Some(kind) = self.typed_literal_ahead() {
            return self.typed_literal(kind);
        }
        if self.is_word("typeof") && self.is_ahead(1, "(") {
            let literal = self.typeof_literal()?;
            return Ok(Expr { kind: ExprKind::Literal(literal), span: self.since(start) });
        }
        if self.word() == Some("not") && !self.is_ahead(1, "(") {
            return Err(self.unexpected("an expression; `not` is written as a function, `not(…)`"));
        }
        if let Some(literal) = self.plain_literal() {
            let literal = match literal {
                Literal::String(text) => Literal::String(self.joined_strings(text)),
                literal => literal,
            };
            return Ok(Expr { kind: ExprKind::Literal(literal), span: self.since(start) });
        }
        match self.token().kind {
            TokenKind::Name(_) => {
                let name = self.name("a name")?;
                if self.is("(") {
                    self.advance();
                    let args = self.arguments()?;
                    return Ok(Expr { kind: ExprKind::Call(name, args), span: self.since(start) });
                }
                if self.is("*") && self.touches(0) && !self.operand_follows_star() {
                    return self.wildcard(start, name.text);
                }
                Ok(Expr { kind: ExprKind::Name(name.text), span: name.span })
            }
            TokenKind::Punct("[") => {
                let name = self.name("an expression")?;
                Ok(Expr { kind: ExprKind::Name(name.text), span: name.span })
            }
            TokenKind::Punct("*") => {
                self.advance();
                if matches!(self.token().kind, TokenKind::Name(_)) && self.touches(0) {
                    return self.wildcard(start, "*".to_owned());
                }
                Ok(Expr { kind: ExprKind::Star, span: start })
            }
            TokenKind::Punct("(") => {
                self.advance();
                let inner = self.nested(Self::pipe)?;
                self.expect(")")?;
                Ok(Expr { kind: inner.kind, span: self.since(start) })
            }
            _ => Err(self.unexpected("an expression")),
        }
    }

    /// `a*b` multiplies where an operand touches the star and no list of names is being read; a wildcard ends with the
    /// star, or goes on in places where [`Parser::name_pattern`] reads it.
    fn operand_follows_star(&self) -> bool {
        !matches!(self.ahead(1).kind, TokenKind::End | TokenKind::Punct("," | ")" | "|" | ";" | "}"))
    }

    /// Whether a piece of a name is here, which may look like a number, or a star.
    fn is_part_of_wildcard(&self) -> bool {
        let span = self.span();
        match &self.token().kind {
            TokenKind::Name(_) | TokenKind::Punct("*") => true,
            TokenKind::Long(_) | TokenKind::Timespan(_) => {
                self.source[span.start..span.end].bytes().all(|byte| byte.is_ascii_alphanumeric())
            }
            _ => false,
        }
    }

    fn wildcard(&mut self, start: crate::diagnostics::Span, first: String) -> Parsed<Expr> {
        let mut text = first;
        while self.touches(0) && self.is_part_of_wildcard() {
            let span = self.advance().span;
            text.push_str(&self.source[span.start..span.end]);
        }
        Ok(Expr { kind: ExprKind::Wildcard(text), span: self.since(start) })
    }

    /// A name that may hold `*`, as in `project-away` and `union`.
    pub(super) fn name_pattern(&mut self) -> Parsed<Expr> {
        let start = self.span();
        let star_follows =
            matches!(self.token().kind, TokenKind::Name(_)) && self.is_ahead(1, "*") && self.touches(1);
        if star_follows {
            let name = self.name("a name")?;
            return self.wildcard(start, name.text);
        }
        if self.is("*") && self.touches(1) {
            self.advance();
            if self.is_part_of_wildcard() {
                return self.wildcard(start, "*".to_owned());
            }
            return Ok(Expr { kind: ExprKind::Star, span: start });
        }
        self.postfix()
    }

    /// Arguments up to the closing bracket, which is taken.
    pub(super) fn arguments(&mut self) -> Parsed<Vec<Argument>> {
        let mut args = Vec::new();
        while !self.take(")") {
            let name = if self.name_and_equals() {
                let name = self.name("a name")?;
                self.advance();
                Some(name)
            } else {
                None
            };
            let value = self.nested(Self::pipe)?;
            args.push(Argument { name, value });
            if !self.is(")") {
                self.expect(",")?;
                if self.is(")") {
                    return Err(self.unexpected("an argument"));
                }
            }
        }
        Ok(args)
    }

    /// The right side of `in`: values, or one table; a comma may stand before the closing bracket.
    fn items_until_close(&mut self) -> Parsed<Vec<Expr>> {
        let mut items = Vec::new();
        while !self.take(")") {
            items.push(self.nested(Self::pipe)?);
            if !self.is(")") {
                self.expect(",")?;
            }
        }
        Ok(items)
    }

    pub(super) fn expressions_until(&mut self, close: &'static str) -> Parsed<Vec<Expr>> {
        let mut items = Vec::new();
        while !self.take(close) {
            items.push(self.expression()?);
            if !self.is(close) {
                self.expect(",")?;
            }
        }
        Ok(items)
    }

    /// `name = value`, `(a, b) = value` or a value.
    pub(super) fn named(&mut self) -> Parsed<Named> {
        if self.name_and_equals() {
            let name = self.new_name("a name")?;
            self.advance();
            return Ok(Named { names: vec![name], value: self.expression()? });
        }
        if self.is("(") && self.tuple_ahead() {
            self.advance();
            let mut names = Vec::new();
            while !self.take(")") {
                names.push(self.new_name("a name")?);
                if !self.is(")") {
                    self.expect(",")?;
                }
            }
            self.expect("=")?;
            return Ok(Named { names, value: self.expression()? });
        }
        Ok(Named { names: Vec::new(), value: self.expression()? })
    }

    fn tuple_ahead(&self) -> bool {
        let mut distance = 1;
        loop {
            if !matches!(self.ahead(distance).kind, TokenKind::Name(_)) {
                return false;
            }
            if self.is_ahead(distance + 1, ")") {
                return self.is_ahead(distance + 2, "=");
            }
            if !self.is_ahead(distance + 1, ",") {
                return false;
            }
            distance += 2;
        }
    }

    pub(super) fn named_list(&mut self) -> Parsed<Vec<Named>> {
        let mut list = vec![self.named()?];
        while self.take(",") {
            if self.is_word("by") && !self.is_ahead(1, "=") {
                return Err(self.unexpected("a value"));
            }
            list.push(self.named()?);
        }
        Ok(list)
    }

    pub(super) fn sort_keys(&mut self) -> Parsed<Vec<SortKey>> {
        let mut keys = vec![self.sort_key()?];
        while self.take(",") {
            keys.push(self.sort_key()?);
        }
        Ok(keys)
    }

    /// `asc` or `desc`, if one of them is here.
    pub(super) fn direction(&mut self) -> Option<bool> {
        if self.take_word("asc") {
            Some(true)
        } else if self.take_word("desc") {
            Some(false)
        } else {
            None
        }
    }

    pub(super) fn sort_key(&mut self) -> Parsed<SortKey> {
        let value = self.named()?.value;
        let ascending = self.direction();
        let mut nulls_first = None;
        if self.take_word("nulls") {
            nulls_first = Some(if self.take_word("first") {
                true
            } else {
                self.expect_word("last")?;
                false
            });
        }
        Ok(SortKey { value, ascending, nulls_first })
    }
}

/// Joins operands by an associative operator into a tree of least depth.
fn balance(mut operands: Vec<Expr>, op: BinaryOp) -> Expr {
    if operands.len() <= 1 {
        let span = crate::diagnostics::Span::default();
        return operands.pop().unwrap_or(Expr { kind: ExprKind::Error, span });
    }
    let right = operands.split_off(operands.len() / 2);
    let (left, right) = (balance(operands, op), balance(right, op));
    Expr { span: left.span.to(right.span), kind: ExprKind::Binary(op, Box::new(left), Box::new(right)) }
}

fn is_cluster_path(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Call(name, _) if matches!(name.text.as_str(), "database" | "cluster" | "workspace" | "app"))
}
