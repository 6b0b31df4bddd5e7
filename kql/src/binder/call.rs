//! Calls: the query's own functions, those that need the query's context, and those of the registry.

use datafusion::logical_expr::LogicalPlanBuilder;

use super::expression::simplified;
use super::types::{cast, coerce};
use super::{Any, Binder, Binding, Context, Definition, Relation, Scope, Stop, fault, with};
use crate::aggregates;
use crate::ast::{Argument, Expr, ExprKind, Lambda, Name, Parameter, ParameterType, Span};
use crate::diagnostics::Diagnostic;
use crate::functions::{self, Binding as How, Function, Kernel, Typed};
use crate::time;
use crate::types::KqlType;
use crate::value::{Cells, Value};

/// What `set` tells `bin_auto()`: the size of a bin, and where one begins.
pub(super) const PROPERTIES: [&str; 2] = ["query_bin_auto_size", "query_bin_auto_at"];

/// How functions of Kusto begin that are known and not here.
const UNSUPPORTED: &[&str] = &[
    "current_",
    "cursor_",
    "extent_",
    "geo_",
    "materialized_view",
    "parse_user_agent",
    "stored_query_result",
];

impl<'a> Binder<'a> {
    pub(super) fn call(
        &mut self,
        name: &'a Name,
        args: &'a [Argument],
        span: Span,
        context: &mut Context<'_>,
    ) -> Binding<Any> {
        match super::lookup(&self.scope, &name.text).cloned() {
            Some(Definition::Function(lambda, scope)) => {
                return self.invoke(name, lambda, &scope, args, None, context);
            }
            Some(Definition::Pattern(pattern)) => return self.pattern_call(name, &pattern, args, None),
            Some(Definition::Table(relation)) if args.is_empty() => {
                return Ok(Any::Table(self.renamed_copy(&relation)?));
            }
            _ => {}
        }
        if let Some(relation) = self.table_call(name, args, span, context)? {
            return Ok(Any::Table(relation));
        }
        if let Some(aggregate) = aggregates::lookup(&name.text) {
            if context.aggregates.is_some() {
                return Ok(Any::Scalar(self.aggregate_call(aggregate, name, args, context)?));
            }
            if functions::lookup(&name.text).is_none() {
                return fault(
                    name.span,
                    format!("`{}()` is an aggregate; it stands in `summarize`", name.text),
                );
            }
        }
        if let Some(typed) = self.window_call(name, args, context)? {
            return Ok(Any::Scalar(typed));
        }
        if let Some(typed) = self.context_call(name, args, span, context)? {
            return Ok(Any::Scalar(typed));
        }
        let Some(function) = functions::lookup(&name.text) else {
            let known = functions::names().chain(aggregates::names());
            let message = format!("there is no function `{}`", name.text);
            let mut diagnostic = Diagnostic::absent(name.span, message).did_you_mean(&name.text, known);
            if diagnostic.help.is_none() && UNSUPPORTED.iter().any(|known| name.text.starts_with(known)) {
                diagnostic.message = format!("the function `{}` is not supported", name.text);
            }
            return Err(Stop::Fault(Box::new(diagnostic)));
        };
        let mut bound = Vec::with_capacity(args.len());
        for arg in args {
            bound.push((self.scalar(&arg.value, context)?, arg.value.span));
        }
        Ok(Any::Scalar(apply(function, bound, name.span)?))
    }

    /// Calls that give a table.
    fn table_call(
        &mut self,
        name: &'a Name,
        args: &'a [Argument],
        span: Span,
        context: &mut Context<'_>,
    ) -> Binding<Option<Relation>> {
        Ok(Some(match name.text.as_str() {
            "materialize" => {
                let Some(arg) = args.first() else { return fault(span, "a table is missing") };
                let relation = self.table(&arg.value, context)?;
                self.materialize(relation)?
            }
            "table" => {
                let table = self.constant_text(args, 0, span)?;
                match super::lookup(&self.scope, &table).cloned() {
                    Some(Definition::Table(relation)) => self.renamed_copy(&relation)?,
                    _ => self.catalog_table(&table, span)?,
                }
            }
            "_GetWatchlist" => {
                let alias = self.constant_text(args, 0, span)?;
                self.watchlist(&alias, span)?
            }
            "workspace" | "database" | "cluster" | "app" | "external_table" => {
                return fault(
                    span,
                    format!("`{}()` names a place that this engine does not reach", name.text),
                );
            }
            _ => return Ok(None),
        }))
    }

