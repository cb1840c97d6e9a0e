//! What the log and the records say of connections of sessions.

use super::session_key::SessionKey;
use super::session_table::SessionLeg;
use super::session_tie::SessionTie;
use crate::base::cause::Cause;
use crate::base::id::{Class, ConnId};
use crate::bridge::bridge::Bridge;
use crate::engine::{Ending, PartnerEnd};
use std::borrow::Cow;

impl Bridge {
    /// Returns what ties a connection to its session.
    pub(crate) fn session_tie(&self, id: ConnId) -> Option<SessionTie> {
        if let Some(tie) = self.sessions.leaving.get(&id) {
            return Some(tie.clone());
        }
        match *self.sessions.legs.get(&id)? {
            SessionLeg::Client(key) => self.tie_of(key, true, None),
            SessionLeg::Upstream(key) => self.tie_of(key, false, None),
        }
    }

    fn tie_of(
        &self,
        key: SessionKey,
        is_client: bool,
        first: Option<(Cause, Class)>,
    ) -> Option<SessionTie> {
        let session = self.sessions.live.get(&key)?;
        let upstream = session.upstream.id();
        Some(SessionTie {
            session: key.0,
            target: session.target.clone(),
            partner: match is_client {
                true => upstream,
                false => session.last_client(),
            },
            first,
        })
    }

    /// Notes that a client's connection is not its session's any more, and is about to end.
    pub(super) fn note_leaving_client(&mut self, id: ConnId, key: SessionKey) {
        if let Some(tie) = self.tie_of(key, true, None) {
            self.sessions.leaving.insert(id, tie);
        }
    }

    /// Notes that a session is about to end with its connections, and what has ended it.
    pub(super) fn note_leaving(&mut self, key: SessionKey, first: (Cause, Class)) {
        let Some(session) = self.sessions.live.get(&key) else {
            return;
        };
        for (leg, is_client) in [(session.client(), true), (session.upstream(), false)] {
            if let Some(leg) = leg
                && let Some(tie) = self.tie_of(key, is_client, Some(first))
            {
                self.sessions.leaving.insert(leg, tie);
            }
        }
    }

    /// Returns the end of a connection with what ended its session, if another connection of the
    /// session has ended before: see [`Cause::PARTNER_ENDED`].
    pub(crate) fn told_end<'a>(&self, id: ConnId, end: &'a Ending) -> Cow<'a, Ending> {
        let tie = self.sessions.leaving.get(&id);
        match tie.filter(|tie| end.cause == Cause::PARTNER_ENDED && tie.first.is_some()) {
            Some(tie) => Cow::Owned(Ending {
                partner: Some(PartnerEnd {
                    id: tie.partner,
                    first: tie.first,
                }),
                ..end.clone()
            }),
            None => Cow::Borrowed(end),
        }
    }
}
