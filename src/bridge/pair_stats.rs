//! Counters of the pairs of each route.

use crate::base::cause::{Cause, EndedBy};
use crate::base::time::Micros;
use crate::engine::Histogram;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most routes that are counted apart. A reload may bring new names again and again.
const ROUTES_MAX: usize = 1_024;

/// Counters of the pairs of one route.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PairStats {
    /// Pairs that were opened.
    pub opened: u64,
    /// Pairs that have ended, by the cause of the leg that ended first and the side that ended it.
    pub closed: BTreeMap<(&'static str, &'static str), u64>,
    /// The time from a dial to the upstream's answer, µs.
    pub handshake_time: Histogram,
}

/// Counters of the pairs of all routes, by route.
#[derive(Debug, Clone, Default)]
pub struct RouteStats(BTreeMap<Arc<str>, PairStats>);

impl RouteStats {
    /// Returns the counters of each route.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &PairStats)> {
        self.0.iter().map(|(route, stats)| (&**route, stats))
    }

    /// Counts a pair that was opened.
    pub(super) fn count_opened(&mut self, route: &Arc<str>) {
        if let Some(stats) = self.of(route) {
            stats.opened += 1;
        }
    }

    /// Counts a pair that has ended. `is_client`: its client's leg was the first to end.
    pub(super) fn count_closed(&mut self, route: &Arc<str>, cause: Cause, is_client: bool) {
        let by = match (cause.by(), is_client) {
            (EndedBy::Peer, true) => "client",
            (EndedBy::Peer, false) => "upstream",
            (EndedBy::Server, _) => "gateway",
            (by, _) => by.name(),
        };
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
        is_known.then(|| self.0.entry(route.clone()).or_default())
    }
}
