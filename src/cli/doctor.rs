//! `provost doctor`

use provost_connectors::{Check, CheckStatus};
use serde_json::json;

use super::stages::Connections;
use super::{App, Outcome};
use crate::config::Schedules;
use crate::console::{Progress, Sheet};
use crate::detect::{self, CheckStatus as RuleStatus};

pub(super) async fn doctor(app: &App) -> anyhow::Result<Outcome> {
    let now = app.now();
    let mut checks: Vec<(String, Check)> = Vec::new();
    let good = |name: &str, detail: String| Check {
        name: name.to_owned(),
        status: CheckStatus::Ok,
        detail,
        remedy: None,
    };
    let bad = |name: &str, detail: String, remedy: &str| Check {
        name: name.to_owned(),
        status: CheckStatus::Failed,
        detail,
        remedy: Some(remedy.to_owned()),
    };

    let pipeline = app.pipeline().await?;
    let lake = pipeline.lake();
    checks.push((
        "lake".to_owned(),
        match lake.try_writing(now).await {
            Ok(()) => good("write", lake.location()),
            Err(error) => {
                bad("write", error.to_string(), "make the folder writable, or give another with --lake")
            }
        },
    ));
    match Schedules::load(&app.config.schedules) {
        Ok(schedules) if schedules.jobs().next().is_none() => {
            checks.push(("schedules".to_owned(), good("read", "none; the usual ones count".to_owned())));
        }
        Ok(schedules) => {
            checks.push(("schedules".to_owned(), good("read", format!("{} jobs", schedules.jobs().count()))));
        }
        Err(error) => {
            checks.push(("schedules".to_owned(), bad("read", error.to_string(), "correct the file")));
        }
    }
    let rules = detect::check(pipeline.engine(), pipeline.catalog(), pipeline.rules(), now).await;
    let refused: Vec<String> = rules
        .iter()
        .filter(|rule| rule.status != RuleStatus::Ok)
        .map(|rule| format!("{}: {}", rule.file, rule.reason))
        .collect();
    checks.push((
        "rules".to_owned(),
        if refused.is_empty() {
            good("bind", format!("{} rules", rules.len()))
        } else {
            bad("bind", refused.join("; "), "see `provost rules check`")
        },
    ));
    match Connections::open(&app.config, &pipeline, app.now) {
        Ok(connections) => {
            let bar = Progress::spinner("doctor");
            for (name, source) in &connections.sources {
                bar.say(&format!("source {name}"));
                checks
                    .extend(source.check().await.into_iter().map(|check| (format!("source {name}"), check)));
            }
            for sink in &connections.sinks {
                bar.say(&format!("sink {}", sink.name()));
                checks.extend(
                    sink.check().await.into_iter().map(|check| (format!("sink {}", sink.name()), check)),
                );
            }
            bar.done();
        }
        Err(error) => {
            checks.push((
                "connections".to_owned(),
                bad("open", format!("{error:#}"), "correct the configuration"),
            ));
        }
    }

    let mut sheet = Sheet::new(["What", "Check", "Status", "Detail", "Remedy"]);
    // What fits the screen: a remedy below what it is for.
    let mut short = Sheet::new(["What", "Status", "Check"]);
    for (what, check) in &checks {
        let status = match check.status {
            CheckStatus::Ok => "ok",
            CheckStatus::Warning => "warning",
            CheckStatus::Failed => "failed",
        };
        let remedy = check.remedy.as_ref().map(|remedy| format!("→ {remedy}"));
        short.row([
            json!(what),
            json!(status),
            json!([Some(format!("{}: {}", check.name, check.detail)), remedy]),
        ]);
        sheet.row([
            json!(what),
            json!(check.name),
            json!(status),
            json!(check.detail),
            json!(check.remedy.clone().unwrap_or_default()),
        ]);
    }
    app.output.sheet(if app.output.for_people() { &short } else { &sheet })?;
    let failed = checks.iter().any(|(_, check)| check.status == CheckStatus::Failed);
    Ok(if failed { Outcome::Failed } else { Outcome::Complete })
}
