//! The attempts to get an answer to one request: upstreams are tried until connecting to one
//! succeeds, and a request is sent again where that can do no harm.

use super::answer_body::NextUse;
use super::answer_wait::{self, Silent};
use super::answers::{ExtendFields, Failed, answer_fault};
use super::client_state::{ClientState, LEFTOVER_IDLE};
use super::http_context::HttpContext;
use super::http_settings::HttpSettings;
use super::request_body::RequestBody;
use super::request_limits::RequestLimits;
use super::source_addresses::{self, is_own_shortage};
use super::upstream_answer::UpstreamAnswer;
use super::upstream_conn::{SendFailure, UpstreamConn};
use crate::base::id::ConnId;
use crate::engine::{DialAddress, Reply, Request};
use crate::gateway::{Admitted, HttpChoice, HttpUpstream, PassedHead, UpstreamNumber};
use crate::side::loop_query;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use hyper::http::Extensions;
use hyper::{Method, Response, StatusCode, Uri, Version};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// How long a request waits until fewer are in progress.
const QUEUE_PATIENCE: Duration = Duration::from_secs(5);

/// The most upstreams that are tried for one request.
const DIALS_MAX: usize = 8;

/// The longest time without a request on an upstream connection after which a request that must
/// not be repeated is still sent on it. A service may close the connection meanwhile.
const FRESH: Duration = Duration::from_secs(1);

/// The attempts to get an answer to one request from an upstream.
pub(super) struct Attempts {
    id: ConnId,
    began: Instant,
    context: Arc<HttpContext>,
    settings: HttpSettings,
    state: Arc<ClientState>,
    head: Arc<Request>,
    method: Method,
    /// The body, until the request is in progress.
    incoming: Option<Incoming>,
    body: RequestBody,
    has_body: bool,
    /// What hyper knows of the request, such as the case of its names.
    extensions: Extensions,
    /// The client, as the last try has admitted it.
    admitted: Option<Arc<Admitted>>,
    /// The upstreams to which connecting has failed.
    tried: Vec<UpstreamNumber>,
    /// Whether it was sent again after a failure.
    is_repeated: bool,
}

/// The outcome of one attempt.
enum Attempt {
    Answered(Box<UpstreamAnswer>),
    /// Another attempt follows, with what is left of the request.
    Again,
    Failed(Failed),
}

impl Attempts {
    pub(super) fn new(
        context: Arc<HttpContext>,
        id: ConnId,
        head: Arc<Request>,
        request: hyper::Request<Incoming>,
        state: Arc<ClientState>,
    ) -> Self {
        let (parts, body) = request.into_parts();
        Attempts {
            id,
            began: Instant::now(),
            settings: context.settings(),
            context,
            state,
            head,
            method: parts.method,
            has_body: !body.is_end_stream(),
            incoming: Some(body),
            body: RequestBody::empty(),
            extensions: parts.extensions,
            admitted: None,
            tried: Vec::new(),
            is_repeated: false,
        }
    }

    /// Passes the request to an upstream, or to several until connecting to one succeeds.
    pub(super) async fn run(&mut self) -> Result<UpstreamAnswer, Failed> {
        let room = self.context.room.clone().acquire_owned();
        let Ok(Ok(permit)) = tokio::time::timeout(QUEUE_PATIENCE, room).await else {
            let reply = Reply::error(503, "HTTP_MAX_REQUESTS requests are in progress already");
            return Err(Failed::new(reply.with_retry_after(5), ""));
        };
        let permit = Arc::new(permit);
        if let Some(incoming) = self.incoming.take() {
            self.body = RequestBody::new(incoming, self.state.clone(), permit.clone());
        }
        loop {
            let upstream = self.choose().await?;
            self.admitted = Some(upstream.admitted.clone());
            let address = upstream.target.upstream.clone();
            match self.try_upstream(upstream, &permit).await {
                Attempt::Answered(passed) => return Ok(*passed),
                Attempt::Again => {}
                Attempt::Failed(failed) => return Err(failed.at(address)),
            }
        }
    }

