//! Tabular operators that work row by row or on the list of columns.

use std::collections::{BTreeMap, HashSet};

use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlanBuilder, SortExpr};

use super::expression::{fold, truth};
use super::results::one_table;
use super::search::case_sensitive;
use super::source::matches_wildcard;
use super::summarize::Names;
use super::types::cast;
use super::{Any, Binder, Binding, Col, Context, Definition, Relation, Stop, fault, with};
use crate::ast::{
    Expr, ExprKind, Literal, Named, Operator, OperatorKind, ReorderDirection, Setting, SortKey, Span,
};
use crate::diagnostics::Diagnostic;
use crate::engine::RenderHint;
use crate::functions::{Kernel, Typed};
use crate::json::Step;
use crate::types::KqlType;
use crate::value::{Builder, Value};

impl<'a> Binder<'a> {
    pub(super) fn operator(&mut self, relation: Relation, operator: &'a Operator) -> Binding<Relation> {
        let span = operator.span;
        match &operator.kind {
            OperatorKind::Where(predicate) => self.filter(relation, predicate),
            OperatorKind::Extend(columns) => self.extend(relation, columns),
            OperatorKind::Serialize(columns) => self.extend(relation, columns),
            OperatorKind::Project(columns) => self.project_operator(relation, columns),
            OperatorKind::ProjectAway(patterns) => {
                let away = self.selected(&relation, patterns)?;
                let kept = relation.columns.iter().filter(|col| !away.contains(&col.name));
                let kept = kept.map(|col| (col.name.clone(), col.typed())).collect();
                self.project(&relation, kept, relation.hidden.clone())
            }
            OperatorKind::ProjectKeep(patterns) => {
                let keep = self.selected(&relation, patterns)?;
                let kept = relation.columns.iter().filter(|col| keep.contains(&col.name));
                let kept = kept.map(|col| (col.name.clone(), col.typed())).collect();
                self.project(&relation, kept, relation.hidden.clone())
            }
            OperatorKind::ProjectRename(columns) => self.rename(relation, columns),
            OperatorKind::ProjectReorder(columns) => self.reorder(relation, columns),
            OperatorKind::ProjectByNames(columns) => self.project_by_names(relation, columns),
            OperatorKind::Summarize { aggregates, by } => self.summarize(relation, aggregates, by),
            OperatorKind::Distinct(columns) => self.distinct(relation, columns),
            OperatorKind::Count(name) => {
                let name = name.as_ref().map_or("Count", |name| name.text.as_str());
                self.count(&relation, name)
            }
            OperatorKind::Take(count) => {
                let count = self.constant_count(count)?;
                self.take(relation, count)
            }
            OperatorKind::Sample(count) => {
                let count = self.constant_count(count)?;
                self.take(relation, count)
            }
            OperatorKind::SampleDistinct { count, of } => {
                let count = self.constant_count(count)?;
                let distinct = self.distinct(relation, std::slice::from_ref(of))?;
                self.take(distinct, count)
            }
            OperatorKind::Top { count, by } => {
                let count = self.constant_count(count)?;
                let sorted = self.sort(relation, by)?;
                self.take(sorted, count)
            }
            OperatorKind::TopHitters { count, of, by } => self.top_hitters(relation, count, of, by.as_ref()),
            OperatorKind::TopNested(levels) => self.top_nested(relation, levels),
            OperatorKind::Sort(keys) => self.sort(relation, keys),
            OperatorKind::Join { settings, right, on } => self.join(relation, settings, right, on, span),
            OperatorKind::Lookup { settings, right, on } => {
                self.lookup_operator(relation, settings, right, on, span)
            }
            OperatorKind::Union { settings, tables } => self.union(Some(relation), settings, tables, span),
            OperatorKind::MvExpand { settings, columns, limit } => {
                self.mv_expand(relation, settings, columns, limit.as_ref(), true)
            }
            OperatorKind::MvApply { settings, columns, limit, body } => {
                self.mv_apply(relation, settings, columns, limit.as_ref(), body)
            }
            OperatorKind::Parse { filter, settings, input, pattern } => {
                self.parse(relation, *filter, settings, input, pattern)
            }
            OperatorKind::ParseKv { input, keys, settings } => self.parse_kv(relation, input, keys, settings),
            OperatorKind::As(name) => {
                self.scope =
                    with(&self.scope, &name.text, Definition::Table(std::rc::Rc::new(relation.clone())));
                Ok(Relation { source: Some(name.text.clone()), ..relation })
            }
            OperatorKind::Invoke(call) => self.invoke_operator(relation, call),
            OperatorKind::GetSchema => self.get_schema(&relation),
            OperatorKind::Consume => self.take(relation, 0),
            OperatorKind::Render { kind, settings } => {
                let mut properties = BTreeMap::new();
                for setting in settings {
                    properties.insert(setting.name.text.clone(), setting_text(setting));
                }
                self.render = Some(RenderHint { kind: kind.text.clone(), properties });
                Ok(relation)
            }
            OperatorKind::Search { settings, predicate, .. } => {
                let mut context = Context::row(&relation);
                let condition = self.search_condition(predicate, &mut context, case_sensitive(settings))?;
                let plan = LogicalPlanBuilder::from(relation.plan.clone()).filter(condition)?.build()?;
                let source = relation.source.clone().unwrap_or_default();
                let source = Typed::literal(Value::from(source), KqlType::String);
                let found = Relation { plan, ..relation };
                let columns = found.columns.iter().map(|col| (col.name.clone(), col.typed()));
                let columns = std::iter::once(("$table".to_owned(), source)).chain(columns).collect();
                self.project(&found, columns, found.hidden.clone())
            }
            OperatorKind::Partition { by, body, .. } => self.partition(relation, by, body),
            OperatorKind::Fork(branches) => match branches.as_slice() {
                [(_, body)] => self.pipe(relation, body),
                _ => one_table(
                    span,
                    "fork",
                    "make each branch a query of its own, or let `union` put their rows together",
                ),
            },
            OperatorKind::Facet { by, body } => match (by.as_slice(), body) {
                ([column], None) => self.facet_of(relation, column),
                _ => one_table(span, "facet", "`summarize count() by …` gives the values of a column"),
            },
            OperatorKind::MakeSeries { aggregates, axis, from, to, step, inclusive, by, .. } => {
                let span_of = super::series::Axis {
                    axis,
                    from: from.as_ref(),
                    to: to.as_ref(),
                    step,
                    inclusive: *inclusive,
                };
                self.make_series(relation, aggregates, &span_of, by)
            }
            OperatorKind::Evaluate { name, args, schema, .. } => {
                let columns = schema.as_ref().map(|schema| schema.columns.as_slice());
                self.evaluate(relation, name, args, columns)
            }
            OperatorKind::Scan(scan) => self.scan_operator(relation, scan),
            OperatorKind::Find { .. }
            | OperatorKind::Print(_)
            | OperatorKind::Range { .. }
            | OperatorKind::Datatable { .. }
            | OperatorKind::ExternalData { .. } => {
                fault(span, "this begins a query, and cannot stand after `|`")
            }
            OperatorKind::Error => fault(span, "this could not be read"),
        }
    }

