//! Whatever a gateway, a network and a device do, a client neither panics nor grows, and keeps its
//! promises about tries and deadlines.

use fastrand::Rng;
use pulsegate::client::{
    ClientAction, ClientCore, ClientEvent, ClientOptions, ClientPhase, ConnectionEnd,
};
use pulsegate::pulse::{CONTROL_BYTES_MAX, ClientCondition};
use pulsegate::{Message, Micros};

const BUFFERED_MAX: usize = 2_000;

/// Frames of a gateway, in and out of order, valid and not. `$` becomes a random number.
const FRAMES: [&str; 18] = [
    "{\"hello\":{\"v\":1,\"conn\":\"b.1.2\",\"resume\":\"t\",\"resumed\":false,\"rx\":0,\
     \"ping_ms\":$,\"grace_ms\":$,\"timeout_ms\":1,\"hold_ms\":$,\"max_message_bytes\":$,\
     \"retry\":{\"first_ms\":$,\"max_ms\":$},\"report_bytes\":2048}}",
    "{\"hello\":{\"v\":1,\"conn\":\"\",\"resume\":\"\",\"resumed\":true,\"rx\":$,\"ping_ms\":0,\
     \"grace_ms\":0,\"timeout_ms\":0,\"hold_ms\":0,\"max_message_bytes\":1000,\
     \"retry\":{\"first_ms\":0,\"max_ms\":0},\"report_bytes\":300}}",
    "{\"ping\":$,\"rx\":$}",
    "{\"ping\":1,\"rx\":0}",
    "{\"probe\":$,\"rx\":0}",
    "{\"probe\":1,\"rx\":0}",
    "{\"rx\":$}",
    "{\"rx\":0}",
    "{\"rx\":1}",
    "{\"bye\":{\"why\":\"x\",\"retry_ms\":$,\"spread_ms\":$}}",
    "{\"refused\":{\"status\":$}}",
    "{\"refused\":{\"status\":503,\"retry_ms\":$}}",
    "{\"big\":$}",
    "{\"end\":{\"code\":1001,\"reason\":\"x\"}}",
    "{\"end\":{\"code\":1000}}",
    "{\"later\":[$]}",
    "{",
    "",
];

