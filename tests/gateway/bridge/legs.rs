//! A service that does only what a test tells it, and a gateway in front of it.

use crate::sockets::{
    Client, Event, Gateway, PATIENCE, eventually, fill, next_event, parse_masked, server_frame,
    take_head, upgrade,
};
use pulsegate::wire::frame::{CLOSE, PONG, TEXT};
use serde_json::Value;
use socket2::SockRef;
use std::io::{ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};
use tungstenite::handshake::derive_accept_key;

/// The listener of the service.
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A service: it listens, and a test accepts each connection.
pub struct Service {
    listener: Listener,
    /// The value of `UPSTREAM`.
    pub url: String,
}

impl Service {
    /// Listens on a free port of this address.
    pub fn at(addr: &str) -> Service {
        let listener = TcpListener::bind((addr, 0)).expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        listener.set_nonblocking(true).expect("non-blocking");
        Service {
            listener: Listener::Tcp(listener),
            url,
        }
    }

    /// Listens on a Unix socket.
    pub fn at_path(path: &Path) -> Service {
        let listener = UnixListener::bind(path).expect("a new socket");
        listener.set_nonblocking(true).expect("non-blocking");
        Service {
            listener: Listener::Unix(listener),
            url: format!("unix:{}", path.display()),
        }
    }

    /// Names its host in `UPSTREAM`.
    pub fn named(mut self, host: &str) -> Service {
        self.url = format!("http://{host}:{}", self.addr().port());
        self
    }

    pub fn addr(&self) -> SocketAddr {
        match &self.listener {
            Listener::Tcp(listener) => listener.local_addr().expect("an address"),
            Listener::Unix(_) => panic!("a Unix socket has no address"),
        }
    }

    /// Returns the connection that waits, if one does.
    pub fn try_accept(&self) -> Option<Leg> {
        let stream = match &self.listener {
            Listener::Tcp(listener) => match listener.accept() {
                Ok((stream, _)) => stream,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return None,
                Err(e) => panic!("{e}"),
            },
            Listener::Unix(listener) => match listener.accept() {
                Ok((stream, _)) => TcpStream::from(OwnedFd::from(stream)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return None,
                Err(e) => panic!("{e}"),
            },
        };
        stream.set_nonblocking(false).expect("blocking");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a write timeout");
        Some(Leg {
            stream,
            input: Vec::new(),
            head: String::new(),
        })
    }

    /// Accepts the gateway's next connection.
    #[track_caller]
    pub fn accept(&self) -> Leg {
        eventually("a connection to the service", || self.try_accept())
    }
}

/// The service's end of one connection from the gateway.
pub struct Leg {
    pub stream: TcpStream,
    input: Vec<u8>,
    /// The head of the request, once it is read.
    pub head: String,
}

impl Leg {
    /// Reads the head of the request.
    #[track_caller]
    pub fn read_head(&mut self) -> &str {
        self.head = take_head(&self.stream, &mut self.input);
        &self.head
    }

    /// Returns the values of a header field of the request, in order.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let named = fields.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value).collect()
    }

