//! `summarize`, `distinct`, and what groups rows like them.

use std::collections::HashSet;

use datafusion::common::Column as PlanColumn;
use datafusion::functions::core::expr_fn::{coalesce, get_field};
use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlanBuilder};

use super::expression::truth;
use super::relation::free_name;
use super::types::{cast, coerce, not_null_text};
use super::{Binder, Binding, Context, Relation, fault};
use crate::aggregates::{self, Aggregate, Arguments, Naming};
use crate::ast::{Argument, Expr, ExprKind, Name, Named, Span};
use crate::functions::Typed;
use crate::types::KqlType;
use crate::value::Value;

/// The columns that one expression of a `summarize` gives.
type Outputs = Vec<(String, Typed)>;

impl<'a> Binder<'a> {
    pub(super) fn summarize(
        &mut self,
        relation: Relation,
        aggregates: &'a [Named],
        by: &'a [Named],
    ) -> Binding<Relation> {
        let mut names = Names::default();
        let mut keys: Vec<(String, Typed)> = Vec::new();
        let mut windows = Context { windows: Some(Vec::new()), ..Context::row(&relation) };
        for key in by {
            let typed = self.scalar(&key.value, &mut windows)?;
            let typed = groupable(typed, key.value.span)?;
            keys.push((self.column_name(key, &mut names)?, typed));
        }
        let mut relation = self.apply_pending(relation.clone(), &mut windows)?;
        if !relation.order.is_empty() && aggregates.iter().any(|aggregate| wants_order(&aggregate.value)) {
            relation = self.with_rank(relation)?;
        }
        let mut context = Context { aggregates: Some(Vec::new()), ..Context::row(&relation) };
        let mut outputs: Outputs = Vec::new();
        // `*` stands for the columns that are not keys as they are.
        let grouped_by: HashSet<PlanColumn> = keys
            .iter()
            .filter_map(|(_, key)| match &key.expr {
                PlanExpr::Column(column) => Some(column.clone()),
                _ => None,
            })
            .collect();
        for aggregate in aggregates {
            let outputs_of = self.aggregate(aggregate, &relation, &grouped_by, &mut context)?;
            for (at, (name, typed)) in outputs_of.into_iter().enumerate() {
                let name = match (aggregate.names.get(at), name) {
                    (Some(own), _) => names.chosen(&own.text, own.span)?,
                    (None, Some(name)) => names.free(&name),
                    (None, None) => {
                        let name = names.unnamed();
                        names.free(&name)
                    }
                };
                outputs.push((name, typed));
            }
        }
        let pending = context.aggregates.take().unwrap_or_default();
        self.group(&relation, keys, pending, outputs)
    }

    /// Groups a relation, inside the parts it is divided into.
    pub(super) fn group(
        &mut self,
        relation: &Relation,
        keys: Vec<(String, Typed)>,
        mut aggregates: Vec<(String, PlanExpr)>,
        outputs: Outputs,
    ) -> Binding<Relation> {
        let mut group_exprs = Vec::new();
        let mut columns = Vec::new();
        for (name, typed) in keys {
            let fresh = self.fresh(&name);
            group_exprs.push(typed.expr.alias(&fresh));
            let column = PlanExpr::Column(PlanColumn::new_unqualified(fresh));
            columns.push((name, Typed::new(column, typed.kind)));
        }
        let mut grouped = relation.clone();
        grouped.order = Vec::new();
        grouped.hidden = Vec::new();
        for part in &relation.parts {
            group_exprs.push(PlanExpr::Column(part.clone()));
        }
        for col in &mut grouped.outer {
            let fresh = self.fresh(&col.name);
            let any = aggregates::lookup("take_any").map(|aggregate| aggregate.build);
            let args = Arguments { args: vec![col.typed()], filter: None, rank: None };
            if let Some(Ok(any)) = any.map(|build| build(args)) {
                aggregates.push((fresh.clone(), any.expr));
            }
            col.column = PlanColumn::new_unqualified(fresh);
        }
        let aggregate_exprs: Vec<PlanExpr> =
            aggregates.into_iter().map(|(name, expr)| expr.alias(name)).collect();
        let builder = LogicalPlanBuilder::from(relation.plan.clone());
        grouped.plan = if aggregate_exprs.is_empty() {
            builder.project(group_exprs)?.distinct()?.build()?
        } else {
            builder.aggregate(group_exprs, aggregate_exprs)?.build()?
        };
        columns.extend(outputs);
        self.project(&grouped, columns, Vec::new())
    }

