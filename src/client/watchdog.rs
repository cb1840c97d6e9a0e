//! Notices that a connection is dead: a pure function of what was heard and when.
//!
//! Deadlines are points in time of a clock that goes on while the device sleeps. A timer that fires
//! at another time than it was set for says that the device slept. Then a probe decides, not the
//! deadline.

use crate::base::time::Micros;
use crate::pulse::PingCounts;

/// How long the answer to a probe may take.
const PROBE: Micros = Micros::from_secs(3);

/// A timer that is wrong by more says that the device was asleep.
pub(super) const LATE: Micros = Micros::from_secs(1);

/// The latest deadline after a frame, whatever a gateway says.
const SPAN_MAX: Micros = Micros::from_secs(3_600);

/// What the slowest supported network carries in a second.
const BYTES_PER_S: u64 = 2_048;

/// The most round-trip times that are kept.
const RTTS_MAX: usize = 32;

/// What to do when the timer of a watchdog has fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it is alive, dead, or to be asked")]
pub enum WatchdogVerdict {
    /// Nothing, until the deadline.
    Wait,
    /// The device was asleep: send a probe.
    Probe,
    /// The connection is dead.
    Dead,
}

/// Notices that a connection is dead.
#[derive(Debug, Clone)]
pub struct SilenceWatchdog {
    ping: Micros,
    grace: Micros,
    heard_at: Micros,
    /// The time that the deadline counts from.
    from: Micros,
    /// The time for the big message that is announced.
    big: Micros,
    probes: u64,
    probed_at: Option<Micros>,
    probe_due: Option<Micros>,
    has_slept: bool,
    gap: Option<Micros>,
    pinged_at: Micros,
    pings: PingCounts,
    rtts: Vec<Micros>,
}

impl SilenceWatchdog {
    /// Returns the watchdog of a connection whose hello came now, with these figures of it in
    /// milliseconds.
    pub const fn new(ping_ms: u64, grace_ms: u64, now: Micros) -> Self {
        SilenceWatchdog {
            ping: Micros::from_millis(ping_ms),
            grace: Micros::from_millis(grace_ms),
            heard_at: now,
            from: now,
            big: Micros::ZERO,
            probes: 0,
            probed_at: None,
            probe_due: None,
            has_slept: false,
            gap: None,
            pinged_at: now,
            pings: PingCounts { seen: 0, late: 0 },
            rtts: Vec::new(),
        }
    }

    /// Returns when to call [`fired`](Self::fired).
    pub fn due(&self) -> Micros {
        let span = (self.ping + self.grace).max(self.big).min(SPAN_MAX);
        let due = self.from + span;
        self.probe_due.map_or(due, |probe| probe.min(due))
    }

    /// Returns whether a timer was late since the last answer to a probe.
    pub const fn has_slept(&self) -> bool {
        self.has_slept
    }

    /// Returns when a frame came last.
    pub const fn heard_at(&self) -> Micros {
        self.heard_at
    }

    /// Returns the most by which a timer was late, if the device was asleep.
    pub const fn gap(&self) -> Option<Micros> {
        self.gap
    }

    /// Returns how many pings came.
    pub const fn pings(&self) -> PingCounts {
        self.pings
    }

    /// Returns the round-trip times of the last probes; at most 32.
    pub fn rtts(&self) -> &[Micros] {
        &self.rtts
    }

    /// Notes that a ping came.
    pub fn pinged(&mut self, now: Micros) {
        self.pings.seen += 1;
        if now - self.pinged_at > self.ping + LATE {
            self.pings.late += 1;
        }
        self.pinged_at = now;
    }

    /// Notes that a frame came.
    pub fn heard(&mut self, now: Micros) {
        self.heard_at = now;
        self.from = now;
        self.big = Micros::ZERO;
        // What comes this long after the probe did not lie in a buffer of this device.
        if self.probed_at.is_some_and(|at| now - at >= LATE) {
            self.probe_due = self.probe_due.map(|due| due.max(now + PROBE));
        }
    }

    /// Notes that the gateway announces a message of so many bytes.
    pub fn big(&mut self, bytes: u64) {
        self.big = time_for(bytes);
        self.probe_due = None;
    }

    /// Notes that the device woke up, or that its network changed. Returns the number of the probe
    /// to send behind `buffered` unsent bytes; `None` while the answer to another one is awaited.
    pub fn probe(&mut self, buffered: u64, now: Micros) -> Option<u64> {
        if self.probed_at.is_some() {
            return None;
        }
        self.probed_at = Some(now);
        let is_big = self.big > Micros::ZERO;
        self.probe_due = (!is_big).then(|| now + PROBE.max(time_for(buffered)));
        self.probes += 1;
        Some(self.probes)
    }

    /// Notes the answer to a probe. Returns its round-trip time; `None` if it was not awaited.
    pub fn answered(&mut self, number: u64, now: Micros) -> Option<Micros> {
        if number != self.probes {
            return None;
        }
        let rtt = now - self.probed_at.take()?;
        if self.rtts.len() >= RTTS_MAX {
            self.rtts.remove(0);
        }
        self.rtts.push(rtt);
        self.probe_due = None;
        self.has_slept = false;
        Some(rtt)
    }

    /// Notes that something came before the timer that was set for `at`, and that timer is late:
    /// the device was asleep. What came is handled first, and may end the connection.
    pub(super) fn overslept(&mut self, at: Micros, now: Micros) {
        let error = now - at;
        if error > LATE {
            self.gap = self.gap.max(Some(error));
        }
    }

    /// Handles the timer that was set for `at`.
    pub fn fired(&mut self, at: Micros, now: Micros) -> WatchdogVerdict {
        let error = Micros(now.0.abs_diff(at.0));
        if error <= LATE {
            return match now < self.due() {
                true => WatchdogVerdict::Wait,
                false => WatchdogVerdict::Dead,
            };
        }
        self.has_slept = true;
        self.gap = self.gap.max(Some(error));
        self.from = now;
        if self
            .probed_at
            .is_some_and(|at| now.0.abs_diff(at.0) <= LATE.0)
        {
            return WatchdogVerdict::Wait;
        }
        self.probed_at = None;
        WatchdogVerdict::Probe
    }
}

/// Returns the time that so many bytes take on the slowest supported network, in whole
/// milliseconds.
fn time_for(bytes: u64) -> Micros {
    Micros::from_millis(bytes.saturating_mul(1_000).div_ceil(BYTES_PER_S))
}
