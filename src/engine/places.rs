//! The books of connections that are no WebSocket yet: which of them hold a place, how many may, and which is the oldest.

use crate::base::id::ConnId;
use std::collections::BTreeSet;

/// Refused connections that may be here at a time. A newer one takes the place of one that is answered, else of the oldest.
pub(crate) const REFUSED_MAX: usize = 16;

/// Half-open connections that may be here at a time however little room there is.
const HALF_OPEN_LEAST: usize = 64;

/// Connections of one kind in the order in which they were accepted, and the most that may hold a place.
///
/// Adding and removing costs the logarithm of their number; what has left takes no memory.
#[derive(Debug)]
pub(super) struct Places {
    /// Generation and slot: generations are given out in order. When they wrap around, after 2^32 connections, the order is
    /// wrong until the connections from before that have left.
    pub(super) taken: BTreeSet<(u32, u32)>,
    pub(super) most: usize,
}

impl Places {
    pub(super) fn new(most: usize) -> Self {
        Places {
            taken: BTreeSet::new(),
            most,
        }
    }

    pub(super) fn insert(&mut self, id: ConnId) {
        self.taken.insert((id.generation(), id.slot_u32()));
    }

    pub(super) fn remove(&mut self, id: ConnId) {
        self.taken.remove(&(id.generation(), id.slot_u32()));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = ConnId> {
        let id = |(generation, slot): &(u32, u32)| ConnId::new(*slot, *generation);
        self.taken.iter().map(id)
    }

    /// Removes the oldest connection if there are too many.
    pub(super) fn take_surplus(&mut self) -> Option<ConnId> {
        let oldest = self
            .iter()
            .next()
            .filter(|_| self.taken.len() > self.most)?;
        self.remove(oldest);
        Some(oldest)
    }
}

/// The half-open connections that a cap of `max_connections` allows: a quarter, at least 64.
pub(super) fn half_open_max(max_connections: usize) -> usize {
    (max_connections / 4).max(HALF_OPEN_LEAST)
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
        let mut places = Places::new(2);
        for id in [ConnId::new(7, 1), ConnId::new(0, 2), ConnId::new(3, 3)] {
            places.insert(id);
        }
        assert_eq!(places.take_surplus(), Some(ConnId::new(7, 1)));
        assert_eq!(places.take_surplus(), None);
    }
}
