//! `search` and `find`: rows of many tables.

use std::collections::HashSet;

use datafusion::common::Column as PlanColumn;
use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlanBuilder};

use super::expression::{negate, text_test, truth};
use super::operator::setting;
use super::types::{bool_literal, cast};
use super::{Binder, Binding, Col, Context, Relation, Stop, fault};
use crate::ast::{BinaryOp, Expr, ExprKind, Literal, Setting, Span, TextOp};
use crate::diagnostics::Diagnostic;
use crate::functions::{self, Typed};
use crate::types::KqlType;
use crate::value::Value;

/// The column of what `find` does not show by itself.
const PACK: &str = "pack_";

impl<'a> Binder<'a> {
    /// `search`: the rows of any table in which the term stands.
    pub(super) fn search(
        &mut self,
        settings: &'a [Setting],
        tables: &'a [Expr],
        predicate: &'a Expr,
        span: Span,
    ) -> Binding<Relation> {
        let found = self.searched_tables(tables, span)?;
        let matching = self.searched(found, predicate, case_sensitive(settings))?;
        self.union_of(matching, false, Some("$table"))
    }

    /// The rows of each table for which the condition holds. A column that only other tables have is null. A table for
    /// which the condition makes no sense, because its columns are of other types, is left out.
    fn searched(
        &mut self,
        found: Vec<Relation>,
        predicate: &'a Expr,
        case_sensitive: bool,
    ) -> Binding<Vec<Relation>> {
        let mentioned = mentioned(&found, predicate);
        let mut matching = Vec::new();
        let mut wrong: Option<Box<Diagnostic>> = None;
        for relation in found {
            let lacking: Vec<&(String, KqlType)> =
                mentioned.iter().filter(|(name, _)| relation.find(name).is_none()).collect();
            let with_all = self.with_nulls(relation.clone(), &lacking)?;
            match self.search_condition(predicate, &mut Context::row(&with_all), case_sensitive) {
                Ok(condition) => {
                    let plan = LogicalPlanBuilder::from(with_all.plan).filter(condition)?.build()?;
                    matching.push(Relation { plan, ..relation });
                }
                Err(Stop::Fault(diagnostic)) => wrong = wrong.or(Some(diagnostic)),
                Err(stop) => return Err(stop),
            }
        }
        match (matching.is_empty(), wrong) {
            (false, _) => Ok(matching),
            (true, Some(diagnostic)) => Err(Stop::Fault(diagnostic)),
            (true, None) => fault(predicate.span, "there is no table to search"),
        }
    }

    /// The relation with hidden columns of null.
    fn with_nulls(&mut self, mut relation: Relation, columns: &[&(String, KqlType)]) -> Binding<Relation> {
        if columns.is_empty() {
            return Ok(relation);
        }
        let mut exprs: Vec<PlanExpr> =
            relation.plan.schema().columns().into_iter().map(PlanExpr::Column).collect();
        for (name, kind) in columns {
            let fresh = self.fresh(name);
            exprs.push(Typed::null(*kind).expr.alias(&fresh));
            let column = PlanColumn::new_unqualified(fresh);
            relation.hidden.push(Col { name: name.clone(), column, kind: *kind });
        }
        relation.plan = LogicalPlanBuilder::from(relation.plan).project(exprs)?.build()?;
        Ok(relation)
    }

    fn searched_tables(&mut self, tables: &'a [Expr], span: Span) -> Binding<Vec<Relation>> {
        if tables.is_empty() {
            return self.wildcard_tables("*", span);
        }
        let mut found = Vec::new();
        for table in tables {
            match &table.kind {
                ExprKind::Wildcard(pattern) => found.extend(self.wildcard_tables(pattern, table.span)?),
                ExprKind::Star => found.extend(self.wildcard_tables("*", table.span)?),
                _ => found.push(self.table(table, &mut Context::default())?),
            }
        }
        Ok(found)
    }

