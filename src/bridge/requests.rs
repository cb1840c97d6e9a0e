//! What becomes of a client's request: it is passed to an upstream, waits for room at one, or is
//! answered.

use super::balance::{Balance, stable_hash};
use super::bridge::Bridge;
use super::end_to_end::Field;
use super::handshake_failure::HandshakeFailure;
use super::handshake_stats::HandshakeResult;
use super::hop::Hop;
use super::pending::PendingRequest;
use super::queue_lane::Lane;
use super::queueing::{QUEUE_PATIENCE, UPSTREAMS_PER_UNIT};
use super::request_refusals::{Refusal, no_room, unreachable, with_retry_after};
use super::route::Route;
use super::sessions::SessionOwner;
use super::upstream_request::{HostHeader, Target, UpstreamRequest, upstream_request};
use super::upstreams::{Choice, EndpointId, RequestKind, Wish};
use crate::base::address_block::AddressBlock;
use crate::base::cause::{Cause, EndedBy};
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{
    Dial, DialAddress, DialError, DialRequest, Ending, Io, Reply, Request, Verdict,
};
use crate::host::{ClientCheck, SessionWish, query_without_wish, session_wish};
use crate::wire::http::header::{SEC_WEBSOCKET_EXTENSIONS, SET_COOKIE};
use crate::wire::http::{HeaderName, HeaderValue};
use std::net::IpAddr;
use std::sync::Arc;

/// Time beyond the limits of the dial within which the client's request is answered.
const ANSWER_MARGIN: Micros = Micros::from_secs(1);

/// A client that leaves after this time without an answer says something of the upstream.
const PATIENCE_MIN: Micros = Micros::from_secs(3);

/// The most addresses that are dialled for one client.
const DIALS_MAX: usize = 8;

impl Bridge {
    /// Passes the request of a client that its route admits to an upstream, or says why not.
    /// `None`: no route serves it.
    pub(super) fn pass_request(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        request: &Request,
        check: &ClientCheck,
    ) -> Option<Verdict> {
        let live = self.routes.find(request)?;
        let (route, listed) = (live.route.clone(), live.listed(&self.endpoints));
        let refused = |reply| Verdict::Reply {
            reply,
            cause: Cause::BAD_REQUEST,
        };
        let hop = Hop::of(request, &self.proxies, self.forwarded_https);
        let path = route.upstream_path(request.path());
        // The Host of an upstream is filled in when it is chosen.
        let host = HeaderValue::from_static("");
        let wished = session_wish(request).filter(|_| route.pulse);
        let target = match (wished, request.query()) {
            (Some(_), Some(query)) => Target::of(path, query_without_wish(query).as_deref()),
            (_, query) => Target::of(path, query),
        };
        let made = upstream_request(request, &hop, &route.host_header, &host, target);
        let UpstreamRequest {
            mut dial_request,
            mut offer,
        } = match made {
            Ok(made) => made,
            Err(reply) => return Some(refused(reply)),
        };
        dial_request
            .headers
            .extend(self.gateway_fields(id, request));
        if wished.is_some() {
            // Neither leg compresses: messages are kept, and sent again, as they are.
            let is_extension = |name: &HeaderName| *name == SEC_WEBSOCKET_EXTENSIONS;
            dial_request.headers.retain(|(name, _)| !is_extension(name));
            offer = offer.without_extensions();
        }
        let address = io.peer_addr(id).unwrap_or(request.peer_addr()).ip();
        let pending = Box::new(PendingRequest {
            client: id,
            block: AddressBlock::of(address),
            wish: wish(address, request, &route),
            route: route.clone(),
            offer,
            is_https: hop.is_https,
            dialed_at: io.now(),
            expires: check.expires.map(|at| self.engine_time(at, io.now())),
            session: wished.map(|_| {
                let name = Arc::from(&*route.name);
                Box::new(SessionOwner::of(request, name, check.identity.clone()))
            }),
            sources: self.next_source(),
            sources_tried: 0,
            request: None,
            tried: Vec::new(),
        });
        let connects = Micros(listed.min(DIALS_MAX) as u64 * route.connect_timeout.0);
        let time = QUEUE_PATIENCE + connects + route.answer_timeout + ANSWER_MARGIN;
        if wished == Some(SessionWish::Resume) {
            let opened = self.await_token(io, pending, dial_request);
            return Some(opened.unwrap_or_else(|(cause, reply)| Verdict::Reply { reply, cause }));
        }
        if wished.is_some() {
            self.await_answer(id, request);
        }
        Some(match self.dial(io, pending, dial_request) {
            Ok(()) => Verdict::DeferFor(time),
            Err((cause, reply)) => Verdict::Reply { reply, cause },
        })
    }

