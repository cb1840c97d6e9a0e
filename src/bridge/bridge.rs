//! The bridge as a product: each client is linked to a connection to an upstream.

use super::acceptance::check_upgrade;
use super::age_limits::AgeLimits;
use super::asked_clients::{Asked, AskedClients};
use super::handshake_failure::HandshakeFailure;
use super::handshake_stats::HandshakeResult;
use super::http_requests::HttpRequests;
use super::known_addresses::KnownAddresses;
use super::leaving_walk::LeavingWalk;
use super::pair_ends::{Leg, close_for_lost_client, partner_close};
use super::pair_stats::RouteStats;
use super::pending::PendingRequests;
use super::refusal::refusal_reply;
use super::route::Route;
use super::route_table::RouteTable;
use super::sessions::{SessionLimits, SessionTable};
use super::upstreams::Endpoints;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{
    Class, Ending, HeartbeatText, Io, LinkRules, Message, Overdue, PairEnd, Reply, Request,
    Response, ResponseVerdict, TimerId, Upgrade, Verdict,
};
use crate::health::{HealthChange, HealthState, Policy};
use crate::host::{
    BootId, ClassInfo, ClientCheck, Credentials, EventSender, Identity, PairTarget, Product,
    Proxies, ReportInbox, RequestDecision,
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
    /// The limits of sessions that outlive their connections.
    pub sessions: SessionLimits,
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
    pub(super) known: KnownAddresses,
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
    pub(super) sessions: SessionTable,
    pub(super) events: EventSender,
    /// Where the reports of clients go.
    pub(super) reports: ReportInbox,
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
            sessions: SessionTable::new(options.sessions),
            events: EventSender::default(),
            reports: ReportInbox::default(),
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

    /// Returns the counters of the pairs of each route.
    pub fn stats(&self) -> &RouteStats {
        &self.stats
    }

    /// Returns where the pair of a connection to an upstream leads, also before it is linked, or
    /// the session of a client. `None` for any other connection.
    pub fn target(&self, leg: ConnId) -> Option<PairTarget> {
        if let Some(upstream) = self.session_upstream(leg) {
            return self.target(upstream);
        }
        let endpoint = self.endpoints.get(self.endpoints.of_leg(leg)?)?;
        Some(endpoint.target())
    }

    /// Returns whether a connection to an upstream is one leg of a pair or a session.
    pub(crate) fn is_leg(&self, leg: ConnId) -> bool {
        self.endpoints.is_open(leg)
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
        (queued, queued + kept + self.sessions.kept())
    }

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
            verdict: self.pass_request(io, id, request, check)?,
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
        let mut pending = self.pending.take(id)?;
        let client = pending.client;
        let at = self.endpoints.of_leg(id);
        self.note_answer(io, id, &pending, response.status());
        if response.status() != 101 {
            let (reply, cause) = (refusal_reply(response), Cause::NOT_UPGRADED);
            self.answer(io, client, Verdict::Reply { reply, cause });
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
                self.answer(io, client, Verdict::Reply { reply, cause });
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
        if pending.session.is_some() {
            let cookie = self.set_cookie(&pending, id);
            if !self.open_session(io, id, &mut pending, (accepted, cookie)) {
                self.count_handshake(id, HandshakeResult::Abandoned);
                close_for_lost_client(io, id);
                return Some(ResponseVerdict::Open);
            }
            self.note_opened(io, id, &pending);
            self.serve_queue(io, &pending.route.name, at);
            return Some(ResponseVerdict::Open);
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
        accepted.headers.extend(self.set_cookie(&pending, id));
        self.note_opened(io, id, &pending);
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
        self.asked.remove(id);
        let told = self.told_end(id, end);
        self.session_client_ended(io, id, end);
        self.session_upstream_ended(io, id, end);
        self.sessions.forget_leaving(id);
        let freed = self.endpoints.of_leg(id);
        let endpoint = freed.and_then(|at| self.endpoints.get(at));
        let route = endpoint.map(|endpoint| endpoint.route.clone());
        if let Some(route) = &route {
            self.count_closed(id, route, &told);
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
            return self.close_due(io, timer) || self.sessions_on_timer(io, timer);
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

    fn on_leg_open(&mut self, io: &mut Io<'_>, id: ConnId) {
        self.leg_opened(io, id);
    }

    /// Takes every message: those of linked connections are forwarded by the engine.
    fn on_leg_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) -> Option<Message> {
        self.leg_message(io, id, message);
        None
    }

    fn on_leg_writable(&mut self, io: &mut Io<'_>, id: ConnId) {
        self.leg_writable(io, id);
    }

    fn heartbeat_text(&mut self, io: &mut Io<'_>, id: ConnId, number: u64) -> HeartbeatText {
        self.session_heartbeat(io, id, number)
    }

    fn refuse_open(
        &mut self,
        id: ConnId,
        request: &Request,
        reply: &Reply,
        cause: Cause,
    ) -> Option<Verdict> {
        self.refuse_request(id, request, (reply, cause))
    }

    fn on_drain_close(&mut self, io: &mut Io<'_>, id: ConnId) -> bool {
        self.say_bye(io, id);
        !self.follows_client(id) && !self.end_drained(io, id)
    }

    fn on_block(&mut self, io: &mut Io<'_>, identity: &Identity) {
        self.end_holds_of(io, identity);
    }

    /// Never called: [`on_leg_message`](Product::on_leg_message) takes every message.
    fn on_message(&mut self, _: &mut Io<'_>, _: ConnId, _: &Identity, _: Message) {}

    fn on_reject(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        self.asked.remove(id);
        if !self.session_client_rejected(io, id, end) {
            self.abandon_request(io, id);
        }
        self.sessions.forget_leaving(id);
    }
}
