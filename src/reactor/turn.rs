//! The loop and its turn.

use super::acceptor::{Acceptor, LAST_ACCEPTS, REFUSED_DESCRIPTORS};
use super::socket_exchange::Exchange;
use super::sockets::{Socket, WriteState};
use super::tcp_info;
use crate::base::id::ConnId;
use crate::base::time::{Clock, Micros};
use crate::engine::{Config, Engine, Handler, Io, Remote, TcpProgress};
use mio::{Events, Interest, Poll, Token, Waker};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// The most events taken from the kernel in one turn; the rest follow in the next.
const EVENTS: usize = 1_024;

/// The loop's read buffer, shared by all connections. A frame of 64 KiB fits in with its header.
pub(super) const READ_BUFFER: usize = 66 * 1024;

/// The most bytes read in a final check.
const FINAL_CHECK_BUDGET: usize = READ_BUFFER;

/// The most time for accepting, and for reading, in one turn. Connections that are not reached are
/// first in the next turn. Input also causes work in later steps, about four times as much when
/// connections come and go, so a burst of them delays a heartbeat by a tick or two. Writing is
/// limited by connections and bytes instead ([`Engine::take_dirty`]), heartbeats first.
pub(super) const STEP_TIME: Micros = Micros::from_millis(2);

const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);

/// The address of a loop without a listener.
const NO_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// The loop: one thread for all connections.
///
/// Call [`run`](Reactor::run), or call [`turn`](Reactor::run_turn) from another event loop. The
/// descriptor ([`AsRawFd`]) is readable when a turn has work to do. [`next_due`](Reactor::next_due)
/// returns when the next turn is needed without that. Extra turns do no harm.
pub struct Reactor<H> {
    pub(super) engine: Engine<H>,
    pub(super) clock: Clock,
    pub(super) poll: Poll,
    pub(super) events: Events,
    pub(super) acceptor: Option<Acceptor>,
    pub(super) local_addr: SocketAddr,
    /// Sockets by slot, as the engine's connections.
    pub(super) sockets: Vec<Option<Socket>>,
    /// Connections to read; first those that the last turn did not reach.
    pub(super) ready: Vec<ConnId>,
    /// Connections that are read last: their input exceeded their last share, or they have not
    /// identified themselves.
    pub(super) heavy: VecDeque<ConnId>,
    pub(super) dirty: Vec<ConnId>,
    /// Connections with an unanswered heartbeat.
    pub(super) unanswered: Vec<ConnId>,
    pub(super) buffer: Box<[u8]>,
    /// The sleep time that the previous turn asked for.
    pub(super) asked: Micros,
    /// The end of this turn's wait, by the monotonic clock.
    pub(super) woken: Micros,
    /// Whether the kernel may have more events than fitted.
    pub(super) more_events: bool,
    /// Whether another process also holds the listener's socket.
    pub(super) inherited: bool,
    /// Whether a successor may listen on the same port. A drain then closes the listener before it
    /// closes the first connection.
    pub(super) has_successor: bool,
    /// Connections that may still be accepted when a drain empties the accept queue.
    pub(super) last_accepts: usize,
    /// Sockets that leave the loop and come back.
    pub(super) exchange: Exchange,
}

impl<H: Handler> Reactor<H> {
    /// Creates a loop on a bound listener ([`listen`](crate::reactor::listen), or the host's own).
    ///
    /// At `max_connections`, new connections are answered 503. This needs [`EXTRA_DESCRIPTORS`].
    ///
    /// # Errors `InvalidInput` for an invalid configuration, otherwise the system's error.
    pub fn new(
        config: Config,
        listener: std::net::TcpListener,
        max_connections: usize,
        handler: H,
    ) -> io::Result<Self> {
        let local_addr = listener.local_addr()?;
        let acceptor = Acceptor::new(listener, max_connections)?;
        let mut reactor = Self::assemble(config, handler)?;
        reactor.engine.set_max_connections(max_connections);
        reactor.local_addr = local_addr;
        let acceptor = reactor.acceptor.insert(acceptor);
        let registry = reactor.poll.registry();
        registry.register(&mut acceptor.listener, LISTENER, Interest::READABLE)?;
        Ok(reactor)
    }

    /// Creates a loop that accepts no connections, for a host that only dials.
    ///
    /// # Errors The same as [`new`](Reactor::new).
    pub fn without_listener(config: Config, handler: H) -> io::Result<Self> {
        Self::assemble(config, handler)
    }

