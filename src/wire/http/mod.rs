//! HTTP/1.1 as far as the handshake of a WebSocket needs it (RFC 9110, RFC 9112; RFC 6455 §4).

mod request;

pub(crate) use request::{HEALTH_PATH, Head, no_room, parse, retry_after_s, switching_protocols};
pub use request::{Reply, Request};
