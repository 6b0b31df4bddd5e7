//! The report as one HTML file: no script, no other resource, light or dark as the reader has it, fit for paper.

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use provost_model::{Finding, Incident, Severity, TriageAnswer, format_time, inert};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Report, chain};
use crate::correlate::shown_entities;

const STYLE: &str = include_str!("report.css");
/// The most rows of a table in the page; the CSV files have them all.
const MOST_ROWS: usize = 2_000;

/// The page.
pub fn html(report: &Report<'_>) -> String {
    let findings: BTreeMap<Uuid, &Finding> = report.findings.iter().map(|one| (one.id, one)).collect();
    let (merged, mut incidents): (Vec<&Incident>, Vec<&Incident>) =
        report.incidents.iter().partition(|incident| incident.superseded_by.is_some());
    incidents.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.first_seen.cmp(&b.first_seen)));
    let escalated = incidents.iter().filter(|incident| incident.escalate).count();
    let unapproved = report.ledger.iter().filter(|row| !approved(row)).count();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
                meta name="referrer" content="no-referrer";
                title { "Provost report" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "Provost report" }
                    p.quiet {
                        "Event time " (time(report.covers.0)) " to " (time(report.covers.1)) ", made "
                        (time(report.made_at)) "."
                    }
                    ul.counts {
                        (count(incidents.len(), "incidents"))
                        (count(escalated, "to escalate"))
                        (count(report.findings.len(), "findings"))
                        (count(report.ledger.len(), "resources created"))
                        (count(unapproved, "of them not approved"))
                    }
                }
                main {
                    section id="incidents" {
                        h2 { "Incidents" }
                        (overview(&incidents))
                        @for incident in &incidents { (one_incident(incident, &findings)) }
                        @if !merged.is_empty() {
                            p.quiet { (merged.len()) " more incidents turned out to be part of these." }
                        }
                    }
                    section id="findings" { h2 { "Findings" } (findings_table(report)) }
                    section id="ledger" { h2 { "Provisioning ledger" } (ledger_table(report.ledger)) }
                }
            }
        }
    };
    page.into_string()
}

fn overview(incidents: &[&Incident]) -> Markup {
    html! {
        @if incidents.is_empty() { p { "None." } } @else {
            table {
                thead { tr { th { "Score" } th { "Severity" } th { "Incident" } th { "Kinds" } th { "Since" } th { "Findings" } th { "Escalate" } } }
                tbody {
                    @for incident in incidents {
                        tr {
                            td.number { (format!("{:.0}", incident.score)) }
                            td { (severity(incident.severity)) }
                            td { a href=(format!("#i-{}", incident.id)) { (text(&incident.title)) } }
                            td { @for family in &incident.families { span.(format!("dot {family}")) {} (family) " " } }
                            td.nowrap { (time(incident.first_seen)) }
                            td.number { (incident.findings.len()) }
                            td { (if incident.escalate { "yes" } else { "no" }) }
                        }
                    }
                }
            }
        }
    }
}

fn one_incident(incident: &Incident, findings: &BTreeMap<Uuid, &Finding>) -> Markup {
    let mut members: Vec<&Finding> =
        incident.findings.iter().filter_map(|id| findings.get(id).copied()).collect();
    members.sort_by_key(|finding| (finding.first_seen, finding.id));
    let shown = shown_entities(incident);
    let more = incident.entities.len() - shown.len();
    html! {
        article id=(format!("i-{}", incident.id)) {
            h3 { (severity(incident.severity)) " " (text(&incident.title)) }
            p.quiet {
                "Score " (format!("{:.1}", incident.score)) " of 100 · " (time(incident.first_seen)) " to "
                (time(incident.last_seen)) " · version " (incident.version) " · " code { (incident.id) }
                @if incident.escalate { " · " strong { "escalate" } }
            }
            p { @for technique in &incident.techniques { span.tag { (text(technique)) } " " } }
            div.scroll { (chain::picture(incident, &members)) }
            ol.findings {
                @for finding in &members {
                    li {
                        span.(format!("dot {}", finding.family)) {} span.nowrap { (time(finding.first_seen)) } " "
                        (text(&finding.title)) " " span.quiet { "(" (finding.family) ", " (finding.severity) ")" }
                    }
                }
            }
            @if incident.findings.len() > members.len() {
                p.quiet { (incident.findings.len() - members.len()) " more findings are older than this report." }
            }
            h4 { "Entities" }
            ul.entities {
                @for entity in shown { li { span.quiet { (entity.kind()) } " " code { (text(entity.value())) } } }
                @if more > 0 { li.quiet { "and " (more) " more" } }
            }
            h4 { "Why this score" }
            ul { @for reason in &incident.reasons { li { (text(reason)) } } }
            @if !incident.chain.is_empty() {
                h4 { "What ties the findings" }
                div.scroll { (ties(incident, &members)) }
            }
            @if !incident.triage.is_empty() {
                h4 { "Triage" }
                div.scroll { (triage(&incident.triage)) }
            }
            @if !incident.next_steps.is_empty() {
                h4 { "Next steps" }
                ul.steps { @for step in &incident.next_steps { li { (text(step)) } } }
            }
        }
    }
}

