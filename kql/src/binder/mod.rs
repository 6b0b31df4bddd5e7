//! From the syntax tree to a plan: names, scopes, types.

mod activity;
mod call;
mod expand;
mod expression;
mod external;
mod ip_lookup;
mod join;
mod operator;
mod parse;
mod patterns;
mod plugin;
mod relation;
mod results;
mod scan;
mod search;
mod sequence_detect;
mod series;
mod source;
mod summarize;
mod types;
mod window;

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlan};

pub(crate) use relation::{Col, Relation};
pub(crate) use source::matches_wildcard;
pub(crate) use types::{cast, common, text_literal};

use crate::ast::{
    Argument, Body, Expr, ExprKind, Lambda, Name, Operator, OperatorKind, Parameter, PatternCase, Query,
    Span, Statement,
};
use crate::catalog::Table;
use crate::diagnostics::Diagnostic;
use crate::engine::{QueryOptions, RenderHint};
use crate::external::Files;
use crate::functions::{GeoIp, Typed};
use crate::memo::{Reads, reads};
use crate::time;
use crate::types::{Column, KqlType, Scalar};
use crate::value::Value;

/// What a query became.
pub(crate) struct Bound {
    /// What it gives, at least one.
    pub(crate) results: Vec<BoundResult>,
    /// The tables that it reads.
    pub(crate) tables: Vec<String>,
}

/// One table that a query gives.
pub(crate) struct BoundResult {
    /// What the query calls it.
    pub(crate) name: Option<String>,
    pub(crate) plan: LogicalPlan,
    pub(crate) columns: Vec<Column>,
    pub(crate) render: Option<RenderHint>,
}

/// What binding has to be told before it can go on.
pub(crate) enum Need {
    Table(String),
    Watchlist(String),
    /// The rows of a plan, to be kept under a key; under the second one for other queries too.
    Rows {
        key: String,
        lasting: Option<String>,
        plan: Box<LogicalPlan>,
    },
}

/// Why binding stopped.
pub(crate) enum Stop {
    Fault(Box<Diagnostic>),
    Need(Need),
    Engine(Box<DataFusionError>),
}

impl From<DataFusionError> for Stop {
    fn from(error: DataFusionError) -> Self {
        Stop::Engine(Box::new(error))
    }
}

pub(crate) type Binding<T> = Result<T, Stop>;

/// A fault at a place.
pub(crate) fn fault<T>(span: Span, message: impl Into<String>) -> Binding<T> {
    Err(Stop::Fault(Box::new(Diagnostic::new(span, message))))
}

/// What binding has been told so far.
pub(crate) struct Answers {
    pub(crate) table_names: Vec<String>,
    pub(crate) tables: HashMap<String, Option<Table>>,
    pub(crate) watchlists: HashMap<String, Option<Table>>,
    pub(crate) rows: HashMap<String, Vec<RecordBatch>>,
}

impl Answers {
    pub(crate) fn new(table_names: Vec<String>) -> Self {
        Answers { table_names, tables: HashMap::new(), watchlists: HashMap::new(), rows: HashMap::new() }
    }
}

/// What surrounds a query.
pub(crate) struct Environment<'a> {
    pub(crate) options: &'a QueryOptions,
    pub(crate) answers: &'a Answers,
    pub(crate) geoip: Option<&'a Arc<GeoIp>>,
    /// What `externaldata` may read.
    pub(crate) files: Option<&'a Arc<Files>>,
    /// Whether the query may give several tables.
    pub(crate) several: bool,
}

/// What a name stands for.
#[derive(Clone)]
pub(crate) enum Definition<'a> {
    Scalar(Typed),
    Table(Rc<Relation>),
    Function(&'a Lambda, Scope<'a>),
    Pattern(Rc<Pattern<'a>>),
}

/// A pattern: functions by the values of their arguments.
pub(crate) struct Pattern<'a> {
    params: &'a [Parameter],
    path: Option<&'a Parameter>,
    cases: &'a [PatternCase],
    scope: Scope<'a>,
}

/// The names in scope, the innermost first.
pub(crate) type Scope<'a> = Option<Rc<Frame<'a>>>;

/// One name in scope.
pub(crate) struct Frame<'a> {
    name: String,
    definition: Definition<'a>,
    parent: Scope<'a>,
}

