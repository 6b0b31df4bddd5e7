//! Tables while a query is bound: a plan, and what its columns are called.

use std::collections::HashSet;

use datafusion::common::Column as PlanColumn;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, SortExpr};

use super::{Binder, Stop};
use crate::functions::Typed;
use crate::types::KqlType;
use crate::value::Value;

/// A column: its name in KQL, and the plan's column that holds it. The plan's names are unique within a query, so that
/// two tables may meet in a join whatever their columns are called.
#[derive(Debug, Clone)]
pub(crate) struct Col {
    pub(crate) name: String,
    pub(crate) column: PlanColumn,
    pub(crate) kind: KqlType,
}

impl Col {
    pub(crate) fn typed(&self) -> Typed {
        Typed::new(Expr::Column(self.column.clone()), self.kind)
    }
}

/// A table.
#[derive(Debug, Clone)]
pub(crate) struct Relation {
    pub(crate) plan: LogicalPlan,
    pub(crate) columns: Vec<Col>,
    /// Columns that resolve by name and are not part of the output.
    pub(crate) hidden: Vec<Col>,
    /// How the rows are ordered, where a query has said so. Window functions and lists follow it.
    pub(crate) order: Vec<SortExpr>,
    /// The keys of the parts that operators work within, inside `mv-apply` and `partition`.
    pub(crate) parts: Vec<PlanColumn>,
    /// Columns of the outer row that come along through the pipe of `mv-apply`.
    pub(crate) outer: Vec<Col>,
    /// What `union withsource` calls it.
    pub(crate) source: Option<String>,
}

impl Relation {
    pub(crate) fn new(plan: LogicalPlan, columns: Vec<Col>) -> Self {
        Relation {
            plan,
            columns,
            hidden: Vec::new(),
            order: Vec::new(),
            parts: Vec::new(),
            outer: Vec::new(),
            source: None,
        }
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Col> {
        self.columns.iter().chain(&self.hidden).find(|col| col.name == name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|col| col.name.as_str())
    }

    /// The columns that must stay in the plan whatever a query projects.
    fn carried(&self) -> Vec<PlanColumn> {
        let mut carried: Vec<PlanColumn> = self.order.iter().flat_map(|key| columns_of(&key.expr)).collect();
        carried.extend(self.parts.iter().cloned());
        carried.extend(self.outer.iter().map(|col| col.column.clone()));
        carried
    }
}

fn columns_of(expr: &Expr) -> Vec<PlanColumn> {
    expr.column_refs().into_iter().cloned().collect()
}

/// A name not yet taken: the name itself, or it with the first free number.
pub(crate) fn free_name(name: &str, taken: &HashSet<String>) -> String {
    if !taken.contains(name) {
        return name.to_owned();
    }
    (1..).map(|number| format!("{name}{number}")).find(|name| !taken.contains(name)).unwrap_or_default()
}

impl Binder<'_> {
    /// A name for the plan that nothing else in the query has.
    pub(crate) fn fresh(&mut self, name: &str) -> String {
        self.counter += 1;
        format!("{name}#{}", self.counter)
    }

    /// The relation with these columns. What its order and parts hang on stays in the plan.
    pub(crate) fn project(
        &mut self,
        relation: &Relation,
        columns: Vec<(String, Typed)>,
        hidden: Vec<Col>,
    ) -> Result<Relation, Stop> {
        let mut exprs = Vec::with_capacity(columns.len());
        let mut seen: HashSet<PlanColumn> = HashSet::new();
        let mut cols = Vec::with_capacity(columns.len());
        for (name, typed) in columns {
            match typed.expr {
                Expr::Column(column) if seen.insert(column.clone()) => {
                    exprs.push(Expr::Column(column.clone()));
                    cols.push(Col { name, column, kind: typed.kind });
                }
                expr => {
                    let fresh = self.fresh(&name);
                    exprs.push(expr.alias(&fresh));
                    cols.push(Col { name, column: PlanColumn::new_unqualified(fresh), kind: typed.kind });
                }
            }
        }
        for column in hidden.iter().map(|col| col.column.clone()).chain(relation.carried()) {
            if seen.insert(column.clone()) {
                exprs.push(Expr::Column(column));
            }
        }
        if exprs.is_empty() {
            // A table without columns still has its rows.
            exprs.push(Expr::Literal(Value::Null.into_scalar(KqlType::Bool), None).alias(self.fresh("none")));
        }
        let plan = LogicalPlanBuilder::from(relation.plan.clone()).project(exprs)?.build()?;
        Ok(Relation { plan, columns: cols, hidden, ..relation.clone() })
    }

    /// The same table under new plan names, so that it may meet itself in a join.
    pub(crate) fn renamed_copy(&mut self, relation: &Relation) -> Result<Relation, Stop> {
        let mut exprs = Vec::new();
        let mut fresh_of = std::collections::HashMap::new();
        let all = relation.columns.iter().chain(&relation.hidden).map(|col| col.column.clone());
        for column in all.chain(relation.carried()).collect::<Vec<_>>() {
            if fresh_of.contains_key(&column) {
                continue;
            }
            let base = column.name.split('#').next().unwrap_or("").to_owned();
            let fresh = self.fresh(&base);
            exprs.push(Expr::Column(column.clone()).alias(&fresh));
            fresh_of.insert(column, PlanColumn::new_unqualified(fresh));
        }
        if exprs.is_empty() {
            return Ok(relation.clone());
        }
        let rename = |column: &PlanColumn| fresh_of.get(column).unwrap_or(column).clone();
        let rename_col = |col: &Col| Col { column: rename(&col.column), ..col.clone() };
        let mut order = Vec::with_capacity(relation.order.len());
        for key in &relation.order {
            let Expr::Column(column) = &key.expr else { continue };
            order.push(SortExpr { expr: Expr::Column(rename(column)), ..key.clone() });
        }
        Ok(Relation {
            plan: LogicalPlanBuilder::from(relation.plan.clone()).project(exprs)?.build()?,
            columns: relation.columns.iter().map(rename_col).collect(),
            hidden: relation.hidden.iter().map(rename_col).collect(),
            order,
            parts: relation.parts.iter().map(rename).collect(),
            outer: relation.outer.iter().map(rename_col).collect(),
            source: relation.source.clone(),
        })
    }
}
