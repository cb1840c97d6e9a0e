//! The slots, and the lists of connections that need work in this turn.

use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::engine::conn::{Conn, Phase};
use crate::engine::ending::EndingDraft;
use crate::engine::flags::Flag;
use slab::Slab;
use std::collections::VecDeque;

/// The most connections flushed in one turn, without those that have a heartbeat.
const FLUSHES_PER_TURN: usize = 512;

/// Slots for which address space is reserved at the start, 8 MiB. Unused address space costs no
/// memory. Without the reservation the slab doubles repeatedly: each time it copies all slots
/// within one turn, and the allocator (jemalloc) keeps the old ones for ten seconds.
const RESERVED: usize = 1 << 16;

/// All connections, by slot. An id finds its connection only if the generation matches.
pub(crate) struct Table {
    slots: Slab<Conn>,
    /// The upper bound of the used slots: no slot at or above it was ever used.
    bound: u32,
    generation: u32,
    /// Connections to flush, each once, in order.
    dirty: VecDeque<ConnId>,
    /// Connections to flush before `dirty`, because a heartbeat is due.
    pings_due: Vec<ConnId>,
    /// Connections to flush first in the next turn, because this turn has used up its send budget.
    later: Vec<ConnId>,
    /// Ended connections, each once; freed in the last step of the turn.
    dead: VecDeque<ConnId>,
    /// Connections that still exist and whose end the host must be told now.
    to_report: Vec<ConnId>,
}

impl Default for Table {
    fn default() -> Self {
        Table {
            slots: Slab::with_capacity(RESERVED),
            bound: 0,
            generation: 0,
            dirty: VecDeque::new(),
            pings_due: Vec::new(),
            later: Vec::new(),
            dead: VecDeque::new(),
            to_report: Vec::new(),
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

    // A heartbeat looks its connection up seven times.
    #[inline]
    pub(crate) fn get(&self, id: ConnId) -> Option<&Conn> {
        let found =
            |c: &&Conn| c.generation == id.generation() || sabotage::on(Bug::StaleGeneration);
        self.slots.get(id.slot()).filter(found)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        let found =
            |c: &&mut Conn| c.generation == id.generation() || sabotage::on(Bug::StaleGeneration);
        self.slots.get_mut(id.slot()).filter(found)
    }

    /// Returns the connection that is now in a slot.
    pub(crate) fn id_in_slot(&self, slot: u32) -> Option<ConnId> {
        self.slots
            .get(slot as usize)
            .map(|c| ConnId::new(slot, c.generation))
    }

    /// Returns the connection that is now in a slot, with its id.
    #[inline]
    pub(crate) fn in_slot(&self, slot: u32) -> Option<(ConnId, &Conn)> {
        let conn = self.slots.get(slot as usize)?;
        Some((ConnId::new(slot, conn.generation), conn))
    }

    /// Reads from each of these slots the fields that are needed next. The slots are scattered in
    /// memory. Read one after the other, each waits for its own cache miss; here the misses
    /// overlap. This saves a tenth of a heartbeat's time in user space.
    pub(crate) fn prefetch(&self, slots: &[u32]) {
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

    /// Returns the generation of the newest connection.
    pub(crate) fn newest(&self) -> u32 {
        self.generation
    }

    /// Returns the upper bound of the used slots: no slot at or above it was ever used.
    pub(crate) fn bound(&self) -> u32 {
        self.bound
    }

    /// Schedules a flush at the end of the turn.
    pub(crate) fn mark_dirty(&mut self, id: ConnId) {
        if sabotage::on(Bug::LostDirty) && id.generation().is_multiple_of(8) {
            return;
        }
        if let Some(conn) = self.get_mut(id).filter(|c| !c.flags.has(Flag::Dirty)) {
            conn.flags.set(Flag::Dirty);
            self.dirty.push_back(id);
        }
    }

    /// Schedules a heartbeat at the end of the turn.
    pub(crate) fn mark_ping_due(&mut self, id: ConnId) {
        if sabotage::on(Bug::LostDirty) && id.generation().is_multiple_of(8) {
            return;
        }
        if let Some(conn) = self.get_mut(id).filter(|c| !c.flags.has(Flag::PingDue)) {
            conn.flags.set(Flag::PingDue);
            self.pings_due.push(id);
        }
    }

    /// Schedules a heartbeat that could not be sent when it was due.
    pub(crate) fn repeat_ping_due(&mut self, id: ConnId) {
        self.pings_due.push(id);
    }

    /// Moves a connection that was taken for a flush, and keeps its flag, before the other
    /// connections of the next turn.
    pub(crate) fn flush_later(&mut self, id: ConnId) {
        self.later.push(id);
    }

    pub(crate) fn take_dirty(&mut self, into: &mut Vec<ConnId>) {
        into.clear();
        into.append(&mut self.pings_due);
        let some = self.dirty.len().min(FLUSHES_PER_TURN);
        into.extend(self.dirty.drain(..some));
    }

    /// Ends the turn: connections that could not be flushed in it come first in the next.
    pub(crate) fn end_turn(&mut self) {
        for id in self.later.drain(..).rev() {
            self.dirty.push_front(id);
        }
    }

    /// Ends a connection. The caller must already have taken its work in progress.
    pub(crate) fn mark_dead(&mut self, id: ConnId, end: EndingDraft) {
        if let Some(conn) = self
            .get_mut(id)
            .filter(|c| !matches!(c.phase, Phase::Dead(_)))
        {
            conn.phase = Phase::Dead(Box::new(end));
            conn.set_armed(None);
            self.dead.push_back(id);
        }
    }

    pub(crate) fn report_soon(&mut self, id: ConnId) {
        self.to_report.push(id);
    }

    pub(crate) fn take_to_report(&mut self) -> Vec<ConnId> {
        std::mem::take(&mut self.to_report)
    }

    /// Takes the connections that ended first, at most `most`.
    pub(crate) fn take_dead(&mut self, most: usize) -> Vec<ConnId> {
        let some = self.dead.len().min(most);
        self.dead.drain(..some).collect()
    }

    pub(crate) fn free(&mut self, id: ConnId) -> Option<Conn> {
        self.get(id)?;
        self.slots.try_remove(id.slot())
    }

    /// Returns whether any list still holds a connection.
    pub(crate) fn has_work(&self) -> bool {
        !(self.dirty.is_empty()
            && self.pings_due.is_empty()
            && self.later.is_empty()
            && self.dead.is_empty()
            && self.to_report.is_empty())
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

    /// Growth copies nothing, so it takes no time and leaves no old memory.
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

    /// A scan of all slots covers only slots that were used, not the reserved ones.
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
