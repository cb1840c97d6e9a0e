//! Delivery of frames from the glasses to many apps, in steps.

use super::relay::Relay;
use super::session::{FanOut, moved};
use super::stats::DropReason;
use super::tables::Chore;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::engine::{Io, PhaseView};

/// The most frames of one session that are being delivered at one time. More than one are possible
/// only after the glasses have reconnected: the others are from their older connections.
const ON_THEIR_WAY_MAX: usize = 16;

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
        let (mut post, sessions) = self.post();
        let Some(session) = sessions.get_mut(user) else {
            return;
        };
        if session.fan_outs.is_empty() && frame.step(&mut post, io, user, &mut session.apps) {
            return;
        }
        if session.fan_outs.len() >= ON_THEIR_WAY_MAX {
            return self.stats.drop_some(DropReason::NoRoom, 1);
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
    pub(super) fn fan_out_some(&mut self, io: &mut Io<'_>, user: &str) -> bool {
        let (mut post, sessions) = self.post();
        let Some(session) = sessions.get_mut(user) else {
            return false;
        };
        let Some(mut frame) = session.fan_outs.pop() else {
            return false;
        };
        let before = frame.charged();
        let is_through = frame.step(&mut post, io, user, &mut session.apps);
        moved(io, before, if is_through { 0 } else { frame.charged() });
        if !is_through {
            session.fan_outs.push_front(frame);
        }
        session.fan_outs.tidy();
        !session.fan_outs.is_empty()
    }

    /// Continues the delivery of the last frame of this connection of glasses.
    pub(super) fn fan_out_more(&mut self, io: &mut Io<'_>, id: ConnId, user: &str) {
        if self.fan_out_some(io, user)
            && let Some(session) = self.sessions.get(user)
        {
            io.set_unfinished(id, session.fan_outs.held_by(id));
        }
    }

    /// Continues the deliveries of frames whose connections have ended. Returns the rest, if any.
    pub(super) fn fan_out_chore(&mut self, io: &mut Io<'_>, user: Box<str>) -> Option<Chore> {
        let has_orphan = |relay: &Relay| {
            relay
                .sessions
                .get(&user)
                .is_some_and(|session| session.fan_outs.has_orphan())
        };
        if has_orphan(self) {
            self.fan_out_some(io, &user);
        }
        if has_orphan(self) {
            return Some(Chore::FanOut(user));
        }
        if let Some(session) = self.sessions.get_mut(&user) {
            session.fan_outs.end_chore();
        }
        None
    }

    /// Takes over the frames of a connection of the glasses that has ended. They still reach their
    /// apps, unless the connection was closed to free memory.
    pub(super) fn fan_out_without(&mut self, io: &mut Io<'_>, id: ConnId, user: &str) {
        let is_for_memory = io.view(id).is_some_and(|view| match view.phase {
            PhaseView::Closing { cause, .. } => cause == Cause::BUFFERS_FULL,
            PhaseView::Opening { .. } | PhaseView::Open => false,
        });
        let Some(session) = self.sessions.get_mut(user) else {
            return;
        };
        if is_for_memory {
            let frames = session.fan_outs.give_up(id);
            session.fan_outs.tidy();
            return self.stats.drop_some(DropReason::NoRoom, frames);
        }
        if sabotage::on(Bug::OrphanLost) {
            session.fan_outs.give_up(id);
        }
        session.fan_outs.orphan(io, Some(id));
        if session.fan_outs.claim_chore() {
            self.put_off(io, Chore::FanOut(user.into()));
        }
    }
}
