//! Scalar functions: one registry, from which binding, documentation and completion are served.

mod arrays;
mod compress;
mod conditional;
mod conversion;
pub(crate) mod convert;
mod datetime;
mod dynamic;
mod encoding;
mod expand;
mod geo;
mod hash;
mod ip;
pub(crate) mod kernel;
mod math;
mod pairs;
mod path;
mod probability;
mod ranges;
mod regex;
mod series;
mod sketch;
mod special;
mod string;
pub(crate) mod text_match;
mod units;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use datafusion::logical_expr::Expr;

pub(crate) use expand::{element_indexes, elements, row_id};
pub(crate) use geo::{GeoIp, geo_info};
pub(crate) use kernel::{Kernel, Row};
pub(crate) use pairs::{PairFormat, key_values};
pub(crate) use path::{dynamic_path, dynamic_text, step_value};
pub(crate) use ranges::{Family, Ranges, ranges_holding};
pub(crate) use regex::{PARSED, check_regex, regex_groups};
pub(crate) use series::number as json_number;
pub(crate) use sketch::dcount_intersect;
pub(crate) use special::{data_size, in_dynamic, new_guid, random, tuple_element};

use crate::types::KqlType;
use crate::value::Value;

/// An expression and its KQL type, which Arrow's type alone does not tell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Typed {
    pub(crate) expr: Expr,
    pub(crate) kind: KqlType,
}

impl Typed {
    pub(crate) fn new(expr: Expr, kind: KqlType) -> Self {
        Typed { expr, kind }
    }

    pub(crate) fn literal(value: Value<'_>, kind: KqlType) -> Self {
        Typed { expr: Expr::Literal(value.into_scalar(kind), None), kind }
    }

    pub(crate) fn null(kind: KqlType) -> Self {
        Typed::literal(Value::Null, kind)
    }

    /// The value, where it is a constant.
    pub(crate) fn constant(&self) -> Option<Value<'static>> {
        let Expr::Literal(scalar, _) = &self.expr else { return None };
        let array = scalar.to_array().ok()?;
        let cells = crate::value::Cells::new(array.as_ref()).ok()?;
        Some(cells.get(0).into_owned())
    }

    /// The text, where it is a constant one.
    pub(crate) fn constant_text(&self) -> Option<String> {
        match self.constant()? {
            Value::Text(text) if self.kind == KqlType::Dynamic => match crate::json::parse(&text) {
                serde_json::Value::String(text) => Some(text),
                _ => None,
            },
            Value::Text(text) => Some(text.into_owned()),
            _ => None,
        }
    }
}

/// A function's work on one row.
pub(crate) type Eval = for<'a> fn(&Row<'a>) -> Value<'a>;

/// How a call becomes an expression.
#[derive(Clone, Copy)]
pub(crate) enum Binding {
    /// Row by row.
    Eval(Eval),
    /// By putting other expressions together; the arguments are already of the parameters' types.
    Build(fn(Vec<Typed>) -> Result<Typed, String>),
    /// By the binder, which knows what the function needs beside its arguments.
    Special,
}

/// A scalar function.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    /// `(a: string, [b: long], ...) -> type`.
    pub(crate) signature: Signature,
    pub(crate) written: &'static str,
    pub(crate) about: &'static str,
    /// An expression, and the text of its value.
    pub(crate) example: (&'static str, &'static str),
    pub(crate) binding: Binding,
    pub(crate) aliases: &'static [&'static str],
}

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParamKind {
    /// This type, or what converts to it without loss.
    Of(KqlType),
    /// Any type, as it comes.
    Any,
    /// A number, as it comes.
    Number,
    /// A number, a timespan or a datetime, as it comes.
    Measure,
    /// Any type, as its text.
    Text,
    /// A string or a dynamic, as it comes.
    Json,
}

/// A function's parameters and result, read from the text that the documentation shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) params: Vec<(String, ParamKind)>,
    pub(crate) required: usize,
    /// Further arguments like the last parameter.
    pub(crate) variadic: bool,
    /// `None`: that of the first argument.
    pub(crate) returns: Option<KqlType>,
}

