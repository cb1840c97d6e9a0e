//! One webhook, over HTTP.
//!
//! A connection for each: webhooks are rare, and so there is none that the other side has just closed, and never more than
//! requests under way. Redirects are not followed and proxies of the environment are not asked: a webhook goes where the
//! operator has it go, or nowhere.

use super::queue::{Kind, Post, Reply};
use crate::time::UnixMillis;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use hyper::http::uri::Scheme;
use hyper::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use serde::Serialize;
use std::error::Error;
use std::sync::OnceLock;
use std::time::Duration;

/// As much of an answer's body is read and thrown away, so that its sender is not cut off in the middle of it.
const BODY_MAX: usize = 64 * 1024;

/// For how long at most.
const BODY_TIME: Duration = Duration::from_secs(1);

/// Characters of an error that are kept.
const ERROR_MAX: usize = 120;

/// What every webhook is sent with.
pub(super) struct Client {
    http: Http,
    websocket_url: Box<str>,
}

/// Posts JSON, each over a connection of its own.
pub(in crate::control) struct Http {
    plain: Plain,
    /// Made when it is needed: it has to read what this system trusts. `None`: that is nothing.
    secure: OnceLock<Option<Secure>>,
    timeout: Duration,
}

type Plain = legacy::Client<HttpConnector, Full<Bytes>>;
type Secure = legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// What is posted, as the contract has it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    r#type: &'a str,
    session_id: String,
    user_id: &'a str,
    timestamp: String,
    #[serde(
        rename = "mentraOSWebsocketUrl",
        skip_serializing_if = "Option::is_none"
    )]
    websocket_url: Option<&'a str>,
    /// What it was called before.
    #[serde(
        rename = "augmentOSWebsocketUrl",
        skip_serializing_if = "Option::is_none"
    )]
    old_websocket_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl Client {
    /// `websocket_url` is where apps shall connect.
    pub(super) fn new(timeout: Duration, websocket_url: Box<str>) -> Self {
        Client {
            http: Http::new(timeout),
            websocket_url,
        }
    }

    /// Sends it and waits for the answer, as long as is allowed.
    pub(super) async fn post(&self, post: &Post) -> Reply {
        match serde_json::to_vec(&self.body(post)) {
            Ok(body) => self.http.post(&post.url, body).await,
            Err(_) => Reply::Unreachable("no body".into()),
        }
    }

    fn body<'a>(&'a self, post: &'a Post) -> Body<'a> {
        let (user, package) = (&*post.key.user, &*post.key.package);
        let (url, reason) = match post.kind {
            Kind::Start => (Some(&*self.websocket_url), None),
            Kind::Stop(reason) => (None, Some(reason.name())),
        };
        Body {
            r#type: post.kind.name().name(),
            session_id: format!("{user}-{package}"),
            user_id: user,
            timestamp: humantime::format_rfc3339_millis(UnixMillis::now().into()).to_string(),
            websocket_url: url,
            old_websocket_url: url,
            reason,
        }
    }
}

impl Http {
    /// `timeout`: for everything from the connection to the answer.
    pub(in crate::control) fn new(timeout: Duration) -> Self {
        Http {
            plain: builder().build(connector(timeout)),
            secure: OnceLock::new(),
            timeout,
        }
    }

    fn secure(&self) -> Option<&Secure> {
        let make = || {
            let provider = ring::default_provider();
            let made = HttpsConnectorBuilder::new().with_provider_and_native_roots(provider);
            let made = made.inspect_err(|e| log::error!("webhook https=off error=\"{e}\""));
            let https = made.ok()?.https_only().enable_http1();
            let mut connector = connector(self.timeout);
            connector.enforce_http(false);
            Some(builder().build(https.wrap_connector(connector)))
        };
        self.secure.get_or_init(make).as_ref()
    }

    /// Posts a body of JSON and waits for the answer, as long as is allowed.
    pub(in crate::control) async fn post(&self, url: &str, body: Vec<u8>) -> Reply {
        let request = match request(url, body) {
            Ok(request) => request,
            Err(why) => return Reply::Unreachable(why.into()),
        };
        let answered = if request.uri().scheme() == Some(&Scheme::HTTPS) {
            match self.secure() {
                Some(client) => client.request(request),
                None => return Reply::Unreachable("this system trusts no certificates".into()),
            }
        } else {
            self.plain.request(request)
        };
        let response = match tokio::time::timeout(self.timeout, answered).await {
            Ok(Ok(response)) => response,
            Ok(Err(e)) => return Reply::Unreachable(cause_of(&e)),
            Err(_) => return Reply::Timeout,
        };
        let status = response.status();
        // Whatever becomes of the body, the answer is there.
        let _ = tokio::time::timeout(BODY_TIME, throw_away(response)).await;
        if status.is_success() {
            Reply::Answered(status.as_u16())
        } else {
            Reply::Refused(status.as_u16())
        }
    }
}

fn request(url: &str, body: Vec<u8>) -> Result<Request<Full<Bytes>>, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "the URL is not valid")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("the URL is neither http nor https");
    }
    if uri.authority().is_none_or(|a| a.as_str().contains('@')) {
        return Err("the URL has a user or no host");
    }
    Request::post(uri)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("pulsegate/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(Bytes::from(body)))
        .map_err(|_| "the URL is not valid")
}

/// Keeps no connection.
fn builder() -> legacy::Builder {
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder.pool_max_idle_per_host(0);
    builder
}

fn connector(timeout: Duration) -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(timeout));
    connector
}

async fn throw_away(response: Response<Incoming>) {
    let (mut body, mut len) = (response.into_body(), 0);
    while let Some(Ok(frame)) = body.frame().await {
        len += frame.data_ref().map_or(0, Bytes::len);
        if len > BODY_MAX {
            return;
        }
    }
}

/// The innermost error, which says what happened; the outer ones say where in the library.
fn cause_of(error: &dyn Error) -> Box<str> {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string().chars().take(ERROR_MAX).collect()
}