    fn constant_text(&mut self, args: &'a [Argument], index: usize, span: Span) -> Binding<String> {
        let Some(arg) = args.get(index) else { return fault(span, "a string is missing") };
        let typed = self.scalar(&arg.value, &mut Context::default())?;
        match typed.constant_text() {
            Some(text) => Ok(text),
            None => fault(arg.value.span, "a constant string is needed here"),
        }
    }

    /// Functions that need to know the query around them.
    fn context_call(
        &mut self,
        name: &'a Name,
        args: &'a [Argument],
        span: Span,
        context: &mut Context<'_>,
    ) -> Binding<Option<Typed>> {
        let typed = match name.text.as_str() {
            "toscalar" => {
                let Some(arg) = args.first() else { return fault(span, "a table is missing") };
                match self.any(&arg.value, &mut Context::default())? {
                    Any::Scalar(typed) => typed,
                    Any::Table(relation) if !relation.parts.is_empty() => {
                        self.value_of_part(&relation, span, context)?
                    }
                    Any::Table(relation) => self.first_value(&relation, span)?,
                }
            }
            "now" => {
                let now = Typed::literal(
                    time::ticks_from_datetime(self.environment.options.now).into(),
                    KqlType::Datetime,
                );
                match args.first() {
                    None => now,
                    Some(arg) => {
                        let offset = self.scalar(&arg.value, context)?;
                        let op = datafusion::logical_expr::Operator::Plus;
                        self.fold(super::types::arithmetic(span, op, now, cast(offset, KqlType::Timespan))?)
                    }
                }
            }
            "ago" => {
                let Some(arg) = args.first() else { return fault(span, "a timespan is missing") };
                let offset = self.scalar(&arg.value, context)?;
                if !matches!(offset.kind, KqlType::Timespan | KqlType::Dynamic) {
                    return fault(arg.value.span, format!("a timespan is needed, not a {}", offset.kind));
                }
                let now = Typed::literal(
                    time::ticks_from_datetime(self.environment.options.now).into(),
                    KqlType::Datetime,
                );
                let op = datafusion::logical_expr::Operator::Minus;
                self.fold(super::types::arithmetic(span, op, now, cast(offset, KqlType::Timespan))?)
            }
            "ingestion_time" => match context.row.and_then(|row| row.find(INGESTED)) {
                Some(col) => col.typed(),
                None => Typed::null(KqlType::Datetime),
            },
            "column_ifexists" | "columnifexists" => {
                let column = match args.first() {
                    // The name may be a `let`, never another column's value.
                    Some(arg) => self.scalar(&arg.value, &mut Context::default())?.constant_text(),
                    None => None,
                };
                let (Some(column), Some(default)) = (column, args.get(1)) else {
                    return fault(span, "a column's name and a default are needed");
                };
                match context.row.and_then(|row| row.find(&column)) {
                    Some(col) => col.typed(),
                    None => self.scalar(&default.value, context)?,
                }
            }
            "iscolumnexists" => {
                let column = self.constant_text(args, 0, span)?;
                let found = context.row.is_some_and(|row| row.find(&column).is_some());
                Typed::literal(Value::Bool(found), KqlType::Bool)
            }
            "pack_all" => {
                let Some(row) = context.row else { return fault(span, "there are no columns here") };
                let mut values = vec![Typed::literal(Value::Bool(false), KqlType::Bool)];
                if let Some(arg) = args.first() {
                    values[0] = self.scalar(&arg.value, context)?;
                }
                for col in &row.columns {
                    values.push(Typed::literal(Value::text(col.name.as_str()), KqlType::String));
                    values.push(col.typed());
                }
                Kernel::call("pack_all", values, KqlType::Dynamic, |row| {
                    let ignore_null = row.bool(0) == Some(true);
                    let mut bag = serde_json::Map::new();
                    for index in (1..row.len()).step_by(2) {
                        let value = row.json(index + 1);
                        if !(ignore_null && (value.is_null() || value == "")) {
                            bag.insert(row.text(index).to_owned(), value);
                        }
                    }
                    Value::from(serde_json::Value::Object(bag).to_string())
                })
            }
            "pack" | "bag_pack" | "pack_dictionary"
                if args.iter().any(|arg| arg.value.kind == ExprKind::Star) =>
            {
                let Some(row) = context.row else { return fault(span, "there are no columns here") };
                let mut values = Vec::new();
                for col in &row.columns {
                    values.push((Typed::literal(Value::text(col.name.as_str()), KqlType::String), span));
                    values.push((col.typed(), span));
                }
                let Some(function) = functions::lookup("bag_pack") else { return Ok(None) };
                apply(function, values, span)?
            }
            "pack_array" if args.iter().any(|arg| matches!(arg.value.kind, ExprKind::Star)) => {
                let Some(row) = context.row else { return fault(span, "there are no columns here") };
                let mut values: Vec<(Typed, Span)> = Vec::new();
                for arg in args {
                    match &arg.value.kind {
                        ExprKind::Star => values.extend(row.columns.iter().map(|col| (col.typed(), span))),
                        _ => values.push((self.scalar(&arg.value, context)?, arg.value.span)),
                    }
                }
                packed(values, span)?
            }
            "bag_pack_columns" => {
                let mut values = Vec::new();
                for arg in args {
                    let column = self.auto_name(&arg.value).unwrap_or_default();
                    values.push((Typed::literal(Value::from(column), KqlType::String), arg.value.span));
                    values.push((self.scalar(&arg.value, context)?, arg.value.span));
                }
                let Some(function) = functions::lookup("bag_pack") else { return Ok(None) };
                apply(function, values, span)?
            }
            "estimate_data_size" => {
                let Some(row) = context.row else { return fault(span, "there are no columns here") };
                let mut columns = Vec::new();
                for arg in args {
                    match &arg.value.kind {
                        ExprKind::Star => columns.extend(row.columns.iter().map(|col| col.typed())),
                        _ => columns.push(self.column_of(row, &arg.value)?.typed()),
                    }
                }
                functions::data_size(columns)
            }
            "extract" if args.len() == 4 => {
                // The fourth argument is the type to convert to.
                let to = type_argument(&args[3].value);
                let mut bound = Vec::new();
                for arg in &args[..3] {
                    bound.push((self.scalar(&arg.value, context)?, arg.value.span));
                }
                let Some(function) = functions::lookup("extract") else { return Ok(None) };
                let text = apply(function, bound, span)?;
                match to {
                    Some(to) => cast(text, to),
                    None => return fault(args[3].value.span, "a type is needed here, as `typeof(long)`"),
                }
            }
            "extractjson" | "extract_json" | "percentile_tdigest" if args.len() == 3 => {
                let to = type_argument(&args[2].value);
                let mut bound = Vec::new();
                for arg in &args[..2] {
                    bound.push((self.scalar(&arg.value, context)?, arg.value.span));
                }
                let Some(function) = functions::lookup(&name.text) else { return Ok(None) };
                let text = apply(function, bound, span)?;
                match to {
                    Some(to) => cast(text, to),
                    None => return fault(args[2].value.span, "a type is needed here, as `typeof(long)`"),
                }
            }
            "column_names_of" => {
                let Some(arg) = args.first() else { return fault(span, "a table is missing") };
                let relation = self.table(&arg.value, &mut Context::default())?;
                let names = relation.names().map(serde_json::Value::from).collect();
                Typed::literal(Value::json(&serde_json::Value::Array(names)), KqlType::Dynamic)
            }
            "assert" => {
                let [condition, _] = args else { return fault(span, "a condition and a message are needed") };
                let message = self.constant_text(args, 1, span)?;
                let typed = self.scalar(&condition.value, context)?;
                match simplified(typed).constant() {
                    Some(Value::Bool(true)) => Typed::literal(Value::Bool(true), KqlType::Bool),
                    Some(Value::Bool(false)) => {
                        return fault(span, format!("assert() has failed with message: '{message}'"));
                    }
                    _ => return fault(condition.value.span, "a condition without columns is needed here"),
                }
            }
            "bin_auto" => {
                let (Some(arg), [size, at]) = (args.first(), PROPERTIES) else {
                    return fault(span, "a value is missing");
                };
                let value = self.scalar(&arg.value, context)?;
                let Some(size) = self.properties.get(size).cloned() else {
                    let diagnostic = Diagnostic::new(span, "`bin_auto()` does not know how large a bin is");
                    let help = "say so before the query, as by `set query_bin_auto_size = 1h;`";
                    return Err(Stop::Fault(Box::new(diagnostic.with_help(help))));
                };
                let mut bound = vec![(value, arg.value.span), (size, span)];
                bound.extend(self.properties.get(at).map(|at| (at.clone(), span)));
                let name = if bound.len() == 3 { "bin_at" } else { "bin" };
                let Some(function) = functions::lookup(name) else { return Ok(None) };
                apply(function, bound, span)?
            }
            "rand" => {
                let of = match args.first() {
                    Some(arg) => self.scalar(&arg.value, context)?,
                    None => Typed::null(KqlType::Long),
                };
                functions::random(of)
            }
            "new_guid" => functions::new_guid(),
            "geo_info_from_ip_address" => {
                let Some(database) = self.environment.geoip else {
                    return fault(
                        span,
                        "geo_info_from_ip_address needs a GeoIP database: none is configured here",
                    );
                };
                let [arg] = args else { return fault(span, "one address is needed") };
                let address = self.scalar(&arg.value, context)?;
                functions::geo_info(database, cast(address, KqlType::String))
            }
            _ => return Ok(None),
        };
        Ok(Some(typed))
    }

