//! Calls of EC2 and IAM, in the shapes that their events have.

use chrono::{DateTime, Utc};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::chance::{aws_id, hex};
use super::tenant::Account;
use super::trail::Call;

/// `RunInstances` of so many instances of a type; gives their ids too.
pub(crate) fn run_instances<'a>(
    account: &'a Account,
    region: &'static str,
    kind: &str,
    count: u32,
    rng: &mut StdRng,
) -> (Call<'a>, Vec<String>) {
    let ids: Vec<String> = (0..count).map(|_| format!("i-0{}", hex(rng, 16))).collect();
    let (image, subnet, network) = (
        format!("ami-0{}", hex(rng, 16)),
        format!("subnet-0{}", hex(rng, 16)),
        format!("vpc-0{}", hex(rng, 16)),
    );
    let items: Vec<Value> = ids
        .iter()
        .enumerate()
        .map(|(place, id)| {
            json!({
                "instanceId": id, "imageId": image, "instanceState": { "code": 0, "name": "pending" },
                "privateDnsName": format!("ip-10-0-7-{}.ec2.internal", 10 + place), "amiLaunchIndex": place,
                "instanceType": kind, "placement": { "availabilityZone": format!("{region}a"), "tenancy": "default" },
                "monitoring": { "state": "disabled" }, "subnetId": subnet, "vpcId": network,
                "privateIpAddress": format!("10.0.7.{}", 10 + place), "architecture": "x86_64",
                "rootDeviceType": "ebs", "virtualizationType": "hvm", "hypervisor": "xen", "ebsOptimized": false
            })
        })
        .collect();
    let request = json!({
        "instancesSet": { "items": [{ "imageId": image, "minCount": count, "maxCount": count }] },
        "instanceType": kind, "blockDeviceMapping": {}, "monitoring": { "enabled": false },
        "disableApiTermination": false, "disableApiStop": false, "subnetId": subnet
    });
    let response = json!({
        "requestId": hex(rng, 32), "reservationId": format!("r-0{}", hex(rng, 16)), "ownerId": account.id,
        "groupSet": {}, "instancesSet": { "items": items }
    });
    let mut call = Call::new(account, region, "ec2", "RunInstances").with(request, response);
    for id in &ids {
        call = call.about("AWS::EC2::Instance", id);
    }
    (call, ids)
}

/// `TerminateInstances` of these.
pub(crate) fn terminate_instances<'a>(
    account: &'a Account,
    region: &'static str,
    ids: &[String],
) -> Call<'a> {
    let asked: Vec<Value> = ids.iter().map(|id| json!({ "instanceId": id })).collect();
    let done: Vec<Value> = ids
        .iter()
        .map(|id| {
            json!({
                "instanceId": id, "currentState": { "code": 32, "name": "shutting-down" },
                "previousState": { "code": 16, "name": "running" }
            })
        })
        .collect();
    let mut call = Call::new(account, region, "ec2", "TerminateInstances")
        .with(json!({ "instancesSet": { "items": asked } }), json!({ "instancesSet": { "items": done } }));
    for id in ids {
        call = call.about("AWS::EC2::Instance", id);
    }
    call
}

/// `AllocateAddress` that gave this address; gives the allocation's id too.
pub(crate) fn allocate_address<'a>(
    account: &'a Account,
    region: &'static str,
    ip: &str,
    rng: &mut StdRng,
) -> (Call<'a>, String) {
    let allocation = format!("eipalloc-0{}", hex(rng, 16));
    let response = json!({
        "requestId": hex(rng, 32), "publicIp": ip, "domain": "vpc", "allocationId": allocation,
        "publicIpv4Pool": "amazon", "networkBorderGroup": region
    });
    let call = Call::new(account, region, "ec2", "AllocateAddress")
        .with(json!({ "domain": "vpc" }), response)
        .about("AWS::EC2::EIP", ip);
    (call, allocation)
}

/// `AssociateAddress` of an allocation with an instance.
pub(crate) fn associate_address<'a>(
    account: &'a Account,
    region: &'static str,
    allocation: &str,
    instance: &str,
    rng: &mut StdRng,
) -> Call<'a> {
    let request = json!({ "allocationId": allocation, "instanceId": instance, "allowReassociation": false });
    let response = json!({
        "requestId": hex(rng, 32), "_return": true, "associationId": format!("eipassoc-0{}", hex(rng, 16))
    });
    Call::new(account, region, "ec2", "AssociateAddress")
        .with(request, response)
        .about("AWS::EC2::Instance", instance)
        .about("AWS::EC2::EIP", allocation)
}

