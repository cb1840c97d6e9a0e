//! Counts what came from the other side, and says when to acknowledge it.

use super::limits::{ACK_BYTES, ACK_MESSAGES};
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;

/// What was received is acknowledged when nothing more has come for this long.
const QUIET: Micros = Micros::from_secs(1);

/// How much came from the other side, and how much of it the other side knows of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReceivedCount {
    received: u64,
    /// What the other side was last told.
    told: u64,
    /// Bytes received since then.
    bytes: usize,
    /// When the last message came.
    last: Micros,
}

impl ReceivedCount {
    /// Nothing was received.
    pub const NOTHING: Self = ReceivedCount {
        received: 0,
        told: 0,
        bytes: 0,
        last: Micros(0),
    };

    /// Counts a message that was received whole and handed on.
    pub fn count(&mut self, len: usize, now: Micros) {
        self.received += 1;
        self.bytes = self.bytes.saturating_add(len);
        self.last = now;
    }

    /// Returns how many messages of the session were received.
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Returns what a frame to the other side says of the messages received, and notes that it was
    /// said.
    pub fn tell(&mut self) -> u64 {
        self.told = self.received;
        self.bytes = 0;
        // A message is counted when it begins.
        if sabotage::on(Bug::AcknowledgedEarly) && self.received > 0 {
            return self.received + 1;
        }
        self.received
    }

    /// Returns when to acknowledge: at once if much has come, after a second of quiet otherwise;
    /// `None` if the other side knows of everything.
    pub fn ack_at(&self) -> Option<Micros> {
        let untold = self.received - self.told;
        if untold == 0 {
            return None;
        }
        let is_much = untold >= u64::from(ACK_MESSAGES) || self.bytes >= ACK_BYTES;
        Some(if is_much {
            self.last
        } else {
            self.last + QUIET
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Micros = Micros::from_secs(100);

    #[test]
    fn a_second_of_quiet_acknowledges() {
        let mut received = ReceivedCount::default();
        assert_eq!(received.ack_at(), None);
        received.count(10, T);
        assert_eq!(received.ack_at(), Some(T + QUIET));
        received.count(10, T + Micros(5));
        assert_eq!(received.ack_at(), Some(T + Micros(5) + QUIET));
        assert_eq!(received.tell(), 2);
        assert_eq!(received.ack_at(), None);
    }

    #[test]
    fn many_messages_and_many_bytes_are_acknowledged_at_once() {
        let mut received = ReceivedCount::default();
        for _ in 1..ACK_MESSAGES {
            received.count(0, T);
        }
        assert_eq!(received.ack_at(), Some(T + QUIET));
        received.count(0, T);
        assert_eq!(received.ack_at(), Some(T));
        received.tell();
        received.count(ACK_BYTES - 1, T);
        assert_eq!(received.ack_at(), Some(T + QUIET));
        received.count(1, T);
        assert_eq!(received.ack_at(), Some(T));
    }
}