    /// The first cell of each part of a table, put beside the rows of the part.
    fn value_of_part(
        &mut self,
        relation: &Relation,
        span: Span,
        context: &mut Context<'_>,
    ) -> Binding<Typed> {
        let Some(first) = relation.columns.first().cloned() else {
            return fault(span, "this table has no columns");
        };
        if !relation.outer.is_empty() {
            // The elements of a row have numbers that are given out anew wherever they are worked out.
            return fault(
                span,
                "a value of all elements cannot stand beside each in `mv-apply`; `mv-expand` them, and `join` what `summarize` gives",
            );
        }
        let same_parts = context.row.is_some_and(|row| row.parts.len() == relation.parts.len());
        if !same_parts || context.windows.is_none() {
            return fault(
                span,
                "this is another value in each part, and can stand in `extend`, `project` and `where` there",
            );
        }
        let value = self.project(relation, vec![(first.name.clone(), first.typed())], Vec::new())?;
        let value = self.take(value, 1)?;
        let mut typed = value.columns[0].typed();
        if typed.kind == KqlType::String {
            typed.expr = super::types::not_null_text(typed.expr);
        }
        context.part_values.push(value);
        Ok(typed)
    }

    /// The first cell of a table, read before the query runs.
    fn first_value(&mut self, relation: &Relation, span: Span) -> Binding<Typed> {
        let Some(first) = relation.columns.first().cloned() else {
            return fault(span, "this table has no columns");
        };
        let first = self.project(relation, vec![(first.name.clone(), first.typed())], Vec::new())?;
        let (kind, name) = (first.columns[0].kind, first.columns[0].column.clone());
        let plan = LogicalPlanBuilder::from(first.plan).limit(0, Some(1))?.build()?;
        let index = plan.schema().index_of_column(&name)?;
        for batch in self.rows(plan)? {
            if batch.num_rows() > 0 {
                let cells = Cells::new(batch.column(index).as_ref())?;
                return Ok(Typed::literal(cells.get(0), kind));
            }
        }
        Ok(Typed::null(kind))
    }

