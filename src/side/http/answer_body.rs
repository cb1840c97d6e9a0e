//! The body of an answer on its way to the client, and what is kept while it passes.

use super::client_state::RequestGuard;
use super::http_stats::HttpStats;
use super::upstream_conn::UpstreamConn;
use super::upstream_pool::UpstreamPool;
use crate::gateway::HttpUpstream;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// The body of an answer.
#[derive(Debug)]
pub(super) struct AnswerBody {
    source: Source,
    _request: RequestGuard,
}

#[derive(Debug)]
enum Source {
    /// The gateway's own body, until it is sent.
    Own(Bytes),
    Upstream(Box<Passing>),
}

/// The body of an upstream's answer.
#[derive(Debug)]
struct Passing {
    body: Incoming,
    is_complete: bool,
    /// The connection, until the answer is complete.
    conn: Option<UpstreamConn>,
    next: NextUse,
    upstream: Box<HttpUpstream>,
    pool: Arc<UpstreamPool>,
    stats: Arc<HttpStats>,
    permit: Arc<OwnedSemaphorePermit>,
}

/// What becomes of an upstream connection when its answer is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextUse {
    /// It serves another request.
    Kept,
    /// It ends behind the body of its request, or when no byte of that was sent for this time.
    Closed(Duration),
}

impl AnswerBody {
    /// Returns a body of the gateway's own.
    pub(super) fn own(bytes: Bytes, request: RequestGuard) -> Self {
        AnswerBody {
            source: Source::Own(bytes),
            _request: request,
        }
    }

    /// Returns the body of an upstream's answer, which comes on this connection.
    pub(super) fn of_upstream(
        body: Incoming,
        (conn, next, upstream): (UpstreamConn, NextUse, Box<HttpUpstream>),
        (pool, stats): (Arc<UpstreamPool>, Arc<HttpStats>),
        permit: Arc<OwnedSemaphorePermit>,
        request: RequestGuard,
    ) -> Self {
        let passing = Passing {
            body,
            is_complete: false,
            conn: Some(conn),
            next,
            upstream,
            pool,
            stats,
            permit,
        };
        AnswerBody {
            source: Source::Upstream(Box::new(passing)),
            _request: request,
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // hyper does not read a body that it knows to be empty.
        if !self.is_complete && !self.body.is_end_stream() {
            // Its connection is dropped, so the upstream learns that the rest is not read.
            return self.stats.count_cut(&self.upstream.route.name);
        }
        let Some(conn) = self.conn.take() else { return };
        match self.next {
            NextUse::Kept => self.pool.put_when_ready(self.upstream.number, conn),
            NextUse::Closed(idle) => {
                // The request is in progress until its body has passed.
                let permit = self.permit.clone();
                tokio::spawn(async move {
                    conn.finish(idle).await;
                    drop(permit);
                });
            }
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let passing = match &mut self.get_mut().source {
            Source::Own(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Source::Own(bytes) => {
                let frame = Frame::data(std::mem::take(bytes));
                return Poll::Ready(Some(Ok(frame)));
            }
            Source::Upstream(passing) => passing,
        };
        let polled = match Pin::new(&mut passing.body).poll_frame(cx) {
            // Trailers belong to one hop: the client's TE did not pass (RFC 9110 §6.5.1).
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => Poll::Ready(None),
            polled => polled,
        };
        if let Poll::Ready(None) = &polled {
            passing.is_complete = true;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(bytes) => bytes.is_empty(),
            Source::Upstream(passing) => passing.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Upstream(passing) => passing.body.size_hint(),
        }
    }
}
