//! One address behind a route, and what is known of it.

use super::listing::Listing;
use super::refusal_guard::RefusalGuard;
use super::request_count::RequestCount;
use super::request_kind::RequestKind;
use super::standing::Standing;
use crate::base::address_block::AddressBlock;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::bridge::balance::{rendezvous_score, stable_hash};
use crate::bridge::block_shares::{BlockShares, limit_for};
use crate::bridge::frozen::{FrozenGuard, UpstreamState};
use crate::bridge::handshake_stats::HandshakeStats;
use crate::bridge::sticky::sticky_token;
use crate::bridge::upstream::{UpstreamUrl, address_text};
use crate::bridge::upstream_row::{UpstreamCondition, UpstreamRow};
use crate::engine::DialAddress;
use crate::host::{LogValue, PairTarget};
use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

/// After this many failed health checks, one after the other, an address is unhealthy.
const FAILURES: u32 = 2;

/// The least part of its weight, in thousandths, that an address has while it starts slowly.
const SLOW_LEAST: u64 = 100;

/// One address behind a route.
#[derive(Debug)]
pub(in crate::bridge) struct Endpoint {
    /// The name of the route.
    pub(in crate::bridge) route: Arc<str>,
    pub(in crate::bridge) url: UpstreamUrl,
    pub(in crate::bridge) address: DialAddress,
    /// The address as operators see it.
    text: Arc<str>,
    /// The address's part of the clients.
    pub(in crate::bridge) weight: u32,
    pub(in crate::bridge) listing: Listing,
    /// Whether an operator has drained it: it gets no new clients, and its pairs are closed.
    pub(in crate::bridge) is_drained: bool,
    /// Until when it still serves its own clients, by their sticky cookies, while it is drained.
    own_until: Micros,
    /// The value of the sticky cookie of its clients.
    pub(in crate::bridge) token: Box<str>,
    /// What it is for rendezvous hashing.
    hash: u64,
    /// Since when it takes clients after a time without; `None`: since the start.
    warm_since: Option<Micros>,
    /// Connections that are being made, or whose request is not answered.
    pub(super) dialing: u64,
    /// These connections by the client that each is for, in the order in which they were begun.
    pub(in crate::bridge) shares: BlockShares<(u64, ConnId)>,
    /// Connections that are one leg of a pair.
    pub(super) open: u64,
    pub(in crate::bridge) handshakes: HandshakeStats,
    /// Plain HTTP requests that are in progress.
    pub(in crate::bridge) requests: RequestCount,
    /// The part of `open` with a ping that has been unanswered for a whole interval.
    pub(super) suspects: u64,
    pub(in crate::bridge) frozen: FrozenGuard,
    /// Failures in a row.
    pub(super) failures: u32,
    /// The clients whose requests were not answered since the last answer.
    pub(super) silent_for: Vec<AddressBlock>,
    /// How many plain HTTP requests were answered when the first of these was not.
    pub(super) answers_then: u64,
    /// What the last failure was.
    pub(super) failed_as: Failure,
    /// When a request was last answered.
    pub(super) answered_at: Micros,
    /// Whether it refuses requests, by their kind.
    pub(super) refusals: [RefusalGuard; RequestKind::COUNT],
    /// Until when the address is avoided.
    pub(super) avoided_until: Micros,
    /// Whether its service answers no pings. This outlives the connections that have shown it.
    pub(super) is_unresponsive: bool,
    /// The walk that closes its pairs, if one does.
    pub(in crate::bridge) leaving: Option<u32>,
    /// Failed health checks in a row.
    pub(super) failed_checks: u32,
    /// Since when it is in its condition, and why.
    standing: Standing,
}

/// What it was that an upstream has failed at. Not every success makes up for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No connection could be made.
    Unreachable,
    /// Requests were not answered: a health check that succeeds says nothing of them.
    Unanswered,
    /// No ping was answered on any connection. The kernel accepts connections for such a service.
    Silent,
}

impl Endpoint {
    /// Makes an address without connections.
    pub(in crate::bridge) fn new(
        route: Arc<str>,
        url: UpstreamUrl,
        address: DialAddress,
        weight: u32,
    ) -> Self {
        let text = address_text(&address);
        Endpoint {
            token: sticky_token(&route, &text),
            hash: stable_hash(&[text.as_bytes()]),
            is_drained: false,
            own_until: Micros::ZERO,
            warm_since: None,
            route,
            url,
            address,
            weight,
            text: text.into(),
            listing: Listing::Listed,
            dialing: 0,
            shares: BlockShares::default(),
            open: 0,
            handshakes: HandshakeStats::default(),
            requests: RequestCount::default(),
            suspects: 0,
            frozen: FrozenGuard::default(),
            failures: 0,
            silent_for: Vec::new(),
            answers_then: 0,
            failed_as: Failure::Unreachable,
            answered_at: Micros::ZERO,
            refusals: Default::default(),
            avoided_until: Micros::ZERO,
            is_unresponsive: false,
            leaving: None,
            failed_checks: 0,
            standing: Standing::default(),
        }
    }

