//! The step of a turn that connects to servers.

use super::sockets::{Socket, WriteState};
use super::turn::Reactor;
use crate::base::id::ConnId;
use crate::engine::{DialAddress, Handler};
use mio::Interest;
use mio::net::TcpStream;
use socket2::{Domain, SockAddr, SockRef, Type};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

impl<H: Handler> Reactor<H> {
    /// Begins the connects that the host has asked for.
    pub(super) fn connect(&mut self) {
        let mut dials = Vec::new();
        self.engine.take_dials(&mut dials);
        for (id, address) in dials {
            // The host may have closed it already.
            if !self.engine.is_connecting(id) {
                continue;
            }
            let opened = open(&address).and_then(|mut stream| {
                let interest = Interest::READABLE | Interest::WRITABLE;
                self.poll
                    .registry()
                    .register(&mut stream, id.into(), interest)?;
                Ok(stream)
            });
            match opened {
                Ok(stream) => self.hold(
                    id,
                    Socket {
                        stream,
                        write_state: WriteState::Connecting,
                        refused: false,
                        ready: false,
                        closed: false,
                    },
                ),
                Err(e) => {
                    let ran_out = u64::from(super::acceptor::is_out_of_descriptors(&e));
                    self.engine.stats_mut().out_of_descriptors += ran_out;
                    self.engine.on_connect_error(id, &e, self.clock.now());
                }
            }
        }
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
fn has_peer(stream: &TcpStream) -> io::Result<bool> {
    match SockRef::from(stream).peer_addr() {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotConnected => Ok(false),
        Err(e) => Err(e),
    }
}

/// Opens a socket and begins to connect it.
fn open(address: &DialAddress) -> io::Result<TcpStream> {
    match address {
        DialAddress::Tcp(addr) => connect_tcp(*addr),
        DialAddress::Unix(path) => connect(Domain::UNIX, &SockAddr::unix(path)?),
    }
}

fn connect_tcp(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = connect(Domain::for_address(addr), &addr.into())?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(super::acceptor::UNSENT_IN_KERNEL)?;
    Ok(stream)
}

/// Connects without blocking. A Unix socket whose server has a full backlog fails at once.
fn connect(domain: Domain, addr: &SockAddr) -> io::Result<TcpStream> {
    /// The value on Linux.
    const EINPROGRESS: i32 = nix::libc::EINPROGRESS;
    let socket = socket2::Socket::new(domain, Type::STREAM.nonblocking().cloexec(), None)?;
    match socket.connect(addr) {
        Ok(()) => {}
        Err(e) if e.raw_os_error() == Some(EINPROGRESS) => {}
        Err(e) => return Err(e),
    }
    Ok(TcpStream::from_std(socket.into()))
}
