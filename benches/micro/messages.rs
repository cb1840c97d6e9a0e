//! Messages forwarded between the legs of pairs, through the engine, counted by callgrind: the
//! instructions are the same on every machine and under any load. See benches/micro/gates.sh.
//!
//! ```sh
//! valgrind --tool=callgrind BINARY BYTES ECHOES
//! ```
//!
//! A turn is the same as the reactor's. In one turn a message of each client goes to its server; in
//! the next it comes back. Sockets take everything at once.

mod pair_host;

use pair_host::{PairHost, open_pair, pair_engine};
use pulsegate::engine::{Engine, ReadAction};
use pulsegate::wire::frame::{BINARY, FIN, write_frame};
use pulsegate::{ConnId, Micros};
use std::io::IoSlice;

const PAIRS: u64 = 100;

/// The time from one turn to the next.
const TURN: Micros = Micros(100);

const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

fn main() {
    // Without numbers there is one small run.
    let mut numbers = std::env::args()
        .skip(1)
        .map(|a| a.parse::<u64>().expect("a whole number"));
    let (bytes, echoes) = (numbers.next().unwrap_or(128), numbers.next().unwrap_or(5));
    let mut engine = pair_engine();
    let mut now = Micros::ZERO;
    let pairs: Vec<_> = (0..PAIRS).map(|_| open_pair(&mut engine, now)).collect();
    let payload = vec![0x55; bytes as usize];
    let (mut request, mut answer) = (Vec::new(), Vec::new());
    write_frame(&mut request, FIN | BINARY, &payload, Some(MASK));
    write_frame(&mut answer, FIN | BINARY, &payload, None);
    let mut dirty = Vec::new();
    for _ in 0..echoes {
        for (is_back, input) in [(false, &request), (true, &answer)] {
            for &(client, server) in &pairs {
                let from = if is_back { server } else { client };
                read(&mut engine, from, input, now);
            }
            engine.advance(now);
            engine.take_dirty(&mut dirty);
            for id in dirty.drain(..) {
                engine.flush(id, now, &mut |slices: &[IoSlice<'_>]| {
                    Ok(slices.iter().map(|s| s.len()).sum())
                });
            }
            engine.reap(now, &mut |id, _| panic!("{id} was closed"));
            now += TURN;
        }
    }
    let stats = engine.stats();
    assert_eq!(stats.messages_out, 2 * PAIRS * echoes);
    assert_eq!((stats.pending_bytes, stats.held_bytes), (0, 0));
    println!("messages {}", stats.messages_out);
}

/// Reads a message like the reactor; a read that is not full means that the socket is empty.
fn read(engine: &mut Engine<PairHost>, from: ConnId, input: &[u8], now: Micros) {
    let ReadAction::Read(most) = engine.read_action(from, now) else {
        panic!("{from} is not read");
    };
    assert!(input.len() < most, "it arrives in one read");
    let mut forward = engine.on_bytes(from, input, now);
    while let Some(run) = forward {
        let taken = run.range().len();
        forward = engine.on_forwarded(run, input, Ok(taken), now);
    }
    assert!(engine.on_socket_empty(from, now), "all was forwarded");
}
