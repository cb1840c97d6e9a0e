//! What several ends have in common. The tables are bounded, and an end costs a look through one.

use crate::base::bounded;
use crate::base::id::Class;
use crate::base::network_block::NetworkBlock;
use crate::base::time::Micros;
use std::collections::VecDeque;

/// The ages that are remembered.
const AGES_MAX: usize = 64;

/// The idle times that are remembered.
const GAPS_MAX: usize = 256;

/// How many ends at one age are a proxy's timeout.
const SAME_AGE_MIN: usize = 5;

/// How many ends of one block after one idle time are a NAT's timeout.
const SAME_GAP_MIN: usize = 3;

/// The shortest age that can be a timeout. Clients that connect, ask and leave have one age, too.
const AGE_MIN: Micros = Micros::from_secs(5);

/// The shortest idle time that can be a timeout.
const GAP_MIN: Micros = Micros::from_secs(5);

/// The latest ends that a timeout of a proxy or of a NAT may have caused.
#[derive(Debug, Default)]
pub(super) struct EndPatterns {
    ages: VecDeque<EndedAt>,
    gaps: VecDeque<(NetworkBlock, Micros)>,
}

#[derive(Debug, Clone, Copy)]
struct EndedAt {
    class: Class,
    at: Micros,
    age: Micros,
}

/// Returns whether two spans differ by at most this many percent of the second one.
fn is_near(a: Micros, b: Micros, percent: u64) -> bool {
    a.0.abs_diff(b.0) <= (b.0 / 100).saturating_mul(percent)
}

impl EndPatterns {
    /// Notes the age at which a stream ended without a close frame. Returns whether at least five
    /// of the class have ended at this age, ± 2 %.
    ///
    /// Connections that were opened together and lost together have one age, too. So of ends less
    /// than 4 % of the age apart only one counts.
    pub(super) fn note_age(&mut self, class: Class, at: Micros, age: Micros) -> bool {
        if age < AGE_MIN {
            return false;
        }
        let apart = Micros(age.0 / 25);
        let (mut count, mut last) = (1, at);
        let same = |end: &&EndedAt| end.class == class && is_near(end.age, age, 2);
        for end in self.ages.iter().rev().filter(same) {
            if last - end.at >= apart {
                (count, last) = (count + 1, end.at);
            }
        }
        bounded::push(&mut self.ages, AGES_MAX, EndedAt { class, at, age });
        count >= SAME_AGE_MIN
    }

    /// Notes the idle time after which a connection from this block was found dead. Returns whether
    /// at least three of the block have ended after such a time, ± 10 %.
    pub(super) fn note_gap(&mut self, block: NetworkBlock, gap: Micros) -> bool {
        if gap < GAP_MIN {
            return false;
        }
        let same = |end: &&(NetworkBlock, Micros)| end.0 == block && is_near(end.1, gap, 10);
        let count = 1 + self.gaps.iter().filter(same).count();
        bounded::push(&mut self.gaps, GAPS_MAX, (block, gap));
        count >= SAME_GAP_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASS: Class = Class(0);

    fn ms(ms: u64) -> Micros {
        Micros::from_millis(ms)
    }

    /// Notes ends of this age, each this long after the one before. Returns which of them are part
    /// of a pattern.
    fn ages(apart_ms: u64, ages_ms: &[u64]) -> Vec<bool> {
        let mut patterns = EndPatterns::default();
        let ends = (1..).zip(ages_ms);
        ends.map(|(n, age)| patterns.note_age(CLASS, ms(n * apart_ms), ms(*age)))
            .collect()
    }

    #[test]
    fn the_fifth_end_at_one_age_is_a_timeout() {
        let ends = ages(10_000, &[60_000, 60_500, 59_500, 60_900, 60_000, 60_100]);
        assert_eq!(ends, [false, false, false, false, true, true]);
        // One of them is 3 % off.
        assert!(!ages(10_000, &[60_000, 60_000, 61_900, 60_000, 60_000])[4]);
        // Too short to be a timeout.
        assert!(!ages(10_000, &[4_999; 5])[4]);
        assert!(ages(10_000, &[5_000; 5])[4]);
    }

    #[test]
    fn ends_at_one_moment_are_no_timeout() {
        assert!(!ages(0, &[60_000; 64]).contains(&true), "one crash");
        assert!(
            !ages(600, &[60_000; 16]).contains(&true),
            "9 s, which is 3 times 4 %"
        );
        assert!(ages(2_400, &[60_000; 5])[4]);
    }

    #[test]
    fn an_age_is_that_of_a_class() {
        let mut patterns = EndPatterns::default();
        for n in 1..=4 {
            assert!(!patterns.note_age(CLASS, ms(n * 10_000), ms(60_000)));
        }
        assert!(!patterns.note_age(Class(1), ms(50_000), ms(60_000)));
        assert!(patterns.note_age(CLASS, ms(60_000), ms(60_000)));
    }

    #[test]
    fn the_third_idle_time_of_a_block_is_a_timeout() {
        let block = NetworkBlock::of([192, 0, 2, 1].into());
        let mut patterns = EndPatterns::default();
        assert!(!patterns.note_gap(block, ms(30_000)));
        assert!(!patterns.note_gap(NetworkBlock::of([192, 0, 3, 1].into()), ms(30_000)));
        assert!(!patterns.note_gap(block, ms(33_700)), "of 12 %");
        assert!(!patterns.note_gap(block, ms(26_000)));
        assert!(patterns.note_gap(NetworkBlock::of([192, 0, 2, 9].into()), ms(31_500)));
        assert!(!patterns.note_gap(block, ms(4_000)));
    }

    #[test]
    fn the_tables_are_bounded() {
        let mut patterns = EndPatterns::default();
        let block = NetworkBlock::of([192, 0, 2, 1].into());
        for n in 0..10_000 {
            patterns.note_age(CLASS, ms(n), ms(5_000 + n * 200));
            patterns.note_gap(block, ms(5_000 + n * 1_000));
        }
        assert_eq!(
            (patterns.ages.len(), patterns.gaps.len()),
            (AGES_MAX, GAPS_MAX)
        );
    }

    #[test]
    fn a_block_is_a_24_or_a_48() {
        let block = |text: &str| NetworkBlock::of(text.parse().expect("an address"));
        assert_eq!(block("192.0.2.7"), block("::ffff:192.0.2.99"));
        assert_ne!(block("192.0.2.7"), block("192.0.3.7"));
        assert_eq!(block("2001:db8:1:2::1"), block("2001:db8:1:3::1"));
        assert_ne!(block("2001:db8:1::1"), block("2001:db8:2::1"));
    }
}
