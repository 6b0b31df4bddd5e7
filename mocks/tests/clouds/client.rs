//! A client as small as can be: it signs and asks, and nothing is retried.

use chrono::{DateTime, TimeZone, Utc};
use provost_mocks::{
    ACCESS_KEY_ID, CLIENT_ID, CLIENT_SECRET, EXTERNAL_ID, Faults, MockClouds, MockOptions, READER_ROLE,
    SECRET_ACCESS_KEY, Scenario, ScenarioOptions,
};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

/// The clouds and somebody who asks them.
pub(crate) struct Setup {
    pub(crate) clouds: MockClouds,
    pub(crate) client: Client,
}

/// A key of AWS.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
}

impl Key {
    pub(crate) fn base() -> Self {
        Self { id: ACCESS_KEY_ID.to_owned(), secret: SECRET_ACCESS_KEY.to_owned(), token: None }
    }
}

/// A status and a body, JSON where it is JSON.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|problem| panic!("{problem}: {self:?}"))
    }

    /// The error's name, wherever the service puts it.
    pub(crate) fn code(&self) -> String {
        let json: Value = serde_json::from_str(&self.text).unwrap_or_default();
        let named = json.pointer("/error/code").or_else(|| json.get("__type")).or_else(|| json.get("error"));
        named.and_then(Value::as_str).map_or_else(|| between(&self.text, "<Code>", "</Code>"), str::to_owned)
    }
}

pub(crate) fn between(text: &str, from: &str, to: &str) -> String {
    let rest = text.split_once(from).map(|(_, rest)| rest).unwrap_or_default();
    rest.split_once(to).map(|(inside, _)| inside.to_owned()).unwrap_or_default()
}

/// A small tenant of two days.
pub(crate) fn small() -> ScenarioOptions {
    ScenarioOptions {
        end: Utc.with_ymd_and_hms(2026, 6, 3, 0, 0, 0).single().expect("a date"),
        days: 2,
        devices: 12,
        users: 9,
        network_events_per_device_hour: 2.0,
        trail_events_per_hour: 20.0,
        ..ScenarioOptions::default()
    }
}

impl Setup {
    pub(crate) async fn start(change: impl FnOnce(&mut MockOptions)) -> Self {
        let mut options = MockOptions::new(Scenario::new(small()));
        options.limits_raised = 10_000;
        options.stall = std::time::Duration::from_millis(30);
        change(&mut options);
        let clouds = MockClouds::start(options).await.expect("ports are free");
        let ca = reqwest::Certificate::from_pem(clouds.ca_pem().as_bytes()).expect("a certificate");
        let client = Client::builder().tls_certs_merge([ca]).build().expect("a client");
        Self { clouds, client }
    }

    pub(crate) async fn plain() -> Self {
        Self::start(|options| options.faults = Faults::none()).await
    }

    pub(crate) fn end(&self) -> DateTime<Utc> {
        self.clouds.scenario().options().end
    }

    pub(crate) fn subscription(&self) -> String {
        self.clouds.scenario().tenant().subscriptions[0].id.clone()
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Reply {
        self.try_send(request).await.expect("an answer")
    }

    pub(crate) async fn try_send(&self, request: RequestBuilder) -> Result<Reply, reqwest::Error> {
        let response: Response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Reply { status, headers, text: response.text().await? })
    }