fn lookup<'s, 'a>(scope: &'s Scope<'a>, name: &str) -> Option<&'s Definition<'a>> {
    let mut at = scope;
    while let Some(frame) = at {
        if frame.name == name {
            return Some(&frame.definition);
        }
        at = &frame.parent;
    }
    None
}

fn with<'a>(scope: &Scope<'a>, name: &str, definition: Definition<'a>) -> Scope<'a> {
    Some(Rc::new(Frame { name: name.to_owned(), definition, parent: scope.clone() }))
}

/// A scalar or a table.
pub(crate) enum Any {
    Scalar(Typed),
    Table(Relation),
}

/// Expressions bound before a query counts as too large; functions that call functions grow by multiplying.
const MAX_WORK: usize = 500_000;

/// Binds one query.
pub(crate) struct Binder<'a> {
    environment: &'a Environment<'a>,
    scope: Scope<'a>,
    counter: usize,
    work: usize,
    tables: BTreeSet<String>,
    render: Option<RenderHint>,
    /// What `set` has said, where it is a constant.
    properties: HashMap<String, Typed>,
}

/// What an expression may refer to, and what it asks of the operator around it.
#[derive(Default)]
pub(crate) struct Context<'r> {
    /// The row.
    pub(crate) row: Option<&'r Relation>,
    /// `$left` and `$right`.
    pub(crate) sides: Option<(&'r Relation, &'r Relation)>,
    /// Aggregates met on the way, where they are allowed: each with the plan name that will hold it.
    pub(crate) aggregates: Option<Vec<(String, PlanExpr)>>,
    /// Window functions met on the way, where they are allowed.
    pub(crate) windows: Option<Vec<(String, PlanExpr)>>,
    /// Values that each part has of its own, met on the way where window functions are allowed: tables of one row a part.
    pub(crate) part_values: Vec<Relation>,
    /// What the steps of `scan` remember.
    pub(crate) memory: Option<&'r scan::Memory<'r>>,
    /// Whether null counts as false here, so that simpler comparisons will do.
    pub(crate) filter: bool,
}

impl<'r> Context<'r> {
    pub(crate) fn row(row: &'r Relation) -> Self {
        Context { row: Some(row), ..Context::default() }
    }
}

/// Binds a query to a plan.
pub(crate) fn bind(query: &Query, environment: &Environment<'_>) -> Binding<Bound> {
    let mut binder = Binder {
        environment,
        scope: None,
        counter: 0,
        work: 0,
        tables: BTreeSet::new(),
        render: None,
        properties: HashMap::new(),
    };
    for (name, scalar) in &environment.options.scalars {
        let typed = scalar_literal(scalar);
        binder.scope = with(&binder.scope, name, Definition::Scalar(typed));
    }
    let mut results: Vec<BoundResult> = Vec::new();
    for statement in &query.statements {
        if let Statement::Expression(expr) = statement {
            if !environment.several {
                // Where one table is asked for, the last statement's is the query's.
                results.clear();
            }
            results.extend(binder.results(expr)?);
        } else {
            binder.statement(statement)?;
        }
    }
    if results.is_empty() {
        return fault(Span::default(), "the query has only definitions; end it with an expression");
    }
    Ok(Bound { results, tables: binder.tables.into_iter().collect() })
}

fn scalar_literal(scalar: &Scalar) -> Typed {
    match scalar {
        Scalar::Bool(value) => Typed::literal(Value::Bool(*value), KqlType::Bool),
        Scalar::Int(value) => Typed::literal(Value::Int(*value), KqlType::Int),
        Scalar::Long(value) => Typed::literal(Value::Long(*value), KqlType::Long),
        Scalar::Real(value) => Typed::literal(Value::Real(*value), KqlType::Real),
        Scalar::String(value) => Typed::literal(Value::text(value.as_str()), KqlType::String),
        Scalar::Datetime(value) => {
            Typed::literal(time::ticks_from_datetime(*value).into(), KqlType::Datetime)
        }
        Scalar::Timespan(value) => Typed::literal(time::ticks_from_delta(*value).into(), KqlType::Timespan),
        Scalar::Dynamic(value) => Typed::literal(Value::json(value), KqlType::Dynamic),
    }
}

