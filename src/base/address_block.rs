//! An address as a unit of fairness.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The addresses that limits count as one client: an IPv4 address, or the /64 block of an IPv6
/// address, all of which a single host may own (RFC 4291 §2.5.1). An IPv4 address that is mapped
/// into IPv6 is that IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AddressBlock(IpAddr);

impl AddressBlock {
    /// Returns the block of an address.
    pub(crate) const fn of(address: IpAddr) -> Self {
        AddressBlock(match address.to_canonical() {
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            v4 => v4,
        })
    }
}

impl fmt::Display for AddressBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => v4.fmt(f),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_is_a_block_and_so_is_a_64_of_ipv6() {
        for (address, block) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8::1", "2001:db8::/64"),
            ("2001:db8::ffff:0:2", "2001:db8::/64"),
            ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ] {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(AddressBlock::of(address).to_string(), block);
        }
    }
}
