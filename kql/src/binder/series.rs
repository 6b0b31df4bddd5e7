//! `make-series`.

use datafusion::common::Column as PlanColumn;
use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlanBuilder, Operator as PlanOperator};
use serde_json::Value as Json;

use super::expression::fold;
use super::summarize::Names;
use super::types::{arithmetic, cast, compare};
use super::{Binder, Binding, Context, Relation, fault};
use crate::aggregates::{self, Series, grouped};
use crate::ast::{Expr, Named};
use crate::functions::{Kernel, Typed};
use crate::types::KqlType;
use crate::value::{Cells, Value, to_json};

/// The most places of a series.
const MAX_PLACES: i64 = 1_048_576;

/// Along what a series runs.
pub(super) struct Axis<'a> {
    pub(super) axis: &'a Named,
    pub(super) from: Option<&'a Expr>,
    pub(super) to: Option<&'a Expr>,
    pub(super) step: &'a Expr,
    /// Whether the end is a place of its own.
    pub(super) inclusive: bool,
}

impl<'a> Binder<'a> {
    pub(super) fn make_series(
        &mut self,
        relation: Relation,
        aggregates: &'a [(Named, Option<Expr>)],
        along: &Axis<'a>,
        by: &'a [Named],
    ) -> Binding<Relation> {
        let axis = self.scalar(&along.axis.value, &mut Context::row(&relation))?;
        let span = along.axis.value.span;
        if !matches!(axis.kind, KqlType::Datetime | KqlType::Timespan) && !axis.kind.is_numeric() {
            return fault(span, format!("a series cannot run along a {}", axis.kind));
        }
        let step = fold(self.scalar(along.step, &mut Context::default())?);
        let time = matches!(axis.kind, KqlType::Datetime | KqlType::Timespan);
        if time != (step.kind == KqlType::Timespan) {
            let message = format!("a series along a {} cannot have steps of type {}", axis.kind, step.kind);
            return fault(along.step.span, message);
        }
        let (from, to) = self.bounds(&relation, &axis, along, &step)?;
        for (bound, written) in [(&from, along.from), (&to, along.to), (&step, Some(along.step))] {
            if let (Some(Value::Null), Some(written)) = (bound.constant(), written) {
                return fault(written.span, "this is null, and bounds no series");
            }
        }
        let Some(places) = place_count(&axis, &from, &to, &step, along) else {
            return fault(along.step.span, "start, end and step do not make a series");
        };
        // Rows outside the axis do not count.
        let mut inside = compare(span, PlanOperator::GtEq, axis.clone(), from.clone(), true)?.expr;
        let end = if along.inclusive || along.to.is_none() { PlanOperator::LtEq } else { PlanOperator::Lt };
        inside = inside.and(compare(span, end, axis.clone(), to, true)?.expr);
        let plan = LogicalPlanBuilder::from(relation.plan.clone()).filter(inside)?.build()?;
        let relation = Relation { plan, ..relation };
        let distance = arithmetic(span, PlanOperator::Minus, axis.clone(), from.clone())?;
        let place = Kernel::call("place", vec![distance, step.clone()], KqlType::Long, |row| {
            match (row.get(0), row.get(1)) {
                (Value::Real(distance), step) | (step @ Value::Null, Value::Real(distance)) => step
                    .as_real()
                    .and_then(|step| crate::functions::convert::truncate((distance / step).floor()))
                    .into(),
                (distance, step) => match (distance.as_long(), step.as_long()) {
                    (Some(distance), Some(step)) => distance.checked_div_euclid(step).into(),
                    _ => Value::Null,
                },
            }
        });
        // First the aggregates of every place, then the places as one series.
        let mut names = Names::default();
        let mut keys = Vec::new();
        let mut context = Context::row(&relation);
        for key in by {
            let typed = self.scalar(&key.value, &mut context)?;
            keys.push((self.column_name(key, &mut names)?, typed));
        }
        let axis_name = match along.axis.names.first() {
            Some(name) => name.text.clone(),
            None => self.auto_name(&along.axis.value).unwrap_or_else(|| "Column1".to_owned()),
        };
        let mut context = Context { aggregates: Some(Vec::new()), ..Context::row(&relation) };
        let mut outputs = Vec::new();
        let mut defaults = Vec::new();
        for (aggregate, default) in aggregates {
            let typed = self.scalar(&aggregate.value, &mut context)?;
            let name = self.column_name(aggregate, &mut names)?;
            let default = match default {
                Some(default) => cast(fold(self.scalar(default, &mut Context::default())?), typed.kind),
                None => cast(Typed::literal(Value::Long(0), KqlType::Long), typed.kind),
            };
            let default = default.constant().map_or(Json::Null, |value| to_json(&value, typed.kind));
            defaults.push(Typed::literal(Value::from(default.to_string()), KqlType::Dynamic));
            outputs.push((name, typed));
        }
        let pending = context.aggregates.take().unwrap_or_default();
        let key_count = keys.len();
        keys.push(("$place".to_owned(), place));
        let placed = self.group(&relation, keys, pending, outputs)?;
        let place = placed.columns[key_count].typed();
        let length = Typed::literal(Value::Long(places), KqlType::Long);
        let mut series = Vec::new();
        let mut columns = Vec::new();
        for (col, default) in placed.columns[key_count + 1..].iter().zip(defaults) {
            let args = vec![place.clone(), col.typed(), length.clone(), default];
            let fresh = self.fresh(&col.name);
            series.push((fresh.clone(), grouped::call::<Series>("series", args, KqlType::Dynamic, None)));
            let column = PlanExpr::Column(PlanColumn::new_unqualified(fresh));
            columns.push((col.name.clone(), Typed::new(column, KqlType::Dynamic)));
        }
        let places = axis_values(&from, &step, places);
        columns.push((axis_name, Typed::literal(Value::json(&places), KqlType::Dynamic)));
        let keys = placed.columns[..key_count].iter().map(|col| (col.name.clone(), col.typed())).collect();
        self.group(&placed, keys, series, columns)
    }

