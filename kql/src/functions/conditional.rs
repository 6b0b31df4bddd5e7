//! Conditions.

use std::cmp::Ordering;

use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::{Case, Expr};

use super::{Function, Kernel, Typed, build};
use crate::binder::{cast, common};
use crate::types::KqlType;
use crate::value::Value;

/// Brings values to the type in which they meet; those of types that have nothing in common meet as dynamics.
fn unify(values: Vec<Typed>) -> Result<(Vec<Typed>, KqlType), String> {
    // A dynamic says nothing of the type.
    let mut kinds = values.iter().map(|value| value.kind).filter(|kind| *kind != KqlType::Dynamic);
    let kind = match kinds.next() {
        Some(first) => kinds.try_fold(first, common).unwrap_or(KqlType::Dynamic),
        None => KqlType::Dynamic,
    };
    Ok((values.into_iter().map(|value| cast(value, kind)).collect(), kind))
}

/// Whether values of two types can stand for each other: those of one type, and numbers.
fn alike(left: KqlType, right: KqlType) -> bool {
    left == right || left.is_numeric() && right.is_numeric()
}

fn iff(mut args: Vec<Typed>) -> Result<Typed, String> {
    let (Some(otherwise), Some(then), Some(condition)) = (args.pop(), args.pop(), args.pop()) else {
        return Err("a condition and two values are needed".to_owned());
    };
    choose(vec![(condition, then)], otherwise)
}

fn choose(branches: Vec<(Typed, Typed)>, otherwise: Typed) -> Result<Typed, String> {
    let (conditions, mut values): (Vec<Typed>, Vec<Typed>) = branches.into_iter().unzip();
    values.push(otherwise);
    let (mut values, kind) = unify(values)?;
    let otherwise = values.pop().map(|value| Box::new(value.expr));
    let conditions = conditions.into_iter().map(|condition| Box::new(condition.expr));
    let when = conditions.zip(values.into_iter().map(|value| Box::new(value.expr))).collect();
    Ok(Typed::new(Expr::Case(Case::new(None, when, otherwise)), kind))
}

fn case(mut args: Vec<Typed>) -> Result<Typed, String> {
    if args.len().is_multiple_of(2) {
        return Err("`case` takes conditions with their values, and a last value for the rest".to_owned());
    }
    let Some(otherwise) = args.pop() else { return Err("a value is missing".to_owned()) };
    let mut branches = Vec::new();
    let mut args = args.into_iter();
    while let (Some(condition), Some(value)) = (args.next(), args.next()) {
        let condition = match condition.kind {
            KqlType::Bool => condition,
            kind => return Err(format!("a condition is needed, not a {kind}")),
        };
        branches.push((condition, value));
    }
    choose(branches, otherwise)
}

/// Values that have to be of one type, or all numbers.
fn unify_alike(args: Vec<Typed>) -> Result<(Vec<Typed>, KqlType), String> {
    let first = args.first().map(|value| value.kind);
    let different = args.iter().find(|value| first.is_some_and(|first| !alike(first, value.kind)));
    if let (Some(first), Some(different)) = (first, different) {
        return Err(format!("a {first} and a {} cannot stand for each other; convert them", different.kind));
    }
    unify(args)
}

/// Values of which one is the greatest.
fn ranked(args: Vec<Typed>) -> Result<(Vec<Typed>, KqlType), String> {
    match unify_alike(args)? {
        (_, kind @ (KqlType::Dynamic | KqlType::Guid)) => Err(format!("a {kind} has no order")),
        ranked => Ok(ranked),
    }
}

fn first_present(args: Vec<Typed>) -> Result<Typed, String> {
    let (values, kind) = unify_alike(args)?;
    let exprs: Vec<Expr> = if kind == KqlType::String {
        // An empty string counts as absent.
        let absent = |value: Typed| {
            datafusion::functions::core::expr_fn::nullif(value.expr, crate::binder::text_literal(""))
        };
        values.into_iter().map(absent).chain([crate::binder::text_literal("")]).collect()
    } else {
        values.into_iter().map(|value| value.expr).collect()
    };
    Ok(Typed::new(coalesce(exprs), kind))
}