impl Signature {
    pub(crate) fn parse(text: &str) -> Signature {
        let (params, returns) = text.rsplit_once("->").unwrap_or((text, "dynamic"));
        let params = params.trim().trim_start_matches('(').trim_end_matches(')');
        let mut signature = Signature {
            params: Vec::new(),
            required: 0,
            variadic: false,
            returns: KqlType::from_name(returns.trim()),
        };
        for param in params.split(',').map(str::trim).filter(|param| !param.is_empty()) {
            if param == "..." {
                signature.variadic = true;
                continue;
            }
            let optional = param.starts_with('[');
            let param = param.trim_matches(['[', ']']);
            let (name, kind) = param.split_once(':').unwrap_or((param, "any"));
            let kind = match kind.trim() {
                "any" => ParamKind::Any,
                "number" => ParamKind::Number,
                "measure" => ParamKind::Measure,
                "text" => ParamKind::Text,
                "json" => ParamKind::Json,
                kind => KqlType::from_name(kind).map_or(ParamKind::Any, ParamKind::Of),
            };
            signature.params.push((name.trim().to_owned(), kind));
            if !optional {
                signature.required += 1;
            }
        }
        signature
    }

    /// What the argument at a place has to be.
    pub(crate) fn param(&self, index: usize) -> Option<ParamKind> {
        match self.params.get(index) {
            Some((_, kind)) => Some(*kind),
            None if self.variadic => self.params.last().map(|(_, kind)| *kind),
            None => None,
        }
    }
}

/// A function that works row by row.
fn eval(
    name: &'static str,
    signature: &'static str,
    about: &'static str,
    example: (&'static str, &'static str),
    eval: Eval,
) -> Function {
    function(name, signature, about, example, Binding::Eval(eval))
}

/// A function made of other expressions.
fn build(
    name: &'static str,
    signature: &'static str,
    about: &'static str,
    example: (&'static str, &'static str),
    build: fn(Vec<Typed>) -> Result<Typed, String>,
) -> Function {
    function(name, signature, about, example, Binding::Build(build))
}

/// A function that the binder binds.
fn special(
    name: &'static str,
    signature: &'static str,
    about: &'static str,
    example: (&'static str, &'static str),
) -> Function {
    function(name, signature, about, example, Binding::Special)
}

fn function(
    name: &'static str,
    written: &'static str,
    about: &'static str,
    example: (&'static str, &'static str),
    binding: Binding,
) -> Function {
    Function { name, signature: Signature::parse(written), written, about, example, binding, aliases: &[] }
}

impl Function {
    fn also(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }
}

/// A subject of the registry: its title in the documentation, and its functions.
type Subject = (&'static str, fn() -> Vec<Function>);

const SUBJECTS: &[Subject] = &[
    ("Strings", string::functions),
    ("Regular expressions", regex::functions),
    ("Conversion", conversion::functions),
    ("Conditions", conditional::functions),
    ("Date and time", datetime::functions),
    ("Mathematics", math::functions),
    ("Units", units::functions),
    ("Probability", probability::functions),
    ("Dynamic values", dynamic::functions),
    ("Arrays and sets", arrays::functions),
    ("IP addresses", ip::functions),
    ("Geography", geo::functions),
    ("Series", series::functions),
    ("Seasons and anomalies", series::seasons),
    ("Sketches", sketch::functions),
    ("Encoding", encoding::functions),
    ("Compression and Punycode", compress::functions),
    ("Hashing", hash::functions),
    ("Query context", special::functions),
];

static REGISTRY: LazyLock<Vec<(&'static str, Vec<Function>)>> =
    LazyLock::new(|| SUBJECTS.iter().map(|(title, functions)| (*title, functions())).collect());

static BY_NAME: LazyLock<BTreeMap<&'static str, &'static Function>> = LazyLock::new(|| {
    let mut map = BTreeMap::new();
    for (_, functions) in REGISTRY.iter() {
        for function in functions {
            map.insert(function.name, function);
            for alias in function.aliases {
                map.insert(*alias, function);
            }
        }
    }
    map
});

/// The function of that name.
pub(crate) fn lookup(name: &str) -> Option<&'static Function> {
    BY_NAME.get(name).copied()
}

/// The names of all scalar functions.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    BY_NAME.keys().copied()
}

