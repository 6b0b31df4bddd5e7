//! `provost rules`

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{App, Outcome};
use crate::console::{Progress, Sheet};
use crate::detect::{self, CheckStatus, Formatting, RuleFile, run_tests};
use crate::pipeline::{Pipeline, rule_files};

/// The rules.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  provost rules list
  provost rules check                          the rules in use
  provost rules check my-rules/ --format json  per file: id, status (ok, refused, error), reason
  provost rules test my-rules/beacon.yaml
  provost rules fmt my-rules/                  lays the queries out anew, and changes nothing else
  provost rules fmt --check my-rules/          only says which files are not laid out so")]
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
    /// Lays the queries of rules and of .kql files out anew, in place
    Fmt(FmtArgs),
}

#[derive(Debug, Args)]
struct Where {
    /// A folder or file [default: the rules in use]
    path: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct FmtArgs {
    /// Changes nothing, and fails if a file would change
    #[arg(long)]
    check: bool,
    /// Folders or files [default: the detections of the configured content folder]
    paths: Vec<PathBuf>,
}

pub(super) async fn rules(app: &App, args: RulesArgs) -> anyhow::Result<Outcome> {
    match &args.command {
        RulesCommand::List(place) => list(app, &files(&app.pipeline().await?, place)?),
        RulesCommand::Check(place) => {
            let pipeline = app.pipeline().await?;
            check(app, &pipeline, &files(&pipeline, place)?).await
        }
        RulesCommand::Test(place) => {
            let pipeline = app.pipeline().await?;
            test(app, &pipeline, &files(&pipeline, place)?).await
        }
        RulesCommand::Fmt(args) => fmt(app, args),
    }
}

fn files(pipeline: &Pipeline, place: &Where) -> anyhow::Result<Vec<RuleFile>> {
    match &place.path {
        Some(path) => rule_files(path),
        None => Ok(pipeline.rules().to_vec()),
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

fn fmt(app: &App, args: &FmtArgs) -> anyhow::Result<Outcome> {
    let mut files = Vec::new();
    for path in fmt_paths(app, args)? {
        let found = detect::rule_paths(&path);
        files.extend(found.with_context(|| format!("cannot read {}", path.display()))?);
    }
    let mut sheet = Sheet::new(["file", "status", "reason"]);
    let (mut changed, mut faults) = (0, Vec::new());
    for path in &files {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let (status, reason) = match detect::format_file(path, &text) {
            Formatting::Unchanged => ("unchanged", String::new()),
            Formatting::Changed(_) if args.check => {
                changed += 1;
                ("differs", String::new())
            }
            Formatting::Changed(formatted) => {
                changed += 1;
                std::fs::write(path, formatted)
                    .with_context(|| format!("cannot write {}", path.display()))?;
                ("formatted", String::new())
            }
            Formatting::Left(why) => ("left", why.to_owned()),
            Formatting::Failed(why) => {
                let summary = why.lines().next().unwrap_or_default().to_owned();
                faults.push(format!("\n{}: {why}", path.display()));
                ("error", summary)
            }
        };
        if status != "unchanged" || !app.output.for_people() {
            sheet.row([json!(path.display().to_string()), json!(status), json!(reason)]);
        }
    }
    app.output.sheet(&sheet)?;
    // A caret needs lines of its own.
    for fault in &faults {
        app.output.note(fault);
    }
    let verb = if args.check { "would change" } else { "changed" };
    app.output.note(format!("{} files, {changed} {verb}, {} cannot be formatted", files.len(), faults.len()));
    Ok(if faults.is_empty() && !(args.check && changed > 0) { Outcome::Complete } else { Outcome::Failed })
}

fn fmt_paths(app: &App, args: &FmtArgs) -> anyhow::Result<Vec<PathBuf>> {
    if !args.paths.is_empty() {
        return Ok(args.paths.clone());
    }
    let Some(content) = &app.config.content else {
        anyhow::bail!(
            "the configuration names no `content` folder; say which files: provost rules fmt my-rules/"
        );
    };
    Ok(vec![content.join("detections")])
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
