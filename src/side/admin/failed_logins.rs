//! Failed logins at the admin listener: counted, logged at most once a second, and delayed.

use crate::base::address_block::AddressBlock;
use crate::base::time::{Clock, Micros};
use crate::side::lock::lock;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The delay of the answer to an address's first wrong token; doubled with each further one, up to
/// `DELAY_MAX`.
const DELAY_MIN: Micros = Micros::from_millis(50);

/// The longest delay of the answer to a wrong token.
const DELAY_MAX: Micros = Micros::from_secs(1);

/// How long after its last wrong token an address starts again with the least delay.
const FORGET_AFTER: Micros = Micros::from_secs(600);

/// The limit of remembered addresses. At the limit, the address with the oldest wrong token is
/// forgotten.
const ADDRESSES_MAX: usize = 1_024;

/// The least time from one log line to the next.
const LOG_INTERVAL: Micros = Micros::from_secs(1);

/// Why a login failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoginFailure {
    /// The request has no token.
    Missing,
    /// The request has a wrong token.
    Wrong,
}

impl LoginFailure {
    /// Returns the name in the log and in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            LoginFailure::Missing => "missing",
            LoginFailure::Wrong => "wrong",
        }
    }
}

/// Failed logins since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LoginCounts {
    pub(super) missing: u64,
    pub(super) wrong: u64,
}

/// Records failed logins.
pub(in crate::side) struct FailedLogins {
    clock: Clock,
    records: Arc<Mutex<LoginRecords>>,
}

impl FailedLogins {
    pub(in crate::side) fn new() -> Self {
        FailedLogins {
            clock: Clock::start(),
            records: Arc::default(),
        }
    }

    pub(super) fn counts(&self) -> LoginCounts {
        lock(&self.records).counts
    }

    /// Records a failed login; returns how long its answer must be delayed.
    pub(super) fn record(&self, from: IpAddr, why: LoginFailure) -> Duration {
        let (delay, log_time) = lock(&self.records).record(self.clock.raw(), from, why);
        match log_time {
            LogTime::Now => lock(&self.records).log(),
            LogTime::At(at) => {
                let (wait, records) = ((at - self.clock.raw()).as_duration(), self.records.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(wait).await;
                    lock(&records).log();
                });
            }
            LogTime::Later => {}
        }
        delay.as_duration()
    }
}

/// The records of failed logins. They read no clock; only the log is written.
#[derive(Default)]
struct LoginRecords {
    counts: LoginCounts,
    addresses: HashMap<AddressBlock, AddressHistory>,
    /// The number of failed logins that are not logged yet, and the address and kind of the last
    /// one.
    unlogged: Option<(u64, IpAddr, LoginFailure)>,
    /// When the last log line about failed logins was due.
    last_log: Option<Micros>,
}

/// The recent wrong tokens from one address.
struct AddressHistory {
    wrong: u32,
    last: Micros,
}

/// When a failed login is logged.
#[derive(Debug, PartialEq, Eq)]
enum LogTime {
    Now,
    /// The failed login is logged at this time, together with all further ones until then.
    At(Micros),
    /// The failed login is included in a log line that is already scheduled.
    Later,
}

impl LoginRecords {
    fn record(&mut self, now: Micros, from: IpAddr, why: LoginFailure) -> (Micros, LogTime) {
        match why {
            LoginFailure::Missing => self.counts.missing += 1,
            LoginFailure::Wrong => self.counts.wrong += 1,
        }
        // A request without a token is not a guess.
        let delay = match why {
            LoginFailure::Missing => Micros::ZERO,
            LoginFailure::Wrong => self.delay(now, AddressBlock::of(from)),
        };
        let is_first = self.unlogged.is_none();
        let unlogged = self.unlogged.map_or(0, |(unlogged, _, _)| unlogged) + 1;
        self.unlogged = Some((unlogged, from, why));
        let log_time = match self.last_log.map(|at| at + LOG_INTERVAL) {
            _ if !is_first => LogTime::Later,
            Some(next) if next > now => {
                self.last_log = Some(next);
                LogTime::At(next)
            }
            _ => {
                self.last_log = Some(now);
                LogTime::Now
            }
        };
        (delay, log_time)
    }

