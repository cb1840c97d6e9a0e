//! The last 10 000 connections that have ended.

use crate::base::id::ConnId;
use crate::gateway::{CLOSED_MAX, ClosedConn};
use std::collections::{HashMap, VecDeque};

/// A ring of records, newest last. Each has a number that is never reused.
#[derive(Debug, Default)]
pub(in crate::side) struct EndedRing {
    records: VecDeque<ClosedConn>,
    /// The number of the oldest record.
    first: u64,
    /// The number of the newest record of each connection.
    numbers: HashMap<ConnId, u64>,
}

impl EndedRing {
    /// Adds records. Returns those that have left the ring for them.
    pub(in crate::side) fn extend(&mut self, records: VecDeque<ClosedConn>) -> Vec<ClosedConn> {
        let mut gone = Vec::new();
        for record in records {
            if self.records.len() == CLOSED_MAX {
                gone.extend(self.pop_oldest());
            }
            self.numbers.insert(record.id, self.end());
            self.records.push_back(record);
        }
        gone
    }

    fn pop_oldest(&mut self) -> Option<ClosedConn> {
        let oldest = self.records.pop_front()?;
        if self.numbers.get(&oldest.id) == Some(&self.first) {
            self.numbers.remove(&oldest.id);
        }
        self.first += 1;
        Some(oldest)
    }

    /// Returns the number of the next record.
    pub(super) fn end(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    /// Returns records with their numbers, newest first; with `before` only those with smaller
    /// numbers.
    pub(in crate::side) fn newest(
        &self,
        before: Option<u64>,
    ) -> impl Iterator<Item = (u64, &ClosedConn)> {
        let end = before.map_or(self.end(), |n| n.clamp(self.first, self.end()));
        let record = |n: u64| Some((n, self.records.get((n - self.first) as usize)?));
        (self.first..end).rev().filter_map(record)
    }

    /// Returns the record of a connection, with its number.
    pub(in crate::side) fn find(&self, id: ConnId) -> Option<(u64, &ClosedConn)> {
        let number = *self.numbers.get(&id)?;
        Some((number, self.records.get((number - self.first) as usize)?))
    }

    /// Returns the record with this number, unless it has left the ring.
    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut ClosedConn> {
        let at = number.checked_sub(self.first)?;
        self.records.get_mut(usize::try_from(at).ok()?)
    }

    pub(in crate::side) fn len(&self) -> usize {
        self.records.len()
    }
}
