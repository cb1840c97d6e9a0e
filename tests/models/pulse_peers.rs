//! A model of glasses and apps that speak pulse: their connections are cut at any byte, and
//! everything arrives once and in order, in both directions.

use crate::fleet::{Fleet, json, number};
use crate::pulse_client::PulseClient;
use pulsegate::gateway::RelaySettings;
use serde_json::{Value, json as object};
use std::collections::VecDeque;

const PATHS: [&str; 3] = [
    "/glasses-ws?user=ada",
    "/app-ws?user=ada&package=p.x",
    "/app-ws?user=ada&package=p.y",
];

/// The most messages that a peer leaves unacknowledged.
const UNACKNOWLEDGED_MAX: u64 = 20;

/// What has happened.
#[derive(Debug, Default, Clone, Copy)]
pub struct Cuts {
    all: u64,
    /// The peer had not acknowledged everything.
    dirty_down: u64,
    /// The relay had not acknowledged everything.
    dirty_up: u64,
    taken_over: u64,
}

/// A peer of the model.
struct Speaker {
    client: PulseClient,
    is_up: bool,
    /// The number of the last message that it has said.
    said: u64,
    /// Messages of the application that it has heard, and acknowledged.
    acknowledged: u64,
    /// The pings that were not answered.
    pings: u64,
    /// What it must hear next: of each peer that it hears, the number after the last.
    heard: [u64; 3],
}

struct Model {
    rng: fastrand::Rng,
    fleet: Fleet,
    speakers: VecDeque<Speaker>,
    cuts: Cuts,
}

/// Runs one seed.
///
/// # Errors
/// The first promise of `docs/relay.md` that was broken.
pub fn run(seed: u64) -> Result<Cuts, String> {
    let mut model = Model::new(seed);
    for _ in 0..60 {
        model.act()?;
        model.fleet.charged();
        model.fleet.net.check()?;
    }
    model.come_to_rest()?;
    Ok(model.cuts)
}

impl Model {
    fn new(seed: u64) -> Self {
        let settings = RelaySettings {
            pulse: true,
            flapping_limit: 0,
            ..RelaySettings::default()
        };
        let mut fleet = Fleet::with(settings, None);
        let mut speakers = VecDeque::new();
        for path in PATHS {
            let mut client = PulseClient::open(&mut fleet, path);
            client.texts(&mut fleet);
            if path != PATHS[0] {
                let all = object!({"type":"subscription_update","subscriptions":["*"]});
                client.say(&mut fleet, &all);
            }
            client.ack(&mut fleet);
            speakers.push_back(Speaker {
                acknowledged: client.rx,
                client,
                is_up: true,
                said: 0,
                pings: 0,
                heard: [0; 3],
            });
        }
        Model {
            rng: fastrand::Rng::with_seed(seed),
            fleet,
            speakers,
            cuts: Cuts::default(),
        }
    }

    fn act(&mut self) -> Result<(), String> {
        let at = self.rng.usize(0..self.speakers.len());
        match self.rng.u8(0..10) {
            0..=3 => self.say(at),
            4 => self.hear(at)?,
            5 => self.acknowledge(at)?,
            6 => {
                let ms = self.rng.u64(1..1_500);
                self.live(ms)?;
            }
            _ if self.speakers[at].is_up => self.cut(at)?,
            _ => self.come_back(at)?,
        }
        for at in 0..self.speakers.len() {
            let speaker = &self.speakers[at];
            if speaker.is_up && speaker.client.rx - speaker.acknowledged > UNACKNOWLEDGED_MAX {
                self.acknowledge(at)?;
            }
        }
        Ok(())
    }

    /// Returns the next message of a peer.
    fn next(&mut self, at: usize) -> Value {
        let is_long = self.rng.u8(0..4) == 0;
        let long = if is_long {
            self.rng.usize(1_000..20_000)
        } else {
            0
        };
        let speaker = &mut self.speakers[at];
        speaker.said += 1;
        let kind = match at {
            // The first is a type that is not kept for other peers.
            0 if speaker.said.is_multiple_of(3) => "VAD",
            0 => "button_press",
            _ => "display_event",
        };
        object!({"type":kind,"n":speaker.said,"of":at,"text":"x".repeat(long)})
    }

    fn say(&mut self, at: usize) {
        if !self.speakers[at].is_up {
            return;
        }
        if self.rng.u8(0..6) == 0 {
            let speaker = &mut self.speakers[at];
            speaker.pings += 1;
            speaker
                .client
                .say(&mut self.fleet, &object!({"type":"ping"}));
            return;
        }
        let next = self.next(at);
        self.speakers[at].client.say(&mut self.fleet, &next);
    }

    /// Checks what a peer has heard: of each other peer every message, once and in order.
    fn hear(&mut self, at: usize) -> Result<(), String> {
        let speaker = &mut self.speakers[at];
        for text in speaker.client.texts(&mut self.fleet) {
            let frame = json(&text);
            let (of, n) = match number(&text) {
                Some(n) => (0, n),
                None => match (frame["of"].as_u64(), frame["n"].as_u64()) {
                    (Some(of), Some(n)) => (of as usize, n),
                    _ if frame["type"] == "pong" && speaker.pings > 0 => {
                        speaker.pings -= 1;
                        continue;
                    }
                    _ if frame["type"] == "pong" => {
                        return Err(format!("{at} got an answer too many"));
                    }
                    _ => continue,
                },
            };
            if n != speaker.heard[of] + 1 {
                let before = speaker.heard[of];
                return Err(format!("{at} heard {n} of {of} after {before}"));
            }
            speaker.heard[of] = n;
        }
        Ok(())
    }

