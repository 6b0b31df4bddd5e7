//! HTTPS: certificates, connections, faults on the way.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::exchange::{Answer, Ask, Outcome};
use super::faults::Mishap;
use super::world::World;
use super::{LoggedRequest, MockError, arm, aws, cost_query, entra, graph, ingestion};

/// What listens at one port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Entra,
    Graph,
    Arm,
    Ingestion,
    Aws,
}

impl Service {
    pub(crate) const ALL: [Self; 5] = [Self::Entra, Self::Graph, Self::Arm, Self::Ingestion, Self::Aws];

    fn name(self, ask: &Ask) -> &'static str {
        match self {
            Self::Entra => "entra",
            Self::Graph => "graph",
            Self::Arm => "arm",
            Self::Ingestion => "ingestion",
            Self::Aws => aws::service(ask),
        }
    }

    fn answer(self, world: &World, ask: &Ask) -> (String, Outcome) {
        match self {
            Self::Entra => entra::answer(world, ask),
            Self::Graph => graph::answer(world, ask),
            Self::Arm => arm::answer(world, ask),
            Self::Ingestion => ingestion::answer(world, ask),
            Self::Aws => aws::answer(world, ask),
        }
    }

    fn throttled(self, ask: &Ask) -> Answer {
        match self {
            Self::Entra => entra::throttled(),
            Self::Graph => graph::throttled(1),
            Self::Arm if ask.raw_path.ends_with("/Microsoft.CostManagement/query") => {
                cost_query::throttled(1)
            }
            Self::Arm => arm::throttled(1),
            Self::Ingestion => ingestion::throttled(1),
            Self::Aws => aws::throttled(ask),
        }
    }

    fn server_error(self, ask: &Ask, status: u16) -> Answer {
        match self {
            Self::Entra => entra::server_error(status),
            Self::Graph => graph::server_error(status),
            Self::Arm => arm::server_error(status),
            Self::Ingestion => ingestion::server_error(status),
            Self::Aws => aws::server_error(ask, status),
        }
    }
}

/// A certificate for loopback, and the CA behind it.
pub(crate) struct Certificates {
    pub(crate) ca_pem: String,
    server: Arc<ServerConfig>,
}

impl Certificates {
    pub(crate) fn make() -> Result<Self, MockError> {
        let wrong = |problem: &dyn std::fmt::Display| MockError::Certificates(problem.to_string());
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, "Provost mock clouds CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_key = KeyPair::generate().map_err(|problem| wrong(&problem))?;
        let ca_certificate = ca.self_signed(&ca_key).map_err(|problem| wrong(&problem))?;
        let issuer = Issuer::new(ca, ca_key);
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut leaf = CertificateParams::new(names).map_err(|problem| wrong(&problem))?;
        leaf.distinguished_name.push(DnType::CommonName, "Provost mock clouds");
        let key = KeyPair::generate().map_err(|problem| wrong(&problem))?;
        let certificate = leaf.signed_by(&key, &issuer).map_err(|problem| wrong(&problem))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|problem| wrong(&problem))?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .map_err(|problem| wrong(&problem))?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { ca_pem: ca_certificate.pem(), server: Arc::new(server) })
    }
}

/// Takes a port.
pub(crate) async fn bind(port: u16) -> Result<TcpListener, MockError> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .await
        .map_err(|source| MockError::Listen { port, source })
}

/// Serves until the task is aborted; then every connection ends too.
pub(crate) fn serve(
    world: Arc<World>,
    service: Service,
    listener: TcpListener,
    certificates: &Certificates,
    stall: Duration,
) -> JoinHandle<()> {
    let acceptor = TlsAcceptor::from(Arc::clone(&certificates.server));
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            // Connections that are over are taken out, so that a long run keeps no trace of them.
            while connections.try_join_next().is_some() {}
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(problem) => {
                    tracing::warn!(%problem, "connection not accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (acceptor, world) = (acceptor.clone(), Arc::clone(&world));
            connections.spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let exchange =
                    service_fn(move |request| exchange(Arc::clone(&world), service, request, stall));
                // A client that goes away, and a fault that cuts the connection, are no concern of the server.
                let _ = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), exchange)
                    .await;
            });
        }
    })
}

/// The connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed by a fault")]
struct Closed;

/// Larger requests are not read at all; no service takes half as much.
const LARGEST_REQUEST: usize = 8 * 1024 * 1024;

async fn exchange(
    world: Arc<World>,
    service: Service,
    request: Request<Incoming>,
    stall: Duration,
) -> Result<Response<Body>, Closed> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(Body::new(body), LARGEST_REQUEST).await.map_err(|_| Closed)?;
    let uri = parts.uri.path_and_query().map_or("/", |uri| uri.as_str());
    let ask = Ask::new(parts.method, uri, parts.headers, body).ok_or(Closed)?;
    let name = service.name(&ask);
    let mishap = world.mishaps.strike(world.faults(), world.seed(), name, &ask);
    let log = |operation: String, status: u16| {
        let fault = mishap.map(Mishap::name);
        tracing::debug!(service = name, operation, status, fault, "answered");
        world.log(LoggedRequest { service: name, operation, status, fault });
    };
    let answer = match mishap {
        Some(Mishap::Stalled) => {
            log(ask.raw_path.clone(), 0);
            tokio::time::sleep(stall).await;
            return Err(Closed);
        }
        Some(Mishap::Throttled) => service.throttled(&ask),
        Some(Mishap::ServerError(status)) => service.server_error(&ask, status),
        None | Some(Mishap::Cut) => {
            let (operation, outcome) = service.answer(&world, &ask);
            let answer = outcome.unwrap_or_else(|answer| answer);
            log(operation, answer.status);
            if mishap.is_some() {
                // What was asked for has been done; only the answer is lost.
                return cut(answer);
            }
            return respond(answer.status, answer.headers, Body::from(answer.body));
        }
    };
    log(ask.raw_path.clone(), answer.status);
    respond(answer.status, answer.headers, Body::from(answer.body))
}

fn cut(mut answer: Answer) -> Result<Response<Body>, Closed> {
    if answer.body.len() < 2 {
        return Err(Closed);
    }
    answer.headers.push(("content-length", answer.body.len().to_string()));
    let half = answer.body.slice(..answer.body.len() / 2);
    let pieces: [Result<Bytes, Closed>; 2] = [Ok(half), Err(Closed)];
    let body = Body::from_stream(futures::stream::iter(pieces));
    respond(answer.status, answer.headers, body)
}

fn respond(status: u16, headers: Vec<(&'static str, String)>, body: Body) -> Result<Response<Body>, Closed> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(body).map_err(|_| Closed)
}
