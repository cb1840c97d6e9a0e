//! The engine's calls: those that the driver makes, and those to the host.

use super::config::{Config, ConfigError};
use super::conn::{Conn, Phase};
use super::conn_set::{ConnSet, REFUSED_MAX};
use super::core::Core;
use super::drain::DrainState;
use super::ending::EndingDraft;
use super::entropy::Entropy;
use super::flags::Flag;
use super::handler::Handler;
use super::io::Io;
use super::life_news::LifeNews;
use super::remote::{Command, Remote};
use super::stats::Stats;
use super::timers::TimerPurpose;
use super::view::CloseStage;
use super::work::END_UNITS;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::health::LifeSign;
use std::io::ErrorKind;
use std::net::SocketAddr;

/// The engine: connections, their deadlines, and the host.
pub struct Engine<H> {
    pub(super) core: Core,
    pub(super) handler: H,
    pub(super) half_open: ConnSet,
    pub(super) refused: ConnSet,
}

impl<H: Handler> Engine<H> {
    /// Creates an engine without connections, at the origin of engine time. `wake` makes the
    /// driver's wait return.
    ///
    /// # Errors
    /// [`ConfigError`] from [`Config::validate`].
    pub fn new(
        config: Config,
        handler: H,
        wake: Box<dyn Fn() + Send + Sync>,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Engine {
            core: Core::new(config, Remote::new(wake)),
            handler,
            half_open: ConnSet::new(usize::MAX),
            refused: ConnSet::new(REFUSED_MAX),
        })
    }

    /// Returns the host.
    pub fn handler(&self) -> &H {
        &self.handler
    }

    /// Returns the host for changes between turns.
    pub fn handler_mut(&mut self) -> &mut H {
        &mut self.handler
    }

    /// Calls the host outside of any event, with an [`Io`] to act with.
    pub fn with_io<T>(&mut self, now: Micros, f: impl FnOnce(&mut H, &mut Io<'_>) -> T) -> T {
        self.end_share(now);
        let result = self.call(now, f);
        self.settle(now);
        result
    }

    /// Returns the counters.
    pub fn stats(&self) -> &Stats {
        &self.core.stats
    }

    /// Returns the counters for updates by the driver, which counts what only it sees.
    pub fn stats_mut(&mut self) -> &mut Stats {
        &mut self.core.stats
    }

    /// Returns the configuration as it was at the start.
    pub fn config(&self) -> &Config {
        &self.core.config
    }

    /// Returns the shortest timeout of any connection. The loop's punctuality is measured against
    /// it.
    pub fn shortest_timeout(&self) -> Micros {
        self.core.policies.shortest_timeout()
    }

    /// Returns a handle through which other threads send commands to the loop.
    pub fn remote(&self) -> Remote {
        self.core.remote.clone()
    }

    /// Returns whether the driver must still pass on a connection's input, even if it is only
    /// skipped.
    pub fn wants_bytes(&self, id: ConnId) -> bool {
        self.core
            .table
            .get(id)
            .is_some_and(|c| !matches!(c.phase, Phase::Dead(_)))
    }

    /// Returns the number of connections in any phase.
    pub fn len(&self) -> usize {
        self.core.table.len()
    }

    /// Returns the number of accepted connections in any phase. Those that this side has dialled do
    /// not count against the limit on connections.
    pub fn accepted_here(&self) -> usize {
        self.len() - self.core.stats.dialed_here as usize
    }

    /// Returns the number of accepted connections that count against the limit on connections:
    /// those in any phase, and those that were handed over.
    pub fn places_taken(&self) -> usize {
        self.accepted_here() + self.handed_over_here()
    }

    /// Returns whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a new connection. `refuse`: the limit is reached, and its request will be answered 503.
    ///
    /// If there are more than 16 refused ones, or more half-open ones than
    /// [`set_max_connections`](Engine::set_max_connections) allows, an older one is evicted in this
    /// turn.
    pub fn accept(&mut self, peer_addr: SocketAddr, refuse: bool, now: Micros) -> ConnId {
        self.core.stats.accepted += 1;
        self.core.wheel.catch_up(now);
        let id = self.core.table.insert(|generation| {
            let mut conn = Conn::accepted(generation, peer_addr, now);
            if refuse {
                conn.flags.set(Flag::Refused);
            }
            conn
        });
        self.core.arm(id);
        self.add_unopened(id, refuse);
        id
    }

    /// Sets the source of random bytes, for keys and masks of connections that this side dials. It
    /// must be strong (RFC 6455 §10.3). Without this call the bytes are a fixed sequence, which is
    /// only for tests.
    pub fn set_random(&mut self, fill: impl FnMut(&mut [u8]) + Send + 'static) {
        self.core.entropy = Entropy::new(Box::new(fill));
    }

    /// Handles the end of the peer's stream.
    pub fn on_eof(&mut self, id: ConnId, now: Micros) {
        self.core.work.spend_on_end(END_UNITS, &mut self.core.stats);
        if self.half_close(id, now) {
            return self.settle(now);
        }
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        let is_linked = conn.flags.has(Flag::Linked);
        let end = match &mut conn.phase {
            Phase::Opening(None) => EndingDraft::of(Cause::PROBE),
            Phase::Opening(Some(_)) => EndingDraft::of(Cause::ABORTED),
            Phase::Dialing(_) => return self.end_answer(id, now),
            Phase::Open(input) => match input.as_ref().and_then(|i| i.leg_closing()) {
                Some(closing) => closing.end.clone(),
                None => EndingDraft::of(Cause::PEER_EOF),
            },
            // It may still take the answer to its close.
            Phase::Closing(closing) if closing.stage == CloseStage::Partner => {
                closing.fin_received = true;
                return;
            }
            Phase::Closing(closing)
                if conn.out.is_some() && (closing.stage != CloseStage::PeerClose || is_linked) =>
            {
                // The peer may still be reading: queued bytes go out first. Without a link, a peer
                // that ends its stream instead of answering a close is gone.
                closing.stage = CloseStage::Flush;
                closing.fin_received = true;
                return;
            }
            Phase::Closing(closing) => closing.end.clone(),
            Phase::Dead(_) => return,
        };
        self.core.mark_dead(id, end);
        self.settle(now);
    }

    /// Handles a read error, or a pending socket error that a read would report. Write errors are
    /// returned by [`flush`](Engine::flush).
    pub fn on_error(&mut self, id: ConnId, error: &std::io::Error) {
        self.on_socket_failure(id, failure(error, Cause::READ_ERROR));
    }

    /// Ends a connection because a write failed.
    pub(super) fn on_write_error(&mut self, id: ConnId, error: &std::io::Error) {
        self.on_socket_failure(id, failure(error, Cause::WRITE_ERROR));
    }

    /// Ends a connection because its socket failed; `cause` says how.
    pub(super) fn on_socket_failure(&mut self, id: ConnId, cause: Cause) {
        self.core.work.spend_on_end(END_UNITS, &mut self.core.stats);
        // Input that was read before is processed first. If the host has paused reading, it is not:
        // the host may never resume.
        let waits = |conn: &Conn| conn.is_held() && !conn.is_paused();
        if self.core.table.get(id).is_some_and(waits)
            && let Some(input) = self.input_or_new(id)
        {
            input.failed.get_or_insert(cause);
            return self.core.discard_out(id);
        }
        let Some(conn) = self.core.table.get(id) else {
            return;
        };
        let end = match &conn.phase {
            Phase::Opening(None) => EndingDraft::of(Cause::PROBE),
            Phase::Opening(Some(_)) => EndingDraft::of(Cause::ABORTED),
            Phase::Dialing(_) => EndingDraft::of(cause),
            Phase::Open(Some(input)) if let Some(closing) = input.leg_closing() => {
                closing.end.clone()
            }
            Phase::Open(_) => EndingDraft::of(cause),
            Phase::Closing(closing) => closing.end_early(conn.out.is_some()),
            Phase::Dead(_) => return,
        };
        self.core.mark_dead(id, end);
    }

    /// Ends a connection that the driver cannot serve because a system call failed. Nothing is
    /// sent.
    pub fn on_register_error(&mut self, id: ConnId) {
        self.core.mark_dead(id, EndingDraft::of(Cause::AT_CAPACITY));
    }

    /// Executes the commands of other threads: at most 1 024 commands or 64 MiB; the rest wait for
    /// the next turn.
    pub fn take_commands(&mut self, now: Micros) {
        self.end_share(now);
        let mut woken = false;
        self.core.inbox.begin_turn();
        while let Some(command) = self.core.inbox.take() {
            self.core.spend(1);
            match command {
                Command::Send(id, message) => {
                    self.core.send(id, message, now);
                }
                Command::Close(id, code, reason) => {
                    self.core.close(id, Cause::KICKED, code, &reason, now)
                }
                Command::Answer(id, verdict) => self.core.answers.push_back((id, verdict)),
                Command::Drain { delay, spread } => self.core.announce_drain(delay, spread, now),
                Command::Stop => self.shutdown(),
                Command::Wake => woken = true,
            }
            self.settle(now);
        }
        // Once a turn, after all earlier commands.
        if woken {
            self.call(now, |handler, io| handler.on_wake(io));
            self.settle(now);
        }
    }

    /// Handles a stall: the loop did not run for `stall`. That time is not part of engine time.
    pub fn on_stall(&mut self, stall: Micros) {
        self.core.stats.stalls += 1;
        self.core.stats.stalled += stall;
        self.core.foresight.fleet.on_stall(self.core.turn_now);
        let ids: Vec<ConnId> = self.core.table.ids().map(|(id, _)| id).collect();
        for id in ids {
            if let Some(conn) = self.core.table.get_mut(id) {
                conn.health.discard_rtt();
            }
        }
    }

    /// Returns how long the driver may sleep; `None`: until the next event.
    pub fn sleep_time(&self, now: Micros) -> Option<Micros> {
        if self.core.has_work() {
            return Some(Micros::ZERO);
        }
        let memory = self.core.shortage_due().map(|due| due - now);
        let late = self.core.late.next_due().map(|due| due - now);
        let cohorts = self.core.foresight.due().map(|due| due - now);
        [self.core.wheel.sleep_time(now), memory, late, cohorts]
            .into_iter()
            .flatten()
            .min()
    }

    /// Makes [`take_accept_retry`](Engine::take_accept_retry) return true once, `after` from now.
    pub fn retry_accept(&mut self, after: Micros, now: Micros) {
        if !self.core.timers.is_running(TimerPurpose::AcceptRetry) {
            self.core
                .start_timer(TimerPurpose::AcceptRetry, now + after, now);
        }
    }

    /// Returns whether the driver must try to accept again.
    pub fn take_accept_retry(&mut self) -> bool {
        std::mem::take(&mut self.core.accept_retry)
    }

    /// Returns the limit on connections that the host has set since the last call
    /// ([`Io::set_max_connections`]).
    pub fn take_max_connections(&mut self) -> Option<usize> {
        let most = self.core.new_max_connections.take()?;
        self.set_max_connections(most);
        Some(most)
    }

    /// Returns whether the driver must empty its accept queue, admit no more connections, and call
    /// [`finish_accepting`](Engine::finish_accepting).
    pub fn is_final_accept(&self) -> bool {
        matches!(self.core.drain, DrainState::FinalAccept { .. })
    }

    /// Ends the last accept: no more connections are admitted, and the drain begins to close them.
    /// If the listener stays open, the driver accepts new connections as refused ones, so that
    /// clients and health checks receive a 503.
    pub fn finish_accepting(&mut self, now: Micros) {
        self.core.finish_accepting(now);
        self.close_drained(now);
        self.settle(now);
    }

    /// Closes the connections whose turn in the drain has come.
    pub(super) fn close_drained(&mut self, now: Micros) {
        let mut drained = std::mem::take(&mut self.core.drained);
        for id in drained.drain(..) {
            if self.call(now, |handler, io| handler.on_drain_close(io, id)) {
                self.core.close_drained(id, now);
            }
        }
        self.core.drained = drained;
    }

    /// Returns whether connections are no longer admitted: a drain is closing connections, or the
    /// engine stops.
    pub fn is_shutting_down(&self) -> bool {
        self.core.drain.is_shutting_down()
    }

    /// Returns whether all connections are dropped at once.
    pub fn is_stopping(&self) -> bool {
        matches!(self.core.drain, DrainState::Stopped)
    }

    /// Returns whether a drain or stop is complete: the last connection has ended. A drain waits
    /// for connections that were handed over, too.
    pub fn is_over(&self) -> bool {
        let is_last = self.handed_over_here() == 0 || self.is_stopping();
        self.is_empty() && is_last && self.core.drain.is_shutting_down()
    }

    /// Ends every connection at once. Nothing is sent.
    pub fn shutdown(&mut self) {
        let ids: Vec<ConnId> = self.core.table.ids().map(|(id, _)| id).collect();
        for id in ids {
            let Some(conn) = self.core.table.get(id) else {
                continue;
            };
            let end = match &conn.phase {
                Phase::Closing(closing) => closing.end.clone(),
                _ => EndingDraft::of(Cause::SHUTDOWN),
            };
            self.core.mark_dead(id, end);
        }
        self.core.drain = DrainState::Stopped;
    }

    // ---- the host ----

    pub(super) fn call<T>(&mut self, now: Micros, f: impl FnOnce(&mut H, &mut Io<'_>) -> T) -> T {
        f(
            &mut self.handler,
            &mut Io {
                core: &mut self.core,
                now,
            },
        )
    }

    /// Applies the verdicts that the host has given since the last call.
    pub(super) fn settle(&mut self, now: Micros) {
        while let Some((id, verdict)) = self.core.answers.pop_front() {
            self.apply_answer(id, verdict, now);
        }
        while let Some((id, news)) = self.core.life_news.pop_front() {
            self.tell_news(id, &news, now);
        }
        while let Some(id) = self.core.left_unfinished.pop() {
            self.call(now, |handler, io| handler.on_continue(io, id));
        }
        if !self.core.ended_legs.is_empty() {
            self.end_partners(now);
            // The host may have answered a request of a partner.
            self.settle(now);
        }
    }

    /// Records input of this kind from a peer, if it is a sign of life.
    pub(super) fn mark_heard(&mut self, id: ConnId, sign: LifeSign, now: Micros) {
        if let Some(news) = self.core.hear(id, sign, now) {
            self.tell_news(id, &news, now);
        }
    }

    /// Tells the host what a sign of life has changed.
    fn tell_news(&mut self, id: ConnId, news: &LifeNews, now: Micros) {
        if let Some(change) = news.change {
            self.call(now, |handler, io| handler.on_health(io, id, change));
        }
        if let Some(silence) = news.false_alarm {
            self.call(now, |handler, io| handler.on_false_alarm(io, id, silence));
        }
        if let Some(pong) = news.pong {
            self.call(now, |handler, io| handler.on_pong(io, id, pong));
        }
    }
}

/// Returns the cause for a connection whose socket failed with this error; `otherwise` names the
/// failed operation.
fn failure(error: &std::io::Error, otherwise: Cause) -> Cause {
    match error.kind() {
        ErrorKind::ConnectionReset => Cause::PEER_RESET,
        ErrorKind::TimedOut => Cause::TCP_TIMEOUT,
        _ => otherwise,
    }
}
