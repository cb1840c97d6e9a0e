//! The unit of addresses that bounds treat as one client.

use std::net::{IpAddr, Ipv6Addr};

/// The addresses that count as one client where clients share a bound: an IPv4 address, or the /64
/// block of an IPv6 address, which a single host may own (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClientBlock(IpAddr);

impl ClientBlock {
    /// Returns the block of an address.
    pub(crate) const fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                ClientBlock(IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)))
            }
            IpAddr::V4(v4) => ClientBlock(IpAddr::V4(v4)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_and_a_block_of_ipv6_addresses_are_one_client_each() {
        let block = |text: &str| ClientBlock::of(text.parse().expect("an address"));
        assert_ne!(block("10.0.0.1"), block("10.0.0.2"));
        assert_eq!(block("10.0.0.1"), block("::ffff:10.0.0.1"));
        assert_eq!(block("2001:db8::1"), block("2001:db8::ffff:2"));
        assert_ne!(block("2001:db8::1"), block("2001:db8:0:1::1"));
    }
}
