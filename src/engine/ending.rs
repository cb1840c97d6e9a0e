//! How a connection ended.

use crate::base::cause::{By, Cause, Code};
use crate::base::id::Class;
use crate::base::time::Micros;
use crate::engine::traffic::Traffic;
use crate::health::Rtt;
use std::net::SocketAddr;

/// How a connection ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Ending {
    /// Why.
    pub cause: Cause,
    /// Who ended it.
    pub by: By,
    /// It was lost: neither side wanted it to end ([`Cause::is_loss`]).
    pub lost: bool,
    /// What the peer was told, or told us; [`Code::None`] if our close frame never left.
    pub code: Code,
    /// The close reason that went with the code; at most 123 bytes.
    pub reason: Box<str>,
    /// Whether the closing handshake was completed.
    pub clean: bool,
    /// Its class, if it was a WebSocket.
    pub class: Option<Class>,
    /// The peer.
    pub peer_addr: SocketAddr,
    /// Time since it opened (or was accepted, if it never opened).
    pub age: Micros,
    /// Time since something was last heard.
    pub silence: Micros,
    /// Pings that went unanswered.
    pub unanswered: u16,
    /// Round-trip time.
    pub rtt: Rtt,
    /// What went through it.
    pub traffic: Traffic,
    /// Messages that were sent to it and of which not a byte went out: the last so many.
    pub unsent: u32,
}

/// An ending that is not told yet: what is decided of it. The rest of [`Ending`] is the connection's, and read when it is told.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) cause: Cause,
    pub(crate) code: Code,
    pub(crate) reason: Box<str>,
    /// The closing handshake was completed.
    pub(crate) clean: bool,
    /// The handler knows already.
    pub(crate) told: bool,
    /// Messages that were taken back when it was shut.
    pub(crate) unsent: u32,
}

impl Draft {
    pub(crate) fn of(cause: Cause) -> Self {
        Draft {
            cause,
            code: Code::None,
            reason: "".into(),
            clean: false,
            told: false,
            unsent: 0,
        }
    }

    /// Returns whether nothing of the connection may stay in the kernel: it is let go with an RST.
    pub(crate) fn resets(&self) -> bool {
        self.cause == Cause::STALE
    }
}
