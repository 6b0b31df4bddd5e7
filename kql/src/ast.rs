//! The syntax tree of a query.
//!
//! KQL mixes tables and scalars freely (`let x = 5;` and `let x = T | where …;` read alike), so one [`Expr`] stands for
//! both; the binder tells them apart.

pub use crate::diagnostics::Span;
use crate::types::KqlType;

/// A whole query: statements separated by `;`, of which expression statements give results.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The statements in order.
    pub statements: Vec<Statement>,
}

impl Query {
    /// Whether two queries say the same, wherever their words stand.
    pub fn same_but_for_spans(&self, other: &Query) -> bool {
        self.without_spans() == other.without_spans()
    }

    /// The tree as text, without the places of its parts.
    fn without_spans(&self) -> String {
        const SPAN: &str = "Span { start: ";
        let text = format!("{self:?}");
        let mut pieces = text.split(SPAN);
        let mut out = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            out.push_str(piece.split_once('}').map_or(piece, |(_, rest)| rest));
        }
        out
    }
}

/// A name and where it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Name {
    /// The name, without brackets or quotes.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// One statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `let name = value`.
    Let {
        /// What is defined.
        name: Name,
        /// A scalar, a table or a function.
        value: Expr,
    },
    /// `set option = value`.
    Set {
        /// The option.
        name: Name,
        /// Its value, if one is written.
        value: Option<Expr>,
    },
    /// `declare query_parameters(name:type = default, …)`.
    Parameters(Vec<Parameter>),
    /// `declare pattern name = (params)[path] { … }`.
    Pattern {
        /// The pattern's name.
        name: Name,
        /// The parameters of the argument list.
        params: Vec<Parameter>,
        /// The parameter of the path, if it has one.
        path: Option<Parameter>,
        /// The cases: argument values, path value and body.
        cases: Vec<PatternCase>,
    },
    /// `alias database name = …` and `restrict access to (…)`: read, and without effect on one lake.
    Ignored {
        /// As it is written.
        text: String,
        /// Where.
        span: Span,
    },
    /// An expression: what the query gives.
    Expression(Expr),
}

/// One case of a pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct PatternCase {
    /// The argument values.
    pub values: Vec<Expr>,
    /// The value of the path.
    pub path: Option<Expr>,
    /// What the pattern then stands for.
    pub body: Body,
}

/// A parameter of a function.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: Name,
    /// Its type.
    pub kind: ParameterType,
    /// Its value where the call gives none.
    pub default: Option<Expr>,
}

/// The type of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum ParameterType {
    /// A scalar.
    Scalar(KqlType),
    /// A table with at least these columns; `(*)` asks for none.
    Table(Vec<(Name, KqlType)>),
}

/// The body of a function.
#[derive(Debug, Clone, PartialEq)]
pub struct Body {
    /// The statements before the result.
    pub statements: Vec<Statement>,
    /// The result.
    pub result: Option<Box<Expr>>,
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it is written.
    pub span: Span,
}

impl Expr {
    /// Whether the expression names something so, tables within it aside.
    pub fn mentions(&self, name: &str) -> bool {
        match &self.kind {
            ExprKind::Name(own) => own == name,
            ExprKind::Call(_, args) => args.iter().any(|arg| arg.value.mentions(name)),
            ExprKind::Member(base, _) => base.mentions(name),
            ExprKind::Unary(_, inner) => inner.mentions(name),
            ExprKind::Index(left, right) | ExprKind::Binary(_, left, right) => {
                left.mentions(name) || right.mentions(name)
            }
            ExprKind::In(_, value, items) => {
                value.mentions(name) || items.iter().any(|item| item.mentions(name))
            }
            ExprKind::Between { value, low, high, .. } => {
                value.mentions(name) || low.mentions(name) || high.mentions(name)
            }
            ExprKind::Literal(_)
            | ExprKind::Wildcard(_)
            | ExprKind::Star
            | ExprKind::Source(_)
            | ExprKind::Pipe(..)
            | ExprKind::Lambda(_)
            | ExprKind::Error => false,
        }
    }
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// A literal.
    Literal(Literal),
    /// A name: a column, a table, a `let`.
    Name(String),
    /// A name with `*` in it, as in `union Sec*` or `project-away Id*`.
    Wildcard(String),
    /// `*`.
    Star,
    /// `a.b`.
    Member(Box<Expr>, Name),
    /// `a[b]`.
    Index(Box<Expr>, Box<Expr>),
    /// `f(a, name = b)`.
    Call(Name, Vec<Argument>),
    /// `-a`, `+a`.
    Unary(UnaryOp, Box<Expr>),
    /// `a + b`, `a == b`, `a has b` …
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `a in (b, c)` and its relatives, `has_any`, `has_all`.
    In(InOp, Box<Expr>, Vec<Expr>),
    /// `a between (b .. c)`.
    Between {
        /// `!between`.
        negated: bool,
        /// What is tested.
        value: Box<Expr>,
        /// The lower bound, inclusive.
        low: Box<Expr>,
        /// The upper bound, inclusive.
        high: Box<Expr>,
    },
    /// An operator that starts a pipe: `union A, B`, `range …`, `print …`.
    Source(Box<Operator>),
    /// `source | operator | …`.
    Pipe(Box<Expr>, Vec<Operator>),
    /// `(a:long, T:(*)) { … }`.
    Lambda(Box<Lambda>),
    /// A part that could not be read; the parser has reported it.
    Error,
}

