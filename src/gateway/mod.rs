//! The product: real glasses and third-party apps (TPAs), grouped in sessions, supervised and accounted for.

mod logfmt;
mod protocol;
mod report;
mod session;

use self::logfmt::Value;
use self::protocol::is_ping;
use self::report::Report;
use self::session::{Identity, Role, Sessions};
use crate::cause::Cause;
use crate::engine::{
    Class, ConnMap, Ending, Handler, Io, Message, Request, Sent, TimerId, Verdict,
};
use crate::health::HealthChange;
use crate::id::ConnId;
use crate::time::Micros;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// The host of the loop in the binary.
pub struct Gateway {
    sessions: Sessions,
    /// Who each connection is, from its request to its end.
    identities: ConnMap<Identity>,
    anonymous: u64,
    report: Report,
    report_now: Arc<AtomicBool>,
}

impl Gateway {
    /// `stats_interval`: how often the statistics are logged. `log_dropped`: how many log lines were lost so far.
    pub fn new(stats_interval: Micros, log_dropped: Box<dyn Fn() -> u64>) -> Self {
        Gateway {
            sessions: Sessions::default(),
            identities: ConnMap::new(),
            anonymous: 0,
            report: Report::new(stats_interval, log_dropped),
            report_now: Arc::default(),
        }
    }

    /// Begins to log statistics; to be called once, before the loop turns.
    pub fn start(&mut self, io: &mut Io<'_>) {
        self.report.start(io);
    }

    /// Set it and [wake](crate::Remote::wake) the loop, and the statistics are logged at once.
    pub fn report_now(&self) -> Arc<AtomicBool> {
        self.report_now.clone()
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
    fn on_request(&mut self, _io: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict {
        let class = match request.path() {
            "/glasses-ws" => GLASSES,
            "/tpa-ws" | "/app-ws" => TPA,
            _ => return Verdict::refuse(404, "no such path"),
        };
        match self.identify(request) {
            // Whoever does not even ask for a WebSocket is told so first: the loop answers 426.
            _ if !request.is_upgrade() => Verdict::upgrade(class),
            Ok(identity) => {
                self.identities.insert(id, identity);
                Verdict::upgrade(class)
            }
            Err(missing) => Verdict::refuse(400, missing),
        }
    }

    fn on_open(&mut self, io: &mut Io<'_>, id: ConnId) {
        let Some(identity) = self.identities.get(id) else {
            return;
        };
        if log::log_enabled!(log::Level::Debug) {
            self.report.opened(io, id, identity);
        }
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

    fn on_health(&mut self, _io: &mut Io<'_>, id: ConnId, change: HealthChange) {
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
    }

    fn on_reject(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        self.report.closed(io, id, None, end);
    }

    fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) {
        self.report.on_timer(io, timer, self.sessions.len());
    }

    fn on_wake(&mut self, io: &mut Io<'_>) {
        if self.report_now.swap(false, Ordering::AcqRel) {
            self.report(io);
        }
    }
}
