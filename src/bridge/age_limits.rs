//! Pairs that end at a planned age.

use super::balance::stable_hash;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use std::collections::{BTreeSet, HashMap};

/// The part of the age by which pairs differ, so that those that opened together do not end
/// together: one in this many, in either direction.
const JITTER_PART: u64 = 10;

/// When each pair with a planned age ends.
#[derive(Debug, Default)]
pub(super) struct AgeLimits {
    /// By one of its connections.
    ends: HashMap<ConnId, Micros>,
    order: BTreeSet<(Micros, ConnId)>,
}

impl AgeLimits {
    /// Plans the end of a pair that opens now, at about this age: 10 % less or more.
    pub(super) fn add(&mut self, id: ConnId, age: Micros, now: Micros) {
        let jitter = age.0 / JITTER_PART;
        let parts = [id.to_string(), now.0.to_string()];
        let hash = stable_hash(&[parts[0].as_bytes(), parts[1].as_bytes()]);
        let shift = hash % (2 * jitter + 1);
        let end = now + Micros(age.0 - jitter + shift);
        self.ends.insert(id, end);
        self.order.insert((end, id));
    }

    /// Forgets a pair that has ended.
    pub(super) fn remove(&mut self, id: ConnId) {
        if sabotage::on(Bug::AgeForgotten) {
            return;
        }
        if let Some(end) = self.ends.remove(&id) {
            self.order.remove(&(end, id));
        }
    }

    /// Returns how many pairs have a planned end.
    #[cfg(feature = "testing")]
    pub(super) fn len(&self) -> usize {
        self.ends.len().max(self.order.len())
    }

    /// Returns when the next pair ends.
    pub(super) fn next(&self) -> Option<Micros> {
        self.order.first().map(|(end, _)| *end)
    }

    /// Takes the next pair whose end is due.
    pub(super) fn take_due(&mut self, now: Micros) -> Option<ConnId> {
        let (end, id) = *self.order.first()?;
        if end > now {
            return None;
        }
        self.remove(id);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_end_in_turn_within_a_tenth_of_the_age() {
        let mut ages = AgeLimits::default();
        let age = Micros::from_secs(100);
        let ids: Vec<ConnId> = (0..100).map(|slot| ConnId::new(slot, 1)).collect();
        for id in &ids {
            ages.add(*id, age, Micros::ZERO);
        }
        ages.remove(ids[7]);
        let first = ages.next().expect("a pair");
        assert_eq!(ages.take_due(first - Micros(1)), None);
        let mut ended = Vec::new();
        let mut last = first;
        while let Some(end) = ages.next() {
            assert!(end >= last && end >= Micros::from_secs(90) && end <= Micros::from_secs(110));
            last = end;
            ended.extend(ages.take_due(end));
        }
        assert!(last - first > Micros::from_secs(15), "spread out");
        ended.sort();
        assert_eq!(ended.len(), 99);
        assert!(!ended.contains(&ids[7]) && ages.ends.is_empty());
    }
}
