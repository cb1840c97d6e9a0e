//! The engine, its peers and their shadows; each step is one random action and all checks.

use super::host::Host;
use super::late::LateShadow;
use fastrand::Rng;
use pulsegate::ConnId;
use pulsegate::engine::{AdaptiveCadence, ClassConfig, Config};
use pulsegate::health::{AliveBy, HeartbeatForm, HeartbeatMode, Policy};
use pulsegate::testing::{Net, PeerId};
use pulsegate::time::Micros;
use std::collections::VecDeque;

pub(super) const TICK: Micros = Micros::from_millis(5);

pub(super) const PING_GRID: Micros = Micros::from_millis(10);

pub(super) const MAX_MESSAGE: usize = 70_000;

pub(super) const MAX_PENDING: usize = 300_000;

pub(super) const MAX_PEERS: usize = 24;

/// Runs one seed. The error says which promise was broken, and when.
pub fn run(seed: u64, steps: usize) -> Result<(), String> {
    let mut world = World::new(seed);
    for step in 0..steps {
        world.act();
        world
            .check()
            .map_err(|e| format!("seed {seed}, step {step}, {}: {e}", world.net.now()))?;
    }
    world
        .finish()
        .map_err(|e| format!("seed {seed}, at the end: {e}"))
}

/// What the heartbeats of a class are, and what its peers are alive by.
pub(super) type Liveness = (HeartbeatForm, AliveBy);

/// Returns the liveness of each class of one world: half of them have the usual one.
fn some_liveness(rng: &mut Rng) -> [Liveness; 3] {
    [0, 1, 2].map(|_| {
        let form = match rng.bool() {
            true => HeartbeatForm::Text,
            false => HeartbeatForm::Ping,
        };
        match rng.u8(0..8) {
            0..=3 => (HeartbeatForm::Ping, AliveBy::Any),
            4 => (HeartbeatForm::Text, AliveBy::Any),
            5 | 6 => (form, AliveBy::Data),
            _ => (form, AliveBy::Pong),
        }
    })
}

/// Returns a class's first policy, or the second one that it alternates with later.
pub(super) fn policy(class: usize, second: bool, liveness: Liveness) -> Policy {
    let ms = Micros::from_millis;
    let (intervals, timeouts) = if second {
        ([300, 900, 1_500], [900, 950, 6_000])
    } else {
        ([1_000, 700, 1_500], [3_000, 2_500, 3_100])
    };
    Policy {
        heartbeat_interval: ms(intervals[class]),
        connection_timeout: ms(timeouts[class]),
        first_message_timeout: (class == 2).then_some(ms(2_000)),
        close_timeout: ms(500),
        mode: if class == 1 {
            HeartbeatMode::Idle
        } else {
            HeartbeatMode::Always
        },
        heartbeat_form: liveness.0,
        alive_by: liveness.1,
        ..Policy::default()
    }
}

pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) net: Net<Host>,
    pub(super) shadows: Vec<Shadow>,
    /// The expected clock: all time that passed, without the stalls.
    pub(super) time: Micros,
    pub(super) limited: bool,
    pub(super) old_ids: Vec<ConnId>,
    pub(super) policies: [Policy; 3],
    /// Since when each class has its policy.
    pub(super) policy_since: [Micros; 3],
    pub(super) liveness: [Liveness; 3],
    /// Whether each class has its second policy.
    pub(super) second: [bool; 3],
}

