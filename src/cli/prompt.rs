//! The prompt of `provost query`.

use std::path::PathBuf;

use chrono::Utc;
use provost_kql::QueryOptions;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};

use super::complete::PromptHelper;
use super::query::show;
use super::{App, Outcome};
use crate::pipeline::Pipeline;

/// Reads queries until the end of input. A query may go over several lines; an empty line or `;` at the end runs it.
pub(super) async fn prompt(app: &App, pipeline: &Pipeline, options: QueryOptions) -> anyhow::Result<Outcome> {
    let settings = Config::builder().auto_add_history(false).completion_type(CompletionType::List).build();
    let mut editor: Editor<PromptHelper, FileHistory> = Editor::with_config(settings)?;
    editor.set_helper(Some(PromptHelper::new(pipeline.clone(), options.clone())));
    let history = history_file();
    if let Some(path) = &history {
        // There is none before the first query.
        let _ = editor.load_history(path);
    }
    app.output.note("KQL; an empty line or ; runs it, Tab completes, Ctrl-D leaves.");
    let mut query = String::new();
    loop {
        if let Some(helper) = editor.helper_mut() {
            helper.earlier.clone_from(&query);
        }
        match editor.readline(if query.is_empty() { "kql> " } else { "...> " }) {
            Ok(line) if line.trim().is_empty() || line.trim_end().ends_with(';') => {
                query.push_str(line.trim_end().trim_end_matches(';'));
                let text = std::mem::take(&mut query);
                if text.trim().is_empty() {
                    continue;
                }
                editor.add_history_entry(text.as_str())?;
                let options = QueryOptions { now: app.now.unwrap_or_else(Utc::now), ..options.clone() };
                // Ctrl-C stops the query, not the prompt.
                tokio::select! {
                    answered = answer(app, pipeline, &text, &options) => {
                        if let Err(error) = answered {
                            eprintln!("{error:#}");
                        }
                    }
                    _ = tokio::signal::ctrl_c() => eprintln!("stopped"),
                }
            }
            Ok(line) => {
                query.push_str(&line);
                query.push('\n');
            }
            Err(ReadlineError::Interrupted) => query.clear(),
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(path) = history {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        editor.save_history(&path)?;
    }
    Ok(Outcome::Complete)
}

async fn answer(app: &App, pipeline: &Pipeline, text: &str, options: &QueryOptions) -> anyhow::Result<()> {
    show(app.output, pipeline.engine().prepare_all(pipeline.catalog(), text, options).await?).await
}

fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")));
    state.map(|folder| folder.join("provost").join("history"))
}
