//! HTTP replies other than 101 (RFC 9110, RFC 9112).

use super::fields::write_fields;
use std::fmt::Write as _;
use tungstenite::http;
use tungstenite::http::header::{HeaderName, HeaderValue, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE};

/// An HTTP reply other than 101. It ends the connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Additional header fields; Content-Length and Connection are always sent. Without a
    /// Content-Type among them the body is sent as JSON.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body; JSON, unless the header fields say otherwise.
    pub body: String,
    /// The reason, for the log and [`Ending::reason`](crate::engine::Ending::reason); it is not
    /// sent.
    pub reason: Box<str>,
}

impl Reply {
    /// Creates a reply with this body, and without a reason.
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Reply {
            status,
            headers: Vec::new(),
            body: body.into(),
            reason: "".into(),
        }
    }

    /// Creates a reply whose JSON body holds the status and this text. The text is also the reason.
    pub fn error(status: u16, message: &str) -> Self {
        let mut body = format!("{{\"status\":{status},\"error\":\"");
        for c in message.chars() {
            match c {
                '"' | '\\' => body.extend(['\\', c]),
                c if c.is_control() => {
                    let _ = write!(body, "\\u{:04x}", c as u32);
                }
                c => body.push(c),
            }
        }
        body.push_str("\"}");
        Reply::new(status, body).with_reason(message)
    }

    /// Sets the reason, for the log and [`Ending::reason`](crate::engine::Ending::reason). It is
    /// not sent.
    pub fn with_reason(mut self, reason: &str) -> Self {
        self.reason = reason.into();
        self
    }

    /// Adds a header field.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds `Retry-After`, in seconds.
    pub fn with_retry_after(self, seconds: u32) -> Self {
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Adds `WWW-Authenticate`, which names the scheme that a 401 asks for.
    pub fn with_challenge(self, scheme: &'static str) -> Self {
        self.with_header(WWW_AUTHENTICATE, HeaderValue::from_static(scheme))
    }

    /// Returns the bytes of the reply; without the body for an answer to HEAD.
    pub(crate) fn render(&self, is_head: bool) -> Vec<u8> {
        let mut text = String::with_capacity(256 + self.body.len());
        // fmt::Write to a String does not fail.
        let _ = write!(text, "HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        let length = self.body.len();
        let _ = write!(
            text,
            "{}Content-Length: {length}\r\nConnection: {}\r\n",
            // The host's own Content-Type takes precedence.
            if self
                .headers
                .iter()
                .any(|(n, _)| n == http::header::CONTENT_TYPE)
            {
                ""
            } else {
                "Content-Type: application/json\r\n"
            },
            // RFC 9110 §7.8: a sender of Upgrade must list it in Connection, too.
            if self.headers.iter().any(|(n, _)| n == UPGRADE) {
                "Upgrade, close"
            } else {
                "close"
            }
        );
        let mut bytes = text.into_bytes();
        write_fields(&mut bytes, self.headers.iter().map(|(n, v)| (n, v)));
        if !is_head {
            bytes.extend_from_slice(self.body.as_bytes());
        }
        bytes
    }
}

fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status)
        .ok()
        .and_then(|s| s.canonical_reason())
        .unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_state_their_length_and_close() {
        let reply = Reply::error(404, "no \"such\"\npath").with_retry_after(3);
        let text = String::from_utf8(reply.render(false)).expect("ASCII");
        assert!(
            text.starts_with("HTTP/1.1 404 Not Found\r\n")
                && text.contains("Connection: close\r\n")
        );
        assert!(
            text.contains("Retry-After: 3\r\n")
                && text.ends_with("{\"status\":404,\"error\":\"no \\\"such\\\"\\u000apath\"}")
        );
        let head = String::from_utf8(reply.render(true)).expect("ASCII");
        assert!(
            head.ends_with("\r\n\r\n")
                && head.contains(&format!("Content-Length: {}", reply.body.len()))
        );
    }
}
