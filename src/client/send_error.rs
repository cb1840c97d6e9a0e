//! Why a message was not taken.

/// Why a message was not taken. Nothing of it was sent or kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientSendError {
    /// Too much waits to be sent or acknowledged. Try again after
    /// [`Drained`](super::ClientEvent::Drained).
    #[error("a message of {bytes} bytes: {buffered} bytes wait already, {most} may wait")]
    Full {
        /// The length of the message.
        bytes: usize,
        /// The bytes of the messages that wait.
        buffered: usize,
        /// [`ClientOptions::max_buffered_bytes`](super::ClientOptions::max_buffered_bytes).
        most: usize,
    },
    /// The gateway takes no message of this length.
    #[error("a message of {bytes} bytes; the gateway takes at most {most}")]
    TooLarge {
        /// The length of the message.
        bytes: usize,
        /// The largest message that the gateway takes.
        most: u64,
    },
    /// It is no text or binary message: pings, pongs and closes are the client's own.
    #[error("only text and binary messages are sent")]
    NotData,
    /// The client is closing or closed, or there is no such client.
    #[error("the client is closed")]
    Closed,
}

/// A close code that an application may not send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("close code {0}: 1000 and 3000 to 4999 are allowed")]
#[expect(clippy::exhaustive_structs, reason = "the code and nothing else")]
pub struct InvalidCloseCode(pub u16);
