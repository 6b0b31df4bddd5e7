//! The attacks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrono::TimeDelta;
use provost_model::{EntityKind, Family};
use rand::Rng;
use serde_json::{Value, json};

use super::ScenarioOptions;
use super::activity::{Actor, Operation, machine, public_address};
use super::chance::{pick, uuid};
use super::compute;
use super::cost::Charge;
use super::identity::{AWS_APP, Change, PORTAL, SignIn};
use super::label::AttackChain;
use super::programs::{DROPPED, POWERSHELL, RUNDLL32};
use super::story::{Contact, Planted, Story};
use super::tenant::{ENGINEER_ROLE, Place, Subscription, Tenant, UNUSED_REGION};
use super::time::timer;
use super::trail::{BOTO, CLI, Call, Caller, session_key};

const NORTH: Place =
    Place { city: "Reykjavik", state: "", country: "IS", latitude: 64.14, longitude: -21.94 };
const WEST: Place =
    Place { city: "Panama City", state: "", country: "PA", latitude: 8.98, longitude: -79.52 };
const EC2: &str = "Amazon Elastic Compute Cloud - Compute";

/// Plants all of them.
pub(crate) fn plant(options: &ScenarioOptions, tenant: &Tenant, planted: &mut Planted) -> Vec<AttackChain> {
    vec![
        stolen_account(Story::new(options, tenant, planted, "stolen-account")),
        azure_compute(Story::new(options, tenant, planted, "azure-compute")),
        compromised_infrastructure(Story::new(options, tenant, planted, "compromised-infrastructure")),
        rapid_churn(Story::new(options, tenant, planted, "rapid-churn")),
    ]
}

/// An address of a hosting provider.
fn hosting(last: u8) -> IpAddr {
    Ipv4Addr::new(203, 0, 113, last).into()
}

/// An address that a cloud hands out.
fn cloud(network: u8, last: u8) -> IpAddr {
    Ipv4Addr::new(198, 19, network, last).into()
}

