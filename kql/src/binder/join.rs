//! `join`, `lookup`, `union`.

use std::collections::HashSet;

use datafusion::common::{Column as PlanColumn, JoinType};
use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlan, LogicalPlanBuilder};

use super::operator::{no_column, setting};
use super::relation::{free_name, names_beside};
use super::types::{cast, not_null_text};
use super::{Binder, Binding, Col, Context, Relation, Stop, fault};
use crate::ast::{BinaryOp, Expr, ExprKind, Operator, OperatorKind, Setting, Span};
use crate::functions::Typed;
use crate::types::KqlType;
use crate::value::Value;

/// The values that have to be equal, of the left side and of the right.
type Keys = Vec<(Typed, Typed)>;

/// A kind of join, by what it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    InnerUnique,
    Inner,
    LeftOuter,
    RightOuter,
    FullOuter,
    LeftSemi,
    RightSemi,
    LeftAnti,
    RightAnti,
}

const KINDS: &[&str] = &[
    "innerunique",
    "inner",
    "leftouter",
    "rightouter",
    "fullouter",
    "leftsemi",
    "rightsemi",
    "leftanti",
    "rightanti",
    "anti",
    "leftantisemi",
    "rightantisemi",
];

/// Whether an operator joins one row only of those on its left that have the same keys.
pub(super) fn keeps_one_of_each(operator: &Operator) -> bool {
    match &operator.kind {
        OperatorKind::Join { settings, .. } => {
            setting(settings, "kind").is_none_or(|(kind, _)| kind == "innerunique")
        }
        _ => false,
    }
}

/// The conditions that all have to hold.
fn conjuncts<'e>(expr: &'e Expr, found: &mut Vec<&'e Expr>) {
    match &expr.kind {
        ExprKind::Binary(BinaryOp::And, left, right) => {
            conjuncts(left, found);
            conjuncts(right, found);
        }
        _ => found.push(expr),
    }
}

/// Whether an expression speaks of a relation's columns and of constants only.
fn speaks_of(expr: &Expr, relation: &Relation) -> bool {
    let all = |exprs: &[&Expr]| exprs.iter().all(|expr| speaks_of(expr, relation));
    match &expr.kind {
        ExprKind::Literal(_) => true,
        ExprKind::Name(name) => relation.columns.iter().any(|col| col.name == *name),
        ExprKind::Member(base, _) => speaks_of(base, relation),
        ExprKind::Index(base, index) => all(&[base, index]),
        ExprKind::Unary(_, inner) => speaks_of(inner, relation),
        ExprKind::Binary(_, left, right) => all(&[left, right]),
        ExprKind::Between { value, low, high, .. } => all(&[value, low, high]),
        ExprKind::In(_, value, items) => {
            speaks_of(value, relation) && items.iter().all(|item| speaks_of(item, relation))
        }
        _ => false,
    }
}

impl<'a> Binder<'a> {
    /// The left side of a join that keeps one row of each key, with what is asked of its columns right after the join:
    /// of the rows with a key it is one of those that are asked for which is kept.
    pub(super) fn filtered_before(&mut self, mut left: Relation, after: &'a [Operator]) -> Binding<Relation> {
        let mut conditions = Vec::new();
        for operator in after {
            let OperatorKind::Where(predicate) = &operator.kind else { break };
            conjuncts(predicate, &mut conditions);
        }
        for condition in conditions {
            if speaks_of(condition, &left) {
                left = self.filter(left, condition)?;
            }
        }
        Ok(left)
    }

