//! What the latest heartbeats of a connection say about the next ones.
//!
//! Late heartbeats come in bursts: on recordings of mobile networks, half of the peers that missed
//! one of the last two polls miss one of the next four, and 4 % of those that missed none of the
//! last 16. A weighted score of more inputs predicted no better, so the rule is this simple
//! (`docs/foresight.md`, with the evaluation in `benches/foresight`).

use crate::base::sabotage::{self, Bug};

/// Which of the latest 16 heartbeats of a connection were late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LateHistory {
    /// A bit for each heartbeat, set if it was late. The lowest is that of the latest heartbeat.
    lates: u16,
}

/// How likely the next heartbeats of a connection are late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[expect(clippy::exhaustive_enums, reason = "an ordered scale")]
pub enum Risk {
    /// None of the latest four heartbeats was late.
    #[default]
    Low,
    /// One of the latest four heartbeats was late, but none of the latest two.
    Raised,
    /// One of the latest two heartbeats was late.
    High,
}

impl Risk {
    /// All values, from the lowest.
    pub const ALL: [Risk; 3] = [Risk::Low, Risk::Raised, Risk::High];

    /// Returns the word for it in the API and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Risk::Low => "low",
            Risk::Raised => "raised",
            Risk::High => "high",
        }
    }
}

/// How many heartbeats ago, at most, the latest late one was for each of
/// [`LATE_SOON_PERCENT`](LateHistory::LATE_SOON_PERCENT): 0 is the latest heartbeat.
const AGES: [u32; 4] = [1, 3, 7, 15];

/// The heartbeats that make a risk [high](Risk::High), and those that make it
/// [raised](Risk::Raised).
const HIGH: u16 = 0b11;
const RAISED: u16 = 0b1111;

impl LateHistory {
    /// The share of connections, in percent, that miss one of the next four heartbeats, by how many
    /// heartbeats ago they missed the latest one: up to 1, 3, 7, 15 (0 is the latest heartbeat), or
    /// none of 16. Measured on 15 recordings of a phone in a mobile network, most of them while
    /// driving, with a poll every 13 s.
    pub const LATE_SOON_PERCENT: [u8; 5] = [52, 31, 19, 7, 4];

    /// Records that a heartbeat was sent.
    #[inline]
    pub fn on_sent(&mut self) {
        if !sabotage::on(Bug::LatesNeverForgotten) {
            self.lates <<= 1;
        }
    }

    /// Records that the latest heartbeat is late.
    #[inline]
    pub fn on_late(&mut self) {
        self.lates |= 1;
    }

    /// Returns whether none of the latest 16 heartbeats was late.
    #[inline]
    pub fn is_clear(self) -> bool {
        self.lates == 0
    }

    /// Returns how many of the latest 16 heartbeats were late.
    pub fn count(self) -> u32 {
        self.lates.count_ones()
    }

    /// Returns how many heartbeats were sent since the latest late one, at most 15; 0 if the latest
    /// heartbeat is late. `None` if none of the latest 16 was.
    pub fn sent_since_late(self) -> Option<u32> {
        (self.lates != 0).then(|| self.lates.trailing_zeros())
    }

    /// Returns the risk that the next heartbeats are late.
    #[inline]
    pub fn risk(self) -> Risk {
        match self.lates {
            lates if lates & HIGH != 0 => Risk::High,
            lates if lates & RAISED != 0 => Risk::Raised,
            _ => Risk::Low,
        }
    }

    /// Returns the share of connections with such a history, in percent, that missed one of the
    /// next four heartbeats in the [measurement](Self::LATE_SOON_PERCENT).
    pub fn late_soon_percent(self) -> u8 {
        let [found @ .., none] = Self::LATE_SOON_PERCENT;
        let age = self.sent_since_late();
        let group = AGES
            .iter()
            .position(|most| age.is_some_and(|age| age <= *most));
        group.map_or(none, |group| found[group])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with a plain list of all heartbeats.
    #[test]
    fn it_is_what_a_list_of_all_heartbeats_says() {
        let mut rng = fastrand::Rng::with_seed(11);
        let (mut history, mut all) = (LateHistory::default(), Vec::new());
        for _ in 0..20_000 {
            history.on_sent();
            let is_late = rng.u8(0..8) == 0;
            if is_late {
                history.on_late();
            }
            all.push(is_late);
            let latest: Vec<bool> = all.iter().rev().take(16).copied().collect();
            let since = latest.iter().position(|late| *late);
            let within = |n: usize| since.is_some_and(|since| since < n);
            assert_eq!(history.sent_since_late(), since.map(|n| n as u32));
            assert_eq!(
                history.count() as usize,
                latest.iter().filter(|l| **l).count()
            );
            assert_eq!(history.is_clear(), since.is_none());
            let risk = match (within(2), within(4)) {
                (true, _) => Risk::High,
                (false, true) => Risk::Raised,
                (false, false) => Risk::Low,
            };
            assert_eq!(history.risk(), risk);
            let percent = match since {
                Some(0..2) => 52,
                Some(2..4) => 31,
                Some(4..8) => 19,
                Some(_) => 7,
                None => 4,
            };
            assert_eq!(history.late_soon_percent(), percent);
        }
    }

    #[test]
    fn it_has_two_bytes() {
        assert_eq!(size_of::<LateHistory>(), 2);
    }
}
