//! What the rules look at: the loop's counters now and at the begin of the window, and what the system says.

use crate::cause::Cause;
use crate::engine::Histogram;
use crate::gateway::{AgentCount, CLASS_NAMES, Identity, Snapshot};
use crate::side::down::DownApp;
use crate::side::process::Memory;
use crate::time::{Micros, UnixMillis};
use std::collections::VecDeque;

/// How many classes there are.
pub(super) const CLASSES: usize = CLASS_NAMES.len();

/// Looks at the counters that a window is kept in; a finer one would say nothing more.
const STEPS: u64 = 32;

/// Everything that is seen in one look.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample {
    /// The monotonic clock, as in [`Moment`](crate::time::Moment): windows are made from it.
    pub(super) now: Micros,
    /// The wall clock, to be shown.
    pub(super) wall: UnixMillis,
    /// What the loop counts. `None`: it did not answer.
    pub(super) counters: Option<Counters>,
    /// Some of the identities that are slowed because they come back too often.
    pub(super) flapping: Vec<Identity>,
    /// Apps whose server is taken to be down.
    pub(super) down: Vec<DownApp>,
    /// Open descriptors, and how many there may be.
    pub(super) fds: Option<(u64, u64)>,
    /// Memory beside its nearest limit.
    pub(super) memory: Option<Memory>,
}

/// What the loop counts, as far as the rules need it. Arrays are by class.
#[derive(Debug, Clone, Default)]
pub(super) struct Counters {
    pub(super) live: [u64; CLASSES],
    pub(super) suspects: [u64; CLASSES],
    pub(super) opened: [u64; CLASSES],
    pub(super) ended: [u64; CLASSES],
    pub(super) stale: [u64; CLASSES],
    /// Classes that are sent away now, by one drain or another.
    pub(super) draining: [bool; CLASSES],
    pub(super) rtt: Histogram,
    pub(super) stalls: u64,
    pub(super) stalled: Micros,
    pub(super) out_of_descriptors: u64,
    /// Connections that hold a place, and how many places there are.
    pub(super) places: (u64, u64),
    /// Newcomers that were refused because there was no place.
    pub(super) refused: u64,
    /// The most frequent user agents of open connections.
    pub(super) agents: [Vec<AgentCount>; CLASSES],
}

impl From<&Snapshot> for Counters {
    fn from(snapshot: &Snapshot) -> Self {
        let stats = &snapshot.stats;
        let mut counters = Counters {
            rtt: stats.rtt.clone(),
            stalls: stats.stalls,
            stalled: stats.stalled,
            out_of_descriptors: stats.out_of_descriptors,
            places: (stats.places_taken(), snapshot.max_connections as u64),
            refused: stats.refused,
            ..Counters::default()
        };
        for (nth, class) in stats.classes.iter().enumerate().take(CLASSES) {
            counters.live[nth] = class.live;
            counters.suspects[nth] = class.suspects;
            counters.opened[nth] = class.opened;
            counters.ended[nth] = class.closed.iter().sum();
            counters.stale[nth] = class.closed[Cause::STALE.index()];
            counters.draining[nth] = snapshot.draining || snapshot.drained[nth];
        }
        counters
    }
}

pub(super) fn percent(part: u64, of: u64) -> f64 {
    if of == 0 {
        return 0.0;
    }
    100.0 * part as f64 / of as f64
}

/// The counters over the window.
#[derive(Debug, Default)]
pub(super) struct Past {
    looks: VecDeque<(Micros, Counters)>,
}

/// The counters now and at the begin of the window.
#[derive(Debug)]
pub(super) struct Fleet<'a> {
    pub(super) now: &'a Counters,
    pub(super) then: &'a Counters,
    /// The most that there were at a time, by class.
    pub(super) most_live: [u64; CLASSES],
    /// All looks of the window.
    looks: &'a VecDeque<(Micros, Counters)>,
}

impl Past {
    /// The counters since the begin of the window, these included, which are remembered.
    pub(super) fn fleet<'a>(
        &'a mut self,
        now: Micros,
        counters: &'a Counters,
        window: Micros,
    ) -> Fleet<'a> {
        // The youngest look that is as old as the window, and all after it.
        while self.looks.get(1).is_some_and(|(at, _)| now - *at >= window) {
            self.looks.pop_front();
        }
        let step = Micros(window.0 / STEPS);
        if self.looks.back().is_none_or(|(at, _)| now - *at >= step) {
            self.looks.push_back((now, counters.clone()));
        }
        let mut most_live = counters.live;
        for (_, look) in &self.looks {
            for (most, live) in most_live.iter_mut().zip(look.live) {
                *most = live.max(*most);
            }
        }
        Fleet {
            now: counters,
            then: self.looks.front().map_or(counters, |(_, look)| look),
            most_live,
            looks: &self.looks,
        }
    }
}

impl Fleet<'_> {
    /// The largest share, in percent, that a user agent had of a class's connections at a look of the window; `None`: it was
    /// among the most frequent ones at none of them.
    pub(super) fn agent_share(&self, class: usize, agent: &str) -> Option<f64> {
        let looks = self.looks.iter().map(|(_, look)| look);
        let shares = looks.chain([self.now]).filter_map(|look| {
            let mut counts = look.agents[class].iter();
            let found = counts.find(|count| *count.name == *agent)?;
            Some(percent(found.open, look.live[class]))
        });
        shares.reduce(f64::max)
    }

    /// How much something has grown over the window, by class.
    pub(super) fn grown(&self, of: fn(&Counters) -> &[u64; CLASSES]) -> [u64; CLASSES] {
        let (now, then) = (of(self.now), of(self.then));
        std::array::from_fn(|class| now[class].saturating_sub(then[class]))
    }
}
