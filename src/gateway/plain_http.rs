//! Plain HTTP requests, which are passed on outside the loop.

use super::gateway::Gateway;
use super::handler::blocked_reply;
use super::unserved::no_such_path;
use crate::base::id::ConnId;
use crate::bridge::{HttpChoice, UpstreamNumber};
use crate::engine::{Io, Reply, Request};

/// What one choice of an upstream costs in units of work, besides the comparison of upstreams.
const CHOICE_UNITS: u32 = 20;

impl Gateway {
    /// Decides on a plain HTTP request of a connection that was handed over, and that had this id
    /// in the loop. Connecting to the upstreams `tried` has failed.
    pub fn choose_http(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        request: &Request,
        tried: &[UpstreamNumber],
    ) -> HttpChoice {
        io.spend(CHOICE_UNITS);
        if self.is_health_check(request) {
            let reply = match request.refusal(true) {
                Some(reply) => reply,
                None => io.health_reply(request),
            };
            return HttpChoice::Answer(reply, "".into());
        }
        if tried.is_empty() {
            self.note_forwarding(request, io.now());
        }
        let identity = self
            .bridge()
            .and_then(|bridge| bridge.http_identity(request));
        if let Some((identity, route)) = identity
            && let Some(left) = self.products.relay.blocks.remaining(&identity, io.now())
        {
            return HttpChoice::Answer(blocked_reply(left), route);
        }
        let chosen = self
            .bridge()
            .and_then(|bridge| bridge.choose_http(io.now(), id, request, tried));
        let unknown = || HttpChoice::Answer(Reply::error(404, &no_such_path(request)), "".into());
        chosen.unwrap_or_else(unknown)
    }

    /// Returns whether a request is a load balancer's health check.
    pub(super) fn is_health_check(&self, request: &Request) -> bool {
        request.path() == &*self.health_path && !request.is_upgrade()
    }
}
