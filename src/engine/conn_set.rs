//! Sets of connections that are not WebSockets yet: the limit, and which connection is the oldest.

use crate::base::id::ConnId;
use std::collections::BTreeSet;

/// The most refused connections at a time. A newer one replaces an answered one, or else the
/// oldest.
pub(crate) const REFUSED_MAX: usize = 16;

/// The least limit of half-open connections, even for a small connection limit.
const HALF_OPEN_MIN: usize = 64;

/// Connections of one kind in the order in which they were accepted, with their limit.
///
/// Adding and removing costs O(log n). A removed connection uses no memory.
#[derive(Debug)]
pub(super) struct ConnSet {
    /// The connections as (generation, slot). Generations are assigned in order, so the first entry
    /// is the oldest connection. They wrap around after 2^32 connections; then the order is wrong
    /// until all connections from before have ended.
    pub(super) ids: BTreeSet<(u32, u32)>,
    pub(super) limit: usize,
}

impl ConnSet {
    pub(super) fn new(limit: usize) -> Self {
        ConnSet {
            ids: BTreeSet::new(),
            limit,
        }
    }

    pub(super) fn insert(&mut self, id: ConnId) {
        self.ids.insert((id.generation(), id.slot_u32()));
    }

    pub(super) fn remove(&mut self, id: ConnId) {
        self.ids.remove(&(id.generation(), id.slot_u32()));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = ConnId> {
        let id = |(generation, slot): &(u32, u32)| ConnId::new(*slot, *generation);
        self.ids.iter().map(id)
    }

    /// Removes and returns the oldest connection if there are too many.
    pub(super) fn take_surplus(&mut self) -> Option<ConnId> {
        let oldest = self.iter().next().filter(|_| self.ids.len() > self.limit)?;
        self.remove(oldest);
        Some(oldest)
    }
}

/// Returns the most half-open connections for a limit of `max_connections`: a quarter, at least 64.
pub(super) fn half_open_max(max_connections: usize) -> usize {
    (max_connections / 4).max(HALF_OPEN_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_room_is_for_half_open_connections_but_64_always_are() {
        let pairs = [(1, 64), (256, 64), (260, 65), (18_000, 4_500)];
        for (room, most) in pairs {
            assert_eq!(half_open_max(room), most, "{room}");
        }
    }

    #[test]
    fn the_oldest_is_surplus_whatever_its_slot() {
        let mut set = ConnSet::new(2);
        for id in [ConnId::new(7, 1), ConnId::new(0, 2), ConnId::new(3, 3)] {
            set.insert(id);
        }
        assert_eq!(set.take_surplus(), Some(ConnId::new(7, 1)));
        assert_eq!(set.take_surplus(), None);
    }
}
