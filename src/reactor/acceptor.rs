//! How much is accepted, when, and when not.

use super::listen::BACKLOG;
use crate::base::time::Micros;
use crate::engine::REFUSED_MAX;
use mio::net::{TcpListener, TcpStream};
use socket2::SockRef;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

/// The most connections taken in one turn: a storm of newcomers must not hold up those who are here.
pub(crate) const ACCEPTS_PER_TURN: usize = 256;

/// The most connections taken in when a drain empties the accept queue: more than any queue holds.
pub(crate) const LAST_ACCEPTS: usize = 16 * BACKLOG as usize;

/// How long accepting pauses when descriptors or memory have run out, unless a connection ends before.
pub(crate) const RETRY_AFTER: Micros = Micros::from_millis(100);

/// The most connections beyond the cap that are accepted in one turn, to be told 503. For each that comes when the places of
/// refused connections are taken, the engine frees one in the same turn. At 28 µs each (measured) that is less than 2 ms.
pub(crate) const REFUSED_PER_TURN: usize = 64;

/// Descriptors for connections beyond the cap: of those that hold a place, and of those accepted before the turn ends.
pub(crate) const REFUSED_DESCRIPTORS: usize = REFUSED_MAX + REFUSED_PER_TURN;

/// How much unsent data the kernel takes per socket. What waits there is out of our sight: behind megabytes in the kernel a
/// heartbeat is late, and a slow reader looks dead.
const UNSENT_IN_KERNEL: u32 = 16 * 1024;

/// A listener and the reasons not to use it.
#[derive(Debug)]
pub(crate) struct Acceptor {
    pub(crate) listener: TcpListener,
    /// The kernel said that somebody waits, and has not said since that nobody does.
    waiting: bool,
    /// Descriptors or memory have run out.
    exhausted: bool,
    /// They had run out before, and no connection could be accepted since.
    struggling: bool,
    /// At the cap; newcomers are refused until there is some room again.
    full: bool,
    /// A drain is closing connections: newcomers are told 503, a health check included.
    leaving: bool,
    max_connections: usize,
    /// Connections beyond the cap whose sockets are open.
    pub(crate) refused: usize,
    /// Those of them that were accepted in this turn.
    refused_now: usize,
}

/// Whether newcomers are refused, when that has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// As many connections are here as may be.
    Restricted,
    /// There is some room again.
    Resumed,
}

/// What accepting once came to.
pub(crate) enum Accepted {
    /// Somebody, and whether they are to be refused.
    Somebody(TcpStream, SocketAddr, bool),
    /// One that was gone before we came to it.
    Lost,
    /// Nobody waits, or nobody may be taken now.
    Nobody,
    /// Descriptors or memory have run out, and whether that is news.
    Exhausted(io::Error, bool),
}

impl Acceptor {
    pub(crate) fn new(listener: std::net::TcpListener, max_connections: usize) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        // Accepted sockets inherit these on Linux; so they cost nothing per connection.
        let socket = SockRef::from(&listener);
        socket.set_tcp_nodelay(true)?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        socket.set_tcp_notsent_lowat(UNSENT_IN_KERNEL)?;
        Ok(Acceptor {
            listener: TcpListener::from_std(listener),
            waiting: true,
            exhausted: false,
            struggling: false,
            full: false,
            leaving: false,
            max_connections,
            refused: 0,
            refused_now: 0,
        })
    }

    /// The kernel says that somebody waits.
    pub(crate) fn notice(&mut self) {
        self.waiting = true;
    }

    /// Returns whether newcomers are left waiting or refused.
    pub(crate) fn is_paused(&self) -> bool {
        self.exhausted || self.struggling || self.refuses()
    }

    /// Returns whether newcomers are refused because as many connections are here as may be.
    pub(crate) fn is_full(&self) -> bool {
        self.full && !self.leaving
    }

    /// Returns whether descriptors or memory had run out, and no connection could be accepted since.
    pub(crate) fn is_struggling(&self) -> bool {
        self.struggling
    }

    /// From now on newcomers are accepted only to be told that the gateway goes away.
    pub(crate) fn leave(&mut self) {
        self.leaving = true;
    }

    fn refuses(&self) -> bool {
        self.full || self.leaving
    }

    /// Nobody is closed if there are more already.
    pub(crate) fn set_max_connections(&mut self, most: usize) {
        self.max_connections = most;
    }

    /// The pause is over, or a descriptor came free.
    pub(crate) fn retry(&mut self) {
        self.exhausted = false;
    }

    /// Returns whether the queue was not found empty, and nothing keeps us from emptying it.
    pub(crate) fn may_have_more(&self) -> bool {
        self.waiting && !self.exhausted
    }

    /// Returns whether the next turn has something to accept.
    pub(crate) fn has_work(&self) -> bool {
        self.waiting && !self.exhausted && !(self.refuses() && self.refused >= REFUSED_DESCRIPTORS)
    }

    /// A turn begins: as many connections beyond the cap may be accepted as in any other.
    pub(crate) fn begin_turn(&mut self) {
        self.refused_now = 0;
    }

    /// Adapts to `live` admitted connections. What that has changed just now.
    pub(crate) fn note_load(&mut self, live: usize) -> Option<Change> {
        let was_full = self.full;
        // Some room, not one place: or else at the cap each departure would admit and each arrival refuse.
        let room = (self.max_connections / 50).max(1);
        self.full = if self.full {
            live + room > self.max_connections
        } else {
            live >= self.max_connections
        };
        match (was_full, self.full) {
            (false, true) => Some(Change::Restricted),
            (true, false) if !self.leaving => Some(Change::Resumed),
            _ => None,
        }
    }

    pub(crate) fn accept(&mut self) -> Accepted {
        let refuses = self.refuses();
        if !self.has_work() || (refuses && self.refused_now >= REFUSED_PER_TURN) {
            return Accepted::Nobody;
        }
        match self.listener.accept() {
            Ok((stream, addr)) => {
                self.struggling = false;
                self.refused += usize::from(refuses);
                self.refused_now += usize::from(refuses);
                Accepted::Somebody(stream, addr, refuses)
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                self.waiting = false;
                Accepted::Nobody
            }
            Err(e) if is_of_one_peer(&e) => Accepted::Lost,
            // Descriptors or memory have run out (EMFILE, ENFILE, ENOBUFS, ENOMEM): nothing is wrong with the clients, and
            // they stay in the queue. Anything unknown is treated so, too: trying again at once would only spin.
            Err(e) => {
                self.exhausted = true;
                let news = !std::mem::replace(&mut self.struggling, true);
                Accepted::Exhausted(e, news)
            }
        }
    }
}

/// Returns whether descriptors have run out, of the process (EMFILE) or of the system (ENFILE).
pub(crate) fn is_out_of_descriptors(e: &io::Error) -> bool {
    /// The same on every Unix.
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(e.raw_os_error(), Some(ENFILE | EMFILE))
}

/// accept(2): errors of the new socket's network are reported here, and concern only that socket.
fn is_of_one_peer(e: &io::Error) -> bool {
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
