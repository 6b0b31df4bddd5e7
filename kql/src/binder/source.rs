//! Where rows come from: tables, watchlists, `datatable`, `range`, `print`.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::common::{Column as PlanColumn, TableReference};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::{LogicalPlanBuilder, Operator as PlanOperator};

use super::expression::fold;
use super::summarize::Names;
use super::types::{cast, compare};
use super::{Any, Binder, Binding, Col, Context, Definition, Need, Relation, Stop, fault};
use crate::ast::{Expr, Name, Named, Operator, OperatorKind, Span};
use crate::catalog::Table;
use crate::diagnostics::Diagnostic;
use crate::functions::Typed;
use crate::json::Step;
use crate::scan::KqlScan;
use crate::time;
use crate::types::KqlType;
use crate::value::{Builder, Value};

/// The column that says when a row's event was.
const TIME_COLUMN: &str = "TimeGenerated";
/// The most rows of `range` that are laid out before the query runs.
const MAX_RANGE: i64 = 10_000_000;

impl<'a> Binder<'a> {
    pub(super) fn source(&mut self, operator: &'a Operator) -> Binding<Relation> {
        let span = operator.span;
        match &operator.kind {
            OperatorKind::Print(values) => self.print(values),
            OperatorKind::Range { name, from, to, step } => self.range(name, from, to, step, span),
            OperatorKind::Datatable { columns, cells } => self.datatable(columns, cells, span),
            OperatorKind::ExternalData { columns, sources, settings } => {
                self.external_data(columns, sources, settings, span)
            }
            OperatorKind::Union { settings, tables } => self.union(None, settings, tables, span),
            OperatorKind::Search { settings, tables, predicate } => {
                self.search(settings, tables, predicate, span)
            }
            OperatorKind::Find { settings, tables, predicate, project, away, .. } => {
                self.find(settings, tables, predicate, project.as_deref(), away, span)
            }
            OperatorKind::Evaluate { name, .. } => {
                fault(name.span, format!("the plugin `{}` needs a table before it", name.text))
            }
            _ => fault(span, "a query cannot begin with this"),
        }
    }

    /// Whether the catalog has a table of that name.
    pub(super) fn is_table(&self, name: &str) -> Binding<bool> {
        match self.environment.answers.tables.get(name) {
            Some(found) => Ok(found.is_some()),
            None => Err(Stop::Need(Need::Table(name.to_owned()))),
        }
    }

    pub(super) fn catalog_table(&mut self, name: &str, span: Span) -> Binding<Relation> {
        let answers = self.environment.answers;
        if !self.is_table(name)? {
            let diagnostic = Diagnostic::absent(span, format!("there is no table `{name}`"));
            let diagnostic = diagnostic.did_you_mean(name, answers.table_names.iter().map(String::as_str));
            return Err(Stop::Fault(Box::new(diagnostic)));
        }
        let Some(Some(table)) = answers.tables.get(name) else { return fault(span, "the table is gone") };
        self.tables.insert(name.to_owned());
        let mut relation = self.scan(name, table, false)?;
        relation.source = Some(name.to_owned());
        if let Some((from, to)) = self.environment.options.time_range
            && let Some(col) = relation.find(TIME_COLUMN).cloned()
            && col.kind == KqlType::Datetime
        {
            let bound = |at| Typed::literal(time::ticks_from_datetime(at).into(), KqlType::Datetime);
            let after = compare(span, PlanOperator::GtEq, col.typed(), bound(from), true)?;
            let before = compare(span, PlanOperator::Lt, col.typed(), bound(to), true)?;
            let both = after.expr.and(before.expr);
            relation.plan = LogicalPlanBuilder::from(relation.plan).filter(both)?.build()?;
        }
        Ok(relation)
    }

    pub(super) fn watchlist(&mut self, alias: &str, span: Span) -> Binding<Relation> {
        let answers = self.environment.answers;
        match answers.watchlists.get(alias) {
            None => Err(Stop::Need(Need::Watchlist(alias.to_owned()))),
            Some(None) => {
                let diagnostic = Diagnostic::absent(span, format!("there is no watchlist `{alias}`"));
                Err(Stop::Fault(Box::new(diagnostic)))
            }
            Some(Some(table)) => self.scan(alias, table, true),
        }
    }

