//! The input of the rules: the loop's counters now and at the start of the window, and figures of
//! the system.

use super::super::troubled::PersistentTrouble;
use super::super::verdicts::VerdictGrowth;
use crate::base::cause::Cause;
use crate::base::time::{Micros, UnixMillis};
use crate::engine::{Class, Histogram};
use crate::gateway::{
    AgentCount, Classes, ForesightSnapshot, HandshakeStats, Identity, Snapshot, UpstreamRow,
};
use crate::side::down_app::DownApp;
use crate::side::process::MemoryUse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The number of samples that are kept for a window; more would not improve the result.
const SAMPLES_MAX: u64 = 32;

/// One sample of all data that the rules are evaluated on.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample {
    /// The monotonic clock, as in [`Timestamp`](crate::base::time::Timestamp); windows are measured
    /// with it.
    pub(super) now: Micros,
    /// The wall clock, for display.
    pub(super) wall: UnixMillis,
    /// The loop's counters. `None`: the loop did not answer.
    pub(super) counters: Option<Counters>,
    /// Some of the identities that are delayed because they reconnect too often.
    pub(super) flapping: Vec<Identity>,
    /// Apps with a server that is considered down.
    pub(super) down: Vec<DownApp>,
    /// Open descriptors, and their limit.
    pub(super) fds: Option<(u64, u64)>,
    /// Memory in use, and the nearest limit.
    pub(super) memory: Option<MemoryUse>,
    /// Plain HTTP requests in progress, and their limit. `None`: none is passed.
    pub(super) http_requests: Option<(u64, u64)>,
    /// The upstreams behind the routes.
    pub(super) upstreams: Vec<UpstreamRow>,
    /// The local ports from which the kernel chooses one for a connection to an upstream.
    pub(super) local_ports: Option<u64>,
    /// How the verdicts on ends in the last minutes compare with those before.
    pub(super) verdicts: Vec<VerdictGrowth>,
    /// The identities with persistent trouble.
    pub(super) trouble: PersistentTrouble,
}

/// What the other watchers have seen.
#[derive(Debug, Clone, Default)]
pub(in crate::side) struct Observed {
    /// How the verdicts on ends in the last minutes compare with those before.
    pub(in crate::side::watch) verdicts: Vec<VerdictGrowth>,
    /// The identities with persistent trouble.
    pub(in crate::side::watch) trouble: PersistentTrouble,
}

/// The loop's counters that the rules need. Lists are indexed by class and as long as `classes`.
#[derive(Debug, Clone)]
pub(super) struct Counters {
    pub(super) classes: Classes,
    /// The loop's own time of these counters.
    pub(super) engine_time: Micros,
    pub(super) live: Vec<u64>,
    pub(super) suspects: Vec<u64>,
    pub(super) opened: Vec<u64>,
    pub(super) ended: Vec<u64>,
    pub(super) stale: Vec<u64>,
    /// Whether a class is being drained, alone or together with all.
    pub(super) draining: Vec<bool>,
    pub(super) rtt: Histogram,
    pub(super) stalls: u64,
    pub(super) stalled: Micros,
    pub(super) out_of_descriptors: u64,
    /// Connection slots in use, and all slots.
    pub(super) places: (u64, u64),
    /// New connections that were refused because no slot was free.
    pub(super) refused: u64,
    /// The handshakes with each upstream, by route and address.
    pub(super) handshakes: BTreeMap<(Arc<str>, String), HandshakeStats>,
    /// The most frequent user agents of open connections.
    pub(super) agents: Vec<Vec<AgentCount>>,
    /// What late heartbeats say about cohorts and about all connections.
    pub(super) foresight: ForesightSnapshot,
}

impl Counters {
    /// Returns counters of 0 for these classes.
    pub(super) fn zero(classes: Classes) -> Self {
        let zero = vec![0; classes.count()];
        Counters {
            engine_time: Micros::ZERO,
            live: zero.clone(),
            suspects: zero.clone(),
            opened: zero.clone(),
            ended: zero.clone(),
            stale: zero,
            draining: vec![false; classes.count()],
            rtt: Histogram::default(),
            stalls: 0,
            stalled: Micros::ZERO,
            out_of_descriptors: 0,
            places: (0, 0),
            refused: 0,
            handshakes: BTreeMap::new(),
            agents: vec![Vec::new(); classes.count()],
            foresight: ForesightSnapshot::default(),
            classes,
        }
    }
}

