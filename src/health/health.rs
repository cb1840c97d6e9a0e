//! The state machine of one connection: is its peer alive?

use super::payload::{PAYLOAD, letters};
use super::policy::{HeartbeatMode, Policy};
use super::rtt::Rtt;
use super::span::Span;
use super::spread::{mix, spread};
use super::state::{Due, HealthChange, State};
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;

/// The health of one open connection.
#[derive(Debug, Clone)]
pub struct Health {
    heard: Micros,
    next_ping: Micros,
    rtt: Rtt,
    /// When the latest ping went out: µs, cut to 32 bits. While it is queued: for how many intervals it has been, without
    /// another sign of life.
    ping_sent: u32,
    /// How long after `heard` there was another sign of life, 0 for never: bytes of ours that had to wait went out (slow is
    /// not dead), or the policy changed.
    moved_after: Span,
    ping_seq: u32,
    unanswered: u16,
    state: State,
    heartbeat: Heartbeat,
}

/// With a longer interval no RTT is measured: 32 bits of µs hold 71 minutes.
const RTT_MAX_INTERVAL: Micros = Micros::from_secs(3_600);

/// Where the latest ping is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heartbeat {
    /// None was asked for yet.
    First,
    /// None is on its way: the latest was answered or given up for an RTT.
    None,
    /// Asked for; the kernel has not taken it yet.
    Queued,
    /// The kernel took it at `ping_sent`, and its pong will yield an RTT.
    Sent,
}

/// A ping that is ordered so soon after it was due is not late: ticks are coarse, and turns take time.
const PUNCTUAL: Micros = Micros::from_millis(20);

impl Health {
    /// A peer whose connection opened at `now`. Its first ping is due within one interval, at a point of the interval that
    /// `seed` picks: clients that reconnect together must not ping together for ever after, unless they share the seed.
    pub fn new(policy: &Policy, now: Micros, seed: u64) -> Self {
        Health {
            heard: now,
            next_ping: spread(policy, now, seed),
            rtt: Rtt::default(),
            ping_sent: 0,
            moved_after: Span::ZERO,
            ping_seq: mix(seed ^ now.0) as u32,
            unanswered: 0,
            state: State::Healthy,
            heartbeat: Heartbeat::First,
        }
    }

    /// A complete frame arrived, or enough of one. One store in the usual case; no deadline is touched.
    pub fn heard(&mut self, now: Micros) -> Option<HealthChange> {
        let silence = self.silence(now);
        if self.moved_after == Span::ZERO {
            self.heard = self.heard.max(now);
        } else {
            let alive_at = self.alive_at();
            self.heard = self.heard.max(now);
            // Zero, unless time has stepped back over a stall since.
            self.moved_after = Span::of(alive_at - self.heard);
        }
        self.wait_anew();
        let unanswered = std::mem::take(&mut self.unanswered);
        if self.state == State::Healthy {
            return None;
        }
        self.state = State::Healthy;
        Some(HealthChange {
            state: State::Healthy,
            silence,
            unanswered,
            rtt: self.rtt,
        })
    }

    /// A pong arrived. An RTT comes only from the pong of the latest ping, and only once.
    pub fn pong(&mut self, payload: &[u8], now: Micros) -> Option<Micros> {
        if self.heartbeat != Heartbeat::Sent || payload != self.ping_payload() {
            return None;
        }
        self.heartbeat = Heartbeat::None;
        let rtt = Micros(u64::from((now.0 as u32).wrapping_sub(self.ping_sent)));
        self.rtt.sample(rtt.0);
        Some(rtt)
    }

    /// When [`on_due`](Health::on_due) wants to be called. Only a new policy moves it earlier; what happens moves it later.
    pub fn due(&self, policy: &Policy) -> Micros {
        self.ping_due(policy).min(self.stale_at(policy))
    }

    /// When the next ping goes out if nothing is heard before.
    pub fn ping_due(&self, policy: &Policy) -> Micros {
        match policy.mode {
            HeartbeatMode::Always => self.next_ping,
            // The first goes out whatever was heard: without it nothing would spread the later ones.
            HeartbeatMode::Idle if self.heartbeat == Heartbeat::First => self.next_ping,
            HeartbeatMode::Idle => self.next_ping.max(self.heard + policy.heartbeat_interval),
        }
    }

