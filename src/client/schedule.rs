//! When a client tries again: a pure function of what happened to its connections.
//!
//! `tests/pulse_vectors.json` specifies every rule with an example.

use super::close_class::{class_of_code, class_of_status, waits_for_network};
use super::random::Mulberry32;
use super::reconnect_rule::Reconnect;
use crate::base::time::Micros;
use crate::pulse::FailureClass;

const MINUTE: Micros = Micros::from_secs(60);
/// The longest wait, whatever a gateway says.
const WAIT_MAX: Micros = Micros::from_secs(3_600);
const TRIES_PER_MINUTE: usize = 10;
const SHORT_OPENING: Micros = Micros::from_secs(30);
const FLAP_OPENINGS: usize = 5;
const FLAP_WINDOW: Micros = Micros::from_secs(300);
/// An end this soon after traffic is no end of an idle connection.
const GAP_MIN: Micros = Micros::from_secs(1);
const GAPS: usize = 3;
/// A connection that was open for this long is stable, if a ping was answered.
const STABLE: Micros = Micros::from_secs(10);
/// Doubling stops here. Every wait has reached its limit long before.
const DOUBLINGS_MAX: u32 = 32;

/// How a connection, or a try, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the signs that the protocol names"
)]
pub struct EndSigns {
    /// The close code; 1006 if there was no close frame.
    pub code: u16,
    /// Whether the client has given the connection up, because nothing was heard.
    pub is_watchdog: bool,
    /// Whether a timer was late before that: the device was asleep.
    pub has_slept: bool,
}

/// When a client tries again. The caller says what happens and when, by one clock.
#[derive(Debug)]
pub struct Schedule {
    random: Mulberry32,
    failure: Option<FailureClass>,
    /// Ends since the last stable connection.
    ends: u32,
    /// `None`: not before the host opens again.
    due: Option<Micros>,
    want_ms: Option<u64>,
    /// The last tries of one minute.
    tries: Vec<Micros>,
    is_offline: bool,
    first_ms: u64,
    max_ms: u64,
    was_open: bool,
    // The present connection or try.
    opened_at: Option<Micros>,
    is_proven: bool,
    active_at: Micros,
    /// The wait that the gateway asks for, and its spread, in milliseconds.
    retry: Option<(u64, u64)>,
    refusal: Option<u16>,
    // What earlier ones have left.
    rejected_at: Option<Micros>,
    faults: u32,
    short_openings: Vec<Micros>,
    flaps: u32,
    gaps: Vec<Micros>,
}

impl Schedule {
    /// Returns the schedule of a client that has not tried yet.
    pub const fn new(random: Mulberry32) -> Self {
        Schedule {
            random,
            failure: None,
            ends: 0,
            due: Some(Micros::ZERO),
            want_ms: None,
            tries: Vec::new(),
            is_offline: false,
            first_ms: 0,
            max_ms: 0,
            was_open: false,
            opened_at: None,
            is_proven: false,
            active_at: Micros::ZERO,
            retry: None,
            refusal: None,
            rejected_at: None,
            faults: 0,
            short_openings: Vec::new(),
            flaps: 0,
            gaps: Vec::new(),
        }
    }

    /// Returns the class of the last end; `None` before the first one.
    pub const fn failure(&self) -> Option<FailureClass> {
        self.failure
    }

    /// Returns how many ends there were since the last stable connection.
    pub const fn ends(&self) -> u32 {
        self.ends
    }

    /// Returns when to try next; `None`: not before the host opens again.
    pub const fn due(&self) -> Option<Micros> {
        self.due
    }

    /// Returns the time between pings, in milliseconds, that would have kept idle connections open.
    pub const fn want_ms(&self) -> Option<u64> {
        self.want_ms
    }

    /// Returns whether the environment has said that there is no network.
    pub const fn is_offline(&self) -> bool {
        self.is_offline
    }

    /// Notes that a try begins.
    pub fn tried(&mut self, now: Micros) {
        self.tries.retain(|at| *at <= now && now - *at < MINUTE);
        push_last(&mut self.tries, now, TRIES_PER_MINUTE);
        self.retry = None;
        self.opened_at = None;
        self.refusal = None;
        self.is_proven = false;
    }

    /// Notes that the WebSocket is open.
    pub const fn opened(&mut self, now: Micros) {
        self.opened_at = Some(now);
        self.active_at = now;
        self.was_open = true;
    }

    /// Notes the gateway's figures in its hello: over how long first tries are spread, and the
    /// longest wait, in milliseconds.
    pub fn promised(&mut self, first_ms: u64, max_ms: u64) {
        self.first_ms = first_ms.min(WAIT_MAX.as_millis());
        self.max_ms = max_ms;
    }

