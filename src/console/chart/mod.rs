//! Results as charts, where a query ends in `render`. Which column is what follows Kusto's description of the operator:
//! the first column is the x axis, numbers are drawn over it, and texts tell the series apart.

mod svg;
mod terminal;

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use provost_kql::{Column, KqlType, RenderHint, ResultSet};
use serde_json::Value;

/// More series than this are more than a reader can tell apart; the largest are drawn.
const MOST_SERIES: usize = 12;

/// What is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    shape: Shape,
    title: String,
    axis: Axis,
    series: Vec<Series>,
    /// Series that were left out.
    left_out: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Lines,
    Points,
    Columns,
    Bars,
    Pie,
}

/// What the positions along the x axis mean.
#[derive(Debug, Clone, PartialEq)]
enum Axis {
    /// Seconds since the epoch.
    Time,
    Number,
    /// Indices of these.
    Categories(Vec<String>),
}

#[derive(Debug, Clone, PartialEq)]
struct Series {
    name: String,
    /// Positions and values; in order of the positions, unless these are categories.
    points: Vec<(f64, f64)>,
}

impl Series {
    fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.points.iter().map(|(_, value)| *value)
    }
}

impl Chart {
    /// What `render` asks for; none where it asks for a table.
    ///
    /// # Errors
    /// Where the columns are not those of such a chart, or the chart is not known.
    pub fn of(hint: &RenderHint, result: &ResultSet) -> Result<Option<Self>, String> {
        let shape = match hint.kind.as_str() {
            "table" | "card" => return Ok(None),
            "timechart" | "linechart" | "areachart" | "stackedareachart" | "anomalychart" => Shape::Lines,
            "scatterchart" => Shape::Points,
            "columnchart" => Shape::Columns,
            "barchart" => Shape::Bars,
            "piechart" => Shape::Pie,
            other => return Err(format!("`render {other}` cannot be drawn here")),
        };
        let roles = Roles::of(hint, &result.columns)?;
        let mut positions = Positions::of(result.columns[roles.x].kind, shape);
        let mut series: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
        for row in result.rows() {
            for &y in &roles.values {
                let name = roles.name(&row, &result.columns[y].name);
                let points = series.entry(name).or_default();
                match (&row[roles.x], &row[y]) {
                    // What `make-series` gives: an array of times, and one of values.
                    (Value::Array(at), Value::Array(values)) => points.extend(
                        at.iter().zip(values).filter_map(|(x, y)| Some((positions.at(x)?, y.as_f64()?))),
                    ),
                    (x, y) => points.extend(positions.at(x).zip(number(y))),
                }
            }
        }
        let axis = positions.axis();
        let mut series: Vec<Series> =
            series.into_iter().map(|(name, points)| Series { name, points }).collect();
        series.retain(|series| !series.points.is_empty());
        if series.is_empty() {
            return Err("there is nothing to draw".to_owned());
        }
        if !matches!(axis, Axis::Categories(_)) {
            for series in &mut series {
                series.points.sort_by(|a, b| a.0.total_cmp(&b.0));
            }
        }
        let left_out = series.len().saturating_sub(MOST_SERIES);
        if left_out > 0 {
            let weight = |series: &Series| series.values().map(f64::abs).sum::<f64>();
            series.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
            series.truncate(MOST_SERIES);
        }
        let title = hint.properties.get("title").cloned().unwrap_or_default();
        Ok(Some(Self { shape, title, axis, series, left_out }))
    }

    /// The chart in lines of at most so many characters.
    pub fn terminal(&self, width: usize) -> String {
        terminal::draw(self, width)
    }

    /// The chart as a picture.
    ///
    /// # Errors
    /// Where the library that draws it cannot.
    pub fn svg(&self) -> Result<String, String> {
        svg::draw(self)
    }

    /// The least and the greatest position.
    fn span(&self) -> (f64, f64) {
        bounds(self.series.iter().flat_map(|series| series.points.iter().map(|point| point.0)))
    }

    /// A position as the axis shows it.
    fn label(&self, at: f64) -> String {
        match &self.axis {
            Axis::Time => time_label(at, self.span()),
            Axis::Number => short(at),
            Axis::Categories(names) => names.get(at.max(0.0) as usize).cloned().unwrap_or_default(),
        }
    }
}

/// Which column is drawn as what.
struct Roles {
    x: usize,
    values: Vec<usize>,
    texts: Vec<usize>,
}

