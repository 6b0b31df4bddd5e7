//! Scalar expressions, and pipes as expressions.

use super::doc::Doc;
use super::source::Source;
use super::{Printer, literal};
use crate::ast::{Argument, BinaryOp, Expr, ExprKind, InOp, Literal, Name, Named, SortKey, TextOp, UnaryOp};
use crate::diagnostics::Span;
use crate::lexer::{Token, TokenKind};

/// How tightly an expression holds together: what is looser than its place allows stands in brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Pipe,
    Or,
    And,
    Equality,
    Relational,
    Additive,
    Multiplicative,
    Text,
    Unary,
    Postfix,
}

/// Functions whose arguments come in pairs.
const TAKES_PAIRS: &[&str] = &["bag_pack", "case", "pack", "pack_dictionary"];

impl Level {
    fn of(expr: &Expr) -> Level {
        match &expr.kind {
            ExprKind::Pipe(..) | ExprKind::Source(_) | ExprKind::Lambda(_) => Level::Pipe,
            ExprKind::Binary(op, ..) => Level::of_operator(*op),
            ExprKind::In(..) | ExprKind::Between { .. } => Level::Equality,
            ExprKind::Unary(..) => Level::Unary,
            _ => Level::Postfix,
        }
    }

    fn of_operator(op: BinaryOp) -> Level {
        match op {
            BinaryOp::Or => Level::Or,
            BinaryOp::And => Level::And,
            BinaryOp::Equal | BinaryOp::NotEqual => Level::Equality,
            BinaryOp::Less | BinaryOp::LessEqual | BinaryOp::Greater | BinaryOp::GreaterEqual => {
                Level::Relational
            }
            BinaryOp::Add | BinaryOp::Subtract => Level::Additive,
            BinaryOp::Multiply | BinaryOp::Divide | BinaryOp::Modulo => Level::Multiplicative,
            BinaryOp::Text { .. } => Level::Text,
        }
    }

    /// The next tighter one: what an operand of a non-associative operator has to have.
    fn tighter(self) -> Level {
        match self {
            Level::Pipe => Level::Or,
            Level::Or => Level::And,
            Level::And => Level::Equality,
            Level::Equality => Level::Relational,
            Level::Relational => Level::Additive,
            Level::Additive => Level::Multiplicative,
            Level::Multiplicative => Level::Text,
            Level::Text => Level::Unary,
            Level::Unary | Level::Postfix => Level::Postfix,
        }
    }
}

