//! One request of plain HTTP, and its answer.

use super::answer_body::AnswerBody;
use super::answers::{ExtendFields, Failed, answer_fault, closing, own_answer};
use super::client_state::{ClientState, ExchangeGuard};
use super::failure_log::FailedRequest;
use super::http_context::HttpContext;
use super::http_settings::HttpSettings;
use super::request_body::RequestBody;
use super::upstream_conn::{SendFailure, UpstreamConn};
use crate::base::id::ConnId;
use crate::engine::{Reply, Request};
use crate::gateway::{Admitted, HttpChoice, HttpUpstream, UpstreamNumber};
use crate::side::loop_query;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use hyper::http::Extensions;
use hyper::{Method, Response, StatusCode, Uri, Version};
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
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

/// Answers the requests of one client.
#[derive(Debug)]
pub(super) struct Exchanges {
    /// The id that the connection had in the loop.
    pub(super) id: ConnId,
    pub(super) context: Arc<HttpContext>,
    pub(super) state: Arc<ClientState>,
}

/// The answer to a request. It is never an error: what fails is answered, too.
pub(super) type Answering =
    Pin<Box<dyn Future<Output = Result<Response<AnswerBody>, Infallible>> + Send>>;

impl hyper::service::Service<hyper::Request<Incoming>> for Exchanges {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: hyper::Request<Incoming>) -> Answering {
        let head = self.state.take_head();
        let guard = ExchangeGuard(self.state.clone());
        let (id, context) = (self.id, self.context.clone());
        Box::pin(async move { Ok(answer(context, id, head, request, guard).await) })
    }
}

/// Returns the answer to a request. `head` is what the loop's parser has read of it.
async fn answer(
    context: Arc<HttpContext>,
    id: ConnId,
    head: Option<Box<Request>>,
    request: hyper::Request<Incoming>,
    guard: ExchangeGuard,
) -> Response<AnswerBody> {
    let state = guard.0.clone();
    let head = head.filter(|head| is_same(head, &request));
    let Some(head) = head else {
        let reply = Reply::error(400, "the request can be read in two ways");
        context.stats.count("", reply.status);
        return closing(own_answer(reply, guard));
    };
    let (method, path) = (head.method().to_owned(), head.path().to_owned());
    let (is_http_10, peer) = (head.is_http_10(), head.peer_addr());
    let mut exchange = Exchange::new(context.clone(), id, head, request, state.clone());
    let result = exchange.run().await;
    if result.is_err() && state.body_fault().is_some() {
        // The task of the connection answers 400, and drops this.
        return std::future::pending().await;
    }
    let (mut answer, route) = match result {
        Ok(passed) => {
            let route = passed.upstream.route.name.clone();
            (passed.into_answer(&context, guard), route)
        }
        Err(Failed { reply, route, why }) => {
            if reply.status >= 500 {
                context.failures.add(&FailedRequest {
                    route: &route,
                    method: &method,
                    path: &path,
                    connection: (context.boot, id),
                    peer,
                    status: reply.status,
                    why: &why,
                });
            }
            // What follows a request that is no valid one is not looked at.
            let is_last = reply.status == 400;
            let answer = own_answer(reply, guard);
            (if is_last { closing(answer) } else { answer }, route)
        }
    };
    state.begin_answer();
    context.stats.count(&route, answer.status().as_u16());
    if is_http_10 && answer.body().size_hint().exact().is_none() {
        // Only its end tells the length of such an answer: hyper closes behind it.
        *answer.version_mut() = Version::HTTP_10;
    }
    match context.is_full() {
        true => closing(answer),
        false => answer,
    }
}

/// Returns whether hyper has read the same request.
fn is_same(head: &Request, request: &hyper::Request<Incoming>) -> bool {
    head.method() == request.method().as_str()
        && head.path() == request.uri().path()
        && head.query() == request.uri().query()
        && head.headers() == request.headers()
}

