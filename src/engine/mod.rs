//! Connections without sockets: bytes and the time in, bytes and calls of the handler out.
//!
//! Whoever drives an [`Engine`] (the reactor, or a test on virtual time) does, in this order, turn by turn:
//! [`accept`](Engine::accept), [`on_bytes`](Engine::on_bytes) and its like for what came in,
//! [`advance`](Engine::advance), a last look at each [`next_doubtful`](Engine::next_doubtful) and
//! [`judge`](Engine::judge), [`flush`](Engine::flush) for each that [`take_dirty`](Engine::take_dirty) names, and
//! [`reap`](Engine::reap), the only step that frees slots. Then it may sleep for [`sleep`](Engine::sleep).

mod bucket;
mod conn;
mod core;
mod drain;
mod handler;
mod http;
mod inbound;
mod out;
mod policies;
mod remote;
mod scan;
mod stats;
mod table;
#[cfg(feature = "testing")]
pub mod testing;
mod timers;
#[doc(hidden)] // for benches and model tests
pub mod wheel;
mod wire;

pub use self::core::Core;
pub use handler::{
    Class, ConnMap, Ending, Handler, HealthView, Io, Message, Refused, Sent, TimerId, Upgrade,
    Verdict,
};
pub use http::{Reply, Request};
pub use out::WriteVectored;
pub use remote::{Full, Remote};
pub use stats::{ClassStats, Histogram, Stats};

use self::conn::{Conn, End, Mark, Phase, Until};
use self::drain::Drain;
use self::remote::Command;
use self::timers::{Purpose, Timers};
use self::wheel::{TICK, Tick};
use crate::cause::Cause;
use crate::health::{Due, Policy, State};
use crate::id::ConnId;
use crate::sabotage::{self, Bug};
use crate::time::Micros;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

/// The most bytes that one flush writes to one peer; a fast reader of much must not hold up the others.
const FLUSH_BUDGET: usize = 512 * 1024;

/// What an engine is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The classes of peers, by [`Class`]; at least one, at most 256.
    pub classes: Vec<ClassConfig>,
    /// Time from accepting to the verdict on the request. Default 10 s.
    pub handshake_timeout: Micros,
    /// The longest message, and frame, taken from a peer, in bytes. Default 1 MiB.
    pub max_message_bytes: usize,
    /// The most unsent bytes per connection; room for one message at least. Default 4 MiB.
    pub max_pending_bytes: usize,
    /// The most bytes, unsent and of unfinished messages, over all connections. Default 1 GiB.
    pub max_buffered_bytes: usize,
    /// The most stale connections closed in a second, 0 for no limit. Default 5 000.
    pub stale_closes_per_second: u32,
}

/// One class of peers.
#[derive(Debug, Clone)]
pub struct ClassConfig {
    /// The name in logs and metrics.
    pub name: String,
    /// How its connections are supervised.
    pub policy: Policy,
}

impl Default for Config {
    /// One class, `default`, with the default policy.
    fn default() -> Self {
        Config {
            classes: vec![ClassConfig {
                name: "default".to_owned(),
                policy: Policy::default(),
            }],
            handshake_timeout: Micros::from_secs(10),
            max_message_bytes: 1 << 20,
            max_pending_bytes: 4 << 20,
            max_buffered_bytes: 1 << 30,
            stale_closes_per_second: 5_000,
        }
    }
}

impl Config {
    /// Bytes of the longest frame header that we write (RFC 6455 §5.2).
    pub const FRAME_HEADER_MAX: usize = 10;

    /// Whether an engine can run with this.
    ///
    /// # Errors
    /// Every fault in one text, each with the field, its value and what is allowed.
    pub fn validate(&self) -> Result<(), String> {
        let mut faults = Vec::new();
        if self.classes.is_empty() || self.classes.len() > 256 {
            faults.push(format!("{} classes; 1 to 256", self.classes.len()));
        }
        for class in &self.classes {
            if let Err(e) = class.policy.validate() {
                faults.push(format!("class {}: {e}", class.name));
            }
        }
        if self.handshake_timeout < Policy::LEAST {
            faults.push(format!(
                "handshake_timeout is {}; at least {}",
                self.handshake_timeout,
                Policy::LEAST
            ));
        }
        if self.max_message_bytes < 125 {
            faults.push(format!(
                "max_message_bytes is {}; at least 125",
                self.max_message_bytes
            ));
        }
        let least = self
            .max_message_bytes
            .saturating_add(Self::FRAME_HEADER_MAX);
        if self.max_pending_bytes < least {
            faults.push(format!(
                "max_pending_bytes is {}; at least {least}, one message",
                self.max_pending_bytes
            ));
        }
        if self.max_buffered_bytes < self.max_pending_bytes {
            faults.push(format!(
                "max_buffered_bytes is {}; at least max_pending_bytes, {}",
                self.max_buffered_bytes, self.max_pending_bytes
            ));
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults.join("; "))
        }
    }
}

