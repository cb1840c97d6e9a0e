//! What is sent to the peer of a pulse session of the relay.

use super::peer_due::PeerDue;
use super::pulse_key::PulseKey;
use super::pulse_peers::PulsePeers;
use crate::base::id::ConnId;
use crate::engine::{HeartbeatText, Io, Message};
use crate::host::{AckWatch, ClientLeg, ResetReason, heartbeat_text, wanted_sign};
use crate::pulse::{
    ClientFrame, FrameEffect, LEDGER_MARGIN_BYTES, LedgerEntry, PulseSession, SENT_MESSAGES_MAX,
    SessionEnd, SessionFault, ShortControl,
};
use crate::relay::relay_settings::ReplayLimits;

/// What senders leave free for texts of the relay itself, which cannot wait: in bytes, and in
/// messages.
const SPARE_BYTES: usize = 128 << 10;
const SPARE_MESSAGES: usize = 1_024;

/// What is asked of a message that is kept for a peer.
#[derive(Debug, Clone, Copy)]
pub(in crate::relay) struct Keeping {
    pub(in crate::relay) limits: ReplayLimits,
    /// Whether the frame is kept for a peer that has lost its session.
    pub(in crate::relay) is_kept: bool,
    /// Whether it may use the places that are kept free for texts of the relay itself, which cannot
    /// wait.
    pub(in crate::relay) may_use_spare: bool,
}

impl PulsePeers {
    /// Keeps a message for a peer until it is acknowledged. Call
    /// [`send_more`](Self::send_more) then.
    ///
    /// # Errors
    /// There is no room. The session cannot go on without this message.
    pub(in crate::relay) fn queue(
        &mut self,
        io: &mut Io<'_>,
        key: PulseKey,
        message: Message,
        keeping: Keeping,
    ) -> Result<(), ResetReason> {
        let now = io.now();
        let Some(peer) = self.get_mut(key) else {
            return Ok(());
        };
        let Keeping { limits, .. } = keeping;
        let most = io.max_message_bytes().max(limits.max_bytes) + LEDGER_MARGIN_BYTES;
        let len = message.len();
        let most = match keeping.may_use_spare {
            true => most + SPARE_BYTES,
            false => most,
        };
        let is_over = peer.pulse.sent().bytes() + len > most;
        if !io.has_room(len) || is_over {
            return Err(ResetReason::Full);
        }
        if !peer.queue(LedgerEntry::Message(message), now, keeping.is_kept) {
            return Err(ResetReason::Full);
        }
        self.charge(io, key);
        Ok(())
    }

    /// Adds the end of the session, which the peer acknowledges, too.
    pub(in crate::relay) fn queue_end(&mut self, io: &mut Io<'_>, key: PulseKey, end: SessionEnd) {
        let now = io.now();
        if let Some(peer) = self.get_mut(key) {
            // An end always fits.
            peer.queue(LedgerEntry::End(end), now, false);
        }
        self.charge(io, key);
    }

    /// Returns whether the peer has acknowledged so much that its senders may go on: a message of
    /// every allowed size has room.
    pub(in crate::relay) fn has_room(&self, key: PulseKey) -> bool {
        const MESSAGES: usize = SENT_MESSAGES_MAX - SPARE_MESSAGES;
        let sent = self.get(key).map(|peer| peer.pulse.sent());
        sent.is_none_or(|sent| sent.has_room() && sent.len() < MESSAGES)
    }

    /// Sends the hello, and then what waits for the peer.
    pub(in crate::relay) fn greet(&mut self, io: &mut Io<'_>, key: PulseKey, hello: String) {
        if let Some((leg, _)) = self.attached(key) {
            leg.is_open = true;
            io.send(leg.id, Message::text(hello));
        }
        self.send_more(io, key);
    }

    fn attached(&mut self, key: PulseKey) -> Option<(&mut ClientLeg, &mut PulseSession)> {
        self.get_mut(key)?.attached()
    }

    /// Sends to a peer what waits for it, as far as its connection takes it.
    pub(in crate::relay) fn send_more(&mut self, io: &mut Io<'_>, key: PulseKey) {
        let Some((leg, pulse)) = self.attached(key) else {
            return;
        };
        let step = leg.send_more(io, pulse);
        let now = io.now();
        if step.sent > 0 {
            self.arm(io, key, PeerDue::Acks, now + ClientLeg::ACKS_STEP);
        }
        if step.has_sent_end {
            self.arm(io, key, PeerDue::End, now + AckWatch::STEP);
        }
        if step.has_more {
            self.arm(io, key, PeerDue::Send, now);
        }
    }