fn is_null(args: Vec<Typed>) -> Result<Typed, String> {
    let Some(value) = args.into_iter().next() else { return Err("a value is missing".to_owned()) };
    if value.kind == KqlType::String {
        return Ok(Typed::literal(Value::Bool(false), KqlType::Bool));
    }
    Ok(Typed::new(value.expr.is_null(), KqlType::Bool))
}

fn is_empty(args: Vec<Typed>) -> Result<Typed, String> {
    let Some(value) = args.into_iter().next() else { return Err("a value is missing".to_owned()) };
    Ok(match value.kind {
        KqlType::String => Typed::new(value.expr.eq(crate::binder::text_literal("")), KqlType::Bool),
        KqlType::Dynamic => {
            let text = cast(value, KqlType::String);
            Typed::new(text.expr.eq(crate::binder::text_literal("")), KqlType::Bool)
        }
        _ => Typed::new(value.expr.is_null(), KqlType::Bool),
    })
}

fn negated(value: Typed) -> Typed {
    Typed::new(Expr::Not(Box::new(value.expr)), KqlType::Bool)
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        build(
            "iff",
            "(condition: bool, then: any, otherwise: any) -> any",
            "One value or the other.",
            ("iff(1 < 2, 'yes', 'no')", "yes"),
            iff,
        )
        .also(&["iif"]),
        build(
            "case",
            "(condition: any, value: any, ...) -> any",
            "The value of the first condition that holds, or the last argument.",
            ("case(1 > 2, 'a', 2 > 1, 'b', 'c')", "b"),
            case,
        ),
        build(
            "coalesce",
            "(value: any, ...) -> any",
            "The first value that is neither null nor an empty string.",
            ("coalesce('', 'first')", "first"),
            first_present,
        ),
        build(
            "isnull",
            "(value: any) -> bool",
            "Whether a value is null; a string never is.",
            ("isnull(int(null))", "true"),
            is_null,
        ),
        build(
            "isnotnull",
            "(value: any) -> bool",
            "Whether a value is not null.",
            ("isnotnull(int(null))", "false"),
            |args| is_null(args).map(negated),
        )
        .also(&["notnull"]),
        build(
            "isempty",
            "(value: any) -> bool",
            "Whether a value is null or an empty string.",
            ("isempty('')", "true"),
            is_empty,
        ),
        build(
            "isnotempty",
            "(value: any) -> bool",
            "Whether a value is neither null nor an empty string.",
            ("isnotempty('x')", "true"),
            |args| is_empty(args).map(negated),
        )
        .also(&["notempty"]),
        build(
            "not",
            "(condition: bool) -> bool",
            "The opposite; null stays null.",
            ("not(1 > 2)", "true"),
            |args| match args.into_iter().next() {
                Some(value) => Ok(negated(value)),
                None => Err("a condition is missing".to_owned()),
            },
        ),
        build(
            "min_of",
            "(value: any, ...) -> any",
            "The least of the values.",
            ("min_of(3, 1, 2)", "1"),
            |args| {
                let (args, kind) = ranked(args)?;
                Ok(Kernel::call("min_of", args, kind, |row| best_of(row, Ordering::Less)))
            },
        ),
        build(
            "max_of",
            "(value: any, ...) -> any",
            "The greatest of the values.",
            ("max_of(3, 1, 2)", "3"),
            |args| {
                let (args, kind) = ranked(args)?;
                Ok(Kernel::call("max_of", args, kind, |row| best_of(row, Ordering::Greater)))
            },
        ),
    ]
}

fn best_of<'a>(row: &super::Row<'a>, wanted: Ordering) -> Value<'a> {
    let mut best = Value::Null;
    for index in 0..row.len() {
        let value = row.get(index);
        let better = match (&best, &value) {
            (_, Value::Null) => false,
            (Value::Null, _) => true,
            (Value::Text(best), Value::Text(value)) => value.cmp(best) == wanted,
            (Value::Bool(best), Value::Bool(value)) => value.cmp(best) == wanted,
            (Value::Decimal(best), Value::Decimal(value)) => value.cmp(best) == wanted,
            (Value::Real(best), Value::Real(value)) => value.partial_cmp(best) == Some(wanted),
            (best, value) => value.as_long().cmp(&best.as_long()) == wanted,
        };
        if better {
            best = value;
        }
    }
    best
}
