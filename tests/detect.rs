//! The shipped rules, and the promises of detection.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use provost::detect::{
    CheckStatus, Evaluator, FindingsInMemory, Rule, RuleFile, RuleOutcome, RuleStatus, Step, Watchlists,
    check, load_rules, run_tests,
};
use provost::lake::columns_of;
use provost_kql::{Engine, EngineOptions, MemoryCatalog};
use provost_model::{Finding, parse_time, tables};
use serde_json::{Value, json};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of public corpora, where there is one.
fn corpora() -> Option<PathBuf> {
    let shared = std::env::var_os("PROVOST_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let folder = shared.join("corpora");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no corpora in {}; set PROVOST_SHARED", shared.display());
    None
}

fn engine() -> Engine {
    Engine::new(EngineOptions { target_partitions: Some(2), ..EngineOptions::default() }).expect("an engine")
}

fn shipped() -> Vec<RuleFile> {
    load_rules(&root().join("detections")).expect("a folder of rules")
}

fn shipped_rules() -> Vec<Rule> {
    shipped().iter().map(|file| file.rule().expect("a readable rule").clone()).collect()
}

fn watchlists() -> Watchlists {
    Watchlists::load(&root().join("watchlists")).expect("readable watchlists")
}

/// A catalog with all tables, of which some have rows.
fn catalog(rows: &[(&str, Vec<Value>)]) -> Arc<MemoryCatalog> {
    let mut catalog = MemoryCatalog::new();
    for table in tables().iter() {
        let empty = Vec::new();
        let rows = rows.iter().find(|(name, _)| *name == table.name()).map_or(&empty, |(_, rows)| rows);
        catalog.add_json(table.name(), columns_of(table), rows).expect("rows that fit");
    }
    watchlists().add_to(&mut catalog).expect("watchlists that fit");
    Arc::new(catalog)
}

fn at(time: &str) -> DateTime<Utc> {
    parse_time(time).expect("a time")
}

#[test]
fn shipped_rules_are_complete() {
    let files = shipped();
    assert!(files.len() >= 20, "{} rules", files.len());
    for file in files {
        let parsed = file.result.unwrap_or_else(|problems| panic!("{}: {problems:?}", file.path.display()));
        let (rule, path) = (&parsed.rule, file.path.display());
        assert_eq!(parsed.warnings, [], "{path}");
        assert!(rule.family.is_some() && rule.confidence.is_some(), "{path} lacks family or confidence");
        assert!(rule.fingerprint.is_some(), "{path} lacks a fingerprint");
        assert!(!rule.false_positives.is_empty(), "{path} names no false positive");
        let description = rule.description.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        assert!(description.contains("consistent with"), "{path} claims too much");
        assert!(rule.techniques.len() >= 2, "{path} lacks an inferred or an observable technique");
        assert!(rule.tests.iter().any(|test| !test.expect.is_empty()), "{path} has no test that fires");
        assert!(rule.tests.iter().any(|test| test.expect.is_empty()), "{path} has no test that stays quiet");
        assert!(rule.portable_query().ends_with(&rule.query), "{path}");
        for parameter in &rule.parameters {
            assert!(rule.query.contains(&parameter.name), "{path} does not use {}", parameter.name);
        }
    }
}

#[tokio::test]
async fn shipped_rules_bind_to_the_tables_there_are() {
    let checks = check(&engine(), catalog(&[]), &shipped(), Utc::now()).await;
    for check in checks {
        assert_eq!(
            (check.status, check.reason.as_str()),
            (CheckStatus::Ok, ""),
            "{}\n{}",
            check.file,
            check.reason
        );
        assert_eq!(check.warnings, Vec::<String>::new(), "{}", check.file);
        assert!(!check.tables.is_empty(), "{}", check.file);
    }
}

#[tokio::test]
async fn shipped_rules_pass_their_own_tests() {
    let (engine, watchlists) = (engine(), watchlists());
    let mut failures = Vec::new();
    for file in shipped() {
        let rule = file.rule().expect("a readable rule");
        for result in run_tests(&engine, rule, &watchlists).await {
            if !result.passed() {
                failures.push(format!("{}: {}: {}", file.path.display(), result.test, result.failure));
            }
        }
    }
    assert!(failures.is_empty(), "{} tests failed:\n{}", failures.len(), failures.join("\n"));
}

