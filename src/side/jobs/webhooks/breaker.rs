//! The circuit breaker: an app's server that is down gets no requests for a while, then one request
//! as a probe.

use crate::base::time::Micros;
use std::collections::HashMap;
use std::sync::Arc;

/// Failed attempts in a row after which an app's server is considered down.
pub(super) const FAILURES_TO_OPEN: u32 = 5;

/// The first pause without requests to a server that is down; doubled each time that a probe (a
/// single test request) fails.
pub(super) const PAUSE_MIN: Micros = Micros::from_secs(10);

/// The longest pause without requests to a server that is down.
pub(super) const PAUSE_MAX: Micros = Micros::from_secs(300);

/// The limit of packages with remembered failures. A package without failures is not remembered, so
/// the limit matters only if many servers are down.
const PACKAGES_MAX: usize = 10_000;

/// When a request to an app's server may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SendDecision {
    /// The request may be sent.
    Send,
    /// The request must wait until the probe (a single test request) has returned.
    Wait,
    /// The request must not be sent: the server is considered down.
    Refuse,
}

/// A change of the state of a breaker, which stops requests to a server that is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BreakerChange {
    /// The server gets no requests until this time.
    Opened(Micros),
    /// The server is up again.
    Closed,
}

/// The breaker of a package with failures.
#[derive(Debug)]
struct Breaker {
    state: BreakerState,
    url: Arc<str>,
    last_failure: Micros,
    last_error: Box<str>,
}

/// The state of a breaker: closed (requests are sent), open, or half open.
#[derive(Debug, Clone, Copy)]
enum BreakerState {
    /// The server is not considered down; this many attempts in a row have failed.
    Closed(u32),
    Open {
        since: Micros,
        until: Micros,
        pause: Micros,
    },
    /// The probe (a single test request) was sent and has not returned.
    HalfOpen { since: Micros, pause: Micros },
}

/// A package with a server that is considered down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DownServer<'a> {
    pub(super) package: &'a str,
    pub(super) since: Micros,
    pub(super) last_error: &'a str,
}

/// The breakers of all packages.
#[derive(Debug, Default)]
pub(super) struct Breakers {
    by_package: HashMap<Arc<str>, Breaker>,
}

impl Breakers {
    pub(super) fn decide(&self, package: &str, now: Micros) -> SendDecision {
        match self.by_package.get(package).map(|b| b.state) {
            None | Some(BreakerState::Closed(_)) => SendDecision::Send,
            Some(BreakerState::Open { until, .. }) if now < until => SendDecision::Refuse,
            Some(BreakerState::Open { .. }) => SendDecision::Send,
            Some(BreakerState::HalfOpen { .. }) => SendDecision::Wait,
        }
    }

    /// Records the start of an attempt that was admitted; returns whether it is the probe.
    pub(super) fn begin_attempt(&mut self, package: &str) -> bool {
        let Some(breaker) = self.by_package.get_mut(package) else {
            return false;
        };
        match breaker.state {
            BreakerState::Closed(_) | BreakerState::HalfOpen { .. } => false,
            BreakerState::Open { since, pause, .. } => {
                breaker.state = BreakerState::HalfOpen { since, pause };
                true
            }
        }
    }

    /// Records the current URL of an app's server; failures at another URL are forgotten.
    pub(super) fn set_url(&mut self, package: &str, url: &str) {
        let breaker = self.by_package.get(package);
        if breaker.is_some_and(|breaker| *breaker.url != *url) {
            self.by_package.remove(package);
        }
    }

    /// Records a successful attempt.
    pub(super) fn record_success(&mut self, package: &str) -> Option<BreakerChange> {
        match self.by_package.remove(package)?.state {
            BreakerState::Closed(_) => None,
            BreakerState::Open { .. } | BreakerState::HalfOpen { .. } => {
                Some(BreakerChange::Closed)
            }
        }
    }

    /// Records a failed attempt; `is_probe`: it was the probe.
    pub(super) fn record_failure(
        &mut self,
        package: &Arc<str>,
        url: &Arc<str>,
        now: Micros,
        is_probe: bool,
        error: &str,
    ) -> Option<BreakerChange> {
        if !self.by_package.contains_key(package) && self.by_package.len() >= PACKAGES_MAX {
            self.evict_oldest();
        }
        let breaker = self.by_package.entry(package.clone()).or_insert(Breaker {
            state: BreakerState::Closed(0),
            url: url.clone(),
            last_failure: now,
            last_error: error.into(),
        });
        (breaker.last_failure, breaker.last_error) = (now, error.into());
        let (since, pause) = match breaker.state {
            BreakerState::Closed(failures) if failures + 1 < FAILURES_TO_OPEN => {
                breaker.state = BreakerState::Closed(failures + 1);
                return None;
            }
            BreakerState::Closed(_) => (now, PAUSE_MIN),
            BreakerState::HalfOpen { since, pause } if is_probe => {
                (since, (pause + pause).min(PAUSE_MAX))
            }
            // The attempt began before the breaker opened.
            BreakerState::Open { .. } | BreakerState::HalfOpen { .. } => return None,
        };
        let until = now + pause;
        breaker.state = BreakerState::Open {
            since,
            until,
            pause,
        };
        Some(BreakerChange::Opened(until))
    }

