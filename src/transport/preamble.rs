//! The preamble: bytes before the request that describe the connection.

use std::net::SocketAddr;

/// The result of parsing the first bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preamble {
    /// There is no preamble; the bytes are the request.
    None,
    /// The beginning of a preamble. The rest must arrive within the handshake timeout, in at most 8
    /// KiB.
    Partial,
    /// A preamble of this many bytes.
    Whole {
        /// Its length in bytes; not more than have arrived. One above 8 KiB is refused.
        len: usize,
        /// The client's address, if the preamble has one. It becomes the connection's address.
        client: Option<SocketAddr>,
        /// Whether the preamble says that the client's connection to the proxy is encrypted (TLS).
        encrypted: bool,
    },
    /// A required preamble is missing or broken: the connection is answered 400 with this text.
    Invalid(&'static str),
}
