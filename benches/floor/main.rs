//! The floor: a server that does nothing but the system calls. Prebuilt pings grouped in ticks of 10 ms, one read into a
//! shared buffer per event, no frames understood, no state but the time of the last byte. What a heartbeat costs in epoll
//! itself; benches/compare.sh measures it beside pulsegate.
//!
//! ```sh
//! floor --listen 127.0.0.1:9000 --interval-ms 2000 --timeout-ms 6000
//! ```
//! Without an address (as `cargo bench` starts it) it serves itself one connection, and ends.

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tungstenite::handshake::derive_accept_key;

const TICK_MS: u64 = 10;
const LISTENER: Token = Token(usize::MAX);
const PING: [u8; 2] = [0x89, 0];
const CLOSE: [u8; 4] = [0x88, 2, 0x0B, 0xC0]; // 3008

struct Peer {
    stream: TcpStream,
    heard_ms: u64,
    open: bool,
}

struct Floor {
    poll: Poll,
    listener: TcpListener,
    peers: Vec<Option<Peer>>,
    free: Vec<usize>,
    /// Who is to be pinged, by tick, for one interval.
    ring: Vec<Vec<usize>>,
    timeout_ms: u64,
    start: Instant,
    tick: u64,
    pings: u64,
}

impl Floor {
    fn new(addr: SocketAddr, interval_ms: u64, timeout_ms: u64) -> std::io::Result<Self> {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(addr),
            socket2::Type::STREAM,
            None,
        )?;
        socket.set_reuse_address(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(4_096)?;
        let mut listener = TcpListener::from_std(socket.into());
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        let ring = vec![Vec::new(); (interval_ms / TICK_MS).max(1) as usize];
        let start = Instant::now();
        Ok(Floor {
            poll,
            listener,
            peers: Vec::new(),
            free: Vec::new(),
            ring,
            timeout_ms,
            start,
            tick: 0,
            pings: 0,
        })
    }

    fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    fn run(&mut self, mut over: impl FnMut(&Floor) -> bool) -> std::io::Result<()> {
        let mut events = Events::with_capacity(1_024);
        let mut buffer = vec![0; 64 * 1024];
        while !over(self) {
            let next = (self.tick + 1) * TICK_MS;
            let wait = Duration::from_millis(next.saturating_sub(self.now_ms()));
            match self.poll.poll(&mut events, Some(wait)) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(slot) => self.read(slot, &mut buffer),
                }
            }
            while (self.tick + 1) * TICK_MS <= self.now_ms() {
                self.tick += 1;
                self.beat();
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> std::io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            };
            let slot = self.free.pop().unwrap_or_else(|| {
                self.peers.push(None);
                self.peers.len() - 1
            });
            self.poll
                .registry()
                .register(&mut stream, Token(slot), Interest::READABLE)?;
            self.peers[slot] = Some(Peer {
                stream,
                heard_ms: self.now_ms(),
                open: false,
            });
            // Spread over the interval as they come.
            let at = (self.tick as usize + 1 + slot * 7_919) % self.ring.len();
            self.ring[at].push(slot);
        }
    }

    fn read(&mut self, slot: usize, buffer: &mut [u8]) {
        let now = self.now_ms();
        let Some(Some(peer)) = self.peers.get_mut(slot) else {
            return;
        };
        match peer.stream.read(buffer) {
            Ok(0) => self.drop_peer(slot),
            Ok(n) => {
                peer.heard_ms = now;
                if !peer.open {
                    peer.open = true;
                    let answer = answer(&buffer[..n]);
                    let _ = peer.stream.write(answer.as_bytes());
                } else if buffer[0] & 0x0F == 8 {
                    self.drop_peer(slot);
                }
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.drop_peer(slot),
        }
    }

    /// Pings those of this tick, and closes who was silent for the timeout: found at ping times only, as it costs nothing.
    fn beat(&mut self) {
        let at = self.tick as usize % self.ring.len();
        let mut slots = std::mem::take(&mut self.ring[at]);
        let now = self.now_ms();
        slots.retain(|slot| {
            let Some(peer) = &mut self.peers[*slot] else {
                return false;
            };
            if now - peer.heard_ms >= self.timeout_ms {
                let _ = peer.stream.write(&CLOSE);
                self.drop_peer(*slot);
                return false;
            }
            if peer.open {
                let _ = peer.stream.write(&PING);
                self.pings += 1;
            }
            true
        });
        self.ring[at] = slots;
    }

    fn drop_peer(&mut self, slot: usize) {
        if self.peers[slot].take().is_some() {
            self.free.push(slot);
        }
    }
}

fn answer(request: &[u8]) -> String {
    let text = String::from_utf8_lossy(request);
    let key = text.lines().find_map(|l| {
        let (name, value) = l.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then(|| value.trim().to_owned())
    });
    let accept = derive_accept_key(key.unwrap_or_default().as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        args.iter()
            .position(|a| a == name)
            .and_then(|at| args.get(at + 1))
    };
    let number =
        |name: &str, default: u64| value(name).and_then(|v| v.parse().ok()).unwrap_or(default);
    let (interval, timeout) = (
        number("--interval-ms", 2_000),
        number("--timeout-ms", 6_000),
    );
    if let Some(addr) = value("--listen") {
        let addr = addr
            .parse()
            .map_err(|_| std::io::Error::from(ErrorKind::InvalidInput))?;
        let mut floor = Floor::new(addr, interval, timeout)?;
        println!("listening on {}", floor.listener.local_addr()?);
        return floor.run(|_| false);
    }
    let mut floor = Floor::new(([127, 0, 0, 1], 0).into(), 50, 10_000)?;
    let mut client = std::net::TcpStream::connect(floor.listener.local_addr()?)?;
    client.write_all(b"GET / HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")?;
    floor.run(|floor| floor.pings >= 3 || floor.now_ms() > 30_000)?;
    let mut got = [0; 256];
    let n = client.read(&mut got)?;
    let text = String::from_utf8_lossy(&got[..n]);
    assert!(
        floor.pings >= 3 && text.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        "{text}"
    );
    println!("the floor serves: {} pings", floor.pings);
    Ok(())
}
