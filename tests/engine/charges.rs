//! The loop's counters match what it allocates. For each way in which peers can make it hold
//! memory, the allocated bytes are at most 1.5 times the counters. The counters are at most 1.1
//! times the allocated bytes, and 0 when everything has ended.
//!
//! The test's own allocator counts the bytes. The resident memory of the process, with memory that
//! was used before, is measured by `benches/scenarios/attack.sh`.

use allocation_counter::measure;
use pulsegate::engine::{
    Config, Engine, Handler, Io, Message, ReadAction, Request, SHARE_UNITS, Verdict,
};
use pulsegate::testing::{client_frame, upgrade_request};
use pulsegate::{Class, ConnId, Micros};
use std::io::{ErrorKind, IoSlice};

/// Allowance for entries of the loop's own lists, in bytes.
const SLACK: u64 = 128 * 1024;

#[derive(Default)]
struct Host;

impl Handler for Host {
    fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, _: &Request) -> Verdict {
        Verdict::upgrade(Class(0))
    }

    fn on_message(&mut self, _: &mut Io<'_>, _: ConnId, _: Message) {}
}

/// A loop with connections that are open and have sent one message.
struct House {
    engine: Engine<Host>,
    ids: Vec<ConnId>,
    /// Whether the peers read.
    reads: bool,
}

impl House {
    fn new(connections: usize) -> Self {
        let config = Config {
            max_message_bytes: 2 << 20,
            max_pending_bytes: 16 << 20,
            max_buffered_bytes: 4 << 30,
            ..Config::default()
        };
        let engine = Engine::new(config, Host, Box::new(|| ())).expect("valid");
        let mut house = House {
            engine,
            ids: Vec::new(),
            reads: true,
        };
        for _ in 0..connections {
            let addr = ([127, 0, 0, 1], 1).into();
            let id = house.engine.accept(addr, false, Micros::ZERO);
            house.take(id, upgrade_request("/").as_bytes());
            house.take(id, &client_frame(0x81, b"hello"));
            house.ids.push(id);
        }
        house.turn();
        assert_eq!(house.engine.stats().buffered_bytes(), 0);
        house
    }

    /// Delivers a peer's bytes until the loop takes no more; returns how many it took.
    fn take(&mut self, id: ConnId, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            match self.engine.read_action(id, Micros::ZERO) {
                ReadAction::Read(most) => {
                    let to = bytes.len().min(at + most);
                    self.engine.on_bytes(id, &bytes[at..to], Micros::ZERO);
                    at = to;
                }
                ReadAction::Leftover => self.engine.on_leftover(id, Micros::ZERO),
                ReadAction::NextTurn => self.turn(),
                ReadAction::Paused | ReadAction::Ended => break,
            }
        }
        at
    }

    fn turn(&mut self) {
        let mut dirty = Vec::new();
        loop {
            self.engine.take_dirty(&mut dirty);
            for id in dirty.drain(..) {
                let reads = self.reads;
                let mut socket = |slices: &[IoSlice<'_>]| match reads {
                    true => Ok(slices.iter().map(|s| s.len()).sum()),
                    false => Err(ErrorKind::WouldBlock.into()),
                };
                self.engine.flush(id, Micros::ZERO, &mut socket);
            }
            self.engine
                .reap(Micros::ZERO, &mut |id, _| panic!("{id} was closed"));
            let mut ready = Vec::new();
            self.engine.take_ready(&mut ready);
            if self.engine.sleep_time(Micros::ZERO) != Some(Micros::ZERO) {
                return;
            }
        }
    }

    fn counted(&self) -> u64 {
        self.engine.stats().buffered_bytes()
    }

    /// Makes the loop hold memory by `act`, compares allocations with the counters, and ends all
    /// connections.
    #[track_caller]
    fn holds(mut self, what: &str, least: u64, act: impl FnOnce(&mut House)) {
        let before = self.counted();
        let info = measure(|| act(&mut self));
        let allocated = u64::try_from(info.bytes_current).expect("more than before");
        let counted = self.counted() - before;
        println!("{what}: {allocated} B allocated, {counted} B counted");
        assert!(counted >= least, "{what}: {counted} B are too few to tell");
        assert!(
            allocated <= counted * 3 / 2 + SLACK,
            "{what}: {allocated} B allocated, {counted} B counted"
        );
        assert!(
            counted <= allocated * 11 / 10 + SLACK,
            "{what}: {allocated} B allocated, {counted} B counted"
        );
        self.engine.shutdown();
        self.engine.reap(Micros::ZERO, &mut |_, _| {});
        assert_eq!(self.counted(), 0, "{what}");
    }
}

