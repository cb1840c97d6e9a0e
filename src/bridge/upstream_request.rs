//! The request to the upstream, from the client's.

use super::end_to_end::{Field, NamedFields, passed_fields};
use super::forwarded::write_forwarding_fields;
use super::hop::Hop;
use super::offer::Offer;
use crate::engine::{DialRequest, Reply, Request};
use crate::wire::http::HeaderValue;
use crate::wire::http::header::{HOST, SEC_WEBSOCKET_EXTENSIONS};
use std::fmt;

/// The Host that the upstream sees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HostHeader {
    /// The client's.
    #[default]
    Keep,
    /// The upstream's own.
    Upstream,
    /// This name.
    Name(HeaderValue),
}

impl HostHeader {
    /// Parses a rule: `keep`, `upstream`, or a host name with an optional port. `None` if it is
    /// none of these.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        match text.to_ascii_lowercase().as_str() {
            "keep" => Some(HostHeader::Keep),
            "upstream" => Some(HostHeader::Upstream),
            "" => None,
            name if name.len() <= 255 && name.bytes().all(is_plain) => {
                HeaderValue::from_str(text).ok().map(HostHeader::Name)
            }
            _ => None,
        }
    }
}

impl fmt::Display for HostHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostHeader::Keep => f.write_str("keep"),
            HostHeader::Upstream => f.write_str("upstream"),
            HostHeader::Name(name) => f.write_str(&String::from_utf8_lossy(name.as_bytes())),
        }
    }
}

/// What the upstream is asked for: a path and a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target(String);

impl Target {
    /// Returns the target with this path and query.
    pub(crate) fn of(path: &str, query: Option<&str>) -> Self {
        let mut target = path.to_owned();
        if let Some(query) = query {
            target.push('?');
            target.push_str(query);
        }
        Target(target)
    }
}

/// A request to the upstream.
#[derive(Debug)]
pub(crate) struct UpstreamRequest {
    /// The request.
    pub(crate) dial_request: DialRequest,
    /// What the answer may accept.
    pub(crate) offer: Offer,
}

/// Makes the request to the upstream from a client's valid WebSocket request. `upstream` is the
/// upstream's own Host, and `path` the path that it sees.
///
/// The query and all end-to-end fields are as the client sent them, except forwarding fields and
/// extensions. A request that cannot be passed on is an error: the reply says why.
pub(crate) fn upstream_request(
    request: &Request,
    hop: &Hop,
    host_header: &HostHeader,
    upstream: &HeaderValue,
    target: Target,
) -> Result<UpstreamRequest, Reply> {
    let (offer, extensions) =
        Offer::read(request).map_err(|fault| Reply::error(400, &fault.to_string()))?;
    let head = passed_head(request, hop, host_header, upstream, target)?;
    let mut dial_request = DialRequest::new(head.target, head.host);
    dial_request.headers = head.fields;
    let extensions = extensions.map(|value| (SEC_WEBSOCKET_EXTENSIONS, value));
    dial_request.headers.extend(extensions);
    match dial_request.fault() {
        None => Ok(UpstreamRequest {
            dial_request,
            offer,
        }),
        Some(fault) => Err(Reply::error(400, &fault.to_string())),
    }
}

/// The part of a request that passes to the upstream as it is, or rewritten.
#[derive(Debug)]
pub(crate) struct PassedHead {
    /// The path and the query.
    pub(crate) target: String,
    /// The value of Host.
    pub(crate) host: HeaderValue,
    /// The other header fields.
    pub(crate) fields: Vec<Field>,
}

/// Returns the part of a request that passes to the upstream. A request that cannot be passed on is
/// an error: the reply says why.
pub(super) fn passed_head(
    request: &Request,
    hop: &Hop,
    host_header: &HostHeader,
    upstream: &HeaderValue,
    target: Target,
) -> Result<PassedHead, Reply> {
    let client_host = request.host();
    if client_host.as_ref().is_some_and(|host| !is_host(host)) {
        return Err(Reply::error(
            400,
            "Host must be a host name or address, and a port",
        ));
    }
    let host = match host_header {
        HostHeader::Keep => client_host.as_ref().unwrap_or(upstream),
        HostHeader::Upstream => upstream,
        HostHeader::Name(name) => name,
    };
    let named_fields = if hop.is_trusted {
        NamedFields::Kept
    } else {
        NamedFields::Removed
    };
    let mut fields = passed_fields(request.headers(), named_fields);
    fields.retain(|(name, _)| *name != HOST);
    write_forwarding_fields(&mut fields, hop, client_host.as_ref());
    Ok(PassedHead {
        target: target.0,
        host: host.clone(),
        fields,
    })
}

