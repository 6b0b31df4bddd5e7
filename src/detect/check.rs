//! What can be said of rule files without running them, and their own tests.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use provost_kql::{Catalog, CatalogError, Column, Engine, KqlType, MemoryCatalog};
use provost_model::{ColumnKind, Finding, TableSpec, tables};
use serde::Serialize;
use serde_json::Value;

use super::evaluate::{Evaluator, FindingsInMemory, RuleStatus, refused_or_failed};
use super::load::RuleFile;
use super::rule::Rule;
use super::sample::{Expectation, RuleTest, SampleRow};
use super::steps::Step;
use super::watchlist::Watchlists;
use crate::lake::columns_of;

/// Whether a rule file can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// It can.
    Ok,
    /// It is a rule, but names a table, column or function that is not there, or is not KQL.
    Refused,
    /// The file is no rule.
    Error,
}

/// What is said of one rule file.
#[derive(Debug, Clone, Serialize)]
pub struct RuleCheck {
    /// The file.
    pub file: String,
    /// The rule's id; empty where it cannot be read.
    pub id: String,
    /// The rule's name; empty where it cannot be read.
    pub name: String,
    /// Whether it can be run.
    pub status: CheckStatus,
    /// Why not; empty where it can.
    pub reason: String,
    /// What has no effect here.
    pub warnings: Vec<String>,
    /// The tables it reads.
    pub tables: Vec<String>,
}

/// Checks rule files against the tables of a catalog, without running them.
pub async fn check(
    engine: &Engine,
    catalog: Arc<dyn Catalog>,
    files: &[RuleFile],
    now: DateTime<Utc>,
) -> Vec<RuleCheck> {
    let evaluator = Evaluator::new(engine.clone(), catalog);
    let mut checks = Vec::with_capacity(files.len());
    for file in files {
        checks.push(check_file(&evaluator, file, now).await);
    }
    checks
}

async fn check_file(evaluator: &Evaluator, file: &RuleFile, now: DateTime<Utc>) -> RuleCheck {
    let mut check = RuleCheck {
        file: file.path.display().to_string(),
        id: String::new(),
        name: String::new(),
        status: CheckStatus::Ok,
        reason: String::new(),
        warnings: Vec::new(),
        tables: Vec::new(),
    };
    let parsed = match &file.result {
        Ok(parsed) => parsed,
        Err(problems) => {
            check.status = CheckStatus::Error;
            check.reason = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            return check;
        }
    };
    let rule = &parsed.rule;
    check.id.clone_from(&rule.id);
    check.name.clone_from(&rule.name);
    check.warnings = parsed.warnings.iter().map(ToString::to_string).collect();
    match evaluator.prepare(rule, Step::ending(rule, now)).await {
        Ok(prepared) => {
            check.tables = prepared.tables().to_vec();
            check.warnings.extend(missing_columns(rule, prepared.columns()));
        }
        Err(error) => {
            let (status, reason) = match refused_or_failed(rule, &error) {
                RuleStatus::Refused(reason) => (CheckStatus::Refused, reason),
                RuleStatus::Failed(reason) => (CheckStatus::Error, reason),
                RuleStatus::Ok => (CheckStatus::Ok, String::new()),
            };
            check.status = status;
            check.reason = reason;
        }
    }
    check
}

/// Columns that the file names although its query does not give them.
fn missing_columns(rule: &Rule, columns: &[Column]) -> Vec<String> {
    let given = |name: &str| columns.iter().any(|column| column.name == name);
    let mapped = rule
        .entity_mappings
        .iter()
        .flat_map(|mapping| &mapping.fields)
        .map(|(_, column)| ("entityMappings", column));
    let extra = rule
        .extra_entities
        .iter()
        .flat_map(|(_, columns)| columns)
        .map(|column| ("provost.entities", column));
    let details = rule.custom_details.iter().map(|(_, column)| ("customDetails", column));
    let fingerprint = rule.fingerprint.iter().flatten().map(|column| ("provost.fingerprint", column));
    let all = mapped.chain(extra).chain(details).chain(fingerprint);
    all.filter(|(_, column)| !given(column))
        .map(|(key, column)| {
            let hint = provost_model::hint(column, columns.iter().map(|column| column.name.as_str()));
            format!("{key}: the query gives no column {column}{hint}")
        })
        .collect()
}

/// The result of one test of a rule.
#[derive(Debug, Clone, Serialize)]
pub struct TestResult {
    /// The rule.
    pub rule_id: String,
    /// The rule's name.
    pub rule_name: String,
    /// The test.
    pub test: String,
    /// What went otherwise than expected; empty where the test passed.
    pub failure: String,
}

impl TestResult {
    /// Whether the findings were as expected.
    pub fn passed(&self) -> bool {
        self.failure.is_empty()
    }
}

/// Runs the tests that a rule carries.
pub async fn run_tests(engine: &Engine, rule: &Rule, watchlists: &Watchlists) -> Vec<TestResult> {
    let mut results = Vec::with_capacity(rule.tests.len());
    for test in &rule.tests {
        let failure = match found_by(engine, rule, test, watchlists).await {
            Ok(findings) => difference(&test.expect, &findings),
            Err(reason) => reason,
        };
        results.push(TestResult {
            rule_id: rule.id.clone(),
            rule_name: rule.name.clone(),
            test: test.name.clone(),
            failure,
        });
    }
    results
}