    /// The columns that one expression after `summarize` gives.
    fn aggregate(
        &mut self,
        named: &'a Named,
        relation: &Relation,
        groups: &HashSet<PlanColumn>,
        context: &mut Context<'_>,
    ) -> Binding<Vec<(Option<String>, Typed)>> {
        if let ExprKind::Call(name, args) = &named.value.kind
            && super::lookup(&self.scope, &name.text).is_none()
        {
            let outputs = match name.text.as_str() {
                "arg_max" | "arg_min" | "argmax" | "argmin" => {
                    Some(self.arg_best(name, args, relation, groups, context)?)
                }
                "percentile" | "percentiles" | "percentilew" | "percentilesw" => {
                    Some(self.percentiles(name, args, context)?)
                }
                "percentiles_array" | "percentilesw_array" => {
                    Some(self.percentiles_array(name, args, context)?)
                }
                "take_any" | "any"
                    if args.len() > 1
                        || matches!(args.first(), Some(arg) if arg.value.kind == ExprKind::Star) =>
                {
                    Some(self.any_row(name, args, relation, groups, context)?)
                }
                _ => None,
            };
            if let Some(mut outputs) = outputs {
                for (output, name) in outputs.iter_mut().zip(&named.names) {
                    output.0 = name.text.clone();
                }
                return Ok(outputs.into_iter().map(|(name, typed)| (Some(name), typed)).collect());
            }
        }
        let typed = self.scalar(&named.value, context)?;
        let is_pending = |name: &str| context.aggregates.iter().flatten().any(|(pending, _)| pending == name);
        if !typed.expr.column_refs().iter().all(|column| is_pending(&column.name)) {
            return fault(
                named.value.span,
                "an aggregate is needed here, such as `count()` or `max(…)`; keys come after `by`",
            );
        }
        let name = match named.names.first() {
            Some(name) => Some(name.text.clone()),
            None => self.auto_name(&named.value),
        };
        Ok(vec![(name, typed)])
    }

    /// The call of an aggregate within a larger expression.
    pub(super) fn aggregate_call(
        &mut self,
        aggregate: &'static Aggregate,
        name: &'a Name,
        args: &'a [Argument],
        context: &mut Context<'_>,
    ) -> Binding<Typed> {
        if aggregate.naming == Naming::Several {
            let first = match name.text.as_str() {
                "percentiles_array" | "percentilesw_array" => self.percentiles_array(name, args, context)?,
                "arg_max" | "arg_min" => {
                    let Some(relation) = context.row else {
                        return fault(name.span, "there are no rows here");
                    };
                    self.arg_best(name, args, relation, &HashSet::new(), context)?
                }
                _ => self.percentiles(name, args, context)?,
            };
            return match first.into_iter().next() {
                Some((_, typed)) => Ok(typed),
                None => fault(name.span, "an argument is missing"),
            };
        }
        let arguments = self.aggregate_args(aggregate, name, args, context)?;
        self.push(aggregate.build, arguments, name, context)
    }

    /// Adds an aggregate to those of the operator, and gives the column that will hold it.
    fn push(
        &mut self,
        build: fn(Arguments) -> Result<aggregates::Aggregated, String>,
        arguments: Arguments,
        name: &Name,
        context: &mut Context<'_>,
    ) -> Binding<Typed> {
        let aggregated = match build(arguments) {
            Ok(aggregated) => aggregated,
            Err(problem) => return fault(name.span, problem),
        };
        let column = self.pending(&name.text, aggregated.expr, context);
        let expr = match aggregated.empty {
            Some(empty) => {
                coalesce(vec![column, PlanExpr::Literal(empty.into_scalar(aggregated.kind), None)])
            }
            None if aggregated.kind == KqlType::String => not_null_text(column),
            None => column,
        };
        Ok(Typed::new(expr, aggregated.kind))
    }

