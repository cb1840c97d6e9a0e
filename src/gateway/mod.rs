//! The product: real glasses and third-party apps (TPAs), grouped in sessions, supervised and accounted for.

mod blocks;
mod class_drain;
mod closed;
mod desk;
mod errands;
mod history;
mod listing;
mod logfmt;
mod operator;
mod protocol;
mod proxy;
mod report;
mod session;

pub use self::blocks::BLOCKS_MAX;
pub use self::closed::{CLOSED_MAX, Closed, ClosedBox};
pub use self::desk::{Desk, Progress, Work};
pub use self::errands::{Errand, ErrandBox, Outcome, Patience, StopReason};
pub use self::history::{Change, HISTORIES_MAX, History, Reason};
pub use self::listing::{ConnState, Filter, PAGE_MAX, Page, Place, Query, Row, Search, Sort};
pub(crate) use self::logfmt::Value;
pub use self::operator::{Portrait, Snapshot};
pub use self::proxy::ProxyProtocol;
pub use self::session::{Identity, Role, Session};

use self::blocks::Blocks;
use self::class_drain::ClassDrain;
use self::closed::ClosedSink;
use self::desk::Tray;
use self::errands::Errands;
use self::history::Histories;
use self::protocol::is_ping;
use self::proxy::Proxies;
use self::report::Report;
use self::session::Sessions;
use crate::cause::Cause;
use crate::engine::{
    Class, ConnMap, Ending, Handler, Io, Message, Preamble, Remote, Reply, Request, Sent, TimerId,
    Verdict,
};
use crate::health::HealthChange;
use crate::id::ConnId;
use crate::time::Micros;
use ipnet::IpNet;
use std::net::SocketAddr;

/// Smart glasses, on `/glasses-ws`.
pub const GLASSES: Class = Class(0);

/// Third-party apps, on `/tpa-ws` and `/app-ws`.
pub const TPA: Class = Class(1);

/// The classes' names in logs, by [`Class`].
pub const CLASS_NAMES: [&str; 2] = ["glasses", "tpa"];

/// The longest user or package that is taken, in bytes as decoded; an e-mail address has at most 254 (RFC 5321).
const NAME_MAX: usize = 256;

/// How the names begin that are given to glasses without one.
const ANONYMOUS: &str = "anonymous-";

/// The close reason of a connection whose place was taken; clients match on it.
const REPLACED: &str = "replaced by a newer connection";

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
    sessions: Sessions,
    /// Who each connection is, from its request to its end.
    identities: ConnMap<Identity>,
    anonymous: u64,
    report: Report,
    tray: Tray,
    errands: Errands,
    closed: ClosedSink,
    histories: Histories,
    blocks: Blocks,
    /// By class.
    drains: [Option<ClassDrain>; CLASS_NAMES.len()],
    proxies: Proxies,
    max_connections: usize,
    watchdog: Option<Watchdog>,
    watchdog_timer: Option<TimerId>,
}

