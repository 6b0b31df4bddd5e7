//! Conversion and comparison of typed expressions.

use datafusion::arrow::datatypes::DataType;
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::{Case, Cast, Expr, Operator, binary_expr};

use super::{Binding, fault};
use crate::ast::Span;
use crate::functions::convert::convert;
use crate::functions::{Kernel, ParamKind, Typed};
use crate::types::KqlType;
use crate::value::Value;

/// A typed expression in another type, as KQL's conversion functions do it.
pub(crate) fn cast(typed: Typed, to: KqlType) -> Typed {
    if typed.kind == to {
        return typed;
    }
    if let Some(value) = typed.constant() {
        return Typed::literal(convert(&value, typed.kind, to), to);
    }
    match (typed.kind, to) {
        // These lose nothing and are exact in Arrow.
        (KqlType::Int, KqlType::Long)
        | (KqlType::Int | KqlType::Long, KqlType::Real)
        | (KqlType::Int | KqlType::Long, KqlType::Decimal)
        | (KqlType::Decimal, KqlType::Real)
        | (KqlType::Bool, KqlType::Int | KqlType::Long) => {
            let expr = Expr::Cast(Cast::new(Box::new(typed.expr), to.arrow()));
            Typed::new(expr, to)
        }
        (KqlType::Guid, KqlType::String) => Typed::new(not_null_text(typed.expr), KqlType::String),
        (KqlType::Timespan, KqlType::Long) => Typed::new(typed.expr, KqlType::Long),
        (KqlType::Dynamic, KqlType::String) => crate::functions::dynamic_text(typed),
        (_, KqlType::Bool) => {
            Kernel::call("tobool", vec![typed], to, |row| convert(&row.get(0), row.kind(0), KqlType::Bool))
        }
        (_, KqlType::Int) => {
            Kernel::call("toint", vec![typed], to, |row| convert(&row.get(0), row.kind(0), KqlType::Int))
        }
        (_, KqlType::Long) => {
            Kernel::call("tolong", vec![typed], to, |row| convert(&row.get(0), row.kind(0), KqlType::Long))
        }
        (_, KqlType::Real) => {
            Kernel::call("toreal", vec![typed], to, |row| convert(&row.get(0), row.kind(0), KqlType::Real))
        }
        (_, KqlType::Decimal) => Kernel::call("todecimal", vec![typed], to, |row| {
            convert(&row.get(0), row.kind(0), KqlType::Decimal)
        }),
        (_, KqlType::String) => Kernel::call("tostring", vec![typed], to, |row| {
            convert(&row.get(0), row.kind(0), KqlType::String)
        }),
        (_, KqlType::Datetime) => Kernel::call("todatetime", vec![typed], to, |row| {
            convert(&row.get(0), row.kind(0), KqlType::Datetime)
        }),
        (_, KqlType::Timespan) => Kernel::call("totimespan", vec![typed], to, |row| {
            convert(&row.get(0), row.kind(0), KqlType::Timespan)
        }),
        (_, KqlType::Guid) => {
            Kernel::call("toguid", vec![typed], to, |row| convert(&row.get(0), row.kind(0), KqlType::Guid))
        }
        (_, KqlType::Dynamic) => Kernel::call("to_dynamic", vec![typed], to, |row| {
            convert(&row.get(0), row.kind(0), KqlType::Dynamic)
        }),
    }
}

/// A text expression that is empty where it would be null.
pub(crate) fn not_null_text(expr: Expr) -> Expr {
    coalesce(vec![expr, text_literal("")])
}

pub(crate) fn text_literal(text: &str) -> Expr {
    Typed::literal(Value::text(text), KqlType::String).expr
}

pub(crate) fn bool_literal(value: bool) -> Expr {
    Typed::literal(Value::Bool(value), KqlType::Bool).expr
}

