//! Scalar expressions.

use datafusion::functions::string::expr_fn::lower;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{
    Expr as PlanExpr, LogicalPlanBuilder, Operator as PlanOperator, in_subquery, not_in_subquery,
};

use super::types::{arithmetic, bool_literal, cast, comparable, compare};
use super::{Any, Binder, Binding, Col, Context, Relation, fault};
use crate::ast::{BinaryOp, Expr, ExprKind, InOp, Literal, Span, TextOp, UnaryOp};
use crate::diagnostics::Diagnostic;
use crate::functions::text_match::{Test, text_match};
use crate::functions::{Kernel, Typed};
use crate::json::Step;
use crate::memo::{Reads, reads};
use crate::types::KqlType;
use crate::value::{Cells, Value, parse_decimal};

/// The most values of a watchlist that a condition is given as a list.
const LONGEST_LIST: usize = 2_000;

impl<'a> Binder<'a> {
    pub(super) fn expression(&mut self, expr: &'a Expr, context: &mut Context<'_>) -> Binding<Typed> {
        // Whether null counts as false is lost below anything but `and` and `or`.
        let filter = context.filter;
        let keeps = matches!(&expr.kind, ExprKind::Binary(BinaryOp::And | BinaryOp::Or, ..));
        context.filter = filter && keeps;
        let result = self.expression_in(expr, context, filter);
        context.filter = filter;
        result
    }

    fn expression_in(&mut self, expr: &'a Expr, context: &mut Context<'_>, filter: bool) -> Binding<Typed> {
        match &expr.kind {
            ExprKind::Literal(literal) => literal_value(literal, expr.span),
            ExprKind::Member(base, name) => {
                if let ExprKind::Name(side) = &base.kind
                    && let Some((left, right)) = context.sides
                    && (side == "$left" || side == "$right")
                {
                    return side_column(if side == "$left" { left } else { right }, &name.text, name.span);
                }
                if let (ExprKind::Name(step), Some(memory)) = (&base.kind, context.memory)
                    && let Some(value) = memory.column(step, name)?
                {
                    return Ok(value);
                }
                let base = unread(self.scalar(base, context)?, context);
                path(base, Step::Key(name.text.clone()), expr.span)
            }
            ExprKind::Index(base, index) => {
                let base = unread(self.scalar(base, context)?, context);
                let index = self.scalar(index, context)?;
                indexed(base, index, expr.span)
            }
            ExprKind::Unary(op, operand) => {
                let operand = self.scalar(operand, context)?;
                unary(*op, operand, expr.span)
            }
            ExprKind::Binary(op, left, right) => self.binary(*op, left, right, expr.span, context, filter),
            ExprKind::In(op, value, items) => self.in_list(*op, value, items, expr.span, context, filter),
            ExprKind::Between { negated, value, low, high } => {
                let value = self.scalar(value, context)?;
                let low = self.scalar(low, context)?;
                let mut high = self.scalar(high, context)?;
                let dynamic = value.kind == KqlType::Dynamic && low.kind == KqlType::Dynamic;
                if dynamic || [&value, &low, &high].iter().any(|typed| typed.kind == KqlType::Bool) {
                    return fault(expr.span, "`between` is for numbers and times");
                }
                // `between (start .. 1d)`: the end is given by its distance.
                if value.kind == KqlType::Datetime
                    && high.kind == KqlType::Timespan
                    && low.kind == KqlType::Datetime
                {
                    high = arithmetic(expr.span, PlanOperator::Plus, low.clone(), high)?;
                }
                let above = compare(expr.span, PlanOperator::GtEq, value.clone(), low, true)?;
                let below = compare(expr.span, PlanOperator::LtEq, value, high, true)?;
                let inside = above.expr.and(below.expr);
                Ok(Typed::new(if *negated { negate(inside) } else { inside }, KqlType::Bool))
            }
            ExprKind::Star => fault(expr.span, "`*` has no value here"),
            ExprKind::Wildcard(text) => {
                fault(expr.span, format!("`{text}` names several columns where one is needed"))
            }
            ExprKind::Error => fault(expr.span, "this could not be read"),
            ExprKind::Name(_)
            | ExprKind::Call(..)
            | ExprKind::Source(_)
            | ExprKind::Pipe(..)
            | ExprKind::Lambda(_) => self.scalar(expr, context),
        }
    }

