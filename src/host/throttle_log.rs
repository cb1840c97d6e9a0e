//! Log lines about peers that wait for their share of the loop's work: at most one a minute for
//! each identity.

use super::identity::Identity;
use crate::base::address_block::AddressBlock;
use crate::base::time::Micros;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// After a throttled identity was reported, it is not reported again for this time.
const LINE_INTERVAL: Micros = Micros::from_secs(60);

/// The most peers whose waits are summed at one time, and the most lines in a minute.
const SLOTS: usize = 1_024;

/// Each peer may use one of this many slots of the table.
const WAYS: usize = 4;

/// A peer is reported if its input waited for this long in all within [`WINDOW`].
const LINE_THRESHOLD: Micros = Micros::from_secs(1);

const WINDOW: Micros = Micros::from_secs(10);

/// The peer that a line is about: its identity, or its address if it is not identified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum PeerKey<'a> {
    Identity(&'a Identity),
    Address(Option<AddressBlock>),
}

/// The waits of peers, in a table of fixed size. Each peer has a set of four possible slots. A peer
/// takes the slot of another if its new wait is longer than the summed waits of the other. So many
/// peers with short waits do not hide one with long waits. With far more peers than slots only some
/// are reported.
#[derive(Debug, Default)]
pub(crate) struct ThrottleLog {
    /// The table of waits; allocated at the first wait.
    slots: Box<[Option<WaitSum>]>,
    /// Randomly keyed, so that peers cannot choose their slots.
    hasher: RandomState,
}

#[derive(Debug)]
struct WaitSum {
    identity: Option<Identity>,
    address: Option<AddressBlock>,
    /// When the window began.
    since: Micros,
    /// The sum of the peer's waits in the window.
    sum: Micros,
    /// When the peer was reported; `None` if that is more than a minute ago.
    reported: Option<Micros>,
    /// Whether the peer was reported before; if so, any other peer may take its slot.
    was_reported: bool,
}

impl WaitSum {
    fn key(&self) -> PeerKey<'_> {
        PeerKey::of(self.identity.as_ref(), self.address)
    }

    fn is_expired(&self, now: Micros) -> bool {
        now >= self.since + WINDOW
    }

    /// Returns how long another peer must have waited to take over this slot; `None` if no other
    /// peer may.
    fn eviction_cost(&self, now: Micros) -> Option<Micros> {
        match self.reported {
            // Each slot has one line a minute.
            Some(at) if now < at + LINE_INTERVAL => None,
            Some(_) => Some(Micros::ZERO),
            None if self.was_reported || self.is_expired(now) => Some(Micros::ZERO),
            None => Some(self.sum),
        }
    }
}

impl<'a> PeerKey<'a> {
    fn of(identity: Option<&'a Identity>, address: Option<AddressBlock>) -> Self {
        identity.map_or(PeerKey::Address(address), PeerKey::Identity)
    }
}

