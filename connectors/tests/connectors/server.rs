//! A small HTTPS server that answers as a test tells it to, and keeps what it was asked.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use url::Url;

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    pub(crate) fn unpacked(&self) -> Value {
        let mut text = String::new();
        flate2::read::GzDecoder::new(self.body.as_slice()).read_to_string(&mut text).expect("a gzip body");
        serde_json::from_str(&text).expect("a JSON body")
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    cut: bool,
    delay: Duration,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new(), cut: false, delay: Duration::ZERO }
    }

    pub(crate) fn json(body: &Value) -> Self {
        Self::status(200).body(&body.to_string())
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = body.to_owned();
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The connection ends before the body does.
    pub(crate) fn cut(mut self) -> Self {
        self.cut = true;
        self
    }

    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

type Handler = dyn Fn(&Asked, usize) -> Answer + Send + Sync;

/// The server. It issues tokens at `/TENANT/oauth2/v2.0/token` by itself, numbered, unless the handler does.
pub(crate) struct Server {
    address: SocketAddr,
    pub(crate) ca_file: tempfile::NamedTempFile,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// The handler gets the request and how many came before it, tokens not counted.
    pub(crate) async fn start(handler: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Self {
        let (acceptor, ca_file) = tls();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let handler: Arc<Handler> = Arc::new(handler);
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, handler, log) = (acceptor.clone(), Arc::clone(&handler), Arc::clone(&log));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let _ = serve(stream, &*handler, &log).await;
                    }
                });
            }
        });
        Self { address, ca_file, asked }
    }

    pub(crate) fn url(&self) -> Url {
        format!("https://{}", self.address).parse().expect("a URL")
    }

    /// Everything that was asked but tokens.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        let asked = self.asked.lock().expect("not poisoned");
        asked.iter().filter(|asked| !is_token(asked)).cloned().collect()
    }

    /// The requests for tokens.
    pub(crate) fn tokens(&self) -> Vec<Asked> {
        let asked = self.asked.lock().expect("not poisoned");
        asked.iter().filter(|asked| is_token(asked)).cloned().collect()
    }
}

fn is_token(asked: &Asked) -> bool {
    asked.path.ends_with("/oauth2/v2.0/token")
}

async fn serve<S: AsyncReadExt + AsyncWriteExt + Unpin>(
    mut stream: S,
    handler: &Handler,
    log: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let Some(asked) = read(&mut stream, &mut buffer).await? else { return Ok(()) };
        let (tokens, others) = {
            let mut log = log.lock().expect("not poisoned");
            let tokens = log.iter().filter(|asked| is_token(asked)).count();
            let others = log.len() - tokens;
            log.push(asked.clone());
            (tokens, others)
        };
        let answer = if is_token(&asked) {
            let token = format!("token-{}", tokens + 1);
            Answer::json(
                &serde_json::json!({"token_type": "Bearer", "expires_in": 3599, "access_token": token}),
            )
        } else {
            handler(&asked, others)
        };
        tokio::time::sleep(answer.delay).await;
        let length = answer.body.len() + if answer.cut { 10 } else { 0 };
        let mut text = format!("HTTP/1.1 {} X\r\ncontent-length: {length}\r\n", answer.status);
        if answer.status == 204 {
            text = "HTTP/1.1 204 X\r\n".to_owned();
        }
        for (name, value) in &answer.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.push_str(&answer.body);
        stream.write_all(text.as_bytes()).await?;
        stream.flush().await?;
        if answer.cut {
            return stream.shutdown().await;
        }
    }
}

async fn read<S: AsyncReadExt + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<Asked>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let mut lines = head.split("\r\n");
            let mut first = lines.next().unwrap_or_default().split(' ');
            let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
            let headers: BTreeMap<String, String> = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            let length: usize =
                headers.get("content-length").map_or(0, |length| length.parse().expect("a number"));
            if buffer.len() >= end + 4 + length {
                let url: Url = format!("https://host{target}").parse().expect("a target");
                let asked = Asked {
                    method: method.to_owned(),
                    path: url.path().to_owned(),
                    query: url.query_pairs().into_owned().collect(),
                    headers,
                    body: buffer[end + 4..end + 4 + length].to_vec(),
                };
                buffer.drain(..end + 4 + length);
                return Ok(Some(asked));
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

fn tls() -> (TlsAcceptor, tempfile::NamedTempFile) {
    let ca_key = KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::new(Vec::new()).expect("parameters");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).expect("a certificate");
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let issuer = Issuer::new(ca, ca_key);
    let leaf = leaf.signed_by(&key, &issuer).expect("a certificate");
    let ca_file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(ca_file.path(), ca_certificate.pem()).expect("written");
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .expect("a server");
    (TlsAcceptor::from(Arc::new(config)), ca_file)
}