    /// Notes that first tries are spread over another time now, in milliseconds.
    pub fn hinted(&mut self, first_ms: u64) {
        self.first_ms = first_ms.min(WAIT_MAX.as_millis());
    }

    /// Notes that a ping was answered, or that the connection is a plain one, which shows no pings.
    pub const fn proved(&mut self) {
        self.is_proven = true;
    }

    /// Notes that a frame came or was sent.
    pub const fn active(&mut self, now: Micros) {
        self.active_at = now;
    }

    /// Notes that the gateway says when to come back, in milliseconds.
    pub const fn told(&mut self, retry_ms: u64, spread_ms: u64) {
        self.retry = Some((retry_ms, spread_ms));
    }

    /// Notes that the gateway does not admit the client. `retry_ms` of 0: it gives no time.
    pub const fn refused(&mut self, status: u16, retry_ms: u64) {
        self.refusal = Some(status);
        if retry_ms > 0 {
            self.retry = Some((retry_ms, 0));
        }
    }

    /// Notes the end of the connection or try. Returns its class; [`plan`](Self::plan) follows.
    pub fn ended(&mut self, end: EndSigns, now: Micros) -> FailureClass {
        let age = self.opened_at.map(|at| now - at);
        let is_stable = self.is_proven && age.is_some_and(|age| age >= STABLE);
        self.ends = if is_stable {
            1
        } else {
            self.ends.saturating_add(1)
        };
        if self.was_answered() {
            if let Some(age) = age.filter(|_| self.refusal.is_none()) {
                self.count_opening(age, now);
            }
            let class = self.classify(end, now);
            self.failure = Some(class);
            let is_fault = class == FailureClass::Fault;
            self.faults = match is_fault {
                true if is_stable => 1,
                true => self.faults.saturating_add(1),
                false => 0,
            };
        }
        let default = match self.was_open {
            true => FailureClass::Blip,
            false => FailureClass::Unreachable,
        };
        let class = *self.failure.get_or_insert(default);
        if class == FailureClass::Flap {
            self.flaps = self.flaps.saturating_add(1);
        }
        class
    }

    /// Decides when to try after an end.
    pub fn plan(&mut self, verdict: Reconnect, now: Micros) {
        let wait = match verdict {
            Reconnect::ByClass => self.wait(now),
            Reconnect::Again => Some(self.wait(now).unwrap_or_else(|| self.blip())),
            Reconnect::After(wait) => Some(wait),
            Reconnect::Stop => None,
        };
        let least = match self.is_offline {
            true => MINUTE,
            false => Micros::ZERO,
        };
        match wait {
            Some(wait) => self.limit(now + wait.min(WAIT_MAX).max(least), now),
            None => self.due = None,
        }
    }

    /// Notes that the environment says whether there is a network. A wait becomes shorter or
    /// longer.
    pub fn network(&mut self, is_online: bool, is_waiting: bool, now: Micros) {
        self.is_offline = !is_online;
        if !is_waiting {
            return;
        }
        let soon = match is_online {
            true => now + self.uniform(0, 300),
            false => now + MINUTE,
        };
        let is_forward = is_online && self.failure.is_none_or(waits_for_network);
        let planned = self.due.unwrap_or(soon);
        let at = match is_forward {
            true => soon,
            false => planned.max(soon),
        };
        self.limit(at, now);
    }

    /// Notes that the timer of a wait was more than a second late.
    pub fn slept(&mut self, now: Micros) {
        let wait = self.uniform(0, 1_000);
        self.limit(now + wait, now);
    }

    /// Notes that the host opens again, or wants another connection at once.
    pub fn reopen(&mut self, now: Micros) {
        if self.due.is_none() {
            self.failure = None;
            self.ends = 0;
            self.faults = 0;
            self.rejected_at = None;
        }
        self.limit(now, now);
    }

    /// Sets the time of the next try, at most ten in any minute.
    fn limit(&mut self, at: Micros, now: Micros) {
        let past: Vec<Micros> = self.tries.iter().copied().filter(|at| *at <= now).collect();
        let oldest = past.len().checked_sub(TRIES_PER_MINUTE).map(|i| past[i]);
        self.due = Some(oldest.map_or(at, |oldest| at.max(oldest + MINUTE)));
    }

    /// Returns U(from, to) milliseconds.
    fn uniform(&mut self, from: u64, to: u64) -> Micros {
        Micros::from_millis(self.random.uniform(from, to))
    }

    /// Returns a time between a half of `most` milliseconds and `most`.
    fn half(&mut self, most: u64) -> Micros {
        self.uniform(most / 2, most)
    }

    fn count_opening(&mut self, age: Micros, now: Micros) {
        if age < SHORT_OPENING {
            push_last(&mut self.short_openings, now, FLAP_OPENINGS);
        } else {
            self.short_openings.clear();
            self.flaps = 0;
        }
    }

