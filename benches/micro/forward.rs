//! Frames of a linked pair through the engine, without sockets: a client's frames go to its server.
//!
//! The client's bytes arrive as the reactor reads them, at most 66 KiB at a time. In `in_place` the
//! server's socket takes each run at once, from the read buffer. In `queued` it is not ready, so
//! the run is copied into the queue, which leaves through `flush` in the same turn. In `in_parts`
//! the frame arrives in two reads, so that it is gathered first.

mod pair_host;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pair_host::{PairHost, open_pair, pair_engine};
use pulsegate::engine::{Engine, FlushOutcome, ReadAction};
use pulsegate::wire::frame::{BINARY, FIN, write_frame};
use pulsegate::{ConnId, Micros};
use std::io::{ErrorKind, IoSlice};

const NOW: Micros = Micros::ZERO;

/// The most bytes of one read of the reactor.
const READ: usize = 64 * 1024 + 64;

/// The bytes that arrive first of a frame that arrives in two reads: what one segment of the
/// loopback interface holds.
const FIRST_PART: usize = 65_483;

fn forward(c: &mut Criterion) {
    let cases = [
        ("128", frames(128, 1), 1),
        ("4096", frames(4 << 10, 1), 1),
        ("65536", frames(64 << 10, 1), 1),
        ("1000x16", frames(16, 1_000), 1_000),
    ];
    let mut group = c.benchmark_group("forward");
    for (name, input, messages) in cases {
        group.throughput(Throughput::Bytes(input.len() as u64));
        for kind in ["in_place", "queued", "in_parts"] {
            let cut = match kind {
                "in_parts" if input.len() <= FIRST_PART => continue,
                "in_parts" => FIRST_PART,
                _ => READ,
            };
            let mut pair = Pair::open(kind == "in_place");
            let mut times = 0;
            group.bench_function(BenchmarkId::new(kind, name), |b| {
                b.iter(|| {
                    times += 1;
                    pair.forward(&input, cut);
                });
            });
            let stats = pair.engine.stats();
            assert_eq!(stats.messages_out, times * messages);
            assert_eq!(pair.written, times * input.len() as u64);
            assert_eq!((stats.pending_bytes, stats.held_bytes), (0, 0));
        }
    }
    group.finish();
}

/// A pair, and what was written to its server.
struct Pair {
    engine: Engine<PairHost>,
    client: ConnId,
    /// Whether the server's socket takes bytes while the client's are read.
    is_ready: bool,
    written: u64,
    dirty: Vec<ConnId>,
}

impl Pair {
    fn open(is_ready: bool) -> Pair {
        let mut engine = pair_engine();
        let (client, _) = open_pair(&mut engine, NOW);
        Pair {
            engine,
            client,
            is_ready,
            written: 0,
            dirty: Vec::new(),
        }
    }

    /// Delivers the client's bytes like the reactor, in reads that end at `cut`, and in turns until
    /// all are written.
    fn forward(&mut self, input: &[u8], cut: usize) {
        let mut at = 0;
        while at < input.len() || self.engine.stats().pending_bytes > 0 {
            self.read(input, cut, &mut at);
            self.flush();
            self.engine
                .reap(NOW, &mut |id, _| panic!("{id} was closed"));
        }
    }

    /// Reads within the client's share of the turn.
    fn read(&mut self, input: &[u8], cut: usize, at: &mut usize) {
        loop {
            let most = match self.engine.read_action(self.client, NOW) {
                ReadAction::Read(most) => most,
                ReadAction::Leftover => {
                    self.engine.on_leftover(self.client, NOW);
                    continue;
                }
                ReadAction::NextTurn | ReadAction::Paused => return,
                ReadAction::Ended => panic!("it is open"),
            };
            let until = match *at < cut {
                true => cut.min(input.len()),
                false => input.len(),
            };
            let buffer = &input[*at..until.min(*at + most)];
            if buffer.is_empty() {
                self.engine.on_socket_empty(self.client, NOW);
                return;
            }
            *at += buffer.len();
            let mut forward = self.engine.on_bytes(self.client, buffer, NOW);
            while let Some(run) = forward {
                let taken = match self.is_ready {
                    true => Ok(run.range().len()),
                    false => Err(ErrorKind::WouldBlock.into()),
                };
                self.written += taken.as_ref().map_or(0, |taken| *taken as u64);
                forward = self.engine.on_forwarded(run, buffer, taken, NOW);
            }
        }
    }

    fn flush(&mut self) {
        self.engine.take_dirty(&mut self.dirty);
        for id in self.dirty.drain(..) {
            let written = &mut self.written;
            let mut socket = |slices: &[IoSlice<'_>]| {
                let taken = slices.iter().map(|s| s.len()).sum();
                *written += taken as u64;
                Ok(taken)
            };
            let flushed = self.engine.flush(id, NOW, &mut socket);
            assert_eq!(flushed, FlushOutcome::Done);
        }
    }
}

/// Returns `count` masked frames of `size` bytes each.
fn frames(size: usize, count: usize) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
    let payload: Vec<u8> = (0..size).map(|i| i as u8).collect();
    let mut frames = Vec::new();
    for _ in 0..count {
        write_frame(&mut frames, FIN | BINARY, &payload, Some(MASK));
    }
    frames
}

criterion_group!(benches, forward);
criterion_main!(benches);