fn stolen_account(mut story: Story<'_>) -> AttackChain {
    let tenant = story.tenant;
    let user = tenant.engineers()[1 % tenant.engineers().len()];
    let account = &tenant.accounts[0];
    let from = hosting(45);
    let mut at = story.moment(0.55);

    // Guessing, then in, into AWS with it.
    let attempt =
        SignIn { user, app: AWS_APP, from, place: NORTH, error: 50126, device: ("Linux", "Chrome 140.0.0") };
    for _ in 0..9 {
        story.sign_in(&attempt, at);
        at += TimeDelta::seconds(story.rng.random_range(20..110));
    }
    story.sign_in(&SignIn { error: 0, ..attempt.clone() }, at);
    at += TimeDelta::seconds(70);
    let change = Change {
        category: "UserManagement",
        activity: "User registered security info",
        operation: "Update",
        by: user,
        from,
        target: ("User", &user.object_id, &user.display_name, Some(&user.upn)),
        modified: vec![(
            "StrongAuthenticationMethod",
            json!([]),
            json!([{ "MethodType": 6, "Default": true }]),
        )],
    };
    story.audit(&change, at);

    // A user with every right and a key that outlives the session.
    at += TimeDelta::minutes(3);
    let key = session_key(&mut story.rng);
    let agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36";
    let saml = Caller::saml(account, &user.upn).at(from, agent);
    let call = compute::assume_with_saml(account, ENGINEER_ROLE, &user.upn, &key, at, &mut story.rng);
    story.call(call, &saml, at);
    let person = Caller::role(account, ENGINEER_ROLE, &user.upn, &key, at, false).at(from, agent);
    at += TimeDelta::seconds(4);
    let login = Call::new(account, "us-east-1", "signin", "ConsoleLogin")
        .with(Value::Null, json!({ "ConsoleLogin": "Success" }));
    story.call(login, &person, at);
    for name in ["ListUsers", "ListAttachedRolePolicies", "GetAccountSummary"] {
        at += TimeDelta::seconds(story.rng.random_range(5..25));
        story.call(Call::new(account, "us-east-1", "iam", name), &person, at);
    }
    let created = "svc-backup-sync";
    at += TimeDelta::seconds(48);
    let call = compute::create_user(account, created, at, &mut story.rng);
    story.call(call, &person, at);
    at += TimeDelta::seconds(11);
    story.call(compute::attach_admin_policy(account, created), &person, at);
    at += TimeDelta::seconds(9);
    let (call, access_key) = compute::create_access_key(account, created, at, &mut story.rng);
    story.call(call, &person, at);

    // Servers where nobody looks, and addresses for them.
    let robot = Caller::user(account, created, &access_key).at(from, CLI);
    at += TimeDelta::minutes(6);
    story.call(Call::new(account, "us-east-1", "sts", "GetCallerIdentity"), &robot, at);
    at += TimeDelta::seconds(20);
    story.call(Call::new(account, UNUSED_REGION, "ec2", "DescribeInstanceTypeOfferings"), &robot, at);
    at += TimeDelta::seconds(35);
    let (call, _) = compute::run_instances(account, UNUSED_REGION, "p4d.24xlarge", 8, &mut story.rng);
    story.call(call.denied(&robot), &robot, at);
    at += TimeDelta::seconds(31);
    let (call, instances) = compute::run_instances(account, UNUSED_REGION, "g5.12xlarge", 8, &mut story.rng);
    story.call(call, &robot, at);
    let launched = at;
    let addresses = [cloud(44, 17), cloud(44, 18)];
    for (address, instance) in addresses.iter().zip(&instances) {
        at += TimeDelta::seconds(14);
        let (call, allocation) =
            compute::allocate_address(account, UNUSED_REGION, &address.to_string(), &mut story.rng);
        story.call(call, &robot, at);
        at += TimeDelta::seconds(6);
        let call = compute::associate_address(account, UNUSED_REGION, &allocation, instance, &mut story.rng);
        story.call(call, &robot, at);
        story.names(EntityKind::Resource, instance);
    }
    let charge = Charge {
        day: launched.date_naive(),
        account: account.id.clone(),
        service: EC2,
        region: UNUSED_REGION,
        usage: "APS6-BoxUsage:g5.12xlarge".to_owned(),
        quantity: 0.0,
        amount: 0.0,
        group: String::new(),
    };
    let end = story.options.end;
    story.charge_aws(&charge, 8.0 * 5.672, launched, end);

    // Two of our own hosts report to them.
    let hosts = [
        &tenant.workstations()[1 % tenant.workstations().len()],
        &tenant.workstations()[2 % tenant.workstations().len()],
    ];
    for (device, ip) in hosts.into_iter().zip(addresses) {
        let began = launched + TimeDelta::minutes(story.rng.random_range(70..130));
        story.contact(&Contact { device, program: &POWERSHELL, ip, port: 443, name: None }, began);
        let until = began + TimeDelta::hours(9);
        for at in timer(&mut story.rng, began + TimeDelta::seconds(95), until, TimeDelta::seconds(120), 0.2) {
            story.contact(&Contact { device, program: &DROPPED, ip, port: 443, name: None }, at);
        }
        story.names(EntityKind::Host, &device.name);
        story.names(EntityKind::Ip, ip);
    }
    story.names(EntityKind::Principal, &user.upn);
    story.names(EntityKind::Principal, format!("arn:aws:iam::{}:user/{created}", account.id));
    story.names(EntityKind::Credential, &access_key);
    story.names(EntityKind::Ip, from);
    story.names(EntityKind::Account, &account.id);
    story.told(
        "stolen-account",
        "A guessed Entra account comes into AWS, leaves a key, starts servers in an unused region; own hosts report to them.",
        &["T1583", "T1584.003", "T1078.004", "T1136.003", "T1578.002", "T1535", "T1071"],
        &[Family::Account, Family::Provisioning, Family::Billing, Family::Network],
    )
}

