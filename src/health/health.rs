//! The state machine that decides whether the peer of one connection is alive.

use super::heartbeat::Heartbeat;
use super::marks::{LifeSign, Marks};
use super::payload::{PAYLOAD_LEN, decode_letters, encode_letters};
use super::policy::{HeartbeatForm, HeartbeatMode, Policy};
use super::rtt::Rtt;
use super::span::Span;
use super::spread::{mix, spread_ping};
use super::state::{HealthAction, HealthChange, HealthState};
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;

mod lateness;

/// The health of one open connection.
#[derive(Debug, Clone)]
pub struct Health {
    heard: Micros,
    next_ping: Micros,
    rtt: Rtt,
    /// When the latest ping was sent: µs, cut to 32 bits. While the ping is queued: the number of
    /// intervals that it has waited without another sign of life.
    ping_sent: u32,
    /// Time from `heard` to a later sign of life, 0 for none: some of our waiting bytes were sent
    /// (slow is not dead), or the policy changed.
    progress_after: Span,
    ping_seq: u32,
    unanswered: u16,
    marks: Marks,
    heartbeat: Heartbeat,
}

/// With a longer interval no RTT is measured, because 32 bits of µs hold only 71 minutes.
const RTT_MAX_INTERVAL: Micros = Micros::from_secs(3_600);

/// The number of latest pings whose pongs are recognized as answers to ours.
const OWN_PINGS: u32 = 16;

/// A ping requested within this time after it was due is not late: ticks are coarse, and turns take
/// time.
const PUNCTUAL: Micros = Micros::from_millis(20);

impl Health {
    /// Creates the health of a connection that opened at `now`. Its first ping is due within one
    /// interval, at a point of the interval that `seed` selects. With different seeds, clients that
    /// reconnect together do not ping together from then on.
    pub fn new(policy: &Policy, now: Micros, seed: u64) -> Self {
        Health {
            heard: now,
            next_ping: spread_ping(policy, now, seed),
            rtt: Rtt::default(),
            ping_sent: 0,
            progress_after: Span::ZERO,
            ping_seq: mix(seed ^ now.0) as u32,
            unanswered: 0,
            marks: Marks::new(policy),
            heartbeat: Heartbeat::First,
        }
    }

    /// Records a sign of life: a complete frame, or enough of one, of a kind that
    /// [counts](Health::counts). Usually this is one store; no deadline is touched.
    pub fn on_heard(&mut self, now: Micros) -> Option<HealthChange> {
        let silence = self.silence(now);
        if self.progress_after == Span::ZERO {
            self.heard = self.heard.max(now);
        } else {
            let alive_at = self.alive_at();
            self.heard = self.heard.max(now);
            // Zero, unless engine time has stepped back over a stall since.
            self.progress_after = Span::of(alive_at - self.heard);
        }
        self.reset_wait();
        let unanswered = std::mem::take(&mut self.unanswered);
        if self.state() == HealthState::Healthy {
            return None;
        }
        self.marks.set_state(HealthState::Healthy);
        Some(HealthChange {
            state: HealthState::Healthy,
            silence,
            unanswered,
            rtt: self.rtt,
        })
    }

    /// Handles a pong. Only the pong of the latest ping gives an RTT, and only once.
    pub fn on_pong(&mut self, payload: &[u8], now: Micros) -> Option<Micros> {
        if !self.heartbeat.is_outstanding() || payload != self.ping_payload() {
            return None;
        }
        self.take_rtt(now)
    }

    /// Handles the answer to the heartbeat with this [`number`](Health::heartbeat_number). Only the
    /// answer to the latest heartbeat gives an RTT, and only once.
    pub fn on_answer(&mut self, number: u64, now: Micros) -> Option<Micros> {
        if !self.heartbeat.is_outstanding() || number != self.heartbeat_number() {
            return None;
        }
        self.take_rtt(now)
    }

    /// Takes the answer to the latest ping. Returns its RTT, if it gives one.
    fn take_rtt(&mut self, now: Micros) -> Option<Micros> {
        let answered = std::mem::replace(&mut self.heartbeat, Heartbeat::None);
        if !answered.is_measured() {
            return None;
        }
        let rtt = self.waited(now);
        let counted = match answered {
            Heartbeat::Late => rtt.min(self.late_limit()),
            _ => rtt,
        };
        self.rtt.sample(counted.0);
        Some(rtt)
    }

