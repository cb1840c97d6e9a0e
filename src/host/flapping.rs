//! Slows down names that reconnect too often, or replace each other for ever. A new connection is
//! refused before it is acknowledged, each time for longer. A few reconnects in a row are normal.
//!
//! Clients choose names that nothing proves, and as many as they like. So proved names have a table
//! of their own, which no other name can fill. Names that are not proved belong to an
//! [`AddressBlock`], and each block has a share of their table.

use super::identity::Identity;
use super::reconnects::Reconnects;
use crate::base::address_block::AddressBlock;
use crate::base::time::Micros;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// The most proved names that are counted at one time. At the limit, one that has not reconnected
/// for long makes room.
const PROVED_MAX: usize = 10_000;

/// The most names without proof that are counted at one time. At the limit, one of the block with
/// the most names makes room.
const UNPROVED_MAX: usize = 10_000;

/// The most names of one block that are counted apart. Its further names are counted together, and
/// may connect as often as this many names. So a client gains nothing by more names, and it takes
/// very many connections to have the others of its block refused.
const NAMES_PER_BLOCK: usize = 1_000;

/// The most connections that are counted for the further names of a block.
const FURTHER_MAX: usize = 100_000;

/// How many names are looked at to find one that makes room.
const LOOKED_AT: usize = 8;

/// What is counted apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct CountedName {
    /// What the limit belongs to, such as a route.
    scope: Box<str>,
    /// The name, without the address; `None` for the further names of the block.
    identity: Option<Identity>,
    /// The block of a name that is not proved.
    block: Option<AddressBlock>,
}

/// Names in the order in which they were added or last looked at.
type Ring = VecDeque<Arc<CountedName>>;

/// The counted names of one block.
#[derive(Debug)]
struct BlockNames {
    /// The number of the block, which tells it from others of its size.
    number: u64,
    names: Ring,
}

/// The connections of each name in the last minute, and its refusals.
#[derive(Debug, Default)]
pub(crate) struct Flapping {
    counts: HashMap<Arc<CountedName>, Reconnects>,
    proved: Ring,
    blocks: HashMap<AddressBlock, BlockNames>,
    /// The blocks by how many names they have. Of blocks with as many, the oldest comes last.
    by_size: BTreeMap<(usize, Reverse<u64>), AddressBlock>,
    /// The number of the latest block.
    number: u64,
}

impl Flapping {
    /// Counts a reconnect, or a takeover, of this identity. The limit belongs to this scope.
    pub(crate) fn count_reconnect(
        &mut self,
        scope: &str,
        identity: &Identity,
        limit: u32,
        now: Micros,
    ) {
        if limit == 0 {
            return;
        }
        let (name, limit) = self.counted_name(scope, identity, limit, now);
        if !self.counts.contains_key(&name) {
            let name = Arc::new(name.clone());
            self.add(&name, now);
            self.counts.insert(name, Reconnects::default());
        }
        if let Some(reconnects) = self.counts.get_mut(&name) {
            reconnects.count(limit, now);
        }
    }

    /// Returns how long from now an identity that reconnects is refused; `None` if it is admitted.
    pub(crate) fn check_refusal(
        &mut self,
        scope: &str,
        identity: &Identity,
        limit: u32,
        now: Micros,
    ) -> Option<Micros> {
        if limit == 0 {
            return None;
        }
        let (name, limit) = self.counted_name(scope, identity, limit, now);
        let reconnects = self.counts.get_mut(&name)?;
        reconnects.check_refusal(limit, now)
    }

    /// Returns how long an identity is still refused, without counting an attempt.
    pub(crate) fn refusal_left(
        &self,
        scope: &str,
        identity: &Identity,
        now: Micros,
    ) -> Option<Micros> {
        let name = CountedName::of(scope, identity);
        self.counts.get(&name)?.refusal_left(now)
    }

    /// Returns the proved identities that are refused now.
    pub(crate) fn refused_identities(&self, now: Micros) -> impl Iterator<Item = &Identity> {
        let proved = self.counts.iter().filter(|(name, _)| name.block.is_none());
        let refused = proved.filter(move |(_, counts)| counts.refusal_left(now).is_some());
        refused.filter_map(|(name, _)| name.identity.as_ref())
    }