    fn binary(
        &mut self,
        op: BinaryOp,
        left: &'a Expr,
        right: &'a Expr,
        span: Span,
        context: &mut Context<'_>,
        filter: bool,
    ) -> Binding<Typed> {
        if let BinaryOp::Text { .. } | BinaryOp::Equal = op
            && matches!(left.kind, ExprKind::Star)
        {
            return self.any_column(op, right, span, context);
        }
        let left_span = left.span;
        let left = self.scalar(left, context)?;
        let right_span = right.span;
        let right = self.scalar(right, context)?;
        let plan_op = match op {
            BinaryOp::And | BinaryOp::Or => {
                let (left, right) = (operand_truth(left, left_span)?, operand_truth(right, right_span)?);
                let expr =
                    if op == BinaryOp::And { left.expr.and(right.expr) } else { left.expr.or(right.expr) };
                return Ok(Typed::new(expr, KqlType::Bool));
            }
            BinaryOp::Text { op: TextOp::Term, .. } => {
                return fault(span, "`:` belongs to `search`; elsewhere it is `has`");
            }
            BinaryOp::Text { op, case_sensitive, negated } => {
                return text_test(op, case_sensitive, negated, left, right, span);
            }
            BinaryOp::Equal => PlanOperator::Eq,
            BinaryOp::NotEqual => PlanOperator::NotEq,
            BinaryOp::Less => PlanOperator::Lt,
            BinaryOp::LessEqual => PlanOperator::LtEq,
            BinaryOp::Greater => PlanOperator::Gt,
            BinaryOp::GreaterEqual => PlanOperator::GtEq,
            BinaryOp::Add => PlanOperator::Plus,
            BinaryOp::Subtract => PlanOperator::Minus,
            BinaryOp::Multiply => PlanOperator::Multiply,
            BinaryOp::Divide => PlanOperator::Divide,
            BinaryOp::Modulo => PlanOperator::Modulo,
        };
        if plan_op.is_numerical_operators() {
            let typed = arithmetic(span, plan_op, left, right)?;
            return Ok(self.fold(typed));
        }
        let typed = compare(span, plan_op, left, right, filter)?;
        Ok(self.fold(typed))
    }

    /// A constant expression as its value.
    pub(super) fn fold(&self, typed: Typed) -> Typed {
        fold(typed)
    }

    /// `* has "x"`: whether any column's text passes.
    fn any_column(
        &mut self,
        op: BinaryOp,
        right: &'a Expr,
        span: Span,
        context: &mut Context<'_>,
    ) -> Binding<Typed> {
        let Some(row) = context.row else { return fault(span, "there are no columns here") };
        let right = self.scalar(right, context)?;
        let mut any = bool_literal(false);
        let BinaryOp::Text { op, case_sensitive, negated } = op else {
            for col in &row.columns {
                any = any.or(compare(span, PlanOperator::Eq, col.typed(), right.clone(), true)?.expr);
            }
            return Ok(Typed::new(any, KqlType::Bool));
        };
        for col in &row.columns {
            let text = cast(col.typed(), KqlType::String);
            any = any.or(text_test(op, case_sensitive, false, text, right.clone(), span)?.expr);
        }
        Ok(Typed::new(if negated { negate(any) } else { any }, KqlType::Bool))
    }

