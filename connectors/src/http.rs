//! The one way to the network: every request of every connector, SDKs included, goes through [`HttpClient`].
//!
//! Nothing is kept across an `await` that a dropped future would leave half done, so a pull can be cancelled anywhere.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use chrono::Utc;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::de::{DeserializeOwned, IgnoredAny};
use url::{Host, Url};

use crate::config::{HttpConfig, seconds};
use crate::limit::{Limits, Turn};
use crate::meter::Meter;
use crate::redact;
use crate::retry::{RetryPolicy, asked_wait, is_transient};

const USER_AGENT: &str = concat!("provost/", env!("CARGO_PKG_VERSION"));

/// A request, which may be repeated: whatever a connector sends is either a read or carries its own identity.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) service: &'static str,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Instead of the client's own.
    pub(crate) timeout: Option<Duration>,
    /// The most bytes of an answer, where that is less than the client's own bound.
    pub(crate) max_body: Option<usize>,
    /// What it counts against.
    pub(crate) limit: Option<Turn>,
    /// Whether a good answer without a whole JSON text in it counts as cut off.
    pub(crate) wants_json: bool,
    /// Whether an answer that does not come in time is not asked for again: less is asked for instead.
    pub(crate) impatient: bool,
    /// How long to wait after a throttled answer that does not say it itself.
    pub(crate) throttle_hint: Option<fn(&Response) -> Option<Duration>>,
}

impl Request {
    pub(crate) fn new(service: &'static str, method: Method, url: Url) -> Self {
        Self {
            service,
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: None,
            max_body: None,
            limit: None,
            wants_json: false,
            impatient: false,
            throttle_hint: None,
        }
    }

    /// A request whose answer is JSON.
    pub(crate) fn for_json(service: &'static str, method: Method, url: Url) -> Self {
        let mut request = Self::new(service, method, url);
        request.wants_json = true;
        request.headers.insert(http::header::ACCEPT, HeaderValue::from_static("application/json"));
        request
    }

    pub(crate) fn json(mut self, body: &serde_json::Value) -> Self {
        self.headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.body = Bytes::from(body.to_string());
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    pub(crate) fn limit(mut self, turn: impl Into<Turn>) -> Self {
        self.limit = Some(turn.into());
        self
    }

    /// The text without the secrets that this request carries.
    fn redact(&self, text: &str) -> String {
        let secrets: Vec<&str> = self
            .headers
            .values()
            .filter(|value| value.is_sensitive())
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| [value, value.strip_prefix("Bearer ").unwrap_or(value)])
            .collect();
        redact::text(text, &secrets)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, redact::url(&self.url))
    }
}

/// An answer, whatever its status.
#[derive(Clone)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// `POST https://host/path`, and how often it was tried.
    request: String,
    /// What the body says, without secrets, for an error.
    shown: String,
}

impl Response {
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// Whether it is an error of this code, as Azure writes them.
    pub(crate) fn says(&self, word: &str) -> bool {
        self.shown.to_ascii_lowercase().contains(&word.to_ascii_lowercase())
    }

    /// The request and what came back, for an error.
    pub(crate) fn describe(&self) -> String {
        format!("{}: {} {}", self.request, self.status.as_u16(), self.shown).trim_end().to_owned()
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}, {} bytes", self.status, self.request, self.body.len())
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{request}: {message}")]
pub(crate) struct HttpError {
    pub(crate) kind: HttpErrorKind,
    request: String,
    message: String,
}

/// What sort of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HttpErrorKind {
    /// No connection, or none that can be trusted.
    Connect,
    /// The answer ended early.
    Cut,
    /// The request could not be made at all.
    Request,
    /// No answer in time.
    Timeout,
    /// The answer is larger than allowed.
    TooLarge,
    /// Nobody vouches for the server.
    Untrusted,
}

/// The client.
#[derive(Clone)]
pub(crate) struct HttpClient(Arc<Inner>);

struct Inner {
    client: reqwest::Client,
    /// For the machine itself and the metadata services of the clouds, which no proxy may see.
    direct: reqwest::Client,
    timeout: Duration,
    max_body: usize,
    retry: RetryPolicy,
    limits: Limits,
    meter: Meter,
}

impl HttpClient {
    pub(crate) fn new(config: &HttpConfig) -> Result<Self, String> {
        Ok(Self(Arc::new(Inner {
            client: client(config, false)?,
            direct: client(config, true)?,
            timeout: seconds("http.timeout_seconds", config.timeout_seconds)?,
            max_body: usize::try_from(config.max_body_megabytes)
                .unwrap_or(usize::MAX)
                .saturating_mul(1 << 20),
            retry: RetryPolicy::new(config)?,
            limits: Limits::new(&config.limits)?,
            meter: Meter::default(),
        })))
    }

    pub(crate) fn retry(&self) -> &RetryPolicy {
        &self.0.retry
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.0.meter
    }

