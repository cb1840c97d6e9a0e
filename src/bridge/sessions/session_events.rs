//! The events of sessions, for backends.

use super::live_session::LiveSession;
use super::session_key::SessionKey;
use crate::base::time::Micros;
use crate::bridge::bridge::Bridge;
use crate::engine::Io;
use crate::host::{EventKind, EventSender, EventSubject};

impl Bridge {
    /// Sets where events go.
    pub(crate) fn set_events(&mut self, events: EventSender) {
        self.events = events;
    }

    /// Describes the client of a session, or its last connection.
    fn session_subject(&self, session: &LiveSession) -> EventSubject {
        let (id, identity) = (session.last_client(), session.owner.identity.as_ref());
        let subject = EventSubject::new(id, self.client_class(), identity);
        subject.with_pair(Some(session.target.clone()), session.upstream())
    }

    /// Tells that a session waits for its client.
    pub(super) fn tell_held(&self, key: SessionKey) {
        self.events.send(|| {
            let subject = self.session_subject(self.sessions.live.get(&key)?);
            Some((subject, EventKind::SessionHeld { session: key.0 }))
        });
    }

    /// Tells that the client of a session is back, after the session has waited for this time.
    pub(super) fn tell_resumed(&self, key: SessionKey, held: Micros, sent_again: u64) {
        self.events.send(|| {
            let resumed = EventKind::SessionResumed {
                session: key.0,
                held,
                sent_again,
            };
            Some((self.session_subject(self.sessions.live.get(&key)?), resumed))
        });
    }

    /// Tells that a session that was removed has ended.
    pub(super) fn tell_session_end(
        &self,
        io: &Io<'_>,
        (key, session): (SessionKey, &LiveSession),
        why: &'static str,
    ) {
        self.events.send(|| {
            let ended = EventKind::SessionEnded {
                session: key.0,
                why,
                held: session.hold().map(|hold| io.now() - hold.since),
                resumes: session.resumes,
            };
            Some((self.session_subject(session), ended))
        });
    }
}