fn azure_compute(mut story: Story<'_>) -> AttackChain {
    let tenant = story.tenant;
    let engineers = tenant.engineers();
    let user = engineers[engineers.len() - 1];
    let subscription = &tenant.subscriptions[1];
    let from = hosting(77);
    let mut at = story.moment(0.65);

    // A new secret for an application that few remember.
    let attempt =
        SignIn { user, app: PORTAL, from, place: WEST, error: 50126, device: ("Windows10", "Firefox 142.0") };
    for _ in 0..6 {
        story.sign_in(&attempt, at);
        at += TimeDelta::seconds(story.rng.random_range(15..60));
    }
    story.sign_in(&SignIn { error: 0, ..attempt }, at);
    at += TimeDelta::minutes(5);
    let (app_id, object_id) = (uuid(&mut story.rng), uuid(&mut story.rng));
    let app = "northwind-reporting";
    let change = Change {
        category: "ApplicationManagement",
        activity: "Add service principal credentials",
        operation: "Update",
        by: user,
        from,
        target: ("ServicePrincipal", &object_id, app, None),
        modified: vec![(
            "KeyDescription",
            json!([]),
            json!(["[KeyIdentifier=1,KeyType=Password,KeyUsage=Verify]"]),
        )],
    };
    story.audit(&change, at);

    // It makes a group, machines and addresses in a place where we have none.
    let actor = Actor::application(tenant, app, &app_id, &object_id, from);
    let (group, location) = ("rg-temp-render", "brazilsouth");
    at += TimeDelta::minutes(7);
    story.operation(
        &written(subscription, group, "Microsoft.Resources/subscriptions/resourceGroups", group, Value::Null),
        &actor,
        at,
    );
    let addresses = [cloud(80, 31), cloud(80, 32), cloud(80, 33)];
    let launched = at;
    for (place, address) in addresses.iter().enumerate() {
        let (vm, pip) = (format!("vm-r{place}"), format!("pip-r{place}"));
        at += TimeDelta::seconds(story.rng.random_range(15..40));
        let response = public_address(&pip, &address.to_string(), location);
        story.operation(
            &written(subscription, group, "Microsoft.Network/publicIPAddresses", &pip, response),
            &actor,
            at,
        );
        at += TimeDelta::seconds(story.rng.random_range(15..40));
        let response = machine(&vm, "Standard_NC24ads_A100_v4", location);
        story.operation(
            &written(subscription, group, "Microsoft.Compute/virtualMachines", &vm, response),
            &actor,
            at,
        );
        story.names(EntityKind::Ip, address);
    }
    let charge = Charge {
        day: launched.date_naive(),
        account: subscription.id.clone(),
        service: "Virtual Machines",
        region: "BR South",
        usage: "NC24ads A100 v4".to_owned(),
        quantity: 0.0,
        amount: 0.0,
        group: group.to_owned(),
    };
    let end = story.options.end;
    story.charge_azure(&charge, 3.0 * 5.87, launched, end);

    let device = &tenant.workstations()[3 % tenant.workstations().len()];
    let began = launched + TimeDelta::minutes(95);
    let contact = Contact { device, program: &DROPPED, ip: addresses[0], port: 8443, name: None };
    for at in timer(&mut story.rng, began, began + TimeDelta::hours(11), TimeDelta::seconds(240), 0.3) {
        story.contact(&contact, at);
    }
    story.names(EntityKind::Host, &device.name);
    story.names(EntityKind::Principal, &user.upn);
    story.names(EntityKind::Principal, &object_id);
    story.names(EntityKind::Ip, from);
    story.names(EntityKind::Account, &subscription.id);
    story.told(
        "azure-compute",
        "A guessed account gives an application a new secret; the application makes machines and addresses that an own host reports to.",
        &["T1583", "T1583.004", "T1098.001", "T1578.002", "T1071"],
        &[Family::Account, Family::Provisioning, Family::Billing, Family::Network],
    )
}

fn written<'a>(
    subscription: &'a Subscription,
    group: &'a str,
    kind: &'static str,
    resource: &'a str,
    response: Value,
) -> Operation<'a> {
    Operation { subscription, group, kind, resource, verb: "write", response }
}

