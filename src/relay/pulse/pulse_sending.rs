//! What is sent to the peer of a pulse session of the relay.

use super::peer_dues::PeerDue;
use super::pulse_key::PulseKey;
use super::pulse_peers::PulsePeers;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{HeartbeatText, Io, Message, SendOutcome};
use crate::host::ResetReason;
use crate::pulse::{
    BIG_BYTES, ClientFrame, FrameEffect, LEDGER_MARGIN_BYTES, LedgerEntry, SENT_MESSAGES_MAX,
    SessionEnd, SessionFault, ShortControl, end_frame, escaped,
};
use crate::relay::relay_settings::ReplayLimits;
use std::borrow::Cow;
use std::fmt::Write as _;

/// The most messages that are sent to a peer at once.
const SENT_AT_ONCE: usize = 64;

/// No further message is sent to a peer while this many bytes wait for it.
const WAITING_MAX: usize = 256 << 10;

/// What senders leave free for texts of the relay itself, which cannot wait: in bytes, and in
/// messages.
const SPARE_BYTES: usize = 128 << 10;
const SPARE_MESSAGES: usize = 1_024;

/// How often it is checked whether a peer goes on to acknowledge what came before the end of its
/// session.
pub(in crate::relay) const END_STEP: Micros = Micros::from_secs(5);

/// The shortest time after which a peer may want to hear something.
const SIGN_MIN: Micros = Micros::from_secs(1);

