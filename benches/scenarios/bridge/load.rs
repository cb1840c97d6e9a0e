//! The load of `benches/scenarios/bridge.sh` and of `benches/micro/gates.sh`: connections that each
//! send one message, wait for its echo, and send the next.
//!
//! ```sh
//! bridge_load ADDR CONNECTIONS BYTES messages COUNT            until COUNT echoes have arrived
//! bridge_load ADDR CONNECTIONS BYTES seconds SECONDS PID...    for SECONDS, after 1 s of warm-up
//! ```
//!
//! It has one thread, one poll, one prebuilt frame for all connections, and one read buffer. It
//! compares the first echo of each connection with the message, and counts the bytes of the
//! others. It answers pings. With `seconds` it also reads the CPU time of the processes, of all
//! their threads, at both ends of the window in which it counts. It prints one JSON object.
//!
//! Each run ends by itself: after 60 s at most, or as soon as one connection fails. Without
//! arguments it checks itself and ends.

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};
use pulsegate::wire::frame::{BINARY, FIN, Header, PING, PONG, write_frame};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The longest run.
const LONGEST: Duration = Duration::from_secs(60);

/// The time before the window, in which caches and buffers fill.
const WARM_UP: Duration = Duration::from_secs(1);

/// The longest wait for the answer to the upgrade.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// The longest wait for events, after which the clock is read.
const WAIT: Duration = Duration::from_secs(1);

const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// When a run ends.
#[derive(Clone, Copy)]
enum Until {
    Messages(u64),
    Time(Duration),
}

struct Load {
    poll: Poll,
    events: Events,
    conns: Vec<Conn>,
    /// The message of all connections as a masked frame, and its payload.
    frame: Vec<u8>,
    payload: Vec<u8>,
    buffer: Vec<u8>,
    echoes: u64,
}

struct Conn {
    stream: TcpStream,
    /// Bytes at the end of the message that are not written yet.
    unwritten: usize,
    /// Bytes that have arrived of a frame's header, or of a whole ping.
    head: Vec<u8>,
    /// Bytes of the echo's payload that have not arrived.
    left: usize,
    /// Whether the first echo has been compared.
    compared: bool,
}

/// What was counted in the window.
struct Counted {
    echoes: u64,
    seconds: f64,
    /// CPU time of each process, in nanoseconds.
    cpu: Vec<u64>,
    /// Our own CPU time, in nanoseconds.
    own_cpu: u64,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.is_empty() {
        true => check(),
        false => command(&args),
    };
    match result {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("bridge_load: {why}");
            ExitCode::FAILURE
        }
    }
}

fn command(args: &[String]) -> Result<String, String> {
    let [addr, connections, bytes, kind, amount, pids @ ..] = args else {
        return Err(
            "ADDR, CONNECTIONS, BYTES, messages or seconds, and a number are needed".into(),
        );
    };
    let addr: SocketAddr = addr.parse().map_err(|e| format!("ADDR: {e}"))?;
    if !addr.ip().is_loopback() {
        return Err("ADDR must be a loopback address".into());
    }
    let connections = number(connections, "CONNECTIONS", 10_000)? as usize;
    let bytes = number(bytes, "BYTES", 1 << 20)? as usize;
    let until = match kind.as_str() {
        "messages" => Until::Messages(number(amount, "COUNT", 100_000_000)?),
        "seconds" => Until::Time(Duration::from_secs(number(amount, "SECONDS", 50)?)),
        _ => return Err(format!("{kind}: neither messages nor seconds")),
    };
    let pids: Result<Vec<u32>, _> = pids.iter().map(|pid| pid.parse()).collect();
    let pids = pids.map_err(|e| format!("PID: {e}"))?;
    let counted = run(addr, connections, bytes, until, &pids).map_err(|e| e.to_string())?;
    Ok(format!(
        "{{\"echoes\":{},\"seconds\":{:.3},\"cpu_ns\":{},\"own_cpu_ns\":{}}}",
        counted.echoes,
        counted.seconds,
        counted.cpu.iter().sum::<u64>(),
        counted.own_cpu
    ))
}

