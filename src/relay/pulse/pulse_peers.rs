//! All pulse sessions of the relay, and how they are found.

use super::peer_due::{PeerDue, PeerDues};
use super::peer_owner::PeerOwner;
use super::pulse_key::PulseKey;
use super::pulse_peer::{PeerPlace, PulsePeer, UnackedFrame};
use super::waiting_peers::{WaitingPeer, WaitingPeers};
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{Ending, Io, TimerId};
use crate::host::{
    AckWatch, BootId, ClientLeg, EventSender, HoldEnd, LineBudget, NotHeld, OpenRefusal,
    ResetReason, SessionCounts, TokenTable, code_of, ends_session,
};
use crate::pulse::{ResumeError, ResumeToken, SessionLoss};
use std::collections::{BTreeMap, HashMap};

/// How long a session that cannot be resumed stays, so that its peer is told why.
const BROKEN_TIME: Micros = Micros::from_secs(60);

/// All pulse sessions of the relay, and how they are found.
#[derive(Debug, Default)]
pub(in crate::relay) struct PulsePeers {
    peers: BTreeMap<PulseKey, Box<PulsePeer>>,
    legs: HashMap<ConnId, PulseKey>,
    tokens: TokenTable<PulseKey>,
    waiting: WaitingPeers,
    dues: PeerDues,
    /// The session that an app has just named in its first message, until the app takes its slot in
    /// the same call of the loop.
    pub(in crate::relay) claim: Option<ResumeClaim>,
    pub(in crate::relay) counts: SessionCounts,
    pub(in crate::relay) events: EventSender,
    pub(in crate::relay) reset_lines: LineBudget,
    /// The id of this run of the gateway.
    pub(in crate::relay) boot: Option<BootId>,
    last_key: u64,
}

/// A connection that may take a pulse session.
#[derive(Debug, Clone, Copy)]
pub(in crate::relay) struct ResumeClaim {
    pub(in crate::relay) id: ConnId,
    pub(in crate::relay) key: PulseKey,
    pub(in crate::relay) token: ResumeToken,
    /// How many messages the peer has received.
    pub(in crate::relay) rx: u64,
}

/// What becomes of a pulse session that has lost its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Detached {
    /// It waits for its peer.
    Held,
    /// It is over: the peer left for good, or is not known to have a token.
    Over { has_farewell: bool },
}

impl PulsePeers {
    /// Returns the pulse session of a connection.
    pub(in crate::relay) fn key_of(&self, id: ConnId) -> Option<PulseKey> {
        self.legs.get(&id).copied()
    }

    pub(in crate::relay) fn get(&self, key: PulseKey) -> Option<&PulsePeer> {
        self.peers.get(&key).map(|peer| &**peer)
    }

    pub(in crate::relay) fn get_mut(&mut self, key: PulseKey) -> Option<&mut PulsePeer> {
        self.peers.get_mut(&key).map(|peer| &mut **peer)
    }

    /// Returns the session that this token names.
    pub(in crate::relay) fn find(&self, token: ResumeToken) -> Option<PulseKey> {
        self.tokens.find(token)
    }

    /// Sets what a peer waits for that has no session yet.
    pub(in crate::relay) fn set_waiting(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        waiting: WaitingPeer,
    ) {
        self.waiting.set(io, id, waiting);
    }

    /// Returns what a peer waits for that has no session yet.
    pub(in crate::relay) fn waiting(&self, id: ConnId) -> Option<&WaitingPeer> {
        self.waiting.get(id)
    }

    /// Refuses a peer as soon as its WebSocket is open. Returns whether it has asked for pulse.
    pub(in crate::relay) fn refuse(&mut self, id: ConnId, refusal: OpenRefusal) -> bool {
        self.waiting.refuse(id, refusal)
    }

    /// Takes what a peer waits for that has no session yet.
    pub(in crate::relay) fn take_waiting(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
    ) -> Option<WaitingPeer> {
        self.waiting.take(io, id)
    }

    /// Begins a session on this connection. Returns the token that its hello offers, too.
    pub(in crate::relay) fn begin(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        owner: PeerOwner,
    ) -> (PulseKey, ResumeToken) {
        self.last_key += 1;
        let key = PulseKey(self.last_key);
        let offer = ResumeToken::new(io.random_bytes());
        self.legs.insert(id, key);
        let peer = PulsePeer::new(id, owner, offer);
        self.peers.insert(key, Box::new(peer));
        self.counts.opened += 1;
        self.counts.attached += 1;
        self.sync_tokens(key);
        self.charge(io, key);
        (key, offer)
    }

