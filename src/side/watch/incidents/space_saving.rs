//! The most frequent values of a stream, in bounded memory.
//!
//! Space-saving (Metwally, Agrawal, El Abbadi: "Efficient computation of frequent and top-k
//! elements in data streams", 2005): a value that has no counter takes the one with the smallest
//! count, and that count becomes its error. A value that makes up more than one in
//! [`COUNTERS_MAX`] is always among those that are counted.

use std::collections::HashMap;
use std::hash::Hash;

/// The counters of one stream. Counting a value looks at each of them at most once.
pub(super) const COUNTERS_MAX: usize = 64;

/// The counters of the most frequent values.
#[derive(Debug)]
pub(super) struct SpaceSaving<K> {
    counters: HashMap<K, Counter>,
}

#[derive(Debug, Clone, Copy)]
struct Counter {
    count: u32,
    /// How much of the count may belong to other values.
    error: u32,
}

impl<K> Default for SpaceSaving<K> {
    fn default() -> Self {
        SpaceSaving {
            counters: HashMap::new(),
        }
    }
}

impl<K: Clone + Eq + Hash> SpaceSaving<K> {
    /// Counts a value once.
    pub(super) fn count(&mut self, value: K) {
        if let Some(counter) = self.counters.get_mut(&value) {
            counter.count = counter.count.saturating_add(1);
            return;
        }
        let error = match self.counters.len() < COUNTERS_MAX {
            true => 0,
            false => self.remove_smallest(),
        };
        let count = error.saturating_add(1);
        self.counters.insert(value, Counter { count, error });
    }

    /// Removes the smallest counter; returns its count.
    fn remove_smallest(&mut self) -> u32 {
        let smallest = self.counters.iter().min_by_key(|(_, of)| of.count);
        let Some((value, counter)) = smallest.map(|(value, of)| (value.clone(), *of)) else {
            return 0;
        };
        self.counters.remove(&value);
        counter.count
    }

    /// Returns the values with the least number of times that each was counted.
    pub(super) fn least(&self) -> impl Iterator<Item = (&K, u64)> {
        let counters = self.counters.iter();
        let least = counters.map(|(value, of)| (value, u64::from(of.count - of.error)));
        least.filter(|(_, count)| *count > 0)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.counters.len()
    }
}
