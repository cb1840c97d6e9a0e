//! One pulse session of the relay.

use super::peer_due::PeerTimes;
use super::peer_owner::PeerOwner;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::Message;
use crate::host::{AckWatch, ClientLeg, Identity, ResetReason};
use crate::pulse::{
    ClientFrame, FrameEffect, LedgerEntry, PulseSession, ResumeToken, SessionFault, TokenPair,
};
use std::collections::VecDeque;

/// A pulse session of glasses or of an app.
#[derive(Debug)]
pub(in crate::relay) struct PulsePeer {
    pub(in crate::relay) pulse: PulseSession,
    /// What the relay notes of each entry that is not acknowledged.
    notes: VecDeque<EntryNote>,
    pub(in crate::relay) owner: PeerOwner,
    /// The identity whose slot names this session, or named it before the session ended.
    pub(in crate::relay) identity: Option<Identity>,
    /// Whether the app has the newer SDK.
    pub(in crate::relay) has_newer_sdk: bool,
    /// Whether the app waits for its glasses before it is acknowledged.
    pub(in crate::relay) is_deferred: bool,
    /// The hash of the key with which the app introduced itself.
    pub(in crate::relay) key_hash: Option<[u8; 32]>,
    pub(in crate::relay) place: PeerPlace,
    /// The peer's connection, or the last one that it had.
    pub(super) last_conn: ConnId,
    /// Since when it waits for its peer, if it does.
    pub(super) held_since: Micros,
    /// How many times it was resumed.
    pub(super) resumes: u32,
    /// The end that the peer is told. The session has no slot any more.
    pub(in crate::relay) end: Option<PeerEnd>,
    /// Whether the peer acknowledges what came before the end.
    pub(in crate::relay) end_watch: AckWatch,
    /// Why the session cannot be resumed. It has no slot any more, and keeps nothing.
    pub(in crate::relay) broken: Option<ResetReason>,
    /// The longest time for which the peer wants to hear nothing.
    pub(super) wanted_sign: Option<Micros>,
    /// The tokens under which the session is found. They follow [`PulseSession::tokens`].
    pub(super) tokens: Option<TokenPair>,
    /// The bytes that are charged for it.
    pub(super) charged: usize,
    /// When something of each kind is due.
    pub(super) times: PeerTimes,
}

/// Where the peer of a pulse session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum PeerPlace {
    /// It has a connection.
    Attached(ClientLeg),
    /// It was lost, and may come back.
    Held,
}

/// How the relay closes a peer for good, once the peer has acknowledged everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) struct PeerEnd {
    pub(in crate::relay) cause: Cause,
    pub(in crate::relay) code: u16,
    pub(in crate::relay) reason: &'static str,
}

#[derive(Debug, Clone, Copy)]
struct EntryNote {
    /// When the entry was to be sent.
    at: Micros,
    /// Whether the frame is kept for a peer that has lost its session.
    is_kept: bool,
}

/// A message that a peer had not acknowledged when its pulse session was lost.
#[derive(Debug)]
pub(in crate::relay) struct UnackedFrame {
    pub(in crate::relay) message: Message,
    pub(in crate::relay) at: Micros,
    /// Whether it was sent: it may have arrived.
    pub(in crate::relay) is_sent: bool,
    pub(in crate::relay) is_kept: bool,
}

impl PulsePeer {
    /// Begins a session with its first connection, whose hello offers this token.
    pub(super) fn new(id: ConnId, owner: PeerOwner, offer: ResumeToken) -> Self {
        PulsePeer {
            // The relay itself bounds what is kept.
            pulse: PulseSession::new(offer, usize::MAX / 2),
            notes: VecDeque::new(),
            owner,
            identity: None,
            has_newer_sdk: false,
            is_deferred: false,
            key_hash: None,
            place: PeerPlace::Attached(ClientLeg::new(id)),
            last_conn: id,
            held_since: Micros::ZERO,
            resumes: 0,
            end: None,
            end_watch: AckWatch::default(),
            broken: None,
            wanted_sign: None,
            tokens: None,
            charged: 0,
            times: PeerTimes::NOTHING,
        }
    }

    /// Returns the peer's connection.
    pub(in crate::relay) fn conn(&self) -> Option<ConnId> {
        match self.place {
            PeerPlace::Attached(leg) => Some(leg.id),
            PeerPlace::Held => None,
        }
    }

    /// Returns the peer's connection, if it has one, and what is sent on it.
    pub(super) fn attached(&mut self) -> Option<(&mut ClientLeg, &mut PulseSession)> {
        match &mut self.place {
            PeerPlace::Attached(leg) => Some((leg, &mut self.pulse)),
            PeerPlace::Held => None,
        }
    }

    /// Returns whether a slot names the session.
    pub(in crate::relay) fn has_slot(&self) -> bool {
        self.identity.is_some() && self.end.is_none() && self.broken.is_none()
    }

    /// Keeps an entry. Returns whether it has room: there may be only so many entries.
    pub(super) fn queue(&mut self, entry: LedgerEntry, at: Micros, is_kept: bool) -> bool {
        let is_taken = self.pulse.queue(entry).is_ok();
        if is_taken {
            self.notes.push_back(EntryNote { at, is_kept });
        }
        is_taken
    }

    /// Handles a control frame.
    ///
    /// # Errors
    /// See [`PulseSession::on_frame`].
    pub(super) fn on_frame(
        &mut self,
        frame: ClientFrame,
        now: Micros,
    ) -> Result<FrameEffect, SessionFault> {
        let effect = self.pulse.on_frame(frame, now);
        self.drop_notes();
        effect
    }

    /// Drops the notes of entries that are acknowledged.
    pub(super) fn drop_notes(&mut self) {
        let acknowledged = self.notes.len().saturating_sub(self.pulse.sent().len());
        self.notes.drain(..acknowledged);
        if self.notes.is_empty() {
            // An idle session owns no memory for messages.
            self.notes = VecDeque::new();
        }
    }

    /// Removes and returns the messages that the peer has not acknowledged, the oldest first.
    pub(in crate::relay) fn take_unacknowledged(&mut self) -> Vec<UnackedFrame> {
        let sent = self.pulse.sent().sent() - self.pulse.sent().acknowledged();
        let notes = std::mem::take(&mut self.notes);
        let entries = self.pulse.take_unacknowledged().zip(notes);
        let entries = entries
            .zip(0..)
            .filter_map(|((entry, note), at)| match entry {
                LedgerEntry::Message(message) => Some(UnackedFrame {
                    message,
                    at: note.at,
                    is_sent: at < sent,
                    is_kept: note.is_kept,
                }),
                LedgerEntry::End(_) => None,
            });
        entries.collect()
    }

    /// Returns the memory that is allocated for the session, in bytes.
    pub(super) fn allocated(&self) -> usize {
        /// What the tables take for a session: four entries and the places that are free.
        const PLACES: usize = 320;
        let identity = self.identity.as_ref();
        PLACES + size_of::<Self>() - size_of::<PulseSession>()
            + self.pulse.allocated()
            + self.notes.capacity() * size_of::<EntryNote>()
            + self.owner.allocated()
            + identity.map_or(0, |identity| identity.user.len())
    }
}
