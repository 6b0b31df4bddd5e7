//! The plugins that find what rows have in common: `autocluster`, `basket`, `diffpatterns`.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::{Column as PlanColumn, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::functions_aggregate::expr_fn::sum;
use datafusion::logical_expr::{Expr as PlanExpr, ExprFunctionExt, LogicalPlanBuilder};

use super::expression::fold;
use super::types::{cast, text_literal};
use super::{Binder, Binding, Col, Context, Relation, fault};
use crate::ast::{Argument, Expr, ExprKind, Literal, Name};
use crate::functions::Typed;
use crate::pass::Passed;
use crate::patterns::{Dimension, Method, Patterns};
use crate::types::KqlType;
use crate::value::Value;

/// The least share that `basket` and `diffpatterns` look for.
const LEAST_THRESHOLD: f64 = 0.015;
/// The most values from which `autocluster` begins.
const MAX_SEEDS: usize = 1_000;

/// Arguments that are told by their places; `'~'` stands for the default.
struct Places<'a>(std::slice::Iter<'a, Argument>);

impl<'a> Places<'a> {
    /// The next argument, if there is one that is not left to its default.
    fn next(&mut self) -> Option<&'a Expr> {
        self.0
            .next()
            .map(|arg| &arg.value)
            .filter(|value| !matches!(&value.kind, ExprKind::Literal(Literal::String(text)) if text == "~"))
    }
}

impl<'a> Binder<'a> {
    pub(super) fn patterns(
        &mut self,
        relation: Relation,
        name: &'a Name,
        args: &'a [Argument],
    ) -> Binding<Relation> {
        if !relation.parts.is_empty() || !relation.outer.is_empty() {
            let message = format!(
                "`{}` looks at whole tables, and cannot stand in `partition` or `mv-apply`",
                name.text
            );
            return fault(name.span, message);
        }
        let mut places = Places(args.iter());
        let (method, split, weight) = match name.text.as_str() {
            "autocluster" => {
                let size_weight = self.number(places.next(), 0.5, 0.0, 1.0)?;
                let weight = self.weight(&relation, places.next())?;
                let seeds = self.whole(places.next(), 25)?.min(MAX_SEEDS);
                (Method::AutoCluster { size_weight, seeds }, None, weight)
            }
            "basket" => {
                let threshold = self.number(places.next(), 0.05, LEAST_THRESHOLD, 1.0)?;
                let weight = self.weight(&relation, places.next())?;
                let max_dimensions = self.whole(places.next(), 5)?;
                (Method::Basket { threshold, max_dimensions }, None, weight)
            }
            _ => {
                let split = self.split(&relation, name, &mut places)?;
                let weight = self.weight(&relation, places.next())?;
                let threshold = self.number(places.next(), 0.05, LEAST_THRESHOLD, 1.0)?;
                let max_dimensions = self.whole(places.next(), usize::MAX)?;
                (Method::DiffPatterns { threshold, max_dimensions }, Some(split), weight)
            }
        };
        let wildcards = self.wildcards(places)?;

        // The columns that take part are all but those that say how rows count.
        let counts = |col: &Col| {
            weight.as_ref().is_some_and(|weight| weight.column == col.column)
                || split.as_ref().is_some_and(|(split, _)| split.column == col.column)
        };
        let mut keys: Vec<PlanExpr> = Vec::new();
        let mut dimensions = Vec::new();
        let mut columns = Vec::new();
        for col in &relation.columns {
            let fresh = self.fresh(&col.name);
            let wildcard = wildcards.iter().find(|wildcard| wildcard.kind == col.kind);
            let wildcard = wildcard.and_then(Typed::constant).unwrap_or(Value::Null);
            let source = (!counts(col)).then_some(keys.len());
            if source.is_some() {
                keys.push(PlanExpr::Column(col.column.clone()).alias(&fresh));
            }
            dimensions.push(Dimension {
                name: fresh.clone(),
                source,
                wildcard: wildcard.into_scalar(col.kind),
            });
            columns.push((col.name.clone(), fresh, col.kind));
        }
        if keys.is_empty() {
            return fault(name.span, "there is no column in which to look for patterns");
        }
        let weight = match weight {
            Some(col) => cast(col.typed(), KqlType::Real).expr,
            None => Typed::literal(Value::Real(1.0), KqlType::Real).expr,
        };
        let mut sums = Vec::new();
        for set in 0..method.sets() {
            let of_set = match &split {
                None => sum(weight.clone()),
                Some((column, values)) => {
                    let text = cast(column.typed(), KqlType::String).expr;
                    sum(weight.clone()).filter(text.eq(text_literal(&values[set]))).build()?
                }
            };
            sums.push(of_set.alias(self.fresh("weight")));
        }
        let plan = LogicalPlanBuilder::from(relation.plan.clone()).aggregate(keys, sums)?.build()?;
        let own = method.columns().iter().map(|own| {
            let kind = if own.starts_with("Percent") { KqlType::Real } else { KqlType::Long };
            ((*own).to_owned(), (*own).to_owned(), kind)
        });
        let columns = own.chain(columns).collect();
        self.passed(Passed::new(plan, Arc::new(Patterns::new(method, dimensions))), columns)
    }

