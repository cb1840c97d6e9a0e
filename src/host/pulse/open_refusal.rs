//! Refusals that a page in a browser can read: a frame instead of an HTTP status.

use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::engine::{Io, Message, Reply};
use crate::pulse::{Refused, refused_frame};
use crate::wire::http::header::RETRY_AFTER;

/// A close code stands for an HTTP status: 4401 for 401.
const STATUS_CODES: u16 = 4_000;

/// The refusal of a client whose WebSocket is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenRefusal {
    cause: Cause,
    /// The HTTP status that it would have been answered with.
    status: u16,
    /// When to come back, in seconds; 0: the client decides.
    retry_s: u32,
    reason: Box<str>,
}

impl OpenRefusal {
    /// Returns what an HTTP answer would have said.
    pub(crate) fn of(reply: &Reply, cause: Cause) -> Self {
        OpenRefusal {
            cause,
            status: reply.status,
            retry_s: retry_after(reply).unwrap_or(0),
            reason: reply.reason.clone(),
        }
    }

    /// Refuses a client whose WebSocket is open.
    pub(crate) fn send(&self, io: &mut Io<'_>, client: ConnId) {
        let refused = Refused::new(self.status, u64::from(self.retry_s) * 1_000);
        io.resume_reading(client);
        io.send(client, Message::text(refused_frame(refused)));
        let code = STATUS_CODES + self.status.min(999);
        io.close_for(client, self.cause, code, &self.reason);
    }
}

/// Returns the time in Retry-After, in seconds (RFC 9110 §10.2.3); `None` if there is none, or a
/// date.
fn retry_after(reply: &Reply) -> Option<u32> {
    let mut fields = reply.headers.iter();
    let (_, value) = fields.find(|(name, _)| *name == RETRY_AFTER)?;
    value.to_str().ok()?.parse().ok()
}
