//! What the kernel knows of a peer that has not answered: whether it acknowledges the bytes that stand before the heartbeat.
//!
//! A peer at the end of a slow link reads all the time, and its answer takes as long as what was sent before the heartbeat. So an
//! acknowledgement is a sign of life as long as the latest heartbeat has not been acknowledged itself. After that only an
//! answer is: the kernel of a stopped process goes on acknowledging until its buffer is full.

use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::conn::{Conn, Mark};
use crate::engine::engine::Engine;
use crate::engine::handler::Handler;

/// What a kernel says of a TCP connection (Linux: `TCP_INFO`, tcp(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "drivers write it down")]
pub struct Kernel {
    /// Bytes that the peer's kernel has acknowledged since the connection was made (RFC 4898 `tcpEStatsAppHCThruOctetsAcked`).
    pub acked: u64,
    /// Segments that were sent and not acknowledged. Probes of a closed window are not counted.
    pub in_flight: u32,
    /// How long ago the last acknowledgement arrived, one that says nothing new included.
    pub last_ack: Micros,
}

/// Heartbeats that must have gone unanswered before a count of acknowledged bytes is one of this silence.
const FRESH: u16 = 2;

impl<H: Handler> Engine<H> {
    /// The connections whose latest heartbeat has gone unanswered for an interval: [`observe`](Engine::observe) each.
    pub fn take_unanswered(&mut self, into: &mut Vec<ConnId>) {
        into.append(&mut self.core.unanswered);
    }

    /// Tells what the kernel knows of a connection that has not answered a heartbeat.
    pub fn observe(&mut self, id: ConnId, kernel: Kernel, now: Micros) {
        let timeout = match self.core.table.get(id) {
            Some(conn) => self.core.policy_of(conn).connection_timeout,
            None => return,
        };
        if let Some(conn) = self.core.table.get_mut(id).filter(|c| c.is_open()) {
            conn.weigh(kernel, timeout, now);
        }
    }
}

impl Conn {
    /// Counts an acknowledgement as a sign of life if it is one.
    fn weigh(&mut self, kernel: Kernel, timeout: Micros, now: Micros) {
        // The low halves: no more than 2 GiB are on the way.
        let acked = kernel.acked as u32;
        let is_behind = |earlier: u32| (acked.wrapping_sub(earlier) as i32) < 0;
        let has_advanced = if self.health.unanswered() < FRESH {
            // Nothing of this silence to compare with: if bytes are on the way, the last acknowledgement was of others.
            kernel.in_flight > 0
        } else {
            acked != self.acked && !is_behind(self.acked)
        };
        // One that was asked for just now is not stuck, unless bytes wait before it.
        let is_stuck = self.health.ping_queued() && self.is_blocked() || is_behind(self.ping_end);
        self.acked = acked;
        if !has_advanced || !is_stuck {
            return;
        }
        let mut at = now - kernel.last_ack;
        if self.marks.has(Mark::Proxied) {
            // It is the proxy that acknowledges; it cannot speak for long for a client that is gone.
            at = at.min(now - self.health.silence(now) + timeout);
        }
        self.health.moved(at);
    }
}
