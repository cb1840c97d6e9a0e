//! The circuit breaker: an app's server that is down gets no requests for a while, then one request
//! as a probe.

use crate::base::time::Micros;
use std::collections::HashMap;
use std::sync::Arc;

/// Failed attempts in a row after which an app's server is considered down.
pub(super) const FAILURES: u32 = 5;

/// The first pause without requests to a server that is down; doubled each time that a probe (a
/// single test request) fails.
pub(super) const LEAST_PAUSE: Micros = Micros::from_secs(10);

/// The longest pause without requests to a server that is down.
pub(super) const MOST_PAUSE: Micros = Micros::from_secs(300);

/// The limit of packages with remembered failures. A package without failures is not remembered, so
/// the limit matters only if many servers are down.
const REMEMBERED: usize = 10_000;

/// Whether a request to an app's server may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// The request may be sent.
    Yes,
    /// The request must wait until the probe (a single test request) has returned.
    Later,
    /// The request must not be sent: the server is considered down.
    No,
}

/// A change of the state of a breaker, which stops requests to a server that is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The server gets no requests until this time.
    Opened(Micros),
    /// The server is up again.
    Closed,
}

/// The breaker of a package with failures.
#[derive(Debug)]
struct Breaker {
    state: State,
    url: Arc<str>,
    last_failure: Micros,
    last_error: Box<str>,
}

#[derive(Debug, Clone, Copy)]
enum State {
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
pub(super) struct Down<'a> {
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
    pub(super) fn admits(&self, package: &str, now: Micros) -> Admission {
        match self.by_package.get(package).map(|b| b.state) {
            None | Some(State::Closed(_)) => Admission::Yes,
            Some(State::Open { until, .. }) if now < until => Admission::No,
            Some(State::Open { .. }) => Admission::Yes,
            Some(State::HalfOpen { .. }) => Admission::Later,
        }
    }

    /// Records the start of an attempt that was admitted; returns whether it is the probe.
    pub(super) fn begun(&mut self, package: &str) -> bool {
        let Some(breaker) = self.by_package.get_mut(package) else {
            return false;
        };
        match breaker.state {
            State::Closed(_) | State::HalfOpen { .. } => false,
            State::Open { since, pause, .. } => {
                breaker.state = State::HalfOpen { since, pause };
                true
            }
        }
    }

    /// Records the current URL of an app's server; failures at another URL are forgotten.
    pub(super) fn found_at(&mut self, package: &str, url: &str) {
        let breaker = self.by_package.get(package);
        if breaker.is_some_and(|breaker| *breaker.url != *url) {
            self.by_package.remove(package);
        }
    }

    /// Records a successful attempt.
    pub(super) fn succeeded(&mut self, package: &str) -> Option<Change> {
        match self.by_package.remove(package)?.state {
            State::Closed(_) => None,
            State::Open { .. } | State::HalfOpen { .. } => Some(Change::Closed),
        }
    }

    /// Records a failed attempt; `is_probe`: it was the probe.
    pub(super) fn failed(
        &mut self,
        package: &Arc<str>,
        url: &Arc<str>,
        now: Micros,
        is_probe: bool,
        error: &str,
    ) -> Option<Change> {
        if !self.by_package.contains_key(package) && self.by_package.len() >= REMEMBERED {
            self.forget_the_oldest();
        }
        let breaker = self.by_package.entry(package.clone()).or_insert(Breaker {
            state: State::Closed(0),
            url: url.clone(),
            last_failure: now,
            last_error: error.into(),
        });
        (breaker.last_failure, breaker.last_error) = (now, error.into());
        let (since, pause) = match breaker.state {
            State::Closed(failures) if failures + 1 < FAILURES => {
                breaker.state = State::Closed(failures + 1);
                return None;
            }
            State::Closed(_) => (now, LEAST_PAUSE),
            State::HalfOpen { since, pause } if is_probe => {
                (since, (pause + pause).min(MOST_PAUSE))
            }
            // The attempt began before the breaker opened.
            State::Open { .. } | State::HalfOpen { .. } => return None,
        };
        let until = now + pause;
        breaker.state = State::Open {
            since,
            until,
            pause,
        };
        Some(Change::Opened(until))
    }

