//! Sending to the slot of a peer that speaks pulse, and what happens to its frames when its pulse
//! session is lost.

use super::backlog::Backlog;
use super::backlog_queue::BacklogQueue;
use super::costs::adjust_charge;
use super::frame_delivery::{FrameDelivery, RelayFrame, work_units};
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::engine::{Io, Message};
use crate::host::ResetReason;
use crate::relay::pulse::{Keeping, PulseKey, UnackedFrame};
use crate::relay::relay_stats::DropReason;
use crate::relay::role::GLASSES;

/// The close reason of a peer that does not acknowledge what it is sent.
const NOT_ACKNOWLEDGED: &str = "the messages of the session are not acknowledged";

impl FrameDelivery<'_> {
    /// Sends a frame to a peer that speaks pulse, or keeps it until the peer is back. It is kept
    /// until the peer acknowledges it, whatever its type.
    pub(super) fn deliver_to_pulse(
        &mut self,
        io: &mut Io<'_>,
        (conn, backlog, key): (Option<ConnId>, &mut Backlog, PulseKey),
        frame: &RelayFrame,
    ) {
        let Some(message) = frame.built.message() else {
            return;
        };
        if sabotage::on(Bug::RelayDropsSilently) && conn.is_none() && !frame.is_kept {
            return;
        }
        let keeping = Keeping {
            limits: self.settings.replay,
            is_kept: frame.is_kept,
            // Apps wait while their glasses have no room, so the rest is of the relay itself.
            may_use_spare: conn.is_some() && frame.class == GLASSES,
        };
        io.spend(1);
        match self.pulse.queue(io, key, message, keeping) {
            Ok(()) => {
                self.stats.relayed[usize::from(frame.class.0)] += u64::from(conn.is_some());
                self.pulse.send_more(io, key);
            }
            Err(why) => {
                self.break_session(io, backlog, key, why);
                if let Some(conn) = conn {
                    close_unacknowledged(io, conn);
                }
                self.keep(io, backlog, frame);
            }
        }
    }

    /// Ends a pulse session that cannot go on. Its slot keeps the frames that have not been sent,
    /// as for a peer without pulse.
    pub(in crate::relay) fn break_session(
        &mut self,
        io: &mut Io<'_>,
        backlog: &mut Backlog,
        key: PulseKey,
        why: ResetReason,
    ) {
        let frames = self.pulse.break_off(io, key, why);
        self.unbind(io, backlog);
        self.keep_unsent(io, backlog, frames);
    }

    /// Ends the pulse session of a slot, if it has one: the peer is gone for good, or has come back
    /// without it. The slot keeps the frames that have not been sent. Returns how many frames are
    /// in doubt; `None` if there was no pulse session.
    pub(in crate::relay) fn end_pulse(
        &mut self,
        io: &mut Io<'_>,
        backlog: &mut Backlog,
    ) -> Option<u64> {
        let key = backlog.pulse()?;
        let peer = self.pulse.remove(io, key);
        self.unbind(io, backlog);
        let frames = peer.map(|mut peer| peer.take_unacknowledged());
        Some(self.keep_unsent(io, backlog, frames.unwrap_or_default()))
    }

    /// Lets a new pulse session keep the frames of a slot. Returns those that were kept before.
    pub(in crate::relay) fn bind_pulse(
        &mut self,
        io: &mut Io<'_>,
        backlog: &mut Backlog,
        key: PulseKey,
    ) -> BacklogQueue {
        let before = (backlog.count(), backlog.allocated());
        let kept = backlog.bind(key);
        self.stats.kept -= before.0.0 as u64;
        self.stats.kept_bytes -= before.0.1 as u64;
        adjust_charge(io, before.1, backlog.allocated());
        kept
    }

    /// Sends frames that were kept before the pulse session began. Returns how many there are.
    pub(in crate::relay) fn replay_to_pulse(
        &mut self,
        io: &mut Io<'_>,
        key: PulseKey,
        mut kept: BacklogQueue,
    ) -> u64 {
        let limits = self.settings.replay;
        let expired = kept.expire(io.now(), &limits);
        self.stats.count_drops(DropReason::Expired, expired);
        let (mut replayed, mut lost) = (0, 0);
        while let Some(waiting) = kept.first_waiting() {
            let keeping = Keeping {
                limits,
                is_kept: true,
                may_use_spare: false,
            };
            let queued = match waiting.into_message() {
                Some(message) => self.pulse.queue(io, key, message, keeping).is_ok(),
                None => false,
            };
            replayed += u64::from(queued);
            lost += u64::from(!queued);
            kept.mark_sent(0);
        }
        io.spend(work_units(replayed + lost, 4));
        self.stats.replayed += replayed;
        self.stats.count_drops(DropReason::Overflow, lost);
        self.pulse.send_more(io, key);
        replayed
    }

    /// Sends an answer to a peer that speaks pulse.
    ///
    /// # Errors
    /// There is no room for it: the session cannot go on.
    pub(in crate::relay) fn answer_pulse(
        &mut self,
        io: &mut Io<'_>,
        key: PulseKey,
        text: String,
    ) -> Result<(), ResetReason> {
        let keeping = Keeping {
            limits: self.settings.replay,
            is_kept: false,
            may_use_spare: true,
        };
        self.pulse.queue(io, key, Message::text(text), keeping)?;
        self.pulse.send_more(io, key);
        Ok(())
    }

    /// Forgets the pulse session of a slot, and updates the charge.
    pub(in crate::relay) fn unbind(&mut self, io: &mut Io<'_>, backlog: &mut Backlog) {
        let before = backlog.allocated();
        backlog.unbind();
        adjust_charge(io, before, backlog.allocated());
    }

    /// Keeps the frames of a lost pulse session that have not been sent. Those that were sent are
    /// in doubt. Returns how many.
    fn keep_unsent(
        &mut self,
        io: &mut Io<'_>,
        backlog: &mut Backlog,
        frames: Vec<UnackedFrame>,
    ) -> u64 {
        let limits = self.settings.replay;
        let (mut doubtful, mut skipped) = (0, 0);
        io.spend(work_units(frames.len() as u64, 4));
        for frame in frames {
            doubtful += u64::from(frame.is_sent && frame.is_kept);
            skipped += u64::from(!frame.is_sent && !frame.is_kept);
            let is_wanted = !frame.is_sent || self.settings.replay_unconfirmed;
            let built = RelayFrame::new(frame.message, GLASSES, true);
            if let Some(built) = built.filter(|_| frame.is_kept && is_wanted) {
                self.change(io, backlog, |queue, stats, io| {
                    let has_room = |bytes| io.has_room(bytes);
                    let (built, at) = (&built.built, frame.at);
                    stats.count_queue_drops(queue.push_waiting(built, at, &limits, &has_room));
                });
            }
        }
        self.stats.doubtful += doubtful;
        self.stats.count_drops(DropReason::Skipped, skipped);
        doubtful
    }
}

/// Closes a connection whose peer does not acknowledge what it is sent.
pub(in crate::relay) fn close_unacknowledged(io: &mut Io<'_>, conn: ConnId) {
    let cause = Cause::SLOW_CONSUMER;
    io.resume_reading(conn);
    io.close_for(conn, cause, cause.close_code(), NOT_ACKNOWLEDGED);
}