impl<'a> Binder<'a> {
    fn statement(&mut self, statement: &'a Statement) -> Binding<()> {
        match statement {
            Statement::Let { name, value } => {
                let definition = self.definition(value)?;
                self.scope = with(&self.scope, &name.text, definition);
            }
            Statement::Parameters(params) => {
                for param in params {
                    if lookup(&self.scope, &param.name.text).is_some() {
                        continue;
                    }
                    let Some(default) = &param.default else {
                        return fault(
                            param.name.span,
                            format!("the parameter `{}` has no value", param.name.text),
                        );
                    };
                    let typed = self.scalar(default, &mut Context::default())?;
                    self.scope = with(&self.scope, &param.name.text, Definition::Scalar(typed));
                }
            }
            Statement::Pattern { name, params, path, cases } => {
                let pattern = Pattern { params, path: path.as_ref(), cases, scope: self.scope.clone() };
                self.scope = with(&self.scope, &name.text, Definition::Pattern(Rc::new(pattern)));
            }
            Statement::Set { name, value } => {
                // Most properties mean nothing here, and their values may be words.
                if let Some(value) = value.as_ref().filter(|_| call::PROPERTIES.contains(&name.text.as_str()))
                {
                    let typed = self.scalar(value, &mut Context::default())?;
                    self.properties.insert(name.text.clone(), typed);
                }
            }
            Statement::Ignored { .. } => {}
            Statement::Expression(expr) => {
                self.any(expr, &mut Context::default())?;
            }
        }
        Ok(())
    }

