//! Balancing: which upstream of a route a new client goes to.

use super::request_key::RequestKey;
use sha2::{Digest, Sha256};
use std::fmt;

/// How a route chooses an upstream for a new client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Balance {
    /// The one with the fewest connections for its weight.
    #[default]
    LeastConnections,
    /// By a value of the request: clients with the same value go to the same upstream, as long as
    /// it is well. Requests without the value are balanced by connections.
    Hash(RequestKey),
}

impl Balance {
    /// Parses `least_connections`, or `hash:` and a key. `None` if it has another form.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("hash:") {
            Some(key) => RequestKey::parse(key).map(Balance::Hash),
            None => (text == "least_connections").then_some(Balance::LeastConnections),
        }
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Balance::LeastConnections => f.write_str("least_connections"),
            Balance::Hash(key) => write!(f, "hash:{key}"),
        }
    }
}

/// Returns a hash of some bytes that is the same on every machine and in every version: the first
/// eight bytes of SHA-256.
pub(super) fn stable_hash(parts: &[&[u8]]) -> u64 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let hash: [u8; 32] = hasher.finalize().into();
    let [first, ..] = hash.as_chunks().0 else {
        return 0;
    };
    u64::from_be_bytes(*first)
}

/// Returns the score of an upstream for a key: the client goes to the one with the highest score
/// (weighted rendezvous hashing; Schindelhauer and Schomaker, *Weighted Distributed Hash Tables*,
/// SPAA 2005). If an upstream comes or goes, only its own clients move.
pub(super) fn rendezvous_score(key: u64, upstream: u64, weight: u32) -> f64 {
    const STEPS: f64 = (1_u64 << 52) as f64;
    // Above 0 and below 1: an f64 holds 52 bits and a half exactly.
    let uniform = ((mixed(key ^ mixed(upstream)) >> 12) as f64 + 0.5) / STEPS;
    -f64::from(weight) / uniform.ln()
}

/// Mixes all bits (the finalizer of SplitMix64).
fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_and_printed() {
        for text in ["least_connections", "hash:address", "hash:cookie:sid"] {
            assert_eq!(Balance::parse(text).expect(text).to_string(), text);
        }
        for text in ["", "hash", "hash:", "least", "round_robin"] {
            assert_eq!(Balance::parse(text), None, "{text}");
        }
    }

    /// Returns the upstream of each of ten thousand keys.
    fn placed(upstreams: &[(u64, u32)]) -> Vec<u64> {
        let best = |key: u64| {
            let scores = upstreams
                .iter()
                .map(|(upstream, weight)| (rendezvous_score(key, *upstream, *weight), *upstream));
            let best = scores.max_by(|a, b| a.0.total_cmp(&b.0));
            best.expect("an upstream").1
        };
        (0..10_000).map(|n| best(mixed(n))).collect()
    }

    #[test]
    fn keys_are_placed_by_weight_and_move_only_if_their_upstream_does() {
        let before = placed(&[(1, 1), (2, 1), (3, 2)]);
        let share = |upstream| before.iter().filter(|at| **at == upstream).count();
        for (upstream, wanted) in [(1, 2_500_usize), (2, 2_500), (3, 5_000)] {
            let off = share(upstream).abs_diff(wanted);
            assert!(off < 200, "{upstream}: {}", share(upstream));
        }
        let after = placed(&[(1, 1), (3, 2)]);
        for (was, is) in before.iter().zip(&after) {
            assert!(was == is || *was == 2);
        }
    }

    /// All gateways of a fleet must agree, whatever their versions.
    #[test]
    fn the_hash_never_changes() {
        assert_eq!(stable_hash(&[b"a"]), 0x3B19_6FD4_907B_EDF5);
        assert_ne!(stable_hash(&[b"a", b"b"]), stable_hash(&[b"ab"]));
        assert_eq!(mixed(0), 0xE220_A839_7B1D_CDAF);
    }
}
