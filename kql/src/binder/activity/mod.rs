//! Plugins on what users do over time. Each is a query of its own, over rows and settings with fixed names.

use std::rc::Rc;
use std::sync::LazyLock;

use datafusion::logical_expr::{LogicalPlanBuilder, lit};

use super::call::packed;
use super::expression::fold;
use super::types::cast;
use super::{Any, Binder, Binding, Context, Definition, Relation, Scope, Stop, fault, with};
use crate::ast::{Argument, Name, Query, Span, Statement};
use crate::functions::{self, Typed};
use crate::json::Step;
use crate::parser::parse;
use crate::types::KqlType;
use crate::value::Value;

/// The most bins from start to end.
const MAX_BINS: i64 = 1_000_000;

/// A plugin: its arguments in order, and the query that it stands for.
struct Activity {
    name: &'static str,
    settings: &'static [Setting],
    query: LazyLock<Option<Query>>,
}

/// What an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setting {
    /// The column of ids, or of values.
    Id,
    /// The column of times, or of numbers.
    Time,
    /// A time, from which on periods are counted.
    Start,
    /// A time: the last one.
    End,
    /// The length of a period.
    Step,
    /// How far back is looked: a length, and as whole periods `Bins`.
    Window,
    /// A number of periods.
    Bins,
    /// The length of what counts as one appearance.
    Slots,
    /// The least number of appearances.
    Least,
    /// A percentage.
    Percent,
}

use Setting::{Bins, End, Id, Least, Percent, Slots, Start, Step as Length, Time, Window};

macro_rules! activity {
    ($name:literal, $settings:expr) => {
        Activity {
            name: $name,
            settings: &$settings,
            query: LazyLock::new(|| parse(include_str!(concat!($name, ".kql"))).ok()),
        }
    };
}

static ACTIVITIES: [Activity; 8] = [
    activity!("active_users_count", [Id, Time, Start, End, Window, Slots, Least, Length]),
    activity!("activity_counts_metrics", [Id, Time, Start, End, Length]),
    activity!("activity_engagement", [Id, Time, Start, End, Length, Window]),
    activity!("activity_metrics", [Id, Time, Start, End, Length]),
    activity!("new_activity_metrics", [Id, Time, Start, End, Length]),
    activity!("rolling_percentile", [Id, Percent, Time, Length, Bins]),
    activity!("session_count", [Id, Time, Start, End, Length, Window]),
    activity!("sliding_window_counts", [Id, Time, Start, End, Window, Length]),
];

static BINS: LazyLock<Option<Query>> = LazyLock::new(|| parse(include_str!("bins.kql")).ok());

/// What a call has given.
#[derive(Default)]
struct Given {
    id: Option<(String, Typed)>,
    time: Option<(String, Typed)>,
    start: Option<(i64, Typed)>,
    end: Option<(i64, Typed)>,
    step: Option<(i64, Typed)>,
    window: Option<(i64, Typed)>,
    slots: Option<Typed>,
    bins: Option<i64>,
    least: Option<i64>,
    percent: Option<Typed>,
    /// Only `new_activity_metrics`: the time of the one cohort that is wanted.
    cohort: Option<i64>,
    /// Only `new_activity_metrics`: what was seen before.
    earlier: Option<Relation>,
    dimensions: Vec<(String, Typed)>,
}

impl<'a> Binder<'a> {
    /// The plugin of a name, if it is one of these.
    pub(super) fn activity(
        &mut self,
        relation: &Relation,
        name: &'a Name,
        args: &'a [Argument],
    ) -> Option<Binding<Relation>> {
        let activity = ACTIVITIES.iter().find(|activity| activity.name == name.text)?;
        Some(self.run_activity(activity, relation, name, args))
    }

