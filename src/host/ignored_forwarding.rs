//! Forwarding header fields of peers that are not trusted proxies. They are ignored, because any
//! client can write them. If the peer is a proxy, `TRUSTED_PROXIES` lacks it, and all its clients
//! have its address: so a warning says it, at most once a minute.

use super::proxy::Proxies;
use crate::base::time::Micros;
use crate::engine::Request;
use crate::transport::ProxyProtocol;
use std::fmt;
use std::net::IpAddr;

/// The least time between two warnings.
const WARNING_INTERVAL: Micros = Micros::from_secs(60);

/// The fields that proxies write about clients.
const FIELDS: [&str; 4] = [
    "x-forwarded-for",
    "forwarded",
    "x-real-ip",
    "x-forwarded-proto",
];

/// Counts the requests whose forwarding fields were ignored since the last warning. It has a fixed
/// size, however many addresses there are.
#[derive(Debug, Default)]
pub(crate) struct IgnoredForwarding {
    requests: u64,
    /// The address of more than half of these requests, if one has so many: the majority vote of
    /// Boyer and Moore. So clients with fields of their own do not hide a proxy.
    address: Option<IpAddr>,
    votes: u64,
    warned: Option<Micros>,
}

/// What a warning says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct IgnoredWarning {
    address: IpAddr,
    field: &'static str,
    requests: u64,
}

impl IgnoredForwarding {
    /// Notes a request. Returns the warning, if its fields are ignored and one is due.
    pub(crate) fn note(
        &mut self,
        proxies: &Proxies,
        request: &Request,
        now: Micros,
    ) -> Option<IgnoredWarning> {
        // With the PROXY protocol the proxy's own fields are ignored by design.
        let peer = request.peer_addr().ip().to_canonical();
        if proxies.protocol != ProxyProtocol::Off || proxies.trusts(peer) {
            return None;
        }
        let headers = request.headers();
        let field = FIELDS
            .into_iter()
            .find(|name| headers.contains_key(*name))?;
        self.count(peer);
        let is_due = |last| now >= last + WARNING_INTERVAL;
        if !self.warned.is_none_or(is_due) {
            return None;
        }
        let warning = IgnoredWarning {
            address: self.address.unwrap_or(peer),
            field,
            requests: self.requests,
        };
        *self = IgnoredForwarding {
            warned: Some(now),
            ..IgnoredForwarding::default()
        };
        Some(warning)
    }

    fn count(&mut self, peer: IpAddr) {
        self.requests += 1;
        match self.address == Some(peer) {
            true => self.votes += 1,
            false if self.votes > 0 => self.votes -= 1,
            false => (self.address, self.votes) = (Some(peer), 1),
        }
    }
}

impl fmt::Display for IgnoredWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let IgnoredWarning {
            address,
            field,
            requests,
        } = self;
        write!(
            f,
            "untrusted_proxy address={address} field={field} requests={requests} \
             reason=\"{address} sent this field, but is not in TRUSTED_PROXIES\" effect=\"the \
             field is ignored; if this is your proxy, add it: its clients have its address now\""
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(peer: &str, fields: &str) -> Request {
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let peer = format!("{peer}:4000").parse().expect("an address");
        Request::from_peer(head.as_bytes(), peer, false)
    }

    fn proxies(protocol: ProxyProtocol) -> Proxies {
        Proxies {
            protocol,
            trusted: vec!["10.0.0.0/8".parse().expect("a block")],
        }
    }

    const FOR: &str = "X-Forwarded-For: 192.0.2.7\r\n";

    #[test]
    fn a_proxy_that_is_not_trusted_is_named_once_a_minute() {
        let mut ignored = IgnoredForwarding::default();
        let mut note = |peer: &str, fields: &str, s: u64| {
            let now = Micros::from_secs(s);
            let warning = ignored.note(&proxies(ProxyProtocol::Off), &request(peer, fields), now);
            warning.map(|w| (w.address.to_string(), w.field, w.requests))
        };
        assert_eq!(note("10.1.2.3", FOR, 0), None);
        assert_eq!(note("172.16.0.1", "", 0), None);
        let proxy = |field, requests| Some(("172.16.0.1".to_owned(), field, requests));
        assert_eq!(note("172.16.0.1", FOR, 1), proxy("x-forwarded-for", 1));
        // Clients with fields of their own, each with another address.
        for n in 0..100 {
            assert_eq!(note(&format!("192.0.2.{n}"), FOR, 2), None);
            assert_eq!(note("172.16.0.1", FOR, 3), None);
        }
        assert_eq!(note("172.16.0.1", "", 70), None);
        let said = note("172.16.0.1", "Forwarded: for=a\r\n", 70);
        assert_eq!(said, proxy("forwarded", 201));
        assert_eq!(note("172.16.0.1", FOR, 129), None);
        assert_eq!(note("172.16.0.1", FOR, 130), proxy("x-forwarded-for", 2));
    }

    #[test]
    fn fields_behind_the_proxy_protocol_are_ignored_by_design() {
        let mut ignored = IgnoredForwarding::default();
        let proxies = proxies(ProxyProtocol::V2);
        let request = request("192.0.2.7", FOR);
        assert_eq!(ignored.note(&proxies, &request, Micros::ZERO), None);
    }
}
