//! Counts of ends, by class, verdict and evidence.

use crate::base::time::Micros;
use crate::gateway::{EndVerdict, Evidence};
use std::collections::VecDeque;

const VERDICTS: usize = EndVerdict::ALL.len();
const EVIDENCES: usize = Evidence::ALL.len();

/// The span that is compared with the time before it, in minutes.
pub(in crate::side) const RECENT_MINUTES: u64 = 10;

/// The span that it is compared with, in minutes.
pub(in crate::side) const BEFORE_MINUTES: u64 = 60;

/// How many ends there were with each verdict.
#[derive(Debug, Clone, Default)]
pub(in crate::side) struct VerdictCounts {
    /// By class.
    totals: Vec<[[u64; EVIDENCES]; VERDICTS]>,
    /// The ends of the last minutes, by class; the newest minute is the last one.
    minutes: VecDeque<(u64, Vec<[u32; VERDICTS]>)>,
    /// The minute of the start.
    started: u64,
}

/// How many ends of a class had one verdict lately, and before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::side) struct VerdictGrowth {
    pub(in crate::side) class: usize,
    pub(in crate::side) verdict: EndVerdict,
    /// In the last 10 minutes.
    pub(in crate::side) recent: u64,
    /// In the hour before them.
    pub(in crate::side) before: u64,
    /// How much of that hour the process has run, in minutes.
    pub(in crate::side) before_minutes: u64,
}

const fn minute(at: Micros) -> u64 {
    at.as_secs() / 60
}

impl VerdictCounts {
    pub(super) fn new(started: Micros) -> Self {
        VerdictCounts {
            started: minute(started),
            ..VerdictCounts::default()
        }
    }

    pub(super) fn count(
        &mut self,
        now: Micros,
        class: usize,
        verdict: EndVerdict,
        evidence: Evidence,
    ) {
        if self.totals.len() <= class {
            self.totals.resize(class + 1, Default::default());
        }
        self.totals[class][verdict as usize][evidence as usize] += 1;
        let counts = self.minute_at(minute(now));
        if counts.len() <= class {
            counts.resize(class + 1, [0; VERDICTS]);
        }
        let count = &mut counts[class][verdict as usize];
        *count = count.saturating_add(1);
    }

    /// Returns the counts of a minute. Minutes that are too old make room.
    fn minute_at(&mut self, at: u64) -> &mut Vec<[u32; VERDICTS]> {
        let oldest = at.saturating_sub(RECENT_MINUTES + BEFORE_MINUTES);
        while self.minutes.front().is_some_and(|(of, _)| *of < oldest) {
            self.minutes.pop_front();
        }
        if self.minutes.back().is_none_or(|(of, _)| *of < at) {
            self.minutes.push_back((at, Vec::new()));
        }
        let last = self.minutes.len() - 1;
        &mut self.minutes[last].1
    }

    #[cfg(test)]
    pub(super) fn minutes_kept(&self) -> usize {
        self.minutes.len()
    }

    /// Returns all counts that are not 0: class, verdict, evidence, how many.
    pub(in crate::side) fn all(
        &self,
    ) -> impl Iterator<Item = (usize, EndVerdict, Evidence, u64)> + '_ {
        self.totals.iter().enumerate().flat_map(|(class, totals)| {
            EndVerdict::ALL.iter().flat_map(move |verdict| {
                let counts = Evidence::ALL.into_iter();
                let count = move |of: Evidence| totals[*verdict as usize][of as usize];
                let counts = counts.map(move |of| (class, *verdict, of, count(of)));
                counts.filter(|(.., count)| *count > 0)
            })
        })
    }

    /// Returns the count of a class, also if it is 0.
    pub(in crate::side) fn of(&self, class: usize, verdict: EndVerdict, evidence: Evidence) -> u64 {
        let totals = self.totals.get(class);
        totals.map_or(0, |totals| totals[verdict as usize][evidence as usize])
    }

    /// Returns how the ends of the last 10 minutes compare with the hour before, for each class and
    /// verdict that any of them had.
    pub(in crate::side) fn growth(&self, now: Micros) -> Vec<VerdictGrowth> {
        let now = minute(now);
        let since = (now + 1).saturating_sub(RECENT_MINUTES);
        let before_since = since.saturating_sub(BEFORE_MINUTES);
        let sum = |from: u64, to: u64, class: usize, verdict: EndVerdict| {
            let minutes = self
                .minutes
                .iter()
                .filter(|(of, _)| (from..to).contains(of));
            let counts = minutes.filter_map(|(_, counts)| counts.get(class));
            counts
                .map(|counts| u64::from(counts[verdict as usize]))
                .sum()
        };
        let mut growth = Vec::new();
        for class in 0..self.totals.len() {
            for verdict in EndVerdict::ALL.iter().copied() {
                let recent: u64 = sum(since, now + 1, class, verdict);
                let before = sum(before_since, since, class, verdict);
                if recent + before > 0 {
                    growth.push(VerdictGrowth {
                        class,
                        verdict,
                        recent,
                        before,
                        before_minutes: since.saturating_sub(before_since.max(self.started)),
                    });
                }
            }
        }
        growth
    }
}
