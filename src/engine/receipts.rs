//! What an answered heartbeat proves: that everything sent before it has arrived, for TCP keeps the order and RFC 6455 §5.5.2 has
//! a ping answered by who reads it.

use crate::base::id::ConnId;

/// For each connection that is watched, how many messages had gone out when its latest heartbeat was put behind them. Kept by
/// slot and outside of it: four bytes that only hosts pay who ask.
#[derive(Debug, Default)]
pub(crate) struct Receipts(Vec<u32>);

impl Receipts {
    /// The heartbeat goes out behind this many messages. The count of messages ends at `u32::MAX`: from there on nothing is
    /// proved, so what is noted stays below.
    pub(crate) fn note(&mut self, id: ConnId, messages: u32) {
        if self.0.len() <= id.slot() {
            self.0.resize(id.slot() + 1, 0);
        }
        self.0[id.slot()] = messages.min(u32::MAX - 1);
    }

    /// What its answer proves.
    pub(crate) fn read(&self, id: ConnId) -> u32 {
        self.0.get(id.slot()).copied().unwrap_or(0)
    }
}
