//! The product: real glasses and third-party apps (TPAs), grouped in sessions, supervised and accounted for.

mod auth;
mod blocks;
mod class_drain;
mod closed;
mod desk;
mod errands;
mod handover;
mod history;
mod identity;
mod listing;
mod logfmt;
#[cfg(test)]
mod mutation;
mod names;
mod operator;
mod outline;
mod protocol;
mod proxy;
mod relay;
mod report;
mod roster;
mod settings;
mod subprotocols;
mod subscriptions;
mod throttled;
mod user_agents;

pub use self::auth::{
    APPS_MAX, Admission, Apps, AppsError, Credentials, TokenFault, WebOrigin, is_url, iso,
};
pub use self::blocks::{BLOCKS_MAX, BlockPlace};
pub use self::closed::{CLOSED_MAX, Closed, ClosedBox};
pub use self::desk::{DESK_UNITS, Desk, Progress, SLICE_UNITS, Work};
pub use self::errands::{Errand, ErrandBox, Outcome, Patience, StopReason};
pub use self::handover::Handover;
pub use self::history::{Change, HISTORIES_MAX, History, Reason};
pub use self::identity::{Identity, Role};
pub use self::listing::{ConnState, Filter, PAGE_MAX, Page, Position, Query, Row, Search, Sort};
pub(crate) use self::logfmt::Value;
pub use self::names::{CLASS_NAMES, GLASSES, TPA};
pub use self::operator::{BlockSlice, FLAPPING_MAX, Kick, Portrait, Reconfiguration, Snapshot};
pub use self::proxy::ProxyProtocol;
pub use self::relay::{
    Absence, App, AppState, DropReason, Due, How, Missed, MissedBox, Place, RelayStats, Session,
    has_magic_words,
};
pub use self::roster::{
    APPS_NAMED, AppRow, PlaceRow, SUBSCRIPTIONS_NAMED, SessionRow, SessionSlice,
};
pub use self::settings::{RelaySettings, ReplayLimits};
pub use self::subprotocols::{AcceptedSubprotocols, Subprotocols};
pub use self::subscriptions::Subscriptions;
pub(crate) use self::user_agents::user_agent_as_kept;
pub use self::user_agents::{AgentCount, OTHER_USER_AGENT, USER_AGENT_BYTES_MAX, USER_AGENTS_MAX};

use self::class_drain::ClassDrain;
use self::closed::ClosedSink;
use self::desk::Tray;
use self::history::Histories;
use self::names::{KEY_MAX, NAME_MAX, is_name, seconds};
use self::proxy::Proxies;
use self::relay::{Greeting, Relay};
use self::report::{Peer, Report};
use self::throttled::Throttled;
use self::user_agents::UserAgents;
use crate::cause::Cause;
use crate::engine::{
    Class, ConnMap, Ending, Handler, Io, Message, Pong, Preamble, Remote, Reply, Request, TimerId,
    Upgrade, Verdict,
};
use crate::health::HealthChange;
use crate::id::ConnId;
use crate::time::Micros;
use ipnet::IpNet;
use std::net::SocketAddr;

/// What the gateway is told at its start.
pub struct Options {
    /// How often the statistics are logged.
    pub stats_interval: Micros,
    /// How many log lines were lost so far.
    pub log_dropped: Box<dyn Fn() -> u64>,
    /// Whether trusted proxies begin each connection with a header of the PROXY protocol.
    pub proxy_protocol: ProxyProtocol,
    /// Whose word about a client's address is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How many connections are held at once.
    pub max_connections: usize,
    /// Whoever watches that the loop turns, if anybody does.
    pub watchdog: Option<Watchdog>,
    /// How long what is lost is waited for, and what is kept of it.
    pub relay: RelaySettings,
    /// What peers are checked against.
    pub credentials: Credentials,
    /// Which packages ran for whom before a restart.
    pub restored: Vec<(Box<str>, Vec<Box<str>>)>,
}

/// Somebody who wants to hear from the loop itself, again and again.
pub struct Watchdog {
    /// How often.
    pub interval: Micros,
    /// How. It must not wait for anything.
    pub tell: Box<dyn FnMut()>,
}

