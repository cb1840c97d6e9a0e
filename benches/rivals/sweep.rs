//! What pulsegate does not do: the sweep over a map of all connections that most WebSocket servers
//! use.
//!
//! `interval` is such a server in one heartbeat interval, to compare with `engine/interval`. One
//! sweep pings all connections, each pong is decoded and found in the map, and one sweep checks for
//! timeouts. It does as much as the engine per pong and per ping (the same sink, the same decoder).
//! Its timeouts are late by up to an interval.
//!
//! `pass` is one sweep for timeouts that finds none. Run once per tick, it would be as precise as
//! the wheel. The cost of that is computed from one pass and printed. Compare it with
//! `wheel/cycle`.

#[path = "../micro/heartbeat.rs"]
mod heartbeat;

use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use heartbeat::pong_to;
use pulsegate::Micros;
use pulsegate::engine::WriteVectored;
use pulsegate::engine::wheel::TICK;
use std::collections::HashMap;
use std::hint::black_box;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::time::{Duration, Instant};
use tungstenite::protocol::{Message, Role, WebSocketConfig, WebSocketContext};

const SAMPLES: usize = 10;

const INTERVAL: Micros = Micros::from_secs(15);
const TIMEOUT: Micros = Micros::from_secs(45);
const RTT: Micros = Micros::from_millis(4);

fn intervals(c: &mut Criterion) {
    let mut group = c.benchmark_group("sweep/interval");
    group.sampling_mode(SamplingMode::Flat).sample_size(SAMPLES);
    for n in [1_000, 10_000, 100_000] {
        let (mut peers, mut now) = (Peers::open(n), Micros::ZERO);
        let mut samples = Vec::new();
        group.throughput(Throughput::Elements(n));
        group.bench_function(BenchmarkId::from_parameter(n), |b| {
            b.iter_custom(|times| {
                let start = Instant::now();
                for _ in 0..times {
                    now += INTERVAL;
                    peers.interval(now);
                }
                let took = start.elapsed();
                samples.push(took / times as u32);
                took
            });
        });
        if let Some(median) = median(samples) {
            let each = median.as_nanos() as f64 / n as f64;
            println!("{n} connections: {median:.1?} an interval, {each:.0} ns a heartbeat\n");
        }
    }
    group.finish();
}

fn passes(c: &mut Criterion) {
    let mut group = c.benchmark_group("sweep/pass");
    group.sampling_mode(SamplingMode::Flat).sample_size(SAMPLES);
    for n in [1_000, 10_000, 100_000, 1_000_000] {
        let peers = Peers::open(n);
        let mut samples = Vec::new();
        group.throughput(Throughput::Elements(n));
        group.bench_function(BenchmarkId::from_parameter(n), |b| {
            b.iter_custom(|times| {
                let start = Instant::now();
                for _ in 0..times {
                    assert!(peers.timed_out(black_box(RTT)).is_empty());
                }
                let took = start.elapsed();
                samples.push(took / times as u32);
                took
            });
        });
        if let Some(median) = median(samples) {
            let in_interval = median.as_secs_f64() * (INTERVAL.0 / TICK.0) as f64;
            println!(
                "{n} connections: {median:.1?} a pass; one each tick is {:.1} µs for each \
                 deadline, {:.1} % of a core\n",
                1e6 * in_interval / n as f64,
                100.0 * in_interval / INTERVAL.as_duration().as_secs_f64(),
            );
        }
    }
    group.finish();
}

fn median(mut samples: Vec<Duration>) -> Option<Duration> {
    // The first samples were for warm-up.
    let mut samples = samples.split_off(samples.len().saturating_sub(SAMPLES));
    samples.sort();
    samples.get(samples.len() / 2).copied()
}

/// The map of all connections, as in tutorials: by an id, with the standard library's hasher.
struct Peers {
    by_id: HashMap<u64, Peer>,
    /// One decoder for all connections. This favours the sweep: real servers have one per
    /// connection.
    context: WebSocketContext,
    pongs: Vec<(u64, [u8; 14])>,
}

/// The fields that a sweep reads, plus padding (for a socket, an address, buffers), so that it is
/// as large as a slot of the engine.
struct Peer {
    last_seen: Micros,
    ping_sent: Micros,
    rtt: Micros,
    is_alive: bool,
    ping: u64,
    _beside: [u64; 9],
}

impl Peers {
    fn open(n: u64) -> Peers {
        let peer = |id| {
            let peer = Peer {
                last_seen: Micros::ZERO,
                ping_sent: Micros::ZERO,
                rtt: Micros::ZERO,
                is_alive: true,
                ping: 0,
                _beside: [id; 9],
            };
            (id, peer)
        };
        let config = WebSocketConfig::default()
            .read_buffer_size(1_024)
            .write_buffer_size(0);
        Peers {
            by_id: (0..n).map(peer).collect(),
            context: WebSocketContext::new(Role::Server, Some(config)),
            pongs: Vec::new(),
        }
    }

    fn interval(&mut self, now: Micros) {
        let mut pongs = std::mem::take(&mut self.pongs);
        let asked = self.ping_all(now, |id, ping| pongs.push((id, pong_to(ping))));
        let mut answered = 0;
        for (id, frame) in pongs.drain(..) {
            answered += usize::from(self.on_bytes(id, &frame, now + RTT));
        }
        self.pongs = pongs;
        assert_eq!((asked, answered), (self.by_id.len(), self.by_id.len()));
        assert!(self.timed_out(now + RTT).is_empty());
    }

    /// The ping sweep: drops connections that have not answered the last ping, and pings the
    /// others.
    fn ping_all(&mut self, now: Micros, mut sent: impl FnMut(u64, &[u8])) -> usize {
        let mut asked = 0;
        for (id, peer) in &mut self.by_id {
            assert!(peer.is_alive);
            peer.is_alive = false;
            peer.ping = peer.ping.wrapping_add(1);
            let [a, b, c, d, e, f, g, h] = peer.ping.to_be_bytes();
            let socket: WriteVectored<'_> = &mut |slices: &[IoSlice<'_>]| {
                sent(*id, &slices[0]);
                Ok(slices[0].len())
            };
            asked +=
                usize::from(socket(&[IoSlice::new(&[0x89, 8, a, b, c, d, e, f, g, h])]).is_ok());
            peer.ping_sent = now;
        }
        asked
    }

    /// Returns whether it was the pong to the latest ping.
    fn on_bytes(&mut self, id: u64, bytes: &[u8], now: Micros) -> bool {
        let mut wire = Wire { input: bytes };
        let mut answered = false;
        while let Ok(message) = self.context.read(&mut wire) {
            let Some(peer) = self.by_id.get_mut(&id) else {
                return false;
            };
            peer.last_seen = now;
            if matches!(message, Message::Pong(payload) if *payload == peer.ping.to_be_bytes()) {
                peer.is_alive = true;
                peer.rtt = now - peer.ping_sent;
                answered = true;
            }
        }
        answered
    }

    /// The timeout sweep.
    fn timed_out(&self, now: Micros) -> Vec<u64> {
        let dead = |(id, peer): (&u64, &Peer)| (now - peer.last_seen >= TIMEOUT).then_some(*id);
        self.by_id.iter().filter_map(dead).collect()
    }
}

/// The decoder's input; it writes nothing.
struct Wire<'a> {
    input: &'a [u8],
}

impl Read for Wire<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.input.read(buf)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, _buf: &[u8]) -> io::Result<usize> {
        Err(ErrorKind::Unsupported.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

criterion_group!(benches, intervals, passes);
criterion_main!(benches);
