//! The step of a turn that connects to servers.

use super::sockets::{Socket, WriteState};
use super::turn::Reactor;
use crate::base::id::ConnId;
use crate::engine::{DialAddress, Handler};
use mio::Interest;
use mio::net::TcpStream;
#[cfg(target_os = "linux")]
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use socket2::{Domain, SockAddr, SockRef, Type};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

impl<H: Handler> Reactor<H> {
    /// Begins the connects that the host has asked for.
    pub(super) fn connect(&mut self) {
        let mut dials = Vec::new();
        self.engine.take_dials(&mut dials);
        // Servers without room: further connects to them would fail, too.
        let mut full: Vec<DialAddress> = Vec::new();
        for (id, address) in dials {
            // The host may have closed it already.
            if !self.engine.is_connecting(id) {
                continue;
            }
            if full.contains(&address) {
                let now = self.clock.now();
                self.engine.on_connect_busy(id, address, now);
                continue;
            }
            match self.begin_connect(id, &address) {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    full.push(address.clone());
                    let now = self.clock.now();
                    self.engine.on_connect_busy(id, address, now);
                }
                Err(e) if super::acceptor::is_out_of_descriptors(&e) => {
                    self.engine.stats_mut().out_of_descriptors += 1;
                    self.engine.on_connect_denied(id, &e, self.clock.now());
                }
                // All ports of this host towards that address are in use (connect(2)).
                Err(e) if e.kind() == ErrorKind::AddrNotAvailable => {
                    self.engine.on_connect_denied(id, &e, self.clock.now());
                }
                Err(e) => self.engine.on_connect_error(id, &e, self.clock.now()),
            }
        }
    }

    /// Opens the socket of a dialled connection, and begins to connect it.
    fn begin_connect(&mut self, id: ConnId, address: &DialAddress) -> io::Result<()> {
        let mut stream = open(address)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        registry.register(&mut stream, id.into(), interest)?;
        let socket = Socket {
            stream,
            write_state: WriteState::Connecting,
            refused: false,
            ready: false,
            closed: false,
        };
        self.hold(id, socket);
        Ok(())
    }

    /// Handles an event of a connecting socket. Writable does not mean connected: the socket's
    /// error decides, then whether it has a peer.
    pub(super) fn check_connect(&mut self, id: ConnId) {
        let Some(Some(socket)) = self.sockets.get_mut(id.slot()) else {
            return;
        };
        let connected = match socket.stream.take_error() {
            Ok(Some(error)) | Err(error) => Err(error),
            Ok(None) => has_peer(&socket.stream),
        };
        let now = self.clock.now();
        match connected {
            Ok(true) => {
                socket.write_state = WriteState::Clear;
                self.engine.on_connected(id, now);
                self.reregister(id);
            }
            Ok(false) => {}
            Err(error) => self.engine.on_connect_error(id, &error, now),
        }
    }
}

/// Returns whether a socket is connected.
///
/// # Errors
/// The system's error; `ConnectionRefused` if the socket is connected to itself. TCP does
/// that (RFC 9293 §3.5, simultaneous open) if nothing listens on the server's port and the kernel
/// chooses this port for our end.
pub(crate) fn has_peer<S: AsFd>(stream: &S) -> io::Result<bool> {
    let socket = SockRef::from(stream);
    let peer = match socket.peer_addr() {
        Ok(peer) => peer,
        Err(e) if e.kind() == ErrorKind::NotConnected => return Ok(false),
        Err(e) => return Err(e),
    };
    match peer.as_socket() {
        Some(peer) if socket.local_addr()?.as_socket() == Some(peer) => {
            Err(ErrorKind::ConnectionRefused.into())
        }
        _ => Ok(true),
    }
}

/// Opens a socket and begins to connect it, for a thread other than the loop's.
///
/// # Errors
/// The system's error; `WouldBlock` if the queue of a Unix socket is full.
#[cfg(feature = "gateway")]
pub(crate) fn begin_connect(address: &DialAddress) -> io::Result<std::net::TcpStream> {
    open(address).map(Into::into)
}

/// Opens a socket and begins to connect it.
fn open(address: &DialAddress) -> io::Result<TcpStream> {
    match address {
        DialAddress::Tcp(addr) => connect_tcp(*addr, None),
        DialAddress::TcpFrom(addr, source) => connect_tcp(*addr, Some(*source)),
        DialAddress::Unix(path) => connect(Domain::UNIX, &SockAddr::unix(path)?, None),
    }
}

fn connect_tcp(addr: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let stream = connect(Domain::for_address(addr), &addr.into(), source)?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(super::acceptor::UNSENT_IN_KERNEL)?;
    Ok(stream)
}

/// Connects without blocking, from this address of the machine if one is given. If the queue of a
/// Unix socket is full, the error is `WouldBlock` (connect(2)).
fn connect(domain: Domain, addr: &SockAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    /// The value on Linux.
    const EINPROGRESS: i32 = nix::libc::EINPROGRESS;
    let socket = socket2::Socket::new(domain, Type::STREAM.nonblocking().cloexec(), None)?;
    if let Some(source) = source {
        // Without this the port would be taken for all destinations, and not for this one alone
        // (ip(7)). A kernel without it has fewer ports.
        #[cfg(target_os = "linux")]
        let _ = setsockopt(&socket, IpBindAddressNoPort, &true);
        let bound = socket.bind(&SocketAddr::new(source, 0).into());
        // Not as if this host had no ports left.
        bound.map_err(|e| io::Error::other(format!("the source address {source}: {e}")))?;
    }
    match socket.connect(addr) {
        Ok(()) => {}
        Err(e) if e.raw_os_error() == Some(EINPROGRESS) => {}
        Err(e) => return Err(e),
    }
    Ok(TcpStream::from_std(socket.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_is_connected_to_itself_has_no_peer() {
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        socket.bind(&any.into()).expect("a free port");
        let own = socket.local_addr().expect("an address");
        socket.connect(&own).expect("a simultaneous open");
        socket.set_nonblocking(true).expect("non-blocking");
        let stream = TcpStream::from_std(socket.into());
        let refused = has_peer(&stream).map_err(|e| e.kind());
        assert_eq!(refused, Err(ErrorKind::ConnectionRefused));
    }
}