    fn in_list(
        &mut self,
        op: InOp,
        value: &'a Expr,
        items: &'a [Expr],
        span: Span,
        context: &mut Context<'_>,
        filter: bool,
    ) -> Binding<Typed> {
        let star = matches!(value.kind, ExprKind::Star);
        let of_texts = !matches!(op, InOp::In { ignoring_case: false, .. });
        let mut bound = Vec::with_capacity(items.len());
        let mut table = None;
        for item in items {
            match self.any(item, context)? {
                Any::Scalar(typed) => bound.push(typed),
                Any::Table(relation) if items.len() == 1 => table = Some(relation),
                Any::Table(_) => return fault(item.span, "a table must stand alone in a list"),
            }
        }
        let values: Vec<Typed> = if star {
            let Some(row) = context.row else { return fault(span, "there are no columns here") };
            row.columns.iter().map(|col| cast(col.typed(), KqlType::String)).collect()
        } else {
            vec![self.scalar(value, context)?]
        };
        let mut any: Option<PlanExpr> = None;
        for value in values {
            if of_texts && !matches!(value.kind, KqlType::String | KqlType::Dynamic) {
                let message =
                    format!("this operator looks for strings; `tostring()` makes one of a {}", value.kind);
                return fault(span, message);
            }
            let one = match &table {
                Some(relation) => self.in_table(op, value, relation.clone(), span, filter && !star)?,
                None => in_values(op, value, bound.clone(), span)?,
            };
            any = Some(match any {
                Some(any) => any.or(one),
                None => one,
            });
        }
        Ok(Typed::new(any.unwrap_or_else(|| bool_literal(false)), KqlType::Bool))
    }

    /// `x in (T)`: by the first column of a table.
    fn in_table(
        &mut self,
        op: InOp,
        value: Typed,
        table: Relation,
        span: Span,
        filter: bool,
    ) -> Binding<PlanExpr> {
        let Some(first) = table.columns.first().cloned() else {
            return fault(span, "this table has no columns");
        };
        if reads(&table.plan)? != Reads::Tables {
            let items = self.items(&table, &first)?;
            // Of more than that, a join makes less of the plan.
            if items.len() <= LONGEST_LIST {
                return in_values(op, value, items, span);
            }
        }
        if let (InOp::In { ignoring_case, negated }, true) = (op, filter) {
            let kind = if ignoring_case { KqlType::String } else { comparable(value.kind, first.kind) };
            let (mut needle, mut item) = (cast(value, kind), cast(first.typed(), kind));
            let known = item.expr.clone().is_not_null();
            if negated {
                // Null is in no table, but SQL's `not in` would leave it out. As a text it is one that no value has.
                (needle, item) = (cast(needle, KqlType::String), cast(item, KqlType::String));
            }
            let (mut needle, mut item) = (needle.expr, item.expr);
            if ignoring_case {
                (needle, item) = (lower(needle), lower(item));
            }
            let name = self.fresh("in");
            let items = LogicalPlanBuilder::from(table.plan).filter(known)?.project([item.alias(&name)])?;
            // Beside an `or` this becomes a join, which looks for the column with its table's name and without.
            let items = items.distinct()?.alias(name)?.build()?.into();
            return Ok(if negated { not_in_subquery(needle, items) } else { in_subquery(needle, items) });
        }
        let items = self.items(&table, &first)?;
        in_values(op, value, items, span)
    }

    /// The different values of a column, read before the query runs.
    fn items(&mut self, table: &Relation, column: &Col) -> Binding<Vec<Typed>> {
        let only = self.project(table, vec![(column.name.clone(), column.typed())], Vec::new())?;
        let kind = column.kind;
        let plan = LogicalPlanBuilder::from(only.plan).distinct()?.build()?;
        let mut items = Vec::new();
        for batch in self.rows(plan)? {
            let cells = Cells::new(batch.column(0).as_ref())?;
            items.extend((0..batch.num_rows()).map(|row| Typed::literal(cells.get(row), kind)));
        }
        Ok(items)
    }
}

