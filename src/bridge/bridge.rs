//! The bridge as a product: each client is linked to a connection to an upstream.

use super::acceptance::check_upgrade;
use super::age_limits::AgeLimits;
use super::asked_clients::{Asked, AskedClients};
use super::handshake_failure::HandshakeFailure;
use super::handshake_stats::HandshakeResult;
use super::http_requests::HttpRequests;
use super::known_addresses::KnownAddresses;
use super::leaving_walk::LeavingWalk;
use super::pair_ends::{GOING_AWAY, Leg, partner_close};
use super::pair_stats::RouteStats;
use super::pending::PendingRequests;
use super::refusal::refusal_reply;
use super::route::Route;
use super::route_table::RouteTable;
use super::upstream_row::UpstreamRow;
use super::upstreams::{Endpoint, Endpoints};
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{
    Class, Ending, Io, LinkRules, Message, Overdue, PairEnd, Request, Response, ResponseVerdict,
    TimerId, Upgrade, Verdict,
};
use crate::health::{HealthChange, HealthState, Policy};
use crate::host::{
    BootId, ClassInfo, ClientCheck, Credentials, Identity, PairTarget, Product, Proxies,
    RequestDecision,
};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// The classes of the bridge: clients, and connections to the upstream.
pub static BRIDGE_CLASSES: [ClassInfo; 2] = [
    ClassInfo {
        name: "client",
        label: "clients",
        ended_by: Some("client"),
        policy: Policy::DEFAULT,
    },
    ClassInfo {
        name: "upstream",
        label: "upstream connections",
        ended_by: Some("upstream"),
        policy: UPSTREAM_POLICY,
    },
];

/// How long clients with the sticky cookie of a drained upstream still reach it: longer than it
/// takes to open a session, and not so long that a client that was closed comes back again and
/// again.
const OWN_TIME: Micros = Micros::from_secs(10);

/// The default policy of connections to the upstream: a service is watched less closely than
/// clients are.
const UPSTREAM_POLICY: Policy = Policy {
    heartbeat_interval: Micros::from_secs(30),
    connection_timeout: Micros::from_secs(90),
    ..Policy::DEFAULT
};

/// The options of a bridge.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "hosts write it down")]
pub struct BridgeOptions {
    /// The routes.
    pub routes: Vec<Route>,
    /// Whether every client uses https, whatever the request says.
    pub forwarded_https: bool,
    /// Whether plain HTTP requests are passed to the upstreams, too.
    pub http_pass: bool,
    /// The most plain HTTP requests in progress, over all clients.
    pub http_max_requests: u64,
    /// The proxies in front of the gateway.
    pub proxies: Proxies,
}

/// Closes a connection to the upstream whose client has left before the two were linked. The
/// upstream is not at fault.
fn close_for_lost_client(io: &mut Io<'_>, upstream: ConnId) {
    io.close_for(upstream, Cause::PARTNER_ENDED, GOING_AWAY, "client lost");
}

/// The reverse proxy for the upstreams of all routes.
pub struct Bridge {
    client: Class,
    pub(super) forwarded_https: bool,
    pub(super) http_pass: bool,
    pub(super) http_max_requests: u64,
    pub(super) proxies: Proxies,
    /// The id of this run, a part of the ids that upstreams are told.
    pub(super) boot: BootId,
    /// What tokens are checked against.
    pub(super) credentials: Credentials,
    pub(super) routes: RouteTable,
    known: KnownAddresses,
    pub(super) endpoints: Endpoints,
    pub(super) http_requests: HttpRequests,
    pub(super) pending: PendingRequests,
    pub(super) asked: AskedClients,
    /// The route of each client whose request waits in a queue, the bytes that it is charged, and
    /// its ticket in that queue.
    pub(super) queued: HashMap<ConnId, (Arc<Route>, usize, u64)>,
    /// Expires requests in queues.
    pub(super) queue_timer: Option<TimerId>,
    /// Counts the requests, so that source addresses take turns.
    pub(super) sources: usize,
    pub(super) ages: AgeLimits,
    /// Closes the pairs that reach their planned age.
    pub(super) age_timer: Option<TimerId>,
    /// Close the pairs of upstreams that were removed or drained.
    pub(super) leaving: Vec<LeavingWalk>,
    /// Begin the last walks of drains.
    pub(super) last_walks: Vec<TimerId>,
    /// The number of the last of these walks.
    pub(super) walks: u32,
    pub(super) stats: RouteStats,
}

