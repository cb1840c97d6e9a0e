//! Counting pairs and handshakes, and noting which upstream was dialled for a client.

use super::bridge::{BRIDGE_CLASSES, Bridge};
use super::handshake_stats::HandshakeResult;
use super::pending::PendingRequest;
use super::upstreams::RequestKind;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{Ending, Io};
use crate::host::{ending_side, first_end};
use std::sync::Arc;

impl Bridge {
    /// Notes the connection to an upstream that was made for a client.
    pub(super) fn note_dial(&mut self, client: ConnId, dial: ConnId) {
        if let Some(target) = self.target(dial) {
            self.asked.dialed(client, dial, target.upstream);
        }
    }

    /// Begins to count the pairs of routes that are new.
    pub(super) fn count_routes(&mut self) {
        for live in self.routes.iter() {
            self.stats.add_route(&live.name);
        }
    }

    /// Counts a handshake on this connection to an upstream.
    pub(super) fn count_handshake(&mut self, leg: ConnId, result: HandshakeResult) {
        let endpoint = self.endpoints.of_leg(leg);
        if let Some(endpoint) = endpoint.and_then(|at| self.endpoints.get_mut(at)) {
            endpoint.handshakes.count(result);
        }
    }

    /// Notes that an upstream has answered a request, with this status.
    pub(super) fn note_answer(
        &mut self,
        io: &Io<'_>,
        leg: ConnId,
        pending: &PendingRequest,
        status: u16,
    ) {
        let endpoint = self.endpoints.of_leg(leg);
        let Some(endpoint) = endpoint.and_then(|at| self.endpoints.get_mut(at)) else {
            return;
        };
        let took = io.now() - pending.dialed_at;
        endpoint.answered(io.now());
        endpoint.handshakes.add_answer_time(took);
        if status != 101 {
            endpoint.handshakes.count(HandshakeResult::Refused);
        }
        let route = endpoint.route.clone();
        self.stats.add_handshake(&route, took);
        // Other statuses are answers to what the client has asked for.
        if is_failure(status) {
            self.note_failure(leg, pending, io.now(), &format!("the answer is {status}"));
        }
    }

    /// Notes that an upstream has failed to serve a client, although the request reached it.
    pub(super) fn note_failure(
        &mut self,
        leg: ConnId,
        pending: &PendingRequest,
        now: Micros,
        why: &str,
    ) {
        let live = self.routes.by_name(&pending.route.name);
        let known = live.map_or(0, |live| live.known_clients(now));
        let endpoint = self.endpoints.of_leg(leg);
        if let Some(endpoint) = endpoint.and_then(|at| self.endpoints.get_mut(at)) {
            let (kind, client) = (RequestKind::WebSocket, pending.block);
            endpoint.failed(kind, client, known, now, why);
        }
    }

    /// Notes that a connection to an upstream has become one leg of a pair.
    pub(super) fn count_opened(&mut self, leg: ConnId, now: Micros) {
        self.endpoints.opened(leg);
        self.count_handshake(leg, HandshakeResult::Opened);
        let endpoint = self.endpoints.of_leg(leg);
        let endpoint = endpoint.and_then(|at| self.endpoints.get_mut(at));
        if let Some(endpoint) = endpoint {
            endpoint.accepted(RequestKind::WebSocket, now);
            let route = endpoint.route.clone();
            self.stats.count_opened(&route);
        }
    }

    /// Counts a pair, by its leg to the upstream, which has ended.
    pub(super) fn count_closed(&mut self, leg: ConnId, route: &Arc<str>, end: &Ending) {
        if !self.endpoints.is_open(leg) {
            return;
        }
        let (cause, class) = first_end(end);
        let nth = class.and_then(|class| class.0.checked_sub(self.client_class().0));
        let info = nth.and_then(|nth| BRIDGE_CLASSES.get(usize::from(nth)));
        let by = ending_side(cause, info.and_then(|info| info.ended_by));
        self.stats.count_closed(route, cause, by);
    }
}

/// Returns whether a status says that a service could not serve a request. 501 is for a method that
/// the client has chosen.
pub(super) fn is_failure(status: u16) -> bool {
    status >= 500 && status != 501
}
