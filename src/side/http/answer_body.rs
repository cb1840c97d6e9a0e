//! The body of an answer on its way to the client, and what is kept while it passes.

use super::client_state::ExchangeGuard;
use super::http_stats::HttpStats;
use super::upstream_conn::UpstreamConn;
use super::upstream_pool::UpstreamPool;
use crate::gateway::HttpUpstream;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::OwnedSemaphorePermit;

/// The body of an answer.
#[derive(Debug)]
pub(super) struct AnswerBody {
    source: Source,
    _exchange: ExchangeGuard,
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
    /// The connection, if it serves another request when this answer is complete.
    conn: Option<UpstreamConn>,
    upstream: Box<HttpUpstream>,
    pool: Arc<UpstreamPool>,
    stats: Arc<HttpStats>,
    _permit: Arc<OwnedSemaphorePermit>,
}

impl AnswerBody {
    /// Returns a body of the gateway's own.
    pub(super) fn own(bytes: Bytes, exchange: ExchangeGuard) -> Self {
        AnswerBody {
            source: Source::Own(bytes),
            _exchange: exchange,
        }
    }

    /// Returns the body of an upstream's answer, which comes on this connection.
    pub(super) fn of_upstream(
        body: Incoming,
        (conn, upstream): (Option<UpstreamConn>, Box<HttpUpstream>),
        (pool, stats): (Arc<UpstreamPool>, Arc<HttpStats>),
        permit: Arc<OwnedSemaphorePermit>,
        exchange: ExchangeGuard,
    ) -> Self {
        let passing = Passing {
            body,
            is_complete: false,
            conn,
            upstream,
            pool,
            stats,
            _permit: permit,
        };
        AnswerBody {
            source: Source::Upstream(Box::new(passing)),
            _exchange: exchange,
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
        if let Some(conn) = self.conn.take() {
            self.pool.put_when_ready(self.upstream.number, conn);
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