    /// Returns when [`on_due`](Health::on_due) must be called. Only a new policy makes this
    /// earlier; events make it later.
    pub fn due(&self, policy: &Policy) -> Micros {
        self.ping_due(policy).min(self.stale_at(policy))
    }

    /// Returns when the next ping is sent if nothing is heard before.
    pub fn ping_due(&self, policy: &Policy) -> Micros {
        match policy.mode {
            HeartbeatMode::Always => self.next_ping,
            // The first ping is sent even if input was heard: without it the later ones would not
            // be spread.
            HeartbeatMode::Idle if self.heartbeat == Heartbeat::First => self.next_ping,
            HeartbeatMode::Idle => self.next_ping.max(self.heard + policy.heartbeat_interval),
        }
    }

    /// Returns when the peer becomes suspect if nothing is heard before and none of our waiting
    /// bytes is sent; `None` if it already is, or becomes stale first. `beat`: when
    /// [`on_due`](Health::on_due) is actually called for a ping that is due then. `blocked`: pings
    /// requested from now on cannot be sent.
    ///
    /// The answer is found by simulating one beat after the other: at most three more than
    /// `suspect_after`.
    pub fn suspect_at(
        &self,
        policy: &Policy,
        blocked: bool,
        beat: impl Fn(Micros) -> Micros,
    ) -> Option<Micros> {
        let mut health = self.clone();
        if health.state() == HealthState::Suspect {
            return None;
        }
        for _ in 0..u32::from(policy.suspect_after) + 3 {
            if health.heartbeat == Heartbeat::Queued && !blocked {
                health.on_ping_sent(policy, health.heard, false);
            }
            let at = beat(health.ping_due(policy));
            match health.on_due(policy, at) {
                HealthAction::Heartbeat { change: None, .. } => {}
                HealthAction::Heartbeat {
                    change: Some(_), ..
                } => return Some(at),
                HealthAction::None | HealthAction::Stale => return None,
            }
        }
        None
    }

    /// Returns when the connection becomes stale if nothing is heard before and no waiting byte of
    /// ours is sent.
    pub fn stale_at(&self, policy: &Policy) -> Micros {
        let early = if sabotage::on(Bug::EarlyStale) {
            Micros::from_millis(11)
        } else {
            Micros::ZERO
        };
        self.alive_at() + (policy.connection_timeout - early)
    }

    /// Checks the connection at `now`. May be called at any time; before [`due`](Health::due) it
    /// requests nothing.
    ///
    /// If it requests a ping, the caller must send one with [`ping_payload`](Health::ping_payload),
    /// and call [`on_ping_sent`](Health::on_ping_sent) once the kernel has taken it.
    pub fn on_due(&mut self, policy: &Policy, now: Micros) -> HealthAction {
        if now >= self.stale_at(policy) {
            return HealthAction::Stale;
        }
        let due = self.ping_due(policy);
        if now < due {
            return HealthAction::None;
        }
        // Counted from the due time, so that connections that share a tick continue to share it.
        let punctual = now - due < PUNCTUAL.min(Micros(policy.heartbeat_interval.0 / 4));
        self.next_ping = if punctual { due } else { now } + policy.heartbeat_interval;
        let queued = self.heartbeat == Heartbeat::Queued;
        if queued && !self.is_alive(policy, now) {
            self.ping_sent = self.ping_sent.saturating_add(1);
        }
        let change = self.mark_suspect(policy, now);
        // No ping is queued behind an earlier one that has not left.
        let ping = !queued || sabotage::on(Bug::PingBehindPing);
        if ping {
            self.heartbeat = Heartbeat::Queued;
            self.ping_sent = 0;
            self.ping_seq = self.ping_seq.wrapping_add(1);
        }
        HealthAction::Heartbeat { ping, change }
    }

    /// Applies another policy from `now` on; `former` applied until then. `seed` is that of
    /// [`new`](Health::new).
    ///
    /// The next ping keeps its time, or is due within one new interval, at a point that `seed`
    /// selects, if that is earlier. The peer becomes stale at its former deadline or one new
    /// timeout from now, whichever is earlier. It never becomes stale sooner, even if it has
    /// already been silent for longer than the new timeout.
    pub fn change_policy(&mut self, former: &Policy, policy: &Policy, now: Micros, seed: u64) {
        let interval = policy.heartbeat_interval;
        let next = match self.heartbeat {
            // By then it has waited for one interval.
            Heartbeat::Queued => now + interval,
            // A ping that was sent still has one interval to be answered.
            _ if self.unanswered > 0 => {
                // Negative if time has stepped back over a stall, or after half the range of 32
                // bits. The ping then gets a whole interval.
                let ago = (now.0 as u32).wrapping_sub(self.ping_sent) as i32;
                let left = interval - Micros(ago.max(0) as u64);
                spread_ping(policy, now, seed).max(now + left)
            }
            _ => spread_ping(policy, now, seed),
        };
        self.next_ping = self.ping_due(former).min(next);
        self.marks.apply(policy);
        let timeout = policy.connection_timeout;
        let stale_at = self.stale_at(former).min(now + timeout);
        self.set_alive_since(stale_at - timeout);
    }

