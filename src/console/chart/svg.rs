//! Charts as SVG.

use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::prelude::*;
use provost_model::inert;

use super::{Axis, Chart, Series, Shape, bounds, short};

const SIZE: (u32, u32) = (960, 480);
/// Colours that stay apart for colour-blind readers (Okabe and Ito, "Color Universal Design", 2008).
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(86, 180, 233),
    RGBColor(204, 121, 167),
    RGBColor(153, 153, 0),
    RGBColor(90, 90, 90),
];
/// Steps between the marks of a time axis, in seconds.
const TIME_STEPS: [f64; 14] = [
    1.0,
    5.0,
    15.0,
    60.0,
    300.0,
    900.0,
    3_600.0,
    10_800.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    604_800.0,
    2_592_000.0,
];
const MARKS: usize = 8;
const LONGEST_NAME: usize = 32;
/// How much of a category's room its bars take.
const BAR_ROOM: f64 = 0.8;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<T = ()> = Result<T, Box<dyn std::error::Error>>;
type Plane<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Scale, Scale>>;

pub(super) fn draw(chart: &Chart) -> Result<String, String> {
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
    let drawn = match (&chart.axis, chart.shape) {
        (Axis::Categories(names), Shape::Pie) => pie(chart, names, &area),
        (Axis::Categories(names), shape) => bars(chart, names, shape == Shape::Bars, &area),
        (Axis::Time | Axis::Number, _) => lines(chart, &area),
    };
    drawn.and_then(|()| Ok(area.present()?)).map_err(|error| error.to_string())?;
    drop(area);
    Ok(text)
}

fn colour(place: usize) -> RGBColor {
    COLOURS[place % COLOURS.len()]
}

fn fitted(text: &str) -> String {
    let text = inert::terminal(text);
    match text.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A stretch of an axis and its marks.
struct Scale {
    from: f64,
    to: f64,
    marks: Vec<f64>,
}

impl Ranged for Scale {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (start, end): (i32, i32)) -> i32 {
        start + ((value - self.from) / (self.to - self.from) * f64::from(end - start)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.marks.clone()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.from..self.to
    }
}

impl Scale {
    /// Marks at the multiples of a step.
    fn stepped(from: f64, to: f64, step: f64) -> Self {
        let first = (from / step).ceil();
        let marks = (0..=2 * MARKS).map(|mark| (first + mark as f64) * step).filter(|at| *at <= to).collect();
        Self { from, to, marks }
    }

    /// Time, with marks at whole units of it.
    fn time(from: f64, to: f64) -> Self {
        let wanted = (to - from) / MARKS as f64;
        Self::stepped(from, to, TIME_STEPS.into_iter().find(|step| *step >= wanted).unwrap_or(wanted))
    }

    /// Numbers, with marks at one, two or five of some power of ten.
    fn numbers(from: f64, to: f64) -> Self {
        let wanted = (to - from) / MARKS as f64;
        let power = 10_f64.powf(wanted.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|digit| digit * power).find(|step| *step >= wanted);
        Self::stepped(from, to, step.unwrap_or(wanted))
    }

    /// The values of a chart, with zero in them and some air.
    fn values(chart: &Chart) -> Self {
        let (least, most) = bounds(chart.series.iter().flat_map(Series::values));
        let (least, most) = (least.min(0.0), most.max(0.0));
        let air = if most > least { (most - least) * 0.05 } else { 1.0 };
        Self::numbers(if least < 0.0 { least - air } else { 0.0 }, most + air)
    }

    /// One stretch of length one for each name, with its mark in the middle.
    fn names(names: &[String]) -> Self {
        let count = names.len();
        // Every so many, where there is no room for all.
        let step = count.div_ceil(3 * MARKS).max(1);
        let marks = (0..count).step_by(step).map(|place| place as f64 + 0.5).collect();
        Self { from: 0.0, to: count as f64, marks }
    }
}

fn builder<'a, 'b>(chart: &Chart, area: &'a Area<'b>) -> Drawn<ChartBuilder<'a, 'b, SVGBackend<'b>>> {
    area.fill(&WHITE)?;
    let mut builder = ChartBuilder::on(area);
    builder.margin(20).x_label_area_size(36).y_label_area_size(64);
    if !chart.title.is_empty() {
        builder.caption(fitted(&chart.title), ("sans-serif", 20));
    }
    Ok(builder)
}

