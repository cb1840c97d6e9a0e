//! Sessions that end by plan: the gateway drains, the upstream leaves, a token expires.

use super::session_due::Due;
use super::session_key::SessionKey;
use super::session_table::SessionLeg;
use super::waiting_clients::WaitingClient;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::bridge::bridge::Bridge;
use crate::bridge::planned_ends::{EXPIRED, POLICY};
use crate::engine::{Ending, Io, Message};
use crate::host::HoldEnd;
use crate::pulse::{Bye, bye_frame};

impl Bridge {
    /// Tells a client that its connection is about to be closed, and when to come back.
    pub(in crate::bridge) fn say_bye(&mut self, io: &mut Io<'_>, id: ConnId) {
        let Some(SessionLeg::Client(key)) = self.sessions.legs.get(&id).copied() else {
            return;
        };
        if let Some(session) = self.sessions.live.get_mut(&key) {
            let route = session.route.clone();
            let is_open = session.open_leg().is_some();
            let spread = self.first_ms(io, &route);
            if is_open && !sabotage::on(Bug::ByeMissing) {
                let bye = Bye::new("restart", 0, spread);
                io.send(id, Message::text(bye_frame(&bye)));
            }
        }
    }

    /// Returns whether this is the leg to the upstream of a session whose client is there. It is
    /// closed after its client.
    pub(in crate::bridge) fn follows_client(&self, id: ConnId) -> bool {
        let Some(SessionLeg::Upstream(key)) = self.sessions.legs.get(&id) else {
            return false;
        };
        let session = self.sessions.live.get(key);
        session.is_some_and(|session| session.client().is_some())
    }

    /// Closes a connection to an upstream that a drain would close, with the code for an upstream:
    /// that of a session whose client is away, or has left for good. Returns whether it is one.
    pub(in crate::bridge) fn end_drained(&mut self, io: &mut Io<'_>, id: ConnId) -> bool {
        if self.sessions.last_closes.contains_key(&id) {
            // What it has not taken is lost: a drain does not wait for it.
            self.close_finished(io, id);
            return true;
        }
        let Some(SessionLeg::Upstream(key)) = self.sessions.legs.get(&id).copied() else {
            return false;
        };
        let session = self.sessions.live.get(&key);
        let is_held = session.is_some_and(|session| session.hold().is_some());
        if is_held {
            self.end_hold(io, key, HoldEnd::Draining);
        }
        is_held
    }

    /// Ends a session by its leg to the upstream. Returns whether it is one.
    pub(in crate::bridge) fn end_session_of(
        &mut self,
        io: &mut Io<'_>,
        upstream: ConnId,
        reason: &str,
    ) -> bool {
        let Some(SessionLeg::Upstream(key)) = self.sessions.legs.get(&upstream).copied() else {
            return false;
        };
        match self.sessions.live.get(&key).and_then(|s| s.client()) {
            Some(client) => {
                self.say_bye(io, client);
                io.resume_reading(client);
                let cause = Cause::DRAINING;
                io.close_for(client, cause, cause.close_code(), reason);
            }
            None => self.end_hold(io, key, HoldEnd::Draining),
        }
        true
    }

    /// Plans the end of the client's token, if it has one.
    pub(super) fn plan_session_expiry(
        &mut self,
        io: &mut Io<'_>,
        key: SessionKey,
        expires: Option<Micros>,
    ) {
        self.sessions.disarm(key, Due::Expiry);
        if let Some(expires) = expires {
            self.plan(io, key, Due::Expiry, expires);
        }
    }

    /// Closes the connection of a client whose token has expired. The session waits for it: with a
    /// new token it goes on.
    pub(super) fn expire_client(&mut self, io: &mut Io<'_>, key: SessionKey) {
        let client = self.sessions.live.get(&key).and_then(|s| s.client());
        if let Some(client) = client {
            io.resume_reading(client);
            io.close_for(client, Cause::UNAUTHORIZED, POLICY, EXPIRED);
        }
    }

    /// Handles the end of a client whose WebSocket has not opened. Returns whether it had a
    /// session.
    pub(in crate::bridge) fn session_client_rejected(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        end: &Ending,
    ) -> bool {
        match self.sessions.waiting.take(id) {
            Some(WaitingClient::Resuming(client)) => {
                io.release(client.charged);
                return true;
            }
            Some(WaitingClient::Refused(_)) => return true,
            // The request is with an upstream, or in a queue.
            Some(WaitingClient::Unopened(_) | WaitingClient::Dialing) => return false,
            None => {}
        }
        let Some(SessionLeg::Client(key)) = self.sessions.legs.get(&id).copied() else {
            return false;
        };
        let first = (end.cause, self.client_class());
        if let Some(session) = self.remove_session(io, key, first)
            && let Some(upstream) = session.upstream()
        {
            self.close_upstream(io, upstream, super::holding::CLIENT_LOST, "client lost");
        }
        true
    }
}
