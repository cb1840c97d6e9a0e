//! The part of HTTP/1.1 that a WebSocket handshake needs (RFC 9110, RFC 9112; RFC 6455 §4).

#[cfg_attr(not(test), expect(dead_code, reason = "the engine's dial uses it"))]
mod body;
mod body_framing;
mod chunk_lines;
#[cfg_attr(not(test), expect(dead_code, reason = "the engine's dial uses it"))]
mod dial_request;
mod fields;
mod head_end;
mod reply;
mod request;
#[cfg_attr(not(test), expect(dead_code, reason = "the engine's dial uses it"))]
mod response;
mod response_fault;
mod upgrade;
#[cfg_attr(not(test), expect(dead_code, reason = "the engine's dial uses it"))]
mod upgrade_check;

#[cfg(feature = "gateway")]
pub(crate) use tungstenite::http::HeaderMap;
#[cfg(feature = "gateway")]
pub(crate) use tungstenite::http::header;
pub(crate) use tungstenite::http::header::{HeaderName, HeaderValue};

#[expect(unused_imports, reason = "the engine's dial uses it")]
pub(crate) use body::{BODY_MAX, BodyReader, BodyStep};
#[expect(unused_imports, reason = "the engine's dial uses it")]
pub(crate) use dial_request::key_of;
pub use dial_request::{DialRequest, DialRequestFault};
#[cfg(feature = "gateway")]
pub(crate) use fields::{elements, is_token_byte, list_elements, quoted};
pub use reply::Reply;
pub use request::Request;
pub(crate) use request::{ParsedHead, parse};
pub use response::Response;
#[expect(unused_imports, reason = "the engine's dial uses it")]
pub(crate) use response::{ParsedResponse, parse as parse_response};
pub use response_fault::ResponseFault;
pub(crate) use upgrade::switching_protocols;