impl Bridge {
    /// Makes a bridge without connections, for this run of the gateway.
    pub fn new(options: BridgeOptions, boot: BootId) -> Self {
        let mut bridge = Bridge {
            client: Class(0),
            forwarded_https: options.forwarded_https,
            http_pass: options.http_pass,
            http_max_requests: options.http_max_requests,
            proxies: options.proxies,
            boot,
            credentials: Credentials::default(),
            routes: RouteTable::default(),
            known: KnownAddresses::default(),
            endpoints: Endpoints::default(),
            http_requests: HttpRequests::default(),
            pending: PendingRequests::default(),
            asked: AskedClients::default(),
            queued: HashMap::new(),
            queue_timer: None,
            sources: 0,
            ages: AgeLimits::default(),
            age_timer: None,
            leaving: Vec::new(),
            last_walks: Vec::new(),
            walks: 0,
            stats: RouteStats::default(),
        };
        let (endpoints, known) = (&mut bridge.endpoints, &bridge.known);
        // There were no routes, so no request waits.
        let _ = bridge.routes.set(options.routes, endpoints, known, None);
        bridge.count_routes();
        bridge
    }

    /// Sets the addresses of a host name with a port; each is an upstream of its own. An address
    /// that is gone gets no new clients, and its pairs stay. An empty list changes nothing. Returns
    /// whether there was a change. `now` is the engine time; `None` before the start.
    pub fn set_addresses(
        &mut self,
        host: &str,
        port: u16,
        addresses: &[SocketAddr],
        now: Option<Micros>,
    ) -> bool {
        let is_first = !self.known.has(host, port);
        let is_new = self.known.set(host, port, addresses);
        if is_new {
            let warm_from = now.filter(|_| !is_first);
            self.routes
                .reconcile(&mut self.endpoints, &self.known, warm_from);
            let why = "its name has the address again";
            self.endpoints.settle(now.unwrap_or_default(), why);
        }
        is_new
    }

    /// Replaces all routes. Pairs of a route that is the same stay as they are, and so do pairs
    /// whose upstream a changed route still has. The other pairs are closed evenly over `spread`.
    pub fn set_routes(&mut self, io: &mut Io<'_>, routes: Vec<Route>, spread: Micros) {
        let now = Some(io.now());
        let stranded = self
            .routes
            .set(routes, &mut self.endpoints, &self.known, now);
        self.refuse_stranded(io, stranded);
        self.count_routes();
        let routes = &self.routes;
        self.known.retain(|host, port| routes.names(host, port));
        self.endpoints.settle(io.now(), "the settings have changed");
        self.close_leaving(io, spread);
    }

    /// Drains an upstream: it gets no new clients, and its pairs are closed evenly over `spread`.
    /// For 10 s clients with its sticky cookie still reach it, unless `spread` is 0: their session
    /// may consist of several requests. What they have opened is closed then.
    /// `upstream` is its address, or the location that the route names. Returns how many pairs will
    /// be closed; `None` if there is no such upstream.
    pub fn drain_upstream(
        &mut self,
        io: &mut Io<'_>,
        route: &str,
        upstream: &str,
        spread: Micros,
    ) -> Option<u64> {
        let own = match spread {
            Micros::ZERO => Micros::ZERO,
            _ => OWN_TIME,
        };
        let mut pairs = None;
        for endpoint in self.endpoints.iter_mut() {
            if endpoint.is_named(route, upstream) {
                endpoint.drain(io.now() + own);
                *pairs.get_or_insert(0) += endpoint.state().open;
            }
        }
        pairs.inspect(|_| {
            self.endpoints.settle(io.now(), "");
            self.close_leaving(io, spread);
            self.last_walks.push(io.start_timer(own));
        })
    }

