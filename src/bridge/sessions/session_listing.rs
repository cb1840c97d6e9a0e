//! Sessions as operators see them.

use super::live_session::{LiveSession, UpstreamPlace};
use super::session_key::SessionKey;
use super::session_limits::SessionLimits;
use super::session_table::SessionLeg;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::bridge::bridge::Bridge;
use crate::engine::Io;
use crate::host::{HoldEnd, Identity, PairTarget, SessionCounts};
use std::ops::Bound;

/// A session as operators see it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PulseSessionRow {
    /// The number of the session, unique until the gateway ends.
    pub number: u64,
    /// The route, and the upstream; an empty one if the upstream has closed.
    pub target: PairTarget,
    /// The client's identity, if the route has one.
    pub identity: Option<Identity>,
    /// The client's connection; `None` while the session waits for it.
    pub client: Option<ConnId>,
    /// The connection to the upstream; `None` if the upstream has closed.
    pub upstream: Option<ConnId>,
    /// When it began: engine time.
    pub since: Micros,
    /// Since when it waits for its client, and until when: engine time.
    pub held: Option<(Micros, Micros)>,
    /// How many times it was resumed.
    pub resumes: u32,
    /// Messages of the upstream that the client has not acknowledged.
    pub kept_messages: usize,
    /// The bytes of those messages.
    pub kept_bytes: usize,
    /// Whether the upstream is not read, because there is no room for what it sends.
    pub is_upstream_paused: bool,
}

impl Bridge {
    /// Returns whether clients of a route may ask for sessions that outlive their connections.
    pub fn has_pulse(&self) -> bool {
        self.routes.iter().any(|live| live.route.pulse)
    }

    /// Changes the limits of sessions that outlive their connections.
    pub fn set_session_limits(&mut self, limits: SessionLimits) {
        self.sessions.set_limits(limits);
    }

    /// Returns the counters of the sessions that outlive their connections.
    pub fn session_counts(&self) -> &SessionCounts {
        self.sessions.counts()
    }

    /// Returns at most `most` sessions, those after this one, and whether more follow.
    pub(crate) fn pulse_sessions_after(
        &self,
        after: Option<u64>,
        most: usize,
    ) -> (Vec<PulseSessionRow>, bool) {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(SessionKey(after)));
        let mut sessions = self.sessions.live.range((from, Bound::Unbounded));
        let rows = sessions.by_ref().take(most);
        let rows = rows.map(|(key, session)| self.session_row(*key, session));
        let rows: Vec<_> = rows.collect();
        (rows, sessions.next().is_some())
    }

    /// Returns the sessions that wait for their clients, at most `most`: first those of the client
    /// for which the most is kept.
    pub(crate) fn held_pulse_sessions(&self, most: usize) -> Vec<PulseSessionRow> {
        let held = self.sessions.holds.all();
        let held = held.filter_map(|key| Some((key, self.sessions.live.get(&key)?)));
        let rows = held.map(|(key, session)| self.session_row(key, session));
        rows.take(most).collect()
    }

    /// Returns the session of a connection.
    pub(crate) fn pulse_session_of(&self, id: ConnId) -> Option<PulseSessionRow> {
        let key = match *self.sessions.legs.get(&id)? {
            SessionLeg::Client(key) | SessionLeg::Upstream(key) => key,
        };
        let session = self.sessions.live.get(&key)?;
        Some(self.session_row(key, session))
    }

    /// Returns when the hold ends that a connection to an upstream belongs to.
    pub(in crate::bridge) fn hold_end_of(&self, id: ConnId) -> Option<Micros> {
        let SessionLeg::Upstream(key) = *self.sessions.legs.get(&id)? else {
            return None;
        };
        let hold = self.sessions.live.get(&key)?.hold()?;
        Some(hold.until)
    }

    fn session_row(&self, key: SessionKey, session: &LiveSession) -> PulseSessionRow {
        let route = || PairTarget {
            route: session.owner.route().clone(),
            upstream: "".into(),
        };
        let target = session.upstream().and_then(|leg| self.target(leg));
        let sent = session.pulse.sent();
        PulseSessionRow {
            number: key.0,
            target: target.unwrap_or_else(route),
            identity: session.owner.identity.clone(),
            client: session.client(),
            upstream: session.upstream(),
            since: session.began,
            held: session.hold().map(|hold| (hold.since, hold.until)),
            resumes: session.resumes,
            kept_messages: sent.len(),
            kept_bytes: sent.bytes(),
            is_upstream_paused: matches!(
                session.upstream,
                UpstreamPlace::Open {
                    is_paused: true,
                    ..
                }
            ),
        }
    }

    /// Ends a session for an operator, with this reason. Returns whether there is one.
    pub(crate) fn end_pulse_session(&mut self, io: &mut Io<'_>, number: u64, reason: &str) -> bool {
        let key = SessionKey(number);
        let Some(session) = self.sessions.live.get(&key) else {
            return false;
        };
        match session.client() {
            Some(client) => {
                io.resume_reading(client);
                io.close_for(client, Cause::KICKED, Cause::KICKED.close_code(), reason);
            }
            None => self.end_hold(io, key, HoldEnd::Ended),
        }
        true
    }

    /// Returns the connection to the upstream of a client's session.
    pub(in crate::bridge) fn session_upstream(&self, client: ConnId) -> Option<ConnId> {
        match self.sessions.legs.get(&client)? {
            SessionLeg::Client(key) => self.sessions.live.get(key)?.upstream(),
            SessionLeg::Upstream(_) => None,
        }
    }

    /// Returns the other leg of a session, while both have a connection.
    pub(crate) fn session_partner(&self, id: ConnId) -> Option<ConnId> {
        let session = |key| self.sessions.live.get(key);
        match self.sessions.legs.get(&id)? {
            SessionLeg::Client(key) => session(key)?.upstream(),
            SessionLeg::Upstream(key) => session(key)?.client(),
        }
    }
}