/// A constant expression as its value; any other as it is.
pub(crate) fn fold(typed: Typed) -> Typed {
    fn constant(expr: &PlanExpr) -> bool {
        match expr {
            PlanExpr::BinaryExpr(binary) => {
                matches!(*binary.left, PlanExpr::Literal(..))
                    && matches!(*binary.right, PlanExpr::Literal(..))
            }
            _ => false,
        }
    }
    if constant(&typed.expr) { simplified(typed) } else { typed }
}

/// An expression as its value, if it has one whatever the row.
pub(super) fn simplified(typed: Typed) -> Typed {
    let simplifier = datafusion::optimizer::simplify_expressions::ExprSimplifier::new(
        datafusion::logical_expr::simplify::SimplifyContext::default(),
    );
    match simplifier.simplify(typed.expr.clone()) {
        Ok(expr @ PlanExpr::Literal(..)) => Typed::new(expr, typed.kind),
        _ => typed,
    }
}

fn side_column(side: &Relation, name: &str, span: Span) -> Binding<Typed> {
    match side.find(name) {
        Some(col) => Ok(col.typed()),
        None => {
            let diagnostic =
                Diagnostic::new(span, format!("there is no column `{name}` on this side of the join"));
            Err(super::Stop::Fault(Box::new(diagnostic.did_you_mean(name, side.names()))))
        }
    }
}

pub(super) fn literal_value(literal: &Literal, span: Span) -> Binding<Typed> {
    Ok(match literal {
        Literal::Bool(value) => Typed::literal((*value).into(), KqlType::Bool),
        Literal::Int(value) => Typed::literal(value.map_or(Value::Null, Value::Int), KqlType::Int),
        Literal::Long(value) => Typed::literal((*value).into(), KqlType::Long),
        Literal::Real(value) => Typed::literal((*value).into(), KqlType::Real),
        Literal::Decimal(value) => {
            let value = match value {
                None => Value::Null,
                Some(text) => match parse_decimal(text) {
                    Some(value) => Value::Decimal(value),
                    None => return fault(span, "this decimal has more digits than a decimal can hold"),
                },
            };
            Typed::literal(value, KqlType::Decimal)
        }
        Literal::String(text) => Typed::literal(Value::text(text.as_str()), KqlType::String),
        Literal::Datetime(value) => Typed::literal((*value).into(), KqlType::Datetime),
        Literal::Timespan(value) => Typed::literal((*value).into(), KqlType::Timespan),
        Literal::Guid(value) => Typed::literal(value.as_deref().into(), KqlType::Guid),
        Literal::Dynamic(value) => {
            Typed::literal(value.as_ref().map_or(Value::Null, Value::json), KqlType::Dynamic)
        }
        Literal::Type(_) => return fault(span, "a type is no value"),
    })
}

/// A condition.
pub(super) fn truth(typed: Typed, span: Span) -> Binding<Typed> {
    match typed.kind {
        KqlType::Bool => Ok(typed),
        kind => fault(span, format!("a condition is needed here, not a {kind}")),
    }
}

/// A side of `and` or `or`, where a dynamic may stand for what it holds.
fn operand_truth(typed: Typed, span: Span) -> Binding<Typed> {
    match typed.kind {
        KqlType::Dynamic => Ok(cast(typed, KqlType::Bool)),
        _ => truth(typed, span),
    }
}

pub(super) fn negate(expr: PlanExpr) -> PlanExpr {
    PlanExpr::Not(Box::new(expr))
}

