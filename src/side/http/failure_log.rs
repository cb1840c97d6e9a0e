//! The log of requests that the gateway itself had to answer.

use crate::base::id::ConnId;
use crate::host::{BootId, LogText, LogValue, OrDash};
use crate::side::lock::lock;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// The most lines in a period. A service that is down fails every request.
const LINES: u32 = 10;

const PERIOD: Duration = Duration::from_secs(10);

/// Logs failed requests, at most ten in ten seconds.
#[derive(Debug, Default)]
pub(super) struct FailureLog(Mutex<Option<Period>>);

#[derive(Debug)]
struct Period {
    since: Instant,
    lines: u32,
    left_out: u64,
}

/// A request that the gateway itself had to answer.
#[derive(Debug)]
pub(super) struct FailedRequest<'a> {
    pub(super) route: &'a str,
    /// The address of the upstream, if one was chosen.
    pub(super) upstream: Option<&'a str>,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// The id that the upstream gets, or would have got.
    pub(super) connection: (BootId, ConnId),
    pub(super) peer: SocketAddr,
    pub(super) status: u16,
    pub(super) why: &'a str,
}

impl FailureLog {
    /// Logs a request.
    pub(super) fn add(&self, failed: &FailedRequest<'_>) {
        let Some(left_out) = self.take_line(Instant::now()) else {
            return;
        };
        log::warn!(
            "http_request route={} upstream={} method={} path={} connection={}.{} peer={} \
             status={} reason={} left_out={left_out}",
            LogValue(failed.route),
            OrDash(failed.upstream.map(LogValue)),
            LogValue(failed.method),
            LogValue(failed.path),
            failed.connection.0,
            failed.connection.1,
            failed.peer,
            failed.status,
            LogText(failed.why),
        );
    }

    /// Returns how many lines were left out before this one; `None` if it is left out, too.
    fn take_line(&self, now: Instant) -> Option<u64> {
        let mut period = lock(&self.0);
        let period = period.get_or_insert(Period {
            since: now,
            lines: 0,
            left_out: 0,
        });
        if now - period.since >= PERIOD {
            (period.since, period.lines) = (now, 0);
        }
        if period.lines == LINES {
            period.left_out += 1;
            return None;
        }
        period.lines += 1;
        Some(std::mem::take(&mut period.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_has_ten_lines_and_the_next_one_says_how_many_were_left_out() {
        let log = FailureLog::default();
        let start = Instant::now();
        for _ in 0..LINES {
            assert_eq!(log.take_line(start), Some(0));
        }
        assert_eq!(log.take_line(start), None);
        assert_eq!(log.take_line(start + PERIOD / 2), None);
        assert_eq!(log.take_line(start + PERIOD), Some(2));
        assert_eq!(log.take_line(start + PERIOD), Some(0));
    }
}