    /// A request of a token.
    pub(crate) fn token_request(&self, change: &[(&str, &str)]) -> RequestBuilder {
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", CLIENT_ID),
            ("client_secret", CLIENT_SECRET),
            ("scope", "https://management.azure.com/.default"),
        ];
        for (name, value) in change {
            form.retain(|(known, _)| known != name);
            if !value.is_empty() {
                form.push((name, value));
            }
        }
        let path = format!("{}/oauth2/v2.0/token", self.clouds.scenario().tenant().id);
        self.client.post(join(&self.clouds.endpoints().entra, &path)).form(&form)
    }

    pub(crate) async fn token(&self, resource: &str) -> String {
        self.token_of(CLIENT_ID, resource).await
    }

    pub(crate) async fn token_of(&self, client: &str, resource: &str) -> String {
        let scope = format!("{resource}/.default");
        loop {
            let reply = self.try_send(self.token_request(&[("scope", &scope), ("client_id", client)])).await;
            if let Ok(reply) = reply
                && reply.status == 200
            {
                return reply.json()["access_token"].as_str().expect("a token").to_owned();
            }
        }
    }

    pub(crate) fn graph(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        self.client.request(method, join(&self.clouds.endpoints().graph, path)).bearer_auth(token)
    }

    pub(crate) fn arm(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        self.client.request(method, join(&self.clouds.endpoints().arm, path)).bearer_auth(token)
    }

    pub(crate) fn ingest(&self, path: &str, token: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        let url = join(&self.clouds.endpoints().ingestion, path);
        self.client.post(url).bearer_auth(token).header("content-type", "application/json").body(body)
    }

    /// A signed request of JSON 1.1.
    pub(crate) fn aws_json(
        &self,
        key: &Key,
        service: &str,
        region: &str,
        target: &str,
        body: &Value,
    ) -> RequestBuilder {
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)]
            .map(|(n, v)| (n.to_owned(), v.to_owned()));
        self.signed(key, service, region, headers.to_vec(), body.to_string())
    }

    /// A signed request of a form.
    pub(crate) fn aws_form(
        &self,
        key: &Key,
        service: &str,
        region: &str,
        form: &[(&str, &str)],
    ) -> RequestBuilder {
        let mut url = Url::parse("https://x/").expect("a URL");
        url.query_pairs_mut().extend_pairs(form);
        let headers =
            vec![("content-type".to_owned(), "application/x-www-form-urlencoded; charset=utf-8".to_owned())];
        self.signed(key, service, region, headers, url.query().unwrap_or_default().to_owned())
    }

    pub(crate) fn lookup(&self, key: &Key, region: &str, body: &Value) -> RequestBuilder {
        let target = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents";
        self.aws_json(key, "cloudtrail", region, target, body)
    }

    pub(crate) fn cost(&self, key: &Key, body: &Value) -> RequestBuilder {
        self.aws_json(key, "ce", "us-east-1", "AWSInsightsIndexService.GetCostAndUsage", body)
    }

    pub(crate) fn assume_request(&self, account: &str, change: &[(&str, &str)]) -> RequestBuilder {
        let role = format!("arn:aws:iam::{account}:role/{READER_ROLE}");
        let mut form = vec![
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", role.as_str()),
            ("RoleSessionName", "test"),
            ("ExternalId", EXTERNAL_ID),
        ];
        for (name, value) in change {
            form.retain(|(known, _)| known != name);
            form.push((name, value));
        }
        self.aws_form(&Key::base(), "sts", "us-east-1", &form)
    }

    pub(crate) async fn assume(&self, account: &str) -> Key {
        loop {
            let Ok(reply) = self.try_send(self.assume_request(account, &[])).await else { continue };
            if reply.status == 200 {
                let part = |name: &str| between(&reply.text, &format!("<{name}>"), &format!("</{name}>"));
                return Key {
                    id: part("AccessKeyId"),
                    secret: part("SecretAccessKey"),
                    token: Some(part("SessionToken")),
                };
            }
        }
    }

    /// Signs by the published recipe, written here a second time.
    fn signed(
        &self,
        key: &Key,
        service: &str,
        region: &str,
        mut headers: Vec<(String, String)>,
        body: String,
    ) -> RequestBuilder {
        let url = self.clouds.endpoints().aws.clone();
        let time = Utc::now().format("%Y%m%dT%H%M%SZ").to_string();
        let host = format!("{}:{}", url.host_str().unwrap_or_default(), url.port().unwrap_or_default());
        headers.extend([("host".to_owned(), host), ("x-amz-date".to_owned(), time.clone())]);
        if let Some(token) = &key.token {
            headers.push(("x-amz-security-token".to_owned(), token.clone()));
        }
        headers.sort();
        let names = headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let canonical = format!("POST\n/\n\n{lines}\n{names}\n{}", hex(&Sha256::digest(&body)));
        let day = &time[..8];
        let scope = format!("{day}/{region}/{service}/aws4_request");
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let mut signing = format!("AWS4{}", key.secret).into_bytes();
        for part in [day, region, service, "aws4_request"] {
            signing = hmac(&signing, part.as_bytes());
        }
        let signature = hex(&hmac(&signing, to_sign.as_bytes()));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            key.id
        );
        let mut request = self.client.post(url).header("authorization", authorization).body(body);
        for (name, value) in headers.iter().filter(|(name, _)| name != "host") {
            request = request.header(name, value);
        }
        request
    }
}

/// The URL of a path with a query, each part encoded as it needs.
pub(crate) fn join(base: &Url, path: &str) -> Url {
    base.join(path).expect("a path")
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::new().chain_update(block.map(|b| b ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|b| b ^ 0x5c)).chain_update(inner).finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
