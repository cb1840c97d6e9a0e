//! The recent connections of one name, and for how long it is refused.

use crate::base::time::Micros;
use std::collections::VecDeque;

/// The window in which reconnects are counted.
pub(super) const WINDOW: Micros = Micros::from_secs(60);

/// The first refusal of a name lasts this long, and each further one twice as long as the one
/// before.
const REFUSAL_MIN: Micros = Micros::from_secs(5);

/// The longest refusal of a name that reconnects too often.
const REFUSAL_MAX: Micros = Micros::from_secs(60);

/// The connections of one name in the last minute, and its refusals.
#[derive(Debug, Default)]
pub(super) struct Reconnects {
    /// The times of the connections in the last minute, oldest first.
    at: VecDeque<Micros>,
    /// The number of refusals in a row.
    refusals: u32,
    refused_until: Micros,
}

impl Reconnects {
    /// Counts a connection.
    pub(super) fn count(&mut self, limit: usize, now: Micros) {
        self.forget_old(now);
        self.at.push_back(now);
        // The limit may have been lowered.
        while self.at.len() > limit {
            self.at.pop_front();
        }
    }

    /// Returns how long from now the name is refused; `None` if it is admitted.
    pub(super) fn check_refusal(&mut self, limit: usize, now: Micros) -> Option<Micros> {
        self.forget_old(now);
        if let Some(left) = self.refusal_left(now) {
            return Some(left);
        }
        if self.at.len() < limit {
            return None;
        }
        // After a refusal of this length the window has room, so a client that waits is admitted.
        let room = self.at.front().map_or(now, |first| *first + WINDOW);
        let growing = Micros(REFUSAL_MIN.0 << self.refusals.min(4)).min(REFUSAL_MAX);
        self.refusals += 1;
        self.refused_until = room.max(now + growing);
        Some(self.refused_until - now)
    }

    /// Returns how long the name is still refused, without counting an attempt.
    pub(super) fn refusal_left(&self, now: Micros) -> Option<Micros> {
        (now < self.refused_until).then(|| self.refused_until - now)
    }

    /// Returns when the name last connected.
    pub(super) fn latest(&self) -> Micros {
        self.at.back().copied().unwrap_or_default()
    }

    /// Returns whether a whole window has passed since the last connection and the last refusal.
    pub(super) fn is_over(&self, now: Micros) -> bool {
        now >= self.latest().max(self.refused_until) + WINDOW
    }

    /// Forgets what is older than the window. A quiet window forgives the refusals, too.
    fn forget_old(&mut self, now: Micros) {
        if self.is_over(now) {
            self.refusals = 0;
        }
        while self.at.front().is_some_and(|at| now - *at >= WINDOW) {
            self.at.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_has_more_comebacks_than_the_limit_and_refusals_grow() {
        let mut name = Reconnects::default();
        let (mut admitted, mut refusals) = (Vec::new(), Vec::new());
        let mut now = Micros::from_secs(1_000);
        // It tries every 100 ms for ten minutes and ignores Retry-After.
        for _ in 0..6_000 {
            match name.check_refusal(15, now) {
                None => {
                    name.count(15, now);
                    admitted.push(now);
                }
                Some(left) => refusals.push(now + left),
            }
            now += Micros::from_millis(100);
        }
        for (i, at) in admitted.iter().enumerate() {
            let within = admitted[i..].iter().take_while(|t| **t - *at < WINDOW);
            assert!(within.count() <= 15);
        }
        assert!(admitted.len() > 15, "it is let in again");
        refusals.dedup();
        assert!(refusals.windows(2).all(|w| w[0] <= w[1]));
    }

    #[test]
    fn a_peer_that_waits_as_told_is_let_in_and_a_quiet_minute_forgives() {
        let mut name = Reconnects::default();
        let mut now = Micros::from_secs(10);
        for _ in 0..15 {
            assert_eq!(name.check_refusal(15, now), None);
            name.count(15, now);
            now += Micros::from_secs(1);
        }
        let left = name.check_refusal(15, now).expect("refused");
        assert_eq!(
            left,
            Micros::from_secs(45),
            "the first of the fifteen is 15 s old"
        );
        assert_eq!(name.refusal_left(now), Some(left));
        now += left;
        assert_eq!(name.check_refusal(15, now), None);
        name.count(15, now);
        assert!(!name.is_over(now) && name.refusals == 1);
        now += Micros::from_secs(120);
        assert!(name.is_over(now));
        assert_eq!(name.check_refusal(15, now), None);
        assert!(name.at.is_empty() && name.refusals == 0);
    }

    #[test]
    fn slow_comebacks_never_count() {
        let mut name = Reconnects::default();
        for n in 0..1_000 {
            let now = Micros::from_secs(n * 5);
            assert_eq!(name.check_refusal(15, now), None);
            name.count(15, now);
        }
    }
}
