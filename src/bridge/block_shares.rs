//! Items that clients hold of something that they share, by the block of addresses.

use crate::base::address_block::AddressBlock;
use crate::base::sabotage::{self, Bug};
use std::collections::{BTreeMap, BTreeSet};

/// The part that one client may always keep, in parts of the whole.
const SHARE: u64 = 16;

/// Returns how many of `most` places no other client takes away from one.
pub(super) fn share_of(most: u64) -> u64 {
    (most / SHARE).max(1)
}

/// Returns how many of `most` places are left to clients with less than their share, while several
/// clients ask.
fn reserve_of(most: u64) -> u64 {
    share_of(most).min(most.saturating_sub(1))
}

/// Returns how many of `most` places may be taken when a client with `held` of them takes another
/// one. `is_contended`: whether other clients ask, too. A client alone may take all.
pub(super) fn limit_for(most: u64, held: u64, is_contended: bool) -> u64 {
    let is_bounded = is_contended && !sabotage::on(Bug::CrowdKeepsPlaces);
    match is_bounded && held >= share_of(most) {
        true => most - reserve_of(most),
        false => most,
    }
}

/// Items by the client that holds them. The items of a client are in their order. Each operation
/// takes a time that grows with the logarithm of the number of items.
#[derive(Debug)]
pub(super) struct BlockShares<T> {
    items: BTreeMap<AddressBlock, BTreeSet<T>>,
    /// How many items each client has, so that the one with the most is found.
    counts: BTreeSet<(u64, AddressBlock)>,
}

impl<T> Default for BlockShares<T> {
    fn default() -> Self {
        BlockShares {
            items: BTreeMap::new(),
            counts: BTreeSet::new(),
        }
    }
}

impl<T: Ord + Copy> BlockShares<T> {
    /// Adds an item of a client.
    pub(super) fn add(&mut self, block: AddressBlock, item: T) {
        self.change(block, |items| items.insert(item));
    }

    /// Removes an item of a client.
    pub(super) fn remove(&mut self, block: AddressBlock, item: T) {
        self.change(block, |items| items.remove(&item));
    }

    fn change(&mut self, block: AddressBlock, change: impl FnOnce(&mut BTreeSet<T>) -> bool) {
        let items = self.items.entry(block).or_default();
        let before = items.len() as u64;
        change(items);
        let after = items.len() as u64;
        if after == 0 {
            self.items.remove(&block);
        }
        if before != after {
            self.counts.remove(&(before, block));
        }
        if after > 0 {
            self.counts.insert((after, block));
        }
    }

    /// Returns how many items a client has.
    pub(super) fn count(&self, block: AddressBlock) -> u64 {
        self.items.get(&block).map_or(0, |items| items.len() as u64)
    }

    /// Returns the client that gives way to another one, if one must: that with the most items, if
    /// it has more than `kept`, and will not have fewer than the other one then.
    pub(super) fn giving_way_to(&self, block: AddressBlock, kept: u64) -> Option<AddressBlock> {
        let (most, giving) = *self.counts.last()?;
        (most > kept && most >= self.count(block) + 2).then_some(giving)
    }

    /// Returns the first item of a client.
    pub(super) fn first(&self, block: AddressBlock) -> Option<T> {
        self.items.get(&block)?.first().copied()
    }

    /// Returns the last item of a client.
    pub(super) fn last(&self, block: AddressBlock) -> Option<T> {
        self.items.get(&block)?.last().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn block(last: u8) -> AddressBlock {
        AddressBlock::of(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn a_client_alone_takes_all_and_leaves_some_to_others_that_ask() {
        // All places, those that the client has, and how many may be taken at most.
        for (most, held, contended) in [
            (200, 0, 200),
            (200, 11, 200),
            (200, 12, 188),
            (200, 187, 188),
            (2, 0, 2),
            (2, 1, 1),
            (1, 0, 1),
            (1, 1, 1),
            (100_000, 6_250, 93_750),
        ] {
            assert_eq!(limit_for(most, held, true), contended, "{most} {held}");
            assert_eq!(limit_for(most, held, false), most);
        }
    }

    #[test]
    fn the_client_with_the_most_gives_way_until_the_other_has_as_many() {
        let mut shares = BlockShares::default();
        for item in 0..5_u64 {
            shares.add(block(1), item);
        }
        shares.add(block(2), 9);
        shares.add(block(2), 9);
        assert_eq!((shares.count(block(1)), shares.count(block(2))), (5, 1));
        assert_eq!(shares.giving_way_to(block(3), 4), Some(block(1)));
        assert_eq!(shares.giving_way_to(block(3), 5), None, "it may keep these");
        assert_eq!(
            (shares.first(block(1)), shares.last(block(1))),
            (Some(0), Some(4))
        );
        let mut given = 0;
        while let Some(giving) = shares.giving_way_to(block(2), 1) {
            let item = shares.last(giving).expect("an item");
            shares.remove(giving, item);
            shares.add(block(2), item + 10);
            given += 1;
        }
        assert_eq!(
            (given, shares.count(block(1)), shares.count(block(2))),
            (2, 3, 3)
        );
        for item in 0..20 {
            shares.remove(block(1), item);
            shares.remove(block(2), item);
        }
        assert!(shares.items.is_empty() && shares.counts.is_empty());
    }
}
