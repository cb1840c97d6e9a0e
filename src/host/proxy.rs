//! Where the client really is, if a proxy stands in front: the PROXY protocol (by HAProxy, versions 1 and 2) and the header
//! field X-Forwarded-For. Both are believed of trusted addresses only, for anybody can write them.

use crate::engine::{Preamble, Request};
use ipnet::IpNet;
use ppp::{PartialResult, v1, v2};
use std::net::{IpAddr, SocketAddr};

/// How a header of version 1 begins, and how long its line may be (PROXY protocol §2.1).
const V1_START: &[u8] = b"PROXY ";
const V1_MAX: usize = 107;

/// Whether proxies begin each connection with a header of the PROXY protocol, and in which version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProxyProtocol {
    /// They do not.
    #[default]
    Off,
    /// The text header.
    V1,
    /// The binary header.
    V2,
}

/// The proxies in front.
#[derive(Debug, Default)]
pub(crate) struct Proxies {
    pub(crate) protocol: ProxyProtocol,
    pub(crate) trusted: Vec<IpNet>,
}

impl Proxies {
    fn trusts(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.trusted.iter().any(|block| block.contains(&ip))
    }

    /// Reads the header that a trusted proxy must send. Anybody else has nothing to say here: what they send is a request.
    pub(crate) fn preamble(&self, peer_addr: SocketAddr, bytes: &[u8]) -> Preamble {
        if self.protocol == ProxyProtocol::Off || !self.trusts(peer_addr.ip()) {
            return Preamble::None;
        }
        match self.protocol {
            ProxyProtocol::Off => Preamble::None,
            ProxyProtocol::V1 => {
                // The parser takes some whole-looking pieces of a line for a broken one, so it gets whole lines only.
                let line = &bytes[..bytes.len().min(V1_MAX)];
                let begun = V1_START.starts_with(line) || line.starts_with(V1_START);
                if begun && line.len() < V1_MAX && !line.contains(&b'\n') {
                    return Preamble::Partial;
                }
                match &v1::Header::try_from(bytes) {
                    Ok(header) => Preamble::Whole {
                        len: header.header.len(),
                        client: client_of_v1(&header.addresses),
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
                    },
                    Err(_) => Preamble::Invalid("a PROXY protocol header, version 2, is required"),
                }
            }
        }
    }

    /// Who asks, as the trusted proxies say: the last address of X-Forwarded-For that is not itself one of theirs. `None`: who
    /// asks is who is connected.
    pub(crate) fn client(&self, request: &Request) -> Option<SocketAddr> {
        if !self.trusts(request.peer_addr().ip()) {
            return None;
        }
        let lines = request.headers().get_all("x-forwarded-for");
        let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
        // Each hop appends: what stands further left was written further away, and may be any bytes at all. So one hop is read
        // at a time, and what no trusted proxy wrote is not looked at.
        let hops = lines
            .iter()
            .rev()
            .flat_map(|line| line.rsplit(|b| *b == b','));
        // RFC 9110 §5.6.1.2: empty elements of a list do not count.
        let hops = hops.map(<[u8]>::trim_ascii).filter(|hop| !hop.is_empty());
        let mut client = None;
        for hop in hops {
            // Behind something unreadable nothing can be believed.
            let Some(addr) = str::from_utf8(hop).ok().and_then(address) else {
                break;
            };
            client = Some(addr);
            if !self.trusts(addr.ip()) {
                break;
            }
        }
        client
    }
}

/// An address with or without a port; without, it is 0.
fn address(text: &str) -> Option<SocketAddr> {
    let ip = || text.trim_matches(['[', ']']).parse().ok();
    let addr: SocketAddr = text
        .parse()
        .ok()
        .or_else(|| ip().map(|ip: IpAddr| SocketAddr::new(ip, 0)))?;
    Some(SocketAddr::new(addr.ip().to_canonical(), addr.port()))
}

