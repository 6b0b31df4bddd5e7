//! The aggregates by name.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use datafusion::functions_aggregate::expr_fn as standard;
use datafusion::logical_expr::{Expr, ExprFunctionExt};

use super::collect::{AnyOf, Bag, List, Set};
use super::digest::Digest;
use super::distinct::Distinct;
use super::grouped;
use super::shape::{Bits, Covariance, Schema};
use super::sketch::{Hll, Merged};
use super::statistics::{MeanTicks, Percentile, Percentiles, Spread};
use crate::functions::{Signature, Typed};
use crate::types::KqlType;
use crate::value::Value;

/// How a column that a query does not name is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    /// `sum_Bytes`.
    Prefix(&'static str),
    /// The first argument's name.
    Argument,
    /// Several columns, named by the binder.
    Several,
}

/// An aggregate that is ready for the plan.
pub(crate) struct Aggregated {
    pub(crate) expr: Expr,
    pub(crate) kind: KqlType,
    /// What it gives for no rows, where that is not null.
    pub(crate) empty: Option<Value<'static>>,
}

/// The arguments of an aggregate.
pub(crate) struct Arguments {
    pub(crate) args: Vec<Typed>,
    /// The predicate of the `…if` forms.
    pub(crate) filter: Option<Expr>,
    /// The row's place in the order that the query has asked for.
    pub(crate) rank: Option<Typed>,
}

/// What `count()` is given.
pub(crate) fn no_arguments() -> Arguments {
    Arguments { args: Vec::new(), filter: None, rank: None }
}

pub(crate) type Build = fn(Arguments) -> Result<Aggregated, String>;

/// An aggregate.
pub(crate) struct Aggregate {
    pub(crate) name: &'static str,
    pub(crate) signature: Signature,
    pub(crate) written: &'static str,
    pub(crate) about: &'static str,
    /// A query over the numbers 1 to 5 as `x`, after `summarize`, and the text of its value.
    pub(crate) example: (&'static str, &'static str),
    pub(crate) naming: Naming,
    /// Which argument is the predicate of the `…if` form.
    pub(crate) predicate: Option<usize>,
    pub(crate) build: Build,
}

fn aggregate(
    name: &'static str,
    written: &'static str,
    about: &'static str,
    example: (&'static str, &'static str),
    naming: Naming,
    build: Build,
) -> Aggregate {
    let signature = Signature::parse(written);
    let predicate = signature.params.iter().position(|(name, _)| name == "predicate");
    Aggregate { name, signature, written, about, example, naming, predicate, build }
}

static REGISTRY: LazyLock<Vec<Aggregate>> = LazyLock::new(aggregates);

static BY_NAME: LazyLock<BTreeMap<&'static str, &'static Aggregate>> =
    LazyLock::new(|| REGISTRY.iter().map(|aggregate| (aggregate.name, aggregate)).collect());

pub(crate) fn lookup(name: &str) -> Option<&'static Aggregate> {
    BY_NAME.get(name).copied()
}

pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    BY_NAME.keys().copied()
}

pub(crate) fn registry() -> &'static [Aggregate] {
    &REGISTRY
}

fn filtered(expr: Expr, filter: Option<Expr>) -> Result<Expr, String> {
    match filter {
        None => Ok(expr),
        Some(filter) => expr.filter(filter).build().map_err(|error| error.to_string()),
    }
}

fn first(args: &mut Arguments) -> Result<Typed, String> {
    if args.args.is_empty() { Err("an argument is missing".to_owned()) } else { Ok(args.args.remove(0)) }
}

fn plain(expr: Expr, kind: KqlType) -> Aggregated {
    Aggregated { expr, kind, empty: None }
}

fn count(args: Arguments) -> Result<Aggregated, String> {
    let one = Typed::literal(Value::Long(1), KqlType::Long).expr;
    let expr = filtered(standard::count(one), args.filter)?;
    Ok(Aggregated { expr, kind: KqlType::Long, empty: Some(Value::Long(0)) })
}

