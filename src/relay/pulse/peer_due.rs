//! What may be due for a pulse session of the relay.

use super::pulse_key::PulseKey;
use crate::host::{DueKind, DueQueue, DueTimes};

/// Something that is due for a pulse session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::relay) enum PeerDue {
    /// The peer is told what was received.
    Ack,
    /// The peer hears something although there is nothing to say.
    Sign,
    /// It is looked whether the peer goes on to acknowledge what was sent.
    Acks,
    /// More is sent to the peer.
    Send,
    /// The peer had its time to acknowledge the end of its session.
    End,
    /// A peer without a slot had its time to come back.
    Hold,
}

/// What is due for all pulse sessions.
pub(super) type PeerDues = DueQueue<PulseKey, PeerDue>;

/// When something is due for one pulse session.
pub(super) type PeerTimes = DueTimes<{ <PeerDue as DueKind>::ALL.len() }>;

impl DueKind for PeerDue {
    const ALL: &'static [PeerDue] = &[
        PeerDue::Ack,
        PeerDue::Sign,
        PeerDue::Acks,
        PeerDue::Send,
        PeerDue::End,
        PeerDue::Hold,
    ];

    fn index(self) -> usize {
        self as usize
    }
}
