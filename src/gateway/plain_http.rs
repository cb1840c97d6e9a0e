//! Plain HTTP requests, which are passed on outside the loop.

use super::gateway::Gateway;
use super::kick_outcome::KickOutcome;
use super::request_checks::blocked_reply;
use super::unserved::no_such_path;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::bridge::{Admitted, HttpChoice, HttpRequestRow, UpstreamNumber};
use crate::engine::{Io, Reply, Request};
use crate::host::{Identity, LogIdentity, LogValue, OrDash};
use crate::query::Progress;
use std::sync::Arc;

/// What one choice of an upstream costs in units of work, besides the comparison of upstreams and
/// the check of a token.
const CHOICE_UNITS: u32 = 20;

/// The most requests that one slice of a list names, and the cost of finding the first of them. A
/// slice passes those that have ended, too.
const SLICE_REQUESTS_MAX: usize = 150;
const SLICE_LOOK_UNITS: u32 = 20;

/// The requests that are looked at in one slice, and in one unit of work.
const SCAN_REQUESTS: u32 = 2_000;
const SCANNED_PER_UNIT: u32 = 20;

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

    /// Returns some of the plain HTTP requests in progress, those after this one, and whether more
    /// follow: at most `most`, and at most 150.
    pub fn http_request_slice(
        &mut self,
        io: &mut Io<'_>,
        after: Option<ConnId>,
        most: usize,
    ) -> (Vec<HttpRequestRow>, bool) {
        let Some(bridge) = self.bridge() else {
            return (Vec::new(), false);
        };
        let slice = bridge.http_requests_after(after, most.min(SLICE_REQUESTS_MAX));
        io.spend(SLICE_LOOK_UNITS + slice.0.len() as u32);
        slice
    }

    /// Ends the plain HTTP request of a connection that was handed over, and blocks its client's
    /// identity for the time of `block`, if any.
    pub(super) fn kick_http(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        reason: &str,
        block: Micros,
    ) -> KickOutcome {
        let client = self.bridge().and_then(|bridge| bridge.http_client(id));
        let Some(identity) = client else {
            return KickOutcome::NoSuch;
        };
        let blocked = block > Micros::ZERO;
        if blocked && let Err(why) = self.block(io, identity.as_ref(), block) {
            return KickOutcome::NotBlocked(why);
        }
        if let Some(bridge) = self.bridge() {
            bridge.end_http(id);
        }
        if let Some(identity) = identity.as_ref().filter(|_| blocked) {
            self.close_identity(io, identity.clone(), reason);
        }
        log::warn!(
            "operator action=kick id={id} {} address={} block_ms={} blocked={blocked} reason={} \
             http=true",
            LogIdentity(identity.as_ref()),
            OrDash(identity.as_ref().and_then(|i| i.address.as_deref())),
            block.as_millis(),
            LogValue(reason),
        );
        KickOutcome::Done {
            blocked,
            partner: None,
        }
    }

    /// Ends all plain HTTP requests of an identity, over as many turns as needed.
    pub(super) fn end_http_of(&mut self, io: &Io<'_>, identity: Identity) {
        let mut after = None;
        let scan = move |gateway: &mut Gateway, io: &mut Io<'_>| {
            io.spend(SCAN_REQUESTS / SCANNED_PER_UNIT);
            let bridge = gateway.bridge();
            after = bridge.and_then(|b| b.end_http_of(&identity, after, SCAN_REQUESTS as usize));
            match after {
                Some(_) => Progress::More,
                None => Progress::Done,
            }
        };
        self.queries.start_sliced(io, Box::new(scan));
    }

    /// Returns whether the gateway serves the files of the pulse client: a route or the relay has
    /// pulse.
    pub(super) fn serves_client(&mut self) -> bool {
        let has_relay = self.serves_relay && self.products.relay.has_pulse();
        has_relay || self.bridge().is_some_and(|bridge| bridge.has_pulse())
    }

    /// Returns whether a request is a load balancer's health check.
    pub(super) fn is_health_check(&self, request: &Request) -> bool {
        request.path() == &*self.health_path && !request.is_upgrade()
    }
}
