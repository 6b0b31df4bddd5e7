//! What the scenario promises.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use provost_mocks::scenario::NetworkEvent;
use provost_mocks::{AttackChain, Scenario, ScenarioOptions};
use provost_model::{EntityKind, Family};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Everything that the scenario holds, as bytes.
fn digest(options: ScenarioOptions) -> Vec<u8> {
    let scenario = Scenario::new(options);
    let mut hash = Sha256::new();
    for event in scenario.network_events() {
        hash.update(Value::Object(event.columns()).to_string());
    }
    for event in scenario.trail_events() {
        hash.update(event.record);
    }
    for record in scenario.activity_records().chain(scenario.sign_ins()).chain(scenario.audits()) {
        hash.update(record.body.to_string());
    }
    hash.update(format!("{:?}{:?}", scenario.aws_charges(), scenario.azure_charges()));
    hash.update(format!("{:?}", scenario.chains()));
    hash.finalize().to_vec()
}

fn chain<'a>(scenario: &'a Scenario, name: &str) -> &'a AttackChain {
    scenario.chains().iter().find(|chain| chain.name == name).expect("a chain")
}

fn entities(chain: &AttackChain, kind: EntityKind) -> BTreeSet<&str> {
    chain.entities.iter().filter(|entity| entity.kind() == kind).map(|entity| entity.value()).collect()
}

#[test]
fn the_same_options_give_the_same_bytes() {
    let options = || ScenarioOptions { days: 2, devices: 10, ..ScenarioOptions::default() };
    assert_eq!(digest(options()), digest(options()));
    assert_ne!(digest(options()), digest(ScenarioOptions { seed: 2, ..options() }));
}

#[test]
fn the_default_tenant_has_the_size_that_is_promised() {
    let scenario = Scenario::new(ScenarioOptions::default());
    let network = scenario.network_events().count();
    let trail = scenario.trail_events().count();
    assert!((30_000..60_000).contains(&network) && (5_000..10_000).contains(&trail), "{network} {trail}");
}

#[test]
fn events_come_in_the_order_of_time_and_within_it() {
    let options = ScenarioOptions { days: 2, ..ScenarioOptions::default() };
    let scenario = Scenario::new(options.clone());
    let times: [(&str, Vec<_>); 5] = [
        ("network", scenario.network_events().map(|event| event.time).collect()),
        ("trail", scenario.trail_events().map(|event| event.time).collect()),
        ("activity", scenario.activity_records().map(|record| record.time).collect()),
        ("sign-ins", scenario.sign_ins().map(|record| record.time).collect()),
        ("audits", scenario.audits().map(|record| record.time).collect()),
    ];
    for (log, times) in times {
        assert!(times.is_sorted(), "{log}");
        assert!(times.iter().all(|time| (options.start()..options.end).contains(time)), "{log}");
    }
}

#[test]
fn identities_are_unique() {
    let scenario = Scenario::new(ScenarioOptions::default());
    let logs: [(&str, Vec<String>); 5] = [
        ("network", scenario.network_events().map(|event| event.id()).collect()),
        ("trail", scenario.trail_events().map(|event| event.id).collect()),
        ("activity", scenario.activity_records().map(|record| record.id).collect()),
        ("sign-ins", scenario.sign_ins().map(|record| record.id).collect()),
        ("audits", scenario.audits().map(|record| record.id).collect()),
    ];
    for (log, ids) in logs {
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{log}");
    }
}

