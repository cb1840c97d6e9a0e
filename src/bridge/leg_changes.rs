//! A connection to an upstream becomes a leg, or is given up because its client has left.

use super::bridge::Bridge;
use super::handshake_stats::HandshakeResult;
use super::pair_ends::close_for_lost_client;
use super::pending::PendingRequest;
use crate::base::id::ConnId;
use crate::engine::Io;

impl Bridge {
    /// Notes that a connection to an upstream is the leg of a pair or a session now.
    pub(super) fn note_opened(&mut self, io: &mut Io<'_>, leg: ConnId, pending: &PendingRequest) {
        self.count_opened(leg, io.now());
        self.asked.remove(pending.client);
        self.plan_end(io, leg, pending.route.max_age);
        if pending.session.is_none() {
            self.plan_expiry(io, leg, pending.expires);
        }
    }

    /// Gives up the request of a client that has left.
    pub(super) fn abandon_request(&mut self, io: &mut Io<'_>, client: ConnId) {
        self.leave_queue(io, client);
        if let Some((upstream, pending)) = self.pending.abandon(client) {
            self.count_handshake(upstream, HandshakeResult::Abandoned);
            self.note_abandoned(upstream, &pending, io.now());
            close_for_lost_client(io, upstream);
        }
    }
}
