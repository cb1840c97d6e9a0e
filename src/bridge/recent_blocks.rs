//! The clients that have asked lately.

use crate::base::address_block::AddressBlock;
use crate::base::time::Micros;

/// How many different clients are remembered.
const REMEMBERED: usize = 3;

/// Within this time other clients count as asking, too.
const CONTENTION: Micros = Micros::from_secs(10);

/// The clients that have asked last, the latest first.
#[derive(Debug, Default)]
pub(super) struct RecentBlocks([Option<(AddressBlock, Micros)>; REMEMBERED]);

impl RecentBlocks {
    /// Notes that a client asks.
    pub(super) fn note(&mut self, block: AddressBlock, now: Micros) {
        let is_same = |entry: &Option<(AddressBlock, Micros)>| entry.is_some_and(|e| e.0 == block);
        let place = self.0.iter().position(is_same).unwrap_or(REMEMBERED - 1);
        self.0[..=place].rotate_right(1);
        self.0[0] = Some((block, now));
    }

    /// Returns whether clients other than this one have asked within the last 10 s.
    pub(super) fn has_other(&self, block: AddressBlock, now: Micros) -> bool {
        let mut entries = self.0.iter().flatten();
        entries.any(|(other, at)| *other != block && now - *at <= CONTENTION)
    }

    /// Returns how many different clients have asked within a time; 3 are as good as more.
    pub(super) fn count_within(&self, time: Micros, now: Micros) -> usize {
        let entries = self.0.iter().flatten();
        entries.filter(|(_, at)| now - *at <= time).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn different_clients_are_remembered_for_a_time() {
        let block = |last| AddressBlock::of(IpAddr::from([10, 0, 0, last]));
        let mut recent = RecentBlocks::default();
        let start = Micros::from_secs(100);
        assert!(!recent.has_other(block(1), start));
        recent.note(block(2), start);
        // Many requests of one client do not push others out.
        for _ in 0..9 {
            recent.note(block(1), start);
        }
        assert!(recent.has_other(block(1), start) && recent.has_other(block(2), start));
        let later = start + CONTENTION + Micros(1);
        recent.note(block(1), later);
        assert!(!recent.has_other(block(1), later) && recent.has_other(block(2), later));
        let count =
            |recent: &RecentBlocks, seconds| recent.count_within(Micros::from_secs(seconds), later);
        assert_eq!((count(&recent, 10), count(&recent, 11)), (1, 2));
        for last in 3..9 {
            recent.note(block(last), later);
        }
        assert_eq!((count(&recent, 0), count(&recent, 600)), (3, 3));
    }
}
