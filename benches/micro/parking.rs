//! The cost of frames on a parked connection, which owns no memory, and on one in the middle of a
//! fragmented message.
//!
//! Control frames may come between the fragments, so pings and pongs can be compared. Messages are
//! compared whole and in two fragments. Also measures how fast frame boundaries are found.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pulsegate::engine::Engine;
use pulsegate::testing::{client_frame, count_frames, upgrade_request};
use pulsegate::{Class, Config, ConnId, Handler, Io, Message, Micros, Request, Verdict};
use std::hint::black_box;
use std::io::IoSlice;

fn parking(c: &mut Criterion) {
    let payload = vec![b'x'; 125];
    let fragments = [
        client_frame(0x01, &payload[..60]),
        client_frame(0x80, &payload[60..]),
    ]
    .concat();
    // The input to a parked and to an unparked connection, and the number of messages in it.
    let cases = [
        ("pong", client_frame(0x8A, b"12345678"), None, 0),
        ("ping", client_frame(0x89, b"12345678"), None, 0),
        ("message", client_frame(0x81, &payload), Some(fragments), 1),
    ];
    let mut group = c.benchmark_group("parking");
    for (name, frame, instead, messages) in cases {
        for parked in [true, false] {
            let (mut engine, id) = open();
            let bytes = match &instead {
                Some(fragments) if !parked => fragments,
                _ => &frame,
            };
            if !parked && instead.is_none() {
                engine.on_bytes(id, &client_frame(0x01, b"a beginning"), Micros::ZERO);
            }
            let mut dirty = Vec::new();
            let before = engine.stats().messages_in;
            let mut times = 0;
            let kind = if parked { "parked" } else { "unparked" };
            group.bench_function(BenchmarkId::new(name, kind), |b| {
                b.iter(|| {
                    times += 1;
                    engine.on_bytes(id, bytes, Micros::ZERO);
                    flush(&mut engine, &mut dirty);
                });
            });
            assert_eq!(engine.stats().messages_in - before, times * messages);
            assert_eq!(
                (engine.stats().live(), engine.stats().pending_bytes),
                (1, 0)
            );
        }
    }
    group.finish();
}

fn boundaries(c: &mut Criterion) {
    let mut group = c.benchmark_group("boundaries");
    for (name, payload, frames) in [
        ("pongs", 4, 6_000),
        ("messages", 200, 300),
        ("large", 60_000, 1),
    ] {
        let first = if payload < 126 { 0x8A } else { 0x82 };
        let stream = client_frame(first, &vec![b'x'; payload]).repeat(frames);
        group.throughput(Throughput::Elements(frames as u64));
        group.bench_function(BenchmarkId::new(name, payload), |b| {
            b.iter(|| assert_eq!(count_frames(black_box(&stream)), frames as u32));
        });
    }
    group.finish();
}

fn open() -> (Engine<Quiet>, ConnId) {
    let mut engine = Engine::new(Config::default(), Quiet, Box::new(|| ())).expect("the default");
    let id = engine.accept(([127, 0, 0, 1], 1).into(), false, Micros::ZERO);
    engine.on_bytes(id, upgrade_request("/").as_bytes(), Micros::ZERO);
    flush(&mut engine, &mut Vec::new());
    assert_eq!(engine.stats().live(), 1);
    (engine, id)
}

fn flush(engine: &mut Engine<Quiet>, dirty: &mut Vec<ConnId>) {
    engine.take_dirty(dirty);
    for id in dirty.drain(..) {
        let mut socket = |slices: &[IoSlice<'_>]| Ok(slices.iter().map(|s| s.len()).sum());
        engine.flush(id, Micros::ZERO, &mut socket);
    }
    engine.reap(Micros::ZERO, &mut |id, _| panic!("{id} was closed"));
}

struct Quiet;

impl Handler for Quiet {
    fn on_request(&mut self, _io: &mut Io<'_>, _id: ConnId, _request: &Request) -> Verdict {
        Verdict::upgrade(Class(0))
    }

    fn on_message(&mut self, _io: &mut Io<'_>, _id: ConnId, message: Message) {
        black_box(message);
    }
}

criterion_group!(benches, parking, boundaries);
criterion_main!(benches);
