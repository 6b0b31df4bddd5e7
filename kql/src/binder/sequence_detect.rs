//! `sequence_detect`: its steps, windows and dimensions.

use std::sync::Arc;

use datafusion::arrow::datatypes::Field;
use datafusion::functions_aggregate::expr_fn::bool_or;
use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlanBuilder};

use super::expression::fold;
use super::{Binder, Binding, Context, Relation, fault};
use crate::ast::{Argument, Expr, Name};
use crate::functions::Typed;
use crate::pass::Passed;
use crate::sequence::Detect;
use crate::types::KqlType;

impl<'a> Binder<'a> {
    /// A row for each way through the steps, in time, of rows that have the dimensions in common.
    pub(super) fn sequence_detect(
        &mut self,
        relation: Relation,
        name: &'a Name,
        args: &'a [Argument],
    ) -> Binding<Relation> {
        if !relation.parts.is_empty() || !relation.outer.is_empty() {
            return fault(
                name.span,
                "`sequence_detect` has dimensions of its own, and cannot stand in `partition` or `mv-apply`",
            );
        }
        let [timeline, step_window, span, rest @ ..] = args else {
            return fault(
                name.span,
                "a column of times, two timespans and the steps are needed: \
                 (TimeGenerated, 10m, 1h, first = Name == 'a', second = Name == 'b', User)",
            );
        };
        let timeline_name = self.auto_name(&timeline.value).unwrap_or_default();
        let time = self.scalar(&timeline.value, &mut Context::row(&relation))?;
        if time.kind != KqlType::Datetime {
            return fault(timeline.value.span, format!("a datetime is needed here, not a {}", time.kind));
        }
        let step_window = self.window_ticks(&step_window.value)?;
        let span = self.window_ticks(&span.value)?;

        // Steps are what is true or false; the dimensions begin where something is not.
        let mut steps: Vec<(String, Typed)> = Vec::new();
        let mut dimensions: Vec<(String, Typed)> = Vec::new();
        for arg in rest {
            let typed = self.scalar(&arg.value, &mut Context::row(&relation))?;
            let own = arg.name.as_ref().map(|name| name.text.clone());
            let own = own.or_else(|| self.auto_name(&arg.value)).unwrap_or_default();
            if dimensions.is_empty() && typed.kind == KqlType::Bool {
                steps.push((format!("{own}_{timeline_name}"), typed));
            } else {
                self.column_of(&relation, &arg.value)?;
                dimensions.push((own, typed));
            }
        }
        if steps.is_empty() {
            let at = rest.first().map_or(name.span, |arg| arg.value.span);
            return fault(
                at,
                "a step is needed here: something that is true or false, such as `Name == 'a'`",
            );
        }

        let mut keys: Vec<PlanExpr> = Vec::new();
        let mut fields = Vec::new();
        let mut columns = Vec::new();
        for (name, typed) in dimensions {
            let fresh = self.fresh(&name);
            keys.push(typed.expr.alias(&fresh));
            columns.push((name, fresh, typed.kind));
        }
        let time_key = self.fresh(&timeline_name);
        let order = columns.iter().map(|(_, fresh, _)| fresh).chain([&time_key]);
        let order: Vec<_> = order.map(|fresh| plan_column(fresh).sort(true, true)).collect();
        keys.push(time.expr.clone().alias(&time_key));
        // Rows of one instant are one: whether any of them is of a step.
        let mut met = Vec::new();
        let mut any: Option<PlanExpr> = None;
        let mut times = Vec::new();
        for (name, typed) in steps {
            let fresh = self.fresh(&name);
            met.push(bool_or(typed.expr.clone()).alias(&fresh));
            any = Some(match any {
                Some(others) => others.or(typed.expr),
                None => typed.expr,
            });
            times.push(fresh.clone());
            columns.push((name, fresh, KqlType::Datetime));
        }
        let matters = time.expr.is_not_null();
        let matters = match any {
            Some(any) => matters.and(any),
            None => matters,
        };
        let plan = LogicalPlanBuilder::from(relation.plan.clone())
            .filter(matters)?
            .aggregate(keys, met)?
            .sort(order)?
            .build()?;
        let dimension_count = columns.len() - times.len();
        for field in &plan.schema().fields()[..dimension_count] {
            fields.push(Field::clone(field).with_nullable(true));
        }
        let duration = self.fresh("Duration");
        let detect = Detect::new(fields, &times, &duration, step_window, span);
        columns.push(("Duration".to_owned(), duration, KqlType::Timespan));
        self.passed(Passed::new(plan, Arc::new(detect)), columns)
    }

    /// A constant timespan, in ticks.
    fn window_ticks(&mut self, value: &'a Expr) -> Binding<i64> {
        let typed = fold(self.scalar(value, &mut Context::default())?);
        match typed.constant().and_then(|value| value.as_long()) {
            Some(ticks) if typed.kind == KqlType::Timespan => Ok(ticks),
            _ => fault(value.span, "a constant timespan is needed here, such as `1h`"),
        }
    }
}

fn plan_column(name: &str) -> PlanExpr {
    PlanExpr::Column(datafusion::common::Column::new_unqualified(name))
}
