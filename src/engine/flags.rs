//! Boolean facts about a connection.

/// Boolean facts about a connection: 32 bits.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Flags([u8; 4]);

/// A boolean fact about a connection; one bit of [`Flags`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flag {
    /// The connection has a valid entry in the timer wheel.
    Armed,
    /// The connection is on the list of those to flush.
    Dirty,
    /// A heartbeat must be sent at the next flush.
    PingDue,
    /// The peer is identified: by its request, or because a message of it was accepted.
    Identified,
    /// The connection is on the list of those whose stale close is deferred.
    StaleQueued,
    /// A token was taken for its deferred stale close.
    StaleGranted,
    /// The connection gets no upgrade, because the connection limit is reached.
    Refused,
    /// The verdict was Upgrade, Defer or DeferFor, or the connection was dialled, so one `on_close`
    /// must follow.
    NeedsOnClose,
    /// The connection was a WebSocket, so it counts in its class.
    Upgraded,
    /// The connection is counted as closing.
    Closing,
    /// The host has already been asked for the client address in its first bytes.
    PreambleRead,
    /// The host is told the round-trip time of every answered heartbeat.
    ReportsPongs,
    /// The host has paused reading from it.
    Paused,
    /// It seems stale, and is on the list for a final check.
    FinalCheck,
    /// A proxy is in front of the peer.
    Proxied,
    /// The connection is above its limit of unsent bytes, or has been since its queue was last
    /// empty.
    OverLimit,
    /// A proxy in front reported that the client's connection to it is encrypted.
    Encrypted,
    /// This side has made the connection, so its role is that of a client.
    Dialed,
    /// Its frames are forwarded to another connection, its partner.
    Linked,
    /// A frame of its partner was forwarded to it in part, and the rest has not arrived yet.
    MidFrame,
    /// Reading from it is paused because its partner is behind.
    LinkPaused,
    /// A close frame for it is queued or sent, and its input is still forwarded.
    CloseSent,
    /// The host was told that it would have been closed as stale, and nothing was heard since.
    WouldClose,
    /// It was handed over and has come back, so its request is served here.
    Returned,
    /// We have sent nothing between the heartbeat before the latest answered or first unanswered
    /// one and that one, so the time since the peer was heard was an idle gap.
    IdleBefore,
}

impl Flags {
    pub(crate) fn has(self, flag: Flag) -> bool {
        let (byte, bit) = flag.place();
        self.0[byte] & bit != 0
    }

    pub(crate) fn set(&mut self, flag: Flag) {
        let (byte, bit) = flag.place();
        self.0[byte] |= bit;
    }

    /// Clears a flag; returns whether it was set.
    pub(crate) fn take(&mut self, flag: Flag) -> bool {
        let had = self.has(flag);
        let (byte, bit) = flag.place();
        self.0[byte] &= !bit;
        had
    }
}

impl Flag {
    /// Returns the flag's byte in [`Flags`], and its bit in that byte.
    fn place(self) -> (usize, u8) {
        (self as usize / 8, 1 << (self as usize % 8))
    }
}
