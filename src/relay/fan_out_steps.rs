//! Delivery of frames from the glasses to many apps, in steps.

use super::relay::Relay;
use super::relay_stats::DropReason;
use super::session::{FanOut, adjust_charge};
use super::tables::RelayTask;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::engine::{Io, PhaseView};

/// The most frames of one session that are being delivered at one time. More than one are possible
/// only after the glasses have reconnected: the others are from their older connections.
pub(super) const FAN_OUTS_MAX: usize = 16;

impl Relay {
    /// Sends a frame of the glasses to every app of their session that subscribed to it: to some
    /// apps at once, to the rest in later turns.
    pub(super) fn fan_out(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        user: &str,
        mut frame: FanOut<'_>,
    ) {
        let (mut delivery, sessions) = self.delivery();
        let Some(session) = sessions.get_mut(user) else {
            return;
        };
        if session.fan_outs.is_empty() && frame.step(&mut delivery, io, user, &mut session.apps) {
            return;
        }
        if session.fan_outs.len() >= FAN_OUTS_MAX {
            if self.pulse.key_of(id).is_some() {
                // They send it again on their next connection.
                let cause = Cause::BUFFERS_FULL;
                let why = "frames of older connections are still being delivered";
                return io.close_for(id, cause, cause.close_code(), why);
            }
            return self.stats.count_drops(DropReason::NoRoom, 1);
        }
        // Frames of older connections go first.
        if sabotage::on(Bug::FanOutOvertakes) {
            session.fan_outs.push_front(frame.into_owned());
        } else {
            session.fan_outs.push(frame);
        }
        io.set_unfinished(id, session.fan_outs.held_by(id));
    }

    /// Continues the deliveries to the apps of a session. Returns whether any are left.
    pub(super) fn step_fan_outs(&mut self, io: &mut Io<'_>, user: &str) -> bool {
        let (mut delivery, sessions) = self.delivery();
        let Some(session) = sessions.get_mut(user) else {
            return false;
        };
        let Some(mut frame) = session.fan_outs.pop() else {
            return false;
        };
        let before = frame.charged();
        let is_done = frame.step(&mut delivery, io, user, &mut session.apps);
        adjust_charge(io, before, if is_done { 0 } else { frame.charged() });
        if !is_done {
            session.fan_outs.push_front(frame);
        }
        session.fan_outs.tidy();
        !session.fan_outs.is_empty()
    }

    /// Continues the delivery of the last frame of this connection of glasses.
    pub(super) fn continue_fan_out(&mut self, io: &mut Io<'_>, id: ConnId, user: &str) {
        if self.step_fan_outs(io, user)
            && let Some(session) = self.sessions.get(user)
        {
            io.set_unfinished(id, session.fan_outs.held_by(id));
        }
    }

    /// Continues the deliveries of frames whose connections have ended. Returns the rest, if any.
    pub(super) fn step_orphans(&mut self, io: &mut Io<'_>, user: Box<str>) -> Option<RelayTask> {
        let has_orphan = |relay: &Relay| {
            relay
                .sessions
                .get(&user)
                .is_some_and(|session| session.fan_outs.has_orphan())
        };
        if has_orphan(self) {
            self.step_fan_outs(io, &user);
        }
        if has_orphan(self) {
            return Some(RelayTask::FanOut(user));
        }
        if let Some(session) = self.sessions.get_mut(&user) {
            session.fan_outs.end_task();
        }
        None
    }

    /// Takes over the frames of a connection of the glasses that has ended. They still reach their
    /// apps, unless the connection was closed to free memory.
    pub(super) fn orphan_fan_outs(&mut self, io: &mut Io<'_>, id: ConnId, user: &str) {
        let is_for_memory = io.view(id).is_some_and(|view| match view.phase {
            PhaseView::Closing { cause, .. } => cause == Cause::BUFFERS_FULL,
            PhaseView::Opening { .. } | PhaseView::Dialing { .. } | PhaseView::Open => false,
        });
        let Some(session) = self.sessions.get_mut(user) else {
            return;
        };
        // What glasses that speak pulse have sent counts as received.
        if is_for_memory && self.pulse.key_of(id).is_none() {
            let frames = session.fan_outs.drop_from(id);
            session.fan_outs.tidy();
            return self.stats.count_drops(DropReason::NoRoom, frames);
        }
        if sabotage::on(Bug::OrphanLost) {
            session.fan_outs.drop_from(id);
        }
        session.fan_outs.mark_orphaned(io, Some(id));
        if session.fan_outs.claim_task() {
            self.queue_task(io, RelayTask::FanOut(user.into()));
        }
    }
}