    fn evict_oldest(&mut self) {
        let oldest = self.by_package.iter().min_by_key(|(_, b)| b.last_failure);
        if let Some(package) = oldest.map(|(package, _)| package.clone()) {
            self.by_package.remove(&package);
        }
    }

    /// Returns the packages with a server that is considered down.
    pub(super) fn down(&self) -> impl Iterator<Item = DownServer<'_>> {
        self.by_package.iter().filter_map(|(package, breaker)| {
            let since = match breaker.state {
                BreakerState::Closed(_) => return None,
                BreakerState::Open { since, .. } | BreakerState::HalfOpen { since, .. } => since,
            };
            Some(DownServer {
                package,
                since,
                last_error: &breaker.last_error,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Micros = Micros::from_secs;

    fn fail(breakers: &mut Breakers, now: u64, is_probe: bool) -> Option<BreakerChange> {
        breakers.record_failure(&"p".into(), &"u".into(), S(now), is_probe, "status 500")
    }

    fn opened() -> Breakers {
        let mut breakers = Breakers::default();
        for _ in 1..FAILURES_TO_OPEN {
            assert_eq!(fail(&mut breakers, 0, false), None);
        }
        assert_eq!(
            fail(&mut breakers, 0, false),
            Some(BreakerChange::Opened(S(10)))
        );
        breakers
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let mut breakers = Breakers::default();
        for _ in 0..3 {
            for _ in 1..FAILURES_TO_OPEN {
                assert_eq!(fail(&mut breakers, 0, false), None);
            }
            assert_eq!(breakers.record_success("p"), None);
        }
        assert_eq!(breakers.decide("p", S(0)), SendDecision::Send);
        assert!(breakers.by_package.is_empty(), "nothing to remember");
        let breakers = opened();
        assert_eq!(breakers.decide("p", S(9)), SendDecision::Refuse);
        assert_eq!(breakers.decide("q", S(9)), SendDecision::Send);
        assert_eq!(breakers.down().next().map(|d| d.since), Some(S(0)));
    }

    #[test]
    fn one_is_let_through_and_decides() {
        let mut breakers = opened();
        assert_eq!(breakers.decide("p", S(10)), SendDecision::Send);
        assert!(breakers.begin_attempt("p"));
        assert_eq!(breakers.decide("p", S(11)), SendDecision::Wait);
        assert_eq!(fail(&mut breakers, 11, false), None, "an old one");
        assert_eq!(breakers.decide("p", S(11)), SendDecision::Wait);
        assert_eq!(breakers.record_success("p"), Some(BreakerChange::Closed));
        assert_eq!(breakers.decide("p", S(11)), SendDecision::Send);
        assert_eq!(breakers.down().count(), 0);
    }

    #[test]
    fn the_pause_doubles_up_to_its_limit() {
        let (mut breakers, mut now) = (opened(), 10);
        for pause in [20, 40, 80, 160, 300, 300] {
            assert!(breakers.begin_attempt("p"));
            let change = fail(&mut breakers, now, true);
            assert_eq!(change, Some(BreakerChange::Opened(S(now + pause))));
            assert_eq!(
                breakers.decide("p", S(now + pause - 1)),
                SendDecision::Refuse
            );
            now += pause;
            assert_eq!(breakers.decide("p", S(now)), SendDecision::Send);
        }
        assert_eq!(
            breakers.down().next().map(|d| d.since),
            Some(S(0)),
            "all the time"
        );
    }

    #[test]
    fn a_server_that_has_moved_begins_anew() {
        let mut breakers = opened();
        breakers.set_url("p", "u");
        assert_eq!(breakers.decide("p", S(0)), SendDecision::Refuse);
        breakers.set_url("p", "elsewhere");
        assert_eq!(breakers.decide("p", S(0)), SendDecision::Send);
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut breakers = Breakers::default();
        for n in 0..PACKAGES_MAX as u64 + 5 {
            breakers.record_failure(&format!("p{n}").into(), &"u".into(), S(n), false, "");
        }
        assert_eq!(breakers.by_package.len(), PACKAGES_MAX);
        assert!(!breakers.by_package.contains_key("p4"));
        assert!(breakers.by_package.contains_key("p5"));
    }
}
