//! Traffic counters of one connection.

/// The traffic of a connection since it was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Traffic {
    /// Bytes received, as on the wire.
    pub bytes_in: u64,
    /// Bytes sent, as on the wire.
    pub bytes_out: u64,
    /// Data messages received; stops at `u32::MAX`.
    pub messages_in: u32,
    /// Data messages sent or queued; stops at `u32::MAX`.
    pub messages_out: u32,
}

impl Traffic {
    pub(crate) fn message_in(&mut self) {
        self.messages_in = self.messages_in.saturating_add(1);
    }

    pub(crate) fn message_out(&mut self) {
        self.messages_out = self.messages_out.saturating_add(1);
    }
}
