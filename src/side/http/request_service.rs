//! The requests of one client, and the answer to each.

use super::answer_body::AnswerBody;
use super::answers::{Failed, closing, own_answer};
use super::attempts::Attempts;
use super::client_state::{ClientState, RequestGuard};
use super::failure_log::FailedRequest;
use super::http_context::HttpContext;
use crate::base::id::ConnId;
use crate::engine::{Reply, Request};
use hyper::Response;
use hyper::Version;
use hyper::body::{Body, Incoming};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

/// Answers the requests of one client.
#[derive(Debug)]
pub(super) struct RequestService {
    /// The id that the connection had in the loop.
    pub(super) id: ConnId,
    pub(super) context: Arc<HttpContext>,
    pub(super) state: Arc<ClientState>,
}

/// The answer to a request. It is never an error: what fails is answered, too.
pub(super) type Answering =
    Pin<Box<dyn Future<Output = Result<Response<AnswerBody>, Infallible>> + Send>>;

impl hyper::service::Service<hyper::Request<Incoming>> for RequestService {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: hyper::Request<Incoming>) -> Answering {
        let head = self.state.take_head();
        let guard = RequestGuard(self.state.clone());
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
    guard: RequestGuard,
) -> Response<AnswerBody> {
    let state = guard.0.clone();
    let head = head.filter(|head| is_same(head, &request));
    let Some(head) = head else {
        let reply = Reply::error(400, "the request can be read in two ways");
        context.stats.count("", reply.status);
        return closing(own_answer(reply, guard));
    };
    let head: Arc<Request> = Arc::from(head);
    let mut attempts = Attempts::new(context.clone(), id, head.clone(), request, state.clone());
    let result = attempts.run().await;
    // What is left of the body is not passed on any more, unless the upstream still reads it.
    drop(attempts);
    if result.is_err() && state.body_fault().is_some() {
        // The task of the connection answers 400, and drops this.
        return std::future::pending().await;
    }
    let (mut answer, route) = match result {
        Ok(passed) => {
            let route = passed.upstream.route.name.clone();
            (passed.into_answer(&context, guard), route)
        }
        Err(failed) => {
            log_failure(&context, id, &head, &failed);
            // What follows a request that is no valid one is not looked at.
            let is_last = failed.reply.status == 400;
            let answer = own_answer(failed.reply, guard);
            (if is_last { closing(answer) } else { answer }, failed.route)
        }
    };
    state.begin_answer();
    context.stats.count(&route, answer.status().as_u16());
    if head.is_http_10() && answer.body().size_hint().exact().is_none() {
        // Only its end tells the length of such an answer: hyper closes behind it.
        *answer.version_mut() = Version::HTTP_10;
    }
    // An upstream that answers early may not read the rest of the body, and then the connection
    // ends.
    match state.sends_body() || context.is_full() {
        true => closing(answer),
        false => answer,
    }
}

/// Logs a request that the gateway itself answers with 5xx.
fn log_failure(context: &HttpContext, id: ConnId, head: &Request, failed: &Failed) {
    if failed.reply.status >= 500 {
        context.failures.add(&FailedRequest {
            route: &failed.route,
            upstream: failed.upstream.as_deref(),
            method: head.method(),
            path: head.path(),
            connection: (context.boot, id),
            peer: head.peer_addr(),
            status: failed.reply.status,
            why: &failed.why,
        });
    }
}

/// Returns whether hyper has read the same request.
fn is_same(head: &Request, request: &hyper::Request<Incoming>) -> bool {
    head.method() == request.method().as_str()
        && head.path() == request.uri().path()
        && head.query() == request.uri().query()
        && head.headers() == request.headers()
}