    pub(super) fn join(
        &mut self,
        left: Relation,
        settings: &'a [Setting],
        right: &'a Expr,
        on: &'a [Expr],
        span: Span,
    ) -> Binding<Relation> {
        let kind = match setting(settings, "kind") {
            None => Kind::InnerUnique,
            Some((text, setting)) => match text.as_str() {
                "innerunique" => Kind::InnerUnique,
                "inner" => Kind::Inner,
                "leftouter" => Kind::LeftOuter,
                "rightouter" => Kind::RightOuter,
                "fullouter" => Kind::FullOuter,
                "leftsemi" => Kind::LeftSemi,
                "rightsemi" => Kind::RightSemi,
                "leftanti" | "anti" | "leftantisemi" => Kind::LeftAnti,
                "rightanti" | "rightantisemi" => Kind::RightAnti,
                other => {
                    let diagnostic = crate::diagnostics::Diagnostic::new(
                        setting.value.span,
                        format!("there is no join kind `{other}`"),
                    );
                    return Err(Stop::Fault(Box::new(diagnostic.did_you_mean(other, KINDS.iter().copied()))));
                }
            },
        };
        let right = self.table(right, &mut Context::default())?;
        let left =
            if kind == Kind::InnerUnique { self.unique_by_keys(left, &right, on, span)? } else { left };
        let keys = self.conditions(&left, &right, on, span)?;
        let plan = self.joined(&left, &right, keys, kind)?;
        let (with_left, with_right) = match kind {
            Kind::LeftSemi | Kind::LeftAnti => (true, false),
            Kind::RightSemi | Kind::RightAnti => (false, true),
            _ => (true, true),
        };
        let left_names = left.names().filter(|_| with_left);
        let right_names = names_beside(left_names.clone(), right.names());
        let left_names = left_names.map(str::to_owned).collect();
        let sides = [
            (&left, left_names, with_left, matches!(kind, Kind::RightOuter | Kind::FullOuter)),
            (&right, right_names, with_right, matches!(kind, Kind::LeftOuter | Kind::FullOuter)),
        ];
        let mut columns: Vec<(String, Typed)> = Vec::new();
        for (side, names, _, may_lack) in sides.into_iter().filter(|(_, _, kept, _)| *kept) {
            columns.extend(names.into_iter().zip(side.columns.iter().map(|col| present(col, may_lack))));
        }
        let hidden = if with_left { left.hidden.clone() } else { right.hidden.clone() };
        let base = if with_left { &left } else { &right };
        let joined = Relation { plan, order: Vec::new(), ..base.clone() };
        self.project(&joined, columns, hidden)
    }

    /// The left side with one row for each combination of the join's keys.
    fn unique_by_keys(
        &mut self,
        left: Relation,
        right: &Relation,
        on: &'a [Expr],
        span: Span,
    ) -> Binding<Relation> {
        let keys = self.conditions(&left, right, on, span)?;
        let key_exprs: Vec<(String, Typed)> =
            keys.into_iter().map(|(left, _)| (String::new(), left)).collect();
        if key_exprs.is_empty() {
            return Ok(left);
        }
        let mut wanted = vec![Typed::literal(Value::Bool(true), KqlType::Bool)];
        wanted.extend(left.columns.iter().chain(&left.hidden).map(Col::typed));
        let fresh = self.fresh("row");
        let row = crate::aggregates::best(wanted, true, None);
        let column = PlanExpr::Column(PlanColumn::new_unqualified(&fresh));
        let group: Vec<PlanExpr> = key_exprs
            .into_iter()
            .map(|(_, typed)| typed.expr)
            .chain(left.parts.iter().cloned().map(PlanExpr::Column))
            .enumerate()
            .map(|(index, expr)| expr.alias(format!("{fresh}.{index}")))
            .collect();
        let plan =
            LogicalPlanBuilder::from(left.plan.clone()).aggregate(group, vec![row.alias(&fresh)])?.build()?;
        let unique = Relation { plan, order: Vec::new(), ..left.clone() };
        let mut exprs = Vec::new();
        let mut columns = Vec::new();
        for (index, col) in left.columns.iter().chain(&left.hidden).enumerate() {
            let name = self.fresh(&col.name);
            let field = datafusion::functions::core::expr_fn::get_field(
                column.clone(),
                crate::aggregates::field_name(index + 1),
            );
            let field = if col.kind == KqlType::String { not_null_text(field) } else { field };
            exprs.push(field.alias(&name));
            columns.push(Col { column: PlanColumn::new_unqualified(name), ..col.clone() });
        }
        let plan = LogicalPlanBuilder::from(unique.plan.clone()).project(exprs)?.build()?;
        let hidden = columns.split_off(left.columns.len());
        Ok(Relation { plan, columns, hidden, parts: Vec::new(), outer: Vec::new(), ..unique })
    }

