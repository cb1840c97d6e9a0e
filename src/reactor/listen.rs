//! Opening the listener.

use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

/// The most connections that the kernel queues; `net.core.somaxconn` may reduce it.
pub(super) const BACKLOG: i32 = 4_096;

/// Opens a listener: non-blocking, with a backlog of 4 096.
///
/// # Errors The system's error, with the address.
pub fn listen(addr: SocketAddr, reuse_port: bool) -> io::Result<std::net::TcpListener> {
    let open = || {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if reuse_port {
            socket.set_reuse_port(true)?;
        }
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        Ok(std::net::TcpListener::from(socket))
    };
    open().map_err(|e: io::Error| {
        let advice = advice(addr, e.kind());
        let text = format!("cannot listen on {addr}: {e}{advice}");
        io::Error::new(e.kind(), text)
    })
}

/// Returns advice for a failed listen, to append to the error.
fn advice(addr: SocketAddr, refusal: ErrorKind) -> &'static str {
    match refusal {
        ErrorKind::PermissionDenied if (1..1_024).contains(&addr.port()) => {
            ". Ports below 1024 are privileged: use a higher port, let systemd open it (a socket \
             unit), grant CAP_NET_BIND_SERVICE, or lower net.ipv4.ip_unprivileged_port_start"
        }
        ErrorKind::AddrInUse => {
            ". Another process listens on it: end that process, or use another port"
        }
        ErrorKind::AddrNotAvailable => ". No interface of this machine has this address",
        _ => "",
    }
}

/// Returns how much of the backlog that [`listen`] requests is granted by the kernel; `None` where
/// the kernel does not report this.
pub fn granted_backlog() -> Option<u32> {
    let somaxconn = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?;
    Some(somaxconn.trim().parse::<u32>().ok()?.min(BACKLOG as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_port_says_what_to_do() {
        let told = |addr: &str, kind| advice(addr.parse().expect("an address"), kind);
        let denied = ErrorKind::PermissionDenied;
        assert!(told("0.0.0.0:443", denied).contains("CAP_NET_BIND_SERVICE"));
        assert!(told("[::]:1023", denied).contains("socket unit"));
        assert_eq!(told("0.0.0.0:1024", denied), "");
        assert!(told("0.0.0.0:80", ErrorKind::AddrInUse).contains("use another port"));
        // The advice follows the system's message.
        let taken = listen(([127, 0, 0, 1], 0).into(), false).expect("a port");
        let addr = taken.local_addr().expect("an address");
        let error = listen(addr, false).expect_err("it is taken").to_string();
        assert!(
            error.starts_with(&format!("cannot listen on {addr}: ")),
            "{error}"
        );
        assert!(error.contains("Another process listens on it"), "{error}");
    }
}
