//! Tabular operators.

use super::doc::Doc;
use super::expression::{Level, direction, named_start};
use super::{Printer, literal};
use crate::ast::{
    ExpandColumn, Expr, ExprKind, Named, NestedLevel, Operator, OperatorKind, ParsePart, PluginSchema,
    ReorderDirection, Scan, ScanStep, Setting, SortKey,
};
use crate::diagnostics::Span;

impl Printer<'_> {
    pub(super) fn operator(&mut self, operator: &Operator) -> Doc {
        let before = self.leading(operator.span.start);
        let keyword = self.keyword(operator.span, keyword(&operator.kind));
        let content = self.operator_kind(operator);
        Doc::group(Doc::Concat(vec![before, keyword, content]))
    }

    /// The operator's name: of two names for the same, the one that is written.
    fn keyword(&self, span: Span, canonical: &str) -> Doc {
        let written = self.source.and_then(|source| {
            let token = source.tokens.get(source.token_at(span.start))?;
            Some(source.slice(token.span))
        });
        match written {
            Some(word) if canonical.split('-').next() != Some(word) => Doc::text(word),
            _ => Doc::text(canonical),
        }
    }

    fn operator_kind(&mut self, operator: &Operator) -> Doc {
        let span = operator.span;
        match &operator.kind {
            OperatorKind::Where(predicate) => {
                let hints = self.hints(operator, predicate.span.start);
                Doc::Concat(vec![hints, Doc::text(" "), self.expr(predicate)])
            }
            OperatorKind::Extend(list)
            | OperatorKind::Project(list)
            | OperatorKind::ProjectRename(list)
            | OperatorKind::Serialize(list)
            | OperatorKind::Print(list) => self.body(list, named_start, Self::named),
            OperatorKind::Distinct(list) => {
                let hints = self.hints(operator, list.first().map_or(0, named_start));
                let list = self.body(list, named_start, Self::named);
                Doc::Concat(vec![hints, list])
            }
            OperatorKind::ProjectAway(list)
            | OperatorKind::ProjectKeep(list)
            | OperatorKind::ProjectByNames(list) => self.body(list, start, Self::table),
            OperatorKind::ProjectReorder(list) => self.body(
                list,
                |(name, _)| name.span.start,
                |printer, item| {
                    let name = printer.table(&item.0);
                    Doc::Concat(vec![name, Doc::text(reorder_direction(item.1))])
                },
            ),
            OperatorKind::Summarize { aggregates, by } => self.summarize(operator, aggregates, by),
            OperatorKind::Count(name) => match name {
                Some(name) => Doc::Concat(vec![Doc::text(" as "), self.name(name)]),
                None => Doc::nil(),
            },
            OperatorKind::Take(count) | OperatorKind::Sample(count) => {
                Doc::Concat(vec![Doc::text(" "), self.expr(count)])
            }
            OperatorKind::Top { count, by } => {
                let count = self.expr(count);
                let hints = self.hints(operator, by.first().map_or(0, sort_start));
                let by = self.list_clause("by", by, sort_start, Self::sort_key);
                Doc::Concat(vec![Doc::text(" "), count, hints, by])
            }
            OperatorKind::TopHitters { count, of, by } => {
                let mut parts = vec![Doc::text(" "), self.expr(count), Doc::text(" of "), self.named(of)];
                if let Some(by) = by {
                    parts.extend([Doc::text(" by "), self.expr(by)]);
                }
                Doc::Concat(parts)
            }
            OperatorKind::TopNested(levels) => self.top_nested(levels),
            OperatorKind::Sort(keys) => {
                let hints = self.hints(operator, keys.first().map_or(0, sort_start));
                let keys = self.body(keys, sort_start, Self::sort_key);
                Doc::Concat(vec![hints, Doc::text(" by"), keys])
            }
            OperatorKind::Join { settings, right, on } | OperatorKind::Lookup { settings, right, on } => {
                let settings = self.settings(settings);
                let right = self.operand(right, Level::Postfix);
                let list = self.items(on, false, start, Self::expr);
                let on = Doc::group(Doc::indent(Doc::Concat(vec![list])));
                Doc::Concat(vec![settings, Doc::text(" "), right, Doc::text(" on "), on])
            }
            OperatorKind::Union { settings, tables } => {
                let first = tables.first().map_or(0, start);
                let (before, after) =
                    settings.split_at(settings.partition_point(|s| s.name.span.start <= first));
                let before = self.settings(before);
                let tables = self.body(tables, start, Self::table);
                Doc::Concat(vec![before, tables, self.settings(after)])
            }
            OperatorKind::MvExpand { settings, columns, limit } => {
                let head = self.expand(settings, columns, limit.as_ref());
                Doc::Concat(head)
            }
            OperatorKind::MvApply { settings, columns, limit, body } => {
                let mut parts = self.expand(settings, columns, limit.as_ref());
                parts.extend([Doc::text(" on "), self.sub_pipe(body, span.end)]);
                Doc::Concat(parts)
            }
            OperatorKind::Parse { settings, input, pattern, .. } => {
                let settings = self.settings(settings);
                let input = self.expr(input);
                let mut parts = vec![settings, Doc::text(" "), input, Doc::text(" with")];
                for part in pattern {
                    let part = Doc::Concat(vec![Doc::Line, self.parse_part(part)]);
                    parts.push(Doc::group(Doc::indent(part)));
                }
                Doc::Concat(parts)
            }
            OperatorKind::ParseKv { input, keys, settings } => {
                let input = self.expr(input);
                let keys = self.columns(keys);
                let settings = self.with_settings(settings, span.end);
                Doc::Concat(vec![Doc::text(" "), input, Doc::text(" as "), keys, settings])
            }
            OperatorKind::MakeSeries { settings, aggregates, axis, from, to, step, inclusive, by } => {
                let aggregate_start = |(named, _): &(Named, Option<Expr>)| named_start(named);
                let settings = self.settings(settings);
                let aggregates = self.body(aggregates, aggregate_start, |printer, (aggregate, default)| {
                    let aggregate = printer.named(aggregate);
                    match default {
                        Some(value) => {
                            Doc::Concat(vec![aggregate, Doc::text(" default="), printer.expr(value)])
                        }
                        None => aggregate,
                    }
                });
                let bounds = [from.as_ref(), to.as_ref(), Some(step)];
                let axis = self.clause(named_start(axis), |printer| printer.axis(axis, bounds, *inclusive));
                let by = self.list_clause("by", by, named_start, Self::named);
                Doc::Concat(vec![settings, aggregates, axis, by])
            }
            OperatorKind::Evaluate { settings, name, args, schema } => {
                let settings = self.settings(settings);
                let name = self.word(name.span, || name.text.clone());
                let end = args.last().map_or(span.end, |arg| arg.value.span.end);
                let args = self.arguments(args, end);
                let schema = schema.as_ref().map_or_else(Doc::nil, |schema| self.schema(schema));
                Doc::Concat(vec![settings, Doc::text(" "), name, args, schema])
            }
            OperatorKind::Partition { settings, by, body } => {
                let settings = self.settings(settings);
                let by = self.expr(by);
                let body = self.sub_pipe(body, span.end);
                Doc::Concat(vec![settings, Doc::text(" by "), by, Doc::text(" "), body])
            }
            OperatorKind::Scan(scan) => self.scan(scan, span.end),
            OperatorKind::Fork(branches) => {
                let mut lines = Vec::new();
                for (name, body) in branches {
                    lines.push(Doc::Line);
                    if let Some(name) = name {
                        lines.extend([self.name(name), Doc::text(" = ")]);
                    }
                    let end = body.last().map_or(0, |last| last.span.end);
                    lines.push(self.sub_pipe(body, end));
                }
                Doc::indent(Doc::Concat(lines))
            }
            OperatorKind::Facet { by, body } => {
                let by = self.items(by, false, start, Self::expr);
                let mut parts = vec![Doc::text(" by "), Doc::group(Doc::indent(by))];
                if let Some(body) = body {
                    parts.extend([Doc::text(" with "), self.sub_pipe(body, span.end)]);
                }
                Doc::Concat(parts)
            }
            OperatorKind::SampleDistinct { count, of } => {
                let count = self.expr(count);
                let of = self.named(of);
                Doc::Concat(vec![Doc::text(" "), count, Doc::text(" of "), of])
            }
            OperatorKind::As(name) => {
                let hints = self.hints(operator, name.span.start);
                Doc::Concat(vec![hints, Doc::text(" "), self.name(name)])
            }
            OperatorKind::Invoke(call) => {
                Doc::Concat(vec![Doc::text(" "), self.operand(call, Level::Postfix)])
            }
            OperatorKind::GetSchema | OperatorKind::Consume | OperatorKind::Error => Doc::nil(),
            OperatorKind::Render { kind, settings } => {
                let name = self.word(kind.span, || kind.text.clone());
                let with = self.source.is_none_or(|source| source.follows(kind.span.end, "with"));
                let settings =
                    if with { self.with_settings(settings, span.end) } else { self.settings(settings) };
                Doc::Concat(vec![Doc::text(" "), name, settings])
            }
            OperatorKind::Search { settings, tables, predicate } => {
                let settings = self.settings(settings);
                let tables = self.in_tables(tables);
                let predicate = self.expr(predicate);
                Doc::Concat(vec![settings, tables, Doc::text(" "), predicate])
            }
            OperatorKind::Find { settings, tables, predicate, project, smart, away } => {
                let settings = self.settings(settings);
                let tables = self.in_tables(tables);
                let word = match self.source {
                    Some(source) if !source.precedes(predicate.span.start, "where") => " ",
                    _ => " where ",
                };
                let predicate = self.expr(predicate);
                let mut parts = vec![settings, tables, Doc::text(word), predicate];
                if let Some(columns) = project {
                    let column_start = |(column, _): &(Expr, _)| column.span.start;
                    parts.push(self.list_clause(
                        "project",
                        columns,
                        column_start,
                        |printer, (column, kind)| {
                            let doc = printer.operand(column, Level::Postfix);
                            match kind {
                                Some(kind) => {
                                    let kind = printer.type_name(*kind, column.span.end);
                                    Doc::Concat(vec![doc, Doc::text(":"), Doc::Text(kind)])
                                }
                                None => doc,
                            }
                        },
                    ));
                }
                if *smart {
                    parts.push(Doc::text(" project-smart"));
                }
                parts.push(self.list_clause("project-away", away, start, Self::table));
                Doc::Concat(parts)
            }
            OperatorKind::Range { name, from, to, step } => {
                let mut parts = vec![Doc::text(" "), self.name(name)];
                for (word, value) in [(" from ", from), (" to ", to), (" step ", step)] {
                    parts.extend([Doc::text(word), self.expr(value)]);
                }
                Doc::Concat(parts)
            }
            OperatorKind::Datatable { columns, cells } => {
                let hints = self.hints(operator, columns.first().map_or(0, |(name, _)| name.span.start));
                let columns_doc = self.columns(columns);
                let rows: Vec<&[Expr]> = cells.chunks(columns.len().max(1)).collect();
                let list = self.items(
                    &rows,
                    false,
                    |row| row[0].span.start,
                    |printer, row| printer.items(row, true, start, Self::expr),
                );
                let cells = self.enclosed("[", list, "]", span.end);
                Doc::Concat(vec![hints, Doc::text(" "), columns_doc, Doc::text(" "), cells])
            }
            OperatorKind::ExternalData { columns, sources, settings } => {
                let columns = self.columns(columns);
                let end = sources.last().map_or(0, |source| source.span.end);
                let sources = self.values("[", sources, "]", end);
                let settings = self.with_settings(settings, span.end);
                Doc::Concat(vec![Doc::text(" "), columns, Doc::text(" "), sources, settings])
            }
        }
    }

    /// A table or column, whose name may hold `*`.
    fn table(&mut self, table: &Expr) -> Doc {
        self.operand(table, Level::Postfix)
    }

    // ---- settings ----

    fn settings(&mut self, settings: &[Setting]) -> Doc {
        let mut parts = Vec::new();
        for setting in settings {
            parts.extend([Doc::text(" "), self.setting(setting)]);
        }
        Doc::Concat(parts)
    }

    fn setting(&mut self, setting: &Setting) -> Doc {
        let name = self.word(setting.name.span, || setting.name.text.clone());
        let value = match &setting.value.kind {
            // `ycolumns=a, b`: one text in the tree.
            ExprKind::Name(text) if text.contains(", ") => {
                let names: Vec<String> = text.split(", ").map(literal::setting_value).collect();
                Doc::Text(names.join(", "))
            }
            ExprKind::Name(text) => self.word(setting.value.span, || literal::setting_value(text)),
            _ => self.operand(&setting.value, Level::Unary),
        };
        Doc::Concat(vec![name, Doc::text("="), value])
    }

    /// The hints that are written before a place; those after it belong to the operator's end.
    fn hints(&mut self, operator: &Operator, place: usize) -> Doc {
        let before = operator.hints.partition_point(|hint| hint.name.span.start <= place);
        self.settings(&operator.hints[..before])
    }

    fn with_settings(&mut self, settings: &[Setting], end: usize) -> Doc {
        if settings.is_empty() {
            return Doc::nil();
        }
        let list = self.items(settings, false, |setting| setting.name.span.start, Self::setting);
        let list = self.enclosed("(", list, ")", end);
        Doc::Concat(vec![Doc::text(" with "), list])
    }

    // ---- the longer ones ----

    fn summarize(&mut self, operator: &Operator, aggregates: &[Named], by: &[Named]) -> Doc {
        let first = aggregates.first().or(by.first()).map_or(0, named_start);
        let before = self.hints(operator, first);
        let aggregates_doc = self.body(aggregates, named_start, Self::named);
        let by = if aggregates.is_empty() {
            let list = self.body(by, named_start, Self::named);
            Doc::Concat(vec![Doc::text(" by"), list])
        } else {
            self.list_clause("by", by, named_start, Self::named)
        };
        let after = operator.hints.partition_point(|hint| hint.name.span.start <= first);
        let after = self.settings(&operator.hints[after..]);
        Doc::Concat(vec![before, aggregates_doc, by, after])
    }

    fn top_nested(&mut self, levels: &[NestedLevel]) -> Doc {
        let mut parts = Vec::new();
        for (index, level) in levels.iter().enumerate() {
            if index > 0 {
                let start = level.count.as_ref().map_or_else(|| named_start(&level.of), start);
                let (trailing, own) = self.comments(start);
                parts.extend([Doc::text(","), trailing, Doc::Line, own, Doc::text("top-nested")]);
            }
            if let Some(count) = &level.count {
                parts.extend([Doc::text(" "), self.expr(count)]);
            }
            parts.extend([Doc::text(" of "), self.named(&level.of)]);
            if let Some(others) = &level.others {
                parts.extend([Doc::text(" with others = "), self.expr(others)]);
            }
            parts.extend([Doc::text(" by "), self.named(&level.by), Doc::text(direction(level.ascending))]);
        }
        Doc::indent(Doc::Concat(parts))
    }

    fn expand(&mut self, settings: &[Setting], columns: &[ExpandColumn], limit: Option<&Expr>) -> Vec<Doc> {
        let column_start =
            |column: &ExpandColumn| column.name.as_ref().map_or(column.value.span, |name| name.span).start;
        let settings = self.settings(settings);
        let columns = self.body(columns, column_start, |printer, column| {
            let mut parts = Vec::new();
            if let Some(name) = &column.name {
                parts.extend([printer.name(name), Doc::text(" = ")]);
            }
            parts.push(printer.expr(&column.value));
            if let Some(kind) = column.to {
                let kind = printer.type_name(kind, column.value.span.end);
                parts.push(Doc::Text(format!(" to typeof({kind})")));
            }
            Doc::Concat(parts)
        });
        let mut parts = vec![settings, columns];
        if let Some(limit) = limit {
            parts.extend([Doc::text(" limit "), self.expr(limit)]);
        }
        parts
    }

    fn parse_part(&mut self, part: &ParsePart) -> Doc {
        match part {
            ParsePart::Star(span) => self.word(*span, || "*".to_owned()),
            ParsePart::Text(text, span) => self.word(*span, || literal::string(text)),
            ParsePart::Column(name, Some(kind)) => self.column(name, *kind),
            ParsePart::Column(name, None) => self.name(name),
        }
    }

    /// `on X from a to b step c`, or `on X in range(a, b, c)`.
    fn axis(&mut self, axis: &Named, bounds: [Option<&Expr>; 3], inclusive: bool) -> Doc {
        let mut parts = vec![Doc::text("on "), self.named(axis)];
        let words = if inclusive { [" in range(", ", ", ", "] } else { [" from ", " to ", " step "] };
        for (word, bound) in words.into_iter().zip(bounds) {
            if let Some(bound) = bound {
                parts.extend([Doc::text(word), self.expr(bound)]);
            }
        }
        if inclusive {
            parts.push(Doc::text(")"));
        }
        Doc::Concat(parts)
    }

    fn schema(&mut self, schema: &PluginSchema) -> Doc {
        match (schema.keeps_input, schema.columns.as_slice()) {
            (false, columns) => Doc::Concat(vec![Doc::text(" : "), self.columns(columns)]),
            (true, []) => Doc::text(" : (*)"),
            (true, columns) => {
                let list = self.items(
                    columns,
                    false,
                    |(name, _)| name.span.start,
                    |printer, (name, kind)| printer.column(name, *kind),
                );
                Doc::Concat(vec![Doc::text(" : (*, "), list, Doc::text(")")])
            }
        }
    }

    fn scan(&mut self, scan: &Scan, end: usize) -> Doc {
        let mut parts = vec![self.settings(&scan.settings)];
        if !scan.order.is_empty() {
            let keys = self.items(&scan.order, false, sort_start, Self::sort_key);
            parts.extend([Doc::text(" order by "), Doc::group(Doc::indent(keys))]);
        }
        if !scan.partition.is_empty() {
            let keys = self.items(&scan.partition, false, start, Self::expr);
            parts.extend([Doc::text(" partition by "), Doc::group(Doc::indent(keys))]);
        }
        if !scan.declare.is_empty() {
            parts.extend([Doc::text(" declare "), self.parameters(&scan.declare)]);
        }
        let mut lines = Vec::new();
        for step in &scan.steps {
            let (trailing, own) = self.comments(step.name.span.start);
            lines.extend([trailing, Doc::HardLine, own, self.step(step), Doc::text(";")]);
        }
        lines.push(self.leading(end));
        let lines = Doc::indent(Doc::Concat(lines));
        parts.extend([Doc::text(" with ("), lines, Doc::HardLine, Doc::text(")")]);
        Doc::Concat(parts)
    }

    fn step(&mut self, step: &ScanStep) -> Doc {
        let mut parts = vec![Doc::text("step "), self.name(&step.name)];
        if step.optional {
            parts.push(Doc::text(" optional"));
        }
        if let Some(output) = &step.output {
            parts.extend([Doc::text(" output="), self.word(output.span, || output.text.clone())]);
        }
        parts.extend([Doc::text(": "), self.expr(&step.condition)]);
        if !step.assignments.is_empty() {
            let assignment_start = |assignment: &(crate::ast::Name, Expr)| assignment.0.span.start;
            let list = self.body(&step.assignments, assignment_start, |printer, (name, value)| {
                let name = printer.name(name);
                Doc::Concat(vec![name, Doc::text(" = "), printer.expr(value)])
            });
            parts.extend([Doc::text(" =>"), list]);
        }
        Doc::group(Doc::Concat(parts))
    }

    /// The tables of `search in (…)` and `find in (…)`.
    fn in_tables(&mut self, tables: &[Expr]) -> Doc {
        if tables.is_empty() {
            return Doc::nil();
        }
        let list = self.items(tables, false, start, Self::table);
        let end = tables.last().map_or(0, |table| table.span.end);
        let list = self.enclosed("(", list, ")", end);
        Doc::Concat(vec![Doc::text(" in "), list])
    }
}