    /// The equalities of `on`.
    fn conditions(&mut self, left: &Relation, right: &Relation, on: &'a [Expr], span: Span) -> Binding<Keys> {
        let mut keys = Vec::new();
        for condition in on {
            self.key(left, right, condition, &mut keys)?;
        }
        if keys.is_empty() && !on.is_empty() {
            return fault(span, "a join needs a column on both sides");
        }
        let mut typed = Vec::with_capacity(keys.len());
        for (left, right, span) in keys {
            let numbers = |kind| matches!(kind, KqlType::Int | KqlType::Long);
            if left.kind != right.kind && !(numbers(left.kind) && numbers(right.kind)) {
                return fault(span, format!("a {} cannot be joined with a {}", left.kind, right.kind));
            }
            let kind = if left.kind == right.kind { left.kind } else { KqlType::Long };
            typed.push((cast(left, kind), cast(right, kind)));
        }
        Ok(typed)
    }

    fn key(
        &mut self,
        left: &Relation,
        right: &Relation,
        condition: &'a Expr,
        keys: &mut Vec<(Typed, Typed, Span)>,
    ) -> Binding<()> {
        match &condition.kind {
            ExprKind::Name(name) => {
                let Some(of_left) = left.find(name) else { return no_column(left, name, condition.span) };
                let Some(of_right) = right.find(name) else { return no_column(right, name, condition.span) };
                keys.push((of_left.typed(), of_right.typed(), condition.span));
                Ok(())
            }
            ExprKind::Binary(BinaryOp::And, first, second) => {
                self.key(left, right, first, keys)?;
                self.key(left, right, second, keys)
            }
            ExprKind::Binary(BinaryOp::Equal, first, second) => {
                let mut context = Context { sides: Some((left, right)), ..Context::default() };
                let first_typed = self.scalar(first, &mut context)?;
                let second_typed = self.scalar(second, &mut context)?;
                let of_left = |typed: &Typed| {
                    let refs = typed.expr.column_refs();
                    !refs.is_empty() && refs.iter().all(|column| left.plan.schema().has_column(column))
                };
                if of_left(&first_typed) {
                    keys.push((first_typed, second_typed, condition.span));
                } else if of_left(&second_typed) {
                    keys.push((second_typed, first_typed, condition.span));
                } else {
                    return fault(condition.span, "one side has to be of `$left`, the other of `$right`");
                }
                Ok(())
            }
            _ => fault(condition.span, "a column, or `$left.a == $right.b`, is needed here"),
        }
    }

    /// The plan of a join.
    fn joined(&mut self, left: &Relation, right: &Relation, keys: Keys, kind: Kind) -> Binding<LogicalPlan> {
        let join_type = match kind {
            Kind::InnerUnique | Kind::Inner => JoinType::Inner,
            Kind::LeftOuter => JoinType::Left,
            Kind::RightOuter => JoinType::Right,
            Kind::FullOuter => JoinType::Full,
            Kind::LeftSemi => JoinType::LeftSemi,
            Kind::RightSemi => JoinType::RightSemi,
            Kind::LeftAnti => JoinType::LeftAnti,
            Kind::RightAnti => JoinType::RightAnti,
        };
        if keys.is_empty() {
            let plan = LogicalPlanBuilder::from(left.plan.clone()).cross_join(right.plan.clone())?.build()?;
            return Ok(plan);
        }
        let (left_keys, right_keys): (Vec<_>, Vec<_>) =
            keys.into_iter().map(|(left, right)| (left.expr, right.expr)).unzip();
        let plan = LogicalPlanBuilder::from(left.plan.clone())
            .join_with_expr_keys(right.plan.clone(), join_type, (left_keys, right_keys), None)?
            .build()?;
        Ok(plan)
    }

