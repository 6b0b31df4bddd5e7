//! Every connector against the mock clouds: all that the tenant's logs hold, also when everything goes wrong at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use provost_connectors::config::{AwsConfig, AzureConfig, HttpConfig, SinkConfig, SourceConfig};
use provost_connectors::{AwsKeys, CheckStatus, Clock, Connectors, Payload, Secrets, Source};
use provost_mocks::{Faults, MockClouds, MockOptions, Scenario, ScenarioOptions};
use provost_model::{Finding, Incident, Window};
use serde::Deserialize;

use crate::fixtures::{Purse, Taken};

#[derive(Debug, Deserialize)]
struct File {
    http: HttpConfig,
    azure: AzureConfig,
    aws: AwsConfig,
    sources: BTreeMap<String, SourceConfig>,
    sinks: BTreeMap<String, SinkConfig>,
}

struct Setting {
    clouds: MockClouds,
    connectors: Connectors,
    file: File,
    _ca: tempfile::NamedTempFile,
}

async fn setting(faults: Faults) -> Setting {
    let scenario = Scenario::new(ScenarioOptions {
        days: 1,
        cost_days: 10,
        devices: 12,
        users: 12,
        ..ScenarioOptions::default()
    });
    let options = MockOptions {
        faults,
        limits_raised: 1_000,
        hunting_row_cap: 250,
        stall: std::time::Duration::from_millis(50),
        ..MockOptions::new(scenario)
    };
    let clouds = MockClouds::start(options).await.expect("mock clouds");
    let ca = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(ca.path(), clouds.ca_pem()).expect("written");
    let mut file: File = toml::from_str(&clouds.config_toml(ca.path())).expect("the settings the mocks give");
    file.http = HttpConfig { backoff_seconds: 0.01, max_backoff_seconds: 0.05, ..file.http };
    if let Some(SourceConfig::DefenderNetwork(config)) = file.sources.get_mut("network") {
        config.max_rows = 250;
    }
    let environment = clouds.environment();
    let secrets = Secrets {
        azure_client_secret: environment.get("PROVOST_AZURE_CLIENT_SECRET").cloned(),
        aws: Some(AwsKeys {
            access_key_id: environment["AWS_ACCESS_KEY_ID"].reveal().to_owned(),
            secret_access_key: environment["AWS_SECRET_ACCESS_KEY"].clone(),
            session_token: None,
        }),
    };
    let clock = Clock::fixed(clouds.scenario().options().end);
    let connectors =
        Connectors::with_secrets(&file.http, Some(&file.azure), Some(&file.aws), clock, &secrets);
    let connectors = connectors.expect("good settings").budget(Arc::new(Purse::default()));
    Setting { clouds, connectors, file, _ca: ca }
}

/// The ids of all that a source gives between the two times.
async fn read(source: &dyn Source, from: DateTime<Utc>, to: DateTime<Utc>) -> BTreeSet<String> {
    let mut taken = Taken::default();
    for partition in source.partitions().await.expect("partitions") {
        let windows = Window::new(from, to).expect("not empty").split(source.pace().max_window);
        for window in windows {
            let pulled = source.pull(&partition, window, &mut taken).await;
            pulled.unwrap_or_else(|error| panic!("{partition} {window}: {error}"));
        }
    }
    assert!(taken.rejects.is_empty(), "{:?}", taken.rejects[0]);
    taken.ids().into_iter().collect()
}

async fn read_all(setting: &Setting) -> BTreeMap<String, BTreeSet<String>> {
    let options = setting.clouds.scenario().options();
    let (start, end) = (options.start(), options.end);
    let mut all = BTreeMap::new();
    for (name, config) in &setting.file.sources {
        let source = setting.connectors.source(name, config).expect("a source");
        let (from, to) = match source.pace().align.num_days() {
            0 => (start, end),
            _ => (end - TimeDelta::days(9), end - TimeDelta::days(1)),
        };
        all.insert(name.clone(), read(&*source, from, to).await);
    }
    all
}

#[tokio::test]
async fn the_connectors_give_all_that_happened_however_much_goes_wrong() {
    let calm = setting(Faults::none()).await;
    let all = read_all(&calm).await;
    let scenario = calm.clouds.scenario();
    let (start, end) = (scenario.options().start(), scenario.options().end);
    let inside = |time: DateTime<Utc>| start <= time && time < end;
    assert_eq!(all["network"].len(), scenario.network_events().filter(|event| inside(event.time)).count());
    let watched = |region: &str| scenario.tenant().watched_regions().contains(&region);
    let trail = scenario.trail_events().filter(|event| inside(event.time) && watched(&event.region)).count();
    assert_eq!(all["cloudtrail"].len(), trail);
    assert_eq!(all["activity"].len(), scenario.activity_records().count());
    assert_eq!(all["signins"].len(), scenario.sign_ins().count());
    assert_eq!(all["audits"].len(), scenario.audits().count());
    assert!(!all["aws_cost"].is_empty() && !all["azure_cost"].is_empty());
    for (name, ids) in &all {
        println!("{name}: {} records", ids.len());
    }

    let stormy = setting(Faults::all()).await;
    let again = read_all(&stormy).await;
    for (name, ids) in &all {
        assert!(again[name] == *ids, "{name}: {} instead of {}", again[name].len(), ids.len());
    }
    let faults = stormy.clouds.requests().iter().filter(|request| request.fault.is_some()).count();
    println!("{faults} faults in {} requests", stormy.clouds.requests().len());
    assert!(faults > 20);
}

