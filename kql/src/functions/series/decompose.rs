//! Series: periods, seasons, trends, and what stands out from them.

use serde_json::Value as Json;

use super::lines::{Line, line};
use super::{Function, Row, eval, filled, series};
use crate::value::{Value, real_json};

/// A period counts as found from this correlation on.
const SEASONALITY_THRESHOLD: f64 = 0.6;
/// In `series_seasonal()`, which knows no threshold of the caller's, from this one on.
const SEASONAL_THRESHOLD: f64 = 0.7;
/// A period with this part of the best one's score holds nearly as well.
const NEARLY: f64 = 0.9;
/// A shorter period with this part of a longer one's score stands for it.
const AS_WELL: f64 = 0.95;
/// A period of fewer points says little, and is not looked for.
const LEAST_PERIOD: f64 = 4.0;
/// Periods that differ by this part of one are the same one, seen less clearly.
const NEIGHBOURS: f64 = 0.15;
/// The periods of a season have to be seen so often.
const LEAST_SEASONS: usize = 3;

/// How a series goes together with itself so many steps later, whatever the number of steps.
fn autocorrelation(values: &[f64], lag: usize) -> f64 {
    let count = values.len();
    if lag == 0 || lag >= count {
        return 0.0;
    }
    let mean = values.iter().sum::<f64>() / count as f64;
    let all: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    if all == 0.0 {
        return 0.0;
    }
    let shifted: f64 =
        values.iter().zip(&values[lag..]).map(|(left, right)| (left - mean) * (right - mean)).sum();
    shifted / all * count as f64 / (count - lag) as f64
}

/// Whether the correlation is greater at a lag than beside it.
fn is_peak(values: &[f64], lag: usize) -> bool {
    let here = autocorrelation(values, lag);
    here > 0.0
        && here >= autocorrelation(values, lag.saturating_sub(1))
        && here >= autocorrelation(values, lag + 1)
}

/// How well a period holds: the least correlation at it and at its multiples.
fn period_score(values: &[f64], period: f64) -> f64 {
    if !(2.0..=values.len() as f64 / 2.0).contains(&period) {
        return 0.0;
    }
    let lag_of = |times: usize| (period * times as f64).round() as usize;
    if !is_peak(values, lag_of(1)) {
        return 0.0;
    }
    (1..)
        .map(lag_of)
        .take_while(|lag| *lag * 2 <= values.len())
        .map(|lag| autocorrelation(values, lag))
        .fold(f64::INFINITY, f64::min)
        .clamp(0.0, 1.0)
}

/// The periods of a series within bounds, and how well each holds.
fn scored(values: &[f64], least: f64, most: f64) -> Vec<(usize, f64)> {
    let least = least.max(2.0).ceil() as usize;
    let most = (most.max(0.0).floor() as usize).min(values.len() / 2);
    // Long series are searched no further than is affordable.
    let most = most.min(2_000);
    (least..=most)
        .filter(|lag| is_peak(values, *lag))
        .map(|lag| (lag, period_score(values, lag as f64)))
        .filter(|(_, score)| *score > 0.0)
        .collect()
}

/// The periods of a series within bounds, the best first.
fn periods(values: &[f64], least: f64, most: f64) -> Vec<(usize, f64)> {
    let mut found = scored(values, least, most);
    found.sort_by(|left, right| right.1.total_cmp(&left.1).then(left.0.cmp(&right.0)));
    // A multiple of a better period says nothing new, and neither does one close to a multiple.
    let near = |lag: usize, known: usize| {
        let off = (lag % known).min(known - lag % known);
        off as f64 <= NEIGHBOURS * known as f64
    };
    // What a shorter period does as well is its multiple, too.
    let shorter: Vec<(usize, f64)> = found.clone();
    found.retain(|(lag, score)| {
        let as_well =
            |(other, own): &(usize, f64)| other < lag && lag % other == 0 && *own >= AS_WELL * score;
        !shorter.iter().any(as_well)
    });
    let mut kept: Vec<(usize, f64)> = Vec::new();
    for (lag, score) in found {
        if !kept.iter().any(|(known, _)| lag > *known / 2 && near(lag, *known)) {
            kept.push((lag, score));
        }
    }
    kept
}