/// Returns whether a value has only the characters of a host and a port (RFC 9110 §7.2), and no
/// comma: a service would read two elements in X-Forwarded-Host.
fn is_host(value: &HeaderValue) -> bool {
    let is_allowed = |b: &u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+;=%:[]".contains(b);
    value.as_bytes().iter().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "192.0.2.7:4000";

    const HANDSHAKE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n\
                             Sec-WebSocket-Version: 13\r\n\
                             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    /// Makes the request to the upstream from one with these fields.
    fn made(line: &str, fields: &str, hop: &Hop, host: &HostHeader) -> Result<String, Reply> {
        let head = format!("{line} HTTP/1.1\r\n{HANDSHAKE}{fields}\r\n\r\n");
        let request = Request::from_peer(head.as_bytes(), hop.peer, false);
        let upstream = HeaderValue::from_static("127.0.0.1:3000");
        let made = upstream_request(
            &request,
            hop,
            host,
            &upstream,
            Target::of(request.path(), request.query()),
        )?;
        let bytes = made.dial_request.render("KEY");
        Ok(bytes.escape_ascii().to_string().replace("\\r\\n", "\n"))
    }

    fn hop(is_trusted: bool) -> Hop {
        Hop {
            peer: PEER.parse().expect("an address"),
            is_trusted,
            is_https: false,
        }
    }

    /// Returns the request to the upstream without its first five lines (the handshake) and the
    /// forwarding fields of a Host `h`.
    fn fields(fields: &str, is_trusted: bool) -> String {
        let fields = format!("Host: h\r\n{fields}");
        let made = made("GET /", &fields, &hop(is_trusted), &HostHeader::Keep).expect("valid");
        let lines = made.lines().skip(6).filter(|line| {
            !line.is_empty()
                && ![
                    "X-Forwarded-For: 192.0.2.7",
                    "X-Forwarded-Proto: http",
                    "X-Forwarded-Host: h",
                ]
                .contains(line)
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_browsers_request_arrives_whole() {
        let browser = "Host: chat.example:8443\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n\
                       User-Agent: Mozilla/5.0\r\nOrigin: https://chat.example:8443\r\n\
                       Accept-Encoding: gzip, deflate, br\r\nCookie: sid=\"a b\"; x=1\r\n\
                       Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
                       Sec-WebSocket-Protocol: graphql-ws, graphql-transport-ws\r\n\
                       Authorization: Basic YTpi\r\nCookie: y=2";
        let line = "GET /socket.io/?EIO=4&t=%20a&q={}";
        let made = made(line, browser, &hop(false), &HostHeader::Keep).expect("valid");
        let expected = "Host: chat.example:8443\nUpgrade: websocket\nConnection: Upgrade\n\
                        Sec-WebSocket-Version: 13\nSec-WebSocket-Key: KEY\nPragma: no-cache\n\
                        Cache-Control: no-cache\nUser-Agent: Mozilla/5.0\n\
                        Origin: https://chat.example:8443\nAccept-Encoding: gzip, deflate, br\n\
                        Cookie: sid=\\\"a b\\\"; x=1\nCookie: y=2\n\
                        Sec-WebSocket-Protocol: graphql-ws, graphql-transport-ws\n\
                        Authorization: Basic YTpi\n\
                        X-Forwarded-For: 192.0.2.7\nX-Forwarded-Proto: http\n\
                        X-Forwarded-Host: chat.example:8443\n\
                        Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\n\n";
        assert_eq!(made, format!("{line} HTTP/1.1\n{expected}"));
    }

    #[test]
    fn the_target_is_the_clients() {
        for (line, expected) in [
            ("GET /", "/"),
            ("GET /?", "/?"),
            ("GET /a//b/../c;d=e?f=%2F?g", "/a//b/../c;d=e?f=%2F?g"),
            ("GET //evil.example/a", "//evil.example/a"),
            ("GET http://a.example/b?c", "/b?c"),
            ("GET http://a.example", "/"),
            ("GET http://a.example?c", "/?c"),
        ] {
            let made = made(line, "Host: h", &hop(false), &HostHeader::Keep).expect("valid");
            assert_eq!(made.split(' ').nth(1), Some(expected), "{line}");
        }
        let refused = made("GET /\u{e9}", "Host: h", &hop(false), &HostHeader::Keep);
        assert_eq!(refused.expect_err("not ASCII").status, 400);
    }

    #[test]
    fn host_is_what_the_setting_says() {
        let name = HostHeader::Name(HeaderValue::from_static("other.example"));
        for (line, host, setting, expected, forwarded) in [
            ("GET /", "Host: a:1", &HostHeader::Keep, "a:1", "a:1"),
            (
                "GET /",
                "Host: a:1",
                &HostHeader::Upstream,
                "127.0.0.1:3000",
                "a:1",
            ),
            ("GET /", "Host: a:1", &name, "other.example", "a:1"),
            (
                "GET /",
                "Host: a\r\nConnection: host",
                &HostHeader::Keep,
                "a",
                "a",
            ),
            // The host of a target in absolute form counts, and Host does not.
            (
                "GET http://b:2/",
                "Host: a:1",
                &HostHeader::Keep,
                "b:2",
                "b:2",
            ),
            ("GET ws://u:p@b/", "Host: a:1", &HostHeader::Keep, "b", "b"),
            (
                "GET http://b/",
                "Host: a:1",
                &HostHeader::Upstream,
                "127.0.0.1:3000",
                "b",
            ),
        ] {
            let made = made(line, host, &hop(false), setting).expect("valid");
            let of = |name: &str| {
                let lines: Vec<&str> = made.lines().filter_map(|l| l.strip_prefix(name)).collect();
                lines.join("|")
            };
            assert_eq!(of("Host: "), expected, "{line} {host} {setting:?}");
            assert_eq!(
                of("X-Forwarded-Host: "),
                forwarded,
                "{line} {host} {setting:?}"
            );
        }
        for host in ["Host: a, b", "Host: a b", "Host: a/../b", "Host: \u{e9}"] {
            let refused = made("GET /", host, &hop(false), &HostHeader::Upstream);
            assert_eq!(refused.expect_err("no host").status, 400, "{host}");
        }
        let empty = made("GET /", "Host:", &hop(false), &HostHeader::Keep).expect("valid");
        assert!(
            empty.contains("\nHost: \n") && !empty.contains("X-Forwarded-Host"),
            "{empty}"
        );
    }

    #[test]
    fn fields_pass_or_not() {
        for (sent, expected) in [
            (
                "Sec-WebSocket-Protocol: a,b\r\nX: 1\r\nSec-WebSocket-Protocol: ,c d",
                { "Sec-WebSocket-Protocol: a,b\nSec-WebSocket-Protocol: ,c d\nX: 1" },
            ),
            ("Origin: null", "Origin: null"),
            (
                "Origin: https://a\r\nOrigin: https://b",
                "Origin: https://a\nOrigin: https://b",
            ),
            (
                "Te: trailers\r\nTrailer: a\r\nExpect: 100-continue\r\nContent-Length: 0",
                "",
            ),
            (
                "Proxy-Authorization: Basic x\r\nProxy-Connection: keep-alive",
                "",
            ),
            (
                "HTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: HTTP2-Settings",
                "",
            ),
            (
                "Connection: x-a, x-b\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3",
                "X-C: 3",
            ),
            (
                "Connection: Cookie, Authorization, Origin\r\nCookie: a",
                "Cookie: a",
            ),
            (
                "Connection: X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto",
                "",
            ),
            ("X-A:\r\nX-B: \u{e9}", "X-A: \nX-B: \\xc3\\xa9"),
        ] {
            assert_eq!(fields(sent, false), expected, "{sent:?}");
        }
        // What a trusted proxy has added cannot be removed by a Connection that it passed on.
        let sent = "Connection: X-Client-Verified\r\nX-Client-Verified: no";
        assert_eq!(fields(sent, true), "X-Client-Verified: no");
        assert_eq!(fields(sent, false), "");
    }

    #[test]
    fn only_compression_is_offered_onward() {
        for (sent, expected) in [
            ("", ""),
            ("Sec-WebSocket-Extensions:", ""),
            ("Sec-WebSocket-Extensions: x-webkit-deflate-frame", ""),
            (
                "Sec-WebSocket-Extensions: x, permessage-deflate ; server_max_window_bits=9\r\n\
                 Sec-WebSocket-Extensions: permessage-deflate, y; z=\"1\"",
                "Sec-WebSocket-Extensions: permessage-deflate ; server_max_window_bits=9, \
                 permessage-deflate",
            ),
        ] {
            let sent = format!("X: 1\r\n{sent}");
            let expected = format!("X: 1\n{expected}");
            assert_eq!(
                fields(sent.trim_end(), false),
                expected.trim_end(),
                "{sent:?}"
            );
        }
        let request = Request::of(
            "GET / HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Protocol: a\r\n\
             Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        );
        let upstream = HeaderValue::from_static("u");
        let made = upstream_request(
            &request,
            &hop(false),
            &HostHeader::Keep,
            &upstream,
            Target::of("/", None),
        );
        let offer = made.expect("valid").offer;
        assert_eq!(offer, Offer::read(&request).expect("valid").0);
        assert_ne!(offer, Offer::default());
    }

    #[test]
    fn malformed_extensions_are_refused() {
        let malformed = "Host: h\r\nSec-WebSocket-Extensions: permessage-deflate; a=";
        let refused = made("GET /", malformed, &hop(false), &HostHeader::Keep);
        let reply = refused.expect_err("malformed");
        let status = (reply.status, &*reply.reason);
        assert_eq!(status, (400, "malformed Sec-WebSocket-Extensions"));
    }

    /// The largest head that a client can send stays a request that can be sent.
    #[test]
    fn a_head_of_128_fields_or_16_kib_passes() {
        let many: String = (0..123).map(|i| format!("X-{i}: {i}\r\n")).collect();
        let all = fields(many.trim_end(), false);
        assert_eq!(all.lines().count(), 123);
        let cookie = format!("Cookie: {}", "c".repeat(16_000));
        assert_eq!(fields(&cookie, false), cookie);
    }
}
