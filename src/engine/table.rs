//! The slots, and the lists of those that want attention in this turn.

use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::engine::conn::{Conn, Mark, Phase};
use crate::engine::ending::Draft;
use slab::Slab;
use std::collections::VecDeque;

/// Connections that are flushed in one turn, those with a heartbeat not counted.
const FLUSHES_PER_TURN: usize = 512;

/// Slots for which address space is taken at the start, 8 MiB. It costs nothing before it is used. Without it the slab
/// doubles again and again: each time it copies all slots within one turn, and leaves the old ones to the allocator, which
/// keeps them for ten seconds (jemalloc).
const RESERVED: usize = 1 << 16;

/// All connections, by slot. An id finds its connection only while the generation agrees.
pub(crate) struct Table {
    slots: Slab<Conn>,
    /// No slot at or above this was ever used.
    bound: u32,
    generation: u32,
    /// To be flushed, each once, in order.
    dirty: VecDeque<ConnId>,
    /// To be flushed before those: a heartbeat is due.
    beats: Vec<ConnId>,
    /// To be flushed in the next turn before the others: this turn has sent as much as it may.
    later: Vec<ConnId>,
    /// Ended, each once; freed in the last step of the turn.
    dead: VecDeque<ConnId>,
    /// Still here, but their end is to be told now.
    to_tell: Vec<ConnId>,
}

impl Default for Table {
    fn default() -> Self {
        Table {
            slots: Slab::with_capacity(RESERVED),
            bound: 0,
            generation: 0,
            dirty: VecDeque::new(),
            beats: Vec::new(),
            later: Vec::new(),
            dead: VecDeque::new(),
            to_tell: Vec::new(),
        }
    }
}

impl Table {
    pub(crate) fn insert(&mut self, make: impl FnOnce(u32) -> Conn) -> ConnId {
        self.generation = self.generation.wrapping_add(1);
        let slot = self.slots.insert(make(self.generation)) as u32;
        self.bound = self.bound.max(slot + 1);
        ConnId::new(slot, self.generation)
    }

