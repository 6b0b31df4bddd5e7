//! Functions over neighbouring rows: `prev`, `next`, `row_number` and their kind.

use std::sync::Arc;

use datafusion::common::{Column as PlanColumn, JoinType, NullEquality};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlanBuilder, WindowFunctionDefinition, WindowUDF};

use super::summarize::RANK;
use super::types::{cast, coerce, not_null_text};
use super::{Binder, Binding, Col, Context, Relation, fault};
use crate::ast::{Argument, ExprKind, Literal, Name};
use crate::functions::{ParamKind, Typed};
use crate::types::KqlType;
use crate::value::Value;
use crate::window::{RowFunction, RowKind};

impl<'a> Binder<'a> {
    /// A window function, if that is what the name means.
    pub(super) fn window_call(
        &mut self,
        name: &'a Name,
        args: &'a [Argument],
        context: &mut Context<'_>,
    ) -> Binding<Option<Typed>> {
        let kind = match name.text.as_str() {
            "prev" => RowKind::Previous,
            "next" => RowKind::Next,
            "row_number" => RowKind::Number,
            "row_cumsum" => RowKind::Sum,
            "row_rank_dense" => RowKind::RankDense,
            // An older name; its second argument says whether the ranks are dense.
            "row_rank" => match args.get(1).map(|arg| &arg.value.kind) {
                Some(ExprKind::Literal(Literal::Bool(Some(true)))) => RowKind::RankDense,
                _ => RowKind::RankMin,
            },
            "row_rank_min" => RowKind::RankMin,
            "row_window_session" => RowKind::Session,
            _ => return Ok(None),
        };
        let Some(row) = context.row else { return fault(name.span, "there are no rows here") };
        if context.windows.is_none() {
            return fault(
                name.span,
                format!("`{}()` cannot stand here; put it in an `extend` before", name.text),
            );
        }
        let mut inner = Context::row(row);
        inner.windows = context.windows.take();
        inner.part_values = std::mem::take(&mut context.part_values);
        let mut bound = Vec::with_capacity(args.len());
        for arg in args {
            bound.push(self.scalar(&arg.value, &mut inner)?);
        }
        context.windows = inner.windows.take();
        context.part_values = std::mem::take(&mut inner.part_values);
        let wrong = || fault(name.span, format!("`{}()` does not take these arguments", name.text));
        let of = |typed: Typed, kind| coerce(typed, ParamKind::Of(kind));
        let mut bound = bound.into_iter();
        let (inputs, returns) = match kind {
            RowKind::Previous | RowKind::Next => {
                let Some(value) = bound.next() else { return wrong() };
                let offset = bound.next().unwrap_or(Typed::literal(Value::Long(1), KqlType::Long));
                let default = bound.next().unwrap_or(Typed::null(value.kind));
                let returns = value.kind;
                (vec![value, cast(offset, KqlType::Long), cast(default, returns)], returns)
            }
            RowKind::Number => {
                let start = bound.next().unwrap_or(Typed::literal(Value::Long(1), KqlType::Long));
                let restart = bound.next().unwrap_or(Typed::literal(Value::Bool(false), KqlType::Bool));
                (vec![cast(start, KqlType::Long), restart], KqlType::Long)
            }
            RowKind::Sum => {
                let Some(term) = bound.next() else { return wrong() };
                let restart = bound.next().unwrap_or(Typed::literal(Value::Bool(false), KqlType::Bool));
                if !term.kind.is_numeric() {
                    return fault(name.span, format!("a {} cannot be summed", term.kind));
                }
                let returns = term.kind;
                (vec![term, restart], returns)
            }
            RowKind::RankDense | RowKind::RankMin => {
                let Some(term) = bound.next() else { return wrong() };
                let restart = bound.next().filter(|_| name.text != "row_rank");
                let restart = restart.unwrap_or(Typed::literal(Value::Bool(false), KqlType::Bool));
                (vec![term, restart], KqlType::Long)
            }
            RowKind::Session => {
                let (Some(at), Some(first), Some(between)) = (bound.next(), bound.next(), bound.next())
                else {
                    return wrong();
                };
                let restart = bound.next().unwrap_or(Typed::literal(Value::Bool(false), KqlType::Bool));
                let (Ok(at), Ok(first), Ok(between)) =
                    (of(at, KqlType::Datetime), of(first, KqlType::Timespan), of(between, KqlType::Timespan))
                else {
                    return wrong();
                };
                (vec![at, first, between, restart], KqlType::Datetime)
            }
        };
        let kinds = inputs.iter().map(|typed| typed.kind).collect();
        let function = RowFunction { kind, kinds, returns };
        let expr = over(function, inputs, row);
        let windows = context.windows.get_or_insert_default();
        // The planner takes the same function twice for a common part, and cannot work it out as one.
        let known = windows.iter().find(|(_, known)| *known == expr).map(|(name, _)| name.clone());
        let column = match known {
            Some(column) => column,
            None => {
                let fresh = self.fresh(&name.text);
                windows.push((fresh.clone(), expr));
                fresh
            }
        };
        let column = PlanExpr::Column(PlanColumn::new_unqualified(column));
        let column = if returns == KqlType::String { not_null_text(column) } else { column };
        Ok(Some(Typed::new(column, returns)))
    }

