//! The CloudTrail noise: consoles, pipelines, services, scaling groups.

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc, Weekday};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::ScenarioOptions;
use super::chance::{about, chance, hex, mix, pick};
use super::compute;
use super::tenant::{Account, ENGINEER_ROLE, NAT, PIPELINE_ROLE, Tenant, VPN};
use super::time::{busy, second_within};
use super::trail::{BOTO, Call, Caller, TERRAFORM, TrailEvent, session_key};

/// Where the pipeline's runners come from.
pub(crate) const PIPELINE_ADDRESS: &str = "198.51.100.40";

/// What people look at in the console: service, call.
const LOOKS: [(&str, &str); 14] = [
    ("ec2", "DescribeInstances"),
    ("ec2", "DescribeSecurityGroups"),
    ("ec2", "DescribeVpcs"),
    ("ec2", "DescribeRegions"),
    ("s3", "ListBuckets"),
    ("s3", "GetBucketAcl"),
    ("iam", "ListRoles"),
    ("iam", "GetUser"),
    ("rds", "DescribeDBInstances"),
    ("lambda", "ListFunctions20150331"),
    ("monitoring", "DescribeAlarms"),
    ("logs", "DescribeLogGroups"),
    ("ce", "GetCostAndUsage"),
    ("cloudtrail", "LookupEvents"),
];

/// The noise of all accounts in one hour, in order.
pub(crate) fn hour(
    options: &ScenarioOptions,
    tenant: &Tenant,
    index: u64,
    hour: DateTime<Utc>,
) -> Vec<TrailEvent> {
    let mut rng = chance(options.seed, "trail", index);
    let rng = &mut rng;
    let mut events = Vec::new();
    let steady = about(rng, options.trail_events_per_hour * 0.45);
    for _ in 0..steady {
        let account = pick(rng, &tenant.accounts);
        let region = usual_region(rng, tenant);
        let at = second_within(rng, hour);
        events.push(service_call(rng, account, region, at));
    }
    let by_people = options.trail_events_per_hour * 0.5 * busy(hour);
    let mut left = i64::from(about(rng, by_people));
    while left > 0 {
        let session = console_session(rng, options, tenant, hour);
        left -= session.len() as i64;
        events.extend(session);
    }
    if hour.hour() == 9 && !matches!(hour.weekday(), Weekday::Sat | Weekday::Sun) {
        events.extend(pipeline_run(rng, tenant, hour + TimeDelta::minutes(7), hour.day()));
    }
    if [7, 8, 18].contains(&hour.hour()) {
        events.extend(scaling(rng, tenant, hour, hour.hour() == 18));
    }
    events.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
    events
}

/// Most of the work is in the first region.
fn usual_region(rng: &mut StdRng, tenant: &Tenant) -> &'static str {
    if rng.random_bool(0.6) {
        return tenant.regions[0];
    }
    let region: &&str = pick(rng, &tenant.regions);
    region
}

fn service_call(rng: &mut StdRng, account: &Account, region: &'static str, at: DateTime<Utc>) -> TrailEvent {
    match rng.random_range(0..10) {
        0..4 => {
            let (service, role) = *pick(
                rng,
                &[("lambda", "nightly-report"), ("ecs-tasks", "web-task"), ("config", "config-recorder")],
            );
            let caller = Caller::service(&format!("{service}.amazonaws.com"));
            let session = format!("{role}-{}", hex(rng, 8));
            compute::assume_role(account, region, role, &session, rng).by(&caller, at, rng)
        }
        4..7 => {
            let began = at - TimeDelta::minutes(rng.random_range(2..50));
            let key = session_key(rng);
            let caller = Caller::role(account, "web-task", "web", &key, began, false).at("10.0.3.17", BOTO);
            let name = hex(rng, 8);
            Call::new(account, region, "kms", "Decrypt")
                .with(json!({ "encryptionContext": { "PARAMETER_ARN": format!("arn:aws:ssm:{region}:{}:parameter/web/{name}", account.id) },
                    "encryptionAlgorithm": "SYMMETRIC_DEFAULT" }), Value::Null)
                .by(&caller, at, rng)
        }
        _ => {
            let caller = Caller::service("config.amazonaws.com");
            Call::new(account, region, "s3", "GetBucketAcl")
                .with(
                    json!({ "bucketName": format!("northwind-{}-logs", account.name), "acl": "" }),
                    Value::Null,
                )
                .about("AWS::S3::Bucket", format!("arn:aws:s3:::northwind-{}-logs", account.name))
                .by(&caller, at, rng)
        }
    }
}

