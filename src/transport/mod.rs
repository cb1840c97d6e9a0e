//! The layer between a socket and its WebSocket. Pure: it parses bytes and returns their meaning.

mod preamble;
#[cfg(feature = "gateway")]
mod proxy_protocol;

pub use preamble::Preamble;
#[cfg(feature = "gateway")]
pub use proxy_protocol::ProxyProtocol;