    /// Returns whether an operator means this address of a route: by the address itself, or by the
    /// location that the route names.
    pub(in crate::bridge) fn is_named(&self, route: &str, upstream: &str) -> bool {
        *self.route == *route && (self.url.as_str() == upstream || *self.text == *upstream)
    }

    /// Returns where the pairs of the address lead.
    pub(in crate::bridge) fn target(&self) -> PairTarget {
        PairTarget {
            route: self.route.clone(),
            upstream: self.text.clone(),
        }
    }

    /// Notes what has become of the address's condition, and why. A change is logged, once.
    pub(in crate::bridge) fn settle(&mut self, now: Micros, why: &str) {
        let condition = self.condition();
        if self.standing.change(condition, now, why) {
            let why = LogValue(self.standing.reason());
            log::log!(
                self.standing.level(),
                "upstream route={} address={} state={condition} reason={why}",
                self.route,
                self.text,
            );
        }
    }

    /// Returns whether the address gets new clients, and why not.
    pub(in crate::bridge) fn condition(&self) -> UpstreamCondition {
        match self.listing {
            Listing::Removed => UpstreamCondition::Removed,
            Listing::Vanished => UpstreamCondition::Vanished,
            Listing::Listed if self.is_drained => UpstreamCondition::Drained,
            Listing::Listed if self.is_unresponsive => UpstreamCondition::Unresponsive,
            Listing::Listed if self.is_unhealthy() => UpstreamCondition::Unhealthy,
            Listing::Listed if self.failures > 0 => UpstreamCondition::Avoided,
            Listing::Listed if self.is_refusing() => UpstreamCondition::Refusing,
            Listing::Listed => UpstreamCondition::Up,
        }
    }

    /// Returns the address with all its numbers. `sources` are the source addresses of its route.
    pub(in crate::bridge) fn row(&self, now: Micros, sources: &[IpAddr]) -> UpstreamRow {
        let per_source = match &self.address {
            DialAddress::Tcp(to) | DialAddress::TcpFrom(to, _) => {
                let fitting = sources.iter().filter(|s| s.is_ipv4() == to.is_ipv4());
                let all = self.open + self.dialing + self.requests.running();
                all.div_ceil(fitting.count().max(1) as u64)
            }
            DialAddress::Unix(_) => 0,
        };
        UpstreamRow {
            route: self.route.clone(),
            url: self.url.to_string(),
            address: self.text.to_string(),
            weight: self.weight,
            state: self.condition(),
            avoided_for: self.avoided_for(now),
            pairs: self.open,
            dialing: self.dialing,
            suspects: self.suspects,
            handshakes: self.handshakes,
            since: self.standing.since(),
            reason: self.standing.reason().to_owned(),
            is_frozen: self.is_frozen(),
            per_source,
        }
    }

    /// Returns whether the last requests have failed, so that an answer changes something.
    pub(in crate::bridge) fn is_in_doubt(&self) -> bool {
        self.failures > 0
            || self.is_unresponsive
            || !self.silent_for.is_empty()
            || self.refusals.iter().any(RefusalGuard::is_in_doubt)
    }

    /// Returns whether the address refuses requests of some kind.
    fn is_refusing(&self) -> bool {
        self.refusals.iter().any(RefusalGuard::is_refusing)
    }

    /// Returns whether new clients may go to the address, as far as its connections and its answers
    /// to requests of a kind tell.
    pub(in crate::bridge) fn is_inviting(&self, kind: RequestKind, now: Micros) -> bool {
        self.is_well(now) && !self.refusals[kind as usize].keeps_away(now)
    }

    /// Returns whether a client may have another request answered by the address, of which `most`
    /// may wait for an answer. `is_contended`: whether other clients ask, too.
    pub(in crate::bridge) fn admits(
        &self,
        client: AddressBlock,
        most: u64,
        is_contended: bool,
    ) -> bool {
        let held = self.shares.count(client);
        self.dialing < limit_for(most, held, is_contended)
    }

    /// Returns whether its service has answered no ping, and nothing else since.
    pub(super) fn is_frozen(&self) -> bool {
        let has_ended = self.failures > 0 && self.failed_as == Failure::Silent;
        self.is_unresponsive || has_ended
    }