    fn scan(&mut self, name: &str, table: &Table, is_watchlist: bool) -> Binding<Relation> {
        let scan = Arc::new(KqlScan::new(table, is_watchlist)?);
        self.counter += 1;
        let reference = TableReference::bare(format!("{name}#{}", self.counter));
        let columns = scan.columns();
        let col = |column: &crate::types::Column| Col {
            name: column.name.clone(),
            column: PlanColumn::new(Some(reference.clone()), &column.name),
            kind: column.kind,
        };
        let visible = columns.iter().filter(|column| !column.hidden).map(col).collect();
        let hidden = columns.iter().filter(|column| column.hidden).map(col).collect();
        let provider: Arc<dyn TableProvider> = scan;
        let plan =
            LogicalPlanBuilder::scan(reference.clone(), provider_as_source(provider), None)?.build()?;
        Ok(Relation { hidden, ..Relation::new(plan, visible) })
    }

    fn print(&mut self, values: &'a [Named]) -> Binding<Relation> {
        let one = Relation::new(LogicalPlanBuilder::empty(true).build()?, Vec::new());
        let mut names = Names::default();
        let mut columns = Vec::new();
        for (index, value) in values.iter().enumerate() {
            let typed = self.scalar(&value.value, &mut Context::default())?;
            // A function with several results gives a column for each.
            let parts = match self.tuple_parts(&value.value) {
                Some(parts) => (0..)
                    .zip(parts)
                    .map(|(at, (name, kind))| {
                        let element = crate::functions::dynamic_path(typed.clone(), Step::Index(at));
                        (name, cast(element, kind))
                    })
                    .collect(),
                None => vec![(format!("print_{index}"), typed)],
            };
            for (at, (own, typed)) in parts.into_iter().enumerate() {
                let name = match value.names.get(at) {
                    Some(name) => names.chosen(&name.text, name.span)?,
                    None => names.free(&own),
                };
                columns.push((name, typed));
            }
        }
        self.project(&one, columns, Vec::new())
    }

    fn range(
        &mut self,
        name: &'a Name,
        from: &'a Expr,
        to: &'a Expr,
        step: &'a Expr,
        span: Span,
    ) -> Binding<Relation> {
        let mut bounds = Vec::new();
        for expr in [from, to, step] {
            let typed = fold(self.scalar(expr, &mut Context::default())?);
            let measurable = matches!(typed.kind, KqlType::Datetime | KqlType::Timespan);
            if !measurable && !typed.kind.is_numeric() {
                return fault(expr.span, format!("a {} cannot bound a range", typed.kind));
            }
            match typed.constant() {
                Some(value) => bounds.push((value, typed.kind)),
                None => return fault(expr.span, "a bound of `range` has to be a constant"),
            }
        }
        let (from, to, step) = (&bounds[0], &bounds[1], &bounds[2]);
        let kind = if bounds.iter().any(|(_, kind)| *kind == KqlType::Real) {
            KqlType::Real
        } else if from.1 == KqlType::Int {
            KqlType::Long
        } else {
            from.1
        };
        let mut builder = Builder::new(kind, 0);
        if kind == KqlType::Real {
            if let (Some(from), Some(to), Some(step)) = (from.0.as_real(), to.0.as_real(), step.0.as_real()) {
                let count = ((to - from) / step).floor();
                if step == 0.0 || !count.is_finite() || count > MAX_RANGE as f64 {
                    return fault(span, "this range never ends");
                }
                for index in 0..=(count.max(-1.0) as i64) {
                    builder.push(&Value::Real(from + step * index as f64));
                }
            }
        } else if let (Some(from), Some(to), Some(step)) =
            (from.0.as_long(), to.0.as_long(), step.0.as_long())
        {
            if step == 0 || (i128::from(to) - i128::from(from)) / i128::from(step) > i128::from(MAX_RANGE) {
                return fault(span, format!("this range has more than {MAX_RANGE} values"));
            }
            let mut at = from;
            while if step > 0 { at <= to } else { at >= to } {
                builder.push(&Value::Long(at));
                let Some(next) = at.checked_add(step) else { break };
                at = next;
            }
        }
        self.memory(vec![(name.text.clone(), kind, builder)])
    }

