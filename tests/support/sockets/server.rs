//! A WebSocket server that does only what a test tells it, on a TCP or a Unix socket.

use super::PATIENCE;
use super::incoming::{Event, fill, next_event, parse_masked, take_head};
use pulsegate::engine::DialAddress;
use pulsegate::wire::frame::{FIN, PONG, TEXT, write_frame};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};
use tungstenite::handshake::derive_accept_key;

/// A listener whose connections a test accepts one by one.
pub struct Listener {
    socket: Socket,
    address: DialAddress,
}

/// The end of the server of one connection.
pub struct Server {
    socket: Socket,
    input: Vec<u8>,
}

/// Returns a whole final frame, without a mask.
pub fn server_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_frame(&mut bytes, FIN | opcode, payload, None);
    bytes
}

impl Listener {
    /// Listens on a free port.
    pub fn tcp() -> Listener {
        Self::tcp_with_queue(128)
    }

    /// Listens on a free port, with a queue for this many connections.
    pub fn tcp_with_queue(queue: i32) -> Listener {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let socket = listening(Domain::IPV4, &any.into(), queue);
        let address = socket.local_addr().expect("an address").as_socket();
        Listener {
            socket,
            address: DialAddress::Tcp(address.expect("an IP address")),
        }
    }

    /// Listens on a Unix socket, with a queue for this many connections.
    pub fn unix(path: impl AsRef<Path>, queue: i32) -> Listener {
        let path = path.as_ref();
        let address = SockAddr::unix(path).expect("a short path");
        Listener {
            socket: listening(Domain::UNIX, &address, queue),
            address: DialAddress::Unix(path.to_owned()),
        }
    }

    /// Returns the address to dial.
    pub fn address(&self) -> DialAddress {
        self.address.clone()
    }

    /// Accepts the next connection.
    #[track_caller]
    pub fn accept(&self) -> Server {
        let accepted = self.socket.accept().expect("a connection in time");
        let socket = accepted.0;
        socket
            .set_write_timeout(Some(PATIENCE))
            .expect("a write timeout");
        Server {
            socket,
            input: Vec::new(),
        }
    }

    /// Accepts the next connection and agrees to a WebSocket.
    #[track_caller]
    pub fn open(&self) -> Server {
        let mut server = self.accept();
        server.agree(b"");
        server
    }

    /// Fills the queue. Returns what fills it.
    pub fn fill(&self) -> Vec<Socket> {
        let address = self.socket.local_addr().expect("an address");
        let connect = || {
            let socket = Socket::new(address.domain(), Type::STREAM, None).expect("a socket");
            socket.set_nonblocking(true).expect("non-blocking");
            let connected = socket.connect(&address);
            (socket, connected.err().map(|e| e.kind()))
        };
        let mut sockets = Vec::new();
        // TCP does not say that its queue is full: it answers nothing.
        for _ in 0..8 {
            let (socket, error) = connect();
            sockets.push(socket);
            if error == Some(ErrorKind::WouldBlock) && address.is_unix() {
                break;
            }
        }
        sockets
    }
}

fn listening(domain: Domain, address: &SockAddr, queue: i32) -> Socket {
    let socket = Socket::new(domain, Type::STREAM, None).expect("a socket");
    socket.bind(address).expect("a free address");
    socket.listen(queue).expect("a listener");
    // It bounds the wait for a connection, too (socket(7)).
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

impl Server {
    /// Reads the head of the request.
    #[track_caller]
    pub fn request(&mut self) -> String {
        take_head(&self.socket, &mut self.input)
    }

    /// Reads the request and agrees to a WebSocket; these bytes follow in the same write.
    #[track_caller]
    pub fn agree(&mut self, tail: &[u8]) {
        let request = self.request();
        let key = request
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        let accept = derive_accept_key(key.expect("a key").as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.write(&[head.as_bytes(), tail].concat());
    }

    #[track_caller]
    pub fn write(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).expect("written");
    }

    #[track_caller]
    pub fn send_text(&mut self, text: &str) {
        self.write(&server_frame(TEXT, text.as_bytes()));
    }

    /// Returns the next event.
    #[track_caller]
    pub fn next(&mut self) -> Event {
        next_event(&self.socket, &mut self.input, parse_masked)
    }

    /// Returns the next event that is not a heartbeat; heartbeats are answered.
    #[track_caller]
    pub fn next_answering(&mut self) -> Event {
        loop {
            match self.next() {
                Event::Ping(payload) => {
                    // The other end may be gone: then the next read reports it.
                    self.try_write(&server_frame(PONG, &payload));
                }
                event => return event,
            }
        }
    }

    /// Reads at most `most` bytes, whatever they are; none at the end of the stream.
    #[track_caller]
    pub fn read_up_to(&mut self, most: usize) -> Vec<u8> {
        if self.input.is_empty() {
            let end = fill(&self.socket, &mut self.input, Instant::now() + PATIENCE);
            assert_ne!(end, Some(Event::Reset));
        }
        let len = most.min(self.input.len());
        self.input.drain(..len).collect()
    }

    /// Writes if the other end lets it. Returns whether it worked.
    pub fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// Returns whether neither a byte nor the end of the stream is there.
    #[track_caller]
    pub fn is_quiet(&mut self) -> bool {
        self.socket.set_nonblocking(true).expect("non-blocking");
        let read = self.socket.read(&mut [0]);
        self.socket.set_nonblocking(false).expect("blocking");
        self.input.is_empty() && read.is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
    }

    pub fn send_fin(&mut self) {
        self.socket.shutdown(Shutdown::Write).expect("FIN");
    }

    /// Ends the connection with an RST. On a Unix socket, unread bytes do the same (unix(7)).
    pub fn reset(self) {
        self.socket
            .set_linger(Some(Duration::ZERO))
            .expect("SO_LINGER");
    }

    /// Returns a second handle to the same connection, to write while this one reads.
    pub fn writer(&self) -> Server {
        Server {
            socket: self.socket.try_clone().expect("another descriptor"),
            input: Vec::new(),
        }
    }
}