async fn found_by(
    engine: &Engine,
    rule: &Rule,
    test: &RuleTest,
    watchlists: &Watchlists,
) -> Result<Vec<Finding>, String> {
    let catalog = sample_catalog(test, watchlists)?;
    let evaluator = Evaluator::new(engine.clone(), Arc::new(catalog));
    let known = FindingsInMemory::default();
    let outcome = evaluator.evaluate(rule, &[Step::ending(rule, test.now)], &known).await;
    match outcome.status {
        RuleStatus::Ok => Ok(outcome.findings),
        RuleStatus::Refused(reason) | RuleStatus::Failed(reason) => Err(reason),
    }
}

/// Every table there is, with the rows of the test.
fn sample_catalog(test: &RuleTest, watchlists: &Watchlists) -> Result<MemoryCatalog, String> {
    let mut catalog = MemoryCatalog::new();
    let told = |error: CatalogError| error.to_string();
    for table in tables().iter() {
        let given = test.rows.iter().filter(|(name, _)| name == table.name()).flat_map(|(_, rows)| rows);
        let rows = given.map(|row| fitted(table, row)).collect::<Result<Vec<_>, String>>()?;
        catalog.add_json(table.name(), columns_of(table), &rows).map_err(told)?;
    }
    if let Some((name, _)) = test.rows.iter().find(|(name, _)| tables().get(name).is_none()) {
        return Err(format!("there is no table {name}{}", provost_model::hint(name, tables().names())));
    }
    watchlists.add_to(&mut catalog).map_err(told)?;
    for (alias, rows) in &test.watchlists {
        let mut names: Vec<&String> = rows.iter().flat_map(SampleRow::keys).collect();
        names.sort();
        names.dedup();
        let columns = names.into_iter().map(|name| Column::new(name, KqlType::String)).collect();
        let rows: Vec<Value> = rows.iter().cloned().map(Value::Object).collect();
        catalog.add_watchlist_json(alias, columns, &rows).map_err(told)?;
    }
    Ok(catalog)
}

/// A row of a test as the lake would hold it: what is no text in a text column is kept as JSON text.
fn fitted(table: &TableSpec, row: &SampleRow) -> Result<Value, String> {
    let mut fitted = SampleRow::new();
    for (name, cell) in row {
        let column = table.column(name).filter(|column| column.stored()).ok_or_else(|| {
            let names = table.stored().map(|column| column.name.as_str());
            format!("table {} has no column {name}{}", table.name(), provost_model::hint(name, names))
        })?;
        let cell = match (column.kind, cell) {
            (ColumnKind::String, Value::Array(_) | Value::Object(_) | Value::Number(_) | Value::Bool(_)) => {
                Value::String(cell.to_string())
            }
            _ => cell.clone(),
        };
        fitted.insert(name.clone(), cell);
    }
    if !fitted.contains_key(TableSpec::TIME) {
        return Err(format!("a row of {} has no {}", table.name(), TableSpec::TIME));
    }
    Ok(Value::Object(fitted))
}

/// What differs between the findings expected and those found; empty where nothing does.
fn difference(expected: &[Expectation], found: &[Finding]) -> String {
    let mut left: Vec<&Finding> = found.iter().collect();
    let mut missing = Vec::new();
    for expectation in expected {
        match left.iter().position(|finding| meets(finding, expectation)) {
            Some(at) => drop(left.remove(at)),
            None => missing.push(told_expectation(expectation)),
        }
    }
    let mut differences = Vec::new();
    if !missing.is_empty() {
        differences.push(format!("expected but not found: {}", missing.join("; ")));
    }
    if !left.is_empty() {
        let told: Vec<String> = left.iter().map(|finding| told_finding(finding)).collect();
        differences.push(format!("found but not expected: {}", told.join("; ")));
    }
    differences.join(". ")
}

fn meets(finding: &Finding, expectation: &Expectation) -> bool {
    let detail = |(name, value): (&String, &Value)| match finding.custom_details.get(name) {
        Some(found) => found == value || found.as_f64().is_some_and(|number| Some(number) == value.as_f64()),
        None => false,
    };
    expectation.severity.is_none_or(|severity| severity == finding.severity)
        && expectation.entities.iter().all(|entity| finding.entities.contains(entity))
        && expectation.details.iter().all(detail)
        && expectation.title.as_ref().is_none_or(|part| finding.title.contains(part.as_str()))
}

fn told_expectation(expectation: &Expectation) -> String {
    let mut parts: Vec<String> = expectation.entities.iter().map(ToString::to_string).collect();
    parts.extend(expectation.severity.map(|severity| severity.to_string()));
    parts.extend(expectation.details.iter().map(|(name, value)| format!("{name}={value}")));
    parts.extend(expectation.title.iter().map(|title| format!("title '{title}'")));
    parts.join(", ")
}

fn told_finding(finding: &Finding) -> String {
    let entities: Vec<String> = finding.entities.iter().map(ToString::to_string).collect();
    let details = Value::Object(finding.custom_details.clone());
    format!("{} '{}' ({}) {details}", finding.severity, finding.title, entities.join(", "))
}
