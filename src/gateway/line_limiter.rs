//! How many lines about ended connections are written in a second.

use crate::base::cause::{Cause, CauseTable};
use crate::base::time::Micros;
use crate::engine::{Io, TimerId};
use std::fmt;

/// The most lines about ended connections in a second. If there are more, the rest is summed up by
/// cause.
const LINES_PER_SECOND: u32 = 200;

const SECOND: Micros = Micros::from_secs(1);

/// The current second, in which lines about ended connections are counted.
#[derive(Debug, Default)]
pub(super) struct LineLimiter {
    started: Micros,
    lines: u32,
    /// The number of suppressed lines by [`Cause::index`]; empty if there are none.
    suppressed: Vec<u64>,
    /// The timer that ends the second; set while lines are suppressed.
    timer: Option<TimerId>,
}

impl LineLimiter {
    /// Returns whether there is room for one more line in this second; if not, counts it as
    /// suppressed.
    pub(super) fn admit(&mut self, io: &mut Io<'_>, cause: Cause) -> bool {
        if io.now() - self.started >= SECOND {
            self.log_suppressed(io.stats().causes);
            (self.started, self.lines) = (io.now(), 0);
        }
        self.lines += 1;
        let admitted = self.lines <= LINES_PER_SECOND;
        if !admitted {
            let causes = io.stats().causes;
            self.suppressed.resize(causes.count(), 0);
            self.suppressed[cause.index()] += 1;
            if self.timer.is_none() {
                self.timer = Some(io.start_timer(SECOND));
            }
        }
        admitted
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
                "close suppressed={total}{by_cause} effect=\"these ends have no line of their own\""
            );
            self.suppressed.fill(0);
        }
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