    /// The column that will hold an aggregate. What is asked for twice is worked out once.
    fn pending(&mut self, name: &str, aggregate: PlanExpr, context: &mut Context<'_>) -> PlanExpr {
        let fresh = self.fresh(name);
        let pending = context.aggregates.get_or_insert_default();
        let name = match pending.iter().find(|(_, known)| *known == aggregate) {
            Some((known, _)) => known.clone(),
            None => {
                pending.push((fresh.clone(), aggregate));
                fresh
            }
        };
        PlanExpr::Column(PlanColumn::new_unqualified(name))
    }

    fn aggregate_args(
        &mut self,
        aggregate: &'static Aggregate,
        name: &'a Name,
        args: &'a [Argument],
        context: &mut Context<'_>,
    ) -> Binding<Arguments> {
        // Aggregates do not stand within one another.
        let mut inner = Context { row: context.row, ..Context::default() };
        let mut bound = Vec::with_capacity(args.len());
        for arg in args {
            let typed = if arg.value.kind == ExprKind::Star {
                Typed::literal(Value::Long(1), KqlType::Long)
            } else {
                self.scalar(&arg.value, &mut inner)?
            };
            bound.push((typed, arg.value.span));
        }
        // `count(x)` with an argument counts all rows, as Kusto's engine lets it.
        if aggregate.name == "count" {
            bound.clear();
        }
        if bound.len() < aggregate.signature.required {
            return fault(
                name.span,
                format!("`{}{}` is missing an argument", aggregate.name, aggregate.written),
            );
        }
        let mut filter = None;
        let mut values = Vec::with_capacity(bound.len());
        for (index, (typed, span)) in bound.into_iter().enumerate() {
            if aggregate.predicate == Some(index) {
                filter = Some(truth(typed, span)?.expr);
                continue;
            }
            let Some(param) = aggregate.signature.param(index) else {
                return fault(
                    span,
                    format!("`{}{}` takes no further argument", aggregate.name, aggregate.written),
                );
            };
            match coerce(typed, param) {
                Ok(typed) => values.push(typed),
                Err(problem) => return fault(span, problem),
            }
        }
        let rank = context.row.and_then(|row| row.find(RANK)).map(|col| col.typed());
        Ok(Arguments { args: values, filter, rank })
    }

    /// `arg_max(key, columns)`: the key, then the columns.
    fn arg_best(
        &mut self,
        name: &'a Name,
        args: &'a [Argument],
        relation: &Relation,
        groups: &HashSet<PlanColumn>,
        context: &mut Context<'_>,
    ) -> Binding<Outputs> {
        let mut wanted = Vec::new();
        for (index, arg) in args.iter().enumerate() {
            if arg.value.kind == ExprKind::Star {
                let key = wanted.first().map(|(name, _): &(String, Typed)| name.clone());
                for col in &relation.columns {
                    if !groups.contains(&col.column) && key.as_ref() != Some(&col.name) {
                        wanted.push((col.name.clone(), col.typed()));
                    }
                }
                continue;
            }
            let mut inner = Context { row: context.row, ..Context::default() };
            let typed = self.scalar(&arg.value, &mut inner)?;
            if index == 0 && matches!(typed.kind, KqlType::Dynamic | KqlType::Guid) {
                let message = format!("a {} has no order; `tostring()` makes a string of it", typed.kind);
                return fault(arg.value.span, message);
            }
            let auto = match &arg.name {
                Some(name) => name.text.clone(),
                None => self.auto_name(&arg.value).unwrap_or_else(|| match index {
                    0 => if name.text.ends_with("max") { "max_" } else { "min_" }.to_owned(),
                    _ => {
                        let key = args.first().and_then(|key| self.auto_name(&key.value)).unwrap_or_default();
                        format!("{}_{key}_arg{index}", if name.text.ends_with("max") { "max" } else { "min" })
                    }
                }),
            };
            wanted.push((auto, typed));
        }
        if wanted.is_empty() {
            return fault(name.span, "the key is missing");
        }
        let values = wanted.iter().map(|(_, typed)| typed.clone()).collect();
        let best = aggregates::best(values, name.text.ends_with("max"), None);
        Ok(self.struct_outputs(&name.text, best, wanted, 0, context))
    }

