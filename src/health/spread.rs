//! Spreading heartbeats over the interval, so that they do not coincide.

use super::policy::Policy;
use crate::base::time::Micros;

/// Returns a time within one interval of `now`, at the point of the interval that `seed` selects.
pub(super) fn spread_ping(policy: &Policy, now: Micros, seed: u64) -> Micros {
    let interval = policy.heartbeat_interval.0;
    let point = ((u128::from(mix(seed)) * u128::from(interval)) >> 64) as u64;
    let since = now.0 % interval;
    let ahead = if point >= since {
        point - since
    } else {
        interval - (since - point)
    };
    now + Micros(ahead + 1)
}

/// SplitMix64's finalizer (Steele, Lea, Flood 2014). Slot numbers are sequential; their mixed
/// values are not.
pub(super) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
