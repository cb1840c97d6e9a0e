//! What is due for pulse sessions of the relay, in the order of time.

use super::pulse_key::PulseKey;
use crate::base::time::Micros;
use std::collections::BTreeSet;

/// Something that is due for a pulse session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::relay) enum PeerDue {
    /// The peer is told what was received.
    Ack,
    /// The peer hears something although there is nothing to say.
    Sign,
    /// More is sent to the peer.
    Send,
    /// The peer had its time to acknowledge the end of its session.
    End,
    /// A peer without a slot had its time to come back.
    Hold,
}

impl PeerDue {
    /// All of them; the position equals the number that `as usize` yields.
    pub(super) const ALL: [PeerDue; 5] = [
        PeerDue::Ack,
        PeerDue::Sign,
        PeerDue::Send,
        PeerDue::End,
        PeerDue::Hold,
    ];
}

/// What is due for pulse sessions. Each has at most one entry of each kind.
#[derive(Debug, Default)]
pub(super) struct PeerDues(BTreeSet<(Micros, PulseKey, PeerDue)>);

impl PeerDues {
    pub(super) fn add(&mut self, at: Micros, key: PulseKey, due: PeerDue) {
        self.0.insert((at, key, due));
    }

    pub(super) fn remove(&mut self, at: Micros, key: PulseKey, due: PeerDue) {
        self.0.remove(&(at, key, due));
    }

    /// Returns when the next entry is due.
    pub(super) fn next(&self) -> Option<Micros> {
        self.0.first().map(|(at, ..)| *at)
    }

    /// Takes the next entry, if it is due.
    pub(super) fn take_due(&mut self, now: Micros) -> Option<(PulseKey, PeerDue)> {
        let (at, key, due) = *self.0.first()?;
        (at <= now).then(|| {
            self.0.pop_first();
            (key, due)
        })
    }
}
