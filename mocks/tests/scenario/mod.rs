//! What the scenario promises.

use std::time::Instant;

use provost_mocks::{Scenario, ScenarioOptions};

#[test]
fn the_same_options_give_the_same_bytes() {
    let began = Instant::now();
    let scenario = Scenario::new(ScenarioOptions::default());
    let planted = began.elapsed();
    let network = scenario.network_events().count();
    let n = began.elapsed();
    let trail = scenario.trail_events().count();
    let t = began.elapsed();
    println!(
        "planted {planted:?}; network {network} {n:?} trail {trail} {t:?} activity {} sign-ins {} audits {} aws {} azure {} {:?}",
        scenario.activity_records().count(),
        scenario.sign_ins().count(),
        scenario.audits().count(),
        scenario.aws_charges().len(),
        scenario.azure_charges().len(),
        began.elapsed()
    );
    for chain in scenario.chains() {
        let counts: Vec<_> = chain.event_ids.iter().map(|(table, ids)| (table, ids.len())).collect();
        println!("{} {}..{} {counts:?} {:?}", chain.name, chain.from, chain.to, chain.entities);
    }
}
