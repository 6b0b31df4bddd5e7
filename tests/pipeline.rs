//! The whole way on mock clouds over HTTPS: the same result after faults, kills and repeats as undisturbed.

mod common;

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use common::Sandbox;
use provost_mocks::{
    CLIENT_ID, Clock, Faults, MockClouds, MockOptions, POWERLESS_CLIENT_ID, Scenario, ScenarioOptions,
    SentinelCopy,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

fn now() -> DateTime<Utc> {
    provost_model::parse_time("2026-03-12T12:00:00Z").expect("a time")
}

/// A small tenant: these tests pull it many times.
fn options() -> ScenarioOptions {
    ScenarioOptions { end: now(), days: 2, devices: 8, users: 6, ..ScenarioOptions::default() }
}

/// Rules enough for findings of three families that become incidents. What they find is tested elsewhere; here it is
/// that they find the same, whatever happens.
const FEW_RULES: &str = r#"
[rules]
enabled = [
    "aws-credential-by-first-time-actor",
    "aws-expensive-instances-first-use",
    "failed-then-successful-signin",
    "own-new-address-contacted",
]
"#;

/// Clouds, and a sandbox whose program talks to them.
struct World {
    sandbox: Sandbox,
    clouds: MockClouds,
}

impl World {
    /// With the few rules.
    async fn start(faults: Faults, clock: Clock, options: ScenarioOptions) -> Self {
        let world = Self::with_all_rules(faults, clock, options).await;
        let path = world.sandbox.path("provost.toml");
        let config = std::fs::read_to_string(&path).expect("a configuration");
        std::fs::write(&path, config + FEW_RULES).expect("written");
        world
    }

    async fn with_all_rules(faults: Faults, clock: Clock, options: ScenarioOptions) -> Self {
        let mut mock = MockOptions::new(Scenario::new(options));
        mock.faults = faults;
        mock.clock = clock;
        mock.limits_raised = 1_000;
        mock.stall = Duration::from_millis(300);
        let clouds = MockClouds::start(mock).await.expect("the clouds start");
        let environment = clouds
            .environment()
            .iter()
            .map(|(name, secret)| ((*name).to_owned(), secret.reveal().to_owned()))
            .collect::<Vec<_>>();
        let mut sandbox = Sandbox::new().with(environment);
        if let Clock::Fixed(now) = clock {
            sandbox = sandbox.with([("PROVOST_NOW".to_owned(), provost_model::format_time(now))]);
        }
        // Waits as short as a loopback allows.
        sandbox = sandbox.with([
            ("PROVOST_HTTP__BACKOFF_SECONDS".to_owned(), "0.01".to_owned()),
            ("PROVOST_HTTP__MAX_BACKOFF_SECONDS".to_owned(), "0.05".to_owned()),
            ("PROVOST_HTTP__ATTEMPTS".to_owned(), "12".to_owned()),
        ]);
        std::fs::write(sandbox.path("ca.pem"), clouds.ca_pem()).expect("written");
        let config = clouds.config_toml(&sandbox.path("ca.pem"));
        std::fs::write(sandbox.path("provost.toml"), config).expect("written");
        Self { sandbox, clouds }
    }

    fn run_once(&self) -> common::Finished {
        self.sandbox.provost(&["run", "--once", "--all", "--format", "json"])
    }

    /// What the lake holds, by table: identities, and of findings and incidents also what they say.
    fn lake(&self) -> BTreeMap<&'static str, Vec<String>> {
        const TABLES: [(&str, &str); 9] = [
            ("AWSCloudTrail", "AWSCloudTrail | project Key = _EventId"),
            ("AzureActivity", "AzureActivity | project Key = _EventId"),
            ("DeviceNetworkEvents", "DeviceNetworkEvents | project Key = _EventId"),
            ("SigninLogs", "SigninLogs | project Key = _EventId"),
            ("AuditLogs", "AuditLogs | project Key = _EventId"),
            ("Costs", "Costs | project Key = strcat(_EventId, ' ', BilledCost)"),
            ("Findings", "Findings | project Key = strcat(FindingId, ' ', Title, ' ', Entities)"),
            (
                "Incidents",
                "Incidents | where isempty(SupersededBy) | project Key = strcat(IncidentId, ' ', Title)",
            ),
            (
                "Deliveries",
                "Deliveries | distinct Sink, ObjectId | project Key = strcat(Sink, ' ', ObjectId)",
            ),
        ];
        TABLES
            .into_iter()
            .map(|(table, query)| {
                let run = self.sandbox.provost(&["query", "--format", "json", query]);
                assert_eq!(run.code, 0, "{run:?}");
                let rows = run.json();
                let mut keys: Vec<String> = rows
                    .as_array()
                    .expect("rows")
                    .iter()
                    .map(|row| row["Key"].as_str().unwrap_or_default().to_owned())
                    .collect();
                keys.sort();
                (table, keys)
            })
            .collect()
    }

    /// What Sentinel holds, by id.
    fn sentinel(&self) -> BTreeMap<String, Vec<String>> {
        let copy: SentinelCopy = self.clouds.sentinel();
        let mut held: BTreeMap<String, Vec<String>> = copy
            .rows
            .keys()
            .map(|stream| {
                let column = if stream.contains("Incident") { "IncidentId" } else { "FindingId" };
                (stream.clone(), copy.distinct(stream, column).into_iter().collect())
            })
            .collect();
        held.insert("incidents".to_owned(), copy.incidents.keys().cloned().collect());
        held
    }
}

