//! The latest openings of identities, in little memory.

use crate::base::id::ConnId;
use crate::base::time::Micros;
use std::collections::{HashMap, VecDeque};

/// The most openings that are remembered, for losses that are noticed only after the return.
const MOST: usize = 65_536;

/// How long an opening is remembered, or up to twice as long: a loss is noticed within the timeout
/// of the connection.
const KEPT_FOR: Micros = Micros::from_secs(300);

/// The unit of a time: 1/16 s. 32 bits of it last for eight years.
const UNIT: Micros = Micros(62_500);

/// A time in units, rounded up.
type Units = u32;

/// The latest opening of each identity, by a key of 32 bits. Two of 65 536 identities may have the
/// same key; then one may be taken for the other.
#[derive(Debug, Default)]
pub(super) struct Openings {
    latest: HashMap<u32, (ConnId, Units)>,
    /// Each identity once, with the time of its latest opening or an earlier one.
    order: VecDeque<(Units, u32)>,
}

impl Openings {
    /// Records an opening.
    pub(super) fn record(&mut self, key: u32, id: ConnId, at: Micros) {
        let at = units(at);
        let is_new = self.latest.insert(key, (id, at)).is_none();
        if is_new {
            self.order.push_back((at, key));
        }
        self.forget(at);
    }

    /// Returns the latest opening of an identity, and when it was: up to 1/16 s too late.
    pub(super) fn latest(&self, key: u32) -> Option<(ConnId, Micros)> {
        let (id, at) = self.latest.get(&key)?;
        Some((*id, Micros(u64::from(*at) * UNIT.0)))
    }

    fn forget(&mut self, now: Units) {
        while let Some((at, key)) = self.order.front().copied()
            && (self.order.len() > MOST || now.saturating_sub(at) > units(KEPT_FOR))
        {
            self.order.pop_front();
            match self.latest.get(&key) {
                // It opened again since it was put there.
                Some((_, latest)) if *latest > at => self.order.push_back((*latest, key)),
                Some(_) | None => _ = self.latest.remove(&key),
            }
        }
    }
}

fn units(time: Micros) -> Units {
    u32::try_from(time.0.div_ceil(UNIT.0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> ConnId {
        ConnId::new(n, 1)
    }

    #[test]
    fn the_latest_opening_of_each_is_found_until_it_is_old() {
        let mut openings = Openings::default();
        let start = Micros::from_secs(1_000);
        openings.record(1, id(1), start);
        openings.record(2, id(2), start);
        openings.record(1, id(3), start + Micros::from_secs(200));
        let found = start + Micros::from_secs(200);
        assert_eq!(openings.latest(1), Some((id(3), found)));
        assert_eq!(openings.latest(9), None);
        openings.record(7, id(7), start + Micros::from_secs(301));
        assert_eq!(
            (openings.latest(1), openings.latest(2)),
            (Some((id(3), found)), None)
        );
        openings.record(8, id(8), start + Micros::from_secs(602));
        assert_eq!((openings.latest(1), openings.order.len()), (None, 1));
    }

    #[test]
    fn a_flood_displaces_the_oldest_and_nothing_grows() {
        let mut openings = Openings::default();
        for n in 0..200_000 {
            openings.record(n, id(n), Micros(u64::from(n)));
        }
        assert_eq!((openings.latest.len(), openings.order.len()), (MOST, MOST));
        assert_eq!(
            openings.latest(199_999).map(|found| found.0),
            Some(id(199_999))
        );
        assert_eq!(openings.latest(0), None);
        // One that opens again and again takes one place.
        for _ in 0..200_000 {
            openings.record(5, id(5), Micros::from_secs(1));
        }
        assert_eq!(openings.order.len(), MOST);
    }

    #[test]
    fn an_opening_takes_little() {
        assert_eq!(size_of::<(u32, (ConnId, Units))>(), 16);
        assert_eq!(size_of::<(Units, u32)>(), 8);
    }
}
