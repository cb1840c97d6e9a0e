//! Which header fields pass from one leg to the other (RFC 9110 §7.6.1).

use crate::wire::http::header::CONNECTION;
use crate::wire::http::{HeaderMap, HeaderName, HeaderValue, elements};

/// A header field.
pub(super) type Field = (HeaderName, HeaderValue);

/// The field by which the upstream is told the id of a connection. What a client sends under this
/// name is removed.
pub(super) const CONNECTION_FIELD: &str = "x-pulsegate-connection";

/// The field by which the upstream is told which gateways a request has come through. What a client
/// sends under this name is written anew.
pub(super) const HOPS_FIELD: &str = "x-pulsegate-hops";

/// Fields that describe one connection, not the path from client to service. The last ones belong
/// to the handshake or to the framing of a body, of which each leg has its own.
const ONE_HOP: [&str; 17] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "expect",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-version",
];

/// Fields that pass even if Connection names them. RFC 9110 §7.6.1 forbids to name a field that is
/// meant for all recipients; a peer that does so could hide it from the other side.
const ALWAYS: [&str; 13] = [
    "authorization",
    "cache-control",
    "content-encoding",
    "content-type",
    "cookie",
    "forwarded",
    "host",
    "location",
    "origin",
    "sec-websocket-protocol",
    "set-cookie",
    "www-authenticate",
    "x-real-ip",
];

/// The most elements of Connection that are heeded, so that a long list costs little.
const OPTIONS_MAX: usize = 32;

/// Whether the fields that Connection names are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NamedFields {
    /// They are removed, as RFC 9110 §7.6.1 demands. The sender itself wrote all fields.
    Removed,
    /// They stay. A trusted proxy sent the request, and some proxies (HAProxy) pass a client's
    /// Connection on. By it the client could remove what the proxy has added, such as the
    /// result of checking a certificate. nginx and HAProxy never remove named fields.
    Kept,
}

/// Returns the fields that pass to the other leg. Lines of one name stay in their order, and names
/// are in the order of their first lines. Sec-WebSocket-Extensions is negotiated apart.
pub(super) fn passed_fields(headers: &HeaderMap, named_fields: NamedFields) -> Vec<Field> {
    let named: Vec<&[u8]> = match named_fields {
        NamedFields::Removed => elements(headers, &CONNECTION).take(OPTIONS_MAX).collect(),
        NamedFields::Kept => Vec::new(),
    };
    let passes = |name: &str| {
        let is_protected = ALWAYS.contains(&name) || name.starts_with("x-forwarded-");
        let mut named = named.iter();
        let mut is_named = || named.any(|n| n.eq_ignore_ascii_case(name.as_bytes()));
        !ONE_HOP.contains(&name) && (is_protected || !is_named())
    };
    let passed = headers.iter().filter(|(name, _)| passes(name.as_str()));
    passed.map(|(n, v)| (n.clone(), v.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Request;

    /// Returns the fields that pass, in lower case, separated by slashes.
    fn passed(fields: &str, named_fields: NamedFields) -> String {
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n");
        let request = Request::of(&head);
        let fields: Vec<String> = passed_fields(request.headers(), named_fields)
            .iter()
            .map(|(name, value)| format!("{name}:{}", value.as_bytes().escape_ascii()))
            .collect();
        fields.join("/")
    }

    #[test]
    fn fields_of_one_hop_stay_behind() {
        for name in ONE_HOP {
            let value = if name == "transfer-encoding" {
                continue;
            } else {
                "0"
            };
            let fields = format!("A: 1\r\n{name}: {value}\r\nB: 2");
            assert_eq!(
                passed(&fields, NamedFields::Removed),
                "host:h/a:1/b:2",
                "{name}"
            );
            assert_eq!(
                passed(&fields, NamedFields::Kept),
                "host:h/a:1/b:2",
                "{name}"
            );
        }
    }

    #[test]
    fn connection_removes_what_the_sender_itself_wrote() {
        for (fields, expected) in [
            (
                "Connection: Upgrade, x-a\r\nX-A: 1\r\nX-B: 2",
                "host:h/x-b:2",
            ),
            ("X-A: 1\r\nConnection: X-B,,\tx-a ,\r\nX-B: 2", "host:h"),
            (
                "X-A: 1\r\nConnection: b\r\nConnection: X-A\r\nX-A: 2",
                "host:h",
            ),
            (
                "X-A: 1\r\nConnection: X-, A, X-A\u{e9}, \"X-A\"",
                "host:h/x-a:1",
            ),
            ("X-A: 1\r\nConnection:", "host:h/x-a:1"),
            ("Keep-Alive: 5\r\nConnection: close", "host:h"),
        ] {
            assert_eq!(passed(fields, NamedFields::Removed), expected, "{fields:?}");
        }
        let fields = "Connection: Upgrade, X-A\r\nX-A: 1\r\nUpgrade: websocket";
        assert_eq!(passed(fields, NamedFields::Kept), "host:h/x-a:1");
    }

    /// No peer can hide these from the other side by naming them.
    #[test]
    fn connection_does_not_remove_what_all_must_see() {
        let forwarding = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];
        for name in ALWAYS
            .iter()
            .chain(&forwarding)
            .filter(|name| **name != "host")
        {
            let fields = format!("Connection: {name}, X-A, Host\r\n{name}: 1\r\nX-A: 2");
            let expected = format!("host:h/{name}:1");
            assert_eq!(passed(&fields, NamedFields::Removed), expected);
        }
    }

    #[test]
    fn a_long_list_in_connection_is_not_heeded_to_its_end() {
        let fields = |before| format!("Connection: {}X-A\r\nX-A: 1", "x,".repeat(before));
        assert_eq!(passed(&fields(31), NamedFields::Removed), "host:h");
        assert_eq!(passed(&fields(32), NamedFields::Removed), "host:h/x-a:1");
    }

    #[test]
    fn all_lines_pass_in_their_order_with_all_their_bytes() {
        let cookie = "c".repeat(15_000);
        for (fields, expected) in [
            (
                "Cookie: a=1\r\nX-A: 1\r\nCookie: b=2\r\nX-B: 2\r\nX-A: 3".to_owned(),
                "host:h/cookie:a=1/cookie:b=2/x-a:1/x-a:3/x-b:2".to_owned(),
            ),
            (
                "X-A:\r\nX-B: \u{e9}\t1 ".to_owned(),
                "host:h/x-a:/x-b:\\xc3\\xa9\\t1".to_owned(),
            ),
            (
                format!("Cookie: {cookie}"),
                format!("host:h/cookie:{cookie}"),
            ),
        ] {
            assert_eq!(passed(&fields, NamedFields::Removed), expected);
        }
        let many: String = (0..127).map(|i| format!("X-{i}: {i}\r\n")).collect();
        let all = passed(many.trim_end(), NamedFields::Removed);
        assert_eq!(all.split('/').count(), 128);
        assert!(all.ends_with("/x-125:125/x-126:126"), "{all}");
    }
}
