//! What really happened in a session, as neither the gateway nor the client knows it.

use fastrand::Rng;
use pulsegate::Message;
use pulsegate::testing::PeerId;
use pulsegate::time::Micros;

/// The direction of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the service.
    Up,
    /// To the client.
    Down,
}

/// Returns the message with this number in a session: always the same. Most are short, some long,
/// and some look like control frames.
pub fn message(session: u32, way: Way, n: u64) -> Message {
    let way = u64::from(way == Way::Up);
    let mut rng = Rng::with_seed((u64::from(session) << 32) ^ (n << 1) ^ way);
    let len = match rng.u8(0..100) {
        0 => rng.usize(16_000..50_000),
        1..=5 => rng.usize(0..3_000),
        _ => rng.usize(0..24),
    };
    let fill = rng.alphanumeric().to_string().repeat(len);
    let text = format!("{session}:{way}:{n}:{fill}");
    match rng.u8(0..8) {
        0 => Message::text(format!("\u{1}{{\"rx\":{n}}}{text}")),
        1 => Message::text(format!("\u{1}\u{1}{text}")),
        2 | 3 => Message::binary(text.into_bytes()),
        _ => Message::text(text),
    }
}

/// A session: a connection to a service, and what was said over it.
#[derive(Debug)]
pub struct Truth {
    /// The number of the attempt that began it; it is in the request that the service gets.
    pub key: u32,
    pub visitor: usize,
    pub service: PeerId,
    pub began: Micros,
    /// Whether the service has agreed.
    pub is_open: bool,
    /// Messages that the client has made, that the gateway has acknowledged, and that the service
    /// has.
    pub made_up: u64,
    pub acked_up: u64,
    pub got_up: u64,
    /// Messages that the service has sent, that the client has, and that it has acknowledged.
    pub made_down: u64,
    pub got_down: u64,
    pub told_down: u64,
    /// How the service has closed it.
    pub end: Option<(u16, &'static str)>,
    /// How the client has closed it for good, and how many messages it had sent.
    pub left: Option<(u16, u64)>,
    /// The close frame that the service got.
    pub closed: Option<(u16, String)>,
    /// Why a client that comes back may find it gone.
    pub excuse: Option<&'static str>,
    /// Since when no connection of its client is there.
    pub lost_at: Option<Micros>,
    /// Whether the service takes nothing at the moment.
    pub is_slow: bool,
    /// Whether it ever did that, and when it last began to take everything again.
    pub was_slow: bool,
    pub unslowed_at: Micros,
    pub pings: u32,
    pub pongs: u32,
}

impl Truth {
    pub fn new(key: u32, visitor: usize, service: PeerId, now: Micros) -> Self {
        Truth {
            key,
            visitor,
            service,
            began: now,
            is_open: false,
            made_up: 0,
            acked_up: 0,
            got_up: 0,
            made_down: 0,
            got_down: 0,
            told_down: 0,
            end: None,
            left: None,
            closed: None,
            // Until a frame of the client has arrived.
            excuse: Some("unproved"),
            lost_at: Some(now),
            is_slow: false,
            was_slow: false,
            unslowed_at: Micros::ZERO,
            pings: 0,
            pongs: 0,
        }
    }

    /// Returns the bytes of the service's messages that the client has not acknowledged.
    pub fn bytes_down(&self) -> usize {
        let messages = self.told_down..self.made_down;
        let len = |n| message(self.key, Way::Down, n).len();
        messages.map(len).sum()
    }

    /// Notes that the gateway has had a frame of the client.
    pub fn prove(&mut self) {
        if self.excuse == Some("unproved") {
            self.excuse = None;
        }
    }

    /// Notes why a client may find it gone.
    pub fn excuse(&mut self, why: &'static str) {
        if self.excuse.is_none_or(|before| before == "unproved") {
            self.excuse = Some(why);
        }
    }
}

/// What has happened in a run: a run in which too little happens proves nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub steps: u64,
    /// Connections that were cut, and those of them with messages on their way.
    pub cuts: u64,
    pub cuts_with_unacknowledged_up: u64,
    pub cuts_with_unacknowledged_down: u64,
    pub resumed: u64,
    pub taken_over: u64,
    pub reset: u64,
    pub refused: u64,
    pub ends: u64,
    pub messages: u64,
    pub holds_expired: u64,
    pub holds_full: u64,
    pub holds_crowded: u64,
    pub holds_shed: u64,
    pub not_held: u64,
    pub drains: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        let Tally {
            steps,
            cuts,
            cuts_with_unacknowledged_up,
            cuts_with_unacknowledged_down,
            resumed,
            taken_over,
            reset,
            refused,
            ends,
            messages,
            holds_expired,
            holds_full,
            holds_crowded,
            holds_shed,
            not_held,
            drains,
        } = other;
        self.steps += steps;
        self.cuts += cuts;
        self.cuts_with_unacknowledged_up += cuts_with_unacknowledged_up;
        self.cuts_with_unacknowledged_down += cuts_with_unacknowledged_down;
        self.resumed += resumed;
        self.taken_over += taken_over;
        self.reset += reset;
        self.refused += refused;
        self.ends += ends;
        self.messages += messages;
        self.holds_expired += holds_expired;
        self.holds_full += holds_full;
        self.holds_crowded += holds_crowded;
        self.holds_shed += holds_shed;
        self.not_held += not_held;
        self.drains += drains;
    }
}
