//! Forwarding header fields: what the upstream is told about the client and its connection.

use super::end_to_end::{CONNECTION_FIELD, Field, HOPS_FIELD};
use super::hop::Hop;
use crate::wire::http::header::FORWARDED;
use crate::wire::http::{HeaderName, HeaderValue, is_token_byte};
use std::net::SocketAddr;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Rewrites the forwarding fields among `fields`. `host` is the Host that the client addressed.
///
/// Of an untrusted peer all are removed, because any client can write them. Of a trusted one they
/// stay. Then the peer is added to X-Forwarded-For; X-Forwarded-Proto and -Host are set if they are
/// missing; Forwarded (RFC 7239) is extended if present.
pub(super) fn write_forwarding_fields(
    fields: &mut Vec<Field>,
    hop: &Hop,
    host: Option<&HeaderValue>,
) {
    fields.retain(|(name, _)| match classify(name) {
        Kind::Other => true,
        Kind::Forwarding => hop.is_trusted,
        Kind::Removed => false,
    });
    let peer = hop.peer.ip().to_canonical().to_string();
    append(fields, &FORWARDED_FOR, peer.as_bytes(), |_| true);
    set_missing(
        fields,
        FORWARDED_PROTO,
        HeaderValue::from_static(hop.scheme()),
    );
    if let Some(host) = host.filter(|host| !host.is_empty()) {
        set_missing(fields, FORWARDED_HOST, host.clone());
    }
    if fields.iter().any(|(name, _)| *name == FORWARDED) {
        let element = forwarded_element(hop, host);
        append(fields, &FORWARDED, &element, |value| !has_open_quote(value));
    }
}

/// Forwarding fields, besides those that begin with `x-forwarded-`.
const FORWARDING: [&str; 3] = ["x-forwarded", "x-real-ip", "forwarded"];

/// Fields about the body.
const FRAMING: [&str; 2] = ["content-length", "transfer-encoding"];

/// What a field is to forwarding.
enum Kind {
    Other,
    Forwarding,
    /// A forwarding field with another character for a hyphen, such as an underscore. CGI and its
    /// successors (WSGI, Rack, PHP) take it for the one with hyphens, and no proxy writes it. The
    /// same for a field about the body. Or a field that only gateways write.
    Removed,
}

fn classify(name: &HeaderName) -> Kind {
    let name = name.as_str();
    let plain = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let is_forwarding = plain.starts_with("x-forwarded-") || FORWARDING.contains(&&*plain);
    match is_forwarding {
        true if plain == name => Kind::Forwarding,
        true => Kind::Removed,
        false if [CONNECTION_FIELD, HOPS_FIELD].contains(&&*plain) => Kind::Removed,
        false if plain != name && FRAMING.contains(&&*plain) => Kind::Removed,
        false => Kind::Other,
    }
}

/// Sets a field that is missing, or has only empty lines.
fn set_missing(fields: &mut Vec<Field>, name: HeaderName, value: HeaderValue) {
    fields.retain(|(n, v)| *n != name || !v.is_empty());
    if fields.iter().all(|(n, _)| *n != name) {
        fields.push((name, value));
    }
}

/// Adds an element to a list field, and joins its lines to one, in the place of the first: many
/// services read only one line. What the field had is dropped if `is_extensible` rejects it.
fn append(
    fields: &mut Vec<Field>,
    name: &HeaderName,
    element: &[u8],
    is_extensible: impl Fn(&[u8]) -> bool,
) {
    let place = fields.iter().position(|(n, _)| n == name);
    let place = place.unwrap_or(fields.len());
    let lines = fields.iter().filter(|(n, v)| n == name && !v.is_empty());
    let lines: Vec<&[u8]> = lines.map(|(_, value)| value.as_bytes()).collect();
    let mut value = lines.join(&b", "[..]);
    if !is_extensible(&value) {
        value.clear();
    }
    if !value.is_empty() {
        value.extend_from_slice(b", ");
    }
    value.extend_from_slice(element);
    // Parts of valid values make a valid one.
    if let Ok(value) = HeaderValue::from_bytes(&value) {
        fields.retain(|(n, _)| n != name);
        fields.insert(place, (name.clone(), value));
    }
}

