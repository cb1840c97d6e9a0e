//! Engine time: integer microseconds, and the one clock of the crate.

use crate::base::sabotage::{self, Bug};
#[cfg(feature = "client")]
use nix::time::{ClockId, clock_gettime};
use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A span of time, or a point in engine time (the span since the clock's origin), in microseconds.
///
/// Arithmetic saturates: a point before the origin becomes the origin, and a span is at most
/// `u64::MAX` µs (584 000 years).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct Micros(pub u64);

impl Micros {
    /// A span of no time; as a point in time, the clock's origin.
    pub const ZERO: Micros = Micros(0);

    /// Returns a span of `ms` milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Micros(ms.saturating_mul(1_000))
    }

    /// Returns a span of `s` seconds.
    pub const fn from_secs(s: u64) -> Self {
        Micros(s.saturating_mul(1_000_000))
    }

    /// Returns whole milliseconds, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }

    /// Returns whole seconds, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Returns seconds with their fraction.
    pub const fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Returns the span as a [`Duration`].
    pub const fn as_duration(self) -> Duration {
        Duration::from_micros(self.0)
    }
}

impl From<Duration> for Micros {
    fn from(d: Duration) -> Self {
        Micros(u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
    }
}

impl Add for Micros {
    type Output = Micros;
    fn add(self, other: Micros) -> Micros {
        Micros(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Micros {
    fn add_assign(&mut self, other: Micros) {
        *self = *self + other;
    }
}

impl Sub for Micros {
    type Output = Micros;
    fn sub(self, other: Micros) -> Micros {
        Micros(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Micros {
    /// Writes milliseconds with the unit, as in a log line: `45012 ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.as_millis())
    }
}

/// The stalls of the loop, which must not count as silence of the peers.
///
/// The loop may be suspended (a stopped process, an overloaded machine, a slow handler).
/// [`Stalls::checkpoint`] detects this and subtracts the excess from engine time, so that every
/// deadline moves by it at once.
#[derive(Debug, Clone, Default)]
pub struct Stalls {
    sum: Micros,
    last_checkpoint: Micros,
}

impl Stalls {
    /// The shortest gap that can be a stall: a shorter one is scheduling noise.
    pub const LEAST_TOLERANCE: Micros = Micros::from_millis(500);

    /// Returns the engine time at the monotonic time `raw`. It steps back only over a checkpoint
    /// that found a stall.
    pub fn engine_time(&self, raw: Micros) -> Micros {
        raw - self.sum
    }

    /// Marks a point that the loop passes once a turn; `asked` is the time that the loop meant to
    /// sleep since the last one. A gap is a stall if its excess over `asked` is more than an eighth
    /// of the shortest timeout of all connections, and more than [`Stalls::LEAST_TOLERANCE`].
    ///
    /// Returns the stall if there was one: the whole excess, already subtracted from engine time.
    pub fn checkpoint(
        &mut self,
        raw: Micros,
        asked: Micros,
        shortest_timeout: Micros,
    ) -> Option<Micros> {
        let excess = (self.engine_time(raw) - self.last_checkpoint) - asked;
        let tolerance = Micros(shortest_timeout.0 / 8).max(Self::LEAST_TOLERANCE);
        let stall = (excess > tolerance && !sabotage::on(Bug::StallBlamed)).then_some(excess);
        self.sum += stall.unwrap_or_default();
        self.last_checkpoint = self.engine_time(raw);
        stall
    }
}

/// The clock of engine time: the monotonic clock minus the sum of the loop's stalls.
#[derive(Debug)]
pub struct Clock {
    origin: Instant,
    stalls: Stalls,
}

impl Clock {
    /// Starts a clock at zero.
    pub fn start() -> Self {
        Clock {
            origin: Instant::now(),
            stalls: Stalls::default(),
        }
    }

    /// Returns the engine time now, rounded down to a microsecond.
    pub fn now(&self) -> Micros {
        self.stalls.engine_time(self.raw())
    }

    /// Calls [`Stalls::checkpoint`] with the current time.
    pub fn checkpoint(&mut self, asked: Micros, shortest_timeout: Micros) -> Option<Micros> {
        let raw = self.raw();
        self.stalls.checkpoint(raw, asked, shortest_timeout)
    }

    /// Returns the monotonic time since this clock's origin, including stalls.
    pub fn raw(&self) -> Micros {
        Micros::from(self.origin.elapsed())
    }
}

/// Returns the time since an unspecified origin by a clock that goes on while the machine sleeps,
/// and never steps: `CLOCK_BOOTTIME` of Linux and Android. Elsewhere it is the monotonic clock of
/// POSIX, which on Apple's systems goes on too.
#[cfg(feature = "client")]
pub(crate) fn time_with_sleep() -> Micros {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;
    match clock_gettime(CLOCK) {
        Ok(time) => Micros::from(Duration::from(time)),
        // Not reached where these clocks exist. A clock that stands still never says that the
        // machine slept.
        Err(_) => Micros::ZERO,
    }
}

/// Wall-clock time in milliseconds since the Unix epoch: for people and other systems, never for a
/// deadline. It may step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// Returns the current time.
    pub fn now() -> Self {
        UnixMillis::from(SystemTime::now())
    }
}

/// A point in time on both clocks of the process, read on any thread. Windows, rates and ages use
/// `raw`, which never steps; `wall` is only for display.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "one point in time, on both clocks"
)]
pub struct Timestamp {
    /// The monotonic time since the first timestamp that the process has taken.
    pub raw: Micros,
    /// The wall-clock time.
    pub wall: UnixMillis,
}

/// The origin of [`Timestamp::raw`].
static TIMESTAMP_ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Timestamp {
    /// Returns the current time on both clocks.
    pub fn now() -> Self {
        Timestamp {
            raw: Micros::from(TIMESTAMP_ORIGIN.elapsed()),
            wall: UnixMillis::now(),
        }
    }

    /// Returns the time from `earlier` to this timestamp, independent of changes of the wall clock.
    pub fn since(self, earlier: Timestamp) -> Micros {
        self.raw - earlier.raw
    }

    /// Returns the wall-clock time relative to `now`, so that timestamps shown together keep
    /// their distances.
    pub fn as_of(self, now: Timestamp) -> UnixMillis {
        UnixMillis(now.wall.0.saturating_sub(now.since(self).as_millis()))
    }
}

impl From<SystemTime> for UnixMillis {
    /// Converts a time; times before 1970 become 1970.
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl From<UnixMillis> for SystemTime {
    fn from(time: UnixMillis) -> Self {
        UNIX_EPOCH + Duration::from_millis(time.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Micros(3) - Micros(5), Micros::ZERO);
        assert_eq!(Micros(u64::MAX) + Micros(1), Micros(u64::MAX));
        assert_eq!(Micros::from_secs(u64::MAX), Micros(u64::MAX));
        assert_eq!(Micros::from_millis(45_012).to_string(), "45012 ms");
        let span = Micros::from_millis(1_999);
        assert_eq!((span.as_secs(), span.as_secs_f64()), (1, 1.999));
    }

    #[test]
    fn a_step_of_the_wall_clock_changes_no_distance() {
        let at = |s, wall_s: u64| Timestamp {
            raw: Micros::from_secs(s),
            wall: UnixMillis(wall_s * 1_000),
        };
        let (before, stepped_back) = (at(10, 5_000), at(12, 4_402));
        assert_eq!(stepped_back.since(before), Micros::from_secs(2));
        assert_eq!(before.as_of(stepped_back), UnixMillis(4_400_000));
        assert_eq!(before.since(stepped_back), Micros::ZERO);
        let (first, second) = (Timestamp::now(), Timestamp::now());
        assert!(first.raw <= second.raw);
    }

    #[cfg(feature = "client")]
    #[test]
    fn the_clock_that_goes_on_during_sleep_does_not_step_back() {
        let first = time_with_sleep();
        assert!(first > Micros::ZERO);
        let mut next = time_with_sleep();
        while next == first {
            next = time_with_sleep();
        }
        assert!(next > first);
    }

    #[test]
    fn a_gap_beyond_what_was_asked_leaves_engine_time() {
        let s = Micros::from_secs;
        let mut stalls = Stalls::default();
        // Tolerates 5.6 s.
        let mut checkpoint = |raw, asked| stalls.checkpoint(s(raw), s(asked), s(45));
        assert_eq!(checkpoint(60, 60), None, "it was asked for");
        assert_eq!(checkpoint(66, 1), None, "noise");
        assert_eq!(checkpoint(100, 4), Some(s(30)));
        assert_eq!(checkpoint(101, 1), None, "it is counted once");
        assert_eq!(stalls.engine_time(s(101)), s(71));
    }

    #[test]
    fn the_least_tolerance_holds_for_short_timeouts() {
        let mut stalls = Stalls::default();
        let ms = Micros::from_millis;
        assert_eq!(stalls.checkpoint(ms(500), Micros::ZERO, ms(100)), None);
        assert!(
            stalls
                .checkpoint(ms(1_001), Micros::ZERO, ms(100))
                .is_some()
        );
    }
}
