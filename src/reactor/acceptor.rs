//! The limits of accepting: how many connections, when, and when none.

use super::listen::BACKLOG;
use crate::base::time::Micros;
use crate::engine::REFUSED_MAX;
use mio::net::{TcpListener, TcpStream};
use socket2::SockRef;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

/// The most connections accepted in one turn, so that a burst of new connections does not delay
/// existing ones.
pub(crate) const ACCEPTS_PER_TURN: usize = 256;

/// The most connections accepted when a drain empties the accept queue: more than any queue holds.
pub(crate) const LAST_ACCEPTS: usize = 16 * BACKLOG as usize;

/// How long accepting pauses when descriptors or memory have run out, unless a connection ends
/// earlier.
pub(crate) const RETRY_AFTER: Micros = Micros::from_millis(100);

/// The most connections above the limit that are accepted in one turn to be answered 503. If the
/// places of refused connections are taken, the engine frees one for each in the same turn. At 28
/// µs each (measured) that is less than 2 ms.
pub(crate) const REFUSED_PER_TURN: usize = 64;

/// Descriptors for connections above the limit: for those that hold a place, and for those accepted
/// before the turn ends.
pub(crate) const REFUSED_DESCRIPTORS: usize = REFUSED_MAX + REFUSED_PER_TURN;

/// The most unsent data that the kernel takes per socket. The engine cannot see bytes in the
/// kernel: a heartbeat behind megabytes there is late, and a slow reader seems dead.
pub(crate) const UNSENT_IN_KERNEL: u32 = 16 * 1024;

/// A listener, and the conditions that stop it from accepting.
#[derive(Debug)]
pub(crate) struct Acceptor {
    pub(crate) listener: TcpListener,
    /// Whether connections may be waiting: the kernel reported some, and the queue was not found
    /// empty since.
    waiting: bool,
    /// Whether descriptors or memory have run out.
    exhausted: bool,
    /// Whether they had run out before, and no connection could be accepted since.
    failing: bool,
    /// Whether the connection limit is reached; new connections are refused until there is some
    /// room again.
    full: bool,
    /// Whether a drain is closing connections: new connections, including health checks, are
    /// answered 503.
    refusing_all: bool,
    max_connections: usize,
    /// Connections above the limit whose sockets are open.
    pub(crate) refused: usize,
    /// The part of `refused` that was accepted in this turn.
    refused_now: usize,
}

/// A change in whether new connections are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CapacityChange {
    /// The connection limit is reached.
    Restricted,
    /// There is some room again.
    Resumed,
}

/// The result of one accept.
pub(crate) enum AcceptOutcome {
    /// A connection, and whether it must be refused.
    Stream(TcpStream, SocketAddr, bool),
    /// A connection that ended before it was accepted.
    Lost,
    /// There was no connection to accept, or none may be accepted now.
    Nothing,
    /// Descriptors or memory have run out; the flag says whether this is new.
    Exhausted(io::Error, bool),
}

impl Acceptor {
    pub(crate) fn new(listener: std::net::TcpListener, max_connections: usize) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        // Accepted sockets inherit these options on Linux, so they cost no system call per
        // connection.
        let socket = SockRef::from(&listener);
        socket.set_tcp_nodelay(true)?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        socket.set_tcp_notsent_lowat(UNSENT_IN_KERNEL)?;
        Ok(Acceptor {
            listener: TcpListener::from_std(listener),
            waiting: true,
            exhausted: false,
            failing: false,
            full: false,
            refusing_all: false,
            max_connections,
            refused: 0,
            refused_now: 0,
        })
    }

    /// Records the kernel's report that connections wait.
    pub(crate) fn mark_readable(&mut self) {
        self.waiting = true;
    }

    /// Returns whether new connections are left waiting or refused.
    pub(crate) fn is_paused(&self) -> bool {
        self.exhausted || self.failing || self.is_refusing()
    }

    /// Returns whether new connections are refused because the connection limit is reached.
    pub(crate) fn is_full(&self) -> bool {
        self.full && !self.refusing_all
    }

    /// Returns whether descriptors or memory had run out and no connection could be accepted since.
    pub(crate) fn is_failing(&self) -> bool {
        self.failing
    }

    /// Starts to accept new connections only to answer that the gateway is draining.
    pub(crate) fn refuse_all(&mut self) {
        self.refusing_all = true;
    }

    fn is_refusing(&self) -> bool {
        self.full || self.refusing_all
    }

    /// Changes the connection limit. If there are already more connections, none is closed.
    pub(crate) fn set_max_connections(&mut self, most: usize) {
        self.max_connections = most;
    }

    /// Ends a pause: its time is over, or a descriptor was freed.
    pub(crate) fn retry(&mut self) {
        self.exhausted = false;
    }

    /// Returns whether the queue was not found empty and can be emptied now.
    pub(crate) fn may_have_more(&self) -> bool {
        self.waiting && !self.exhausted
    }

    /// Returns whether the next turn can accept connections.
    pub(crate) fn has_work(&self) -> bool {
        self.waiting
            && !self.exhausted
            && !(self.is_refusing() && self.refused >= REFUSED_DESCRIPTORS)
    }

    /// Begins a turn and resets its count of connections accepted above the limit.
    pub(crate) fn begin_turn(&mut self) {
        self.refused_now = 0;
    }

    /// Adapts to `live` admitted connections. Returns the change that this caused, if any.
    pub(crate) fn update_load(&mut self, live: usize) -> Option<CapacityChange> {
        let was_full = self.full;
        // Wait for some room, not one place. Otherwise, at the limit, each end of a connection
        // would switch to accepting and each new one to refusing.
        let room = (self.max_connections / 50).max(1);
        self.full = if self.full {
            live + room > self.max_connections
        } else {
            live >= self.max_connections
        };
        match (was_full, self.full) {
            (false, true) => Some(CapacityChange::Restricted),
            (true, false) if !self.refusing_all => Some(CapacityChange::Resumed),
            _ => None,
        }
    }

    pub(crate) fn accept(&mut self) -> AcceptOutcome {
        let is_refusing = self.is_refusing();
        if !self.has_work() || (is_refusing && self.refused_now >= REFUSED_PER_TURN) {
            return AcceptOutcome::Nothing;
        }
        match self.listener.accept() {
            Ok((stream, addr)) => {
                self.failing = false;
                self.refused += usize::from(is_refusing);
                self.refused_now += usize::from(is_refusing);
                AcceptOutcome::Stream(stream, addr, is_refusing)
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                self.waiting = false;
                AcceptOutcome::Nothing
            }
            Err(e) if is_peer_error(&e) => AcceptOutcome::Lost,
            // Descriptors or memory have run out (EMFILE, ENFILE, ENOBUFS, ENOMEM). The clients are
            // not at fault and stay in the queue. Unknown errors are handled in the same way: an
            // immediate retry would only spin.
            Err(e) => {
                self.exhausted = true;
                let is_first = !std::mem::replace(&mut self.failing, true);
                AcceptOutcome::Exhausted(e, is_first)
            }
        }
    }
}

/// Returns whether the process (EMFILE) or the system (ENFILE) has run out of descriptors.
pub(crate) fn is_out_of_descriptors(e: &io::Error) -> bool {
    /// The value is the same on every Unix.
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(e.raw_os_error(), Some(ENFILE | EMFILE))
}

/// Returns whether an accept error concerns only one connection. accept(2): network errors of the
/// new socket are reported by accept.
fn is_peer_error(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
            | ErrorKind::HostUnreachable
            | ErrorKind::TimedOut
            | ErrorKind::PermissionDenied
    )
}
