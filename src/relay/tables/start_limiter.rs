//! Rate limit on the starts and stops of apps by one user; each may cause a webhook.

use crate::base::time::Micros;
use std::collections::HashMap;

/// The most starts and stops of apps that a user may make at once.
const BURST: u64 = 60;

/// The time after which a user may make one more start or stop.
const REFILL: Micros = Micros::from_secs(1);

/// The most users that are counted at one time.
const USERS_MAX: usize = 10_000;

/// The shortest time between two scans of a full table.
const SCAN_INTERVAL: Micros = Micros::from_secs(1);

/// A token bucket for each user with recent starts or stops of apps. It outlives the session.
#[derive(Debug, Default)]
pub(in crate::relay) struct StartLimiter {
    /// When the bucket of each user is full again.
    full_at: HashMap<Box<str>, Micros>,
    next_scan: Micros,
}

impl StartLimiter {
    /// Takes a token of this user. Returns how long to wait if there is none. If the table is full,
    /// a new user is not counted: that takes ten thousand users with starts and stops in the same
    /// minute.
    pub(in crate::relay) fn take_token(&mut self, user: &str, now: Micros) -> Option<Micros> {
        let burst = Micros(REFILL.0 * (BURST - 1));
        if let Some(full_at) = self.full_at.get_mut(user) {
            let from = (*full_at).max(now);
            if from > now + burst {
                return Some(from - (now + burst));
            }
            *full_at = from + REFILL;
            return None;
        }
        if self.full_at.len() >= USERS_MAX && now >= self.next_scan {
            self.next_scan = now + SCAN_INTERVAL;
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        if self.full_at.len() < USERS_MAX {
            self.full_at.insert(user.into(), now + REFILL);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_span_has_more_than_the_burst_and_one_a_second() {
        let mut limiter = StartLimiter::default();
        let mut now = Micros::from_secs(1_000);
        let mut allowed = Vec::new();
        for _ in 0..3_000 {
            match limiter.take_token("ada", now) {
                None => allowed.push(now),
                Some(left) => {
                    assert!(left <= REFILL);
                    assert_eq!(
                        limiter.take_token("ada", now),
                        Some(left),
                        "nothing is taken"
                    );
                }
            }
            assert_eq!(limiter.take_token(&format!("{}", now.0), now), None);
            now += Micros::from_millis(100);
        }
        assert_eq!(allowed.len() as u64, BURST + 299);
        for (i, from) in allowed.iter().enumerate() {
            for seconds in [1, 10, 100] {
                let until = *from + Micros::from_secs(seconds);
                let within = allowed[i..].iter().take_while(|at| **at < until).count() as u64;
                assert!(within <= BURST + seconds);
            }
        }
    }

    #[test]
    fn a_wait_as_long_as_told_is_enough_and_the_table_is_bounded() {
        let mut limiter = StartLimiter::default();
        let now = Micros::from_secs(10);
        let burst = (0..).find_map(|n| limiter.take_token("ada", now).map(|left| (n, left)));
        let (n, left) = burst.expect("refused");
        assert_eq!(n, BURST);
        assert_eq!(limiter.take_token("ada", now + left), None);
        for n in 0..2 * USERS_MAX {
            assert_eq!(limiter.take_token(&format!("u{n}"), now), None);
        }
        assert_eq!(limiter.full_at.len(), USERS_MAX);
        limiter.take_token("late", now + Micros::from_secs(100));
        assert_eq!(limiter.full_at.len(), 1);
    }
}
