//! The kinds of requests that an upstream is judged by.

/// A kind of request. A service may accept one, and refuse the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bridge) enum RequestKind {
    /// A handshake.
    WebSocket,
    /// Plain HTTP.
    Http,
}

impl RequestKind {
    /// How many kinds there are.
    pub(super) const COUNT: usize = 2;
}
