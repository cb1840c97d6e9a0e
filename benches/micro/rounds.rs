//! Heartbeat rounds through the engine, counted by callgrind: the instructions are the same on
//! every machine and under any load. See benches/micro/gates.sh.
//!
//! ```sh
//! valgrind --tool=callgrind BINARY CONNECTIONS INTERVALS [text] [never-late]
//! ```
//!
//! With `text` the heartbeats are texts of the host, and their answers are messages. With
//! `never-late` they are not judged late.

use pulsegate::HeartbeatForm;
use pulsegate::engine::{Class, Config, Engine, Handler, Io, Message, Request, Verdict};
use pulsegate::{ConnId, Micros};
use std::io::IoSlice;

struct Silent;

impl Handler for Silent {
    fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, _: &Request) -> Verdict {
        Verdict::upgrade(Class(0))
    }

    /// Every message is the answer to a heartbeat: its text.
    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        if let Message::Text(text) = message
            && let Some(number) = text.strip_prefix("{\"ping\":")
            && let Ok(number) = number.trim_end_matches('}').parse()
        {
            io.heartbeat_answered(id, number);
        }
    }
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn main() {
    // Without numbers there is one small run.
    let mut args = std::env::args().skip(1);
    let mut number = |default| {
        let given = args.next();
        given.map_or(default, |a| a.parse::<u64>().expect("a whole number"))
    };
    let (connections, intervals) = (number(1_000), number(1));
    let mut config = Config::default();
    for word in args {
        for class in &mut config.classes {
            match &*word {
                "text" => class.policy.heartbeat_form = HeartbeatForm::Text,
                "never-late" => class.policy.late = false,
                _ => panic!("{word}: neither text nor never-late"),
            }
        }
    }
    let mut engine = Engine::new(config, Silent, Box::new(|| {})).expect("a valid configuration");
    let mut now = Micros::ZERO;
    for _ in 0..connections {
        let id = engine.accept(([127, 0, 0, 1], 1).into(), false, now);
        engine.on_bytes(id, REQUEST.as_bytes(), now);
        engine.reap(now, &mut |_, _| {});
    }
    let mut dirty = Vec::new();
    // The answers leave some at a time, before the clock starts.
    while engine.stats().pending_bytes > 0 {
        engine.take_dirty(&mut dirty);
        for id in dirty.drain(..) {
            engine.flush(id, now, &mut |slices: &[IoSlice<'_>]| {
                Ok(slices.iter().map(|s| s.len()).sum())
            });
        }
        engine.reap(now, &mut |_, _| {});
    }
    // The mask of each answer is zero.
    let mut pong = [0x8A, 0x88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut answer = [0; 64];
    // Half an interval more, so that the last ping of each connection is sent.
    let end = Micros(15_000_000 * intervals);
    while now < end {
        assert_eq!(engine.next_late(now), None);
        engine.advance(now);
        engine.take_dirty(&mut dirty);
        for id in dirty.drain(..) {
            let mut answer_len = 0;
            let mut pinged = false;
            engine.flush(id, now, &mut |slices: &[IoSlice<'_>]| {
                if let [0x89, 8, ref payload @ ..] = *slices[0] {
                    pinged = true;
                    pong[6..].copy_from_slice(payload);
                } else if let [0x81, len, ref payload @ ..] = *slices[0] {
                    answer[..2].copy_from_slice(&[0x81, 0x80 | len]);
                    answer_len = 6 + payload.len();
                    answer[6..answer_len].copy_from_slice(payload);
                }
                Ok(slices.iter().map(|s| s.len()).sum())
            });
            if pinged {
                engine.on_bytes(id, &pong, now);
            } else if answer_len > 0 {
                engine.read_action(id, now);
                engine.on_bytes(id, &answer[..answer_len], now);
                engine.on_socket_empty(id, now);
            }
        }
        engine.reap(now, &mut |_, _| {});
        now += pulsegate::engine::wheel::TICK;
    }
    let stats = engine.stats();
    assert!(stats.pings() == stats.pongs() && stats.live() == connections);
    println!("rounds {}", stats.pongs());
}
