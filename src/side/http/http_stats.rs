//! The counters of plain HTTP.

use super::request_limits::{END_CAUSES, EndCause};
use crate::side::lock::lock;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use tokio::sync::Semaphore;

/// The classes of status codes, as metrics name them; the answers that were cut off come last.
pub(in crate::side) const CODE_CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "cut"];

/// The most routes that are counted apart. A reload may bring new names again and again.
const ROUTES_MAX: usize = 1_024;

/// The name under which further routes are counted.
const OTHER_ROUTES: &str = "other";

/// The requests of one route, by [`CODE_CLASSES`].
pub(in crate::side) type RouteRequests = [u64; CODE_CLASSES.len()];

/// The counters of plain HTTP.
#[derive(Debug, Default)]
pub(in crate::side) struct HttpStats {
    connections: AtomicU64,
    requests: Mutex<BTreeMap<Box<str>, RouteRequests>>,
    /// The requests that were ended early, by [`END_CAUSES`].
    ended: [AtomicU64; END_CAUSES.len()],
    /// A permit for each request in progress, and their number.
    room: OnceLock<(Arc<Semaphore>, usize)>,
}

impl HttpStats {
    /// Returns how many connections of clients there are.
    pub(in crate::side) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Returns the finished requests by route. The empty name stands for those that no route
    /// serves.
    pub(in crate::side) fn requests(&self) -> BTreeMap<Box<str>, RouteRequests> {
        lock(&self.requests).clone()
    }

    /// Returns the requests that were ended early, by [`END_CAUSES`].
    pub(in crate::side) fn ended(&self) -> [u64; END_CAUSES.len()] {
        self.ended
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed))
    }

    /// Returns how many requests are in progress, and the most that may be; `None` if none is
    /// passed.
    pub(in crate::side) fn in_progress(&self) -> Option<(u64, u64)> {
        let (room, most) = self.room.get()?;
        let running = most.saturating_sub(room.available_permits());
        Some((running as u64, *most as u64))
    }

    /// Makes room for this many requests in progress.
    pub(super) fn make_room(&self, most: usize) -> Arc<Semaphore> {
        let most = most.min(Semaphore::MAX_PERMITS);
        let room = || (Arc::new(Semaphore::new(most)), most);
        self.room.get_or_init(room).0.clone()
    }

    /// Counts a request that was ended early.
    pub(super) fn count_ended(&self, cause: EndCause) {
        self.ended[cause as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection, until the returned value is dropped.
    pub(super) fn begin_connection(self: &Arc<Self>) -> CountedConnection {
        self.connections.fetch_add(1, Ordering::Relaxed);
        CountedConnection(self.clone())
    }

    /// Counts a request of this route that was answered with this status.
    pub(super) fn count(&self, route: &str, status: u16) {
        self.add(route, usize::from(status / 100).clamp(1, 5) - 1);
    }

    /// Counts a request of this route whose answer was cut off after its head.
    pub(super) fn count_cut(&self, route: &str) {
        self.add(route, CODE_CLASSES.len() - 1);
    }

    fn add(&self, route: &str, class: usize) {
        let mut routes = lock(&self.requests);
        let name = match routes.contains_key(route) || routes.len() < ROUTES_MAX {
            true => route,
            false => OTHER_ROUTES,
        };
        if let Some(requests) = routes.get_mut(name) {
            requests[class] += 1;
        } else {
            let mut requests = RouteRequests::default();
            requests[class] = 1;
            routes.insert(name.into(), requests);
        }
    }
}

/// A connection of a client, counted until this is dropped.
#[derive(Debug)]
pub(super) struct CountedConnection(Arc<HttpStats>);

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_route_and_class() {
        let stats = HttpStats::default();
        for status in [101, 200, 204, 301, 404, 502, 999] {
            stats.count("a", status);
        }
        stats.count_cut("a");
        stats.count("", 400);
        let requests = stats.requests();
        assert_eq!(requests["a"], [1, 2, 1, 1, 2, 1]);
        assert_eq!(requests[""], [0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn names_are_bounded() {
        let stats = HttpStats::default();
        for nth in 0..ROUTES_MAX + 10 {
            stats.count(&nth.to_string(), 200);
        }
        stats.count("7", 200);
        let requests = stats.requests();
        assert_eq!(requests.len(), ROUTES_MAX + 1);
        assert_eq!((requests["other"][1], requests["7"][1]), (10, 2));
    }
}