fn ties(incident: &Incident, members: &[&Finding]) -> Markup {
    let number =
        |id: Uuid| members.iter().position(|finding| finding.id == id).map(|at| (at + 1).to_string());
    html! {
        table {
            thead { tr { th { "Findings" } th { "Weight" } th { "Because" } th { "Bridge" } } }
            tbody {
                @for edge in &incident.chain {
                    tr {
                        td.nowrap { (number(edge.from).unwrap_or_else(|| "–".to_owned())) " – " (number(edge.to).unwrap_or_else(|| "–".to_owned())) }
                        td.number { (format!("{:.2}", edge.weight)) }
                        td { (text(&edge.because)) }
                        td { (text(edge.bridge.as_deref().unwrap_or("shared"))) }
                    }
                }
            }
        }
    }
}

fn triage(answers: &[TriageAnswer]) -> Markup {
    html! {
        table.triage {
            thead { tr { th { "Playbook" } th { "Question or criterion" } th { "Answer" } } }
            tbody {
                @for answer in answers {
                    tr {
                        td { (text(&answer.playbook)) }
                        td {
                            @if answer.met == Some(true) { span.met { "met" } " " }
                            (text(&answer.question))
                        }
                        td.answer {
                            (text(&answer.answer))
                            @if !answer.evidence.is_empty() {
                                details {
                                    summary { "evidence, " (answer.rows) " rows" }
                                    (rows(&answer.evidence))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn findings_table(report: &Report<'_>) -> Markup {
    html! {
        @if report.findings.is_empty() { p { "None." } } @else {
            div.scroll { table {
                thead { tr { th { "First seen" } th { "Severity" } th { "Family" } th { "Finding" } th { "Rule" } th { "Evidence" } } }
                tbody {
                    @for finding in report.findings.iter().take(MOST_ROWS) {
                        tr {
                            td.nowrap { (time(finding.first_seen)) }
                            td { (severity(finding.severity)) }
                            td.nowrap { span.(format!("dot {}", finding.family)) {} (finding.family) }
                            td { (text(&finding.title)) }
                            td { (text(&finding.rule_name)) }
                            td.number { (finding.evidence_count) }
                        }
                    }
                }
            } }
            (left_out(report.findings.len()))
        }
    }
}

fn ledger_table(ledger: &[Map<String, Value>]) -> Markup {
    html! {
        @if ledger.is_empty() {
            p { "The lake holds no creation of servers, addresses or domains in this time." }
        } @else {
            div.scroll { (rows(&ledger[..ledger.len().min(MOST_ROWS)])) }
            (left_out(ledger.len()))
        }
    }
}

fn left_out(all: usize) -> Markup {
    html! { @if all > MOST_ROWS { p.quiet { "The first " (MOST_ROWS) " of " (all) "; the CSV file has all." } } }
}

fn rows(rows: &[Map<String, Value>]) -> Markup {
    let columns: Vec<&String> = rows.first().map(|row| row.keys().collect()).unwrap_or_default();
    html! {
        table {
            thead { tr { @for column in &columns { th { (text(column)) } } } }
            tbody {
                @for row in rows {
                    tr.(if row.contains_key("Approved") && !approved(row) { "unapproved" } else { "" }) {
                        @for column in &columns { td { (text(&cell(row.get(*column)))) } }
                    }
                }
            }
        }
    }
}

fn approved(row: &Map<String, Value>) -> bool {
    row.get("Approved").and_then(Value::as_bool).unwrap_or(false)
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::Bool(yes)) => if *yes { "yes" } else { "no" }.to_owned(),
        Some(Value::Array(values)) => {
            values.iter().map(|value| cell(Some(value))).collect::<Vec<_>>().join(", ")
        }
        Some(value @ Value::Number(_)) => crate::correlate::template::plain(value),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn count(number: usize, what: &str) -> Markup {
    html! { li { b { (number) } " " (what) } }
}

fn severity(severity: Severity) -> Markup {
    html! { span.(format!("severity {}", severity.name().to_lowercase())) { (severity) } }
}

fn time(instant: chrono::DateTime<chrono::Utc>) -> String {
    let text = format_time(instant);
    // To the second is as exact as a reader compares.
    text.split('.').next().unwrap_or_default().trim_end_matches('Z').replace('T', " ")
}

/// Text from a log: the template escapes what is HTML, this what turns the direction of text or hides in it.
fn text(text: &str) -> String {
    inert::terminal(text)
}
