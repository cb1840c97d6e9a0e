//! The bridge as a product: each client is linked to a connection to the upstream.

use super::acceptance::check_upgrade;
use super::frozen::{FrozenGuard, UpstreamState};
use super::handshake_failure::HandshakeFailure;
use super::hop::Hop;
use super::offer::Offer;
use super::pair_ends::{GOING_AWAY, Leg, partner_close};
use super::refusal::refusal_reply;
use super::upstream::Upstream;
use super::upstream_request::{HostHeader, UpstreamRequest, upstream_request};
use crate::base::cause::{Cause, EndedBy};
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{
    Class, Dial, DialError, DialRequest, Ending, Io, LinkRules, Message, Overdue, PairEnd, Reply,
    Request, Response, ResponseVerdict, Upgrade, Verdict,
};
use crate::health::Policy;
use crate::host::{ClassInfo, Identity, Product, Proxies, RequestDecision};
use std::collections::HashMap;
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

/// The options of a bridge.
#[derive(Debug, Clone)]
pub struct BridgeOptions {
    /// The upstream that serves every path.
    pub upstream: Upstream,
    /// The Host that the upstream sees.
    pub host_header: HostHeader,
    /// Whether every client uses https, whatever the request says.
    pub forwarded_https: bool,
    /// The most time for connecting.
    pub connect_timeout: Micros,
    /// The most time for the upstream's answer to a request.
    pub answer_timeout: Micros,
    /// The longest message, in bytes on the wire; 0: no limit.
    pub max_message_bytes: u32,
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

/// A request that was passed to the upstream and is not answered yet.
struct PendingRequest {
    client: ConnId,
    offer: Offer,
    /// The request, while there is another address to send it to.
    request: Option<DialRequest>,
    /// The index of the address that was dialled.
    address: usize,
    /// The addresses that were not tried yet.
    untried: usize,
}

/// The reverse proxy for one upstream.
pub struct Bridge {
    options: BridgeOptions,
    client: Class,
    /// The requests that wait for the upstream, by the connection to it. Boxed, because the map
    /// keeps its room after a burst of requests.
    pending: HashMap<ConnId, Box<PendingRequest>>,
    /// The connection to the upstream of each client whose request waits.
    dials: HashMap<ConnId, ConnId>,
    /// The index of the address to dial first.
    address: usize,
    frozen: FrozenGuard,
}

impl Bridge {
    /// Makes a bridge without connections.
    pub fn new(options: BridgeOptions) -> Self {
        Bridge {
            options,
            client: Class(0),
            pending: HashMap::new(),
            dials: HashMap::new(),
            address: 0,
            frozen: FrozenGuard::default(),
        }
    }

    fn upstream_class(&self) -> Class {
        Class(self.client.0 + 1)
    }