    /// Returns whether a connect would tell more than is known: the last one failed, its time is
    /// over, and no client tries now.
    pub(in crate::bridge) fn wants_connect(&self, now: Micros) -> bool {
        self.condition() == UpstreamCondition::Avoided
            && self.failed_as == Failure::Unreachable
            && self.avoided_until <= now
            && self.dialing == 0
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
            is_latched: self.is_unresponsive,
        }
    }

    /// Notes that the address takes clients from now on, after a time without.
    pub(in crate::bridge) fn begin(&mut self, now: Micros) {
        self.warm_since = Some(now);
    }

    /// Forgets the results of health checks that are not made any more.
    pub(in crate::bridge) fn forget_checks(&mut self) {
        self.failed_checks = 0;
    }

    /// Notes that the settings no longer have the address. That ends its drain, too.
    pub(in crate::bridge) fn remove(&mut self) {
        self.listing = Listing::Removed;
        self.is_drained = false;
    }

    /// Drains the address. Its own clients are served until a later time.
    pub(in crate::bridge) fn drain(&mut self, own_until: Micros) {
        self.is_drained = true;
        self.own_until = own_until;
    }

    /// Returns whether the address serves clients with its sticky cookie although it is drained: a
    /// session of theirs may consist of several requests.
    pub(in crate::bridge) fn keeps_own(&self, now: Micros) -> bool {
        self.listing == Listing::Listed && self.is_drained && now < self.own_until
    }

    /// Returns until when it does so; `None` if it does not.
    pub(in crate::bridge) fn own_until(&self, now: Micros) -> Option<Micros> {
        self.keeps_own(now).then_some(self.own_until)
    }

    /// Returns whether pairs are to leave the address.
    pub(in crate::bridge) fn is_left(&self) -> bool {
        self.is_drained || self.listing == Listing::Removed
    }

    /// Returns whether the address may get another request, if `most` may wait for its answer.
    pub(in crate::bridge) fn has_room(&self, most: u64) -> bool {
        self.is_candidate() && self.dialing < most
    }

    /// Returns why pairs are to leave the address, for their close frames.
    pub(in crate::bridge) fn why_left(&self) -> &'static str {
        match self.listing {
            Listing::Removed => "upstream removed",
            Listing::Listed | Listing::Vanished => "upstream drained",
        }
    }

    /// Returns whether new clients may go to the address.
    pub(in crate::bridge) fn is_candidate(&self) -> bool {
        self.listing == Listing::Listed && (!self.is_drained || sabotage::on(Bug::DrainedChosen))
    }

    /// Returns whether the address is reachable, and its service answers its pings, or it is time
    /// to try it again. This is for the choice of an address; operators are told its
    /// [condition](Self::condition).
    pub(super) fn is_well(&self, now: Micros) -> bool {
        let is_avoided = self.avoided_until > now || self.is_unhealthy();
        !is_avoided && !self.is_unresponsive
    }

    /// Returns whether the health checks of the address fail.
    pub(super) fn is_unhealthy(&self) -> bool {
        self.failed_checks >= FAILURES
    }

    /// Returns how long the address is still avoided.
    pub(in crate::bridge) fn avoided_for(&self, now: Micros) -> Micros {
        self.avoided_until - now
    }

    /// Returns the score of the address for a key.
    pub(super) fn score(&self, key: u64) -> f64 {
        rendezvous_score(key, self.hash, self.weight)
    }

    /// Returns the weight in thousandths. While the address starts slowly, it grows from a tenth.
    fn weight_now(&self, now: Micros, slow_start: Micros) -> u64 {
        let part = match self.warm_since {
            Some(since) if now - since < slow_start => {
                SLOW_LEAST.max(1_000 * (now - since).0 / slow_start.0)
            }
            _ => 1_000,
        };
        u64::from(self.weight) * part
    }

    /// Compares two addresses as the place for a new client: the lesser one is better. First those
    /// that are healthy, reachable, and whose service answers its pings; of equal ones, the one
    /// with the fewest connections for its weight.
    pub(super) fn compare(&self, other: &Self, now: Micros, slow_start: Micros) -> Ordering {
        let rank = |endpoint: &Self| {
            (
                endpoint.is_unhealthy(),
                endpoint.avoided_until > now,
                endpoint.is_unresponsive,
            )
        };
        // With the new client.
        let load =
            |endpoint: &Self| endpoint.dialing + endpoint.open + endpoint.requests.running() + 1;
        let by_load = || {
            let [mine, theirs] = [(self, other), (other, self)]
                .map(|(one, two)| load(one).saturating_mul(two.weight_now(now, slow_start)));
            mine.cmp(&theirs)
        };
        rank(self).cmp(&rank(other)).then_with(by_load)
    }
}

#[cfg(test)]
mod tests;
