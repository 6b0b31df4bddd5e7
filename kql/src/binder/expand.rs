//! `mv-expand`, `mv-apply`, `top-nested`: rows out of one row, and back.

use datafusion::common::{Column as PlanColumn, JoinType, NullEquality, UnnestOptions};
use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlanBuilder, SortExpr};

use super::operator::setting;
use super::relation::free_name;
use super::summarize::Names;
use super::types::cast;
use super::{Binder, Binding, Col, Context, Relation, fault};
use crate::ast::{ExpandColumn, Expr, NestedLevel, Operator, Setting};
use crate::functions::Typed;
use crate::types::KqlType;

impl<'a> Binder<'a> {
    /// With `keep_null`, a null gives one row of null; without, as in `mv-apply`, none.
    pub(super) fn mv_expand(
        &mut self,
        relation: Relation,
        settings: &'a [Setting],
        columns: &'a [ExpandColumn],
        limit: Option<&'a Expr>,
        keep_null: bool,
    ) -> Binding<Relation> {
        let as_pairs = ["kind", "bagexpansion"]
            .iter()
            .any(|name| setting(settings, name).is_some_and(|(text, _)| text == "array"));
        let limit = limit.map(|limit| self.constant_count(limit)).transpose()?;
        let mut context = Context::row(&relation);
        let mut items = Vec::new();
        for column in columns {
            let typed = self.scalar(&column.value, &mut context)?;
            if typed.kind != KqlType::Dynamic {
                return fault(
                    column.value.span,
                    format!("a {} has no elements; a dynamic is needed", typed.kind),
                );
            }
            let name = match &column.name {
                Some(name) => name.text.clone(),
                None => self.auto_name(&column.value).unwrap_or_else(|| "Column1".to_owned()),
            };
            if items.iter().any(|(other, _, _)| *other == name) {
                return fault(column.value.span, format!("there are two columns `{name}` here"));
            }
            items.push((name, typed.expr, column.to.unwrap_or(KqlType::Dynamic)));
        }
        let index_name = setting(settings, "with_itemindex")
            .map(|(text, _)| free_name(&text, &relation.names().map(str::to_owned).collect()));
        // Everything that stays, and a list for each column that is expanded.
        let mut exprs: Vec<PlanExpr> =
            relation.plan.schema().columns().into_iter().map(PlanExpr::Column).collect();
        let mut lists = Vec::new();
        for (name, expr, _) in &items {
            let fresh = self.fresh(name);
            exprs.push(crate::functions::elements(expr.clone(), as_pairs, keep_null, limit).alias(&fresh));
            lists.push(PlanColumn::new_unqualified(fresh));
        }
        let mut index_column = None;
        if index_name.is_some() {
            let fresh = self.fresh("index");
            let first = items.iter().map(|(_, expr, _)| expr.clone()).collect();
            exprs.push(crate::functions::element_indexes(first, keep_null, limit).alias(&fresh));
            index_column = Some(PlanColumn::new_unqualified(&fresh));
            lists.push(PlanColumn::new_unqualified(fresh));
        }
        let options = UnnestOptions::new().with_preserve_nulls(false);
        let plan = LogicalPlanBuilder::from(relation.plan.clone())
            .project(exprs)?
            .unnest_columns_with_options(lists.clone(), options)?
            .build()?;
        let mut expanded = Relation { plan, ..relation };
        let mut values = Vec::new();
        for ((name, _, to), column) in items.into_iter().zip(lists) {
            let element = Typed::new(PlanExpr::Column(column), KqlType::Dynamic);
            values.push((name, cast(element, to)));
        }
        if let (Some(name), Some(column)) = (index_name, index_column) {
            values.push((name, Typed::new(PlanExpr::Column(column), KqlType::Long)));
        }
        expanded = self.with_columns(&expanded, values)?;
        Ok(expanded)
    }

