//! The addresses that webhooks may be sent to.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks that are refused unless `WEBHOOK_ALLOW` names them or a part of them.
///
/// A URL or DNS name that leads to one of these could read the machine's own credentials or reach a
/// neighbour on the link. No app server has such an address.
const PROTECTED: [&str; 11] = [
    // Link-local (RFC 3927, RFC 4291); the first has the metadata services of AWS, Azure, GCP.
    "169.254.0.0/16",
    "fe80::/10",
    // Metadata services elsewhere: AWS, GCP, Alibaba Cloud, Azure, Oracle Cloud.
    "fd00:ec2::/32",
    "fd20:ce::/64",
    "100.100.100.200/32",
    "168.63.129.16/32",
    "192.0.0.192/32",
    // Not unicast: multicast, broadcast.
    "224.0.0.0/4",
    "255.255.255.255/32",
    "ff00::/8",
    // Site-local (RFC 3879), which some systems still treat as link-local.
    "fec0::/10",
];

/// Decides which addresses a webhook may connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::side) struct Egress {
    /// `WEBHOOK_ALLOW`. `None`: every network that is not protected.
    allowed: Option<Vec<IpNet>>,
    protected: Vec<IpNet>,
}

impl Egress {
    /// Creates a policy that allows these networks; with `None`, all that are not protected.
    pub(in crate::side) fn new(allowed: Option<Vec<IpNet>>) -> Self {
        let protected = PROTECTED.iter().filter_map(|text| text.parse().ok());
        Egress {
            allowed,
            protected: protected.collect(),
        }
    }

    /// Checks an address, after the name was resolved.
    ///
    /// # Errors
    /// [`EgressRefused`], with the setting and the address.
    pub(super) fn check(&self, address: IpAddr) -> Result<(), EgressRefused> {
        let address = address.to_canonical();
        if let Some(allowed) = &self.allowed
            && !allowed.iter().any(|network| network.contains(&address))
        {
            return Err(EgressRefused::NotListed(address));
        }
        let embedded = embedded(address).map(IpAddr::V4);
        for address in [Some(address), embedded].into_iter().flatten() {
            if self.is_protected(address) {
                return Err(EgressRefused::Protected(address));
            }
        }
        Ok(())
    }

    /// Returns whether an address is protected: it is in a protected network, and the list names no
    /// part of that network that contains it. `0.0.0.0/0` names no part: a list that opens
    /// everything does not open these.
    fn is_protected(&self, address: IpAddr) -> bool {
        let named = |of: &IpNet| {
            let mut allowed = self.allowed.iter().flatten();
            allowed.any(|network| of.contains(network) && network.contains(&address))
        };
        let mut protected = self.protected.iter();
        protected.any(|network| network.contains(&address) && !named(network))
    }
}

/// Why a webhook must not be sent to an address; either its URL is wrong, or `WEBHOOK_ALLOW` must
/// allow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum EgressRefused {
    #[error("{0} is in no network that WEBHOOK_ALLOW lists")]
    NotListed(IpAddr),
    #[error("{0} is link-local or a metadata service, and WEBHOOK_ALLOW does not name it")]
    Protected(IpAddr),
}

/// Returns the IPv4 address that an IPv6 address leads to: NAT64 (RFC 6052 §2.1), 6to4 (RFC 3056
/// §2), IPv4-compatible (RFC 4291 §2.5.5.1).
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else {
        return None;
    };
    let of = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(of(high, low)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        [0, 0, 0, 0, 0, 0, high, low]
            if address != Ipv6Addr::LOCALHOST && address != Ipv6Addr::UNSPECIFIED =>
        {
            Some(of(high, low))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(egress: &Egress, address: &str) -> bool {
        egress.check(address.parse().expect("an address")).is_ok()
    }

    #[test]
    fn by_default_all_but_link_local_and_metadata_addresses_are_allowed() {
        let egress = Egress::new(None);
        assert_eq!(egress.protected.len(), PROTECTED.len(), "each is a network");
        for address in [
            "127.0.0.1",
            "::1",
            "0.0.0.0",
            "::",
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "fd12:3456::1",
            "100.64.0.1",
            "203.0.113.9",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "64:ff9b::cb00:7109",
        ] {
            assert!(allows(&egress, address), "{address}");
        }
        for address in [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "::ffff:a9fe:a9fe",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
        ] {
            assert!(!allows(&egress, address), "{address}");
        }
    }

    #[test]
    fn a_list_allows_what_it_names_and_a_wide_one_no_metadata_service() {
        let list = |networks: &[&str]| {
            let networks = networks.iter().map(|n| n.parse().expect("a network"));
            Egress::new(Some(networks.collect()))
        };
        let narrow = list(&["203.0.113.0/24", "2001:db8::/32"]);
        assert!(allows(&narrow, "203.0.113.7") && allows(&narrow, "::ffff:203.0.113.7"));
        assert!(allows(&narrow, "2001:db8::7"));
        for address in ["127.0.0.1", "10.0.0.1", "::1", "203.0.114.1", "0.0.0.0"] {
            assert!(!allows(&narrow, address), "{address}");
        }
        let wide = list(&["0.0.0.0/0", "::/0"]);
        assert!(allows(&wide, "10.0.0.1") && allows(&wide, "::1"));
        for address in ["169.254.169.254", "fe80::1", "64:ff9b::a9fe:a9fe"] {
            assert!(!allows(&wide, address), "{address}");
        }
        let named = list(&["169.254.42.0/24"]);
        assert!(allows(&named, "169.254.42.1"));
        assert!(!allows(&named, "169.254.169.254"));
        let nothing = list(&[]);
        assert!(!allows(&nothing, "127.0.0.1"));
    }

    #[test]
    fn a_refusal_names_the_setting_and_the_address() {
        let why = |egress: &Egress| {
            let checked = egress.check("169.254.169.254".parse().expect("an address"));
            checked.map_err(|e| e.to_string())
        };
        assert_eq!(
            why(&Egress::new(None)),
            Err(
                "169.254.169.254 is link-local or a metadata service, and WEBHOOK_ALLOW does not \
                 name it"
                    .to_owned()
            )
        );
        assert_eq!(
            why(&Egress::new(Some(Vec::new()))),
            Err("169.254.169.254 is in no network that WEBHOOK_ALLOW lists".to_owned())
        );
    }
}