impl Printer<'_> {
    /// An expression where no pipe may stand.
    pub(super) fn expr(&mut self, expr: &Expr) -> Doc {
        self.operand(expr, Level::Or)
    }

    /// An expression in a place for one of at least this level.
    pub(super) fn operand(&mut self, expr: &Expr, least: Level) -> Doc {
        if !self.bracketed(expr, least) {
            return self.bare(expr);
        }
        let before = self.leading(expr.span.start);
        let inner = self.source.map_or(expr.span.start, |source| {
            source.within_brackets(expr.span).first().map_or(expr.span.start, |token| token.span.start)
        });
        let opening = self.opening(inner);
        let content = match &expr.kind {
            // The brackets have moved it in already.
            ExprKind::Binary(op @ (BinaryOp::Or | BinaryOp::And), ..) => self.chain(expr, *op),
            _ => self.bare(expr),
        };
        let closing = self.leading(expr.span.end);
        let brackets = Doc::bracketed("(", Doc::Concat(vec![opening, content, closing]), ")");
        Doc::Concat(vec![before, brackets])
    }

    /// Whether brackets stand around it: those that are written or, without a text, those that are needed.
    fn bracketed(&self, expr: &Expr, least: Level) -> bool {
        match self.source {
            Some(source) => source.in_brackets(expr.span),
            None => Level::of(expr) < least,
        }
    }

    fn bare(&mut self, expr: &Expr) -> Doc {
        match &expr.kind {
            ExprKind::Literal(literal) => self.literal(literal, expr.span),
            ExprKind::Name(text) => self.word(expr.span, || literal::name(text)),
            ExprKind::Wildcard(text) => self.word(expr.span, || text.clone()),
            ExprKind::Star => self.word(expr.span, || "*".to_owned()),
            ExprKind::Member(base, name) => {
                let base = self.operand(base, Level::Postfix);
                let name = self.word(name.span, || name.text.clone());
                Doc::Concat(vec![base, Doc::text("."), name])
            }
            ExprKind::Index(base, index) => {
                let base = self.operand(base, Level::Postfix);
                let index = self.expr(index);
                Doc::Concat(vec![base, Doc::text("["), index, Doc::text("]")])
            }
            ExprKind::Call(name, args) => self.call(name, args, expr.span),
            ExprKind::Unary(op, operand) => {
                let before = self.leading(expr.span.start);
                let sign = match op {
                    UnaryOp::Minus => "-",
                    UnaryOp::Plus => "+",
                };
                Doc::Concat(vec![before, Doc::text(sign), self.operand(operand, Level::Postfix)])
            }
            ExprKind::Binary(op @ (BinaryOp::Or | BinaryOp::And), ..) => Doc::indent(self.chain(expr, *op)),
            ExprKind::Binary(op, left, right) => self.binary(*op, left, right),
            ExprKind::In(op, value, items) => self.list_test(*op, value, items, expr.span),
            ExprKind::Between { negated, value, low, high } => {
                let value = self.operand(value, Level::Relational);
                let low = self.expr(low);
                let high = self.expr(high);
                let word = if *negated { " !between (" } else { " between (" };
                Doc::Concat(vec![value, Doc::text(word), low, Doc::text(" .. "), high, Doc::text(")")])
            }
            ExprKind::Source(operator) => self.operator(operator),
            ExprKind::Pipe(source, operators) => self.pipe(source, operators),
            ExprKind::Lambda(lambda) => self.lambda(lambda, expr.span),
            ExprKind::Error => Doc::nil(),
        }
    }

    // ---- operators ----

    /// Operands joined by `and` or by `or`, on one line or each on its own.
    fn chain(&mut self, expr: &Expr, op: BinaryOp) -> Doc {
        let mut operands = Vec::new();
        match self.source {
            Some(source) => written_operands(source, expr, op, &mut operands),
            None => split_chain(expr, op, chain_length(expr, op), &mut operands),
        }
        let word = if op == BinaryOp::Or { "or " } else { "and " };
        let mut parts = Vec::with_capacity(operands.len());
        for (index, operand) in operands.into_iter().enumerate() {
            let (trailing, own) = self.comments(operand.span.start);
            let operand = self.operand(operand, Level::of_operator(op).tighter());
            if index == 0 {
                parts.extend([trailing, own, operand]);
            } else {
                parts.extend([trailing, Doc::Line, own, Doc::text(word), operand]);
            }
        }
        Doc::group(Doc::Concat(parts))
    }

    fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr) -> Doc {
        let level = Level::of_operator(op);
        let text = match self.source {
            Some(source) => source.between(left.span.end, right.span.start),
            None => binary_text(op),
        };
        // Arithmetic and string operators associate to the left.
        let left_level = if level < Level::Additive { level.tighter() } else { level };
        let left = self.operand(left, left_level);
        if matches!(level, Level::Additive | Level::Multiplicative) {
            let (trailing, own) = self.comments(right.span.start);
            let right = self.operand(right, level.tighter());
            let right = vec![trailing, Doc::Line, own, Doc::text(text), Doc::text(" "), right];
            return Doc::group(Doc::Concat(vec![left, Doc::indent(Doc::Concat(right))]));
        }
        let right = self.operand(right, level.tighter());
        let right = Doc::Concat(vec![Doc::text(text), Doc::text(" "), right]);
        Doc::Concat(vec![left, Doc::text(" "), right])
    }

    fn list_test(&mut self, op: InOp, value: &Expr, items: &[Expr], span: Span) -> Doc {
        let value = self.operand(value, Level::Relational);
        let word = match op {
            InOp::In { ignoring_case: false, negated: false } => " in ",
            InOp::In { ignoring_case: false, negated: true } => " !in ",
            InOp::In { ignoring_case: true, negated: false } => " in~ ",
            InOp::In { ignoring_case: true, negated: true } => " !in~ ",
            InOp::HasAny => " has_any ",
            InOp::HasAll => " has_all ",
        };
        Doc::Concat(vec![value, Doc::text(word), self.values("(", items, ")", span.end)])
    }

    /// Values between brackets, as many of them on a line as fit if they are plain ones.
    pub(super) fn values(&mut self, open: &str, items: &[Expr], close: &str, end: usize) -> Doc {
        let plain = items.iter().all(|item| matches!(item.kind, ExprKind::Literal(_) | ExprKind::Unary(..)));
        let alone = items.len() == 1;
        let list = self.items(
            items,
            plain,
            |item| item.span.start,
            |printer, item| printer.operand(item, if alone { Level::Pipe } else { Level::Or }),
        );
        self.enclosed(open, list, close, end)
    }

    // ---- calls ----

    fn call(&mut self, name: &Name, args: &[Argument], span: Span) -> Doc {
        let path = match self.source {
            // `database("x").f(y)`
            Some(source) => {
                let first = source.within_brackets(span).first().map_or(span.start, |token| token.span.start);
                source.between(first, name.span.start)
            }
            None => String::new(),
        };
        let name_doc = self.word(name.span, || name.text.clone());
        let head = Doc::Concat(vec![Doc::text(path), name_doc]);
        let args = if TAKES_PAIRS.contains(&name.text.as_str()) && args.len() > 3 {
            self.paired_arguments(args, span.end)
        } else {
            self.arguments(args, span.end)
        };
        Doc::Concat(vec![head, args])
    }

    pub(super) fn arguments(&mut self, args: &[Argument], end: usize) -> Doc {
        if let [only] = args
            && only.name.is_none()
            && matches!(only.value.kind, ExprKind::Call(..) | ExprKind::Literal(_) | ExprKind::In(..))
        {
            let value = self.operand(&only.value, Level::Pipe);
            let closing = self.leading(end);
            return Doc::Concat(vec![Doc::text("("), value, closing, Doc::text(")")]);
        }
        let alone = args.len() == 1;
        let list = self.items(args, false, argument_start, |printer, arg| printer.argument(arg, alone));
        self.enclosed("(", list, ")", end)
    }

    fn argument(&mut self, arg: &Argument, alone: bool) -> Doc {
        let name = match &arg.name {
            Some(name) => {
                let name = self.name(name);
                Doc::Concat(vec![name, Doc::text(" = ")])
            }
            None => Doc::nil(),
        };
        let value = self.operand(&arg.value, if alone { Level::Pipe } else { Level::Or });
        Doc::Concat(vec![name, value])
    }

    /// Each condition or key with its value on a line.
    fn paired_arguments(&mut self, args: &[Argument], end: usize) -> Doc {
        let pairs: Vec<&[Argument]> = args.chunks(2).collect();
        let list = self.items(
            &pairs,
            false,
            |pair| argument_start(&pair[0]),
            |printer, pair| {
                printer.items(pair, true, argument_start, |printer, arg| printer.argument(arg, false))
            },
        );
        self.enclosed("(", list, ")", end)
    }

    // ---- literals ----

    fn literal(&mut self, value: &Literal, span: Span) -> Doc {
        match self.source {
            Some(source) => self.literal_tokens(source.within_brackets(span), source),
            None => {
                let text = literal::literal(value);
                let source = Source::new(&text);
                let mut printer = Printer { source: Some(&source), next_comment: 0 };
                // The last token says that the text ends.
                printer.literal_tokens(&source.tokens[..source.tokens.len() - 1], &source)
            }
        }
    }

    fn literal_tokens(&mut self, tokens: &[Token], source: &Source<'_>) -> Doc {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return Doc::nil() };
        let dynamic = matches!(&first.kind, TokenKind::Name(name) if name == "dynamic");
        if dynamic && tokens.len() > 3 {
            let before = self.leading(first.span.start);
            let value = self.json(&tokens[2..tokens.len() - 1], &mut 0, source);
            let closing = self.leading(last.span.end);
            return Doc::Concat(vec![before, Doc::text("dynamic("), value, closing, Doc::text(")")]);
        }
        if tokens.len() > 1 && tokens.iter().all(|token| matches!(token.kind, TokenKind::String(_))) {
            // Strings that follow one another are one.
            let mut parts = Vec::new();
            for token in tokens {
                if !parts.is_empty() {
                    parts.push(Doc::Line);
                }
                parts.push(self.word(token.span, || source.slice(token.span).to_owned()));
            }
            return Doc::group(Doc::Concat(parts));
        }
        let span = first.span.to(last.span);
        self.word(span, || source.slice(span).to_owned())
    }

    /// A value within `dynamic(…)`. The parser has read it, and so bounded its depth.
    fn json(&mut self, tokens: &[Token], at: &mut usize, source: &Source<'_>) -> Doc {
        let Some(token) = tokens.get(*at) else { return Doc::nil() };
        let (open, close) = match token.kind {
            TokenKind::Punct("[") => ("[", "]"),
            TokenKind::Punct("{") => ("{", "}"),
            _ => return self.json_scalar(tokens, at, source),
        };
        *at += 1;
        let mut parts = Vec::new();
        let mut first = true;
        while let Some(token) = tokens.get(*at) {
            if token.kind == TokenKind::Punct(close) {
                break;
            }
            if token.kind == TokenKind::Punct(",") {
                *at += 1;
                continue;
            }
            let (trailing, own) = if first {
                (Doc::nil(), self.opening(token.span.start))
            } else {
                self.comments(token.span.start)
            };
            let fill = matches!(token.kind, TokenKind::Long(_) | TokenKind::Real(_) | TokenKind::String(_));
            let mut item = self.json(tokens, at, source);
            if tokens.get(*at).is_some_and(|token| token.kind == TokenKind::Punct(":")) {
                *at += 1;
                item = Doc::Concat(vec![item, Doc::text(": "), self.json(tokens, at, source)]);
            }
            if first {
                parts.extend([own, item]);
            } else {
                parts.push(Doc::text(","));
                let next = Doc::Concat(vec![trailing, Doc::Line, own, item]);
                parts.push(if fill && open == "[" { Doc::group(next) } else { next });
            }
            first = false;
        }
        let end = tokens.get(*at).map_or(0, |token| token.span.start);
        *at += 1;
        self.enclosed(open, Doc::Concat(parts), close, end)
    }

    /// A scalar within `dynamic(…)`: what stands up to the next comma or bracket of the list around it.
    fn json_scalar(&mut self, tokens: &[Token], at: &mut usize, source: &Source<'_>) -> Doc {
        let first = tokens[*at].span;
        let mut last = first;
        let mut open = 0_usize;
        while let Some(token) = tokens.get(*at) {
            match token.kind {
                TokenKind::Punct("(") => open += 1,
                TokenKind::Punct(")") if open > 0 => open -= 1,
                TokenKind::Punct("," | "]" | "}" | ":") if open == 0 => break,
                _ => {}
            }
            last = token.span;
            *at += 1;
        }
        let span = first.to(last);
        self.word(span, || source.slice(span).to_owned())
    }

    // ---- what operators hold ----

    pub(super) fn name(&mut self, name: &Name) -> Doc {
        self.word(name.span, || literal::name(&name.text))
    }

    pub(super) fn named(&mut self, named: &Named) -> Doc {
        let value = |printer: &mut Self| printer.expr(&named.value);
        match named.names.as_slice() {
            [] => value(self),
            [name] => Doc::Concat(vec![self.name(name), Doc::text(" = "), value(self)]),
            names => {
                let list = self.items(
                    names,
                    false,
                    |name| name.span.start,
                    |printer, name| printer.word(name.span, || name.text.clone()),
                );
                let end = names.last().map_or(0, |name| name.span.end);
                let tuple = self.enclosed("(", list, ")", end);
                Doc::Concat(vec![tuple, Doc::text(" = "), value(self)])
            }
        }
    }

    pub(super) fn sort_key(&mut self, key: &SortKey) -> Doc {
        let value = self.expr(&key.value);
        let direction = direction(key.ascending);
        let nulls = match key.nulls_first {
            Some(true) => " nulls first",
            Some(false) => " nulls last",
            None => "",
        };
        Doc::Concat(vec![value, Doc::text(direction), Doc::text(nulls)])
    }
}

