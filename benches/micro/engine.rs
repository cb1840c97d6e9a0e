//! The whole engine through one heartbeat interval, without sockets. 1 000 to 100 000 connections
//! are open; each is pinged and answers once in 15 s of virtual time.
//!
//! A turn is the same as the reactor's. Input is delivered connection by connection, deadlines
//! fire, dirty connections are flushed, ended ones are reaped. Then virtual time advances by the
//! time that the engine would have slept.
//!
//! Pings leave as bytes through `flush`. The pong is the masked frame that a client makes of these
//! bytes, so a wrong ping would not be answered. After each interval the benchmark checks that
//! every ping was sent and answered, and that no connection was closed.

mod heartbeat;
mod pair_host;

use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use heartbeat::pong_to;
use pair_host::{PairHost, open_pair, pair_engine};
use pulsegate::engine::{Engine, FlushOutcome};
use pulsegate::wire::frame::{FIN, Header, PONG};
use pulsegate::wire::mask;
use pulsegate::{
    Class, Config, ConnId, Ending, Handler, HealthChange, Io, Message, Micros, Policy, Request,
    Verdict,
};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const SIZES: [u64; 3] = [1_000, 10_000, 100_000];

/// Linked pairs; each has two connections.
const PAIRS: [u64; 1] = [50_000];

const SAMPLES: usize = 10;

/// The time from a ping to its pong.
const RTT: Micros = Micros::from_millis(4);

fn one_interval(c: &mut Criterion) {
    for n in SIZES {
        intervals(c, "engine/interval", n, || Fleet::open(n));
    }
    for n in PAIRS {
        intervals(c, "engine/pairs", n, || Fleet::open_pairs(n));
    }
}

/// Measures intervals of one fleet.
fn intervals<H: Handler>(c: &mut Criterion, name: &str, n: u64, open: impl Fn() -> Fleet<H>) {
    let mut group = c.benchmark_group(name);
    group.sampling_mode(SamplingMode::Flat).sample_size(SAMPLES);
    let mut fleet = None;
    let mut samples = Vec::new();
    group.throughput(Throughput::Elements(n));
    group.bench_function(BenchmarkId::from_parameter(n), |b| {
        let fleet = fleet.get_or_insert_with(&open);
        b.iter_custom(|intervals| {
            let start = Instant::now();
            (0..intervals).for_each(|_| fleet.interval());
            let took = start.elapsed();
            samples.push(took / intervals as u32);
            took
        });
    });
    if let Some(fleet) = fleet {
        report(fleet.n, samples, fleet.interval);
    }
    group.finish();
}

/// Prints what criterion does not: the time per heartbeat, and the share of one core.
fn report(n: u64, mut samples: Vec<Duration>, interval: Micros) {
    // The first samples were for warm-up.
    let mut samples = samples.split_off(samples.len().saturating_sub(SAMPLES));
    samples.sort();
    let median = samples[samples.len() / 2];
    println!(
        "{n} connections: {median:.1?} of work in an interval of {interval}, {:.0} ns a \
         heartbeat, {:.3} % of a core\n",
        median.as_nanos() as f64 / n as f64,
        100.0 * median.as_secs_f64() / interval.as_duration().as_secs_f64(),
    );
}

/// An engine with connections that are all open and past their first heartbeat.
struct Fleet<H> {
    engine: Engine<H>,
    n: u64,
    now: Micros,
    interval: Micros,
    dirty: Vec<ConnId>,
    /// Pongs on their way, in the order of their pings.
    pongs: Vec<(ConnId, PongFrame)>,
}

impl Fleet<Quiet> {
    fn open(n: u64) -> Self {
        let engine = Engine::new(Config::default(), Quiet, Box::new(|| ())).expect("the default");
        let mut fleet = Fleet::new(engine, n);
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        for _ in 0..n {
            let id = fleet.engine.accept(peer, false, fleet.now);
            fleet.engine.on_bytes(id, UPGRADE.as_bytes(), fleet.now);
            fleet.engine.reap(fleet.now, &mut |_, _| {});
        }
        // The answers leave some at a time.
        let mut answered = 0;
        while fleet.engine.stats().pending_bytes > 0 {
            fleet.engine.take_dirty(&mut fleet.dirty);
            for id in fleet.dirty.drain(..) {
                let mut socket = |slices: &[IoSlice<'_>]| {
                    answered += u64::from(slices[0].starts_with(b"HTTP/1.1 101 "));
                    Ok(slices.iter().map(|s| s.len()).sum())
                };
                let flushed = fleet.engine.flush(id, fleet.now, &mut socket);
                assert_eq!(flushed, FlushOutcome::Done);
            }
            fleet.engine.reap(fleet.now, &mut |_, _| {});
        }
        assert_eq!((answered, fleet.engine.stats().live()), (n, n));
        fleet.settled()
    }
}

