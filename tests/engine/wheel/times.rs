//! Times in ticks, and random deadlines.

use fastrand::Rng;
use pulsegate::engine::wheel::{TICK, Wheel};
use pulsegate::time::Micros;

/// The furthest entry, in ticks from now: part of the wheel's contract.
pub const HORIZON: u64 = 4_095;

pub const HOUR: Micros = Micros::from_secs(3_600);

pub const YEAR: Micros = Micros::from_secs(365 * 24 * 3_600);

pub fn ticks(n: u64) -> Micros {
    Micros(n * TICK.0)
}

pub fn wheel_at(tick: u64) -> Wheel {
    let mut wheel = Wheel::new();
    assert_eq!(wheel.next(ticks(tick)), None);
    wheel
}

/// Returns a deadline around `now`: passed, near, about a horizon away, or far.
pub fn some_due(rng: &mut Rng, now: Micros) -> Micros {
    match rng.u8(..6) {
        0 => now - Micros(rng.u64(..3 * TICK.0)),
        1 => Micros(rng.u64(..=now.0)),
        _ => now + some_delay(rng),
    }
}

/// Returns a delay of any relevant size: within a tick, whole ticks, seconds, about the horizon,
/// hours.
pub fn some_delay(rng: &mut Rng) -> Micros {
    Micros(match rng.u8(..6) {
        0 => rng.u64(..2 * TICK.0),
        1 => rng.u64(..300) * TICK.0,
        2 | 3 => rng.u64(..HORIZON * TICK.0),
        4 => (HORIZON - 2) * TICK.0 + rng.u64(..4 * TICK.0),
        _ => rng.u64(..2 * HOUR.0),
    })
}