pub(super) fn direction(ascending: Option<bool>) -> &'static str {
    match ascending {
        Some(true) => " asc",
        Some(false) => " desc",
        None => "",
    }
}

fn argument_start(arg: &Argument) -> usize {
    arg.name.as_ref().map_or(arg.value.span, |name| name.span).start
}

pub(super) fn named_start(named: &Named) -> usize {
    named.names.first().map_or(named.value.span, |name| name.span).start
}

fn binary_text(op: BinaryOp) -> String {
    let text = match op {
        BinaryOp::Or => "or",
        BinaryOp::And => "and",
        BinaryOp::Equal => "==",
        BinaryOp::NotEqual => "!=",
        BinaryOp::Less => "<",
        BinaryOp::LessEqual => "<=",
        BinaryOp::Greater => ">",
        BinaryOp::GreaterEqual => ">=",
        BinaryOp::Add => "+",
        BinaryOp::Subtract => "-",
        BinaryOp::Multiply => "*",
        BinaryOp::Divide => "/",
        BinaryOp::Modulo => "%",
        BinaryOp::Text { op: TextOp::EqualIgnoringCase, negated, .. } => {
            if negated {
                "!~"
            } else {
                "=~"
            }
        }
        BinaryOp::Text { op: TextOp::MatchesRegex, .. } => "matches regex",
        BinaryOp::Text { op: TextOp::Term, .. } => ":",
        BinaryOp::Text { op, case_sensitive, negated } => {
            let word = match op {
                TextOp::Has => "has",
                TextOp::HasPrefix => "hasprefix",
                TextOp::HasSuffix => "hassuffix",
                TextOp::Contains => "contains",
                TextOp::StartsWith => "startswith",
                TextOp::EndsWith => "endswith",
                TextOp::EqualIgnoringCase | TextOp::MatchesRegex | TextOp::Term => "",
            };
            let (before, after) = (if negated { "!" } else { "" }, if case_sensitive { "_cs" } else { "" });
            return format!("{before}{word}{after}");
        }
    };
    text.to_owned()
}

