//! The answer of an upstream to a plain HTTP request, before its body passes.

use super::answer_body::{AnswerBody, NextUse};
use super::answers::ExtendFields;
use super::client_state::RequestGuard;
use super::http_context::HttpContext;
use super::upstream_conn::UpstreamConn;
use crate::gateway::HttpUpstream;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Response, Version};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// An upstream's answer to a request.
pub(super) struct UpstreamAnswer {
    pub(super) answer: Response<Incoming>,
    pub(super) conn: UpstreamConn,
    /// What becomes of the connection.
    pub(super) next: NextUse,
    pub(super) upstream: Box<HttpUpstream>,
    pub(super) permit: Arc<OwnedSemaphorePermit>,
}

impl UpstreamAnswer {
    /// Returns the answer to the client.
    pub(super) fn into_answer(
        self,
        context: &HttpContext,
        guard: RequestGuard,
    ) -> Response<AnswerBody> {
        let (mut parts, body) = self.answer.into_parts();
        let mut fields = HeaderMap::with_capacity(parts.headers.len() + 1);
        fields.extend_fields(self.upstream.answer_fields(&parts.headers));
        parts.headers = fields;
        // The version is that of the connection to the client.
        parts.version = Version::HTTP_11;
        let owned = (context.pool.clone(), context.stats.clone());
        let from = (self.conn, self.next, self.upstream);
        let body = AnswerBody::of_upstream(body, from, owned, self.permit, guard);
        Response::from_parts(parts, body)
    }
}