    /// Asks the loop for an upstream.
    async fn choose(&self) -> Result<Box<HttpUpstream>, Failed> {
        let stalled = |_| Failed::new(Reply::error(503, "the gateway is busy"), "");
        // Operators ask the loop, too, so only some of the questions may be ours.
        let Ok(_turn) = self.context.questions.acquire().await else {
            return Err(stalled(()));
        };
        let (id, head) = (self.id, self.head.clone());
        let (admitted, tried) = (self.admitted.clone(), self.tried.clone());
        let asked = loop_query::query(&self.context.queries, move |gateway, io| {
            gateway.choose_http(io, id, &head, (admitted, &tried))
        });
        match asked.await {
            Ok(HttpChoice::Upstream(upstream)) => {
                let expires = upstream.expires_in;
                self.state.set_limits(RequestLimits {
                    route: upstream.route.name.clone(),
                    expires: expires
                        .and_then(|left| Instant::now().checked_add(left.as_duration())),
                    ticket: upstream.ticket.clone(),
                });
                Ok(upstream)
            }
            Ok(HttpChoice::Answer(reply, route)) => Err(Failed::new(reply, &route)),
            Err(_) => Err(stalled(())),
        }
    }

    async fn try_upstream(
        &mut self,
        upstream: Box<HttpUpstream>,
        permit: &Arc<OwnedSemaphorePermit>,
    ) -> Attempt {
        let head = match upstream.head(&self.head) {
            Ok(head) => head,
            Err(reply) => return Attempt::Failed(Failed::new(reply, &upstream.route.name)),
        };
        let mut conn = match self.connection(&upstream).await {
            Ok(conn) => conn,
            Err(error) => return self.not_connected(&upstream, &error),
        };
        let was_empty = self.body.is_empty();
        let request = match self.request(head) {
            Ok(request) => request,
            Err(reply) => return Attempt::Failed(Failed::new(reply, &upstream.route.name)),
        };
        match answer_wait::send(&mut conn, request, &self.state, &self.settings).await {
            Ok(Ok(answer)) => self.answered(answer, conn, upstream, permit),
            Ok(Err(failure)) => self.broken(&upstream, failure, was_empty),
            Err(silent) => self.silent(&upstream, &silent),
        }
    }

