//! CloudTrail and Cost Explorer, through the SDK on our own client.

use std::sync::Arc;

use provost_connectors::config::{AwsAccount, AwsCloudtrailConfig, AwsConfig, AwsCostConfig, SourceConfig};
use provost_connectors::{CheckStatus, Clock, Connectors, SourceError};
use serde_json::{Value, json};

use crate::fixtures::{
    AWS_SECRET, Purse, connectors, connectors_with, hour, http, now, pull, secrets, text, time, window,
};
use crate::server::{Answer, Asked, Server};

fn cloudtrail() -> SourceConfig {
    SourceConfig::AwsCloudtrail(AwsCloudtrailConfig::default())
}

fn cost(monthly_requests: u32) -> SourceConfig {
    SourceConfig::AwsCost(AwsCostConfig { monthly_requests, accounts: Vec::new() })
}

fn event(id: &str) -> Value {
    let event = json!({"eventID": id, "eventTime": "2026-03-01T10:15:00Z", "eventName": "RunInstances",
        "eventSource": "ec2.amazonaws.com"});
    json!({"EventId": id, "EventName": "RunInstances", "EventTime": 1772360100.0, "ReadOnly": "false",
           "CloudTrailEvent": event.to_string()})
}

fn is_identity(asked: &Asked) -> bool {
    String::from_utf8_lossy(&asked.body).contains("Action=GetCallerIdentity")
}

fn identity() -> Answer {
    Answer::status(200).header("content-type", "text/xml").body(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>arn:aws:iam::111122223333:user/provost</Arn><UserId>AIDA</UserId><Account>111122223333</Account>\
         </GetCallerIdentityResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetCallerIdentityResponse>",
    )
}