    /// When the peer becomes suspect if nothing is heard before, and no byte of ours that waits goes out; `None` if it is already, or
    /// will not be before it is stale. `beat`: when [`on_due`](Health::on_due) is really called for a ping that is due then.
    /// `blocked`: what is asked for from now on does not leave.
    ///
    /// It is tried out, one beat after the other: at most three more than `suspect_after`.
    pub fn suspect_at(
        &self,
        policy: &Policy,
        blocked: bool,
        beat: impl Fn(Micros) -> Micros,
    ) -> Option<Micros> {
        let mut health = self.clone();
        if health.state == State::Suspect {
            return None;
        }
        for _ in 0..u32::from(policy.suspect_after) + 3 {
            if health.heartbeat == Heartbeat::Queued && !blocked {
                health.ping_sent(policy, health.heard, false);
            }
            let at = beat(health.ping_due(policy));
            match health.on_due(policy, at) {
                Due::Beat { change: None, .. } => {}
                Due::Beat {
                    change: Some(_), ..
                } => return Some(at),
                Due::Nothing | Due::Stale => return None,
            }
        }
        None
    }

    /// When the connection is stale if nothing is heard before, and no byte of ours that waits goes out.
    pub fn stale_at(&self, policy: &Policy) -> Micros {
        let early = if sabotage::on(Bug::EarlyStale) {
            Micros::from_millis(11)
        } else {
            Micros::ZERO
        };
        self.alive_at() + (policy.connection_timeout - early)
    }

    /// Judges the connection at `now`. May be called at any time; before [`due`](Health::due) it asks for nothing.
    ///
    /// If a ping is to go out, the caller owes one with [`ping_payload`](Health::ping_payload), and
    /// [`ping_sent`](Health::ping_sent) once the kernel has taken it.
    pub fn on_due(&mut self, policy: &Policy, now: Micros) -> Due {
        if now >= self.stale_at(policy) {
            return Due::Stale;
        }
        let due = self.ping_due(policy);
        if now < due {
            return Due::Nothing;
        }
        // Counted from when it was due, so that who shares a tick goes on to share it.
        let punctual = now - due < PUNCTUAL.min(Micros(policy.heartbeat_interval.0 / 4));
        self.next_ping = if punctual { due } else { now } + policy.heartbeat_interval;
        let queued = self.heartbeat == Heartbeat::Queued;
        if queued && !self.is_alive(policy, now) {
            self.ping_sent = self.ping_sent.saturating_add(1);
        }
        let change = self.suspect(policy, now);
        // None is queued behind an earlier one that has not left.
        let ping = !queued || sabotage::on(Bug::PingBehindPing);
        if ping {
            self.heartbeat = Heartbeat::Queued;
            self.ping_sent = 0;
            self.ping_seq = self.ping_seq.wrapping_add(1);
        }
        Due::Beat { ping, change }
    }

    /// Another policy holds from `now` on, `former` until then. `seed` is that of [`new`](Health::new).
    ///
    /// The next ping is due within one of the new intervals, at a point of it that `seed` picks, or as it was if that is earlier. The
    /// peer is stale when it would have been under the former policy or one of the new timeouts from now, whichever is
    /// first; not before that, however long it was silent when it had every right to be.
    pub fn change_policy(&mut self, former: &Policy, policy: &Policy, now: Micros, seed: u64) {
        let interval = policy.heartbeat_interval;
        let next = match self.heartbeat {
            // It will have been for an interval by then.
            Heartbeat::Queued => now + interval,
            // A ping that went out has an interval to be answered, too.
            Heartbeat::First | Heartbeat::None | Heartbeat::Sent if self.unanswered > 0 => {
                // Below zero if time has stepped back over a stall, or after half of what 32 bits hold: then it has all of it.
                let ago = (now.0 as u32).wrapping_sub(self.ping_sent) as i32;
                let left = interval - Micros(ago.max(0) as u64);
                spread(policy, now, seed).max(now + left)
            }
            Heartbeat::First | Heartbeat::None | Heartbeat::Sent => spread(policy, now, seed),
        };
        self.next_ping = self.ping_due(former).min(next);
        let timeout = policy.connection_timeout;
        let stale_at = self.stale_at(former).min(now + timeout);
        self.is_alive_since(stale_at - timeout);
    }

