//! The part of HTTP/1.1 that a WebSocket handshake needs (RFC 9110, RFC 9112; RFC 6455 §4).

mod fields;
mod reply;
mod request;
mod upgrade;

pub(crate) use tungstenite::http::header::{HeaderName, HeaderValue};

pub use reply::Reply;
pub use request::Request;
pub(crate) use request::{ParsedHead, parse};
pub(crate) use upgrade::switching_protocols;
