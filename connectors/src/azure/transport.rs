//! Lets `azure_identity` ask for tokens through the one HTTP client.

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, HeaderValue, Headers};
use azure_core::http::{AsyncRawResponse, Body, Method};
use azure_core::{Error, Result};
use bytes::Bytes;

use crate::http::{HttpClient, HttpError, HttpErrorKind, Request};

/// The adapter. Whoever asks is told not to retry, so the client does; the metadata service's credential insists on
/// its own retries, so there the client does not.
#[derive(Debug)]
pub(super) struct Transport {
    pub(super) http: HttpClient,
    pub(super) retries: bool,
}

#[async_trait]
impl azure_core::http::HttpClient for Transport {
    async fn execute_request(&self, request: &azure_core::http::Request) -> Result<AsyncRawResponse> {
        let request = translate(request)?;
        let answer =
            if self.retries { self.http.send(&request).await } else { self.http.once(&request).await };
        let answer = answer.map_err(|error| failure(&error))?;
        let headers = answer.headers.iter().filter_map(|(name, value)| {
            let value = value.to_str().ok()?.to_owned();
            Some((HeaderName::from(name.as_str().to_owned()), HeaderValue::from(value)))
        });
        let headers = Headers::from(headers.collect::<std::collections::HashMap<_, _>>());
        Ok(AsyncRawResponse::from_bytes(answer.status.as_u16().into(), headers, answer.body))
    }
}

fn translate(request: &azure_core::http::Request) -> Result<Request> {
    let method = match request.method() {
        Method::Get => http::Method::GET,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Patch => http::Method::PATCH,
        Method::Delete => http::Method::DELETE,
        Method::Head => http::Method::HEAD,
        other => return Err(Error::with_message(ErrorKind::Other, format!("no such method here: {other}"))),
    };
    let mut translated = Request::new("azure_token", method, request.url().clone());
    for (name, value) in request.headers().iter() {
        let name = http::HeaderName::try_from(name.as_str());
        let value = http::HeaderValue::try_from(value.as_str());
        if let (Ok(name), Ok(value)) = (name, value) {
            translated.headers.insert(name, value);
        }
    }
    translated.body = match request.body() {
        Body::Bytes(bytes) => Bytes::clone(bytes),
        _ => return Err(Error::with_message(ErrorKind::Other, "a body that is a stream can't be repeated")),
    };
    Ok(translated)
}

fn failure(error: &HttpError) -> Error {
    let kind = match error.kind {
        HttpErrorKind::Connect => ErrorKind::Connection,
        _ => ErrorKind::Io,
    };
    Error::with_error(kind, error.clone(), error.to_string())
}