    /// Passes a client's request to the upstream, or says why not.
    fn pass_request(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict {
        let refused = |reply| Verdict::Reply {
            reply,
            cause: Cause::BAD_REQUEST,
        };
        if let Some(reply) = request.upgrade_refusal() {
            return refused(reply);
        }
        let options = &self.options;
        let hop = Hop::of(request, &options.proxies, options.forwarded_https);
        let host = &options.upstream.host;
        let made = upstream_request(request, &hop, &options.host_header, host);
        let UpstreamRequest {
            dial_request,
            offer,
        } = match made {
            Ok(made) => made,
            Err(reply) => return refused(reply),
        };
        let addresses = options.upstream.addresses.len();
        let pending = Box::new(PendingRequest {
            client: id,
            offer,
            request: None,
            address: self.address,
            untried: addresses.saturating_sub(1),
        });
        let most = addresses as u64 * options.connect_timeout.0;
        let time = Micros(most) + options.answer_timeout + ANSWER_MARGIN;
        match self.dial(io, pending, dial_request) {
            Ok(()) => Verdict::DeferFor(time),
            Err((cause, reply)) => Verdict::Reply { reply, cause },
        }
    }

    /// Dials the upstream for a request.
    fn dial(
        &mut self,
        io: &mut Io<'_>,
        mut pending: Box<PendingRequest>,
        request: DialRequest,
    ) -> Result<(), (Cause, Reply)> {
        let options = &self.options;
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
        let Some(address) = options.upstream.addresses.get(pending.address) else {
            let reply = HandshakeFailure::Unreachable.reply();
            return Err((Cause::CONNECT_FAILED, reply));
        };
        pending.request = (pending.untried > 0).then(|| request.clone());
        let mut dial = Dial::new(address.clone(), request, self.upstream_class());
        dial.connect_timeout = options.connect_timeout;
        dial.answer_timeout = options.answer_timeout;
        match io.dial(dial) {
            Ok(upstream) => {
                self.dials.insert(pending.client, upstream);
                self.pending.insert(upstream, pending);
                Ok(())
            }
            Err(DialError::Stopped) => no_room(),
            Err(e) => Err((Cause::INTERNAL, Reply::error(503, &e.to_string()))),
        }
    }

    /// Handles a connection to the upstream that ended before it was open.
    fn fail_request(&mut self, io: &mut Io<'_>, mut pending: Box<PendingRequest>, end: &Ending) {
        let client = pending.client;
        self.dials.remove(&client);
        let is_unconnected = [Cause::CONNECT_FAILED, Cause::CONNECT_TIMEOUT].contains(&end.cause);
        if is_unconnected && let Some(request) = pending.request.take() {
            pending.untried -= 1;
            pending.address = (pending.address + 1) % self.options.upstream.addresses.len();
            self.address = pending.address;
            if let Err((cause, reply)) = self.dial(io, pending, request) {
                io.answer(client, Verdict::Reply { reply, cause });
            }
            return;
        }
        let reason = end.reason.to_string();
        let (failure, cause) = match end.cause {
            cause if is_unconnected => (HandshakeFailure::Unreachable, cause),
            cause if cause == Cause::ANSWER_TIMEOUT => {
                let failure = HandshakeFailure::TooSlow(self.options.answer_timeout);
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
}

impl Product for Bridge {
    fn classes(&self) -> &'static [ClassInfo] {
        &BRIDGE_CLASSES
    }

    fn on_register(&mut self, first: Class) {
        self.client = first;
    }

    fn classes_opened(&self, _: &Request) -> Range<u8> {
        let first = self.client.0;
        first..first + BRIDGE_CLASSES.len() as u8
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
            verdict: self.pass_request(io, id, request),
        })
    }

    fn on_response(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        response: &Response,
    ) -> Option<ResponseVerdict> {
        let pending = self.pending.remove(&id)?;
        let client = pending.client;
        self.dials.remove(&client);
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
            max_message_bytes: self.options.max_message_bytes,
        };
        if !io.link(client, id, rules) {
            close_for_lost_client(io, id);
            return Some(ResponseVerdict::Open);
        }
        let upgrade = Upgrade {
            headers: accepted.headers,
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

    fn on_overdue(&mut self, io: &mut Io<'_>, id: ConnId, _: Cause) -> Overdue {
        let class = self.upstream_class();
        let (Some(health), Some(policy)) = (io.health(id), io.policy(class)) else {
            return Overdue::Close;
        };
        if io.class(id) != Some(class) {
            return Overdue::Close;
        }
        let timeout = policy.connection_timeout;
        let legs = &io.stats().classes[usize::from(class.0)];
        let state = UpstreamState {
            open: legs.live - legs.closing,
            silent: legs.suspects,
        };
        self.frozen
            .judge(id, health.silence, timeout, state, io.now())
    }

    fn on_close(&mut self, io: &mut Io<'_>, id: ConnId, _: Option<&Identity>, end: &Ending) {
        self.frozen.forget(id);
        if let Some(pending) = self.pending.remove(&id) {
            self.fail_request(io, pending, end);
        }
    }

    fn on_proxies(&mut self, proxies: &Proxies) {
        self.options.proxies = proxies.clone();
    }

    /// Never called: requests of the bridge name no identity.
    fn on_open(&mut self, _: &mut Io<'_>, _: ConnId, _: &Identity) -> &'static str {
        "linked"
    }

    /// Never called: the messages of linked connections are forwarded.
    fn on_message(&mut self, _: &mut Io<'_>, _: ConnId, _: &Identity, _: Message) {}

    fn on_reject(&mut self, io: &mut Io<'_>, id: ConnId, _: &Ending) {
        if let Some(upstream) = self.dials.remove(&id) {
            self.pending.remove(&upstream);
            close_for_lost_client(io, upstream);
        }
    }
}