fn sum(mut args: Arguments) -> Result<Aggregated, String> {
    let value = first(&mut args)?;
    let value = match value.kind {
        KqlType::Int => crate::binder::cast(value, KqlType::Long),
        _ => value,
    };
    let (kind, empty) = match value.kind {
        KqlType::Real => (KqlType::Real, Value::Real(0.0)),
        KqlType::Decimal => (KqlType::Decimal, Value::Decimal(0)),
        kind @ (KqlType::Long | KqlType::Timespan | KqlType::Datetime) => (kind, Value::Long(0)),
        kind => return Err(format!("a {kind} cannot be summed")),
    };
    Ok(Aggregated { expr: filtered(standard::sum(value.expr), args.filter)?, kind, empty: Some(empty) })
}

fn average(mut args: Arguments) -> Result<Aggregated, String> {
    let value = first(&mut args)?;
    match value.kind {
        kind @ (KqlType::Datetime | KqlType::Timespan) => {
            Ok(plain(grouped::call::<MeanTicks>("avg_ticks", vec![value], kind, args.filter), kind))
        }
        kind if kind.is_numeric() => {
            let real = crate::binder::cast(value, KqlType::Real);
            let mean = Typed::new(filtered(standard::avg(real.expr), args.filter)?, KqlType::Real);
            // The mean of nothing is a division by zero.
            Ok(Aggregated { expr: mean.expr, kind: KqlType::Real, empty: Some(Value::Real(f64::NAN)) })
        }
        kind => Err(format!("a {kind} has no average")),
    }
}

fn extreme(mut args: Arguments, greatest: bool) -> Result<Aggregated, String> {
    let value = first(&mut args)?;
    let kind = value.kind;
    if matches!(kind, KqlType::Dynamic | KqlType::Guid) {
        return Err(format!("a {kind} has no order; `tostring()` makes a string of it"));
    }
    let expr = if greatest { standard::max(value.expr) } else { standard::min(value.expr) };
    let empty = (kind == KqlType::String).then(|| Value::text(""));
    Ok(Aggregated { expr: filtered(expr, args.filter)?, kind, empty })
}

fn spread<S: grouped::State>(name: &'static str, mut args: Arguments) -> Result<Aggregated, String> {
    let value = first(&mut args)?;
    Ok(plain(grouped::call::<S>(name, vec![value], KqlType::Real, args.filter), KqlType::Real))
}

fn list<const WITH_NULLS: bool>(args: Arguments) -> Result<Aggregated, String> {
    let Arguments { mut args, filter, rank } = args;
    let mut inputs = vec![args.remove(0)];
    inputs.push(args.pop().unwrap_or_else(|| Typed::null(KqlType::Long)));
    inputs.extend(rank);
    let name = if WITH_NULLS { "make_list_with_nulls" } else { "make_list" };
    Ok(plain(grouped::call::<List<WITH_NULLS>>(name, inputs, KqlType::Dynamic, filter), KqlType::Dynamic))
}

fn collection<S: grouped::State>(name: &'static str, args: Arguments) -> Result<Aggregated, String> {
    let Arguments { mut args, filter, .. } = args;
    let limit = if args.len() > 1 { args.pop() } else { None };
    args.push(limit.unwrap_or_else(|| Typed::null(KqlType::Long)));
    Ok(plain(grouped::call::<S>(name, args, KqlType::Dynamic, filter), KqlType::Dynamic))
}

fn distinct<const EXACT: bool>(name: &'static str, mut args: Arguments) -> Result<Aggregated, String> {
    let value = first(&mut args)?;
    let expr = grouped::call::<Distinct<EXACT>>(name, vec![value], KqlType::Long, args.filter);
    Ok(Aggregated { expr, kind: KqlType::Long, empty: Some(Value::Long(0)) })
}

fn hll(mut args: Arguments) -> Result<Aggregated, String> {
    let value = first(&mut args)?;
    Ok(plain(grouped::call::<Hll>("hll", vec![value], KqlType::Dynamic, args.filter), KqlType::Dynamic))
}

fn any(mut args: Arguments) -> Result<Aggregated, String> {
    let value = first(&mut args)?;
    let kind = value.kind;
    Ok(plain(grouped::call::<AnyOf>("take_any", vec![value], kind, args.filter), kind))
}