    fn delay(&mut self, now: Micros, from: AddressBlock) -> Micros {
        if self.addresses.len() >= ADDRESSES_MAX && !self.addresses.contains_key(&from) {
            let oldest = self
                .addresses
                .iter()
                .min_by_key(|(_, history)| history.last);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.addresses.remove(&oldest);
            }
        }
        let history = self.addresses.entry(from).or_insert(AddressHistory {
            wrong: 0,
            last: now,
        });
        if now - history.last > FORGET_AFTER {
            history.wrong = 0;
        }
        let factor = 1u64.checked_shl(history.wrong).unwrap_or(u64::MAX);
        history.wrong = history.wrong.saturating_add(1);
        history.last = now;
        Micros(DELAY_MIN.0.saturating_mul(factor)).min(DELAY_MAX)
    }

    /// Logs the failures that are not logged yet.
    fn log(&mut self) {
        if let Some((failures, from, why)) = self.unlogged.take() {
            log::warn!(
                "admin login=failed failures={failures} last_address={from} last_token={}",
                why.name()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Micros = Micros::from_secs(1);

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn wrong(records: &mut LoginRecords, now: Micros, from: &str) -> u64 {
        let (delay, _) = records.record(now, address(from), LoginFailure::Wrong);
        delay.as_millis()
    }

    #[test]
    fn each_wrong_token_of_an_address_is_slowed_more_up_to_a_bound() {
        let mut records = LoginRecords::default();
        let delays: Vec<u64> = (0..100)
            .map(|_| wrong(&mut records, FIRST, "10.0.0.1"))
            .collect();
        assert_eq!(delays[..6], [50, 100, 200, 400, 800, 1_000]);
        assert!(delays[6..].iter().all(|delay| *delay == 1_000));
        // Another IPv4 address has its own delay; the IPv6 addresses of one /64 block share one.
        assert_eq!(wrong(&mut records, FIRST, "10.0.0.2"), 50);
        assert_eq!(wrong(&mut records, FIRST, "2001:db8::1"), 50);
        assert_eq!(wrong(&mut records, FIRST, "2001:db8::ffff:2"), 100);
        assert_eq!(wrong(&mut records, FIRST, "2001:db8:0:1::1"), 50);
        // A request without a token is not delayed.
        let (delay, _) = records.record(FIRST, address("10.0.0.1"), LoginFailure::Missing);
        assert_eq!(delay, Micros::ZERO);
        assert_eq!((records.counts.wrong, records.counts.missing), (104, 1));
        // The address is forgotten.
        let later = FIRST + FORGET_AFTER;
        assert_eq!(wrong(&mut records, later, "10.0.0.1"), 1_000);
        assert_eq!(
            wrong(&mut records, later + FORGET_AFTER + Micros(1), "10.0.0.1"),
            50
        );
    }

    #[test]
    fn only_so_many_addresses_are_remembered() {
        let mut records = LoginRecords::default();
        for n in 0..3 * ADDRESSES_MAX as u64 {
            let from = format!("10.0.{}.{}", n / 256, n % 256);
            assert_eq!(wrong(&mut records, FIRST + Micros(n), &from), 50);
            assert!(records.addresses.len() <= ADDRESSES_MAX);
        }
        assert_eq!(records.addresses.len(), ADDRESSES_MAX);
        let now = FIRST + Micros::from_secs(1);
        assert_eq!(wrong(&mut records, now, "10.0.11.255"), 100, "the newest");
        assert_eq!(wrong(&mut records, now, "10.0.0.0"), 50, "the oldest");
    }

    #[test]
    fn a_flood_is_a_line_a_second_and_each_failure_is_in_one_of_them() {
        let mut records = LoginRecords::default();
        let (mut logged, mut lines, mut due) = (0, 0, None);
        let mut log_line = |records: &mut LoginRecords| {
            let (failures, _, _) = records.unlogged.take().expect("something to say");
            logged += failures;
            lines += 1;
        };
        for ms in 0..10_000 {
            let now = FIRST + Micros::from_millis(ms);
            if due.is_some_and(|due| due <= now) {
                due = None;
                log_line(&mut records);
            }
            match records
                .record(now, address("10.0.0.1"), LoginFailure::Missing)
                .1
            {
                LogTime::Now => log_line(&mut records),
                LogTime::At(at) => assert_eq!(due.replace(at), None),
                LogTime::Later => assert!(due.is_some()),
            }
        }
        assert!(due.is_some());
        log_line(&mut records);
        assert_eq!((logged, lines), (10_000, 11));
    }
}