/// An argument as a parameter wants it, if KQL converts it there by itself: numbers to wider ones, a dynamic to a string.
pub(crate) fn coerce(typed: Typed, param: ParamKind) -> Result<Typed, String> {
    use KqlType::{Datetime, Decimal, Dynamic, Int, Long, Real, String, Timespan};
    let to = match param {
        ParamKind::Any => return Ok(typed),
        ParamKind::Text => return Ok(cast(typed, String)),
        ParamKind::Json => {
            return match typed.kind {
                String | Dynamic => Ok(typed),
                kind => Err(format!("a string or a dynamic is needed, not a {kind}")),
            };
        }
        ParamKind::Number | ParamKind::Measure => {
            return match typed.kind {
                Int | Long | Real | Decimal => Ok(typed),
                Datetime | Timespan if param == ParamKind::Measure => Ok(typed),
                kind => Err(format!("a number is needed, not a {kind}")),
            };
        }
        ParamKind::Of(to) => to,
    };
    let array =
        || typed.constant_text().is_none() && typed.constant().is_some_and(|value| value != Value::Null);
    if typed.kind == Dynamic && to == String && array() {
        return Err("a string is needed, not an array or a bag".to_owned());
    }
    let fits = typed.kind == to
        || matches!(
            (typed.kind, to),
            (Int, Long | Real | Decimal)
                | (Long, Real | Decimal | Int)
                | (Decimal, Real)
                | (Real, Decimal)
                | (Dynamic, String)
        );
    if fits { Ok(cast(typed, to)) } else { Err(format!("a {to} is needed, not a {}", typed.kind)) }
}

/// The type in which the values of a condition's branches meet, if they have one.
pub(crate) fn common(left: KqlType, right: KqlType) -> Option<KqlType> {
    use KqlType::{Decimal, Dynamic, Int, Long, Real};
    Some(match (left, right) {
        (left, right) if left == right => left,
        (Dynamic, other) | (other, Dynamic) => other,
        (Decimal, Int | Long | Real) | (Int | Long | Real, Decimal) => Decimal,
        (Real, Int | Long) | (Int | Long, Real) => Real,
        (Long, Int) | (Int, Long) => Long,
        _ => return None,
    })
}

/// The type in which two values are tested for being equal; what has nothing in common meets as text.
pub(crate) fn comparable(left: KqlType, right: KqlType) -> KqlType {
    use KqlType::{Bool, Datetime, Int, Long, String, Timespan};
    common(left, right).unwrap_or(match (left, right) {
        (Bool, Int | Long) | (Int | Long, Bool) => Long,
        (Datetime, Int | Long) | (Int | Long, Datetime) => Datetime,
        (Timespan, Int | Long) | (Int | Long, Timespan) => Timespan,
        _ => String,
    })
}

/// The type in which two values can be told to be less or greater: strings and GUIDs have no order in KQL, and a dynamic
/// has one only among numbers.
pub(crate) fn ordered(left: KqlType, right: KqlType) -> Option<KqlType> {
    use KqlType::{Bool, Dynamic, Guid, Int, Long, Real, String};
    match (left, right) {
        (String | Guid, _) | (_, String | Guid) => None,
        (Dynamic, Dynamic) => Some(Real),
        (Dynamic, other) | (other, Dynamic) => other.is_numeric().then_some(other),
        (Bool, Int | Long) | (Int | Long, Bool) => Some(Long),
        (Bool, other) | (other, Bool) if other.is_numeric() => Some(other),
        _ => common(left, right),
    }
}

/// Whether an expression can be null, as far as is plain to see.
fn nullable(typed: &Typed) -> bool {
    match &typed.expr {
        Expr::Literal(scalar, _) => scalar.is_null(),
        _ => typed.kind != KqlType::String,
    }
}

/// Compares two values. In a filter, where null counts as false, comparisons are left in the plain form that reaches
/// the scan; elsewhere they follow KQL to the letter: null equals nothing and is unequal to every value, but of two
/// nulls neither is known.
pub(crate) fn compare(span: Span, op: Operator, left: Typed, right: Typed, filter: bool) -> Binding<Typed> {
    let equality = matches!(op, Operator::Eq | Operator::NotEq);
    let met = if equality { Some(comparable(left.kind, right.kind)) } else { ordered(left.kind, right.kind) };
    let Some(kind) = met else {
        return fault(span, format!("a {} cannot be compared with a {}", left.kind, right.kind));
    };
    let (left, right) = (cast(left, kind), cast(right, kind));
    let may_be_null = (nullable(&left), nullable(&right));
    let plain = |op| binary_expr(left.expr.clone(), op, right.expr.clone());
    let expr = match (op, may_be_null) {
        (_, (false, false)) => plain(op),
        (Operator::Eq, _) if filter => plain(Operator::Eq),
        (Operator::NotEq, _) if filter => plain(Operator::IsDistinctFrom),
        (Operator::Eq, (true, false) | (false, true)) => {
            coalesce(vec![plain(Operator::Eq), bool_literal(false)])
        }
        (Operator::NotEq, (true, false) | (false, true)) => {
            coalesce(vec![plain(Operator::NotEq), bool_literal(true)])
        }
        (Operator::Eq, _) => unless_both_null(&left, &right, plain(Operator::IsNotDistinctFrom)),
        (Operator::NotEq, _) => unless_both_null(&left, &right, plain(Operator::IsDistinctFrom)),
        _ => plain(op),
    };
    Ok(Typed::new(expr, KqlType::Bool))
}

