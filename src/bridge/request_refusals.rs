//! The gateway's own answers to requests that are not passed on.

use super::bridge::Bridge;
use super::handshake_failure::HandshakeFailure;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::engine::{Io, Reply, Verdict};

/// The answer to a request that is not passed on.
pub(super) type Refusal = (Cause, Reply);

pub(super) fn unreachable() -> Refusal {
    let reply = HandshakeFailure::Unreachable.reply();
    (Cause::CONNECT_FAILED, reply)
}

pub(super) fn no_room(client: ConnId) -> Refusal {
    let reply = with_retry_after(HandshakeFailure::NoRoom.reply(), client.generation());
    (Cause::AT_CAPACITY, reply)
}

/// Adds Retry-After to a reply: 5 to 20 s, different for clients with different `nth`.
pub(super) fn with_retry_after(reply: Reply, nth: u32) -> Reply {
    reply.with_retry_after(5 + nth % 16)
}

pub(super) fn busy(client: ConnId) -> Refusal {
    let reply = with_retry_after(HandshakeFailure::Busy.reply(), client.generation());
    (Cause::AT_CAPACITY, reply)
}

impl Bridge {
    /// Answers a client whose request gives way to another client's.
    pub(super) fn answer_crowded(&mut self, io: &mut Io<'_>, client: ConnId) {
        let reply = with_retry_after(HandshakeFailure::Crowded.reply(), client.generation());
        let cause = Cause::AT_CAPACITY;
        self.answer(io, client, Verdict::Reply { reply, cause });
    }
}
