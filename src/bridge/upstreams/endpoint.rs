//! One address behind a route, and what is known of it.

use crate::base::time::Micros;
use crate::bridge::frozen::{FrozenGuard, UpstreamState};
use crate::bridge::upstream::UpstreamUrl;
use crate::engine::DialAddress;
use std::cmp::Ordering;
use std::sync::Arc;

/// How long an address is avoided after a failure; doubled by each further failure.
const AVOIDED_FIRST: Micros = Micros::from_secs(1);

/// The longest time for which an address is avoided.
const AVOIDED_MOST: Micros = Micros::from_secs(30);

/// After this many requests without an answer, one after the other, an address is avoided. One may
/// be a request that is slow by itself.
const SILENT_MOST: u32 = 3;

/// Whether new clients may go to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bridge) enum Listing {
    /// They may.
    Listed,
    /// The name of the upstream no longer has this address. Its pairs stay.
    Vanished,
    /// The settings no longer have the upstream. Its pairs are closed, one after the other.
    Removed,
}

/// One address behind a route.
#[derive(Debug)]
pub(in crate::bridge) struct Endpoint {
    /// The name of the route.
    pub(in crate::bridge) route: Arc<str>,
    pub(in crate::bridge) url: UpstreamUrl,
    pub(in crate::bridge) address: DialAddress,
    /// The address's part of the clients.
    pub(in crate::bridge) weight: u32,
    pub(in crate::bridge) listing: Listing,
    /// Connections that are being made, or whose request is not answered.
    pub(super) dialing: u64,
    /// Connections that are one leg of a pair.
    pub(super) open: u64,
    /// The part of `open` with a ping that has been unanswered for a whole interval.
    pub(super) suspects: u64,
    pub(in crate::bridge) frozen: FrozenGuard,
    /// Failures in a row.
    failures: u32,
    /// Requests in a row that were not answered.
    silent: u32,
    /// Until when the address is avoided.
    avoided_until: Micros,
}

impl Endpoint {
    /// Makes an address without connections.
    pub(in crate::bridge) fn new(
        route: Arc<str>,
        url: UpstreamUrl,
        address: DialAddress,
        weight: u32,
    ) -> Self {
        Endpoint {
            route,
            url,
            address,
            weight,
            listing: Listing::Listed,
            dialing: 0,
            open: 0,
            suspects: 0,
            frozen: FrozenGuard::default(),
            failures: 0,
            silent: 0,
            avoided_until: Micros::ZERO,
        }
    }

    /// Returns whether no connection to the address exists.
    pub(super) fn is_unused(&self) -> bool {
        self.dialing == 0 && self.open == 0
    }

    /// Returns what the open connections say of the service at the address.
    pub(in crate::bridge) fn state(&self) -> UpstreamState {
        UpstreamState {
            open: self.open,
            silent: self.suspects,
        }
    }

    /// Notes that a request was answered, whatever the answer.
    pub(in crate::bridge) fn answered(&mut self) {
        (self.failures, self.silent) = (0, 0);
        self.avoided_until = Micros::ZERO;
    }

    /// Notes that connecting failed. The address is avoided for a while.
    pub(in crate::bridge) fn unreachable(&mut self, now: Micros) {
        let doubled = AVOIDED_FIRST.0 << self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        self.avoided_until = now + AVOIDED_MOST.min(Micros(doubled));
    }

    /// Notes that a request was not answered, or the answer was invalid.
    pub(in crate::bridge) fn unanswered(&mut self, now: Micros) {
        self.silent = self.silent.saturating_add(1);
        if self.silent >= SILENT_MOST {
            self.unreachable(now);
        }
    }

    /// Compares two addresses as the place for a new client: the lesser one is better. First those
    /// that are reachable and whose service answers its pings; of these, the one with the fewest
    /// connections for its weight. Of addresses that are avoided, the one that is avoided for the
    /// shortest time.
    pub(super) fn compare(&self, other: &Self, now: Micros) -> Ordering {
        let rank = |endpoint: &Self| {
            let avoided = endpoint.avoided_until.max(now) - now;
            (avoided, endpoint.state().is_unresponsive())
        };
        // With the new client.
        let load = |endpoint: &Self| endpoint.dialing + endpoint.open + 1;
        let by_load = || {
            let [mine, theirs] = [(self, other), (other, self)]
                .map(|(one, two)| load(one).saturating_mul(u64::from(two.weight)));
            mine.cmp(&theirs)
        };
        rank(self).cmp(&rank(other)).then_with(by_load)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(weight: u32) -> Endpoint {
        let url = UpstreamUrl::parse("http://127.0.0.1:1").expect("a location");
        let address = url.fixed_address().expect("an address");
        Endpoint::new("r".into(), url, address, weight)
    }

    #[test]
    fn the_fewest_connections_for_the_weight_come_first() {
        let now = Micros::from_secs(9);
        for (loads, weights, better) in [
            ([0, 0], [1, 1], Ordering::Equal),
            ([0, 1], [1, 1], Ordering::Less),
            ([1, 1], [1, 2], Ordering::Greater),
            ([0, 1], [1, 2], Ordering::Equal),
            ([9, 20], [1, 2], Ordering::Less),
        ] {
            let [mut a, mut b] = weights.map(endpoint);
            (a.open, b.dialing) = (loads[0], loads[1]);
            assert_eq!(a.compare(&b, now), better, "{loads:?} {weights:?}");
            assert_eq!(b.compare(&a, now), better.reverse());
        }
    }

    #[test]
    fn an_address_is_avoided_twice_as_long_after_each_failure() {
        let (mut failing, other) = (endpoint(256), endpoint(1));
        let mut now = Micros::from_secs(100);
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(failing.compare(&other, now), Ordering::Less);
            failing.unreachable(now);
            let end = now + Micros::from_secs(seconds);
            assert_eq!(failing.compare(&other, end - Micros(1)), Ordering::Greater);
            now = end;
        }
        failing.answered();
        failing.unreachable(now);
        now += Micros::from_secs(1);
        assert_eq!(failing.compare(&other, now), Ordering::Less);
        // Only the third request without an answer counts as a failure.
        failing.answered();
        for expected in [Ordering::Less, Ordering::Less, Ordering::Greater] {
            failing.unanswered(now);
            assert_eq!(failing.compare(&other, now), expected);
        }
    }

    #[test]
    fn a_frozen_service_gets_no_clients_while_another_is_well() {
        let now = Micros::ZERO;
        let (mut frozen, mut other) = (endpoint(1), endpoint(1));
        (frozen.open, frozen.suspects, other.open) = (19, 10, 500);
        assert_eq!(frozen.compare(&other, now), Ordering::Greater);
        other.unreachable(now);
        assert_eq!(frozen.compare(&other, now), Ordering::Less);
    }
}