fn assert_same(found: &BTreeMap<&'static str, Vec<String>>, expected: &BTreeMap<&'static str, Vec<String>>) {
    for (table, keys) in expected {
        let other = &found[table];
        let missing: Vec<&String> = keys.iter().filter(|key| !other.contains(key)).take(3).collect();
        let more: Vec<&String> = other.iter().filter(|key| !keys.contains(key)).take(3).collect();
        assert!(
            missing.is_empty() && more.is_empty() && keys.len() == other.len(),
            "{table}: {} expected, {} found; missing {missing:?}, too many {more:?}",
            keys.len(),
            other.len()
        );
    }
}

type Held = (BTreeMap<&'static str, Vec<String>>, BTreeMap<String, Vec<String>>);

/// What an undisturbed run leaves behind in lake and Sentinel.
async fn undisturbed() -> Held {
    static HELD: OnceCell<Held> = OnceCell::const_new();
    let run = async || {
        let world = World::start(Faults::none(), Clock::Fixed(now()), options()).await;
        let run = world.run_once();
        assert_eq!(run.code, 0, "{run:?}");
        (world.lake(), world.sentinel())
    };
    HELD.get_or_init(run).await.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_clouds_become_incidents_in_sentinel_and_a_second_run_changes_nothing() {
    let world = World::with_all_rules(Faults::none(), Clock::Fixed(now()), options()).await;
    let run = world.run_once();
    assert_eq!(run.code, 0, "{run:?}");
    let lake = world.lake();
    let sentinel = world.sentinel();
    for (table, keys) in &lake {
        assert!(!keys.is_empty(), "{table} is empty: {run:?}");
    }
    assert!(sentinel.values().all(|ids| !ids.is_empty()), "{sentinel:?}");
    let incidents = run.json();
    assert_eq!(incidents.as_array().map(Vec::len), Some(lake["Incidents"].len()), "{run:?}");

    let again = world.run_once();
    assert_eq!(again.code, 0, "{again:?}");
    assert_same(&world.lake(), &lake);
    assert_eq!(world.sentinel(), sentinel);
    let copy = world.clouds.sentinel();
    assert_eq!(copy.duplicates("Custom-ProvostFindings_CL", "FindingId"), 0);
    assert!(copy.dropped_columns.is_empty(), "columns that no table takes: {:?}", copy.dropped_columns);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_every_fault_at_once_the_run_ends_with_the_same_lake() {
    let (lake, sentinel) = undisturbed().await;
    let world = World::start(Faults::all(), Clock::Fixed(now()), options()).await;
    // No request is hit more than twice in a row, and each is tried more often: one run gets everything.
    let run = world.run_once();
    assert_eq!(run.code, 0, "{run:?}");
    assert_same(&world.lake(), &lake);
    assert_eq!(world.sentinel(), sentinel);
}

/// Kills the program ten times, at moments by chance within what it takes from beginning to end.
fn kill_ten_times(sandbox: &Sandbox, arguments: &[&str], mut length: Duration) {
    let mut killed = 0;
    for _ in 0..100 {
        let started = Instant::now();
        let mut child = sandbox
            .command(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let moment = length.mul_f64(rand::random());
        loop {
            if child.try_wait().expect("a child of ours").is_some() {
                // There was less left to do than thought.
                length = started.elapsed();
                break;
            }
            if started.elapsed() >= moment {
                child.kill().expect("killed");
                child.wait().expect("gone");
                killed += 1;
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if killed == 10 {
            return;
        }
    }
    panic!("only {killed} runs lived long enough to be killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_at_ten_moments_loses_and_doubles_nothing() {
    let (lake, sentinel) = undisturbed().await;
    let world = World::start(Faults::none(), Clock::Fixed(now()), options()).await;
    // Work that was done need not be done again, so that later kills hit later stages.
    kill_ten_times(&world.sandbox, &["run", "--once", "--all"], Duration::from_secs(8));
    let run = world.run_once();
    assert_eq!(run.code, 0, "{run:?}");
    assert_same(&world.lake(), &lake);
    assert_eq!(world.sentinel(), sentinel);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_killed_at_ten_moments_loses_and_doubles_nothing() {
    let (lake, sentinel) = undisturbed().await;
    let world = World::start(Faults::none(), Clock::Fixed(now()), options()).await;
    for stage in ["pull", "detect", "correlate"] {
        let run = world.sandbox.provost(&[stage]);
        assert_eq!(run.code, 0, "{run:?}");
    }
    kill_ten_times(&world.sandbox, &["deliver"], Duration::from_secs(1));
    let run = world.sandbox.provost(&["deliver"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_same(&world.lake(), &lake);
    assert_eq!(world.sentinel(), sentinel);
}

#[test]
fn an_import_killed_at_ten_moments_loses_and_doubles_nothing() {
    const FILES: usize = 20;
    const RECORDS: usize = 1_000;
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("trail")).expect("made");
    for file in 0..FILES {
        let record = |number: usize| {
            let id = format!("{file}-{number}");
            let time = now() - TimeDelta::minutes((file * RECORDS + number) as i64);
            json!({
                "eventVersion": "1.08",
                "eventID": id,
                "eventTime": provost_model::format_time(time),
                "eventName": "DescribeInstances",
                "eventSource": "ec2.amazonaws.com",
                "awsRegion": "eu-central-1",
                "requestParameters": {"instancesSet": {"items": [{"instanceId": id}]}},
            })
        };
        let records: Vec<Value> = (0..RECORDS).map(record).collect();
        let text = json!({"Records": records}).to_string();
        std::fs::write(sandbox.path(&format!("trail/{file}.json")), text).expect("written");
    }
    let import = ["import", "AWSCloudTrail", "trail", "--format", "json"];
    kill_ten_times(&sandbox, &import, Duration::from_secs(3));
    let run = sandbox.provost(&import);
    assert_eq!(run.code, 0, "{run:?}");
    let count = "AWSCloudTrail | summarize Rows = count(), Different = dcount(_EventId, 4)";
    let run = sandbox.provost(&["query", "--format", "json", count]);
    let rows = (FILES * RECORDS) as u64;
    assert_eq!(run.json()[0]["Rows"].as_u64(), Some(rows), "{run:?}");
    let again = sandbox.provost(&import);
    assert_eq!(again.json()[0]["Rows"].as_u64(), Some(0), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_on_one_lake_do_no_harm() {
    let (lake, sentinel) = undisturbed().await;
    let world = World::start(Faults::none(), Clock::Fixed(now()), options()).await;
    let start = || {
        world
            .sandbox
            .command(&["run", "--once", "--all"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts")
    };
    let mut both = [start(), start()];
    for child in &mut both {
        child.wait().expect("it ends");
    }
    let run = world.run_once();
    assert_eq!(run.code, 0, "{run:?}");
    assert_same(&world.lake(), &lake);
    assert_eq!(world.sentinel(), sentinel);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_told_with_its_remedy_and_stops_nothing_else() {
    let world = World::start(Faults::none(), Clock::Fixed(now()), options()).await;
    let doctor = world.sandbox.provost(&["doctor", "--format", "json"]);
    assert_eq!(doctor.code, 0, "{doctor:?}");

    // An identity of the tenant that was granted nothing, and the AWS side as it was.
    let path = world.sandbox.path("provost.toml");
    let config = std::fs::read_to_string(&path).expect("a configuration");
    std::fs::write(&path, config.replace(CLIENT_ID, POWERLESS_CLIENT_ID)).expect("written");
    let doctor = world.sandbox.provost(&["doctor", "--format", "json"]);
    assert_eq!(doctor.code, 1, "{doctor:?}");
    let checks = doctor.json();
    let failed: Vec<&Value> =
        checks.as_array().expect("checks").iter().filter(|check| check["Status"] == "failed").collect();
    for what in ["source activity", "source network", "source signins", "source audits"] {
        assert!(failed.iter().any(|check| check["What"] == what), "{what} has not failed: {doctor:?}");
    }
    assert!(
        failed.iter().all(|check| !check["Remedy"].as_str().unwrap_or_default().is_empty()),
        "a failure without a remedy: {failed:?}"
    );
    assert!(!failed.iter().any(|check| check["What"] == "source cloudtrail"), "{failed:?}");

    let run = world.run_once();
    assert_eq!(run.code, 3, "some of it failed, the rest is done: {run:?}");
    let rows = world.sandbox.provost(&["query", "--format", "json", "AWSCloudTrail | count"]);
    assert!(rows.json()[0]["Count"].as_u64() > Some(0), "{rows:?}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn the_service_leaves_no_gap_and_stops_within_five_seconds() {
    let end = Utc::now() + TimeDelta::hours(1);
    let world = World::start(Faults::none(), Clock::Live, ScenarioOptions { end, ..options() }).await;
    std::fs::create_dir(world.sandbox.path("schedules")).expect("made");
    let jobs: String = ["cloudtrail", "activity", "network", "signins", "audits"]
        .iter()
        .map(|source| {
            format!("[job.{source}]\nstage = \"pull\"\nsource = \"{source}\"\ncron = \"*/2 * * * * *\"\nbackfill = \"1h\"\n")
        })
        .collect();
    std::fs::write(world.sandbox.path("schedules/all.toml"), jobs).expect("written");
    let mut child = world
        .sandbox
        .command(&["run"])
        .stderr(std::fs::File::create(world.sandbox.path("log")).expect("a log"))
        .spawn()
        .expect("the program starts");
    // Until every partition was covered at least twice.
    let deadline = Instant::now() + Duration::from_secs(400);
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let run = world.sandbox.provost(&[
            "query",
            "--format",
            "json",
            "Runs | where Stage == 'pull' and Status == 'ok' | summarize n = count() by Job, Partition | summarize Least = min(n), Jobs = dcount(Job)",
        ]);
        let row: &Value = &run.json()[0];
        if row["Least"].as_u64() >= Some(2) && row["Jobs"].as_u64() >= Some(5) {
            break;
        }
        let log = || std::fs::read_to_string(world.sandbox.path("log")).unwrap_or_default();
        assert!(Instant::now() < deadline, "not covered in time: {run:?}\n{}", log());
    }
    let stopping = Instant::now();
    let terminated =
        std::process::Command::new("kill").arg(child.id().to_string()).status().expect("kill is there");
    assert!(terminated.success());
    let status = child.wait().expect("it ends");
    assert!(stopping.elapsed() < Duration::from_secs(5), "took {:?}", stopping.elapsed());
    assert_eq!(status.code(), Some(0));
    let run = world.sandbox.provost(&["status", "--format", "json"]);
    for partition in run.json().as_array().expect("partitions") {
        assert_eq!(partition["Gaps"], "", "{partition}");
    }
}