fn unary(op: UnaryOp, operand: Typed, span: Span) -> Binding<Typed> {
    if operand.kind == KqlType::Dynamic {
        let zero = Typed::literal(Value::text("0"), KqlType::Dynamic);
        let op = if op == UnaryOp::Plus { PlanOperator::Plus } else { PlanOperator::Minus };
        return arithmetic(span, op, zero, operand);
    }
    if !(operand.kind.is_numeric() || operand.kind == KqlType::Timespan) {
        return fault(span, format!("a {} has no sign", operand.kind));
    }
    let operand = if operand.kind == KqlType::Int { cast(operand, KqlType::Long) } else { operand };
    if op == UnaryOp::Plus {
        return Ok(operand);
    }
    let kind = operand.kind;
    Ok(Kernel::call("negate", vec![operand], kind, |row| match row.get(0) {
        Value::Int(value) => value.checked_neg().map_or(Value::Null, Value::Int),
        Value::Long(value) => value.checked_neg().into(),
        Value::Real(value) => Value::Real(-value),
        Value::Decimal(value) => value.checked_neg().map_or(Value::Null, Value::Decimal),
        other => other,
    }))
}

/// A dynamic that a step leads into: the text it is read from, where it is a column that `parse_json()` has made.
fn unread(base: Typed, context: &Context<'_>) -> Typed {
    match (&base.expr, context.row) {
        (PlanExpr::Column(column), Some(row)) if base.kind == KqlType::Dynamic => match row.parsed(column) {
            Some(call) => Typed::new(call, KqlType::Dynamic),
            None => base,
        },
        _ => base,
    }
}

/// A step into a dynamic.
pub(super) fn path(base: Typed, step: Step, span: Span) -> Binding<Typed> {
    if base.kind != KqlType::Dynamic {
        return fault(
            span,
            format!("a {} has no properties; `parse_json()` makes a dynamic of a string", base.kind),
        );
    }
    Ok(crate::functions::dynamic_path(base, step))
}

fn indexed(base: Typed, index: Typed, span: Span) -> Binding<Typed> {
    if !matches!(index.kind, KqlType::Int | KqlType::Long | KqlType::String | KqlType::Dynamic) {
        return fault(span, format!("an element is found by a number or a key, not by a {}", index.kind));
    }
    match index.constant() {
        Some(Value::Text(key)) if index.kind == KqlType::String => {
            return path(base, Step::Key(key.into_owned()), span);
        }
        Some(value) if matches!(index.kind, KqlType::Int | KqlType::Long) => {
            if let Some(at) = value.as_long() {
                return path(base, Step::Index(at), span);
            }
        }
        _ => {}
    }
    if base.kind != KqlType::Dynamic {
        return fault(
            span,
            format!("a {} has no elements; `parse_json()` makes a dynamic of a string", base.kind),
        );
    }
    Ok(Kernel::call("element", vec![base, index], KqlType::Dynamic, |row| {
        let step = match row.get(1) {
            Value::Text(_) => match row.json(1) {
                serde_json::Value::String(key) => Step::Key(key),
                serde_json::Value::Number(number) => match number.as_i64() {
                    Some(at) => Step::Index(at),
                    None => return Value::Null,
                },
                _ => return Value::Null,
            },
            value => match value.as_long() {
                Some(at) => Step::Index(at),
                None => return Value::Null,
            },
        };
        crate::functions::step_value(row.text(0), &[step])
    }))
}

/// A string operator.
pub(super) fn text_test(
    op: TextOp,
    case_sensitive: bool,
    negated: bool,
    left: Typed,
    right: Typed,
    span: Span,
) -> Binding<Typed> {
    let text = |typed: Typed| match typed.kind {
        KqlType::String => Ok(typed),
        KqlType::Dynamic => Ok(cast(typed, KqlType::String)),
        kind => fault(span, format!("this operator compares strings; `tostring()` makes one of a {kind}")),
    };
    let (left, right) = (text(left)?, text(right)?);
    let test = match op {
        TextOp::EqualIgnoringCase => Test::Equal,
        TextOp::Has | TextOp::Term => Test::Has,
        TextOp::HasPrefix => Test::HasPrefix,
        TextOp::HasSuffix => Test::HasSuffix,
        TextOp::Contains => Test::Contains,
        TextOp::StartsWith => Test::StartsWith,
        TextOp::EndsWith => Test::EndsWith,
        TextOp::MatchesRegex => {
            if let Some(pattern) = right.constant_text()
                && let Err(problem) = crate::functions::check_regex(&pattern)
            {
                return fault(span, problem);
            }
            Test::Regex
        }
    };
    let matched = text_match(test, case_sensitive, left, right);
    Ok(Typed::new(if negated { negate(matched) } else { matched }, KqlType::Bool))
}

