//! A heartbeat allocates nothing, from sending the ping to receiving the pong, and a message that
//! is forwarded allocates nothing while the other side takes it. The wheel allocates per tick, not
//! per deadline; the test bounds that.

use crate::bench_pairs::{open_pair, pair_engine};
use allocation_counter::measure;
use pulsegate::engine::wheel::TICK;
use pulsegate::engine::{Class, Config, Engine, Handler, Io, Message, Request, Verdict};
use pulsegate::health::HeartbeatForm;
use pulsegate::testing::{client_frame, frame_of_server};
use pulsegate::{ConnId, Micros};
use std::io::IoSlice;

struct Silent;

impl Handler for Silent {
    fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, _: &Request) -> Verdict {
        Verdict::upgrade(Class(0))
    }

    /// The answer to a heartbeat is its text.
    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        let Message::Text(text) = message else { return };
        let number = text
            .strip_prefix("{\"ping\":")
            .and_then(|t| t.strip_suffix('}'));
        let number = number.and_then(|number| number.parse().ok());
        io.heartbeat_answered(id, number.expect("a heartbeat"));
    }
}

/// Allocations during one part of the heartbeats.
#[derive(Debug, Default)]
struct Counted {
    flush: u64,
    pong: u64,
    advance: u64,
    ticks: u64,
    rounds: u64,
}

const INTERVAL: Micros = Micros::from_secs(15);

/// Opens `count` connections and runs several intervals; counts the last one.
fn heartbeats(count: usize, form: HeartbeatForm) -> Counted {
    let mut config = Config::default();
    for class in &mut config.classes {
        class.policy.heartbeat_form = form;
    }
    let mut engine = Engine::new(config, Silent, Box::new(|| {})).expect("a valid configuration");
    let request = pulsegate::testing::upgrade_request("/");
    let mut now = Micros::ZERO;
    for _ in 0..count {
        let id = engine.accept(([127, 0, 0, 1], 1).into(), false, now);
        engine.on_bytes(id, request.as_bytes(), now);
        engine.reap(now, &mut |_, _| {});
    }
    let mut counted = Counted::default();
    let (mut dirty, mut sent) = (Vec::with_capacity(count), Vec::with_capacity(count));
    // The answers to the requests leave some at a time.
    while engine.stats().pending_bytes > 0 {
        engine.take_dirty(&mut dirty);
        for id in dirty.drain(..) {
            let mut socket = |slices: &[IoSlice<'_>]| Ok(slices.iter().map(|s| s.len()).sum());
            engine.flush(id, now, &mut socket);
        }
        engine.reap(now, &mut |_, _| {});
    }
    while now < INTERVAL + INTERVAL + INTERVAL {
        let last = now >= INTERVAL + INTERVAL;
        let advance = measure(|| engine.advance(now)).count_total;
        engine.take_dirty(&mut dirty);
        let mut pongs = Vec::with_capacity(dirty.len());
        for id in dirty.drain(..) {
            let (mut payload, mut text) = ([0; 8], [0; 32]);
            let flush = measure(|| {
                engine.flush(id, now, &mut |slices: &[IoSlice<'_>]| {
                    if let [one] = slices
                        && let [0x89, 8, rest @ ..] = &**one
                    {
                        payload.copy_from_slice(rest);
                    }
                    if let [one] = slices
                        && let [0x81, len, rest @ ..] = &**one
                    {
                        assert_eq!(usize::from(*len), rest.len());
                        text[..rest.len()].copy_from_slice(rest);
                    }
                    Ok(slices.iter().map(|s| s.len()).sum())
                });
            });
            counted.flush += if last { flush.count_total } else { 0 };
            pongs.push(match form {
                HeartbeatForm::Ping => (id, client_frame(0x8A, &payload)),
                HeartbeatForm::Text => (
                    id,
                    client_frame(0x81, text.split(|b| *b == 0).next().unwrap_or_default()),
                ),
            });
        }
        sent.clear();
        for (id, pong) in pongs {
            let pong = measure(|| _ = engine.on_bytes(id, &pong, now)).count_total;
            counted.pong += if last { pong } else { 0 };
            counted.rounds += u64::from(last);
            sent.push(id);
        }
        engine.reap(now, &mut |_, _| {});
        if last {
            counted.advance += advance;
            counted.ticks += 1;
        }
        now += TICK;
    }
    assert_eq!(
        engine.stats().pings(),
        engine.stats().pongs(),
        "every ping was answered"
    );
    assert!(engine.stats().live() == count as u64 && counted.rounds >= count as u64 * 9 / 10);
    counted
}

#[test]
fn a_heartbeat_allocates_nothing() {
    for count in [1, 1_000, 20_000] {
        let counted = heartbeats(count, HeartbeatForm::Ping);
        assert_eq!(
            (counted.flush, counted.pong),
            (0, 0),
            "{count} connections: {counted:?}"
        );
    }
}

/// The answer is a message, and the host gets its text, which is one allocation.
#[test]
fn a_heartbeat_in_the_form_of_a_text_allocates_nothing_but_the_text_of_its_answer() {
    for count in [1, 1_000] {
        let counted = heartbeats(count, HeartbeatForm::Text);
        assert_eq!(
            (counted.flush, counted.pong),
            (0, counted.rounds),
            "{count} connections: {counted:?}"
        );
    }
}

#[test]
fn the_wheel_allocates_per_tick_and_not_per_deadline() {
    for count in [1_000, 20_000] {
        let counted = heartbeats(count, HeartbeatForm::Ping);
        // The lists of one tick: taken, grown by doubling, and taken over from the level above.
        let most = counted.ticks / 4 + counted.rounds / 2;
        println!(
            "{count} connections: {} allocations in {} ticks, {} rounds",
            counted.advance, counted.ticks, counted.rounds
        );
        assert!(counted.advance <= most, "{count} connections: {counted:?}");
    }
}

#[test]
fn a_forwarded_message_allocates_nothing() {
    let mut engine = pair_engine();
    let now = Micros::ZERO;
    let (client, server) = open_pair(&mut engine, now);
    let mut forwarded = 0;
    for size in [0, 128, 4 << 10, 64 << 10] {
        let payload = vec![7; size];
        let pair = [
            (client, client_frame(0x82, &payload)),
            (server, frame_of_server(0x82, &payload)),
        ];
        for (id, frame) in pair {
            let counted = measure(|| {
                engine.read_action(id, now);
                let mut run = engine.on_bytes(id, &frame, now);
                while let Some(forward) = run {
                    let taken = forward.range().len();
                    forwarded += taken;
                    run = engine.on_forwarded(forward, &frame, Ok(taken), now);
                }
                engine.on_socket_empty(id, now);
                engine.reap(now, &mut |_, _| {});
            });
            assert_eq!(counted.count_total, 0, "{id}, {size} bytes");
        }
    }
    let stats = engine.stats();
    assert_eq!((stats.messages_out, stats.pending_bytes), (8, 0));
    assert!(forwarded > 2 * (64 << 10), "{forwarded} bytes went through");
}
