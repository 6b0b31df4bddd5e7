//! `parse`, `parse-where`, `parse-kv`.

use super::operator::{setting, setting_text};
use super::types::{cast, text_literal};
use super::{Binder, Binding, Context, Relation, Stop, fault};
use crate::ast::{Expr, ExprKind, Name, ParsePart, Setting};
use crate::diagnostics::Diagnostic;
use crate::functions::Typed;
use crate::types::KqlType;
use crate::value::Value;

const PARSE_KINDS: &[&str] = &["simple", "regex", "relaxed"];
const KEY_VALUE_SETTINGS: &[&str] = &["pair_delimiter", "kv_delimiter", "quote", "escape", "greedy", "regex"];

impl<'a> Binder<'a> {
    pub(super) fn parse(
        &mut self,
        relation: Relation,
        filter: bool,
        settings: &'a [Setting],
        input: &'a Expr,
        pattern: &'a [ParsePart],
    ) -> Binding<Relation> {
        let kind = setting(settings, "kind").map_or_else(|| "simple".to_owned(), |(text, _)| text);
        if let Some((kind, setting)) = setting(settings, "kind")
            && !PARSE_KINDS.contains(&kind.as_str())
        {
            let diagnostic = Diagnostic::new(setting.value.span, format!("`parse` has no kind `{kind}`"));
            let diagnostic = diagnostic.did_you_mean(&kind, PARSE_KINDS.iter().copied());
            return Err(Stop::Fault(Box::new(diagnostic)));
        }
        let flags = setting(settings, "flags").map(|(text, _)| text).unwrap_or_default();
        let text = cast(self.scalar(input, &mut Context::row(&relation))?, KqlType::String);
        let mut regex = String::from(if flags.contains('i') { "(?i)" } else { "" });
        if kind != "regex" || flags.contains('s') {
            regex.push_str("(?s)");
        }
        if flags.contains('m') {
            regex.push_str("(?m)");
        }
        if flags.contains('U') {
            regex.push_str("(?U)");
        }
        if kind != "regex" {
            regex.push('^');
        }
        let mut columns: Vec<(&Name, KqlType)> = Vec::new();
        for (index, part) in pattern.iter().enumerate() {
            let last = index + 1 == pattern.len();
            match part {
                ParsePart::Star(_) => regex.push_str(if last { ".*" } else { ".*?" }),
                ParsePart::Text(text, span) => {
                    if kind == "regex" {
                        if let Err(problem) = crate::functions::check_regex(text) {
                            return fault(*span, problem);
                        }
                        regex.push_str(&format!("(?:{text})"));
                    } else {
                        regex.push_str(&regex::escape(text));
                    }
                }
                ParsePart::Column(name, to) => {
                    let to = to.unwrap_or(KqlType::String);
                    let group = match to {
                        KqlType::Long | KqlType::Int if kind != "regex" => r"\s*([-+]?\d+)",
                        KqlType::Real | KqlType::Decimal if kind != "regex" => {
                            r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
                        }
                        _ if last => "(.*)",
                        _ => "(.*?)",
                    };
                    regex.push_str(group);
                    columns.push((name, to));
                }
            }
        }
        if kind != "regex" {
            regex.push('$');
        }
        if let Err(problem) = crate::functions::check_regex(&regex) {
            return fault(input.span, problem);
        }
        // One match serves all columns: an array of texts, or null where the pattern does not fit.
        let groups = crate::functions::regex_groups(text, Typed::new(text_literal(&regex), KqlType::String));
        let name = self.fresh("parsed");
        let mut parsed = relation;
        let exprs = parsed.plan.schema().columns().into_iter().map(datafusion::logical_expr::Expr::Column);
        let exprs: Vec<_> = exprs.chain([groups.expr.alias(&name)]).collect();
        parsed.plan =
            datafusion::logical_expr::LogicalPlanBuilder::from(parsed.plan).project(exprs)?.build()?;
        let column =
            datafusion::logical_expr::Expr::Column(datafusion::common::Column::new_unqualified(name));
        let groups = Typed::new(column.clone(), KqlType::Dynamic);
        // With `relaxed` a value that is not of its type is null by itself; otherwise nothing is parsed then.
        let relaxed = kind == "relaxed" || kind == "regex";
        let mut values = Vec::new();
        let mut all_fit = column.clone().is_not_null();
        for (index, (_, to)) in columns.iter().enumerate() {
            let at = i64::try_from(index).unwrap_or(i64::MAX);
            let element = crate::functions::dynamic_path(groups.clone(), crate::json::Step::Index(at));
            let value = cast(cast(element, KqlType::String), *to);
            if !relaxed && *to != KqlType::String {
                all_fit = all_fit.and(value.expr.clone().is_not_null());
            }
            values.push(value);
        }
        if filter {
            parsed.plan = datafusion::logical_expr::LogicalPlanBuilder::from(parsed.plan)
                .filter(all_fit.clone())?
                .build()?;
        }
        let named = columns.iter().zip(values).map(|((name, to), value)| {
            let value = if relaxed || filter {
                value
            } else {
                let otherwise = Typed::null(*to).expr;
                Typed::new(
                    datafusion::logical_expr::Expr::Case(datafusion::logical_expr::Case::new(
                        None,
                        vec![(Box::new(all_fit.clone()), Box::new(value.expr))],
                        Some(Box::new(otherwise)),
                    )),
                    *to,
                )
            };
            (name.text.clone(), value)
        });
        let named = named.collect();
        self.with_columns(&parsed, named)
    }

    pub(super) fn parse_kv(
        &mut self,
        relation: Relation,
        input: &'a Expr,
        keys: &'a [(Name, KqlType)],
        settings: &'a [Setting],
    ) -> Binding<Relation> {
        let text = cast(self.scalar(input, &mut Context::row(&relation))?, KqlType::String);
        let mut options = serde_json::Map::new();
        for setting in settings {
            let name = &setting.name;
            if !KEY_VALUE_SETTINGS.contains(&name.text.as_str()) {
                let diagnostic =
                    Diagnostic::new(name.span, format!("`parse-kv` has no setting `{}`", name.text));
                let diagnostic = diagnostic.did_you_mean(&name.text, KEY_VALUE_SETTINGS.iter().copied());
                return Err(Stop::Fault(Box::new(diagnostic)));
            }
            let value = match &setting.value.kind {
                ExprKind::Literal(_) | ExprKind::Name(_) => setting_text(setting),
                _ => return fault(setting.value.span, "a constant is needed here"),
            };
            options.insert(setting.name.text.clone(), value.into());
        }
        let options =
            Typed::literal(Value::from(serde_json::Value::Object(options).to_string()), KqlType::Dynamic);
        let bag = crate::functions::key_values(text, options);
        let name = self.fresh("parsed");
        let mut parsed = relation;
        let exprs = parsed.plan.schema().columns().into_iter().map(datafusion::logical_expr::Expr::Column);
        let exprs: Vec<_> = exprs.chain([bag.expr.alias(&name)]).collect();
        parsed.plan =
            datafusion::logical_expr::LogicalPlanBuilder::from(parsed.plan).project(exprs)?.build()?;
        let column =
            datafusion::logical_expr::Expr::Column(datafusion::common::Column::new_unqualified(name));
        let bag = Typed::new(column, KqlType::Dynamic);
        let values = keys.iter().map(|(name, kind)| {
            let element =
                crate::functions::dynamic_path(bag.clone(), crate::json::Step::Key(name.text.clone()));
            (name.text.clone(), cast(cast(element, KqlType::String), *kind))
        });
        let values = values.collect();
        self.with_columns(&parsed, values)
    }
}