fn in_values(op: InOp, value: Typed, items: Vec<Typed>, span: Span) -> Binding<PlanExpr> {
    let mut flat = Vec::with_capacity(items.len());
    let mut lists = Vec::new();
    for item in items {
        match item.constant() {
            // A constant array stands for its elements.
            Some(Value::Text(text)) if item.kind == KqlType::Dynamic => match crate::json::parse(&text) {
                serde_json::Value::Array(elements) => {
                    for element in elements {
                        let kind = if value.kind == KqlType::Dynamic { KqlType::String } else { value.kind };
                        flat.push(Typed::literal(crate::format::from_json(&element, kind), kind));
                    }
                }
                element => flat.push(Typed::literal(
                    crate::format::from_json(&element, KqlType::String),
                    KqlType::String,
                )),
            },
            _ if item.kind == KqlType::Dynamic => lists.push(item),
            _ => flat.push(item),
        }
    }
    match op {
        InOp::HasAny | InOp::HasAll => {
            let mut result: Option<PlanExpr> = None;
            for item in flat {
                let one =
                    text_test(TextOp::Has, false, false, value.clone(), cast(item, KqlType::String), span)?
                        .expr;
                result = Some(match result {
                    None => one,
                    Some(all) if op == InOp::HasAll => all.and(one),
                    Some(any) => any.or(one),
                });
            }
            for list in lists {
                let one = crate::functions::text_match::has_list(value.clone(), list, op == InOp::HasAll);
                result = Some(match result {
                    None => one,
                    Some(all) if op == InOp::HasAll => all.and(one),
                    Some(any) => any.or(one),
                });
            }
            Ok(result.unwrap_or_else(|| bool_literal(op == InOp::HasAll)))
        }
        InOp::In { ignoring_case, negated } => {
            let value = if value.kind == KqlType::Dynamic {
                let kind = flat.first().map_or(KqlType::String, |item| item.kind);
                cast(value, kind)
            } else {
                value
            };
            let kind = match ignoring_case {
                true => KqlType::String,
                false => flat.iter().fold(value.kind, |kind, item| comparable(kind, item.kind)),
            };
            let needle = cast(value.clone(), kind).expr;
            let mut list: Vec<PlanExpr> = flat.into_iter().map(|item| cast(item, kind).expr).collect();
            let mut needle_in_list = needle.clone();
            if ignoring_case {
                needle_in_list = lower(needle_in_list);
                list = list.into_iter().map(lower_literal).collect();
            }
            // Null is in no list, and a null in a list is found by nothing.
            list.retain(|item| !matches!(item, PlanExpr::Literal(scalar, _) if scalar.is_null()));
            let mut any = if list.is_empty() {
                bool_literal(false)
            } else {
                PlanExpr::InList(InList { expr: Box::new(needle_in_list), list, negated: false })
            };
            for list in lists {
                any = any.or(crate::functions::in_dynamic(value.clone(), list, ignoring_case).expr);
            }
            if !negated {
                return Ok(any);
            }
            Ok(if kind == KqlType::String {
                negate(any)
            } else {
                negate(datafusion::functions::core::expr_fn::coalesce(vec![any, bool_literal(false)]))
            })
        }
    }
}

fn lower_literal(expr: PlanExpr) -> PlanExpr {
    match &expr {
        PlanExpr::Literal(scalar, metadata) => match scalar.try_as_str() {
            Some(Some(text)) => PlanExpr::Literal(text.to_lowercase().into(), metadata.clone()),
            _ => expr,
        },
        _ => lower(expr),
    }
}