    fn mark_suspect(&mut self, policy: &Policy, now: Micros) -> Option<HealthChange> {
        let few = self.missed_intervals() < u64::from(policy.suspect_after);
        if few || self.state() == HealthState::Suspect || self.is_alive(policy, now) {
            return None;
        }
        self.marks.set_state(HealthState::Suspect);
        let silence = self.silence(now);
        Some(HealthChange {
            state: HealthState::Suspect,
            silence,
            unanswered: self.unanswered,
            rtt: self.rtt,
        })
    }

    /// Records that some of our waiting bytes were sent. The peer's silence until now does not
    /// count against it.
    pub fn on_progress(&mut self, now: Micros) {
        if !sabotage::on(Bug::SlowIsDead) {
            self.set_alive_since(now);
        }
    }

    /// Postpones the time at which the peer becomes stale to `until`, unless it is later already.
    pub fn postpone_stale(&mut self, policy: &Policy, until: Micros) {
        self.set_alive_since(until - policy.connection_timeout);
    }

    /// Records that the kernel took the ping. `late`: it had to wait behind other bytes, so its
    /// interval starts only now.
    pub fn on_ping_sent(&mut self, policy: &Policy, now: Micros, late: bool) {
        let measurable = policy.heartbeat_interval <= RTT_MAX_INTERVAL;
        self.heartbeat = if measurable {
            Heartbeat::Sent
        } else {
            Heartbeat::Unmeasured
        };
        self.ping_sent = now.0 as u32;
        self.unanswered = self.unanswered.saturating_add(1);
        if late {
            self.next_ping = now + policy.heartbeat_interval;
        }
    }

    /// Returns whether a heartbeat that leaves now has waited since it was requested.
    pub fn has_waited(&self, policy: &Policy, now: Micros) -> bool {
        let interval = policy.heartbeat_interval;
        self.next_ping + PUNCTUAL.min(Micros(interval.0 / 4)) <= now + interval
    }

    /// Delays a due ping by `after`, at most an interval, because the connection is not read now.
    pub fn delay_ping(&mut self, policy: &Policy, now: Micros, after: Micros) {
        self.discard_rtt();
        if self.ping_due(policy) <= now {
            self.next_ping = now + after.min(policy.heartbeat_interval);
        }
    }

    /// Discards the RTT of an outstanding ping, because the loop was delayed.
    pub fn discard_rtt(&mut self) {
        match self.heartbeat {
            Heartbeat::Sent => self.heartbeat = Heartbeat::Unmeasured,
            Heartbeat::Late => self.heartbeat = Heartbeat::None,
            _ => {}
        }
    }

    /// Returns the payload of the latest ping, by which its pong is recognized: eight letters from
    /// `a` to `p`, one for each nibble of its number. Clients that handle a payload as a C string,
    /// or as text, return letters unchanged.
    pub fn ping_payload(&self) -> [u8; PAYLOAD_LEN] {
        encode_letters(self.ping_seq)
    }

    /// Returns the number of the latest heartbeat, at most `u32::MAX`: the next one has the next
    /// number, and 0 follows `u32::MAX`. The first is at random, so a number does not tell how many
    /// heartbeats there were.
    pub fn heartbeat_number(&self) -> u64 {
        u64::from(self.ping_seq)
    }

    /// Returns whether this is the payload of one of the latest pings, so that a pong with it
    /// answers us and not the peer's partner.
    pub fn is_own_payload(&self, payload: [u8; PAYLOAD_LEN]) -> bool {
        let ago = decode_letters(payload).map(|number| self.ping_seq.wrapping_sub(number));
        ago.is_some_and(|ago| ago < OWN_PINGS)
    }

    /// Returns whether a pong with this payload answers one of the latest heartbeats.
    pub fn is_answer(&self, payload: &[u8]) -> bool {
        let letters = payload.try_into().ok().and_then(decode_letters);
        letters.is_some_and(|number| self.is_own_number(number.into()))
    }