fn throttled() -> Answer {
    Answer::status(400)
        .header("content-type", "application/x-amz-json-1.1")
        .body(r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#)
}

fn asked_of(server: &Server, operation: &str) -> Vec<Asked> {
    server.asked().into_iter().filter(|asked| asked.header("x-amz-target").ends_with(operation)).collect()
}

#[tokio::test]
async fn events_are_looked_up_page_by_page_with_one_fixed_window() {
    let server = Server::start(|asked, _| {
        if is_identity(asked) {
            return identity();
        }
        match asked.json().get("NextToken").and_then(Value::as_str) {
            None => Answer::json(&json!({"Events": [event("a"), event("b")], "NextToken": "one"})),
            Some("one") => Answer::json(&json!({"Events": [], "NextToken": "two"})),
            Some(_) => Answer::json(&json!({"Events": [event("c"), {"EventId": "d", "EventName": "X"}]})),
        }
    })
    .await;
    let source = connectors(&server).source("cloudtrail", &cloudtrail()).expect("a source");
    assert_eq!(source.partitions().await.expect("partitions")[0].0, "111122223333/us-east-1");
    let (pulled, taken) = pull(&*source, hour()).await;
    let pulled = pulled.expect("read to its end");
    assert_eq!((pulled.records, pulled.requests), (4, 3));
    assert_eq!(taken.ids(), ["a", "b", "c"]);
    assert_eq!(taken.rejects[0].reason, "the record has no CloudTrailEvent");
    let asked = asked_of(&server, "LookupEvents");
    let start = time("2026-03-01T10:00:00Z").timestamp();
    for (index, asked) in asked.iter().enumerate() {
        let mut body = asked.json();
        let token = body.as_object_mut().expect("an object").remove("NextToken");
        assert_eq!(token.is_some(), index > 0);
        assert_eq!(body["StartTime"].as_f64(), Some(start as f64));
        assert_eq!(
            body["EndTime"].as_f64(),
            Some((start + 3599) as f64),
            "the end is inside for the service"
        );
        assert_eq!(body["MaxResults"], 50);
        assert!(asked.header("authorization").contains("/us-east-1/cloudtrail/aws4_request"));
    }
}

#[tokio::test]
async fn throttled_broken_and_cut_answers_are_asked_for_again() {
    let server = Server::start(|asked, count| {
        if is_identity(asked) {
            return identity();
        }
        match count {
            1 => throttled(),
            2 => Answer::json(&json!({"Events": [event("a")]})).cut(),
            3 => Answer::status(200)
                .header("content-type", "application/x-amz-json-1.1")
                .body("{\"Events\": ["),
            _ => Answer::json(&json!({"Events": [event("a")]})),
        }
    })
    .await;
    let source = connectors(&server).source("cloudtrail", &cloudtrail()).expect("a source");
    let (pulled, taken) = pull(&*source, hour()).await;
    assert_eq!(pulled.expect("at the fourth try").requests, 4);
    assert_eq!(taken.ids(), ["a"]);
}

#[tokio::test]
async fn what_stays_throttled_or_is_denied_says_so_and_shows_no_secret() {
    let server = Server::start(|asked, _| if is_identity(asked) { identity() } else { throttled() }).await;
    let source = connectors(&server).source("cloudtrail", &cloudtrail()).expect("a source");
    let error = pull(&*source, hour()).await.0.expect_err("throttled");
    assert!(matches!(error, SourceError::Throttled { .. }), "{error}");

    let server = Server::start(|asked, _| {
        if is_identity(asked) {
            return identity();
        }
        let message = format!("not authorized: {}", asked.header("authorization"));
        Answer::status(400)
            .header("content-type", "application/x-amz-json-1.1")
            .body(&json!({"__type": "AccessDeniedException", "message": message}).to_string())
    })
    .await;
    let source = connectors(&server).source("cloudtrail", &cloudtrail()).expect("a source");
    let checks = source.check().await;
    assert_eq!(checks[0].status, CheckStatus::Failed);
    assert!(checks[0].remedy.as_deref().is_some_and(|remedy| remedy.contains("cloudtrail:LookupEvents")));
    let error = pull(&*source, hour()).await.0.expect_err("denied");
    let signature = server
        .asked()
        .last()
        .expect("asked")
        .header("authorization")
        .split("Signature=")
        .nth(1)
        .expect("signed")
        .to_owned();
    for shown in [format!("{error:?}"), format!("{checks:?}"), format!("{source:?}")] {
        assert!(!shown.contains(AWS_SECRET) && !shown.contains(&signature), "{shown}");
    }
}

fn assumed() -> Answer {
    Answer::status(200).header("content-type", "text/xml").body(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
         <AccessKeyId>ASIAASSUMED</AccessKeyId><SecretAccessKey>assumed-secret</SecretAccessKey><SessionToken>session-token\
         </SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>",
    )
}

fn two_accounts() -> AwsConfig {
    let role = |account: &str, regions: &[&str]| AwsAccount {
        role_arn: format!("arn:aws:iam::{account}:role/provost"),
        external_id: Some("ext-1".to_owned()),
        regions: regions.iter().map(|region| (*region).to_owned()).collect(),
    };
    AwsConfig {
        accounts: vec![role("111122223333", &[]), role("444455556666", &["eu-west-1", "us-east-1"])],
        ..AwsConfig::default()
    }
}

#[tokio::test]
async fn each_account_is_read_in_a_session_of_its_role_that_may_only_read() {
    let server = Server::start(|asked, _| {
        if String::from_utf8_lossy(&asked.body).contains("Action=AssumeRole") {
            return assumed();
        }
        Answer::json(&json!({"Events": []}))
    })
    .await;
    let connectors = connectors_with(&server, &http(&server), &two_accounts());
    let source = connectors.source("cloudtrail", &cloudtrail()).expect("a source");
    let partitions = source.partitions().await.expect("partitions");
    let names: Vec<&str> = partitions.iter().map(|partition| partition.0.as_str()).collect();
    assert_eq!(names, ["111122223333/us-east-1", "444455556666/eu-west-1", "444455556666/us-east-1"]);
    for partition in &partitions {
        crate::fixtures::pull_part(&*source, partition, hour()).await.0.expect("read");
        crate::fixtures::pull_part(&*source, partition, hour()).await.0.expect("read");
    }
    let sessions: Vec<String> = server
        .asked()
        .iter()
        .map(|asked| String::from_utf8_lossy(&asked.body).into_owned())
        .filter(|body| body.contains("Action=AssumeRole"))
        .collect();
    assert_eq!(sessions.len(), 2, "one session an account, for all its regions: {sessions:?}");
    assert!(
        sessions[0].contains("ExternalId=ext-1") && sessions[0].contains("cloudtrail%3ALookupEvents"),
        "{}",
        sessions[0]
    );
    let asked = asked_of(&server, "LookupEvents");
    assert_eq!(asked.len(), 6);
    assert!(asked[2].header("authorization").contains("Credential=ASIAASSUMED/"), "signed by the session");
    assert!(asked[2].header("authorization").contains("/eu-west-1/cloudtrail/"));
    assert_eq!(asked[2].header("x-amz-security-token"), "session-token");
}

#[tokio::test]
async fn a_role_that_may_not_be_assumed_is_named_with_what_to_do() {
    let server = Server::start(|_, _| {
        Answer::status(403).header("content-type", "text/xml").body(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>AccessDenied\
             </Code><Message>User is not authorized to perform: sts:AssumeRole</Message></Error></ErrorResponse>",
        )
    })
    .await;
    let connectors = connectors_with(&server, &http(&server), &two_accounts());
    let source = connectors.source("cloudtrail", &cloudtrail()).expect("a source");
    let error = pull(&*source, hour()).await.0.expect_err("denied");
    assert!(matches!(error, SourceError::Denied { service: "aws_sts", .. }), "{error}");
    assert!(error.to_string().contains("trust policy"), "{error}");
}

fn day(start: &str, groups: &[(&str, &str, &str)], estimated: bool) -> Value {
    let groups: Vec<Value> = groups
        .iter()
        .map(|(account, service, amount)| {
            json!({"Keys": [account, service], "Metrics": {"UnblendedCost": {"Amount": amount, "Unit": "USD"}}})
        })
        .collect();
    json!({"TimePeriod": {"Start": start, "End": "2026-12-31"}, "Total": {}, "Groups": groups, "Estimated": estimated})
}

#[tokio::test]
async fn charges_come_per_account_service_and_day_and_every_page_is_paid_for() {
    let server = Server::start(|asked, _| {
        if is_identity(asked) {
            return identity();
        }
        match asked.json().get("NextPageToken") {
            None => Answer::json(&json!({"NextPageToken": "p2", "ResultsByTime": [
                day("2026-02-26", &[("111122223333", "Amazon EC2", "12.5"), ("444455556666", "Amazon S3", "0.0000001")], false)]})),
            Some(_) => Answer::json(&json!({"ResultsByTime": [
                day("2026-02-27", &[("111122223333", "Amazon EC2", "99"), ("111122223333", "Tax", "none")], true)]})),
        }
    })
    .await;
    let purse = Arc::new(Purse::default());
    let connectors = connectors(&server).budget(Arc::clone(&purse) as Arc<_>);
    let source = connectors.source("cost", &cost(3)).expect("a source");
    let days = window("2026-02-26T00:00:00Z", "2026-02-28T00:00:00Z");
    let (pulled, taken) = pull(&*source, days).await;
    assert_eq!(pulled.expect("read to its end").records, 4);
    assert_eq!((taken.rows.len(), taken.rejects.len()), (3, 1));
    assert_eq!(text(&taken.rows[1], "SubAccountId"), "444455556666");
    assert_eq!(taken.rows[2].get("x_Estimated"), Some(&provost_model::Cell::Bool(true)));
    let asked = asked_of(&server, "GetCostAndUsage");
    assert_eq!(asked[0].json()["TimePeriod"], json!({"Start": "2026-02-26", "End": "2026-02-28"}));
    assert_eq!(asked[0].json()["Granularity"], "DAILY");
    assert_eq!(asked[0].json()["Metrics"], json!(["UnblendedCost"]));
    assert_eq!(
        asked[0].json()["GroupBy"],
        json!([{"Type": "DIMENSION", "Key": "LINKED_ACCOUNT"}, {"Type": "DIMENSION", "Key": "SERVICE"}])
    );
    assert!(asked[0].header("authorization").contains("/us-east-1/ce/aws4_request"));

    let error = pull(&*source, days).await.0.expect_err("one request is left, two are needed");
    assert!(matches!(error, SourceError::Budget { .. }), "{error}");
    assert!(error.to_string().contains("all 3 requests of 2026-03 are used up"), "{error}");
    assert_eq!(asked_of(&server, "GetCostAndUsage").len(), 3, "no request without budget");
    let spent = purse.0.lock().expect("not poisoned").clone();
    assert_eq!(
        spent.into_iter().collect::<Vec<_>>(),
        [(("aws_cost/111122223333".into(), "2026-03".into()), 3)]
    );
}

#[tokio::test]
async fn a_repeated_cost_request_is_paid_for_as_well() {
    let server = Server::start(|asked, count| match count {
        _ if is_identity(asked) => identity(),
        1 | 2 => Answer::status(500).header("content-type", "application/x-amz-json-1.1").body("{}"),
        _ => Answer::json(&json!({"ResultsByTime": []})),
    })
    .await;
    let purse = Arc::new(Purse::default());
    let source =
        connectors(&server).budget(Arc::clone(&purse) as Arc<_>).source("cost", &cost(10)).expect("a source");
    pull(&*source, window("2026-02-26T00:00:00Z", "2026-02-28T00:00:00Z")).await.0.expect("at the third try");
    assert_eq!(purse.0.lock().expect("not poisoned").values().copied().collect::<Vec<_>>(), [3]);
}

#[tokio::test]
async fn a_source_that_spends_money_needs_a_budget() {
    let server = Server::start(|_, _| Answer::status(500)).await;
    let aws = AwsConfig::default();
    let connectors =
        Connectors::with_secrets(&http(&server), None, Some(&aws), Clock::fixed(now()), &secrets());
    let error =
        connectors.expect("good settings").source("cost", &cost(10)).expect_err("no budget").to_string();
    assert!(error.starts_with("source cost: aws_cost spends money"), "{error}");
}
