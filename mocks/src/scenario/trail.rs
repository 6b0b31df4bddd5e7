//! CloudTrail: what an event is and how it is written.

use chrono::{DateTime, TimeDelta, Utc};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::chance::{aws_id, uuid};
use super::tenant::Account;

/// An event of CloudTrail.
#[derive(Debug, Clone)]
pub struct TrailEvent {
    /// `eventID`
    pub id: String,
    /// When it happened, in whole seconds.
    pub time: DateTime<Utc>,
    /// When it can be looked up.
    pub arrives: DateTime<Utc>,
    /// The account that recorded it.
    pub account: String,
    /// The region that recorded it.
    pub region: String,
    /// `eventName`
    pub name: String,
    /// `eventSource`
    pub source: String,
    /// `readOnly`
    pub read_only: bool,
    /// What `LookupEvents` calls `Username`.
    pub username: Option<String>,
    /// The access key of the request.
    pub access_key: Option<String>,
    /// Types and names of the resources.
    pub resources: Vec<(&'static str, String)>,
    /// The record, as JSON.
    pub record: String,
}

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    identity: Value,
    username: Option<String>,
    access_key: Option<String>,
    /// Where from: an address, or the name of a service.
    pub(crate) from: String,
    pub(crate) agent: String,
}

const CONSOLE: &str = "AWS Internal";
const BROWSER: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/141.0.0.0 Safari/537.36";
pub(crate) const CLI: &str = "aws-cli/2.31.3 md/awscrt#0.28.1 ua/2.1 os/linux#6.8.0 lang/python#3.13.7";
pub(crate) const TERRAFORM: &str = "APN/1.0 HashiCorp/1.0 Terraform/1.13.3 terraform-provider-aws/6.15.0 aws-sdk-go-v2/1.39.2 lang/go#1.24.6";
pub(crate) const BOTO: &str = "Boto3/1.40.45 md/Botocore#1.40.45 os/linux lang/python#3.12.3";

impl Caller {
    /// A session of a role in the account.
    pub(crate) fn role(
        account: &Account,
        role: &str,
        session: &str,
        key: &str,
        began: DateTime<Utc>,
        mfa: bool,
    ) -> Self {
        let issuer = format!("arn:aws:iam::{}:role/{role}", account.id);
        let identity = json!({
            "type": "AssumedRole",
            "principalId": format!("{}:{session}", account.role_id),
            "arn": format!("arn:aws:sts::{}:assumed-role/{role}/{session}", account.id),
            "accountId": account.id,
            "accessKeyId": key,
            "sessionContext": {
                "sessionIssuer": {
                    "type": "Role", "principalId": account.role_id, "arn": issuer, "accountId": account.id, "userName": role
                },
                "attributes": { "creationDate": second(began), "mfaAuthenticated": mfa.to_string() }
            }
        });
        Self {
            identity,
            username: Some(session.to_owned()),
            access_key: Some(key.to_owned()),
            from: CONSOLE.to_owned(),
            agent: BROWSER.to_owned(),
        }
    }

    /// A user of the account, by an access key.
    pub(crate) fn user(account: &Account, user: &str, key: &str) -> Self {
        let identity = json!({
            "type": "IAMUser",
            "principalId": account.user_id,
            "arn": format!("arn:aws:iam::{}:user/{user}", account.id),
            "accountId": account.id,
            "accessKeyId": key,
            "userName": user
        });
        Self {
            identity,
            username: Some(user.to_owned()),
            access_key: Some(key.to_owned()),
            from: String::new(),
            agent: CLI.to_owned(),
        }
    }

    /// A person who comes from the identity provider.
    pub(crate) fn saml(account: &Account, upn: &str) -> Self {
        let provider = format!("arn:aws:iam::{}:saml-provider/Entra", account.id);
        let identity = json!({
            "type": "SAMLUser", "principalId": format!("qXb8Wz0K2nT5rV3y:{upn}"), "userName": upn,
            "identityProvider": provider
        });
        Self {
            identity,
            username: Some(upn.to_owned()),
            access_key: None,
            from: String::new(),
            agent: BROWSER.to_owned(),
        }
    }

    /// A service of AWS, for itself.
    pub(crate) fn service(name: &str) -> Self {
        Self {
            identity: json!({ "type": "AWSService", "invokedBy": name }),
            username: None,
            access_key: None,
            from: name.to_owned(),
            agent: name.to_owned(),
        }
    }