    fn datatable(
        &mut self,
        columns: &'a [(Name, KqlType)],
        cells: &'a [Expr],
        span: Span,
    ) -> Binding<Relation> {
        if columns.is_empty() {
            return fault(span, "a datatable needs a column");
        }
        let mut names = Names::default();
        for (name, _) in columns {
            names.chosen(&name.text, name.span)?;
        }
        if !cells.len().is_multiple_of(columns.len()) {
            let message = format!("{} cells do not fill rows of {} columns", cells.len(), columns.len());
            return fault(span, message);
        }
        let mut builders: Vec<Builder> =
            columns.iter().map(|(_, kind)| Builder::new(*kind, cells.len() / columns.len())).collect();
        for (index, cell) in cells.iter().enumerate() {
            let typed = fold(self.scalar(cell, &mut Context::default())?);
            let at = index % columns.len();
            match cast(typed, columns[at].1).constant() {
                Some(value) => builders[at].push(&value),
                None => return fault(cell.span, "a cell of a datatable has to be a constant"),
            }
        }
        let filled =
            columns.iter().zip(builders).map(|((name, kind), builder)| (name.text.clone(), *kind, builder));
        self.memory(filled.collect())
    }

    /// A table of rows that are laid out already.
    pub(super) fn memory(&mut self, columns: Vec<(String, KqlType, Builder)>) -> Binding<Relation> {
        let mut fields = Vec::new();
        let mut arrays = Vec::new();
        let mut cols = Vec::new();
        self.counter += 1;
        let reference = TableReference::bare(format!("rows#{}", self.counter));
        for (index, (name, kind, builder)) in columns.into_iter().enumerate() {
            let array = builder.finish();
            // Two columns of one name would be one to the plan.
            let field = format!("{name}#{index}");
            fields.push(Field::new(&field, array.data_type().clone(), true));
            arrays.push(array);
            cols.push(Col { name, column: PlanColumn::new(Some(reference.clone()), field), kind });
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .map_err(datafusion::error::DataFusionError::from)?;
        let provider = Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?);
        let plan = LogicalPlanBuilder::scan(reference, provider_as_source(provider), None)?.build()?;
        Ok(Relation::new(plan, cols))
    }

    /// The tables that a name with `*` stands for, with the views in scope.
    pub(super) fn wildcard_tables(&mut self, pattern: &str, span: Span) -> Binding<Vec<Relation>> {
        let mut tables = Vec::new();
        let mut names = HashSet::new();
        let mut views = Vec::new();
        let mut at = self.scope.clone();
        while let Some(frame) = at {
            if let Definition::Function(lambda, scope) = &frame.definition
                && lambda.view
                && names.insert(frame.name.clone())
                && matches_wildcard(pattern, &frame.name)
            {
                views.push((frame.name.clone(), *lambda, scope.clone()));
            }
            at = frame.parent.clone();
        }
        for (name, lambda, scope) in views.into_iter().rev() {
            let written = Name { text: name.clone(), span };
            if let Any::Table(mut relation) =
                self.invoke(&written, lambda, &scope, &[], None, &mut Context::default())?
            {
                relation.source = Some(name);
                tables.push(relation);
            }
        }
        let answers = self.environment.answers;
        for name in &answers.table_names {
            if !names.contains(name) && matches_wildcard(pattern, name) {
                tables.push(self.catalog_table(name, span)?);
            }
        }
        Ok(tables)
    }
}

/// Whether a name fits a pattern in which `*` stands for anything.
pub(crate) fn matches_wildcard(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(first) = parts.next() else { return false };
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}