    /// Removes a session from every table, and frees what it keeps.
    pub(in crate::relay) fn remove(
        &mut self,
        io: &mut Io<'_>,
        key: PulseKey,
    ) -> Option<Box<PulsePeer>> {
        let mut peer = self.peers.remove(&key)?;
        self.tell_ended(io.now(), key, &peer);
        self.tokens.remove(peer.tokens.as_ref());
        self.dues.disarm_all(&mut peer.times, key);
        match peer.place {
            PeerPlace::Attached(leg) => {
                self.legs.remove(&leg.id);
                self.counts.attached -= 1;
            }
            PeerPlace::Held => {
                self.counts.held -= 1;
                self.counts.held_bytes -= peer.charged as u64;
            }
        }
        io.release(peer.charged);
        self.counts.unacknowledged += peer.pulse.sent().len() as u64;
        if self.peers.is_empty() {
            self.legs.shrink_to(0);
        }
        Some(peer)
    }

    /// Ends the wait of a session whose slot is given up.
    pub(in crate::relay) fn expire(&mut self, io: &mut Io<'_>, key: PulseKey) -> u64 {
        let Some(mut peer) = self.remove(io, key) else {
            return 0;
        };
        if peer.place == PeerPlace::Held {
            self.counts.holds_ended[HoldEnd::Expired as usize] += 1;
        }
        let frames = peer.take_unacknowledged();
        frames.iter().filter(|frame| !frame.is_sent).count() as u64
    }

    /// Ends a session that cannot be resumed any more. It stays until its peer has been told, with
    /// nothing kept. Returns what its peer had not acknowledged.
    pub(in crate::relay) fn break_off(
        &mut self,
        io: &mut Io<'_>,
        key: PulseKey,
        why: ResetReason,
    ) -> Vec<UnackedFrame> {
        let Some(peer) = self.peers.get_mut(&key) else {
            return Vec::new();
        };
        peer.broken = Some(why);
        let frames = peer.take_unacknowledged();
        self.counts.unacknowledged += frames.len() as u64;
        let is_held = peer.place == PeerPlace::Held;
        self.disarm_all(key);
        if is_held {
            // No slot names it any more, so nothing else would end it.
            self.arm(io, key, PeerDue::Hold, io.now() + BROKEN_TIME);
        }
        self.charge(io, key);
        log::debug!("pulse session={key} state=broken why={why}");
        frames
    }

    /// Handles the end of the connection of a session. `not_held`: why the session cannot wait for
    /// its peer.
    pub(in crate::relay) fn detach(
        &mut self,
        io: &Io<'_>,
        (id, key): (ConnId, PulseKey),
        end: &Ending,
        not_held: Option<NotHeld>,
    ) -> Detached {
        let Some(peer) = self.peers.get_mut(&key) else {
            return Detached::Over {
                has_farewell: false,
            };
        };
        let is_final = ends_session(end.cause, code_of(io, id, end));
        if !is_final {
            self.counts.losses += 1;
            let is_dirty = !peer.pulse.sent().is_empty();
            self.counts.losses_unacknowledged += u64::from(is_dirty);
        }
        let loss = peer.pulse.detach();
        let has_farewell = peer.pulse.has_farewell();
        let not_held = match loss {
            _ if is_final || has_farewell => return Detached::Over { has_farewell },
            SessionLoss::Held => not_held,
            SessionLoss::Over => Some(NotHeld::Unproved),
        };
        if let Some(why) = not_held {
            self.counts.not_held[why as usize] += 1;
            return Detached::Over { has_farewell };
        }
        if let PeerPlace::Attached(leg) = std::mem::replace(&mut peer.place, PeerPlace::Held) {
            self.legs.remove(&leg.id);
        }
        peer.held_since = io.now();
        self.counts.attached -= 1;
        self.counts.held += 1;
        self.counts.held_bytes += peer.charged as u64;
        self.disarm_all(key);
        log::debug!("pulse session={key} state=held");
        self.tell_held(key);
        Detached::Held
    }