    /// The pipe in brackets runs within the elements of each row.
    pub(super) fn mv_apply(
        &mut self,
        relation: Relation,
        settings: &'a [Setting],
        columns: &'a [ExpandColumn],
        limit: Option<&'a Expr>,
        body: &'a [Operator],
    ) -> Binding<Relation> {
        let outer_parts = relation.parts.clone();
        let outer_outer = relation.outer.clone();
        let outer_columns = relation.columns.clone();
        let replaced: Vec<String> = columns
            .iter()
            .filter_map(|column| match &column.name {
                Some(name) => Some(name.text.clone()),
                None => self.auto_name(&column.value),
            })
            .collect();
        let id = self.fresh("row");
        let mut exprs: Vec<PlanExpr> =
            relation.plan.schema().columns().into_iter().map(PlanExpr::Column).collect();
        exprs.push(crate::functions::row_id().alias(&id));
        let mut numbered = relation;
        numbered.plan = LogicalPlanBuilder::from(numbered.plan).project(exprs)?.build()?;
        numbered.parts.push(PlanColumn::new_unqualified(&id));
        numbered.order = Vec::new();
        // The outer row's columns come along under names that the pipe cannot touch.
        numbered.outer.extend(outer_columns.iter().cloned());
        let before = numbered.outer.len() - outer_columns.len();
        let expanded = self.mv_expand(numbered, settings, columns, limit, false)?;
        let mut result = self.pipe(expanded, body)?;
        let carried: Vec<Col> = result.outer.split_off(before);
        result.parts = outer_parts;
        result.outer = outer_outer;
        result.order = Vec::new();
        // The outer row without what was expanded in place, then what the pipe made.
        let mut values: Vec<(String, Typed)> = Vec::new();
        for col in carried.iter().filter(|col| !replaced.contains(&col.name)) {
            let own = result.columns.iter().find(|own| own.name == col.name);
            values.push((col.name.clone(), own.unwrap_or(col).typed()));
        }
        for col in &result.columns {
            if !values.iter().any(|(name, _)| *name == col.name) {
                values.push((col.name.clone(), col.typed()));
            }
        }
        self.project(&Relation { hidden: Vec::new(), ..result }, values, Vec::new())
    }

    pub(super) fn top_nested(&mut self, relation: Relation, levels: &'a [NestedLevel]) -> Binding<Relation> {
        let mut keys: Vec<(String, Typed)> = Vec::new();
        // The levels so far: their keys and aggregates. Those of what is left over at a level end there.
        let mut above: Option<Relation> = None;
        let mut left_over: Vec<Relation> = Vec::new();
        let mut names = Names::default();
        for level in levels {
            let key = self.scalar(&level.of.value, &mut Context::row(&relation))?;
            let key_name = self.column_name(&level.of, &mut names)?;
            let value_name = match level.by.names.first() {
                Some(name) => name.text.clone(),
                None => format!("aggregated_{key_name}"),
            };
            names.taken.insert(value_name.clone());
            keys.push((key_name, key));
            let mut grouped = self.nested_level(&relation, level, keys.clone(), &value_name)?;
            if let Some(count) = &level.count {
                let count = self.constant_count(count)?;
                let outer_parts = grouped.parts.clone();
                let (last, before) = (grouped.columns.len() - 1, grouped.columns.len() - 2);
                let by = PlanExpr::Column(grouped.columns[last].column.clone());
                grouped.order = vec![SortExpr::new(by, level.ascending == Some(true), false)];
                grouped.parts.extend(grouped.columns[..before].iter().map(|col| col.column.clone()));
                let (numbered, number) = self.number_rows(grouped)?;
                let most = Typed::literal(count.into(), KqlType::Long).expr;
                let plan =
                    LogicalPlanBuilder::from(numbered.plan.clone()).filter(number.lt_eq(most))?.build()?;
                grouped = Relation { plan, order: Vec::new(), parts: outer_parts, ..numbered };
            }
            if let Some(name) = &level.others {
                let rest = self.others(&relation, level, name, &keys, &value_name, &grouped)?;
                left_over.push(match &above {
                    None => rest,
                    Some(above) => {
                        let above = self.renamed_copy(above)?;
                        self.below(above, rest)?
                    }
                });
            }
            above = Some(match above {
                None => grouped,
                Some(above) => self.below(above, grouped)?,
            });
        }
        let Some(whole) = above else { return Ok(relation) };
        if left_over.is_empty() {
            return Ok(whole);
        }
        let mut all = Vec::with_capacity(left_over.len() + 1);
        for rest in left_over {
            let mut columns: Vec<(String, Typed)> =
                rest.columns.iter().map(|col| (col.name.clone(), col.typed())).collect();
            let missing = &whole.columns[columns.len()..];
            columns.extend(missing.iter().map(|col| (col.name.clone(), Typed::null(col.kind))));
            all.push(self.project(&rest, columns, Vec::new())?);
        }
        all.insert(0, whole);
        self.union_of(all, false, None)
    }

