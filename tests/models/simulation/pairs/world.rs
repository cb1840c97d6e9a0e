//! The engine and its pairs; each step is one random action and all checks.

use super::opening::Opening;
use super::planned::Kick;
use super::side::{Side, Silenced};
use crate::simulation::bridge_host::{CLIENT, Host};
use fastrand::Rng;
use pulsegate::cause::Cause;
use pulsegate::engine::{ClassConfig, Config};
use pulsegate::gateway::{Route, WeightedUpstream};
use pulsegate::health::Policy;
use pulsegate::testing::Net;
use pulsegate::time::Micros;

pub(super) const TICK: Micros = Micros::from_millis(5);

/// The longest message, in the worlds that limit them.
pub(super) const MAX_MESSAGE: u32 = 310_000;

pub(super) const CONNECT_TIMEOUT: Micros = Micros::from_millis(700);

pub(super) const ANSWER_TIMEOUT: Micros = Micros::from_millis(1_100);

pub(super) const CLOSE_TIMEOUT: Micros = Micros::from_millis(500);

/// How long a peer may take nothing.
pub(super) const SLOW_AFTER: Micros = Micros::from_millis(2_000);

const MAX_PAIRS: usize = 4;

/// Runs one seed. The error says which promise was broken, and when.
pub fn run(seed: u64, steps: usize) -> Result<(), String> {
    let mut world = World::new(seed);
    for step in 0..steps {
        let before = world.net.now();
        world.act();
        world
            .check(before)
            .map_err(|e| format!("seed {seed}, step {step}, {}: {e}", world.net.now()))?;
    }
    world
        .finish()
        .map_err(|e| format!("seed {seed}, at the end: {e}"))
}

pub(super) fn policy(is_client: bool) -> Policy {
    let ms = Micros::from_millis;
    Policy {
        heartbeat_interval: ms(if is_client { 1_000 } else { 1_500 }),
        connection_timeout: ms(if is_client { 3_000 } else { 4_000 }),
        close_timeout: CLOSE_TIMEOUT,
        ..Policy::default()
    }
}

pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) net: Net<Host>,
    pub(super) pairs: Vec<Pair>,
    pub(super) limits_messages: bool,
    /// The number of the last message, so that no two are alike.
    pub(super) messages: u32,
    pub(super) is_draining: bool,
    /// How many peers were left inside a frame.
    pub(super) cuts: u64,
}

/// A client and the service behind the bridge.
pub(super) struct Pair {
    /// The client, and the service.
    pub(super) sides: [Side; 2],
    pub(super) stage: Stage,
    /// Whether both peers have closed before either could see the close of the other.
    pub(super) closes_crossed: bool,
    /// When the first of its connections had ended.
    pub(super) first_end: Option<Micros>,
    pub(super) kick: Option<Kick>,
}

pub(super) enum Stage {
    Opening(Opening),
    Linked,
    Over,
}

impl Pair {
    /// Returns whether something has happened that ends the pair.
    pub(super) fn is_ending(&self) -> bool {
        let [client, service] = &self.sides;
        client.is_ending() || service.is_ending() || self.first_end.is_some()
    }
}