/// Returns our element of Forwarded (RFC 7239 §4).
fn forwarded_element(hop: &Hop, host: Option<&HeaderValue>) -> Vec<u8> {
    let ip = hop.peer.ip().to_canonical();
    let peer = match hop.peer.port() {
        // A proxy did not report it.
        0 if ip.is_ipv6() => format!("[{ip}]"),
        0 => ip.to_string(),
        port => SocketAddr::new(ip, port).to_string(),
    };
    let mut element = b"for=".to_vec();
    write_value(&mut element, peer.as_bytes());
    if let Some(host) = host.filter(|host| !host.is_empty()) {
        element.extend_from_slice(b";host=");
        write_value(&mut element, host.as_bytes());
    }
    element.extend_from_slice(b";proto=");
    element.extend_from_slice(hop.scheme().as_bytes());
    element
}

/// Writes a token, or a quoted string if the value is none.
fn write_value(element: &mut Vec<u8>, value: &[u8]) {
    if value.iter().all(|b| is_token_byte(*b)) {
        return element.extend_from_slice(value);
    }
    element.push(b'"');
    for byte in value {
        if matches!(byte, b'"' | b'\\') {
            element.push(b'\\');
        }
        element.push(*byte);
    }
    element.push(b'"');
}

/// Returns whether a quoted string does not end. An element behind it would become a part of it.
fn has_open_quote(value: &[u8]) -> bool {
    let mut is_quoted = false;
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\\' if is_quoted => {
                bytes.next();
            }
            _ => {}
        }
    }
    is_quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Request;

    fn hop(peer: &str) -> Hop {
        let peer: SocketAddr = peer.parse().expect("an address");
        Hop {
            peer,
            is_trusted: ["10.1.2.3", "2001:db8:a::1"].contains(&&*peer.ip().to_string()),
            is_https: false,
        }
    }

    /// Returns the fields that the upstream sees, without those about the Host `h` and the scheme
    /// http if they are new.
    fn rewritten(hop: &Hop, fields: &str) -> String {
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n");
        let request = Request::of(&head);
        let all = request.headers().iter().skip(1);
        let mut fields: Vec<Field> = all.map(|(n, v)| (n.clone(), v.clone())).collect();
        write_forwarding_fields(&mut fields, hop, request.host().as_ref());
        let fields: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.as_bytes().escape_ascii()))
            .filter(|field| !["x-forwarded-proto: http", "x-forwarded-host: h"].contains(&&**field))
            .collect();
        fields.join("\n")
    }

    const STRANGER: &str = "192.0.2.1:4000";
    const PROXY: &str = "10.1.2.3:4000";

    #[test]
    fn what_a_stranger_says_is_removed() {
        let own = "x-forwarded-for: 192.0.2.1";
        for (fields, rest) in [
            ("", ""),
            ("X-Forwarded-For: 6.6.6.6", ""),
            ("X-FORWARDED-FOR: 6.6.6.6\r\nx-forwarded-for: 7.7.7.7", ""),
            ("X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil", ""),
            (
                "X-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /\r\nX-Forwarded-Anything: 1",
                "",
            ),
            (
                "X-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6;proto=https",
                "",
            ),
            (
                "X_Forwarded_For: 6.6.6.6\r\nX-Forwarded_For: 6.6.6.6\r\nX_Real_IP: 6",
                "",
            ),
            ("X-Forwarded: for=6.6.6.6\r\nX_Forwarded: 6", ""),
            ("Content_Length: 5\r\nTransfer_Encoding: chunked", ""),
            ("X-Forwarded-: 1\r\nForwarded:\r\nX-Real-IP:", ""),
            ("A: 1\r\nX-Forwarded-For: 6.6.6.6\r\nB: 2", "a: 1\nb: 2\n"),
            (
                "X-Forwardedness: 1\r\nForwarded-For: 2",
                "x-forwardedness: 1\nforwarded-for: 2\n",
            ),
            ("X-Real-IPs: 1\r\nReal_IP: 2", "x-real-ips: 1\nreal_ip: 2\n"),
        ] {
            assert_eq!(
                rewritten(&hop(STRANGER), fields),
                format!("{rest}{own}"),
                "{fields:?}"
            );
        }
    }

    #[test]
    fn what_a_trusted_proxy_says_stays_and_its_address_is_added() {
        for (fields, expected) in [
            ("", "x-forwarded-for: 10.1.2.3"),
            (
                "X-Forwarded-For: 192.0.2.7",
                "x-forwarded-for: 192.0.2.7, 10.1.2.3",
            ),
            (
                "X-Forwarded-For: 192.0.2.7 ,2001:db8::1\r\nA: 1\r\nX-Forwarded-For: 10.9.9.9",
                "x-forwarded-for: 192.0.2.7 ,2001:db8::1, 10.9.9.9, 10.1.2.3\na: 1",
            ),
            (
                "X-Forwarded-For: <script>, \u{e9}\", unknown",
                "x-forwarded-for: <script>, \\xc3\\xa9\\\", unknown, 10.1.2.3",
            ),
            (
                "X-Forwarded-For:\r\nX-Forwarded-For:",
                "x-forwarded-for: 10.1.2.3",
            ),
            (
                "X-Real-IP: 192.0.2.7\r\nX-Forwarded-Port: 443",
                "x-real-ip: 192.0.2.7\nx-forwarded-port: 443\nx-forwarded-for: 10.1.2.3",
            ),
            (
                "X-Forwarded-Proto: ftp\r\nX-Forwarded-Host: a\r\nX-Forwarded-Host: b",
                "x-forwarded-proto: ftp\nx-forwarded-host: a\nx-forwarded-host: b\n\
                 x-forwarded-for: 10.1.2.3",
            ),
            (
                "X-Forwarded-Proto:\r\nX-Forwarded-Host:",
                "x-forwarded-for: 10.1.2.3",
            ),
            // No proxy writes this; a client that wants to deceive the service does.
            (
                "X_Forwarded_For: 6.6.6.6\r\nx-real_ip: 6",
                "x-forwarded-for: 10.1.2.3",
            ),
        ] {
            assert_eq!(rewritten(&hop(PROXY), fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn addresses_are_written_as_services_read_them() {
        for (peer, expected) in [
            ("192.0.2.1:0", "192.0.2.1"),
            ("[2001:db8::7]:443", "2001:db8::7"),
            ("[::ffff:192.0.2.7]:443", "192.0.2.7"),
        ] {
            let expected = format!("x-forwarded-for: {expected}");
            assert_eq!(rewritten(&hop(peer), ""), expected);
        }
    }

    #[test]
    fn forwarded_is_extended_and_never_created() {
        for (peer, fields, expected) in [
            (
                "10.1.2.3:0",
                "Forwarded: for=a",
                "for=a, for=10.1.2.3;host=h;proto=http",
            ),
            (
                PROXY,
                "Forwarded: for=a",
                "for=a, for=\"10.1.2.3:4000\";host=h;proto=http",
            ),
            (
                "[2001:db8:a::1]:443",
                "Forwarded: for=\"_b\";by=c\r\nForwarded: for=d",
                "for=\"_b\";by=c, for=d, for=\"[2001:db8:a::1]:443\";host=h;proto=http",
            ),
            (
                "[2001:db8:a::1]:0",
                "Forwarded: for=a",
                "for=a, for=\"[2001:db8:a::1]\";host=h;proto=http",
            ),
            ("10.1.2.3:0", "Forwarded:", "for=10.1.2.3;host=h;proto=http"),
            (
                "10.1.2.3:0",
                "Forwarded: for=\"\\\"\\\\\"",
                "for=\"\\\"\\\\\", for=10.1.2.3;host=h;proto=http",
            ),
            // A string that does not end would swallow our element.
            (
                "10.1.2.3:0",
                "Forwarded: for=\"a",
                "for=10.1.2.3;host=h;proto=http",
            ),
            (
                "10.1.2.3:0",
                "Forwarded: for=\"a\\\"",
                "for=10.1.2.3;host=h;proto=http",
            ),
        ] {
            let mut hop = hop(peer);
            let got = rewritten(&hop, fields)
                .replace("\\\"", "\"")
                .replace("\\\\", "\\");
            let forwarded = got
                .lines()
                .find_map(|line| line.strip_prefix("forwarded: "));
            assert_eq!(forwarded, Some(expected), "{fields:?}");
            assert!(!rewritten(&hop, "").contains("\nforwarded"));
            hop.is_https = true;
            assert!(rewritten(&hop, fields).contains(";proto=https"));
        }
    }

    #[test]
    fn a_host_in_forwarded_is_quoted_where_it_must_be() {
        for (host, expected) in [
            ("a.example", "a.example"),
            ("a.example:8080", "\"a.example:8080\""),
            ("[::1]:80", "\"[::1]:80\""),
            ("a\"b\\c,d", "\"a\\\"b\\\\c,d\""),
        ] {
            let host = HeaderValue::from_str(host).expect("a value");
            let element = forwarded_element(&hop("10.1.2.3:0"), Some(&host));
            let expected = format!("for=10.1.2.3;host={expected};proto=http");
            assert_eq!(String::from_utf8(element).expect("ASCII"), expected);
        }
        for host in [None, Some(&HeaderValue::from_static(""))] {
            let element = forwarded_element(&hop("10.1.2.3:0"), host);
            assert_eq!(element, b"for=10.1.2.3;proto=http");
        }
    }
}
