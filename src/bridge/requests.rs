//! What becomes of a client's request: it is passed to an upstream, waits for room at one, or is
//! answered.

use super::balance::{Balance, stable_hash};
use super::bridge::Bridge;
use super::end_to_end::Field;
use super::handshake_failure::HandshakeFailure;
use super::handshake_stats::HandshakeResult;
use super::hop::Hop;
use super::pending::PendingRequest;
use super::request_queue::QueuedRequest;
use super::route::Route;
use super::upstream_request::{HostHeader, UpstreamRequest, upstream_request};
use super::upstreams::{Choice, EndpointId, Wish};
use crate::base::cause::{Cause, EndedBy};
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::engine::{
    Dial, DialAddress, DialError, DialRequest, Ending, Io, Reply, Request, Verdict,
};
use crate::host::LogValue;
use crate::wire::http::HeaderValue;
use crate::wire::http::header::SET_COOKIE;
use std::net::IpAddr;
use std::sync::Arc;

/// Time beyond the limits of the dial within which the client's request is answered.
const ANSWER_MARGIN: Micros = Micros::from_secs(1);

/// The most addresses that are dialled for one client.
const DIALS_MAX: usize = 8;

/// How long a request waits until an upstream has room for it.
const QUEUE_PATIENCE: Micros = Micros::from_secs(5);

/// How many requests that may not go where there is room are looked at in one step.
const QUEUE_LOOK: usize = 64;

/// The time from one search for expired requests to the next.
const QUEUE_STEP: Micros = Micros::from_millis(100);

/// How many upstreams are compared in one unit of work.
const UPSTREAMS_PER_UNIT: u32 = 8;

/// The answer to a request that is not passed on.
type Refusal = (Cause, Reply);

impl Bridge {
    /// Passes a client's request to an upstream, or says why not. `None`: no route serves it.
    pub(super) fn pass_request(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        request: &Request,
    ) -> Option<Verdict> {
        let live = self.routes.find(request)?;
        let (route, listed) = (live.route.clone(), live.listed(&self.endpoints));
        let refused = |reply| Verdict::Reply {
            reply,
            cause: Cause::BAD_REQUEST,
        };
        if let Some(reply) = request.upgrade_refusal() {
            return Some(refused(reply));
        }
        if let Some(origin) = route.refused_origin(request) {
            let why = format!(
                "the page's origin {} is not in allowed_origins of the route {}",
                LogValue(&origin),
                route.name
            );
            return Some(Verdict::refuse(Cause::BLOCKED, 403, &why));
        }
        let claims = match self.check_client(request, &route) {
            Ok(claims) => claims,
            Err((cause, reply)) => return Some(Verdict::Reply { reply, cause }),
        };
        let expires = claims.and_then(|claims| claims.expires());
        let hop = Hop::of(request, &self.proxies, self.forwarded_https);
        let path = route.upstream_path(request.path());
        // The Host of an upstream is filled in when it is chosen.
        let host = HeaderValue::from_static("");
        let made = upstream_request(request, &hop, &route.host_header, &host, path);
        let UpstreamRequest {
            mut dial_request,
            offer,
        } = match made {
            Ok(made) => made,
            Err(reply) => return Some(refused(reply)),
        };
        dial_request.headers.push(self.connection_field(id));
        let address = io.peer_addr(id).unwrap_or(request.peer_addr()).ip();
        let pending = Box::new(PendingRequest {
            client: id,
            address,
            wish: wish(address, request, &route),
            route: route.clone(),
            offer,
            is_https: hop.is_https,
            dialed_at: io.now(),
            expires: expires.map(|at| self.engine_time(at, io.now())),
            sources: self.next_source(),
            sources_tried: 0,
            request: None,
            tried: Vec::new(),
        });
        let connects = Micros(listed.min(DIALS_MAX) as u64 * route.connect_timeout.0);
        let time = QUEUE_PATIENCE + connects + route.answer_timeout + ANSWER_MARGIN;
        Some(match self.dial(io, pending, dial_request) {
            Ok(()) => Verdict::DeferFor(time),
            Err((cause, reply)) => Verdict::Reply { reply, cause },
        })
    }