/// A function value.
#[derive(Debug, Clone, PartialEq)]
pub struct Lambda {
    /// Declared with `view`: takes part in wildcards.
    pub view: bool,
    /// The parameters.
    pub params: Vec<Parameter>,
    /// What it does.
    pub body: Body,
}

/// A literal.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `true`, `false`, `bool(null)`.
    Bool(Option<bool>),
    /// `int(1)`.
    Int(Option<i32>),
    /// `1`.
    Long(Option<i64>),
    /// `1.5`.
    Real(Option<f64>),
    /// `decimal(1.5)`: the digits as written.
    Decimal(Option<String>),
    /// `"text"`.
    String(String),
    /// `datetime(2026-01-02)`: ticks.
    Datetime(Option<i64>),
    /// `5m`: ticks.
    Timespan(Option<i64>),
    /// `guid(…)`.
    Guid(Option<String>),
    /// `dynamic({…})`: JSON.
    Dynamic(Option<serde_json::Value>),
    /// A type's name where a type is meant: `typeof(long)`.
    Type(Vec<KqlType>),
}

/// One argument of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Argument {
    /// Its name, where it is given by name.
    pub name: Option<Name>,
    /// Its value.
    pub value: Expr,
}

/// An operator before its operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnaryOp {
    /// `-a`.
    Minus,
    /// `+a`.
    Plus,
}

/// An operator between two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOp {
    /// `or`.
    Or,
    /// `and`.
    And,
    /// `==`.
    Equal,
    /// `!=`, `<>`.
    NotEqual,
    /// `<`.
    Less,
    /// `<=`.
    LessEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterEqual,
    /// `+`.
    Add,
    /// `-`.
    Subtract,
    /// `*`.
    Multiply,
    /// `/`.
    Divide,
    /// `%`.
    Modulo,
    /// A string operator.
    Text {
        /// Which.
        op: TextOp,
        /// The `_cs` form.
        case_sensitive: bool,
        /// The `!` form.
        negated: bool,
    },
}

/// What a string operator asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextOp {
    /// `=~`, `!~`.
    EqualIgnoringCase,
    /// `has`: the right side is a whole term of the left.
    Has,
    /// `hasprefix`.
    HasPrefix,
    /// `hassuffix`.
    HasSuffix,
    /// `contains`.
    Contains,
    /// `startswith`.
    StartsWith,
    /// `endswith`.
    EndsWith,
    /// `matches regex`.
    MatchesRegex,
    /// `:`, in `search`: the term stands in the column.
    Term,
}

/// An operator that tests against a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InOp {
    /// `in`, `!in`, `in~`, `!in~`.
    In {
        /// `~`.
        ignoring_case: bool,
        /// `!`.
        negated: bool,
    },
    /// `has_any`.
    HasAny,
    /// `has_all`.
    HasAll,
}

/// An expression with the name it is given.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// The name or, for tuple assignment, the names.
    pub names: Vec<Name>,
    /// The value.
    pub value: Expr,
}

/// One key of an ordering.
#[derive(Debug, Clone, PartialEq)]
pub struct SortKey {
    /// What is compared.
    pub value: Expr,
    /// `asc`; the default is `desc`.
    pub ascending: Option<bool>,
    /// `nulls first`; the default depends on the direction.
    pub nulls_first: Option<bool>,
}

/// A tabular operator and where it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Operator {
    /// What it is.
    pub kind: OperatorKind,
    /// The hints (`hint.strategy=shuffle`) of an operator that has no other settings; they change no result.
    pub hints: Vec<Setting>,
    /// Where.
    pub span: Span,
}