/// A request in progress.
struct Exchange {
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

/// The upstream's answer to a request.
struct Passed {
    answer: Response<Incoming>,
    conn: UpstreamConn,
    upstream: Box<HttpUpstream>,
    /// Whether the connection serves no further request.
    is_last: bool,
    permit: Arc<OwnedSemaphorePermit>,
}

/// What becomes of a request after a try.
enum Tried {
    Answered(Box<Passed>),
    /// Try again, with what is left of the request.
    Again,
    Failed(Failed),
}

impl Exchange {
    fn new(
        context: Arc<HttpContext>,
        id: ConnId,
        head: Box<Request>,
        request: hyper::Request<Incoming>,
        state: Arc<ClientState>,
    ) -> Self {
        let (parts, body) = request.into_parts();
        Exchange {
            id,
            began: Instant::now(),
            settings: context.settings(),
            context,
            state,
            head: Arc::from(head),
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
    async fn run(&mut self) -> Result<Passed, Failed> {
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
            match self.try_upstream(upstream, &permit).await {
                Tried::Answered(passed) => return Ok(*passed),
                Tried::Again => {}
                Tried::Failed(failed) => return Err(failed),
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
            Ok(HttpChoice::Upstream(upstream)) => Ok(upstream),
            Ok(HttpChoice::Answer(reply, route)) => Err(Failed::new(reply, &route)),
            Err(_) => Err(stalled(())),
        }
    }

    async fn try_upstream(
        &mut self,
        upstream: Box<HttpUpstream>,
        permit: &Arc<OwnedSemaphorePermit>,
    ) -> Tried {
        let route = upstream.route.name.clone();
        let head = match upstream.head(&self.head) {
            Ok(head) => head,
            Err(reply) => return Tried::Failed(Failed::new(reply, &route)),
        };
        let mut conn = match self.connection(&upstream).await {
            Ok(conn) => conn,
            Err(error) => return self.not_connected(&upstream, &error),
        };
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
        let was_empty = body.is_empty();
        let mut request = hyper::Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = fields;
        *request.extensions_mut() = self.extensions.clone();
        match head.target.parse::<Uri>() {
            Ok(uri) => *request.uri_mut() = uri,
            Err(_) => {
                let reply = Reply::error(400, "malformed request target");
                return Tried::Failed(Failed::new(reply, &route));
            }
        }
        let sent = match self.send(&mut conn, request).await {
            Ok(sent) => sent,
            Err(Silent::Client) => return Tried::Failed(self.stalled(&route)),
            Err(Silent::Reader) => {
                let time = self.settings.body_idle.as_millis();
                let why = format!("the upstream has read no byte of the body within {time} ms");
                return self.unanswered(&upstream, why);
            }
            Err(Silent::Upstream) => {
                let time = self.settings.answer_timeout.as_millis();
                let why = format!("the upstream has not answered within {time} ms");
                return self.unanswered(&upstream, why);
            }
        };
        match sent {
            Ok(answer) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
                let text = "the answer of the upstream is invalid";
                let why = "a 101 that no request has asked for";
                self.report_failed(&upstream, why);
                Tried::Failed(Failed::because(502, text, &route, why))
            }
            Ok(answer) => {
                let status = answer.status().as_u16();
                if upstream.is_in_doubt || status >= 500 {
                    let target = upstream.target();
                    self.report(move |bridge, now| bridge.http_answered(now, &target, status));
                }
                if let Some(why) = answer_fault(answer.headers()) {
                    self.report_failed(&upstream, why);
                    let text = "the answer of the upstream is invalid";
                    return Tried::Failed(Failed::because(502, text, &route, why));
                }
                Tried::Answered(Box::new(Passed {
                    answer,
                    conn,
                    upstream,
                    is_last: self.has_body,
                    permit: permit.clone(),
                }))
            }
            Err(failure) => self.broken(&upstream, failure, was_empty),
        }
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
        let connect = || UpstreamConn::connect(&upstream.address, patience, self.settings.head_max);
        match connect().await {
            Err(error) if is_own_shortage(&error) => {
                self.context.pool.clear();
                connect().await
            }
            connected => connected,
        }
    }

    /// Handles an upstream to which connecting has failed.
    fn not_connected(&mut self, upstream: &HttpUpstream, error: &io::Error) -> Tried {
        let route = &upstream.route.name;
        if is_own_shortage(error) {
            let text = "the gateway has no room for another connection";
            return Tried::Failed(Failed::because(503, text, route, error));
        }
        let (number, why) = (upstream.number, error.to_string());
        self.report(move |bridge, now| bridge.http_unreachable(now, number, &why));
        self.tried.push(number);
        if upstream.may_retry && self.tried.len() < DIALS_MAX {
            return Tried::Again;
        }
        let text = "the upstream cannot be reached";
        Tried::Failed(Failed::because(502, text, route, error))
    }

    /// Handles a client whose body has come to a halt. The upstream is not at fault.
    fn stalled(&self, route: &str) -> Failed {
        let time = self.settings.body_idle.as_millis();
        let why = format!("no byte of the body of the request within {time} ms");
        Failed::new(Reply::error(408, &why), route)
    }

    /// Handles an upstream that has not answered in time, or has not read the request.
    fn unanswered(&self, upstream: &HttpUpstream, why: String) -> Tried {
        self.report_unanswered(upstream, &why);
        Tried::Failed(Failed::new(Reply::error(504, &why), &upstream.route.name))
    }

    /// Tells the loop that an upstream has not answered this client.
    fn report_unanswered(&self, upstream: &HttpUpstream, why: &str) {
        let target = upstream.target();
        let (why, began) = (why.to_owned(), self.began);
        self.report(move |bridge, now| {
            let since = now - began.elapsed().into();
            bridge.http_unanswered(now, &target, since, &why);
        });
    }

    /// Tells the loop that an upstream has not given this client a valid answer.
    fn report_failed(&self, upstream: &HttpUpstream, why: &str) {
        let (target, why) = (upstream.target(), why.to_owned());
        self.report(move |bridge, now| bridge.http_failed(now, &target, &why));
    }

    /// Handles a connection that has ended before the answer. What was not sent, or can be sent
    /// twice without harm, is sent once more on a new connection (RFC 9110 §9.2.2).
    fn broken(&mut self, upstream: &HttpUpstream, failure: SendFailure, was_empty: bool) -> Tried {
        let route = &upstream.route.name;
        if let Some(why) = self.state.body_fault() {
            return Tried::Failed(Failed::new(Reply::error(400, &why), route));
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
            return Tried::Again;
        }
        let text = match failure.is_unanswered {
            true => "the upstream closed the connection without an answer",
            false => "the answer of the upstream is invalid",
        };
        self.report_failed(upstream, text);
        Tried::Failed(Failed::because(502, text, route, failure.why))
    }

    /// Sends a request, and waits for the head of its answer. The time for that begins with the end
    /// of the request. While its body is on the way, no more than `body_idle` may pass without a
    /// byte of it.
    async fn send(
        &self,
        conn: &mut UpstreamConn,
        request: hyper::Request<RequestBody>,
    ) -> Result<Result<Response<Incoming>, SendFailure>, Silent> {
        let mut sent = Box::pin(conn.send(request));
        let mut whole_since = Instant::now();
        loop {
            let progress = self.state.body_progress();
            let due = match progress {
                Some(progress) => progress + self.settings.body_idle,
                None => whole_since + self.settings.answer_timeout,
            };
            match tokio::time::timeout_at(due, &mut sent).await {
                Ok(answer) => return Ok(answer),
                Err(_) if progress.is_none() => return Err(Silent::Upstream),
                Err(_) => match self.state.body_progress() {
                    Some(now) if Some(now) == progress => {
                        return Err(match self.state.awaits_body() {
                            true => Silent::Client,
                            false => Silent::Reader,
                        });
                    }
                    Some(_) => {}
                    // The body has ended meanwhile, at the latest now.
                    None => whole_since = Instant::now(),
                },
            }
        }
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

/// Which side of a request was silent for too long.
enum Silent {
    /// The client has not sent the rest of the body.
    Client,
    /// The upstream does not read the body.
    Reader,
    /// The upstream has not answered.
    Upstream,
}

impl Passed {
    fn into_answer(self, context: &HttpContext, guard: ExchangeGuard) -> Response<AnswerBody> {
        let (mut parts, body) = self.answer.into_parts();
        let mut fields = HeaderMap::with_capacity(parts.headers.len() + 1);
        fields.extend_fields(self.upstream.answer_fields(&parts.headers));
        parts.headers = fields;
        // The version is that of the connection to the client.
        parts.version = Version::HTTP_11;
        let owned = (context.pool.clone(), context.stats.clone());
        let conn = (!self.is_last).then_some(self.conn);
        let from = (conn, self.upstream);
        let body = AnswerBody::of_upstream(body, from, owned, self.permit, guard);
        Response::from_parts(parts, body)
    }
}

/// Returns whether this process has no descriptor or no port for a connection. That says nothing of
/// the upstream.
fn is_own_shortage(error: &io::Error) -> bool {
    use nix::libc::{EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM};
    let own = [EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM];
    error.raw_os_error().is_some_and(|code| own.contains(&code))
}
