//! `provost init`

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use super::{App, Outcome};
use crate::config::FILE_NAME;

const CONFIG: &str = include_str!("provost.toml");
const SCHEDULES: &str = include_str!("../../schedules/provost.toml");

/// Writes a commented provost.toml.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  provost init                       provost.toml here; the usual schedules count
  provost init --schedules           schedules/provost.toml too, to change them")]
pub(super) struct InitArgs {
    /// Where to
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Write schedules for all kinds of sources, too; take out what you don't read
    #[arg(long)]
    schedules: bool,
    /// Write over files that are there
    #[arg(long)]
    force: bool,
}

pub(super) fn init(app: &App, args: &InitArgs) -> anyhow::Result<Outcome> {
    let config = app.config_file.clone().unwrap_or_else(|| args.folder.join(FILE_NAME));
    let schedules = args.folder.join("schedules").join("provost.toml");
    let mut files = vec![(config.as_path(), CONFIG)];
    if args.schedules {
        files.push((schedules.as_path(), SCHEDULES));
    }
    if let Some((path, _)) = files.iter().find(|(path, _)| path.exists()).filter(|_| !args.force) {
        bail!("{} is there already; --force writes over it", path.display());
    }
    for (path, text) in files {
        write(path, text)?;
        app.output.note(format!("wrote {}", path.display()));
    }
    app.output.note("next: fill in the accounts, then `provost doctor`");
    Ok(Outcome::Complete)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, JobStage, Schedules};

    #[test]
    fn what_init_writes_is_a_configuration_with_a_schedule_for_each_source() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(FILE_NAME);
        // As a user would who takes every suggestion: the commented settings in force.
        let uncommented: String = CONFIG
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .map(|line| format!("{line}\n"))
            .collect();
        for text in [CONFIG, &uncommented] {
            std::fs::write(&path, text).expect("written");
            Config::load(Some(&path)).expect("it can be read");
        }
        let config = Config::load(Some(&path)).expect("it can be read");
        let mut schedules = Schedules::default();
        schedules.add(Path::new("provost.toml"), SCHEDULES).expect("they can be read");
        for job in schedules.jobs() {
            if let JobStage::Pull { source } = &job.stage {
                assert!(config.sources.contains_key(source), "no source {source}");
            }
        }
        assert_eq!(schedules.jobs().count(), config.sources.len() + 4);
    }
}
