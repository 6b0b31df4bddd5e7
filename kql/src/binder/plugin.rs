//! Plugins, as `evaluate` calls them.

use std::collections::HashSet;

use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    Expr as PlanExpr, LogicalPlanBuilder, WindowFrame, WindowFrameBound, WindowFrameUnits,
    WindowFunctionDefinition,
};
use serde_json::Value as Json;

use super::expression::truth;
use super::relation::free_name;
use super::types::{cast, text_literal};
use super::{Binder, Binding, Context, Relation, Stop, fault};
use crate::aggregates::{self, Keys, grouped};
use crate::ast::{Argument, Expr, ExprKind, Name};
use crate::diagnostics::Diagnostic;
use crate::functions::{Family, Typed};
use crate::json::Step;
use crate::plugins;
use crate::types::KqlType;
use crate::value::{Cells, Value};

/// The most sets of `dcount_intersect`.
const MAX_SETS: usize = 16;

/// The most columns that a plugin makes of the data.
const MAX_COLUMNS: usize = 1_000;

impl<'a> Binder<'a> {
    pub(super) fn evaluate(
        &mut self,
        relation: Relation,
        name: &'a Name,
        args: &'a [Argument],
        schema: Option<&'a [(Name, KqlType)]>,
    ) -> Binding<Relation> {
        match name.text.as_str() {
            "bag_unpack" => self.bag_unpack(relation, name, args, schema),
            "pivot" => self.pivot(relation, name, args),
            "narrow" => self.narrow(relation),
            "ipv4_lookup" => self.ip_lookup(relation, name, args, Family::V4),
            "ipv6_lookup" => self.ip_lookup(relation, name, args, Family::Both),
            "sequence_detect" => self.sequence_detect(relation, name, args),
            "autocluster" | "basket" | "diffpatterns" => self.patterns(relation, name, args),
            "dcount_intersect" => self.dcount_intersect(relation, name, args),
            "rows_near" => self.rows_near(relation, name, args),
            other => {
                if let Some(result) = self.activity(&relation, name, args) {
                    return result;
                }
                let message = match plugins::refused(other) {
                    Some(why) => format!("the plugin `{other}` is not supported: {why}"),
                    None => format!("the plugin `{other}` is not supported"),
                };
                let diagnostic = Diagnostic::new(name.span, message);
                let known = plugins::PLUGINS.iter().map(|plugin| plugin.name);
                Err(Stop::Fault(Box::new(diagnostic.did_you_mean(other, known))))
            }
        }
    }

    /// An argument by its place or its name, as a constant.
    fn plugin_constant(&mut self, args: &'a [Argument], index: usize, name: &str) -> Binding<Option<Json>> {
        let by_name = args.iter().find(|arg| arg.name.as_ref().is_some_and(|own| own.text == name));
        let Some(arg) = by_name.or_else(|| args.get(index).filter(|arg| arg.name.is_none())) else {
            return Ok(None);
        };
        let typed = self.scalar(&arg.value, &mut Context::default())?;
        match typed.constant() {
            Some(value) => Ok(Some(crate::value::to_json(&value, typed.kind))),
            None => fault(arg.value.span, "a constant is needed here"),
        }
    }

    fn bag_unpack(
        &mut self,
        relation: Relation,
        name: &'a Name,
        args: &'a [Argument],
        schema: Option<&'a [(Name, KqlType)]>,
    ) -> Binding<Relation> {
        let Some(arg) = args.first() else { return fault(name.span, "a column is missing") };
        let bag = self.scalar(&arg.value, &mut Context::row(&relation))?;
        if bag.kind != KqlType::Dynamic {
            return fault(arg.value.span, format!("a dynamic is needed, not a {}", bag.kind));
        }
        let prefix = self.plugin_constant(args, 1, "OutputColumnPrefix")?;
        let prefix = prefix.as_ref().and_then(Json::as_str).unwrap_or("").to_owned();
        let conflict = self.plugin_constant(args, 2, "columnsConflict")?;
        let conflict = conflict.as_ref().and_then(Json::as_str).unwrap_or("error").to_owned();
        let ignored = self.plugin_constant(args, 3, "ignoredProperties")?;
        let ignored: HashSet<String> = match ignored {
            Some(Json::Array(items)) => {
                items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
            }
            _ => HashSet::new(),
        };
        let wanted: Vec<(String, String, KqlType)> = match schema {
            Some(schema) => schema
                .iter()
                .map(|(column, kind)| {
                    let key = column.text.strip_prefix(&prefix).unwrap_or(&column.text);
                    (key.to_owned(), column.text.clone(), *kind)
                })
                .collect(),
            None => self
                .bag_keys(&relation, bag.clone())?
                .into_iter()
                .filter(|(key, _)| !ignored.contains(key))
                .map(|(key, kind)| (key.clone(), format!("{prefix}{key}"), kind))
                .collect(),
        };
        let unpacked = match &bag.expr {
            PlanExpr::Column(column) => Some(column.clone()),
            _ => None,
        };
        let mut columns: Vec<(String, Typed)> = relation
            .columns
            .iter()
            .filter(|col| Some(&col.column) != unpacked.as_ref())
            .filter(|col| schema.is_none() || !wanted.iter().any(|(_, column, _)| *column == col.name))
            .map(|col| (col.name.clone(), col.typed()))
            .collect();
        for (key, column, kind) in wanted {
            let value = cast(crate::functions::dynamic_path(bag.clone(), Step::Key(key)), kind);
            match columns.iter_mut().find(|(own, _)| *own == column) {
                None => columns.push((column, value)),
                Some(_) if conflict == "keep_source" => {}
                Some((_, own)) if conflict == "replace_source" => *own = value,
                Some(_) => {
                    return fault(
                        name.span,
                        format!("the column `{column}` is there already; say what to do by columnsConflict"),
                    );
                }
            }
        }
        self.project(&relation, columns, relation.hidden.clone())
    }

