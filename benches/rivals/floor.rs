//! The floor: a WebSocket server that only makes the system calls. It is the lower bound for
//! comparisons.
//!
//! Sockets are in an array. Each gets a prebuilt ping of two bytes once an interval; all pings of
//! one tick of 10 ms are sent in one pass. Each readable event is one read into a shared buffer,
//! and only the handshake looks at the bytes. There are no frames, limits, timeouts (except
//! `--close-after-ms`) or clean closes: it is for measurements only, never for use.
//!
//! ```sh
//! cargo run --release --example floor -- --listen 127.0.0.1:18710 --interval-ms 2000 [--close-after-ms 6000] [--pongs]
//! ```
//!
//! With `--close-after-ms`, a connection that was silent for this time is closed with its tick.
//! This shows how late the machine itself is with a deadline. With `--pongs`, each read is answered
//! by a pong of its last 8 bytes, which is right for a peer that sends only unmasked pings of 8
//! bytes (`benches/scenarios/attack`). Without `--listen` it runs a short self-check and ends.

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tungstenite::handshake::derive_accept_key;

const TICK: Duration = Duration::from_millis(10);
const PING: [u8; 2] = [0x89, 0];
const LISTENER: Token = Token(usize::MAX);
const BACKLOG: i32 = 4_096;

struct Server {
    poll: Poll,
    listener: TcpListener,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// The connections to ping in each tick of the interval; a connection keeps its tick.
    pings: Ring,
    /// The connections to check for silence in each tick; empty unless this is requested.
    deadlines: Ring,
    close_after: Option<Duration>,
    /// Whether each read is answered with a pong.
    pongs: bool,
    start: Instant,
    /// The number of ticks so far.
    ticks: u64,
    buffer: Box<[u8]>,
}

struct Slot {
    stream: Option<TcpStream>,
    open: bool,
    /// When it was last heard: milliseconds since the start, rounded up.
    heard: u32,
    ping_at: u32,
}

/// Slots by tick; the ring wraps after as many ticks as it has entries.
struct Ring(Vec<Vec<u32>>);

impl Ring {
    fn new(span: Duration, beyond: usize) -> Ring {
        let ticks = (span.as_millis() / TICK.as_millis()) as usize + beyond;
        Ring(vec![Vec::new(); ticks.max(1)])
    }

    fn at(&mut self, tick: u64) -> &mut Vec<u32> {
        let places = self.0.len() as u64;
        &mut self.0[(tick % places) as usize]
    }
}

impl Server {
    fn new(
        addr: SocketAddr,
        interval: Duration,
        close_after: Option<Duration>,
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        let mut listener = TcpListener::from_std(socket.into());
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Server {
            poll,
            listener,
            slots: Vec::new(),
            free: Vec::new(),
            pings: Ring::new(interval, 0),
            deadlines: Ring::new(close_after.unwrap_or_default(), 2),
            close_after,
            pongs: false,
            start: Instant::now(),
            ticks: 0,
            buffer: vec![0; 64 * 1024].into_boxed_slice(),
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1_024);
        loop {
            let next = TICK * (self.ticks + 1) as u32;
            let sleep = next.saturating_sub(self.start.elapsed());
            match self.poll.poll(&mut events, Some(sleep)) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            let now = self.start.elapsed();
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(slot) => self.read(slot, event, now),
                }
            }
            while TICK * (self.ticks + 1) as u32 <= now {
                self.ticks += 1;
                self.ping();
                self.close_silent();
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            };
            let slot = self.free.pop().unwrap_or_else(|| {
                self.slots.push(Slot {
                    stream: None,
                    open: false,
                    heard: 0,
                    ping_at: 0,
                });
                self.slots.len() as u32 - 1
            });
            let token = Token(slot as usize);
            self.poll
                .registry()
                .register(&mut stream, token, Interest::READABLE)?;
            self.slots[slot as usize].stream = Some(stream);
        }
    }

    fn read(&mut self, index: usize, event: &Event, now: Duration) {
        let slot = &mut self.slots[index];
        let Some(stream) = &mut slot.stream else {
            return;
        };
        let read = stream.read(&mut self.buffer);
        let lives = !event.is_read_closed() && !event.is_error();
        match read {
            Ok(n) if n > 0 && lives && slot.open => {
                slot.heard = now.as_millis() as u32 + 1;
                if self.pongs && n >= 8 {
                    let mut pong = [0x8A, 8, 0, 0, 0, 0, 0, 0, 0, 0];
                    pong[2..].copy_from_slice(&self.buffer[n - 8..n]);
                    let _ = stream.write(&pong);
                }
            }
            Ok(n) if n > 0 && lives && answer(stream, &self.buffer[..n]) => {
                slot.open = true;
                slot.heard = now.as_millis() as u32 + 1;
                slot.ping_at = (self.ticks % self.pings.0.len() as u64) as u32;
                self.pings.at(self.ticks).push(index as u32);
                self.watch(index, now);
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock && lives => {}
            _ => self.close(index),
        }
    }

    fn ping(&mut self) {
        for slot in self.pings.at(self.ticks) {
            if let Some(stream) = &mut self.slots[*slot as usize].stream {
                // A full socket is ignored: there is no queue here.
                let _ = stream.write(&PING);
            }
        }
    }

    /// Schedules the next check of `index`, in the next whole tick after it would have been silent
    /// for too long.
    fn watch(&mut self, index: usize, now: Duration) {
        let Some(close_after) = self.close_after else {
            return;
        };
        let heard = Duration::from_millis(self.slots[index].heard.into());
        let due = (heard + close_after).max(now);
        let tick = due.as_millis().div_ceil(TICK.as_millis()) as u64;
        self.deadlines
            .at(tick.max(self.ticks + 1))
            .push(index as u32);
    }

    fn close_silent(&mut self) {
        let Some(close_after) = self.close_after else {
            return;
        };
        let now = TICK * self.ticks as u32;
        for index in std::mem::take(self.deadlines.at(self.ticks)) {
            let slot = &self.slots[index as usize];
            let heard = Duration::from_millis(slot.heard.into());
            if heard + close_after > now {
                self.watch(index as usize, now);
            } else {
                self.close(index as usize);
            }
        }
    }

    fn close(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        if slot.stream.take().is_none() {
            return;
        }
        if std::mem::take(&mut slot.open) {
            let at = slot.ping_at.into();
            self.pings.at(at).retain(|other| *other != index as u32);
        }
        // A slot that is watched is not reused: its next connection would be watched twice.
        if self.close_after.is_none() {
            self.free.push(index as u32);
        }
    }
}