/// Returns the route for all clients, with one service.
fn route(limits_messages: bool) -> Route {
    let upstream = WeightedUpstream::parse("http://127.0.0.1:80").expect("a location");
    Route {
        connect_timeout: CONNECT_TIMEOUT,
        answer_timeout: ANSWER_TIMEOUT,
        max_message_bytes: if limits_messages { MAX_MESSAGE } else { 0 },
        ..Route::to("default", vec![upstream])
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let class = |is_client: bool| ClassConfig {
            name: if is_client { "client" } else { "upstream" }.to_owned(),
            policy: policy(is_client),
        };
        let config = Config {
            classes: vec![class(true), class(false)],
            handshake_timeout: Micros::from_millis(2_000),
            link_slow_after: SLOW_AFTER,
            ..Config::default()
        };
        let limits_messages = rng.bool();
        World {
            net: Net::new(config, Host::new(vec![route(limits_messages)])),
            rng,
            pairs: Vec::new(),
            limits_messages,
            messages: 0,
            is_draining: false,
            cuts: 0,
        }
    }

    fn act(&mut self) {
        let live: Vec<usize> = (0..self.pairs.len())
            .filter(|p| !matches!(self.pairs[*p].stage, Stage::Over))
            .collect();
        if live.is_empty() || (live.len() < MAX_PAIRS && self.rng.u8(0..12) == 0) {
            self.connect();
        } else {
            let pair = live[self.rng.usize(0..live.len())];
            let side = self.rng.usize(0..2);
            match &self.pairs[pair].stage {
                Stage::Opening(_) if self.rng.u8(0..4) != 0 => self.goes_on_opening(pair),
                Stage::Linked => self.act_on(pair, side),
                _ => self.time_passes(),
            }
        }
        for pair in live {
            self.keep_manners(pair);
        }
        self.net.settle();
    }

    fn act_on(&mut self, pair: usize, side: usize) {
        match self.rng.u32(0..200) {
            0..=49 => self.time_passes(),
            50..=119 => self.speak(pair, side),
            120..=134 => self.ping_or_pong(pair, side),
            135..=138 => self.speak_fast(pair, side),
            139 => self.dawdle(pair, side),
            140..=189 if self.pairs[pair].sides.iter().any(|s| s.is_slow) => {
                let is_slow = self.pairs[pair].sides[side].is_slow;
                self.window_changes(pair, if is_slow { side } else { 1 - side });
            }
            140..=189 => self.speak(pair, side),
            _ => self.turn(pair, side),
        }
    }

    pub(super) fn time_passes(&mut self) {
        let ms = self.rng.u64(1..250);
        self.net.advance(ms);
    }

    /// A slow reader takes some bytes, or no more, or all.
    fn window_changes(&mut self, pair: usize, side: usize) {
        let window = match self.rng.u8(0..4) {
            0 => None,
            1 => Some(0),
            2 => Some(self.rng.usize(0..5_000)),
            _ => Some(self.rng.usize(0..200_000)),
        };
        let side = &mut self.pairs[pair].sides[side];
        if self.net.ending(side.peer).is_none() && !side.takes_nothing {
            side.window = window;
            self.net.set_window(side.peer, window);
        }
    }

    /// Checks everything after a step that began at `before`.
    fn check(&mut self, before: Micros) -> Result<(), String> {
        self.net.check()?;
        if let Some(wrong) = self.net.host().wrong.first() {
            return Err(wrong.clone());
        }
        for pair in 0..self.pairs.len() {
            let checked = match self.pairs[pair].stage {
                Stage::Opening(_) => self.check_opening(pair),
                Stage::Linked => self.check_linked(pair, before),
                Stage::Over => Ok(()),
            };
            checked.map_err(|e| format!("pair {pair}: {e}"))?;
        }
        Ok(())
    }

    fn check_linked(&mut self, pair: usize, before: Micros) -> Result<(), String> {
        for side in 0..2 {
            let name = ["client", "service"][side];
            self.hear(pair, side)
                .and_then(|()| self.check_arrived(pair, side))
                .and_then(|()| self.check_liveness(pair, side, before))
                .map_err(|e| format!("{name}: {e}"))?;
        }
        self.note_read(pair);
        self.check_kick(pair)?;
        self.check_ends(pair)
    }

    /// Ends all pairs; then nothing may be left.
    fn finish(mut self) -> Result<(), String> {
        if self.rng.bool() {
            self.drain();
        }
        for _ in 0..400 {
            let before = self.net.now();
            let mut live = 0;
            for pair in 0..self.pairs.len() {
                match self.pairs[pair].stage {
                    Stage::Over => continue,
                    Stage::Opening(_) => self.goes_on_opening(pair),
                    Stage::Linked => self.keep_manners(pair),
                }
                live += 1;
                if self.rng.u8(0..20) == 0 && !self.is_draining {
                    self.turn(pair, 0);
                }
            }
            if live == 0 {
                return self.check_empty();
            }
            self.net.settle();
            self.check(before)?;
            let before = self.net.now();
            self.net.advance(100);
            self.check(before)?;
        }
        Err("some pairs do not end".to_owned())
    }

    fn drain(&mut self) {
        self.is_draining = true;
        for pair in &mut self.pairs {
            pair.sides[0].troubles.push(Cause::DRAINING);
        }
        let (delay, spread) = (Micros::from_millis(100), Micros::from_millis(400));
        self.net.with_io(|_, io| io.drain(delay, spread));
    }

    fn check_empty(&mut self) -> Result<(), String> {
        self.net.advance(30_000);
        let engine = self.net.engine();
        let stats = engine.stats();
        let left = [
            engine.len() as u64,
            stats.pending_bytes,
            stats.held_bytes,
            stats.pairs,
            self.net.wheel_entries() as u64,
        ];
        if left != [0; 5] {
            return Err(format!(
                "(connections, pending, held, pairs, wheel entries) left: {left:?}"
            ));
        }
        let counted = stats.cut_mid_frame;
        if counted < self.cuts {
            return Err(format!("{} cuts, {counted} were counted", self.cuts));
        }
        let wrong = self.net.host().wrong.first().cloned();
        wrong.map_or(Ok(()), Err)
    }

    /// Returns the class of a client, or of the service.
    pub(super) fn class(side: usize) -> pulsegate::Class {
        pulsegate::Class(CLIENT.0 + side as u8)
    }

    /// Returns whether a peer still reads all that it is sent.
    pub(super) fn reads(&self, pair: usize, side: usize) -> bool {
        let side = &self.pairs[pair].sides[side];
        side.window.is_none() && side.silenced != Silenced::Reset
    }
}
