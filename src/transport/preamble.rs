//! What the first bytes of a connection say about it.

use std::net::SocketAddr;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preamble {
    /// The request: there is no preamble.
    None,
    /// The beginning of one. It is waited for within the handshake timeout, for 8 KiB at most.
    Partial,
    /// A preamble of this many bytes.
    Whole {
        /// Its length in bytes; not more than there are.
        len: usize,
        /// The client's address, if it names one: from now on this is the connection's.
        client: Option<SocketAddr>,
    },
    /// None, or a broken one, where one is required: the connection is answered 400 with this text.
    Invalid(&'static str),
}
