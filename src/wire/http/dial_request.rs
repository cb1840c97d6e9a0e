//! The request for a WebSocket that a client sends (RFC 6455 §4.1).

use super::fields::{display_name, quoted, write_fields};
use data_encoding::BASE64;
use tungstenite::http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};

/// Header fields that a host must not set: the engine writes them, or they announce a body.
const RESERVED: [HeaderName; 7] = [
    HOST,
    CONNECTION,
    UPGRADE,
    SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
];

/// A request for a WebSocket that is sent to a server (RFC 6455 §4.1).
///
/// The engine adds Upgrade, Connection, Sec-WebSocket-Key and Sec-WebSocket-Version.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DialRequest {
    /// The path and the query as they are sent (origin form, RFC 9112 §3.2.1).
    pub target: String,
    /// The value of Host.
    pub host: HeaderValue,
    /// Additional header fields, in the order in which they are sent.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl DialRequest {
    /// Creates a request without additional header fields.
    pub fn new(target: impl Into<String>, host: HeaderValue) -> Self {
        DialRequest {
            target: target.into(),
            host,
            headers: Vec::new(),
        }
    }

    /// Adds a header field.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Returns the first fault that makes this request one that cannot be sent.
    pub fn fault(&self) -> Option<DialRequestFault> {
        if !self.target.starts_with('/') {
            return Some(DialRequestFault::Form(quoted(self.target.as_bytes())));
        }
        // A fragment is not part of an origin form, either.
        if !self
            .target
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'#')
        {
            return Some(DialRequestFault::Character(quoted(self.target.as_bytes())));
        }
        let mut names = self.headers.iter().map(|(name, _)| name);
        names
            .find(|name| RESERVED.contains(name))
            .map(|name| DialRequestFault::Reserved(display_name(name)))
    }

    /// Returns the bytes of the request with this Sec-WebSocket-Key.
    pub(crate) fn render(&self, key: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        bytes.extend_from_slice(b"GET ");
        bytes.extend_from_slice(self.target.as_bytes());
        bytes.extend_from_slice(b" HTTP/1.1\r\nHost: ");
        bytes.extend_from_slice(self.host.as_bytes());
        bytes.extend_from_slice(
            b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
              Sec-WebSocket-Key: ",
        );
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend_from_slice(b"\r\n");
        write_fields(&mut bytes, self.headers.iter().map(|(n, v)| (n, v)));
        bytes
    }
}

/// Returns the Sec-WebSocket-Key of 16 random bytes (RFC 6455 §4.1).
pub(crate) fn key_of(random: [u8; 16]) -> String {
    BASE64.encode(&random)
}

/// A fault of a [`DialRequest`], which cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialRequestFault {
    /// The target does not begin with a slash.
    #[error("the target is {0}, it must begin with /")]
    Form(String),
    /// The target has a character that must be percent-encoded, or a fragment.
    #[error("the target is {0}, it must be visible ASCII characters without #")]
    Character(String),
    /// A header field is one that the engine writes, or one that announces a body.
    #[error("{0} must not be among the headers: the engine writes the handshake, without a body")]
    Reserved(String),
}

#[cfg(test)]
mod tests {
    use super::super::request::Request;
    use super::super::upgrade::switching_protocols;
    use super::*;
    use tungstenite::http::header::{COOKIE, ORIGIN, SEC_WEBSOCKET_PROTOCOL};

    fn value(text: &'static str) -> HeaderValue {
        HeaderValue::from_static(text)
    }

    fn fault(target: &str) -> String {
        let fault = DialRequest::new(target, value("x")).fault();
        fault.map_or_else(String::new, |fault| fault.to_string())
    }

    #[test]
    fn the_request_is_the_one_of_the_rfc() {
        let request = DialRequest::new("/chat?room=1", value("server.example.com:8080"))
            .with_header(ORIGIN, value("http://example.com"))
            .with_header(COOKIE, value("a=b"))
            .with_header(SEC_WEBSOCKET_PROTOCOL, value("chat, superchat"))
            .with_header(COOKIE, value("c=\"d\""))
            .with_header(HeaderName::from_static("x-request-id"), value("7"));
        assert_eq!(request.fault(), None);
        let bytes = request.render("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(
            String::from_utf8(bytes).expect("ASCII"),
            "GET /chat?room=1 HTTP/1.1\r\nHost: server.example.com:8080\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n\
             Cookie: a=b\r\nSec-WebSocket-Protocol: chat, superchat\r\nCookie: c=\"d\"\r\n\
             X-Request-ID: 7\r\n\r\n"
        );
    }

    #[test]
    fn our_own_server_accepts_it() {
        let key = key_of([7; 16]);
        let sent = DialRequest::new("/ws?a=b", value("x")).render(&key);
        let request = Request::of(str::from_utf8(&sent).expect("ASCII"));
        assert_eq!((request.path(), request.query()), ("/ws", Some("a=b")));
        assert!(switching_protocols(&request, None, &[]).is_ok());
    }

    #[test]
    fn the_key_is_16_bytes_in_base64() {
        // RFC 6455 §1.3 and §4.1.
        assert_eq!(key_of(*b"the sample nonce"), "dGhlIHNhbXBsZSBub25jZQ==");
        let random = std::array::from_fn(|i| i as u8 + 1);
        assert_eq!(key_of(random), "AQIDBAUGBwgJCgsMDQ4PEA==");
    }

    #[test]
    fn a_target_is_in_origin_form() {
        for good in ["/", "/a/b?c=%20&d=?/", "//", "/~!$&'()*+,;=:@-._", "/?"] {
            assert_eq!(fault(good), "", "{good:?}");
        }
        for (bad, shown) in [
            ("", "\"\""),
            ("*", "\"*\""),
            ("a/b", "\"a/b\""),
            (" /", "\" /\""),
            ("http://x/", "\"http://x/\""),
        ] {
            let text = format!("the target is {shown}, it must begin with /");
            assert_eq!(fault(bad), text, "{bad:?}");
        }
        for bad in [
            "/ ",
            "/a b",
            "/\t",
            "/\r\nHost: y",
            "/\0",
            "/\u{7F}",
            "/é",
            "/a#b",
        ] {
            let text = fault(bad);
            let is_right = text.ends_with(", it must be visible ASCII characters without #");
            assert!(is_right, "{bad:?}: {text}");
            assert!(!text.contains(['\r', '\n']), "{text:?}");
        }
    }

    #[test]
    fn the_fields_of_the_handshake_are_reserved() {
        for name in [
            "Host",
            "Connection",
            "Upgrade",
            "Sec-WebSocket-Key",
            "Sec-WebSocket-Version",
            "Content-Length",
            "Transfer-Encoding",
        ] {
            let request = DialRequest::new("/", value("x"))
                .with_header(ORIGIN, value("http://x"))
                .with_header(name.parse().expect("a name"), value("0"));
            assert_eq!(
                request.fault(),
                Some(DialRequestFault::Reserved(name.to_owned()))
            );
        }
        let extensions = HeaderName::from_static("sec-websocket-extensions");
        let request = DialRequest::new("/", value("x")).with_header(extensions, value("x"));
        assert_eq!(request.fault(), None);
    }
}
