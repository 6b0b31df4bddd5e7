//! `provost rules`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{App, Outcome};
use crate::console::{Progress, Sheet};
use crate::detect::{self, CheckStatus, RuleFile, run_tests};
use crate::pipeline::{Pipeline, rule_files};

/// The rules.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  provost rules list
  provost rules check                          the rules in use
  provost rules check my-rules/ --format json  per file: id, status (ok, refused, error), reason
  provost rules test my-rules/beacon.yaml")]
pub(super) struct RulesArgs {
    #[command(subcommand)]
    command: RulesCommand,
}

#[derive(Debug, Subcommand)]
enum RulesCommand {
    /// Which rules there are
    List(Where),
    /// Whether each can be run, and if not, why
    Check(Where),
    /// Runs the tests that the rules carry
    Test(Where),
}

#[derive(Debug, Args)]
struct Where {
    /// A folder or file [default: the rules in use]
    path: Option<PathBuf>,
}

pub(super) async fn rules(app: &App, args: RulesArgs) -> anyhow::Result<Outcome> {
    let pipeline = app.pipeline().await?;
    let files = |place: &Where| match &place.path {
        Some(path) => rule_files(path),
        None => Ok(pipeline.rules().to_vec()),
    };
    match &args.command {
        RulesCommand::List(place) => list(app, &files(place)?),
        RulesCommand::Check(place) => check(app, &pipeline, &files(place)?).await,
        RulesCommand::Test(place) => test(app, &pipeline, &files(place)?).await,
    }
}

fn list(app: &App, files: &[RuleFile]) -> anyhow::Result<Outcome> {
    let mut sheet = Sheet::new(["File", "Name", "Severity", "Family", "Techniques", "Every", "Over", "Id"]);
    for (file, rule) in files.iter().filter_map(|file| Some((file, file.rule()?))) {
        let time = |length: chrono::TimeDelta| {
            humantime::format_duration(length.to_std().unwrap_or_default()).to_string()
        };
        sheet.row([
            json!(file.path.file_stem().unwrap_or_default().to_string_lossy()),
            json!(rule.name),
            json!(rule.severity.name()),
            json!(rule.family.map(|family| family.name()).unwrap_or_default()),
            json!(rule.techniques.join(", ")),
            json!(time(rule.frequency)),
            json!(time(rule.period)),
            json!(rule.id),
        ]);
    }
    if app.output.for_people() {
        sheet = sheet.only(&["File", "Name", "Severity"]);
    }
    app.output.sheet(&sheet)?;
    Ok(Outcome::Complete)
}

async fn check(app: &App, pipeline: &Pipeline, files: &[RuleFile]) -> anyhow::Result<Outcome> {
    let checks = detect::check(pipeline.engine(), pipeline.catalog(), files, app.now()).await;
    let mut sheet = Sheet::new(["file", "id", "status", "reason", "warnings"]);
    for check in &checks {
        sheet.row([
            json!(check.file),
            json!(check.id),
            json!(check.status),
            json!(check.reason),
            json!(check.warnings.join("; ")),
        ]);
    }
    app.output.sheet(&sheet)?;
    let bad = checks.iter().filter(|check| check.status != CheckStatus::Ok).count();
    app.output.note(format!("{} rules, {bad} of them cannot be run", checks.len()));
    Ok(if bad == 0 { Outcome::Complete } else { Outcome::Failed })
}

async fn test(app: &App, pipeline: &Pipeline, files: &[RuleFile]) -> anyhow::Result<Outcome> {
    let bar = Progress::bar("test", files.len() as u64);
    let mut sheet = Sheet::new(["Rule", "Test", "Passed", "Failure"]);
    let mut failed = 0;
    let mut passed = 0;
    for file in files {
        match &file.result {
            Ok(parsed) => {
                for result in run_tests(pipeline.engine(), &parsed.rule, pipeline.watchlists()).await {
                    if result.passed() {
                        passed += 1;
                    } else {
                        failed += 1;
                    }
                    sheet.row([
                        json!(result.rule_name),
                        json!(result.test),
                        json!(result.passed()),
                        json!(result.failure),
                    ]);
                }
            }
            Err(problems) => {
                failed += 1;
                let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
                sheet.row([
                    json!(file.path.display().to_string()),
                    json!(""),
                    json!(false),
                    json!(text.join("; ")),
                ]);
            }
        }
        bar.step(&file.path.display().to_string());
    }
    bar.done();
    app.output.sheet(&sheet)?;
    app.output.note(format!("{passed} passed, {failed} failed"));
    Ok(if failed == 0 { Outcome::Complete } else { Outcome::Failed })
}