impl Fleet<PairHost> {
    /// Opens pairs: twice as many connections.
    fn open_pairs(pairs: u64) -> Self {
        let mut fleet = Fleet::new(pair_engine(), 2 * pairs);
        for _ in 0..pairs {
            open_pair(&mut fleet.engine, fleet.now);
        }
        assert_eq!(fleet.engine.stats().live(), fleet.n);
        fleet.settled()
    }
}

impl<H: Handler> Fleet<H> {
    fn new(engine: Engine<H>, n: u64) -> Self {
        Fleet {
            engine,
            n,
            now: Micros::ZERO,
            interval: Policy::default().heartbeat_interval,
            dirty: Vec::new(),
            pongs: Vec::new(),
        }
    }

    /// Runs the first interval, over which the first pings are spread. From then on, pings of a
    /// connection are one interval apart.
    fn settled(mut self) -> Self {
        self.interval();
        self
    }

    /// Runs one interval of virtual time, and checks that it was complete.
    fn interval(&mut self) {
        let end = self.now + self.interval;
        let (pings, pongs) = (self.engine.stats().pings(), self.engine.stats().pongs());
        let bytes = (self.engine.stats().bytes_out, self.engine.stats().bytes_in);
        loop {
            let next = self.now + self.engine.sleep_time(self.now).expect("deadlines");
            if next > end {
                break;
            }
            self.turn(next);
        }
        self.now = end;
        let stats = self.engine.stats();
        assert_eq!(
            (stats.pings() - pings, stats.pongs() - pongs),
            (self.n, self.n)
        );
        // A ping and its pong: one of the two has a mask.
        let bytes = stats.bytes_out - bytes.0 + stats.bytes_in - bytes.1;
        assert_eq!(bytes, (10 + 14) * self.n);
        assert_eq!((stats.live(), stats.suspects()), (self.n, 0));
    }

    /// Fires the deadlines at `now`, sends the pings, and delivers their pongs after `RTT`.
    fn turn(&mut self, now: Micros) {
        self.now = now;
        assert_eq!(self.engine.next_late(now), None);
        self.engine.advance(now);
        assert_eq!(self.engine.next_final_check(), None);
        self.engine.take_dirty(&mut self.dirty);
        for id in self.dirty.drain(..) {
            let pongs = &mut self.pongs;
            let mut socket = |slices: &[IoSlice<'_>]| {
                let [ping] = slices else {
                    panic!("a heartbeat is one slice")
                };
                pongs.push((id, PongFrame::to(ping)));
                Ok(ping.len())
            };
            assert_eq!(self.engine.flush(id, now, &mut socket), FlushOutcome::Done);
        }
        for (id, frame) in self.pongs.drain(..) {
            self.engine.on_bytes(id, frame.as_bytes(), now + RTT);
        }
        self.now = now + RTT;
        self.engine
            .reap(self.now, &mut |id, _| panic!("{id} was closed"));
    }
}

/// The pong to a heartbeat: of a client with a mask, of a server without.
struct PongFrame {
    bytes: [u8; 14],
    len: usize,
}

impl PongFrame {
    fn to(ping: &[u8]) -> Self {
        let header = Header::parse(ping).expect("a ping");
        let Some(mask) = header.mask else {
            return PongFrame {
                bytes: pong_to(ping),
                len: 14,
            };
        };
        let mut bytes = [0; 14];
        bytes[..2].copy_from_slice(&[FIN | PONG, 8]);
        bytes[2..10].copy_from_slice(&ping[header.len..]);
        mask::apply(&mut bytes[2..10], mask, 0);
        PongFrame { bytes, len: 10 }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// A host that accepts all connections and expects no errors.
struct Quiet;

impl Handler for Quiet {
    fn on_request(&mut self, _io: &mut Io<'_>, _id: ConnId, _request: &Request) -> Verdict {
        Verdict::upgrade(Class(0))
    }

    fn on_message(&mut self, _io: &mut Io<'_>, id: ConnId, message: Message) {
        panic!("{id} sent {message:?}");
    }

    fn on_health(&mut self, _io: &mut Io<'_>, id: ConnId, change: HealthChange) {
        panic!("{id}: {change:?}");
    }

    fn on_close(&mut self, _io: &mut Io<'_>, id: ConnId, end: &Ending) {
        panic!("{id}: {end:?}");
    }
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

criterion_group!(benches, one_interval);
criterion_main!(benches);