    pub(super) fn lookup_operator(
        &mut self,
        left: Relation,
        settings: &'a [Setting],
        right: &'a Expr,
        on: &'a [Expr],
        span: Span,
    ) -> Binding<Relation> {
        let kind = match setting(settings, "kind").map(|(text, setting)| (text, setting.value.span)) {
            None => Kind::LeftOuter,
            Some((text, _)) if text == "leftouter" => Kind::LeftOuter,
            Some((text, _)) if text == "inner" => Kind::Inner,
            Some((text, span)) => return fault(span, format!("`lookup` has no kind `{text}`")),
        };
        let right = self.table(right, &mut Context::default())?;
        let keys = self.conditions(&left, &right, on, span)?;
        let key_columns: HashSet<PlanColumn> = keys
            .iter()
            .flat_map(|(_, right)| right.expr.column_refs().into_iter().cloned().collect::<Vec<_>>())
            .collect();
        let plan = self.joined(&left, &right, keys, kind)?;
        let added = right.columns.iter().filter(|col| !key_columns.contains(&col.column));
        let names = names_beside(left.names(), added.clone().map(|col| col.name.as_str()));
        let mut columns: Vec<(String, Typed)> =
            left.columns.iter().map(|col| (col.name.clone(), col.typed())).collect();
        columns.extend(names.into_iter().zip(added.map(|col| present(col, kind == Kind::LeftOuter))));
        let joined = Relation { plan, order: Vec::new(), ..left.clone() };
        self.project(&joined, columns, left.hidden.clone())
    }

    pub(super) fn union(
        &mut self,
        first: Option<Relation>,
        settings: &'a [Setting],
        tables: &'a [Expr],
        span: Span,
    ) -> Binding<Relation> {
        let fuzzy = setting(settings, "isfuzzy").is_some_and(|(text, _)| text == "true");
        let inner = setting(settings, "kind").is_some_and(|(text, _)| text == "inner");
        let source = setting(settings, "withsource")
            .or_else(|| setting(settings, "with_source"))
            .map(|(text, _)| text);
        let mut relations: Vec<Relation> = first.into_iter().collect();
        let mut lacking = Vec::new();
        for (index, table) in tables.iter().enumerate() {
            match &table.kind {
                ExprKind::Wildcard(pattern) => relations.extend(self.wildcard_tables(pattern, table.span)?),
                ExprKind::Star => relations.extend(self.wildcard_tables("*", table.span)?),
                _ => match self.table(table, &mut Context::default()) {
                    Ok(mut relation) => {
                        relation.source = relation.source.or_else(|| Some(format!("union_arg{index}")));
                        relations.push(relation);
                    }
                    // What a fuzzy union cannot find it leaves out.
                    Err(Stop::Fault(fault)) if fuzzy && fault.absent => lacking.push(fault.message),
                    Err(stop) => return Err(stop),
                },
            }
        }
        if relations.is_empty() {
            lacking.dedup();
            return fault(span, format!("no part of this union is there: {}", lacking.join(", ")));
        }
        self.union_of(relations, inner, source.as_deref())
    }

