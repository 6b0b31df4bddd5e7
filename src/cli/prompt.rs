//! The prompt of `provost query`.

use std::path::PathBuf;

use chrono::Utc;
use provost_kql::QueryOptions;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};

use super::{App, Outcome};
use crate::pipeline::Pipeline;

/// Reads queries until the end of input. A query may go over several lines; an empty line or `;` at the end runs it.
pub(super) async fn prompt(app: &App, pipeline: &Pipeline, options: QueryOptions) -> anyhow::Result<Outcome> {
    let mut editor: Editor<(), FileHistory> =
        Editor::with_config(Config::builder().auto_add_history(false).build())?;
    let history = history_file();
    if let Some(path) = &history {
        // There is none before the first query.
        let _ = editor.load_history(path);
    }
    app.output.note("KQL; an empty line runs it, Ctrl-D leaves.");
    let mut query = String::new();
    loop {
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
                    answer = pipeline.query(&text, &options) => match answer {
                        Ok(result) => app.output.result(&result)?,
                        Err(error) => eprintln!("{error:#}"),
                    },
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

fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")));
    state.map(|folder| folder.join("provost").join("history"))
}
