//! The client's real address behind a proxy: from the PROXY protocol (HAProxy, versions 1 and 2)
//! and the header field X-Forwarded-For. Both are accepted from trusted addresses only, because any
//! client can write them.

use crate::engine::{Preamble, Request};
use crate::transport::ProxyProtocol;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// The trusted proxies.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// Whether they begin each connection with a header of the PROXY protocol.
    pub protocol: ProxyProtocol,
    /// Their addresses.
    pub trusted: Vec<IpNet>,
}

impl Proxies {
    /// Returns whether this is the address of a trusted proxy.
    pub(crate) fn trusts(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.trusted.iter().any(|block| block.contains(&ip))
    }

    /// Reads the PROXY header that a trusted proxy must send. Bytes from other peers are the
    /// request itself.
    pub(crate) fn read_preamble(&self, peer_addr: SocketAddr, bytes: &[u8]) -> Preamble {
        if self.protocol == ProxyProtocol::Off || !self.trusts(peer_addr.ip()) {
            return Preamble::None;
        }
        self.protocol.read(bytes)
    }

    /// Returns the client's address according to the trusted proxies: the last address in
    /// X-Forwarded-For that is not a trusted proxy. `None`: the client is the peer of the
    /// connection.
    pub(crate) fn client_addr(&self, request: &Request) -> Option<SocketAddr> {
        if !self.trusts(request.peer_addr().ip()) {
            return None;
        }
        let lines = request.headers().get_all("x-forwarded-for");
        let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
        // Each hop appends, so entries further left are from further away and may be any bytes. The
        // entries are read from the right, one at a time, and reading stops at the first that no
        // trusted proxy wrote.
        let hops = lines
            .iter()
            .rev()
            .flat_map(|line| line.rsplit(|b| *b == b','));
        // RFC 9110 §5.6.1.2: empty elements of a list do not count.
        let hops = hops.map(<[u8]>::trim_ascii).filter(|hop| !hop.is_empty());
        let mut client = None;
        for hop in hops {
            // Entries before an unreadable one cannot be trusted.
            let Some(addr) = str::from_utf8(hop).ok().and_then(parse_addr) else {
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

/// Parses an address with an optional port; the default is 0.
fn parse_addr(text: &str) -> Option<SocketAddr> {
    let ip = || text.trim_matches(['[', ']']).parse().ok();
    let addr: SocketAddr = text
        .parse()
        .ok()
        .or_else(|| ip().map(|ip: IpAddr| SocketAddr::new(ip, 0)))?;
    Some(SocketAddr::new(addr.ip().to_canonical(), addr.port()))
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

    #[test]
    fn a_stranger_says_nothing_about_addresses() {
        let believed = proxies(ProxyProtocol::V1).read_preamble(addr(PROXY), b"PROXY UNKNOWN\r\n");
        assert!(
            matches!(believed, Preamble::Whole { len: 15, .. }),
            "{believed:?}"
        );
        for protocol in [ProxyProtocol::V1, ProxyProtocol::V2] {
            let read = proxies(protocol).read_preamble(addr(STRANGER), b"PROXY UNKNOWN\r\n");
            assert_eq!(read, Preamble::None);
        }
        let off = proxies(ProxyProtocol::Off).read_preamble(addr(PROXY), b"PROXY UNKNOWN\r\n");
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
            assert_eq!(parse_addr(text), expected.map(addr), "{text}");
        }
    }
}