/// An engineer comes in by single sign-on, looks around and now and then changes something small.
fn console_session(
    rng: &mut StdRng,
    options: &ScenarioOptions,
    tenant: &Tenant,
    hour: DateTime<Utc>,
) -> Vec<TrailEvent> {
    let engineers = tenant.engineers();
    let user = *pick(rng, &engineers);
    // People keep to one or two accounts.
    let accounts = &tenant.accounts;
    let home = mix(options.seed, &user.upn, 0) as usize;
    let account = &accounts[(home + usize::from(rng.random_bool(0.2))) % accounts.len()];
    let region = usual_region(rng, tenant);
    // Early enough to be over within the hour.
    let mut at = hour + TimeDelta::seconds(rng.random_range(0..2_700));
    let from = if rng.random_bool(0.7) { NAT } else { VPN };
    let key = session_key(rng);
    let saml = Caller::saml(account, &user.upn).at(from, "Mozilla/5.0 (Windows NT 10.0; Win64; x64)");
    let mut events =
        vec![compute::assume_with_saml(account, ENGINEER_ROLE, &user.upn, &key, at, rng).by(&saml, at, rng)];
    let mut caller = Caller::role(account, ENGINEER_ROLE, &user.upn, &key, at, true);
    let agent = caller.agent.clone();
    caller = caller.at(from, &agent);
    at += TimeDelta::seconds(3);
    events.push(
        Call::new(account, "us-east-1", "signin", "ConsoleLogin")
            .with(Value::Null, json!({ "ConsoleLogin": "Success" }))
            .by(&caller, at, rng),
    );
    for _ in 0..rng.random_range(2..9) {
        at += TimeDelta::seconds(rng.random_range(2..90));
        let (service, name) = *pick(rng, &LOOKS);
        let mut call = Call::new(account, region, service, name);
        if rng.random_bool(0.03) {
            call = call.denied(&caller);
        }
        events.push(call.by(&caller, at, rng));
    }
    if rng.random_bool(0.06) {
        at += TimeDelta::seconds(40);
        let (call, _) = compute::run_instances(account, region, "t3.medium", 1, rng);
        events.push(call.by(&caller, at, rng));
    }
    events
}

/// The approved pipeline builds and tears down a test environment: many calls within minutes.
fn pipeline_run(rng: &mut StdRng, tenant: &Tenant, began: DateTime<Utc>, run: u32) -> Vec<TrailEvent> {
    let account = &tenant.accounts[0];
    let region = tenant.regions[0];
    let session = format!("run-{run}");
    let key = session_key(rng);
    let mut at = began;
    let runner = Caller::user(account, "ci-runner", "AKIACIRUNNER4EXAMPLE").at(PIPELINE_ADDRESS, TERRAFORM);
    let mut events =
        vec![compute::assume_role(account, region, PIPELINE_ROLE, &session, rng).by(&runner, at, rng)];
    let caller =
        Caller::role(account, PIPELINE_ROLE, &session, &key, at, false).at(PIPELINE_ADDRESS, TERRAFORM);
    let mut made = Vec::new();
    for place in 0..4 {
        at += TimeDelta::seconds(rng.random_range(3..20));
        let (call, ids) = compute::run_instances(account, region, "m6i.large", 3, rng);
        events.push(call.by(&caller, at, rng));
        at += TimeDelta::seconds(2);
        let ip = format!("198.51.100.{}", 100 + place);
        let (call, allocation) = compute::allocate_address(account, region, &ip, rng);
        events.push(call.by(&caller, at, rng));
        at += TimeDelta::seconds(2);
        events.push(
            compute::associate_address(account, region, &allocation, &ids[0], rng).by(&caller, at, rng),
        );
        made.push(ids);
    }
    for name in ["CreateSecurityGroup", "CreateVolume", "CreateTags", "CreateLaunchTemplate"] {
        at += TimeDelta::seconds(rng.random_range(1..5));
        events.push(
            Call::new(account, region, "ec2", name)
                .with(json!({}), json!({ "_return": true }))
                .by(&caller, at, rng),
        );
    }
    at += TimeDelta::minutes(22);
    for ids in &made {
        at += TimeDelta::seconds(rng.random_range(2..9));
        events.push(compute::terminate_instances(account, region, ids).by(&caller, at, rng));
    }
    events
}

/// A scaling group grows in the morning and shrinks in the evening.
fn scaling(rng: &mut StdRng, tenant: &Tenant, hour: DateTime<Utc>, shrink: bool) -> Vec<TrailEvent> {
    let account = &tenant.accounts[0];
    let region = tenant.regions[0];
    (0..rng.random_range(2..5))
        .map(|_| {
            let at = second_within(rng, hour);
            let key = session_key(rng);
            let caller = Caller::linked(
                account,
                "autoscaling.amazonaws.com",
                "AWSServiceRoleForAutoScaling",
                &key,
                at - TimeDelta::minutes(1),
            );
            if shrink {
                let id = format!("i-0{}", hex(rng, 16));
                compute::terminate_instances(account, region, &[id]).by(&caller, at, rng)
            } else {
                let (call, _) = compute::run_instances(account, region, "c6i.large", 1, rng);
                call.by(&caller, at, rng)
            }
        })
        .collect()
}