#[test]
fn own_hosts_contact_addresses_that_the_attack_made_and_nobody_had_before() {
    let scenario = Scenario::new(ScenarioOptions::default());
    let network: Vec<NetworkEvent> = scenario.network_events().collect();
    for (name, table) in [("stolen-account", "AWSCloudTrail"), ("azure-compute", "AzureActivity")] {
        let chain = chain(&scenario, name);
        let made: Vec<String> = match table {
            "AWSCloudTrail" => scenario
                .trail_events()
                .filter(|event| event.name == "AllocateAddress" && chain.event_ids[table].contains(&event.id))
                .map(|event| serde_json::from_str::<Value>(&event.record).expect("JSON")["responseElements"]["publicIp"].clone())
                .filter_map(|ip| ip.as_str().map(str::to_owned))
                .collect(),
            _ => scenario
                .activity_records()
                .filter(|record| chain.event_ids[table].contains(&record.id))
                .filter_map(|record| record.body["properties"]["responseBody"].as_str().map(str::to_owned))
                .filter_map(|body| serde_json::from_str::<Value>(&body).expect("JSON")["properties"]["ipAddress"].as_str().map(str::to_owned))
                .collect(),
        };
        assert!(made.len() >= 2, "{name}: {made:?}");
        let ips = entities(chain, EntityKind::Ip);
        assert!(made.iter().all(|ip| ips.contains(ip.as_str())), "{name}");
        let addresses: BTreeSet<IpAddr> = made.iter().filter_map(|ip| ip.parse().ok()).collect();
        let contacts: Vec<_> = network.iter().filter(|event| addresses.contains(&event.remote_ip)).collect();
        assert!(contacts.len() > 100, "{name}");
        assert!(contacts.iter().all(|event| event.time > chain.from), "{name}");
        let hosts = entities(chain, EntityKind::Host);
        assert!(contacts.iter().all(|event| hosts.contains(event.device.name.as_str())), "{name}");
    }
}

#[test]
fn the_bill_rises_where_and_when_the_attack_is() {
    let scenario = Scenario::new(ScenarioOptions::default());
    for (chain, charges) in [
        (chain(&scenario, "stolen-account"), scenario.aws_charges()),
        (chain(&scenario, "azure-compute"), scenario.azure_charges()),
        (chain(&scenario, "rapid-churn"), scenario.aws_charges()),
    ] {
        assert!(chain.families.contains(&Family::Billing));
        let accounts = entities(chain, EntityKind::Account);
        let mut by_day = BTreeMap::new();
        for charge in charges.iter().filter(|charge| accounts.contains(charge.account.as_str())) {
            *by_day.entry(charge.day).or_insert(0.0) += charge.amount;
        }
        let begins = chain.from.date_naive();
        let highest_before = by_day.range(..begins).map(|(_, sum)| *sum).fold(0.0, f64::max);
        let highest_after = by_day.range(begins..).map(|(_, sum)| *sum).fold(0.0, f64::max);
        assert!(highest_after > highest_before * 1.3, "{}: {highest_before} {highest_after}", chain.name);
    }
}

#[test]
fn attacks_and_decoys_have_no_entity_in_common_but_accounts() {
    let scenario = Scenario::new(ScenarioOptions::default());
    for chain in scenario.chains() {
        assert!(chain.from < chain.to && !chain.techniques.is_empty(), "{}", chain.name);
        for decoy in scenario.decoys() {
            let shared = chain
                .entities
                .iter()
                .find(|entity| entity.kind() != EntityKind::Account && decoy.entities.contains(entity));
            assert!(shared.is_none(), "{} and {}: {shared:?}", chain.name, decoy.name);
        }
    }
    let quiet = Scenario::new(ScenarioOptions { attacks: false, days: 1, ..ScenarioOptions::default() });
    assert!(quiet.chains().is_empty());
}

#[test]
fn a_scenario_of_a_day_still_holds_every_attack() {
    for days in [1, 2, 3, 14] {
        let scenario =
            Scenario::new(ScenarioOptions { days, devices: 5, users: 4, ..ScenarioOptions::default() });
        for chain in scenario.chains() {
            assert!(chain.event_ids.values().all(|ids| !ids.is_empty()), "{days} days: {}", chain.name);
        }
        assert_eq!(scenario.chains().len(), 4);
    }
}
