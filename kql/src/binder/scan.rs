//! `scan`: its steps, and what they remember.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::{Column as PlanColumn, ExprSchema, ScalarValue, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlanBuilder};

use super::expression::{fold, truth};
use super::operator::{no_column, setting};
use super::types::coerce;
use super::{Binder, Binding, Col, Context, Definition, Relation, Stop, fault, with};
use crate::ast::{Name, Parameter, ParameterType, Scan, ScanStep};
use crate::diagnostics::Diagnostic;
use crate::functions::{ParamKind, Typed};
use crate::sequence::{Emit, Program, Sequences, Slot, Step};
use crate::types::KqlType;
use crate::value::Value;

/// What a step remembers of its last row, as expressions refer to it: `step.column`.
struct Remembered {
    step: String,
    columns: Vec<Col>,
}

/// The steps that an expression may refer to: those up to its own.
pub(crate) struct Memory<'r> {
    steps: &'r [Remembered],
    own: usize,
}

impl Memory<'_> {
    /// The value of a column in a step's last row, if it is a step that the name means.
    pub(super) fn column(&self, step: &str, name: &Name) -> Binding<Option<Typed>> {
        let Some(at) = self.steps.iter().position(|known| known.step == step) else { return Ok(None) };
        if at > self.own {
            return fault(
                name.span,
                format!("the step `{step}` comes after this one, which knows nothing of it yet"),
            );
        }
        let columns = &self.steps[at].columns;
        match columns.iter().find(|col| col.name == name.text) {
            Some(col) => Ok(Some(col.typed())),
            None => {
                let diagnostic =
                    Diagnostic::new(name.span, format!("the step `{step}` has no column `{}`", name.text));
                let known = columns.iter().map(|col| col.name.as_str());
                Err(Stop::Fault(Box::new(diagnostic.did_you_mean(&name.text, known))))
            }
        }
    }
}

impl<'a> Binder<'a> {
    pub(super) fn scan_operator(&mut self, relation: Relation, scan: &'a Scan) -> Binding<Relation> {
        let outer_parts = relation.parts.len();
        let source = self.scanned(relation, scan)?;
        let declared = self.declared(&source, &scan.declare)?;
        // Declared columns have their first value where a row is not yet of a step.
        let mut scope = self.scope.clone();
        let mut columns = source.columns.clone();
        for (col, default) in &declared {
            scope = with(&scope, &col.name, Definition::Scalar(default.clone()));
            columns.push(col.clone());
        }
        let mut remembered: Vec<Remembered> = Vec::new();
        for step in &scan.steps {
            if remembered.iter().any(|known| known.step == step.name.text) {
                return fault(step.name.span, format!("there are two steps `{}`", step.name.text));
            }
            let columns = columns.iter().map(|col| {
                let name = self.fresh(&format!("{}.{}", step.name.text, col.name));
                Col { column: PlanColumn::new_unqualified(name), ..col.clone() }
            });
            remembered.push(Remembered { columns: columns.collect(), step: step.name.text.clone() });
        }
        let steps = self.in_scope(scope, |binder| {
            let steps = scan.steps.iter().enumerate();
            steps
                .map(|(own, step)| {
                    binder.scan_step(step, &source, &columns, &Memory { steps: &remembered, own })
                })
                .collect::<Binding<Vec<Step>>>()
        })?;

        let expressions = steps.iter().flat_map(|step| {
            std::iter::once(&step.condition).chain(step.assignments.iter().map(|(_, expr)| expr))
        });
        let referred: HashSet<&str> = expressions
            .flat_map(|expr| expr.column_refs().into_iter().map(|column| column.name.as_str()))
            .collect();
        let mut slots = Vec::new();
        for (step, known) in remembered.iter().enumerate() {
            for (col, value) in known.columns.iter().zip(&columns) {
                if referred.contains(col.column.name.as_str()) {
                    let default = match declared.iter().find(|(own, _)| own.column == value.column) {
                        Some((_, default)) => constant(default),
                        None => first_value(&source, value)?,
                    };
                    let (name, column) = (col.column.name.clone(), value.column.name.clone());
                    slots.push(Slot { name, step, column, default });
                }
            }
        }
        let match_id = setting(&scan.settings, "with_match_id").map(|(name, setting)| {
            let column = PlanColumn::new_unqualified(self.fresh(&name));
            (Col { name, column, kind: KqlType::Long }, setting.value.span)
        });
        if let Some((col, span)) = &match_id
            && columns.iter().any(|own| own.name == col.name)
        {
            return fault(*span, format!("there is a column `{}` already", col.name));
        }
        let program = Program {
            steps,
            slots,
            declared: declared
                .iter()
                .map(|(col, default)| (col.column.name.clone(), constant(default)))
                .collect(),
            match_id: match_id.as_ref().map(|(col, _)| col.column.name.clone()),
            number: self.fresh("number"),
            parts: source.parts.clone(),
            order: source.order.clone(),
        };
        let added = declared.into_iter().map(|(col, _)| col).chain(match_id.map(|(col, _)| col));
        self.sequences(source, program, added.collect(), outer_parts)
    }