fn number(text: &str, name: &str, most: u64) -> Result<u64, String> {
    let number = text.parse().ok().filter(|n| (1..=most).contains(n));
    number.ok_or(format!("{name} must be 1 to {most}"))
}

/// Echoes until the end of the run.
///
/// # Errors
/// That of the first connection that fails; `TimedOut` if the messages take too long.
fn run(
    addr: SocketAddr,
    connections: usize,
    bytes: usize,
    until: Until,
    pids: &[u32],
) -> io::Result<Counted> {
    let mut load = Load::open(addr, connections, bytes)?;
    let deadline = Instant::now() + LONGEST;
    load.start()?;
    if let Until::Time(_) = until {
        load.run_for(WARM_UP)?;
    }
    let (own, cpu) = (cpu_time(std::process::id())?, cpu_times(pids)?);
    let (start, before) = (Instant::now(), load.echoes);
    match until {
        Until::Time(time) => load.run_for(time)?,
        Until::Messages(count) => {
            while load.echoes < count {
                if Instant::now() > deadline {
                    return Err(ErrorKind::TimedOut.into());
                }
                load.turn()?;
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let after = cpu_times(pids)?;
    Ok(Counted {
        echoes: load.echoes - before,
        seconds,
        cpu: after.iter().zip(&cpu).map(|(a, b)| a - b).collect(),
        own_cpu: cpu_time(std::process::id())? - own,
    })
}

impl Load {
    fn open(addr: SocketAddr, connections: usize, bytes: usize) -> io::Result<Load> {
        let poll = Poll::new()?;
        let payload: Vec<u8> = (0..bytes).map(|i| i as u8).collect();
        let mut frame = Vec::new();
        write_frame(&mut frame, FIN | BINARY, &payload, Some(MASK));
        let conns = (0..connections).map(|index| Conn::open(addr, poll.registry(), index));
        Ok(Load {
            conns: conns.collect::<io::Result<_>>()?,
            poll,
            events: Events::with_capacity(1_024),
            frame,
            payload,
            buffer: vec![0; 256 << 10],
            echoes: 0,
        })
    }

    /// Sends the first message of each connection.
    fn start(&mut self) -> io::Result<()> {
        for conn in &mut self.conns {
            conn.send(&self.frame)?;
        }
        Ok(())
    }

    fn run_for(&mut self, time: Duration) -> io::Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(WAIT)) {
            Err(e) if e.kind() == ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            let index = event.token().0;
            if event.is_writable() {
                self.conns[index].write(&self.frame)?;
            }
            if event.is_readable() {
                self.read(index)?;
            }
        }
        self.events = events;
        Ok(())
    }

    /// Reads what has arrived, and sends the next message if the echo is complete.
    fn read(&mut self, index: usize) -> io::Result<()> {
        let conn = &mut self.conns[index];
        loop {
            let n = match conn.stream.read(&mut self.buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            if conn.take(&self.buffer[..n], &self.payload)? {
                self.echoes += 1;
                conn.send(&self.frame)?;
            }
            // epoll(7): a short read means that the socket is empty.
            if n < self.buffer.len() {
                return Ok(());
            }
        }
    }
}

impl Conn {
    /// Connects and upgrades, one connection at a time.
    fn open(addr: SocketAddr, registry: &Registry, index: usize) -> io::Result<Conn> {
        let mut stream = std::net::TcpStream::connect_timeout(&addr, HANDSHAKE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(HANDSHAKE))?;
        stream.write_all(REQUEST.as_bytes())?;
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        if !head.starts_with(b"HTTP/1.1 101 ") {
            let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
            return Err(io::Error::other(String::from_utf8_lossy(line)));
        }
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut stream, Token(index), both)?;
        Ok(Conn {
            stream,
            unwritten: 0,
            head: Vec::new(),
            left: 0,
            compared: false,
        })
    }

    /// Begins the next message.
    fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.unwritten = frame.len();
        self.write(frame)
    }

    /// Writes the rest of the message, as far as there is room.
    fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        while self.unwritten > 0 {
            match self.stream.write(&frame[frame.len() - self.unwritten..]) {
                Ok(n) => self.unwritten -= n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Takes the bytes of one read. Returns whether the echo is complete.
    fn take(&mut self, mut bytes: &[u8], payload: &[u8]) -> io::Result<bool> {
        let mut is_complete = false;
        while !bytes.is_empty() {
            if self.left > 0 {
                let part = &bytes[..bytes.len().min(self.left)];
                let at = payload.len() - self.left;
                if !self.compared && payload[at..at + part.len()] != *part {
                    return Err(io::Error::other("an echo is not the message"));
                }
                self.left -= part.len();
                bytes = &bytes[part.len()..];
                is_complete |= self.left == 0;
                self.compared |= self.left == 0;
                continue;
            }
            self.head.push(bytes[0]);
            bytes = &bytes[1..];
            self.take_head(payload.len())?;
        }
        Ok(is_complete)
    }

    /// Looks at the bytes of a header, and answers a ping once it is whole.
    fn take_head(&mut self, expected: usize) -> io::Result<()> {
        let Some(header) = Header::parse(&self.head) else {
            return Ok(());
        };
        match header.opcode() {
            BINARY if header.payload == expected as u64 => self.left = expected,
            PING if self.head.len() < header.frame_len() => return Ok(()),
            PING => {
                let mut pong = Vec::new();
                let payload = &self.head[header.len..];
                write_frame(&mut pong, FIN | PONG, payload, Some(MASK));
                // A pong may not stand inside a message. The ping stays unanswered then, and the
                // next one is answered.
                if self.unwritten == 0 {
                    self.stream.write_all(&pong)?;
                }
            }
            other => return Err(io::Error::other(format!("a frame with opcode {other}"))),
        }
        self.head.clear();
        Ok(())
    }
}

fn cpu_times(pids: &[u32]) -> io::Result<Vec<u64>> {
    pids.iter().map(|&pid| cpu_time(pid)).collect()
}

/// Returns the CPU time of all threads of a process, in nanoseconds.
fn cpu_time(pid: u32) -> io::Result<u64> {
    let mut total = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        let first = text.split(' ').next().and_then(|word| word.parse().ok());
        total += first.unwrap_or(0);
    }
    Ok(total)
}

/// Runs against an echo server in this process that answers one connection.
fn check() -> Result<String, String> {
    let failed = |e: io::Error| e.to_string();
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    let server = std::thread::spawn(move || answer(&listener));
    let counted = run(addr, 1, 300, Until::Messages(10), &[]).map_err(failed)?;
    let answered = server.join().map_err(|_| "the server has panicked")?;
    let answered = answered.map_err(failed)?;
    match (counted.echoes, answered) {
        (10, 11) => Ok("10 echoes".to_owned()),
        (echoes, answered) => Err(format!("{echoes} echoes of {answered} messages")),
    }
}

/// Answers with what was sent, unmasked, until the client leaves. Returns the number of messages.
fn answer(listener: &TcpListener) -> io::Result<u64> {
    let (mut stream, _) = listener.accept()?;
    let mut head = vec![0; REQUEST.len()];
    stream.read_exact(&mut head)?;
    stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")?;
    write_frame_to(&mut stream, FIN | PING, b"ping")?;
    let mut messages = 0;
    loop {
        let mut header = [0; 8];
        if stream.read_exact(&mut header[..6]).is_err() {
            return Ok(messages);
        }
        if header[0] == FIN | BINARY {
            stream.read_exact(&mut header[6..])?;
        }
        let header = Header::parse(&header[..]).ok_or(ErrorKind::InvalidData)?;
        let mut payload = vec![0; header.payload as usize];
        stream.read_exact(&mut payload)?;
        for (byte, mask) in payload.iter_mut().zip(MASK.iter().cycle()) {
            *byte ^= mask;
        }
        if header.opcode() == BINARY {
            messages += 1;
            write_frame_to(&mut stream, FIN | BINARY, &payload)?;
        } else if payload != b"ping" {
            return Err(io::Error::other("a pong is not the ping's"));
        }
    }
}

fn write_frame_to(stream: &mut std::net::TcpStream, first: u8, payload: &[u8]) -> io::Result<()> {
    let mut frame = Vec::new();
    write_frame(&mut frame, first, payload, None);
    stream.write_all(&frame)
}
