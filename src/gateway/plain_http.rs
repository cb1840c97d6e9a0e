//! Plain HTTP requests, which are passed on outside the loop.

use super::gateway::Gateway;
use super::handler::blocked_reply;
use super::unserved::no_such_path;
use crate::base::id::ConnId;
use crate::bridge::{Admitted, HttpChoice, UpstreamNumber};
use crate::engine::{Io, Reply, Request};
use std::sync::Arc;

/// What one choice of an upstream costs in units of work, besides the comparison of upstreams and
/// the check of a token.
const CHOICE_UNITS: u32 = 20;

impl Gateway {
    /// Decides on a plain HTTP request of a connection that was handed over, and that had this id
    /// in the loop. Connecting to the upstreams `tried` has failed. `earlier` is the client as an
    /// earlier try of this request has admitted it.
    pub(crate) fn choose_http(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        request: &Request,
        (earlier, tried): (Option<Arc<Admitted>>, &[UpstreamNumber]),
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
        let unknown = || HttpChoice::Answer(Reply::error(404, &no_such_path(request)), "".into());
        let bridge = self.products.shared_bridge();
        let admitted = bridge.and_then(|bridge| bridge.admit_http(io, request, earlier));
        let admitted = match admitted {
            None => return unknown(),
            Some(Err(answer)) => return answer,
            Some(Ok(admitted)) => admitted,
        };
        // An operator may have blocked it since an earlier try.
        if let Some(identity) = &admitted.identity
            && let Some(left) = self.products.relay.blocks.remaining(identity, io.now())
        {
            return HttpChoice::Answer(blocked_reply(left), admitted.route.name.clone());
        }
        let chosen = self
            .bridge()
            .and_then(|bridge| bridge.choose_http(io.now(), id, request, (admitted, tried)));
        chosen.unwrap_or_else(unknown)
    }

    /// Returns whether a request is a load balancer's health check.
    pub(super) fn is_health_check(&self, request: &Request) -> bool {
        request.path() == &*self.health_path && !request.is_upgrade()
    }
}