/// All scalar functions by subject.
pub(crate) fn subjects() -> &'static [(&'static str, Vec<Function>)] {
    &REGISTRY
}

/// Functions whose unnamed column takes the name of their first argument.
pub(crate) fn named_by_argument(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "abs",
        "acos",
        "asin",
        "atan",
        "atan2",
        "bin",
        "bin_at",
        "bin_auto",
        "binary_and",
        "binary_not",
        "binary_or",
        "binary_shift_left",
        "binary_shift_right",
        "binary_xor",
        "bitset_count_ones",
        "ceiling",
        "cos",
        "erf",
        "erfc",
        "exp",
        "exp10",
        "exp2",
        "floor",
        "format_bytes",
        "format_datetime",
        "format_timespan",
        "gamma",
        "log",
        "log10",
        "log2",
        "loggamma",
        "make_datetime",
        "make_timespan",
        "parse_csv",
        "parse_json",
        "parse_xml",
        "parsejson",
        "pow",
        "rand",
        "round",
        "series_fill_backward",
        "series_fill_const",
        "series_fill_forward",
        "series_fill_linear",
        "series_fir",
        "series_iir",
        "series_outliers",
        "sin",
        "split",
        "sqrt",
        "startofday",
        "tan",
        "tobool",
        "toboolean",
        "todatetime",
        "todecimal",
        "todouble",
        "todynamic",
        "toguid",
        "tohex",
        "toint",
        "tolong",
        "toobject",
        "toreal",
        "tostring",
        "totime",
        "totimespan",
    ];
    NAMES.binary_search(&name).is_ok()
}

/// The columns of a function with several results: what follows the argument's name in each column's, and its type.
pub(crate) fn tuple_of(name: &str) -> Option<&'static [(&'static str, KqlType)]> {
    use KqlType::{Dynamic, Long, Real};
    Some(match name {
        "series_stats" => &[
            ("min", Real),
            ("min_idx", Long),
            ("max", Real),
            ("max_idx", Long),
            ("avg", Real),
            ("stdev", Real),
            ("variance", Real),
        ],
        "series_fit_line" => &[
            ("rsquare", Real),
            ("slope", Real),
            ("variance", Real),
            ("rvariance", Real),
            ("interception", Real),
            ("line_fit", Dynamic),
        ],
        "series_fit_2lines" => &[
            ("rsquare", Real),
            ("split_idx", Long),
            ("variance", Real),
            ("rvariance", Real),
            ("line_fit", Dynamic),
            ("right_rsquare", Real),
            ("right_slope", Real),
            ("right_interception", Real),
            ("right_variance", Real),
            ("right_rvariance", Real),
            ("left_rsquare", Real),
            ("left_slope", Real),
            ("left_interception", Real),
            ("left_variance", Real),
            ("left_rvariance", Real),
        ],
        "series_fit_poly" => &[
            ("rsquare", Real),
            ("coefficients", Dynamic),
            ("variance", Real),
            ("rvariance", Real),
            ("poly_fit", Dynamic),
        ],
        "series_decompose" | "series_decompose_forecast" => {
            &[("baseline", Dynamic), ("seasonal", Dynamic), ("trend", Dynamic), ("residual", Dynamic)]
        }
        "series_decompose_anomalies" => &[("ad_flag", Dynamic), ("ad_score", Dynamic), ("baseline", Dynamic)],
        "series_fft" | "series_ifft" => &[("real", Dynamic), ("imag", Dynamic)],
        "series_periods_detect" | "series_periods_validate" => &[("periods", Dynamic), ("scores", Dynamic)],
        _ => return None,
    })
}