pub(crate) fn percentile(args: Arguments) -> Result<Aggregated, String> {
    let kind = args.args.first().map_or(KqlType::Real, |value| value.kind);
    let kind = match kind {
        KqlType::Int => KqlType::Long,
        KqlType::Decimal | KqlType::Dynamic => KqlType::Real,
        KqlType::String | KqlType::Guid | KqlType::Bool => {
            return Err(format!("a {kind} has no percentiles"));
        }
        kind => kind,
    };
    Ok(plain(grouped::call::<Percentile>("percentile", args.args, kind, args.filter), kind))
}

pub(crate) fn percentiles(args: Arguments) -> Result<Aggregated, String> {
    let expr = grouped::call::<Percentiles>("percentiles_array", args.args, KqlType::Dynamic, args.filter);
    Ok(plain(expr, KqlType::Dynamic))
}

fn shape<S: grouped::State>(
    name: &'static str,
    args: Arguments,
    kind: KqlType,
) -> Result<Aggregated, String> {
    Ok(plain(grouped::call::<S>(name, args.args, kind, args.filter), kind))
}

fn several(_: Arguments) -> Result<Aggregated, String> {
    Err("this aggregate cannot stand within an expression".to_owned())
}

fn aggregates() -> Vec<Aggregate> {
    use Naming::{Argument, Prefix, Several};
    vec![
        aggregate(
            "count",
            "() -> long",
            "How many rows there are.",
            ("count()", "5"),
            Prefix("count"),
            count,
        ),
        aggregate(
            "countif",
            "(predicate: bool) -> long",
            "How many rows pass the predicate.",
            ("countif(x > 3)", "2"),
            Prefix("countif"),
            count,
        ),
        aggregate(
            "dcount",
            "(value: any, [accuracy: long]) -> long",
            "How many distinct values there are: exactly up to 8,192 in a group, by HyperLogLog (0.8 % error) beyond.",
            ("dcount(x % 3)", "3"),
            Prefix("dcount"),
            |args| distinct::<false>("dcount", args),
        ),
        aggregate(
            "dcountif",
            "(value: any, predicate: bool, [accuracy: long]) -> long",
            "`dcount` of the rows that pass the predicate.",
            ("dcountif(x, x > 3)", "2"),
            Prefix("dcountif"),
            |args| distinct::<false>("dcount", args),
        ),
        aggregate(
            "count_distinct",
            "(value: any) -> long",
            "How many distinct values there are, exactly.",
            ("count_distinct(x)", "5"),
            Prefix("count_distinct"),
            |args| distinct::<true>("count_distinct", args),
        ),
        aggregate(
            "count_distinctif",
            "(value: any, predicate: bool) -> long",
            "`count_distinct` of the rows that pass the predicate.",
            ("count_distinctif(x, x > 3)", "2"),
            Prefix("count_distinctif"),
            |args| distinct::<true>("count_distinct", args),
        ),
        aggregate(
            "hll",
            "(value: any, [accuracy: long]) -> dynamic",
            "What `dcount` remembers of the values, to be kept, merged and counted later.",
            ("dcount_hll(hll(x % 3))", "3"),
            Prefix("hll"),
            hll,
        ),
        aggregate(
            "hll_if",
            "(value: any, predicate: bool, [accuracy: long]) -> dynamic",
            "`hll` of the rows that pass the predicate.",
            ("dcount_hll(hll_if(x, x > 3))", "2"),
            Prefix("hll_if"),
            hll,
        ),
        aggregate(
            "hll_merge",
            "(hll: dynamic) -> dynamic",
            "All that `hll` has given as one.",
            ("h = hll(x) by x % 2 | summarize dcount_hll(hll_merge(h))", "5"),
            Prefix("hll_merge"),
            |args| shape::<Merged<Hll>>("hll_merge", args, KqlType::Dynamic),
        ),
        aggregate(
            "tdigest",
            "(value: measure, [weight: long]) -> dynamic",
            "The values for percentiles later: exactly up to 2,048 distinct ones, by a t-digest beyond.",
            ("tdigest(x)", "[\"long\",[1.0,2.0,3.0,4.0,5.0],[1,1,1,1,1]]"),
            Prefix("tdigest"),
            |args| shape::<Digest>("tdigest", args, KqlType::Dynamic),
        ),
        aggregate(
            "tdigest_merge",
            "(digest: dynamic) -> dynamic",
            "All that `tdigest` has given as one.",
            ("t = tdigest(x) by x % 2 | summarize percentile_tdigest(tdigest_merge(t), 100)", "5"),
            Prefix("merge_tdigests"),
            |args| shape::<Merged<Digest>>("tdigest_merge", args, KqlType::Dynamic),
        ),
        aggregate(
            "merge_tdigest",
            "(digest: dynamic) -> dynamic",
            "Another name of `tdigest_merge`.",
            ("t = tdigest(x) by x % 2 | summarize rank_tdigest(merge_tdigest(t), 3)", "3"),
            Prefix("merge_tdigests"),
            |args| shape::<Merged<Digest>>("tdigest_merge", args, KqlType::Dynamic),
        ),
        aggregate("sum", "(value: any) -> any", "The sum.", ("sum(x)", "15"), Prefix("sum"), sum),
        aggregate(
            "sumif",
            "(value: any, predicate: bool) -> any",
            "The sum over the rows that pass the predicate.",
            ("sumif(x, x > 3)", "9"),
            Prefix("sumif"),
            sum,
        ),
        aggregate("avg", "(value: any) -> any", "The mean.", ("avg(x)", "3"), Prefix("avg"), average),
        aggregate(
            "avgif",
            "(value: any, predicate: bool) -> any",
            "The mean over the rows that pass the predicate.",
            ("avgif(x, x > 3)", "4.5"),
            Prefix("avgif"),
            average,
        ),
        aggregate("min", "(value: any) -> any", "The least value.", ("min(x)", "1"), Prefix("min"), |args| {
            extreme(args, false)
        }),
        aggregate(
            "minif",
            "(value: any, predicate: bool) -> any",
            "The least value of the rows that pass the predicate.",
            ("minif(x, x > 3)", "4"),
            Prefix("minif"),
            |args| extreme(args, false),
        ),
        aggregate(
            "max",
            "(value: any) -> any",
            "The greatest value.",
            ("max(x)", "5"),
            Prefix("max"),
            |args| extreme(args, true),
        ),
        aggregate(
            "maxif",
            "(value: any, predicate: bool) -> any",
            "The greatest value of the rows that pass the predicate.",
            ("maxif(x, x < 3)", "2"),
            Prefix("maxif"),
            |args| extreme(args, true),
        ),
        aggregate(
            "stdev",
            "(value: measure) -> real",
            "The standard deviation of a sample.",
            ("round(stdev(x), 3)", "1.581"),
            Prefix("stdev"),
            |args| spread::<Spread<false, true>>("stdev", args),
        ),
        aggregate(
            "stdevif",
            "(value: measure, predicate: bool) -> real",
            "`stdev` of the rows that pass the predicate.",
            ("stdevif(x, x in (1, 3))", "1.4142135623730951"),
            Prefix("stdevif"),
            |args| spread::<Spread<false, true>>("stdev", args),
        ),
        aggregate(
            "stdevp",
            "(value: measure) -> real",
            "The standard deviation of a whole population.",
            ("round(stdevp(x), 3)", "1.414"),
            Prefix("stdevp"),
            |args| spread::<Spread<true, true>>("stdevp", args),
        ),
        aggregate(
            "stdevpif",
            "(value: measure, predicate: bool) -> real",
            "`stdevp` of the rows that pass the predicate.",
            ("stdevpif(x, x in (1, 3))", "1"),
            Prefix("stdevpif"),
            |args| spread::<Spread<true, true>>("stdevp", args),
        ),
        aggregate(
            "variance",
            "(value: measure) -> real",
            "The variance of a sample.",
            ("variance(x)", "2.5"),
            Prefix("variance"),
            |args| spread::<Spread<false, false>>("variance", args),
        ),
        aggregate(
            "varianceif",
            "(value: measure, predicate: bool) -> real",
            "`variance` of the rows that pass the predicate.",
            ("varianceif(x, x > 3)", "0.5"),
            Prefix("varianceif"),
            |args| spread::<Spread<false, false>>("variance", args),
        ),
        aggregate(
            "variancep",
            "(value: measure) -> real",
            "The variance of a whole population.",
            ("variancep(x)", "2"),
            Prefix("variancep"),
            |args| spread::<Spread<true, false>>("variancep", args),
        ),
        aggregate(
            "variancepif",
            "(value: measure, predicate: bool) -> real",
            "`variancep` of the rows that pass the predicate.",
            ("variancepif(x, x > 3)", "0.25"),
            Prefix("variancepif"),
            |args| spread::<Spread<true, false>>("variancep", args),
        ),
        aggregate(
            "make_list",
            "(value: any, [limit: long]) -> dynamic",
            "The values as an array, in the order of the rows; nulls are left out.",
            ("make_list(x, 3)", "[1,2,3]"),
            Prefix("list"),
            list::<false>,
        ),
        aggregate(
            "makelist",
            "(value: any, [limit: long]) -> dynamic",
            "An older name of `make_list`.",
            ("makelist(x, 3)", "[1,2,3]"),
            Prefix("list"),
            list::<false>,
        ),
        aggregate(
            "make_list_if",
            "(value: any, predicate: bool, [limit: long]) -> dynamic",
            "`make_list` of the rows that pass the predicate.",
            ("make_list_if(x, x > 3)", "[4,5]"),
            Prefix("list"),
            list::<false>,
        ),
        aggregate(
            "make_list_with_nulls",
            "(value: any) -> dynamic",
            "The values as an array, nulls included.",
            ("make_list_with_nulls(iff(x > 4, long(null), x))", "[1,2,3,4,null]"),
            Prefix("list"),
            list::<true>,
        ),
        aggregate(
            "make_set",
            "(value: any, [limit: long]) -> dynamic",
            "The distinct values as an array.",
            ("array_sort_asc(make_set(x % 2))", "[0,1]"),
            Prefix("set"),
            |args| collection::<Set>("make_set", args),
        ),
        aggregate(
            "makeset",
            "(value: any, [limit: long]) -> dynamic",
            "An older name of `make_set`.",
            ("array_length(makeset(x))", "5"),
            Prefix("set"),
            |args| collection::<Set>("make_set", args),
        ),
        aggregate(
            "make_set_if",
            "(value: any, predicate: bool, [limit: long]) -> dynamic",
            "`make_set` of the rows that pass the predicate.",
            ("make_set_if(x, x == 3)", "[3]"),
            Prefix("set"),
            |args| collection::<Set>("make_set", args),
        ),
        aggregate(
            "make_bag",
            "(bag: dynamic, [limit: long]) -> dynamic",
            "The bags of all rows as one; of a key met twice, one value stays.",
            ("make_bag(bag_pack('last', 5))", "{\"last\":5}"),
            Prefix("bag"),
            |args| collection::<Bag>("make_bag", args),
        ),
        aggregate(
            "make_dictionary",
            "(bag: dynamic, [limit: long]) -> dynamic",
            "An older name of `make_bag`.",
            ("make_dictionary(bag_pack('last', 5))", "{\"last\":5}"),
            Prefix("dictionary"),
            |args| collection::<Bag>("make_bag", args),
        ),
        aggregate(
            "make_bag_if",
            "(bag: dynamic, predicate: bool, [limit: long]) -> dynamic",
            "`make_bag` of the rows that pass the predicate.",
            ("make_bag_if(bag_pack(tostring(x), x), x == 2)", "{\"2\":2}"),
            Prefix("bag"),
            |args| collection::<Bag>("make_bag", args),
        ),
        aggregate(
            "take_any",
            "(value: any, ...) -> any",
            "Any one value that is not null, or with several arguments or `*`, a whole row.",
            ("take_any(x * 0)", "0"),
            Argument,
            any,
        ),
        aggregate(
            "any",
            "(value: any, ...) -> any",
            "An older name of `take_any`.",
            ("any(x * 0)", "0"),
            Prefix("any"),
            any,
        ),
        aggregate(
            "take_anyif",
            "(value: any, predicate: bool) -> any",
            "`take_any` of the rows that pass the predicate.",
            ("take_anyif(x, x == 4)", "4"),
            Argument,
            any,
        ),
        aggregate(
            "anyif",
            "(value: any, predicate: bool) -> any",
            "An older name of `take_anyif`.",
            ("anyif(x, x == 4)", "4"),
            Prefix("anyif"),
            any,
        ),
        aggregate(
            "arg_max",
            "(key: any, columns: any, ...) -> any",
            "The columns of the row with the greatest key; `*` stands for all.",
            ("arg_max(x, x)", "5"),
            Several,
            several,
        ),
        aggregate(
            "arg_min",
            "(key: any, columns: any, ...) -> any",
            "The columns of the row with the least key; `*` stands for all.",
            ("arg_min(x, x)", "1"),
            Several,
            several,
        ),
        aggregate(
            "percentile",
            "(value: any, percent: real) -> any",
            "The value at the nearest rank, exactly.",
            ("percentile(x, 50)", "3"),
            Several,
            percentile,
        ),
        aggregate(
            "percentiles",
            "(value: any, percent: real, ...) -> any",
            "A column for each percentile.",
            ("percentiles(x, 50)", "3"),
            Several,
            percentile,
        ),
        aggregate(
            "percentiles_array",
            "(value: any, percents: any, ...) -> dynamic",
            "The percentiles as an array.",
            ("percentiles_array(x, 20, 80)", "[1,4]"),
            Several,
            percentiles,
        ),
        aggregate(
            "percentilew",
            "(value: any, weight: long, percent: real) -> any",
            "The percentile of values that count as often as their weight says.",
            ("percentilew(x, x, 50)", "4"),
            Several,
            percentile,
        ),
        aggregate(
            "percentilesw",
            "(value: any, weight: long, percent: real, ...) -> any",
            "A column for each weighted percentile.",
            ("percentilesw(x, x, 50)", "4"),
            Several,
            percentile,
        ),
        aggregate(
            "percentilesw_array",
            "(value: any, weight: long, percents: any, ...) -> dynamic",
            "The weighted percentiles as an array.",
            ("percentilesw_array(x, x, 50, 100)", "[4,5]"),
            Several,
            percentiles,
        ),
        aggregate(
            "buildschema",
            "(value: dynamic) -> dynamic",
            "The types of what dynamics hold.",
            ("buildschema(bag_pack('a', x))", "{\"a\":\"long\"}"),
            Prefix("schema"),
            |args| shape::<Schema>("buildschema", args, KqlType::Dynamic),
        ),
        aggregate(
            "binary_all_and",
            "(value: long) -> long",
            "The bits that are set in all values.",
            ("binary_all_and(x)", "0"),
            Argument,
            |args| shape::<Bits<'&'>>("binary_all_and", args, KqlType::Long),
        ),
        aggregate(
            "binary_all_or",
            "(value: long) -> long",
            "The bits that are set in any value.",
            ("binary_all_or(x)", "7"),
            Argument,
            |args| shape::<Bits<'|'>>("binary_all_or", args, KqlType::Long),
        ),
        aggregate(
            "binary_all_xor",
            "(value: long) -> long",
            "The bits that are set in an odd number of values.",
            ("binary_all_xor(x)", "1"),
            Argument,
            |args| shape::<Bits<'^'>>("binary_all_xor", args, KqlType::Long),
        ),
        aggregate(
            "covariance",
            "(left: real, right: real) -> real",
            "How two values of a sample go together.",
            ("covariance(x, 2 * x)", "5"),
            Prefix("covariance"),
            |args| shape::<Covariance<false>>("covariance", args, KqlType::Real),
        ),
        aggregate(
            "covarianceif",
            "(left: real, right: real, predicate: bool) -> real",
            "`covariance` of the rows that pass the predicate.",
            ("covarianceif(x, 2 * x, x < 3)", "1"),
            Prefix("covarianceif"),
            |args| shape::<Covariance<false>>("covariance", args, KqlType::Real),
        ),
        aggregate(
            "covariancep",
            "(left: real, right: real) -> real",
            "How two values of a whole population go together.",
            ("covariancep(x, 2 * x)", "4"),
            Prefix("covariancep"),
            |args| shape::<Covariance<true>>("covariancep", args, KqlType::Real),
        ),
        aggregate(
            "covariancepif",
            "(left: real, right: real, predicate: bool) -> real",
            "`covariancep` of the rows that pass the predicate.",
            ("covariancepif(x, 2 * x, x < 3)", "0.5"),
            Prefix("covariancepif"),
            |args| shape::<Covariance<true>>("covariancep", args, KqlType::Real),
        ),
    ]
}