    /// Puts a function's body in the place of its call.
    pub(super) fn invoke(
        &mut self,
        name: &Name,
        lambda: &'a Lambda,
        scope: &Scope<'a>,
        args: &'a [Argument],
        piped: Option<Relation>,
        context: &mut Context<'_>,
    ) -> Binding<Any> {
        let mut inner = scope.clone();
        let mut positional = args.iter().filter(|arg| arg.name.is_none());
        let mut piped = piped;
        for param in &lambda.params {
            let by_name =
                args.iter().find(|arg| arg.name.as_ref().is_some_and(|name| name.text == param.name.text));
            let definition = match (piped.take(), by_name) {
                (Some(relation), _) => self.table_argument(param, relation, name.span)?,
                (None, Some(arg)) => self.argument(param, &arg.value, context)?,
                (None, None) => match positional.next() {
                    Some(arg) => self.argument(param, &arg.value, context)?,
                    None => match &param.default {
                        Some(default) => self.argument(param, default, &mut Context::default())?,
                        None => {
                            return fault(
                                name.span,
                                format!("`{}` needs a value for `{}`", name.text, param.name.text),
                            );
                        }
                    },
                },
            };
            inner = with(&inner, &param.name.text, definition);
        }
        if let Some(extra) = positional.next() {
            return fault(
                extra.value.span,
                format!("`{}` takes {} arguments", name.text, lambda.params.len()),
            );
        }
        let mut value = self.in_scope(inner, |binder| binder.body(&lambda.body, name.span))?;
        if let Any::Table(relation) = &mut value
            && lambda.view
        {
            relation.source = Some(name.text.clone());
        }
        Ok(value)
    }