impl Roles {
    fn of(hint: &RenderHint, columns: &[Column]) -> Result<Self, String> {
        let named = |property: &str| -> Result<Option<Vec<usize>>, String> {
            let Some(names) = hint.properties.get(property) else { return Ok(None) };
            let place = |name: &str| {
                let place = columns.iter().position(|column| column.name == name.trim());
                place.ok_or_else(|| format!("{property}: the result has no column {name}"))
            };
            names.split(',').map(place).collect::<Result<_, _>>().map(Some)
        };
        let first = |wanted: fn(KqlType) -> bool| columns.iter().position(|column| wanted(column.kind));
        let is_time = |kind| kind == KqlType::Datetime;
        let x = match named("xcolumn")?.as_deref() {
            Some([x, ..]) => Some(*x),
            _ if hint.kind == "timechart" || hint.kind == "anomalychart" => {
                first(is_time).or_else(|| columns.iter().rposition(|column| column.kind == KqlType::Dynamic))
            }
            _ => (!columns.is_empty()).then_some(0),
        };
        let x = x.ok_or_else(|| format!("`render {}` needs a column of type datetime", hint.kind))?;
        let others = |wanted: &dyn Fn(KqlType) -> bool| {
            let places = columns.iter().enumerate().filter(|(place, _)| *place != x);
            places.filter(|(_, column)| wanted(column.kind)).map(|(place, _)| place).collect::<Vec<_>>()
        };
        let drawn = |kind| match columns[x].kind {
            KqlType::Dynamic => kind == KqlType::Dynamic,
            _ => matches!(kind, KqlType::Int | KqlType::Long | KqlType::Real | KqlType::Decimal),
        };
        let values = named("ycolumns")?.unwrap_or_else(|| others(&drawn));
        if values.is_empty() {
            return Err(format!("`render {}` needs a column of numbers", hint.kind));
        }
        let texts = named("series")?.unwrap_or_else(|| {
            others(&|kind| matches!(kind, KqlType::String | KqlType::Guid | KqlType::Bool))
        });
        Ok(Self { x, values, texts })
    }

    fn name(&self, row: &[Value], column: &str) -> String {
        let texts = self.texts.iter().map(|&place| match &row[place] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        let texts = texts.collect::<Vec<_>>().join(", ");
        match (texts.is_empty(), self.values.len() > 1) {
            (true, _) => column.to_owned(),
            (false, true) => format!("{texts}: {column}"),
            (false, false) => texts,
        }
    }
}

/// Turns the x column into positions.
enum Positions {
    Scale { time: bool },
    Categories { known: HashMap<String, usize>, names: Vec<String> },
}

impl Positions {
    fn of(kind: KqlType, shape: Shape) -> Self {
        let scale = match kind {
            KqlType::Datetime => Some(true),
            KqlType::Int | KqlType::Long | KqlType::Real | KqlType::Decimal => Some(false),
            KqlType::Dynamic => Some(true),
            _ => None,
        };
        match scale.filter(|_| matches!(shape, Shape::Lines | Shape::Points)) {
            Some(time) => Self::Scale { time },
            None => Self::Categories { known: HashMap::new(), names: Vec::new() },
        }
    }

    fn at(&mut self, x: &Value) -> Option<f64> {
        match self {
            Self::Scale { .. } => match x {
                Value::String(text) => {
                    let time = provost_model::parse_time(text).ok()?;
                    Some(time.timestamp_micros() as f64 / 1e6)
                }
                other => other.as_f64(),
            },
            Self::Categories { known, names } => {
                let name = match x {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                let next = names.len();
                let place = *known.entry(name.clone()).or_insert(next);
                if place == next {
                    names.push(name);
                }
                Some(place as f64)
            }
        }
    }

    fn axis(self) -> Axis {
        match self {
            Self::Scale { time: true } => Axis::Time,
            Self::Scale { time: false } => Axis::Number,
            Self::Categories { names, .. } => Axis::Categories(names),
        }
    }
}

fn number(value: &Value) -> Option<f64> {
    let number = match value {
        // A decimal is written as text.
        Value::String(text) => text.parse().ok(),
        other => other.as_f64(),
    };
    number.filter(|number: &f64| number.is_finite())
}

/// The least and the greatest.
fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| (least.min(value), most.max(value)))
}

/// A number in few characters.
fn short(value: f64) -> String {
    let magnitude = value.abs();
    let scaled = |unit: f64, suffix: &str| {
        let text = format!("{:.1}", value / unit);
        format!("{}{suffix}", text.strip_suffix(".0").unwrap_or(&text))
    };
    match magnitude {
        _ if magnitude >= 1e15 => format!("{value:.1e}"),
        _ if magnitude >= 1e12 => scaled(1e12, "T"),
        _ if magnitude >= 1e9 => scaled(1e9, "G"),
        _ if magnitude >= 1e6 => scaled(1e6, "M"),
        _ if magnitude >= 1e4 => scaled(1e3, "k"),
        _ if value.fract() == 0.0 => format!("{value}"),
        _ if magnitude >= 0.01 => format!("{value:.2}"),
        _ => format!("{value:.1e}"),
    }
}