    /// Sends a request, again where that may help, and gives the last answer, whatever its status.
    pub(crate) async fn send(&self, request: &Request) -> Result<Response, HttpError> {
        let started = Instant::now();
        let mut waited = Duration::ZERO;
        let mut tries = 1;
        loop {
            let outcome = self.once(request).await;
            let too_slow = match &outcome {
                Ok(response) => response.status == StatusCode::GATEWAY_TIMEOUT,
                Err(error) => error.kind == HttpErrorKind::Timeout,
            };
            let wait = match &outcome {
                _ if too_slow && request.impatient => break outcome,
                Ok(response) if !is_transient(response.status) => break outcome,
                Ok(response) => asked_wait(&response.headers, Utc::now()).or_else(|| {
                    let hint = request.throttle_hint?;
                    (response.status == StatusCode::TOO_MANY_REQUESTS).then(|| hint(response)).flatten()
                }),
                Err(error) if error.kind.may_pass() => None,
                Err(_) => break outcome,
            };
            let wait = wait.unwrap_or_else(|| self.0.retry.backoff(tries));
            if tries >= self.0.retry.attempts || waited + wait > self.0.retry.max_wait {
                let spent = format!("{tries} tries in {:.1} s", started.elapsed().as_secs_f64());
                let spent = if waited + wait > self.0.retry.max_wait {
                    format!("{spent}; to be waited for {:.0} s more, which is too long", wait.as_secs_f64())
                } else {
                    spent
                };
                break outcome.map(|response| response.noting(&spent)).map_err(|error| error.noting(&spent));
            }
            let throttled =
                outcome.as_ref().is_ok_and(|response| response.status == StatusCode::TOO_MANY_REQUESTS);
            if let Some(turn) = request.limit.as_ref().filter(|_| throttled) {
                self.0.limits.close(&turn.key, wait);
            }
            tracing::debug!(
                service = request.service,
                tries,
                wait_ms = wait.as_millis() as u64,
                "trying again"
            );
            tokio::time::sleep(wait).await;
            waited += wait;
            tries += 1;
        }
    }

    /// Sends a request one time, when its turn has come.
    pub(crate) async fn once(&self, request: &Request) -> Result<Response, HttpError> {
        if let Some(turn) = &request.limit {
            self.0.limits.wait(turn).await;
        }
        self.0.meter.request(request.service);
        let outcome = self.exchange(request).await;
        match &outcome {
            Ok(response) => self.0.meter.answered(request.service, response.status.as_u16()),
            Err(_) => self.0.meter.unanswered(request.service),
        }
        outcome
    }

    async fn exchange(&self, request: &Request) -> Result<Response, HttpError> {
        let client = if stays_here(&request.url) { &self.0.direct } else { &self.0.client };
        let fail = |kind, message: String| HttpError {
            kind,
            request: format!("{request:?}"),
            message: request.redact(&message),
        };
        let unanswered = |error: reqwest::Error| {
            let (kind, text) = (HttpErrorKind::of(&error), causes(error));
            // The TLS library says so in words only.
            if kind == HttpErrorKind::Connect && text.contains("invalid peer certificate") {
                let hint = "http.extra_ca_file names the certificates of an inspecting proxy";
                return fail(HttpErrorKind::Untrusted, format!("{text}; {hint}"));
            }
            fail(kind, text)
        };
        let mut answer = client
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone())
            .body(request.body.clone())
            .timeout(request.timeout.unwrap_or(self.0.timeout))
            .send()
            .await
            .map_err(unanswered)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(unanswered)? {
            let (most, key) = match request.max_body.filter(|most| *most < self.0.max_body) {
                Some(most) => (most, ""),
                None => (self.0.max_body, " (http.max_body_megabytes)"),
            };
            if body.len() + chunk.len() > most {
                let message = format!("the answer is larger than {} MB{key}", most >> 20);
                return Err(fail(HttpErrorKind::TooLarge, message));
            }
            body.extend_from_slice(&chunk);
        }
        let body = body.freeze();
        if request.wants_json && status.is_success() && status != StatusCode::NO_CONTENT {
            let ends_early = |error: &serde_json::Error| error.is_eof();
            if serde_json::from_slice::<IgnoredAny>(&body).as_ref().is_err_and(ends_early) {
                return Err(fail(
                    HttpErrorKind::Cut,
                    format!("the answer's JSON ends early, after {} bytes", body.len()),
                ));
            }
        }
        let shown = if status.is_success() { String::new() } else { request.redact(&error_text(&body)) };
        Ok(Response { status, headers, body, request: format!("{request:?}"), shown })
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("retry", &self.0.retry).finish_non_exhaustive()
    }
}

impl HttpErrorKind {
    fn of(error: &reqwest::Error) -> Self {
        if error.is_connect() {
            Self::Connect
        } else if error.is_timeout() {
            Self::Timeout
        } else if error.is_builder() {
            Self::Request
        } else {
            // Sending that breaks off, a body that does, and one that can't be unpacked because it did.
            Self::Cut
        }
    }

    /// Whether another try may go better.
    fn may_pass(self) -> bool {
        matches!(self, Self::Connect | Self::Cut | Self::Timeout)
    }
}

