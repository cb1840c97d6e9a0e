//! The gateway's handlers for the events of the loop.

use super::gateway::Gateway;
use super::report::{self, Peer};
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{
    Class, Ending, Handler, Io, Message, Pong, Preamble, Reply, Request, TimerId, Verdict,
};
use crate::health::HealthChange;
use crate::host::{Asked, Identity, Product, Value, seconds};
use crate::relay::Relay;
use std::net::SocketAddr;

/// The path of the health check on the listener for peers.
const HEALTH_PATH: &str = "/healthz";

impl Handler for Gateway {
    fn on_preamble(&mut self, peer_addr: SocketAddr, bytes: &[u8]) -> Preamble {
        self.proxies.preamble(peer_addr, bytes)
    }

    fn on_health_check(&mut self, io: &mut Io<'_>, _: ConnId, request: &Request) -> Option<Reply> {
        (request.path() == HEALTH_PATH).then(|| io.health_reply(request))
    }

    /// Returns whether OPTIONS is allowed for this path: for the health check, because HAProxy
    /// sends OPTIONS by default.
    fn accepts_options(&self, path: &str) -> bool {
        path == HEALTH_PATH
    }

    fn on_request(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict {
        if let Some(client) = self.proxies.client(request) {
            io.set_peer_addr(id, client);
        }
        // This includes refused requests: their records name it.
        self.user_agents.asked(id, request);
        let mut asked = self.relay.on_request(io, id, request);
        for (_, product) in &mut self.others {
            if asked.is_none() {
                asked = product.on_request(io, id, request);
            }
        }
        let Some(Asked {
            class,
            identity,
            verdict,
        }) = asked
        else {
            return Verdict::refuse(Cause::BAD_REQUEST, 404, "no such path");
        };
        // This includes refused requests: their records name it.
        if let Some(identity) = identity {
            let blocked = self.relay.blocks.left(&identity, io.now());
            self.identities.insert(id, identity);
            self.user_agents.introduced(id, Some(request));
            if let (Verdict::Upgrade(_) | Verdict::Defer, Some(left)) = (&verdict, blocked) {
                let reply = Reply::error(403, "blocked by the operator");
                return Verdict::Reply {
                    reply: reply.with_retry_after(seconds(left)),
                    cause: Cause::BLOCKED,
                };
            }
        }
        if let Verdict::Upgrade(_) | Verdict::Defer = &verdict
            && request.is_upgrade()
            && let Some(left) = self.refused(class, io.now())
        {
            let reply = Reply::error(503, "this class is being drained");
            return Verdict::Reply {
                reply: reply.with_retry_after(seconds(left)),
                cause: Cause::DRAINING,
            };
        }
        verdict
    }

    fn on_unserved(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) {
        if let Some(client) = self.proxies.client(request) {
            io.set_peer_addr(id, client);
        }
        self.user_agents.asked(id, request);
    }

    fn on_pong(&mut self, io: &mut Io<'_>, id: ConnId, pong: Pong) {
        let remembered = self.histories.answered(id, pong.rtt);
        let mut is_wanted = false;
        if let Some(identity) = self.identities.get(id) {
            let product = product(&mut self.relay, &mut self.others, identity.class);
            is_wanted = product.on_pong(io, id, identity, pong.received);
        }
        if !remembered && !is_wanted {
            io.report_pongs(id, false);
        }
    }

    fn on_open(&mut self, io: &mut Io<'_>, id: ConnId) {
        self.histories.opened(io, id);
        if let Some(class) = io.class(id) {
            self.user_agents.opened(id, class);
        }
        if let Some(identity) = self.identities.get(id).cloned() {
            self.arrive(io, id, &identity);
        }
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        if let Some(identity) = self.identities.get(id) {
            let product = product(&mut self.relay, &mut self.others, identity.class);
            return product.on_message(io, id, identity, message);
        }
        let Some(class) = io.class(id) else { return };
        let product = product(&mut self.relay, &mut self.others, class);
        if let Some(identity) = product.on_introduction(io, id, &message) {
            let blocked = self.relay.blocks.left(&identity, io.now()).is_some();
            self.identities.insert(id, identity.clone());
            self.user_agents.introduced(id, None);
            if blocked {
                // The relay refuses such a peer itself, in the words of its SDK.
                let cause = Cause::BLOCKED;
                io.close_for(id, cause, cause.close_code(), "blocked by the operator");
            } else {
                self.arrive(io, id, &identity);
            }
        }
    }

    fn on_continue(&mut self, io: &mut Io<'_>, id: ConnId) {
        if let Some(identity) = self.identities.get(id) {
            let product = product(&mut self.relay, &mut self.others, identity.class);
            product.on_continue(io, id, identity);
        }
    }

    fn on_health(&mut self, io: &mut Io<'_>, id: ConnId, change: HealthChange) {
        self.histories.changed(io, id, change);
        let is_known = self.identities.get(id).is_some();
        self.user_agents.changed(id, change.state, is_known);
        if log::log_enabled!(log::Level::Debug) {
            let user = self.identities.get(id).map_or("", |i| &i.user);
            log::debug!(
                "health id={id} user={} state={} silence_ms={} unanswered={}",
                Value(user),
                report::state_name(change.state),
                change.silence.as_millis(),
                change.unanswered
            );
        }
    }

    fn on_writable(&mut self, io: &mut Io<'_>, id: ConnId) {
        if let Some(identity) = self.identities.get(id) {
            let product = product(&mut self.relay, &mut self.others, identity.class);
            product.on_writable(io, id, identity);
        }
    }

    fn on_mangled_pong(&mut self, io: &mut Io<'_>, id: ConnId, payload: &[u8]) {
        let user_agent = self.user_agents.name(id);
        let peer = Peer(self.identities.get(id), user_agent);
        self.report.pong_mangled(io, id, peer, payload);
    }

    fn on_throttled(&mut self, io: &mut Io<'_>, id: ConnId, waited: Micros) {
        let identity = self.identities.get(id);
        let address = io.peer_addr(id).map(|addr| addr.ip());
        let now = io.now();
        if let Some(waited) = self.throttled.add(identity, address, waited, now) {
            let user_agent = self.user_agents.name(id);
            self.report
                .throttled(io, id, Peer(identity, user_agent), waited);
        }
    }

    fn on_close(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        let identity = self.identities.remove(id);
        let user_agent = self.user_agents.ended(id, identity.is_some());
        let peer = Peer(identity.as_ref(), user_agent.as_deref());
        self.report.closed(io, id, peer, end);
        match end.class {
            Some(class) => {
                let product = product(&mut self.relay, &mut self.others, class);
                product.on_close(io, id, identity.as_ref(), end);
            }
            // A product let it in, and its upgrade failed.
            None => self.turned_away(io, id),
        }
        let history = self.histories.take(id);
        let generated = self.is_generated(identity.as_ref());
        let peer = (identity, user_agent);
        self.closed.keep(id, peer, generated, history, end);
    }

    fn on_reject(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        let identity = self.identities.remove(id);
        let user_agent = self.user_agents.ended(id, identity.is_some());
        self.turned_away(io, id);
        let peer = Peer(identity.as_ref(), user_agent.as_deref());
        self.report.closed(io, id, peer, end);
        let generated = self.is_generated(identity.as_ref());
        let peer = (identity, user_agent);
        self.closed.keep(id, peer, generated, None, end);
    }

    fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) {
        if self.watchdog_timer == Some(timer) {
            self.bark(io);
        } else if !self.drain_on(io, timer) && !self.product_on(io, timer) {
            self.report
                .on_timer(io, timer, self.relay.sessions.len(), &self.relay.stats);
        }
    }