    /// Returns what an identity is counted as, and the limit of that.
    fn counted_name(
        &mut self,
        scope: &str,
        identity: &Identity,
        limit: u32,
        now: Micros,
    ) -> (CountedName, usize) {
        let (name, limit) = (CountedName::of(scope, identity), limit as usize);
        let Some(block) = name.block else {
            return (name, limit);
        };
        if self.counts.contains_key(&name) || self.has_share(block) {
            return (name, limit);
        }
        self.with_block(block, |names, counts| drop_over(names, counts, now));
        if self.has_share(block) {
            return (name, limit);
        }
        let most = limit.saturating_mul(NAMES_PER_BLOCK).min(FURTHER_MAX);
        let further = CountedName {
            identity: None,
            ..name
        };
        (further, most.max(limit))
    }

    /// Returns whether another name of this block may be counted apart.
    fn has_share(&self, block: AddressBlock) -> bool {
        let names = self.blocks.get(&block);
        names.is_none_or(|block| block.names.len() < NAMES_PER_BLOCK)
    }

    /// Adds a name to its ring, and makes room for it.
    fn add(&mut self, name: &Arc<CountedName>, now: Micros) {
        let Some(block) = name.block else {
            drop_over(&mut self.proved, &mut self.counts, now);
            if self.proved.len() >= PROVED_MAX {
                evict(&mut self.proved, &mut self.counts, now);
            }
            return self.proved.push_back(name.clone());
        };
        self.with_block(block, |names, counts| drop_over(names, counts, now));
        let unproved = self.counts.len() - self.proved.len();
        if unproved >= UNPROVED_MAX
            && let Some((_, largest)) = self.by_size.last_key_value()
        {
            self.with_block(*largest, |names, counts| evict(names, counts, now));
        }
        self.with_block(block, |names, _| names.push_back(name.clone()));
    }

    /// Changes the names of a block, which is there while it has any.
    fn with_block(
        &mut self,
        block: AddressBlock,
        change: impl FnOnce(&mut Ring, &mut HashMap<Arc<CountedName>, Reconnects>),
    ) {
        let of_block = self.blocks.entry(block).or_insert_with(|| {
            self.number += 1;
            BlockNames {
                number: self.number,
                names: Ring::new(),
            }
        });
        let number = Reverse(of_block.number);
        self.by_size.remove(&(of_block.names.len(), number));
        change(&mut of_block.names, &mut self.counts);
        match of_block.names.len() {
            0 => drop(self.blocks.remove(&block)),
            size => drop(self.by_size.insert((size, number), block)),
        }
    }
}

impl CountedName {
    fn of(scope: &str, identity: &Identity) -> Self {
        let block = identity.address.as_deref().copied().map(AddressBlock::of);
        CountedName {
            scope: scope.into(),
            identity: Some(Identity {
                address: None,
                ..identity.clone()
            }),
            block,
        }
    }
}

/// Looks at some names of a ring, and forgets those that have not connected for a whole window.
fn drop_over(names: &mut Ring, counts: &mut HashMap<Arc<CountedName>, Reconnects>, now: Micros) {
    for _ in 0..names.len().min(LOOKED_AT) {
        let Some(name) = names.pop_front() else { break };
        match counts
            .get(&name)
            .is_none_or(|reconnects| reconnects.is_over(now))
        {
            true => drop(counts.remove(&name)),
            false => names.push_back(name),
        }
    }
}

/// Looks at some names of a ring, and forgets the one that has not connected for the longest time.
/// One that is refused now stays if there is another.
fn evict(names: &mut Ring, counts: &mut HashMap<Arc<CountedName>, Reconnects>, now: Micros) {
    let looked_at = names.iter().take(LOOKED_AT).enumerate();
    let worth = looked_at.map(|(at, name)| {
        let reconnects = counts.get(name);
        let is_refused = reconnects.is_some_and(|r| r.refusal_left(now).is_some());
        (is_refused, reconnects.map(Reconnects::latest), at)
    });
    let least = worth.min().map(|(_, _, at)| at);
    if let Some(name) = least.and_then(|at| names.remove(at)) {
        counts.remove(&name);
    }
    let looked_at = names.len().min(LOOKED_AT - 1);
    names.rotate_left(looked_at);
}

#[cfg(test)]
mod tests;