fn unless_both_null(left: &Typed, right: &Typed, otherwise: Expr) -> Expr {
    let both = left.expr.clone().is_null().and(right.expr.clone().is_null());
    Expr::Case(Case::new(
        None,
        vec![(Box::new(both), Box::new(Typed::null(KqlType::Bool).expr))],
        Some(Box::new(otherwise)),
    ))
}

/// Arithmetic, by KQL's table of types.
pub(crate) fn arithmetic(span: Span, op: Operator, left: Typed, right: Typed) -> Binding<Typed> {
    use KqlType::{Datetime, Decimal, Dynamic, Int, Long, Real, Timespan};
    let (mut left, mut right) = (left, right);
    // A dynamic takes the other side's type, a time's only where it is added or taken away.
    let sum = matches!(op, Operator::Plus | Operator::Minus);
    match (left.kind, right.kind) {
        (Dynamic, Dynamic) => return Ok(dynamic_arithmetic(op, left, right)),
        (Dynamic, Int) => left = cast(left, Long),
        (Int, Dynamic) => right = cast(right, Long),
        (Dynamic, Datetime | Timespan) if !sum => {}
        (Datetime | Timespan, Dynamic) if !sum => {}
        (Dynamic, Datetime) if op == Operator::Plus => left = cast(left, Timespan),
        (Datetime, Dynamic) if op == Operator::Plus => right = cast(right, Timespan),
        (Dynamic, other) => left = cast(left, other),
        (other, Dynamic) => right = cast(right, other),
        _ => {}
    }
    let plain =
        |left: Typed, right: Typed, kind| Ok(Typed::new(binary_expr(left.expr, op, right.expr), kind));
    match (left.kind, op, right.kind) {
        (left_kind, _, right_kind) if left_kind.is_numeric() && right_kind.is_numeric() => {
            let kind = match common(left_kind, right_kind) {
                Some(kind) if kind != Int => kind,
                _ => Long,
            };
            let (left, right) = (cast(left, kind), cast(right, kind));
            match (op, kind) {
                (Operator::Divide, Int | Long) => {
                    Ok(Kernel::call("divide", vec![left, right], kind, |row| {
                        match (row.long(0), row.long(1)) {
                            (Some(left), Some(right)) => left.checked_div(right).into(),
                            _ => Value::Null,
                        }
                    }))
                }
                (Operator::Modulo, Int | Long) => {
                    Ok(Kernel::call("modulo", vec![left, right], kind, |row| {
                        match (row.long(0), row.long(1)) {
                            (Some(left), Some(right)) => left.checked_rem_euclid(right).into(),
                            _ => Value::Null,
                        }
                    }))
                }
                (Operator::Modulo, Real) => {
                    Ok(Kernel::call("modulo", vec![left, right], kind, |row| {
                        match (row.real(0), row.real(1)) {
                            (Some(left), Some(right)) => Value::Real(left % right),
                            _ => Value::Null,
                        }
                    }))
                }
                (_, Decimal) => decimal_arithmetic(op, left, right),
                _ => plain(left, right, kind),
            }
        }
        (Datetime, Operator::Minus, Datetime) => plain(left, right, Timespan),
        (Datetime, Operator::Plus | Operator::Minus, Timespan) | (Timespan, Operator::Plus, Datetime) => {
            plain(left, right, Datetime)
        }
        (Timespan, Operator::Plus | Operator::Minus, Timespan) => plain(left, right, Timespan),
        (Timespan | Datetime, Operator::Divide, Timespan) => plain(to_float(left), to_float(right), Real),
        (Timespan | Datetime, Operator::Modulo, Timespan) => {
            let kind = Timespan;
            Ok(Kernel::call("modulo", vec![left, right], kind, |row| match (row.long(0), row.long(1)) {
                (Some(left), Some(right)) => left.checked_rem_euclid(right).into(),
                _ => Value::Null,
            }))
        }
        (Timespan, Operator::Multiply, kind) if kind.is_numeric() => scale_timespan(left, right, false),
        (kind, Operator::Multiply, Timespan) if kind.is_numeric() => scale_timespan(right, left, false),
        (Timespan, Operator::Divide, kind) if kind.is_numeric() => scale_timespan(left, right, true),
        (left_kind, _, right_kind) => {
            fault(span, format!("`{op}` is not defined for a {left_kind} and a {right_kind}"))
        }
    }
}

