//! `parse`, `parse-where`, `parse-kv`.

use datafusion::logical_expr::{Case, Expr as PlanExpr, LogicalPlanBuilder};

use super::operator::{setting, setting_text};
use super::types::{cast, text_literal};
use super::{Binder, Binding, Context, Relation, Stop, fault};
use crate::ast::{Expr, ExprKind, Name, ParsePart, Setting};
use crate::diagnostics::Diagnostic;
use crate::functions::{PairFormat, Typed};
use crate::types::KqlType;

const KV_SETTINGS: &[&str] = &["pair_delimiter", "kv_delimiter", "quote", "escape", "greedy", "regex"];

/// How the parts of a pattern are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Texts as they are, and every value of its type.
    Simple,
    /// Texts as regular expressions.
    Regex,
    /// Texts as they are; a value that is not of its type is null by itself.
    Relaxed,
}

const MODES: &[&str] = &["simple", "regex", "relaxed"];

/// What flags there are for regular expressions.
const FLAGS: &str = "imsU";

/// How a value of a type looks in a text.
fn shape(kind: KqlType) -> Option<&'static str> {
    Some(match kind {
        KqlType::Long | KqlType::Int => r"[-+]?\d+",
        KqlType::Real | KqlType::Decimal => r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?",
        KqlType::Bool => r"(?i:true|false)|[01]",
        KqlType::Guid => r"[0-9A-Fa-f]{8}(?:-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}",
        KqlType::Datetime => r"\d{1,4}[-/]\d{1,2}[-/]\d{1,4}(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?Z?)?",
        KqlType::Timespan => r"-?(?:\d+\.)?\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?",
        KqlType::String | KqlType::Dynamic => return None,
    })
}

/// The part of the regular expression that stands for a column.
fn column_group(mode: Mode, kind: KqlType, next: Option<&ParsePart>) -> String {
    let last = next.is_none();
    let any = if mode == Mode::Regex || last { ".*" } else { ".*?" };
    let is_number = matches!(kind, KqlType::Long | KqlType::Int | KqlType::Real | KqlType::Decimal);
    // Before `*` nothing but its look says where a value ends.
    let wanted = is_number || (mode != Mode::Regex && matches!(next, Some(ParsePart::Star(_))));
    match shape(kind).filter(|_| wanted) {
        Some(shape) if mode == Mode::Relaxed => format!("{shape}|{any}"),
        Some(shape) => shape.to_owned(),
        None => any.to_owned(),
    }
}

/// The regular expression for a whole pattern.
fn pattern_regex(mode: Mode, flags: &str, pattern: &[ParsePart]) -> Binding<String> {
    let mut regex = String::new();
    if !flags.is_empty() {
        regex.push_str(&format!("(?{flags})"));
    }
    if mode != Mode::Regex {
        regex.push_str("(?s)^");
    }
    let mut columns = 0;
    for (index, part) in pattern.iter().enumerate() {
        let next = pattern.get(index + 1);
        match part {
            ParsePart::Star(_) if next.is_none() => regex.push_str(".*"),
            ParsePart::Star(_) => regex.push_str(".*?"),
            ParsePart::Text(text, span) if mode == Mode::Regex => {
                if let Err(problem) = crate::functions::check_regex(text) {
                    return fault(*span, problem);
                }
                regex.push_str(&format!("(?:{text})"));
            }
            ParsePart::Text(text, _) => regex.push_str(&regex::escape(text)),
            ParsePart::Column(_, kind) => {
                let kind = kind.unwrap_or(KqlType::String);
                let blank = if kind == KqlType::String { "" } else { r"\s*" };
                let group = column_group(mode, kind, next);
                regex.push_str(&format!("{blank}(?P<{}{columns}>{group})", crate::functions::PARSED));
                columns += 1;
            }
        }
    }
    if mode != Mode::Regex {
        regex.push('$');
    }
    Ok(regex)
}