    /// Where the series starts and ends; where the query does not say, the data does.
    fn bounds(
        &mut self,
        relation: &Relation,
        axis: &Typed,
        along: &Axis<'a>,
        step: &Typed,
    ) -> Binding<(Typed, Typed)> {
        let mut given = Vec::new();
        for expr in [along.from, along.to] {
            given.push(match expr {
                Some(expr) => Some(cast(fold(self.scalar(expr, &mut Context::default())?), axis.kind)),
                None => None,
            });
        }
        if let [Some(from), Some(to)] = given.as_slice() {
            return Ok((from.clone(), to.clone()));
        }
        let mut found = Vec::new();
        for (name, given) in ["min", "max"].into_iter().zip(given) {
            if let Some(given) = given {
                found.push(given);
                continue;
            }
            let span = along.axis.value.span;
            let arguments = aggregates::Arguments { args: vec![axis.clone()], filter: None, rank: None };
            let Some(Ok(extreme)) = aggregates::lookup(name).map(|aggregate| (aggregate.build)(arguments))
            else {
                return fault(span, "this axis has no bounds");
            };
            let fresh = self.fresh(name);
            let none: Vec<PlanExpr> = Vec::new();
            let plan = LogicalPlanBuilder::from(relation.plan.clone())
                .aggregate(none, vec![extreme.expr.alias(fresh)])?
                .build()?;
            let batches = self.rows(plan)?;
            let value = match batches.iter().find(|batch| batch.num_rows() > 0) {
                Some(batch) => Cells::new(batch.column(0).as_ref())?.get(0),
                None => Value::Null,
            };
            // Without rows the series is empty, wherever it lies.
            let value = if value == Value::Null { Value::Long(0) } else { value };
            found.push(Typed::literal(value, axis.kind));
        }
        let (Some(to), Some(from)) = (found.pop(), found.pop()) else {
            return fault(along.axis.value.span, "this axis has no bounds");
        };
        if along.from.is_some() {
            return Ok((from, to));
        }
        // The first place begins where `bin` would put it.
        let Some(bin) = crate::functions::lookup("bin") else { return Ok((from, to)) };
        let args = vec![(from, along.step.span), (step.clone(), along.step.span)];
        Ok((super::call::apply(bin, args, along.step.span)?, to))
    }
}

/// How many places there are from start to end.
fn place_count(axis: &Typed, from: &Typed, to: &Typed, step: &Typed, along: &Axis<'_>) -> Option<i64> {
    let with_end = along.inclusive || along.to.is_none();
    let (from, to, step) = (from.constant()?, to.constant()?, step.constant()?);
    let count = if axis.kind == KqlType::Real || matches!(step, Value::Real(_)) {
        let places = (to.as_real()? - from.as_real()?) / step.as_real()?;
        let places = if with_end { places.floor() + 1.0 } else { places.ceil() };
        crate::functions::convert::truncate(places)?
    } else {
        let (from, to, step) = (from.as_long()?, to.as_long()?, step.as_long()?);
        if step <= 0 {
            return None;
        }
        let length = to.checked_sub(from)?;
        if with_end {
            length.checked_div_euclid(step)?.checked_add(1)?
        } else {
            length.checked_add(step - 1)?.div_euclid(step)
        }
    };
    (0..=MAX_PLACES).contains(&count).then_some(count)
}

/// The values of the axis.
fn axis_values(from: &Typed, step: &Typed, places: i64) -> Json {
    let (Some(from_value), Some(step_value)) = (from.constant(), step.constant()) else { return Json::Null };
    (0..places)
        .map(|place| {
            let value = match (&from_value, &step_value) {
                (Value::Real(from), step) => {
                    Value::from(step.as_real().map(|step| from + step * place as f64))
                }
                (from, Value::Real(step)) => {
                    Value::from(from.as_real().map(|from| from + step * place as f64))
                }
                (from, step) => from
                    .as_long()
                    .zip(step.as_long())
                    .and_then(|(from, step)| from.checked_add(step.checked_mul(place)?))
                    .into(),
            };
            to_json(&value, from.kind)
        })
        .collect()
}
