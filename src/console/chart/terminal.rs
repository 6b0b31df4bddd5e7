//! Charts of characters.

use provost_model::inert;

use super::{Axis, Chart, Series, Shape, bounds, short};

/// Parts of a cell, from below and from the left.
const RISING: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const GROWING: [char; 9] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
/// A series alone, or one of few, is drawn this high; one of many in a line.
const HIGH: usize = 8;
const FEW: usize = 3;
/// Bars that are shown; a screen holds no more.
const MOST_BARS: usize = 40;
/// The room of the numbers beside a chart.
const NUMBERS: usize = 9;
const LONGEST_NAME: usize = 28;

pub(super) fn draw(chart: &Chart, width: usize) -> String {
    let width = width.max(40);
    let mut out = String::new();
    if !chart.title.is_empty() {
        out.push_str(&format!("{}\n\n", inert::terminal(&chart.title)));
    }
    match (&chart.axis, chart.shape) {
        (Axis::Categories(names), shape) => bars(chart, names, shape == Shape::Pie, width, &mut out),
        (Axis::Time | Axis::Number, _) => panels(chart, width, &mut out),
    }
    if chart.left_out > 0 {
        out.push_str(&format!("and {} series more\n", chart.left_out));
    }
    out
}

/// A name in its room.
fn fitted(name: &str, room: usize) -> String {
    let name = inert::terminal(name);
    match name.char_indices().nth(room) {
        Some(_) => name.chars().take(room.saturating_sub(1)).chain(['…']).collect(),
        None => format!("{name:<room$}"),
    }
}

fn bars(chart: &Chart, names: &[String], shares: bool, width: usize, out: &mut String) {
    let several = chart.series.len() > 1;
    let mut rows: Vec<(String, f64)> = Vec::new();
    for (place, name) in names.iter().enumerate() {
        for series in &chart.series {
            for (_, value) in series.points.iter().filter(|(at, _)| *at as usize == place) {
                let label = if several { format!("{name} · {}", series.name) } else { name.clone() };
                rows.push((label, *value));
            }
        }
    }
    let room = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0).min(LONGEST_NAME);
    let (_, most) = bounds(rows.iter().map(|(_, value)| value.abs()));
    let sum: f64 = rows.iter().map(|(_, value)| value.abs()).sum();
    let length = width.saturating_sub(room + NUMBERS + if shares { 8 } else { 2 });
    for (label, value) in rows.iter().take(MOST_BARS) {
        let eighths =
            if most > 0.0 { (value.abs() / most * length as f64 * 8.0).round() as usize } else { 0 };
        let mut bar = "█".repeat(eighths / 8);
        if eighths % 8 > 0 {
            bar.push(GROWING[eighths % 8]);
        }
        let share =
            if shares && sum > 0.0 { format!(" {:4.1}%", value.abs() / sum * 100.0) } else { String::new() };
        out.push_str(&format!("{} {:>NUMBERS$}{share} {bar}\n", fitted(label, room), short(*value)));
    }
    if rows.len() > MOST_BARS {
        out.push_str(&format!("and {} more\n", rows.len() - MOST_BARS));
    }
}

fn panels(chart: &Chart, width: usize, out: &mut String) {
    let few = chart.series.len() <= FEW;
    let names = chart.series.iter().map(|series| series.name.chars().count()).max().unwrap_or(0);
    let room = if few { 0 } else { names.min(LONGEST_NAME) + 1 };
    let cells = width.saturating_sub(room + NUMBERS + 1);
    let span = chart.span();
    let bins = bins(chart, span, cells);
    for series in &chart.series {
        // The greatest of what falls into a bin: a peak must not be smoothed away.
        let mut greatest: Vec<Option<f64>> = vec![None; bins];
        for &(at, value) in &series.points {
            let place = if span.1 > span.0 { (at - span.0) / (span.1 - span.0) } else { 0.0 };
            let bin = &mut greatest[(place * (bins - 1) as f64).round() as usize];
            *bin = Some(bin.map_or(value, |known| known.max(value)));
        }
        let columns: Vec<Option<f64>> =
            (0..cells / bins * bins).map(|cell| greatest[cell / (cells / bins)]).collect();
        if few {
            high(series, &columns, out);
        } else {
            let (least, most) = level(series);
            let line: String = columns.iter().map(|value| part(*value, least, most, 0, 1)).collect();
            out.push_str(&format!("{} {:>NUMBERS$} {line}\n", fitted(&series.name, room - 1), short(most)));
        }
    }
    let (first, last) = (chart.label(span.0), chart.label(span.1));
    let gap = (cells / bins * bins).saturating_sub(first.chars().count() + last.chars().count());
    out.push_str(&format!("{}{first}{}{last}\n", " ".repeat(room + NUMBERS + 1), " ".repeat(gap)));
}

/// How many stretches the x axis falls into: as many as the points lie apart, where there is room for them.
fn bins(chart: &Chart, (from, to): (f64, f64), cells: usize) -> usize {
    let mut positions: Vec<f64> =
        chart.series.iter().flat_map(|series| series.points.iter().map(|point| point.0)).collect();
    positions.sort_by(f64::total_cmp);
    positions.dedup();
    let gaps = positions.windows(2).map(|pair| pair[1] - pair[0]);
    let (narrowest, _) = bounds(gaps);
    (((to - from) / narrowest).round() as usize).saturating_add(1).clamp(1, cells)
}

/// The values that a panel's bottom and top stand for.
fn level(series: &Series) -> (f64, f64) {
    let (least, most) = bounds(series.values());
    (least.min(0.0), most.max(0.0))
}

fn high(series: &Series, columns: &[Option<f64>], out: &mut String) {
    let (least, most) = level(series);
    out.push_str(&format!("{}{}\n", " ".repeat(NUMBERS + 1), inert::terminal(&series.name)));
    for row in (0..HIGH).rev() {
        let number = match row {
            0 => short(least),
            row if row == HIGH - 1 => short(most),
            _ => String::new(),
        };
        let line: String = columns.iter().map(|value| part(*value, least, most, row, HIGH)).collect();
        out.push_str(&format!("{number:>NUMBERS$} {}\n", line.trim_end()));
    }
}

/// What of a value's column is seen in one row of a panel, counted from below.
fn part(value: Option<f64>, least: f64, most: f64, row: usize, rows: usize) -> char {
    let Some(value) = value else { return ' ' };
    let share = if most > least { (value - least) / (most - least) } else { 0.0 };
    // A value that is there shows, be it the least.
    let eighths = ((share * (rows * 8) as f64).round() as usize).max(1);
    RISING[eighths.saturating_sub(row * 8).min(8)]
}
