//! Messages through the engine without sockets: one connection to an echoing host.
//!
//! The client's masked frame arrives as the reactor reads it, at most 64 KiB at a time. The answer
//! leaves through `flush` to a socket that takes everything. So a message of 64 KiB or more arrives
//! in several reads and has its own decoder meanwhile; smaller ones use the decoder that all
//! connections share.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pulsegate::engine::{Engine, ReadAction};
use pulsegate::wire::frame::{BINARY, FIN, write_frame};
use pulsegate::{
    Class, Config, ConnId, Handler, Io, Message, Micros, Request, SendOutcome, Verdict,
};
use std::io::IoSlice;
use std::net::SocketAddr;

const SIZES: [usize; 6] = [16, 125, 1 << 10, 4 << 10, 64 << 10, 1 << 20];

/// The size of one read of the reactor.
const READ: usize = 64 * 1024;

fn echo(c: &mut Criterion) {
    let mut group = c.benchmark_group("echo");
    for size in SIZES {
        let frame = masked(size);
        let (mut engine, id) = open();
        let mut dirty = Vec::new();
        let mut out = 0;
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| {
                let before = out;
                feed(&mut engine, id, &frame);
                out += flush(&mut engine, &mut dirty);
                // A client's frame is 4 bytes longer than a server's, for the mask.
                assert_eq!(out - before, frame.len() - 4);
            });
        });
        // Pays what the last message has overspent.
        feed(&mut engine, id, &[]);
        let stats = engine.stats();
        assert_eq!(stats.messages_in, stats.messages_out);
        assert_eq!(
            (stats.live(), stats.pending_bytes, stats.held_bytes),
            (1, 0, 0)
        );
    }
    group.finish();
}

/// Delivers a message like the reactor: in reads of 64 KiB, with a turn for each share that it
/// costs.
fn feed(engine: &mut Engine<Echo>, id: ConnId, message: &[u8]) {
    let mut reads = message.chunks(READ);
    loop {
        match engine.read_action(id, Micros::ZERO) {
            ReadAction::Read(_) => match reads.next() {
                Some(read) => _ = engine.on_bytes(id, read, Micros::ZERO),
                None => break,
            },
            ReadAction::Leftover => engine.on_leftover(id, Micros::ZERO),
            ReadAction::NextTurn => {
                engine.reap(Micros::ZERO, &mut |id, _| panic!("{id} was closed"))
            }
            ReadAction::Paused | ReadAction::Ended => panic!("it is open"),
        }
    }
    engine.on_socket_empty(id, Micros::ZERO);
}

fn open() -> (Engine<Echo>, ConnId) {
    let mut engine = Engine::new(Config::default(), Echo, Box::new(|| ())).expect("the default");
    let id = engine.accept(SocketAddr::from(([127, 0, 0, 1], 1)), false, Micros::ZERO);
    engine.on_bytes(id, UPGRADE.as_bytes(), Micros::ZERO);
    assert!(flush(&mut engine, &mut Vec::new()) > 100);
    assert_eq!(engine.stats().live(), 1);
    (engine, id)
}

/// Ends the turn, and flushes a large message in several turns. Returns the bytes written.
fn flush(engine: &mut Engine<Echo>, dirty: &mut Vec<ConnId>) -> usize {
    let mut bytes = 0;
    loop {
        engine.take_dirty(dirty);
        if dirty.is_empty() {
            break;
        }
        for id in dirty.drain(..) {
            let mut socket = |slices: &[IoSlice<'_>]| {
                let taken = slices.iter().map(|s| s.len()).sum();
                bytes += taken;
                Ok(taken)
            };
            engine.flush(id, Micros::ZERO, &mut socket);
        }
        engine.reap(Micros::ZERO, &mut |id, _| panic!("{id} was closed"));
    }
    bytes
}

/// Returns a binary message in one masked frame.
fn masked(size: usize) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
    let payload: Vec<u8> = (0..size).map(|i| i as u8).collect();
    let mut frame = Vec::new();
    write_frame(&mut frame, FIN | BINARY, &payload, Some(MASK));
    frame
}

/// Echoes all messages.
struct Echo;

impl Handler for Echo {
    fn on_request(&mut self, _io: &mut Io<'_>, _id: ConnId, _request: &Request) -> Verdict {
        Verdict::upgrade(Class(0))
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        assert_eq!(io.send(id, message), SendOutcome::Flowing);
    }
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

criterion_group!(benches, echo);
criterion_main!(benches);
