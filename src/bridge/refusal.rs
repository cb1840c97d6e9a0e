//! The reply to a client whose WebSocket the upstream refuses.

use super::end_to_end::{NamedFields, passed_fields};
use crate::engine::{Reply, Response};
use crate::wire::Bytes;
use crate::wire::http::header::{
    AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, EXPIRES, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use crate::wire::http::{HeaderName, HeaderValue, list_elements};

/// Fields that describe a whole body, and so are wrong for a cut one.
const OF_WHOLE_BODY: [&str; 9] = [
    "accept-ranges",
    "content-digest",
    "content-md5",
    "content-range",
    "digest",
    "etag",
    "last-modified",
    "repr-digest",
    "signature",
];

/// Returns the reply to a client whose WebSocket the upstream refuses: the upstream's status,
/// end-to-end header fields and body, whatever the status.
///
/// A body that was cut is sent as far as it is known, without the fields that describe the whole,
/// and not to be stored. Many clients reject an encoded body that is truncated, so none is sent.
pub(crate) fn refusal_reply(response: &Response) -> Reply {
    let status = response.status();
    let mut reply = Reply::new(status, response.body().clone()).verbatim();
    reply.headers = passed_fields(response.headers(), NamedFields::Removed);
    // A field of the handshake by which a refusal says what would be accepted (RFC 6455 §4.4).
    let versions = response.headers().get_all(SEC_WEBSOCKET_VERSION).iter();
    let versions = versions.map(|value| (SEC_WEBSOCKET_VERSION, value.clone()));
    reply.headers.extend(versions);
    if status == 426 {
        // RFC 9110 §15.5.22: the status demands the field.
        reply
            .headers
            .push((UPGRADE, HeaderValue::from_static("websocket")));
    }
    let mut reason = format!("the upstream answered {status}");
    if response.is_body_cut() {
        reason.push_str(" with a body that was cut");
        cut_fields(&mut reply);
    }
    reply.with_reason(&reason)
}

/// Adapts the fields of a reply to a body that was cut.
fn cut_fields(reply: &mut Reply) {
    let is_plain = |value: &HeaderValue| {
        list_elements(value).all(|coding| coding.eq_ignore_ascii_case(b"identity"))
    };
    let mut codings = reply
        .headers
        .iter()
        .filter(|(name, _)| *name == CONTENT_ENCODING);
    let is_encoded = codings.any(|(_, value)| !is_plain(value));
    let is_dropped = |name: &HeaderName| {
        OF_WHOLE_BODY.contains(&name.as_str())
            || [AGE, CACHE_CONTROL, EXPIRES].contains(name)
            || is_encoded && [CONTENT_ENCODING, CONTENT_TYPE].contains(name)
    };
    reply.headers.retain(|(name, _)| !is_dropped(name));
    let not_stored = HeaderValue::from_static("no-store");
    reply.headers.push((CACHE_CONTROL, not_stored));
    if is_encoded {
        reply.body = Bytes::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::ReplyForm;

    fn response(status: u16, fields: &str) -> Response {
        Response::of(&format!("HTTP/1.1 {status} x\r\n{fields}\r\n\r\n"))
    }

    /// Returns the reply as the client reads it.
    fn refused(status: u16, fields: &str, body: &'static [u8], is_cut: bool) -> String {
        let mut response = response(status, fields);
        response.set_body(Bytes::from_static(body), is_cut);
        let bytes = refusal_reply(&response).render(ReplyForm::Whole);
        bytes.escape_ascii().to_string().replace("\\r\\n", "\n")
    }

    #[test]
    fn a_refusal_passes_with_its_fields_and_body() {
        let cookies = "Set-Cookie: a=1\r\nX: 1\r\nSet-Cookie: b=2\r\nTransfer-Encoding: chunked\r\n\
                       Connection: keep-alive\r\nKeep-Alive: 5\r\nSec-WebSocket-Accept: x\r\n\
                       WWW-Authenticate: Basic realm=\"a\"\r\nWWW-Authenticate: Bearer";
        assert_eq!(
            refused(401, cookies, b"no\xff", false),
            "HTTP/1.1 401 Unauthorized\nContent-Length: 3\nConnection: close\nSet-Cookie: a=1\n\
             Set-Cookie: b=2\nX: 1\nWWW-Authenticate: Basic realm=\\\"a\\\"\n\
             WWW-Authenticate: Bearer\n\nno\\xff"
        );
        for (status, fields, expected) in [
            (
                200,
                "Upgrade: websocket\r\nConnection: Upgrade",
                "200 OK\nContent-Length: 1",
            ),
            (
                301,
                "Content-Length: 1",
                "301 Moved Permanently\nContent-Length: 1",
            ),
            (799, "Content-Length: 7", "799 \nContent-Length: 1"),
            (204, "Content-Length: 0", "204 No Content"),
            (304, "Content-Length: 9", "304 Not Modified"),
        ] {
            let body = if [204, 304].contains(&status) {
                ""
            } else {
                "x"
            };
            let expected = format!("HTTP/1.1 {expected}\nConnection: close\n\n{body}");
            assert_eq!(refused(status, fields, b"x", false), expected, "{status}");
        }
        for fields in [
            "Location: http://127.0.0.1:3000/login?a=b\nRetry-After: 7",
            "Content-Type: text/html\nContent-Encoding: br\nETag: \\\"a\\\"",
            "Sec-WebSocket-Version: 13, 8",
        ] {
            let sent = fields.replace('\n', "\r\n").replace('\\', "");
            let got = refused(403, &sent, b"x", false);
            let expected = format!("Content-Length: 1\nConnection: close\n{fields}\n\nx");
            assert!(got.ends_with(&expected), "{got}");
        }
        assert_eq!(
            refused(426, "Upgrade: websocket\r\nConnection: Upgrade", b"", false),
            "HTTP/1.1 426 Upgrade Required\nContent-Length: 0\nConnection: Upgrade, close\n\
             Upgrade: websocket\n\n"
        );
        assert_eq!(
            &*refusal_reply(&response(403, "X: 1")).reason,
            "the upstream answered 403"
        );
    }

    #[test]
    fn a_body_that_was_cut_is_not_passed_off_as_whole() {
        let whole = "ETag: a\r\nLast-Modified: b\r\nContent-MD5: c\r\nCache-Control: public\r\n\
                     Expires: d\r\nAge: 1\r\nAccept-Ranges: bytes\r\nDigest: e\r\nX: 1\r\n";
        for (fields, expected) in [
            (
                "Content-Type: a/b",
                "Content-Length: 3\nConnection: close\nX: 1\nContent-Type: a/b\n",
            ),
            ("Content-Encoding: identity", {
                "Content-Length: 3\nConnection: close\nX: 1\nContent-Encoding: identity\n"
            }),
            ("Content-Type: a/b\r\nContent-Encoding: gzip", {
                "Content-Length: 0\nConnection: close\nX: 1\n"
            }),
        ] {
            let body = if expected.contains("Length: 3") {
                "cut"
            } else {
                ""
            };
            assert_eq!(
                refused(500, &format!("{whole}{fields}"), b"cut", true),
                format!(
                    "HTTP/1.1 500 Internal Server Error\n{expected}Cache-Control: no-store\n\n\
                     {body}"
                )
            );
        }
        let mut response = response(500, "X: 1");
        response.set_body(Bytes::from_static(b"cut"), true);
        let reason = refusal_reply(&response).reason;
        assert_eq!(
            &*reason,
            "the upstream answered 500 with a body that was cut"
        );
    }
}
