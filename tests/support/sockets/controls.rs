//! Well-behaved clients: whatever is done to the server beside them, they must not be affected.

use super::client::{frame, is_switching, upgrade};
use super::incoming::{Event, head_len, parse};
use super::{PATIENCE, eventually};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use pulsegate::wire::frame::{CLOSE, PING, PONG};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Clients on one thread that answer every ping.
pub struct Controls {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Vec<Control>>>,
}

#[derive(Default)]
struct Shared {
    order: AtomicU32,
    /// Clients that were answered 101.
    open: AtomicU64,
    /// The least number of pings that any client has answered.
    answered: AtomicU64,
    /// Clients that have got a close frame or the end of the stream.
    over: AtomicU64,
}

const GO_ON: u32 = 0;
/// Check that all clients are still served, and end.
const FINISH: u32 = 1;
/// Wait until all clients are closed, and end.
const WAIT_FOR_END: u32 = 2;
/// End without checks.
const GIVE_UP: u32 = 3;

/// The state of one client.
#[derive(Debug)]
pub struct Control {
    pub path: String,
    stream: Option<TcpStream>,
    input: Vec<u8>,
    open: bool,
    pub pings: u64,
    pub answered: u64,
    /// Whether a ping of its own was answered.
    proof: bool,
    pub close: Option<(u16, String, Instant)>,
    pub end: Option<Event>,
}

impl Controls {
    /// The default number of clients.
    pub const MANY: usize = 50;

    /// Starts fifty, on paths below `/control/…` of a [`Host`](super::Host).
    pub fn start(addr: SocketAddr) -> Controls {
        Self::start_with(addr, Self::MANY, |i| format!("/control/{i}"))
    }

    /// Starts fifty of both kinds that the gateway knows.
    pub fn start_at_gateway(addr: SocketAddr) -> Controls {
        Self::start_with(addr, Self::MANY, |i| match i % 3 {
            0 => format!("/glasses-ws?user=control-{i}"),
            1 => format!("/tpa-ws?user=control-{i}&package=com.example.control"),
            _ => format!("/app-ws?user=control-{i}&package=com.example.control"),
        })
    }

    /// Starts this many; returns when all of them are open.
    pub fn start_with(addr: SocketAddr, many: usize, path: impl Fn(usize) -> String) -> Controls {
        let shared = Arc::new(Shared::default());
        let controls: Vec<_> = (0..many).map(|i| Control::connect(addr, path(i))).collect();
        let thread = std::thread::Builder::new()
            .name("controls".to_owned())
            .spawn({
                let shared = shared.clone();
                move || run(controls, &shared)
            })
            .expect("a thread");
        let started = Controls {
            shared,
            thread: Some(thread),
        };
        eventually("the control clients are open", || {
            started.check();
            (started.shared.open.load(SeqCst) == many as u64).then_some(())
        });
        started
    }

    /// Waits until each has answered `more` pings from now on.
    pub fn await_pings(&self, more: u64) {
        let wanted = self.shared.answered.load(SeqCst) + more;
        eventually("the control clients are pinged", || {
            self.check();
            (self.shared.answered.load(SeqCst) >= wanted).then_some(())
        });
    }

    /// Returns how many have been closed.
    pub fn over(&self) -> u64 {
        self.shared.over.load(SeqCst)
    }

    /// Asserts that no client was closed, that each was pinged and has answered every ping, and
    /// that each is still served now.
    pub fn finish(mut self) {
        for control in self.join(FINISH) {
            assert_eq!(
                (&control.close, &control.end),
                (&None, &None),
                "{control:?}"
            );
            assert!(control.pings > 0, "{control:?} was never pinged");
            assert_eq!(control.pings, control.answered, "{control:?}");
            assert!(control.proof, "{control:?} is not served any more");
        }
    }

    /// Waits until the server has closed all of them.
    pub fn wait_for_end(mut self) -> Vec<Control> {
        self.join(WAIT_FOR_END)
    }

    fn join(&mut self, order: u32) -> Vec<Control> {
        self.shared.order.store(order, SeqCst);
        let thread = self.thread.take().expect("joined once");
        match thread.join() {
            Ok(controls) => controls,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Fails if the thread has ended: it ends by itself only by a panic.
    fn check(&self) {
        let dead = self.thread.as_ref().is_some_and(JoinHandle::is_finished);
        assert!(!dead, "the control clients have panicked");
    }
}

impl Drop for Controls {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.shared.order.store(GIVE_UP, SeqCst);
        }
    }
}

