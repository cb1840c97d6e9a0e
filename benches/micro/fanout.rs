//! One message to many: `Io::send_many` and the flush of all connections, through the engine
//! without sockets.
//!
//! The frame is built once for any number of connections. `one_behind` includes a reader with a
//! socket that takes nothing, which is always more than a megabyte behind: it must not slow the
//! others.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pulsegate::engine::Engine;
use pulsegate::{Class, Config, ConnId, Handler, Io, Message, Micros, Request, Verdict};
use std::io::{ErrorKind, IoSlice};

const READERS: usize = 1_000;
const SIZES: [usize; 3] = [128, 4 << 10, 256 << 10];

fn fanout(c: &mut Criterion) {
    for one_behind in [false, true] {
        let name = if one_behind {
            "fanout/one_behind"
        } else {
            "fanout"
        };
        let mut group = c.benchmark_group(name);
        for size in SIZES {
            let mut room = Room::new(one_behind);
            let message = Message::binary(vec![0x55; size]);
            group.throughput(Throughput::Elements(READERS as u64));
            group.bench_function(BenchmarkId::from_parameter(size), |b| {
                b.iter(|| room.send(&message));
            });
        }
        group.finish();
    }
}

/// Readers of the same messages.
struct Room {
    engine: Engine<Quiet>,
    readers: Vec<ConnId>,
    behind: Option<ConnId>,
    dirty: Vec<ConnId>,
}

impl Room {
    fn new(one_behind: bool) -> Room {
        let config = Config {
            // The slow reader must not be closed.
            max_pending_bytes: usize::MAX >> 1,
            max_buffered_bytes: usize::MAX >> 1,
            ..Config::default()
        };
        let mut room = Room {
            engine: Engine::new(config, Quiet, Box::new(|| ())).expect("valid"),
            readers: Vec::new(),
            behind: None,
            dirty: Vec::new(),
        };
        for _ in 0..READERS + usize::from(one_behind) {
            let id = room
                .engine
                .accept(([127, 0, 0, 1], 1).into(), false, Micros::ZERO);
            room.engine.on_bytes(id, UPGRADE.as_bytes(), Micros::ZERO);
            room.readers.push(id);
        }
        room.flush();
        if one_behind {
            room.behind = room.readers.last().copied();
            room.send(&Message::binary(vec![0; 1 << 20]));
        }
        room
    }

    fn send(&mut self, message: &Message) {
        // It catches up from time to time, or its queue would grow without limit.
        if let Some(behind) = self.behind
            && self.engine.stats().pending_bytes > 64 << 20
        {
            while self.engine.stats().pending_bytes > 2 << 20 {
                self.engine.flush(behind, Micros::ZERO, &mut takes_all);
                // One turn writes only so much; the next has a budget of its own.
                self.turn();
            }
        }
        let readers = self.readers.iter().copied();
        let took = self
            .engine
            .with_io(Micros::ZERO, |_, io| io.send_many(readers, message));
        assert_eq!(took, self.readers.len());
        assert!(self.flush() >= READERS * message.len());
    }

    /// Runs turns until everything is written. Returns the bytes written.
    fn flush(&mut self) -> usize {
        let mut all = 0;
        loop {
            let bytes = self.turn();
            all += bytes;
            if self.engine.sleep_time(Micros::ZERO) != Some(Micros::ZERO) {
                return all;
            }
        }
    }

    fn turn(&mut self) -> usize {
        let mut bytes = 0;
        self.engine.take_dirty(&mut self.dirty);
        for id in self.dirty.drain(..) {
            let behind = self.behind == Some(id);
            let mut socket = |slices: &[IoSlice<'_>]| {
                let taken = slices.iter().map(|s| s.len()).sum::<usize>();
                bytes += if behind { 0 } else { taken };
                if behind {
                    Err(ErrorKind::WouldBlock.into())
                } else {
                    Ok(taken)
                }
            };
            self.engine.flush(id, Micros::ZERO, &mut socket);
        }
        self.engine
            .reap(Micros::ZERO, &mut |id, _| panic!("{id} was closed"));
        bytes
    }
}

fn takes_all(slices: &[IoSlice<'_>]) -> std::io::Result<usize> {
    Ok(slices.iter().map(|s| s.len()).sum())
}

struct Quiet;

impl Handler for Quiet {
    fn on_request(&mut self, _io: &mut Io<'_>, _id: ConnId, _request: &Request) -> Verdict {
        Verdict::upgrade(Class(0))
    }

    fn on_message(&mut self, _io: &mut Io<'_>, _id: ConnId, _message: Message) {}
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

criterion_group!(benches, fanout);
criterion_main!(benches);
