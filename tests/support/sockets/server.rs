//! A WebSocket server that does only what a test tells it, on a TCP or a Unix socket.

use super::PATIENCE;
use super::incoming::{Event, fill, header_values, next_event, parse_masked, take_head};
use pulsegate::engine::DialAddress;
use pulsegate::wire::frame::{CLOSE, FIN, PONG, TEXT, write_frame};
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
    /// The value of `UPSTREAM` for a gateway before this server.
    pub url: String,
}

/// The server's end of one connection.
pub struct Server {
    socket: Socket,
    input: Vec<u8>,
    /// The head of the request, once it is read.
    pub head: String,
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
        let address = address.expect("an IP address");
        Listener {
            socket,
            address: DialAddress::Tcp(address),
            url: format!("http://{address}"),
        }
    }

    /// Listens on a Unix socket, with a queue for this many connections.
    pub fn unix(path: impl AsRef<Path>, queue: i32) -> Listener {
        let path = path.as_ref();
        let address = SockAddr::unix(path).expect("a short path");
        Listener {
            socket: listening(Domain::UNIX, &address, queue),
            address: DialAddress::Unix(path.to_owned()),
            url: format!("unix:{}", path.display()),
        }
    }

    /// Names its host in the URL.
    pub fn named(mut self, host: &str) -> Listener {
        self.url = format!("http://{host}:{}", self.socket_addr().port());
        self
    }

    /// Returns the address to dial.
    pub fn address(&self) -> DialAddress {
        self.address.clone()
    }

    /// Returns the IP address and port.
    #[track_caller]
    pub fn socket_addr(&self) -> SocketAddr {
        match self.address {
            DialAddress::Tcp(addr) => addr,
            ref other => panic!("{other:?} is no IP address"),
        }
    }

    /// Accepts the next connection.
    #[track_caller]
    pub fn accept(&self) -> Server {
        let (socket, _) = self.socket.accept().expect("a connection in time");
        Server::new(socket)
    }

    /// Accepts the next connection if it is there already.
    #[track_caller]
    pub fn try_accept(&self) -> Option<Server> {
        self.socket.set_nonblocking(true).expect("non-blocking");
        let accepted = self.socket.accept();
        self.socket.set_nonblocking(false).expect("blocking");
        match accepted {
            Ok((socket, _)) => Some(Server::new(socket)),
            Err(e) if e.kind() == ErrorKind::WouldBlock => None,
            Err(e) => panic!("{e}"),
        }
    }

    /// Accepts the next connection and agrees to a WebSocket.
    #[track_caller]
    pub fn open(&self) -> Server {
        let mut server = self.accept();
        server.agree("");
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
    fn new(socket: Socket) -> Server {
        socket
            .set_write_timeout(Some(PATIENCE))
            .expect("a write timeout");
        Server {
            socket,
            input: Vec::new(),
            head: String::new(),
        }
    }

    /// Reads the head of the request.
    #[track_caller]
    pub fn read_head(&mut self) -> &str {
        self.head = take_head(&self.socket, &mut self.input);
        &self.head
    }

    /// Returns the values of a header field of the request, in order.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        header_values(&self.head, name)
    }

    /// Returns the 101 to the request that was read, with these lines, each ended by CRLF.
    #[track_caller]
    pub fn agreement(&self, lines: &str) -> String {
        let key = self.fields("sec-websocket-key");
        let accept = derive_accept_key(key.first().expect("a key").as_bytes());
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n{lines}\r\n"
        )
    }

    /// Reads the request and agrees to a WebSocket, with these lines, each ended by CRLF.
    #[track_caller]
    pub fn agree(&mut self, lines: &str) {
        self.read_head();
        let agreement = self.agreement(lines);
        self.write(agreement.as_bytes());
    }

    /// Reads the request and agrees to a WebSocket; these frames follow in the same write.
    #[track_caller]
    pub fn agree_and_send(&mut self, frames: &[u8]) {
        self.read_head();
        let agreement = self.agreement("");
        self.write(&[agreement.as_bytes(), frames].concat());
    }

    #[track_caller]
    pub fn write(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).expect("written");
    }

    /// Writes if the other end lets it. Returns whether it worked.
    pub fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// Sends a whole frame.
    #[track_caller]
    pub fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.write(&server_frame(opcode, payload));
    }

    #[track_caller]
    pub fn send_text(&mut self, text: &str) {
        self.send(TEXT, text.as_bytes());
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

    /// Reads exactly this many bytes, whatever they are.
    #[track_caller]
    pub fn read_exactly(&mut self, len: usize) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        while self.input.len() < len {
            let end = fill(&self.socket, &mut self.input, deadline);
            assert_eq!(end, None, "after {} bytes", self.input.len());
        }
        self.input.drain(..len).collect()
    }

    /// Reads the close frame of the other end, answers it, and ends the connection.
    #[track_caller]
    pub fn expect_close(mut self) -> (u16, String) {
        match self.next_answering() {
            Event::Close(code, reason) => {
                self.try_write(&server_frame(CLOSE, &code.to_be_bytes()));
                (code, reason)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Asserts that the stream ends, and that only heartbeats come before.
    #[track_caller]
    pub fn expect_end(mut self) {
        let end = self.next_answering();
        assert!(matches!(end, Event::Eof | Event::Reset), "{end:?}");
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
            head: String::new(),
        }
    }
}
