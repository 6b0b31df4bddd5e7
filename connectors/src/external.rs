//! Files at addresses that queries name: over TLS, and only from hosts that the configuration names.

use std::fmt;

use bytes::Bytes;
use http::{Method, header};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::config::HttpConfig;
use crate::http::{HttpClient, Request};

/// How often a file may lie somewhere else than where it was asked for.
const MAX_REDIRECTS: usize = 5;

/// A host as `external_hosts` names it: `raw.githubusercontent.com`, or with a port `files.example.net:8443`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExternalHost(String);

impl TryFrom<String> for ExternalHost {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let url = Url::parse(&format!("https://{text}/")).ok();
        match url.as_ref().and_then(place) {
            // Anything beside host and port would be gone in the place.
            Some(place)
                if place.eq_ignore_ascii_case(text.trim_end_matches(":443")) && !place.contains('*') =>
            {
                Ok(Self(place))
            }
            _ if text.contains('*') => {
                Err(format!("'{text}': each host is named by itself, there are no wildcards"))
            }
            _ => Err(format!(
                "'{text}' is no host such as raw.githubusercontent.com, without https:// and path"
            )),
        }
    }
}

impl From<ExternalHost> for String {
    fn from(host: ExternalHost) -> Self {
        host.0
    }
}

impl fmt::Display for ExternalHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Host and port, the port only where it is not that of TLS.
fn place(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

/// Why an address may not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no URL.
    #[error("this is no URL: {0}")]
    Malformed(String),
    /// It is not over TLS.
    #[error("files are read over https only, not over {0}")]
    Scheme(String),
    /// It has a user name or a password in it.
    #[error("a URL with a user name in it is not read")]
    Credentials,
    /// Its host is not one of those that are allowed.
    #[error("the host {0} is not one that queries may read from")]
    Host(String),
}

/// Fetches files.
#[derive(Debug, Clone)]
pub struct ExternalFiles {
    client: HttpClient,
    hosts: Vec<ExternalHost>,
}

impl ExternalFiles {
    /// From these hosts, by requests as they are configured.
    pub fn new(http: &HttpConfig, hosts: Vec<ExternalHost>) -> Result<Self, String> {
        Ok(Self { client: HttpClient::new(http)?, hosts })
    }

    /// The URL, if it may be read.
    pub fn permit(&self, address: &str) -> Result<Url, AddressError> {
        let url = Url::parse(address).map_err(|error| AddressError::Malformed(error.to_string()))?;
        if url.scheme() != "https" {
            return Err(AddressError::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::Credentials);
        }
        let place = place(&url).unwrap_or_default();
        if !self.hosts.iter().any(|host| host.0 == place) {
            return Err(AddressError::Host(place));
        }
        Ok(url)
    }

    /// What lies at an address, if it may be read and is no larger than `limit` bytes. Where the host says that it lies
    /// elsewhere, that has to be allowed as well.
    pub async fn fetch(&self, address: &str, limit: usize) -> Result<Bytes, String> {
        let mut url = self.permit(address).map_err(|error| error.to_string())?;
        for _ in 0..=MAX_REDIRECTS {
            let mut request = Request::new("external", Method::GET, url.clone());
            request.max_body = Some(limit);
            let response = self.client.send(&request).await.map_err(|error| error.to_string())?;
            if response.status.is_success() {
                return Ok(response.body);
            }
            let location = response.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
            let Some(location) = location.filter(|_| response.status.is_redirection()) else {
                return Err(response.describe());
            };
            let next = url.join(location).map_err(|error| format!("it leads to no URL: {error}"))?;
            url = self.permit(next.as_str()).map_err(|error| format!("it leads elsewhere: {error}"))?;
        }
        Err(format!("it leads on more than {MAX_REDIRECTS} times"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(hosts: &[&str]) -> ExternalFiles {
        let hosts = hosts.iter().map(|host| ExternalHost::try_from((*host).to_owned()).expect("a host"));
        ExternalFiles::new(&HttpConfig::default(), hosts.collect()).expect("a client")
    }

    #[test]
    fn only_the_hosts_named_are_read_and_only_over_tls() {
        let files = files(&["Files.example", "lists.example:8443", "other.example:443"]);
        for (address, allowed) in [
            ("https://files.example/a.csv?sig=x", true),
            ("https://FILES.example:443/a.csv", true),
            ("https://lists.example:8443/a.csv", true),
            ("https://other.example/a.csv", true),
            ("https://lists.example/a.csv", false),
            ("https://files.example:8443/a.csv", false),
            ("https://sub.files.example/a.csv", false),
            ("https://files.example.evil.example/a.csv", false),
            ("https://files.example@evil.example/a.csv", false),
            ("https://user:pw@files.example/a.csv", false),
            ("http://files.example/a.csv", false),
            ("file:///etc/passwd", false),
            ("a.csv", false),
        ] {
            assert_eq!(files.permit(address).is_ok(), allowed, "{address}");
        }
        let error = files.permit("https://evil.example/a?sig=secret").expect_err("not allowed").to_string();
        assert_eq!(error, "the host evil.example is not one that queries may read from");
    }

    #[test]
    fn a_host_is_a_host_alone() {
        for text in
            ["https://a.example", "a.example/path", "a.example?x", "u@a.example", "", "a b", "*.example"]
        {
            assert!(ExternalHost::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
