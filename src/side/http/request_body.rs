//! The body of a request on its way to the upstream.

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of a request. Trailers are dropped: a recipient that merged them into the header could
/// be deceived by them (RFC 9110 §6.5.1).
#[derive(Debug)]
pub(super) struct RequestBody(Option<Incoming>);

impl RequestBody {
    /// Returns the body that follows a head, empty if there is none.
    pub(super) fn new(incoming: Incoming) -> Self {
        RequestBody(Some(incoming).filter(|body| !body.is_end_stream()))
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
        match Pin::new(body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => Poll::Ready(None),
            polled => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0
            .as_ref()
            .map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}
