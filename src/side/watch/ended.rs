//! The last 10 000 connections that have ended.

use crate::base::id::ConnId;
use crate::gateway::{CLOSED_MAX, ClosedConn};
use std::collections::VecDeque;

/// A ring of records, newest last. Each has a number that is never reused.
#[derive(Debug, Default)]
pub(in crate::side) struct EndedRing {
    records: VecDeque<ClosedConn>,
    /// The number of the oldest record.
    first: u64,
}

impl EndedRing {
    pub(in crate::side) fn extend(&mut self, records: VecDeque<ClosedConn>) {
        self.records.extend(records);
        while self.records.len() > CLOSED_MAX {
            self.records.pop_front();
            self.first += 1;
        }
    }

    /// Returns records with their numbers, newest first; with `before` only those with smaller
    /// numbers.
    pub(in crate::side) fn newest(
        &self,
        before: Option<u64>,
    ) -> impl Iterator<Item = (u64, &ClosedConn)> {
        let end = self.first + self.records.len() as u64;
        let end = before.map_or(end, |n| n.clamp(self.first, end));
        let record = |n: u64| Some((n, self.records.get((n - self.first) as usize)?));
        (self.first..end).rev().filter_map(record)
    }

    /// Returns the record of a connection, with its number.
    pub(in crate::side) fn find(&self, id: ConnId) -> Option<(u64, &ClosedConn)> {
        self.newest(None).find(|(_, closed)| closed.id == id)
    }

    pub(in crate::side) fn len(&self) -> usize {
        self.records.len()
    }
}
