//! A request and its answer, whole.

use axum::http::{HeaderMap, Method};
use bytes::Bytes;
use serde_json::Value;
use url::Url;

/// A request, its body read.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    /// The path, its parts decoded.
    pub(crate) path: Vec<String>,
    /// The path as it came.
    pub(crate) raw_path: String,
    /// The query, decoded.
    pub(crate) query: Vec<(String, String)>,
    /// The query as it came.
    pub(crate) raw_query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Ask {
    pub(crate) fn new(method: Method, uri: &str, headers: HeaderMap, body: Bytes) -> Option<Self> {
        // Only the path and the query count; the base makes it a URL.
        let url = Url::parse("https://127.0.0.1/").ok()?.join(uri).ok()?;
        let path = url
            .path_segments()?
            .map(|part| {
                let pair = format!("x={}", part.replace('+', "%2B"));
                url_decoded(&pair).into_iter().next().map(|(_, value)| value).unwrap_or_default()
            })
            .filter(|part| !part.is_empty())
            .collect();
        Some(Self {
            method,
            path,
            raw_path: url.path().to_owned(),
            query: url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect(),
            raw_query: url.query().unwrap_or_default().to_owned(),
            headers,
            body,
        })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as a form.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        url_decoded(&String::from_utf8_lossy(&self.body))
    }

    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The path's parts, for matching.
    pub(crate) fn parts(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }
}

fn url_decoded(form: &str) -> Vec<(String, String)> {
    // The parser of a URL's query is the parser of a form.
    Url::parse(&format!("https://127.0.0.1/?{form}"))
        .map(|url| url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
        .unwrap_or_default()
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    pub(crate) fn text(status: u16, kind: &str, text: impl Into<Bytes>) -> Self {
        Self { status, headers: vec![("content-type", kind.to_owned())], body: text.into() }
    }

    pub(crate) fn json(status: u16, value: &Value) -> Self {
        Self::text(status, "application/json; charset=utf-8", value.to_string())
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

/// An answer that a service gave early; `Ok` and `Err` are sent alike.
pub(crate) type Outcome = Result<Answer, Answer>;