    /// Ends the drain of an upstream: it gets new clients again, and no more of its pairs are
    /// closed. Returns whether one was drained; `None` if there is no such upstream.
    pub fn resume_upstream(&mut self, now: Micros, route: &str, upstream: &str) -> Option<bool> {
        let mut was_drained = None;
        for endpoint in self.endpoints.iter_mut() {
            if endpoint.is_named(route, upstream) {
                let drained = std::mem::take(&mut endpoint.is_drained);
                if drained {
                    endpoint.begin(now);
                }
                *was_drained.get_or_insert(false) |= drained;
            }
        }
        self.endpoints.settle(now, "resumed by an operator");
        was_drained
    }

    /// Returns the first upstreams, at most [`LISTED_MAX`](Self::LISTED_MAX), in the order of their
    /// routes' names and their addresses, and how many there are.
    pub fn upstreams(&self, now: Micros) -> (Vec<UpstreamRow>, usize) {
        let row = |endpoint: &Endpoint| {
            let route = self.routes.named(&endpoint.route);
            let sources = route.map_or(&[][..], |route| &route.source_addresses);
            endpoint.row(now, sources)
        };
        let unresolved = self.routes.unresolved(&self.known);
        let total = self.endpoints.len() + unresolved.len();
        let mut rows: Vec<_> = self
            .endpoints
            .iter()
            .take(Self::LISTED_MAX)
            .map(row)
            .collect();
        rows.sort_by(|a, b| (&a.route, &a.address).cmp(&(&b.route, &b.address)));
        rows.extend(unresolved.into_iter().take(Self::LISTED_MAX - rows.len()));
        (rows, total)
    }

    /// Returns the counters of the pairs of each route.
    pub fn stats(&self) -> &RouteStats {
        &self.stats
    }

    /// Returns where the pair of a connection to an upstream leads, also before it is linked.
    /// `None` for any other connection.
    pub fn target(&self, leg: ConnId) -> Option<PairTarget> {
        let endpoint = self.endpoints.get(self.endpoints.of_leg(leg)?)?;
        Some(endpoint.target())
    }

    /// Returns what a client has asked for that is no leg of a pair.
    pub(crate) fn asked(&self, client: ConnId) -> Option<&Asked> {
        self.asked.get(client)
    }

    /// Returns how many requests wait in queues, and how much else is kept for requests and pairs
    /// beside the upstreams. For tests.
    #[cfg(feature = "testing")]
    pub fn kept(&self) -> (usize, usize) {
        let queued = self.queued.len();
        let kept = self.pending.len() + self.asked.len() + self.ages.len();
        (queued, queued + kept)
    }

    /// The most upstreams that are listed at once.
    pub const LISTED_MAX: usize = 1_000;

    pub(super) fn client_class(&self) -> Class {
        self.client
    }

    pub(super) fn upstream_class(&self) -> Class {
        Class(self.client.0 + 1)
    }
}

