//! The whole way from a made-up tenant's logs to incidents: each planted attack becomes an incident, no decoy does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use chrono::TimeDelta;
use provost::correlate::{Content, Options, correlate, shown_entities};
use provost::detect::{Evaluator, FindingsInMemory, Rule, RuleStatus, Step, Watchlists, load_rules};
use provost::lake::columns_of;
use provost::{report, triage};
use provost_connectors::records::for_table;
use provost_kql::{Catalog, Column, Engine, EngineOptions, KqlType, MemoryCatalog, QueryOptions};
use provost_mocks::scenario::{PIPELINE_APP, PIPELINE_ROLE};
use provost_mocks::{Scenario, ScenarioOptions};
use provost_model::{BatchBuilder, Family, Finding, Incident, tables};
use serde_json::{Value, json};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn records(scenario: &Scenario) -> BTreeMap<&'static str, Vec<Value>> {
    let charges = scenario.aws_charges().into_iter().map(|charge| (charge, "AWS"));
    let charges = charges.chain(scenario.azure_charges().into_iter().map(|charge| (charge, "Microsoft")));
    let costs = charges.map(|(charge, provider)| {
        json!({
            "ChargePeriodStart": format!("{}T00:00:00Z", charge.day),
            "ChargePeriodEnd": format!("{}T00:00:00Z", charge.day + chrono::Days::new(1)),
            "BilledCost": charge.amount, "EffectiveCost": charge.amount, "BillingCurrency": "USD", "ProviderName": provider,
            "ServiceName": charge.service, "SubAccountId": charge.account, "RegionId": charge.region,
            "ChargeDescription": charge.usage, "ConsumedQuantity": charge.quantity, "ChargeCategory": "Usage",
        })
    });
    BTreeMap::from([
        (
            "AWSCloudTrail",
            scenario.trail_events().filter_map(|event| serde_json::from_str(&event.record).ok()).collect(),
        ),
        ("AuditLogs", scenario.audits().map(|record| record.body).collect()),
        ("AzureActivity", scenario.activity_records().map(|record| record.body).collect()),
        ("Costs", costs.collect()),
        (
            "DeviceNetworkEvents",
            scenario.network_events().map(|event| Value::Object(event.columns())).collect(),
        ),
        ("SigninLogs", scenario.sign_ins().map(|record| record.body).collect()),
    ])
}

fn catalog(scenario: &Scenario) -> MemoryCatalog {
    let mut catalog = MemoryCatalog::new();
    let records = records(scenario);
    for table in tables().iter() {
        let mut batch = BatchBuilder::new(table);
        if let Some(records) = records.get(table.name()) {
            let normaliser = for_table(table.name()).expect("every table has one");
            for record in records {
                let row = normaliser
                    .row(record)
                    .unwrap_or_else(|error| panic!("{}: {error}\n{record}", table.name()));
                batch.push(row).expect("a row of its table");
            }
        }
        let batches = vec![batch.finish().expect("a batch")];
        catalog.add_batches(table.name(), columns_of(table), batches).expect("a table");
    }
    Watchlists::load(&root().join("watchlists"))
        .expect("watchlists")
        .add_to(&mut catalog)
        .expect("watchlists");
    let text =
        |names: &[&str]| names.iter().map(|name| Column::new(*name, KqlType::String)).collect::<Vec<_>>();
    let ranges: Vec<Value> = scenario
        .hosting_ranges()
        .iter()
        .map(|(range, asn, name)| json!({ "SearchKey": range, "Asn": asn, "Name": name }))
        .collect();
    catalog
        .add_watchlist_json("hosting_ranges", text(&["SearchKey", "Asn", "Name"]), &ranges)
        .expect("ranges");
    let tenant = scenario.tenant();
    let roles =
        tenant.accounts.iter().map(|account| format!("arn:aws:iam::{}:role/{PIPELINE_ROLE}", account.id));
    let approved: Vec<Value> = roles
        .chain([PIPELINE_ROLE.to_owned(), PIPELINE_APP.to_owned(), tenant.pipeline_object_id.clone()])
        .map(|key| json!({ "SearchKey": key, "Kind": "principal" }))
        .collect();
    catalog
        .add_watchlist_json("approved_infrastructure", text(&["SearchKey", "Kind", "Note"]), &approved)
        .expect("approvals");
    catalog
}

