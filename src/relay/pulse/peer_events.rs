//! The events of pulse sessions, for backends.

use super::pulse_key::PulseKey;
use super::pulse_peer::{PeerPlace, PulsePeer};
use super::pulse_peers::PulsePeers;
use crate::base::time::Micros;
use crate::host::{EventKind, EventSubject};
use crate::relay::role::APP;

impl PulsePeer {
    /// Describes the peer of a session, with its connection or the last one that it had.
    fn event_subject(&self) -> EventSubject {
        let identity = self.identity.as_ref().or(self.owner.identity.as_ref());
        // Only apps open without an identity.
        let class = identity.map_or(APP, |identity| identity.class);
        EventSubject::new(self.last_conn, class, identity)
    }

    /// Returns why a session ends that is removed now.
    fn end_reason(&self) -> &'static str {
        match (self.broken, self.place) {
            (Some(why), _) => why.name(),
            (None, PeerPlace::Held) => "expired",
            (None, PeerPlace::Attached(_)) => "ended",
        }
    }
}

impl PulsePeers {
    /// Tells that a session waits for its peer, whose connection has ended.
    pub(super) fn tell_held(&self, key: PulseKey) {
        self.events.send(|| {
            let held = EventKind::SessionHeld { session: key.0 };
            Some((self.get(key)?.event_subject(), held))
        });
    }

    /// Tells that the peer of a session is back, after the session has waited for this time.
    pub(super) fn tell_resumed(&self, key: PulseKey, held: Micros, sent_again: u64) {
        self.events.send(|| {
            let resumed = EventKind::SessionResumed {
                session: key.0,
                held,
                sent_again,
            };
            Some((self.get(key)?.event_subject(), resumed))
        });
    }

    /// Tells that a session that was removed has ended.
    pub(super) fn tell_ended(&self, now: Micros, key: PulseKey, peer: &PulsePeer) {
        self.events.send(|| {
            let is_held = peer.place == PeerPlace::Held;
            let ended = EventKind::SessionEnded {
                session: key.0,
                why: peer.end_reason(),
                held: is_held.then(|| now - peer.held_since),
                resumes: peer.resumes,
            };
            Some((peer.event_subject(), ended))
        });
    }
}