/// The host of the loop in the binary.
pub struct Gateway {
    relay: Relay,
    /// Who each connection is, from its request to its end.
    identities: ConnMap<Identity>,
    user_agents: UserAgents,
    anonymous: u64,
    report: Report,
    throttled: Throttled,
    tray: Tray,
    closed: ClosedSink,
    histories: Histories,
    /// By class.
    drains: [Option<ClassDrain>; CLASS_NAMES.len()],
    proxies: Proxies,
    max_connections: usize,
    watchdog: Option<Watchdog>,
    watchdog_timer: Option<TimerId>,
    restored: Vec<(Box<str>, Vec<Box<str>>)>,
}

impl Gateway {
    /// A gateway without connections.
    pub fn new(options: Options) -> Self {
        Gateway {
            relay: Relay::new(options.relay, options.credentials, options.max_connections),
            restored: options.restored,
            identities: ConnMap::new(),
            user_agents: UserAgents::default(),
            anonymous: 0,
            report: Report::new(options.stats_interval, options.log_dropped),
            throttled: Throttled::default(),
            tray: Tray::default(),
            closed: ClosedSink::default(),
            histories: Histories::default(),
            drains: [const { None }; CLASS_NAMES.len()],
            proxies: Proxies {
                protocol: options.proxy_protocol,
                trusted: options.trusted_proxies,
            },
            max_connections: options.max_connections,
            watchdog: options.watchdog,
            watchdog_timer: None,
        }
    }

    /// Begins to log statistics and to report to the watchdog, and waits for whom it had before; to be called once, before the
    /// loop turns.
    pub fn start(&mut self, io: &mut Io<'_>) {
        let restored = std::mem::take(&mut self.restored);
        self.relay.restore(io, restored);
        self.report.start(io);
        self.bark(io);
    }

    /// Where other threads leave work for the loop whose handle this is.
    pub fn desk(&self, remote: Remote) -> Desk {
        self.tray.desk(remote)
    }

    /// Where records of ended connections are put.
    pub fn closed(&self) -> ClosedBox {
        self.closed.shared()
    }

    /// Where those are put that were waited for in vain.
    pub fn missed(&self) -> MissedBox {
        self.relay.missed()
    }

    /// Tells the watchdog that the loop turns, now and again and again.
    fn bark(&mut self, io: &mut Io<'_>) {
        if let Some(watchdog) = &mut self.watchdog {
            (watchdog.tell)();
            self.watchdog_timer = Some(io.timer(watchdog.interval));
        }
    }

    /// Logs the statistics since the last time.
    pub fn report(&mut self, io: &Io<'_>) {
        self.report
            .statistics(io, self.relay.sessions.len(), &self.relay.stats);
    }
}

impl Handler for Gateway {
    fn on_preamble(&mut self, peer_addr: SocketAddr, bytes: &[u8]) -> Preamble {
        self.proxies.preamble(peer_addr, bytes)
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
            _ => return Verdict::refuse(404, "no such path"),
        };
        // Whoever does not even ask for a WebSocket is told so first: the loop answers 426.
        if !request.is_upgrade() {
            return Verdict::upgrade(class);
        }
        if let Some(origin) = self.relay.credentials.refused_origin(request) {
            let origin = Value(&origin);
            let why = format!("origin {origin} is not in ALLOWED_ORIGINS");
            return Verdict::refuse(403, &why);
        }
        let protocol = self.relay.settings.subprotocols[usize::from(class.0)].choose(request);
        let protocol = match protocol {
            Ok(protocol) => protocol,
            Err(reply) => return Verdict::Reply(reply),
        };
        let asked = if class == GLASSES {
            let asked = self.relay.glasses_asked(request, &mut self.anonymous);
            asked.map(Some)
        } else {
            self.relay.app_asked(request)
        };
        let identity = match asked {
            Ok(identity) => identity,
            Err(reply) => return Verdict::Reply(reply),
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
            if let Some(reply) = refused {
                return Verdict::Reply(reply);
            }
        }
        if let Some(left) = self.refused(class, io.now()) {
            let why = Cause::Draining;
            let reply = Reply::error(503, "this class is being drained");
            io.refuse_for(id, why, reply.retry_after(seconds(left)));
            return Verdict::refuse(503, "");
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
        self.closed.settle();
        self.relay.missed.settle();
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