fn start(expr: &Expr) -> usize {
    expr.span.start
}

fn sort_start(key: &SortKey) -> usize {
    key.value.span.start
}

fn reorder_direction(direction: Option<ReorderDirection>) -> &'static str {
    match direction {
        Some(ReorderDirection::Ascending) => " asc",
        Some(ReorderDirection::Descending) => " desc",
        Some(ReorderDirection::GrannyAscending) => " granny-asc",
        Some(ReorderDirection::GrannyDescending) => " granny-desc",
        None => "",
    }
}

/// An operator's name; of several for the same, the usual one.
fn keyword(kind: &OperatorKind) -> &'static str {
    match kind {
        OperatorKind::Where(_) => "where",
        OperatorKind::Extend(_) => "extend",
        OperatorKind::Project(_) => "project",
        OperatorKind::ProjectAway(_) => "project-away",
        OperatorKind::ProjectKeep(_) => "project-keep",
        OperatorKind::ProjectRename(_) => "project-rename",
        OperatorKind::ProjectReorder(_) => "project-reorder",
        OperatorKind::ProjectByNames(_) => "project-by-names",
        OperatorKind::Summarize { .. } => "summarize",
        OperatorKind::Distinct(_) => "distinct",
        OperatorKind::Count(_) => "count",
        OperatorKind::Take(_) => "take",
        OperatorKind::Top { .. } => "top",
        OperatorKind::TopHitters { .. } => "top-hitters",
        OperatorKind::TopNested(_) => "top-nested",
        OperatorKind::Sort(_) => "sort",
        OperatorKind::Serialize(_) => "serialize",
        OperatorKind::Join { .. } => "join",
        OperatorKind::Lookup { .. } => "lookup",
        OperatorKind::Union { .. } => "union",
        OperatorKind::MvExpand { .. } => "mv-expand",
        OperatorKind::MvApply { .. } => "mv-apply",
        OperatorKind::Parse { filter: false, .. } => "parse",
        OperatorKind::Parse { filter: true, .. } => "parse-where",
        OperatorKind::ParseKv { .. } => "parse-kv",
        OperatorKind::MakeSeries { .. } => "make-series",
        OperatorKind::Evaluate { .. } => "evaluate",
        OperatorKind::Partition { .. } => "partition",
        OperatorKind::Scan(_) => "scan",
        OperatorKind::Fork(_) => "fork",
        OperatorKind::Facet { .. } => "facet",
        OperatorKind::Sample(_) => "sample",
        OperatorKind::SampleDistinct { .. } => "sample-distinct",
        OperatorKind::As(_) => "as",
        OperatorKind::Invoke(_) => "invoke",
        OperatorKind::GetSchema => "getschema",
        OperatorKind::Consume => "consume",
        OperatorKind::Render { .. } => "render",
        OperatorKind::Search { .. } => "search",
        OperatorKind::Find { .. } => "find",
        OperatorKind::Print(_) => "print",
        OperatorKind::Range { .. } => "range",
        OperatorKind::Datatable { .. } => "datatable",
        OperatorKind::ExternalData { .. } => "externaldata",
        OperatorKind::Error => "",
    }
}
