//! Sending to a place: to its connection, or to the frames that are kept for it.

use super::action::Leavings;
use super::backlog::{Backlog, Dropped, Frame, Waiting};
use super::charge::moved;
use super::kept::Kept;
use super::seat::Addressee;
use crate::base::id::ConnId;
use crate::engine::{Io, Message, SendOutcome};
use crate::relay::settings::RelaySettings;
use crate::relay::stats::{DropReason, RelayStats};

/// The most kept frames that are sent in one turn to a peer that is back; the rest follows in later
/// turns.
const REPLAYED_AT_ONCE: u64 = 128;

/// A frame for one or more places, built once.
#[derive(Debug, Clone)]
pub(in crate::relay) struct Parcel {
    frame: Frame,
    /// Whether the frame is kept for absent peers.
    kept: bool,
    /// The class of its receivers.
    to: usize,
}

/// The class number of glasses, as in [`GLASSES`](crate::host::GLASSES).
pub(in crate::relay) const TO_GLASSES: usize = 0;
/// The class number of apps.
pub(in crate::relay) const TO_APPS: usize = 1;

impl Parcel {
    /// Makes a parcel; `None` if the message is neither text nor binary.
    pub(in crate::relay) fn new(message: Message, to: usize, kept: bool) -> Option<Self> {
        let frame = Frame::new(message)?;
        Some(Parcel { frame, kept, to })
    }

    /// Returns the length of the frame with its header, in bytes.
    pub(in crate::relay) fn wire_len(&self) -> usize {
        self.frame.wire_len()
    }

    pub(in crate::relay) fn text(text: String, to: usize) -> Option<Self> {
        Self::new(Message::text(text), to, true)
    }
}

/// What the sending of frames needs besides the place that they go to.
pub(in crate::relay) struct Post<'a> {
    pub(in crate::relay) settings: &'a RelaySettings,
    pub(in crate::relay) stats: &'a mut RelayStats,
}

/// The result of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) struct Replayed {
    /// The number of frames that were sent.
    pub(in crate::relay) frames: u64,
    /// Whether more frames must be sent in a later turn.
    pub(in crate::relay) more: bool,
}