    /// Dials the best upstream for a request that has not been tried for it, or lets the request
    /// wait until one has room.
    pub(super) fn dial(
        &mut self,
        io: &mut Io<'_>,
        pending: Box<PendingRequest>,
        request: DialRequest,
    ) -> Result<(), Refusal> {
        // A client that leaves frees its place at once, and its connection to the upstream only
        // after the close. Both take a descriptor.
        let dialed = io.stats().dialed_here;
        if io
            .max_connections()
            .is_some_and(|most| dialed >= most as u64)
        {
            return Err(no_room(pending.client));
        }
        let route = pending.route.clone();
        let Some(live) = self.routes.by_name(&route.name) else {
            return Err(unreachable());
        };
        let (client, now) = ((pending.block, RequestKind::WebSocket), io.now());
        let choice = live.choose(&self.endpoints, &pending.tried, &pending.wish, client, now);
        io.spend(live.listed(&self.endpoints) as u32 / UPSTREAMS_PER_UNIT);
        match choice {
            Choice::Endpoint(id) if live.is_awaited(id, &self.endpoints, now) => {
                let lane = Lane::of(None, &pending.tried);
                self.enqueue(io, pending, request, lane)
            }
            Choice::Endpoint(id) => self.dial_to(io, id, pending, request),
            Choice::Full(pinned) => {
                let lane = Lane::of(pinned, &pending.tried);
                self.enqueue(io, pending, request, lane)
            }
            Choice::Nothing => Err(self.no_upstream(&route.name, pending.client.generation())),
        }
    }

    /// Dials this upstream for a request.
    pub(super) fn dial_to(
        &mut self,
        io: &mut Io<'_>,
        id: EndpointId,
        mut pending: Box<PendingRequest>,
        mut request: DialRequest,
    ) -> Result<(), Refusal> {
        let route = pending.route.clone();
        let live = self.routes.by_name(&route.name);
        let listed = live.map_or(0, |live| live.listed(&self.endpoints));
        let Some(endpoint) = self.endpoints.get_mut(id) else {
            return Err(unreachable());
        };
        endpoint.chosen(RequestKind::WebSocket, io.now());
        if route.host_header == HostHeader::Upstream || request.host.is_empty() {
            request.host = endpoint.url.host_field();
        }
        pending.tried.push(id);
        pending.dialed_at = io.now();
        let (address, is_last_source) = from_source(&endpoint.address, &route, pending.sources);
        let may_retry = pending.tried.len() < listed.min(DIALS_MAX) || !is_last_source;
        pending.request = may_retry.then(|| request.clone());
        let mut dial = Dial::new(address, request, self.upstream_class());
        dial.policy = route.upstream_policy;
        dial.connect_timeout = route.connect_timeout;
        dial.answer_timeout = route.answer_timeout;
        match io.dial(dial) {
            Ok(upstream) => {
                self.endpoints.dialed(upstream, id, pending.block);
                self.note_dial(pending.client, upstream);
                self.pending.add(upstream, pending);
                Ok(())
            }
            Err(DialError::Stopped) => Err(no_room(pending.client)),
            Err(e) => Err((Cause::INTERNAL, Reply::error(503, &e.to_string()))),
        }
    }

    /// Returns the answer to a request for which no upstream of the route is left. Clients with
    /// different `nth` are told to come back at different times.
    pub(super) fn no_upstream(&mut self, route: &str, nth: u32) -> Refusal {
        let Some(live) = self.routes.by_name(route) else {
            return unreachable();
        };
        if live.is_drained(&self.endpoints) {
            let reply = HandshakeFailure::Drained.reply();
            return (Cause::DRAINING, with_retry_after(reply, nth));
        }
        match live.listed(&self.endpoints) {
            0 => (Cause::CONNECT_FAILED, HandshakeFailure::Unresolved.reply()),
            _ => unreachable(),
        }
    }

    /// Returns the number of the source address for the next request: they take turns.
    pub(super) fn next_source(&mut self) -> usize {
        self.sources = self.sources.wrapping_add(1);
        self.sources
    }