/// `CreateUser`.
pub(crate) fn create_user<'a>(
    account: &'a Account,
    name: &str,
    at: DateTime<Utc>,
    rng: &mut StdRng,
) -> Call<'a> {
    let response = json!({ "user": {
        "path": "/", "userName": name, "userId": aws_id(rng, "AIDA"),
        "arn": format!("arn:aws:iam::{}:user/{name}", account.id), "createDate": iam_time(at)
    }});
    Call::new(account, "us-east-1", "iam", "CreateUser")
        .with(json!({ "userName": name }), response)
        .about("AWS::IAM::User", name)
}

/// `CreateAccessKey`; gives the key's id too.
pub(crate) fn create_access_key<'a>(
    account: &'a Account,
    name: &str,
    at: DateTime<Utc>,
    rng: &mut StdRng,
) -> (Call<'a>, String) {
    let key = aws_id(rng, "AKIA");
    let response = json!({ "accessKey": {
        "userName": name, "accessKeyId": key, "status": "Active", "createDate": iam_time(at)
    }});
    let call = Call::new(account, "us-east-1", "iam", "CreateAccessKey")
        .with(json!({ "userName": name }), response)
        .about("AWS::IAM::User", name)
        .about("AWS::IAM::AccessKey", &key);
    (call, key)
}

/// `AttachUserPolicy` of the policy that allows everything.
pub(crate) fn attach_admin_policy<'a>(account: &'a Account, name: &str) -> Call<'a> {
    let policy = "arn:aws:iam::aws:policy/AdministratorAccess";
    Call::new(account, "us-east-1", "iam", "AttachUserPolicy")
        .with(json!({ "userName": name, "policyArn": policy }), Value::Null)
        .about("AWS::IAM::User", name)
        .about("AWS::IAM::Policy", policy)
}

/// `AssumeRoleWithSAML` by a person, into a role.
pub(crate) fn assume_with_saml<'a>(
    account: &'a Account,
    role: &str,
    upn: &str,
    key: &str,
    at: DateTime<Utc>,
    rng: &mut StdRng,
) -> Call<'a> {
    let arn = format!("arn:aws:iam::{}:role/{role}", account.id);
    let provider = format!("arn:aws:iam::{}:saml-provider/Entra", account.id);
    let request = json!({
        "sAMLAssertionID": format!("_{}", hex(rng, 32)), "roleSessionName": upn, "durationSeconds": 3600,
        "roleArn": arn, "principalArn": provider
    });
    let response = json!({
        "credentials": {
            "accessKeyId": key, "sessionToken": "<hidden>", "expiration": iam_time(at + chrono::TimeDelta::hours(1))
        },
        "assumedRoleUser": {
            "assumedRoleId": format!("{}:{upn}", account.role_id),
            "arn": format!("arn:aws:sts::{}:assumed-role/{role}/{upn}", account.id)
        },
        "subject": upn, "subjectType": "persistent", "issuer": "https://sts.windows.example/",
        "audience": "https://signin.aws.amazon.com/saml"
    });
    Call::new(account, "us-east-1", "sts", "AssumeRoleWithSAML")
        .with(request, response)
        .about("AWS::IAM::Role", arn)
        .about("AWS::IAM::SAMLProvider", provider)
}

/// `AssumeRole` by a service or a pipeline.
pub(crate) fn assume_role<'a>(
    account: &'a Account,
    region: &'static str,
    role: &str,
    session: &str,
    rng: &mut StdRng,
) -> Call<'a> {
    let arn = format!("arn:aws:iam::{}:role/{role}", account.id);
    let key = aws_id(rng, "ASIA");
    Call::new(account, region, "sts", "AssumeRole")
        .with(
            json!({ "roleArn": arn, "roleSessionName": session, "durationSeconds": *pick_duration(rng) }),
            json!({
                "credentials": { "accessKeyId": key, "sessionToken": "<hidden>" },
                "assumedRoleUser": {
                    "assumedRoleId": format!("{}:{session}", account.role_id),
                    "arn": format!("arn:aws:sts::{}:assumed-role/{role}/{session}", account.id)
                }
            }),
        )
        .about("AWS::IAM::Role", arn)
}

fn pick_duration(rng: &mut StdRng) -> &'static u32 {
    [&900, &3600][usize::from(rng.random_bool(0.5))]
}

/// IAM and STS write times in English.
fn iam_time(at: DateTime<Utc>) -> String {
    at.format("%b %-d, %Y, %-I:%M:%S %p").to_string()
}