    /// Closes the connection of a peer that acknowledges nothing. `is_paused`: it is not read.
    pub(in crate::relay) fn watch_acks(&mut self, io: &mut Io<'_>, key: PulseKey, is_paused: bool) {
        // A peer that is told of the end of its session is watched on its own.
        if self.get(key).is_some_and(|peer| peer.end.is_some()) {
            return;
        }
        if let Some((leg, pulse)) = self.attached(key) {
            leg.is_paused = is_paused;
            if leg.watch_acks(io, pulse) {
                let at = io.now() + ClientLeg::ACKS_STEP;
                self.arm(io, key, PeerDue::Acks, at);
            }
        }
    }

    /// Handles a connection that has taken all that waited for it.
    pub(in crate::relay) fn on_writable(&mut self, io: &mut Io<'_>, id: ConnId) {
        let Some(key) = self.key_of(id) else {
            return;
        };
        if let Some((leg, _)) = self.attached(key) {
            leg.is_blocked = false;
        }
        self.send_more(io, key);
    }

    /// Handles a control frame of a peer.
    ///
    /// # Errors
    /// The frame contradicts the session.
    pub(in crate::relay) fn on_frame(
        &mut self,
        io: &mut Io<'_>,
        key: PulseKey,
        frame: ClientFrame,
    ) -> Result<FrameEffect, SessionFault> {
        let Some(peer) = self.get_mut(key) else {
            return Ok(FrameEffect::Nothing);
        };
        let effect = peer.on_frame(frame, io.now());
        self.sync_tokens(key);
        self.charge(io, key);
        effect
    }

    /// Counts a message of the peer that was handled, and acknowledges it if that is due.
    pub(in crate::relay) fn count_received(&mut self, io: &mut Io<'_>, key: PulseKey, len: usize) {
        let now = io.now();
        if let Some(peer) = self.get_mut(key) {
            peer.pulse.on_message(len, now);
        }
        self.sync_tokens(key);
        self.acknowledge(io, key);
    }

    /// Tells the peer what was received, if that is due, or plans it.
    pub(in crate::relay) fn acknowledge(&mut self, io: &mut Io<'_>, key: PulseKey) {
        if let Some((leg, pulse)) = self.attached(key) {
            leg.acknowledge(io, pulse);
        }
        let peer = self.get(key);
        if let Some(at) = peer.and_then(|peer| peer.pulse.ack_at()) {
            self.arm(io, key, PeerDue::Ack, at);
        }
    }

    /// Sends a frame that says what was received.
    pub(in crate::relay) fn say_received(
        &mut self,
        io: &mut Io<'_>,
        key: PulseKey,
        frame: &ShortControl,
    ) {
        if let Some((leg, pulse)) = self.attached(key) {
            leg.say_received(io, pulse, frame);
        }
    }

    /// Returns the heartbeat of a connection ([`ClientLeg::ping`]).
    pub(in crate::relay) fn heartbeat(
        &mut self,
        io: &Io<'_>,
        id: ConnId,
        (number, first_ms): (u64, u64),
    ) -> HeartbeatText {
        let key = self.key_of(id);
        let attached = key.and_then(|key| self.attached(key));
        let ping = attached.map(|(leg, pulse)| leg.ping(io, pulse, (number, first_ms)));
        heartbeat_text(ping, number)
    }

    /// Sets how long the peer wants to hear nothing at most.
    pub(in crate::relay) fn set_wanted_sign(
        &mut self,
        io: &mut Io<'_>,
        key: PulseKey,
        want_ms: Option<u64>,
    ) {
        if let Some(peer) = self.get_mut(key) {
            peer.wanted_sign = wanted_sign(want_ms);
        }
        self.plan_sign(io, key, false);
    }

    /// Plans when the peer hears something although there is nothing to say. `is_paused`: whether
    /// it is not read.
    pub(in crate::relay) fn plan_sign(&mut self, io: &mut Io<'_>, key: PulseKey, is_paused: bool) {
        let wanted = self.get(key).and_then(|peer| peer.wanted_sign);
        let at = self.attached(key).and_then(|(leg, _)| {
            leg.is_paused = is_paused;
            leg.sign_at(io, wanted)
        });
        if let Some(at) = at {
            self.arm(io, key, PeerDue::Sign, at);
        }
    }

    /// Lets the peer hear something.
    pub(in crate::relay) fn give_sign(&mut self, io: &mut Io<'_>, key: PulseKey, is_paused: bool) {
        if let Some((leg, pulse)) = self.attached(key) {
            leg.give_sign(io, pulse);
        }
        self.plan_sign(io, key, is_paused);
    }
}