    fn forget_the_oldest(&mut self) {
        let oldest = self.by_package.iter().min_by_key(|(_, b)| b.last_failure);
        if let Some(package) = oldest.map(|(package, _)| package.clone()) {
            self.by_package.remove(&package);
        }
    }

    /// Returns the packages with a server that is considered down.
    pub(super) fn down(&self) -> impl Iterator<Item = Down<'_>> {
        self.by_package.iter().filter_map(|(package, breaker)| {
            let since = match breaker.state {
                State::Closed(_) => return None,
                State::Open { since, .. } | State::HalfOpen { since, .. } => since,
            };
            Some(Down {
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

    fn fail(breakers: &mut Breakers, now: u64, is_probe: bool) -> Option<Change> {
        breakers.failed(&"p".into(), &"u".into(), S(now), is_probe, "status 500")
    }

    fn opened() -> Breakers {
        let mut breakers = Breakers::default();
        for _ in 1..FAILURES {
            assert_eq!(fail(&mut breakers, 0, false), None);
        }
        assert_eq!(fail(&mut breakers, 0, false), Some(Change::Opened(S(10))));
        breakers
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let mut breakers = Breakers::default();
        for _ in 0..3 {
            for _ in 1..FAILURES {
                assert_eq!(fail(&mut breakers, 0, false), None);
            }
            assert_eq!(breakers.succeeded("p"), None);
        }
        assert_eq!(breakers.admits("p", S(0)), Admission::Yes);
        assert!(breakers.by_package.is_empty(), "nothing to remember");
        let breakers = opened();
        assert_eq!(breakers.admits("p", S(9)), Admission::No);
        assert_eq!(breakers.admits("q", S(9)), Admission::Yes);
        assert_eq!(breakers.down().next().map(|d| d.since), Some(S(0)));
    }

    #[test]
    fn one_is_let_through_and_decides() {
        let mut breakers = opened();
        assert_eq!(breakers.admits("p", S(10)), Admission::Yes);
        assert!(breakers.begun("p"));
        assert_eq!(breakers.admits("p", S(11)), Admission::Later);
        assert_eq!(fail(&mut breakers, 11, false), None, "an old one");
        assert_eq!(breakers.admits("p", S(11)), Admission::Later);
        assert_eq!(breakers.succeeded("p"), Some(Change::Closed));
        assert_eq!(breakers.admits("p", S(11)), Admission::Yes);
        assert_eq!(breakers.down().count(), 0);
    }

    #[test]
    fn the_pause_doubles_up_to_its_limit() {
        let (mut breakers, mut now) = (opened(), 10);
        for pause in [20, 40, 80, 160, 300, 300] {
            assert!(breakers.begun("p"));
            let change = fail(&mut breakers, now, true);
            assert_eq!(change, Some(Change::Opened(S(now + pause))));
            assert_eq!(breakers.admits("p", S(now + pause - 1)), Admission::No);
            now += pause;
            assert_eq!(breakers.admits("p", S(now)), Admission::Yes);
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
        breakers.found_at("p", "u");
        assert_eq!(breakers.admits("p", S(0)), Admission::No);
        breakers.found_at("p", "elsewhere");
        assert_eq!(breakers.admits("p", S(0)), Admission::Yes);
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut breakers = Breakers::default();
        for n in 0..REMEMBERED as u64 + 5 {
            breakers.failed(&format!("p{n}").into(), &"u".into(), S(n), false, "");
        }
        assert_eq!(breakers.by_package.len(), REMEMBERED);
        assert!(!breakers.by_package.contains_key("p4"));
        assert!(breakers.by_package.contains_key("p5"));
    }
}
