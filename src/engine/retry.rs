//! When clients that are turned away may come back.

use crate::base::id::ConnId;
use crate::wire::http::Reply;

/// The least that `Retry-After` says when we are full or going away, in seconds.
const RETRY_AFTER_LEAST_S: u32 = 5;
/// The values of `Retry-After` are spread over 2 to this power of seconds.
const RETRY_AFTER_BITS: u32 = 4;

/// What `Retry-After` tells a client when we are full or going away: 5 to 20 s.
///
/// Clients that are refused one after the other get different values, and all values are equally frequent, so that they do
/// not come back together: multiples of the golden ratio, modulo 1, are spread evenly (Weyl's sequence). What is multiplied is
/// the id's generation, which counts accepted connections.
pub(crate) fn retry_after_s(id: ConnId) -> u32 {
    /// 2^32 divided by the golden ratio.
    const GOLDEN: u32 = 0x9E37_79B9;
    let spread = id.generation().wrapping_mul(GOLDEN) >> (u32::BITS - RETRY_AFTER_BITS);
    RETRY_AFTER_LEAST_S + spread
}

/// The answer to a client for which there is no room.
pub(crate) fn no_room(id: ConnId) -> Reply {
    Reply::error(503, "no room for more connections").retry_after(retry_after_s(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_spread_evenly_and_neighbours_differ() {
        let values: Vec<u32> = (1..=1_600)
            .map(|n| retry_after_s(ConnId::new(3, n)))
            .collect();
        for value in 5..=20 {
            let many = values.iter().filter(|v| **v == value).count();
            assert!((95..=105).contains(&many), "{value} s: {many} of 1600");
        }
        let apart = |pair: &[u32]| pair[0].abs_diff(pair[1]) >= 5;
        assert!(values.windows(2).all(apart), "{values:?}");
    }
}
