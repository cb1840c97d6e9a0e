//! How often a client may say what nothing depends on.

use crate::base::time::Micros;

/// The average time between two states of a client, at least. The protocol asks for 10 s.
const STATE_INTERVAL: Micros = Micros::from_secs(2);

/// The states that may come at once.
const STATE_BURST: u64 = 5;

/// A frame that was ignored, because such frames came too often on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IgnoredFrame {
    /// A state: more than 5 at once, or more than one in 2 s on average.
    State,
    /// A report after the first one.
    Report,
}

/// What a client has told on its connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct ToldLimit {
    has_report: bool,
    /// When the states so far are used up: each takes [`STATE_INTERVAL`].
    states_until: Micros,
}

impl ToldLimit {
    /// Nothing was told yet.
    pub(super) const NOTHING: Self = ToldLimit {
        has_report: false,
        states_until: Micros::ZERO,
    };

    /// Counts a state. Returns whether it is taken.
    pub(super) fn take_state(&mut self, now: Micros) -> bool {
        let burst = Micros(STATE_INTERVAL.0 * STATE_BURST);
        let until = self.states_until.max(now) + STATE_INTERVAL;
        let is_taken = until <= now + burst;
        if is_taken {
            self.states_until = until;
        }
        is_taken
    }

    /// Counts a report. Returns whether it is taken.
    pub(super) const fn take_report(&mut self) -> bool {
        !std::mem::replace(&mut self.has_report, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_taken_in_a_burst_and_then_one_in_two_seconds() {
        let mut told = ToldLimit::NOTHING;
        let start = Micros::from_secs(100);
        let at_once = (0..20).filter(|_| told.take_state(start)).count();
        assert_eq!(at_once, 5);
        let later = |ms| start + Micros::from_millis(ms);
        let taken = (0..100).filter(|n| told.take_state(later(n * 100)));
        assert_eq!(taken.count(), 4, "in 9.9 s");
        // As the protocol asks.
        let mut told = ToldLimit::NOTHING;
        assert!((0..100).all(|n| told.take_state(later(n * 10_000))));
    }

    #[test]
    fn one_report_is_taken() {
        let mut told = ToldLimit::NOTHING;
        assert!(told.take_report());
        assert!(!told.take_report());
    }
}
