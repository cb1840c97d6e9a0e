//! Delivery of the glasses' frames to many apps, in steps.

use super::relay::Relay;
use super::session::{FanOut, moved};
use super::stats::DropReason;
use super::tables::Chore;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::engine::{Io, PhaseView};

/// The most frames of one session that are on their way: each but the last is of an older connection of its glasses.
const ON_THEIR_WAY_MAX: usize = 16;

impl Relay {
    /// Sends a frame of the glasses to every app of their session that wants it: to some at once, to the rest in their connection's
    /// next shares.
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
        // Behind those of an older connection.
        if sabotage::on(Bug::FanOutOvertakes) {
            session.fan_outs.push_front(frame.into_owned());
        } else {
            session.fan_outs.push(frame);
        }
        io.unfinished(id, session.fan_outs.held_by(id));
    }

    /// Goes on with what is under way to the apps of a session. Returns whether something is left.
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

    /// Goes on with what glasses have sent last.
    pub(super) fn fan_out_more(&mut self, io: &mut Io<'_>, id: ConnId, user: &str) {
        if self.fan_out_some(io, user)
            && let Some(session) = self.sessions.get(user)
        {
            io.unfinished(id, session.fan_outs.held_by(id));
        }
    }

    /// Goes on with what connections that are gone have sent. Returns what is left of it.
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

    /// This connection of the glasses is gone: what it has sent still reaches its apps, unless it was closed to free memory.
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
