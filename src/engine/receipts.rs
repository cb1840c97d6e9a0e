//! What an answered heartbeat proves: the peer has received everything sent before it. TCP keeps
//! the order, and a peer answers a ping when it reads it (RFC 6455 §5.5.2).

use crate::base::id::ConnId;

/// For each watched connection, how many messages had been sent before its latest heartbeat. The
/// counts are kept in a table beside the slots, so that only hosts that watch connections pay these
/// four bytes.
#[derive(Debug, Default)]
pub(crate) struct Receipts(Vec<u32>);

impl Receipts {
    /// Records how many messages were sent before the latest heartbeat. At most `u32::MAX` - 1 is
    /// recorded: at `u32::MAX` the message count stops, and would prove nothing.
    pub(crate) fn note(&mut self, id: ConnId, messages: u32) {
        if self.0.len() <= id.slot() {
            self.0.resize(id.slot() + 1, 0);
        }
        self.0[id.slot()] = messages.min(u32::MAX - 1);
    }

    /// Returns the number of messages that the heartbeat's answer confirms.
    pub(crate) fn read(&self, id: ConnId) -> u32 {
        self.0.get(id.slot()).copied().unwrap_or(0)
    }
}
