//! The bridge as a product: each client is linked to a connection to an upstream.

use super::acceptance::check_upgrade;
use super::handshake_failure::HandshakeFailure;
use super::hop::Hop;
use super::known_addresses::KnownAddresses;
use super::pair_ends::{GOING_AWAY, Leg, partner_close};
use super::pending::{PendingRequest, PendingRequests};
use super::refusal::refusal_reply;
use super::route::Route;
use super::route_table::RouteTable;
use super::upstream_request::{HostHeader, UpstreamRequest, upstream_request};
use super::upstreams::{Endpoints, Listing};
use crate::base::cause::{Cause, EndedBy};
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{
    Class, Dial, DialError, DialRequest, Ending, Io, LinkRules, Message, Overdue, PairEnd,
    PhaseView, Reply, Request, Response, ResponseVerdict, TimerId, Upgrade, Verdict,
};
use crate::health::{HealthChange, HealthState, Policy};
use crate::host::{ClassInfo, Identity, LogValue, Product, Proxies, RequestDecision, SpreadClose};
use crate::wire::http::HeaderValue;
use std::net::SocketAddr;
use std::ops::Range;

/// The classes of the bridge: clients, and connections to the upstream.
pub static BRIDGE_CLASSES: [ClassInfo; 2] = [
    ClassInfo {
        name: "client",
        label: "clients",
        ended_by: Some("client"),
        is_one_service: false,
        policy: Policy::DEFAULT,
    },
    ClassInfo {
        name: "upstream",
        label: "upstream connections",
        ended_by: Some("upstream"),
        is_one_service: true,
        policy: UPSTREAM_POLICY,
    },
];

/// The default policy of connections to the upstream: a service is watched less closely than
/// clients are.
const UPSTREAM_POLICY: Policy = Policy {
    heartbeat_interval: Micros::from_secs(30),
    connection_timeout: Micros::from_secs(90),
    ..Policy::DEFAULT
};

/// Time beyond the limits of the dial within which the client's request is answered.
const ANSWER_MARGIN: Micros = Micros::from_secs(1);

/// The most addresses that are dialled for one client.
const DIALS_MAX: usize = 8;

/// The reason in the close frames of pairs whose upstream was removed from the settings.
const REMOVED: &str = "upstream removed";

/// The options of a bridge.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "hosts write it down")]
pub struct BridgeOptions {
    /// The routes.
    pub routes: Vec<Route>,
    /// Whether every client uses https, whatever the request says.
    pub forwarded_https: bool,
    /// The proxies in front of the gateway.
    pub proxies: Proxies,
}

/// Adds Retry-After to a reply: 5 to 20 s, different for clients that came one after the other.
fn with_retry_after(reply: Reply, client: ConnId) -> Reply {
    reply.with_retry_after(5 + client.generation() % 16)
}

/// Closes a connection to the upstream whose client has left before the two were linked. The
/// upstream is not at fault.
fn close_for_lost_client(io: &mut Io<'_>, upstream: ConnId) {
    io.close_for(upstream, Cause::PARTNER_ENDED, GOING_AWAY, "client lost");
}

/// The reverse proxy for the upstreams of all routes.
pub struct Bridge {
    client: Class,
    forwarded_https: bool,
    proxies: Proxies,
    routes: RouteTable,
    known: KnownAddresses,
    endpoints: Endpoints,
    pending: PendingRequests,
    /// Closes the pairs of upstreams that were removed.
    removal: Option<SpreadClose>,
}

impl Bridge {
    /// Makes a bridge without connections.
    pub fn new(options: BridgeOptions) -> Self {
        let mut bridge = Bridge {
            client: Class(0),
            forwarded_https: options.forwarded_https,
            proxies: options.proxies,
            routes: RouteTable::default(),
            known: KnownAddresses::default(),
            endpoints: Endpoints::default(),
            pending: PendingRequests::default(),
            removal: None,
        };
        let (endpoints, known) = (&mut bridge.endpoints, &bridge.known);
        bridge.routes.set(options.routes, endpoints, known);
        bridge
    }

    /// Sets the addresses of a host name with a port; each is an upstream of its own. An address
    /// that is gone gets no new clients, and its pairs stay. An empty list changes nothing. Returns
    /// whether there was a change.
    pub fn set_addresses(&mut self, host: &str, port: u16, addresses: &[SocketAddr]) -> bool {
        let is_new = self.known.set(host, port, addresses);
        if is_new {
            self.routes.reconcile(&mut self.endpoints, &self.known);
        }
        is_new
    }

    /// Replaces all routes. Pairs of a route that is the same stay as they are, and so do pairs
    /// whose upstream a changed route still has. The other pairs are closed evenly over `spread`.
    pub fn set_routes(&mut self, io: &mut Io<'_>, routes: Vec<Route>, spread: Micros) {
        self.routes.set(routes, &mut self.endpoints, &self.known);
        if let Some(mut before) = self.removal.take() {
            before.stop(io);
        }
        let pairs = self.endpoints.pairs_to_removed();
        if pairs > 0 {
            self.removal = Some(SpreadClose::new(io.now(), spread, pairs));
            self.close_removed(io);
        }
    }