/// Connections, their deadlines and their host.
pub struct Engine<H> {
    core: Core,
    handler: H,
}

/// What has become of a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing waits any more, or it has ended: writability is of no interest.
    Done,
    /// Nothing waits any more, and nothing will: shut the sending side down.
    Fin,
    /// The socket takes no more now: flush again when it is writable.
    Blocked,
}

impl<H: Handler> Engine<H> {
    /// An engine without connections, at the origin of engine time. `wake` makes the driver's wait return.
    ///
    /// # Errors
    /// What is wrong with the configuration: see [`Config::validate`].
    pub fn new(
        config: Config,
        handler: H,
        wake: Box<dyn Fn() + Send + Sync>,
    ) -> Result<Self, String> {
        config.validate()?;
        Ok(Engine {
            core: Core::new(config, Remote::new(wake)),
            handler,
        })
    }

    /// The host.
    pub fn handler(&self) -> &H {
        &self.handler
    }

    /// The host, to change it between turns.
    pub fn handler_mut(&mut self) -> &mut H {
        &mut self.handler
    }

    /// Calls the host outside of any event, with hands to act.
    pub fn with_io<T>(&mut self, now: Micros, f: impl FnOnce(&mut H, &mut Io<'_>) -> T) -> T {
        let result = self.call(now, f);
        self.settle(now);
        result
    }

    /// What was counted.
    pub fn stats(&self) -> &Stats {
        &self.core.stats
    }

    /// What was counted, for the driver, which counts what only it sees.
    pub fn stats_mut(&mut self) -> &mut Stats {
        &mut self.core.stats
    }

    /// The configuration as it was at the start.
    pub fn config(&self) -> &Config {
        &self.core.config
    }

    /// The shortest connection timeout that any connection may have: what the loop's punctuality is measured against.
    pub fn shortest_timeout(&self) -> Micros {
        self.core.policies.shortest_timeout()
    }

    /// A handle for other threads.
    pub fn remote(&self) -> Remote {
        self.core.remote.clone()
    }

    /// Whether a connection is still of interest: what its peer sends is looked at, if only to be skipped.
    pub fn wants_bytes(&self, id: ConnId) -> bool {
        self.core
            .table
            .get(id)
            .is_some_and(|c| !matches!(c.phase, Phase::Dead(_)))
    }

    /// Connections in any phase.
    pub fn len(&self) -> usize {
        self.core.table.len()
    }

    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a new connection in. `refuse`: there is no room for it; its request will be answered 503.
    pub fn accept(&mut self, peer_addr: SocketAddr, refuse: bool, now: Micros) -> ConnId {
        self.core.stats.accepted += 1;
        self.core.wheel.catch_up(now);
        let id = self.core.table.insert(|generation| {
            let mut conn = Conn::accepted(generation, peer_addr, now);
            if refuse {
                conn.marks.set(Mark::Refused);
            }
            conn
        });
        self.core.arm(id);
        id
    }

    /// Bytes came in; `now` is when they were read.
    pub fn on_bytes(&mut self, id: ConnId, bytes: &[u8], now: Micros) {
        self.core.stats.bytes_in += bytes.len() as u64;
        self.inbound(id, bytes, now);
        self.settle(now);
    }

    /// The peer sends no more.
    pub fn on_eof(&mut self, id: ConnId) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        let end = match &mut conn.phase {
            Phase::Opening(None) => End::of(Cause::Probe),
            Phase::Opening(Some(_)) => End::of(Cause::Aborted),
            Phase::Open(_) => End::of(Cause::PeerEof),
            Phase::Closing(closing) if conn.out.is_some() && closing.until != Until::PeerCloses => {
                // It may still be reading: what it is owed goes out first.
                closing.until = Until::Flushed;
                return;
            }
            Phase::Closing(closing) => closing.end.clone(),
            Phase::Dead(_) => return,
        };
        self.core.bury(id, end);
    }

