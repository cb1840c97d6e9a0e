//! Many connections against the engine on virtual time: seeded random actions, a shadow model of
//! what each peer did, and checks of the engine's promises after each step. Shared by
//! `tests/models/engine.rs` and `tests/models/sabotage.rs`.

use fastrand::Rng;
use pulsegate::ConnId;
use pulsegate::cause::Cause;
use pulsegate::engine::*;
use pulsegate::health::{HealthChange, HealthState, HeartbeatMode, Policy};
use pulsegate::testing::{Net, PeerId, Received, client_frame, upgrade_request};
use pulsegate::time::Micros;
use std::collections::{HashMap, HashSet, VecDeque};

const TICK: Micros = Micros::from_millis(5);
const PING_GRID: Micros = Micros::from_millis(10);
const MAX_MESSAGE: usize = 70_000;
const MAX_PENDING: usize = 300_000;
const MAX_PEERS: usize = 24;

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

/// Returns a class's first policy, or the second one that it alternates with later.
fn policy(class: usize, second: bool) -> Policy {
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
        ..Policy::default()
    }
}

struct World {
    rng: Rng,
    net: Net<Host>,
    shadows: Vec<Shadow>,
    /// The expected clock: all time that passed, without the stalls.
    time: Micros,
    limited: bool,
    old_ids: Vec<ConnId>,
    policies: [Policy; 3],
    /// Whether each class has its second policy.
    second: [bool; 3],
}

/// What the model knows of one peer.
struct Shadow {
    peer: PeerId,
    class: usize,
    /// When each whole frame that we wrote reached the server.
    arrivals: Vec<Micros>,
    sent: u32,
    /// The missing part of a frame that we have begun.
    rest: Option<Vec<u8>>,
    accepted: VecDeque<u32>,
    host_sent: u32,
    pongs: VecDeque<Vec<u8>>,
    pings: u32,
    last_ping: Option<Micros>,
    watched_since: Option<Micros>,
    /// A change of policy counts as a sign of life at this time.
    spared: Micros,
    ever_windowed: bool,
    ever_unread: bool,
    paused: bool,
    latency: u64,
    muted: bool,
    gone: bool,
    misbehaved: bool,
    closed_by_host: bool,
}

/// A message of this size makes the host close the connection at once.
const FAREWELL: usize = 21;

/// The host under the simulation: its records are compared with the shadow.
#[derive(Default)]
struct Host {
    peers: HashMap<ConnId, u32>,
    open: HashSet<ConnId>,
    owed: HashSet<ConnId>,
    told: HashMap<ConnId, (Cause, Micros)>,
    received: HashMap<ConnId, u32>,
    /// How many more times each asks to continue with its last message.
    unfinished: HashMap<ConnId, u32>,
    deferred: Vec<ConnId>,
    timers: HashMap<TimerId, Micros>,
    farewells: HashSet<ConnId>,
    wrong: Vec<String>,
}