    fn suspect(&mut self, policy: &Policy, now: Micros) -> Option<HealthChange> {
        let few = self.missed() < u64::from(policy.suspect_after);
        if few || self.state == State::Suspect || self.is_alive(policy, now) {
            return None;
        }
        self.state = State::Suspect;
        let silence = self.silence(now);
        Some(HealthChange {
            state: self.state,
            silence,
            unanswered: self.unanswered,
            rtt: self.rtt,
        })
    }

    /// Bytes of ours that had to wait went out: the peer is not blamed for its silence meanwhile.
    pub fn moved(&mut self, now: Micros) {
        if !sabotage::on(Bug::SlowIsDead) {
            self.is_alive_since(now);
        }
    }

    /// The kernel took the ping. `late` says that it had to wait behind other bytes: its interval starts only now.
    pub fn ping_sent(&mut self, policy: &Policy, now: Micros, late: bool) {
        let measurable = policy.heartbeat_interval < RTT_MAX_INTERVAL;
        self.heartbeat = if measurable {
            Heartbeat::Sent
        } else {
            Heartbeat::None
        };
        self.ping_sent = now.0 as u32;
        self.unanswered = self.unanswered.saturating_add(1);
        if late {
            self.next_ping = now + policy.heartbeat_interval;
        }
    }

    /// The connection is not read now: a ping that is due is put off by `after`, an interval at most.
    pub fn put_off_ping(&mut self, policy: &Policy, now: Micros, after: Micros) {
        self.forget_outstanding();
        if self.ping_due(policy) <= now {
            self.next_ping = now + after.min(policy.heartbeat_interval);
        }
    }

    /// The loop was away: how long the outstanding ping took says nothing.
    pub fn forget_outstanding(&mut self) {
        if self.heartbeat == Heartbeat::Sent {
            self.heartbeat = Heartbeat::None;
        }
    }

    /// What the latest ping carries, so that its pong is known from others: eight letters from `a` to `p`, one for each nibble of
    /// its number. Clients that treat a payload as a C string, or as text, echo them as they are.
    pub fn ping_payload(&self) -> [u8; PAYLOAD] {
        letters(self.ping_seq)
    }

    /// Returns whether the latest heartbeat is out, and its pong is waited for.
    pub fn awaits_pong(&self) -> bool {
        self.heartbeat == Heartbeat::Sent
    }

    /// Returns whether a pong with this payload can be the echo of a heartbeat, be it an older one, or be sent unasked (RFC 6455
    /// §5.5.3: then it may carry anything; an empty one is taken for that).
    pub fn is_echo(payload: &[u8]) -> bool {
        payload.is_empty()
            || payload.len() == PAYLOAD && payload.iter().all(|b| (b'a'..=b'p').contains(b))
    }

    /// Returns whether a ping was asked for that the kernel has not taken yet.
    pub fn ping_queued(&self) -> bool {
        self.heartbeat == Heartbeat::Queued
    }

    /// Whether the peer answers.
    pub fn state(&self) -> State {
        self.state
    }

    /// When there was last a sign of life: something heard, some of our waiting bytes taken, or what a change of policy counts as
    /// one.
    fn alive_at(&self) -> Micros {
        self.heard + self.moved_after.micros()
    }

    /// Returns whether an interval has not passed at `now` since the last sign of life.
    fn is_alive(&self, policy: &Policy, now: Micros) -> bool {
        now - self.alive_at() < policy.heartbeat_interval
    }

    fn is_alive_since(&mut self, at: Micros) {
        self.moved_after = self.moved_after.max(Span::of(at - self.heard));
        self.wait_anew();
    }

    /// A heartbeat that is queued has been for no interval.
    fn wait_anew(&mut self) {
        if self.heartbeat == Heartbeat::Queued {
            self.ping_sent = 0;
        }
    }

    /// Intervals that heartbeats have gone unanswered for: those that went out, and the one that waits.
    fn missed(&self) -> u64 {
        let waits = match self.heartbeat {
            Heartbeat::Queued => self.ping_sent,
            Heartbeat::First | Heartbeat::None | Heartbeat::Sent => 0,
        };
        u64::from(self.unanswered) + u64::from(waits)
    }

    /// How long nothing was heard.
    pub fn silence(&self, now: Micros) -> Micros {
        now - self.heard
    }

    /// Pings sent since something was last heard.
    pub fn unanswered(&self) -> u16 {
        self.unanswered
    }

    /// The smoothed round-trip time.
    pub fn rtt(&self) -> Rtt {
        self.rtt
    }
}