/// A time as exact as the span of the axis calls for, in UTC.
fn time_label(at: f64, (from, to): (f64, f64)) -> String {
    let Some(time) = DateTime::<Utc>::from_timestamp_micros((at * 1e6).round() as i64) else {
        return String::new();
    };
    let span = TimeDelta::seconds((to - from) as i64);
    let form = if span > TimeDelta::days(3) {
        "%Y-%m-%d"
    } else if span > TimeDelta::minutes(10) {
        "%m-%d %H:%MZ"
    } else {
        "%H:%M:%SZ"
    };
    time.format(form).to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use provost_kql::{Engine, EngineOptions, MemoryCatalog, QueryOptions};

    use super::*;

    async fn chart(query: &str) -> Result<Option<Chart>, String> {
        let engine = Engine::new(EngineOptions::default()).expect("an engine");
        let catalog = Arc::new(MemoryCatalog::new());
        let prepared =
            engine.prepare(catalog, query, &QueryOptions::default()).await.expect("the query binds");
        let hint = prepared.render().cloned().expect("it ends in render");
        Chart::of(&hint, &prepared.collect().await.expect("it runs"))
    }

    const HOURS: &str = "range Hour from datetime(2026-01-01) to datetime(2026-01-02) step 1h \
                         | extend n = hourofday(Hour), Host = iff(hourofday(Hour) % 2 == 0, 'a', 'b')";

    #[tokio::test]
    async fn texts_tell_the_series_of_a_time_chart_apart() {
        let chart = chart(&format!("{HOURS} | render timechart with (title='Load')")).await;
        let chart = chart.expect("columns that fit").expect("a chart");
        let names: Vec<&str> = chart.series.iter().map(|series| series.name.as_str()).collect();
        assert_eq!((names, chart.title.as_str(), &chart.axis), (vec!["a", "b"], "Load", &Axis::Time));
        assert_eq!(chart.series[0].points.len(), 13);
        let drawn = chart.terminal(80);
        assert!(drawn.lines().all(|line| line.chars().count() <= 80), "{drawn}");
        assert!(drawn.contains("01-01 00:00Z") && drawn.contains("01-02 00:00Z"), "{drawn}");
        let svg = chart.svg().expect("drawn");
        assert!(svg.starts_with("<svg") && svg.contains("Load"), "{svg}");
    }

    #[tokio::test]
    async fn the_arrays_of_make_series_are_drawn() {
        let query = format!(
            "{HOURS} | make-series count() default=0 on Hour from datetime(2026-01-01) to datetime(2026-01-02) \
             step 6h by Host | render timechart"
        );
        let chart = chart(&query).await.expect("columns that fit").expect("a chart");
        assert_eq!(chart.series.iter().map(|series| series.points.len()).collect::<Vec<_>>(), [4, 4]);
    }

    #[tokio::test]
    async fn bars_and_slices_name_what_they_stand_for() {
        let table = "datatable(Service:string, Cost:real)['EC2', 75.0, 'S3 <script>\u{1b}[2J', 25.0]";
        for kind in ["barchart", "columnchart", "piechart"] {
            let chart = chart(&format!("{table} | render {kind}")).await.expect("it fits").expect("a chart");
            let drawn = chart.terminal(60);
            assert!(drawn.contains("EC2") && drawn.contains("75"), "{kind}: {drawn}");
            assert!(!drawn.contains('\u{1b}'), "{kind}: {drawn:?}");
            let svg = chart.svg().expect("drawn");
            assert!(
                svg.contains("EC2") && !svg.contains("<script>") && !svg.contains('\u{1b}'),
                "{kind}: {svg}"
            );
        }
    }

    #[tokio::test]
    async fn what_cannot_be_drawn_is_told() {
        assert_eq!(chart("print x = 'a' | render table").await, Ok(None));
        for (query, problem) in [
            ("print x = 1 | render timechart", "needs a column of type datetime"),
            ("print x = 'a' | render barchart", "needs a column of numbers"),
            (
                "print x = 'a', y = 1 | render barchart with (ycolumns=z)",
                "ycolumns: the result has no column z",
            ),
            ("print x = 'a', y = 1 | where y > 1 | render piechart", "nothing to draw"),
            ("print x = 'a', y = 1 | render treemap", "`render treemap` cannot be drawn"),
        ] {
            let told = chart(query).await.expect_err(query);
            assert!(told.contains(problem), "{query}: {told}");
        }
    }

    #[test]
    fn numbers_and_times_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (9_999.0, "9999"),
            (12_500.0, "12.5k"),
            (3e6, "3M"),
            (-2.5e9, "-2.5G"),
            (0.256, "0.26"),
            (1e-7, "1.0e-7"),
        ] {
            assert_eq!(short(value), text);
        }
        let day = 86_400.0;
        assert_eq!(time_label(day, (0.0, 30.0 * day)), "1970-01-02");
        assert_eq!(time_label(day, (0.0, day)), "01-02 00:00Z");
        assert_eq!(time_label(60.0, (0.0, 120.0)), "00:01:00Z");
    }
}
