//! What is due for sessions, in the order of time.

use super::session_key::SessionKey;
use crate::base::time::Micros;
use std::collections::BTreeSet;

/// Something that is due for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// The client is told what was received.
    Ack,
    /// The client hears something although there is nothing to say: it asked for that, or it is
    /// not read for the moment, and so not pinged.
    Sign,
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

/// What is due for sessions. Each session has at most one entry of each kind; an entry that is not
/// needed any more is looked at when its time comes.
#[derive(Debug, Default)]
pub(super) struct DueQueue(BTreeSet<(Micros, SessionKey, Due)>);

impl DueQueue {
    /// Adds an entry.
    pub(super) fn add(&mut self, at: Micros, key: SessionKey, due: Due) {
        self.0.insert((at, key, due));
    }

    /// Removes an entry.
    pub(super) fn remove(&mut self, at: Micros, key: SessionKey, due: Due) {
        self.0.remove(&(at, key, due));
    }

    /// Returns when the next entry is due.
    pub(super) fn next(&self) -> Option<Micros> {
        self.0.first().map(|(at, ..)| *at)
    }

    /// Takes the next entry, if it is due.
    pub(super) fn take_due(&mut self, now: Micros) -> Option<(SessionKey, Due)> {
        let (at, key, due) = *self.0.first()?;
        (at <= now).then(|| {
            self.0.pop_first();
            (key, due)
        })
    }

    /// Returns how many entries there are.
    #[cfg(feature = "testing")]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
