//! What is wrong with a response.

use super::fields::{display_name, stated};
use std::borrow::Cow;
use tungstenite::http::HeaderMap;
use tungstenite::http::header::HeaderName;

/// A fault of a response. The text is for the log and for the end's reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseFault {
    /// The first byte is that of a TLS alert.
    #[error("the server speaks TLS, but this connection has none")]
    Tls,
    /// The first bytes are not `HTTP/`.
    #[error("this is not an HTTP response")]
    NotHttp,
    /// The version is not one that is supported.
    #[error("only HTTP/1.0 and HTTP/1.1 are supported")]
    Version,
    /// The rest of the status line is not as RFC 9112 §4 says.
    #[error("malformed status line")]
    StatusLine,
    /// A header field is not as RFC 9112 §5 says.
    #[error("malformed header field")]
    Field,
    /// The head is longer than this many bytes, the informational responses included.
    #[error("the response head has more than {0} bytes")]
    HeadLength(usize),
    /// The head has more fields than this.
    #[error("the response has more than {0} header fields")]
    FieldCount(usize),
    /// More informational responses than this precede the final one.
    #[error("more than {0} informational responses precede the final one")]
    Informational(usize),
    /// The status is not that of an accepted upgrade.
    #[error("the status is {0}, it must be 101")]
    Status(u16),
    /// A 101 of HTTP/1.0, which knows no upgrades.
    #[error("the 101 is HTTP/1.0, it must be HTTP/1.1")]
    OldVersion,
    /// The value of a header field is wrong, or the field is missing.
    #[error("{name} {stated}, it must {must}")]
    Value {
        /// The name of the field in its usual spelling.
        name: String,
        /// The lines of the field, in quotes, after the verb.
        stated: String,
        /// A verb, and what the value must be.
        must: Cow<'static, str>,
    },
    /// The length of the body is stated in two ways (RFC 9112 §6.3).
    #[error("the response has both Content-Length and Transfer-Encoding")]
    LengthAndCoding,
    /// A transfer coding in HTTP/1.0, which knows none (RFC 9112 §6.1).
    #[error("the response has Transfer-Encoding, but is HTTP/1.0")]
    OldCoding,
    /// A chunk-size line does not begin with a size, or its end is wrong.
    #[error("the size of a chunk is {0}, it must be hexadecimal digits")]
    ChunkSize(String),
    /// A chunk-size line is longer than this many bytes.
    #[error("the line with the size of a chunk has more than {0} bytes")]
    ChunkLine(usize),
    /// No line end follows a chunk's data.
    #[error("a chunk is longer than its size")]
    ChunkEnd,
    /// The trailers are longer than this many bytes.
    #[error("the trailers have more than {0} bytes")]
    Trailers(usize),
    /// A line of the trailers of a request ends with LF alone.
    #[error("a line of the trailers does not end with CRLF")]
    TrailerEnd,
    /// The stream ended before the body.
    #[error("the stream ended before the body")]
    BodyEnd,
}

impl ResponseFault {
    /// Creates the fault of a header field with a wrong value. `must` begins with a verb.
    pub(super) fn value(
        headers: &HeaderMap,
        name: &HeaderName,
        must: impl Into<Cow<'static, str>>,
    ) -> Self {
        ResponseFault::Value {
            name: display_name(name),
            stated: stated(headers, name),
            must: must.into(),
        }
    }
}
