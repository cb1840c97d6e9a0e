//! What may be due for a session.

use super::session_key::SessionKey;
use crate::host::{DueKind, DueQueue, DueTimes};

/// Something that is due for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// The client is told what was received.
    Ack,
    /// The client hears something although there is nothing to say: it asked for that, or it is
    /// not read for the moment, and so not pinged.
    Sign,
    /// It is looked whether the client goes on to acknowledge what was sent.
    Acks,
    /// More is sent to the client.
    Send,
    /// It is tried again to read from the upstream: memory was short.
    Room,
    /// The client had its time to acknowledge the end of the session.
    End,
    /// The client had its time to come back.
    Hold,
    /// The upstream was not read for long enough.
    Full,
    /// The client's token expires.
    Expiry,
}

/// What is due for all sessions.
pub(super) type SessionDues = DueQueue<SessionKey, Due>;

/// When something is due for one session.
pub(super) type SessionTimes = DueTimes<{ <Due as DueKind>::ALL.len() }>;

impl DueKind for Due {
    const ALL: &'static [Due] = &[
        Due::Ack,
        Due::Sign,
        Due::Acks,
        Due::Send,
        Due::Room,
        Due::End,
        Due::Hold,
        Due::Full,
        Due::Expiry,
    ];

    fn index(self) -> usize {
        self as usize
    }
}
