//! What a query gives: a table, or with `fork`, `facet` and several statements more of them.

use std::collections::HashSet;

use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlanBuilder};

use super::summarize::Names;
use super::{Any, Binder, Binding, BoundResult, Context, Relation, Stop, fault};
use crate::ast::{Expr, ExprKind, Name, Operator, OperatorKind, Span};
use crate::diagnostics::Diagnostic;
use crate::functions::Typed;
use crate::types::{Column, KqlType};

/// The pipes of `fork`, each with its name.
type Branches = [(Option<Name>, Vec<Operator>)];

impl<'a> Binder<'a> {
    /// What an expression statement gives.
    pub(super) fn results(&mut self, expr: &'a Expr) -> Binding<Vec<BoundResult>> {
        self.render = None;
        if self.environment.several
            && let ExprKind::Pipe(source, operators) = &expr.kind
            && let Some((last, before)) = operators.split_last()
        {
            match &last.kind {
                OperatorKind::Fork(branches) => {
                    let relation = self.table(source, &mut Context::default())?;
                    let relation = self.pipe(relation, before)?;
                    return self.fork(relation, branches);
                }
                OperatorKind::Facet { by, body } => {
                    let relation = self.table(source, &mut Context::default())?;
                    let relation = self.pipe(relation, before)?;
                    return self.facet(relation, by, body.as_deref());
                }
                _ => {}
            }
        }
        let relation = match self.any(expr, &mut Context::default())? {
            Any::Table(relation) => relation,
            // A scalar is a table of one cell.
            Any::Scalar(typed) => {
                let one = Relation::new(LogicalPlanBuilder::empty(true).build()?, Vec::new());
                self.project(&one, vec![("print_0".to_owned(), typed)], Vec::new())?
            }
        };
        let name = as_name(expr).map(str::to_owned);
        Ok(vec![self.finish(name, relation)?])
    }

    /// A table for each pipe.
    fn fork(&mut self, relation: Relation, branches: &'a Branches) -> Binding<Vec<BoundResult>> {
        let relation = self.materialize(relation)?;
        let mut results = Vec::new();
        for (name, body) in branches {
            self.render = None;
            let copy = self.renamed_copy(&relation)?;
            let result = self.pipe(copy, body)?;
            let name = name.as_ref().map(|name| name.text.as_str()).or_else(|| last_as(body));
            results.push(self.finish(name.map(str::to_owned), result)?);
        }
        Ok(results)
    }

    /// What the pipe gives, and then for each column its values and how often each is there.
    fn facet(
        &mut self,
        relation: Relation,
        by: &'a [Expr],
        body: Option<&'a [Operator]>,
    ) -> Binding<Vec<BoundResult>> {
        let relation = self.materialize(relation)?;
        let mut results = Vec::new();
        if let Some(body) = body {
            let copy = self.renamed_copy(&relation)?;
            let result = self.pipe(copy, body)?;
            results.push(self.finish(last_as(body).map(str::to_owned), result)?);
        }
        for column in by {
            let copy = self.renamed_copy(&relation)?;
            let facet = self.facet_of(copy, column)?;
            self.render = None;
            results.push(self.finish(facet.columns.first().map(|col| col.name.clone()), facet)?);
        }
        Ok(results)
    }

    /// The values of a column in their order, and how often each is there.
    pub(super) fn facet_of(&mut self, relation: Relation, column: &'a Expr) -> Binding<Relation> {
        let col = self.column_of(&relation, column)?;
        let count = crate::aggregates::lookup("count")
            .map(|aggregate| (aggregate.build)(crate::aggregates::no_arguments()));
        let Some(Ok(count)) = count else { return fault(column.span, "there is no count") };
        let mut names = Names::default();
        let name = names.free(&col.name);
        let count_name = names.free(&format!("count_{}", col.name));
        let fresh = self.fresh(&count_name);
        let counted = PlanExpr::Column(datafusion::common::Column::new_unqualified(&fresh));
        let mut facet = self.group(
            &relation,
            vec![(name, col.typed())],
            vec![(fresh, count.expr)],
            vec![(count_name, Typed::new(counted, KqlType::Long))],
        )?;
        let value = facet.columns.first().map(|col| PlanExpr::Column(col.column.clone()));
        facet.order = value.into_iter().map(|value| value.sort(true, true)).collect();
        if facet.parts.is_empty() {
            facet.plan = LogicalPlanBuilder::from(facet.plan).sort(facet.order.clone())?.build()?;
        }
        Ok(facet)
    }

    fn finish(&mut self, name: Option<String>, relation: Relation) -> Binding<BoundResult> {
        let columns: Vec<Column> =
            relation.columns.iter().map(|col| Column::new(&col.name, col.kind)).collect();
        // The plan's last step gives the columns the names that readers see; a name met twice keeps its number.
        let mut seen = HashSet::new();
        let mut exprs = Vec::with_capacity(relation.columns.len());
        for col in &relation.columns {
            let name = if seen.insert(col.name.clone()) { col.name.clone() } else { self.fresh(&col.name) };
            exprs.push(PlanExpr::Column(col.column.clone()).alias(name));
        }
        let plan = LogicalPlanBuilder::from(relation.plan).project(exprs)?.build()?;
        Ok(BoundResult { name, plan, columns, render: self.render.take() })
    }
}

/// The name that `as` gives at the end of a pipe.
fn last_as(operators: &[Operator]) -> Option<&str> {
    match operators.last().map(|operator| &operator.kind) {
        Some(OperatorKind::As(name)) => Some(&name.text),
        _ => None,
    }
}

fn as_name(expr: &Expr) -> Option<&str> {
    match &expr.kind {
        ExprKind::Pipe(_, operators) => last_as(operators),
        _ => None,
    }
}

/// Refuses an operator that gives several tables where one is needed.
pub(super) fn one_table<T>(span: Span, operator: &str, instead: &str) -> Binding<T> {
    let message = format!("`{operator}` gives several tables, and one is needed here");
    Err(Stop::Fault(Box::new(Diagnostic::new(span, message).with_help(instead))))
}