    /// A search's condition, in which a bare string is a term to look for in every column.
    pub(super) fn search_condition(
        &mut self,
        expr: &'a Expr,
        context: &mut Context<'_>,
        case_sensitive: bool,
    ) -> Binding<PlanExpr> {
        match &expr.kind {
            ExprKind::Literal(Literal::String(term)) => {
                let Some(row) = context.row else { return fault(expr.span, "there are no columns here") };
                let mut any = bool_literal(term.trim_matches('*').is_empty());
                for col in &row.columns {
                    any = any.or(term_in(col.typed(), term, case_sensitive, expr.span)?);
                }
                Ok(any)
            }
            ExprKind::Binary(BinaryOp::Text { op: TextOp::Term, .. }, column, term) => {
                let column = self.scalar(column, context)?;
                let Some(term) = self.scalar(term, &mut Context::default())?.constant_text() else {
                    return fault(term.span, "a constant string is needed here");
                };
                term_in(column, &term, case_sensitive, expr.span)
            }
            ExprKind::Binary(op @ (BinaryOp::And | BinaryOp::Or), left, right) => {
                let left = self.search_condition(left, context, case_sensitive)?;
                let right = self.search_condition(right, context, case_sensitive)?;
                Ok(if *op == BinaryOp::And { left.and(right) } else { left.or(right) })
            }
            ExprKind::Call(name, args) if name.text == "not" && args.len() == 1 => {
                let inner = self.search_condition(&args[0].value, context, case_sensitive)?;
                Ok(negate(inner))
            }
            ExprKind::Star => Ok(bool_literal(true)),
            _ => {
                let typed = self.scalar(expr, context)?;
                Ok(truth(typed, expr.span)?.expr)
            }
        }
    }

    /// `find`: like `search`, with fewer columns. Without a list they are those that all tables have and those that the
    /// condition names; the others are packed into one.
    pub(super) fn find(
        &mut self,
        settings: &'a [Setting],
        tables: &'a [Expr],
        predicate: &'a Expr,
        project: Option<&'a [(Expr, Option<KqlType>)]>,
        away: &'a [Expr],
        span: Span,
    ) -> Binding<Relation> {
        let source = setting(settings, "withsource").map_or_else(|| "source_".to_owned(), |(text, _)| text);
        let mut found = self.searched_tables(tables, span)?;
        let mentioned = mentioned(&found, predicate);
        if !mentioned.is_empty() {
            // A table with none of the columns that the condition names has nothing to find.
            found.retain(|relation| mentioned.iter().any(|(name, _)| relation.find(name).is_some()));
        }
        let matching = self.searched(found, predicate, false)?;
        let shown = match project {
            Some(wanted) => self.find_projected(matching, wanted)?,
            None if matching.len() > 1 => self.find_smart(matching, &mentioned)?,
            None => matching,
        };
        let mut result = self.union_of(shown, false, Some(&source))?;
        if !away.is_empty() {
            let away = self.selected(&result, away)?;
            result.columns.retain(|col| !away.contains(&col.name));
        }
        Ok(result)
    }

    /// The columns that `find` is asked for, null where a table has them not.
    fn find_projected(
        &mut self,
        matching: Vec<Relation>,
        wanted: &'a [(Expr, Option<KqlType>)],
    ) -> Binding<Vec<Relation>> {
        let mut names: Vec<(String, KqlType, Option<KqlType>)> = Vec::new();
        let mut packs = false;
        for (expr, kind) in wanted {
            match &expr.kind {
                ExprKind::Name(name) => {
                    let Some(col) = matching.iter().find_map(|relation| relation.find(name)) else {
                        let all = matching.iter().flat_map(Relation::names);
                        let message = format!("there is no column `{name}` in any of these tables");
                        let diagnostic = Diagnostic::absent(expr.span, message).did_you_mean(name, all);
                        return Err(Stop::Fault(Box::new(diagnostic)));
                    };
                    names.push((name.clone(), kind.unwrap_or(col.kind), *kind));
                }
                ExprKind::Call(name, _) if matches!(name.text.as_str(), "pack_all" | "pack") => packs = true,
                _ => return fault(expr.span, "a column's name is needed here, or `pack_all()`"),
            }
        }
        let mut shown = Vec::new();
        for relation in matching {
            let mut columns = Vec::new();
            for (name, kind, asked) in &names {
                let typed = match (relation.find(name), asked) {
                    (Some(col), Some(kind)) => cast(col.typed(), *kind),
                    (Some(col), None) => col.typed(),
                    (None, _) => Typed::null(*kind),
                };
                columns.push((name.clone(), typed));
            }
            if packs {
                let rest: Vec<&Col> = relation
                    .columns
                    .iter()
                    .filter(|col| !names.iter().any(|(name, ..)| *name == col.name))
                    .collect();
                columns.push((PACK.to_owned(), packed(&rest)?));
            }
            shown.push(self.project(&relation, columns, Vec::new())?);
        }
        Ok(shown)
    }