    /// The socket failed.
    pub fn on_error(&mut self, id: ConnId, error: &io::Error) {
        let Some(conn) = self.core.table.get(id) else {
            return;
        };
        let end = match &conn.phase {
            Phase::Opening(None) => End::of(Cause::Probe),
            Phase::Opening(Some(_)) => End::of(Cause::Aborted),
            Phase::Open(_) => End::of(match error.kind() {
                ErrorKind::ConnectionReset => Cause::PeerReset,
                ErrorKind::TimedOut => Cause::TcpTimeout,
                _ => Cause::WriteError,
            }),
            Phase::Closing(closing) => closing.end.clone(),
            Phase::Dead(_) => return,
        };
        self.core.bury(id, end);
    }

    /// Carries out what other threads asked for.
    pub fn take_commands(&mut self, now: Micros) {
        for command in self.core.remote.take() {
            match command {
                Command::Send(id, message) => {
                    self.core.send(id, message, now);
                }
                Command::Close(id, code, reason) => {
                    self.core.close(id, Cause::Kicked, code, &reason, now)
                }
                Command::Answer(id, verdict) => self.core.answers.push_back((id, verdict)),
                Command::Drain { delay, spread } => self.core.announce_drain(delay, spread, now),
                Command::Stop => self.shutdown(),
                Command::Wake => self.call(now, |handler, io| handler.on_wake(io)),
            }
            self.settle(now);
        }
    }

    /// Fires the deadlines up to `now`.
    pub fn advance(&mut self, now: Micros) {
        while let Some((tick, fired)) = self.core.wheel.next(now) {
            for slot in fired {
                match Timers::index(slot) {
                    Some(index) => self.timer(index, tick, now),
                    None => self.deadline(slot, tick, now),
                }
            }
        }
        self.grant_stale_closes(now);
        self.settle(now);
    }

    /// Somebody whom only silence speaks against: read its socket once more, hand in what came, then [`judge`](Engine::judge).
    pub fn next_doubtful(&mut self) -> Option<ConnId> {
        self.core.doubtful.pop_front()
    }

    /// Closes a doubtful connection if it is still silent.
    pub fn judge(&mut self, id: ConnId, now: Micros) {
        self.look(id, now, true);
        self.settle(now);
    }

    /// The loop was away for `stall`, which is not part of engine time.
    pub fn on_stall(&mut self, stall: Micros) {
        self.core.stats.stalls += 1;
        self.core.stats.stalled += stall;
        let ids: Vec<ConnId> = self.core.table.ids().map(|(id, _)| id).collect();
        for id in ids {
            if let Some(conn) = self.core.table.get_mut(id) {
                conn.health.forget_outstanding();
            }
        }
    }

    /// Who has something to write: each is to be flushed once, then the turn is over for it.
    pub fn take_dirty(&mut self, into: &mut Vec<ConnId>) {
        self.core.table.take_dirty(into);
    }

    /// Writes what waits for one peer.
    pub fn flush(&mut self, id: ConnId, now: Micros, socket: WriteVectored<'_>) -> Flushed {
        let Some(conn) = self.core.table.get_mut(id) else {
            return Flushed::Done;
        };
        conn.marks.take(Mark::Dirty);
        if matches!(conn.phase, Phase::Dead(_)) {
            return Flushed::Done;
        }
        // Only a ping that found others waiting is late: its interval starts when it left.
        let late = conn.is_blocked();
        if conn.marks.take(Mark::Ping) {
            let [a, b, c, d] = conn.health.ping_payload();
            let frame = [0x89, 4, a, b, c, d];
            if conn.out.is_none() {
                match socket(&[io::IoSlice::new(&frame)]) {
                    Ok(n) if n == frame.len() => {
                        self.sent(id, n, true, false, now);
                        return self.flushed(id, false, now);
                    }
                    Ok(n) => {
                        self.core.stats.bytes_out += n as u64;
                        conn.health.moved(now);
                        self.core.change_out(id, |out| out.push_ping(&frame[n..]));
                    }
                    Err(e)
                        if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
                    {
                        self.core.change_out(id, |out| out.push_ping(&frame));
                    }
                    Err(e) => {
                        self.on_error(id, &e);
                        return Flushed::Done;
                    }
                }
            } else {
                self.core.change_out(id, |out| out.push_ping(&frame));
            }
        }
        let Some(conn) = self.core.table.get_mut(id) else {
            return Flushed::Done;
        };
        let Some(out) = &mut conn.out else {
            return self.flushed(id, false, now);
        };
        let was_blocked = late;
        let before = out.pending();
        let written = match out.write(now, FLUSH_BUDGET, socket) {
            Ok(written) => written,
            Err(e) => {
                self.on_error(id, &e);
                return Flushed::Done;
            }
        };
        let (pending, blocked) = (out.pending(), out.blocked_since().is_some());
        self.core.stats.pending_bytes -= (before - pending) as u64;
        if written.bytes > 0 && (was_blocked || blocked) {
            conn.health.moved(now);
        }
        self.sent(id, written.bytes, written.ping, late, now);
        if pending == 0 {
            return self.flushed(id, was_blocked, now);
        }
        if !blocked {
            self.core.table.mark_dirty(id);
            return Flushed::Done;
        }
        if pending > self.core.config.max_pending_bytes {
            self.core.slow_consumer(id, now);
        }
        self.core.arm(id);
        Flushed::Blocked
    }