const SMALL_RULE: &str = "
id: 00000000-0000-0000-0000-0000000000aa
name: Calls of a user
description: A test.
severity: Low
queryFrequency: 1h
queryPeriod: 1d
triggerOperator: gt
triggerThreshold: 0
tactics: [Discovery]
relevantTechniques: [T1580]
query: |
  AWSCloudTrail
  | where TimeGenerated > ago(1d)
  | summarize FirstSeen = min(TimeGenerated), LastSeen = max(TimeGenerated), Calls = count(), Addresses = make_set(SourceIpAddress)
      by UserIdentityArn
entityMappings:
  - entityType: Account
    fieldMappings: [{identifier: FullName, columnName: UserIdentityArn}]
  - entityType: IP
    fieldMappings: [{identifier: Address, columnName: Addresses}]
customDetails: {Calls: Calls}
provost:
  fingerprint: [UserIdentityArn]
";

fn call(time: &str, user: &str, address: &str) -> Value {
    json!({"TimeGenerated": time, "UserIdentityArn": user, "SourceIpAddress": address, "EventName": "X"})
}

async fn evaluated(rule: &Rule, rows: Vec<Value>, ends: &[&str], known: &FindingsInMemory) -> RuleOutcome {
    let steps: Vec<Step> = ends.iter().map(|end| Step::ending(rule, at(end))).collect();
    let evaluator = Evaluator::new(engine(), catalog(&[("AWSCloudTrail", rows)]));
    let outcome = evaluator.evaluate(rule, &steps, known).await;
    assert_eq!(outcome.status, RuleStatus::Ok);
    outcome
}

#[tokio::test]
async fn one_fact_is_one_finding_however_often_it_is_found() {
    let rule = Rule::parse(SMALL_RULE).expect("a rule").rule;
    let mut rows = vec![
        call("2026-03-04T08:10:00Z", "arn:aws:iam::1:user/ann", "192.0.2.1"),
        call("2026-03-04T09:20:00Z", "arn:aws:iam::1:user/ann", "192.0.2.1"),
        call("2026-03-04T09:30:00Z", "arn:aws:iam::1:user/bob", "192.0.2.2"),
    ];
    let mut known = FindingsInMemory::default();
    let first =
        evaluated(&rule, rows.clone(), &["2026-03-04T09:00:00Z", "2026-03-04T10:00:00Z"], &known).await;
    assert_eq!(first.findings.len(), 2);
    let ann =
        first.findings.iter().find(|finding| finding.first_seen == at("2026-03-04T08:10:00Z")).expect("ann");
    assert_eq!((ann.version, ann.last_seen), (1, at("2026-03-04T09:20:00Z")));
    let hash = ann.action_hash.clone();
    let id = ann.id;
    known.extend(first.findings);

    // The same rows again, now or later, and in another order: nothing.
    rows.reverse();
    for end in ["2026-03-04T09:00:00Z", "2026-03-04T10:00:00Z", "2026-03-04T23:00:00Z"] {
        assert_eq!(evaluated(&rule, rows.clone(), &[end], &known).await.findings, []);
    }

    // One more call: the next version, and nothing else to do.
    rows.push(call("2026-03-04T10:30:00Z", "arn:aws:iam::1:user/ann", "192.0.2.1"));
    let grown = evaluated(&rule, rows.clone(), &["2026-03-04T11:00:00Z"], &known).await.findings;
    assert_eq!(grown.len(), 1);
    assert_eq!((grown[0].id, grown[0].version), (id, 2));
    assert_eq!(grown[0].custom_details["Calls"], 3);
    assert_eq!(grown[0].action_hash, hash);
    known.extend(grown);

    // A new address: the next version, and something to do.
    rows.push(call("2026-03-04T11:30:00Z", "arn:aws:iam::1:user/ann", "192.0.2.9"));
    let grown = evaluated(&rule, rows.clone(), &["2026-03-04T12:00:00Z"], &known).await.findings;
    assert_eq!((grown[0].id, grown[0].version), (id, 3));
    assert_ne!(grown[0].action_hash, hash);
    known.extend(grown);

    // The window moves on; what fell out of it is no news. Over midnight it stays one finding.
    assert_eq!(evaluated(&rule, rows.clone(), &["2026-03-05T09:00:00Z"], &known).await.findings, []);
    rows.push(call("2026-03-05T00:30:00Z", "arn:aws:iam::1:user/ann", "192.0.2.1"));
    let grown = evaluated(&rule, rows, &["2026-03-05T09:00:00Z"], &known).await.findings;
    assert_eq!(grown.iter().map(|finding| (finding.id, finding.version)).collect::<Vec<_>>(), [(id, 4)]);
}

