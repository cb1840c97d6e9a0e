//! Turns spread evenly over a span of time: after a tenth of the span, a tenth of them are due.

use crate::base::time::Micros;

/// A number of events, such as closes, spread evenly over a span of time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    /// The start of the span.
    pub(crate) started: Micros,
    /// The length of the span.
    pub(crate) span: Micros,
    /// The number of events in the span.
    pub(crate) total: u64,
}

impl Spread {
    /// Returns the end of the span.
    pub(crate) fn end(&self) -> Micros {
        self.started + self.span
    }

    /// Returns whether the span is over.
    pub(crate) fn is_over(&self, now: Micros) -> bool {
        now - self.started >= self.span
    }

    /// Returns how many events are due by now, rounded down; `u64::MAX` once the span is over.
    pub(crate) fn due(&self, now: Micros) -> u64 {
        if self.is_over(now) {
            return u64::MAX;
        }
        let elapsed = now - self.started;
        (u128::from(self.total) * u128::from(elapsed.0) / u128::from(self.span.0)) as u64
    }

    /// Returns when the event of this number, counted from 1, is due. Events beyond the total are
    /// due at the end of the span.
    pub(crate) fn due_at(&self, turn: u64) -> Micros {
        if turn >= self.total {
            return self.end();
        }
        let part = u128::from(self.span.0) * u128::from(turn);
        self.started + Micros(part.div_ceil(u128::from(self.total)) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_due_from_its_moment_on_and_not_before() {
        for (span, total) in [(0, 5), (1, 3), (7, 3), (10_000, 10), (999, 1_000)] {
            let spread = Spread {
                started: Micros(50),
                span: Micros(span),
                total,
            };
            for turn in 1..=total + 1 {
                let at = spread.due_at(turn);
                assert!(spread.due(at) >= turn, "{spread:?} {turn}");
                let before = at - Micros(1);
                let is_early = before < spread.started || spread.due(before) < turn;
                assert!(is_early, "{spread:?} {turn}");
            }
            assert_eq!(spread.due_at(total), spread.end());
        }
    }

    #[test]
    fn without_turns_all_that_come_are_due_at_the_end() {
        let spread = Spread {
            started: Micros(50),
            span: Micros(10),
            total: 0,
        };
        assert_eq!((spread.due(Micros(59)), spread.due_at(1)), (0, Micros(60)));
        assert_eq!(spread.due(Micros(60)), u64::MAX);
    }
}