    /// The keys of the bags in a column, in order, each with the type of its values.
    fn bag_keys(&mut self, relation: &Relation, bag: Typed) -> Binding<Vec<(String, KqlType)>> {
        let keys =
            grouped::call::<Keys>("bag_keys_of", vec![bag], KqlType::Dynamic, None).alias(self.fresh("keys"));
        let none: Vec<PlanExpr> = Vec::new();
        let plan = LogicalPlanBuilder::from(relation.plan.clone()).aggregate(none, vec![keys])?.build()?;
        let mut found = Vec::new();
        for batch in self.rows(plan)? {
            let cells = Cells::new(batch.column(0).as_ref())?;
            for row in 0..batch.num_rows() {
                if let Json::Object(bag) = crate::json::parse(cells.text(row).unwrap_or("null")) {
                    found.extend(bag.into_iter().map(|(key, kind)| {
                        let kind = kind.as_str().and_then(KqlType::from_name).unwrap_or(KqlType::Dynamic);
                        (key, kind)
                    }));
                }
            }
        }
        found.truncate(MAX_COLUMNS);
        Ok(found)
    }

    /// A column for each value of one column, holding an aggregate over the rows of that value.
    fn pivot(&mut self, relation: Relation, name: &'a Name, args: &'a [Argument]) -> Binding<Relation> {
        let mut args = args.iter();
        let Some(arg) = args.next() else { return fault(name.span, "a column is missing") };
        let key = self.scalar(&arg.value, &mut Context::row(&relation))?;
        let text = cast(key.clone(), KqlType::String);
        let mut aggregate: Option<&'a Expr> = None;
        let mut by: Vec<(String, Typed)> = Vec::new();
        for arg in args {
            match &arg.value.kind {
                ExprKind::Call(call, _)
                    if aggregate.is_none() && aggregates::lookup(&call.text).is_some() =>
                {
                    aggregate = Some(&arg.value);
                }
                _ => {
                    let typed = self.scalar(&arg.value, &mut Context::row(&relation))?;
                    by.push((self.auto_name(&arg.value).unwrap_or_default(), typed));
                }
            }
        }
        if by.is_empty() {
            by = relation
                .columns
                .iter()
                .filter(|col| PlanExpr::Column(col.column.clone()) != key.expr)
                .filter(|col| aggregate.is_none_or(|aggregate| !aggregate.mentions(&col.name)))
                .map(|col| (col.name.clone(), col.typed()))
                .collect();
        }
        let fresh = self.fresh("pivot");
        let plan = LogicalPlanBuilder::from(relation.plan.clone())
            .project([text.expr.clone().alias(&fresh)])?
            .distinct()?
            .build()?;
        let mut values = Vec::new();
        for batch in self.rows(plan)? {
            let cells = Cells::new(batch.column(0).as_ref())?;
            values.extend((0..batch.num_rows()).filter_map(|row| cells.text(row).map(str::to_owned)));
        }
        values.sort();
        values.truncate(MAX_COLUMNS);
        let mut pending = Vec::new();
        let mut outputs = Vec::new();
        let mut taken: HashSet<String> = by.iter().map(|(name, _)| name.clone()).collect();
        for value in values {
            let is_value = text.expr.clone().eq(text_literal(&value));
            let mut context = Context { aggregates: Some(Vec::new()), ..Context::row(&relation) };
            let typed = match aggregate {
                Some(aggregate) => self.scalar(aggregate, &mut context)?,
                None => {
                    let fresh = self.fresh("count");
                    let count =
                        aggregates::lookup("count").map(|count| (count.build)(aggregates::no_arguments()));
                    let Some(Ok(count)) = count else { return fault(name.span, "there is no count") };
                    if let Some(list) = &mut context.aggregates {
                        list.push((fresh.clone(), count.expr));
                    }
                    let column = datafusion::common::Column::new_unqualified(fresh);
                    Typed::new(PlanExpr::Column(column), KqlType::Long)
                }
            };
            for (fresh, expr) in context.aggregates.take().unwrap_or_default() {
                pending.push((fresh, only_where(expr, is_value.clone())));
            }
            let column = free_name(&value, &taken);
            taken.insert(column.clone());
            outputs.push((column, typed));
        }
        self.group(&relation, by, pending, outputs)
    }

