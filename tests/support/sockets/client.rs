//! A WebSocket client that does only what a test tells it, including what a correct client would
//! not do.

use super::PATIENCE;
use super::incoming::{Event, fill, next_event, parse, take_head};
use pulsegate::wire::frame::{CLOSE, FIN, PONG, TEXT, write_frame};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A response to a plain request.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Returns the upgrade request for a path and query.
pub fn upgrade(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// The answer to the key `dGhlIHNhbXBsZSBub25jZQ==` (RFC 6455 §1.3).
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Returns a whole final frame, masked.
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_frame(&mut bytes, FIN | opcode, payload, Some(MASK));
    bytes
}

/// Returns whether a response head is the right answer to [`upgrade`].
pub fn is_switching(head: &str) -> bool {
    head.starts_with("HTTP/1.1 101 ") && head.contains(ACCEPT)
}

/// A blocking client.
pub struct Client {
    pub stream: TcpStream,
    input: Vec<u8>,
}

impl Client {
    /// Connects, and sends nothing.
    #[track_caller]
    pub fn connect(addr: SocketAddr) -> Client {
        Self::connect_with(addr, None)
    }

    /// Connects with a receive buffer of this size, which must be set before the window is first
    /// offered.
    #[track_caller]
    pub fn connect_with(addr: SocketAddr, receive_buffer: Option<usize>) -> Client {
        let socket = Self::socket(addr);
        if let Some(size) = receive_buffer {
            socket
                .set_recv_buffer_size(size)
                .expect("a receive buffer size");
        }
        Self::connected(socket, addr)
    }

    /// Connects from an address of this machine, such as 127.0.0.2.
    #[track_caller]
    pub fn connect_from(source: [u8; 4], addr: SocketAddr) -> Client {
        let socket = Self::socket(addr);
        let source = SocketAddr::from((source, 0));
        socket.bind(&source.into()).expect("an address of loopback");
        Self::connected(socket, addr)
    }

