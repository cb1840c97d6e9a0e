//! When the loop has stalled.

use crate::base::bounded;
use crate::base::time::Micros;
use std::collections::VecDeque;

/// The stalls that are remembered.
const STALLS_MAX: usize = 16;

/// How long after a stall something may still be heard that a peer did in it: what has arrived is
/// read in several turns.
const TAIL: Micros = Micros::from_secs(1);

/// The latest stalls of the loop, each a point in engine time, which does not go on in a stall.
#[derive(Debug, Default)]
pub(super) struct StallWatch {
    /// The sum of all stalls at the last look.
    sum: Micros,
    /// When each was noticed, and how long it took.
    stalls: VecDeque<(Micros, Micros)>,
}

impl StallWatch {
    /// Looks at the sum of all stalls. A stall counts as having happened now if the sum has grown
    /// since the last look. What clients did in a stall is handled in the turn after it, so for
    /// their ends this is exact.
    pub(super) fn look(&mut self, now: Micros, sum: Micros) {
        if sum > self.sum {
            bounded::push(&mut self.stalls, STALLS_MAX, (now, sum - self.sum));
            self.sum = sum;
        }
    }

    /// Returns the longest stall since this point, at which a peer was heard. What it did in a
    /// stall is heard after it, so a stall just before this point counts, too.
    pub(super) fn longest_since(&self, heard: Micros) -> Micros {
        let stalls = self.stalls.iter().filter(|(at, _)| *at + TAIL >= heard);
        stalls.map(|(_, stall)| *stall).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_found_in_the_silence_that_it_interrupts() {
        let s = Micros::from_secs;
        let mut watch = StallWatch::default();
        watch.look(s(5), Micros::ZERO);
        assert_eq!(watch.longest_since(Micros::ZERO), Micros::ZERO);
        watch.look(s(10), s(30));
        watch.look(s(20), s(31));
        watch.look(s(21), s(31));
        assert_eq!(watch.longest_since(s(11)), s(30));
        assert_eq!(watch.longest_since(s(11) + Micros(1)), s(1));
        assert_eq!(watch.longest_since(s(21)), s(1));
        assert_eq!(watch.longest_since(s(21) + Micros(1)), Micros::ZERO);
        (0..100).for_each(|n| watch.look(s(30 + n), s(40 + n)));
        assert_eq!(watch.stalls.len(), STALLS_MAX);
    }
}
