//! The lines about clients that did not get their session back.

use super::session_counts::ResetReason;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::host::{Identity, LogIdentity};
use std::fmt;

/// The most lines in a second. After a restart all clients come back at once.
const LINES: u32 = 20;

/// Writes a line for each client that did not get its session back, up to a number in each second.
#[derive(Debug, Default)]
pub(crate) struct ResetLog {
    second: u64,
    lines: u32,
    suppressed: u64,
}

impl ResetLog {
    /// Logs a client that did not get its session back. `place`: `route=…` or `path=…`.
    pub(crate) fn add(
        &mut self,
        now: Micros,
        id: ConnId,
        why: ResetReason,
        place: fmt::Arguments<'_>,
        identity: Option<&Identity>,
    ) {
        let second = now.as_millis() / 1_000;
        if self.second != second {
            if self.suppressed > 0 {
                log::info!("pulse_resets suppressed={}", self.suppressed);
            }
            *self = ResetLog {
                second,
                ..ResetLog::default()
            };
        }
        if self.lines == LINES {
            self.suppressed += 1;
            return;
        }
        self.lines += 1;
        log::info!(
            "pulse_reset id={id} why={why} {place} {}",
            LogIdentity(identity)
        );
    }
}