    /// `take_any(a, b)`, `take_any(*)`: one row.
    fn any_row(
        &mut self,
        name: &'a Name,
        args: &'a [Argument],
        relation: &Relation,
        groups: &HashSet<PlanColumn>,
        context: &mut Context<'_>,
    ) -> Binding<Outputs> {
        let mut wanted = vec![(String::new(), Typed::literal(Value::Bool(true), KqlType::Bool))];
        let prefix = if name.text == "any" { "any_" } else { "" };
        for arg in args {
            if arg.value.kind == ExprKind::Star {
                let cols = relation.columns.iter().filter(|col| !groups.contains(&col.column));
                wanted.extend(cols.map(|col| (format!("{prefix}{}", col.name), col.typed())));
                continue;
            }
            let mut inner = Context { row: context.row, ..Context::default() };
            let typed = self.scalar(&arg.value, &mut inner)?;
            let auto = self.auto_name(&arg.value).unwrap_or_default();
            wanted.push((format!("{prefix}{auto}"), typed));
        }
        let values = wanted.iter().map(|(_, typed)| typed.clone()).collect();
        let row = aggregates::best(values, true, None);
        Ok(self.struct_outputs(&name.text, row, wanted, 1, context))
    }

    fn struct_outputs(
        &mut self,
        name: &str,
        aggregate: PlanExpr,
        wanted: Vec<(String, Typed)>,
        skip: usize,
        context: &mut Context<'_>,
    ) -> Outputs {
        let column = self.pending(name, aggregate, context);
        let outputs = wanted.into_iter().enumerate().skip(skip).map(|(index, (name, typed))| {
            let field = get_field(column.clone(), aggregates::field_name(index));
            let field = if typed.kind == KqlType::String { not_null_text(field) } else { field };
            (name, Typed::new(field, typed.kind))
        });
        outputs.collect()
    }

    fn percentiles(
        &mut self,
        name: &'a Name,
        args: &'a [Argument],
        context: &mut Context<'_>,
    ) -> Binding<Outputs> {
        let weighted = matches!(name.text.as_str(), "percentilew" | "percentilesw");
        let fixed = if weighted { 2 } else { 1 };
        let mut inner = Context { row: context.row, ..Context::default() };
        if args.len() <= fixed {
            return fault(name.span, "a percentile is missing");
        }
        let value = self.scalar(&args[0].value, &mut inner)?;
        let weight = if weighted { Some(self.scalar(&args[1].value, &mut inner)?) } else { None };
        let base = self.auto_name(&args[0].value).unwrap_or_default();
        let mut outputs = Vec::new();
        for arg in &args[fixed..] {
            let percent = cast(self.scalar(&arg.value, &mut inner)?, KqlType::Real);
            let Some(Value::Real(number)) = percent.constant() else {
                return fault(arg.value.span, "a percentile has to be a constant");
            };
            let mut values = vec![value.clone(), percent];
            values.extend(weight.clone());
            let arguments = Arguments { args: values, filter: None, rank: None };
            let Some(percentile) = aggregates::lookup("percentile") else {
                return fault(name.span, "there are no percentiles");
            };
            let typed = self.push(percentile.build, arguments, name, context)?;
            let number = crate::format::real_text(number).replace('.', "_");
            outputs.push((format!("percentile_{base}_{number}"), typed));
        }
        Ok(outputs)
    }

