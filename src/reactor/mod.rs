//! Sockets and the clock: the thin shell around the engine.

mod accept;
mod kernel;
mod token;

pub use accept::{granted_backlog, listen};

use self::accept::{
    ACCEPTS_PER_TURN, Accepted, Acceptor, Change, LAST_ACCEPTS, REFUSED_DESCRIPTORS,
    REFUSED_PER_TURN, RETRY_AFTER, is_out_of_descriptors,
};
use crate::engine::{Config, Engine, Flushed, Handler, Intake, Io, Kernel, Remote};
use crate::id::ConnId;
use crate::time::{Clock, Micros};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::SockRef;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// The most events taken from the kernel in one turn; the rest comes with the next.
const EVENTS: usize = 1_024;

/// The loop's read buffer, shared by all connections.
const READ_BUFFER: usize = 64 * 1024;

/// The most bytes read from one connection in one turn. What they cost is bounded by the engine's budget besides.
const READ_BUDGET: usize = 4 * READ_BUFFER;

/// The same in a last look.
const LOOK_BUDGET: usize = READ_BUFFER;

/// How long accepting, and how long reading, may take in one turn; who is not reached is first in the next. What is read
/// makes work for the steps behind it, too, some four times as much when connections come and go; so a storm of them delays a
/// heartbeat by a tick or two. Writing is bounded by connections and bytes instead ([`Engine::take_dirty`]), heartbeats first.
const STEP_TIME: Micros = Micros::from_millis(2);

/// How long reading from the connections behind the others may take at least.
const LEAST_TIME_BEHIND: Micros = Micros::from_millis(1);

/// Accepted connections between two readings of the clock.
const STEP_CHECK: usize = 16;

const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);

/// The loop: one thread, all connections.
///
/// [`run`](Reactor::run) it, or [`turn`](Reactor::turn) it from a loop of your own: its descriptor
/// ([`AsRawFd`]) is readable when a turn has something to do, and [`next_due`](Reactor::next_due) says when it has without
/// being told. Spurious turns do no harm.
pub struct Reactor<H> {
    engine: Engine<H>,
    clock: Clock,
    poll: Poll,
    events: Events,
    acceptor: Option<Acceptor>,
    local_addr: SocketAddr,
    /// By slot, as the engine's connections.
    sockets: Vec<Option<Socket>>,
    /// Connections to be read from; first those that the last turn did not reach.
    ready: Vec<ConnId>,
    /// Connections that are read last: their input exceeded their last share, or they have not introduced themselves.
    heavy: VecDeque<ConnId>,
    dirty: Vec<ConnId>,
    /// Connections that have left a heartbeat unanswered.
    unanswered: Vec<ConnId>,
    buffer: Box<[u8]>,
    /// How long the turn before meant to sleep.
    asked: Micros,
    /// When this turn's wait was over, by the monotonic clock.
    woken: Micros,
    /// The kernel may have had more events than fitted.
    more_events: bool,
    /// Somebody else holds the listener's socket, too.
    inherited: bool,
    /// A successor may listen on the same port, so a drain closes the listener before the first connection.
    has_successor: bool,
    /// Connections that may yet be taken in when a drain empties the accept queue.
    last_accepts: usize,
}

struct Socket {
    stream: TcpStream,
    behind: Behind,
    refused: bool,
    /// On the list of those to be read from.
    ready: bool,
    /// An event told of a FIN or an error, which will not be told again: read on until it shows.
    closed: bool,
}

/// Whether the kernel took less than there was, so that WRITABLE is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    No,
    /// Until the kernel says that it takes more, writing is not tried: a reader that has fallen back costs no system call for
    /// each message that it is sent.
    Waiting,
    /// It has said so.
    Writable,
}