    fn assemble(config: Config, handler: H) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let wake = Box::new(move || {
            if let Err(e) = waker.wake() {
                log::warn!("wake failed effect=\"the event loop reacts later\" error=\"{e}\"");
            }
        });
        let invalid = |e| io::Error::new(ErrorKind::InvalidInput, e);
        let mut engine = Engine::new(config, handler, wake).map_err(invalid)?;
        engine.set_random(|bytes| {
            if let Err(e) = getrandom::fill(bytes) {
                log::error!("no random bytes effect=\"masks can be guessed\" error=\"{e}\"");
            }
        });
        Ok(Reactor {
            engine,
            clock: Clock::start(),
            poll,
            events: Events::with_capacity(EVENTS),
            acceptor: None,
            local_addr: NO_ADDRESS,
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
            exchange: Exchange::default(),
        })
    }

    /// Declares that another process also holds the listener's socket (socket activation). A drain
    /// then leaves queued connections to the successor and does not refuse them.
    pub fn leave_queue_to_successor(&mut self) {
        self.inherited = true;
        self.has_successor = true;
    }

    /// Declares that a successor may already listen on the same port (`SO_REUSEPORT`). A drain then
    /// accepts queued connections and closes the listener before it closes the first connection, so
    /// that new connections reach the successor.
    ///
    /// Without this call the listener stays open until the last connection is closed. Until then
    /// health checks and upgrades are answered 503.
    pub fn leave_port_to_successor(&mut self) {
        self.has_successor = true;
    }

    /// Runs turns until a drain or a stop is complete ([`Remote`]).
    ///
    /// # Errors The system's error when waiting for events; never an error of one connection.
    pub fn run(&mut self) -> io::Result<()> {
        while !self.is_over() {
            self.run_turn(None)?;
        }
        Ok(())
    }

    /// Runs one turn: wait (at most for `max_wait`), accept, read, hand over, deadlines, flush,
    /// reap.
    ///
    /// # Errors The same as [`run`](Reactor::run).
    pub fn run_turn(&mut self, max_wait: Option<Duration>) -> io::Result<()> {
        self.wait(max_wait)?;
        self.accept();
        self.take_returned();
        self.read();
        self.hand_over();
        self.engine.take_commands(self.clock.now());
        self.time();
        self.connect();
        self.flush();
        self.reap();
        self.end_turn();
        Ok(())
    }

    /// Returns whether a drain or a stop is complete and no more turns are needed.
    pub fn is_over(&self) -> bool {
        self.engine.is_over()
    }

    /// Returns how long no turn is needed unless the descriptor becomes readable; `None`: no limit.
    pub fn next_due(&self) -> Option<Duration> {
        // Events that did not fit do not trigger another poll that this one is nested in.
        let more = self.more_events
            || !self.ready.is_empty()
            || !self.heavy.is_empty()
            || self.exchange.has_work()
            || self.acceptor.as_ref().is_some_and(Acceptor::has_work);
        if more || self.engine.is_final_accept() {
            return Some(Duration::ZERO);
        }
        self.engine
            .sleep_time(self.clock.now())
            .map(Micros::as_duration)
    }

    /// Returns the address of the listener; `0.0.0.0:0` if there is none.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Returns a handle through which other threads send commands to the loop.
    pub fn remote(&self) -> Remote {
        self.engine.remote()
    }

    /// Returns the engine for inspection.
    pub fn engine(&self) -> &Engine<H> {
        &self.engine
    }

    /// Calls the host between two turns, with an [`Io`] to act with.
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
        let mut connecting = Vec::new();
        for event in &self.events {
            match event.token() {
                LISTENER => self.acceptor.iter_mut().for_each(Acceptor::mark_readable),
                WAKER => {}
                token => {
                    let id = ConnId::from(token);
                    let Some(Some(socket)) = self.sockets.get_mut(id.slot()) else {
                        continue;
                    };
                    if socket.write_state == WriteState::Connecting {
                        connecting.push(id);
                        continue;
                    }
                    if event.is_writable() && socket.write_state == WriteState::Blocked {
                        socket.write_state = WriteState::Writable;
                        self.engine.flush_soon(id);
                    }
                    let closed = event.is_read_closed() || event.is_error();
                    socket.closed |= closed;
                    if event.is_error() && self.engine.is_paused(id) {
                        // It is not read, and an error is reported only once.
                        let error = socket.stream.take_error().ok().flatten();
                        let reset = || ErrorKind::ConnectionReset.into();
                        self.engine.on_error(id, &error.unwrap_or_else(reset));
                    }
                    // Add each connection once, also if it is on the list from the last turn.
                    // Otherwise a flooding connection would get several budgets in one turn.
                    if (event.is_readable() || closed)
                        && !std::mem::replace(&mut socket.ready, true)
                    {
                        if self.engine.is_unidentified(id) {
                            self.heavy.push_back(id);
                        } else {
                            self.ready.push(id);
                        }
                    }
                }
            }
        }
        for id in connecting {
            self.check_connect(id);
        }
        Ok(())
    }

    fn time(&mut self) {
        self.checkpoint(Micros::ZERO);
        self.judge_late();
        self.engine.advance(self.clock.now());
        self.engine.take_unanswered(&mut self.unanswered);
        while let Some(id) = self.unanswered.pop() {
            if let Some(progress) = self.tcp_progress(id) {
                self.engine.on_tcp_progress(id, progress, self.clock.now());
            }
        }
        // The final check: input of a doubtful peer may still be in our receive buffer, because of
        // a budget or the limit of 1 024 events.
        while let Some(id) = self.engine.next_final_check() {
            let mut now = self.clock.now();
            if self.read_one(id, FINAL_CHECK_BUDGET, &mut now) {
                self.read_again(id);
            }
            let progress = self.tcp_progress(id);
            self.engine.final_check(id, progress, self.clock.now());
        }
    }

    /// Judges the heartbeats that may be late. The answer may still be in our receive buffer.
    fn judge_late(&mut self) {
        let mut now = self.clock.now();
        while let Some(id) = self.engine.next_late(now) {
            if self.read_one(id, FINAL_CHECK_BUDGET, &mut now) {
                self.read_again(id);
                continue;
            }
            let sockets = &self.sockets;
            let kernel = || tcp_progress(sockets, id);
            self.engine.on_late(id, kernel, self.clock.now());
        }
    }

    /// Returns the kernel's counts for a connection.
    fn tcp_progress(&self, id: ConnId) -> Option<TcpProgress> {
        tcp_progress(&self.sockets, id)
    }

    fn end_turn(&mut self) {
        if let (Some(most), Some(acceptor)) =
            (self.engine.take_max_connections(), &mut self.acceptor)
        {
            acceptor.set_max_connections(most);
        }
        // Room that was freed in this turn is used in the next one.
        self.update_load();
        let paused = self.acceptor.as_ref().is_none_or(Acceptor::is_paused);
        let full = self.acceptor.as_ref().is_some_and(Acceptor::is_full);
        let refused = self.acceptor.as_ref().map_or(0, |a| a.refused);
        let took = self.clock.raw() - self.woken;
        self.exchange.set_full(full);
        let stats = self.engine.stats_mut();
        stats.accept_paused = paused;
        stats.full = full;
        stats.refused_here = refused as u64;
        stats.turns += 1;
        stats.turn_time.record(took.0);
        self.asked = self.next_due().map_or(Micros(u64::MAX), Micros::from);
    }

    /// Checks for a stall: if the loop was delayed for longer than `asked`, that time does not
    /// count as the peers' silence.
    fn checkpoint(&mut self, asked: Micros) {
        if let Some(stall) = self.clock.checkpoint(asked, self.engine.shortest_timeout()) {
            log::warn!(
                "loop stalled for_ms={} effect=\"every deadline was moved by this time\"",
                stall.as_millis()
            );
            self.engine.on_stall(stall);
        }
    }
}

/// Returns the kernel's counts for a connection.
fn tcp_progress(sockets: &[Option<Socket>], id: ConnId) -> Option<TcpProgress> {
    tcp_info::read(&sockets.get(id.slot())?.as_ref()?.stream)
}

/// Descriptors that a reactor needs besides one per connection: epoll, waker, listener, and
/// connections to refuse.
pub const EXTRA_DESCRIPTORS: usize = 3 + REFUSED_DESCRIPTORS;

impl<H> AsRawFd for Reactor<H> {
    /// Returns a descriptor that is readable when a turn has work to do.
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}