/// An operator's setting, as in `join kind=inner`.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Its name.
    pub name: Name,
    /// Its value.
    pub value: Expr,
}

/// A tabular operator.
#[derive(Debug, Clone, PartialEq)]
pub enum OperatorKind {
    /// `where`, `filter`.
    Where(Expr),
    /// `extend`.
    Extend(Vec<Named>),
    /// `project`.
    Project(Vec<Named>),
    /// `project-away`.
    ProjectAway(Vec<Expr>),
    /// `project-keep`.
    ProjectKeep(Vec<Expr>),
    /// `project-rename`.
    ProjectRename(Vec<Named>),
    /// `project-reorder`: each with its direction, if one is written.
    ProjectReorder(Vec<(Expr, Option<ReorderDirection>)>),
    /// `project-by-names`.
    ProjectByNames(Vec<Expr>),
    /// `summarize`.
    Summarize {
        /// The aggregates.
        aggregates: Vec<Named>,
        /// The keys.
        by: Vec<Named>,
    },
    /// `distinct`.
    Distinct(Vec<Named>),
    /// `count`.
    Count(Option<Name>),
    /// `take`, `limit`.
    Take(Expr),
    /// `top N by …`.
    Top {
        /// How many.
        count: Expr,
        /// By what.
        by: Vec<SortKey>,
    },
    /// `top-hitters N of X by Y`.
    TopHitters {
        /// How many.
        count: Expr,
        /// Of what.
        of: Named,
        /// Summing what.
        by: Option<Expr>,
    },
    /// `top-nested … , top-nested …`.
    TopNested(Vec<NestedLevel>),
    /// `sort`, `order`.
    Sort(Vec<SortKey>),
    /// `serialize`.
    Serialize(Vec<Named>),
    /// `join`.
    Join {
        /// `kind=` and hints.
        settings: Vec<Setting>,
        /// The right side.
        right: Expr,
        /// The conditions.
        on: Vec<Expr>,
    },
    /// `lookup`.
    Lookup {
        /// `kind=`.
        settings: Vec<Setting>,
        /// The right side.
        right: Expr,
        /// The conditions.
        on: Vec<Expr>,
    },
    /// `union`.
    Union {
        /// `kind=`, `withsource=`, `isfuzzy=`.
        settings: Vec<Setting>,
        /// The tables.
        tables: Vec<Expr>,
    },
    /// `mv-expand`.
    MvExpand {
        /// `kind=`, `bagexpansion=`, `with_itemindex=`.
        settings: Vec<Setting>,
        /// What is expanded.
        columns: Vec<ExpandColumn>,
        /// `limit`.
        limit: Option<Expr>,
    },
    /// `mv-apply`.
    MvApply {
        /// `with_itemindex=`.
        settings: Vec<Setting>,
        /// What is expanded.
        columns: Vec<ExpandColumn>,
        /// `limit`.
        limit: Option<Expr>,
        /// The pipe that runs on each row's part.
        body: Vec<Operator>,
    },
    /// `parse`, `parse-where`.
    Parse {
        /// `parse-where`.
        filter: bool,
        /// `kind=`, `flags=`.
        settings: Vec<Setting>,
        /// What is parsed.
        input: Expr,
        /// The pattern.
        pattern: Vec<ParsePart>,
    },
    /// `parse-kv`.
    ParseKv {
        /// What is parsed.
        input: Expr,
        /// The keys to extract.
        keys: Vec<(Name, KqlType)>,
        /// `pair_delimiter=` and the like.
        settings: Vec<Setting>,
    },
    /// `make-series`.
    MakeSeries {
        /// `kind=`.
        settings: Vec<Setting>,
        /// The aggregates, each with its default.
        aggregates: Vec<(Named, Option<Expr>)>,
        /// The axis.
        axis: Named,
        /// `from`.
        from: Option<Expr>,
        /// `to`.
        to: Option<Expr>,
        /// `step`.
        step: Expr,
        /// The old form `in range(start, stop, step)`, whose end is included.
        inclusive: bool,
        /// The keys.
        by: Vec<Named>,
    },
    /// `evaluate plugin(…)`.
    Evaluate {
        /// Hints.
        settings: Vec<Setting>,
        /// The plugin's name.
        name: Name,
        /// Its arguments.
        args: Vec<Argument>,
        /// `: (name:type, …)`.
        schema: Option<PluginSchema>,
    },
    /// `partition by X ( … )`.
    Partition {
        /// Hints.
        settings: Vec<Setting>,
        /// The key.
        by: Expr,
        /// The pipe that runs on each part.
        body: Vec<Operator>,
    },
    /// `scan`.
    Scan(Box<Scan>),
    /// `fork`: each with its name.
    Fork(Vec<(Option<Name>, Vec<Operator>)>),
    /// `facet by … with ( … )`.
    Facet {
        /// The columns.
        by: Vec<Expr>,
        /// The pipe.
        body: Option<Vec<Operator>>,
    },
    /// `sample`.
    Sample(Expr),
    /// `sample-distinct N of X`.
    SampleDistinct {
        /// How many.
        count: Expr,
        /// Of what.
        of: Named,
    },
    /// `as`.
    As(Name),
    /// `invoke`.
    Invoke(Expr),
    /// `getschema`.
    GetSchema,
    /// `consume`.
    Consume,
    /// `render`.
    Render {
        /// The kind of chart.
        kind: Name,
        /// Its settings.
        settings: Vec<Setting>,
    },
    /// `search`.
    Search {
        /// `kind=`.
        settings: Vec<Setting>,
        /// The tables, if not all.
        tables: Vec<Expr>,
        /// What is searched for.
        predicate: Expr,
    },
    /// `find`.
    Find {
        /// `withsource=`.
        settings: Vec<Setting>,
        /// The tables, if not all.
        tables: Vec<Expr>,
        /// What is searched for.
        predicate: Expr,
        /// The columns wanted, each with its type where one is written.
        project: Option<Vec<(Expr, Option<KqlType>)>>,
        /// `project-smart` is written, which is what `find` does by itself.
        smart: bool,
        /// `project-away`: the columns that are not wanted.
        away: Vec<Expr>,
    },
    /// `print`.
    Print(Vec<Named>),
    /// `range x from a to b step c`.
    Range {
        /// The column.
        name: Name,
        /// The first value.
        from: Expr,
        /// The last value.
        to: Expr,
        /// The distance.
        step: Expr,
    },
    /// `datatable`.
    Datatable {
        /// The columns.
        columns: Vec<(Name, KqlType)>,
        /// The cells, row by row.
        cells: Vec<Expr>,
    },
    /// `externaldata`.
    ExternalData {
        /// The columns.
        columns: Vec<(Name, KqlType)>,
        /// The addresses.
        sources: Vec<Expr>,
        /// `format=` and the like.
        settings: Vec<Setting>,
    },
    /// A part that could not be read; the parser has reported it.
    Error,
}