#[tokio::test]
async fn a_finding_is_bounded_and_says_what_it_leaves_out() {
    let rule = Rule::parse(SMALL_RULE).expect("a rule").rule;
    let rows = (0..60)
        .map(|n| call("2026-03-04T08:10:00Z", "arn:aws:iam::1:user/ann", &format!("192.0.2.{n}")))
        .collect();
    let findings =
        evaluated(&rule, rows, &["2026-03-04T09:00:00Z"], &FindingsInMemory::default()).await.findings;
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].entities.len(), 10);
    assert_eq!(findings[0].custom_details["EntitiesNotKept"], 51);
}

#[tokio::test]
async fn a_rule_that_cannot_run_says_why_and_stops_no_other() {
    let broken = SMALL_RULE.replace("| summarize", "| wher Nonsense\n  | summarize").replace("0aa", "0bb");
    let missing = SMALL_RULE.replace("AWSCloudTrail", "AWSCloudTrial").replace("0aa", "0cc");
    let rules: Vec<Rule> = [broken.as_str(), &missing, SMALL_RULE]
        .iter()
        .map(|text| Rule::parse(text).expect("a rule").rule)
        .collect();
    let rows = vec![call("2026-03-04T08:10:00Z", "arn:aws:iam::1:user/ann", "192.0.2.1")];
    let known = FindingsInMemory::default();
    let catalog = catalog(&[("AWSCloudTrail", rows)]);
    let outcomes =
        provost::detect::evaluate(&engine(), catalog, &rules, at("2026-03-04T09:00:00Z"), &known).await;
    assert!(
        matches!(&outcomes[0].status, RuleStatus::Refused(reason) if reason.contains("wher")),
        "{:?}",
        outcomes[0].status
    );
    assert!(
        matches!(&outcomes[1].status, RuleStatus::Refused(reason) if reason.contains("AWSCloudTrail")),
        "{:?}",
        outcomes[1].status
    );
    assert_eq!(outcomes[2].findings.len(), 1);
}

