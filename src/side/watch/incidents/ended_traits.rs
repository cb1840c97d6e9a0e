//! Counts of ends by minute and trait. They are exact in number and bounded in memory, however many
//! connections end: the ring of records keeps only the last 10 000.

use super::common_traits::{self, CommonTrait};
use super::living_traits::LivingTraits;
use super::space_saving::SpaceSaving;
use super::trait_totals::TraitTotals;
use super::trait_value::{self, Dimension, TraitValue};
use crate::base::time::Micros;
use crate::gateway::{Classes, ClosedConn};
use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// The minutes that a summary may span.
pub(in crate::side) const MINUTES_MAX: u64 = 60;

/// The minutes that are kept: a summary and as long before it.
const KEPT_MINUTES: usize = 2 * MINUTES_MAX as usize;

/// The ends of the last two hours, by minute.
#[derive(Debug)]
pub(in crate::side::watch) struct EndedTraits {
    classes: Classes,
    /// Oldest first; minutes without an end are left out.
    minutes: VecDeque<MinuteTraits>,
}

#[derive(Debug)]
struct MinuteTraits {
    /// The number of the minute, from the monotonic clock.
    minute: u64,
    ended: u64,
    /// By dimension.
    traits: [SpaceSaving<TraitValue>; Dimension::ALL.len()],
}

/// What the connections of some minutes had in common that ended in them.
#[derive(Debug, Clone, Default)]
pub(in crate::side) struct EndedSummary {
    /// The connections of clients that ended.
    pub(in crate::side) ended: u64,
    /// What stands out most comes first.
    pub(in crate::side) traits: Vec<CommonTrait>,
}

/// Returns the number of the minute.
pub(super) const fn minute_of(at: Micros) -> u64 {
    at.as_secs() / 60
}

/// Returns the numbers of the last minutes.
pub(in crate::side::watch) const fn last_minutes(now: Micros, many: u64) -> RangeInclusive<u64> {
    let newest = minute_of(now);
    (newest + 1).saturating_sub(many)..=newest
}

impl EndedTraits {
    pub(in crate::side::watch) fn new(classes: Classes) -> Self {
        EndedTraits {
            classes,
            minutes: VecDeque::new(),
        }
    }

    /// Counts the connections of clients among these.
    pub(in crate::side::watch) fn record<'a>(
        &mut self,
        closed: impl IntoIterator<Item = &'a ClosedConn>,
    ) {
        for record in closed {
            let mut traits = trait_value::of_ended(&self.classes, record).peekable();
            if traits.peek().is_none() {
                continue;
            }
            let minute = self.minute_at(minute_of(record.at.raw));
            minute.ended += 1;
            traits.for_each(|value| minute.traits[value.dimension() as usize].count(value));
        }
    }

    /// Returns the counts of a minute. The oldest one makes room. A record that is late counts in
    /// the newest minute.
    fn minute_at(&mut self, at: u64) -> &mut MinuteTraits {
        if self.minutes.back().is_none_or(|of| of.minute < at) {
            if self.minutes.len() == KEPT_MINUTES {
                self.minutes.pop_front();
            }
            self.minutes.push_back(MinuteTraits {
                minute: at,
                ended: 0,
                traits: Default::default(),
            });
        }
        let last = self.minutes.len() - 1;
        &mut self.minutes[last]
    }

    /// Returns what the connections had in common that ended in these minutes. They are compared
    /// with the open ones; their causes and verdicts with those of the hour before.
    pub(in crate::side::watch) fn summary(
        &self,
        minutes: RangeInclusive<u64>,
        living: Option<&LivingTraits>,
    ) -> EndedSummary {
        let from = *minutes.start();
        let before = from.saturating_sub(MINUTES_MAX)..=from.saturating_sub(1);
        let usual = match from {
            0 => TraitTotals::default(),
            _ => self.totals(before, |of| of.is_of_ends()),
        };
        let ended = self.totals(minutes, |_| true);
        EndedSummary {
            ended: ended.ended,
            traits: common_traits::rank(ended, &usual, living),
        }
    }

    fn totals(
        &self,
        minutes: RangeInclusive<u64>,
        is_wanted: impl Fn(Dimension) -> bool,
    ) -> TraitTotals {
        let mut totals = TraitTotals::default();
        let kept = self.minutes.iter();
        for minute in kept.filter(|of| minutes.contains(&of.minute)) {
            totals.ended += minute.ended;
            for dimension in Dimension::ALL.into_iter().filter(|of| is_wanted(*of)) {
                for (value, count) in minute.traits[dimension as usize].least() {
                    *totals.counts.entry(value.clone()).or_default() += count;
                }
            }
        }
        totals
    }

    #[cfg(test)]
    pub(super) fn counters(&self) -> usize {
        let tables = self.minutes.iter().flat_map(|minute| &minute.traits);
        tables.map(SpaceSaving::len).sum()
    }
}
