//! Lets the AWS SDK send through the one HTTP client, so that certificates, proxy, limits and counts are the same.
//!
//! The SDK retries by itself, because it knows the error codes of AWS and signs each try anew; so here every request
//! is sent one time.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient as SdkHttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use url::Url;

use crate::http::{HttpClient, HttpErrorKind, Request, Response};
use crate::limit::LimitKey;

/// The adapter, for one service.
#[derive(Debug, Clone)]
pub(super) struct Adapter {
    pub(super) http: HttpClient,
    pub(super) service: &'static str,
    pub(super) limit: Option<LimitKey>,
    pub(super) timeout: Option<Duration>,
}

impl SdkHttpClient for Adapter {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        // Only the metadata service asks for a short time to read, so that machines without one don't wait long.
        let timeout =
            settings.read_timeout().map(|read| read + settings.connect_timeout().unwrap_or_default());
        SharedHttpConnector::new(Self { timeout, ..self.clone() })
    }
}

impl HttpConnector for Adapter {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let adapter = self.clone();
        HttpConnectorFuture::new(async move {
            let request =
                adapter.translate(&request).map_err(|message| ConnectorError::user(message.into()))?;
            match adapter.http.once(&request).await {
                Ok(response) => {
                    translate_back(&response).map_err(|message| ConnectorError::other(message.into(), None))
                }
                Err(error) => Err(match error.kind {
                    HttpErrorKind::Timeout => ConnectorError::timeout(error.into()),
                    HttpErrorKind::Connect | HttpErrorKind::Cut => ConnectorError::io(error.into()),
                    HttpErrorKind::Request | HttpErrorKind::TooLarge | HttpErrorKind::Untrusted => {
                        ConnectorError::user(error.into())
                    }
                }),
            }
        })
    }
}

impl Adapter {
    fn translate(&self, request: &HttpRequest) -> Result<Request, String> {
        let url = Url::parse(request.uri()).map_err(|error| format!("{}: {error}", self.service))?;
        let method = Method::from_bytes(request.method().as_bytes()).map_err(|error| error.to_string())?;
        let mut translated = Request::new(self.service, method, url);
        for (name, value) in request.headers().iter() {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
            let mut value = HeaderValue::from_str(value).map_err(|error| error.to_string())?;
            let secret = [header::AUTHORIZATION.as_str(), "x-amz-security-token"].contains(&name.as_str());
            value.set_sensitive(secret || name.as_str().starts_with("x-aws-ec2-metadata-token"));
            if name == header::CONTENT_TYPE && value.as_bytes().starts_with(b"application/x-amz-json") {
                translated.wants_json = true;
            }
            translated.headers.insert(name, value);
        }
        let body = request.body().bytes().ok_or("a body that is a stream can't be sent")?;
        translated.body = Bytes::copy_from_slice(body);
        translated.limit = self.limit.clone().map(Into::into);
        translated.timeout = self.timeout;
        Ok(translated)
    }
}

fn translate_back(response: &Response) -> Result<HttpResponse, String> {
    let status = response.status.as_u16().try_into().map_err(|_| format!("{response:?}: no such status"))?;
    let mut translated = HttpResponse::new(status, SdkBody::from(response.body.clone()));
    for (name, value) in &response.headers {
        if let Ok(value) = value.to_str() {
            // Both come from an answer that was taken as HTTP, so the checked way can't be surprised by them.
            let _ = translated.headers_mut().try_append(name.as_str().to_owned(), value.to_owned());
        }
    }
    Ok(translated)
}