impl From<&Snapshot> for Counters {
    fn from(snapshot: &Snapshot) -> Self {
        let stats = &snapshot.stats;
        let mut counters = Counters {
            engine_time: snapshot.now,
            stalls: stats.stalls,
            stalled: stats.stalled,
            out_of_descriptors: stats.out_of_descriptors,
            places: (stats.places_taken(), snapshot.max_connections as u64),
            refused: stats.refused,
            handshakes: handshakes(&snapshot.upstreams),
            foresight: snapshot.foresight.clone(),
            ..Counters::zero(snapshot.classes.clone())
        };
        let counted = stats.classes.iter().take(snapshot.classes.count());
        for (nth, class) in counted.enumerate() {
            // How fast a service answers says nothing of the clients' network.
            if !snapshot.classes.is_upstream(Class(nth as u8)) {
                counters.rtt.add(&class.rtt);
            }
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

/// Returns the handshakes with each upstream.
fn handshakes(rows: &[UpstreamRow]) -> BTreeMap<(Arc<str>, String), HandshakeStats> {
    let mut all: BTreeMap<_, HandshakeStats> = BTreeMap::new();
    for row in rows {
        let key = (row.route.clone(), row.address.clone());
        all.entry(key).or_default().add(&row.handshakes);
    }
    all
}

pub(super) fn percent(part: u64, of: u64) -> f64 {
    if of == 0 {
        return 0.0;
    }
    100.0 * part as f64 / of as f64
}

/// The counters of all samples of the window.
#[derive(Debug, Default)]
pub(super) struct CounterHistory {
    samples: VecDeque<(Micros, Counters)>,
}

/// The counters now and at the start of the window.
#[derive(Debug)]
pub(super) struct Fleet<'a> {
    pub(super) now: &'a Counters,
    pub(super) then: &'a Counters,
    /// The highest number of concurrent connections, by class.
    pub(super) most_live: Vec<u64>,
    /// All samples of the window.
    samples: &'a VecDeque<(Micros, Counters)>,
}

impl CounterHistory {
    /// Stores these counters; returns them with those since the start of the window.
    pub(super) fn fleet<'a>(
        &'a mut self,
        now: Micros,
        counters: &'a Counters,
        window: Micros,
    ) -> Fleet<'a> {
        // Keeps the youngest sample that is as old as the window, and all after it.
        while self
            .samples
            .get(1)
            .is_some_and(|(at, _)| now - *at >= window)
        {
            self.samples.pop_front();
        }
        let step = Micros(window.0 / SAMPLES_MAX);
        if self.samples.back().is_none_or(|(at, _)| now - *at >= step) {
            self.samples.push_back((now, counters.clone()));
        }
        let mut most_live = counters.live.clone();
        for (_, sample) in &self.samples {
            for (most, live) in most_live.iter_mut().zip(&sample.live) {
                *most = (*most).max(*live);
            }
        }
        Fleet {
            now: counters,
            then: self.samples.front().map_or(counters, |(_, sample)| sample),
            most_live,
            samples: &self.samples,
        }
    }
}

impl Fleet<'_> {
    /// Returns the name of a class.
    pub(super) fn class_name(&self, class: usize) -> &'static str {
        let infos = self.now.classes.infos();
        infos.get(class).map_or("none", |info| info.name)
    }

    /// Returns the highest share, in percent, that a user agent had of a class's connections in a
    /// sample of the window. `None`: it was never among the most frequent ones.
    pub(super) fn agent_share(&self, class: usize, agent: &str) -> Option<f64> {
        let samples = self.samples.iter().map(|(_, sample)| sample);
        let shares = samples.chain([self.now]).filter_map(|sample| {
            let mut counts = sample.agents[class].iter();
            let found = counts.find(|count| *count.name == *agent)?;
            Some(percent(found.open, sample.live[class]))
        });
        shares.reduce(f64::max)
    }

    /// Returns by how much a counter has grown over the window, by class.
    pub(super) fn grown(&self, of: fn(&Counters) -> &Vec<u64>) -> Vec<u64> {
        let pairs = of(self.now).iter().zip(of(self.then));
        pairs.map(|(now, then)| now.saturating_sub(*then)).collect()
    }
}