/// What the model knows of one peer.
pub(super) struct Shadow {
    pub(super) peer: PeerId,
    pub(super) class: usize,
    /// When each whole data frame that we wrote reached the server, and each ping.
    pub(super) arrivals: Vec<Micros>,
    pub(super) controls: Vec<Micros>,
    pub(super) sent: u32,
    /// The missing part of a frame that we have begun.
    pub(super) rest: Option<Vec<u8>>,
    pub(super) accepted: VecDeque<u32>,
    pub(super) host_sent: u32,
    /// The last fragment of a message that the host has begun.
    pub(super) host_rest: Option<Vec<u8>>,
    /// The first fragment of a message of the host.
    pub(super) receiving: Option<Vec<u8>>,
    pub(super) pongs: VecDeque<Vec<u8>>,
    pub(super) pings: u32,
    pub(super) last_ping: Option<Micros>,
    pub(super) watched_since: Option<Micros>,
    /// A change of policy counts as a sign of life at this time.
    pub(super) spared: Micros,
    /// Until when its silence may have been excused, because no heartbeat could be sent.
    pub(super) excused: Micros,
    pub(super) ever_windowed: bool,
    pub(super) ever_unread: bool,
    pub(super) paused: bool,
    pub(super) latency: u64,
    pub(super) muted: bool,
    pub(super) gone: bool,
    pub(super) misbehaved: bool,
    pub(super) closed_by_host: bool,
    pub(super) late: LateShadow,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let limited = rng.u8(0..4) == 0;
        let liveness = some_liveness(&mut rng);
        let class = |i: usize| ClassConfig {
            name: i.to_string(),
            policy: policy(i, false, liveness[i]),
        };
        let config = Config {
            classes: (0..3).map(class).collect(),
            causes: &[],
            handshake_timeout: Micros::from_millis(2_000),
            max_head_bytes: 16 << 10,
            max_message_bytes: MAX_MESSAGE,
            max_pending_bytes: MAX_PENDING,
            max_buffered_bytes: 2_000_000,
            slow_after: Micros::from_millis(700),
            stale_closes_per_second: if limited { rng.u32(1..4) } else { 0 },
            cadence: (seed % 2 == 1).then(AdaptiveCadence::default),
            ..Config::default()
        };
        World {
            net: Net::new(config, Host::default()),
            rng,
            shadows: Vec::new(),
            time: Micros::ZERO,
            limited,
            old_ids: Vec::new(),
            policies: [0, 1, 2].map(|class| policy(class, false, liveness[class])),
            policy_since: [Micros::ZERO; 3],
            liveness,
            second: [false; 3],
        }
    }

    pub(super) fn act(&mut self) {
        let alive: Vec<usize> = (0..self.shadows.len())
            .filter(|i| !self.shadows[*i].gone)
            .collect();
        if alive.is_empty() || (alive.len() < MAX_PEERS && self.rng.u8(0..12) == 0) {
            return self.connect();
        }
        let index = alive[self.rng.usize(0..alive.len())];
        match self.rng.u32(0..100) {
            0..=29 => self.time_passes(),
            30..=44 => self.peer_sends(index),
            45..=49 => self.peer_sends_fragments(index),
            50..=53 => self.peer_sends_part(index),
            54..=57 => self.peer_pings(index),
            58 => match self.rng.u8(0..3) {
                0 => self.peers_flood(&alive),
                1 => self.host_pauses(index),
                _ => self.peer_sends_at_once(index),
            },
            59..=70 => self.host_sends(index),
            71 => self.shadow(index).mute_with(|net, p| net.mute(p)),
            72..=75 => self.window_changes(index),
            76 => self.latency_grows(index),
            77..=78 => self.input_lies_unread(index),
            79 => self.peer_half_closes(index),
            80 => self.connection_breaks(index),
            81 => self.peer_closes(index),
            82 => self.peer_misbehaves(index),
            83..=84 => self.host_closes(index),
            85..=86 if self.rng.u8(0..4) == 0 => self.loop_stalls(),
            87..=89 => self.host_starts_timer(),
            90..=93 => self.answer_deferred(),
            94..=96 if !self.old_ids.is_empty() => self.host_sends_to_ended(),
            97 if self.rng.u8(0..4) == 0 => self.change_policy(),
            _ => self.net.settle(),
        }
        self.net.settle();
    }

    pub(super) fn shadow(&mut self, index: usize) -> At<'_> {
        At {
            shadow: &mut self.shadows[index],
            net: &mut self.net,
        }
    }
}

/// A shadow and the network, to act on both.
pub(super) struct At<'a> {
    pub(super) shadow: &'a mut Shadow,
    pub(super) net: &'a mut Net<Host>,
}

impl At<'_> {
    /// Writes whole data frames, or the rest of one.
    pub(super) fn write_whole(&mut self, frame: &[u8]) {
        self.net.write(self.shadow.peer, frame);
        self.shadow.arrivals.push(self.arrival());
    }

    pub(super) fn write_control(&mut self, frame: &[u8]) {
        self.net.write(self.shadow.peer, frame);
        self.shadow.controls.push(self.arrival());
    }

    fn arrival(&self) -> Micros {
        self.net.now() + Micros::from_millis(self.shadow.latency)
    }

    pub(super) fn mute_with(&mut self, mute: impl FnOnce(&mut Net<Host>, PeerId)) {
        self.shadow.muted = true;
        mute(self.net, self.shadow.peer);
    }

    pub(super) fn window(&mut self, window: Option<usize>) {
        self.shadow.ever_windowed = true;
        self.net.set_window(self.shadow.peer, window);
    }
}