impl ThrottleLog {
    /// Adds a wait that ends now. If a line is due for the peer, marks it as written, and returns
    /// how long the peer has waited in the current window.
    pub(crate) fn add(
        &mut self,
        identity: Option<&Identity>,
        address: Option<AddressBlock>,
        waited: Micros,
        now: Micros,
    ) -> Option<Micros> {
        if self.slots.is_empty() {
            self.slots = std::iter::repeat_with(|| None).take(SLOTS).collect();
        }
        let key = PeerKey::of(identity, address);
        let set = self.hasher.hash_one(key) as usize % (SLOTS / WAYS) * WAYS;
        let set = &mut self.slots[set..set + WAYS];
        let own = |slot: &Option<WaitSum>| slot.as_ref().is_some_and(|waits| waits.key() == key);
        let eviction_cost = |slot: &Option<WaitSum>| match slot {
            Some(waits) => waits.eviction_cost(now),
            None => Some(Micros::ZERO),
        };
        let slot = match set.iter().position(own) {
            Some(at) => &mut set[at],
            None => {
                let candidates = set
                    .iter_mut()
                    .filter_map(|slot| Some((eviction_cost(slot)?, slot)));
                let (eviction_cost, slot) =
                    candidates.min_by_key(|(eviction_cost, _)| *eviction_cost)?;
                if eviction_cost > Micros::ZERO && waited <= eviction_cost {
                    return None;
                }
                *slot = None;
                slot
            }
        };
        let waits = slot.get_or_insert_with(|| WaitSum {
            identity: identity.cloned(),
            address,
            since: now,
            sum: Micros::ZERO,
            reported: None,
            was_reported: false,
        });
        if waits.reported.is_some_and(|at| now >= at + LINE_INTERVAL) {
            // This wait does not count: other peers may take the slot first.
            (waits.reported, waits.was_reported) = (None, true);
            (waits.since, waits.sum) = (now, Micros::ZERO);
            return None;
        }
        if waits.is_expired(now) {
            (waits.since, waits.sum) = (now, Micros::ZERO);
        }
        waits.sum += waited;
        if waits.sum < LINE_THRESHOLD || waits.reported.is_some() {
            return None;
        }
        waits.reported = Some(now);
        Some(waits.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Class;

    fn user(name: usize) -> Identity {
        Identity {
            user: name.to_string().into(),
            class: Class(0),
            package: None,
            address: None,
        }
    }

    const SECOND: Micros = Micros::from_secs(1);

    #[test]
    fn an_identity_is_reported_once_a_minute() {
        let mut throttled = ThrottleLog::default();
        let mut add =
            |name, s| throttled.add(Some(&user(name)), None, SECOND, Micros::from_secs(s));
        assert!(add(1, 0).is_some() && add(2, 1).is_some());
        assert!(add(1, 59).is_none());
        assert!(add(1, 60).is_none());
        assert!(add(1, 61).is_some());
        assert!(add(1, 120).is_none());
    }

    #[test]
    fn short_waits_add_up_within_ten_seconds() {
        let mut throttled = ThrottleLog::default();
        let mut add = |us, at| throttled.add(None, None, Micros(us), Micros(at));
        for n in 0..999 {
            assert_eq!(add(1_000, 5_000 * n), None);
        }
        assert_eq!(add(1_000, 5_000_000), Some(SECOND));
        // A wait of 300 ms in each window is not reported.
        for n in 0..100 {
            assert_eq!(add(300_000, 100_000_000 + 10_000_000 * n), None);
        }
    }

    #[test]
    fn the_lines_of_a_minute_have_a_bound() {
        let mut throttled = ThrottleLog::default();
        let mut add = |n, s| throttled.add(Some(&user(n)), None, SECOND, Micros::from_secs(s));
        let reported = (0..8 * SLOTS).filter(|n| add(*n, 1).is_some()).count();
        // A set of four may have received fewer peers.
        assert!((SLOTS - 8..=SLOTS).contains(&reported), "{reported}");
        assert!(add(9_999, 61).is_some());
    }

    /// Peers that all wait all the time are reported in turn.
    #[test]
    fn equal_waits_do_not_hide_each_other() {
        let mut rng = fastrand::Rng::with_seed(1_024);
        for (peers, least) in [(300, 300), (8 * SLOTS, 5 * SLOTS)] {
            let mut order: Vec<usize> = (0..peers).collect();
            let mut throttled = ThrottleLog::default();
            let mut reported = std::collections::HashSet::new();
            for ms in (0..600_000).step_by(500) {
                rng.shuffle(&mut order);
                for n in order.iter().copied() {
                    let (waited, now) = (Micros::from_millis(500), Micros::from_millis(ms));
                    if throttled.add(Some(&user(n)), None, waited, now).is_some() {
                        reported.insert(n);
                    }
                }
            }
            assert!(reported.len() >= least, "{} of {peers}", reported.len());
        }
    }

    #[test]
    fn many_short_waits_do_not_hide_a_long_one() {
        let mut throttled = ThrottleLog::default();
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
