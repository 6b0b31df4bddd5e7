//! Tabular operators.

use super::names::{OPERATORS, UNSUPPORTED};
use super::{Parsed, Parser};
use crate::ast::{
    ExpandColumn, Expr, ExprKind, Named, NestedLevel, Operator, OperatorKind, ParsePart, PluginSchema,
    ReorderDirection, Scan, ScanStep, Setting,
};
use crate::diagnostics::{Diagnostic, Span};
use crate::lexer::TokenKind;
use crate::types::KqlType;

/// The levels of nesting that an operator counts for, beside its own.
const OPERATOR_DEPTH: usize = 2;

impl Parser<'_> {
    pub(super) fn operator(&mut self) -> Parsed<Operator> {
        let start = self.span();
        let name = self.operator_name()?;
        // An operator takes more of the stack than an expression does.
        self.depth += OPERATOR_DEPTH;
        let outer = std::mem::take(&mut self.hints);
        let kind = self.nested(|parser| parser.operator_kind(&name, start));
        let hints = std::mem::replace(&mut self.hints, outer);
        self.depth -= OPERATOR_DEPTH;
        Ok(Operator { kind: kind?, hints, span: self.since(start) })
    }

    /// The hints that may stand here, kept for the operator that is being read.
    pub(super) fn hints(&mut self) -> Parsed<()> {
        let hints = self.settings(&[])?;
        self.hints.extend(hints);
        Ok(())
    }

    /// The operator's name; those with hyphens are several tokens that touch.
    fn operator_name(&mut self) -> Parsed<String> {
        let Some(first) = self.word() else { return Err(self.unexpected("an operator")) };
        let mut name = first.to_owned();
        self.advance();
        while self.is("-") && self.touches(0) && self.touches(1) {
            let TokenKind::Name(part) = &self.ahead(1).kind else { break };
            let longer = format!("{name}-{part}");
            if !OPERATORS.iter().chain(UNSUPPORTED).any(|known| known.starts_with(&longer)) {
                break;
            }
            name = longer;
            self.advance();
            self.advance();
        }
        Ok(name)
    }

    fn operator_kind(&mut self, name: &str, start: Span) -> Parsed<OperatorKind> {
        Ok(match name {
            "where" | "filter" => {
                self.hints()?;
                OperatorKind::Where(self.expression()?)
            }
            "extend" => OperatorKind::Extend(self.named_list()?),
            "project" => {
                let empty = self.at_pipe_end();
                OperatorKind::Project(if empty { Vec::new() } else { self.named_list()? })
            }
            "project-away" => OperatorKind::ProjectAway(self.name_patterns()?),
            "project-keep" => OperatorKind::ProjectKeep(self.name_patterns()?),
            "project-rename" => OperatorKind::ProjectRename(self.named_list()?),
            "project-reorder" => OperatorKind::ProjectReorder(self.reorder_list()?),
            "project-by-names" => OperatorKind::ProjectByNames(self.name_patterns()?),
            "summarize" => self.summarize()?,
            "distinct" => {
                self.hints()?;
                OperatorKind::Distinct(self.named_list()?)
            }
            "count" => {
                let name = if self.take_word("as") { Some(self.new_name("a name")?) } else { None };
                OperatorKind::Count(name)
            }
            "take" | "limit" => OperatorKind::Take(self.expression()?),
            "top" => {
                let count = self.expression()?;
                self.hints()?;
                self.expect_word("by")?;
                OperatorKind::Top { count, by: vec![self.sort_key()?] }
            }
            "top-hitters" => {
                let count = self.expression()?;
                self.expect_word("of")?;
                let of = self.named()?;
                let by = if self.take_word("by") { Some(self.expression()?) } else { None };
                OperatorKind::TopHitters { count, of, by }
            }
            "top-nested" => self.top_nested()?,
            "sort" | "order" => {
                self.hints()?;
                self.expect_word("by")?;
                OperatorKind::Sort(self.sort_keys()?)
            }
            "serialize" => {
                OperatorKind::Serialize(if self.at_pipe_end() { Vec::new() } else { self.named_list()? })
            }
            "join" => {
                let (settings, right, on) = self.join()?;
                OperatorKind::Join { settings, right, on }
            }
            "lookup" => {
                let (settings, right, on) = self.join()?;
                OperatorKind::Lookup { settings, right, on }
            }
            "union" => self.union()?,
            "mv-expand" | "mvexpand" => self.mv_expand()?,
            "mv-apply" | "mvapply" => self.mv_apply()?,
            "parse" => self.parse_operator(false)?,
            "parse-where" => self.parse_operator(true)?,
            "parse-kv" => self.parse_kv()?,
            "make-series" => self.make_series()?,
            "evaluate" => self.evaluate()?,
            "partition" => {
                let settings = self.settings(&[])?;
                self.expect_word("by")?;
                // A bracket after the column begins the pipe, not a call.
                let name = self.name("a column")?;
                let by = Expr { span: name.span, kind: ExprKind::Name(name.text) };
                OperatorKind::Partition { settings, by, body: self.sub_pipe()? }
            }
            "scan" => OperatorKind::Scan(Box::new(self.scan()?)),
            "fork" => self.fork()?,
            "facet" => {
                self.expect_word("by")?;
                let by = self.expressions()?;
                let body = if self.take_word("with") { Some(self.sub_pipe()?) } else { None };
                OperatorKind::Facet { by, body }
            }
            "sample" => OperatorKind::Sample(self.expression()?),
            "sample-distinct" => {
                let count = self.expression()?;
                self.expect_word("of")?;
                OperatorKind::SampleDistinct { count, of: self.named()? }
            }
            "as" => {
                self.hints()?;
                OperatorKind::As(self.name("a name")?)
            }
            "invoke" => OperatorKind::Invoke(self.postfix()?),
            "getschema" => OperatorKind::GetSchema,
            "consume" => OperatorKind::Consume,
            "render" => self.render()?,
            "search" => self.search()?,
            "find" => self.find()?,
            "print" => OperatorKind::Print(self.named_list()?),
            "range" => {
                let name = self.name("a name")?;
                self.expect_word("from")?;
                let from = self.expression()?;
                self.expect_word("to")?;
                let to = self.expression()?;
                self.expect_word("step")?;
                OperatorKind::Range { name, from, to, step: self.expression()? }
            }
            "datatable" => self.datatable()?,
            "externaldata" | "external_data" => self.external_data()?,
            _ if UNSUPPORTED.contains(&name) => {
                let span = self.since(start);
                return Err(self.literal_fault(span, &format!("the operator `{name}` is not supported")));
            }
            _ => {
                let fault = Diagnostic::new(start, format!("there is no operator `{name}`"))
                    .did_you_mean(name, OPERATORS.iter().copied());
                return Err(self.fault(fault));
            }
        })
    }

    fn expressions(&mut self) -> Parsed<Vec<Expr>> {
        let mut list = vec![self.expression()?];
        while self.take(",") {
            list.push(self.expression()?);
        }
        Ok(list)
    }

    fn name_patterns(&mut self) -> Parsed<Vec<Expr>> {
        let mut list = vec![self.name_pattern()?];
        while self.take(",") {
            list.push(self.name_pattern()?);
        }
        Ok(list)
    }

    fn reorder_list(&mut self) -> Parsed<Vec<(Expr, Option<ReorderDirection>)>> {
        let mut list = Vec::new();
        loop {
            let name = self.name_pattern()?;
            let direction = match self.word() {
                Some("asc") => Some(ReorderDirection::Ascending),
                Some("desc") => Some(ReorderDirection::Descending),
                Some("granny") => {
                    self.advance();
                    self.expect("-")?;
                    match self.word() {
                        Some("asc") => Some(ReorderDirection::GrannyAscending),
                        Some("desc") => Some(ReorderDirection::GrannyDescending),
                        _ => return Err(self.unexpected("`granny-asc` or `granny-desc`")),
                    }
                }
                _ => None,
            };
            if direction.is_some() {
                self.advance();
            }
            list.push((name, direction));
            if !self.take(",") {
                return Ok(list);
            }
        }
    }

    fn summarize(&mut self) -> Parsed<OperatorKind> {
        self.hints()?;
        let aggregates =
            if self.is_word("by") || self.at_pipe_end() { Vec::new() } else { self.named_list()? };
        let by = if self.take_word("by") { self.named_list()? } else { Vec::new() };
        if aggregates.is_empty() && by.is_empty() {
            return Err(self.unexpected("an aggregate or `by`"));
        }
        self.hints()?;
        Ok(OperatorKind::Summarize { aggregates, by })
    }

    fn top_nested(&mut self) -> Parsed<OperatorKind> {
        let mut levels = Vec::new();
        loop {
            let count = if self.is_word("of") { None } else { Some(self.expression()?) };
            self.expect_word("of")?;
            let of = self.named()?;
            let others = if self.is_word("with") && self.is_word_ahead(1, "others") {
                self.advance();
                self.advance();
                self.expect("=")?;
                Some(self.expression()?)
            } else {
                None
            };
            self.expect_word("by")?;
            let by = self.named()?;
            let ascending = self.direction();
            levels.push(NestedLevel { count, of, others, by, ascending });
            if !self.take(",") {
                return Ok(OperatorKind::TopNested(levels));
            }
            let name = self.operator_name()?;
            if name != "top-nested" {
                return Err(self.unexpected("`top-nested`"));
            }
        }
    }

    fn join(&mut self) -> Parsed<(Vec<Setting>, Expr, Vec<Expr>)> {
        let settings = self.settings(&["kind"])?;
        let right = self.postfix()?;
        self.expect_word("on")?;
        Ok((settings, right, self.expressions()?))
    }

    fn union(&mut self) -> Parsed<OperatorKind> {
        const SETTINGS: &[&str] = &["kind", "withsource", "with_source", "isfuzzy"];
        let mut settings = self.settings(SETTINGS)?;
        let mut tables = vec![self.name_pattern()?];
        while self.take(",") {
            tables.push(self.name_pattern()?);
        }
        settings.extend(self.settings(SETTINGS)?);
        Ok(OperatorKind::Union { settings, tables })
    }

    fn expand_columns(&mut self) -> Parsed<Vec<ExpandColumn>> {
        let mut columns = Vec::new();
        loop {
            let Named { mut names, value } = self.named()?;
            let to = if self.take_word("to") {
                let span = self.span();
                match self.typeof_literal()? {
                    crate::ast::Literal::Type(kinds) => match kinds.as_slice() {
                        [kind] => Some(*kind),
                        _ => return Err(self.literal_fault(span, "one type is meant here")),
                    },
                    _ => None,
                }
            } else {
                None
            };
            columns.push(ExpandColumn { name: names.pop(), value, to });
            if !self.take(",") {
                return Ok(columns);
            }
        }
    }

    fn limit(&mut self) -> Parsed<Option<Expr>> {
        Ok(if self.take_word("limit") { Some(self.expression()?) } else { None })
    }

    fn mv_expand(&mut self) -> Parsed<OperatorKind> {
        let settings = self.settings(&["kind", "bagexpansion", "with_itemindex"])?;
        let columns = self.expand_columns()?;
        Ok(OperatorKind::MvExpand { settings, columns, limit: self.limit()? })
    }

    fn mv_apply(&mut self) -> Parsed<OperatorKind> {
        let settings = self.settings(&["kind", "bagexpansion", "with_itemindex"])?;
        let columns = self.expand_columns()?;
        let limit = self.limit()?;
        self.expect_word("on")?;
        Ok(OperatorKind::MvApply { settings, columns, limit, body: self.sub_pipe()? })
    }

    fn parse_operator(&mut self, filter: bool) -> Parsed<OperatorKind> {
        let settings = self.settings(&["kind", "flags"])?;
        let input = self.expression()?;
        self.expect_word("with")?;
        let mut pattern = Vec::new();
        while !self.at_pipe_end() {
            let span = self.span();
            if self.take("*") {
                match pattern.last() {
                    Some(ParsePart::Star(_)) => {
                        return Err(self.literal_fault(span, "a text has to follow `*`"));
                    }
                    Some(ParsePart::Column(_, None | Some(KqlType::String))) => {
                        return Err(self.literal_fault(span, "where a string ends before `*` is not known"));
                    }
                    _ => pattern.push(ParsePart::Star(span)),
                }
            } else if let TokenKind::String(text) = &self.token().kind {
                let text = text.clone();
                self.advance();
                pattern.push(ParsePart::Text(text, span));
            } else {
                let name = self.new_name("a text, a column or `*`")?;
                let kind = if self.take(":") { Some(self.type_name()?) } else { None };
                let mut before = pattern.iter();
                if before.any(|part| matches!(part, ParsePart::Column(other, _) if other.text == name.text)) {
                    let message = format!("there are two columns `{}` here", name.text);
                    return Err(self.literal_fault(name.span, &message));
                }
                if let Some(ParsePart::Star(_) | ParsePart::Column(_, None | Some(KqlType::String))) =
                    pattern.last()
                {
                    return Err(self.literal_fault(name.span, "a text has to stand before this column"));
                }
                pattern.push(ParsePart::Column(name, kind));
            }
            // Some queries separate the parts by commas.
            self.take(",");
        }
        if pattern.is_empty() {
            return Err(self.unexpected("a pattern"));
        }
        Ok(OperatorKind::Parse { filter, settings, input, pattern })
    }

    fn parse_kv(&mut self) -> Parsed<OperatorKind> {
        let input = self.expression()?;
        self.expect_word("as")?;
        self.expect("(")?;
        let keys = self.columns_until(")")?;
        Ok(OperatorKind::ParseKv { input, keys, settings: self.with_settings()? })
    }

    fn make_series(&mut self) -> Parsed<OperatorKind> {
        let settings = self.settings(&["kind"])?;
        let mut aggregates = Vec::new();
        loop {
            let aggregate = self.named()?;
            let default = if self.take_word("default") {
                self.expect("=")?;
                Some(self.expression()?)
            } else {
                None
            };
            aggregates.push((aggregate, default));
            if !self.take(",") {
                break;
            }
        }
        self.expect_word("on")?;
        // `T in range(…)` would read as a list test.
        let axis = if self.name_and_equals() {
            self.named()?
        } else {
            Named { names: Vec::new(), value: self.postfix()? }
        };
        if self.take_word("in") {
            self.expect_word("range")?;
            self.expect("(")?;
            let mut bounds = self.expressions_until(")")?.into_iter();
            let (Some(from), Some(to), Some(step), None) =
                (bounds.next(), bounds.next(), bounds.next(), bounds.next())
            else {
                return Err(self.unexpected("a start, an end and a step"));
            };
            let by = self.series_by()?;
            return Ok(OperatorKind::MakeSeries {
                settings,
                aggregates,
                axis,
                from: Some(from),
                to: Some(to),
                step,
                inclusive: true,
                by,
            });
        }
        let from = if self.take_word("from") { Some(self.expression()?) } else { None };
        let to = if self.take_word("to") { Some(self.expression()?) } else { None };
        self.expect_word("step")?;
        let step = self.expression()?;
        let by = self.series_by()?;
        Ok(OperatorKind::MakeSeries { settings, aggregates, axis, from, to, step, inclusive: false, by })
    }

    fn series_by(&mut self) -> Parsed<Vec<Named>> {
        if self.take_word("by") { self.named_list() } else { Ok(Vec::new()) }
    }

    fn evaluate(&mut self) -> Parsed<OperatorKind> {
        let settings = self.settings(&[])?;
        let name = self.name("a plugin's name")?;
        self.expect("(")?;
        let args = self.arguments()?;
        let schema = if self.take(":") {
            self.expect("(")?;
            let keeps_input = self.take("*");
            if keeps_input {
                self.take(",");
            }
            Some(PluginSchema { keeps_input, columns: self.columns_until(")")? })
        } else {
            None
        };
        Ok(OperatorKind::Evaluate { settings, name, args, schema })
    }

    fn scan(&mut self) -> Parsed<Scan> {
        let settings = self.settings(&["with_match_id", "kind"])?;
        let mut order = Vec::new();
        if self.take_word("order") {
            self.expect_word("by")?;
            order = self.sort_keys()?;
        }
        let mut partition = Vec::new();
        if self.take_word("partition") {
            self.expect_word("by")?;
            partition = self.expressions()?;
        }
        let declare = if self.take_word("declare") { self.parameters()? } else { Vec::new() };
        self.expect_word("with")?;
        self.expect("(")?;
        let mut steps = Vec::new();
        while steps.is_empty() || !self.take(")") {
            self.expect_word("step")?;
            let name = self.name("the step's name")?;
            let optional = self.take_word("optional");
            let output = if self.take_word("output") {
                self.expect("=")?;
                Some(self.name("`all`, `last` or `none`")?)
            } else {
                None
            };
            self.expect(":")?;
            let condition = self.expression()?;
            let mut assignments = Vec::new();
            if self.take("=>") {
                loop {
                    let name = self.name("a column")?;
                    self.expect("=")?;
                    assignments.push((name, self.expression()?));
                    if !self.take(",") {
                        break;
                    }
                }
            }
            steps.push(ScanStep { name, optional, output, condition, assignments });
            if !self.is(")") {
                self.expect(";")?;
            }
        }
        Ok(Scan { settings, order, partition, declare, steps })
    }

    fn fork(&mut self) -> Parsed<OperatorKind> {
        let mut branches = Vec::new();
        loop {
            let name = if self.name_and_equals() {
                let name = self.name("a name")?;
                self.advance();
                Some(name)
            } else {
                None
            };
            branches.push((name, self.sub_pipe()?));
            if self.at_pipe_end() {
                return Ok(OperatorKind::Fork(branches));
            }
        }
    }

    fn render(&mut self) -> Parsed<OperatorKind> {
        let kind = self.name("a kind of chart")?;
        let mut settings = self.with_settings()?;
        while self.name_and_equals() {
            let name = self.name("a setting")?;
            self.advance();
            let value = self.setting_value()?;
            settings.push(Setting { name, value });
            self.take(",");
        }
        Ok(OperatorKind::Render { kind, settings })
    }

    fn search(&mut self) -> Parsed<OperatorKind> {
        let settings = self.settings(&["kind"])?;
        let tables = self.in_tables()?;
        self.searching = true;
        let predicate = self.expression();
        self.searching = false;
        Ok(OperatorKind::Search { settings, tables, predicate: predicate? })
    }

    fn in_tables(&mut self) -> Parsed<Vec<Expr>> {
        let mut tables = Vec::new();
        if self.is_word("in") && self.is_ahead(1, "(") {
            self.advance();
            self.advance();
            while !self.take(")") {
                tables.push(self.name_pattern()?);
                if !self.is(")") {
                    self.expect(",")?;
                }
            }
        }
        Ok(tables)
    }

    fn find(&mut self) -> Parsed<OperatorKind> {
        let settings = self.settings(&["withsource", "datascope"])?;
        let tables = self.in_tables()?;
        self.take_word("where");
        let predicate = self.expression()?;
        let project = if self.word() == Some("project") && !self.is_ahead(1, "-") {
            self.advance();
            let mut columns = Vec::new();
            loop {
                let column = self.postfix()?;
                let kind = if self.take(":") { Some(self.type_name()?) } else { None };
                columns.push((column, kind));
                if !self.take(",") {
                    break;
                }
            }
            Some(columns)
        } else {
            None
        };
        let mut away = Vec::new();
        let mut smart = false;
        if project.is_none() && self.is_word("project") {
            if self.is_ahead(1, "-") && self.is_word_ahead(2, "smart") {
                for _ in 0..3 {
                    self.advance();
                }
                smart = true;
            } else {
                self.operator_name()?;
                away = self.name_patterns()?;
            }
        }
        Ok(OperatorKind::Find { settings, tables, predicate, project, smart, away })
    }
}
