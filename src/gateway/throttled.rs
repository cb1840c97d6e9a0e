//! Which peers wait for their share of the loop's work, and for how long: one line a minute for each identity.

use super::Identity;
use crate::time::Micros;
use std::collections::HashMap;
use std::net::IpAddr;

/// How long an identity is not reported again.
const EVERY: Micros = Micros::from_secs(60);

/// Identities that are remembered. When there are more, all that are older than a minute are forgotten; if none is, no more are
/// reported until then.
const MOST: usize = 1_024;

/// The peer that a line is about: its identity, or its address if it has not said.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Key {
    Identity(Identity),
    Address(Option<IpAddr>),
}

/// A peer is reported if its waits within [`WINDOW`] add up to this.
const NOTED: Micros = Micros::from_secs(1);

const WINDOW: Micros = Micros::from_secs(10);

/// The waits of each peer.
#[derive(Debug, Default)]
pub(super) struct Throttled {
    peers: HashMap<Key, Waits>,
}

#[derive(Debug)]
struct Waits {
    /// When the window began.
    since: Micros,
    /// Their sum in it.
    sum: Micros,
    /// When the peer was last reported.
    reported: Option<Micros>,
}

impl Throttled {
    /// Adds a wait that ends now. If a line is due for the peer, marks it as written and returns how long the peer has waited in the
    /// last seconds.
    pub(super) fn add(
        &mut self,
        identity: Option<&Identity>,
        address: Option<IpAddr>,
        waited: Micros,
        now: Micros,
    ) -> Option<Micros> {
        let key = identity.map_or(Key::Address(address), |i| Key::Identity(i.clone()));
        let is_due = |waits: &Waits| waits.reported.is_none_or(|at| now >= at + EVERY);
        if !self.peers.contains_key(&key) && self.peers.len() >= MOST {
            self.peers
                .retain(|_, waits| !is_due(waits) || now < waits.since + WINDOW);
            if self.peers.len() >= MOST {
                return None;
            }
        }
        let waits = self.peers.entry(key).or_insert(Waits {
            since: now,
            sum: Micros::ZERO,
            reported: None,
        });
        if now >= waits.since + WINDOW {
            (waits.since, waits.sum) = (now, Micros::ZERO);
        }
        waits.sum += waited;
        if waits.sum < NOTED || !is_due(waits) {
            return None;
        }
        waits.reported = Some(now);
        Some(waits.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Role;

    fn user(name: usize) -> Identity {
        Identity {
            user: name.to_string().into(),
            role: Role::Glasses,
        }
    }

    const SECOND: Micros = Micros::from_secs(1);

    #[test]
    fn an_identity_is_reported_once_a_minute() {
        let mut throttled = Throttled::default();
        let mut add =
            |name, s| throttled.add(Some(&user(name)), None, SECOND, Micros::from_secs(s));
        assert!(add(1, 0).is_some() && add(2, 1).is_some());
        assert!(add(1, 59).is_none());
        assert!(add(1, 60).is_some());
        assert!(add(1, 119).is_none());
    }

    #[test]
    fn short_waits_add_up_within_ten_seconds() {
        let mut throttled = Throttled::default();
        let mut add = |us, at| throttled.add(None, None, Micros(us), Micros(at));
        for n in 0..999 {
            assert_eq!(add(1_000, 5_000 * n), None);
        }
        assert_eq!(add(1_000, 5_000_000), Some(SECOND));
        // A wait of 300 ms in each window is no news.
        for n in 0..100 {
            assert_eq!(add(300_000, 100_000_000 + 10_000_000 * n), None);
        }
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut throttled = Throttled::default();
        let mut add = |n, s| throttled.add(Some(&user(n)), None, SECOND, Micros::from_secs(s));
        let reported = (0..3 * MOST).filter(|n| add(*n, 1).is_some());
        assert_eq!(reported.count(), MOST);
        assert!(add(9_999, 61).is_some());
        assert_eq!(throttled.peers.len(), 1);
    }
}