    /// Returns whether this is the number of one of the latest heartbeats that were sent, so that
    /// an answer with it is one of the peer.
    pub fn is_own_number(&self, number: u64) -> bool {
        let ago = u32::try_from(number).map(|number| self.ping_seq.wrapping_sub(number));
        match ago {
            Ok(0) => !matches!(self.heartbeat, Heartbeat::First | Heartbeat::Queued),
            Ok(ago) => ago < OWN_PINGS && self.heartbeat != Heartbeat::First,
            Err(_) => false,
        }
    }

    /// Continues the payloads at a random number, and forgets the outstanding ping. Peers cannot
    /// guess the payloads that follow.
    pub fn draw_payloads(&mut self, random: u32) {
        self.ping_seq = random;
        self.discard_rtt();
    }

    /// Returns whether the latest heartbeat was sent and its pong, which gives an RTT, is awaited.
    pub fn is_awaiting_pong(&self) -> bool {
        self.heartbeat.is_measured()
    }

    /// Returns whether a pong with this payload may be valid: the echo of a heartbeat, possibly an
    /// older one, or an unsolicited pong. An unsolicited pong may carry anything (RFC 6455 §5.5.3);
    /// only an empty one is recognized as such.
    pub fn is_valid_pong(payload: &[u8]) -> bool {
        payload.is_empty()
            || payload.len() == PAYLOAD_LEN && payload.iter().all(|b| (b'a'..=b'p').contains(b))
    }

    /// Returns whether a ping was requested that the kernel has not taken yet.
    pub fn is_ping_queued(&self) -> bool {
        self.heartbeat == Heartbeat::Queued
    }

    /// Returns whether the peer answers.
    pub fn state(&self) -> HealthState {
        self.marks.state()
    }

    /// Returns whether this is a sign of life under the policy.
    pub fn counts(&self, sign: LifeSign) -> bool {
        self.marks.counts(sign)
    }

    /// Returns whether everything that arrives is a sign of life.
    pub fn counts_all(&self) -> bool {
        self.marks.counts_all()
    }

    /// Returns whether the peer is healthy, and the pong of a heartbeat keeps it so.
    pub fn is_kept_healthy_by_pongs(&self) -> bool {
        self.marks.is_kept_healthy_by_pongs()
    }

    /// Returns what the heartbeats of this connection are.
    pub fn form(&self) -> HeartbeatForm {
        self.marks.form()
    }

    /// Sends pings as heartbeats, whatever the policy says.
    pub fn use_pings(&mut self) {
        self.marks.use_pings();
    }

    /// Returns whether a message of ours in fragments is begun and not complete.
    pub fn is_mid_message(&self) -> bool {
        self.marks.is_mid_message()
    }

    /// Records whether a message of ours in fragments is begun and not complete. A text must not
    /// stand between its fragments (RFC 6455 §5.4), a ping may.
    pub fn set_mid_message(&mut self, is_mid_message: bool) {
        self.marks.set_mid_message(is_mid_message);
    }

    /// Returns the time of the last sign of life: received input, a send of waiting bytes, or the
    /// credit that a change of policy gives.
    fn alive_at(&self) -> Micros {
        self.heard + self.progress_after.micros()
    }

    /// Returns whether the last sign of life is less than one interval before `now`.
    fn is_alive(&self, policy: &Policy, now: Micros) -> bool {
        now - self.alive_at() < policy.heartbeat_interval
    }

    fn set_alive_since(&mut self, at: Micros) {
        self.progress_after = self.progress_after.max(Span::of(at - self.heard));
        self.reset_wait();
    }

    /// Restarts the count of intervals of a queued heartbeat.
    fn reset_wait(&mut self) {
        if self.heartbeat == Heartbeat::Queued {
            self.ping_sent = 0;
        }
    }

    /// Returns how many heartbeat intervals passed without an answer: those of sent heartbeats, and
    /// those of the one that waits.
    fn missed_intervals(&self) -> u64 {
        let waits = match self.heartbeat {
            Heartbeat::Queued => self.ping_sent,
            _ => 0,
        };
        u64::from(self.unanswered) + u64::from(waits)
    }

    /// Returns the time since the last sign of life.
    pub fn silence(&self, now: Micros) -> Micros {
        now - self.heard
    }

    /// Returns the number of heartbeats sent since the last sign of life.
    pub fn unanswered(&self) -> u16 {
        self.unanswered
    }

    /// Returns the smoothed round-trip time.
    pub fn rtt(&self) -> Rtt {
        self.rtt
    }
}
