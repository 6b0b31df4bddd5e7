//! `schedules/*.toml`: what runs when.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use provost_model::hint;
use serde::{Deserialize, Deserializer};

use provost_connectors::config::SourceConfig;

use super::{Config, ConfigError};

/// All jobs, by name.
#[derive(Debug, Clone, Default)]
pub struct Schedules {
    jobs: BTreeMap<String, Job>,
}

/// A stage that runs on a cron schedule.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name, unique over all files.
    pub name: String,
    /// What it does.
    pub stage: JobStage,
    /// The cron expression as it was written.
    pub cron: String,
    /// The time zone that the expression is meant in.
    pub timezone: Tz,
    /// Up to this much later, by chance, so that many installations do not ask at once.
    pub jitter: Duration,
    /// How far back a first pull reaches.
    pub backfill: Duration,
    schedule: cron::Schedule,
}

/// What a job does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobStage {
    /// Reads a source into the lake.
    Pull {
        /// The source, by its name in the configuration.
        source: String,
    },
    /// Runs the rules.
    Detect,
    /// Makes incidents and answers the playbooks.
    Correlate,
    /// Sends what is new to the sinks.
    Deliver,
    /// Compacts and vacuums the lake.
    Maintain,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    job: BTreeMap<String, Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    stage: StageName,
    source: Option<String>,
    cron: String,
    #[serde(default = "utc", deserialize_with = "timezone")]
    timezone: Tz,
    #[serde(default, deserialize_with = "duration")]
    jitter: Duration,
    #[serde(default = "week", deserialize_with = "duration")]
    backfill: Duration,
    #[serde(default = "yes")]
    enabled: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StageName {
    Pull,
    Detect,
    Correlate,
    Deliver,
    Maintain,
}

fn utc() -> Tz {
    Tz::UTC
}

fn week() -> Duration {
    Duration::from_secs(7 * 86_400)
}

fn yes() -> bool {
    true
}

fn timezone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tz, D::Error> {
    let name = String::deserialize(deserializer)?;
    Tz::from_str(&name).map_err(|_| {
        let hint = hint(&name, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()));
        serde::de::Error::custom(format!("'{name}' is no time zone of the IANA list{hint}"))
    })
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|error| {
        serde::de::Error::custom(format!("'{text}' is no duration such as '30s' or '7d': {error}"))
    })
}

impl Schedules {
    /// Reads all `*.toml` of a folder; a folder that is not there has no jobs.
    pub fn load(folder: &Path) -> Result<Self, ConfigError> {
        let fail = |source| ConfigError::Read { path: folder.to_owned(), source };
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(fail(error)),
        };
        let mut paths: Vec<PathBuf> =
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(fail)?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        paths.sort();
        let mut schedules = Self::default();
        for path in paths {
            let text = std::fs::read_to_string(&path)
                .map_err(|source| ConfigError::Read { path: path.clone(), source })?;
            schedules.add(&path, &text)?;
        }
        Ok(schedules)
    }

    /// Adds the jobs of one file.
    pub fn add(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let file: File = toml::from_str(text).map_err(|error| ConfigError::toml(path, &error))?;
        for (name, entry) in file.job.into_iter().filter(|(_, entry)| entry.enabled) {
            let fail = |message: String| ConfigError::Content {
                path: path.to_owned(),
                message: format!("job '{name}': {message}"),
            };
            let stage = match (entry.stage, entry.source) {
                (StageName::Pull, Some(source)) => JobStage::Pull { source },
                (StageName::Pull, None) => return Err(fail("a pull needs a 'source'".to_owned())),
                (_, Some(_)) => return Err(fail("only a pull has a 'source'".to_owned())),
                (StageName::Detect, None) => JobStage::Detect,
                (StageName::Correlate, None) => JobStage::Correlate,
                (StageName::Deliver, None) => JobStage::Deliver,
                (StageName::Maintain, None) => JobStage::Maintain,
            };
            let job = Job {
                name: name.clone(),
                stage,
                schedule: parse_cron(&entry.cron).map_err(fail)?,
                cron: entry.cron,
                timezone: entry.timezone,
                jitter: entry.jitter,
                backfill: entry.backfill,
            };
            if self.jobs.insert(name.clone(), job).is_some() {
                return Err(fail("there is another job of this name".to_owned()));
            }
        }
        Ok(())
    }

    /// What a configuration without schedules does: each source as often as its API is worth asking, and the stages
    /// behind them.
    pub fn usual(config: &Config) -> Self {
        let mut text = String::new();
        for (name, source) in &config.sources {
            let cron = match source {
                // Charges change a few times a day, and some requests for them cost money.
                SourceConfig::AwsCost(_) | SourceConfig::AzureCost(_) => "17 */8 * * *",
                _ => "*/5 * * * *",
            };
            let backfill = match source {
                SourceConfig::AwsCost(_) | SourceConfig::AzureCost(_) => "60d",
                _ => "7d",
            };
            // Names come out of the configuration and are quoted as TOML quotes them.
            let name = toml::Value::String(name.clone());
            text.push_str(&format!(
                "[job.{name}]\nstage = \"pull\"\nsource = {name}\ncron = \"{cron}\"\nbackfill = \"{backfill}\"\n"
            ));
        }
        for (stage, cron) in [
            ("detect", "2-59/5 * * * *"),
            ("correlate", "3-59/5 * * * *"),
            ("deliver", "4-59/5 * * * *"),
            ("maintain", "23 3 * * *"),
        ] {
            text.push_str(&format!("[job.{stage}]\nstage = \"{stage}\"\ncron = \"{cron}\"\n"));
        }
        let mut schedules = Self::default();
        if let Err(error) = schedules.add(Path::new("the usual schedules"), &text) {
            tracing::error!(%error, "the usual schedules cannot be read");
        }
        schedules
    }

    /// The schedules of the configuration's folder; the usual ones where it has none.
    pub fn of(config: &Config) -> Result<Self, ConfigError> {
        let schedules = Self::load(&config.schedules)?;
        if schedules.jobs().next().is_some() {
            return Ok(schedules);
        }
        tracing::debug!(folder = %config.schedules.display(), "no schedules there; the usual ones count");
        Ok(Self::usual(config))
    }

    /// The jobs, by name.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values()
    }

    /// The job of that name.
    pub fn job(&self, name: &str) -> Option<&Job> {
        self.jobs.get(name)
    }
}