/// Sends to each peer that does not read, like a host.
fn send(house: &mut House, count: usize, message: &Message) {
    house.reads = false;
    for id in house.ids.clone() {
        for _ in 0..count {
            house
                .engine
                .with_io(Micros::ZERO, |_, io| io.send(id, message.clone()));
        }
        house.turn();
    }
}

#[test]
fn small_frames_that_are_not_read() {
    for size in [2, 16, 100, 400, 508] {
        let message = Message::binary(vec![7; size]);
        House::new(20).holds(&format!("{size} B messages"), 4 << 20, |house| {
            send(house, (6 << 20) / (size + 2) / 20, &message);
        });
    }
}

#[test]
fn large_frames_that_are_not_read() {
    for size in [600, 5_000, 70_000, 1_000_000] {
        House::new(4).holds(&format!("{size} B messages"), 4 << 20, |house| {
            house.reads = false;
            for id in house.ids.clone() {
                for _ in 0..(2 << 20) / size {
                    let message = Message::binary(vec![7; size]);
                    house
                        .engine
                        .with_io(Micros::ZERO, |_, io| io.send(id, message));
                }
                house.turn();
            }
        });
    }
}

#[test]
fn pongs_that_are_not_read() {
    House::new(50).holds("pongs", 2 << 20, |house| {
        house.reads = false;
        let pings = client_frame(0x89, &[7; 125]).repeat(400);
        for id in house.ids.clone() {
            house.take(id, &pings);
            house.turn();
        }
    });
}

#[test]
fn headers_of_frames_that_do_not_come() {
    House::new(5_000).holds("headers", 500_000, |house| {
        let frame = client_frame(0x82, &vec![7; 1 << 20]);
        for id in house.ids.clone() {
            house.take(id, &frame[..14]);
        }
    });
}

#[test]
fn frames_of_which_a_part_has_come() {
    for part in [1_000, 40_000, 64 * 1024 + 15, 700_000] {
        let connections = (12 << 20) / part;
        House::new(connections).holds(&format!("{part} B of a frame"), 8 << 20, |house| {
            let frame = client_frame(0x82, &vec![7; 1 << 20]);
            for id in house.ids.clone() {
                house.take(id, &frame[..part]);
            }
            house.turn();
        });
    }
}

#[test]
fn frames_that_come_in_drops() {
    House::new(300).holds("drops", 4 << 20, |house| {
        let frame = client_frame(0x82, &vec![7; 60_000]);
        for piece in frame[..20_000].chunks(97) {
            for id in house.ids.clone() {
                house.take(id, piece);
            }
            house.turn();
        }
    });
}

#[test]
fn messages_in_fragments() {
    for size in [1, 100, 5_000, 100_000] {
        let frames = (1 << 20) / (size + 50);
        House::new(8).holds(&format!("fragments of {size} B"), 150_000, |house| {
            for id in house.ids.clone() {
                house.take(id, &client_frame(0x02, &vec![7; size]));
                for _ in 1..frames {
                    house.take(id, &client_frame(0x00, &vec![7; size]));
                }
            }
            house.turn();
        });
    }
}

#[test]
fn input_that_waits_for_its_share() {
    House::new(200).holds("leftovers", 4 << 20, |house| {
        let frames = client_frame(0x82, b"a").repeat(9_000);
        for (nth, id) in house.ids.clone().into_iter().enumerate() {
            // One read of 64 KiB, which exceeds the share.
            assert!(frames.len() / 7 > SHARE_UNITS as usize);
            if nth % 5 == 0 {
                house
                    .engine
                    .reap(Micros::ZERO, &mut |id, _| panic!("{id} was closed"));
            }
            if let ReadAction::Read(most) = house.engine.read_action(id, Micros::ZERO) {
                let most = most.min(frames.len());
                house.engine.on_bytes(id, &frames[..most], Micros::ZERO);
            }
        }
    });
}