impl Handler for Host {
    fn on_request(&mut self, _: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict {
        let mut parts = request.path().trim_start_matches('/').split('/');
        let (class, peer) = (
            parts.next().unwrap_or(""),
            parts.next().and_then(|p| p.parse().ok()),
        );
        self.peers.insert(id, peer.unwrap_or(u32::MAX));
        match class {
            "0" | "1" | "2" => {
                self.owed.insert(id);
                Verdict::upgrade(Class(class.as_bytes()[0] - b'0'))
            }
            "defer" => {
                self.owed.insert(id);
                self.deferred.push(id);
                Verdict::Defer
            }
            _ => Verdict::refuse(Cause::BAD_REQUEST, 404, "no such path"),
        }
    }

    fn on_open(&mut self, _: &mut Io<'_>, id: ConnId) {
        if !self.owed.contains(&id) || !self.open.insert(id) {
            self.wrong.push(format!("{id} opened out of turn"));
        }
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        let data = message.into_data();
        let expected = self.received.entry(id).or_default();
        let (tag, seq) = read_tag(&data);
        if !self.open.contains(&id) {
            self.wrong.push(format!("{id} speaks without being open"));
        } else if Some(&tag) != self.peers.get(&id) || seq != *expected || !intact(&data) {
            self.wrong
                .push(format!("{id} said {tag}/{seq}, expected /{expected}"));
        }
        *expected += 1;
        if self.unfinished.contains_key(&id) {
            self.wrong
                .push(format!("{id}: {seq} before its last message was finished"));
        }
        // Some messages are processed in steps.
        if seq.is_multiple_of(5) {
            self.unfinished.insert(id, seq % 3 + 1);
            io.set_unfinished(id, data.len());
        }
        // Some messages are expensive.
        if seq.is_multiple_of(37) {
            io.spend(150);
        }
        if self.farewells.contains(&id) {
            self.wrong.push(format!("{id} was closed and speaks"));
        }
        if data.len() == FAREWELL {
            self.farewells.insert(id);
            io.close(id, 4001, "farewell");
        }
    }

    fn on_continue(&mut self, io: &mut Io<'_>, id: ConnId) {
        let left = self.unfinished.remove(&id).unwrap_or_default();
        match left {
            0 => self.wrong.push(format!("{id} goes on with nothing")),
            1 => {}
            _ => {
                self.unfinished.insert(id, left - 1);
                io.set_unfinished(id, 100 * left as usize);
                io.spend(60);
            }
        }
    }

    fn on_close(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        self.unfinished.remove(&id);
        if !self.owed.remove(&id) {
            self.wrong.push(format!(
                "{id} is told to be over, and nobody waits for that"
            ));
        }
        self.open.remove(&id);
        self.told.insert(id, (end.cause, io.now()));
        let sent = io.send(id, Message::text("x"));
        if !matches!(
            sent,
            SendOutcome::Refused(SendError::Gone | SendError::Closing)
        ) {
            self.wrong
                .push(format!("{id} takes messages after its end"));
        }
    }

    fn on_reject(&mut self, _: &mut Io<'_>, id: ConnId, _: &Ending) {
        if self.owed.contains(&id) {
            self.wrong.push(format!("{id} is rejected after a verdict"));
        }
    }

    fn on_health(&mut self, io: &mut Io<'_>, id: ConnId, change: HealthChange) {
        // Some peers are closed when they become healthy again.
        if id.generation().is_multiple_of(5) && change.state == HealthState::Healthy {
            self.farewells.insert(id);
            io.close(id, 4001, "farewell");
        }
    }

    fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) {
        match self.timers.remove(&timer) {
            // A timer that is due at once waits for the next tick.
            Some(due) if due <= io.now() && io.now() <= due + TICK => {}
            other => self
                .wrong
                .push(format!("a timer due at {other:?} ran out at {}", io.now())),
        }
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let limited = rng.u8(0..4) == 0;
        let class = |i: usize| ClassConfig {
            name: i.to_string(),
            policy: policy(i, false),
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
        };
        World {
            net: Net::new(config, Host::default()),
            rng,
            shadows: Vec::new(),
            time: Micros::ZERO,
            limited,
            old_ids: Vec::new(),
            policies: [0, 1, 2].map(|class| policy(class, false)),
            second: [false; 3],
        }
    }