    /// Dials the best upstream for a request that has not been tried for it, or lets the request
    /// wait until one has room.
    fn dial(
        &mut self,
        io: &mut Io<'_>,
        mut pending: Box<PendingRequest>,
        mut request: DialRequest,
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
        let live = self.routes.by_name(&route.name);
        let chosen = live.map(|live| {
            let wish = &pending.wish;
            let choice = live.choose(&self.endpoints, &pending.tried, wish, io.now());
            (choice, live.listed(&self.endpoints))
        });
        let (id, listed) = match chosen {
            Some((Choice::Endpoint(id), listed)) => (id, listed),
            Some((Choice::Full, _)) => return self.enqueue(io, pending, request),
            Some((Choice::Nothing, _)) | None => {
                return Err(self.no_upstream(&route.name, pending.client.generation()));
            }
        };
        io.spend(listed as u32 / UPSTREAMS_PER_UNIT);
        let Some(endpoint) = self.endpoints.get(id) else {
            return Err(unreachable());
        };
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
                self.endpoints.dialed(upstream, id);
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
            let why = "every upstream of the route is drained".to_owned();
            let reply = HandshakeFailure::Closed(why).reply();
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

    /// Lets a request wait until an upstream of its route has room for it.
    fn enqueue(
        &mut self,
        io: &mut Io<'_>,
        pending: Box<PendingRequest>,
        request: DialRequest,
    ) -> Result<(), Refusal> {
        let client = pending.client;
        let route = pending.route.clone();
        let Some(live) = self.routes.by_name(&route.name) else {
            return Err(unreachable());
        };
        let queued = QueuedRequest {
            pending,
            request,
            until: io.now() + QUEUE_PATIENCE,
        };
        let bytes = queued.allocated();
        if !io.has_room(bytes) || live.queue.push(queued).is_err() {
            return Err(busy(client));
        }
        io.charge(bytes);
        self.queued.insert(client, (route, bytes));
        self.set_queue_timer(io);
        Ok(())
    }

    /// Answers requests that wait for routes which are gone.
    pub(super) fn refuse_stranded(&mut self, io: &mut Io<'_>, stranded: Vec<QueuedRequest>) {
        for queued in stranded {
            let client = queued.pending.client;
            self.unqueue(io, client);
            self.refuse_left(io, client, "the route was removed");
        }
    }

    /// Answers a request whose upstream takes no clients any more.
    pub(super) fn refuse_left(&mut self, io: &mut Io<'_>, client: ConnId, why: &str) {
        let reply = HandshakeFailure::Closed(why.to_owned()).reply();
        let reply = with_retry_after(reply, client.generation());
        let cause = Cause::DRAINING;
        io.answer(client, Verdict::Reply { reply, cause });
    }

    /// Notes that the request of a client waits no longer. Returns the route of its queue.
    fn unqueue(&mut self, io: &mut Io<'_>, client: ConnId) -> Option<Arc<Route>> {
        let (route, bytes) = self.queued.remove(&client)?;
        io.release(bytes);
        Some(route)
    }

    /// Removes the request of a client that has left from its queue, if it is in one.
    pub(super) fn leave_queue(&mut self, io: &mut Io<'_>, client: ConnId) {
        if let Some(route) = self.unqueue(io, client)
            && let Some(live) = self.routes.by_name(&route.name)
        {
            live.queue.remove(client);
        }
    }

    /// Passes on requests of a route that wait, as far as upstreams have room.
    pub(super) fn serve_queue(&mut self, io: &mut Io<'_>, route: &str) {
        if sabotage::on(Bug::QueueForgotten) {
            return;
        }
        // Those that may not go where there is room: it was tried for them already.
        let mut kept = Vec::new();
        while kept.len() < QUEUE_LOOK
            && let Some(live) = self.routes.by_name(route)
            && live.has_room(&self.endpoints)
            && let Some(queued) = live.queue.pop()
        {
            let (client, until) = (queued.pending.client, queued.until);
            let before = live.queue.len();
            self.unqueue(io, client);
            if let Err((cause, reply)) = self.dial(io, queued.pending, queued.request) {
                io.answer(client, Verdict::Reply { reply, cause });
            }
            if let Some(live) = self.routes.by_name(route)
                && live.queue.len() > before
            {
                let again = live.queue.pop_newest();
                kept.extend(again.map(|queued| QueuedRequest { until, ..queued }));
            }
        }
        if let Some(live) = self.routes.by_name(route) {
            live.queue.put_first(kept);
        }
    }

    /// Answers the requests that have waited in a queue for too long, and passes on others: an
    /// upstream may have been added or resumed.
    pub(super) fn expire_queues(&mut self, io: &mut Io<'_>) {
        self.queue_timer = None;
        let now = io.now();
        let (mut expired, mut waiting) = (Vec::new(), Vec::new());
        for live in self.routes.iter_mut() {
            let queue = std::iter::from_fn(|| live.queue.pop_expired(now));
            expired.extend(queue.map(|queued| queued.pending.client));
            if !live.queue.is_empty() {
                waiting.push(live.route.name.clone());
            }
        }
        for client in expired {
            self.unqueue(io, client);
            let (cause, reply) = busy(client);
            io.answer(client, Verdict::Reply { reply, cause });
        }
        for route in &waiting {
            self.serve_queue(io, route);
        }
        if !waiting.is_empty() {
            self.set_queue_timer(io);
        }
    }

    fn set_queue_timer(&mut self, io: &mut Io<'_>) {
        if self.queue_timer.is_none() {
            self.queue_timer = Some(io.start_timer(QUEUE_STEP));
        }
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
                io.answer(client, Verdict::Reply { reply, cause });
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
        let mut reply = failure.reply();
        if reply.status == 503 {
            reply = with_retry_after(reply, client.generation());
        }
        io.answer(client, Verdict::Reply { reply, cause });
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
                endpoint.unanswered(pending.address, pending.dialed_at, now, &end.reason);
                HandshakeResult::Unanswered
            }
            // A client can make a service end a connection without an answer.
            cause if cause.by() == EndedBy::Peer || cause == Cause::BAD_ANSWER => {
                HandshakeResult::Invalid
            }
            // What this process has done, or lacks, says nothing of the upstream.
            _ => HandshakeResult::Abandoned,
        };
        endpoint.handshakes.count(result);
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

fn unreachable() -> Refusal {
    let reply = HandshakeFailure::Unreachable.reply();
    (Cause::CONNECT_FAILED, reply)
}

fn no_room(client: ConnId) -> Refusal {
    let reply = with_retry_after(HandshakeFailure::NoRoom.reply(), client.generation());
    (Cause::AT_CAPACITY, reply)
}

fn busy(client: ConnId) -> Refusal {
    let reply = with_retry_after(HandshakeFailure::Busy.reply(), client.generation());
    (Cause::AT_CAPACITY, reply)
}

/// Adds Retry-After to a reply: 5 to 20 s, different for clients with different `nth`.
fn with_retry_after(reply: Reply, nth: u32) -> Reply {
    reply.with_retry_after(5 + nth % 16)
}