struct Storm {
    rng: Rng,
    core: ClientCore,
    now: Micros,
    is_connected: bool,
    is_open: bool,
    tries: Vec<Micros>,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let mut options = ClientOptions::default();
        options.seed = seed as u32;
        options.max_buffered_bytes = BUFFERED_MAX;
        let mut core = ClientCore::new(options);
        core.reconnect(Micros::ZERO);
        Storm {
            rng: Rng::with_seed(seed),
            core,
            now: Micros::ZERO,
            is_connected: false,
            is_open: false,
            tries: Vec::new(),
        }
    }

    fn number(&mut self) -> String {
        match self.rng.u8(0..6) {
            0 => u64::MAX.to_string(),
            1 => ((1_u64 << 53) - 1).to_string(),
            2 => self.rng.u64(0..100_000).to_string(),
            _ => self.rng.u64(0..2_000).to_string(),
        }
    }

    fn message(&mut self) -> Message {
        let frame = FRAMES[self.rng.usize(0..FRAMES.len())];
        let mut parts = frame.split('$');
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            text += &self.number();
            text += part;
        }
        match self.rng.u8(0..12) {
            0 => Message::text(text),
            1 => Message::binary(text.into_bytes()),
            2 => Message::text(format!("\u{1}\u{1}{text}")),
            _ => Message::text(format!("\u{1}{text}")),
        }
    }

    /// Something happens.
    fn event(&mut self) {
        let now = self.now;
        match self.rng.u8(0..24) {
            0..=7 if self.is_open => {
                let message = self.message();
                self.core.on_message(message, now);
            }
            8..=10 if self.is_connected && !self.is_open => {
                self.is_open = true;
                self.core.on_open(Some("a"), now);
            }
            11 if self.is_connected => {
                let codes = [
                    1000, 1001, 1006, 1008, 1009, 1012, 1013, 4000, 4003, 4401, 4999,
                ];
                let end = ConnectionEnd {
                    code: codes[self.rng.usize(0..codes.len())],
                    ..ConnectionEnd::lost()
                };
                (self.is_connected, self.is_open) = (false, false);
                self.core.on_end(end, now);
            }
            12 if self.is_connected && !self.is_open => {
                self.core
                    .on_refused_upgrade(self.rng.u16(400..600), self.rng.u64(0..5_000));
            }
            13..=16 => {
                let text = "x".repeat(self.rng.usize(0..900));
                let _ = self.core.send(Message::text(text));
            }
            17 => self.core.wake(self.rng.usize(0..10_000), now),
            18 => self.core.set_online(self.rng.bool(), 0, now),
            19 => {
                let mut condition = ClientCondition::default();
                condition.saver = Some(self.rng.bool());
                self.core.set_condition(condition, now);
            }
            20 if self.rng.u8(0..10) == 0 => self.core.reconnect(now),
            21 if self.rng.u8(0..30) == 0 => {
                let _ = self.core.close(1000, "", now);
            }
            22 if self.core.state() == ClientPhase::Closed => self.core.reconnect(now),
            _ => self.pass_time(),
        }
        self.drain();
    }

    fn pass_time(&mut self) {
        let step = Micros::from_millis(match self.rng.u8(0..8) {
            0 => self.rng.u64(0..4_000_000),
            1 | 2 => self.rng.u64(0..70_000),
            _ => self.rng.u64(0..1_500),
        });
        // Mostly the timer fires in time, but the device may sleep.
        let due = self.core.deadline().filter(|_| self.rng.u8(0..5) > 0);
        self.now = match due {
            Some(due) => self.now.max(due),
            None => self.now + step,
        };
        // A try may follow at once; then another deadline lies ahead.
        for _ in 0..3 {
            self.core.on_deadline(self.rng.usize(0..100), self.now);
            self.drain();
        }
        let next = self.core.deadline();
        assert!(
            next.is_none_or(|due| due > self.now),
            "it is never done at {}: {next:?}",
            self.now
        );
    }

    fn drain(&mut self) {
        let mut count = 0;
        while let Some(action) = self.core.next_action() {
            count += 1;
            match action {
                ClientAction::Connect(_) => {
                    assert!(!self.is_connected, "one connection at a time");
                    self.is_connected = true;
                    self.tries.push(self.now);
                }
                ClientAction::Drop(_) => (self.is_connected, self.is_open) = (false, false),
                ClientAction::Send(message) => {
                    let is_control = message.is_text() && message.len() <= CONTROL_BYTES_MAX;
                    let is_closing = self.core.state() == ClientPhase::Closing;
                    assert!(is_control || is_closing, "{message:?}");
                }
                ClientAction::Tell(ClientEvent::Suspended { retry_in, .. }) => {
                    assert!(retry_in <= Micros::from_secs(3_600 + 60));
                }
                ClientAction::Close(..) | ClientAction::Tell(_) => {}
            }
        }
        assert!(count < 40, "{count} actions after one event");
        if self.rng.bool() {
            while self.core.next_message(self.now).is_some() {}
        }
        assert!(self.core.buffered() <= BUFFERED_MAX);
    }
}

#[test]
fn a_client_keeps_its_promises_in_any_storm() {
    let mut opened = 0;
    for seed in 0..150 {
        let mut storm = Storm::new(seed);
        for _ in 0..2_000 {
            storm.event();
        }
        for tries in storm.tries.windows(11) {
            let span = tries[10] - tries[0];
            assert!(
                span >= Micros::from_secs(60),
                "seed {seed}: 11 tries in {span}"
            );
        }
        opened += storm.tries.len();
    }
    assert!(opened > 1_000, "{opened} tries");
}