    pub(crate) fn get(&self, id: ConnId) -> Option<&Conn> {
        let found =
            |c: &&Conn| c.generation == id.generation() || sabotage::on(Bug::StaleGeneration);
        self.slots.get(id.slot()).filter(found)
    }

    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        let found =
            |c: &&mut Conn| c.generation == id.generation() || sabotage::on(Bug::StaleGeneration);
        self.slots.get_mut(id.slot()).filter(found)
    }

    /// The connection that lives in a slot now.
    pub(crate) fn id_in(&self, slot: u32) -> Option<ConnId> {
        self.slots
            .get(slot as usize)
            .map(|c| ConnId::new(slot, c.generation))
    }

    /// Reads from each of these slots what they will be asked next. They lie anywhere in memory, and asked one after the
    /// other each waits for its own cache miss; here the misses overlap. A tenth of a heartbeat's time in user space.
    pub(crate) fn touch(&self, slots: &[u32]) {
        let read =
            |c: &Conn| u64::from(c.generation) ^ c.since.0 ^ u64::from(c.health.unanswered());
        let conns = slots
            .iter()
            .filter_map(|slot| self.slots.get(*slot as usize));
        std::hint::black_box(conns.fold(0, |all, c| all ^ read(c)));
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = (ConnId, &Conn)> {
        self.slots
            .iter()
            .map(|(slot, c)| (ConnId::new(slot as u32, c.generation), c))
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The generation of the newest connection.
    pub(crate) fn newest(&self) -> u32 {
        self.generation
    }

    /// No slot at or above this is in use.
    pub(crate) fn bound(&self) -> u32 {
        self.bound
    }

    /// Asks for a flush at the end of the turn.
    pub(crate) fn mark_dirty(&mut self, id: ConnId) {
        if sabotage::on(Bug::LostDirty) && id.generation().is_multiple_of(8) {
            return;
        }
        if let Some(conn) = self.get_mut(id).filter(|c| !c.marks.has(Mark::Dirty)) {
            conn.marks.set(Mark::Dirty);
            self.dirty.push_back(id);
        }
    }

    /// Asks for a heartbeat to be sent at the end of the turn.
    pub(crate) fn mark_beat(&mut self, id: ConnId) {
        if sabotage::on(Bug::LostDirty) && id.generation().is_multiple_of(8) {
            return;
        }
        if let Some(conn) = self.get_mut(id).filter(|c| !c.marks.has(Mark::Ping)) {
            conn.marks.set(Mark::Ping);
            self.beats.push(id);
        }
    }

    /// Puts a connection that was taken to be flushed, and keeps its mark, before those of the next turn.
    pub(crate) fn flush_later(&mut self, id: ConnId) {
        self.later.push(id);
    }

    pub(crate) fn take_dirty(&mut self, into: &mut Vec<ConnId>) {
        into.clear();
        into.append(&mut self.beats);
        let some = self.dirty.len().min(FLUSHES_PER_TURN);
        into.extend(self.dirty.drain(..some));
    }

    /// Ends the turn for what could not be flushed in it.
    pub(crate) fn end_turn(&mut self) {
        for id in self.later.drain(..).rev() {
            self.dirty.push_front(id);
        }
    }

    /// Ends a connection. What it was in the middle of must have been taken from it before.
    pub(crate) fn bury(&mut self, id: ConnId, end: Draft) {
        if let Some(conn) = self
            .get_mut(id)
            .filter(|c| !matches!(c.phase, Phase::Dead(_)))
        {
            conn.phase = Phase::Dead(Box::new(end));
            conn.set_armed(None);
            self.dead.push_back(id);
        }
    }

    pub(crate) fn tell_now(&mut self, id: ConnId) {
        self.to_tell.push(id);
    }

    pub(crate) fn take_to_tell(&mut self) -> Vec<ConnId> {
        std::mem::take(&mut self.to_tell)
    }

    /// Takes the connections that ended first, `most` of them at most.
    pub(crate) fn take_dead(&mut self, most: usize) -> Vec<ConnId> {
        let some = self.dead.len().min(most);
        self.dead.drain(..some).collect()
    }

    pub(crate) fn free(&mut self, id: ConnId) -> Option<Conn> {
        self.get(id)?;
        self.slots.try_remove(id.slot())
    }

    /// Returns whether the turn is not over for somebody.
    pub(crate) fn has_work(&self) -> bool {
        !(self.dirty.is_empty()
            && self.beats.is_empty()
            && self.later.is_empty()
            && self.dead.is_empty()
            && self.to_tell.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Micros;

    fn insert(table: &mut Table) -> ConnId {
        let addr = ([127, 0, 0, 1], 1).into();
        table.insert(|generation| Conn::accepted(generation, addr, Micros::ZERO))
    }

    /// Growing copies nothing, so it takes no time and leaves nothing behind.
    #[test]
    fn slots_stay_where_they_are_while_the_table_fills() {
        let mut table = Table::default();
        let first = insert(&mut table);
        let place = |table: &Table| table.get(first).map(std::ptr::from_ref);
        let before = place(&table);
        assert!(before.is_some());
        for _ in 1..RESERVED {
            insert(&mut table);
        }
        assert_eq!(place(&table), before);
        assert_eq!(table.len(), RESERVED);
    }

    /// A walk over all slots looks at those that were used, not at those that there is room for.
    #[test]
    fn the_bound_is_that_of_the_slots_used() {
        let mut table = Table::default();
        assert_eq!(table.bound(), 0);
        let ids: Vec<ConnId> = (0..100).map(|_| insert(&mut table)).collect();
        assert_eq!(table.bound(), 100);
        for id in ids {
            assert!(table.free(id).is_some());
            insert(&mut table);
        }
        assert_eq!((table.len(), table.bound()), (100, 100));
    }
}