/// The operands as they are written: an operand in brackets is one.
fn written_operands<'e>(source: &Source<'_>, expr: &'e Expr, op: BinaryOp, operands: &mut Vec<&'e Expr>) {
    if let ExprKind::Binary(own, left, right) = &expr.kind
        && *own == op
    {
        for side in [left, right] {
            if source.in_brackets(side.span) {
                operands.push(side);
            } else {
                written_operands(source, side, op, operands);
            }
        }
        return;
    }
    operands.push(expr);
}

/// The most operands that a chain without brackets can have which reads as this tree.
///
/// The parser halves a chain: `n` operands become a tree of `n / 2` at the left and the rest at the right. So a tree is a
/// chain of `n` just when its sides are chains of those lengths, and all lengths up to the greatest are possible.
fn chain_length(expr: &Expr, op: BinaryOp) -> usize {
    match &expr.kind {
        ExprKind::Binary(own, left, right) if *own == op => {
            (2 * chain_length(left, op) + 1).min(2 * chain_length(right, op))
        }
        _ => 1,
    }
}

/// The operands of a tree that is read as a chain of this length.
fn split_chain<'e>(expr: &'e Expr, op: BinaryOp, length: usize, operands: &mut Vec<&'e Expr>) {
    match &expr.kind {
        ExprKind::Binary(own, left, right) if *own == op && length > 1 => {
            split_chain(left, op, length / 2, operands);
            split_chain(right, op, length - length / 2, operands);
        }
        _ => operands.push(expr),
    }
}