    /// The relation of what a pass gives: for each column its name, what the pass calls it, and its type.
    pub(super) fn passed(
        &mut self,
        passed: Passed,
        columns: Vec<(String, String, KqlType)>,
    ) -> Binding<Relation> {
        let order = passed.order();
        let reference = TableReference::bare(self.fresh("passed"));
        let provider: Arc<dyn TableProvider> = Arc::new(passed);
        let scan = LogicalPlanBuilder::scan(reference.clone(), provider_as_source(provider), None)?;
        let columns: Vec<Col> = columns
            .into_iter()
            .map(|(name, own, kind)| Col {
                name,
                column: PlanColumn::new(Some(reference.clone()), own),
                kind,
            })
            .collect();
        let keys = order.into_iter().filter_map(|index| columns.get(index));
        let order: Vec<_> = keys.map(|col| PlanExpr::Column(col.column.clone()).sort(true, true)).collect();
        let plan = if order.is_empty() { scan } else { scan.sort(order.clone())? }.build()?;
        Ok(Relation { order, ..Relation::new(plan, columns) })
    }

    /// A constant number within bounds, or the default.
    fn number(&mut self, value: Option<&'a Expr>, default: f64, least: f64, most: f64) -> Binding<f64> {
        let Some(value) = value else { return Ok(default) };
        let typed = fold(self.scalar(value, &mut Context::default())?);
        match typed.constant().and_then(|number| number.as_real()) {
            Some(number) if (least..=most).contains(&number) => Ok(number),
            _ => fault(value.span, format!("a constant from {least} to {most} is needed here, or '~'")),
        }
    }

    /// A constant number of things, or the default.
    fn whole(&mut self, value: Option<&'a Expr>, default: usize) -> Binding<usize> {
        match value {
            Some(value) => match self.constant_count(value)? {
                0 => fault(value.span, "a number above 0 is needed here, or '~'"),
                count => Ok(count),
            },
            None => Ok(default),
        }
    }

    /// The column of the rows' weights.
    fn weight(&mut self, relation: &Relation, value: Option<&'a Expr>) -> Binding<Option<Col>> {
        let Some(value) = value else { return Ok(None) };
        match self.column_of(relation, value)? {
            col if col.kind.is_numeric() => Ok(Some(col)),
            col => fault(value.span, format!("a column of numbers is needed here, not of {}", col.kind)),
        }
    }

    /// The column that an argument names.
    pub(super) fn column_of(&mut self, relation: &Relation, value: &'a Expr) -> Binding<Col> {
        let typed = self.scalar(value, &mut Context::row(relation))?;
        let found = match &typed.expr {
            PlanExpr::Column(column) => relation.columns.iter().find(|col| col.column == *column),
            _ => None,
        };
        match found {
            Some(col) => Ok(col.clone()),
            None => fault(value.span, "a column is needed here"),
        }
    }

    /// The column that tells the two sets apart, and its value in each.
    fn split(
        &mut self,
        relation: &Relation,
        name: &Name,
        places: &mut Places<'a>,
    ) -> Binding<(Col, [String; 2])> {
        let (Some(column), Some(first), Some(second)) = (places.next(), places.next(), places.next()) else {
            return fault(
                name.span,
                "a column and its values in the two sets are needed: (Column, 'a', 'b')",
            );
        };
        let column = self.column_of(relation, column)?;
        let mut text = |value: &'a Expr| {
            let typed = cast(fold(self.scalar(value, &mut Context::default())?), KqlType::String);
            match typed.constant_text() {
                Some(text) => Ok(text),
                None => fault(value.span, "a constant is needed here"),
            }
        };
        let values = [text(first)?, text(second)?];
        Ok((column, values))
    }

    /// What stands for any value, by type.
    fn wildcards(&mut self, mut places: Places<'a>) -> Binding<Vec<Typed>> {
        let mut wildcards = Vec::new();
        while places.0.len() > 0 {
            let Some(value) = places.next() else { continue };
            let typed = fold(self.scalar(value, &mut Context::default())?);
            if typed.constant().is_none() {
                return fault(value.span, "a constant is needed here");
            }
            wildcards.push(typed);
        }
        Ok(wildcards)
    }
}
