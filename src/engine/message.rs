//! What becomes of a message that is sent: whether it is queued, why it is refused, and what an answered heartbeat proves.

use crate::base::time::Micros;

pub use crate::wire::Message;

/// What became of a send. Nothing is dropped silently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a message is sent or it is not")]
pub enum Sent {
    /// It goes out at the end of this turn.
    Flowing,
    /// It waits behind bytes that the peer has not taken; [`Handler::on_writable`](crate::engine::Handler::on_writable) will be called.
    Pending,
    /// It was not taken.
    Refused(Refused),
}

/// Why a send was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// There is no such connection, or it is not open yet.
    #[error("there is no such open connection")]
    Gone,
    /// It is closing.
    #[error("the connection is closing")]
    Closing,
    /// A ping or pong with more than 125 bytes, which RFC 6455 §5.5 forbids, or a close as a raw frame.
    #[error("the frame is not one that may be sent")]
    Illegal,
    /// More would wait than is allowed: twice `max_pending_bytes`, or memory is short. The connection is closed (1013), for its
    /// stream has a gap now.
    #[error("more would wait for the connection than is allowed")]
    OverLimit,
}

/// An answered heartbeat, and what it proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pong {
    /// How long the answer took.
    pub rtt: Micros,
    /// How many of the messages that were sent to this peer had gone out before the heartbeat did: it has got all of them, for
    /// it answers in order. Counted as [`Io::messages_sent`](crate::engine::Io::messages_sent) counts; at most one less than `u32::MAX`.
    pub received: u32,
}
