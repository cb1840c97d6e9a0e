//! What may end a request early: its client's token expires, or an operator ends it.

use crate::engine::Reply;
use crate::gateway::HttpTicket;
use crate::wire::http::ReplyForm;
use std::sync::Arc;
use std::task::Context;
use tokio::time::Instant;

/// Why a request was ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndCause {
    /// The client's token has expired.
    Unauthorized,
    /// An operator has ended it, or has blocked its identity.
    Kicked,
}

/// The causes as metrics name them: as for WebSockets.
pub(in crate::side) const END_CAUSES: [&str; 2] = ["unauthorized", "kicked"];

impl EndCause {
    /// Returns the answer to a request that has none yet.
    pub(super) fn reply(self) -> Reply {
        match self {
            EndCause::Unauthorized => {
                Reply::error(401, "the token has expired").with_challenge("Bearer")
            }
            EndCause::Kicked => Reply::error(403, "an operator has ended the request"),
        }
    }
}

/// What may end a request early.
#[derive(Debug)]
pub(super) struct RequestLimits {
    /// The route that serves the request.
    pub(super) route: Box<str>,
    /// When the client's token expires.
    pub(super) expires: Option<Instant>,
    /// The request as the loop knows it.
    pub(super) ticket: Arc<HttpTicket>,
}

impl RequestLimits {
    /// Returns why the request ends now, if it does. The task is woken when an operator ends it.
    pub(super) fn poll_end(&self, cx: &mut Context<'_>) -> Option<EndCause> {
        if self.ticket.poll_ended(cx).is_ready() {
            return Some(EndCause::Kicked);
        }
        let has_expired = self.expires.is_some_and(|at| at <= Instant::now());
        has_expired.then_some(EndCause::Unauthorized)
    }
}

/// A request that was ended early.
#[derive(Debug)]
pub(super) struct EndedRequest {
    pub(super) route: Box<str>,
    pub(super) cause: EndCause,
    /// How much of a reply answers it. `None`: its answer has begun, and is cut off.
    pub(super) form: Option<ReplyForm>,
}
