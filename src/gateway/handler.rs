//! What the gateway does with each event of the loop.

use super::gateway::Gateway;
use super::report::{self, Peer, Report};
use crate::cause::Cause;
use crate::engine::{
    Class, Ending, Handler, Io, Message, Pong, Preamble, Reply, Request, TimerId, Upgrade, Verdict,
};
use crate::health::HealthChange;
use crate::host::{GLASSES, Identity, TPA, Value, seconds};
use crate::id::ConnId;
use crate::relay::Greeting;
use crate::time::Micros;
use std::net::SocketAddr;

/// The path of the health check on the listener for peers.
const HEALTH_PATH: &str = "/healthz";

impl Handler for Gateway {
    fn on_preamble(&mut self, peer_addr: SocketAddr, bytes: &[u8]) -> Preamble {
        self.proxies.preamble(peer_addr, bytes)
    }

    fn on_check(&mut self, io: &mut Io<'_>, _: ConnId, request: &Request) -> Option<Reply> {
        (request.path() == HEALTH_PATH).then(|| io.health_reply(request))
    }

    /// HAProxy asks for the health check by OPTIONS if it is not told otherwise.
    fn takes_options(&self, path: &str) -> bool {
        path == HEALTH_PATH
    }

    fn on_request(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict {
        if let Some(client) = self.proxies.client(request) {
            io.set_peer_addr(id, client);
        }
        // Also of requests that are refused: their records shall name it.
        self.user_agents.asked(id, request);
        let class = match request.path() {
            "/glasses-ws" => GLASSES,
            "/tpa-ws" | "/app-ws" => TPA,
            _ => return Verdict::refuse(Cause::BAD_REQUEST, 404, "no such path"),
        };
        // Whoever does not even ask for a WebSocket is told so first: the loop answers 426.
        if !request.is_upgrade() {
            return Verdict::upgrade(class);
        }
        if let Some(origin) = self.relay.credentials.refused_origin(request) {
            let origin = Value(&origin);
            let why = format!("origin {origin} is not in ALLOWED_ORIGINS");
            return Verdict::refuse(Cause::BLOCKED, 403, &why);
        }
        let protocol = self.relay.settings.subprotocols[usize::from(class.0)].choose(request);
        let protocol = match protocol {
            Ok(protocol) => protocol,
            Err(reply) => {
                let cause = Cause::BAD_REQUEST;
                return Verdict::Reply { reply, cause };
            }
        };
        let asked = if class == GLASSES {
            let asked = self.relay.glasses_asked(request, &mut self.anonymous);
            asked.map(Some)
        } else {
            self.relay.app_asked(request)
        };
        let identity = match asked {
            Ok(identity) => identity,
            Err((cause, reply)) => return Verdict::Reply { reply, cause },
        };
        let introduced = identity.is_some();
        if !introduced {
            self.relay.note_headers(io, id, request);
        }
        if let Some(identity) = identity {
            let refused = self.relay.refuses(&identity, io.now());
            // Also of those who are refused: their records shall name them.
            self.identities.insert(id, identity);
            self.user_agents.introduced(id, Some(request));
            if let Some((cause, reply)) = refused {
                return Verdict::Reply { reply, cause };
            }
        }
        if let Some(left) = self.refused(class, io.now()) {
            let reply = Reply::error(503, "this class is being drained");
            return Verdict::Reply {
                reply: reply.retry_after(seconds(left)),
                cause: Cause::DRAINING,
            };
        }
        Verdict::Upgrade(Upgrade {
            introduced,
            protocol,
            ..Upgrade::to(class)
        })
    }

    fn on_unserved(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) {
        if let Some(client) = self.proxies.client(request) {
            io.set_peer_addr(id, client);
        }
        self.user_agents.asked(id, request);
    }

    fn on_pong(&mut self, io: &mut Io<'_>, id: ConnId, pong: Pong) {
        let remembered = self.histories.answered(id, pong.rtt);
        let identity = self.identities.get(id);
        let unconfirmed =
            identity.is_some_and(|who| self.relay.confirm(io, id, who, pong.received));
        if !remembered && !unconfirmed {
            io.watch(id, false);
        }
    }

    fn on_open(&mut self, io: &mut Io<'_>, id: ConnId) {
        self.histories.opened(io, id);
        if let Some(class) = io.class(id) {
            self.user_agents.opened(id, class);
        }
        if let Some(identity) = self.identities.get(id).cloned() {
            self.arrive(io, id, &identity, Greeting::default());
        }
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        if let Some(identity) = self.identities.get(id) {
            return self.relay.message(io, id, identity, message);
        }
        if let Some((identity, greeting)) = self.relay.introduction(io, id, &message) {
            self.identities.insert(id, identity.clone());
            self.user_agents.introduced(id, None);
            self.arrive(io, id, &identity, greeting);
        }
    }

    fn on_continue(&mut self, io: &mut Io<'_>, id: ConnId) {
        if let Some(identity) = self.identities.get(id) {
            self.relay.go_on(io, id, identity);
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
            self.relay.caught_up(io, id, identity);
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
            Report::throttled(io, id, Peer(identity, user_agent), waited);
        }
    }

    fn on_close(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        let identity = self.identities.remove(id);
        let user_agent = self.user_agents.ended(id, identity.is_some());
        let peer = Peer(identity.as_ref(), user_agent.as_deref());
        self.report.closed(io, id, peer, end);
        self.relay.forget(io, id);
        if let Some(identity) = &identity {
            self.relay.gone(io, id, identity, end);
        }
        let history = self.histories.take(id);
        let generated = self.is_generated(identity.as_ref());
        let peer = (identity, user_agent);
        self.closed.keep(id, peer, generated, history, end);
    }

    fn on_reject(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        let identity = self.identities.remove(id);
        let user_agent = self.user_agents.ended(id, identity.is_some());
        self.relay.forget_introduction(io, id);
        let peer = Peer(identity.as_ref(), user_agent.as_deref());
        self.report.closed(io, id, peer, end);
        let generated = self.is_generated(identity.as_ref());
        let peer = (identity, user_agent);
        self.closed.keep(id, peer, generated, None, end);
    }

    fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) {
        if self.watchdog_timer == Some(timer) {
            self.bark(io);
        } else if !self.drain_on(io, timer) && !self.relay.on_timer(io, timer) {
            self.report
                .on_timer(io, timer, self.relay.sessions.len(), &self.relay.stats);
        }
    }

    fn on_wake(&mut self, io: &mut Io<'_>) {
        self.do_some_work(io);
    }
}

impl Gateway {
    /// A connection whose identity is known is here.
    fn arrive(&mut self, io: &mut Io<'_>, id: ConnId, identity: &Identity, greeting: Greeting) {
        let how = self.relay.arrive(io, id, identity, greeting);
        if log::log_enabled!(log::Level::Debug) {
            let user_agent = self.user_agents.name(id);
            self.report
                .opened(io, id, Peer(Some(identity), user_agent), how);
        }
    }

    /// Whether somebody's name was given by us.
    fn is_generated(&self, identity: Option<&Identity>) -> bool {
        identity.is_some_and(|identity| self.relay.is_generated(&identity.user))
    }

    /// How long newcomers of a class are still refused.
    fn refused(&self, class: Class, now: Micros) -> Option<Micros> {
        self.drains[usize::from(class.0)].as_ref()?.refuses(now)
    }

    /// Whether the timer was a drain's.
    fn drain_on(&mut self, io: &mut Io<'_>, timer: TimerId) -> bool {
        let mut drains = self.drains.iter_mut().flatten();
        drains.any(|drain| drain.on_timer(io, timer))
    }
}
