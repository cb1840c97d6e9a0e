//! Posts JSON to external servers.
//!
//! Each post has its own connection. Posts are rare, so this costs little; no connection can be one
//! that the server has just closed, and there are never more than requests under way. Redirects and
//! proxy variables of the environment are ignored: a post goes to the configured URL, or nowhere.

use super::connector::{Connector, Meter};
use super::egress::Egress;
use super::post_result::PostResult;
use crate::base::time::{Clock, Micros};
use crate::side::lock::lock;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use hyper::http::uri::Scheme;
use hyper::{Request, Response, Uri};
use hyper_rustls::{ConfigBuilderExt, DefaultServerNameResolver, HttpsConnector};
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use rustls::crypto::ring;
use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The size of one read in bytes, which also limits the response head.
const READ_MAX: usize = 16 * 1024;

/// The limit of an answer's body that is read and discarded, in bytes on the wire. It is read so
/// that the server is not cut off in the middle of its answer.
const BODY_MAX: usize = 64 * 1024;

/// The time limit for reading the body of an answer.
const BODY_TIMEOUT: Duration = Duration::from_secs(1);

/// The most characters of an error message that are kept.
const ERROR_MAX: usize = 120;

/// Posts JSON, each over a connection of its own.
pub(in crate::side) struct HttpClient {
    trust: Mutex<TlsTrust>,
    clock: Clock,
    timeout: Duration,
}

/// The TLS settings for `https`. Created on first use, because that reads the certificates that
/// this system trusts.
#[derive(Default)]
struct TlsTrust {
    tls: Option<Arc<ClientConfig>>,
    /// When the last search for certificates found none; `None` if it found some.
    failed: Option<Micros>,
}

/// How long to wait before looking for certificates again after none were found.
const TRUST_RETRY: Micros = Micros::from_secs(1);

/// Reads the certificates that this system trusts: those of `SSL_CERT_FILE` and `SSL_CERT_DIR`,
/// otherwise those in the usual places of the system.
fn read_trust() -> io::Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(io::Error::other)?;
    Ok(builder.with_native_roots()?.with_no_client_auth())
}

/// Checks that this system trusts any certificates: without them no `https` webhook can be sent.
///
/// # Errors
/// If the system has no trusted certificates.
pub fn check_certificates() -> io::Result<()> {
    read_trust().map(drop).map_err(|e| {
        io::Error::new(
            e.kind(),
            format!(
                "this system has no trusted certificates ({e}); install ca-certificates, or set \
                 SSL_CERT_FILE"
            ),
        )
    })
}

impl HttpClient {
    /// Creates a client; `timeout` limits each post, from the connection to the answer.
    pub(in crate::side) fn new(timeout: Duration) -> Self {
        HttpClient {
            trust: Mutex::default(),
            clock: Clock::start(),
            timeout,
        }
    }

    /// Returns the TLS settings. `None`: this system trusts no certificates now; a later call tries
    /// again.
    fn tls(&self) -> Option<Arc<ClientConfig>> {
        let mut trust = lock(&self.trust);
        if trust.tls.is_some() {
            return trust.tls.clone();
        }
        let now = self.clock.raw();
        if trust.failed.is_some_and(|at| now < at + TRUST_RETRY) {
            return None;
        }
        match read_trust() {
            Ok(tls) => {
                if trust.failed.is_some() {
                    log::info!("webhook https=on");
                }
                trust.tls = Some(Arc::new(tls));
            }
            Err(e) => {
                if trust.failed.is_none() {
                    log::error!("webhook https=off error=\"{e}\"");
                }
                trust.failed = Some(now);
            }
        }
        trust.tls.clone()
    }

    /// Posts a JSON body to a URL that the operator has set, with these headers, and waits for the
    /// answer, up to the timeout.
    pub(in crate::side) async fn post(
        &self,
        url: &str,
        body: Vec<u8>,
        headers: impl IntoIterator<Item = (&'static str, String)>,
    ) -> PostResult {
        self.send(request(url, body, headers), None).await
    }

    /// Posts a JSON body to an address that `egress` allows, with this header if there is one, and
    /// waits for the answer.
    pub(in crate::side) async fn post_within(
        &self,
        egress: Egress,
        url: &str,
        body: Vec<u8>,
        header: Option<(&'static str, String)>,
    ) -> PostResult {
        self.send(request(url, body, header), Some(Arc::new(egress)))
            .await
    }

    /// Sends a request to an address that `egress` allows, or to any if `egress` is `None`.
    async fn send(
        &self,
        request: Result<Request<Full<Bytes>>, &'static str>,
        egress: Option<Arc<Egress>>,
    ) -> PostResult {
        let request = match request {
            Ok(request) => request,
            Err(why) => return PostResult::Unreachable(why.into()),
        };
        let meter = Meter::new();
        let connector = Connector::new(self.timeout, egress, meter.clone());
        let answered = if request.uri().scheme() == Some(&Scheme::HTTPS) {
            let Some(tls) = self.tls() else {
                return PostResult::Unsent("this system has no trusted certificates");
            };
            let names = Arc::new(DefaultServerNameResolver::default());
            let connector = HttpsConnector::new(connector, tls, true, names);
            builder().build(connector).request(request)
        } else {
            builder().build(connector).request(request)
        };
        let response = match tokio::time::timeout(self.timeout, answered).await {
            Ok(Ok(response)) => response,
            Ok(Err(e)) => return PostResult::Unreachable(innermost_error(&e)),
            Err(_) => return PostResult::Timeout,
        };
        meter.allow_body(BODY_MAX);
        let status = response.status();
        // The answer counts even if reading the body fails.
        let _ = tokio::time::timeout(BODY_TIMEOUT, discard_body(response)).await;
        if status.is_success() {
            PostResult::Answered(status.as_u16())
        } else {
            PostResult::Refused(status.as_u16())
        }
    }
}

fn request(
    url: &str,
    body: Vec<u8>,
    headers: impl IntoIterator<Item = (&'static str, String)>,
) -> Result<Request<Full<Bytes>>, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "the URL is not valid")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("the URL is neither http nor https");
    }
    if uri.authority().is_none_or(|a| a.as_str().contains('@')) {
        return Err("the URL has a user name, or no host");
    }
    let mut request = Request::post(uri)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("pulsegate/", env!("CARGO_PKG_VERSION")));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request
        .body(Full::new(Bytes::from(body)))
        .map_err(|_| "the URL is not valid")
}

/// Returns a client builder that keeps no connection and reads an answer in steps.
fn builder() -> legacy::Builder {
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder.pool_max_idle_per_host(0);
    builder.http1_read_buf_exact_size(READ_MAX);
    builder
}

async fn discard_body(response: Response<Incoming>) {
    // Up to the end of the body, or to the meter's limit.
    let mut body = response.into_body();
    while let Some(Ok(_)) = body.frame().await {}
}

/// Returns the innermost error, which says what happened; the outer ones only say where in the
/// library.
fn innermost_error(error: &dyn Error) -> Box<str> {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string().chars().take(ERROR_MAX).collect()
}
