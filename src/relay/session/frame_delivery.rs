//! Sending to a slot: to its connection, or to the frames that are kept for it.

use super::action::SlotContent;
use super::backlog::Backlog;
use super::backlog_queue::{BacklogQueue, BuiltFrame, DropCounts, WaitingFrame};
use super::costs::adjust_charge;
use super::slot::Destination;
use crate::base::id::ConnId;
use crate::engine::{Class, Io, Message, SendOutcome};
use crate::relay::pulse::PulsePeers;
use crate::relay::relay_settings::RelaySettings;
use crate::relay::relay_stats::{DropReason, RelayStats};

/// The most kept frames that are sent in one turn to a peer that is back; the rest follows in later
/// turns.
const REPLAYED_AT_ONCE: u64 = 128;

/// A frame for one or more slots, built once.
#[derive(Debug, Clone)]
pub(in crate::relay) struct RelayFrame {
    pub(super) built: BuiltFrame,
    /// Whether the frame is kept for absent peers.
    pub(super) is_kept: bool,
    /// The class of its receivers.
    pub(super) class: Class,
}

impl RelayFrame {
    /// Makes a frame; `None` if the message is neither text nor binary.
    pub(in crate::relay) fn new(message: Message, class: Class, is_kept: bool) -> Option<Self> {
        let built = BuiltFrame::new(message)?;
        Some(RelayFrame {
            built,
            class,
            is_kept,
        })
    }

    /// Returns the length of the frame with its header, in bytes.
    pub(in crate::relay) fn wire_len(&self) -> usize {
        self.built.wire_len()
    }

    pub(in crate::relay) fn text(text: String, class: Class) -> Option<Self> {
        Self::new(Message::text(text), class, true)
    }
}

/// What the sending of frames needs besides the slot that they go to.
pub(in crate::relay) struct FrameDelivery<'a> {
    pub(in crate::relay) settings: &'a RelaySettings,
    pub(in crate::relay) stats: &'a mut RelayStats,
    pub(in crate::relay) pulse: &'a mut PulsePeers,
}

/// The result of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) struct ReplayOutcome {
    /// The number of frames that were sent.
    pub(in crate::relay) frames: u64,
    /// Whether more frames must be sent in a later turn.
    pub(in crate::relay) has_more: bool,
}

