//! Runs a plan at full speed: one thread, one poll, prebuilt buffers.

use crate::kinds::{Group, Plan, Step};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// The most bytes written in one go, so that a fast connection does not starve the others.
const TURN: usize = 1 << 20;

/// The most reads in one go.
const READS: usize = 16;

/// Concurrent connection attempts; more would only fill the listener's queue.
const CONNECTING: usize = 512;

/// The number of failures in a row that ends the run, so that a server that refuses is not retried
/// without end.
const FAILURES: u64 = 10_000;

/// The time starts when all are connected, or at the latest this long after the start.
const SET_UP: Duration = Duration::from_secs(15);

/// The number of source addresses, each with its own ports.
const SOURCES: u64 = 16;

struct Conn {
    stream: Option<TcpStream>,
    script: Vec<Step>,
    addr: SocketAddr,
    reconnect: bool,
    step: usize,
    /// Bytes of the current step that are written.
    at: usize,
    /// How many bytes of "\r\n\r\n" have been read.
    ends: usize,
    /// Whether the handshake is over, or there is none.
    through: bool,
    writable: bool,
    /// Whether it is in the list of connections with something to write.
    listed: bool,
}

#[derive(Default)]
struct Tally {
    connections: u64,
    handshakes: u64,
    closed: u64,
    failures: u64,
    written: u64,
    read: u64,
}

struct Attack {
    poll: Poll,
    conns: Vec<Conn>,
    /// Connections to open.
    down: Vec<usize>,
    connecting: usize,
    /// Connections with something to write.
    writers: Vec<usize>,
    buffer: Vec<u8>,
    tally: Tally,
    budget: u64,
}

/// Attacks for this time. Returns the counts as JSON.
///
/// # Errors
/// The system's error about polling.
pub fn run(plan: Plan, addr: SocketAddr, time: Duration) -> io::Result<String> {
    let start = Instant::now();
    let mut attack = Attack {
        poll: Poll::new()?,
        conns: Vec::new(),
        down: Vec::new(),
        connecting: 0,
        writers: Vec::new(),
        buffer: vec![0; 256 << 10],
        tally: Tally::default(),
        budget: plan.budget,
    };
    let mut groups = plan.groups.into_iter();
    let mut events = Events::with_capacity(4_096);
    let mut ready_after = None;
    while attack.tally.failures < FAILURES {
        let elapsed = start.elapsed();
        if elapsed >= ready_after.unwrap_or(SET_UP) + time {
            break;
        }
        if ready_after.is_none() && attack.conns.iter().all(|c| c.through) {
            match groups.next() {
                Some(group) => attack.add(group, addr),
                None => ready_after = Some(elapsed),
            }
        }
        attack.connect();
        let busy = !attack.writers.is_empty();
        let wait = if busy {
            Duration::ZERO
        } else {
            Duration::from_millis(10)
        };
        match attack.poll.poll(&mut events, Some(wait)) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            attack.on_event(event.token().0, event.is_writable());
        }
        attack.write_all();
    }
    let t = &attack.tally;
    Ok(format!(
        "{{\"seconds\":{:.2},\"set_up_after\":{:.2},\"connections\":{},\"handshakes\":{},\
         \"closed_by_server\":{},\"failures\":{},\"written\":{},\"read\":{}}}",
        start.elapsed().as_secs_f64(),
        ready_after.unwrap_or(SET_UP).as_secs_f64(),
        t.connections,
        t.handshakes,
        t.closed,
        t.failures,
        t.written,
        t.read
    ))
}

impl Attack {
    fn add(&mut self, group: Group, addr: SocketAddr) {
        for script in group.scripts {
            self.down.push(self.conns.len());
            self.conns.push(Conn {
                stream: None,
                script,
                addr: group.addr.unwrap_or(addr),
                reconnect: group.reconnect,
                step: 0,
                at: 0,
                ends: 0,
                through: false,
                writable: false,
                listed: false,
            });
        }
        // The first in the plan connect first.
        self.down.reverse();
    }

    fn connect(&mut self) {
        while self.connecting < CONNECTING && self.budget > 0 {
            let Some(index) = self.down.pop() else {
                return;
            };
            self.budget -= 1;
            self.tally.connections += 1;
            let conn = &mut self.conns[index];
            match open(
                conn.addr,
                self.tally.connections,
                self.poll.registry(),
                index,
            ) {
                Ok(stream) => {
                    conn.stream = Some(stream);
                    (conn.step, conn.at, conn.ends, conn.writable) = (0, 0, 0, false);
                    self.connecting += 1;
                }
                Err(_) => {
                    self.tally.failures += 1;
                    self.down.insert(0, index);
                    return;
                }
            }
        }
    }

    fn on_event(&mut self, index: usize, writable: bool) {
        let conn = &mut self.conns[index];
        if conn.stream.is_none() {
            return;
        }
        if writable {
            if !conn.writable && conn.step == 0 && conn.at == 0 {
                self.connecting = self.connecting.saturating_sub(1);
            }
            conn.writable = true;
        }
        self.read(index);
        self.list(index);
    }

