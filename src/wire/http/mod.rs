//! The part of HTTP/1.1 that a WebSocket handshake needs (RFC 9110, RFC 9112; RFC 6455 §4).

mod body;
mod body_framing;
mod chunk_lines;
mod dial_request;
mod fields;
mod head_end;
mod reply;
mod request;
#[cfg(feature = "gateway")]
mod request_reader;
mod response;
mod response_fault;
mod upgrade;
mod upgrade_check;

#[cfg(feature = "gateway")]
pub(crate) use tungstenite::http::HeaderMap;
#[cfg(feature = "gateway")]
pub(crate) use tungstenite::http::header;
pub(crate) use tungstenite::http::header::{HeaderName, HeaderValue};

pub(crate) use body::{BodyReader, BodyStep};
pub(crate) use dial_request::key_of;
pub use dial_request::{DialRequest, DialRequestFault};
#[cfg(feature = "gateway")]
pub(crate) use fields::{elements, is_token_byte, list_elements, quoted};
pub use reply::Reply;
pub(crate) use reply::ReplyForm;
pub use request::Request;
pub(crate) use request::{ParsedHead, parse};
#[cfg(feature = "gateway")]
pub(crate) use request_reader::{HeadStep, RequestReader};
pub use response::Response;
pub(crate) use response::{ParsedResponse, parse as parse_response};
pub use response_fault::ResponseFault;
#[cfg(feature = "testing")]
pub(crate) use upgrade::accept_of;
pub(crate) use upgrade::switching_protocols;