    /// Closes the pairs of removed upstreams that are due.
    fn close_removed(&mut self, io: &mut Io<'_>) {
        let endpoints = &self.endpoints;
        let Some(walk) = &mut self.removal else {
            return;
        };
        walk.step(io, |io, id, view| {
            let is_removed =
                view.phase == PhaseView::Open && endpoints.listing_of(id) == Some(Listing::Removed);
            // The end of the client's leg is what the operator wants; the upstream is told so.
            if let Some(client) = io.partner(id).filter(|_| is_removed) {
                let cause = Cause::DRAINING;
                io.close_for(client, cause, cause.close_code(), REMOVED);
            }
            is_removed
        });
    }

    fn upstream_class(&self) -> Class {
        Class(self.client.0 + 1)
    }

    /// Passes a client's request to an upstream, or says why not. `None`: no route serves it.
    fn pass_request(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) -> Option<Verdict> {
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
        let hop = Hop::of(request, &self.proxies, self.forwarded_https);
        let path = route.upstream_path(request.path());
        // The Host of an upstream is filled in when it is chosen.
        let host = HeaderValue::from_static("");
        let made = upstream_request(request, &hop, &route.host_header, &host, path);
        let UpstreamRequest {
            dial_request,
            offer,
        } = match made {
            Ok(made) => made,
            Err(reply) => return Some(refused(reply)),
        };
        let pending = Box::new(PendingRequest {
            client: id,
            route: route.clone(),
            offer,
            request: None,
            tried: Vec::new(),
        });
        let connects = Micros(listed.min(DIALS_MAX) as u64 * route.connect_timeout.0);
        let time = connects + route.answer_timeout + ANSWER_MARGIN;
        Some(match self.dial(io, pending, dial_request) {
            Ok(()) => Verdict::DeferFor(time),
            Err((cause, reply)) => Verdict::Reply { reply, cause },
        })
    }

    /// Dials the best upstream for a request that has not been tried for it.
    fn dial(
        &mut self,
        io: &mut Io<'_>,
        mut pending: Box<PendingRequest>,
        mut request: DialRequest,
    ) -> Result<(), (Cause, Reply)> {
        let no_room = || {
            let reply = HandshakeFailure::NoRoom.reply();
            let reply = with_retry_after(reply, pending.client);
            Err((Cause::AT_CAPACITY, reply))
        };
        // A client that leaves frees its place at once, and its connection to the upstream only
        // after the close. Both take a descriptor.
        let dialed = io.stats().dialed_here;
        if io
            .max_connections()
            .is_some_and(|most| dialed >= most as u64)
        {
            return no_room();
        }
        let route = pending.route.clone();
        let live = self.routes.by_name(&route.name);
        let chosen = live.and_then(|live| {
            let chosen = live.choose(&self.endpoints, &pending.tried, io.now())?;
            let rest = live.listed(&self.endpoints) - 1;
            Some((chosen, rest > pending.tried.len()))
        });
        let chosen = chosen.and_then(|(id, more)| Some((id, more, self.endpoints.get(id)?)));
        let Some((id, is_more, endpoint)) = chosen else {
            let reply = HandshakeFailure::Unreachable.reply();
            return Err((Cause::CONNECT_FAILED, reply));
        };
        if route.host_header == HostHeader::Upstream || request.host.is_empty() {
            request.host = endpoint.url.host_field();
        }
        pending.tried.push(id);
        let may_retry = is_more && pending.tried.len() < DIALS_MAX;
        pending.request = may_retry.then(|| request.clone());
        let mut dial = Dial::new(endpoint.address.clone(), request, self.upstream_class());
        dial.policy = route.upstream_policy;
        dial.connect_timeout = route.connect_timeout;
        dial.answer_timeout = route.answer_timeout;
        match io.dial(dial) {
            Ok(upstream) => {
                self.endpoints.dialed(upstream, id);
                self.pending.add(upstream, pending);
                Ok(())
            }
            Err(DialError::Stopped) => no_room(),
            Err(e) => Err((Cause::INTERNAL, Reply::error(503, &e.to_string()))),
        }
    }

    /// Handles a connection to the upstream that ended before it was open.
    fn fail_request(&mut self, io: &mut Io<'_>, mut pending: Box<PendingRequest>, end: &Ending) {
        let client = pending.client;
        let is_unconnected = [Cause::CONNECT_FAILED, Cause::CONNECT_TIMEOUT].contains(&end.cause);
        if is_unconnected && let Some(request) = pending.request.take() {
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
            reply = with_retry_after(reply, client);
        }
        io.answer(client, Verdict::Reply { reply, cause });
    }

    /// Notes what the end of a dial says of the upstream.
    fn judge_upstream(&mut self, id: ConnId, end: &Ending, now: Micros) {
        let Some(endpoint) = self.endpoints.of_leg(id) else {
            return;
        };
        let Some(endpoint) = self.endpoints.get_mut(endpoint) else {
            return;
        };
        match end.cause {
            cause if [Cause::CONNECT_FAILED, Cause::CONNECT_TIMEOUT].contains(&cause) => {
                endpoint.unreachable(now);
            }
            // What this process has done, or lacks, says nothing of the upstream.
            cause if cause == Cause::AT_CAPACITY => {}
            cause if [EndedBy::Operator, EndedBy::Server].contains(&cause.by()) => {}
            _ => endpoint.unanswered(now),
        }
    }
}

