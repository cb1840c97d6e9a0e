//! The PROXY protocol (by HAProxy, versions 1 and 2), by which a proxy reports the client's
//! address, and in version 2 whether the client uses TLS. Whether a proxy is trusted is decided
//! elsewhere.

use super::preamble::Preamble;
use ppp::{PartialResult, v1, v2};
use std::net::SocketAddr;

/// The start of a header of version 1. The next constant is the greatest length of its line, in
/// bytes (PROXY protocol §2.1).
const V1_START: &[u8] = b"PROXY ";
const V1_MAX: usize = 107;

/// The type of the field that describes the client's TLS connection, and the least length of its
/// value: a byte of flags and the result of checking the certificate (PROXY protocol §2.2.6).
const TYPE_SSL: u8 = 0x20;
const SSL_MIN: usize = 5;

/// The flag in that field that says that the client uses TLS.
const CLIENT_SSL: u8 = 0x01;

/// The version of the PROXY protocol header with which proxies begin each connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "there are two versions")]
pub enum ProxyProtocol {
    /// There is no header.
    #[default]
    Off,
    /// Version 1: a line of text.
    V1,
    /// Version 2: a binary header.
    V2,
}

impl ProxyProtocol {
    /// Reads the header that `bytes` must begin with.
    pub(crate) fn read(self, bytes: &[u8]) -> Preamble {
        match self {
            ProxyProtocol::Off => Preamble::None,
            ProxyProtocol::V1 => {
                // The parser reports some incomplete lines as broken, and looks beyond a bare LF,
                // so it gets exactly one line.
                let line = &bytes[..bytes.len().min(V1_MAX)];
                let begun = V1_START.starts_with(line) || line.starts_with(V1_START);
                let end = line.iter().position(|b| *b == b'\n');
                if begun && line.len() < V1_MAX && end.is_none() {
                    return Preamble::Partial;
                }
                let line = end.map_or(line, |end| &line[..=end]);
                match &v1::Header::try_from(line) {
                    Ok(header) => Preamble::Whole {
                        len: header.header.len(),
                        client: client_of_v1(&header.addresses),
                        encrypted: false,
                    },
                    Err(_) => Preamble::Invalid("a PROXY protocol header, version 1, is required"),
                }
            }
            ProxyProtocol::V2 => {
                let header = v2::Header::try_from(bytes);
                match &header {
                    _ if header.is_incomplete() => Preamble::Partial,
                    Ok(header) => Preamble::Whole {
                        len: header.len(),
                        client: client_of_v2(header),
                        encrypted: is_encrypted(header),
                    },
                    Err(_) => Preamble::Invalid("a PROXY protocol header, version 2, is required"),
                }
            }
        }
    }
}

fn client_of_v1(addresses: &v1::Addresses) -> Option<SocketAddr> {
    match addresses {
        v1::Addresses::Tcp4(a) => Some(SocketAddr::from((a.source_address, a.source_port))),
        v1::Addresses::Tcp6(a) => Some(SocketAddr::from((a.source_address, a.source_port))),
        // The proxy does not know the client, or opened the connection itself.
        v1::Addresses::Unknown => None,
    }
}

fn client_of_v2(header: &v2::Header<'_>) -> Option<SocketAddr> {
    match (header.command, &header.addresses) {
        // The proxy's own health check.
        (v2::Command::Local, _) => None,
        (v2::Command::Proxy, v2::Addresses::IPv4(a)) => {
            Some(SocketAddr::from((a.source_address, a.source_port)))
        }
        (v2::Command::Proxy, v2::Addresses::IPv6(a)) => {
            Some(SocketAddr::from((a.source_address, a.source_port)))
        }
        (v2::Command::Proxy, v2::Addresses::Unix(_) | v2::Addresses::Unspecified) => None,
    }
}