    /// Tells the host who has ended and frees their slots; `release` lets a socket go, with an RST if the flag says so.
    pub fn reap(&mut self, now: Micros, release: &mut dyn FnMut(ConnId, bool)) {
        for id in self.core.table.take_to_tell() {
            self.tell(id, now);
        }
        for id in self.core.table.take_dead() {
            let reset = match self.core.table.get(id).map(|c| &c.phase) {
                Some(Phase::Dead(end)) => end.reset,
                _ => continue,
            };
            self.tell(id, now);
            if let Some(conn) = self.core.table.free(id) {
                self.core.stats.pending_bytes -= conn.pending() as u64;
                self.core.policies.release(conn.own_policy);
            }
            release(id, reset);
        }
        self.settle(now);
    }

    /// How long the driver may sleep; `None`: until something happens.
    pub fn sleep(&self, now: Micros) -> Option<Micros> {
        if self.core.table.has_work() || !self.core.doubtful.is_empty() {
            return Some(Micros::ZERO);
        }
        self.core.wheel.sleep(now)
    }

    /// Has [`take_accept_retry`](Engine::take_accept_retry) say yes once, `after` from now.
    pub fn retry_accept(&mut self, after: Micros, now: Micros) {
        if !self.core.timers.is_running(Purpose::AcceptRetry) {
            self.core
                .start_timer(Purpose::AcceptRetry, now + after, now);
        }
    }

    /// Whether accepting is to be tried again.
    pub fn take_accept_retry(&mut self) -> bool {
        std::mem::take(&mut self.core.accept_retry)
    }

    /// Whether the driver is to empty its accept queue, close its listener, and say [`accepting_is_over`](Engine::accepting_is_over).
    pub fn wants_last_accept(&self) -> bool {
        matches!(self.core.drain, Drain::LastAccept { .. })
    }

    /// There is no listener any more: the drain begins to close connections.
    pub fn accepting_is_over(&mut self, now: Micros) {
        self.core.accepting_is_over(now);
        self.settle(now);
    }

    /// Whether a drain or stop has ended with the last connection.
    pub fn is_over(&self) -> bool {
        self.is_empty() && matches!(self.core.drain, Drain::Closing { .. })
    }

    /// Ends every connection at once; nothing is sent.
    pub fn shutdown(&mut self) {
        let ids: Vec<ConnId> = self.core.table.ids().map(|(id, _)| id).collect();
        for id in ids {
            let Some(conn) = self.core.table.get(id) else {
                continue;
            };
            let end = match &conn.phase {
                Phase::Closing(closing) => closing.end.clone(),
                _ => End::of(Cause::Shutdown),
            };
            self.core.bury(id, end);
        }
        self.core.drain = Drain::Closing {
            started: Micros::ZERO,
            spread: Micros::ZERO,
            total: 0,
            done: 0,
            cursor: 0,
        };
    }

    // ---- deadlines ----

    fn deadline(&mut self, slot: u32, tick: Tick, now: Micros) {
        let Some(id) = self.core.table.id_in(slot) else {
            return;
        };
        let Some(conn) = self
            .core
            .table
            .get_mut(id)
            .filter(|c| c.armed() == Some(tick))
        else {
            return;
        };
        conn.set_armed(None);
        let policy = self.core.policies.of(conn.class, conn.own_policy);
        let Some(due) = conn.due(policy, self.core.config.handshake_timeout) else {
            return;
        };
        if due <= now {
            self.core.stats.lateness.record((now - due).0);
            self.look(id, now, sabotage::on(Bug::NoLastLook));
        } else {
            // It was heard meanwhile, or it lay beyond the wheel's horizon.
            self.core.arm(id);
        }
    }