impl HttpError {
    fn noting(mut self, spent: &str) -> Self {
        self.message = format!("{} ({spent})", self.message);
        self
    }
}

impl Response {
    fn noting(mut self, spent: &str) -> Self {
        self.shown = format!("{} ({spent})", self.shown).trim_start().to_owned();
        self
    }
}

/// The URL of a next link, if it leads to the place that the requests went to: a token must not go anywhere else.
/// What it says beyond that is the service's business.
pub(crate) fn next_link(link: &str, base: &Url) -> Result<Url, String> {
    let url = Url::parse(link).map_err(|error| format!("the next link is no URL: {error}"))?;
    let place =
        |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default());
    if place(&url) != place(base) || !url.username().is_empty() || url.password().is_some() {
        let host = url.host_str().unwrap_or_default();
        return Err(format!(
            "the next link leads to {}://{host}, not to {}",
            url.scheme(),
            redact::url(base)
        ));
    }
    Ok(url)
}

fn client(config: &HttpConfig, direct: bool) -> Result<reqwest::Client, String> {
    let connect_timeout = seconds("http.connect_timeout_seconds", config.connect_timeout_seconds)?;
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(connect_timeout)
        // A token must not follow a redirect to somewhere else.
        .redirect(reqwest::redirect::Policy::none());
    if let Some(path) = &config.extra_ca_file {
        let unreadable = |error: &dyn fmt::Display| format!("http.extra_ca_file {}: {error}", path.display());
        let pem = std::fs::read(path).map_err(|error| unreadable(&error))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| unreadable(&error))?;
        if certificates.is_empty() {
            return Err(unreadable(&"there is no certificate in it"));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    if direct {
        builder = builder.no_proxy();
    } else if let Some(proxy) = &config.proxy {
        if proxy.password().is_some() {
            return Err("http.proxy holds a password; set HTTPS_PROXY in the environment instead".to_owned());
        }
        let unusable = |error: reqwest::Error| format!("http.proxy: {}", error.without_url());
        let except = reqwest::NoProxy::from_string(&config.no_proxy.join(","));
        builder = builder.proxy(reqwest::Proxy::all(proxy.clone()).map_err(unusable)?.no_proxy(except));
    }
    builder.build().map_err(|error| format!("http: {}", causes(error)))
}

/// The machine itself, and the link-local addresses at which clouds hand out credentials.
fn stays_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_link_local(),
        Some(Host::Ipv6(address)) => address.is_loopback() || address.segments()[0] == 0xfd00,
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// An error with what caused it. The URL is left to [`Request`], which shows it without its query.
fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Code and message of an error body in any of the clouds' shapes, or its beginning.
fn error_text(body: &[u8]) -> String {
    const LONGEST: usize = 600;
    let text = String::from_utf8_lossy(body);
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let error = json.get("error").filter(|error| error.is_object()).unwrap_or(&json);
    let member = |names: &[&str]| {
        names.iter().find_map(|name| error.get(name).and_then(|value| value.as_str())).map(str::to_owned)
    };
    let code = member(&["code", "error", "__type", "Code"]);
    let message = member(&["message", "error_description", "Message"]);
    let said = match (code, message) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(text), None) | (None, Some(text)) => text,
        (None, None) => text.into_owned(),
    };
    let one_line: Vec<&str> = said.split_whitespace().collect();
    one_line.join(" ").chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_next_link_is_followed_only_to_where_the_requests_went() {
        let base: Url = "https://graph.microsoft.com/v1.0/".parse().expect("a URL");
        for (link, follows) in [
            ("https://graph.microsoft.com/v1.0/auditLogs/signIns?$skiptoken=a%2Bb", true),
            ("https://graph.microsoft.com:443/beta/x", true),
            ("http://graph.microsoft.com/v1.0/x", false),
            ("https://graph.microsoft.com.evil.example/x", false),
            ("https://graph.microsoft.com@evil.example/x", false),
            ("https://user@graph.microsoft.com/x", false),
            ("https://graph.microsoft.com:8443/x", false),
            ("/v1.0/x", false),
        ] {
            let followed = next_link(link, &base);
            assert_eq!(followed.is_ok(), follows, "{link}: {followed:?}");
            if let Ok(url) = followed {
                assert!(
                    url.as_str().ends_with(link.rsplit('/').next().unwrap_or_default()),
                    "kept as it came"
                );
            }
        }
    }

    #[test]
    fn errors_are_told_in_one_line_whatever_their_shape() {
        for (body, text) in [
            (r#"{"error":{"code":"Forbidden","message":"no\nright"}}"#, "Forbidden: no right"),
            (
                r#"{"error":"invalid_client","error_description":"AADSTS7000215"}"#,
                "invalid_client: AADSTS7000215",
            ),
            (
                r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#,
                "ThrottlingException: Rate exceeded",
            ),
            ("<html>Bad gateway</html>", "<html>Bad gateway</html>"),
            ("", ""),
        ] {
            assert_eq!(error_text(body.as_bytes()), text);
        }
    }
}
