//! When refused clients may come back.

use crate::base::id::ConnId;
use crate::wire::http::Reply;

/// The smallest `Retry-After` when the limit is reached or a drain is in progress, in seconds.
const RETRY_AFTER_MIN_S: u32 = 5;
/// `Retry-After` values are spread over 2 to this power of seconds.
const RETRY_AFTER_BITS: u32 = 4;

/// Returns the `Retry-After` value when the limit is reached or a drain is in progress: 5 to 20 s.
///
/// Clients that are refused one after the other get different values, and all values are equally
/// frequent, so that clients do not come back together. The values are multiples of the golden
/// ratio modulo 1, which are spread evenly (Weyl's sequence). The factor is the id's generation,
/// which counts accepted connections.
pub(crate) fn retry_after_s(id: ConnId) -> u32 {
    /// 2^32 divided by the golden ratio.
    const GOLDEN: u32 = 0x9E37_79B9;
    let spread = id.generation().wrapping_mul(GOLDEN) >> (u32::BITS - RETRY_AFTER_BITS);
    RETRY_AFTER_MIN_S + spread
}

/// Returns the answer to a client when the connection limit is reached.
pub(crate) fn capacity_reply(id: ConnId) -> Reply {
    Reply::error(503, "the connection limit is reached").with_retry_after(retry_after_s(id))
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