/// The one period that a decomposition takes, if the series has one: the shortest that holds nearly as well as the best,
/// whose multiples hold as well, provided that it is seen often enough.
fn season_of(values: &[f64], threshold: f64) -> Option<usize> {
    let candidates = scored(values, 2.0, values.len() as f64 / 2.0);
    let best = candidates.iter().map(|(_, score)| *score).fold(0.0, f64::max);
    let (period, score) = candidates.into_iter().find(|(_, score)| *score >= NEARLY * best)?;
    (score >= threshold && period * LEAST_SEASONS <= values.len()).then_some(period)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[count / 2],
        count => (values[count / 2 - 1] + values[count / 2]) / 2.0,
    }
}

/// For each place in a season the median of the values there.
fn seasonal(values: &[f64], period: Option<usize>, fit_to: usize) -> Vec<f64> {
    let Some(period) = period.filter(|period| *period > 0) else { return vec![0.0; values.len()] };
    let phases: Vec<f64> = (0..period)
        .map(|phase| median(values[..fit_to].iter().skip(phase).step_by(period).copied().collect()))
        .collect();
    (0..values.len()).map(|index| phases[index % period]).collect()
}

/// How often trend and season are told apart anew; the error shrinks by the square of the number of seasons each time.
const ROUNDS: usize = 3;

/// The line through a series without its season: what a season falls within itself is no part of the trend.
fn trend_beside_season(values: &[f64], straight: Line, period: Option<usize>, fit_to: usize) -> Line {
    let mut trend = straight;
    for _ in 0..if period.is_some() { ROUNDS } else { 0 } {
        let rest: Vec<f64> =
            values.iter().enumerate().map(|(index, value)| value - trend.at(index)).collect();
        let season = seasonal(&rest, period, fit_to);
        let level: Vec<f64> =
            values[..fit_to].iter().zip(&season).map(|(value, season)| value - season).collect();
        trend = line(&level);
    }
    trend
}

/// A series in its parts.
struct Parts {
    baseline: Vec<f64>,
    seasonal: Vec<f64>,
    trend: Vec<f64>,
    residual: Vec<f64>,
}

fn decompose(values: &[f64], season: Season, trend: &str, test_points: usize) -> Parts {
    let count = values.len();
    let fit_to = count - test_points.min(count.saturating_sub(1));
    let fitted = &values[..fit_to];
    let straight = line(fitted);
    let detrended: Vec<f64> =
        values.iter().enumerate().map(|(index, value)| value - straight.at(index)).collect();
    let period = match season {
        Season::Auto(threshold) => season_of(&detrended[..fit_to], threshold),
        Season::Given(period) => Some(period),
        Season::None => None,
    };
    let mean = fitted.iter().sum::<f64>() / fit_to.max(1) as f64;
    let trend: Vec<f64> = match trend {
        "linefit" => {
            let line = trend_beside_season(values, straight, period, fit_to);
            (0..count).map(|index| line.at(index)).collect()
        }
        "none" => vec![0.0; count],
        _ => vec![mean; count],
    };
    let rest: Vec<f64> = values.iter().zip(&trend).map(|(value, trend)| value - trend).collect();
    let seasonal = seasonal(&rest, period, fit_to);
    let baseline: Vec<f64> = trend.iter().zip(&seasonal).map(|(trend, seasonal)| trend + seasonal).collect();
    let residual = values.iter().zip(&baseline).map(|(value, baseline)| value - baseline).collect();
    Parts { baseline, seasonal, trend, residual }
}

#[derive(Debug, Clone, Copy)]
enum Season {
    /// Found in the series, from this score on.
    Auto(f64),
    Given(usize),
    None,
}