    /// The rows in the order and the parts that the operator itself asks for.
    fn scanned(&mut self, mut relation: Relation, scan: &'a Scan) -> Binding<Relation> {
        for key in &scan.partition {
            match self.scalar(key, &mut Context::row(&relation))?.expr {
                PlanExpr::Column(column) => relation.parts.push(column),
                _ => return fault(key.span, "a column is needed here"),
            }
        }
        if !scan.order.is_empty() {
            relation = self.sort(relation, &scan.order)?;
        }
        self.renamed_copy(&relation)
    }

    /// The declared columns and their first values.
    fn declared(&mut self, source: &Relation, params: &'a [Parameter]) -> Binding<Vec<(Col, Typed)>> {
        let mut declared: Vec<(Col, Typed)> = Vec::new();
        for param in params {
            let name = &param.name;
            let taken = source.names().chain(declared.iter().map(|(col, _)| col.name.as_str()));
            if taken.into_iter().any(|taken| taken == name.text) {
                return fault(name.span, format!("there is a column `{}` already", name.text));
            }
            let ParameterType::Scalar(kind) = &param.kind else {
                return fault(name.span, "a column holds scalars, not tables");
            };
            let default = match &param.default {
                None => Typed::null(*kind),
                Some(value) => {
                    let typed = fold(self.scalar(value, &mut Context::default())?);
                    match coerce(typed, ParamKind::Of(*kind)) {
                        Ok(typed) if typed.constant().is_some() => typed,
                        Ok(_) => return fault(value.span, "a constant is needed here"),
                        Err(problem) => return fault(value.span, problem),
                    }
                }
            };
            let column = PlanColumn::new_unqualified(self.fresh(&name.text));
            declared.push((Col { name: name.text.clone(), column, kind: *kind }, default));
        }
        Ok(declared)
    }

    fn scan_step(
        &mut self,
        step: &'a ScanStep,
        source: &Relation,
        columns: &[Col],
        memory: &Memory<'_>,
    ) -> Binding<Step> {
        if step.optional {
            return fault(step.name.span, "optional steps are not supported");
        }
        let emit = match step.output.as_ref().map(|output| (output.text.as_str(), output.span)) {
            None | Some(("all", _)) => Emit::All,
            Some(("last", _)) => Emit::Last,
            Some(("none", _)) => Emit::None,
            Some((_, span)) => return fault(span, "`all`, `last` or `none` is needed here"),
        };
        let context = || Context { memory: Some(memory), ..Context::row(source) };
        let condition = self.scalar(&step.condition, &mut context())?;
        let condition = truth(condition, step.condition.span)?.expr;
        let mut assignments = Vec::new();
        for (name, value) in &step.assignments {
            let Some(col) = columns.iter().find(|col| col.name == name.text) else {
                let all = Relation { columns: columns.to_vec(), ..source.clone() };
                return no_column(&all, &name.text, name.span);
            };
            let typed = self.scalar(value, &mut context())?;
            match coerce(typed, ParamKind::Of(col.kind)) {
                Ok(typed) => assignments.push((col.column.name.clone(), typed.expr)),
                Err(problem) => return fault(value.span, problem),
            }
        }
        Ok(Step { condition, assignments, emit })
    }

    /// The relation of what comes out, which is in the order in which it does.
    fn sequences(
        &mut self,
        source: Relation,
        program: Program,
        added: Vec<Col>,
        outer_parts: usize,
    ) -> Binding<Relation> {
        let reference = TableReference::bare(self.fresh("scan"));
        let number = program.number.clone();
        let provider: Arc<dyn TableProvider> = Arc::new(Sequences::new(source.plan.clone(), program));
        let plan =
            LogicalPlanBuilder::scan(reference.clone(), provider_as_source(provider), None)?.build()?;
        let qualified = |name: &str| PlanColumn::new(Some(reference.clone()), name);
        let mut found = source.renamed(plan, |column| qualified(&column.name));
        found.columns.extend(added.into_iter().map(|col| Col { column: qualified(&col.column.name), ..col }));
        found.parts.truncate(outer_parts);
        found.order = vec![PlanExpr::Column(qualified(&number)).sort(true, true)];
        if found.parts.is_empty() {
            found.plan = LogicalPlanBuilder::from(found.plan).sort(found.order.clone())?.build()?;
        }
        Ok(found)
    }
}

/// A constant as the engine holds it.
fn constant(typed: &Typed) -> ScalarValue {
    typed.constant().unwrap_or(Value::Null).into_scalar(typed.kind)
}

/// What a column of the source is before its step has a row: null, or empty if it is a string.
fn first_value(source: &Relation, col: &Col) -> Binding<ScalarValue> {
    let kind = source.plan.schema().field_from_column(&col.column)?.data_type().clone();
    Ok(Value::Null.into_scalar(col.kind).cast_to(&kind)?)
}