#[test]
fn faults_of_a_rule_file_are_all_named() {
    let text = "id: x\nname: y\nseverity: Grave\nqueryFrequency: often\nquery: T\nprovost:\n  familly: dns\n  confidence: 7\n";
    let problems: Vec<String> =
        Rule::parse(text).expect_err("is faulty").iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "line 3: severity: severity 'Grave' is none of Informational, Low, Medium, High",
            "line 4: queryFrequency: 'often' is no length of time; write 15m, 1h, 14d or PT5M",
            "line 8: provost.confidence: 7 is not between 0 and 1",
            "line 7: provost.familly: unknown key; did you mean 'family'?",
        ]
    );
    for text in ["", "- a\n- b\n", "id: [", "\u{0}", "id: {a: 1}\nname: 2\nquery: []\nseverity: 3"] {
        assert!(Rule::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn public_rule_files_can_be_read() {
    let Some(corpora) = corpora() else { return };
    let files = load_rules(&corpora.join("sentinel-rules")).expect("a folder of rules");
    assert!(files.len() > 80);
    let unreadable: Vec<String> = files
        .iter()
        .filter_map(|file| Some(format!("{}: {:?}", file.path.display(), file.result.as_ref().err()?)))
        // A rule in Defender's own format, a bare query, and a second copy of an id.
        .filter(|told| {
            !["azactxdr__", "hunt__WebDav", "is also the id of"].iter().any(|known| told.contains(known))
        })
        .collect();
    assert!(unreadable.is_empty(), "{}", unreadable.join("\n"));
}

mod logs {
    //! Real logs with labels.

    use super::*;
    use std::io::Read;

    /// A CloudTrail event as a row of `AWSCloudTrail`, as far as the rules look at it.
    fn trail_row(event: &Value) -> Value {
        let text = |pointer: &str| match event.pointer(pointer) {
            None | Some(Value::Null) => json!(""),
            Some(Value::String(text)) => json!(text),
            Some(other) => json!(other.to_string()),
        };
        json!({
            "TimeGenerated": text("/eventTime"), "AwsEventId": text("/eventID"), "EventName": text("/eventName"),
            "EventSource": text("/eventSource"), "AWSRegion": text("/awsRegion"), "SourceIpAddress": text("/sourceIPAddress"),
            "UserAgent": text("/userAgent"), "ErrorCode": text("/errorCode"), "ErrorMessage": text("/errorMessage"),
            "RequestParameters": text("/requestParameters"), "ResponseElements": text("/responseElements"),
            "AdditionalEventData": text("/additionalEventData"), "RecipientAccountId": text("/recipientAccountId"),
            "EventTypeName": text("/eventType"), "ReadOnly": event["readOnly"],
            "UserIdentityType": text("/userIdentity/type"), "UserIdentityArn": text("/userIdentity/arn"),
            "UserIdentityAccountId": text("/userIdentity/accountId"), "UserIdentityUserName": text("/userIdentity/userName"),
            "UserIdentityAccessKeyId": text("/userIdentity/accessKeyId"), "UserIdentityInvokedBy": text("/userIdentity/invokedBy"),
            "SessionIssuerArn": text("/userIdentity/sessionContext/sessionIssuer/arn"),
            "SessionIssuerUserName": text("/userIdentity/sessionContext/sessionIssuer/userName"),
        })
    }

    fn events(path: &Path) -> Vec<Value> {
        let text = std::fs::read_to_string(path).expect("a log file");
        match serde_json::from_str(&text).expect("JSON") {
            Value::Object(mut file) => match file.remove("Records") {
                Some(Value::Array(events)) => events,
                _ => Vec::new(),
            },
            Value::Array(events) => events,
            _ => Vec::new(),
        }
    }

    fn trail_files(folder: &Path) -> Vec<PathBuf> {
        let entries =
            std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
        let mut files: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
        files.sort();
        files
    }

    /// Every shipped rule that reads the table, once, over a period that ends with the log.
    async fn findings_of(rows: Vec<Value>, table: &'static str, only: Option<&str>) -> Vec<Finding> {
        let times = rows.iter().map(|row| at(row["TimeGenerated"].as_str().expect("a time")));
        let end = times.max().expect("rows") + TimeDelta::seconds(1);
        let evaluator = Evaluator::new(engine(), catalog(&[(table, rows)]));
        let known = FindingsInMemory::default();
        let mut findings = Vec::new();
        let rules = shipped_rules();
        for rule in rules.iter().filter(|rule| rule.query.contains(table)) {
            if only.is_some_and(|only| rule.name != only) {
                continue;
            }
            let outcome = evaluator.evaluate(rule, &[Step::ending(rule, end)], &known).await;
            assert_eq!(outcome.status, RuleStatus::Ok, "{}", rule.name);
            findings.extend(outcome.findings);
        }
        findings
    }

    fn told(findings: &[Finding]) -> String {
        let mut told: Vec<String> =
            findings.iter().map(|f| format!("{} | {} | {}", f.severity, f.rule_name, f.title)).collect();
        told.sort();
        told.join("\n")
    }

    #[tokio::test]
    async fn detonations_in_a_real_trail_are_found() {
        let Some(corpora) = corpora() else { return };
        let folder = corpora.join("logs/aws-invictus");
        let all: Vec<Value> = trail_files(&folder).iter().flat_map(|path| events(path)).collect();
        assert_eq!(all.len(), 2900);
        let labels: BTreeMap<String, String> = std::fs::read_to_string(folder.join("labels.jsonl"))
            .expect("labels")
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
            .map(|label| {
                (
                    label["eventID"].as_str().unwrap_or_default().to_owned(),
                    label["label"].as_str().unwrap_or_default().to_owned(),
                )
            })
            .collect();
        let findings = findings_of(all.iter().map(trail_row).collect(), "AWSCloudTrail", None).await;
        println!("{}", told(&findings));

        // Each labelled launch, user, key and password, by who asked for it or for whom it was made.
        let mut wanted = BTreeSet::new();
        for event in &all {
            let id = event["eventID"].as_str().unwrap_or_default();
            if labels.get(id).is_none_or(|label| label != "stratus-detonation") {
                continue;
            }
            let text =
                |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            match event["eventName"].as_str().unwrap_or_default() {
                "RunInstances" => wanted.insert(text("/userIdentity/sessionContext/sessionIssuer/arn")),
                "CreateUser" | "CreateAccessKey" | "CreateLoginProfile" => wanted.insert(format!(
                    "arn:aws:iam::123837392027:user/{}",
                    text("/requestParameters/userName")
                )),
                "ConsoleLogin" => wanted.insert(text("/userIdentity/arn")),
                _ => continue,
            };
        }
        assert_eq!(wanted.len(), 6, "{wanted:?}");
        let named: BTreeSet<&str> =
            findings.iter().flat_map(|finding| &finding.entities).map(|entity| entity.value()).collect();
        let missed: Vec<&String> =
            wanted.iter().filter(|principal| !named.contains(principal.as_str())).collect();
        assert!(missed.is_empty(), "missed {missed:?}");
        // Nearly three thousand events of one hour come down to a page.
        assert!(findings.len() <= 20, "{} findings:\n{}", findings.len(), told(&findings));
    }

    #[tokio::test]
    async fn attacks_recorded_one_by_one_are_found() {
        let Some(corpora) = corpora() else { return };
        for attack in [
            "aws.execution.ec2-launch-unusual-instances",
            "aws.persistence.iam-backdoor-user",
            "aws.persistence.iam-create-admin-user",
            "aws.persistence.iam-create-user-login-profile",
            "aws.privilege-escalation.iam-update-user-login-profile",
            "aws.initial-access.console-login-without-mfa",
        ] {
            let path = corpora.join("logs/aws-stratus").join(format!("{attack}.json"));
            let findings =
                findings_of(events(&path).iter().map(trail_row).collect(), "AWSCloudTrail", None).await;
            assert!(!findings.is_empty(), "{attack} is not found");
            assert!(findings.len() <= 4, "{attack}: {}", told(&findings));
        }
    }

    #[tokio::test]
    async fn a_real_beacon_is_found_among_a_hundred_thousand_connections() {
        let Some(corpora) = corpora() else { return };
        let path = corpora.join("logs/network/rita_missing_host_conns.jsonl.gz");
        let mut text = String::new();
        let file = std::fs::File::open(path).expect("a log file");
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("gzip");
        // The device is who connects; the beacon comes in from outside, as the recorder stood at the far end.
        let row = |line: &str| -> Value {
            let connection: Value = serde_json::from_str(line).expect("JSON");
            let seconds = connection["ts"].as_f64().unwrap_or_default();
            let time = DateTime::from_timestamp_micros((seconds * 1e6) as i64).expect("a time");
            let refused = connection["state"] == "REJ" || connection["state"] == "S0";
            json!({
                "TimeGenerated": provost_model::format_time(time), "DeviceId": connection["src"], "DeviceName": connection["src"],
                "ActionType": if refused { "ConnectionFailed" } else { "ConnectionSuccess" },
                "RemoteIP": connection["dst"], "RemotePort": connection["dport"], "RemoteIPType": "Public",
            })
        };
        let mut rows: Vec<Value> = text.lines().map(row).collect();
        assert_eq!(rows.len(), 105_918);
        // Here every source talks to one host, which would be shared telemetry: give each source its own far end.
        for row in &mut rows {
            row["RemoteIP"] = row["DeviceId"].clone();
        }
        let findings =
            findings_of(rows, "DeviceNetworkEvents", Some("Regular connections to a rare address")).await;
        println!("{}", told(&findings));
        let beacon = findings
            .iter()
            .find(|finding| finding.entities.iter().any(|entity| entity.value() == "73.54.23.243"));
        let beacon = beacon.expect("the labelled beacon is found");
        let period = beacon.custom_details["PeriodSeconds"].as_f64().expect("a period");
        assert!((250.0..290.0).contains(&period), "{period}");
        assert!(findings.len() <= 120, "{} of 42,313 pairs are reported", findings.len());
    }
}

#[test]
fn every_shipped_rule_is_in_the_guide() {
    let guide = std::fs::read_to_string(root().join("docs/rules.md")).expect("the guide");
    let folder = root().join("detections");
    for file in shipped() {
        let name = file.path.strip_prefix(&folder).expect("a file of the folder").display().to_string();
        assert!(guide.contains(&format!("`{name}`")), "docs/rules.md lacks {name}");
    }
}