fn season(row: &Row<'_>, index: usize, threshold: usize) -> Season {
    let threshold = row.real(threshold).unwrap_or(SEASONALITY_THRESHOLD);
    match row.long(index) {
        Some(0) => Season::None,
        Some(period) if period > 0 => usize::try_from(period).map_or(Season::None, Season::Given),
        _ => Season::Auto(threshold),
    }
}

fn trend<'a>(row: &Row<'a>, index: usize) -> &'a str {
    match row.text(index) {
        "" => "avg",
        trend => trend,
    }
}

fn array(values: &[f64]) -> Json {
    values.iter().map(|value| real_json(*value)).collect()
}

fn decompose_row(row: &Row<'_>) -> Value<'static> {
    let Some(values) = filled(row, 0) else { return Value::Null };
    let test_points = usize::try_from(row.long(3).unwrap_or(0)).unwrap_or(0);
    let parts = decompose(&values, season(row, 1, 4), trend(row, 2), test_points);
    let columns = [parts.baseline, parts.seasonal, parts.trend, parts.residual];
    Value::json(&columns.iter().map(|column| array(column)).collect())
}

/// The value at a percentage of sorted values, between two of them where it falls between.
fn quantile(sorted: &[f64], percent: f64) -> f64 {
    let place = percent / 100.0 * (sorted.len().saturating_sub(1)) as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    match (sorted.get(low), sorted.get(high)) {
        (Some(low_value), Some(high_value)) => low_value + (high_value - low_value) * (place - low as f64),
        _ => 0.0,
    }
}

/// How far each value lies outside the range of the usual ones, in widths of that range.
fn outlier_scores(values: &[f64], low: f64, high: f64, reference: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = reference.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (quantile(&sorted, low), quantile(&sorted, high));
    let width = high - low;
    values
        .iter()
        .map(|value| {
            let outside = if *value > high {
                value - high
            } else if *value < low {
                value - low
            } else {
                0.0
            };
            if outside == 0.0 || width > 0.0 {
                if outside == 0.0 { 0.0 } else { outside / width }
            } else {
                outside.signum() * f64::from(u8::MAX)
            }
        })
        .collect()
}

fn anomalies(row: &Row<'_>) -> Value<'static> {
    let Some(values) = filled(row, 0) else { return Value::Null };
    let threshold = row.real(1).unwrap_or(1.5);
    let test_points = usize::try_from(row.long(4).unwrap_or(0)).unwrap_or(0);
    let parts = decompose(&values, season(row, 2, 6), trend(row, 3), test_points);
    let fit_to = values.len() - test_points.min(values.len());
    let (low, high) = if row.text(5) == "tukey" { (25.0, 75.0) } else { (10.0, 90.0) };
    let scores = outlier_scores(&parts.residual, low, high, &parts.residual[..fit_to]);
    let flags: Json = scores
        .iter()
        .map(|score| {
            Json::from(if *score > threshold {
                1
            } else if *score < -threshold {
                -1
            } else {
                0
            })
        })
        .collect();
    Value::json(&Json::Array(vec![flags, array(&scores), array(&parts.baseline)]))
}

fn forecast(row: &Row<'_>) -> Value<'static> {
    let Some(values) = filled(row, 0) else { return Value::Null };
    let points = usize::try_from(row.long(1).unwrap_or(0)).unwrap_or(0);
    let trend = if row.text(3).is_empty() { "linefit" } else { row.text(3) };
    let parts = decompose(&values, season(row, 2, 4), trend, points);
    let columns = [parts.baseline, parts.seasonal, parts.trend, parts.residual];
    Value::json(&columns.iter().map(|column| array(column)).collect())
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        eval(
            "series_outliers",
            "(series: dynamic, [kind: string], [ignore: any], [low: real], [high: real]) -> dynamic",
            "How far each value lies outside the usual range, in widths of that range.",
            ("series_outliers(dynamic([1, 2, 1, 2, 1, 2, 1, 2, 1, 9]))[0]", "0.0"),
            |row| {
                let Some(values) = filled(row, 0) else { return Value::Null };
                let tukey = row.text(1) == "tukey";
                let low = row.real(3).unwrap_or(if tukey { 25.0 } else { 10.0 });
                let high = row.real(4).unwrap_or(if tukey { 75.0 } else { 90.0 });
                series(outlier_scores(&values, low, high, &values).into_iter().map(Some))
            },
        ),
        eval(
            "series_seasonal",
            "(series: dynamic, [period: long]) -> dynamic",
            "The part of a series that comes again every season.",
            ("series_seasonal(dynamic([1, 2, 1, 2, 1, 2, 1, 2]), 2)", "[1.0,2.0,1.0,2.0,1.0,2.0,1.0,2.0]"),
            |row| {
                let Some(values) = filled(row, 0) else { return Value::Null };
                let period = match season(row, 1, usize::MAX) {
                    Season::Auto(_) => season_of(&values, SEASONAL_THRESHOLD),
                    Season::Given(period) => Some(period),
                    Season::None => None,
                };
                series(seasonal(&values, period, values.len()).into_iter().map(Some))
            },
        ),
        eval(
            "series_periods_detect",
            "(series: dynamic, least: real, most: real, [count: long]) -> dynamic",
            "The most marked periods within bounds, and their scores, each a column.",
            ("series_periods_detect(dynamic([1, 5, 5, 5, 1, 5, 5, 5, 1, 5, 5, 5]), 4, 6, 1)[0]", "[4.0]"),
            |row| {
                let (Some(values), Some(least), Some(most)) = (filled(row, 0), row.real(1), row.real(2))
                else {
                    return Value::Null;
                };
                let count = usize::try_from(row.long(3).unwrap_or(1)).unwrap_or(0);
                let mut found: Vec<(f64, f64)> = periods(&values, least.max(LEAST_PERIOD), most)
                    .into_iter()
                    .take(count)
                    .map(|(lag, score)| (lag as f64, score))
                    .collect();
                // As many as were asked for, those that are not there as zero.
                found.resize(count.min(values.len()), (0.0, 0.0));
                let lags: Vec<f64> = found.iter().map(|(lag, _)| *lag).collect();
                let scores: Vec<f64> = found.iter().map(|(_, score)| *score).collect();
                Value::json(&Json::Array(vec![array(&lags), array(&scores)]))
            },
        ),
        eval(
            "series_periods_validate",
            "(series: dynamic, period: real, ...) -> dynamic",
            "How well the series keeps each of the periods, with the periods and the scores each a column.",
            ("series_periods_validate(dynamic([1, 5, 1, 5, 1, 5, 1, 5]), 2.0)[0]", "[2.0]"),
            |row| {
                let Some(values) = filled(row, 0) else { return Value::Null };
                let periods: Vec<f64> = (1..row.len()).filter_map(|index| row.real(index)).collect();
                let scores: Vec<f64> = periods
                    .iter()
                    .map(|period| (period_score(&values, *period) * 100.0).round() / 100.0)
                    .collect();
                Value::json(&Json::Array(vec![array(&periods), array(&scores)]))
            },
        ),
        eval(
            "series_decompose",
            "(series: dynamic, [season: long], [trend: string], [test_points: long], [threshold: real]) -> dynamic",
            "Baseline, seasonal part, trend and residual, each a column.",
            ("array_length(series_decompose(dynamic([1, 2, 1, 2])))", "4"),
            decompose_row,
        ),
        eval(
            "series_decompose_anomalies",
            "(series: dynamic, [threshold: real], [season: long], [trend: string], [test_points: long], [method: string], [season_threshold: real]) -> dynamic",
            "What stands out from trend and season: flags, scores and baseline, each a column.",
            ("array_length(series_decompose_anomalies(dynamic([1, 2, 1, 2])))", "3"),
            anomalies,
        ),
        eval(
            "series_decompose_forecast",
            "(series: dynamic, points: long, [season: long], [trend: string], [threshold: real]) -> dynamic",
            "The series with its last points foretold from the rest, with its parts, each a column.",
            ("array_length(series_decompose_forecast(dynamic([1, 2, 3, 4]), 1))", "4"),
            forecast,
        ),
    ]
}
