//! Addresses of this machine.

use socket2::{Domain, Socket, Type};
use std::net::{IpAddr, SocketAddr};

/// Returns whether an interface of this machine has the address: only then can a socket be bound to
/// it.
pub(crate) fn is_local_address(ip: IpAddr) -> bool {
    let addr = SocketAddr::new(ip, 0);
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, None);
    ip.is_loopback() || socket.is_ok_and(|socket| socket.bind(&addr.into()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_local_and_an_address_of_the_documentation_is_not() {
        // RFC 5737 §3, RFC 3849.
        for (ip, expected) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("198.51.100.200", false),
            ("2001:db8::200", false),
        ] {
            let ip: IpAddr = ip.parse().expect("an address");
            assert_eq!(is_local_address(ip), expected, "{ip}");
        }
    }
}