fn compromised_infrastructure(mut story: Story<'_>) -> AttackChain {
    let tenant = story.tenant;
    let workstations = tenant.workstations();
    let began = story.moment(0.45);
    let moved = story.moment(0.8);
    let end = story.options.end;

    // One host calls a dynamic name, which moves to another provider's address some days later.
    let device = &workstations[4 % workstations.len()];
    let name = "nw-status-relay.duckdns.org";
    for at in timer(&mut story.rng, began, end, TimeDelta::seconds(300), 0.2) {
        let ip = hosting(if at < moved { 200 } else { 211 });
        story.contact(&Contact { device, program: &RUNDLL32, ip, port: 443, name: Some(name) }, at);
    }
    story.names(EntityKind::Host, &device.name);
    story.names(EntityKind::Domain, name);
    story.names(EntityKind::Ip, hosting(200));
    story.names(EntityKind::Ip, hosting(211));

    // Another follows a name that has a new address at every turn, with many providers.
    let device = &workstations[5 % workstations.len()];
    let name = "assets-mirror.example.org";
    let addresses: Vec<IpAddr> = (0..48_u8)
        .map(|n| match n % 4 {
            0 => hosting(100 + n),
            1 => Ipv6Addr::new(0x2001, 0xdb8, 0xbad0 + u16::from(n), 0, 0, 0, 0, 0x53).into(),
            2 => Ipv4Addr::new(198, 18, 200 + n % 50, 7 + n).into(),
            _ => Ipv4Addr::new(192, 0, 2, 150 + n).into(),
        })
        .collect();
    let from = story.moment(0.6);
    for at in timer(&mut story.rng, from, from + TimeDelta::hours(6), TimeDelta::seconds(170), 0.9) {
        let ip = *pick(&mut story.rng, &addresses);
        story.contact(&Contact { device, program: &DROPPED, ip, port: 443, name: Some(name) }, at);
    }
    story.names(EntityKind::Host, &device.name);
    story.names(EntityKind::Domain, name);
    story.told(
        "compromised-infrastructure",
        "One host reports to a dynamic name on hosting ranges; another follows a name with ever new addresses.",
        &["T1584", "T1568.001", "T1071.001"],
        &[Family::Network],
    )
}

fn rapid_churn(mut story: Story<'_>) -> AttackChain {
    let tenant = story.tenant;
    let account = &tenant.accounts[1];
    let region = tenant.regions[0];
    let from = hosting(140);
    let key = "AKIABUILDBOTEXAMPLE2";
    let robot = Caller::user(account, "build-bot", key).at(from, BOTO);
    let mut at = story.moment(0.8);
    let began = at;

    story.call(Call::new(account, region, "sts", "GetCallerIdentity"), &robot, at);
    for _ in 0..12 {
        at += TimeDelta::seconds(story.rng.random_range(30..120));
        let (call, ids) = compute::run_instances(account, region, "c6i.4xlarge", 2, &mut story.rng);
        story.call(call, &robot, at);
        at += TimeDelta::minutes(story.rng.random_range(6..24));
        story.call(compute::terminate_instances(account, region, &ids), &robot, at);
    }
    at += TimeDelta::minutes(2);
    let notebook = Call::new(account, region, "sagemaker", "CreateNotebookInstance")
        .with(
            json!({ "notebookInstanceName": "nb-train-0", "instanceType": "ml.p3.8xlarge" }),
            json!({ "notebookInstanceArn": format!("arn:aws:sagemaker:{region}:{}:notebook-instance/nb-train-0", account.id) }),
        )
        .about("AWS::SageMaker::NotebookInstance", "nb-train-0");
    story.call(notebook, &robot, at);
    let charge = |service, usage: &str| Charge {
        day: began.date_naive(),
        account: account.id.clone(),
        service,
        region,
        usage: usage.to_owned(),
        quantity: 0.0,
        amount: 0.0,
        group: String::new(),
    };
    let end = story.options.end;
    story.charge_aws(&charge(EC2, "BoxUsage:c6i.4xlarge"), 14.0, began, at);
    story.charge_aws(&charge("Amazon SageMaker", "Notebk:ml.p3.8xlarge"), 14.688, at, end);
    story.names(EntityKind::Principal, format!("arn:aws:iam::{}:user/build-bot", account.id));
    story.names(EntityKind::Credential, key);
    story.names(EntityKind::Ip, from);
    story.names(EntityKind::Account, &account.id);
    story.told(
        "rapid-churn",
        "A stolen key starts and stops servers over and over, then turns to a service never used before.",
        &["T1583", "T1578.002", "T1578.003", "T1496.001"],
        &[Family::Provisioning, Family::Billing],
    )
}
