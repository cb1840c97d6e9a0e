//! What can be said of one connection: how it is, and what will become of it if nothing more happens.

use crate::base::cause::{Cause, Code};
use crate::base::id::Class;
use crate::base::time::Micros;
use crate::engine::traffic::Traffic;
use crate::health::{Policy, Rtt, State};
use std::net::SocketAddr;

/// A connection at one moment. Made by copying: it costs no allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnView {
    /// How far it is.
    pub phase: PhaseView,
    /// Its class, once it is a WebSocket.
    pub class: Option<Class>,
    /// The peer.
    pub peer_addr: SocketAddr,
    /// When it opened, or was accepted if it has not opened: engine time.
    pub since: Micros,
    /// When something was last heard: engine time.
    pub heard: Micros,
    /// Its health; before it opens all of it is as at the start.
    pub health: HealthView,
    /// Bytes that wait to be sent.
    pub pending: usize,
    /// Since when the peer takes fewer bytes than there are, if it does.
    pub blocked_since: Option<Micros>,
    /// Bytes held for an unfinished message or frame.
    pub held: u64,
    /// Since when its input waits for its next share of a turn, if it does ([`SHARE_UNITS`](crate::engine::SHARE_UNITS)).
    pub throttled_since: Option<Micros>,
    /// The host has paused reading from it.
    pub paused: bool,
    /// A proxy stands between us and the peer, so what the kernel says of the connection is said of the proxy.
    pub proxied: bool,
    /// What went through it.
    pub traffic: Traffic,
}

/// The health of a connection at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthView {
    /// Whether it answers.
    pub state: State,
    /// How long nothing was heard.
    pub silence: Micros,
    /// Pings that went out and unanswered.
    pub unanswered: u16,
    /// Whether a ping waits to go out.
    pub ping_waits: bool,
    /// Round-trip time.
    pub rtt: Rtt,
    /// When the next ping goes out if nothing is heard before.
    pub next_ping: Micros,
    /// When it will be stale if nothing is heard before.
    pub deadline: Micros,
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PhaseView {
    /// Accepted, and not a WebSocket yet.
    Opening {
        /// Not a byte has come.
        silent: bool,
        /// The request is here; the host has not decided yet.
        deferred: bool,
    },
    /// A WebSocket.
    Open,
    /// It will end.
    Closing {
        /// Why.
        cause: Cause,
        /// What the peer was told.
        code: Code,
        /// What is still waited for.
        awaits: Awaits,
    },
}

/// What a closing connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Awaits {
    /// The peer's close frame, which completes the handshake; then as `Flushed`.
    PeerCloses,
    /// Our last bytes to go out.
    Flushed,
    /// The peer's end of the stream, after our last bytes and our FIN have gone out. What it sends is thrown away: closing with
    /// unread bytes would turn our answer into an RST.
    PeerLeaves,
}

/// What will become of a connection if nothing more is heard or sent. Deadlines are met never early, and late by a few
/// milliseconds: a heartbeat goes out with the beat of 10 ms, the rest with the tick of 5 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outlook {
    /// The policy that holds.
    pub policy: Policy,
    /// Whether that is one of its own, and not its class's.
    pub own_policy: bool,
    /// When it is pinged next, if it is before it ends: not while the peer does not take our bytes, for then no ping leaves.
    pub next_ping: Option<Micros>,
    /// When it becomes suspect, if it is not and does before it ends.
    pub suspect_at: Option<Micros>,
    /// By when a drain closes it at the latest, if it is to. It may be sooner than anything else that is said here.
    pub drained_by: Option<Micros>,
    /// When it ends, or begins to be closed, and for what. If for a drain, then at the latest.
    pub ends_at: Micros,
    /// Why it will.
    pub ends_for: Cause,
    /// It is stale already, and its close waits for its turn (`stale_closes_per_second`).
    pub deferred: bool,
}

impl Outlook {
    /// The host closes it by then at the latest, in the course of a drain ([`Cause::DRAINING`]).
    pub fn drained(&mut self, by: Micros) {
        self.drained_by = Some(self.drained_by.map_or(by, |before| before.min(by)));
        if by < self.ends_at {
            (self.ends_at, self.ends_for) = (by, Cause::DRAINING);
            self.next_ping = self.next_ping.filter(|at| *at < by);
            self.suspect_at = self.suspect_at.filter(|at| *at < by);
        }
    }
}
