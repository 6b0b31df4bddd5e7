//! Tables while a query is bound: a plan, and what its columns are called.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::{Column as PlanColumn, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection, SortExpr};

use super::{Binder, Stop};
use crate::functions::Typed;
use crate::materialized::Materialized;
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

/// How many operators back a column's definition is looked for.
const MAX_STEPS_BACK: usize = 32;

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

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.columns.iter().map(|col| col.name.as_str())
    }

    /// The call of `parse_json()` that a column holds, where the plan still has the text: a path into the column is then
    /// one into the text, which nobody has to read as a whole.
    pub(super) fn parsed(&self, column: &PlanColumn) -> Option<Expr> {
        let mut plan = &self.plan;
        for _ in 0..MAX_STEPS_BACK {
            match plan {
                LogicalPlan::Filter(filter) => plan = &filter.input,
                LogicalPlan::Projection(projection) => {
                    match &projection.expr[projection.schema.index_of_column(column).ok()?] {
                        Expr::Column(same) if same == column => plan = &projection.input,
                        Expr::Alias(alias) => {
                            let Expr::ScalarFunction(call) = alias.expr.as_ref() else { return None };
                            let ("parse_json", [Expr::Column(text)]) = (call.func.name(), &call.args[..])
                            else {
                                return None;
                            };
                            return self.plan.schema().has_column(text).then(|| alias.expr.as_ref().clone());
                        }
                        _ => return None,
                    }
                }
                _ => return None,
            }
        }
        None
    }

    /// The columns that must stay in the plan whatever a query projects.
    fn carried(&self) -> Vec<PlanColumn> {
        let mut carried: Vec<PlanColumn> = self.order.iter().flat_map(|key| columns_of(&key.expr)).collect();
        carried.extend(self.parts.iter().cloned());
        carried.extend(self.outer.iter().map(|col| col.column.clone()));
        carried
    }

    /// The same table by another plan, in which each column has another name.
    pub(crate) fn renamed(&self, plan: LogicalPlan, rename: impl Fn(&PlanColumn) -> PlanColumn) -> Self {
        let rename_col = |col: &Col| Col { column: rename(&col.column), ..col.clone() };
        let rename_key = |key: &SortExpr| match &key.expr {
            Expr::Column(column) => Some(SortExpr { expr: Expr::Column(rename(column)), ..key.clone() }),
            _ => None,
        };
        Relation {
            plan,
            columns: self.columns.iter().map(rename_col).collect(),
            hidden: self.hidden.iter().map(rename_col).collect(),
            order: self.order.iter().filter_map(rename_key).collect(),
            parts: self.parts.iter().map(&rename).collect(),
            outer: self.outer.iter().map(rename_col).collect(),
            source: self.source.clone(),
        }
    }
}

fn columns_of(expr: &Expr) -> Vec<PlanColumn> {
    expr.column_refs().into_iter().cloned().collect()
}

/// A projection of columns whose names are already the plan's own, which the builder would look up one by one.
fn projection(plan: LogicalPlan, exprs: Vec<Expr>) -> Result<LogicalPlan, Stop> {
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?))
}

/// A name not yet taken: the name itself, or it with the first free number.
pub(crate) fn free_name(name: &str, taken: &HashSet<String>) -> String {
    if !taken.contains(name) {
        return name.to_owned();
    }
    (1..).map(|number| format!("{name}{number}")).find(|name| !taken.contains(name)).unwrap_or_default()
}

/// What columns are called that come to others: their own names, or where the others have them, with the first number that
/// none of all has.
pub(crate) fn names_beside<'n>(
    others: impl Iterator<Item = &'n str>,
    own: impl Iterator<Item = &'n str> + Clone,
) -> Vec<String> {
    let others: HashSet<&str> = others.collect();
    let mut taken: HashSet<String> = others.iter().copied().chain(own.clone()).map(str::to_owned).collect();
    let name = |name: &str| {
        let name = if others.contains(name) { free_name(name, &taken) } else { name.to_owned() };
        taken.insert(name.clone());
        name
    };
    own.map(name).collect()
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
        let plan = projection(relation.plan.clone(), exprs)?;
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
        let plan = projection(relation.plan.clone(), exprs)?;
        Ok(relation.renamed(plan, |column| fresh_of.get(column).unwrap_or(column).clone()))
    }

    /// A relation whose rows are worked out once, wherever it is used.
    pub(crate) fn materialize(&mut self, relation: Relation) -> Result<Relation, Stop> {
        if !relation.parts.is_empty() || !relation.outer.is_empty() {
            // Within `mv-apply` and `partition` it is part of the work on each row.
            return Ok(relation);
        }
        let relation = self.renamed_copy(&relation)?;
        let reference = TableReference::bare(self.fresh("materialized"));
        let provider: Arc<dyn TableProvider> = Arc::new(Materialized::new(relation.plan.clone()));
        let scan = LogicalPlanBuilder::scan(reference.clone(), provider_as_source(provider), None)?;
        let mut copy = relation
            .renamed(scan.build()?, |column| PlanColumn::new(Some(reference.clone()), column.name.clone()));
        if !copy.order.is_empty() {
            copy.plan = LogicalPlanBuilder::from(copy.plan).sort(copy.order.clone())?.build()?;
        }
        Ok(copy)
    }
}