impl Product for Bridge {
    fn classes(&self) -> &'static [ClassInfo] {
        &BRIDGE_CLASSES
    }

    fn on_register(&mut self, first: Class) {
        self.client = first;
    }

    fn classes_opened(&self, request: &Request) -> Range<u8> {
        let first = self.client.0;
        match self.routes.find(request) {
            Some(_) => first..first + BRIDGE_CLASSES.len() as u8,
            None => 0..0,
        }
    }

    fn on_request(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        request: &Request,
    ) -> Option<RequestDecision> {
        Some(RequestDecision {
            class: self.client,
            identity: None,
            verdict: self.pass_request(io, id, request)?,
        })
    }

    fn on_response(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        response: &Response,
    ) -> Option<ResponseVerdict> {
        let pending = self.pending.take(id)?;
        let client = pending.client;
        let endpoint = self.endpoints.of_leg(id);
        if let Some(endpoint) = endpoint.and_then(|at| self.endpoints.get_mut(at)) {
            endpoint.answered();
        }
        if response.status() != 101 {
            let (reply, cause) = (refusal_reply(response), Cause::NOT_UPGRADED);
            io.answer(client, Verdict::Reply { reply, cause });
            return Some(ResponseVerdict::Open);
        }
        let accepted = match check_upgrade(response, &pending.offer) {
            Ok(accepted) => accepted,
            Err(fault) => {
                let why = fault.to_string();
                let reply = HandshakeFailure::from(fault).reply();
                let cause = Cause::BAD_ANSWER;
                io.answer(client, Verdict::Reply { reply, cause });
                return Some(ResponseVerdict::Refuse(why));
            }
        };
        let rules = LinkRules {
            compression: accepted.is_compressed,
            max_message_bytes: pending.route.max_message_bytes,
        };
        if !io.link(client, id, rules) {
            close_for_lost_client(io, id);
            return Some(ResponseVerdict::Open);
        }
        self.endpoints.opened(id);
        let upgrade = Upgrade {
            headers: accepted.headers,
            policy: pending.route.client_policy,
            identified: true,
            ..Upgrade::to(self.client)
        };
        io.answer(client, Verdict::Upgrade(upgrade));
        Some(ResponseVerdict::Open)
    }

    fn on_pair_end(&mut self, io: &mut Io<'_>, partner: ConnId, end: &PairEnd) {
        let ended = match end.class == self.client {
            true => Leg::Client,
            false => Leg::Upstream,
        };
        let (code, reason) = partner_close(ended, end);
        io.close_for(partner, Cause::PARTNER_ENDED, code, &reason);
    }

    fn on_health(&mut self, _: &mut Io<'_>, id: ConnId, change: HealthChange) {
        let is_suspect = change.state == HealthState::Suspect;
        self.endpoints.set_suspect(id, is_suspect);
    }

    fn on_overdue(&mut self, io: &mut Io<'_>, id: ConnId, _: Cause) -> Overdue {
        let (Some(health), Some(policy)) = (io.health(id), io.policy_of(id)) else {
            return Overdue::Close;
        };
        let endpoint = self.endpoints.of_leg(id);
        // A client has none.
        let Some(endpoint) = endpoint.and_then(|at| self.endpoints.get_mut(at)) else {
            return Overdue::Close;
        };
        let (timeout, state) = (policy.connection_timeout, endpoint.state());
        endpoint
            .frozen
            .judge(id, health.silence, timeout, state, io.now())
    }

    fn on_close(&mut self, io: &mut Io<'_>, id: ConnId, _: Option<&Identity>, end: &Ending) {
        let pending = self.pending.take(id);
        if pending.is_some() {
            self.judge_upstream(id, end, io.now());
        }
        if let Some((at, endpoint)) = self.endpoints.ended(id) {
            self.routes.forget(&endpoint.route, at);
        }
        if let Some(pending) = pending {
            self.fail_request(io, pending, end);
        }
    }

    fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) -> bool {
        let is_ours = self.removal.as_ref().is_some_and(|walk| walk.owns(timer));
        if is_ours {
            self.close_removed(io);
        }
        is_ours
    }

    fn on_proxies(&mut self, proxies: &Proxies) {
        self.proxies = proxies.clone();
    }

    /// Never called: requests of the bridge name no identity.
    fn on_open(&mut self, _: &mut Io<'_>, _: ConnId, _: &Identity) -> &'static str {
        "linked"
    }

    /// Never called: the messages of linked connections are forwarded.
    fn on_message(&mut self, _: &mut Io<'_>, _: ConnId, _: &Identity, _: Message) {}

    fn on_reject(&mut self, io: &mut Io<'_>, id: ConnId, _: &Ending) {
        if let Some(upstream) = self.pending.abandon(id) {
            close_for_lost_client(io, upstream);
        }
    }
}
