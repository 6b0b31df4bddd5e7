//! The picture of an incident: its findings along time from left to right, its entities as lines, a dot where a finding
//! names an entity, an arc where a bridge joins two.

use std::collections::BTreeMap;

use maud::{Markup, html};
use provost_model::{Finding, Incident, inert};

use crate::correlate::shown_entities;

/// How many findings fit a page.
const COLUMNS: usize = 20;
const LABELS: usize = 300;
const COLUMN: usize = 46;
const ROW: usize = 26;
const HEAD: usize = 78;
/// How much of an entity's name fits before its line.
const NAME: usize = 30;

/// The picture, as SVG in the page's own colours.
pub(super) fn picture(incident: &Incident, findings: &[&Finding]) -> Markup {
    let columns: Vec<&Finding> = findings.iter().copied().take(COLUMNS).collect();
    let rows = shown_entities(incident);
    let column: BTreeMap<_, _> = columns.iter().enumerate().map(|(at, finding)| (finding.id, at)).collect();
    let row: BTreeMap<_, _> = rows.iter().enumerate().map(|(at, &entity)| (entity, at)).collect();
    let x = |at: usize| LABELS + COLUMN / 2 + at * COLUMN;
    let y = |at: usize| HEAD + ROW / 2 + at * ROW;
    let (width, height) = (LABELS + columns.len() * COLUMN + 40, HEAD + rows.len() * ROW + 8);
    let ties: Vec<_> = incident
        .chain
        .iter()
        .filter_map(|edge| {
            let ends = (column.get(&edge.from)?, column.get(&edge.to)?);
            let via = (row.get(edge.via.first()?)?, row.get(edge.via.last()?)?);
            Some((edge, (x(*ends.0), y(*via.0)), (x(*ends.1), y(*via.1))))
        })
        .collect();
    html! {
        svg viewBox=(format!("0 0 {width} {height}")) width=(width) height=(height) role="img"
            aria-label="findings along time, and the entities that tie them" {
            @for (at, entity) in rows.iter().enumerate() {
                line.lane x1=(LABELS) y1=(y(at)) x2=(width - 20) y2=(y(at)) {}
                text.kind x=(8) y=(y(at) + 4) { (entity.kind()) }
                text.name x=(78) y=(y(at) + 4) {
                    (cut(&inert::terminal(entity.value())))
                    title { (inert::terminal(entity.value())) }
                }
            }
            @for (edge, from, to) in &ties {
                @if edge.bridge.is_some() {
                    path.bridge d=(arc(*from, *to)) { title { (inert::terminal(&edge.because)) } }
                } @else {
                    line.tie x1=(from.0) y1=(from.1) x2=(to.0) y2=(to.1) {
                        title { (inert::terminal(&edge.because)) }
                    }
                }
            }
            @for (at, finding) in columns.iter().enumerate() {
                text.when transform=(format!("translate({} {}) rotate(-40)", x(at) - 4, HEAD - 22)) {
                    (finding.first_seen.format("%m-%d %H:%M"))
                }
                text.number x=(x(at)) y=(HEAD - 6) { (at + 1) }
                @for (entity, at_row) in &row {
                    @if finding.entities.contains(*entity) {
                        circle.(finding.family.name()) cx=(x(at)) cy=(y(*at_row)) r="6" {
                            title { (inert::terminal(&finding.title)) }
                        }
                    }
                }
            }
        }
        @if findings.len() > columns.len() {
            p.quiet { "The first " (columns.len()) " of " (findings.len()) " findings are drawn." }
        }
    }
}

/// A curve, so that it does not hide behind the straight lines.
fn arc((x1, y1): (usize, usize), (x2, y2): (usize, usize)) -> String {
    let middle = (x1 + x2) / 2 + if x1 == x2 { 24 } else { 0 };
    format!("M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}")
}

/// The end of a long name tells more than its beginning.
fn cut(name: &str) -> String {
    let letters = name.chars().count();
    if letters <= NAME {
        return name.to_owned();
    }
    let end: String = name.chars().skip(letters + 1 - NAME).collect();
    format!("…{end}")
}
