//! The upstreams as operators see them, and the drain of one.

use super::bridge::Bridge;
use super::upstream_row::UpstreamRow;
use super::upstreams::Endpoint;
use crate::base::time::Micros;
use crate::engine::Io;

/// How long clients with the sticky cookie of a drained upstream still reach it: longer than it
/// takes to open a session, and not so long that a client that was closed comes back again and
/// again.
const OWN_TIME: Micros = Micros::from_secs(10);

impl Bridge {
    /// The most upstreams that are listed at once.
    pub const LISTED_MAX: usize = 1_000;

    /// Drains an upstream: it gets no new clients, and its pairs are closed evenly over `spread`.
    /// For 10 s clients with its sticky cookie still reach it, unless `spread` is 0: their session
    /// may consist of several requests. What they have opened is closed then.
    /// `upstream` is its address, or the location that the route names. Returns how many pairs will
    /// be closed; `None` if there is no such upstream.
    pub fn drain_upstream(
        &mut self,
        io: &mut Io<'_>,
        route: &str,
        upstream: &str,
        spread: Micros,
    ) -> Option<u64> {
        let own = match spread {
            Micros::ZERO => Micros::ZERO,
            _ => OWN_TIME,
        };
        let mut pairs = None;
        for endpoint in self.endpoints.iter_mut() {
            if endpoint.is_named(route, upstream) {
                endpoint.drain(io.now() + own);
                *pairs.get_or_insert(0) += endpoint.state().open;
            }
        }
        pairs.inspect(|_| {
            self.endpoints.settle(io.now(), "");
            self.close_leaving(io, spread);
            self.last_walks.push(io.start_timer(own));
        })
    }

    /// Ends the drain of an upstream: it gets new clients again, and no more of its pairs are
    /// closed. Returns whether one was drained; `None` if there is no such upstream.
    pub fn resume_upstream(&mut self, now: Micros, route: &str, upstream: &str) -> Option<bool> {
        let mut was_drained = None;
        for endpoint in self.endpoints.iter_mut() {
            if endpoint.is_named(route, upstream) {
                let drained = std::mem::take(&mut endpoint.is_drained);
                if drained {
                    endpoint.begin(now);
                }
                *was_drained.get_or_insert(false) |= drained;
            }
        }
        self.endpoints.settle(now, "resumed by an operator");
        was_drained
    }

    /// Returns the first upstreams, at most [`LISTED_MAX`](Self::LISTED_MAX), in the order of their
    /// routes' names and their addresses, and how many there are.
    pub fn upstreams(&self, now: Micros) -> (Vec<UpstreamRow>, usize) {
        let row = |endpoint: &Endpoint| {
            let route = self.routes.named(&endpoint.route);
            let sources = route.map_or(&[][..], |route| &route.source_addresses);
            endpoint.row(now, sources)
        };
        let unresolved = self.routes.unresolved(&self.known);
        let total = self.endpoints.len() + unresolved.len();
        let mut rows: Vec<_> = self
            .endpoints
            .iter()
            .take(Self::LISTED_MAX)
            .map(row)
            .collect();
        rows.sort_by(|a, b| (&a.route, &a.address).cmp(&(&b.route, &b.address)));
        rows.extend(unresolved.into_iter().take(Self::LISTED_MAX - rows.len()));
        (rows, total)
    }
}
