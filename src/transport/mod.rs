//! What stands between a socket and its WebSocket. Pure: bytes in, what they mean out.

mod preamble;
#[cfg(feature = "gateway")]
mod proxy_protocol;

pub use preamble::Preamble;
#[cfg(feature = "gateway")]
pub use proxy_protocol::ProxyProtocol;