/// Two dynamics meet as the numbers they hold.
fn dynamic_arithmetic(op: Operator, left: Typed, right: Typed) -> Typed {
    let (name, eval): (&'static str, crate::functions::Eval) = match op {
        Operator::Plus => ("add_dynamic", |row| dynamics(row, i64::checked_add, |left, right| left + right)),
        Operator::Minus => {
            ("subtract_dynamic", |row| dynamics(row, i64::checked_sub, |left, right| left - right))
        }
        Operator::Multiply => {
            ("multiply_dynamic", |row| dynamics(row, i64::checked_mul, |left, right| left * right))
        }
        Operator::Divide => {
            ("divide_dynamic", |row| dynamics(row, i64::checked_div, |left, right| left / right))
        }
        _ => ("modulo_dynamic", |row| dynamics(row, i64::checked_rem_euclid, |left, right| left % right)),
    };
    Kernel::call(name, vec![left, right], KqlType::Dynamic, eval)
}

fn dynamics(
    row: &crate::functions::Row<'_>,
    whole: fn(i64, i64) -> Option<i64>,
    real: fn(f64, f64) -> f64,
) -> Value<'static> {
    let (left, right) = (row.json(0), row.json(1));
    match (left.as_i64(), right.as_i64(), left.as_f64(), right.as_f64()) {
        (Some(left), Some(right), ..) => {
            whole(left, right).map_or(Value::Null, |value| Value::json(&value.into()))
        }
        (_, _, Some(left), Some(right)) => Value::json(&crate::value::real_json(real(left, right))),
        _ => Value::Null,
    }
}

fn to_float(typed: Typed) -> Typed {
    Typed::new(Expr::Cast(Cast::new(Box::new(typed.expr), DataType::Float64)), KqlType::Real)
}

fn scale_timespan(span: Typed, factor: Typed, divide: bool) -> Binding<Typed> {
    if divide {
        return Ok(Kernel::call("divide_timespan", vec![span, factor], KqlType::Timespan, |row| {
            match (row.long(0), row.real(1)) {
                (Some(ticks), Some(by)) => crate::time::ticks_from_f64(ticks as f64 / by).into(),
                _ => Value::Null,
            }
        }));
    }
    Ok(Kernel::call("multiply_timespan", vec![span, factor], KqlType::Timespan, |row| {
        match (row.long(0), row.get(1)) {
            (Some(ticks), Value::Long(by)) => ticks.checked_mul(by).into(),
            (Some(ticks), Value::Int(by)) => ticks.checked_mul(i64::from(by)).into(),
            (Some(ticks), by) => {
                by.as_real().and_then(|by| crate::time::ticks_from_f64(ticks as f64 * by)).into()
            }
            _ => Value::Null,
        }
    }))
}

fn decimal_arithmetic(op: Operator, left: Typed, right: Typed) -> Binding<Typed> {
    let (name, eval): (&'static str, crate::functions::Eval) = match op {
        Operator::Plus => ("add_decimal", |row| decimals(row, i128::checked_add)),
        Operator::Minus => ("subtract_decimal", |row| decimals(row, i128::checked_sub)),
        Operator::Multiply => ("multiply_decimal", |row| {
            decimals(row, |left, right| {
                let (left, right) =
                    (crate::value::decimal_to_real(left), crate::value::decimal_to_real(right));
                crate::value::parse_decimal(&format!("{}", left * right))
            })
        }),
        Operator::Divide => ("divide_decimal", |row| {
            decimals(row, |left, right| {
                let (left, right) =
                    (crate::value::decimal_to_real(left), crate::value::decimal_to_real(right));
                crate::value::parse_decimal(&format!("{}", left / right))
            })
        }),
        _ => ("modulo_decimal", |row| decimals(row, i128::checked_rem)),
    };
    Ok(Kernel::call(name, vec![left, right], KqlType::Decimal, eval))
}

fn decimals(row: &crate::functions::Row<'_>, op: fn(i128, i128) -> Option<i128>) -> Value<'static> {
    match (row.get(0), row.get(1)) {
        (Value::Decimal(left), Value::Decimal(right)) => op(left, right).map_or(Value::Null, Value::Decimal),
        _ => Value::Null,
    }
}
