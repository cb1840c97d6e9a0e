//! Lists of addresses and blocks.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// The limit of networks. Every connection is compared with all of them, and more are most likely a
/// mistake.
pub(super) const NETWORKS_MAX: usize = 256;

/// Parses a list of networks, separated by commas; `None` if one is not valid. A plain address is a
/// block of one address.
pub(super) fn parse_networks(text: &str) -> Option<Vec<IpNet>> {
    if text.trim().is_empty() {
        return Some(Vec::new());
    }
    let networks: Option<Vec<IpNet>> = text
        .split(',')
        .map(|one| parse_network(one.trim()))
        .collect();
    networks.filter(|networks| networks.len() <= NETWORKS_MAX)
}

fn parse_network(text: &str) -> Option<IpNet> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => address.into(),
        Err(_) => text.parse::<IpNet>().ok()?,
    };
    Some(canonical(network.trunc()))
}

/// Converts an IPv4-mapped network (`::ffff:10.0.0.0/104`) to IPv4, the form in which addresses are
/// compared.
fn canonical(network: IpNet) -> IpNet {
    let mapped = |v6: ipnet::Ipv6Net| {
        let bits = v6.prefix_len().checked_sub(96)?;
        Ipv4Net::new(v6.addr().to_ipv4_mapped()?, bits).ok()
    };
    match network {
        IpNet::V4(_) => network,
        IpNet::V6(v6) => mapped(v6).map_or(network, IpNet::V4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        let networks = parse_networks(text)?;
        let networks: Vec<_> = networks.iter().map(IpNet::to_string).collect();
        Some(networks.join(" "))
    }

    #[test]
    fn a_list_is_read_in_its_canonical_form() {
        for (text, wanted) in [
            ("", Some("")),
            (" ", Some("")),
            ("10.0.0.1", Some("10.0.0.1/32")),
            ("::1 , 10.0.0.0/8", Some("::1/128 10.0.0.0/8")),
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            ("0.0.0.0/0,::/0", Some("0.0.0.0/0 ::/0")),
            ("::ffff:10.0.0.1", Some("10.0.0.1/32")),
            ("::ffff:10.9.0.0/104", Some("10.0.0.0/8")),
            ("::ffff:0:0/96", Some("0.0.0.0/0")),
            ("::ffff:0:0/95", Some("::fffe:0:0/95")),
            ("10.0.0.1,", None),
            (",", None),
            ("10.0.0.1 10.0.0.2", None),
            ("10.0.0.0/33", None),
            ("10.0.0", None),
            ("proxy.example.org", None),
            ("10.0.0.1:80", None),
            ("fe80::1%eth0", None),
        ] {
            assert_eq!(shown(text).as_deref(), wanted, "{text:?}");
        }
        let many = |n| vec!["10.0.0.1"; n].join(",");
        assert_eq!(
            parse_networks(&many(NETWORKS_MAX)).map(|n| n.len()),
            Some(NETWORKS_MAX)
        );
        assert_eq!(parse_networks(&many(NETWORKS_MAX + 1)), None);
    }
}