    /// A service of AWS, through a role that is linked to it.
    pub(crate) fn linked(
        account: &Account,
        service: &str,
        role: &str,
        key: &str,
        began: DateTime<Utc>,
    ) -> Self {
        let mut caller = Self::role(account, role, "AutoScaling", key, began, false);
        caller.identity["invokedBy"] = json!(service);
        caller.from = service.to_owned();
        caller.agent = service.to_owned();
        caller
    }

    pub(crate) fn at(mut self, from: impl ToString, agent: &str) -> Self {
        self.from = from.to_string();
        self.agent = agent.to_owned();
        self
    }
}

/// A call on its way to become an event.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) service: &'static str,
    pub(crate) name: &'static str,
    pub(crate) account: &'a Account,
    pub(crate) region: &'static str,
    pub(crate) request: Value,
    pub(crate) response: Value,
    pub(crate) resources: Vec<(&'static str, String)>,
    pub(crate) error: Option<(&'static str, String)>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(
        account: &'a Account,
        region: &'static str,
        service: &'static str,
        name: &'static str,
    ) -> Self {
        Self {
            service,
            name,
            account,
            region,
            request: Value::Null,
            response: Value::Null,
            resources: Vec::new(),
            error: None,
        }
    }

    pub(crate) fn with(mut self, request: Value, response: Value) -> Self {
        self.request = request;
        self.response = response;
        self
    }

    pub(crate) fn about(mut self, kind: &'static str, name: impl ToString) -> Self {
        self.resources.push((kind, name.to_string()));
        self
    }

    pub(crate) fn denied(mut self, caller: &Caller) -> Self {
        let arn = caller.identity["arn"].as_str().unwrap_or_default();
        let text = format!(
            "User: {arn} is not authorized to perform: {}:{} because no identity-based policy allows the action",
            self.service, self.name
        );
        let code = if self.service == "ec2" { "Client.UnauthorizedOperation" } else { "AccessDenied" };
        self.response = Value::Null;
        self.error = Some((code, text));
        self
    }

    /// The event of this call.
    pub(crate) fn by(self, caller: &Caller, time: DateTime<Utc>, rng: &mut StdRng) -> TrailEvent {
        // Global services are recorded in one region, wherever the caller is.
        let global = matches!(self.service, "iam" | "organizations" | "cloudfront" | "route53" | "ce");
        let region = if global { "us-east-1" } else { self.region };
        let source = format!("{}.amazonaws.com", self.service);
        let id = uuid(rng);
        let read_only = ["Describe", "List", "Get", "Lookup", "AssumeRole", "Decrypt"]
            .iter()
            .any(|verb| self.name.starts_with(verb));
        let sign_in = self.name == "ConsoleLogin";
        let mut record = json!({
            "eventVersion": "1.09",
            "userIdentity": caller.identity,
            "eventTime": second(time),
            "eventSource": source,
            "eventName": self.name,
            "awsRegion": region,
            "sourceIPAddress": caller.from,
            "userAgent": caller.agent,
            "requestParameters": self.request,
            "responseElements": self.response,
            "requestID": uuid(rng),
            "eventID": id,
            "readOnly": read_only,
            "eventType": if sign_in { "AwsConsoleSignIn" } else { "AwsApiCall" },
            "managementEvent": true,
            "recipientAccountId": self.account.id,
            "eventCategory": "Management"
        });
        if let Some((code, text)) = self.error {
            record["errorCode"] = json!(code);
            record["errorMessage"] = json!(text);
        }
        if sign_in {
            record["additionalEventData"] = json!({ "LoginTo": "https://console.aws.amazon.com/console/home", "MobileVersion": "No", "MFAUsed": "No" });
        }
        if !caller.from.ends_with(".amazonaws.com") && caller.from != CONSOLE {
            record["tlsDetails"] = json!({
                "tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256",
                "clientProvidedHostHeader": format!("{}.{region}.amazonaws.com", self.service)
            });
        }
        TrailEvent {
            id,
            time,
            // About five minutes on average, as documented.
            arrives: time + TimeDelta::seconds(rng.random_range(90..520)),
            account: self.account.id.clone(),
            region: region.to_owned(),
            name: self.name.to_owned(),
            source,
            read_only,
            username: caller.username.clone(),
            access_key: caller.access_key.clone(),
            resources: self.resources,
            record: record.to_string(),
        }
    }
}

/// A key of a session.
pub(crate) fn session_key(rng: &mut StdRng) -> String {
    aws_id(rng, "ASIA")
}

pub(crate) fn second(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
