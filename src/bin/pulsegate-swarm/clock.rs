//! The clock of the swarm: microseconds since its start, rounded down.

use std::time::Instant;

/// The only reader of the clock. It never returns 0, so that 0 can mean "not yet" in stored times.
pub struct SwarmClock(Instant);

/// Microseconds in a second.
pub const SECOND: u64 = 1_000_000;
/// Microseconds in a millisecond.
pub const MILLI: u64 = 1_000;

impl SwarmClock {
    pub fn start() -> Self {
        SwarmClock(Instant::now())
    }

    /// Returns the microseconds since the start, plus one.
    pub fn now(&self) -> u64 {
        self.0.elapsed().as_micros() as u64 + 1
    }
}
