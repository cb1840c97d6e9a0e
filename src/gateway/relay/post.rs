//! Sending to a place: to its peer, or to the frames that wait for it.

use super::Relay;
use super::backlog::{Backlog, Dropped};
use super::session::Place;
use super::stats::{DropReason, RelayStats};
use crate::engine::{Io, Message, Prepared, Sent};
use crate::gateway::settings::{RelaySettings, ReplayLimits};
use crate::id::ConnId;
use crate::time::Micros;
use std::collections::VecDeque;

/// A frame on its way to one or more places, built once.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    frame: Prepared,
    /// Whether it is kept for who is absent.
    kept: bool,
    /// Of which class its addressees are.
    to: usize,
}

/// Glasses, as [`GLASSES`](crate::gateway::GLASSES) counts.
pub(super) const TO_GLASSES: usize = 0;
/// Apps.
pub(super) const TO_APPS: usize = 1;

impl Parcel {
    /// `None` for what is neither text nor binary.
    pub(super) fn new(message: &Message, to: usize, kept: bool) -> Option<Self> {
        let frame = Prepared::new(message)?;
        Some(Parcel { frame, kept, to })
    }

    pub(super) fn text(text: String, to: usize) -> Option<Self> {
        Self::new(&Message::text(text), to, true)
    }
}

/// What sending needs besides the place.
pub(super) struct Post<'a> {
    pub(super) settings: &'a RelaySettings,
    pub(super) stats: &'a mut RelayStats,
}

impl Relay {
    /// The post, and the sessions that it delivers to.
    pub(super) fn post(&mut self) -> (Post<'_>, &mut super::session::Sessions) {
        let post = Post {
            settings: &self.settings,
            stats: &mut self.stats,
        };
        (post, &mut self.sessions)
    }
}

impl Post<'_> {
    /// Sends a frame to whoever has the place, or keeps it for whoever is waited for. `false`: there is nobody.
    pub(super) fn deliver(&mut self, io: &mut Io<'_>, place: &mut Place, parcel: &Parcel) -> bool {
        let Some(conn) = place.conn else {
            if place.absence.is_some() {
                self.keep(io, place, parcel);
            }
            return place.absence.is_some();
        };
        match io.send_prepared(conn, &parcel.frame) {
            Sent::Flowing | Sent::Pending => {
                self.stats.relayed[parcel.to] += 1;
                if parcel.kept {
                    self.keep_sent(io, place, conn, parcel.frame.clone(), io.now());
                }
            }
            // It is on its way out, and its end will be told.
            Sent::Refused(_) => self.keep(io, place, parcel),
        }
        true
    }

    /// Sends what has waited. What is not taken waits on.
    pub(super) fn replay(&mut self, io: &mut Io<'_>, place: &mut Place, id: ConnId) -> u64 {
        let limits = self.settings.replay;
        let mut waiting = VecDeque::new();
        self.change(place, |backlog, stats| {
            let (frames, expired) = backlog.take(io.now(), &limits);
            stats.drop_some(DropReason::Expired, expired);
            waiting = frames;
        });
        let mut replayed = 0;
        while let Some(kept) = waiting.pop_front() {
            if let Sent::Refused(_) = io.send_prepared(id, &kept.frame) {
                // The connection is on its way out.
                waiting.push_front(kept);
                place.backlog.get_or_insert_default();
                self.change(place, |backlog, _| backlog.put_back(waiting));
                break;
            }
            replayed += 1;
            // It grows no younger by that.
            self.keep_sent(io, place, id, kept.frame, kept.at);
        }
        self.stats.replayed += replayed;
        replayed
    }

    /// The connection of a place is lost: of its messages up to `begun` a byte or more has gone out. Returns how many frames are
    /// in doubt by that.
    pub(super) fn lost(&mut self, place: &mut Place, begun: u32) -> u64 {
        let keep = self.settings.replay_unconfirmed;
        let mut doubtful = 0;
        self.change(place, |backlog, stats| {
            doubtful = backlog.lost(begun, keep);
            stats.doubtful += doubtful;
        });
        doubtful
    }

    /// The peer has got every message up to this number. Whether anything is unconfirmed still.
    pub(super) fn confirm(&mut self, place: &mut Place, received: u32) -> bool {
        self.change(place, |backlog, _| backlog.confirm(received));
        place.backlog.is_some()
    }

    /// Nobody is waited for any more.
    pub(super) fn discard(&mut self, place: &mut Place) {
        let limits = self.settings.replay;
        self.change(place, |backlog, stats| {
            stats.drop_some(DropReason::Ended, backlog.waiting());
            // However old: all of it goes.
            drop(backlog.take(Micros::ZERO, &limits));
        });
        place.backlog = None;
    }

    /// Keeps a frame that came at `at` and was sent, until it is confirmed.
    fn keep_sent(
        &mut self,
        io: &mut Io<'_>,
        place: &mut Place,
        conn: ConnId,
        frame: Prepared,
        at: Micros,
    ) {
        let (number, now, limits) = (io.messages_sent(conn), io.now(), self.limits(place));
        io.watch(conn, true);
        place.backlog.get_or_insert_default();
        self.change(place, |backlog, stats| {
            stats.drop_all(backlog.sent(frame, number, at, now, &limits));
        });
    }

    /// Keeps a frame for who is absent, if it is of a kind that is kept.
    fn keep(&mut self, io: &Io<'_>, place: &mut Place, parcel: &Parcel) {
        if !parcel.kept {
            return self.stats.drop_some(DropReason::Skipped, 1);
        }
        let (now, limits) = (io.now(), self.limits(place));
        place.backlog.get_or_insert_default();
        self.change(place, |backlog, stats| {
            stats.drop_all(backlog.waits(parcel.frame.clone(), now, &limits));
        });
    }

    /// What may be kept for a place: less than the settings say if all places together hold as much as they may. Then each
    /// has what it has, and its own oldest frames make room.
    fn limits(&self, place: &Place) -> ReplayLimits {
        let limits = self.settings.replay;
        let (own, all) = (place.kept().1, self.stats.kept_bytes as usize);
        let room = self.settings.replay_total_bytes.saturating_sub(all);
        ReplayLimits {
            max_bytes: limits.max_bytes.min(own + room),
            ..limits
        }
    }

    /// Changes what is kept for a place, and keeps the account. An empty backlog is given up.
    fn change(&mut self, place: &mut Place, change: impl FnOnce(&mut Backlog, &mut RelayStats)) {
        let Some(backlog) = &mut place.backlog else {
            return;
        };
        let (frames, bytes) = (backlog.len() as u64, backlog.bytes() as u64);
        change(backlog, self.stats);
        self.stats.kept = self.stats.kept + backlog.len() as u64 - frames;
        self.stats.kept_bytes = self.stats.kept_bytes + backlog.bytes() as u64 - bytes;
        if backlog.is_empty() {
            place.backlog = None;
        }
    }
}

impl RelayStats {
    fn drop_all(&mut self, dropped: Dropped) {
        self.drop_some(DropReason::Overflow, dropped.overflow);
        self.drop_some(DropReason::Expired, dropped.expired);
    }
}