    fn list(&mut self, index: usize) {
        let conn = &mut self.conns[index];
        let writes = matches!(conn.script[conn.step], Step::Write(_) | Step::Drip(_));
        if conn.stream.is_some() && conn.writable && writes && !conn.listed {
            conn.listed = true;
            self.writers.push(index);
        }
    }

    fn read(&mut self, index: usize) {
        for _ in 0..READS {
            let conn = &mut self.conns[index];
            let Some(stream) = &mut conn.stream else {
                return;
            };
            match stream.read(&mut self.buffer) {
                Ok(0) => return self.end(index, true),
                Ok(n) => {
                    self.tally.read += n as u64;
                    if matches!(conn.script[conn.step], Step::AwaitHead) {
                        let over = conn.head_ends(&self.buffer[..n]);
                        if over {
                            self.tally.handshakes += 1;
                            conn.step += 1;
                            conn.through = true;
                            if matches!(conn.script[conn.step], Step::Close) {
                                return self.end(index, false);
                            }
                        }
                    } else if is_close(&self.buffer[..n]) {
                        return self.end(index, true);
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.end(index, true),
            }
        }
        // Edge-triggered: there is more to read, so poll must report it again.
        let conn = &mut self.conns[index];
        if let Some(stream) = &mut conn.stream {
            let both = Interest::READABLE | Interest::WRITABLE;
            let _ = self.poll.registry().reregister(stream, Token(index), both);
        }
    }

    fn write_all(&mut self) {
        let mut writers = std::mem::take(&mut self.writers);
        writers.retain(|&index| {
            let goes_on = self.write(index);
            self.conns[index].listed = goes_on;
            goes_on
        });
        writers.append(&mut self.writers);
        self.writers = writers;
    }

    /// Writes; returns whether there is more to write and room for it.
    fn write(&mut self, index: usize) -> bool {
        let mut left = TURN;
        while left > 0 {
            let conn = &mut self.conns[index];
            let Some(stream) = &mut conn.stream else {
                return false;
            };
            let (bytes, most) = match &conn.script[conn.step] {
                Step::Write(bytes) => (bytes, left),
                Step::Drip(bytes) => (bytes, 1),
                Step::Repeat(step) => {
                    (conn.step, conn.at) = (*step, 0);
                    continue;
                }
                Step::AwaitHead => return false,
                Step::Stay => {
                    conn.through = true;
                    return false;
                }
                Step::Close => {
                    self.end(index, false);
                    return false;
                }
            };
            let most = most.min(bytes.len() - conn.at);
            match stream.write(&bytes[conn.at..conn.at + most]) {
                Ok(n) => {
                    self.tally.written += n as u64;
                    conn.at += n;
                    left = left.saturating_sub(n);
                    let drip = matches!(conn.script[conn.step], Step::Drip(_));
                    conn.through |= drip;
                    if conn.at == bytes.len() {
                        conn.step += 1;
                        conn.at = 0;
                    } else if drip {
                        return true;
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    conn.writable = false;
                    return false;
                }
                Err(_) => {
                    self.end(index, true);
                    return false;
                }
            }
        }
        true
    }

    fn end(&mut self, index: usize, by_server: bool) {
        let conn = &mut self.conns[index];
        if let Some(stream) = conn.stream.take() {
            if by_server {
                self.tally.closed += 1;
                // Close with a reset: our answer to the close frame is not needed, and no socket
                // stays in TIME_WAIT.
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            }
            if !conn.writable && conn.step == 0 && conn.at == 0 {
                self.connecting = self.connecting.saturating_sub(1);
                self.tally.failures += u64::from(by_server);
            }
        }
        if conn.reconnect {
            self.down.insert(0, index);
        } else {
            conn.through = true;
        }
    }
}

impl Conn {
    /// Returns whether the head of the response ends in these bytes.
    fn head_ends(&mut self, bytes: &[u8]) -> bool {
        bytes.iter().any(|byte| {
            let wanted = b"\r\n\r\n"[self.ends];
            self.ends = match *byte == wanted {
                true => self.ends + 1,
                false => usize::from(*byte == b'\r'),
            };
            let over = self.ends == 4;
            self.ends %= 4;
            over
        })
    }
}

/// Returns whether the bytes end with a close frame. Nothing else that the server sends here looks
/// like one.
fn is_close(bytes: &[u8]) -> bool {
    let from = bytes.len().saturating_sub(127);
    (from..bytes.len().saturating_sub(1))
        .any(|at| bytes[at] == 0x88 && at + 2 + usize::from(bytes[at + 1]) == bytes.len())
}

fn open(addr: SocketAddr, number: u64, registry: &Registry, index: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(
        Domain::for_address(addr),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    socket.set_tcp_nodelay(true)?;
    if addr.is_ipv4() {
        let source = Ipv4Addr::new(127, 0, 1, 1 + (number % SOURCES) as u8);
        socket.bind(&SocketAddr::new(IpAddr::V4(source), 0).into())?;
    }
    // An error, at once or later, is reported by the next read.
    let _ = socket.connect(&addr.into());
    let mut stream = TcpStream::from_std(socket.into());
    registry.register(
        &mut stream,
        Token(index),
        Interest::READABLE | Interest::WRITABLE,
    )?;
    Ok(stream)
}