    /// Acts on what is due. `judged`: its socket was looked at, so it may be called stale.
    fn look(&mut self, id: ConnId, now: Micros, judged: bool) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        let policy = *self.core.policies.of(conn.class, conn.own_policy);
        let granted = judged && conn.marks.take(Mark::Granted);
        match &conn.phase {
            Phase::Opening(opening) => {
                if now >= conn.since + self.core.config.handshake_timeout {
                    let what = if opening.as_ref().is_some_and(|o| o.deferred.is_some()) {
                        "verdict"
                    } else {
                        "request head"
                    };
                    let reply = Reply::error(
                        408,
                        &format!("no {what} within {}", self.core.config.handshake_timeout),
                    );
                    self.core
                        .reply(id, &reply, false, Cause::HandshakeTimeout, now);
                    return;
                }
            }
            Phase::Open(_) => {
                let passed = |due: Option<Micros>| due.is_some_and(|d| d <= now);
                if passed(conn.init_due(&policy)) {
                    let limit = policy.first_message_timeout.unwrap_or_default();
                    let reason = format!("no first message within {limit}");
                    self.core.shut(id, Cause::InitTimeout, 3008, &reason, now);
                } else if passed(conn.frame_due()) {
                    let reason = format!("a frame took more than {}", conn::FRAME_TIME);
                    self.core.shut(id, Cause::FrameTimeout, 3008, &reason, now);
                } else if passed(conn.slow_due()) {
                    self.core.slow_consumer(id, now);
                } else {
                    self.beat(id, &policy, now, judged, granted);
                }
                return;
            }
            Phase::Closing(closing) => {
                if now >= closing.deadline {
                    let end = closing.end.clone();
                    self.core.bury(id, end);
                    return;
                }
            }
            Phase::Dead(_) => return,
        }
        self.core.arm(id);
    }

    fn beat(&mut self, id: ConnId, policy: &Policy, now: Micros, judged: bool, granted: bool) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        match conn.health.on_due(policy, now) {
            Due::Stale if !judged => {
                self.core.doubtful.push_back(id);
                return;
            }
            Due::Stale => {
                self.close_stale(id, granted, now);
                return;
            }
            Due::Nothing => {}
            Due::Beat { ping, change } => {
                if ping {
                    conn.marks.set(Mark::Ping);
                    self.core.table.mark_dirty(id);
                }
                if let Some(change) = change {
                    self.core.stats.suspects += 1;
                    self.call(now, |handler, io| handler.on_health(io, id, change));
                }
            }
        }
        if granted {
            self.core.bucket.give_back();
        }
        if !sabotage::on(Bug::LostRearm) || id.slot() % 16 != 3 {
            self.core.arm(id);
        }
    }

    fn close_stale(&mut self, id: ConnId, granted: bool, now: Micros) {
        let may = granted || (self.core.deferred.is_empty() && self.core.bucket.take(now));
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        if !may {
            // It stays as it is, unpinged, until its turn comes or something is heard.
            conn.marks.set(Mark::Deferred);
            self.core.deferred.push_back(id);
            self.await_tokens(now);
            return;
        }
        let policy = self.core.policies.of(conn.class, conn.own_policy);
        if granted {
            let since = conn.health.stale_at(policy);
            self.core.stats.stale_delay.record((now - since).0);
        }
        let unanswered = conn.health.unanswered();
        let plural = if unanswered == 1 { "" } else { "s" };
        let reason = format!(
            "nothing heard for {}, {unanswered} ping{plural} unanswered",
            conn.health.silence(now)
        );
        self.core
            .shut(id, Cause::Stale, Cause::Stale.close_code(), &reason, now);
    }

    /// Gives those their turn who have waited longest.
    fn grant_stale_closes(&mut self, now: Micros) {
        while let Some(id) = self.core.deferred.front().copied() {
            let waits = self
                .core
                .table
                .get(id)
                .is_some_and(|c| c.marks.has(Mark::Deferred));
            if waits && !self.core.bucket.take(now) {
                self.await_tokens(now);
                return;
            }
            self.core.deferred.pop_front();
            if let Some(conn) = self.core.table.get_mut(id).filter(|_| waits) {
                conn.marks.take(Mark::Deferred);
                conn.marks.set(Mark::Granted);
                self.core.doubtful.push_back(id);
            }
        }
    }

    fn await_tokens(&mut self, now: Micros) {
        if !self.core.timers.is_running(Purpose::StaleCloses) {
            self.core.start_timer(Purpose::StaleCloses, now + TICK, now);
        }
    }

    fn timer(&mut self, index: u32, tick: Tick, now: Micros) {
        let Core { timers, wheel, .. } = &mut self.core;
        let Some((purpose, id)) = timers.fire(wheel, index, tick, now) else {
            return;
        };
        match purpose {
            Purpose::Host => self.call(now, |handler, io| handler.on_timer(io, id)),
            Purpose::AcceptRetry => self.core.accept_retry = true,
            // The end of `advance` grants.
            Purpose::StaleCloses => {}
            Purpose::Drain => self.core.drain_on(now),
        }
    }

    // ---- after writing ----

    fn sent(&mut self, id: ConnId, bytes: usize, ping: bool, late: bool, now: Micros) {
        self.core.stats.bytes_out += bytes as u64;
        if let Some(conn) = self.core.table.get_mut(id).filter(|_| ping) {
            self.core.stats.pings += 1;
            let policy = self.core.policies.of(conn.class, conn.own_policy);
            conn.health.ping_sent(policy, now, late);
        }
    }

    /// Nothing waits for this peer.
    fn flushed(&mut self, id: ConnId, was_blocked: bool, now: Micros) -> Flushed {
        let Some(conn) = self.core.table.get_mut(id) else {
            return Flushed::Done;
        };
        conn.out = None;
        match &mut conn.phase {
            Phase::Open(_) if was_blocked => {
                self.core.arm(id);
                self.call(now, |handler, io| handler.on_writable(io, id));
                self.settle(now);
            }
            Phase::Closing(closing) => match closing.until {
                Until::Flushed => {
                    let end = closing.end.clone();
                    self.core.bury(id, end);
                }
                Until::PeerLeaves if !closing.fin_sent => {
                    closing.fin_sent = true;
                    return Flushed::Fin;
                }
                Until::PeerLeaves | Until::PeerCloses => {}
            },
            Phase::Opening(_) | Phase::Open(_) | Phase::Dead(_) => {}
        }
        Flushed::Done
    }

    // ---- the host ----

    /// Tells the host the end of a connection, once.
    fn tell(&mut self, id: ConnId, now: Micros) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        let end = match &mut conn.phase {
            Phase::Closing(closing) => &mut closing.end,
            Phase::Dead(end) => end,
            Phase::Opening(_) | Phase::Open(_) => return,
        };
        if std::mem::replace(&mut end.told, true) && !sabotage::on(Bug::DoubleOnClose) {
            return;
        }
        let ending = Ending {
            cause: end.cause,
            by: end.cause.by(),
            code: end.code,
            reason: end.reason.clone(),
            clean: end.clean,
            class: conn.marks.has(Mark::Counted).then_some(conn.class),
            peer_addr: conn.peer_addr(),
            age: now - conn.since,
            silence: conn.health.silence(now),
            unanswered: conn.health.unanswered(),
            rtt: conn.health.rtt(),
        };
        if conn.marks.has(Mark::Counted) {
            let class = &mut self.core.stats.classes[usize::from(conn.class.0)];
            class.live -= 1;
            class.closed[ending.cause.index()] += 1;
        } else {
            self.core.stats.rejected[ending.cause.index()] += 1;
        }
        let owed = conn.marks.has(Mark::Owed);
        if sabotage::on(Bug::NoOnClose) && ending.cause == Cause::Stale {
            return;
        }
        self.call(now, |handler, io| {
            if owed {
                handler.on_close(io, id, &ending)
            } else {
                handler.on_reject(io, id, &ending)
            }
        });
    }

    fn call<T>(&mut self, now: Micros, f: impl FnOnce(&mut H, &mut Io<'_>) -> T) -> T {
        f(
            &mut self.handler,
            &mut Io {
                core: &mut self.core,
                now,
            },
        )
    }

    /// Carries out the verdicts that the host has given meanwhile.
    fn settle(&mut self, now: Micros) {
        while let Some((id, verdict)) = self.core.answers.pop_front() {
            self.answer(id, verdict, now);
        }
    }

    /// Something was heard from a peer.
    fn heard(&mut self, id: ConnId, now: Micros) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        let change = conn.health.heard(now);
        if conn.marks.take(Mark::Deferred) {
            self.core.arm(id);
        }
        if let Some(change) = change {
            debug_assert_eq!(change.state, State::Healthy);
            self.core.stats.suspects -= 1;
            self.call(now, |handler, io| handler.on_health(io, id, change));
        }
    }
}
