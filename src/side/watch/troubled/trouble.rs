//! The trouble of one identity, hour by hour.

use crate::base::bounded;
use crate::base::cause::Cause;
use crate::base::time::{Micros, Timestamp};
use std::collections::VecDeque;

/// The number of hours that are remembered.
pub(super) const HOURS: u64 = 24;

pub(super) const HOUR: Micros = Micros::from_secs(60 * 60);

/// After this many hours, trouble counts half.
const HALF_LIFE_HOURS: f64 = 6.0;

/// The least number of different hours with trouble before it is reported. One loss falls into at
/// most two of them: the hour of its end, and that of the end of the wait for the peer.
const HOURS_MIN: usize = 3;

/// A round-trip time of at least this is slow: the radio signal is nearly lost, or a queue on the
/// path is full.
pub(super) const SLOW: Micros = Micros::from_secs(2);

/// The time over which trouble is summed for an alert.
const ALERT_SPAN: Micros = Micros::from_secs(6 * 60 * 60);

/// The weight of trouble within [`ALERT_SPAN`] that is enough for an alert.
const ALERT_WEIGHT: f64 = 10.0;

/// How many ages of the last dropped connections are kept and compared.
pub(super) const AGES_MAX: usize = 8;

/// What went wrong for one identity in the last hours.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// The hours with trouble, oldest first.
    pub(super) hours: VecDeque<Hour>,
    /// The ages of its last dropped connections, in ms.
    pub(super) ages: VecDeque<u64>,
}

/// The trouble of one identity in one hour.
#[derive(Debug, Clone, Default)]
pub(super) struct Hour {
    /// The hour's number, from the monotonic clock.
    pub(super) number: u64,
    first: Timestamp,
    last: Timestamp,
    sums: Sums,
}

/// Counts of what went wrong for one identity in one hour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Drops by cause, in the order of [`Cause::index`]; causes without a drop are left out.
    pub(super) drops: Vec<(Cause, u16)>,
    pub(super) slow: u16,
    /// The number of stale connections that had been slow before.
    pub(super) slow_stale: u16,
    pub(super) failed_resumes: u16,
}

impl Trouble {
    /// Returns the counts of the hour at this moment, to add to them.
    pub(super) fn sums_at(&mut self, at: Timestamp) -> &mut Sums {
        let number = at.raw.0 / HOUR.0;
        // Records of two boxes may be slightly out of order: then they go into the last hour.
        if self.hours.back().is_none_or(|hour| hour.number < number) {
            let hour = Hour {
                number,
                first: at,
                ..Hour::default()
            };
            bounded::push(&mut self.hours, HOURS as usize, hour);
        }
        let last = self.hours.len() - 1;
        let hour = &mut self.hours[last];
        if hour.last.raw <= at.raw {
            hour.last = at;
        }
        &mut hour.sums
    }

    /// Returns whether there was trouble in enough hours to report it.
    pub(super) fn is_reported(&self) -> bool {
        self.hours.len() >= HOURS_MIN
    }

    /// Returns whether the trouble is reported, and its weight over the last six hours is enough
    /// for an alert.
    pub(super) fn is_persistent(&self, now: Timestamp) -> bool {
        let recent = self
            .hours
            .iter()
            .filter(|hour| now.since(hour.last) < ALERT_SPAN);
        let weight: f64 = recent.map(|hour| hour.sums.weight()).sum();
        self.is_reported() && weight >= ALERT_WEIGHT
    }

    pub(super) fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for hour in &self.hours {
            for (cause, drops) in &hour.sums.drops {
                sums.add_drops(*cause, *drops);
            }
            sums.slow = sums.slow.saturating_add(hour.sums.slow);
            sums.slow_stale = sums.slow_stale.saturating_add(hour.sums.slow_stale);
            sums.failed_resumes = sums.failed_resumes.saturating_add(hour.sums.failed_resumes);
        }
        sums
    }

    pub(super) fn score(&self, now: Timestamp) -> f64 {
        let hours = self.hours.iter().map(|hour| {
            let age = now.since(hour.last).0 as f64 / HOUR.0 as f64;
            hour.sums.weight() * 0.5_f64.powf(age / HALF_LIFE_HOURS)
        });
        hours.sum()
    }

    /// Returns the first and the last time that something went wrong.
    pub(super) fn span(&self) -> (Timestamp, Timestamp) {
        let first = self.hours.front().map(|hour| hour.first);
        let last = self.hours.back().map(|hour| hour.last);
        (first.unwrap_or_default(), last.unwrap_or_default())
    }
}

impl Sums {
    pub(super) fn add_drops(&mut self, cause: Cause, more: u16) {
        let at = |(known, _): &(Cause, u16)| known.index().cmp(&cause.index());
        match self.drops.binary_search_by(at) {
            Ok(at) => self.drops[at].1 = self.drops[at].1.saturating_add(more),
            Err(at) => self.drops.insert(at, (cause, more)),
        }
    }

    pub(super) fn drops_for(&self, cause: Cause) -> u16 {
        let found = self.drops.iter().find(|(known, _)| *known == cause);
        found.map_or(0, |(_, n)| *n)
    }

    pub(super) fn all_drops(&self) -> u32 {
        self.drops.iter().map(|(_, n)| u32::from(*n)).sum()
    }

    pub(super) fn problems(&self) -> u32 {
        self.all_drops() + u32::from(self.slow) + u32::from(self.failed_resumes)
    }

    /// Returns the weight: a drop counts one. A drop as stale and a slow connection each add a
    /// half, and a failed resume adds one.
    fn weight(&self) -> f64 {
        let halves = u32::from(self.drops_for(Cause::STALE)) + u32::from(self.slow);
        f64::from(self.all_drops()) + 0.5 * f64::from(halves) + f64::from(self.failed_resumes)
    }
}