impl Post<'_> {
    /// Sends a frame to the connection of a place, or keeps it if the place waits for its peer.
    /// Returns `false` if the place is empty.
    pub(in crate::relay) fn deliver(
        &mut self,
        io: &mut Io<'_>,
        place: Addressee<'_>,
        parcel: &Parcel,
    ) -> bool {
        let (conn, kept) = match place {
            Addressee::Missing => return false,
            Addressee::Absent(kept) => {
                self.keep(io, kept, parcel);
                return true;
            }
            Addressee::Here(conn, kept) => (conn, kept),
        };
        // Frames that still wait go first.
        if parcel.kept && kept.waiting() > 0 {
            self.keep(io, kept, parcel);
            return true;
        }
        match io.send_prepared(conn, &parcel.frame.prepared) {
            SendOutcome::Flowing | SendOutcome::Pending => {
                self.stats.relayed[parcel.to] += 1;
                if parcel.kept {
                    self.keep_sent(io, kept, conn, &parcel.frame);
                }
            }
            // The connection is being closed, and its end will be reported.
            SendOutcome::Refused(_) => self.keep(io, kept, parcel),
        }
        true
    }

    /// Sends frames that waited, a limited number at once. Frames that are refused keep waiting.
    pub(in crate::relay) fn replay(
        &mut self,
        io: &mut Io<'_>,
        kept: &mut Kept,
        id: ConnId,
    ) -> Replayed {
        let limits = self.settings.replay;
        let mut replayed = Replayed {
            frames: 0,
            more: false,
        };
        if kept.is_empty() {
            return replayed;
        }
        self.change(io, kept, |backlog, stats, io| {
            stats.drop_some(DropReason::Expired, backlog.expire(io.now(), &limits));
            while let Some(waiting) = backlog.first_waiting() {
                if replayed.frames >= REPLAYED_AT_ONCE {
                    replayed.more = true;
                    break;
                }
                let sent = match waiting {
                    Waiting::Copied(text) => io.send(id, text),
                    Waiting::Shared(frame) => io.send_prepared(id, frame),
                };
                if let SendOutcome::Refused(_) = sent {
                    // The connection is being closed.
                    break;
                }
                replayed.frames += 1;
                backlog.mark_sent(io.messages_sent(id));
            }
        });
        if replayed.frames > 0 {
            io.report_pongs(id, true);
        }
        self.stats.replayed += replayed.frames;
        replayed
    }

    /// Handles the loss of a place's connection, on which messages up to `begun` were sent at least
    /// in part. Returns how many frames are in doubt.
    pub(in crate::relay) fn lost(&mut self, io: &mut Io<'_>, kept: &mut Kept, begun: u32) -> u64 {
        if kept.is_empty() {
            return 0;
        }
        let keep = self.settings.replay_unconfirmed;
        let mut doubtful = 0;
        self.change(io, kept, |backlog, stats, _| {
            doubtful = backlog.lost(begun, keep);
            stats.doubtful += doubtful;
        });
        io.spend(units(doubtful, 16));
        doubtful
    }

    /// Confirms every message up to this number. Returns whether any is still unconfirmed.
    pub(in crate::relay) fn confirm(
        &mut self,
        io: &mut Io<'_>,
        kept: &mut Kept,
        received: u32,
    ) -> bool {
        if !kept.is_empty() {
            self.change(io, kept, |backlog, _, io| {
                io.spend(units(backlog.confirm(received) as u64, 16));
            });
        }
        !kept.is_empty()
    }

    /// Releases what was kept for a place that is given up.
    pub(in crate::relay) fn discard(&mut self, io: &mut Io<'_>, leavings: Leavings) {
        let Leavings {
            mut kept,
            subscriptions,
        } = leavings;
        if !kept.is_empty() {
            self.change(io, &mut kept, |backlog, stats, io| {
                io.spend(units(backlog.len() as u64, 16));
                stats.drop_some(DropReason::Ended, backlog.waiting() as u64);
                *backlog = Backlog::default();
            });
        }
        moved(io, subscriptions.allocated(), 0);
    }

    /// Keeps a frame that was sent, until it is confirmed.
    fn keep_sent(&mut self, io: &mut Io<'_>, kept: &mut Kept, conn: ConnId, frame: &Frame) {
        let (number, limits) = (io.messages_sent(conn), self.settings.replay);
        io.report_pongs(conn, true);
        self.change(io, kept, |backlog, stats, io| {
            let has_room = |bytes| io.has_room(bytes);
            stats.drop_all(backlog.sent(frame, number, io.now(), &limits, &has_room));
        });
    }

    /// Keeps a frame for an absent peer, if its type may be kept.
    fn keep(&mut self, io: &mut Io<'_>, kept: &mut Kept, parcel: &Parcel) {
        if !parcel.kept {
            return self.stats.drop_some(DropReason::Skipped, 1);
        }
        // The same cost as for a sent frame, which the engine counts.
        io.spend(1);
        let limits = self.settings.replay;
        self.change(io, kept, |backlog, stats, io| {
            let has_room = |bytes| io.has_room(bytes);
            stats.drop_all(backlog.waits(&parcel.frame, io.now(), &limits, &has_room));
        });
    }

    /// Changes what is kept for a place, and updates the counts. An empty backlog is freed.
    fn change(
        &mut self,
        io: &mut Io<'_>,
        kept: &mut Kept,
        change: impl FnOnce(&mut Backlog, &mut RelayStats, &mut Io<'_>),
    ) {
        let before = (kept.count(), kept.allocated());
        kept.change(|backlog| change(backlog, self.stats, io));
        let after = (kept.count(), kept.allocated());
        self.stats.kept = self.stats.kept + after.0.0 as u64 - before.0.0 as u64;
        self.stats.kept_bytes = self.stats.kept_bytes + after.0.1 as u64 - before.0.1 as u64;
        moved(io, before.1, after.1);
    }
}

/// Returns the work units for this many things, if `each` of them take a microsecond together.
fn units(things: u64, each: u64) -> u32 {
    u32::try_from(things / each).unwrap_or(u32::MAX)
}

impl RelayStats {
    fn drop_all(&mut self, dropped: Dropped) {
        self.drop_some(DropReason::Overflow, dropped.overflow);
        self.drop_some(DropReason::Expired, dropped.expired);
    }
}
