//! What every connector gets from the one HTTP client.

use std::time::{Duration, Instant};

use provost_connectors::config::{
    AwsConfig, AzureActivityConfig, HttpConfig, LimitName, RateConfig, SourceConfig,
};
use provost_connectors::{Connectors, Source, SourceError};
use serde_json::json;

use crate::fixtures::{SUBSCRIPTION, connectors, connectors_with, hour, http, pull};
use crate::server::{Answer, Server};

fn source(connectors: &Connectors) -> std::sync::Arc<dyn Source> {
    let config =
        SourceConfig::AzureActivity(AzureActivityConfig { subscriptions: vec![SUBSCRIPTION.to_owned()] });
    connectors.source("activity", &config).expect("a source")
}

#[tokio::test]
async fn throttled_failed_cut_and_half_written_answers_are_asked_for_again() {
    let good = || Answer::json(&json!({"value": []}));
    type Fault = fn() -> Answer;
    let faults: [(&str, Fault); 7] = [
        ("429 with seconds", || Answer::status(429).header("retry-after", "0")),
        ("429 with a date", || Answer::status(429).header("retry-after", "Sun, 01 Mar 2026 09:00:00 GMT")),
        ("408", || Answer::status(408)),
        ("503", || Answer::status(503).body("<html>busy</html>")),
        ("cut body", || Answer::json(&json!({"value": []})).cut()),
        ("JSON that ends early", || Answer::status(200).body("{\"value\": [{\"eventData")),
        ("no body at all", || Answer::status(200)),
    ];
    for (name, fault) in faults {
        let server = Server::start(move |_, count| if count < 2 { fault() } else { good() }).await;
        let connectors = connectors(&server);
        let (pulled, _) = pull(&*source(&connectors), hour()).await;
        assert_eq!(pulled.unwrap_or_else(|error| panic!("{name}: {error}")).requests, 4, "{name}");
        assert_eq!(connectors.request_counts()["azure_activity"].requests, 3, "{name}");
    }
}