    fn act(&mut self) {
        let alive: Vec<usize> = (0..self.shadows.len())
            .filter(|i| !self.shadows[*i].gone)
            .collect();
        if alive.is_empty() || (alive.len() < MAX_PEERS && self.rng.u8(0..12) == 0) {
            return self.connect();
        }
        let who = alive[self.rng.usize(0..alive.len())];
        match self.rng.u32(0..100) {
            0..=29 => {
                let ms = self.rng.u64(1..400);
                self.time += Micros::from_millis(ms);
                self.net.advance(ms);
            }
            30..=44 => self.peer_sends(who),
            45..=49 => self.peer_sends_fragments(who),
            50..=53 => self.peer_sends_part(who),
            54..=57 => self.peer_pings(who),
            58 => match self.rng.u8(0..3) {
                0 => self.peers_flood(&alive),
                1 => self.host_pauses(who),
                _ => self.peer_sends_at_once(who),
            },
            59..=70 => self.host_sends(who),
            71 => self.shadow(who).mute_with(|net, p| net.mute(p)),
            72..=75 => {
                let window = self.rng.bool().then(|| self.rng.usize(0..5_000));
                self.shadow(who).window(window);
            }
            76 => {
                let ms = self.rng.u64(0..200);
                let (shadow, net) = (&mut self.shadows[who], &mut self.net);
                // Bytes must not overtake each other.
                if ms >= shadow.latency {
                    shadow.latency = ms;
                    net.set_latency(shadow.peer, ms);
                }
            }
            77..=78 => {
                let unread = self.rng.bool();
                let (shadow, net) = (&mut self.shadows[who], &mut self.net);
                shadow.ever_unread = true;
                net.set_unread(shadow.peer, unread);
            }
            79 => {
                self.net.half_close(self.shadows[who].peer);
                self.shadows[who].gone = true;
            }
            80 if self.rng.bool() => {
                let after = self.rng.usize(0..200_000);
                let shadow = &mut self.shadows[who];
                shadow.ever_windowed = true;
                self.net.reset_after(shadow.peer, after);
            }
            80 => {
                self.net.reset(self.shadows[who].peer);
                self.shadows[who].gone = true;
            }
            81 => {
                let code = [1000, 1001, 1005, 999, 3000, 4999][self.rng.usize(0..6)];
                let payload = if code == 1005 {
                    vec![]
                } else {
                    u16::to_be_bytes(code).to_vec()
                };
                let shadow = &mut self.shadows[who];
                if shadow.rest.is_none() {
                    self.net.write(shadow.peer, &client_frame(0x88, &payload));
                    shadow.gone = true;
                }
            }
            82 => self.peer_misbehaves(who),
            83..=84 => {
                let id = self.net.id(self.shadows[who].peer);
                let remote = self.rng.bool();
                self.shadows[who].closed_by_host = true;
                if remote {
                    let sent = self.net.engine().remote().try_close(id, 4001, "by remote");
                    sent.unwrap_or_else(|e| panic!("{e}"));
                } else {
                    self.net.with_io(|_, io| io.close(id, 4001, "by the host"));
                }
            }
            85..=86 if self.rng.u8(0..4) == 0 => {
                let ms = self.rng.u64(600..20_000);
                self.net.stall(ms);
            }
            87..=89 => {
                let after = Micros::from_millis(self.rng.u64(0..5_000));
                let cancel = self.rng.u8(0..4) == 0;
                self.net.with_io(|host, io| {
                    let timer = io.start_timer(after);
                    if cancel {
                        io.cancel_timer(timer);
                    } else {
                        host.timers.insert(timer, io.now() + after);
                    }
                });
            }
            90..=93 => self.answer_deferred(),
            94..=96 if !self.old_ids.is_empty() => {
                let old = self.old_ids[self.rng.usize(0..self.old_ids.len())];
                let sent = self
                    .net
                    .with_io(|_, io| io.send(old, Message::text("to nobody")));
                if !matches!(
                    sent,
                    SendOutcome::Refused(SendError::Gone | SendError::Closing)
                ) {
                    self.net
                        .host()
                        .wrong
                        .push(format!("{old} has ended and takes messages: {sent:?}"));
                }
            }
            97 if self.rng.u8(0..4) == 0 => self.change_policy(),
            _ => self.net.settle(),
        }
        self.net.settle();
    }

    // ---- actions ----

    fn connect(&mut self) {
        let number = self.shadows.len();
        let class = self.rng.usize(0..3);
        let path = match self.rng.u8(0..10) {
            0 => format!("/defer/{number}"),
            1 => "/nowhere".to_owned(),
            _ => format!("/{class}/{number}"),
        };
        let mut request = upgrade_request(&path);
        if self.rng.u8(0..12) == 0 {
            request = request.replace("Version: 13", "Version: 12");
        }
        let peer = self.net.open_socket();
        let upto = if self.rng.u8(0..6) == 0 {
            self.rng.usize(0..request.len())
        } else {
            request.len()
        };
        self.net.write(peer, &request.as_bytes()[..upto]);
        if self.rng.bool() {
            self.net.settle();
            self.net.write(peer, &request.as_bytes()[upto..]);
        }
        let deferred = path.starts_with("/defer");
        self.shadows.push(Shadow {
            peer,
            class: if deferred { 0 } else { class },
            arrivals: Vec::new(),
            sent: 0,
            rest: None,
            accepted: VecDeque::new(),
            host_sent: 0,
            pongs: VecDeque::new(),
            pings: 0,
            last_ping: None,
            watched_since: None,
            spared: Micros::ZERO,
            ever_windowed: false,
            ever_unread: false,
            paused: false,
            latency: 0,
            muted: false,
            gone: false,
            misbehaved: false,
            closed_by_host: false,
        });
    }

