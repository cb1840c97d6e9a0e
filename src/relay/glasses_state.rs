//! Tells apps that the connection of their glasses was lost, and that the glasses are back.

use super::fan_out_steps::FAN_OUTS_MAX;
use super::protocol;
use super::relay::Relay;
use super::relay_stats::DropReason;
use super::session::FanOut;
use super::tables::RelayTask;
use crate::base::id::ConnId;
use crate::engine::{Io, Message};

/// The stream that an app must have subscribed to.
const STREAM: &str = "glasses_connection_state";

/// Whether the gateway has a connection of the glasses, in the words of the SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GlassesState {
    Connected,
    Disconnected,
}

impl GlassesState {
    const fn name(self) -> &'static str {
        match self {
            GlassesState::Connected => "CONNECTED",
            GlassesState::Disconnected => "DISCONNECTED",
        }
    }
}

impl Relay {
    /// Tells the subscribed apps of a session the state of its glasses, if the settings say so: to
    /// some apps at once, to the rest in later turns. `id`: the connection that was lost or is new.
    pub(super) fn tell_glasses_state(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        user: &str,
        state: GlassesState,
    ) {
        if !self.settings.glasses_connection_state {
            return;
        }
        let (mut delivery, sessions) = self.delivery();
        // A session that does not wait for its glasses has ended, and its apps are told that.
        let Some(session) = sessions.get_mut(user) else {
            return;
        };
        let message = Message::text(protocol::glasses_state(state.name()));
        let mut notice = FanOut::notice(id, message, STREAM);
        let is_free = session.fan_outs.is_empty();
        if is_free && notice.step(&mut delivery, io, user, &mut session.apps) {
            return;
        }
        if session.fan_outs.len() >= FAN_OUTS_MAX {
            return self.stats.count_drops(DropReason::NoRoom, 1);
        }
        session.fan_outs.push(notice);
        // No connection holds the memory of a notice.
        session.fan_outs.mark_orphaned(io, Some(id));
        if session.fan_outs.claim_task() {
            self.queue_task(io, RelayTask::FanOut(user.into()));
        }
    }
}
