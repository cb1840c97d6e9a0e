//! Messages: what is sent, the result of a send, and what an answered heartbeat proves about it.

use crate::base::time::Micros;

pub use crate::wire::Message;

/// The result of a send. Nothing is dropped silently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a message is sent or it is not")]
pub enum SendOutcome {
    /// The message is sent at the end of this turn.
    Flowing,
    /// The message waits behind bytes that the peer has not taken;
    /// [`Handler::on_writable`](crate::engine::Handler::on_writable) will be called.
    Pending,
    /// The message was refused and is not sent.
    Refused(SendError),
}

/// Why a send was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no such connection, or it is not open yet.
    #[error("there is no such open connection")]
    Gone,
    /// The connection is closing.
    #[error("the connection is closing")]
    Closing,
    /// The connection is linked: its messages come from its partner.
    #[error("the connection is linked to another one")]
    Linked,
    /// The frame may not be sent: a ping or pong with more than 125 bytes (RFC 6455 §5.5), or a
    /// close as a raw frame.
    #[error("the frame is not one that may be sent")]
    Illegal,
    /// The connection would have more unsent bytes than allowed: twice `max_pending_bytes`, or
    /// memory is short. The connection is closed (1013), because its stream now has a gap.
    #[error("more would wait for the connection than is allowed")]
    OverLimit,
}

/// An answered heartbeat, and what it proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pong {
    /// The round-trip time of the heartbeat.
    pub rtt: Micros,
    /// How many of the messages sent to this peer left before the heartbeat. The peer has received
    /// all of them, because it answers in order. Counted as
    /// [`Io::messages_sent`](crate::engine::Io::messages_sent) counts; at most one less than
    /// `u32::MAX`.
    pub received: u32,
}