    fn argument(
        &mut self,
        param: &'a Parameter,
        value: &'a Expr,
        context: &mut Context<'_>,
    ) -> Binding<Definition<'a>> {
        match &param.kind {
            ParameterType::Table(_) => {
                let relation = self.table(value, &mut Context::default())?;
                self.table_argument(param, relation, value.span)
            }
            ParameterType::Scalar(kind) => {
                // Any scalar is converted to what the function declares.
                let typed = self.scalar(value, context)?;
                Ok(Definition::Scalar(cast(typed, *kind)))
            }
        }
    }

    fn table_argument(
        &mut self,
        param: &'a Parameter,
        relation: Relation,
        span: Span,
    ) -> Binding<Definition<'a>> {
        let ParameterType::Table(columns) = &param.kind else {
            return fault(span, format!("`{}` is a scalar, not a table", param.name.text));
        };
        for (column, kind) in columns {
            match relation.find(&column.text) {
                Some(col) if col.kind == *kind => {}
                Some(col) => {
                    return fault(
                        span,
                        format!("the column `{}` has to be a {kind}, not a {}", column.text, col.kind),
                    );
                }
                None => return fault(span, format!("the table has no column `{}`", column.text)),
            }
        }
        Ok(Definition::Table(std::rc::Rc::new(relation)))
    }

    pub(super) fn pattern_call(
        &mut self,
        name: &Name,
        pattern: &std::rc::Rc<super::Pattern<'a>>,
        args: &'a [Argument],
        path: Option<&str>,
    ) -> Binding<Any> {
        let mut values = Vec::new();
        for arg in args {
            values.push(self.scalar(&arg.value, &mut Context::default())?.constant_text());
        }
        for case in pattern.cases {
            let mut matches = case.values.len() == values.len();
            for (value, wanted) in values.iter().zip(&case.values) {
                let wanted = self.scalar(wanted, &mut Context::default())?.constant_text();
                matches &= wanted.is_some() && *value == wanted;
            }
            let wanted_path = match &case.path {
                Some(path) => self.scalar(path, &mut Context::default())?.constant_text(),
                None => None,
            };
            if !matches || wanted_path.as_deref() != path {
                continue;
            }
            let mut scope = pattern.scope.clone();
            for (param, value) in
                pattern.params.iter().chain(pattern.path).zip(values.into_iter().chain([wanted_path]))
            {
                let typed = Typed::literal(value.map_or(Value::Null, Value::from), KqlType::String);
                scope = with(&scope, &param.name.text, Definition::Scalar(typed));
            }
            return self.in_scope(scope, |binder| binder.body(&case.body, name.span));
        }
        fault(name.span, format!("the pattern `{}` has no case for these arguments", name.text))
    }
}

/// The hidden column that says when a row came in.
const INGESTED: &str = "_IngestedAt";

fn type_argument(expr: &Expr) -> Option<KqlType> {
    match &expr.kind {
        ExprKind::Literal(crate::ast::Literal::Type(kinds)) => kinds.first().copied(),
        _ => None,
    }
}

/// Values as one array, each as it is.
pub(super) fn packed(values: Vec<(Typed, Span)>, span: Span) -> Binding<Typed> {
    match functions::lookup("pack_array") {
        Some(pack) => apply(pack, values, span),
        None => fault(span, "there is no `pack_array`"),
    }
}

/// A function of the registry on its arguments.
pub(super) fn apply(function: &'static Function, args: Vec<(Typed, Span)>, span: Span) -> Binding<Typed> {
    let signature = &function.signature;
    if args.len() < signature.required {
        return fault(span, format!("`{}{}` is missing an argument", function.name, function.written));
    }
    let mut bound = Vec::with_capacity(args.len());
    for (index, (typed, span)) in args.into_iter().enumerate() {
        let Some(param) = signature.param(index) else {
            return fault(span, format!("`{}{}` takes no further argument", function.name, function.written));
        };
        match coerce(typed, param) {
            Ok(typed) => bound.push(typed),
            Err(problem) => return fault(span, problem),
        }
    }
    match function.binding {
        How::Eval(eval) => {
            let returns = signature
                .returns
                .or_else(|| bound.first().map(|first| first.kind))
                .unwrap_or(KqlType::Dynamic);
            Ok(Kernel::call(function.name, bound, returns, eval))
        }
        How::Build(build) => build(bound).or_else(|problem| fault(span, problem)),
        How::Special => fault(span, format!("`{}()` cannot stand here", function.name)),
    }
}