    /// The rows of several tables under the columns of all, or, for an inner union, under those that all have.
    pub(super) fn union_of(
        &mut self,
        relations: Vec<Relation>,
        inner: bool,
        source: Option<&str>,
    ) -> Binding<Relation> {
        // A column is its name and type; a name of several types becomes one column for each.
        let mut columns: Vec<(String, KqlType)> = Vec::new();
        for relation in &relations {
            for col in &relation.columns {
                if !columns.iter().any(|(name, kind)| *name == col.name && *kind == col.kind) {
                    columns.push((col.name.clone(), col.kind));
                }
            }
        }
        if inner {
            columns
                .retain(|(name, _)| relations.iter().all(|relation| relation.names().any(|own| own == name)));
        }
        // Those of one name stand together, where its first is.
        let places: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
        columns.sort_by_key(|(name, _)| places.iter().position(|place| place == name));
        let several = |name: &str| columns.iter().filter(|(other, _)| other == name).count() > 1;
        // A name of one type stays as it is, whatever the names made for those of several would be.
        let plain = columns.iter().map(|(name, _)| name).filter(|name| !several(name));
        let mut taken: HashSet<String> =
            plain.filter(|name| source != Some(name.as_str())).cloned().collect();
        taken.extend(source.map(str::to_owned));
        let mut names = Vec::with_capacity(columns.len());
        for (name, kind) in &columns {
            let made = if several(name) {
                free_name(&format!("{name}_{kind}"), &taken)
            } else if source == Some(name.as_str()) {
                free_name(name, &taken)
            } else {
                name.clone()
            };
            taken.insert(made.clone());
            names.push(made);
        }
        let hidden: Vec<(String, KqlType)> = relations[0]
            .hidden
            .iter()
            .filter(|col| {
                relations.iter().all(|relation| relation.hidden.iter().any(|other| other.name == col.name))
            })
            .map(|col| (col.name.clone(), col.kind))
            .collect();
        let fresh: Vec<String> = names.iter().map(|name| self.fresh(name)).collect();
        let fresh_source = source.map(|name| self.fresh(name));
        let fresh_hidden: Vec<String> = hidden.iter().map(|(name, _)| self.fresh(name)).collect();
        let mut plan: Option<LogicalPlanBuilder> = None;
        for (index, relation) in relations.into_iter().enumerate() {
            let mut exprs = Vec::with_capacity(fresh.len());
            for ((name, kind), fresh) in columns.iter().zip(&fresh) {
                let own = relation.columns.iter().find(|col| col.name == *name && col.kind == *kind);
                let expr = own.map_or_else(|| Typed::null(*kind).expr, |col| col.typed().expr);
                exprs.push(expr.alias(fresh));
            }
            for ((name, kind), fresh) in hidden.iter().zip(&fresh_hidden) {
                let own = relation.hidden.iter().find(|col| col.name == *name);
                exprs.push(own.map_or_else(|| Typed::null(*kind).expr, |col| col.typed().expr).alias(fresh));
            }
            if let Some(fresh) = &fresh_source {
                let name = relation.source.clone().unwrap_or_else(|| format!("union_arg{index}"));
                exprs.push(Typed::literal(Value::from(name), KqlType::String).expr.alias(fresh));
            }
            let part = LogicalPlanBuilder::from(relation.plan).project(exprs)?;
            plan = Some(match plan {
                None => part,
                Some(plan) => plan.union(part.build()?)?,
            });
        }
        let Some(plan) = plan else { return fault(Span::default(), "a union needs a table") };
        let mut cols: Vec<Col> = Vec::new();
        if let (Some(name), Some(fresh)) = (source, fresh_source) {
            cols.push(Col {
                name: name.to_owned(),
                column: PlanColumn::new_unqualified(fresh),
                kind: KqlType::String,
            });
        }
        for ((name, fresh), (_, kind)) in names.into_iter().zip(fresh).zip(&columns) {
            cols.push(Col { name, column: PlanColumn::new_unqualified(fresh), kind: *kind });
        }
        let hidden = hidden
            .into_iter()
            .zip(fresh_hidden)
            .map(|((name, kind), fresh)| Col { name, column: PlanColumn::new_unqualified(fresh), kind })
            .collect();
        Ok(Relation { hidden, ..Relation::new(plan.build()?, cols) })
    }
}

/// A column after a join that may have found no row for it: a string is then empty, not null.
fn present(col: &Col, may_lack: bool) -> Typed {
    let typed = col.typed();
    if may_lack && col.kind == KqlType::String {
        Typed::new(not_null_text(typed.expr), typed.kind)
    } else {
        typed
    }
}