/// The findings of the shipped rules at the end of each day: all so far, in their last versions.
async fn findings(engine: &Engine, catalog: &Arc<dyn Catalog>, scenario: &Scenario) -> Vec<Vec<Finding>> {
    let files = load_rules(&root().join("detections")).expect("rules");
    let rules: Vec<Rule> = files.iter().map(|file| file.rule().expect("a readable rule").clone()).collect();
    let evaluator = Evaluator::new(engine.clone(), Arc::clone(catalog));
    let mut known = FindingsInMemory::default();
    let mut by_day = Vec::new();
    // Nothing is planted in the first days: they are the history that rules look back on.
    for day in 3..=scenario.options().days {
        let end = scenario.options().start() + TimeDelta::days(i64::from(day));
        for rule in &rules {
            let outcome = evaluator.evaluate(rule, &[Step::ending(rule, end)], &known).await;
            assert_eq!(outcome.status, RuleStatus::Ok, "{}", outcome.rule_name);
            known.extend(outcome.findings);
        }
        by_day.push(known.0.values().cloned().collect());
    }
    by_day
}

#[tokio::test]
async fn each_attack_becomes_an_incident_and_no_decoy_does() {
    let scenario = Scenario::new(ScenarioOptions { days: 5, ..ScenarioOptions::default() });
    let engine = Engine::new(EngineOptions { target_partitions: Some(2), ..EngineOptions::default() })
        .expect("an engine");
    let began = Instant::now();
    let mut with_findings = catalog(&scenario);
    let bare: Arc<dyn Catalog> = Arc::new(with_findings.clone());
    eprintln!("lake made in {:.1?}", began.elapsed());
    let began = Instant::now();
    let by_day = findings(&engine, &bare, &scenario).await;
    let findings = by_day.last().cloned().unwrap_or_default();
    eprintln!("{} findings in {:.1?}", findings.len(), began.elapsed());
    let mut rows = BatchBuilder::new(tables().get("Findings").expect("a table"));
    for finding in &findings {
        rows.push(finding.to_row().expect("a row")).expect("a row");
    }
    let spec = tables().get("Findings").expect("a table");
    with_findings
        .add_batches("Findings", columns_of(spec), vec![rows.finish().expect("a batch")])
        .expect("findings");
    let catalog: Arc<dyn Catalog> = Arc::new(with_findings);

    let began = Instant::now();
    let content = Content::built_in().expect("content");
    let options = Options::at(scenario.options().end);
    let outcome = correlate(&engine, &catalog, &findings, &[], &content, &options).await;
    eprintln!("{} incidents in {:.1?}", outcome.incidents.len(), began.elapsed());
    for run in &outcome.bridges {
        eprintln!(
            "  {:22} {:5} rows {:4} pairs {:8.0?} {}",
            run.id,
            run.rows,
            run.pairs,
            run.took,
            run.problem.as_deref().unwrap_or("")
        );
    }
    assert_eq!(outcome.problems, Vec::<String>::new());
    assert!(outcome.bridges.iter().all(|run| run.problem.is_none()));
    let again = correlate(&engine, &catalog, &findings, &outcome.incidents, &content, &options).await;
    assert!(again.incidents.is_empty(), "running again on the same lake gives nothing");

    // Day by day comes to the same groups as all at once.
    let mut grown: BTreeMap<_, Incident> = BTreeMap::new();
    for findings in &by_day {
        let known: Vec<Incident> = grown.values().cloned().collect();
        let outcome = correlate(&engine, &catalog, findings, &known, &content, &options).await;
        grown.extend(outcome.incidents.into_iter().map(|incident| (incident.id, incident)));
    }
    let groups = |incidents: &mut dyn Iterator<Item = &Incident>| -> BTreeSet<BTreeSet<uuid::Uuid>> {
        incidents.filter(|one| one.superseded_by.is_none()).map(|one| one.findings.clone()).collect()
    };
    assert_eq!(groups(&mut grown.values()), groups(&mut outcome.incidents.iter()));

    let playbooks = triage::built_in().expect("playbooks");
    let mut incidents = outcome.incidents;
    let began = Instant::now();
    for incident in &mut incidents {
        triage::triage(&engine, &catalog, incident, &playbooks, &triage::Options::at(scenario.options().end))
            .await;
    }
    eprintln!("triage in {:.1?}", began.elapsed());
    show(&incidents, &findings, &scenario);
    if let Some(folder) = std::env::var_os("PROVOST_REPORT_TO") {
        write_report(&PathBuf::from(folder), &engine, &catalog, &scenario, &incidents, &findings).await;
    }

    for chain in scenario.chains() {
        let of_chain: Vec<&Incident> =
            incidents.iter().filter(|incident| shared(incident, &chain.entities) >= 2).collect();
        assert!(!of_chain.is_empty(), "{} became no incident", chain.name);
    }
    for decoy in scenario.decoys() {
        let main: BTreeSet<_> = decoy.entities.iter().collect();
        let of_decoy = incidents.iter().find(|incident| {
            let chains = scenario.chains().iter().any(|chain| shared(incident, &chain.entities) > 0);
            !chains && incident.entities.iter().any(|entity| main.contains(entity))
        });
        assert!(of_decoy.is_none(), "{}: {}", decoy.name, of_decoy.map_or("", |incident| &incident.title));
    }
    assert!(incidents.iter().all(|incident| shown_entities(incident).len() <= 10));
}