    fn shadow(&mut self, who: usize) -> At<'_> {
        At {
            shadow: &mut self.shadows[who],
            net: &mut self.net,
        }
    }

    fn size(&mut self) -> usize {
        let around = [8, 125, 126, 4_096, 65_535, 65_536, MAX_MESSAGE][self.rng.usize(0..7)];
        let size = around + self.rng.usize(0..3);
        size.saturating_sub(1).clamp(8, MAX_MESSAGE)
    }

    /// Returns whether the peer can send frames: it is open, and not in the middle of one.
    fn speaks(&self, who: usize) -> bool {
        let shadow = &self.shadows[who];
        shadow.rest.is_none() && self.net.is_open(shadow.peer)
    }

    fn peer_sends(&mut self, who: usize) {
        if let Some(rest) = self.shadows[who].rest.take() {
            self.shadow(who).write_whole(&rest);
            return self.net.set_in_frame(self.shadows[who].peer, false);
        }
        if self.speaks(who) {
            let data = tagged(who as u32, self.shadows[who].sent, self.size());
            self.shadows[who].sent += 1;
            self.shadow(who).write_whole(&client_frame(0x82, &data));
        }
    }

    /// Sends several messages in one segment; the first may be the last that counts.
    fn peer_sends_at_once(&mut self, who: usize) {
        if !self.speaks(who) {
            return;
        }
        let farewell = self.rng.u8(0..4) == 0;
        let mut frames = Vec::new();
        for nth in 0..3 {
            let size = if farewell && nth == 0 { FAREWELL } else { 100 };
            let data = tagged(who as u32, self.shadows[who].sent, size);
            self.shadows[who].sent += 1;
            frames.extend(client_frame(0x82, &data));
        }
        self.shadows[who].closed_by_host |= farewell;
        self.shadow(who).write_whole(&frames);
    }

    /// Some peers send far more small frames than fit into one turn.
    fn peers_flood(&mut self, alive: &[usize]) {
        for who in alive.iter().copied().take(6) {
            if !self.speaks(who) {
                continue;
            }
            let mut frames = Vec::new();
            for _ in 0..self.rng.usize(100..900) {
                let data = tagged(who as u32, self.shadows[who].sent, 8);
                self.shadows[who].sent += 1;
                frames.extend(client_frame(0x82, &data));
            }
            self.shadow(who).write_whole(&frames);
        }
    }

    /// The host stops reading from a peer, or continues.
    fn host_pauses(&mut self, who: usize) {
        let shadow = &mut self.shadows[who];
        let id = self.net.id(shadow.peer);
        if !self.net.is_open(shadow.peer) {
            return;
        }
        shadow.paused ^= true;
        shadow.ever_unread = true;
        if shadow.paused {
            self.net.with_io(|_, io| io.pause_reading(id));
        } else {
            shadow.spared = self.net.now();
            self.net.with_io(|_, io| io.resume_reading(id));
        }
    }

    fn peer_sends_fragments(&mut self, who: usize) {
        if !self.speaks(who) {
            return;
        }
        let data = tagged(who as u32, self.shadows[who].sent, self.size());
        self.shadows[who].sent += 1;
        let cut = self.rng.usize(0..data.len());
        self.shadow(who)
            .write_whole(&client_frame(0x02, &data[..cut]));
        if self.rng.bool() {
            self.peer_pings(who);
        }
        self.net.settle();
        self.shadow(who)
            .write_whole(&client_frame(0x80, &data[cut..]));
    }

    fn peer_sends_part(&mut self, who: usize) {
        if self.speaks(who) {
            let data = tagged(who as u32, self.shadows[who].sent, self.size());
            self.shadows[who].sent += 1;
            let mut frame = client_frame(0x82, &data);
            // Less than what counts as progress, so that the shadow knows what is heard.
            let rest = frame.split_off(self.rng.usize(1..frame.len().min(4_000)));
            let shadow = &mut self.shadows[who];
            self.net.write(shadow.peer, &frame);
            self.net.set_in_frame(shadow.peer, true);
            shadow.rest = Some(rest);
        } else if self.shadows[who].rest.as_ref().is_some_and(|r| r.len() > 1) {
            // Bytes that trickle in, but nothing that counts as heard.
            let shadow = &mut self.shadows[who];
            if let Some(rest) = &mut shadow.rest {
                let byte = rest.remove(0);
                self.net.write(shadow.peer, &[byte]);
            }
        }
    }

    fn peer_pings(&mut self, who: usize) {
        if self.speaks(who) {
            let shadow = &mut self.shadows[who];
            shadow.pings += 1;
            let payload = [(who as u32).to_be_bytes(), shadow.pings.to_be_bytes()].concat();
            shadow.pongs.push_back(payload.clone());
            self.shadow(who).write_whole(&client_frame(0x89, &payload));
        }
    }

    fn peer_misbehaves(&mut self, who: usize) {
        if !self.speaks(who) {
            return;
        }
        let bad: &[u8] = match self.rng.u8(0..5) {
            0 => &[0x83, 0x80, 0, 0, 0, 0],             // reserved opcode
            1 => &[0x81, 0x01, b'x'],                   // not masked
            2 => &[0xC1, 0x81, 0, 0, 0, 0, b'x'],       // reserved bit
            3 => &[0x81, 0x81, 0, 0, 0, 0, 0xFF],       // not UTF-8
            _ => &[0x82, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0], // 4 GiB
        };
        let shadow = &mut self.shadows[who];
        self.net.write(shadow.peer, bad);
        shadow.misbehaved = true;
        shadow.gone = true;
    }

    fn host_sends(&mut self, who: usize) {
        let id = self.net.id(self.shadows[who].peer);
        let seq = self.shadows[who].host_sent;
        let data = tagged(who as u32, seq, self.size());
        let sent = self.net.with_io(|_, io| {
            let sent = io.send(id, Message::binary(data));
            let most = 2 * MAX_PENDING;
            if io.pending(id) > most {
                panic!("{} bytes pending", io.pending(id));
            }
            sent
        });
        if let SendOutcome::Flowing | SendOutcome::Pending = sent {
            let shadow = &mut self.shadows[who];
            shadow.accepted.push_back(seq);
            shadow.host_sent += 1;
        }
    }

    fn answer_deferred(&mut self) {
        let (class, refuse) = (Class(0), self.rng.u8(0..4) == 0);
        self.net.with_io(|host, io| {
            if let Some(id) = host.deferred.pop() {
                io.answer(
                    id,
                    if refuse {
                        Verdict::refuse(Cause::BLOCKED, 403, "no")
                    } else {
                        Verdict::upgrade(class)
                    },
                );
            }
        });
    }

    /// Switches a class to its other policy. A peer that would not have been stale under the first
    /// policy is not stale before a full new timeout.
    fn change_policy(&mut self) {
        let class = self.rng.usize(0..3);
        self.second[class] ^= true;
        let newer = policy(class, self.second[class]);
        let former = std::mem::replace(&mut self.policies[class], newer);
        let (now, timeout) = (self.net.now(), newer.connection_timeout);
        for who in 0..self.shadows.len() {
            let moved = self.net.progress_at(self.shadows[who].peer).iter();
            let moved = moved.copied().max().unwrap_or_default();
            let alive_at = self.heard_at(who, now).max(moved);
            let shadow = &mut self.shadows[who];
            if shadow.class == class && self.net.is_open(shadow.peer) {
                let stale_at = alive_at.max(shadow.spared) + former.connection_timeout;
                let stale_at = stale_at.min(now + timeout);
                shadow.spared = shadow.spared.max(stale_at - timeout);
                // Its next ping is within an interval from now.
                shadow.watched_since = Some(now);
                shadow.last_ping = None;
            }
        }
        self.net
            .with_io(|_, io| io.set_policy(Class(class as u8), newer))
            .unwrap_or_else(|e| panic!("{e}"));
    }

    // ---- promises ----

    fn check(&mut self) -> Result<(), String> {
        self.net.check()?;
        if let Some(wrong) = self.net.host().wrong.first() {
            return Err(wrong.clone());
        }
        let stats = self.net.engine().stats();
        let (turn, frame) = (stats.turn_units_max, stats.frame_units_max);
        if turn > TURN_UNITS + 2 * frame {
            return Err(format!("{turn} units in one turn, {frame} for one frame"));
        }
        if self.net.now() != self.time {
            return Err(format!("a stall counts: it should be {}", self.time));
        }
        for who in 0..self.shadows.len() {
            self.check_peer(who).map_err(|e| {
                format!("peer {who} ({}): {e}", self.net.id(self.shadows[who].peer))
            })?;
        }
        Ok(())
    }

    fn check_peer(&mut self, who: usize) -> Result<(), String> {
        let now = self.net.now();
        let peer = self.shadows[who].peer;
        for received in self.net.received(peer) {
            self.check_received(who, received)?;
        }
        let (open, id) = (self.net.is_open(peer), self.net.id(peer));
        let told = self.net.host().told.get(&id).copied();
        let heard_at = self.heard_at(who, told.map_or(now, |(_, at)| at));
        let shadow = &mut self.shadows[who];
        let heard_at = heard_at.max(shadow.spared);
        let policy = self.policies[shadow.class];
        let (timeout, interval) = (policy.connection_timeout, policy.heartbeat_interval);
        let plain = open && !shadow.ever_windowed && !shadow.ever_unread && shadow.latency == 0;
        if open
            && !self.limited
            && !shadow.ever_windowed
            && !shadow.ever_unread
            && now > heard_at + timeout + TICK + Micros(1)
        {
            return Err(format!("silent since {heard_at} and still open"));
        }
        if plain && !shadow.accepted.is_empty() {
            return Err(format!(
                "{} messages were taken and did not come",
                shadow.accepted.len()
            ));
        }
        if plain && !shadow.muted && !shadow.gone && !shadow.pongs.is_empty() {
            return Err(format!("{} pings were not answered", shadow.pongs.len()));
        }
        if plain && !self.limited && policy.mode == HeartbeatMode::Always {
            let since = *shadow.watched_since.get_or_insert(now);
            if now > since + interval + PING_GRID + TICK {
                return Err(format!("not pinged since {since}"));
            }
        }
        if let Some((cause, at)) = told {
            if !self.old_ids.contains(&id) {
                self.old_ids.push(id);
                // Its own close frame is sent at the moment of its death.
                let moved = self.net.progress_at(peer).iter().filter(|t| **t < at);
                let progress = moved.copied().max().unwrap_or_default();
                let alive_at = heard_at.max(progress);
                if cause == Cause::STALE && at < alive_at + timeout {
                    return Err(format!("closed as stale at {at}, alive at {alive_at}"));
                }
                if cause == Cause::STALE && shadow.paused {
                    return Err("closed as stale while it is not read".to_owned());
                }
                let peers_fault =
                    [Cause::PROTOCOL, Cause::INVALID_DATA, Cause::TOO_BIG].contains(&cause);
                if peers_fault && !shadow.misbehaved {
                    return Err(format!("closed for {cause} without fault"));
                }
                let forgiven = self.net.host().farewells.contains(&id);
                if cause == Cause::KICKED && !shadow.closed_by_host && !forgiven {
                    return Err("kicked by nobody".to_owned());
                }
            }
            shadow.gone = true;
        }
        if self.net.released(peer).is_some() {
            shadow.gone = true;
        }
        Ok(())
    }

    /// Returns when the server last had something to hear from this peer, as of `at`.
    fn heard_at(&self, who: usize, at: Micros) -> Micros {
        let shadow = &self.shadows[who];
        // Of a peer that has left its slot, only what arrived is known.
        let opened = self.net.opened_at(shadow.peer).unwrap_or_default();
        let answers = self.net.answered_at(shadow.peer);
        let arrivals = shadow.arrivals.iter().chain(answers).filter(|a| **a <= at);
        arrivals.copied().fold(opened, Micros::max)
    }

    fn check_received(&mut self, who: usize, received: Received) -> Result<(), String> {
        let now = self.net.now();
        let shadow = &mut self.shadows[who];
        match received {
            Received::Message(message) => {
                let data = message.into_data();
                let (tag, seq) = read_tag(&data);
                if tag != who as u32 || shadow.accepted.pop_front() != Some(seq) || !intact(&data) {
                    return Err(format!("received {tag}/{seq}"));
                }
            }
            Received::Pong(payload) => {
                if shadow.pongs.pop_front().as_ref() != Some(&payload) {
                    return Err(format!("received a pong to {payload:?}"));
                }
            }
            Received::Ping(_) => {
                let least = self.policies[shadow.class].heartbeat_interval;
                shadow.watched_since = Some(now);
                if let Some(last) = shadow.last_ping.replace(now)
                    // A step may take 400 ms, and the ping may have been sent at its beginning.
                    && now + Micros::from_millis(400) + TICK < last + least
                {
                    return Err(format!("pinged at {last} and again"));
                }
            }
            Received::Close(..) => {}
        }
        Ok(())
    }

    /// Disconnects all peers; then nothing may be left.
    fn finish(mut self) -> Result<(), String> {
        for _ in 0..30 {
            self.net.advance(400);
            self.time += Micros::from_millis(400);
            self.check()?;
        }
        self.net.shutdown();
        self.net.advance(60_000);
        self.time += Micros::from_millis(60_000);
        self.check()?;
        let stats = self.net.engine().stats().clone();
        let owed = self.net.host().owed.len();
        let timers = self.net.host().timers.len();
        let left = (
            self.net.engine().len(),
            owed,
            timers,
            self.net.wheel_entries(),
        );
        if left != (0, 0, 0, 0) {
            return Err(format!(
                "(connections, endings, timers, wheel entries) left: {left:?}"
            ));
        }
        let closed: u64 = (0..Cause::COUNT).map(|c| stats.closed(c)).sum();
        if stats.opened() != closed {
            return Err(format!("{} opened, {closed} closed", stats.opened()));
        }
        Ok(())
    }
}