    /// Returns the 101 to the request that was read, with these lines, each ended by CRLF.
    pub fn agreement(&self, lines: &str) -> String {
        let key = self.fields("sec-websocket-key");
        let accept = derive_accept_key(key.first().expect("a key").as_bytes());
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n{lines}\r\n"
        )
    }

    /// Reads the request and accepts it with these lines.
    #[track_caller]
    pub fn agree(&mut self, lines: &str) {
        self.read_head();
        let agreement = self.agreement(lines);
        self.write(agreement.as_bytes());
    }

    #[track_caller]
    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("written");
    }

    /// Sends a whole frame.
    #[track_caller]
    pub fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.write(&server_frame(opcode, payload));
    }

    /// Returns the next event that is not a heartbeat; heartbeats are answered.
    #[track_caller]
    pub fn next(&mut self) -> Event {
        loop {
            match self.next_or_ping() {
                Event::Ping(payload) => {
                    // The gateway may be gone meanwhile: then the next read reports it.
                    let _ = self.stream.write_all(&server_frame(PONG, &payload));
                }
                event => return event,
            }
        }
    }

    /// Returns the next event.
    #[track_caller]
    pub fn next_or_ping(&mut self) -> Event {
        next_event(&self.stream, &mut self.input, parse_masked)
    }

    /// Reads this many bytes, whatever they are.
    #[track_caller]
    pub fn read_exactly(&mut self, len: usize) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        while self.input.len() < len {
            let end = fill(&self.stream, &mut self.input, deadline);
            assert_eq!(end, None, "after {} bytes", self.input.len());
        }
        self.input.drain(..len).collect()
    }

    /// Reads the gateway's close frame, answers it, and ends the connection.
    #[track_caller]
    pub fn expect_close(mut self) -> (u16, String) {
        match self.next() {
            Event::Close(code, reason) => {
                let _ = self
                    .stream
                    .write_all(&server_frame(CLOSE, &code.to_be_bytes()));
                (code, reason)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Asserts that the stream ends without a further byte, but heartbeats.
    #[track_caller]
    pub fn expect_end(mut self) {
        let end = self.next();
        assert!(matches!(end, Event::Eof | Event::Reset), "{end:?}");
    }

    pub fn send_fin(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("FIN");
    }

    /// Ends the connection with an RST.
    pub fn reset(self) {
        SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .expect("SO_LINGER");
    }
}

/// A gateway in front of a service.
pub struct Bridge {
    pub gateway: Gateway,
    pub service: Service,
}

/// Settings under which no heartbeat is sent during a test, and closes are quick.
const QUIET: [(&str, &str); 5] = [
    ("DRAIN_MS", "0"),
    ("HEARTBEAT_INTERVAL_MS", "60000"),
    ("CONNECTION_TIMEOUT_MS", "180000"),
    ("UPSTREAM_HEARTBEAT_INTERVAL_MS", "60000"),
    ("UPSTREAM_CONNECTION_TIMEOUT_MS", "180000"),
];

impl Bridge {
    /// Starts a gateway without heartbeats, and with these settings.
    pub fn start(settings: &[(&str, &str)]) -> Bridge {
        Self::before(Service::at("127.0.0.1"), settings)
    }

    /// Starts a gateway in front of this service.
    pub fn before(service: Service, settings: &[(&str, &str)]) -> Bridge {
        let upstream = [("UPSTREAM", service.url.as_str())];
        let gateway = Gateway::start(&[&QUIET[..], &upstream, settings].concat());
        Bridge { gateway, service }
    }

    /// Sends a client's upgrade request with these lines, each ended by CRLF.
    #[track_caller]
    pub fn ask(&self, path: &str, lines: &str) -> Client {
        let mut client = Client::connect(self.gateway.addr);
        client.write(request(path, lines).as_bytes());
        client
    }

    /// Opens a pair: a client, and the service's end of its connection to the upstream.
    #[track_caller]
    pub fn pair(&self) -> (Client, Leg) {
        let mut client = self.ask("/", "");
        let mut leg = self.service.accept();
        leg.agree("");
        client.switched();
        (client, leg)
    }

    /// Asserts that texts pass both ways.
    #[track_caller]
    pub fn assert_linked(client: &mut Client, leg: &mut Leg) {
        client.send_text("to the service");
        assert_eq!(leg.next(), Event::Text("to the service".to_owned()));
        leg.send(TEXT, b"to the client");
        let event = client.next_answering();
        assert_eq!(event, Event::Text("to the client".to_owned()));
    }

    /// Waits for the record of the only ended connection of this class.
    #[track_caller]
    pub fn record(&self, class: &str) -> Value {
        eventually(&format!("the record of a {class}"), || {
            let list = self.gateway.api("/api/v1/closed");
            let records = list["closed"].as_array().expect("a list");
            let of_class: Vec<_> = records.iter().filter(|r| names(r, class)).collect();
            assert!(of_class.len() <= 1, "{list}");
            of_class.first().map(|record| Value::clone(record))
        })
    }

    /// Asserts how the only pair has ended, in its two records and in the log.
    #[track_caller]
    pub fn assert_ended(&self, client: Told, upstream: Told) {
        let records = ["client", "upstream"].map(|class| self.record(class));
        for ((record, told), partner) in records.iter().zip([client, upstream]).zip([1, 0]) {
            told.assert_is(record);
            assert_eq!(record["partner"], records[partner]["id"], "{record}");
            let id = record["id"].as_str().expect("an id");
            let line = self.gateway.line(&["close ", &format!(" id={id} ")]);
            for (key, value) in [("cause", told.cause), ("code", told.code), ("by", told.by)] {
                assert_eq!(crate::sockets::field(&line, key), Some(value), "{line}");
            }
            let partner = records[partner]["id"].as_str().expect("an id");
            assert!(line.ends_with(&format!(" partner={partner}")), "{line}");
        }
    }
}

/// Returns whether a record is of this class; `none`: of no class.
fn names(record: &Value, class: &str) -> bool {
    record["class"].as_str().unwrap_or("none") == class
}

/// What is told of the end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    pub cause: &'static str,
    pub code: &'static str,
    pub by: &'static str,
    /// The beginning of the reason.
    pub reason: &'static str,
    pub clean: bool,
}

impl Told {
    /// Returns an end without a closing handshake.
    pub fn unclean(
        cause: &'static str,
        code: &'static str,
        by: &'static str,
        reason: &'static str,
    ) -> Told {
        Told {
            cause,
            code,
            by,
            reason,
            clean: false,
        }
    }

    /// Returns an end with a complete closing handshake.
    pub fn clean(
        cause: &'static str,
        code: &'static str,
        by: &'static str,
        reason: &'static str,
    ) -> Told {
        Told {
            clean: true,
            ..Told::unclean(cause, code, by, reason)
        }
    }

    #[track_caller]
    pub fn assert_is(&self, record: &Value) {
        let of = |key: &str| record[key].as_str().unwrap_or_default();
        let seen = (of("cause"), of("code"), of("by"), &record["clean"]);
        let told = (self.cause, self.code, self.by, &Value::Bool(self.clean));
        assert_eq!(seen, told, "{record}");
        let reason = of("reason");
        let is_right = match self.reason {
            "" => reason.is_empty(),
            start => reason.starts_with(start),
        };
        assert!(is_right, "{reason:?}, not {:?}", self.reason);
    }
}

/// Returns an upgrade request with these lines, each ended by CRLF.
pub fn request(path: &str, lines: &str) -> String {
    let request = upgrade(path);
    let head = request.strip_suffix("\r\n").expect("an empty line");
    format!("{head}{lines}\r\n")
}