impl FrameDelivery<'_> {
    /// Sends a frame to the connection of a slot, or keeps it if the slot waits for its peer.
    /// Returns `false` if the slot is empty.
    pub(in crate::relay) fn deliver(
        &mut self,
        io: &mut Io<'_>,
        destination: Destination<'_>,
        frame: &RelayFrame,
    ) -> bool {
        let (conn, backlog) = match destination {
            Destination::Empty => return false,
            Destination::Absent(backlog) => (None, backlog),
            Destination::Held(conn, backlog) => (Some(conn), backlog),
        };
        if let Some(key) = backlog.pulse() {
            self.deliver_to_pulse(io, (conn, backlog, key), frame);
            return true;
        }
        let Some(conn) = conn else {
            self.keep(io, backlog, frame);
            return true;
        };
        // Frames that still wait go first.
        if frame.is_kept && backlog.waiting() > 0 {
            self.keep(io, backlog, frame);
            return true;
        }
        match io.send_prepared(conn, &frame.built.prepared) {
            SendOutcome::Flowing | SendOutcome::Pending => {
                self.stats.relayed[usize::from(frame.class.0)] += 1;
                if frame.is_kept {
                    self.keep_sent(io, backlog, conn, &frame.built);
                }
            }
            // The connection is being closed, and its end will be reported.
            SendOutcome::Refused(_) => self.keep(io, backlog, frame),
        }
        true
    }

    /// Sends frames that waited, a limited number at once. Frames that are refused keep waiting.
    pub(in crate::relay) fn replay(
        &mut self,
        io: &mut Io<'_>,
        backlog: &mut Backlog,
        id: ConnId,
    ) -> ReplayOutcome {
        let limits = self.settings.replay;
        let mut replayed = ReplayOutcome {
            frames: 0,
            has_more: false,
        };
        if backlog.is_empty() {
            return replayed;
        }
        self.change(io, backlog, |queue, stats, io| {
            stats.count_drops(DropReason::Expired, queue.expire(io.now(), &limits));
            while let Some(waiting) = queue.first_waiting() {
                if replayed.frames >= REPLAYED_AT_ONCE {
                    replayed.has_more = true;
                    break;
                }
                let sent = match waiting {
                    WaitingFrame::Copied(text) => io.send(id, text),
                    WaitingFrame::Shared(frame) => io.send_prepared(id, frame),
                };
                if let SendOutcome::Refused(_) = sent {
                    // The connection is being closed.
                    break;
                }
                replayed.frames += 1;
                queue.mark_sent(io.messages_sent(id));
            }
        });
        if replayed.frames > 0 {
            io.report_pongs(id, true);
        }
        self.stats.replayed += replayed.frames;
        replayed
    }

    /// Handles the loss of a slot's connection, on which messages up to `begun` were sent at least
    /// in part. Returns how many frames are in doubt.
    pub(in crate::relay) fn on_loss(
        &mut self,
        io: &mut Io<'_>,
        backlog: &mut Backlog,
        begun: u32,
    ) -> u64 {
        if backlog.is_empty() {
            return 0;
        }
        let keep = self.settings.replay_unconfirmed;
        let mut doubtful = 0;
        self.change(io, backlog, |queue, stats, _| {
            doubtful = queue.on_loss(begun, keep);
            stats.doubtful += doubtful;
        });
        io.spend(work_units(doubtful, 16));
        doubtful
    }

    /// Confirms every message up to this number. Returns whether any is still unconfirmed.
    pub(in crate::relay) fn confirm(
        &mut self,
        io: &mut Io<'_>,
        backlog: &mut Backlog,
        received: u32,
    ) -> bool {
        if !backlog.is_empty() {
            self.change(io, backlog, |queue, _, io| {
                io.spend(work_units(queue.confirm(received) as u64, 16));
            });
        }
        !backlog.is_empty()
    }

    /// Releases what was kept for a slot that is given up.
    pub(in crate::relay) fn discard(&mut self, io: &mut Io<'_>, content: SlotContent) {
        let SlotContent {
            mut backlog,
            subscriptions,
        } = content;
        if let Some(key) = backlog.pulse() {
            let unsent = self.pulse.expire(io, key);
            self.stats.count_drops(DropReason::EndedSession, unsent);
            self.unbind(io, &mut backlog);
        }
        if !backlog.is_empty() {
            self.change(io, &mut backlog, |queue, stats, io| {
                io.spend(work_units(queue.len() as u64, 16));
                stats.count_drops(DropReason::EndedSession, queue.waiting() as u64);
                *queue = BacklogQueue::default();
            });
        }
        adjust_charge(io, subscriptions.allocated(), 0);
    }

    /// Keeps a frame that was sent, until it is confirmed.
    fn keep_sent(
        &mut self,
        io: &mut Io<'_>,
        backlog: &mut Backlog,
        conn: ConnId,
        frame: &BuiltFrame,
    ) {
        let (number, limits) = (io.messages_sent(conn), self.settings.replay);
        io.report_pongs(conn, true);
        self.change(io, backlog, |queue, stats, io| {
            let has_room = |bytes| io.has_room(bytes);
            stats.count_queue_drops(queue.push_sent(frame, number, io.now(), &limits, &has_room));
        });
    }

    /// Keeps a frame for an absent peer, if its type may be kept.
    pub(super) fn keep(&mut self, io: &mut Io<'_>, backlog: &mut Backlog, frame: &RelayFrame) {
        if !frame.is_kept {
            return self.stats.count_drops(DropReason::Skipped, 1);
        }
        // The same cost as for a sent frame, which the engine counts.
        io.spend(1);
        let limits = self.settings.replay;
        self.change(io, backlog, |queue, stats, io| {
            let has_room = |bytes| io.has_room(bytes);
            stats.count_queue_drops(queue.push_waiting(&frame.built, io.now(), &limits, &has_room));
        });
    }

    /// Changes what is kept for a slot, and updates the counts. An empty backlog is freed.
    pub(super) fn change(
        &mut self,
        io: &mut Io<'_>,
        backlog: &mut Backlog,
        change: impl FnOnce(&mut BacklogQueue, &mut RelayStats, &mut Io<'_>),
    ) {
        let before = (backlog.count(), backlog.allocated());
        backlog.change(|queue| change(queue, self.stats, io));
        let after = (backlog.count(), backlog.allocated());
        self.stats.kept = self.stats.kept + after.0.0 as u64 - before.0.0 as u64;
        self.stats.kept_bytes = self.stats.kept_bytes + after.0.1 as u64 - before.0.1 as u64;
        adjust_charge(io, before.1, after.1);
    }
}

/// Returns the work units for this many things, if `each` of them take a microsecond together.
pub(super) fn work_units(things: u64, each: u64) -> u32 {
    u32::try_from(things / each).unwrap_or(u32::MAX)
}

impl RelayStats {
    pub(super) fn count_queue_drops(&mut self, dropped: DropCounts) {
        self.count_drops(DropReason::Overflow, dropped.overflow);
        self.count_drops(DropReason::Expired, dropped.expired);
    }
}
