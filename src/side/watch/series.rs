//! Causes over time: the changes of the counters from one sample to the next.

use crate::base::bounded;
use crate::base::cause::Cause;
use crate::base::time::{Micros, Timestamp};
use crate::engine::{Histogram, Stats};
use crate::gateway::Snapshot;
use std::collections::VecDeque;

/// The number of steps that are kept: one hour of them.
const STEPS_MAX: usize = 360;

/// The number of complete samples that are kept for rates and percentiles: the last minute.
const RECENT_MAX: usize = 7;

/// What happened between two samples.
#[derive(Debug, Clone)]
pub(in crate::side) struct SeriesStep {
    pub(in crate::side) from: Timestamp,
    pub(in crate::side) to: Timestamp,
    /// WebSockets opened, by class.
    pub(in crate::side) opened: Vec<u64>,
    /// WebSockets ended, by class and cause; counts of 0 are left out.
    pub(in crate::side) closed: Vec<Vec<(Cause, u64)>>,
    /// Connections that ended before they became WebSockets.
    pub(in crate::side) rejected: Vec<(Cause, u64)>,
}

/// The sums of the last minute, or of the time since the start if that is shorter.
#[derive(Debug, Clone)]
pub(in crate::side) struct Minute {
    pub(in crate::side) span_ms: u64,
    pub(in crate::side) rtt: Histogram,
    pub(in crate::side) lateness: Histogram,
    pub(in crate::side) turn_time: Histogram,
}

/// The samples of the counters over the last hour.
#[derive(Debug)]
pub(in crate::side) struct Series {
    /// The start, when all counters were 0.
    started: Timestamp,
    steps: VecDeque<SeriesStep>,
    recent: VecDeque<(Timestamp, Stats)>,
}

impl Series {
    pub(in crate::side) fn new(started: Timestamp) -> Self {
        Series {
            started,
            steps: VecDeque::new(),
            recent: VecDeque::new(),
        }
    }

    pub(in crate::side) fn add(&mut self, at: Timestamp, snapshot: Snapshot) {
        let step = self.open_step(at, &snapshot.stats);
        bounded::push(&mut self.steps, STEPS_MAX, step);
        bounded::push(&mut self.recent, RECENT_MAX, (at, snapshot.stats));
    }

    /// Returns the steps of the last `span`, oldest first, plus one for the time since the last
    /// sample.
    pub(in crate::side) fn steps(
        &self,
        now: Timestamp,
        stats: &Stats,
        span: Micros,
    ) -> Vec<SeriesStep> {
        let open = self.open_step(now, stats);
        let wanted = |step: &&SeriesStep| now.since(step.to) < span;
        self.steps
            .iter()
            .filter(wanted)
            .cloned()
            .chain([open])
            .collect()
    }

    /// Returns the step from the last sample, or the start, until now.
    fn open_step(&self, now: Timestamp, stats: &Stats) -> SeriesStep {
        match self.recent.back() {
            Some((from, then)) => SeriesStep::between(*from, then, now, stats),
            None => SeriesStep::between(
                self.started,
                &Stats::new(stats.classes.len(), stats.causes),
                now,
                stats,
            ),
        }
    }

    pub(in crate::side) fn last_minute(&self, now: Timestamp, stats: &Stats) -> Minute {
        let fresh = Stats::new(stats.classes.len(), stats.causes);
        let (at, then) = self
            .recent
            .front()
            .map_or((now, &fresh), |(at, then)| (*at, then));
        Minute {
            span_ms: now.since(at).as_millis(),
            rtt: stats.rtt().since(&then.rtt()),
            lateness: stats.lateness.since(&then.lateness),
            turn_time: stats.turn_time.since(&then.turn_time),
        }
    }
}

impl SeriesStep {
    fn between(from: Timestamp, then: &Stats, to: Timestamp, now: &Stats) -> Self {
        let causes = now.causes;
        let grown = |now: &[u64], then: &[u64]| {
            let counts = causes.all().map(|cause| {
                let at = cause.index();
                (cause, now[at] - then[at])
            });
            counts.filter(|(_, n)| *n > 0).collect()
        };
        let by_class = || now.classes.iter().zip(&then.classes);
        SeriesStep {
            from,
            to,
            opened: by_class().map(|(n, t)| n.opened - t.opened).collect(),
            closed: by_class()
                .map(|(n, t)| grown(&n.closed, &t.closed))
                .collect(),
            rejected: grown(&now.rejected, &then.rejected),
        }
    }
}