fn mesh<'b>(plane: &mut Plane<'_, 'b>, x: &dyn Fn(&f64) -> String, y: &dyn Fn(&f64) -> String) -> Drawn {
    let mut mesh = plane.configure_mesh();
    mesh.bold_line_style(BLACK.mix(0.12)).x_label_formatter(x).y_label_formatter(y).draw()?;
    Ok(())
}

/// The names of the series, where there are several.
fn legend<'a, 'b: 'a>(chart: &Chart, plane: &mut Plane<'a, 'b>) -> Drawn {
    if chart.series.len() > 1 {
        plane
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.2))
            .draw()?;
    }
    Ok(())
}

fn lines(chart: &Chart, area: &Area<'_>) -> Drawn {
    let (from, to) = chart.span();
    let (from, to) = if to > from { (from, to) } else { (from - 0.5, to + 0.5) };
    let x = if chart.axis == Axis::Time { Scale::time(from, to) } else { Scale::numbers(from, to) };
    let mut plane = builder(chart, area)?.build_cartesian_2d(x, Scale::values(chart))?;
    mesh(&mut plane, &|at| chart.label(*at), &|value| short(*value))?;
    for (place, series) in chart.series.iter().enumerate() {
        let points = series.points.iter().copied();
        let drawn = if chart.shape == Shape::Points || series.points.len() == 1 {
            plane.draw_series(points.map(|point| Circle::new(point, 3, colour(place).filled())))?
        } else {
            plane.draw_series(LineSeries::new(points, colour(place).stroke_width(2)))?
        };
        drawn
            .label(fitted(&series.name))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour(place).stroke_width(2)));
    }
    legend(chart, &mut plane)
}

fn bars(chart: &Chart, names: &[String], lying: bool, area: &Area<'_>) -> Drawn {
    let along = Scale::names(names);
    let values = Scale::values(chart);
    let mut builder = builder(chart, area)?;
    if lying {
        builder.y_label_area_size(220);
    }
    let (x, y) = if lying { (values, along) } else { (along, values) };
    let mut plane = builder.build_cartesian_2d(x, y)?;
    // From above, as a reader goes.
    let below = |at: f64| if lying { names.len() as f64 - at } else { at };
    let name = |at: &f64| fitted(&chart.label(below(*at)));
    let number = |value: &f64| short(*value);
    if lying {
        mesh(&mut plane, &number, &name)?
    } else {
        mesh(&mut plane, &name, &number)?
    }
    let width = BAR_ROOM / chart.series.len() as f64;
    for (place, series) in chart.series.iter().enumerate() {
        let bars = series.points.iter().map(|&(at, value)| {
            let start = at + (1.0 - BAR_ROOM) / 2.0 + place as f64 * width;
            let corner = |at: f64, value: f64| if lying { (value, below(at)) } else { (at, value) };
            Rectangle::new([corner(start, 0.0), corner(start + width, value)], colour(place).filled())
        });
        plane
            .draw_series(bars)?
            .label(fitted(&series.name))
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour(place).filled()));
    }
    legend(chart, &mut plane)
}

fn pie(chart: &Chart, names: &[String], area: &Area<'_>) -> Drawn {
    area.fill(&WHITE)?;
    let inner = if chart.title.is_empty() {
        area.clone()
    } else {
        area.titled(&fitted(&chart.title), ("sans-serif", 20))?
    };
    let mut sizes = vec![0.0; names.len()];
    for (at, value) in chart.series.iter().flat_map(|series| &series.points) {
        if let Some(size) = sizes.get_mut(*at as usize) {
            *size += value.abs();
        }
    }
    let colours: Vec<RGBColor> = (0..names.len()).map(colour).collect();
    let labels: Vec<String> = names.iter().map(|name| fitted(name)).collect();
    let (width, height) = inner.dim_in_pixel();
    let (centre, radius) = ((width as i32 / 2, height as i32 / 2), f64::from(height) * 0.36);
    let mut pie = Pie::new(&centre, &radius, &sizes, &colours, &labels);
    pie.start_angle(-90.0);
    pie.label_style(("sans-serif", 14));
    pie.percentages(("sans-serif", 12).into_font().color(&WHITE));
    inner.draw(&pie)?;
    Ok(())
}