    fn acknowledge(&mut self, at: usize) -> Result<(), String> {
        if self.speakers[at].is_up {
            let speaker = &mut self.speakers[at];
            speaker.client.ack(&mut self.fleet);
            speaker.acknowledged = speaker.client.rx;
        }
        self.hear(at)
    }

    /// Lets time pass, in which all peers that are connected answer.
    fn live(&mut self, ms: u64) -> Result<(), String> {
        self.fleet.advance(ms);
        for at in 0..self.speakers.len() {
            if self.speakers[at].is_up {
                self.hear(at)?;
            }
        }
        Ok(())
    }

    /// Cuts the connection of a peer while messages are on their way, at any byte.
    fn cut(&mut self, at: usize) -> Result<(), String> {
        let kind = self.rng.u8(0..7);
        let peer = self.speakers[at].client.peer;
        let left = self.rng.usize(0..3_000);
        if kind < 3 {
            // It gets a part of what the others say.
            self.fleet.net.set_window(peer, Some(left));
        }
        if self.rng.u8(0..8) > 0 {
            for other in 0..self.speakers.len() {
                if other == at || self.rng.bool() {
                    self.say(other);
                }
            }
        }
        match kind {
            0 => self.fleet.net.reset(peer),
            1 => self.fleet.net.reset_after(peer, left / 2),
            2 => self.fleet.net.mute(peer),
            3 => {
                let (next, bytes) = (self.next(at), self.rng.usize(0..600));
                let speaker = &mut self.speakers[at];
                speaker.client.say_part(&mut self.fleet, &next, bytes);
                self.fleet.net.half_close(peer);
            }
            4 => {
                let (next, bytes) = (self.next(at), self.rng.usize(0..600));
                let speaker = &mut self.speakers[at];
                speaker.client.say_part(&mut self.fleet, &next, bytes);
                self.fleet.net.settle();
                self.fleet.net.mute(peer);
            }
            5 => {
                // What is on its way arrives when the next connection has the session.
                let latency = self.rng.u64(50..3_000);
                self.fleet.net.set_latency(peer, latency);
                self.say(at);
                self.say(at);
            }
            _ => {
                // The relay is reading a long text when the next connection asks.
                self.speakers[at].client.prepare(&mut self.fleet);
                let mut next = self.next(at);
                next["text"] = vec![object!([0]); self.rng.usize(1_000..30_000)].into();
                let turns = self.rng.usize(0..4);
                let speaker = &mut self.speakers[at];
                speaker.client.begin_to_say(&mut self.fleet, &next);
                (0..turns).for_each(|_| self.fleet.net.run_turn());
            }
        }
        if kind < 6 && self.rng.bool() {
            self.hear(at)?;
        }
        let speaker = &mut self.speakers[at];
        speaker.is_up = false;
        self.cuts.all += 1;
        self.cuts.dirty_up += u64::from(speaker.client.unacknowledged() > 0);
        if kind == 6 || self.rng.bool() {
            self.cuts.taken_over += 1;
            return self.come_back(at);
        }
        self.fleet.net.settle();
        Ok(())
    }

    /// Gives a peer another connection, on which its session goes on.
    fn come_back(&mut self, at: usize) -> Result<(), String> {
        let speaker = &mut self.speakers[at];
        if !speaker.client.resume(&mut self.fleet) {
            return Err(format!("{at} has lost its session"));
        }
        speaker.is_up = true;
        speaker.acknowledged = speaker.client.rx;
        self.hear(at)
    }

    fn come_to_rest(&mut self) -> Result<(), String> {
        for at in 0..self.speakers.len() {
            if !self.speakers[at].is_up {
                self.come_back(at)?;
            }
        }
        for _ in 0..6 {
            self.fleet.rest();
            self.live(700)?;
            for at in 0..self.speakers.len() {
                self.acknowledge(at)?;
            }
        }
        let said: Vec<u64> = self.speakers.iter().map(|speaker| speaker.said).collect();
        for (at, speaker) in self.speakers.iter().enumerate() {
            let expected = match at {
                0 => [0, said[1], said[2]],
                _ => [said[0], 0, 0],
            };
            let (heard, left) = (speaker.heard, speaker.client.unacknowledged());
            if heard != expected || left > 0 || speaker.pings > 0 {
                return Err(format!(
                    "{at} heard {heard:?}, not {expected:?}; {left} messages are not \
                     acknowledged, {} pings not answered",
                    speaker.pings
                ));
            }
        }
        let snapshot = self.fleet.net.with_io(|gateway, io| gateway.snapshot(io));
        self.cuts.dirty_down = snapshot.pulse.losses_unacknowledged;
        let dropped = snapshot.relay.dropped.iter().sum::<u64>();
        if dropped + snapshot.relay.doubtful > 0 {
            return Err(format!(
                "{dropped} frames are dropped: {:?}",
                snapshot.relay
            ));
        }
        Ok(())
    }
}

#[test]
fn everything_arrives_once_whatever_is_cut() {
    let mut sum = Cuts::default();
    for seed in 0..150 {
        let cuts = run(seed).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        sum.all += cuts.all;
        sum.dirty_down += cuts.dirty_down;
        sum.dirty_up += cuts.dirty_up;
        sum.taken_over += cuts.taken_over;
    }
    println!("{sum:?}");
    assert!(sum.all >= 1_000 && sum.taken_over * 4 >= sum.all, "{sum:?}");
    assert!(sum.dirty_down * 2 >= sum.all, "{sum:?}");
    assert!(sum.dirty_up * 2 >= sum.all, "{sum:?}");
}
