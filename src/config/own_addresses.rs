//! Upstreams that are the gateway itself: each client would make it dial itself, again and again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::effective_values::EffectiveValues;
use super::setting_faults::SettingFaults;
use super::setting_value::SettingValue;
use super::table::row;
use crate::engine::DialAddress;
use crate::gateway::UpstreamUrl;
use crate::reactor::is_local_address;

impl EffectiveValues {
    /// Checks that no upstream is one of the gateway's own listeners. Other names than `localhost`
    /// are looked up later.
    pub(super) fn check_own_addresses(&self, faults: &mut SettingFaults) {
        let listeners = const { [row("LISTEN_ADDR"), row("ADMIN_ADDR")] };
        let own = |url: &UpstreamUrl| {
            let is_own = |at: &usize| self.address(*at).is_some_and(|own| leads_to(url, own));
            let at = listeners.into_iter().find(is_own)?;
            Some(format!(
                "another address than {}: {url} reaches it, and it would dial itself",
                self.cite(at)
            ))
        };
        let at = const { row("UPSTREAM") };
        if let Some(SettingValue::Upstream(url)) = &self.values[at].value
            && let Some(allowed) = own(url)
        {
            faults.push(self.fault(at, allowed));
        }
        for route in &self.routes {
            let allowed = route.upstreams().iter().find_map(|u| own(&u.url));
            faults.extend(allowed.map(|allowed| route.upstream_fault(allowed)));
        }
    }
}

/// Returns whether an upstream surely reaches a listener on `own`.
fn leads_to(url: &UpstreamUrl, own: SocketAddr) -> bool {
    match (url.fixed_address(), url.host_and_port()) {
        (Some(DialAddress::Tcp(to)), _) => reaches(to, own),
        (None, Some((host, port))) if host.eq_ignore_ascii_case("localhost") => {
            let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            loopback
                .into_iter()
                .any(|ip| reaches((ip, port).into(), own))
        }
        _ => false,
    }
}

/// Returns whether a connection to `to` surely reaches a listener on `own`.
pub fn reaches(to: SocketAddr, own: SocketAddr) -> bool {
    if to.port() != own.port() || own.port() == 0 {
        return false;
    }
    let own = own.ip().to_canonical();
    // A connection to 0.0.0.0 or :: reaches this machine, on its loopback address (ip(7)).
    let to = match to.ip().to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    match own.is_unspecified() {
        // [::] listens on IPv4 addresses, too; 0.0.0.0 on no IPv6 address.
        true => (own.is_ipv6() || to.is_ipv4()) && is_local_address(to),
        false => own == to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reaches_a_listener_of_this_machine() {
        for (to, own, expected) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:2", "127.0.0.1:1", false),
            ("127.0.0.2:1", "127.0.0.1:1", false),
            ("127.0.0.2:1", "0.0.0.0:1", true),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("0.0.0.0:1", "0.0.0.0:1", true),
            ("[::1]:1", "127.0.0.1:1", false),
            ("[::1]:1", "0.0.0.0:1", false),
            ("[::]:1", "[::1]:1", true),
            ("127.0.0.1:1", "[::]:1", true),
            ("[::ffff:127.0.0.1]:1", "127.0.0.1:1", true),
            // RFC 5737: no machine has it.
            ("198.51.100.200:1", "0.0.0.0:1", false),
            ("192.0.2.200:1", "192.0.2.200:1", true),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            let [to_addr, own_addr] = [to, own].map(|a| a.parse().expect("an address"));
            assert_eq!(reaches(to_addr, own_addr), expected, "{to} {own}");
        }
    }
}
