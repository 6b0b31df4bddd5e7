//! Results as a table that fits the screen, as JSON for programs, or as CSV.

use std::io::{IsTerminal, Write};
use std::process::{Command, Stdio};

use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle, presets};
use provost_kql::ResultSet;
use provost_model::inert;
use serde_json::{Map, Value};

use super::rows::texts;

/// How results are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// One array of objects, columns in order.
    Json,
    /// With a header line.
    Csv,
}

/// Rows under named columns.
#[derive(Debug, Clone, Default)]
pub struct Sheet {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

impl Sheet {
    /// An empty sheet.
    pub fn new<const N: usize>(columns: [&str; N]) -> Self {
        Self { columns: columns.map(str::to_owned).to_vec(), rows: Vec::new() }
    }

    /// Adds a row; as many cells as there are columns.
    pub fn row<const N: usize>(&mut self, cells: [Value; N]) {
        self.rows.push(cells.to_vec());
    }

    /// The same with these columns only.
    pub fn only(&self, columns: &[&str]) -> Self {
        let places: Vec<usize> =
            columns.iter().filter_map(|name| self.columns.iter().position(|column| column == name)).collect();
        let pick = |row: &Vec<Value>| places.iter().map(|&place| row[place].clone()).collect();
        Self {
            columns: places.iter().map(|&place| self.columns[place].clone()).collect(),
            rows: self.rows.iter().map(pick).collect(),
        }
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Writes results in the format that was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// The format.
    pub format: Format,
}

impl Output {
    /// Whether a person reads it: notes and headings are welcome.
    pub fn for_people(self) -> bool {
        self.format == Format::Table
    }

    /// A line for people; programs don't see it.
    pub fn note(self, text: impl AsRef<str>) {
        if self.for_people() {
            self.line(text.as_ref());
        }
    }

    fn line(self, text: &str) {
        let mut out = std::io::stdout().lock();
        // A closed pipe ends the output, not the work.
        let _ = writeln!(out, "{text}");
    }

    /// Writes a sheet.
    pub fn sheet(self, sheet: &Sheet) -> std::io::Result<()> {
        match self.format {
            Format::Json => {
                let objects: Vec<Value> = sheet
                    .rows
                    .iter()
                    .map(|row| {
                        Value::Object(
                            sheet.columns.iter().cloned().zip(row.iter().cloned()).collect::<Map<_, _>>(),
                        )
                    })
                    .collect();
                write_json(&objects)
            }
            Format::Csv => {
                let cell = |value: &Value| parts(value).join("; ");
                write_csv(&sheet.columns, sheet.rows.iter().map(|row| row.iter().map(cell).collect()))
            }
            Format::Table => {
                let cell = |value: &Value| {
                    let lines: Vec<String> = parts(value).iter().map(|line| shown(line)).collect();
                    lines.join("\n")
                };
                self.line(&table(
                    &sheet.columns,
                    sheet.rows.iter().map(|row| row.iter().map(cell).collect()),
                ));
                Ok(())
            }
        }
    }

    /// Writes the rows of a query as a table, by a pager where the screen is too low for them.
    pub fn table(self, result: &ResultSet) -> std::io::Result<()> {
        let names: Vec<String> = result.columns.iter().map(|column| column.name.clone()).collect();
        let rows = result.batches.iter().flat_map(|batch| {
            (0..batch.num_rows()).map(|row| {
                texts(&result.columns, batch.columns(), row).map(|cell| shown(&cell)).collect::<Vec<_>>()
            })
        });
        self.page(&table(&names, rows))
    }

    /// Writes a text, by a pager where standard output is a terminal too low for it.
    pub fn page(self, text: &str) -> std::io::Result<()> {
        let height = terminal_size::terminal_size().map_or(usize::MAX, |(_, height)| height.0.into());
        if std::io::stdout().is_terminal() && text.lines().count() >= height && paged(text).is_ok() {
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", text.trim_end_matches('\n'))
    }
}

/// How many characters a line may have.
pub fn width() -> usize {
    match terminal_size::terminal_size().filter(|_| std::io::stdout().is_terminal()) {
        Some((width, _)) => width.0.into(),
        None => std::env::var("COLUMNS").ok().and_then(|width| width.parse().ok()).unwrap_or(120),
    }
}

/// Shows a text in the pager that `PAGER` names.
fn paged(text: &str) -> std::io::Result<()> {
    let pager = std::env::var("PAGER").ok().filter(|pager| !pager.trim().is_empty());
    // Wide lines are not broken, a short text does not wait, and the screen stays as it was.
    let pager = pager.unwrap_or_else(|| "less -FSX".to_owned());
    let mut words = pager.split_whitespace();
    let mut pager = Command::new(words.next().unwrap_or_default());
    let mut pager = pager.args(words).stdin(Stdio::piped()).spawn()?;
    if let Some(mut input) = pager.stdin.take() {
        // Who leaves the pager early has seen enough.
        let _ = input.write_all(text.as_bytes());
    }
    pager.wait().map(drop)
}

fn write_json(objects: &[Value]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let text = serde_json::to_string_pretty(objects).map_err(std::io::Error::from)?;
    writeln!(out, "{text}")
}

fn write_csv(columns: &[String], rows: impl Iterator<Item = Vec<String>>) -> std::io::Result<()> {
    let mut out = csv::Writer::from_writer(std::io::stdout().lock());
    out.write_record(columns).map_err(std::io::Error::from)?;
    for row in rows {
        out.write_record(row.iter().map(|cell| inert::csv(cell))).map_err(std::io::Error::from)?;
    }
    out.flush()
}

/// The longest cell that a table shows whole.
const LONGEST_CELL: usize = 300;

/// Text as a cell of a table shows it.
fn shown(text: &str) -> String {
    let shown = inert::terminal(text);
    match shown.char_indices().nth(LONGEST_CELL) {
        Some((end, _)) => format!("{}…", &shown[..end]),
        None => shown,
    }
}

/// The parts of a cell: of a list its items, otherwise the value.
fn parts(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(parts).collect(),
        other => vec![other.to_string()],
    }
}

/// Rows of cells that are fit to be shown.
fn table(columns: &[String], rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = rows.collect();
    let has_lines = rows.iter().flatten().any(|cell| cell.contains('\n'));
    // Only rows of several lines need lines between them.
    let plain = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
    let mut table = Table::new();
    table
        .load_style(if has_lines { presets::UTF8_HORIZONTAL_ONLY } else { plain })
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(width()).unwrap_or(u16::MAX));
    table.set_header(columns.iter().map(|name| inert::terminal(name)));
    for row in rows {
        table.add_row(row);
    }
    table.to_string()
}
