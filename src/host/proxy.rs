//! Where the client really is, if a proxy stands in front: the PROXY protocol (by HAProxy, versions 1 and 2) and the header
//! field X-Forwarded-For. Both are believed of trusted addresses only, for anybody can write them.

use crate::engine::{Preamble, Request};
use crate::transport::ProxyProtocol;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

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
        self.protocol.read(bytes)
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
        let believed = proxies(ProxyProtocol::V1).preamble(addr(PROXY), b"PROXY UNKNOWN\r\n");
        assert!(
            matches!(believed, Preamble::Whole { len: 15, .. }),
            "{believed:?}"
        );
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