fn shared(incident: &Incident, entities: &[provost_model::Entity]) -> usize {
    entities.iter().filter(|entity| incident.entities.contains(entity)).count()
}

fn show(incidents: &[Incident], findings: &[Finding], scenario: &Scenario) {
    let by_id: BTreeMap<_, &Finding> = findings.iter().map(|finding| (finding.id, finding)).collect();
    for incident in incidents {
        eprintln!(
            "\n{:5.1} {} {}{}",
            incident.score,
            incident.severity,
            incident.title,
            if incident.escalate { " [escalate]" } else { "" }
        );
        for chain in scenario.chains() {
            let share = shared(incident, &chain.entities);
            if share > 0 {
                eprintln!("      chain {}: {share} of {} entities", chain.name, chain.entities.len());
            }
        }
        for decoy in scenario.decoys() {
            if shared(incident, &decoy.entities) > 0 {
                eprintln!("      decoy {}", decoy.name);
            }
        }
        let mut members: Vec<&Finding> =
            incident.findings.iter().filter_map(|id| by_id.get(id).copied()).collect();
        members.sort_by_key(|finding| finding.first_seen);
        for finding in members {
            eprintln!(
                "      {} {:12} {:6} {}",
                finding.first_seen.format("%m-%d %H:%M"),
                finding.family.name(),
                finding.severity.name(),
                finding.title
            );
        }
        for edge in &incident.chain {
            eprintln!("      tie {:.2} {}", edge.weight, edge.because);
        }
        for answer in incident.triage.iter().filter(|answer| answer.met == Some(true)) {
            eprintln!("      met: {} {}", answer.playbook, answer.answer);
        }
    }
    let inside: BTreeSet<_> = incidents.iter().flat_map(|incident| &incident.findings).collect();
    eprintln!("\nfindings in no incident:");
    for finding in findings.iter().filter(|finding| !inside.contains(&finding.id)) {
        eprintln!(
            "      {} {:12} {:6} {}",
            finding.first_seen.format("%m-%d %H:%M"),
            finding.family.name(),
            finding.severity.name(),
            finding.title
        );
    }
    let families = Family::ALL
        .map(|family| (family.name(), findings.iter().filter(|finding| finding.family == family).count()));
    eprintln!(
        "{} findings {families:?}, {} in {} incidents, {:.2} incidents a day",
        findings.len(),
        inside.len(),
        incidents.len(),
        incidents.len() as f64 / f64::from(scenario.options().days)
    );
}

async fn write_report(
    folder: &std::path::Path,
    engine: &Engine,
    catalog: &Arc<dyn Catalog>,
    scenario: &Scenario,
    incidents: &[Incident],
    findings: &[Finding],
) {
    let covers = (scenario.options().start(), scenario.options().end);
    let options = QueryOptions { now: covers.1, time_range: Some(covers), ..QueryOptions::default() };
    let ledger = report::ledger(engine, catalog, &options).await.expect("a ledger");
    let report = report::Report { made_at: covers.1, covers, incidents, findings, ledger: &ledger };
    std::fs::write(folder.join("report.html"), report::html(&report)).expect("a folder to write to");
}