    fn percentiles_array(
        &mut self,
        name: &'a Name,
        args: &'a [Argument],
        context: &mut Context<'_>,
    ) -> Binding<Outputs> {
        let weighted = name.text == "percentilesw_array";
        let fixed = if weighted { 2 } else { 1 };
        if args.len() <= fixed {
            return fault(name.span, "the percentiles are missing");
        }
        let mut inner = Context { row: context.row, ..Context::default() };
        let value = self.scalar(&args[0].value, &mut inner)?;
        let weight = if weighted { Some(self.scalar(&args[1].value, &mut inner)?) } else { None };
        let base = self.auto_name(&args[0].value).unwrap_or_default();
        let mut percents = Vec::new();
        for arg in &args[fixed..] {
            let typed = self.scalar(&arg.value, &mut inner)?;
            let kind = typed.kind;
            match typed.constant().map(|value| crate::value::to_json(&value, kind)) {
                Some(serde_json::Value::Array(items)) => percents.extend(items),
                Some(item) => percents.push(item),
                None => return fault(arg.value.span, "percentiles have to be constants"),
            }
        }
        let percents = Typed::literal(Value::json(&serde_json::Value::Array(percents)), KqlType::Dynamic);
        let mut values = vec![value, percents];
        values.extend(weight);
        let Some(aggregate) = aggregates::lookup(&name.text) else {
            return fault(name.span, "unknown aggregate");
        };
        let arguments = Arguments { args: values, filter: None, rank: None };
        let typed = self.push(aggregate.build, arguments, name, context)?;
        Ok(vec![(format!("percentiles_{base}"), typed)])
    }

    pub(super) fn distinct(&mut self, relation: Relation, columns: &'a [Named]) -> Binding<Relation> {
        if let [only] = columns
            && only.value.kind == ExprKind::Star
        {
            let mut keys = Vec::with_capacity(relation.columns.len());
            for col in &relation.columns {
                keys.push((col.name.clone(), groupable(col.typed(), only.value.span)?));
            }
            return self.group(&relation, keys, Vec::new(), Vec::new());
        }
        let mut names = Names::default();
        let mut keys = Vec::new();
        let mut context = Context::row(&relation);
        for column in columns {
            let typed = groupable(self.scalar(&column.value, &mut context)?, column.value.span)?;
            keys.push((self.column_name(column, &mut names)?, typed));
        }
        self.group(&relation, keys, Vec::new(), Vec::new())
    }

    /// The name that a column gets: the one written, one made from the expression, or `Column1` and on.
    pub(super) fn column_name(&self, named: &Named, names: &mut Names) -> Binding<String> {
        let written = named.names.first().map(|name| (name.text.clone(), name.span));
        let Some((name, span)) =
            written.or_else(|| self.auto_name(&named.value).map(|name| (name, named.value.span)))
        else {
            let name = names.unnamed();
            names.taken.insert(name.clone());
            return Ok(name);
        };
        if named.names.is_empty() && !matches!(named.value.kind, ExprKind::Name(_)) {
            return Ok(names.free(&name));
        }
        names.chosen(&name, span)
    }

    /// The name that an expression has by itself.
    pub(super) fn auto_name(&self, expr: &Expr) -> Option<String> {
        match &expr.kind {
            ExprKind::Name(name) => Some(name.clone()),
            ExprKind::Member(base, name) => match &base.kind {
                ExprKind::Name(side) if side == "$left" || side == "$right" => Some(name.text.clone()),
                _ => Some(match self.auto_name(base) {
                    Some(base) => format!("{base}_{}", name.text),
                    None => name.text.clone(),
                }),
            },
            ExprKind::Index(base, index) => match &index.kind {
                ExprKind::Literal(crate::ast::Literal::String(key)) => {
                    Some(format!("{}_{key}", self.auto_name(base)?))
                }
                ExprKind::Literal(crate::ast::Literal::Long(Some(at))) => {
                    Some(format!("{}_{at}", self.auto_name(base)?))
                }
                _ => Some(format!("{}_", self.auto_name(base)?)),
            },
            ExprKind::Call(name, args) => self.call_name(&name.text, args),
            _ => None,
        }
    }

