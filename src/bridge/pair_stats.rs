//! Counters of the pairs of each route.

use crate::base::cause::Cause;
use crate::base::time::Micros;
use crate::engine::Histogram;
use crate::host::ending_side;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most routes that are counted apart. A reload may bring new names again and again.
const ROUTES_MAX: usize = 1_024;

/// Counters of the pairs of one route.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PairStats {
    /// Pairs that were opened.
    pub opened: u64,
    /// Pairs that have ended, by the cause of the leg that ended first and the side that ended it.
    /// The common ends are always there.
    pub closed: BTreeMap<(&'static str, &'static str), u64>,
    /// The time from a dial to the upstream's answer, µs.
    pub handshake_time: Histogram,
}

/// The causes for which pairs often end. Their counters begin with 0, so that a rate counts the
/// first end, too.
const COMMON: [Cause; 10] = [
    Cause::PEER_CLOSED,
    Cause::PEER_EOF,
    Cause::PEER_RESET,
    Cause::TCP_TIMEOUT,
    Cause::STALE,
    Cause::SLOW_CONSUMER,
    Cause::PROTOCOL,
    Cause::TOO_BIG,
    Cause::DRAINING,
    Cause::KICKED,
];

impl PairStats {
    /// Returns counters of a new route.
    fn new() -> Self {
        let ends = COMMON.into_iter().flat_map(|cause| {
            let peers = ["client", "upstream"];
            peers.map(|peer| ((cause.name(), ending_side(cause, Some(peer))), 0))
        });
        PairStats {
            opened: 0,
            closed: ends.collect(),
            handshake_time: Histogram::default(),
        }
    }
}

/// Counters of the pairs of all routes, by route.
#[derive(Debug, Clone, Default)]
pub struct RouteStats(BTreeMap<Arc<str>, PairStats>);

impl RouteStats {
    /// Returns the counters of each route.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &PairStats)> {
        self.0.iter().map(|(route, stats)| (&**route, stats))
    }

    /// Adds a route, so that its counters begin with 0.
    pub(super) fn add_route(&mut self, route: &Arc<str>) {
        self.of(route);
    }

    /// Counts a pair that was opened.
    pub(super) fn count_opened(&mut self, route: &Arc<str>) {
        if let Some(stats) = self.of(route) {
            stats.opened += 1;
        }
    }

    /// Counts a pair that has ended, with the cause of the leg that ended first and the side that
    /// ended it.
    pub(super) fn count_closed(&mut self, route: &Arc<str>, cause: Cause, by: &'static str) {
        if let Some(stats) = self.of(route) {
            *stats.closed.entry((cause.name(), by)).or_default() += 1;
        }
    }

    /// Adds the time that an upstream's answer has taken.
    pub(super) fn add_handshake(&mut self, route: &Arc<str>, took: Micros) {
        if let Some(stats) = self.of(route) {
            stats.handshake_time.record(took.0);
        }
    }

    fn of(&mut self, route: &Arc<str>) -> Option<&mut PairStats> {
        let is_known = self.0.contains_key(route) || self.0.len() < ROUTES_MAX;
        is_known.then(|| self.0.entry(route.clone()).or_insert_with(PairStats::new))
    }
}
