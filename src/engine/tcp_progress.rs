//! Evidence from the kernel about a peer that has not answered: whether it acknowledges the bytes
//! sent before the heartbeat.
//!
//! A peer on a slow link reads all the time, but its answer comes only after the bytes that were
//! sent before the heartbeat. So an acknowledgement is a sign of life until the latest heartbeat
//! itself is acknowledged. After that only an answer is: the kernel of a stopped process
//! acknowledges bytes until its buffer is full.

use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::conn::Conn;
use crate::engine::engine::Engine;
use crate::engine::flags::Flag;
use crate::engine::handler::Handler;

/// The kernel's data about a TCP connection (Linux: `TCP_INFO`, tcp(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "drivers write it down")]
pub struct TcpProgress {
    /// Bytes that the peer's kernel has acknowledged since the connection was made (RFC 4898
    /// `tcpEStatsAppHCThruOctetsAcked`).
    pub acked: u64,
    /// Segments that were sent and not acknowledged. Probes of a closed window do not count.
    pub in_flight: u32,
    /// Time since the last acknowledgement, including one that acknowledged nothing new.
    pub last_ack: Micros,
    /// How often in a row the retransmission timer was doubled, or that of probes of a closed
    /// window.
    pub backoff: u8,
    /// Retransmissions in a row of the oldest segment that is not acknowledged.
    pub retransmits: u8,
    /// Probes of a closed window that were not answered.
    pub probes: u8,
}

/// With at least this many unanswered heartbeats, the stored count of acknowledged bytes was taken
/// after the peer fell silent.
const FRESH: u16 = 2;

impl<H: Handler> Engine<H> {
    /// Appends to `into` the connections with a latest heartbeat that is unanswered for an
    /// interval. The driver calls [`on_tcp_progress`](Engine::on_tcp_progress) for each.
    pub fn take_unanswered(&mut self, into: &mut Vec<ConnId>) {
        into.append(&mut self.core.unanswered);
    }

    /// Takes the kernel's data about a connection that has not answered a heartbeat.
    pub fn on_tcp_progress(&mut self, id: ConnId, progress: TcpProgress, now: Micros) {
        let timeout = match self.core.table.get(id) {
            Some(conn) => self.core.policy_of(conn).connection_timeout,
            None => return,
        };
        if let Some(conn) = self.core.table.get_mut(id).filter(|c| c.is_open()) {
            conn.apply_tcp_progress(progress, timeout, now);
        }
    }
}

impl Conn {
    /// Checks whether an acknowledgement is a sign of life, and counts it if it is.
    fn apply_tcp_progress(&mut self, progress: TcpProgress, timeout: Micros, now: Micros) {
        if !self.health.counts_all() {
            // The next hop acknowledges, and it may be a proxy.
            return;
        }
        // The low halves suffice: at most 2 GiB are in flight.
        let acked = progress.acked as u32;
        let is_behind = |earlier: u32| (acked.wrapping_sub(earlier) as i32) < 0;
        let has_advanced = if self.health.unanswered() < FRESH {
            // There is no earlier count of this silence. If bytes are in flight, the last
            // acknowledgement was for other bytes.
            progress.in_flight > 0
        } else {
            acked != self.acked && !is_behind(self.acked)
        };
        // A heartbeat that was queued just now is not stuck, unless bytes wait before it.
        let is_stuck =
            self.health.is_ping_queued() && self.is_blocked() || is_behind(self.ping_end);
        self.acked = acked;
        if !has_advanced || !is_stuck {
            return;
        }
        let mut at = now - progress.last_ack;
        if self.flags.has(Flag::Proxied) {
            // The proxy acknowledges, and it may do so long after the client has gone.
            at = at.min(now - self.health.silence(now) + timeout);
        }
        self.health.on_progress(at);
    }
}