    fn call_name(&self, name: &str, args: &[Argument]) -> Option<String> {
        // An argument's own name stands for it, as in `sum(Bytes = SentBytes)`.
        let first = || {
            let arg = args.first()?;
            arg.name.as_ref().map(|name| name.text.clone()).or_else(|| self.auto_name(&arg.value))
        };
        match name {
            "hll_merge" if args.len() > 1 => return Some("hll_merged_result".to_owned()),
            "merge_tdigest" | "tdigest_merge" if args.len() > 1 => {
                return Some("tdigests_merge_result".to_owned());
            }
            _ => {}
        }
        if let Some(aggregate) = aggregates::lookup(name) {
            return match aggregate.naming {
                Naming::Prefix(prefix) => Some(format!("{prefix}_{}", first().unwrap_or_default())),
                Naming::Argument => first(),
                Naming::Several => None,
            };
        }
        match name {
            "column_ifexists" | "columnifexists" => match args.first().map(|arg| &arg.value.kind) {
                Some(ExprKind::Literal(crate::ast::Literal::String(name))) => Some(name.clone()),
                _ => None,
            },
            "array_sort_asc" | "array_sort_desc" => first().map(|name| format!("{name}_sorted")),
            "treepath" => Some(format!("tree_{}", first().unwrap_or_default())),
            "strlen" | "string_size" | "repeat" | "dcount_hll" | "percentile_tdigest" => {
                Some(format!("{name}_{}", first().unwrap_or_default()))
            }
            "percentiles_array_tdigest" => {
                Some(format!("percentile_tdigest_{}", first().unwrap_or_default()))
            }
            "gettype" => Some(format!("type_{}", first().unwrap_or_default())),
            "ingestion_time" => Some("$IngestionTime".to_owned()),
            "make_datetime" | "make_timespan" if args.len() > 1 => None,
            _ if crate::functions::named_by_argument(name) => first(),
            _ => None,
        }
    }
}

/// The names that the columns of one operator have got so far.
#[derive(Default)]
pub(super) struct Names {
    pub(super) taken: HashSet<String>,
    /// Those of them that the query chose itself.
    pub(super) chosen: HashSet<String>,
    pub(super) unnamed: usize,
}

impl Names {
    /// A name that an expression suggests: it gives way to one that is there.
    pub(super) fn free(&mut self, name: &str) -> String {
        let name = free_name(name, &self.taken);
        self.taken.insert(name.clone());
        name
    }

    /// A name that the query chose; it may choose it only once.
    pub(super) fn chosen(&mut self, name: &str, span: Span) -> Binding<String> {
        if !self.chosen.insert(name.to_owned()) {
            return fault(span, format!("there are two columns `{name}` here"));
        }
        Ok(self.free(name))
    }

    /// The name of the next column that has none.
    pub(super) fn unnamed(&mut self) -> String {
        loop {
            self.unnamed += 1;
            let name = format!("Column{}", self.unnamed);
            if !self.taken.contains(&name) {
                return name;
            }
        }
    }
}

/// The hidden column that holds a row's place in the order.
pub(super) const RANK: &str = "$rank";

/// A key to group by, which a dynamic cannot be: it has no one form.
fn groupable(typed: Typed, span: Span) -> Binding<Typed> {
    if typed.kind == KqlType::Dynamic {
        return fault(span, "a dynamic cannot be grouped by; `tostring()` makes a string of it");
    }
    Ok(typed)
}

fn wants_order(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Call(name, args) => {
            name.text.starts_with("make_list")
                || name.text == "makelist"
                || args.iter().any(|arg| wants_order(&arg.value))
        }
        ExprKind::Binary(_, left, right) => wants_order(left) || wants_order(right),
        ExprKind::Index(base, _) | ExprKind::Member(base, _) => wants_order(base),
        _ => false,
    }
}