impl Gateway {
    /// A gateway without connections.
    pub fn new(options: Options) -> Self {
        Gateway {
            sessions: Sessions::default(),
            identities: ConnMap::new(),
            anonymous: 0,
            report: Report::new(options.stats_interval, options.log_dropped),
            tray: Tray::default(),
            errands: Errands::default(),
            closed: ClosedSink::default(),
            histories: Histories::default(),
            blocks: Blocks::default(),
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

    /// Begins to log statistics and to report to the watchdog; to be called once, before the loop turns.
    pub fn start(&mut self, io: &mut Io<'_>) {
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

    /// Tells the watchdog that the loop turns, now and again and again.
    fn bark(&mut self, io: &mut Io<'_>) {
        if let Some(watchdog) = &mut self.watchdog {
            (watchdog.tell)();
            self.watchdog_timer = Some(io.timer(watchdog.interval));
        }
    }

    /// Logs the statistics since the last time.
    pub fn report(&mut self, io: &Io<'_>) {
        self.report.statistics(io, self.sessions.len());
    }

    /// Who asks, as the query says (there is no authentication yet), or what is missing.
    fn identify(&mut self, request: &Request) -> Result<Identity, &'static str> {
        let query = request.query().unwrap_or_default();
        let parameter = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs
                .find(|(key, value)| key == name && !value.is_empty())
                .map(|(_, value)| value)
        };
        let (user, package) = (parameter("user"), parameter("package"));
        let too_long =
            |v: &Option<std::borrow::Cow<'_, str>>| v.as_ref().is_some_and(|v| v.len() > NAME_MAX);
        if too_long(&user) || too_long(&package) {
            return Err("user and package may have 256 bytes each");
        }
        if request.path() == "/glasses-ws" {
            let user = match user {
                Some(user) if user.starts_with(ANONYMOUS) => {
                    return Err("names that begin with anonymous- are given by the gateway");
                }
                Some(user) => user.into(),
                None => self.next_anonymous(),
            };
            return Ok(Identity {
                user,
                role: Role::Glasses,
            });
        }
        match (user, package) {
            (Some(user), Some(package)) => Ok(Identity {
                user: user.into(),
                role: Role::Tpa(package.into()),
            }),
            _ => Err("user and package are required in the query"),
        }
    }

    fn next_anonymous(&mut self) -> Box<str> {
        self.anonymous += 1;
        format!("{ANONYMOUS}{}", self.anonymous).into()
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
        let class = match request.path() {
            "/glasses-ws" => GLASSES,
            "/tpa-ws" | "/app-ws" => TPA,
            _ => return Verdict::refuse(404, "no such path"),
        };
        match self.identify(request) {
            // Whoever does not even ask for a WebSocket is told so first: the loop answers 426.
            _ if !request.is_upgrade() => Verdict::upgrade(class),
            Ok(identity) => {
                let blocked = self.blocks.left(&identity, io.now());
                // Also of those who are refused: their records shall name them.
                self.identities.insert(id, identity);
                if let Some(left) = blocked {
                    let reply = Reply::error(403, "blocked by the operator");
                    return Verdict::Reply(reply.retry_after(seconds(left)));
                }
                if let Some(left) = self.refused(class, io.now()) {
                    let why = Cause::Draining;
                    let reply = Reply::error(503, "this class is being drained");
                    io.refuse_for(id, why, reply.retry_after(seconds(left)));
                    return Verdict::refuse(503, "");
                }
                Verdict::upgrade(class)
            }
            Err(missing) => Verdict::refuse(400, missing),
        }
    }

    fn on_rtt(&mut self, _io: &mut Io<'_>, id: ConnId, rtt: Micros) {
        self.histories.answered(id, rtt);
    }

    fn on_open(&mut self, io: &mut Io<'_>, id: ConnId) {
        let Some(identity) = self.identities.get(id) else {
            return;
        };
        if log::log_enabled!(log::Level::Debug) {
            self.report.opened(io, id, identity);
        }
        self.histories.opened(io, id);
        if let Some(older) = self.sessions.join(identity, id) {
            // A TPA that is closed with anything but 1000 comes back, and two processes would fight for ever.
            let code = match identity.role {
                Role::Glasses => 4003,
                Role::Tpa(_) => 1000,
            };
            io.close_for(older, Cause::Replaced, code, REPLACED);
        }
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        if let Message::Text(text) = &message
            && is_ping(text)
            && let Sent::Refused(why) = io.send(id, Message::text(protocol::PONG))
        {
            log::debug!("pong refused id={id} why={why:?}");
        }
    }

    fn on_health(&mut self, io: &mut Io<'_>, id: ConnId, change: HealthChange) {
        self.histories.changed(io, id, change);
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

    fn on_close(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        let identity = self.identities.remove(id);
        if let Some(identity) = &identity {
            self.sessions.leave(identity, id);
        }
        self.report.closed(io, id, identity.as_ref(), end);
        let history = self.histories.take(id);
        self.closed.keep(id, identity, history, end);
    }

    fn on_reject(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        let identity = self.identities.remove(id);
        self.report.closed(io, id, identity.as_ref(), end);
        self.closed.keep(id, identity, None, end);
    }

    fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) {
        if self.watchdog_timer == Some(timer) {
            self.bark(io);
        } else if !self.drain_on(io, timer) {
            self.report.on_timer(io, timer, self.sessions.len());
        }
    }

    fn on_wake(&mut self, io: &mut Io<'_>) {
        self.do_some_work(io);
    }
}

impl Gateway {
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

/// Whole seconds, at least one, for `Retry-After`.
fn seconds(span: Micros) -> u32 {
    u32::try_from(span.0.div_ceil(1_000_000))
        .unwrap_or(u32::MAX)
        .max(1)
}