/// Returns whether the header says that the client's connection to the proxy is encrypted. Fields
/// behind a malformed one are not read.
fn is_encrypted(header: &v2::Header<'_>) -> bool {
    // The proxy's own health check speaks for no client (PROXY protocol §2.2).
    header.command == v2::Command::Proxy
        && header.tlvs().map_while(Result::ok).any(|field| {
            let has_flag = field.value.first().is_some_and(|f| f & CLIENT_SSL != 0);
            field.kind == TYPE_SSL && field.value.len() >= SSL_MIN && has_flag
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    /// Checks every prefix of `whole`, and `whole` with a request behind it.
    fn expect_whole(protocol: ProxyProtocol, whole: &[u8], client: Option<&str>) {
        for end in 1..whole.len() {
            let part = protocol.read(&whole[..end]);
            assert_eq!(part, Preamble::Partial, "{end} of {}", whole.len());
        }
        let with_request = [whole, b"GET / HTTP/1.1\r\n\r\n"].concat();
        let expected = Preamble::Whole {
            len: whole.len(),
            client: client.map(addr),
            encrypted: false,
        };
        assert_eq!(protocol.read(whole), expected);
        assert_eq!(protocol.read(&with_request), expected);
    }

    fn v2_header(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        header.extend([0x20 | command, family]);
        header.extend((addresses.len() as u16).to_be_bytes());
        header.extend(addresses);
        header
    }

    #[test]
    fn version_1_in_all_its_forms() {
        let protocol = ProxyProtocol::V1;
        for (text, client) in [
            (
                "PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n",
                Some("192.0.2.7:56324"),
            ),
            (
                "PROXY TCP6 2001:db8::7 2001:db8::1 1 443\r\n",
                Some("[2001:db8::7]:1"),
            ),
            ("PROXY UNKNOWN\r\n", None),
        ] {
            expect_whole(protocol, text.as_bytes(), client);
        }
        for bad in [
            "GET / HTTP/1.1\r\n\r\n",
            "PROXY TCP4 1.2.3 4 5 6\r\n",
            "\r\n\r\n\0\r\nQUIT\n!!!!",
        ] {
            let read = protocol.read(bad.as_bytes());
            assert!(matches!(read, Preamble::Invalid(_)), "{bad}: {read:?}");
        }
    }

    /// A line with a bare LF is refused at that byte, although a parser that sees more finds a
    /// CRLF.
    #[test]
    fn a_line_of_version_1_ends_at_its_first_lf() {
        let line = b"PROXY UNKNOWN a\nb\r\n";
        for end in 1..=line.len() {
            let read = ProxyProtocol::V1.read(&line[..end]);
            let is_refused = matches!(read, Preamble::Invalid(_));
            assert_eq!(is_refused, end >= 16, "{end}: {read:?}");
        }
    }

    #[test]
    fn version_2_in_all_its_forms() {
        let protocol = ProxyProtocol::V2;
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0xdc, 0x04, 1, 187];
        expect_whole(protocol, &v2_header(1, 0x11, &v4), Some("192.0.2.7:56324"));
        let with_tlv = [&v4[..], &[0x04, 0, 3, 1, 2, 3]].concat();
        expect_whole(
            protocol,
            &v2_header(1, 0x11, &with_tlv),
            Some("192.0.2.7:56324"),
        );
        expect_whole(protocol, &v2_header(0, 0, &[]), None);
        let read = protocol.read(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(matches!(read, Preamble::Invalid(_)), "{read:?}");
    }

    #[test]
    fn version_2_says_whether_the_client_uses_tls() {
        const PROXIED: u8 = 1;
        const LOCAL: u8 = 0;
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0xdc, 0x04, 1, 187];
        let cases: [(u8, &[u8], bool); 10] = [
            (PROXIED, &[], false),
            (PROXIED, &[0x20, 0, 5, 0x01, 0, 0, 0, 0], true),
            // With a client certificate, with its own fields (the version of TLS), and behind ALPN.
            (PROXIED, &[0x20, 0, 5, 0x07, 0, 0, 0, 0], true),
            (PROXIED, b"\x20\0\x0f\x01\0\0\0\0\x21\0\x07TLSv1.3", true),
            (PROXIED, b"\x01\0\x02h2\x20\0\x05\x01\0\0\0\0", true),
            // A certificate without TLS is no statement about TLS.
            (PROXIED, &[0x20, 0, 5, 0x06, 0, 0, 0, 0], false),
            (PROXIED, &[0x20, 0, 1, 0x01], false),
            (PROXIED, &[0x20, 0, 9, 0x01, 0, 0, 0, 0], false),
            (
                PROXIED,
                &[0x04, 0, 9, 0, 0x20, 0, 5, 0x01, 0, 0, 0, 0],
                false,
            ),
            (LOCAL, &[0x20, 0, 5, 0x01, 0, 0, 0, 0], false),
        ];
        for (command, fields, expected) in cases {
            let header = v2_header(command, 0x11, &[&v4[..], fields].concat());
            let read = ProxyProtocol::V2.read(&header);
            let Preamble::Whole { encrypted, .. } = read else {
                panic!("{fields:?}: {read:?}");
            };
            assert_eq!(encrypted, expected, "{command} {fields:?}");
        }
    }
}