/// A shadow and the network, to act on both.
struct At<'a> {
    shadow: &'a mut Shadow,
    net: &'a mut Net<Host>,
}

impl At<'_> {
    fn write_whole(&mut self, frame: &[u8]) {
        self.net.write(self.shadow.peer, frame);
        self.shadow
            .arrivals
            .push(self.net.now() + Micros::from_millis(self.shadow.latency));
    }

    fn mute_with(&mut self, mute: impl FnOnce(&mut Net<Host>, PeerId)) {
        self.shadow.muted = true;
        mute(self.net, self.shadow.peer);
    }

    fn window(&mut self, window: Option<usize>) {
        self.shadow.ever_windowed = true;
        self.net.set_window(self.shadow.peer, window);
    }
}

/// The peer, the message number, and filler that depends on both.
fn tagged(who: u32, seq: u32, size: usize) -> Vec<u8> {
    let mut data = [who.to_be_bytes(), seq.to_be_bytes()].concat();
    data.resize(size.max(8), (who ^ seq) as u8);
    data
}

fn read_tag(data: &[u8]) -> (u32, u32) {
    let number = |at: usize| {
        data.get(at..at + 4)
            .and_then(|b| b.try_into().ok())
            .map_or(u32::MAX, u32::from_be_bytes)
    };
    (number(0), number(4))
}

fn intact(data: &[u8]) -> bool {
    let (who, seq) = read_tag(data);
    data.get(8..)
        .is_some_and(|filler| filler.iter().all(|b| *b == (who ^ seq) as u8))
}