#[tokio::test]
async fn every_check_is_well_and_every_missing_permission_is_named() {
    let mut setting = setting(Faults::none()).await;
    for (name, config) in &setting.file.sources {
        for check in setting.connectors.source(name, config).expect("a source").check().await {
            assert_eq!(check.status, CheckStatus::Ok, "{name}: {check:?}");
        }
    }
    for (name, config) in &setting.file.sinks {
        for check in setting.connectors.sink(name, config).expect("a sink").check().await {
            assert_eq!(check.status, CheckStatus::Ok, "{name}: {check:?}");
        }
    }
    setting.file.azure.credential = provost_connectors::config::AzureCredential::ClientSecret {
        client_id: "9c2b7e14-6a5d-4f3c-8b1e-0a9d8c7b6f5e".to_owned(),
        secret_file: None,
    };
    let secrets = Secrets {
        azure_client_secret: setting.clouds.environment().get("PROVOST_AZURE_CLIENT_SECRET").cloned(),
        aws: None,
    };
    let clock = Clock::fixed(setting.clouds.scenario().options().end);
    let powerless =
        Connectors::with_secrets(&setting.file.http, Some(&setting.file.azure), None, clock, &secrets);
    let powerless = powerless.expect("good settings");
    for name in ["network", "activity", "signins", "audits", "azure_cost"] {
        for check in powerless.source(name, &setting.file.sources[name]).expect("a source").check().await {
            assert_eq!(check.status, CheckStatus::Failed, "{name}: {check:?}");
            assert!(check.remedy.is_some_and(|remedy| remedy.contains("az ")), "{name}: {}", check.detail);
        }
    }
    for (name, config) in &setting.file.sinks {
        for check in powerless.sink(name, config).expect("a sink").check().await {
            assert_eq!(check.status, CheckStatus::Failed, "{name}: {check:?}");
            assert!(check.remedy.is_some_and(|remedy| remedy.contains("az role assignment")), "{name}");
        }
    }
}

#[tokio::test]
async fn a_wrong_secret_is_told_in_the_words_of_the_service_and_does_not_show() {
    let setting = setting(Faults::none()).await;
    let wrong = "wr0ng-s3cret";
    let secrets = Secrets { azure_client_secret: Some(provost_model::Secret::new(wrong)), aws: None };
    let clock = Clock::fixed(setting.clouds.scenario().options().end);
    let connectors =
        Connectors::with_secrets(&setting.file.http, Some(&setting.file.azure), None, clock, &secrets);
    let source = connectors.expect("good settings").source("audits", &setting.file.sources["audits"]);
    let check = source.expect("a source").check().await.remove(0);
    assert_eq!(check.status, CheckStatus::Failed);
    assert!(check.detail.contains("AADSTS7000215: Invalid client secret provided"), "{}", check.detail);
    assert!(check.detail.starts_with("azure_token: not authenticated"), "{}", check.detail);
    assert!(!format!("{check:?}").contains(wrong));
}

#[tokio::test]
async fn deliveries_arrive_whatever_goes_wrong_and_have_one_id_each() {
    let setting = setting(Faults::all()).await;
    let findings: Vec<Finding> = (0..40).map(|index| crate::sinks::finding(&index.to_string(), 1)).collect();
    let incidents: Vec<Incident> = vec![crate::sinks::incident(1), crate::sinks::incident(2)];
    let mut payloads: Vec<Payload> = findings.into_iter().map(Payload::Finding).collect();
    payloads.extend(incidents.into_iter().map(|incident| Payload::Incident(incident, vec![])));
    for (name, config) in &setting.file.sinks {
        let sink = setting.connectors.sink(name, config).expect("a sink");
        let wanted: Vec<Payload> = payloads.iter().filter(|payload| sink.wants(payload)).cloned().collect();
        for batch in sink.batches(&wanted) {
            let refused = sink.send(&wanted[batch]).await.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(refused, []);
        }
    }
    let workspace = setting.clouds.sentinel();
    assert_eq!(workspace.distinct("Custom-ProvostFindings_CL", "FindingId").len(), 40);
    assert_eq!(workspace.distinct("Custom-ProvostFindings_CL", "RowHash").len(), 40);
    assert_eq!(workspace.distinct("Custom-ProvostIncidents_CL", "Version").len(), 2);
    assert!(workspace.dropped_columns.is_empty(), "{:?}", workspace.dropped_columns);
    assert_eq!(workspace.incidents.len(), 1);
    let incident = workspace.incidents.values().next().expect("one");
    assert_eq!(incident.comments.len(), 2);
    assert!(incident.properties["description"].as_str().is_some_and(|text| text.starts_with("Version 2")));
}