    /// What `let` gives a name.
    fn definition(&mut self, value: &'a Expr) -> Binding<Definition<'a>> {
        if let ExprKind::Lambda(lambda) = &value.kind {
            return Ok(Definition::Function(lambda, self.scope.clone()));
        }
        if let ExprKind::Name(name) = &value.kind
            && let Some(definition @ (Definition::Function(..) | Definition::Pattern(_))) =
                lookup(&self.scope, name)
        {
            return Ok(definition.clone());
        }
        Ok(match self.any(value, &mut Context::default())? {
            Any::Scalar(typed) => Definition::Scalar(typed),
            Any::Table(relation) => Definition::Table(Rc::new(relation)),
        })
    }

    /// Counts the work of binding, which functions that call one another can multiply.
    fn count_work(&mut self, span: Span) -> Binding<()> {
        self.work += 1;
        if self.work > MAX_WORK {
            return fault(span, "the query is too large once its functions are put in place");
        }
        Ok(())
    }

    // ---- tables ----

    pub(crate) fn table(&mut self, expr: &'a Expr, context: &mut Context<'_>) -> Binding<Relation> {
        match self.any(expr, context)? {
            Any::Table(relation) => Ok(relation),
            Any::Scalar(typed) => fault(expr.span, format!("a table is needed here, not a {}", typed.kind)),
        }
    }

    pub(crate) fn scalar(&mut self, expr: &'a Expr, context: &mut Context<'_>) -> Binding<Typed> {
        match self.any(expr, context)? {
            Any::Scalar(typed) => Ok(typed),
            Any::Table(_) => {
                fault(expr.span, "a scalar is needed here, not a table; `toscalar()` takes one from a table")
            }
        }
    }

    /// Binds an expression, whether it is a scalar or a table.
    pub(crate) fn any(&mut self, expr: &'a Expr, context: &mut Context<'_>) -> Binding<Any> {
        self.count_work(expr.span)?;
        match &expr.kind {
            ExprKind::Pipe(source, operators) => {
                let relation = self.table(source, context)?;
                Ok(Any::Table(self.pipe(relation, operators)?))
            }
            ExprKind::Source(operator) => Ok(Any::Table(self.source(operator)?)),
            ExprKind::Name(name) => self.named(name, expr.span, context),
            ExprKind::Call(name, args) => self.call(name, args, expr.span, context),
            ExprKind::Member(base, name) if self.is_database(base) => {
                Ok(Any::Table(self.catalog_table(&name.text, name.span)?))
            }
            ExprKind::Member(base, path) => match self.pattern_of(base) {
                Some((name, pattern, args)) => self.pattern_call(name, &pattern, args, Some(&path.text)),
                None => Ok(Any::Scalar(self.expression(expr, context)?)),
            },
            ExprKind::Lambda(_) => fault(expr.span, "a function can only be defined by `let`"),
            _ => Ok(Any::Scalar(self.expression(expr, context)?)),
        }
    }

    /// The pattern that a call names, with its arguments.
    fn pattern_of(&self, expr: &'a Expr) -> Option<(&'a Name, Rc<Pattern<'a>>, &'a [Argument])> {
        let ExprKind::Call(name, args) = &expr.kind else { return None };
        match lookup(&self.scope, &name.text) {
            Some(Definition::Pattern(pattern)) => Some((name, Rc::clone(pattern), args)),
            _ => None,
        }
    }

    /// `database("x")` and its kind, under which a table may be named.
    fn is_database(&self, expr: &Expr) -> bool {
        match &expr.kind {
            ExprKind::Call(name, _) => {
                matches!(name.text.as_str(), "database" | "cluster" | "workspace" | "app")
            }
            ExprKind::Member(base, _) => self.is_database(base),
            _ => false,
        }
    }

    pub(crate) fn pipe(&mut self, mut relation: Relation, operators: &'a [Operator]) -> Binding<Relation> {
        for (index, operator) in operators.iter().enumerate() {
            self.count_work(operator.span)?;
            let named = matches!(operator.kind, OperatorKind::As(_) | OperatorKind::Search { .. });
            if join::keeps_one_of_each(operator) {
                relation = self.filtered_before(relation, &operators[index + 1..])?;
            }
            relation = self.operator(relation, operator)?;
            // What an operator made is no longer the table it came from.
            relation.source = relation.source.filter(|_| named);
        }
        Ok(relation)
    }

    fn named(&mut self, name: &str, span: Span, context: &mut Context<'_>) -> Binding<Any> {
        if let Some(col) = context.row.and_then(|row| row.find(name)) {
            return Ok(Any::Scalar(col.typed()));
        }
        match lookup(&self.scope, name).cloned() {
            Some(Definition::Scalar(typed)) => return Ok(Any::Scalar(typed)),
            Some(Definition::Table(relation)) => {
                let mut copy = self.renamed_copy(&relation)?;
                copy.source = Some(name.to_owned());
                return Ok(Any::Table(copy));
            }
            // A function without parameters may be named without brackets.
            Some(Definition::Function(lambda, scope))
                if lambda.params.iter().all(|param| param.default.is_some()) =>
            {
                let written = Name { text: name.to_owned(), span };
                return self.invoke(&written, lambda, &scope, &[], None, context);
            }
            Some(Definition::Function(..) | Definition::Pattern(_)) => {
                return fault(span, format!("`{name}` is a function; call it with its arguments"));
            }
            None => {}
        }
        if context.row.is_some() && !self.is_table(name)? {
            let candidates: Vec<&str> = context.row.iter().flat_map(|row| row.names()).collect();
            let diagnostic = Diagnostic::absent(span, format!("there is no column `{name}` here"));
            return Err(Stop::Fault(Box::new(diagnostic.did_you_mean(name, candidates))));
        }
        Ok(Any::Table(self.catalog_table(name, span)?))
    }

    /// Runs a pipe with other names in scope, and puts the scope back afterwards.
    fn in_scope<T>(&mut self, scope: Scope<'a>, work: impl FnOnce(&mut Self) -> Binding<T>) -> Binding<T> {
        let outer = std::mem::replace(&mut self.scope, scope);
        let result = work(self);
        self.scope = outer;
        result
    }

    fn body(&mut self, body: &'a Body, span: Span) -> Binding<Any> {
        for statement in &body.statements {
            self.statement(statement)?;
        }
        match &body.result {
            Some(expr) => self.any(expr, &mut Context::default()),
            None => fault(span, "this function has no result"),
        }
    }

    /// The rows of a plan, which the engine runs before the query itself.
    pub(crate) fn rows(&mut self, plan: LogicalPlan) -> Binding<Vec<RecordBatch>> {
        let lasting = match reads(&plan)? {
            Reads::Watchlists(key) => Some(key),
            Reads::Constants | Reads::Tables => None,
        };
        let memo = self.environment.options.memo.as_ref();
        if let Some(rows) = memo.zip(lasting.as_ref()).and_then(|(memo, key)| memo.get(key)) {
            return Ok(rows);
        }
        let key = format!("{}: {}", self.counter, plan.display_indent());
        match self.environment.answers.rows.get(&key) {
            Some(batches) => Ok(batches.clone()),
            None => Err(Stop::Need(Need::Rows { key, lasting, plan: Box::new(plan) })),
        }
    }
}