    fn run_activity(
        &mut self,
        activity: &'static Activity,
        relation: &Relation,
        name: &'a Name,
        args: &'a [Argument],
    ) -> Binding<Relation> {
        if !relation.parts.is_empty() || !relation.outer.is_empty() {
            let message = format!(
                "`{}` has dimensions of its own, and cannot stand in `partition` or `mv-apply`",
                name.text
            );
            return fault(name.span, message);
        }
        let given = self.given(activity, relation, name, args)?;
        let (Some((id_name, id)), Some((time_name, time)), Some((step, length))) =
            (given.id, given.time, given.step)
        else {
            return fault(name.span, "a column of ids, one of times and a step are needed");
        };
        let zero = match time.kind {
            KqlType::Datetime => Typed::literal(Value::Long(0), KqlType::Datetime),
            kind => cast(Typed::literal(Value::Long(0), KqlType::Long), kind),
        };
        let (start, start_value) = given.start.unwrap_or((0, zero));

        // The dimensions as one text, which the query carries along.
        let dimensions = given.dimensions.iter().map(|(_, typed)| (typed.clone(), name.span));
        let part = match given.dimensions.is_empty() {
            true => Typed::literal(Value::text("[]"), KqlType::String),
            false => cast(packed(dimensions.collect(), name.span)?, KqlType::String),
        };
        let columns = vec![("Id".to_owned(), id), ("Time".to_owned(), time), ("Part".to_owned(), part)];
        let rows = self.project(&Relation { order: Vec::new(), ..relation.clone() }, columns, Vec::new())?;

        let long = |value: i64| Definition::Scalar(Typed::literal(Value::Long(value), KqlType::Long));
        let mut scope: Scope<'a> = None;
        let mut define = |name: &str, definition| scope = with(&scope, name, definition);
        define("Start", Definition::Scalar(start_value));
        define("Step", Definition::Scalar(length));
        if let Some((end, value)) = given.end {
            let last = end.saturating_sub(start).div_euclid(step);
            if !(0..MAX_BINS).contains(&last) {
                let message = format!(
                    "from the start to the end there are {} steps; 1 to {MAX_BINS} will do",
                    last.saturating_add(1)
                );
                return fault(name.span, message);
            }
            define("End", Definition::Scalar(value));
            define("LastBin", long(last));
        }
        let mut bins = given.bins;
        if let Some((window, value)) = given.window {
            bins = Some(window / step);
            define("Window", Definition::Scalar(value));
        }
        define("Bins", long(bins.unwrap_or(1).clamp(1, MAX_BINS)));
        if let Some(slots) = given.slots {
            define("Slots", Definition::Scalar(slots));
        }
        define("Least", long(given.least.unwrap_or(1)));
        if let Some(percent) = &given.percent {
            define("Percent", Definition::Scalar(percent.clone()));
        }
        let cohort = given.cohort.map(|time| time.saturating_sub(start).div_euclid(step));
        define("Cohort", Definition::Scalar(Typed::literal(cohort.into(), KqlType::Long)));
        let earlier = self.earlier_ids(given.earlier, &id_name, &rows)?;
        define("Earlier", Definition::Table(Rc::new(earlier)));

        let with_rows = with(&scope, "Rows", Definition::Table(Rc::new(rows)));
        let binned = self.run_query(&BINS, with_rows, name.span)?;
        let with_bins = with(&scope, "Rows", Definition::Table(Rc::new(binned)));
        let result = self.run_query(&activity.query, with_bins, name.span)?;

        let rolling = rolling_name(&id_name, bins.unwrap_or(1), given.percent);
        self.with_own_names(&result, &time_name, &rolling, &given.dimensions)
    }

    /// The result under the names that its query could not know, and with the dimensions as they were.
    fn with_own_names(
        &mut self,
        result: &Relation,
        time_name: &str,
        rolling: &str,
        dimensions: &[(String, Typed)],
    ) -> Binding<Relation> {
        let mut columns: Vec<(String, Typed)> = Vec::new();
        for col in &result.columns {
            match col.name.as_str() {
                "Part" => {
                    let array = Typed::new(col.typed().expr, KqlType::Dynamic);
                    for (at, (dimension, typed)) in (0_i64..).zip(dimensions) {
                        let element = functions::dynamic_path(array.clone(), Step::Index(at));
                        columns.push((dimension.clone(), cast(element, typed.kind)));
                    }
                }
                "Rolling" => columns.push((rolling.to_owned(), col.typed())),
                other => match other.strip_suffix("Period") {
                    Some(before) => columns.push((format!("{before}{time_name}"), col.typed())),
                    None => columns.push((other.to_owned(), col.typed())),
                },
            }
        }
        self.project(result, columns, Vec::new())
    }

    /// The ids of a table of what was there before; without a table, none.
    fn earlier_ids(&mut self, table: Option<Relation>, id_name: &str, rows: &Relation) -> Binding<Relation> {
        let Some(table) = table else {
            let none = self.renamed_copy(rows)?;
            let plan = LogicalPlanBuilder::from(none.plan.clone()).filter(lit(false))?.build()?;
            return Ok(Relation { plan, ..none });
        };
        let ids = table.find(id_name).or(table.columns.first()).map(|col| ("Id".to_owned(), col.typed()));
        self.project(&table, ids.into_iter().collect(), Vec::new())
    }