    /// Cuts a session from the connection that it has, which still looks open. Returns that
    /// connection. Nothing is read from it any more.
    pub(in crate::relay) fn cut(&mut self, key: PulseKey) -> Option<ConnId> {
        let peer = self.peers.get_mut(&key)?;
        let old = peer.conn()?;
        peer.pulse.detach();
        self.legs.remove(&old);
        self.counts.taken_over += 1;
        self.counts.losses += 1;
        let is_dirty = !peer.pulse.sent().is_empty();
        self.counts.losses_unacknowledged += u64::from(is_dirty);
        Some(old)
    }

    /// Gives a session that has no connection, or was cut from it, another one. Returns the token
    /// that the hello offers, and how many messages were received.
    ///
    /// # Errors
    /// The peer does not know the token, or has received what was not sent.
    pub(in crate::relay) fn resume(
        &mut self,
        io: &mut Io<'_>,
        claim: ResumeClaim,
    ) -> Result<(ResumeToken, u64), ResumeError> {
        let ResumeClaim { id, key, token, rx } = claim;
        let Some(peer) = self.peers.get_mut(&key) else {
            return Err(ResumeError::Token);
        };
        let sent_again = peer.pulse.sent().sent().saturating_sub(rx);
        let offer = ResumeToken::new(io.random_bytes());
        let received = peer.pulse.resume(token, rx, offer)?;
        peer.drop_notes();
        (peer.wanted_sign, peer.end_watch) = (None, AckWatch::default());
        (peer.last_conn, peer.resumes) = (id, peer.resumes + 1);
        let (leg, mut held) = (ClientLeg::new(id), Micros::ZERO);
        if std::mem::replace(&mut peer.place, PeerPlace::Attached(leg)) == PeerPlace::Held {
            self.counts.held -= 1;
            self.counts.held_bytes -= peer.charged as u64;
            held = io.now() - peer.held_since;
            self.counts.attached += 1;
            self.counts.holds_ended[HoldEnd::Resumed as usize] += 1;
        }
        self.counts.sent_again += sent_again;
        self.legs.insert(id, key);
        self.disarm_all(key);
        self.sync_tokens(key);
        self.charge(io, key);
        log::debug!("pulse session={key} state=resumed sent_again={sent_again}");
        self.tell_resumed(key, held, sent_again);
        Ok((offer, received))
    }

    /// Finds a session by the tokens that are valid now, and by no others.
    pub(in crate::relay) fn sync_tokens(&mut self, key: PulseKey) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        let tokens = peer.pulse.tokens();
        self.tokens.update(key, &mut peer.tokens, tokens);
    }

    /// Charges what is allocated for a session.
    pub(in crate::relay) fn charge(&mut self, io: &mut Io<'_>, key: PulseKey) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        let (before, now) = (peer.charged, peer.allocated());
        peer.charged = now;
        io.charge(now.saturating_sub(before));
        io.release(before.saturating_sub(now));
        if peer.place == PeerPlace::Held {
            let held = &mut self.counts.held_bytes;
            *held = *held + now as u64 - before as u64;
        }
    }

    /// Returns the bytes that all sessions and waiting peers account for.
    pub(in crate::relay) fn charged(&self) -> usize {
        let peers = self.peers.values().map(|peer| peer.allocated());
        peers.sum::<usize>() + self.waiting.charged()
    }

    /// Sets when something is due for a session, unless it is due earlier.
    pub(in crate::relay) fn arm(
        &mut self,
        io: &mut Io<'_>,
        key: PulseKey,
        due: PeerDue,
        at: Micros,
    ) {
        if let Some(peer) = self.peers.get_mut(&key) {
            self.dues.arm(&mut peer.times, (key, due), at);
            self.dues.set_timer(io);
        }
    }

    fn disarm_all(&mut self, key: PulseKey) {
        if let Some(peer) = self.peers.get_mut(&key) {
            self.dues.disarm_all(&mut peer.times, key);
        }
    }

    /// Returns whether the timer belongs to the sessions.
    pub(in crate::relay) fn on_timer(&mut self, timer: TimerId) -> bool {
        self.dues.on_timer(timer)
    }

    /// Takes the next entry that is due.
    pub(in crate::relay) fn take_due(&mut self, now: Micros) -> Option<(PulseKey, PeerDue)> {
        let (key, due) = self.dues.take_due(now)?;
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.times.clear(due);
        }
        Some((key, due))
    }

    /// Sets the timer for the next entry.
    pub(in crate::relay) fn set_timer(&mut self, io: &mut Io<'_>) {
        self.dues.set_timer(io);
    }
}