/// The columns that a call of a plugin says it gives.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginSchema {
    /// `*`: the columns of the input are among them.
    pub keeps_input: bool,
    /// The columns.
    pub columns: Vec<(Name, KqlType)>,
}

/// The direction of `project-reorder`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReorderDirection {
    /// `asc`.
    Ascending,
    /// `desc`.
    Descending,
    /// `granny-asc`: numbers within names compare as numbers.
    GrannyAscending,
    /// `granny-desc`.
    GrannyDescending,
}

/// A column of `mv-expand` or `mv-apply`.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpandColumn {
    /// Its new name.
    pub name: Option<Name>,
    /// What is expanded.
    pub value: Expr,
    /// `to typeof(…)`.
    pub to: Option<KqlType>,
}

/// A piece of the pattern of `parse`.
#[derive(Debug, Clone, PartialEq)]
pub enum ParsePart {
    /// `*`.
    Star(Span),
    /// A text, or a regular expression with `kind=regex`.
    Text(String, Span),
    /// A column, with its type.
    Column(Name, Option<KqlType>),
}

/// A level of `top-nested`.
#[derive(Debug, Clone, PartialEq)]
pub struct NestedLevel {
    /// How many, or all.
    pub count: Option<Expr>,
    /// Of what.
    pub of: Named,
    /// `with others = …`.
    pub others: Option<Expr>,
    /// By what.
    pub by: Named,
    /// `asc`; the default is `desc`.
    pub ascending: Option<bool>,
}

/// The operator `scan`.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    /// `with_match_id=`.
    pub settings: Vec<Setting>,
    /// `order by`.
    pub order: Vec<SortKey>,
    /// `partition by`.
    pub partition: Vec<Expr>,
    /// `declare (…)`.
    pub declare: Vec<Parameter>,
    /// The steps.
    pub steps: Vec<ScanStep>,
}

/// A step of `scan`.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanStep {
    /// Its name.
    pub name: Name,
    /// `optional`.
    pub optional: bool,
    /// `output=`.
    pub output: Option<Name>,
    /// When a row belongs to it.
    pub condition: Expr,
    /// What it then sets.
    pub assignments: Vec<(Name, Expr)>,
}