fn run(mut controls: Vec<Control>, shared: &Shared) -> Vec<Control> {
    let mut poll = Poll::new().expect("epoll");
    for (i, control) in controls.iter_mut().enumerate() {
        if let Some(stream) = &mut control.stream {
            poll.registry()
                .register(stream, Token(i), Interest::READABLE)
                .expect("registered");
        }
    }
    let mut events = Events::with_capacity(64);
    let mut deadline = None;
    loop {
        match poll.poll(&mut events, Some(Duration::from_millis(20))) {
            Err(e) if e.kind() != ErrorKind::Interrupted => panic!("{e}"),
            _ => {}
        }
        for event in &events {
            controls[event.token().0].read();
        }
        let over = controls.iter().filter(|c| c.is_over()).count();
        shared.over.store(over as u64, SeqCst);
        let open = controls.iter().filter(|c| c.open).count();
        shared.open.store(open as u64, SeqCst);
        let answered = controls.iter().map(|c| c.answered).min();
        shared.answered.store(answered.unwrap_or(0), SeqCst);
        let order = shared.order.load(SeqCst);
        let done = match order {
            GO_ON => false,
            FINISH => controls
                .iter()
                .all(|c| c.is_over() || (c.proof && c.pings > 0)),
            WAIT_FOR_END => controls.iter().all(|c| c.end.is_some()),
            _ => true,
        };
        if done || deadline.is_some_and(|d| Instant::now() > d) {
            return controls;
        }
        if order != GO_ON && deadline.is_none() {
            deadline = Some(Instant::now() + PATIENCE);
            if order == FINISH {
                for control in &mut controls {
                    control.write(&frame(PING, PROOF));
                }
            }
        }
    }
}

const PROOF: &[u8] = b"still here?";

impl Control {
    fn connect(addr: SocketAddr, path: String) -> Control {
        let stream = std::net::TcpStream::connect(addr).expect("connected");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_nonblocking(true).expect("non-blocking");
        let mut control = Control {
            stream: Some(TcpStream::from_std(stream)),
            input: Vec::new(),
            open: false,
            pings: 0,
            answered: 0,
            proof: false,
            close: None,
            end: None,
            path,
        };
        control.write(upgrade(&control.path).as_bytes());
        control
    }

    fn is_over(&self) -> bool {
        self.close.is_some() || self.end.is_some()
    }

    /// Writes a few bytes, which always fit into the send buffer.
    fn write(&mut self, bytes: &[u8]) -> bool {
        match self.stream.as_mut().map(|s| s.write(bytes)) {
            Some(Ok(len)) => {
                assert_eq!(len, bytes.len(), "{} fills its buffer", self.path);
                true
            }
            Some(Err(_)) | None => false,
        }
    }

    fn read(&mut self) {
        while let Some(stream) = &mut self.stream {
            let mut buffer = [0; 4_096];
            match stream.read(&mut buffer) {
                Ok(0) => self.end = Some(Event::Eof),
                Ok(len) => {
                    self.input.extend(&buffer[..len]);
                    self.parse();
                    continue;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(_) => self.end = Some(Event::Reset),
            }
            self.stream = None;
        }
    }

    fn parse(&mut self) {
        if !self.open {
            let Some(len) = head_len(&self.input) else {
                return;
            };
            let head: Vec<u8> = self.input.drain(..len).collect();
            let head = String::from_utf8_lossy(&head);
            assert!(is_switching(&head), "{}: {head}", self.path);
            self.open = true;
        }
        while let Some(event) = parse(&mut self.input) {
            match event {
                Event::Ping(payload) => {
                    self.pings += 1;
                    self.answered += u64::from(self.write(&frame(PONG, &payload)));
                }
                Event::Pong(payload) => {
                    assert_eq!(payload, PROOF);
                    self.proof = true;
                }
                Event::Close(code, reason) => {
                    self.write(&frame(CLOSE, &code.to_be_bytes()));
                    self.close = Some((code, reason, Instant::now()));
                }
                // The gateway first tells a client its identity.
                Event::Text(text) if text.contains("connection_ack") => {}
                other => panic!("{} got {other:?}", self.path),
            }
        }
    }
}
