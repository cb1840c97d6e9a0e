//! How many lines about ended connections are written in a second.

use crate::base::address_block::AddressBlock;
use crate::base::cause::{Cause, CauseTable};
use crate::base::time::Micros;
use crate::engine::{Io, TimerId};
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

/// The most lines about ended connections in a second, besides [`RARE_LINES`]. If there are more,
/// the rest is summed up by cause.
const LINES: u32 = 150;

/// The most of them about one address, so that a noisy client does not hide the others.
const ADDRESS_LINES: u32 = 50;

/// The lines of a second that are kept for rare causes.
const RARE_LINES: u32 = 50;

/// A cause is rare in a second until it has this many lines. One client can bring about only so
/// many causes that their lines together are fewer than [`RARE_LINES`].
const RARE: u32 = 3;

const SECOND: Micros = Micros::from_secs(1);

/// Limits the lines of each second, and counts those that are suppressed.
#[derive(Debug, Default)]
pub(super) struct LineLimiter {
    second: CurrentSecond,
    /// The number of suppressed lines by [`Cause::index`]; empty if there are none.
    suppressed: Vec<u64>,
    /// The part of them for which there was room, but none for their address.
    over_share: u64,
    /// The timer that ends the second; set while lines are suppressed.
    timer: Option<TimerId>,
}

/// What was written in the current second.
#[derive(Debug, Default)]
struct CurrentSecond {
    started: Micros,
    lines: u32,
    rare_lines: u32,
    /// The lines of each address; at most [`LINES`] entries.
    by_address: HashMap<AddressBlock, u32>,
    /// The lines of each cause, by [`Cause::index`].
    by_cause: Vec<u32>,
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineVerdict {
    Written,
    /// There is no room for it.
    Full,
    /// Its address has used up its share.
    OverShare,
}

impl LineLimiter {
    /// Returns whether there is room for one more line in this second, about the end of a
    /// connection of this address; if not, counts it as suppressed. Loopback addresses have no
    /// limit of their own.
    pub(super) fn admit(&mut self, io: &mut Io<'_>, cause: Cause, address: Option<IpAddr>) -> bool {
        let causes = io.stats().causes;
        if io.now() - self.second.started >= SECOND {
            self.log_suppressed(causes);
            self.second.begin(io.now());
        }
        // Behind a proxy on this machine that reports no addresses are any number of clients.
        let address = address.filter(|address| !address.to_canonical().is_loopback());
        let block = address.map(AddressBlock::of);
        let verdict = self.second.judge(cause.index(), block);
        if verdict != LineVerdict::Written {
            self.suppressed.resize(causes.count(), 0);
            self.suppressed[cause.index()] += 1;
            self.over_share += u64::from(verdict == LineVerdict::OverShare);
            if self.timer.is_none() {
                self.timer = Some(io.start_timer(SECOND));
            }
        }
        verdict == LineVerdict::Written
    }

    /// Handles a timer that has expired. Returns whether it was this limiter's.
    pub(super) fn on_timer(&mut self, io: &Io<'_>, timer: TimerId) -> bool {
        let is_own = self.timer == Some(timer);
        if is_own {
            self.timer = None;
            self.log_suppressed(io.stats().causes);
        }
        is_own
    }

    /// Logs how many lines were suppressed since the last call, if any were.
    pub(super) fn log_suppressed(&mut self, causes: CauseTable) {
        let total: u64 = self.suppressed.iter().sum();
        if total > 0 {
            let by_cause = SuppressedCounts(causes, &self.suppressed);
            log::warn!(
                "close suppressed={total} over_share={}{by_cause} effect=\"these ends have no \
                 line of their own\"",
                self.over_share
            );
            self.suppressed.fill(0);
            self.over_share = 0;
        }
    }
}

impl CurrentSecond {
    fn begin(&mut self, now: Micros) {
        (self.started, self.lines, self.rare_lines) = (now, 0, 0);
        self.by_address.clear();
        self.by_cause.fill(0);
    }

    /// Decides on a line about an end for the cause with this index.
    fn judge(&mut self, cause: usize, address: Option<AddressBlock>) -> LineVerdict {
        if self.by_cause.len() <= cause {
            self.by_cause.resize(cause + 1, 0);
        }
        let of_address = address.and_then(|address| self.by_address.get(&address));
        let has_share = of_address.is_none_or(|lines| *lines < ADDRESS_LINES);
        if has_share && self.lines < LINES {
            self.lines += 1;
            if let Some(address) = address {
                *self.by_address.entry(address).or_default() += 1;
            }
        } else if self.by_cause[cause] < RARE && self.rare_lines < RARE_LINES {
            self.rare_lines += 1;
        } else {
            return match self.lines < LINES {
                true => LineVerdict::OverShare,
                false => LineVerdict::Full,
            };
        }
        self.by_cause[cause] += 1;
        LineVerdict::Written
    }
}

/// Writes suppressed lines by cause: ` stale=12 peer_eof=3`
struct SuppressedCounts<'a>(CauseTable, &'a [u64]);

impl fmt::Display for SuppressedCounts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.all().map(|cause| (cause, self.1[cause.index()]));
        for (cause, n) in counts.filter(|(_, n)| *n > 0) {
            write!(f, " {cause}={n}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(n: u8) -> Option<AddressBlock> {
        Some(AddressBlock::of([192, 0, 2, n].into()))
    }

    fn written(second: &mut CurrentSecond, lines: u32, cause: usize, n: u8) -> u32 {
        let lines = (0..lines).map(|_| second.judge(cause, block(n)));
        lines.filter(|v| *v == LineVerdict::Written).count() as u32
    }

    #[test]
    fn a_noisy_address_has_its_share_and_the_others_theirs() {
        let mut second = CurrentSecond::default();
        assert_eq!(written(&mut second, 10_000, 0, 1), ADDRESS_LINES);
        assert_eq!(second.judge(0, block(1)), LineVerdict::OverShare);
        assert_eq!(written(&mut second, 20, 0, 2), 20);
        // With many causes it takes no more of what is kept for rare ones.
        for cause in 1..10 {
            assert_eq!(written(&mut second, 10_000, cause, 1), RARE);
        }
        assert_eq!(second.rare_lines, 9 * RARE);
        assert_eq!(written(&mut second, 20, 0, 3), 20);
        second.begin(SECOND);
        assert_eq!(written(&mut second, 10_000, 0, 1), ADDRESS_LINES);
    }

    #[test]
    fn in_a_flood_from_everywhere_rare_causes_are_written() {
        let mut second = CurrentSecond::default();
        let from_all: u32 = (0..=255).map(|n| written(&mut second, 10, 0, n)).sum();
        assert_eq!(from_all, LINES);
        assert_eq!(second.judge(0, block(1)), LineVerdict::Full);
        assert!(second.by_address.len() <= LINES as usize);
        for cause in 1..=16 {
            assert_eq!(written(&mut second, 100, cause, 9), RARE);
        }
        // All of them together are bounded, too.
        let rest: u32 = (17..100).map(|c| written(&mut second, 9, c, 8)).sum();
        assert_eq!(rest, RARE_LINES - 16 * RARE);
    }

    /// Loopback addresses, and what has none.
    #[test]
    fn without_an_address_there_is_no_share() {
        let mut second = CurrentSecond::default();
        let lines = (0..10_000).map(|_| second.judge(0, None));
        let written = lines.filter(|v| *v == LineVerdict::Written).count();
        assert_eq!(written, LINES as usize);
    }
}
