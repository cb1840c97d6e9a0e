//! The addresses that host names of upstreams stand for, as they were last looked up.

use super::upstream::UpstreamUrl;
use crate::engine::DialAddress;
use std::collections::HashMap;
use std::net::SocketAddr;

/// The most addresses of one name that are used; a larger answer of a name server is most likely a
/// mistake.
const ADDRESSES_MAX: usize = 64;

/// The addresses of host names.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownAddresses(HashMap<(Box<str>, u16), Vec<SocketAddr>>);

impl KnownAddresses {
    /// Sets the addresses of a host name with a port. Returns whether they are others than before.
    /// An empty answer changes nothing: a name that exists has an address.
    pub(super) fn set(&mut self, host: &str, port: u16, addresses: &[SocketAddr]) -> bool {
        let mut addresses = addresses.to_vec();
        addresses.sort();
        addresses.dedup();
        addresses.truncate(ADDRESSES_MAX);
        let key = (Box::from(host), port);
        if addresses.is_empty() || self.0.get(&key) == Some(&addresses) {
            return false;
        }
        self.0.insert(key, addresses);
        true
    }

    /// Returns whether addresses of a host name with a port are known.
    pub(super) fn has(&self, host: &str, port: u16) -> bool {
        self.0.contains_key(&(Box::from(host), port))
    }

    /// Forgets the names that no route has any more: reloads may bring new ones again and again.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(&str, u16) -> bool) {
        self.0.retain(|(host, port), _| is_wanted(host, *port));
    }

    /// Returns the addresses of an upstream, as far as they are known.
    pub(super) fn of(&self, url: &UpstreamUrl) -> Vec<DialAddress> {
        if let Some(address) = url.fixed_address() {
            return vec![address];
        }
        let known = url
            .host_and_port()
            .and_then(|(host, port)| self.0.get(&(Box::from(host), port)));
        let known = known.into_iter().flatten();
        known.map(|address| DialAddress::Tcp(*address)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_answer_changes_nothing_and_order_does_not_matter() {
        let address = |last| SocketAddr::from(([127, 0, 0, last], 80));
        let mut known = KnownAddresses::default();
        assert!(known.set("a", 80, &[address(2), address(1), address(2)]));
        assert!(!known.set("a", 80, &[address(1), address(2)]));
        assert!(!known.set("a", 80, &[]));
        let url = |text| UpstreamUrl::parse(text).expect("a location");
        let found = known.of(&url("http://a"));
        assert_eq!(found, [1, 2].map(|last| DialAddress::Tcp(address(last))));
        assert_eq!(known.of(&url("http://a:81")), []);
        assert_eq!(known.of(&url("http://b")), []);
        assert_eq!(known.of(&url("unix:/s")), [DialAddress::Unix("/s".into())]);
        assert!(known.set("a", 80, &[address(3)]));
        assert_eq!(known.of(&url("http://a")), [DialAddress::Tcp(address(3))]);
        known.set("b", 80, &[address(4)]);
        known.set("b", 81, &[address(4)]);
        known.retain(|host, port| (host, port) == ("b", 81));
        assert!(known.has("b", 81) && known.0.len() == 1);
        let many: Vec<_> = (0..100).map(address).collect();
        assert!(known.set("a", 80, &many));
        assert_eq!(known.of(&url("http://a")).len(), ADDRESSES_MAX);
    }
}