impl<H: Handler> Reactor<H> {
    /// A loop on a listener that was bound before ([`listen`], or the host's own).
    ///
    /// At `max_connections` newcomers are answered 503, for which [`EXTRA_DESCRIPTORS`] must be there.
    ///
    /// # Errors
    /// `InvalidInput` for a configuration that cannot be run with, with its [`ConfigError`](crate::engine::ConfigError) inside; else
    /// what the system says.
    pub fn new(
        config: Config,
        listener: std::net::TcpListener,
        max_connections: usize,
        handler: H,
    ) -> io::Result<Self> {
        let local_addr = listener.local_addr()?;
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let wake = Box::new(move || {
            if let Err(e) = waker.wake() {
                log::warn!("wake failed error=\"{e}\"");
            }
        });
        let invalid = |e| io::Error::new(ErrorKind::InvalidInput, e);
        let mut engine = Engine::new(config, handler, wake).map_err(invalid)?;
        engine.set_max_connections(max_connections);
        let mut acceptor = Acceptor::new(listener, max_connections)?;
        poll.registry()
            .register(&mut acceptor.listener, LISTENER, Interest::READABLE)?;
        Ok(Reactor {
            engine,
            clock: Clock::start(),
            poll,
            events: Events::with_capacity(EVENTS),
            acceptor: Some(acceptor),
            local_addr,
            sockets: Vec::new(),
            ready: Vec::new(),
            heavy: VecDeque::new(),
            dirty: Vec::new(),
            unanswered: Vec::new(),
            buffer: vec![0; READ_BUFFER].into_boxed_slice(),
            asked: Micros::ZERO,
            woken: Micros::ZERO,
            more_events: false,
            inherited: false,
            has_successor: false,
            last_accepts: LAST_ACCEPTS,
        })
    }

    /// Says that others hold the listener's socket, too (socket activation): a drain leaves who waits in its queue to the
    /// successor instead of taking them in to tell them to come back.
    pub fn leave_queue_to_successor(&mut self) {
        self.inherited = true;
        self.has_successor = true;
    }

    /// Says that a successor may listen on the same port already (`SO_REUSEPORT`): a drain takes in who waits in the queue, then
    /// closes the listener before the first connection, so that newcomers reach the successor.
    ///
    /// Without it the listener stays open until the last connection is closed: health checks are answered 503 meanwhile, and
    /// upgrades as well.
    pub fn leave_port_to_successor(&mut self) {
        self.has_successor = true;
    }

    /// Turns until a drain or a stop has ended ([`Remote`]).
    ///
    /// # Errors
    /// What the system says of waiting for events; nothing that concerns one connection.
    pub fn run(&mut self) -> io::Result<()> {
        while !self.is_over() {
            self.turn(None)?;
        }
        Ok(())
    }

    /// One turn: wait (at most for `max_wait`), accept, read, time, flush, reap.
    ///
    /// # Errors
    /// As [`run`](Reactor::run).
    pub fn turn(&mut self, max_wait: Option<Duration>) -> io::Result<()> {
        self.wait(max_wait)?;
        self.accept();
        self.read();
        self.engine.take_commands(self.clock.now());
        self.time();
        self.flush();
        self.reap();
        self.end_turn();
        Ok(())
    }

    /// Returns whether a drain or a stop has ended: there is nothing left to turn for.
    pub fn is_over(&self) -> bool {
        self.engine.is_over()
    }

    /// How long no turn is needed, unless the descriptor becomes readable; `None`: any time.
    pub fn next_due(&self) -> Option<Duration> {
        // Events that did not fit raise no new edge in a poll that this one is nested in.
        let more = self.more_events
            || !self.ready.is_empty()
            || !self.heavy.is_empty()
            || self.acceptor.as_ref().is_some_and(Acceptor::has_work);
        if more || self.engine.wants_last_accept() {
            return Some(Duration::ZERO);
        }
        self.engine.sleep(self.clock.now()).map(Micros::as_duration)
    }

    /// The address that is listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// A handle for other threads.
    pub fn remote(&self) -> Remote {
        self.engine.remote()
    }

    /// The engine, to look at.
    pub fn engine(&self) -> &Engine<H> {
        &self.engine
    }