impl Job {
    /// When it is due next after that instant. A local time that a change of clocks skips falls away; one that it
    /// repeats counts once.
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut local = self.schedule.after(&instant.with_timezone(&self.timezone));
        local.find(|next| next.with_timezone(&Utc) > instant).map(|next| next.with_timezone(&Utc))
    }
}

/// Reads the five fields of cron, six with seconds first, or seven with the year behind. In the five fields a week
/// begins with Sunday as 0, as in crontab(5); the library counts it as 1.
fn parse_cron(text: &str) -> Result<cron::Schedule, String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let expression = match fields.as_slice() {
        [minute, hour, day, month, weekday] => {
            format!("0 {minute} {hour} {day} {month} {}", weekday_names(weekday)?)
        }
        [_, _, _, _, _, _] | [_, _, _, _, _, _, _] => text.to_owned(),
        _ => {
            return Err(format!(
                "cron '{text}': expected 5 fields (or 6 with seconds first), found {}",
                fields.len()
            ));
        }
    };
    cron::Schedule::from_str(&expression).map_err(|error| format!("cron '{text}': {error}"))
}

/// Weekday numbers of crontab(5) as names, so that nobody's Monday becomes a Sunday.
fn weekday_names(field: &str) -> Result<String, String> {
    const NAMES: [&str; 8] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"];
    let name = |text: &str| -> Result<String, String> {
        match text.parse::<usize>() {
            Ok(number) => NAMES
                .get(number)
                .map(|name| (*name).to_owned())
                .ok_or_else(|| format!("weekday {number} is not between 0 and 7")),
            Err(_) => Ok(text.to_owned()),
        }
    };
    let items: Result<Vec<String>, String> = field
        .split(',')
        .map(|item| {
            let (range, step) =
                item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
            let range = match range.split_once('-') {
                Some((first, last)) => format!("{}-{}", name(first)?, name(last)?),
                None => name(range)?,
            };
            Ok(step.map_or(range.clone(), |step| format!("{range}/{step}")))
        })
        .collect();
    Ok(items?.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use provost_model::{format_time, parse_time};

    fn job(cron: &str, timezone: &str) -> Result<Job, ConfigError> {
        let mut schedules = Schedules::default();
        let text = format!("[job.x]\nstage = \"detect\"\ncron = \"{cron}\"\ntimezone = \"{timezone}\"\n");
        schedules.add(Path::new("x.toml"), &text)?;
        Ok(schedules.job("x").expect("just added").clone())
    }

    fn runs(cron: &str, timezone: &str, after: &str, count: usize) -> Vec<String> {
        let job = job(cron, timezone).expect("a good schedule");
        let start = parse_time(after).expect("a time");
        std::iter::successors(job.next_after(start), |last| job.next_after(*last))
            .take(count)
            .map(format_time)
            .collect()
    }

    #[test]
    fn jobs_are_due_when_crontab_says_in_their_own_time_zone() {
        for (cron, timezone, after, expected) in [
            (
                "*/5 * * * *",
                "UTC",
                "2026-03-01T10:02:00Z",
                vec!["2026-03-01T10:05:00Z", "2026-03-01T10:10:00Z"],
            ),
            ("*/10 * * * * *", "UTC", "2026-03-01T10:02:05Z", vec!["2026-03-01T10:02:10Z"]),
            // 1 March 2026 is a Sunday, 2 March a Monday.
            ("0 6 * * 1", "UTC", "2026-03-01T00:00:00Z", vec!["2026-03-02T06:00:00Z"]),
            ("0 6 * * 0", "UTC", "2026-03-02T00:00:00Z", vec!["2026-03-08T06:00:00Z"]),
            ("0 6 * * 1-5", "Europe/Berlin", "2026-03-27T05:00:00Z", vec!["2026-03-30T04:00:00Z"]),
            // Clocks go forward on 29 March 2026 in Berlin: there is no 02:30 that day.
            ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", vec!["2026-03-30T00:30:00Z"]),
        ] {
            assert_eq!(runs(cron, timezone, after, expected.len()), expected, "{cron} {timezone}");
        }
    }

    #[test]
    fn no_instant_comes_twice_when_clocks_go_back() {
        // 25 October 2026, Berlin: 02:00 to 03:00 happens twice.
        let all = runs("30 * * * *", "Europe/Berlin", "2026-10-24T22:00:00Z", 6);
        let mut sorted = all.clone();
        sorted.dedup();
        assert_eq!(all, sorted);
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{all:?}");
    }

    #[test]
    fn mistakes_are_named() {
        for (cron, timezone, expected) in [
            ("* * *", "UTC", "expected 5 fields"),
            ("61 * * * *", "UTC", "job 'x': cron '61 * * * *'"),
            ("* * * * 9", "UTC", "weekday 9"),
            ("* * * * *", "Europe/Berln", "did you mean 'Europe/Berlin'?"),
        ] {
            let error = job(cron, timezone).expect_err(cron).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