    /// Adds what expressions ask for that is not in their row: values of its part, and window functions.
    pub(super) fn apply_pending(
        &mut self,
        mut relation: Relation,
        context: &mut Context<'_>,
    ) -> Binding<Relation> {
        for value in std::mem::take(&mut context.part_values) {
            let keys = (relation.parts.clone(), value.parts);
            relation.plan = LogicalPlanBuilder::from(relation.plan)
                .join_detailed(value.plan, JoinType::Left, keys, None, NullEquality::NullEqualsNull)?
                .build()?;
        }
        self.apply_windows(relation, context.windows.take().unwrap_or_default())
    }

    /// Adds the columns of window functions to a relation's plan, those that others refer to first.
    pub(super) fn apply_windows(
        &mut self,
        mut relation: Relation,
        mut pending: Vec<(String, PlanExpr)>,
    ) -> Binding<Relation> {
        while !pending.is_empty() {
            let names: Vec<String> = pending.iter().map(|(name, _)| name.clone()).collect();
            let (ready, waiting): (Vec<_>, Vec<_>) = pending.into_iter().partition(|(own, expr)| {
                !expr.column_refs().iter().any(|column| column.name != *own && names.contains(&column.name))
            });
            if ready.is_empty() {
                break;
            }
            let exprs: Vec<PlanExpr> = ready.into_iter().map(|(name, expr)| expr.alias(name)).collect();
            relation.plan = LogicalPlanBuilder::from(relation.plan).window(exprs)?.build()?;
            pending = waiting;
        }
        Ok(relation)
    }

    /// The relation with each row's place in its order as a hidden column.
    pub(super) fn with_rank(&mut self, relation: Relation) -> Binding<Relation> {
        let inputs = vec![
            Typed::literal(Value::Long(1), KqlType::Long),
            Typed::literal(Value::Bool(false), KqlType::Bool),
        ];
        let function = RowFunction {
            kind: RowKind::Number,
            kinds: inputs.iter().map(|typed| typed.kind).collect(),
            returns: KqlType::Long,
        };
        let fresh = self.fresh("rank");
        let expr = over(function, inputs, &relation);
        let mut relation = self.apply_windows(relation, vec![(fresh.clone(), expr)])?;
        relation.hidden.push(Col {
            name: RANK.to_owned(),
            column: PlanColumn::new_unqualified(fresh),
            kind: KqlType::Long,
        });
        Ok(relation)
    }

    /// A number for each row within its part, by the relation's order.
    pub(super) fn number_rows(&mut self, relation: Relation) -> Binding<(Relation, PlanExpr)> {
        let mut relation = self.with_rank(relation)?;
        let column = relation.hidden.pop().map(|col| PlanExpr::Column(col.column));
        Ok((
            relation,
            column.unwrap_or_else(|| PlanExpr::Literal(datafusion::common::ScalarValue::Int64(None), None)),
        ))
    }
}

/// A function over the rows of a relation, within its parts and in its order.
fn over(function: RowFunction, inputs: Vec<Typed>, relation: &Relation) -> PlanExpr {
    let udf = Arc::new(WindowUDF::from(function));
    let mut window = WindowFunction::new(
        WindowFunctionDefinition::WindowUDF(udf),
        inputs.into_iter().map(|typed| typed.expr).collect(),
    );
    window.params.partition_by = relation.parts.iter().cloned().map(PlanExpr::Column).collect();
    window.params.order_by = relation.order.clone();
    PlanExpr::WindowFunction(Box::new(window))
}