    /// Reads the arguments of a call.
    fn given(
        &mut self,
        activity: &'static Activity,
        relation: &Relation,
        name: &'a Name,
        args: &'a [Argument],
    ) -> Binding<Given> {
        if args.len() < activity.settings.len() {
            let list = crate::plugins::PLUGINS.iter().find(|plugin| plugin.name == activity.name);
            let list = list.map_or("", |plugin| plugin.signature);
            return fault(name.span, format!("`{}{list}` is missing an argument", name.text));
        }
        let mut given = Given::default();
        // The kinds of times and of lengths follow from the column of times, wherever it stands.
        let place = activity.settings.iter().position(|setting| *setting == Time).unwrap_or(0);
        let time = self.scalar(&args[place].value, &mut Context::row(relation))?;
        let time = match time.kind {
            KqlType::Datetime | KqlType::Timespan | KqlType::Long => time,
            KqlType::Int => cast(time, KqlType::Long),
            other => {
                let message =
                    format!("a datetime, a timespan or a whole number is needed here, not a {other}");
                return fault(args[place].value.span, message);
            }
        };
        let point = time.kind;
        let length = if point == KqlType::Datetime { KqlType::Timespan } else { point };
        given.time = Some((self.auto_name(&args[place].value).unwrap_or_default(), time));
        for (setting, arg) in activity.settings.iter().zip(args) {
            let value = &arg.value;
            match setting {
                Time => {}
                Id => {
                    let typed = self.scalar(value, &mut Context::row(relation))?;
                    given.id = Some((self.auto_name(value).unwrap_or_default(), typed));
                }
                Start => given.start = Some(self.constant_of(value, point)?),
                End => given.end = Some(self.constant_of(value, point)?),
                Length => given.step = Some(self.length(value, length)?),
                Window => given.window = Some(self.length(value, length)?),
                Slots => given.slots = Some(self.length(value, length)?.1),
                Bins => given.bins = Some(self.length(value, KqlType::Long)?.0),
                Least => given.least = Some(self.length(value, KqlType::Long)?.0),
                Percent => {
                    let typed = fold(self.scalar(value, &mut Context::default())?);
                    match typed.constant().and_then(|value| value.as_real()) {
                        Some(percent) if (0.0..=100.0).contains(&percent) => given.percent = Some(typed),
                        _ => return fault(value.span, "a percentage from 0 to 100 is needed here"),
                    }
                }
            }
        }
        for (at, arg) in args[activity.settings.len()..].iter().enumerate() {
            match self.any(&arg.value, &mut Context::row(relation))? {
                Any::Table(table) if activity.name == "new_activity_metrics" => given.earlier = Some(table),
                Any::Table(_) => return fault(arg.value.span, "a column is needed here, not a table"),
                Any::Scalar(typed) => {
                    let typed = fold(typed);
                    if at == 0 && activity.name == "new_activity_metrics" && typed.constant().is_some() {
                        given.cohort = Some(self.constant_of(&arg.value, point)?.0);
                        continue;
                    }
                    let column = self.column_of(relation, &arg.value)?;
                    given.dimensions.push((column.name.clone(), column.typed()));
                }
            }
        }
        Ok(given)
    }

    /// A constant of a type: as a number, of ticks where it is a time, and as it is.
    fn constant_of(&mut self, value: &'a crate::ast::Expr, kind: KqlType) -> Binding<(i64, Typed)> {
        let typed = fold(self.scalar(value, &mut Context::default())?);
        let typed = if typed.kind == KqlType::Int { fold(cast(typed, KqlType::Long)) } else { typed };
        match typed.constant().and_then(|value| value.as_long()) {
            Some(number) if typed.kind == kind => Ok((number, typed)),
            _ => fault(value.span, format!("a constant {kind} is needed here")),
        }
    }

    /// A constant that is more than zero.
    fn length(&mut self, value: &'a crate::ast::Expr, kind: KqlType) -> Binding<(i64, Typed)> {
        let (number, typed) = self.constant_of(value, kind)?;
        if number <= 0 {
            return fault(value.span, "this has to be more than zero");
        }
        Ok((number, typed))
    }

    /// Binds a query of our own. What is wrong with it is wrong with the call.
    fn run_query(
        &mut self,
        query: &'static Option<Query>,
        scope: Scope<'a>,
        span: Span,
    ) -> Binding<Relation> {
        let Some(query) = query else { return fault(span, "this plugin is broken") };
        self.in_scope(scope, |binder| {
            let mut result = None;
            for statement in &query.statements {
                match statement {
                    Statement::Expression(expr) => {
                        result = Some(binder.table(expr, &mut Context::default())?);
                    }
                    other => binder.statement(other)?,
                }
            }
            match result {
                Some(result) => Ok(result),
                None => fault(span, "this plugin gives nothing"),
            }
        })
        .map_err(|stop| match stop {
            Stop::Fault(mut diagnostic) => {
                diagnostic.span = span;
                Stop::Fault(diagnostic)
            }
            other => other,
        })
    }
}

/// What the column of a rolling percentile is called.
fn rolling_name(value: &str, bins: i64, percent: Option<Typed>) -> String {
    let percent = percent.and_then(|percent| fold(cast(percent, KqlType::String)).constant_text());
    format!("rolling_{bins}_percentile_{value}_{}", percent.unwrap_or_default())
}