impl<'a> Binder<'a> {
    pub(super) fn parse(
        &mut self,
        relation: Relation,
        filter: bool,
        settings: &'a [Setting],
        input: &'a Expr,
        pattern: &'a [ParsePart],
    ) -> Binding<Relation> {
        let mode = match setting(settings, "kind") {
            None => Mode::Simple,
            Some((text, setting)) => match text.as_str() {
                "simple" => Mode::Simple,
                "regex" => Mode::Regex,
                "relaxed" => Mode::Relaxed,
                other => {
                    let message = format!("`parse` has no kind `{other}`");
                    let diagnostic = Diagnostic::new(setting.value.span, message);
                    return Err(Stop::Fault(Box::new(diagnostic.did_you_mean(other, MODES.iter().copied()))));
                }
            },
        };
        let flags = match setting(settings, "flags") {
            None => String::new(),
            Some((flags, setting)) => match flags.chars().find(|flag| !FLAGS.contains(*flag)) {
                None => flags,
                Some(flag) => {
                    return fault(
                        setting.value.span,
                        format!("there is no flag `{flag}`; there are `i`, `m`, `s` and `U`"),
                    );
                }
            },
        };
        let text = cast(self.scalar(input, &mut Context::row(&relation))?, KqlType::String);
        let regex = pattern_regex(mode, &flags, pattern)?;
        if let Err(problem) = crate::functions::check_regex(&regex) {
            return fault(input.span, problem);
        }
        // One match serves all columns: an array of texts, or null where the pattern does not fit.
        let groups = crate::functions::regex_groups(text, Typed::new(text_literal(&regex), KqlType::String));
        let (mut parsed, groups) = self.beside(relation, groups)?;
        let mut columns = Vec::new();
        let mut all_fit = groups.expr.clone().is_not_null();
        for part in pattern {
            let ParsePart::Column(name, kind) = part else { continue };
            let kind = kind.unwrap_or(KqlType::String);
            let at = i64::try_from(columns.len()).unwrap_or(i64::MAX);
            let element = crate::functions::dynamic_path(groups.clone(), crate::json::Step::Index(at));
            let value = cast(cast(element, KqlType::String), kind);
            if mode != Mode::Relaxed && kind != KqlType::String {
                all_fit = all_fit.and(value.expr.clone().is_not_null());
            }
            columns.push((name.text.clone(), value));
        }
        if filter {
            parsed.plan = LogicalPlanBuilder::from(parsed.plan).filter(all_fit)?.build()?;
        } else if mode != Mode::Relaxed {
            // One value that is not of its type, and nothing is parsed.
            for (_, value) in &mut columns {
                let otherwise = Typed::null(value.kind).expr;
                let fits = vec![(Box::new(all_fit.clone()), Box::new(value.expr.clone()))];
                value.expr = PlanExpr::Case(Case::new(None, fits, Some(Box::new(otherwise))));
            }
        }
        self.with_columns(&parsed, columns)
    }

    /// The relation with one more column in its plan, which has no name in the query.
    fn beside(&mut self, mut relation: Relation, value: Typed) -> Binding<(Relation, Typed)> {
        let name = self.fresh("parsed");
        let exprs = relation.plan.schema().columns().into_iter().map(PlanExpr::Column);
        let exprs: Vec<_> = exprs.chain([value.expr.alias(&name)]).collect();
        relation.plan = LogicalPlanBuilder::from(relation.plan).project(exprs)?.build()?;
        let column = PlanExpr::Column(datafusion::common::Column::new_unqualified(name));
        Ok((relation, Typed::new(column, value.kind)))
    }

    pub(super) fn parse_kv(
        &mut self,
        relation: Relation,
        input: &'a Expr,
        keys: &'a [(Name, KqlType)],
        settings: &'a [Setting],
    ) -> Binding<Relation> {
        let text = cast(self.scalar(input, &mut Context::row(&relation))?, KqlType::String);
        let mut pairs = PairFormat::default();
        for setting in settings {
            if !matches!(setting.value.kind, ExprKind::Literal(_) | ExprKind::Name(_)) {
                return fault(setting.value.span, "a constant is needed here");
            }
            let value = setting_text(setting);
            match setting.name.text.as_str() {
                "pair_delimiter" => pairs.pair_delimiter = value,
                "kv_delimiter" => pairs.kv_delimiter = value,
                "quote" => pairs.quotes.push(value),
                "escape" => pairs.escapes.push_str(&value),
                "greedy" => pairs.greedy = value == "true",
                "regex" => {
                    if let Err(problem) = crate::functions::check_regex(&value) {
                        return fault(setting.value.span, problem);
                    }
                    pairs.regex = value;
                }
                other => {
                    let message = format!("`parse-kv` has no setting `{other}`");
                    let diagnostic = Diagnostic::new(setting.name.span, message);
                    let known = KV_SETTINGS.iter().copied();
                    return Err(Stop::Fault(Box::new(diagnostic.did_you_mean(other, known))));
                }
            }
        }
        pairs.keys = keys.iter().map(|(name, _)| name.text.clone()).collect();
        let (parsed, bag) = self.beside(relation, crate::functions::key_values(text, pairs))?;
        let values = keys.iter().map(|(name, kind)| {
            let element =
                crate::functions::dynamic_path(bag.clone(), crate::json::Step::Key(name.text.clone()));
            (name.text.clone(), cast(cast(element, KqlType::String), *kind))
        });
        let values = values.collect();
        self.with_columns(&parsed, values)
    }
}
