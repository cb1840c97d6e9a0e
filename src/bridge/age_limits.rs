//! Pairs that end at a planned age.

use super::balance::stable_hash;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use std::collections::{BTreeSet, HashMap};

/// The part of the age by which pairs differ, so that those that opened together do not end
/// together: one in this many, in either direction.
const JITTER_PART: u64 = 10;

/// Why a pair ends at a planned time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlannedEnd {
    /// It reaches the planned age of its route.
    Age,
    /// The token of its client expires.
    Expiry,
}

/// When each pair with a planned end ends.
#[derive(Debug, Default)]
pub(super) struct AgeLimits {
    /// By one of its connections.
    ends: HashMap<ConnId, (Micros, PlannedEnd)>,
    order: BTreeSet<(Micros, ConnId)>,
}

impl AgeLimits {
    /// Plans the end of a pair that opens now, at about this age: 10 % less or more.
    pub(super) fn add(&mut self, id: ConnId, age: Micros, now: Micros) {
        let jitter = age.0 / JITTER_PART;
        let parts = [id.to_string(), now.0.to_string()];
        let hash = stable_hash(&[parts[0].as_bytes(), parts[1].as_bytes()]);
        let shift = hash % (2 * jitter + 1);
        self.plan(id, now + Micros(age.0 - jitter + shift), PlannedEnd::Age);
    }

    /// Plans the end of a pair at this time, unless it ends earlier.
    pub(super) fn plan(&mut self, id: ConnId, end: Micros, why: PlannedEnd) {
        if let Some((earlier, _)) = self.ends.get(&id).copied() {
            if earlier <= end {
                return;
            }
            self.order.remove(&(earlier, id));
        }
        self.ends.insert(id, (end, why));
        self.order.insert((end, id));
    }

    /// Forgets a pair that has ended.
    pub(super) fn remove(&mut self, id: ConnId) {
        if sabotage::on(Bug::AgeForgotten) {
            return;
        }
        if let Some((end, _)) = self.ends.remove(&id) {
            self.order.remove(&(end, id));
        }
    }

    /// Returns how many pairs have a planned end.
    #[cfg(feature = "testing")]
    pub(super) fn len(&self) -> usize {
        self.ends.len().max(self.order.len())
    }

    /// Returns when and why a pair ends, if its end is planned.
    pub(super) fn of(&self, id: ConnId) -> Option<(Micros, PlannedEnd)> {
        self.ends.get(&id).copied()
    }

    /// Returns when the next pair ends.
    pub(super) fn next(&self) -> Option<Micros> {
        self.order.first().map(|(end, _)| *end)
    }

    /// Takes the next pair whose end is due.
    pub(super) fn take_due(&mut self, now: Micros) -> Option<(ConnId, PlannedEnd)> {
        let (end, id) = *self.order.first()?;
        if end > now {
            return None;
        }
        let (_, why) = *self.ends.get(&id)?;
        self.remove(id);
        Some((id, why))
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
            ended.extend(ages.take_due(end).map(|(id, _)| id));
        }
        assert!(last - first > Micros::from_secs(15), "spread out");
        ended.sort();
        assert_eq!(ended.len(), 99);
        assert!(!ended.contains(&ids[7]) && ages.ends.is_empty());
    }

    #[test]
    fn the_earlier_of_two_ends_counts() {
        let mut ages = AgeLimits::default();
        let (id, at) = (ConnId::new(1, 1), Micros::from_secs);
        for (end, why) in [
            (20, PlannedEnd::Age),
            (10, PlannedEnd::Expiry),
            (15, PlannedEnd::Age),
        ] {
            ages.plan(id, at(end), why);
        }
        assert_eq!(ages.take_due(at(10)), Some((id, PlannedEnd::Expiry)));
        assert_eq!(ages.take_due(at(100)), None);
        assert!(ages.order.is_empty());
    }
}