    fn socket(addr: SocketAddr) -> Socket {
        Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP)).expect("a socket")
    }

    #[track_caller]
    fn connected(socket: Socket, addr: SocketAddr) -> Client {
        socket
            .connect_timeout(&addr.into(), PATIENCE)
            .expect("connected");
        socket.set_tcp_nodelay(true).expect("TCP_NODELAY");
        let stream = TcpStream::from(socket);
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a write timeout");
        Client {
            stream,
            input: Vec::new(),
        }
    }

    /// Connects and opens a WebSocket.
    #[track_caller]
    pub fn open(addr: SocketAddr, path: &str) -> Client {
        Self::connect(addr).upgraded(path)
    }

    /// Opens a WebSocket on a connection that has sent nothing yet.
    #[track_caller]
    pub fn upgraded(mut self, path: &str) -> Client {
        self.write(upgrade(path).as_bytes());
        self.switched();
        self
    }

    /// Reads the response to an upgrade request that was sent. Returns its head.
    #[track_caller]
    pub fn switched(&mut self) -> String {
        let head = self.head();
        assert!(is_switching(&head), "{head}");
        head
    }

    /// Sends a GET without an upgrade and reads the response to its end.
    #[track_caller]
    pub fn get(addr: SocketAddr, path: &str) -> Response {
        let mut client = Self::connect(addr);
        client.write(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
        client.response()
    }

    /// Requests an upgrade that will be refused.
    #[track_caller]
    pub fn refused(addr: SocketAddr, path: &str) -> Response {
        let mut client = Self::connect(addr);
        client.write(upgrade(path).as_bytes());
        client.response()
    }

    /// Reads a response with its body, and the end of the stream after it.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        let head = self.head();
        let deadline = Instant::now() + PATIENCE;
        let end = loop {
            if let Some(end) = fill(&self.stream, &mut self.input, deadline) {
                break end;
            }
        };
        assert_eq!(end, Event::Eof, "{head}");
        let body = String::from_utf8(std::mem::take(&mut self.input)).expect("UTF-8");
        let response = Response {
            status: head[9..12].parse().expect("a status"),
            head,
            body,
        };
        let length = response.header("content-length").expect("Content-Length");
        assert_eq!(length.parse(), Ok(response.body.len()), "{response:?}");
        response
    }

    /// Reads the head of an answer, whatever follows it.
    #[track_caller]
    pub fn refusal(&mut self) -> String {
        self.head()
    }

    /// Returns whether the connection ends without a byte.
    #[track_caller]
    pub fn ends_unanswered(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        self.input.is_empty() && fill(&self.stream, &mut self.input, deadline).is_some()
    }

    #[track_caller]
    fn head(&mut self) -> String {
        take_head(&self.stream, &mut self.input)
    }

    #[track_caller]
    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("written");
    }

    /// Writes if the server lets it: it may have closed the connection, for a good reason. Returns
    /// whether it worked.
    pub fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    #[track_caller]
    pub fn send_text(&mut self, text: &str) {
        self.write(&frame(TEXT, text.as_bytes()));
    }

    /// Returns the next event, except the gateway's acknowledgement of a new connection.
    #[track_caller]
    pub fn next(&mut self) -> Event {
        loop {
            match self.next_or_ack() {
                Event::Text(text) if text.contains("connection_ack") => {}
                event => return event,
            }
        }
    }

    /// Returns the next event.
    #[track_caller]
    pub fn next_or_ack(&mut self) -> Event {
        next_event(&self.stream, &mut self.input, parse)
    }

    /// Returns the next event that is not a heartbeat; heartbeats are answered.
    #[track_caller]
    pub fn next_answering(&mut self) -> Event {
        loop {
            match self.next() {
                // The server may be gone meanwhile: then the next read reports it.
                Event::Ping(payload) => drop(self.try_write(&frame(PONG, &payload))),
                event => return event,
            }
        }
    }

    /// Returns the next event that is not a heartbeat, and the number of heartbeats; none is
    /// answered.
    #[track_caller]
    pub fn next_mute(&mut self) -> (usize, Event) {
        let mut pings = 0;
        loop {
            match self.next() {
                Event::Ping(_) => pings += 1,
                event => return (pings, event),
            }
        }
    }

    /// Sends a text and asserts that the next event is its echo.
    #[track_caller]
    pub fn expect_echo(&mut self, text: &str) {
        self.send_text(text);
        assert_eq!(self.next_answering(), Event::Text(text.to_owned()));
    }

    /// Reads the server's close frame, answers it, and reads the end.
    #[track_caller]
    pub fn expect_close(&mut self) -> (u16, String) {
        match self.next_answering() {
            Event::Close(code, reason) => {
                self.try_write(&frame(CLOSE, &code.to_be_bytes()));
                let end = self.next();
                assert!(matches!(end, Event::Eof | Event::Reset), "{end:?}");
                (code, reason)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Reads at most `most` bytes, whatever they are. Returns how many; 0 at the end of the stream.
    #[track_caller]
    pub fn read_some(&mut self, most: usize) -> usize {
        self.stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a read timeout");
        let mut buffer = vec![0; most];
        let len = self.stream.read(&mut buffer).expect("bytes");
        self.input.extend(&buffer[..len]);
        len
    }

    /// Reads at most `most` bytes, whatever they are; none at the end of the stream.
    #[track_caller]
    pub fn read_up_to(&mut self, most: usize) -> Vec<u8> {
        if self.input.is_empty() {
            self.read_some(most);
        }
        let len = most.min(self.input.len());
        self.input.drain(..len).collect()
    }

    /// Returns the bytes that were read and are not a whole frame yet.
    pub fn unparsed(&self) -> usize {
        self.input.len()
    }

    /// Returns a second handle to the same connection, to write while this one reads.
    pub fn writer(&self) -> Client {
        Client {
            stream: self.stream.try_clone().expect("another descriptor"),
            input: Vec::new(),
        }
    }

    pub fn send_fin(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("FIN");
    }

    /// Holds what is written until [`Client::uncork`] or the end.
    pub fn cork(&mut self) {
        SockRef::from(&self.stream)
            .set_tcp_cork(true)
            .expect("TCP_CORK");
    }

    /// Ends the connection with an RST.
    pub fn reset(self) {
        SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .expect("SO_LINGER");
    }
}
