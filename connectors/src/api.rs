//! A REST service of Azure: where it is, which tokens it takes, and what its errors mean.

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};
use serde::de::DeserializeOwned;
use url::Url;

use crate::azure::Tokens;
use crate::http::{HttpClient, HttpError, HttpErrorKind, Request, Response, next_link};
use crate::retry::REPLACEMENTS;
use crate::source::SourceError;

/// A service.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) service: &'static str,
    base: Url,
    http: HttpClient,
    tokens: Arc<Tokens>,
    scope: String,
    /// What to grant when a permission is missing.
    remedy: String,
}

impl Api {
    pub(crate) fn new(
        service: &'static str,
        base: Url,
        http: HttpClient,
        tokens: Arc<Tokens>,
        scope: String,
        remedy: String,
    ) -> Self {
        Self { service, base, http, tokens, scope, remedy }
    }

    /// A URL of the service: its address, the path as it is, and the query.
    pub(crate) fn url(&self, path: &str, query: &[(&str, &str)]) -> Result<Url, SourceError> {
        let base = self.base.as_str().trim_end_matches('/');
        let mut url = Url::parse(&format!("{base}{path}"))
            .map_err(|error| SourceError::Config(format!("{}: {path}: {error}", self.service)))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// The next page, if the link leads to this service.
    pub(crate) fn follow(&self, link: &str) -> Result<Url, SourceError> {
        next_link(link, &self.base).map_err(|message| SourceError::Refused { service: self.service, message })
    }

    /// Sends a request with a token; one that is not accepted is replaced. Any other answer is given back.
    pub(crate) async fn send(&self, mut request: Request) -> Result<Response, SourceError> {
        let mut token = self.tokens.get(&self.scope, None).await?;
        let mut replaced = 0;
        loop {
            let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.reveal())).map_err(|_| {
                SourceError::Unauthenticated {
                    service: self.service,
                    message: "the token can't be put into a header".to_owned(),
                }
            })?;
            bearer.set_sensitive(true);
            request.headers.insert(header::AUTHORIZATION, bearer);
            let response =
                self.http.send(&request).await.map_err(|error| unanswered(self.service, &error))?;
            if response.status != StatusCode::UNAUTHORIZED || replaced == REPLACEMENTS {
                return Ok(response);
            }
            token = self.tokens.get(&self.scope, Some(&token)).await?;
            replaced += 1;
        }
    }

    /// Sends a request and reads the JSON of its answer; anything but success is an error.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, SourceError> {
        let response = self.send(request).await?;
        self.read(&self.success(response)?)
    }

    /// The JSON of an answer.
    pub(crate) fn read<T: DeserializeOwned>(&self, response: &Response) -> Result<T, SourceError> {
        response.json().map_err(|error| SourceError::Incomplete {
            service: self.service,
            message: format!("{}: not what was asked for: {error}", response.describe()),
        })
    }

    /// The answer, if it is one of success.
    pub(crate) fn success(&self, response: Response) -> Result<Response, SourceError> {
        if response.status.is_success() {
            return Ok(response);
        }
        let (service, message) = (self.service, response.describe());
        Err(match response.status.as_u16() {
            401 => SourceError::Unauthenticated { service, message },
            403 => SourceError::Denied { service, message, remedy: self.remedy.clone() },
            429 => SourceError::Throttled { service, message },
            408 | 504 => SourceError::TimedOut { service, message },
            500..=599 => SourceError::Unreachable { service, message },
            _ => SourceError::Refused { service, message },
        })
    }
}

/// A request without an answer as an error of its service.
pub(crate) fn unanswered(service: &'static str, error: &HttpError) -> SourceError {
    let message = error.to_string();
    match error.kind {
        HttpErrorKind::Cut | HttpErrorKind::TooLarge => SourceError::Incomplete { service, message },
        HttpErrorKind::Request => SourceError::Refused { service, message },
        HttpErrorKind::Connect | HttpErrorKind::Untrusted => SourceError::Unreachable { service, message },
        HttpErrorKind::Timeout => SourceError::TimedOut { service, message },
    }
}