fn client_of_v1(addresses: &v1::Addresses) -> Option<SocketAddr> {
    match addresses {
        v1::Addresses::Tcp4(a) => Some(SocketAddr::from((a.source_address, a.source_port))),
        v1::Addresses::Tcp6(a) => Some(SocketAddr::from((a.source_address, a.source_port))),
        // The proxy does not know, or speaks for itself.
        v1::Addresses::Unknown => None,
    }
}

fn client_of_v2(header: &v2::Header<'_>) -> Option<SocketAddr> {
    match (header.command, &header.addresses) {
        // A health check of the proxy's own.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(protocol: ProxyProtocol) -> Proxies {
        Proxies {
            protocol,
            trusted: vec!["10.0.0.0/8".parse().expect("a block")],
        }
    }

    const PROXY: &str = "10.1.2.3:4000";
    const STRANGER: &str = "192.0.2.1:4000";

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    /// What becomes of each beginning of `whole`, and of all of it with a request behind.
    fn expect_whole(proxies: &Proxies, whole: &[u8], client: Option<&str>) {
        for end in 1..whole.len() {
            let part = proxies.preamble(addr(PROXY), &whole[..end]);
            assert_eq!(part, Preamble::Partial, "{end} of {}", whole.len());
        }
        let with_request = [whole, b"GET / HTTP/1.1\r\n\r\n"].concat();
        let expected = Preamble::Whole {
            len: whole.len(),
            client: client.map(addr),
        };
        assert_eq!(proxies.preamble(addr(PROXY), whole), expected);
        assert_eq!(proxies.preamble(addr(PROXY), &with_request), expected);
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
        let proxies = proxies(ProxyProtocol::V1);
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
            expect_whole(&proxies, text.as_bytes(), client);
        }
        for bad in [
            "GET / HTTP/1.1\r\n\r\n",
            "PROXY TCP4 1.2.3 4 5 6\r\n",
            "\r\n\r\n\0\r\nQUIT\n!!!!",
        ] {
            let read = proxies.preamble(addr(PROXY), bad.as_bytes());
            assert!(matches!(read, Preamble::Invalid(_)), "{bad}: {read:?}");
        }
    }

    #[test]
    fn version_2_in_all_its_forms() {
        let proxies = proxies(ProxyProtocol::V2);
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0xdc, 0x04, 1, 187];
        expect_whole(&proxies, &v2_header(1, 0x11, &v4), Some("192.0.2.7:56324"));
        let with_tlv = [&v4[..], &[0x04, 0, 3, 1, 2, 3]].concat();
        expect_whole(
            &proxies,
            &v2_header(1, 0x11, &with_tlv),
            Some("192.0.2.7:56324"),
        );
        expect_whole(&proxies, &v2_header(0, 0, &[]), None);
        let read = proxies.preamble(addr(PROXY), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(matches!(read, Preamble::Invalid(_)), "{read:?}");
    }

    #[test]
    fn a_stranger_says_nothing_about_addresses() {
        for protocol in [ProxyProtocol::V1, ProxyProtocol::V2] {
            let read = proxies(protocol).preamble(addr(STRANGER), b"PROXY UNKNOWN\r\n");
            assert_eq!(read, Preamble::None);
        }
        let off = proxies(ProxyProtocol::Off).preamble(addr(PROXY), b"PROXY UNKNOWN\r\n");
        assert_eq!(off, Preamble::None);
    }

    #[test]
    fn addresses_with_and_without_a_port() {
        for (text, expected) in [
            ("192.0.2.7", Some("192.0.2.7:0")),
            ("192.0.2.7:99", Some("192.0.2.7:99")),
            ("2001:db8::7", Some("[2001:db8::7]:0")),
            ("[2001:db8::7]", Some("[2001:db8::7]:0")),
            ("[2001:db8::7]:99", Some("[2001:db8::7]:99")),
            ("::ffff:192.0.2.7", Some("192.0.2.7:0")),
            ("unknown", None),
            ("_hidden", None),
            ("", None),
        ] {
            assert_eq!(address(text), expected.map(addr), "{text}");
        }
    }
}
