//! Identities that an operator has blocked for a time.

use super::identity::Identity;
use crate::base::time::Micros;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

/// The most identities that are blocked at one time: an operator named each of them.
pub const BLOCKS_MAX: usize = 1_000;

/// The blocked identities, and the end of each block.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    by_identity: HashMap<Identity, BlockPosition>,
    /// The number of the latest block; each block gets the next one.
    number: u64,
}

/// A position in the list of blocks, which is sorted by end. Every block has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockPosition {
    /// When the block ends: engine time.
    pub until: Micros,
    /// The number that tells blocks with the same end apart.
    pub number: u64,
}

/// Where identities of one name are blocked: a name that nothing proves is another identity at each
/// address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is nothing else")]
pub enum BlockPlace {
    /// At every address, and the proved name.
    Everywhere,
    /// At this address.
    At(IpAddr),
    /// At none: the proved name.
    Proved,
}

impl BlockPlace {
    fn has(self, address: Option<IpAddr>) -> bool {
        match self {
            BlockPlace::Everywhere => true,
            BlockPlace::At(place) => address == Some(place.to_canonical()),
            BlockPlace::Proved => address.is_none(),
        }
    }
}

impl fmt::Display for BlockPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BlockPlace::Everywhere => f.write_str("all"),
            BlockPlace::At(address) => address.fmt(f),
            BlockPlace::Proved => f.write_str("none"),
        }
    }
}

impl Blocks {
    /// Blocks an identity until this engine time; a later call replaces an earlier one. Returns
    /// `false` if [`BLOCKS_MAX`] identities are blocked already.
    pub(crate) fn block(&mut self, identity: Identity, until: Micros, now: Micros) -> bool {
        let blocks = &self.by_identity;
        if blocks.len() >= BLOCKS_MAX && !blocks.contains_key(&identity) {
            self.expire(now);
            if self.by_identity.len() >= BLOCKS_MAX {
                return false;
            }
        }
        self.number += 1;
        let place = BlockPosition {
            until,
            number: self.number,
        };
        self.by_identity.insert(identity, place);
        true
    }

    /// Returns how long an identity is still blocked.
    pub(crate) fn remaining(&mut self, identity: &Identity, now: Micros) -> Option<Micros> {
        if self.by_identity.is_empty() {
            return None;
        }
        let until = self.by_identity.get(identity)?.until;
        if until <= now {
            self.by_identity.remove(identity);
            return None;
        }
        Some(until - now)
    }

    /// Unblocks the identities of this user and package that are at these places, of every class.
    /// Returns how many were blocked.
    pub(crate) fn unblock(
        &mut self,
        user: &str,
        package: Option<&str>,
        place: BlockPlace,
        now: Micros,
    ) -> usize {
        self.expire(now);
        let before = self.by_identity.len();
        let is_meant = |identity: &Identity| {
            let is_named = *identity.user == *user && identity.package() == package;
            is_named && place.has(identity.address.as_deref().copied())
        };
        self.by_identity.retain(|identity, _| !is_meant(identity));
        before - self.by_identity.len()
    }

    /// Returns the first `most` blocked identities after this position, sorted by the end of their
    /// blocks, and whether there are more.
    pub(crate) fn after(
        &mut self,
        place: Option<BlockPosition>,
        most: usize,
        now: Micros,
    ) -> (Vec<(BlockPosition, Identity)>, bool) {
        self.expire(now);
        let blocks = self.by_identity.iter();
        let mut behind: Vec<_> = blocks
            .filter(|(_, at)| place.is_none_or(|place| **at > place))
            .map(|(identity, at)| (*at, identity))
            .collect();
        let more = behind.len() > most;
        behind.sort_unstable_by_key(|(at, _)| *at);
        behind.truncate(most);
        let named = behind
            .into_iter()
            .map(|(at, identity)| (at, identity.clone()));
        (named.collect(), more)
    }

    pub(crate) fn count(&mut self, now: Micros) -> usize {
        self.expire(now);
        self.by_identity.len()
    }

    fn expire(&mut self, now: Micros) {
        self.by_identity.retain(|_, place| place.until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Class;

    #[test]
    fn a_block_is_lifted_where_the_operator_says() {
        let (now, until) = (Micros::ZERO, Micros::from_secs(60));
        let addresses = [None, Some([192, 0, 2, 1]), Some([192, 0, 2, 2])];
        let identity = |address: Option<[u8; 4]>| Identity {
            class: Class(0),
            user: "ada".into(),
            package: None,
            address: address.map(|address| Box::new(address.into())),
        };
        let at = |n| BlockPlace::At([192, 0, 2, n].into());
        for (place, left) in [
            (BlockPlace::Everywhere, [false; 3]),
            (BlockPlace::Proved, [false, true, true]),
            (at(1), [true, false, true]),
            (at(3), [true; 3]),
        ] {
            let mut blocks = Blocks::default();
            for address in addresses {
                assert!(blocks.block(identity(address), until, now));
            }
            assert_eq!(blocks.unblock("ada", Some("p"), place, now), 0);
            assert_eq!(blocks.unblock("bea", None, place, now), 0);
            let lifted = blocks.unblock("ada", None, place, now);
            let is_left = |address| blocks.remaining(&identity(address), now).is_some();
            assert_eq!(addresses.map(is_left), left, "{place}");
            assert_eq!(lifted, left.iter().filter(|left| !**left).count());
        }
    }

    #[test]
    fn each_block_is_listed_once_in_the_order_of_the_ends_also_if_many_end_at_once() {
        let mut blocks = Blocks::default();
        let identity = |n: u64| Identity {
            class: Class(0),
            user: format!("u{n}").into(),
            package: None,
            address: None,
        };
        let minute = Micros::from_secs(60);
        for n in 0..BLOCKS_MAX as u64 {
            assert!(blocks.block(identity(n), Micros(minute.0 * (1 + n % 3)), Micros::ZERO));
        }
        assert!(!blocks.block(identity(1_000), minute, Micros::ZERO));
        let (mut seen, mut place) = (Vec::new(), None);
        loop {
            let (page, more) = blocks.after(place, 7, Micros::ZERO);
            assert_eq!(more, page.len() == 7 && seen.len() + 7 < BLOCKS_MAX);
            place = page.last().map(|(place, _)| *place);
            seen.extend(page);
            if !more {
                break;
            }
        }
        assert!(seen.is_sorted_by(|(a, _), (b, _)| a < b));
        assert_eq!(seen.len(), BLOCKS_MAX);
        let (left, more) = blocks.after(None, BLOCKS_MAX, minute);
        assert!(left.len() < BLOCKS_MAX && !more, "a third is over");
    }
}