    /// Makes the request to the upstream.
    ///
    /// # Errors
    /// The reply to a request whose target cannot be passed on.
    fn request(&mut self, head: PassedHead) -> Result<hyper::Request<RequestBody>, Reply> {
        let malformed = |_| Reply::error(400, "malformed request target");
        let uri = head.target.parse::<Uri>().map_err(malformed)?;
        let mut fields = HeaderMap::with_capacity(head.fields.len() + 1);
        fields.append(HOST, head.host);
        fields.extend_fields(head.fields);
        if self.has_body {
            // A service that does not read the body would take it for its next request, which may
            // be another client's.
            fields.insert(CONNECTION, HeaderValue::from_static("close"));
            if !fields.contains_key(CONTENT_LENGTH) {
                fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        }
        let body = std::mem::replace(&mut self.body, RequestBody::empty());
        let mut request = hyper::Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = fields;
        *request.extensions_mut() = self.extensions.clone();
        *request.uri_mut() = uri;
        Ok(request)
    }

    /// Handles the head of an answer.
    fn answered(
        &self,
        answer: Response<Incoming>,
        conn: UpstreamConn,
        upstream: Box<HttpUpstream>,
        permit: &Arc<OwnedSemaphorePermit>,
    ) -> Attempt {
        let status = answer.status();
        let is_switching = status == StatusCode::SWITCHING_PROTOCOLS;
        let fault = match is_switching {
            true => Some("a 101 that no request has asked for"),
            false => answer_fault(answer.headers()),
        };
        upstream.note_answer();
        if let Some(why) = fault {
            self.report_failed(&upstream, why);
            let text = "the answer of the upstream is invalid";
            return Attempt::Failed(Failed::because(502, text, &upstream.route.name, why));
        }
        if upstream.is_in_doubt || status.is_server_error() {
            let (told, status) = (upstream.reported(), status.as_u16());
            self.report(move |bridge, now| bridge.http_answered(now, &told, status));
        }
        Attempt::Answered(Box::new(UpstreamAnswer {
            answer,
            conn,
            upstream,
            next: match self.has_body {
                true => NextUse::Closed(self.settings.body_idle.min(LEFTOVER_IDLE)),
                false => NextUse::Kept,
            },
            permit: permit.clone(),
        }))
    }

    /// Returns a connection to the upstream: one that waits, or a new one.
    async fn connection(&self, upstream: &HttpUpstream) -> io::Result<UpstreamConn> {
        let is_repeatable = [Method::GET, Method::HEAD].contains(&self.method);
        let keep_alive = self.settings.upstream_keep_alive;
        let most = match is_repeatable && self.body.is_empty() {
            true => keep_alive,
            false => keep_alive.min(FRESH),
        };
        if !self.is_repeated
            && let Some(conn) = self.context.pool.take(upstream.number, most)
        {
            return Ok(conn);
        }
        let patience = upstream.route.connect_timeout.as_duration();
        let head_max = self.settings.head_max;
        let connect = move |address: DialAddress| async move {
            UpstreamConn::connect(&address, patience, head_max).await
        };
        let pool = &self.context.pool;
        source_addresses::connect(&upstream.addresses, connect, || pool.clear()).await
    }

    /// Handles an upstream to which connecting has failed.
    fn not_connected(&mut self, upstream: &HttpUpstream, error: &io::Error) -> Attempt {
        let route = &upstream.route.name;
        if is_own_shortage(error) {
            let text = "the gateway has no room for another connection";
            return Attempt::Failed(Failed::because(503, text, route, error));
        }
        let (number, why) = (upstream.number, error.to_string());
        self.report(move |bridge, now| bridge.http_unreachable(now, number, &why));
        self.tried.push(number);
        if upstream.may_retry && self.tried.len() < DIALS_MAX {
            return Attempt::Again;
        }
        let text = "the upstream cannot be reached";
        Attempt::Failed(Failed::because(502, text, route, error))
    }

    /// Handles a side that was silent for too long.
    fn silent(&self, upstream: &HttpUpstream, silent: &Silent) -> Attempt {
        let body_idle = self.settings.body_idle.as_millis();
        let (status, why) = match silent {
            Silent::Client => {
                let why = format!("no byte of the body of the request within {body_idle} ms");
                (408, why)
            }
            Silent::Reader => {
                let what = "the upstream has read no byte of the body";
                (504, format!("{what} within {body_idle} ms"))
            }
            Silent::Upstream => {
                let time = self.settings.answer_timeout.as_millis();
                (
                    504,
                    format!("the upstream has not answered within {time} ms"),
                )
            }
        };
        // The upstream is not at fault for a client whose body has come to a halt.
        if !matches!(silent, Silent::Client) {
            self.report_unanswered(upstream, &why);
        }
        let reply = Reply::error(status, &why);
        Attempt::Failed(Failed::new(reply, &upstream.route.name))
    }

    /// Tells the loop that an upstream has not answered this client.
    fn report_unanswered(&self, upstream: &HttpUpstream, why: &str) {
        let told = upstream.reported();
        let (why, began) = (why.to_owned(), self.began);
        self.report(move |bridge, now| {
            let since = now - began.elapsed().into();
            bridge.http_unanswered(now, &told, since, &why);
        });
    }

    /// Tells the loop that an upstream has not given this client a valid answer.
    fn report_failed(&self, upstream: &HttpUpstream, why: &str) {
        let (told, why) = (upstream.reported(), why.to_owned());
        self.report(move |bridge, now| bridge.http_failed(now, &told, &why));
    }

    /// Handles a connection that has ended before the answer. What was not sent, or can be sent
    /// twice without harm, is sent once more on a new connection (RFC 9110 §9.2.2).
    fn broken(
        &mut self,
        upstream: &HttpUpstream,
        failure: SendFailure,
        was_empty: bool,
    ) -> Attempt {
        let route = &upstream.route.name;
        if let Some(why) = self.state.body_fault() {
            return Attempt::Failed(Failed::new(Reply::error(400, &why), route));
        }
        let is_repeatable = [Method::GET, Method::HEAD].contains(&self.method)
            && was_empty
            && failure.is_unanswered;
        let is_unsent = failure.unsent.is_some();
        if let Some(unsent) = failure.unsent {
            self.body = unsent.into_body();
        }
        if (is_repeatable || is_unsent) && !self.is_repeated {
            self.is_repeated = true;
            return Attempt::Again;
        }
        let text = match failure.is_unanswered {
            true => "the upstream closed the connection without an answer",
            false => "the answer of the upstream is invalid",
        };
        self.report_failed(upstream, text);
        Attempt::Failed(Failed::because(502, text, route, failure.why))
    }

    /// Tells the loop what is known of an upstream.
    fn report(
        &self,
        what: impl FnOnce(&mut crate::gateway::Bridge, crate::base::time::Micros) + Send + 'static,
    ) {
        let told = self.context.queries.send(move |gateway, io| {
            if let Some(bridge) = gateway.bridge() {
                what(bridge, io.now());
            }
        });
        // The next request will say the same.
        if let Err(full) = told {
            log::debug!("http_report outcome=lost error=\"{full}\"");
        }
    }
}
