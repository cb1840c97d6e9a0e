//! A slow link.

use crate::base::time::Micros;
use std::collections::VecDeque;

/// A slow link: bytes that the server's kernel has taken and the peer's has not acknowledged.
pub(super) struct Link {
    pub(super) bytes_per_s: u64,
    /// The most bytes that the server's kernel takes.
    pub(super) buffer: usize,
    pub(super) queue: VecDeque<u8>,
    /// The time up to which the queue was drained. `credit` is the unused rest, in µs times bytes
    /// per second.
    pub(super) at: Micros,
    pub(super) credit: u64,
    pub(super) last_ack: Micros,
}

impl Link {
    /// Returns the bytes that have reached the peer by now.
    pub(super) fn arrive(&mut self, now: Micros) -> Vec<u8> {
        self.credit += (now - self.at).0 * self.bytes_per_s;
        self.at = now;
        let bytes = (self.credit / 1_000_000).min(self.queue.len() as u64);
        self.credit -= bytes * 1_000_000;
        if self.queue.len() as u64 == bytes {
            // An idle link accumulates no credit.
            self.credit = 0;
        }
        if bytes > 0 {
            self.last_ack = now;
        }
        self.queue.drain(..bytes as usize).collect()
    }
}

/// The interval at which bytes leave a slow link.
pub(super) const STEP: Micros = Micros::from_millis(5);