/// The longest of these times.
const SIGN_MAX_MS: u64 = 3_600_000;

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
        if let Some(peer) = self.get_mut(key)
            && let super::pulse_peer::PeerPlace::Attached(leg) = &mut peer.place
        {
            leg.is_open = true;
            io.send(leg.id, Message::text(hello));
        }
        self.send_more(io, key);
    }

    /// Sends to a peer what waits for it, as far as its connection takes it.
    pub(in crate::relay) fn send_more(&mut self, io: &mut Io<'_>, key: PulseKey) {
        for _ in 0..SENT_AT_ONCE {
            let Some(peer) = self.get_mut(key) else {
                return;
            };
            let Some(leg) = peer.open_leg().copied() else {
                return;
            };
            let Some(next) = peer.pulse.sent().peek() else {
                return;
            };
            // What a closing connection is not sent is not in doubt.
            if io.class(leg.id).is_none() {
                return;
            }
            let waiting = io.pending(leg.id);
            if leg.is_blocked || (waiting > 0 && waiting + next.len() > WAITING_MAX) {
                break;
            }
            let Some(entry) = peer.pulse.send_next() else {
                return;
            };
            let message = match entry {
                LedgerEntry::Message(Message::Text(text)) => match escaped(text) {
                    Cow::Borrowed(_) => Message::Text(text.clone()),
                    Cow::Owned(longer) => Message::text(longer),
                },
                LedgerEntry::Message(message) => message.clone(),
                LedgerEntry::End(end) => {
                    let frame = Message::text(end_frame(end));
                    let at = io.now() + END_STEP;
                    io.send(leg.id, frame);
                    self.arm(io, key, PeerDue::End, at);
                    continue;
                }
            };
            if message.len() > BIG_BYTES {
                let big = ShortControl::big(message.len());
                io.send(leg.id, Message::text(big.as_str()));
            }
            match io.send(leg.id, message) {
                SendOutcome::Flowing => {}
                SendOutcome::Pending => {
                    if let Some(leg) = peer.open_leg() {
                        leg.is_blocked = true;
                    }
                }
                // The connection is closing: what it has not taken is sent on the next one.
                SendOutcome::Refused(_) => return,
            }
        }
        let Some(peer) = self.get_mut(key) else {
            return;
        };
        let has_more = peer.pulse.sent().peek().is_some();
        if peer.open_leg().is_some_and(|leg| !leg.is_blocked) && has_more {
            let now = io.now();
            self.arm(io, key, PeerDue::Send, now);
        }
    }

    /// Handles a connection that has taken all that waited for it.
    pub(in crate::relay) fn on_writable(&mut self, io: &mut Io<'_>, id: ConnId) {
        let Some(key) = self.key_of(id) else {
            return;
        };
        if let Some(peer) = self.get_mut(key)
            && let Some(leg) = peer.open_leg()
        {
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
        let Some(peer) = self.get_mut(key) else {
            return;
        };
        if peer.open_leg().is_some()
            && let Some(ack) = peer.pulse.ack(io.now())
        {
            self.say_received(io, key, &ack);
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
        let Some(peer) = self.get_mut(key) else {
            return;
        };
        let received = peer.pulse.received().received();
        if let Some(leg) = peer.open_leg() {
            if io.pending(leg.id) == 0 {
                leg.said = None;
            }
            leg.said.get_or_insert(received);
            io.send(leg.id, Message::text(frame.as_str()));
        }
    }

    /// Returns the heartbeat of a connection: a ping that also says what was received. It overtakes
    /// what waits for the peer. So it says no more than the first frame that waits: what a peer is
    /// told must not go back.
    pub(in crate::relay) fn heartbeat(
        &mut self,
        io: &Io<'_>,
        id: ConnId,
        (number, first_ms): (u64, u64),
    ) -> HeartbeatText {
        let peer = self.key_of(id).and_then(|key| self.get_mut(key));
        let ping = peer.map(|peer| {
            if io.pending(id) == 0 {
                peer.pulse.note_flushed(number);
            }
            let leg = peer.open_leg().filter(|_| io.pending(id) > 0);
            match leg.and_then(|leg| leg.said) {
                Some(said) => ShortControl::ping(number, said),
                None => peer.pulse.ping_with_hint(number, first_ms),
            }
        });
        // A peer that wants its session back is pinged, too.
        let ping = ping.unwrap_or_else(|| ShortControl::ping(number, 0));
        let mut text = HeartbeatText::default();
        // A short control frame has at most 64 bytes.
        let _ = text.write_str(ping.as_str());
        text
    }

    /// Sets how long the peer wants to hear nothing at most; 0: as long as the heartbeats are
    /// apart.
    pub(in crate::relay) fn set_wanted_sign(
        &mut self,
        io: &mut Io<'_>,
        key: PulseKey,
        wanted_ms: u64,
    ) {
        let wanted = (wanted_ms > 0).then(|| Micros::from_millis(wanted_ms.min(SIGN_MAX_MS)));
        if let Some(peer) = self.get_mut(key) {
            peer.wanted_sign = wanted.map(|wanted| wanted.max(SIGN_MIN));
        }
        self.plan_sign(io, key, false);
    }

    /// Plans when the peer hears something although there is nothing to say: while it is not read
    /// (`is_paused`) it is not pinged either, and its watchdog would give the connection up.
    pub(in crate::relay) fn plan_sign(&mut self, io: &mut Io<'_>, key: PulseKey, is_paused: bool) {
        let Some(peer) = self.get_mut(key) else {
            return;
        };
        let wanted = peer.wanted_sign;
        let Some(leg) = peer.open_leg().copied() else {
            return;
        };
        let interval = io.policy_of(leg.id).map(|policy| policy.heartbeat_interval);
        let paused = interval.filter(|_| is_paused);
        let pinged = interval.unwrap_or(Micros::ZERO);
        let wanted = wanted.filter(|wanted| *wanted < pinged);
        if let Some(after) = paused.into_iter().chain(wanted).min() {
            let at = io.now() + after;
            self.arm(io, key, PeerDue::Sign, at);
        }
    }

    /// Lets the peer hear something.
    pub(in crate::relay) fn give_sign(&mut self, io: &mut Io<'_>, key: PulseKey, is_paused: bool) {
        let Some(peer) = self.get_mut(key) else {
            return;
        };
        if peer.open_leg().is_some_and(|leg| !leg.is_blocked) {
            let sign = peer.pulse.sign();
            self.say_received(io, key, &sign);
        }
        self.plan_sign(io, key, is_paused);
    }
}
