//! The ends of pulse sessions: of their connections, and for good.

use super::pulse::{Detached, PeerDue, PeerEnd, PulseKey};
use super::relay::Relay;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{Ending, Io, Message};
use crate::host::{AckWatch, Identity, NotHeld};
use crate::pulse::{Bye, SessionEnd, bye_frame};

impl Relay {
    /// Handles the end of the connection of a slot whose peer speaks pulse. The pulse session waits
    /// with the slot, or it ends, and the slot keeps what was not sent. Returns whether the peer
    /// said farewell; `None` if the slot is another's, or its peer does not speak pulse.
    pub(super) fn lose_pulse(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        end: &Ending,
    ) -> Option<bool> {
        let is_off = self.grace_of(identity) == Micros::ZERO;
        let (mut delivery, sessions) = self.delivery();
        let backlog = sessions.backlog_of(identity, id)?;
        let key = backlog.pulse()?;
        let not_held = not_held(io, is_off);
        match delivery.pulse.detach(io, (id, key), end, not_held) {
            Detached::Held => Some(false),
            Detached::Over { has_farewell } => {
                delivery.end_pulse(io, backlog);
                Some(has_farewell)
            }
        }
    }

    /// Handles the end of a connection that has no slot, and whose peer has asked for pulse.
    pub(super) fn end_pulse_conn(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        self.pulse.take_waiting(io, id);
        self.pulse.claim.take_if(|claim| claim.id == id);
        let Some(key) = self.pulse.key_of(id) else {
            return;
        };
        let peer = self.pulse.get(key);
        let identity = peer.and_then(|peer| peer.identity.clone());
        let grace = identity.map_or(Micros::ZERO, |identity| self.grace_of(&identity));
        let not_held = not_held(io, grace == Micros::ZERO);
        match self.pulse.detach(io, (id, key), end, not_held) {
            Detached::Held => {
                let at = io.now() + grace;
                self.pulse.arm(io, key, PeerDue::Hold, at);
            }
            Detached::Over { .. } => drop(self.pulse.remove(io, key)),
        }
    }

    /// Ends a pulse session whose slot is gone: the peer is sent this notice and the end of the
    /// session, and is closed when it has acknowledged both. If it is away, that waits for it.
    pub(super) fn end_for_good(
        &mut self,
        io: &mut Io<'_>,
        key: PulseKey,
        notice: String,
        end: PeerEnd,
    ) {
        let (mut delivery, _) = self.delivery();
        // Without room for the notice, the end says the same.
        let _ = delivery.answer_pulse(io, key, notice);
        let entry = SessionEnd::new(end.code, end.reason);
        self.pulse.queue_end(io, key, entry);
        let Some(peer) = self.pulse.get_mut(key) else {
            return;
        };
        peer.end = Some(end);
        if peer.conn().is_none() {
            let at = io.now() + self.settings.app_grace;
            self.pulse.arm(io, key, PeerDue::Hold, at);
        }
        self.pulse.send_more(io, key);
    }

    /// Closes the connection of a peer whose session is over, and that has acknowledged everything.
    /// Returns whether it is over.
    pub(super) fn close_if_over(&mut self, io: &mut Io<'_>, key: PulseKey) -> bool {
        let Some(peer) = self.pulse.get(key) else {
            return true;
        };
        let is_over = peer.end.is_some() && peer.pulse.sent().is_empty();
        if is_over {
            self.close_ended(io, key);
        }
        is_over
    }

    /// Handles a peer that has not acknowledged the end of its session: closes its connection if it
    /// acknowledges nothing.
    pub(super) fn end_late(&mut self, io: &mut Io<'_>, key: PulseKey) {
        let grace = self.settings.app_grace;
        let Some(peer) = self.pulse.get_mut(key) else {
            return;
        };
        let conn = peer.conn();
        let silent = peer.end_watch.silent_for(io.now(), &peer.pulse);
        if silent > AckWatch::timeout(io, conn) + grace {
            return self.close_ended(io, key);
        }
        let at = io.now() + AckWatch::STEP;
        self.pulse.arm(io, key, PeerDue::End, at);
    }

    /// Closes the connection of a peer whose session is over.
    pub(super) fn close_ended(&mut self, io: &mut Io<'_>, key: PulseKey) {
        let Some(peer) = self.pulse.remove(io, key) else {
            return;
        };
        if let (Some(conn), Some(end)) = (peer.conn(), peer.end) {
            io.resume_reading(conn);
            io.close_for(conn, end.cause, end.code, end.reason);
        }
    }

    /// Forgets the pulse session of a slot that is gone.
    pub(super) fn drop_pulse(&mut self, io: &mut Io<'_>, key: Option<PulseKey>) {
        if let Some(key) = key {
            self.pulse.expire(io, key);
        }
    }

    /// Tells a peer that speaks pulse that its connection is about to be closed, and when to come
    /// back.
    pub(super) fn say_bye(&mut self, io: &mut Io<'_>, id: ConnId, why: &str) {
        if self.pulse.key_of(id).is_some() {
            let spread = self.first_ms(io);
            send_bye(io, id, why, spread);
        }
    }
}

/// Tells a peer that speaks pulse that its connection is about to be closed, and over which time
/// peers spread their return, in milliseconds.
pub(super) fn send_bye(io: &mut Io<'_>, id: ConnId, why: &str, spread_ms: u64) {
    let bye = Bye::new(why, 0, spread_ms);
    io.send(id, Message::text(bye_frame(&bye)));
}

/// Returns why no pulse session can wait for its peer now.
fn not_held(io: &Io<'_>, is_off: bool) -> Option<NotHeld> {
    match () {
        () if is_off => Some(NotHeld::Off),
        () if io.is_draining() => Some(NotHeld::Draining),
        () => None,
    }
}
