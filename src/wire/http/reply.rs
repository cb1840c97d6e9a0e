//! HTTP replies other than 101 (RFC 9110, RFC 9112).

use super::fields::write_fields;
use std::fmt::Write as _;
use tungstenite::Bytes;
use tungstenite::http;
use tungstenite::http::header::{
    CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE,
};

/// An HTTP reply other than 101. It ends the connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Additional header fields. Connection is always sent, and Content-Length with every status
    /// that may have a body. Without a Content-Type among them the body is sent as JSON, unless the
    /// reply is [verbatim](Self::is_verbatim).
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body; JSON, unless the header fields say otherwise. Statuses that have no body (204,
    /// 304) are sent without it.
    pub body: Bytes,
    /// Whether the reply is that of another server: no Content-Type is added to its header fields.
    pub is_verbatim: bool,
    /// The reason, for the log and [`Ending::reason`](crate::engine::Ending::reason); it is not
    /// sent.
    pub reason: Box<str>,
}

impl Reply {
    /// Creates a reply with this body, and without a reason.
    pub fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Reply {
            status,
            headers: Vec::new(),
            body: body.into(),
            is_verbatim: false,
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

    /// Marks the reply as that of another server: no Content-Type is added.
    pub fn verbatim(mut self) -> Self {
        self.is_verbatim = true;
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

    /// Returns the bytes of the reply.
    pub(crate) fn render(&self, form: ReplyForm) -> Vec<u8> {
        let mut text = String::with_capacity(256 + self.body.len());
        let has = |name: HeaderName| self.headers.iter().any(|(n, _)| *n == name);
        // fmt::Write to a String does not fail.
        let _ = write!(text, "HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        // The host's own Content-Type takes precedence.
        if !self.is_verbatim && !has(CONTENT_TYPE) {
            text.push_str("Content-Type: application/json\r\n");
        }
        // RFC 9110 §8.6: a 204 must not have a length; that of a 304 would be the length of
        // another response.
        let may_have_body = !matches!(self.status, 204 | 304);
        if may_have_body {
            let _ = write!(text, "Content-Length: {}\r\n", self.body.len());
        }
        // RFC 9110 §7.8: a sender of Upgrade must list it in Connection, too.
        text.push_str(if has(UPGRADE) {
            "Connection: Upgrade, close\r\n"
        } else {
            "Connection: close\r\n"
        });
        let mut bytes = text.into_bytes();
        write_fields(&mut bytes, self.headers.iter().map(|(n, v)| (n, v)));
        if form == ReplyForm::Whole && may_have_body {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

/// How much of a reply is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplyForm {
    /// Its head and its body.
    Whole,
    /// Its head alone: it answers a HEAD request.
    HeadOnly,
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
        let text = String::from_utf8(reply.render(ReplyForm::Whole)).expect("ASCII");
        assert!(
            text.starts_with("HTTP/1.1 404 Not Found\r\n")
                && text.contains("Connection: close\r\n")
        );
        assert!(
            text.contains("Retry-After: 3\r\n")
                && text.ends_with("{\"status\":404,\"error\":\"no \\\"such\\\"\\u000apath\"}")
        );
        let head = String::from_utf8(reply.render(ReplyForm::HeadOnly)).expect("ASCII");
        assert!(
            head.ends_with("\r\n\r\n")
                && head.contains(&format!("Content-Length: {}", reply.body.len()))
        );
    }
    #[test]
    fn a_verbatim_reply_has_its_own_fields_only() {
        let cookie = |text| (http::header::SET_COOKIE, HeaderValue::from_static(text));
        let render = |status, body: &'static [u8]| {
            let mut reply = Reply::new(status, body).verbatim();
            reply.headers.extend([cookie("a=b"), cookie("c=d")]);
            reply.render(ReplyForm::Whole)
        };
        let fields = "Connection: close\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\n";
        let head = format!("HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n{fields}");
        assert_eq!(
            render(401, b"\xff\0\n"),
            [head.as_bytes(), b"\xff\0\n"].concat()
        );
        for (status, reason) in [(204, "No Content"), (304, "Not Modified")] {
            let head = format!("HTTP/1.1 {status} {reason}\r\n{fields}");
            assert_eq!(render(status, b"x"), head.as_bytes());
        }
        let length = "HTTP/1.1 799 \r\nContent-Length: 0\r\n";
        assert_eq!(render(799, b""), format!("{length}{fields}").as_bytes());
    }
}
