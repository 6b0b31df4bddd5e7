//! `ipv4_lookup` and `ipv6_lookup`: rows beside those of a table whose range holds their address.

use std::sync::Arc;

use datafusion::common::{Column as PlanColumn, JoinType, UnnestOptions};
use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlanBuilder};

use super::call::packed;
use super::relation::names_beside;
use super::types::{cast, not_null_text};
use super::{Binder, Binding, Context, Relation, fault};
use crate::ast::{Argument, ExprKind, Literal, Name};
use crate::functions::{self, Family, Ranges, Typed};
use crate::types::KqlType;
use crate::value::{Cells, Value};

impl<'a> Binder<'a> {
    /// The ranges are read first. Each row then names those that hold its address, and meets the table's rows by name, so
    /// that the work grows with the rows and not with rows times ranges.
    pub(super) fn ip_lookup(
        &mut self,
        left: Relation,
        name: &'a Name,
        args: &'a [Argument],
        family: Family,
    ) -> Binding<Relation> {
        let mut placed: Vec<&'a Argument> = args.iter().filter(|arg| arg.name.is_none()).collect();
        // Keys are columns, so that a truth value at the end can only be whether to keep what is not matched.
        let last = placed.pop_if(|last| matches!(last.value.kind, ExprKind::Literal(Literal::Bool(_))));
        let named =
            args.iter().find(|arg| arg.name.as_ref().is_some_and(|own| own.text == "return_unmatched"));
        let unmatched = match named.or(last) {
            Some(arg) => {
                self.scalar(&arg.value, &mut Context::default())?.constant() == Some(Value::Bool(true))
            }
            None => false,
        };
        let [table, address, range, keys @ ..] = placed.as_slice() else {
            return fault(name.span, "a table, an address and a range are needed");
        };
        let right = self.table(&table.value, &mut Context::default())?;
        let address_at = address.value.span;
        let address = self.scalar(&address.value, &mut Context::row(&left))?;
        let mut of_left = Vec::new();
        let mut of_right = vec![self.scalar(&range.value, &mut Context::row(&right))?];
        for (typed, at) in [(&address, address_at), (&of_right[0], range.value.span)] {
            if !matches!(typed.kind, KqlType::String | KqlType::Dynamic) {
                return fault(at, format!("an address is a string, not a {}", typed.kind));
            }
        }
        for key in keys {
            let of_row = self.scalar(&key.value, &mut Context::row(&left))?;
            let of_range = self.scalar(&key.value, &mut Context::row(&right))?;
            let whole = |kind| matches!(kind, KqlType::Int | KqlType::Long);
            if of_row.kind != of_range.kind && !(whole(of_row.kind) && whole(of_range.kind)) {
                let message =
                    format!("this key is a {} here and a {} in the table", of_row.kind, of_range.kind);
                return fault(key.value.span, message);
            }
            of_left.push(of_row);
            of_right.push(of_range);
        }
        let at = |values: Vec<Typed>| values.into_iter().map(|value| (value, name.span)).collect();
        let entry = packed(at(of_right), name.span)?;
        let ranges = self.ranges(&right, &entry, family)?;
        let keys = match of_left.is_empty() {
            true => Typed::literal(Value::text("[]"), KqlType::Dynamic),
            false => packed(at(of_left), name.span)?,
        };

        let entry_name = self.fresh("entry");
        let mut beside: Vec<PlanExpr> =
            right.plan.schema().columns().into_iter().map(PlanExpr::Column).collect();
        beside.push(entry.expr.alias(&entry_name));
        let beside = LogicalPlanBuilder::from(right.plan.clone()).project(beside)?.build()?;

        let holding = self.fresh("holding");
        let mut exprs: Vec<PlanExpr> =
            left.plan.schema().columns().into_iter().map(PlanExpr::Column).collect();
        exprs.push(
            functions::ranges_holding(ranges, unmatched, cast(address, KqlType::String).expr, keys.expr)
                .alias(&holding),
        );
        let holding = PlanColumn::new_unqualified(holding);
        let kind = if unmatched { JoinType::Left } else { JoinType::Inner };
        let plan = LogicalPlanBuilder::from(left.plan.clone())
            .project(exprs)?
            .unnest_columns_with_options(
                vec![holding.clone()],
                UnnestOptions::new().with_preserve_nulls(false),
            )?
            .join(beside, kind, (vec![holding], vec![PlanColumn::new_unqualified(entry_name)]), None)?
            .build()?;

        let mut columns: Vec<(String, Typed)> =
            left.columns.iter().map(|col| (col.name.clone(), col.typed())).collect();
        for (column, col) in names_beside(left.names(), right.names()).into_iter().zip(&right.columns) {
            let mut typed = col.typed();
            if unmatched && typed.kind == KqlType::String {
                typed.expr = not_null_text(typed.expr);
            }
            columns.push((column, typed));
        }
        let joined = Relation { plan, order: Vec::new(), ..left.clone() };
        self.project(&joined, columns, left.hidden.clone())
    }

    /// The ranges of a table, each with its keys.
    fn ranges(&mut self, right: &Relation, entry: &Typed, family: Family) -> Binding<Arc<Ranges>> {
        let fresh = self.fresh("entry");
        let plan = LogicalPlanBuilder::from(right.plan.clone())
            .project([entry.expr.clone().alias(fresh)])?
            .distinct()?
            .build()?;
        let batches = self.rows(plan)?;
        let cells: Vec<Cells<'_>> =
            batches.iter().map(|batch| Cells::new(batch.column(0).as_ref())).collect::<Result<_, _>>()?;
        let entries = cells
            .iter()
            .zip(&batches)
            .flat_map(|(cells, batch)| (0..batch.num_rows()).filter_map(|row| cells.text(row)));
        Ok(Arc::new(Ranges::new(family, entries)))
    }
}
