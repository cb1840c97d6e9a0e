//! Counters of the handshakes with one upstream.

use crate::base::time::Micros;

/// What came of a handshake with an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeResult {
    /// A pair has opened.
    Opened,
    /// The upstream has answered with another status than 101.
    Refused,
    /// Its answer was not valid, or it has closed the connection without one.
    Invalid,
    /// It could not be reached, or not in time.
    Unreachable,
    /// It has not answered in time.
    Unanswered,
    /// The client has left before, or the gateway has given up for a reason of its own.
    Abandoned,
}

impl HandshakeResult {
    /// All results, in the order of their numbers.
    pub const ALL: [HandshakeResult; 6] = [
        HandshakeResult::Opened,
        HandshakeResult::Refused,
        HandshakeResult::Invalid,
        HandshakeResult::Unreachable,
        HandshakeResult::Unanswered,
        HandshakeResult::Abandoned,
    ];

    /// Returns the name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            HandshakeResult::Opened => "opened",
            HandshakeResult::Refused => "refused",
            HandshakeResult::Invalid => "invalid",
            HandshakeResult::Unreachable => "unreachable",
            HandshakeResult::Unanswered => "unanswered",
            HandshakeResult::Abandoned => "abandoned",
        }
    }
}

/// Counters of the handshakes with one upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HandshakeStats {
    counts: [u64; HandshakeResult::ALL.len()],
    /// The time from the dial to the answer, summed over all answers.
    answer_time: Micros,
}

impl HandshakeStats {
    /// Counts a handshake.
    pub fn count(&mut self, result: HandshakeResult) {
        self.counts[result as usize] += 1;
    }

    /// Adds the time that an answer has taken.
    pub fn add_answer_time(&mut self, took: Micros) {
        self.answer_time += took;
    }

    /// Adds the counters of another upstream.
    pub fn add(&mut self, other: &HandshakeStats) {
        for (own, more) in self.counts.iter_mut().zip(other.counts) {
            *own += more;
        }
        self.answer_time += other.answer_time;
    }

    /// Returns how many handshakes had this result.
    pub fn get(&self, result: HandshakeResult) -> u64 {
        self.counts[result as usize]
    }

    /// Returns how many handshakes were answered, with 101 or another status.
    pub fn answered(&self) -> u64 {
        self.get(HandshakeResult::Opened) + self.get(HandshakeResult::Refused)
    }

    /// Returns the time from the dial to the answer, summed over all answers.
    pub fn answer_time(&self) -> Micros {
        self.answer_time
    }

    /// Returns what was counted since `earlier`, a copy of these counters.
    pub fn since(&self, earlier: &HandshakeStats) -> HandshakeStats {
        let mut difference = *self;
        for (now, then) in difference.counts.iter_mut().zip(earlier.counts) {
            *now = now.saturating_sub(then);
        }
        difference.answer_time = self.answer_time - earlier.answer_time;
        difference
    }
}