    fn on_wake(&mut self, io: &mut Io<'_>) {
        self.do_some_work(io);
    }
}

impl Gateway {
    /// Handles an open connection with a known identity.
    fn arrive(&mut self, io: &mut Io<'_>, id: ConnId, identity: &Identity) {
        let product = product(&mut self.relay, &mut self.others, identity.class);
        let how = product.on_open(io, id, identity);
        if log::log_enabled!(log::Level::Debug) {
            let user_agent = self.user_agents.name(id);
            self.report
                .opened(io, id, Peer(Some(identity), user_agent), how);
        }
    }

    /// Returns whether a product generated the user name of this identity.
    pub(super) fn is_generated(&self, identity: Option<&Identity>) -> bool {
        identity.is_some_and(|identity| match self.other(identity.class) {
            Some(product) => product.is_generated(&identity.user),
            None => self.relay.is_generated(&identity.user),
        })
    }

    /// Returns how long new connections of a class are still refused because of a drain.
    fn refused(&self, class: Class, now: Micros) -> Option<Micros> {
        self.drains
            .get(usize::from(class.0))?
            .as_ref()?
            .refuses(now)
    }

    /// Tells each product that a connection has ended before it opened, so that it forgets what it
    /// kept of the request.
    fn turned_away(&mut self, io: &mut Io<'_>, id: ConnId) {
        self.relay.on_reject(io, id);
        for (_, product) in &mut self.others {
            product.on_reject(io, id);
        }
    }

    /// Returns the product of a class; `None` for the classes of the relay.
    fn other(&self, class: Class) -> Option<&dyn Product> {
        let mut others = self.others.iter().rev();
        let (_, product) = others.find(|(first, _)| *first <= class)?;
        Some(&**product)
    }

    /// Passes a timer to the products. Returns whether it belongs to one of them.
    fn product_on(&mut self, io: &mut Io<'_>, timer: TimerId) -> bool {
        let mut others = self.others.iter_mut();
        self.relay.on_timer(io, timer) || others.any(|(_, product)| product.on_timer(io, timer))
    }

    /// Passes a timer to the drains. Returns whether it belongs to one of them.
    fn drain_on(&mut self, io: &mut Io<'_>, timer: TimerId) -> bool {
        let mut drains = self.drains.iter_mut().flatten();
        drains.any(|drain| drain.on_timer(io, timer))
    }
}

/// Returns the product of a class.
pub(super) fn product<'a>(
    relay: &'a mut Relay,
    others: &'a mut [(Class, Box<dyn Product>)],
    class: Class,
) -> &'a mut dyn Product {
    let mut others = others.iter_mut().rev();
    match others.find(|(first, _)| *first <= class) {
        Some((_, product)) => &mut **product,
        None => relay,
    }
}
