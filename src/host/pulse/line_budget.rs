//! How many lines of one kind are written in a second.

use crate::base::time::Micros;

/// The most lines in a second. After a restart all clients come back at once, and in an outage all
/// holds end.
const LINES: u32 = 50;

/// Admits lines of one kind, up to a number in each second, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct LineBudget {
    second: u64,
    lines: u32,
    suppressed: u64,
}

impl LineBudget {
    /// Returns whether a line may be written now. `event`: its first word, for the line about those
    /// that were suppressed in an earlier second.
    pub(crate) fn admit(&mut self, now: Micros, event: &str) -> bool {
        let second = now.as_millis() / 1_000;
        if self.second != second {
            if self.suppressed > 0 {
                log::info!("{event} suppressed={}", self.suppressed);
            }
            *self = LineBudget {
                second,
                ..LineBudget::default()
            };
        }
        let has_room = self.lines < LINES;
        match has_room {
            true => self.lines += 1,
            false => self.suppressed += 1,
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_lines() {
        let mut budget = LineBudget::default();
        let admitted = |budget: &mut LineBudget, ms| {
            let now = Micros::from_millis(ms);
            (0..100).filter(|_| budget.admit(now, "event")).count()
        };
        assert_eq!(admitted(&mut budget, 5_000), 50);
        assert_eq!(admitted(&mut budget, 5_999), 0);
        assert_eq!(budget.suppressed, 150);
        assert_eq!(admitted(&mut budget, 6_000), 50);
    }
}