    /// Learns from a silent end. Returns whether the last three came at one idle gap.
    fn count_gap(&mut self, gap: Micros) -> bool {
        if gap < GAP_MIN {
            return false;
        }
        push_last(&mut self.gaps, gap, GAPS);
        let differs = |other: &Micros| other.0.abs_diff(gap.0).saturating_mul(10) > gap.0;
        if self.gaps.len() < GAPS || self.gaps.iter().any(differs) {
            return false;
        }
        let least = self.gaps.iter().min().map_or(0, |gap| gap.as_millis());
        self.want_ms = Some(least.saturating_mul(6) / 10);
        true
    }

    fn classify(&mut self, end: EndSigns, now: Micros) -> FailureClass {
        if self.retry.is_some() {
            return match end.code == 4003 && self.refusal.is_none() {
                true => FailureClass::Replaced,
                false => FailureClass::Told,
            };
        }
        let known = match self.refusal {
            Some(status) => class_of_status(status),
            None => class_of_code(end.code),
        };
        if let Some(class) = known {
            return class;
        }
        if self.is_offline {
            return FailureClass::Offline;
        }
        if end.has_slept {
            return FailureClass::Slept;
        }
        // A try that was refused was never idle.
        let is_silent = end.code == 1006 && !end.is_watchdog && self.opened_at.is_some();
        let is_idle_cut = is_silent && self.count_gap(now - self.active_at);
        let is_row = self.short_openings.len() == FLAP_OPENINGS;
        let is_flap = is_row && now - self.short_openings[0] <= FLAP_WINDOW;
        if self.flaps > 0 || is_flap {
            FailureClass::Flap
        } else if is_idle_cut {
            FailureClass::IdleCut
        } else {
            FailureClass::Blip
        }
    }

    /// Returns `base` milliseconds, doubled for each end after the first.
    fn doubled(&self, base: u64) -> u64 {
        doubled(base, self.ends.saturating_sub(1))
    }

    fn blip(&mut self) -> Micros {
        let most = match self.max_ms {
            0 => 30_000,
            most => most,
        };
        let width = self.doubled(500).min(most);
        let width = match self.opened_at {
            Some(_) => width.max(self.first_ms),
            None => width,
        };
        self.uniform(0, width)
    }

    /// Returns whether the try was more than one without an answer.
    const fn was_answered(&self) -> bool {
        self.opened_at.is_some() || self.retry.is_some() || self.refusal.is_some()
    }

    /// Returns the wait by the class; `None`: no try before the host opens again.
    fn wait(&mut self, now: Micros) -> Option<Micros> {
        Some(match self.failure {
            Some(FailureClass::Over | FailureClass::Replaced) => return None,
            Some(FailureClass::Fault) if self.faults > 2 => return None,
            Some(FailureClass::Fault) => Micros::from_millis(doubled(15_000, self.faults)),
            Some(FailureClass::Overload) => self.half(self.doubled(5_000).min(120_000)),
            Some(FailureClass::Flap) => {
                let base = self.first_ms.max(5_000);
                let most = doubled(base, self.flaps.saturating_sub(1));
                self.half(most.min(MINUTE.as_millis()))
            }
            Some(FailureClass::Unreachable) => {
                let most = self.doubled(1_000).min(MINUTE.as_millis());
                self.uniform(0, most)
            }
            Some(FailureClass::Offline) if self.is_offline => MINUTE,
            class if self.was_answered() => return self.first_wait(class, now),
            _ => self.blip(),
        })
    }

    /// Returns the wait after an open connection or an answer of the gateway.
    fn first_wait(&mut self, class: Option<FailureClass>, now: Micros) -> Option<Micros> {
        if let Some((from, spread)) = self.retry {
            return Some(self.uniform(from, from.saturating_add(spread)));
        }
        Some(match class {
            Some(FailureClass::Rejected) => {
                let last = self.rejected_at.replace(now);
                let is_again = last.is_some_and(|last| now - last < MINUTE);
                return (!is_again).then_some(Micros::ZERO);
            }
            Some(FailureClass::Restart) if self.ends <= 1 => self.uniform(0, self.first_ms),
            Some(FailureClass::Slept) => self.uniform(0, 1_000),
            _ => self.blip(),
        })
    }
}

/// Returns `base` doubled so many times.
fn doubled(base: u64, times: u32) -> u64 {
    base.saturating_mul(1 << times.min(DOUBLINGS_MAX))
}

/// Appends an item, and keeps at most the last `most`.
fn push_last(items: &mut Vec<Micros>, item: Micros, most: usize) {
    if items.len() >= most {
        items.remove(0);
    }
    items.push(item);
}