    /// The columns that all tables have, then those that the condition names, then a bag of the others.
    fn find_smart(
        &mut self,
        matching: Vec<Relation>,
        mentioned: &[(String, KqlType)],
    ) -> Binding<Vec<Relation>> {
        let in_all = |name: &str| matching.iter().all(|relation| relation.names().any(|own| own == name));
        let mut names: Vec<String> =
            matching[0].names().filter(|name| in_all(name)).map(str::to_owned).collect();
        for (name, _) in mentioned {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let known: HashSet<&str> = names.iter().map(String::as_str).collect();
        let packs = matching.iter().any(|relation| relation.names().any(|name| !known.contains(name)));
        let mut shown = Vec::new();
        for relation in &matching {
            let mut columns = Vec::new();
            for name in &names {
                let typed = match relation.columns.iter().find(|col| col.name == *name) {
                    Some(col) => col.typed(),
                    None => {
                        let kind = mentioned.iter().find(|(own, _)| own == name).map(|(_, kind)| *kind);
                        Typed::null(kind.unwrap_or(KqlType::Dynamic))
                    }
                };
                columns.push((name.clone(), typed));
            }
            if packs {
                let rest: Vec<&Col> =
                    relation.columns.iter().filter(|col| !known.contains(col.name.as_str())).collect();
                columns.push((PACK.to_owned(), packed(&rest)?));
            }
            shown.push(self.project(relation, columns, Vec::new())?);
        }
        Ok(shown)
    }
}

/// Whether a search tells capitals from small letters.
pub(super) fn case_sensitive(settings: &[Setting]) -> bool {
    setting(settings, "kind").is_some_and(|(kind, _)| kind == "case_sensitive")
}

/// The columns of any of the tables that a condition names, each once, in the order of the tables.
fn mentioned(found: &[Relation], predicate: &Expr) -> Vec<(String, KqlType)> {
    let mut names: Vec<(String, KqlType)> = Vec::new();
    for col in found.iter().flat_map(|relation| relation.columns.iter().chain(&relation.hidden)) {
        if !names.iter().any(|(name, _)| *name == col.name) && predicate.mentions(&col.name) {
            names.push((col.name.clone(), col.kind));
        }
    }
    names
}

/// Whether a term stands in a column. A star at its start or end leaves the word open there, one within stands for
/// anything.
fn term_in(column: Typed, term: &str, case_sensitive: bool, span: Span) -> Binding<PlanExpr> {
    let (opens, closes) = (term.starts_with('*'), term.ends_with('*'));
    let bare = term.trim_matches('*');
    if bare.is_empty() {
        return Ok(bool_literal(true));
    }
    let text = cast(column, KqlType::String);
    if bare.contains('*') {
        let pieces: Vec<String> = bare.split('*').map(regex::escape).collect();
        let (before, after) = (if opens { "" } else { r"\b" }, if closes { "" } else { r"\b" });
        let flags = if case_sensitive { "(?s)" } else { "(?is)" };
        let pattern = format!("{flags}{before}{}{after}", pieces.join(".*"));
        let pattern = Typed::literal(Value::from(pattern), KqlType::String);
        return Ok(text_test(TextOp::MatchesRegex, true, false, text, pattern, span)?.expr);
    }
    let op = match (closes, opens) {
        (false, false) => TextOp::Has,
        (true, false) => TextOp::HasPrefix,
        (false, true) => TextOp::HasSuffix,
        (true, true) => TextOp::Contains,
    };
    let bare = Typed::literal(Value::text(bare), KqlType::String);
    Ok(text_test(op, case_sensitive, false, text, bare, span)?.expr)
}

/// Columns as one bag.
fn packed(columns: &[&Col]) -> Binding<Typed> {
    let mut values = Vec::new();
    for col in columns {
        values.push((Typed::literal(Value::text(col.name.as_str()), KqlType::String), Span::default()));
        values.push((col.typed(), Span::default()));
    }
    match functions::lookup("bag_pack") {
        Some(pack) if !values.is_empty() => super::call::apply(pack, values, Span::default()),
        _ => Ok(Typed::literal(Value::text("{}"), KqlType::Dynamic)),
    }
}
