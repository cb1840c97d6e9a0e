//! The body of a request on its way to the upstream.

use super::client_state::ClientState;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::OwnedSemaphorePermit;

/// The body of a request. Trailers are dropped: a recipient that merged them into the header could
/// be deceived by them (RFC 9110 §6.5.1).
#[derive(Debug)]
pub(super) struct RequestBody(Option<Passing>);

/// A body that is not empty.
#[derive(Debug)]
struct Passing {
    incoming: Incoming,
    state: Arc<ClientState>,
    /// The request counts as in progress until its body has passed, even if it is answered already.
    _permit: Arc<OwnedSemaphorePermit>,
}

impl RequestBody {
    /// Returns the body that follows a head, empty if there is none.
    pub(super) fn new(
        incoming: Incoming,
        state: Arc<ClientState>,
        permit: Arc<OwnedSemaphorePermit>,
    ) -> Self {
        let has_body = !incoming.is_end_stream();
        RequestBody(has_body.then_some(Passing {
            incoming,
            state,
            _permit: permit,
        }))
    }

    /// Returns an empty body.
    pub(super) fn empty() -> Self {
        RequestBody(None)
    }

    /// Returns whether the body is empty, so that the request can be sent again.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.get_mut().0 else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(&mut body.incoming).poll_frame(cx);
        // hyper asks for more only if the upstream takes it.
        body.state.set_awaits_body(polled.is_pending());
        match polled {
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => Poll::Ready(None),
            Poll::Ready(Some(Err(error))) => {
                // The client is to blame, not the upstream.
                body.state
                    .fail_body(format!("the body of the request cannot be read: {error}"));
                Poll::Ready(Some(Err(error)))
            }
            polled => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        let body = self.0.as_ref();
        body.is_none_or(|body| body.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.0.as_ref();
        body.map_or(SizeHint::with_exact(0), |body| body.incoming.size_hint())
    }
}
