//! Which peers wait for their share of the loop's work, and for how long: one line a minute for each identity.

use super::Identity;
use crate::time::Micros;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;

/// How long an identity is not reported again.
const EVERY: Micros = Micros::from_secs(60);

/// Peers whose waits are added up at once, and the most lines in a minute.
const SLOTS: usize = 1_024;

/// A peer is reported if its waits within [`WINDOW`] add up to this.
const NOTED: Micros = Micros::from_secs(1);

const WINDOW: Micros = Micros::from_secs(10);

/// The peer that a line is about: its identity, or its address if it has not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key<'a> {
    Identity(&'a Identity),
    Address(Option<IpAddr>),
}

/// The waits of peers, in a table of fixed size. Each peer has one slot in it. Of two that share a slot the one that waits longer keeps
/// it (the majority vote of Boyer and Moore), so many peers with short waits do not hide one with long waits.
#[derive(Debug, Default)]
pub(super) struct Throttled {
    /// Allocated with the first wait.
    slots: Box<[Option<Waits>]>,
    /// Random, so that peers cannot choose their slots.
    hasher: RandomState,
}

#[derive(Debug)]
struct Waits {
    identity: Option<Identity>,
    address: Option<IpAddr>,
    /// When the window began.
    since: Micros,
    /// Their sum in it, less those of other peers in the same slot.
    sum: Micros,
    /// When the peer was last reported.
    reported: Option<Micros>,
}

impl Waits {
    fn key(&self) -> Key<'_> {
        Key::of(self.identity.as_ref(), self.address)
    }

    fn is_due(&self, now: Micros) -> bool {
        self.reported.is_none_or(|at| now >= at + EVERY)
    }

    fn is_over(&self, now: Micros) -> bool {
        now >= self.since + WINDOW
    }

    /// Another peer in the same slot has waited. Returns whether that one gets the slot.
    fn yields(&mut self, waited: Micros, now: Micros) -> bool {
        self.sum = self.sum - self.sum.min(waited);
        self.is_due(now) && (self.is_over(now) || self.sum == Micros::ZERO)
    }
}

impl<'a> Key<'a> {
    fn of(identity: Option<&'a Identity>, address: Option<IpAddr>) -> Self {
        identity.map_or(Key::Address(address), Key::Identity)
    }
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
        if self.slots.is_empty() {
            self.slots = std::iter::repeat_with(|| None).take(SLOTS).collect();
        }
        let key = Key::of(identity, address);
        let slot = &mut self.slots[self.hasher.hash_one(key) as usize % SLOTS];
        if let Some(other) = slot.as_mut().filter(|waits| waits.key() != key)
            && !other.yields(waited, now)
        {
            return None;
        }
        let waits = match slot {
            Some(waits) if waits.key() == key => waits,
            _ => slot.insert(Waits {
                identity: identity.cloned(),
                address,
                since: now,
                sum: Micros::ZERO,
                reported: None,
            }),
        };
        if waits.is_over(now) {
            (waits.since, waits.sum) = (now, Micros::ZERO);
        }
        waits.sum += waited;
        if waits.sum < NOTED || !waits.is_due(now) {
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
    fn the_lines_of_a_minute_have_a_bound() {
        let mut throttled = Throttled::default();
        let mut add = |n, s| throttled.add(Some(&user(n)), None, SECOND, Micros::from_secs(s));
        let reported = (0..3 * SLOTS).filter(|n| add(*n, 1).is_some()).count();
        // Some share a slot.
        assert!((SLOTS / 2..=SLOTS).contains(&reported), "{reported}");
        assert!(add(9_999, 61).is_some());
    }

    #[test]
    fn many_short_waits_do_not_hide_a_long_one() {
        let mut throttled = Throttled::default();
        let mut add = |n, ms, s| {
            let (waited, now) = (Micros::from_millis(ms), Micros::from_secs(s));
            throttled.add(Some(&user(n)), None, waited, now)
        };
        for s in 1..10 {
            for n in 0..4 * SLOTS {
                assert_eq!(add(n, 10, s), None);
            }
            if let Some(waited) = add(usize::MAX, 900, s) {
                assert!(waited >= SECOND && s <= 4, "{waited} after {s} s");
                return;
            }
        }
        panic!("not reported");
    }
}