/// Answers the handshake; returns `false` if the bytes are no request for it, or only a part of
/// one.
fn answer(stream: &mut TcpStream, head: &[u8]) -> bool {
    const NAME: &str = "sec-websocket-key:";
    let head = String::from_utf8_lossy(head);
    let key = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_at_checked(NAME.len())?;
        name.eq_ignore_ascii_case(NAME).then(|| value.trim())
    });
    let (Some(key), true) = (key, head.ends_with("\r\n\r\n")) else {
        return false;
    };
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    );
    stream
        .write(response.as_bytes())
        .is_ok_and(|n| n == response.len())
}

/// Runs a client of its own: it connects, is pinged twice, answers both, falls silent, and is
/// closed on time.
fn check_itself() -> io::Result<()> {
    const CLOSE_AFTER: Duration = Duration::from_millis(200);
    let mut server = Server::new(
        ([127, 0, 0, 1], 0).into(),
        Duration::from_millis(50),
        Some(CLOSE_AFTER),
    )?;
    let addr = server.listener.local_addr()?;
    std::thread::spawn(move || server.run());

    let mut client = std::net::TcpStream::connect(addr)?;
    client.set_read_timeout(Some(Duration::from_secs(5)))?;
    client.write_all(
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    // The example of RFC 6455 §1.3.
    assert!(
        head.starts_with("HTTP/1.1 101 ") && head.contains(": s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")
    );
    let mut frame = [0; 2];
    let mut heard = Instant::now();
    for _ in 0..2 {
        client.read_exact(&mut frame)?;
        assert_eq!(frame, PING);
        heard = Instant::now();
        client.write_all(&[0x8A, 0x80, 1, 2, 3, 4])?;
    }
    let mut rest = Vec::new();
    client.read_to_end(&mut rest)?;
    let silent = heard.elapsed();
    assert!(rest.chunks(2).all(|frame| frame == PING));
    assert!(silent >= CLOSE_AFTER, "closed after {silent:?}");
    println!("the floor works: pinged, and closed after {silent:.1?} of silence");
    Ok(())
}

fn main() -> ExitCode {
    let (mut listen, mut interval, mut close_after) = (None, Duration::from_secs(15), None);
    let mut pongs = false;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|value| value.parse().ok());
        match arg.as_str() {
            "--interval-ms" => interval = number().map_or(interval, Duration::from_millis),
            "--close-after-ms" => close_after = number().map(Duration::from_millis),
            "--listen" => listen = args.next(),
            "--pongs" => pongs = true,
            other => {
                eprintln!("floor: unknown argument {other}");
                return ExitCode::FAILURE;
            }
        }
    }
    let outcome = match listen.map(|addr| addr.parse()) {
        None => check_itself(),
        Some(Ok(addr)) => Server::new(addr, interval, close_after).and_then(|mut server| {
            server.pongs = pongs;
            println!("listening on {}", server.listener.local_addr()?);
            server.run()
        }),
        Some(Err(e)) => Err(io::Error::new(ErrorKind::InvalidInput, e)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("floor: {e}");
            ExitCode::FAILURE
        }
    }
}
