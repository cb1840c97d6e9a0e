//! Snapshots of one connection: its current state, and what will happen to it without further
//! input.

use crate::base::cause::{Cause, EndCode};
use crate::base::id::{Class, ConnId};
use crate::base::time::Micros;
use crate::engine::cohort_view::CadenceView;
use crate::engine::silence::SilenceEvidence;
use crate::engine::traffic::Traffic;
use crate::health::{HealthState, LateHistory, Pace, Policy, Rtt};
use std::net::SocketAddr;

/// A snapshot of a connection. Creating one copies and does not allocate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnView {
    /// The phase of the connection: opening, open or closing.
    pub phase: PhaseView,
    /// The connection's class, once it is a WebSocket.
    pub class: Option<Class>,
    /// The peer's address.
    pub peer_addr: SocketAddr,
    /// When the connection opened or, if it has not opened, when it was accepted: engine time.
    pub since: Micros,
    /// When the last sign of life arrived: engine time.
    pub heard: Micros,
    /// The health of the connection. Until the connection opens, this has the initial values.
    pub health: HealthView,
    /// Unsent bytes.
    pub pending: usize,
    /// Since when some bytes for the peer have waited, because the socket does not take all; `None`
    /// if none wait.
    pub blocked_since: Option<Micros>,
    /// Bytes held for an unfinished message or frame.
    pub held: u64,
    /// Since when input of the connection has waited because it used up its share of a turn
    /// ([`SHARE_UNITS`](crate::engine::SHARE_UNITS)); `None` if none waits.
    pub throttled_since: Option<Micros>,
    /// Whether the host has paused reading from the connection.
    pub paused: bool,
    /// Whether this side has made the connection.
    pub dialed: bool,
    /// The connection to which its frames are forwarded.
    pub partner: Option<ConnId>,
    /// Whether a proxy is in front of the peer. The kernel's data about the connection then
    /// describes the proxy.
    pub proxied: bool,
    /// Heartbeats that were late since the connection opened.
    pub late_heartbeats: u32,
    /// Which of its latest heartbeats were late, and what that says about the next ones.
    pub late_history: LateHistory,
    /// What was seen of the peer when the latest of them was found late; `None` if the peer was
    /// heard since, or none was late.
    pub silence_evidence: Option<SilenceEvidence>,
    /// The traffic counters of the connection.
    pub traffic: Traffic,
}

/// A snapshot of a connection's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthView {
    /// Whether the peer answers.
    pub state: HealthState,
    /// Time since the last sign of life.
    pub silence: Micros,
    /// Heartbeats that were sent since the last sign of life.
    pub unanswered: u16,
    /// Whether a ping waits to be sent.
    pub ping_waits: bool,
    /// Round-trip time.
    pub rtt: Rtt,
    /// When the next ping is sent if nothing is heard before.
    pub next_ping: Micros,
    /// When the connection becomes stale if nothing is heard before.
    pub deadline: Micros,
}

/// Why a connection has its heartbeat interval, where intervals adapt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PaceView {
    /// Why the interval is what it is.
    pub pace: Pace,
    /// The interval of its class.
    pub configured: Micros,
    /// The longest interval that the settings allow.
    pub longest: Micros,
    /// What the cohort has learned.
    pub learned: CadenceView,
}

/// The phase of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PhaseView {
    /// The connection is accepted, and not a WebSocket yet.
    Opening {
        /// No byte has arrived yet.
        silent: bool,
        /// The request has arrived; the host has deferred its verdict.
        deferred: bool,
    },
    /// This side makes the connection, and the server has not answered the request yet.
    Dialing {
        /// The connect is complete.
        connected: bool,
    },
    /// A WebSocket.
    Open,
    /// A close was begun and is not complete.
    Closing {
        /// The cause of the close.
        cause: Cause,
        /// The close code that the peer was told.
        code: EndCode,
        /// What the connection still waits for before it ends.
        stage: CloseStage,
    },
}

/// What a closing connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseStage {
    /// The peer must send its close frame, which completes the closing handshake; then the same as
    /// for `Flush`.
    PeerClose,
    /// Our last bytes must be sent.
    Flush,
    /// The partner of a linked connection must answer the close, and its answer is forwarded; then
    /// the same as for `Flush`.
    Partner,
    /// The server that this side has connected to must end its stream: a client does not close TCP
    /// first (RFC 6455 §7.1.1).
    PeerEof,
    /// The peer must end its stream after our last bytes and our FIN. Its input is discarded:
    /// closing a socket with unread bytes would replace our answer with an RST.
    PeerFin,
}

/// What will happen to a connection if nothing more is heard or sent. Deadlines are never early and
/// at most a few milliseconds late: heartbeats are sent at multiples of 10 ms, other deadlines are
/// handled at multiples of 5 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outlook {
    /// The policy in effect.
    pub policy: Policy,
    /// Whether that policy is the connection's own and not its class's.
    pub own_policy: bool,
    /// Why the interval is what it is, if intervals adapt and this connection's may.
    pub pace: Option<PaceView>,
    /// When the connection is pinged next, if that is before it ends. `None` while the peer does
    /// not take our bytes, because no ping can leave.
    pub next_ping: Option<Micros>,
    /// When the connection becomes suspect; `None` if it already is, or ends before.
    pub suspect_at: Option<Micros>,
    /// The latest time at which a drain closes it, if there is a drain. The close may come before
    /// every other time given here.
    pub drained_by: Option<Micros>,
    /// When the connection ends or begins to close. For a drain, this is the latest time.
    pub ends_at: Micros,
    /// The cause of that end.
    pub ends_for: Cause,
    /// Whether the connection is already stale and waits for its close (`stale_closes_per_second`).
    pub deferred: bool,
}

impl Outlook {
    /// Records that the host closes the connection by this time at the latest, as part of a drain
    /// ([`Cause::DRAINING`]).
    pub fn drained(&mut self, by: Micros) {
        self.drained_by = Some(self.drained_by.map_or(by, |before| before.min(by)));
        self.ended(by, Cause::DRAINING);
    }

    /// Records that the host closes the connection by this time at the latest, for this cause.
    pub fn ended(&mut self, by: Micros, cause: Cause) {
        if by < self.ends_at {
            (self.ends_at, self.ends_for) = (by, cause);
            self.next_ping = self.next_ping.filter(|at| *at < by);
            self.suspect_at = self.suspect_at.filter(|at| *at < by);
        }
    }
}
