//! The hop by which a request came: its peer, and what is known of the client's connection.

use crate::engine::Request;
use crate::host::Proxies;
use crate::wire::http::list_elements;
use std::net::SocketAddr;

/// The hop by which a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hop {
    /// The peer of the TCP connection; behind a proxy that speaks the PROXY protocol, the address
    /// that it reported. Never an address from X-Forwarded-For.
    pub(crate) peer: SocketAddr,
    /// Whether the peer is trusted to report the client's address.
    pub(crate) is_trusted: bool,
    /// Whether the client uses https, as far as the gateway and trusted proxies know.
    pub(crate) is_https: bool,
}

impl Hop {
    /// Returns the hop of a request. `always_https` is the operator's word that every client uses
    /// https.
    pub(crate) fn of(request: &Request, proxies: &Proxies, always_https: bool) -> Self {
        // Not the connection's address: X-Forwarded-For may have replaced that one.
        let peer = request.peer_addr();
        let is_trusted = proxies.trusts(peer.ip());
        let is_reported = || is_trusted && reports_https(request);
        Hop {
            peer,
            is_trusted,
            is_https: always_https || request.is_encrypted() || is_reported(),
        }
    }

    /// Returns the scheme that the client uses.
    pub(super) fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }
}

/// Returns whether the last element of X-Forwarded-Proto says https. The nearest proxy wrote it;
/// Traefik writes wss.
fn reports_https(request: &Request) -> bool {
    let lines = request.headers().get_all("x-forwarded-proto").iter();
    let scheme = lines.flat_map(list_elements).last();
    scheme.is_some_and(|s| s.eq_ignore_ascii_case(b"https") || s.eq_ignore_ascii_case(b"wss"))
}

#[cfg(test)]
mod tests {
    use super::super::forwarded::write_forwarding_fields;
    use super::*;
    use crate::engine::Preamble;
    use crate::transport::ProxyProtocol;

    const STRANGER: &str = "192.0.2.1:4000";
    const PROXY: &str = "10.1.2.3:4000";

    fn proxies(protocol: ProxyProtocol) -> Proxies {
        Proxies {
            protocol,
            trusted: vec![
                "10.0.0.0/8".parse().expect("a block"),
                "2001:db8:a::/48".parse().expect("a block"),
            ],
        }
    }

    /// Returns a request as the engine makes it of a connection's first bytes.
    fn request(socket: &str, protocol: ProxyProtocol, preamble: &[u8], fields: &str) -> Request {
        let socket: SocketAddr = socket.parse().expect("an address");
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let (peer, encrypted) = match proxies(protocol).read_preamble(socket, preamble) {
            Preamble::None => (socket, false),
            Preamble::Whole {
                client, encrypted, ..
            } => (client.unwrap_or(socket), encrypted),
            other => panic!("{other:?}"),
        };
        Request::from_peer(head.as_bytes(), peer, encrypted)
    }

    /// Returns what the upstream sees of this field.
    fn seen(request: &Request, hop: &Hop, name: &str) -> String {
        let all = request.headers().iter();
        let mut fields = all.map(|(n, v)| (n.clone(), v.clone())).collect();
        write_forwarding_fields(&mut fields, hop, None);
        let lines = fields.iter().filter(|(n, _)| n == name);
        let lines = lines.map(|(_, value)| value.to_str().expect("ASCII"));
        lines.collect::<Vec<_>>().join("|")
    }

    /// The peer is the one that wrote the header fields, and so never comes from them.
    #[test]
    fn the_peer_is_the_socket_or_what_the_proxy_protocol_reports() {
        use ProxyProtocol::{Off, V1};
        let of_client = "PROXY TCP4 192.0.2.7 10.0.0.1 5 443\r\n";
        let of_proxy = "PROXY TCP4 10.9.9.9 10.0.0.1 5 443\r\n";
        let unknown = "PROXY UNKNOWN\r\n";
        let says = "X-Forwarded-For: 198.51.100.1\r\n";
        for (socket, protocol, preamble, fields, expected, client) in [
            (STRANGER, Off, "", says, "192.0.2.1", None),
            (STRANGER, V1, "", says, "192.0.2.1", None),
            (PROXY, Off, "", "", "10.1.2.3", None),
            (
                PROXY,
                Off,
                "",
                says,
                "198.51.100.1, 10.1.2.3",
                Some("198.51.100.1:0"),
            ),
            (PROXY, V1, of_client, "", "192.0.2.7", None),
            (PROXY, V1, of_client, says, "192.0.2.7", None),
            (
                PROXY,
                V1,
                of_proxy,
                says,
                "198.51.100.1, 10.9.9.9",
                Some("198.51.100.1:0"),
            ),
            (
                PROXY,
                V1,
                unknown,
                says,
                "198.51.100.1, 10.1.2.3",
                Some("198.51.100.1:0"),
            ),
        ] {
            let request = request(socket, protocol, preamble.as_bytes(), fields);
            let hop = Hop::of(&request, &proxies(protocol), false);
            let what = format!("{socket} {protocol:?} {preamble:?} {fields:?}");
            assert_eq!(seen(&request, &hop, "x-forwarded-for"), expected, "{what}");
            let client = client.map(|text| text.parse().expect("an address"));
            assert_eq!(proxies(protocol).client_addr(&request), client, "{what}");
        }
    }

    #[test]
    fn the_scheme_is_https_if_a_trusted_source_says_so() {
        use ProxyProtocol::{Off, V2};
        let v2 = |is_encrypted: u8| {
            let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x14".to_vec();
            header.extend([192, 0, 2, 7, 10, 0, 0, 1, 0, 5, 1, 187]);
            header.extend([0x20, 0, 5, is_encrypted, 0, 0, 0, 0]);
            header
        };
        let proto = |value: &str| format!("X-Forwarded-Proto: {value}\r\n");
        for (socket, preamble, fields, always, is_https) in [
            (STRANGER, None, String::new(), false, false),
            (STRANGER, None, String::new(), true, true),
            (STRANGER, None, proto("https"), false, false),
            (PROXY, None, String::new(), false, false),
            (PROXY, None, proto("https"), false, true),
            (PROXY, None, proto("HTTPS"), false, true),
            (PROXY, None, proto("wss"), false, true),
            (PROXY, None, proto("http"), false, false),
            (PROXY, None, proto("http"), true, true),
            (PROXY, None, proto("httpsx"), false, false),
            (PROXY, None, proto(""), false, false),
            // The last element is the nearest proxy's.
            (PROXY, None, proto("http, https"), false, true),
            (PROXY, None, proto("https, http"), false, false),
            (PROXY, None, proto("https") + &proto("http"), false, false),
            (PROXY, Some(v2(1)), String::new(), false, true),
            (PROXY, Some(v2(0)), String::new(), false, false),
            // The PROXY header names a stranger as the peer.
            (PROXY, Some(v2(0)), proto("https"), false, false),
        ] {
            let protocol = if preamble.is_some() { V2 } else { Off };
            let bytes = preamble.unwrap_or_default();
            let request = request(socket, protocol, &bytes, &fields);
            let hop = Hop::of(&request, &proxies(protocol), always);
            assert_eq!(
                hop.is_https, is_https,
                "{socket} {bytes:?} {fields:?} {always}"
            );
            if fields.is_empty() {
                let scheme = if is_https { "https" } else { "http" };
                assert_eq!(seen(&request, &hop, "x-forwarded-proto"), scheme);
            }
        }
    }
}