impl Product for Bridge {
    fn classes(&self) -> &'static [ClassInfo] {
        &BRIDGE_CLASSES
    }

    fn on_register(&mut self, first: Class) {
        self.client = first;
    }

    fn check_client(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) -> ClientCheck {
        self.check_upgrade(io, id, request)
    }

    fn on_request(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        request: &Request,
        check: &ClientCheck,
    ) -> Option<RequestDecision> {
        let route = self.routes.find(request)?.name.clone();
        self.asked.add(id, route);
        Some(RequestDecision {
            class: self.client,
            identity: None,
            verdict: self.pass_request(io, id, request, check.expires)?,
        })
    }

    fn on_refused(&mut self, id: ConnId, request: &Request) {
        if let Some(live) = self.routes.find(request) {
            self.asked.add(id, live.name.clone());
        }
    }

    fn on_response(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        response: &Response,
    ) -> Option<ResponseVerdict> {
        let pending = self.pending.take(id)?;
        let client = pending.client;
        let at = self.endpoints.of_leg(id);
        self.note_answer(io, id, &pending, response.status());
        if response.status() != 101 {
            let (reply, cause) = (refusal_reply(response), Cause::NOT_UPGRADED);
            io.answer(client, Verdict::Reply { reply, cause });
            return Some(ResponseVerdict::Open);
        }
        let mut accepted = match check_upgrade(response, &pending.offer) {
            Ok(accepted) => accepted,
            Err(fault) => {
                let why = fault.to_string();
                self.count_handshake(id, HandshakeResult::Invalid);
                self.note_failure(id, &pending, io.now(), &why);
                let reply = HandshakeFailure::from(fault).reply();
                let cause = Cause::BAD_ANSWER;
                io.answer(client, Verdict::Reply { reply, cause });
                return Some(ResponseVerdict::Refuse(why));
            }
        };
        let endpoint = at.and_then(|at| self.endpoints.get(at));
        let now = io.now();
        if let Some(endpoint) = endpoint.filter(|e| e.is_left() && !e.keeps_own(now)) {
            let why = endpoint.why_left();
            self.count_handshake(id, HandshakeResult::Abandoned);
            self.refuse_left(io, client, &HandshakeFailure::Closed(why.to_owned()));
            return Some(ResponseVerdict::Refuse(why.to_owned()));
        }
        let rules = LinkRules {
            compression: accepted.is_compressed,
            max_message_bytes: pending.route.max_message_bytes,
        };
        if !io.link(client, id, rules) {
            self.count_handshake(id, HandshakeResult::Abandoned);
            close_for_lost_client(io, id);
            return Some(ResponseVerdict::Open);
        }
        self.count_opened(id, io.now());
        self.asked.remove(client);
        accepted.headers.extend(self.set_cookie(&pending, id));
        self.plan_end(io, id, pending.route.max_age);
        self.plan_expiry(io, id, pending.expires);
        self.serve_queue(io, &pending.route.name, at);
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

    fn on_health(&mut self, io: &mut Io<'_>, id: ConnId, change: HealthChange) {
        let is_suspect = change.state == HealthState::Suspect;
        self.endpoints.set_suspect(id, is_suspect, io.now());
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
        if let Some(pending) = &pending {
            self.judge_upstream(id, pending, end, io.now());
        }
        self.ages.remove(id);
        let freed = self.endpoints.of_leg(id);
        let endpoint = freed.and_then(|at| self.endpoints.get(at));
        let route = endpoint.map(|endpoint| endpoint.route.clone());
        if let Some(route) = &route {
            self.count_closed(id, route, end);
        }
        if let Some((at, endpoint)) = self.endpoints.ended(id, io.now()) {
            self.routes.forget(&endpoint.route, at);
        }
        if let Some(pending) = pending {
            self.fail_request(io, pending, end);
        }
        if let Some(route) = route {
            self.serve_queue(io, &route, freed);
        }
    }

    fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) -> bool {
        if self.queue_timer == Some(timer) {
            self.expire_queues(io);
        } else if self.age_timer == Some(timer) {
            self.close_old(io);
        } else if self.last_walks.contains(&timer) {
            self.last_walks.retain(|last| *last != timer);
            self.begin_last_walk(io);
        } else {
            return self.close_due(io, timer);
        }
        true
    }

    fn on_proxies(&mut self, proxies: &Proxies) {
        self.proxies = proxies.clone();
    }

    fn on_credentials(&mut self, credentials: &Credentials) {
        self.credentials = credentials.clone();
    }

    fn on_open(&mut self, _: &mut Io<'_>, _: ConnId, _: &Identity) -> &'static str {
        "linked"
    }

    /// Never called: the messages of linked connections are forwarded.
    fn on_message(&mut self, _: &mut Io<'_>, _: ConnId, _: &Identity, _: Message) {}

    fn on_reject(&mut self, io: &mut Io<'_>, id: ConnId, _: &Ending) {
        self.asked.remove(id);
        self.leave_queue(io, id);
        if let Some((upstream, pending)) = self.pending.abandon(id) {
            self.count_handshake(upstream, HandshakeResult::Abandoned);
            self.note_abandoned(upstream, &pending, io.now());
            close_for_lost_client(io, upstream);
        }
    }
}