#[tokio::test]
async fn a_fault_that_does_not_pass_is_told_by_its_kind_and_with_the_tries() {
    for (answer, kind) in [
        (Answer::status(429), "throttled"),
        (Answer::status(500), "not reachable"),
        (Answer::status(504), "no answer in time"),
        (Answer::json(&json!({})).cut(), "incomplete answer"),
        (
            Answer::status(400).body(r#"{"error":{"code":"BadRequest","message":"the filter"}}"#),
            "BadRequest: the filter",
        ),
        (Answer::status(302).header("location", "https://evil.example/"), "302"),
        (Answer::json(&json!({"unexpected": 1})), "incomplete answer"),
    ] {
        let server = Server::start(move |_, _| answer.clone()).await;
        let connectors = connectors(&server);
        let error = pull(&*source(&connectors), hour()).await.0.expect_err(kind).to_string();
        assert!(error.contains(kind), "{kind}: {error}");
        assert!(error.contains("/subscriptions/") && !error.contains("$filter"), "{error}");
        let tries = server.asked().len();
        assert_eq!(error.contains("4 tries"), tries == 4, "{tries}: {error}");
    }
}

#[tokio::test]
async fn no_answer_in_time_is_an_error_within_the_time() {
    let server = Server::start(|_, _| Answer::status(200).after(Duration::from_secs(60))).await;
    let config = HttpConfig { timeout_seconds: 0.1, attempts: 2, ..http(&server) };
    // The activity log gets longer than other requests, so the token is what is slow here.
    let graph = SourceConfig::EntraAudits(Default::default());
    let source =
        connectors_with(&server, &config, &AwsConfig::default()).source("audits", &graph).expect("a source");
    let started = Instant::now();
    let error = pull(&*source, hour()).await.0.expect_err("too slow");
    assert!(matches!(error, SourceError::TimedOut { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_service_that_asks_for_too_long_a_wait_is_left_for_the_next_run() {
    let server = Server::start(|_, _| Answer::status(429).header("retry-after", "3600")).await;
    let started = Instant::now();
    let error = pull(&*source(&connectors(&server)), hour()).await.0.expect_err("too long");
    assert!(matches!(error, SourceError::Throttled { .. }), "{error}");
    assert!(error.to_string().contains("3600 s more, which is too long"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn requests_keep_the_rate_of_their_service() {
    let server = Server::start(|asked, count| {
        let link = format!("https://{}{}?page={count}", asked.header("host"), asked.path);
        if count < 5 {
            Answer::json(&json!({"value": [], "nextLink": link}))
        } else {
            Answer::json(&json!({"value": []}))
        }
    })
    .await;
    let mut config = http(&server);
    config.limits.insert(LimitName::AzureActivity, RateConfig { requests: 10, seconds: 1.0 });
    let connectors = connectors_with(&server, &config, &AwsConfig::default());
    let started = Instant::now();
    pull(&*source(&connectors), hour()).await.0.expect("read");
    assert!(
        started.elapsed() >= Duration::from_millis(450),
        "six requests at ten a second: {:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused_before_it_fills_the_memory() {
    let server = Server::start(|_, _| Answer::json(&json!({"value": ["x".repeat(3 << 20)]}))).await;
    let config = HttpConfig { max_body_megabytes: 1, ..http(&server) };
    let connectors = connectors_with(&server, &config, &AwsConfig::default());
    let error = pull(&*source(&connectors), hour()).await.0.expect_err("too large").to_string();
    assert!(error.contains("larger than 1 MB"), "{error}");
    assert_eq!(server.asked().len(), 1, "asking again would not make it smaller");
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_gets_nothing() {
    let server = Server::start(|_, _| Answer::json(&json!({"value": []}))).await;
    let config = HttpConfig { extra_ca_file: None, ..http(&server) };
    let connectors = connectors_with(&server, &config, &AwsConfig::default());
    let error = pull(&*source(&connectors), hour()).await.0.expect_err("no trust");
    assert!(matches!(error, SourceError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("http.extra_ca_file"), "{error}");
    assert_eq!(connectors.request_counts()["azure_token"].requests, 1, "asking again would not change it");
    assert!(server.tokens().is_empty());
}

#[tokio::test]
async fn requests_go_through_the_proxy_but_not_those_to_the_machine_itself() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let server = Server::start(|_, _| Answer::json(&json!({"value": []}))).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let proxy = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut line = vec![0; 512];
        let length = stream.read(&mut line).await.expect("a request");
        stream.write_all(b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n").await.expect("answered");
        String::from_utf8_lossy(&line[..length]).into_owned()
    });
    let config = HttpConfig { proxy: Some(proxy.parse().expect("a URL")), attempts: 1, ..http(&server) };
    pull(&*source(&connectors_with(&server, &config, &AwsConfig::default())), hour())
        .await
        .0
        .expect("direct");

    let mut azure = crate::fixtures::azure(&server);
    azure.endpoints.authority = None;
    let connectors = Connectors::with_secrets(
        &config,
        Some(&azure),
        None,
        provost_connectors::Clock::fixed(crate::fixtures::now()),
        &crate::fixtures::secrets(),
    );
    let error =
        pull(&*source(&connectors.expect("good settings")), hour()).await.0.expect_err("the proxy refuses");
    assert!(matches!(error, SourceError::Unreachable { .. }), "{error}");
    let asked = asked.await.expect("asked");
    assert!(asked.starts_with("CONNECT login.microsoftonline.com:443 "), "{asked}");
}

#[tokio::test]
async fn when_one_request_is_throttled_the_others_of_its_owner_wait_too() {
    let server = Server::start(|_, count| match count {
        0 => Answer::status(429).header("retry-after", "1"),
        _ => Answer::json(&json!({"value": []})),
    })
    .await;
    let source = source(&connectors(&server));
    let first = tokio::spawn({
        let source = std::sync::Arc::clone(&source);
        async move { pull(&*source, hour()).await.0 }
    });
    while server.asked().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let started = Instant::now();
    pull(&*source, hour()).await.0.expect("later");
    assert!(started.elapsed() >= Duration::from_millis(700), "{:?}", started.elapsed());
    first.await.expect("no panic").expect("at the second try");
}

#[tokio::test]
async fn a_pull_that_is_dropped_leaves_nothing_that_holds_up_the_next() {
    let server = Server::start(|_, count| match count {
        0 => Answer::status(200).after(Duration::from_secs(30)),
        _ => Answer::json(&json!({"value": []})),
    })
    .await;
    let source = source(&connectors(&server));
    let dropped = tokio::time::timeout(Duration::from_millis(300), pull(&*source, hour())).await;
    assert!(dropped.is_err(), "it was still waiting");
    let started = Instant::now();
    pull(&*source, hour()).await.0.expect("read");
    assert!(started.elapsed() < Duration::from_secs(1));
}