    /// Calls the host between two turns, with hands to act.
    pub fn with_io<T>(&mut self, f: impl FnOnce(&mut H, &mut Io<'_>) -> T) -> T {
        self.engine.with_io(self.clock.now(), f)
    }

    // ---- the steps of a turn ----

    fn wait(&mut self, max_wait: Option<Duration>) -> io::Result<()> {
        let timeout = [self.next_due(), max_wait].into_iter().flatten().min();
        match self.poll.poll(&mut self.events, timeout) {
            Err(e) if e.kind() == ErrorKind::Interrupted => self.events.clear(),
            other => other?,
        }
        self.woken = self.clock.raw();
        self.checkpoint(self.asked);
        self.more_events = self.events.iter().count() == EVENTS;
        for event in &self.events {
            match event.token() {
                LISTENER => self.acceptor.iter_mut().for_each(Acceptor::notice),
                WAKER => {}
                token => {
                    let id = ConnId::from(token);
                    let Some(Some(socket)) = self.sockets.get_mut(id.slot()) else {
                        continue;
                    };
                    if event.is_writable() && socket.behind == Behind::Waiting {
                        socket.behind = Behind::Writable;
                        self.engine.flush_soon(id);
                    }
                    let closed = event.is_read_closed() || event.is_error();
                    socket.closed |= closed;
                    if event.is_error() && self.engine.is_paused(id) {
                        // It is not read, and an error is told only once.
                        let error = socket.stream.take_error().ok().flatten();
                        let reset = || ErrorKind::ConnectionReset.into();
                        self.engine.on_error(id, &error.unwrap_or_else(reset));
                    }
                    // Each once, also beside what was left over: or else a flood had several budgets in one turn.
                    if (event.is_readable() || closed)
                        && !std::mem::replace(&mut socket.ready, true)
                    {
                        if self.engine.is_stranger(id) {
                            self.heavy.push_back(id);
                        } else {
                            self.ready.push(id);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self) {
        if self.engine.take_accept_retry() {
            self.acceptor.iter_mut().for_each(Acceptor::retry);
        }
        if self.engine.is_leaving() && !self.answers_latecomers() {
            self.acceptor = None;
            return;
        }
        // At the end of a drain's delay whoever waits is taken in, so that they are told and not reset.
        let last = self.engine.wants_last_accept();
        // Who was accepted has a request to be read, and a time for that: no more are taken in than reading keeps up with.
        let unread = ACCEPTS_PER_TURN.saturating_sub(self.ready.len() + self.heavy.len());
        // Each beyond that has another one yield, and both are here until the turn ends.
        let unread = unread.min(self.engine.half_open_left().max(REFUSED_PER_TURN));
        let budget = match last {
            true if self.inherited => 0,
            true => ACCEPTS_PER_TURN.min(self.last_accepts),
            false => unread.max(STEP_CHECK),
        };
        self.acceptor.iter_mut().for_each(Acceptor::begin_turn);
        let until = self.clock.now() + STEP_TIME;
        for accepted in 0..budget {
            if !last && accepted % STEP_CHECK == STEP_CHECK - 1 && self.clock.now() >= until {
                break;
            }
            self.note_load();
            let Some(acceptor) = &mut self.acceptor else {
                break;
            };
            let was_paused = acceptor.is_struggling();
            match acceptor.accept() {
                Accepted::Somebody(stream, addr, refused) => {
                    if was_paused {
                        log::info!("accept resumed after=paused live={}", self.engine.len());
                    }
                    self.admit(stream, addr, refused);
                }
                Accepted::Lost => {}
                Accepted::Nobody => break,
                Accepted::Exhausted(e, news) => {
                    let ran_out = u64::from(is_out_of_descriptors(&e));
                    self.engine.stats_mut().out_of_descriptors += ran_out;
                    if news {
                        self.engine.stats_mut().accept_pauses += 1;
                        log::warn!("accept paused live={} error=\"{e}\"", self.engine.len());
                    }
                    self.engine.retry_accept(RETRY_AFTER, self.clock.now());
                    break;
                }
            }
        }
        if last {
            self.last_accepts -= budget;
            // Some of them a turn, until the queue is empty: at the cap they take the places of each other.
            let waiting = self.acceptor.as_ref().is_some_and(Acceptor::may_have_more);
            if !waiting || self.last_accepts == 0 || self.inherited {
                if self.has_successor {
                    self.acceptor = None;
                }
                self.acceptor.iter_mut().for_each(Acceptor::leave);
                self.engine.accepting_is_over(self.clock.now());
            }
        }
    }

    /// Returns whether the listener stays open while a drain closes connections: until only those are left that came meanwhile.
    fn answers_latecomers(&self) -> bool {
        let latecomers = self.acceptor.as_ref().map_or(0, |a| a.refused);
        !self.has_successor && !self.engine.is_stopping() && self.engine.len() > latecomers
    }

    fn note_load(&mut self) {
        let Some(acceptor) = &mut self.acceptor else {
            return;
        };
        let change = acceptor.note_load(self.engine.len() - acceptor.refused);
        let live = self.engine.len();
        match change {
            None => {}
            Some(Change::Restricted) => {
                self.engine.stats_mut().accept_pauses += 1;
                log::warn!("accept restricted reason=max_connections live={live}");
            }
            Some(Change::Resumed) => log::info!("accept resumed after=restricted live={live}"),
        }
    }

    fn admit(&mut self, mut stream: TcpStream, addr: SocketAddr, refused: bool) {
        let id = self.engine.accept(addr, refused, self.clock.now());
        let registered = self
            .poll
            .registry()
            .register(&mut stream, id.into(), Interest::READABLE);
        if id.slot() >= self.sockets.len() {
            self.sockets.resize_with(id.slot() + 1, || None);
        }
        self.sockets[id.slot()] = Some(Socket {
            stream,
            behind: Behind::No,
            refused,
            ready: false,
            closed: false,
        });
        if let Err(e) = registered {
            log::warn!("connection refused reason=register id={id} peer={addr} error=\"{e}\"");
            self.engine.on_no_room(id);
        }
    }

    /// Reads from the connections that have something. Those that had more than fitted into their last share, and those that have not
    /// introduced themselves, go behind the others: many that flood must not delay one that says a little.
    fn read(&mut self) {
        self.take_ready();
        let mut now = self.clock.now();
        let until = now + STEP_TIME;
        let light = std::mem::take(&mut self.ready);
        // Those that come to stand behind in this turn have had theirs.
        let behind = self.heavy.len();
        let mut at = 0;
        while at < light.len() && self.engine.has_budget_for_light() && now < until {
            self.visit(light[at], READ_BUFFER, &mut now);
            at += 1;
        }
        // Those that were not reached are first in the next turn.
        self.ready = light;
        self.ready.drain(..at);
        let until = until.max(now + LEAST_TIME_BEHIND);
        for _ in 0..behind {
            if !self.engine.has_budget() || now >= until {
                break;
            }
            if let Some(id) = self.heavy.pop_front() {
                self.visit(id, READ_BUDGET, &mut now);
            }
        }
    }

    /// Gives a connection its share of the turn.
    fn visit(&mut self, id: ConnId, budget: usize, now: &mut Micros) {
        let more = self.read_one(id, budget, now);
        if self.engine.wants_bytes(id)
            && let Some(Some(socket)) = self.sockets.get_mut(id.slot())
        {
            socket.ready = more;
            if more {
                self.heavy.push_back(id);
            }
        }
    }

    /// Takes over the connections that the engine wants to be read from, and those whose reading was paused or resumed.
    fn take_ready(&mut self) {
        for id in self.engine.take_repolled() {
            self.reregister(id);
        }
        let mut named = Vec::new();
        self.engine.take_ready(&mut named);
        for id in named {
            self.read_again(id);
        }
    }

    /// Schedules a read, at most once for each connection.
    fn read_again(&mut self, id: ConnId) {
        if self.engine.wants_bytes(id)
            && let Some(Some(socket)) = self.sockets.get_mut(id.slot())
            && !std::mem::replace(&mut socket.ready, true)
        {
            self.ready.push(id);
        }
    }

    /// Reads from one connection and hands in what came, as far as its share of the turn goes. Returns whether there is more.
    /// `now` is the time of the last look at the clock.
    fn read_one(&mut self, id: ConnId, budget: usize, now: &mut Micros) -> bool {
        let mut left = budget;
        loop {
            let most = match self.engine.intake(id, *now) {
                Intake::Read(_) if left == 0 => return true,
                Intake::Read(most) => most.min(left),
                Intake::Leftover => {
                    *now = self.clock.now();
                    self.engine.on_leftover(id, *now);
                    continue;
                }
                Intake::NextTurn => return true,
                Intake::Paused | Intake::Over => return false,
            };
            let Some(Some(socket)) = self.sockets.get_mut(id.slot()) else {
                return false;
            };
            let room = most.min(self.buffer.len());
            match socket.stream.read(&mut self.buffer[..room]) {
                Ok(0) => {
                    self.engine.on_eof(id);
                    return false;
                }
                Ok(n) => {
                    // epoll(7): a short read of a stream socket says that it is empty. But not that no FIN stands behind.
                    let drained = n < room && !socket.closed;
                    // The clock is read for each: with one time per turn, those read last would seem silent for longer.
                    *now = self.clock.now();
                    self.engine.on_bytes(id, &self.buffer[..n], *now);
                    left -= n;
                    if drained {
                        return !self.engine.on_drained(id, *now);
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    return !self.engine.on_drained(id, *now);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    self.engine.on_error(id, &e);
                    return false;
                }
            }
        }
    }

    fn time(&mut self) {
        self.checkpoint(Micros::ZERO);
        self.engine.advance(self.clock.now());
        self.engine.take_unanswered(&mut self.unanswered);
        while let Some(id) = self.unanswered.pop() {
            if let Some(kernel) = self.kernel(id) {
                self.engine.observe(id, kernel, self.clock.now());
            }
        }
        // The last look: what a doubtful peer has sent may lie in our own receive buffer, behind a budget or 1 024 events.
        while let Some(id) = self.engine.next_doubtful() {
            let mut now = self.clock.now();
            if self.read_one(id, LOOK_BUDGET, &mut now) {
                self.read_again(id);
            }
            let kernel = self.kernel(id);
            self.engine.judge(id, kernel, self.clock.now());
        }
    }

    /// What the kernel knows of a connection's bytes.
    fn kernel(&self, id: ConnId) -> Option<Kernel> {
        kernel::of(&self.sockets.get(id.slot())?.as_ref()?.stream)
    }

    fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        // Who is marked dirty while this list is worked off has its turn in the next one.
        self.engine.take_dirty(&mut dirty);
        self.touch(&dirty);
        for id in dirty.drain(..) {
            self.flush_one(id);
        }
        self.dirty = dirty;
    }

    /// Reads these socket entries, so that their cache misses overlap instead of each write waiting for its own.
    fn touch(&self, ids: &[ConnId]) {
        let sockets = ids.iter().filter_map(|id| self.sockets.get(id.slot()));
        let behind = sockets.filter(|s| s.as_ref().is_some_and(|s| s.behind != Behind::No));
        std::hint::black_box(behind.count());
    }

    fn flush_one(&mut self, id: ConnId) {
        let Some(Some(socket)) = self.sockets.get_mut(id.slot()) else {
            return;
        };
        let full = socket.behind == Behind::Waiting;
        let stream = &mut socket.stream;
        let was_behind = socket.behind != Behind::No;
        let mut write = |slices: &[IoSlice<'_>]| match slices {
            _ if full => Err(ErrorKind::WouldBlock.into()),
            slices if was_behind => kernel::write_apart(stream, slices),
            [one] => stream.write(one),
            many => stream.write_vectored(many),
        };
        let flushed = self.engine.flush(id, self.clock.now(), &mut write);
        if flushed == Flushed::Later {
            return;
        }
        if flushed == Flushed::Fin {
            // It may have gone already; then reading says so.
            let _ = socket.stream.shutdown(std::net::Shutdown::Write);
        }
        if !self.engine.wants_bytes(id) {
            return;
        }
        let is_behind = flushed == Flushed::Blocked;
        socket.behind = if is_behind {
            Behind::Waiting
        } else {
            Behind::No
        };
        if was_behind != is_behind {
            self.reregister(id);
        }
    }

    /// Tells the kernel what is waited for. A socket that is not read waits for room only: with READABLE it would wake the loop for
    /// each segment that arrives. Errors are reported all the same.
    fn reregister(&mut self, id: ConnId) {
        let paused = self.engine.is_paused(id);
        let Some(Some(socket)) = self.sockets.get_mut(id.slot()) else {
            return;
        };
        if !self.engine.wants_bytes(id) {
            return;
        }
        let interest = match (paused, socket.behind) {
            (true, _) => Interest::WRITABLE,
            (false, Behind::No) => Interest::READABLE,
            (false, Behind::Waiting | Behind::Writable) => Interest::READABLE | Interest::WRITABLE,
        };
        let registry = self.poll.registry();
        if let Err(e) = registry.reregister(&mut socket.stream, id.into(), interest) {
            log::warn!("connection dropped reason=reregister id={id} error=\"{e}\"");
            self.engine.on_no_room(id);
        }
    }

    fn reap(&mut self) {
        let (sockets, acceptor) = (&mut self.sockets, &mut self.acceptor);
        self.engine.reap(self.clock.now(), &mut |id, reset| {
            let Some(socket) = sockets.get_mut(id.slot()).and_then(Option::take) else {
                return;
            };
            if reset {
                // Fails only for a socket that is gone anyway.
                let _ = SockRef::from(&socket.stream).set_linger(Some(Duration::ZERO));
            }
            if let Some(acceptor) = acceptor {
                acceptor.refused -= usize::from(socket.refused);
                acceptor.retry();
            }
        });
    }

    fn end_turn(&mut self) {
        if let (Some(most), Some(acceptor)) =
            (self.engine.take_max_connections(), &mut self.acceptor)
        {
            acceptor.set_max_connections(most);
        }
        // Room that came free in this turn is work for the next one.
        self.note_load();
        let paused = self.acceptor.as_ref().is_none_or(Acceptor::is_paused);
        let full = self.acceptor.as_ref().is_some_and(Acceptor::is_full);
        let refused = self.acceptor.as_ref().map_or(0, |a| a.refused);
        let took = self.clock.raw() - self.woken;
        let stats = self.engine.stats_mut();
        stats.accept_paused = paused;
        stats.full = full;
        stats.refused_here = refused as u64;
        stats.turns += 1;
        stats.turn_time.record(took.0);
        self.asked = self.next_due().map_or(Micros(u64::MAX), Micros::from);
    }

    /// If we were away for longer than `asked`, the silence since then was ours.
    fn checkpoint(&mut self, asked: Micros) {
        if let Some(stall) = self.clock.checkpoint(asked, self.engine.shortest_timeout()) {
            log::warn!(
                "loop stalled for_ms={} effect=\"every deadline moved by it\"",
                stall.as_millis()
            );
            self.engine.on_stall(stall);
        }
    }
}

/// Descriptors that a reactor needs besides one per connection: epoll, waker, listener, and those to be refused.
pub const EXTRA_DESCRIPTORS: usize = 3 + REFUSED_DESCRIPTORS;

impl<H> AsRawFd for Reactor<H> {
    /// Readable when a turn has something to do.
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a connection costs beside its slot in the engine. It may grow only on purpose.
    #[test]
    fn a_socket_entry_has_8_bytes() {
        // With debug assertions mio keeps in each stream which poll it belongs to.
        let checks = if cfg!(debug_assertions) { 16 } else { 0 };
        assert_eq!(size_of::<Option<Socket>>(), 8 + checks);
    }
}