    /// A row for each cell: its row's number, its column and its value.
    fn narrow(&mut self, relation: Relation) -> Binding<Relation> {
        let (numbered, number) = self.number_rows(relation)?;
        let mut parts = Vec::new();
        for col in &numbered.columns {
            let columns = vec![
                (
                    "Row".to_owned(),
                    Typed::new(
                        number.clone() - PlanExpr::Literal(Value::Long(1).into_scalar(KqlType::Long), None),
                        KqlType::Long,
                    ),
                ),
                ("Column".to_owned(), Typed::literal(Value::text(col.name.as_str()), KqlType::String)),
                ("Value".to_owned(), cast(col.typed(), KqlType::String)),
            ];
            parts.push((columns, numbered.clone()));
        }
        let mut relations = Vec::new();
        for (columns, source) in parts {
            relations.push(self.project(&Relation { order: Vec::new(), ..source }, columns, Vec::new())?);
        }
        self.union_of(relations, false, None)
    }

    /// How many values sets have in common: the first, the first two, and so on.
    fn dcount_intersect(
        &mut self,
        relation: Relation,
        name: &'a Name,
        args: &'a [Argument],
    ) -> Binding<Relation> {
        if !(2..=MAX_SETS).contains(&args.len()) {
            return fault(name.span, format!("from 2 to {MAX_SETS} columns of `hll()` are needed"));
        }
        let mut sets = Vec::new();
        for arg in args {
            let typed = self.scalar(&arg.value, &mut Context::row(&relation))?;
            if typed.kind != KqlType::Dynamic {
                let message = format!("what `hll()` gives is needed here, not a {}", typed.kind);
                return fault(arg.value.span, message);
            }
            sets.push(typed);
        }
        let count = sets.len();
        let counts = crate::functions::dcount_intersect(sets);
        let columns = (0_i64..).take(count).map(|at| {
            let value = crate::functions::dynamic_path(counts.clone(), Step::Index(at));
            (format!("s{at}"), cast(value, KqlType::Long))
        });
        self.with_columns(&relation, columns.collect())
    }

    /// The rows around those for which a condition holds.
    fn rows_near(&mut self, relation: Relation, name: &'a Name, args: &'a [Argument]) -> Binding<Relation> {
        let [condition, before, after @ ..] = args else {
            return fault(name.span, "a condition and a number of rows are needed");
        };
        let holds = self.scalar(&condition.value, &mut Context::row(&relation))?;
        let holds = truth(holds, condition.value.span)?;
        let before = self.constant_count(&before.value)?;
        let after = match after.first() {
            Some(after) => self.constant_count(&after.value)?,
            None => before,
        };
        let relation = self.with_rank(relation)?;
        let near = WindowFrame::new_bounds(
            WindowFrameUnits::Rows,
            WindowFrameBound::Preceding(ScalarValue::UInt64(u64::try_from(after).ok())),
            WindowFrameBound::Following(ScalarValue::UInt64(u64::try_from(before).ok())),
        );
        let Some(rank) = relation.hidden.last().map(|rank| PlanExpr::Column(rank.column.clone())) else {
            return fault(name.span, "the rows have no order");
        };
        // A sum can let go of the rows that it leaves behind, as it moves on.
        let sum = WindowFunctionDefinition::AggregateUDF(sum_udaf());
        let mut window = WindowFunction::new(sum, vec![cast(holds, KqlType::Long).expr]);
        window.params.partition_by = relation.parts.iter().cloned().map(PlanExpr::Column).collect();
        window.params.order_by = vec![rank.sort(true, true)];
        window.params.window_frame = near;
        let fresh = self.fresh("near");
        let pending = vec![(fresh.clone(), PlanExpr::WindowFunction(Box::new(window)))];
        let mut relation = self.apply_windows(relation, pending)?;
        relation.hidden.pop();
        let near = PlanExpr::Column(datafusion::common::Column::new_unqualified(fresh));
        let none = Typed::literal(Value::Long(0), KqlType::Long).expr;
        relation.plan = LogicalPlanBuilder::from(relation.plan).filter(near.gt(none))?.build()?;
        Ok(relation)
    }
}

/// An aggregate over the rows that pass a condition as well as its own.
fn only_where(expr: PlanExpr, condition: PlanExpr) -> PlanExpr {
    match expr {
        PlanExpr::AggregateFunction(mut aggregate) => {
            let filter = match aggregate.params.filter.take() {
                Some(own) => own.and(condition),
                None => condition,
            };
            aggregate.params.filter = Some(Box::new(filter));
            PlanExpr::AggregateFunction(aggregate)
        }
        other => other,
    }
}