    pub(super) fn filter(&mut self, relation: Relation, predicate: &'a Expr) -> Binding<Relation> {
        let mut context = Context { filter: true, windows: Some(Vec::new()), ..Context::row(&relation) };
        let typed = self.scalar(predicate, &mut context)?;
        let condition = truth(typed, predicate.span)?.expr;
        let relation = self.apply_pending(relation.clone(), &mut context)?;
        let plan = LogicalPlanBuilder::from(relation.plan.clone()).filter(condition)?.build()?;
        Ok(Relation { plan, ..relation })
    }

    /// Binds named expressions over a relation; a tuple takes the elements of a dynamic array.
    fn named_values(
        &mut self,
        relation: &Relation,
        columns: &'a [Named],
        mut place: impl FnMut(&Self, &'a Named) -> Binding<String>,
    ) -> Binding<(Relation, Vec<(String, Typed)>)> {
        let mut context = Context { windows: Some(Vec::new()), ..Context::row(relation) };
        let mut values = Vec::new();
        for column in columns {
            let typed = self.scalar(&column.value, &mut context)?;
            if let Some(parts) = self.tuple_parts(&column.value) {
                // A function with several results gives a column for each; those not named have names of their own.
                for (position, (name, kind)) in parts.into_iter().enumerate() {
                    let at = i64::try_from(position).unwrap_or(i64::MAX);
                    let element = cast(crate::functions::dynamic_path(typed.clone(), Step::Index(at)), kind);
                    let name = column.names.get(position).map_or(name, |name| name.text.clone());
                    values.push((name, element));
                }
                continue;
            }
            if column.names.len() > 1 {
                for (position, name) in column.names.iter().enumerate() {
                    let at = i64::try_from(position).unwrap_or(i64::MAX);
                    let element = crate::functions::tuple_element(typed.clone(), at);
                    values.push((name.text.clone(), element));
                }
                continue;
            }
            values.push((place(self, column)?, typed));
        }
        let relation = self.apply_pending(relation.clone(), &mut context)?;
        Ok((relation, values))
    }

    /// The columns of a call with several results: their names, and their types.
    pub(super) fn tuple_parts(&self, expr: &Expr) -> Option<Vec<(String, KqlType)>> {
        let ExprKind::Call(name, args) = &expr.kind else { return None };
        let parts = crate::functions::tuple_of(&name.text)?;
        let base = args.first().and_then(|arg| self.auto_name(&arg.value)).unwrap_or_default();
        let name = |part: &str| format!("{}_{base}_{part}", name.text);
        Some(parts.iter().map(|(part, kind)| (name(part), *kind)).collect())
    }

    fn extend(&mut self, relation: Relation, columns: &'a [Named]) -> Binding<Relation> {
        // A new column may replace one that is there, not another new one.
        let mut names = Names::default();
        let mut all = Names { taken: relation.names().map(str::to_owned).collect(), ..Names::default() };
        let (relation, values) = self.named_values(&relation, columns, |binder, named| {
            if named.names.is_empty() && binder.auto_name(&named.value).is_none() {
                let name = all.unnamed();
                return Ok(all.free(&name));
            }
            binder.column_name(named, &mut names)
        })?;
        self.with_columns(&relation, values)
    }

    /// Replaces columns in their places, and adds new ones at the end.
    pub(super) fn with_columns(
        &mut self,
        relation: &Relation,
        values: Vec<(String, Typed)>,
    ) -> Binding<Relation> {
        let mut columns: Vec<(String, Typed)> =
            relation.columns.iter().map(|col| (col.name.clone(), col.typed())).collect();
        for (name, typed) in values {
            match columns.iter_mut().find(|(existing, _)| *existing == name) {
                Some((_, old)) => *old = typed,
                None => columns.push((name, typed)),
            }
        }
        self.project(relation, columns, relation.hidden.clone())
    }

    fn project_operator(&mut self, relation: Relation, columns: &'a [Named]) -> Binding<Relation> {
        let mut names = Names::default();
        let (relation, values) =
            self.named_values(&relation, columns, |binder, named| binder.column_name(named, &mut names))?;
        self.project(&relation, values, Vec::new())
    }

    /// The names of the columns that names and wildcards select.
    pub(super) fn selected(&mut self, relation: &Relation, patterns: &'a [Expr]) -> Binding<HashSet<String>> {
        Ok(self.select(relation, patterns)?.into_iter().map(|col| col.name).collect())
    }

    /// The columns that names and wildcards select, in the order of the patterns.
    fn select(&mut self, relation: &Relation, patterns: &'a [Expr]) -> Binding<Vec<Col>> {
        let mut selected: Vec<Col> = Vec::new();
        for pattern in patterns {
            match &pattern.kind {
                ExprKind::Star => selected.extend(relation.columns.iter().cloned()),
                ExprKind::Wildcard(text) => {
                    let before = selected.len();
                    selected.extend(
                        relation.columns.iter().filter(|col| matches_wildcard(text, &col.name)).cloned(),
                    );
                    if selected.len() == before {
                        return fault(pattern.span, format!("no column here fits `{text}`"));
                    }
                }
                ExprKind::Name(name) => match relation.find(name) {
                    Some(col) => selected.push(col.clone()),
                    None => return no_column(relation, name, pattern.span),
                },
                _ => return fault(pattern.span, "a column's name is needed here"),
            }
        }
        let mut seen = HashSet::new();
        selected.retain(|col| seen.insert(col.name.clone()));
        Ok(selected)
    }

    fn rename(&mut self, relation: Relation, columns: &'a [Named]) -> Binding<Relation> {
        let mut renamed = relation.columns.clone();
        for column in columns {
            let (Some(new), ExprKind::Name(old)) = (column.names.first(), &column.value.kind) else {
                return fault(column.value.span, "`new = old` is needed here");
            };
            match relation.columns.iter().position(|col| col.name == *old) {
                Some(_) if renamed.iter().any(|col| col.name == new.text) => {
                    return fault(new.span, format!("there is a column `{}` already", new.text));
                }
                Some(at) => renamed[at].name = new.text.clone(),
                // A hidden column shows itself under its new name.
                None => match relation.find(old) {
                    Some(col) => renamed.push(Col { name: new.text.clone(), ..col.clone() }),
                    None => return no_column(&relation, old, column.value.span),
                },
            }
        }
        Ok(Relation { columns: renamed, ..relation })
    }

    fn reorder(
        &mut self,
        relation: Relation,
        columns: &'a [(Expr, Option<ReorderDirection>)],
    ) -> Binding<Relation> {
        // A column belongs to the first pattern that names it outright, or else to the first that fits.
        let mut order: Vec<Col> = Vec::new();
        let named: HashSet<&str> = columns
            .iter()
            .filter_map(|(pattern, _)| match &pattern.kind {
                ExprKind::Name(name) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        if let Some(twice) = columns.iter().enumerate().find_map(|(at, (pattern, _))| {
            let name = &pattern.kind;
            let named = matches!(name, ExprKind::Name(_));
            (named && columns[..at].iter().any(|(other, _)| other.kind == *name)).then_some(pattern)
        }) {
            return fault(twice.span, "this column is named twice");
        }
        for (pattern, direction) in columns {
            let mut chosen = self.select(&relation, std::slice::from_ref(pattern))?;
            if !matches!(pattern.kind, ExprKind::Name(_)) {
                chosen.retain(|col| !named.contains(col.name.as_str()));
            }
            match direction {
                Some(ReorderDirection::Ascending) => chosen.sort_by(|left, right| left.name.cmp(&right.name)),
                Some(ReorderDirection::Descending) => {
                    chosen.sort_by(|left, right| right.name.cmp(&left.name))
                }
                Some(ReorderDirection::GrannyAscending) => chosen.sort_by_key(|col| granny_key(&col.name)),
                Some(ReorderDirection::GrannyDescending) => {
                    chosen.sort_by_key(|col| std::cmp::Reverse(granny_key(&col.name)));
                }
                None => {}
            }
            for col in chosen {
                if !order.iter().any(|known| known.name == col.name) {
                    order.push(col);
                }
            }
        }
        for col in &relation.columns {
            if !order.iter().any(|known| known.name == col.name) {
                order.push(col.clone());
            }
        }
        Ok(Relation { columns: order, ..relation })
    }

    fn project_by_names(&mut self, relation: Relation, columns: &'a [Expr]) -> Binding<Relation> {
        let mut chosen: Vec<Col> = Vec::new();
        for expr in columns {
            let patterns: Vec<String> = match &expr.kind {
                ExprKind::Name(name) if super::lookup(&self.scope, name).is_none() => vec![name.clone()],
                ExprKind::Wildcard(text) => vec![text.clone()],
                _ => {
                    let typed = self.scalar(expr, &mut Context::default())?;
                    match typed.constant().map(|value| crate::value::to_json(&value, typed.kind)) {
                        Some(serde_json::Value::Array(items)) => {
                            items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
                        }
                        Some(serde_json::Value::String(name)) => vec![name],
                        _ => return fault(expr.span, "column names have to be constants"),
                    }
                }
            };
            for pattern in patterns {
                chosen.extend(
                    relation.columns.iter().filter(|col| matches_wildcard(&pattern, &col.name)).cloned(),
                );
            }
        }
        let mut seen = HashSet::new();
        chosen.retain(|col| seen.insert(col.name.clone()));
        Ok(Relation { columns: chosen, ..relation })
    }

    pub(super) fn count(&mut self, relation: &Relation, name: &str) -> Binding<Relation> {
        let fresh = self.fresh(name);
        let count = crate::aggregates::lookup("count")
            .map(|aggregate| (aggregate.build)(crate::aggregates::no_arguments()));
        let Some(Ok(count)) = count else { return fault(Span::default(), "there is no count") };
        let column = PlanExpr::Column(datafusion::common::Column::new_unqualified(&fresh));
        let output = (name.to_owned(), Typed::new(column, KqlType::Long));
        self.group(relation, Vec::new(), vec![(fresh, count.expr)], vec![output])
    }

    pub(super) fn constant_count(&mut self, count: &'a Expr) -> Binding<usize> {
        let typed = fold(self.scalar(count, &mut Context::default())?);
        let number =
            typed.constant().and_then(|value| value.as_long()).and_then(|count| usize::try_from(count).ok());
        match number {
            Some(count) => Ok(count),
            None => fault(count.span, "a constant whole number is needed here"),
        }
    }

    pub(super) fn take(&mut self, relation: Relation, count: usize) -> Binding<Relation> {
        if relation.parts.is_empty() {
            let plan = LogicalPlanBuilder::from(relation.plan.clone()).limit(0, Some(count))?.build()?;
            return Ok(Relation { plan, ..relation });
        }
        let (numbered, number) = self.number_rows(relation)?;
        let most = Typed::literal(count.into(), KqlType::Long).expr;
        let plan = LogicalPlanBuilder::from(numbered.plan.clone()).filter(number.lt_eq(most))?.build()?;
        Ok(Relation { plan, ..numbered })
    }

    pub(super) fn sort(&mut self, relation: Relation, keys: &'a [SortKey]) -> Binding<Relation> {
        let mut context = Context { windows: Some(Vec::new()), ..Context::row(&relation) };
        let mut order = Vec::with_capacity(keys.len());
        let mut computed: Vec<(String, PlanExpr)> = Vec::new();
        for key in keys {
            let typed = self.scalar(&key.value, &mut context)?;
            if typed.kind == KqlType::Dynamic {
                return fault(key.value.span, "a dynamic has no order; `tostring()` makes a string of it");
            }
            let ascending = key.ascending.unwrap_or(false);
            // Kusto puts nulls first when ascending and last when descending.
            let nulls_first = key.nulls_first.unwrap_or(ascending);
            if typed.kind == KqlType::Real {
                // What is no number stands beside the nulls, whichever way the numbers go.
                let fresh = self.fresh("key");
                computed.push((fresh.clone(), number_rank(typed.clone())));
                let rank = PlanExpr::Column(datafusion::common::Column::new_unqualified(fresh));
                order.push(SortExpr::new(rank, nulls_first, nulls_first));
            }
            let expr = match typed.expr {
                column @ PlanExpr::Column(_) => column,
                expr => {
                    let fresh = self.fresh("key");
                    computed.push((fresh.clone(), expr));
                    PlanExpr::Column(datafusion::common::Column::new_unqualified(fresh))
                }
            };
            order.push(SortExpr::new(expr, ascending, nulls_first));
        }
        let mut sorted = self.apply_pending(relation.clone(), &mut context)?;
        if !computed.is_empty() {
            let columns = sorted.plan.schema().columns();
            let exprs = columns.into_iter().map(PlanExpr::Column);
            let exprs: Vec<PlanExpr> =
                exprs.chain(computed.into_iter().map(|(name, expr)| expr.alias(name))).collect();
            sorted.plan = LogicalPlanBuilder::from(sorted.plan).project(exprs)?.build()?;
        }
        sorted.order = order.clone();
        if relation.parts.is_empty() {
            sorted.plan = LogicalPlanBuilder::from(sorted.plan).sort(order)?.build()?;
        }
        Ok(sorted)
    }

    fn top_hitters(
        &mut self,
        relation: Relation,
        count: &'a Expr,
        of: &'a Named,
        by: Option<&'a Expr>,
    ) -> Binding<Relation> {
        let count = self.constant_count(count)?;
        let mut context = Context::row(&relation);
        let key = self.scalar(&of.value, &mut context)?;
        let name = self.column_name(of, &mut Names::default())?;
        let (weight, weight_name) = match by {
            Some(by) => {
                let name = format!("approximate_sum_{}", self.auto_name(by).unwrap_or_default());
                let weight = self.scalar(by, &mut context)?;
                if !weight.kind.is_numeric() {
                    return fault(by.span, format!("a number is needed here, not a {}", weight.kind));
                }
                (weight, name)
            }
            None => (Typed::literal(Value::Long(1), KqlType::Long), format!("approximate_count_{name}")),
        };
        let weight_kind = weight.kind;
        let fresh = self.fresh("sum");
        let arguments = crate::aggregates::Arguments { args: vec![weight], filter: None, rank: None };
        let sum = crate::aggregates::lookup("sum").map(|aggregate| (aggregate.build)(arguments));
        let Some(Ok(sum)) = sum else { return fault(of.value.span, "this cannot be summed") };
        let column = PlanExpr::Column(datafusion::common::Column::new_unqualified(&fresh));
        let outputs = vec![(weight_name, cast(Typed::new(column.clone(), sum.kind), weight_kind))];
        let mut grouped = self.group(&relation, vec![(name, key)], vec![(fresh, sum.expr)], outputs)?;
        let by_weight = grouped.columns.last().map(|col| PlanExpr::Column(col.column.clone()));
        grouped.order = by_weight.into_iter().map(|expr| SortExpr::new(expr, false, false)).collect();
        grouped.plan = LogicalPlanBuilder::from(grouped.plan).sort(grouped.order.clone())?.build()?;
        self.take(grouped, count)
    }

    fn invoke_operator(&mut self, relation: Relation, call: &'a Expr) -> Binding<Relation> {
        let (ExprKind::Call(name, _) | ExprKind::Member(_, name)) = &call.kind else {
            return fault(call.span, "a function's call is needed here");
        };
        let args = match &call.kind {
            ExprKind::Call(_, args) => args.as_slice(),
            _ => &[],
        };
        match super::lookup(&self.scope, &name.text).cloned() {
            Some(Definition::Function(lambda, scope)) => {
                match self.invoke(name, lambda, &scope, args, Some(relation), &mut Context::default())? {
                    Any::Table(relation) => Ok(relation),
                    Any::Scalar(_) => {
                        fault(name.span, format!("`{}` gives a scalar, not a table", name.text))
                    }
                }
            }
            _ => fault(name.span, format!("there is no function `{}` in this query", name.text)),
        }
    }

    fn get_schema(&mut self, relation: &Relation) -> Binding<Relation> {
        let rows = relation.columns.len();
        let mut names = Builder::new(KqlType::String, rows);
        let mut ordinals = Builder::new(KqlType::Long, rows);
        let mut types = Builder::new(KqlType::String, rows);
        let mut kinds = Builder::new(KqlType::String, rows);
        for (index, col) in relation.columns.iter().enumerate() {
            names.push(&Value::text(col.name.as_str()));
            ordinals.push(&index.into());
            types.push(&Value::text(dotnet_type(col.kind)));
            kinds.push(&Value::text(col.kind.name()));
        }
        self.memory(vec![
            ("ColumnName".to_owned(), KqlType::String, names),
            ("ColumnOrdinal".to_owned(), KqlType::Long, ordinals),
            ("DataType".to_owned(), KqlType::String, types),
            ("ColumnType".to_owned(), KqlType::String, kinds),
        ])
    }

    /// `partition by X ( … )`: the pipe runs within each value of X.
    fn partition(&mut self, relation: Relation, by: &'a Expr, body: &'a [Operator]) -> Binding<Relation> {
        let key = self.scalar(by, &mut Context::row(&relation))?;
        let PlanExpr::Column(column) = key.expr else { return fault(by.span, "a column is needed here") };
        let outer_parts = relation.parts.clone();
        let mut inner = relation;
        inner.parts.push(column);
        let mut result = self.pipe(inner, body)?;
        result.parts = outer_parts;
        Ok(result)
    }
}

/// Where a real stands in an order: null, then what is no number, then numbers.
fn number_rank(value: Typed) -> PlanExpr {
    let rank = Kernel::call("number_rank", vec![value], KqlType::Long, |row| {
        Value::Long(row.real(0).map_or(0, |value| if value.is_nan() { 1 } else { 2 }))
    });
    rank.expr
}

/// A setting's value as text.
pub(super) fn setting_text(setting: &Setting) -> String {
    match &setting.value.kind {
        ExprKind::Name(text) | ExprKind::Literal(Literal::String(text)) => text.clone(),
        ExprKind::Literal(Literal::Long(Some(number))) => number.to_string(),
        ExprKind::Literal(Literal::Real(Some(number))) => number.to_string(),
        ExprKind::Literal(Literal::Bool(Some(flag))) => flag.to_string(),
        _ => String::new(),
    }
}

/// The value of a setting as text, if it is given.
pub(super) fn setting<'s>(settings: &'s [Setting], name: &str) -> Option<(String, &'s Setting)> {
    settings.iter().find(|setting| setting.name.text == name).map(|setting| (setting_text(setting), setting))
}

pub(super) fn no_column<T>(relation: &Relation, name: &str, span: Span) -> Binding<T> {
    let diagnostic = Diagnostic::absent(span, format!("there is no column `{name}` here"));
    Err(Stop::Fault(Box::new(diagnostic.did_you_mean(name, relation.names()))))
}

/// A name's parts, numbers as numbers, so that `a9` comes before `a10`.
fn granny_key(name: &str) -> Vec<(u64, String)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text_length = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (text, after) = rest.split_at(text_length);
        let digits_length = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (digits, after) = after.split_at(digits_length);
        parts.push((0, text.to_owned()));
        parts.push((digits.parse().unwrap_or(u64::MAX), String::new()));
        rest = after;
    }
    parts
}

/// The .NET type that `getschema` names beside KQL's.
fn dotnet_type(kind: KqlType) -> &'static str {
    match kind {
        KqlType::Bool => "System.SByte",
        KqlType::Int => "System.Int32",
        KqlType::Long => "System.Int64",
        KqlType::Real => "System.Double",
        KqlType::Decimal => "System.Data.SqlTypes.SqlDecimal",
        KqlType::String => "System.String",
        KqlType::Datetime => "System.DateTime",
        KqlType::Timespan => "System.TimeSpan",
        KqlType::Guid => "System.Guid",
        KqlType::Dynamic => "System.Object",
    }
}