    /// The groups of a level, each with its aggregate.
    fn nested_level(
        &mut self,
        relation: &Relation,
        level: &'a NestedLevel,
        keys: Vec<(String, Typed)>,
        value_name: &str,
    ) -> Binding<Relation> {
        let mut context = Context { aggregates: Some(Vec::new()), ..Context::row(relation) };
        let value = self.scalar(&level.by.value, &mut context)?;
        let pending = context.aggregates.take().unwrap_or_default();
        self.group(relation, keys, pending, vec![(value_name.to_owned(), value)])
    }

    /// What did not make it to the top of a level, as one group of its own within each group above.
    fn others(
        &mut self,
        relation: &Relation,
        level: &'a NestedLevel,
        name: &'a Expr,
        keys: &[(String, Typed)],
        value_name: &str,
        top: &Relation,
    ) -> Binding<Relation> {
        let Some(((key_name, key), parents)) = keys.split_last() else {
            return fault(name.span, "a key is missing");
        };
        let own = cast(self.scalar(name, &mut Context::default())?, key.kind);
        // The keys as columns, so that null is found to be null.
        let mut exprs: Vec<PlanExpr> =
            relation.plan.schema().columns().into_iter().map(PlanExpr::Column).collect();
        let mut of_row = Vec::with_capacity(keys.len());
        for (name, key) in keys {
            let fresh = self.fresh(name);
            exprs.push(key.expr.clone().alias(&fresh));
            of_row.push(PlanColumn::new_unqualified(fresh));
        }
        let top = self.renamed_copy(top)?;
        let of_top: Vec<PlanColumn> =
            top.columns[..keys.len()].iter().map(|col| col.column.clone()).collect();
        let plan = LogicalPlanBuilder::from(relation.plan.clone())
            .project(exprs)?
            .join_detailed(
                top.plan,
                JoinType::LeftAnti,
                (of_row, of_top),
                None,
                NullEquality::NullEqualsNull,
            )?
            .build()?;
        let rest = Relation { plan, ..relation.clone() };
        let mut keys = parents.to_vec();
        keys.push((key_name.clone(), own));
        self.nested_level(&rest, level, keys, value_name)
    }

    /// The rows of a level under those of the levels above that have the same keys.
    fn below(&mut self, above: Relation, level: Relation) -> Binding<Relation> {
        let depth = level.columns.len() - 2;
        let of_level: Vec<PlanColumn> = level.columns[..depth].iter().map(|col| col.column.clone()).collect();
        let of_above: Vec<PlanColumn> = level.columns[..depth]
            .iter()
            .filter_map(|col| above.find(&col.name).map(|own| own.column.clone()))
            .collect();
        let (inner, keys) = (JoinType::Inner, (of_above, of_level));
        let plan = LogicalPlanBuilder::from(above.plan.clone())
            .join_detailed(level.plan.clone(), inner, keys, None, NullEquality::NullEqualsNull)?
            .build()?;
        let mut columns: Vec<(String, Typed)> =
            above.columns.iter().map(|col| (col.name.clone(), col.typed())).collect();
        columns.extend(level.columns[depth..].iter().map(|col| (col.name.clone(), col.typed())));
        self.project(&Relation { plan, ..above }, columns, Vec::new())
    }
}
