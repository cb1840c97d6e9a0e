//! An address as a part of a network.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses that probably share a path: the /24 block of an IPv4 address, or the /48 block of
/// an IPv6 address, the longest prefixes that are routed between networks (RFC 7454 §6.1.3). An
/// IPv4 address that is mapped into IPv6 is that IPv4 address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkBlock {
    /// For IPv6, the first 48 bits, below a set bit. For IPv4, the first 24 bits.
    bits: u64,
}

const IS_V6: u64 = 1 << 48;

impl NetworkBlock {
    /// Returns the block of an address.
    pub const fn of(address: IpAddr) -> Self {
        let bits = match address.to_canonical() {
            IpAddr::V4(v4) => (v4.to_bits() >> 8) as u64,
            IpAddr::V6(v6) => (v6.to_bits() >> 80) as u64 | IS_V6,
        };
        NetworkBlock { bits }
    }

    /// Returns the block that is written so ([`Display`](fmt::Display)).
    pub fn parse(text: &str) -> Option<Self> {
        let (address, _) = text.split_once('/')?;
        let block = NetworkBlock::of(address.parse().ok()?);
        (block.to_string() == text).then_some(block)
    }

    /// Returns the first address of the block.
    pub const fn first_address(self) -> IpAddr {
        match self.bits & IS_V6 {
            0 => IpAddr::V4(Ipv4Addr::from_bits((self.bits as u32) << 8)),
            _ => IpAddr::V6(Ipv6Addr::from_bits(((self.bits ^ IS_V6) as u128) << 80)),
        }
    }

    /// Returns the block as a number below 2^49, different for each block.
    pub(crate) const fn to_bits(self) -> u64 {
        self.bits
    }

    /// Returns the block with this number.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        NetworkBlock { bits }
    }
}

impl fmt::Display for NetworkBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.first_address();
        let prefix = if address.is_ipv4() { 24 } else { 48 };
        write!(f, "{address}/{prefix}")
    }
}

impl fmt::Debug for NetworkBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_a_24_of_ipv4_and_a_48_of_ipv6() {
        for (address, block) in [
            ("192.0.2.7", "192.0.2.0/24"),
            ("::ffff:192.0.2.7", "192.0.2.0/24"),
            ("255.255.255.255", "255.255.255.0/24"),
            ("0.0.0.1", "0.0.0.0/24"),
            ("2001:db8::1", "2001:db8::/48"),
            ("2001:db8:1:2::1", "2001:db8:1::/48"),
            ("::1", "::/48"),
            ("ffff:ffff:ffff::", "ffff:ffff:ffff::/48"),
        ] {
            let address: IpAddr = address.parse().expect("an address");
            let found = NetworkBlock::of(address);
            assert_eq!(found.to_string(), block);
            assert_eq!(NetworkBlock::from_bits(found.to_bits()), found);
            assert_eq!(NetworkBlock::of(found.first_address()), found);
            assert!(found.to_bits() < 1 << 49);
        }
    }

    #[test]
    fn a_block_is_read_as_it_is_written() {
        for text in ["192.0.2.0/24", "2001:db8:1::/48", "0.0.0.0/24"] {
            let block = NetworkBlock::parse(text).expect("a block");
            assert_eq!(block.to_string(), text);
        }
        for text in [
            "192.0.2.1/24",
            "192.0.2.0/16",
            "2001:db8:1::/64",
            "x/24",
            "192.0.2.0",
            "",
        ] {
            assert_eq!(NetworkBlock::parse(text), None, "{text}");
        }
    }
}
