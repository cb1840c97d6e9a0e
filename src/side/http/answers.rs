//! Answers of the gateway's own, and what it checks of those of upstreams.

use super::answer_body::AnswerBody;
use super::client_state::RequestGuard;
use crate::engine::Reply;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use hyper::{Response, StatusCode};
use std::sync::Arc;

/// A request that the gateway itself answers.
pub(super) struct Failed {
    pub(super) reply: Reply,
    /// The route; empty if none serves the request.
    pub(super) route: Box<str>,
    /// The address of the upstream, if one was chosen.
    pub(super) upstream: Option<Arc<str>>,
    /// What has happened, for the log.
    pub(super) why: String,
}

impl Failed {
    pub(super) fn new(reply: Reply, route: &str) -> Self {
        Failed {
            why: reply.reason.to_string(),
            reply,
            route: route.into(),
            upstream: None,
        }
    }

    /// The answer is the status with this text; the log also says why.
    pub(super) fn because(status: u16, text: &str, route: &str, why: impl ToString) -> Self {
        Failed {
            reply: Reply::error(status, text),
            route: route.into(),
            upstream: None,
            why: format!("{text}: {}", why.to_string()),
        }
    }

    /// Adds the address of the upstream that was chosen.
    pub(super) fn at(self, address: Arc<str>) -> Self {
        Failed {
            upstream: Some(address),
            ..self
        }
    }
}

/// Adds fields in their order, several of one name included.
pub(super) trait ExtendFields {
    fn extend_fields(&mut self, fields: Vec<(HeaderName, HeaderValue)>);
}

impl ExtendFields for HeaderMap {
    fn extend_fields(&mut self, fields: Vec<(HeaderName, HeaderValue)>) {
        for (name, value) in fields {
            self.append(name, value);
        }
    }
}

/// Returns an answer of the gateway's own.
pub(super) fn own_answer(reply: Reply, guard: RequestGuard) -> Response<AnswerBody> {
    let mut answer = Response::new(AnswerBody::own(reply.body, guard));
    *answer.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer.headers_mut().extend_fields(reply.headers);
    answer
}

/// Closes the connection after an answer.
pub(super) fn closing(mut answer: Response<AnswerBody>) -> Response<AnswerBody> {
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(CONNECTION, close);
    answer
}

/// Returns why the framing of an answer cannot be trusted, or cannot be passed on.
pub(super) fn answer_fault(headers: &HeaderMap) -> Option<&'static str> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    if let Some(coding) = codings.next()
        && !(is_chunked(coding) && codings.next().is_none())
    {
        return Some("its Transfer-Encoding is not chunked");
    }
    let is_both = headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH);
    is_both.then_some("it has both Content-Length and Transfer-Encoding")
}