    /// Handles a connection to the upstream that ended before it was open.
    pub(super) fn fail_request(
        &mut self,
        io: &mut Io<'_>,
        mut pending: Box<PendingRequest>,
        end: &Ending,
    ) {
        let client = pending.client;
        let is_unconnected = [Cause::CONNECT_FAILED, Cause::CONNECT_TIMEOUT].contains(&end.cause);
        // The ports of one source address may be used up; those of another one are not.
        let sources = pending.route.source_addresses.len();
        let may_try_source = end.cause == Cause::AT_CAPACITY && pending.sources_tried + 1 < sources;
        if may_try_source {
            pending.sources += 1;
            pending.sources_tried += 1;
            pending.tried.pop();
        }
        if (is_unconnected || may_try_source)
            && let Some(request) = pending.request.take()
        {
            if let Err((cause, reply)) = self.dial(io, pending, request) {
                self.answer(io, client, Verdict::Reply { reply, cause });
            }
            return;
        }
        let reason = end.reason.to_string();
        let (failure, cause) = match end.cause {
            cause if is_unconnected => (HandshakeFailure::Unreachable, cause),
            cause if cause == Cause::ANSWER_TIMEOUT => {
                let failure = HandshakeFailure::TooSlow(pending.route.answer_timeout);
                (failure, cause)
            }
            cause if cause == Cause::AT_CAPACITY => (HandshakeFailure::NoRoom, cause),
            cause if cause == Cause::BAD_ANSWER => (HandshakeFailure::BadAnswer(reason), cause),
            cause if [EndedBy::Operator, EndedBy::Server].contains(&cause.by()) => {
                (HandshakeFailure::Closed(reason), cause)
            }
            // The client must not be blamed for what the upstream did.
            _ => (HandshakeFailure::NoAnswer, Cause::BAD_ANSWER),
        };
        let mut reply = failure.reply().with_reason(&failure.in_log(end));
        if reply.status == 503 {
            reply = with_retry_after(reply, client.generation());
        }
        self.answer(io, client, Verdict::Reply { reply, cause });
    }

    /// Notes what the end of a dial says of the upstream.
    pub(super) fn judge_upstream(
        &mut self,
        id: ConnId,
        pending: &PendingRequest,
        end: &Ending,
        now: Micros,
    ) {
        let Some(endpoint) = self.endpoints.of_leg(id) else {
            return;
        };
        let Some(endpoint) = self.endpoints.get_mut(endpoint) else {
            return;
        };
        let result = match end.cause {
            cause if [Cause::CONNECT_FAILED, Cause::CONNECT_TIMEOUT].contains(&cause) => {
                endpoint.unreachable(now, &end.reason);
                HandshakeResult::Unreachable
            }
            cause if cause == Cause::ANSWER_TIMEOUT => {
                endpoint.unanswered(pending.block, pending.dialed_at, now, &end.reason);
                HandshakeResult::Unanswered
            }
            // A client can make a service end a connection without an answer.
            cause if cause.by() == EndedBy::Peer || cause == Cause::BAD_ANSWER => {
                self.note_failure(id, pending, now, &end.reason);
                HandshakeResult::Invalid
            }
            // What this process has done, or lacks, says nothing of the upstream.
            _ => HandshakeResult::Abandoned,
        };
        self.count_handshake(id, result);
    }

    /// Notes that a client has left before the upstream has answered. Clients that give up before
    /// `answer_timeout` must not hide a service that answers nothing.
    pub(super) fn note_abandoned(&mut self, leg: ConnId, pending: &PendingRequest, now: Micros) {
        let waited = now - pending.dialed_at;
        if waited < PATIENCE_MIN {
            return;
        }
        let endpoint = self.endpoints.of_leg(leg);
        if let Some(endpoint) = endpoint.and_then(|at| self.endpoints.get_mut(at)) {
            let why = format!("a client has left after {waited} without an answer");
            endpoint.unanswered(pending.block, pending.dialed_at, now, &why);
        }
    }

    /// Returns the cookie that leads a client back to the upstream of this leg, if the client does
    /// not have it yet.
    pub(super) fn set_cookie(&self, pending: &PendingRequest, leg: ConnId) -> Option<Field> {
        let sticky = pending.route.sticky.as_ref()?;
        let endpoint: EndpointId = self.endpoints.of_leg(leg)?;
        let token = &self.endpoints.get(endpoint)?.token;
        if token.as_bytes() == &*pending.wish.token {
            return None;
        }
        let value = sticky.set_cookie(token, pending.is_https)?;
        Some((SET_COOKIE, value))
    }
}

/// Returns the address to dial, from one of the route's source addresses. Also returns whether
/// there is no other source.
pub(super) fn from_source(address: &DialAddress, route: &Route, nth: usize) -> (DialAddress, bool) {
    let DialAddress::Tcp(to) = address else {
        return (address.clone(), true);
    };
    let sources = route.source_addresses.iter();
    let fitting: Vec<&IpAddr> = sources.filter(|s| s.is_ipv4() == to.is_ipv4()).collect();
    match fitting.len() {
        0 => (address.clone(), true),
        n => (DialAddress::TcpFrom(*to, *fitting[nth % n]), n == 1),
    }
}

/// Returns what a client with this address asks for.
pub(super) fn wish(address: IpAddr, request: &Request, route: &Route) -> Wish {
    let token = route.sticky.as_ref().map(|sticky| sticky.value(request));
    let key = match &route.balance {
        Balance::LeastConnections => None,
        Balance::Hash(key) => {
            let value = key.value(request, address);
            let value = value.filter(|value| !value.is_empty());
            value.map(|value| stable_hash(&[&*value]))
        }
    };
    Wish {
        token: token.unwrap_or_default().into(),
        key,
    }
}
