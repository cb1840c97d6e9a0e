//! The events of the gateway: what happens to its connections, for backends.

use super::event_log::state_name;
use super::gateway::Gateway;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::Io;
use crate::health::{HealthChange, HealthState};
use crate::host::{Directory, EventKind, EventReceiver, EventSubject};

impl Gateway {
    /// Returns the queue of events. From now on the loop makes events.
    pub fn events(&self) -> EventReceiver {
        self.events.receiver()
    }

    /// Describes an open connection.
    fn event_subject(&self, io: &Io<'_>, id: ConnId) -> Option<EventSubject> {
        let partner = io.partner(id).or_else(|| self.session_partner(id));
        let identity = self.identities.get(id);
        let subject = EventSubject::new(id, io.class(id)?, identity);
        Some(subject.with_pair(self.target(id, partner), partner))
    }

    /// Tells that a connection has opened.
    pub(super) fn tell_opened(&self, io: &Io<'_>, id: ConnId) {
        self.events.send(|| {
            let opened = EventKind::Opened {
                peer_addr: io.peer_addr(id)?,
                user_agent: self.user_agents.get(id).cloned(),
            };
            Some((self.event_subject(io, id)?, opened))
        });
    }

    /// Tells that an open connection has said which user it is.
    pub(super) fn tell_identified(&self, io: &Io<'_>, id: ConnId) {
        let event = || Some((self.event_subject(io, id)?, EventKind::Identified));
        self.events.send(event);
    }

    /// Tells that the state of a connection has changed.
    pub(super) fn tell_health(&mut self, io: &Io<'_>, id: ConnId, change: HealthChange) {
        self.told_healthy = Some(id).filter(|_| change.state == HealthState::Healthy);
        let state = state_name(change.state);
        self.tell_state(io, id, state, (change.silence, change.unanswered));
    }

    /// Tells that a connection is stale which is not closed for that.
    pub(super) fn tell_would_close(&self, io: &Io<'_>, id: ConnId, silence: Micros) {
        let unanswered = io.health(id).map_or(0, |health| health.unanswered);
        self.tell_state(io, id, "stale", (silence, unanswered));
    }

    /// Tells that a stale connection was heard again, unless its change of state has just told it.
    pub(super) fn tell_false_alarm(&self, io: &Io<'_>, id: ConnId, silence: Micros) {
        if self.told_healthy != Some(id) {
            self.tell_state(io, id, state_name(HealthState::Healthy), (silence, 0));
        }
    }

    fn tell_state(
        &self,
        io: &Io<'_>,
        id: ConnId,
        state: &'static str,
        (silence, unanswered): (Micros, u16),
    ) {
        self.events.send(|| {
            let state = EventKind::State {
                state,
                silence,
                unanswered,
            };
            Some((self.event_subject(io, id)?, state))
        });
    }
}
