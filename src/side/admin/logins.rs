//! Failed logins at the admin listener: counted, logged at most once a second, and delayed.

use crate::base::time::{Clock, Micros};
use crate::side::lock::lock;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The delay of the answer to an address's first wrong token; doubled with each further one, up to
/// `MOST_DELAY`.
const LEAST_DELAY: Micros = Micros::from_millis(50);

/// The longest delay of the answer to a wrong token.
const MOST_DELAY: Micros = Micros::from_secs(1);

/// How long after its last wrong token an address starts again with the least delay.
const MEMORY: Micros = Micros::from_secs(600);

/// The limit of remembered addresses. At the limit, the address with the oldest wrong token is
/// forgotten.
const ADDRESSES: usize = 1_024;

/// The least time from one log line to the next.
const LOG_EVERY: Micros = Micros::from_secs(1);

/// Why a login failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The request has no token.
    Missing,
    /// The request has a wrong token.
    Wrong,
}

impl Failure {
    /// Returns the name in the log and in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Failure::Missing => "missing",
            Failure::Wrong => "wrong",
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
pub(in crate::side) struct Logins {
    clock: Clock,
    book: Arc<Mutex<Book>>,
}

impl Logins {
    pub(in crate::side) fn new() -> Self {
        Logins {
            clock: Clock::start(),
            book: Arc::default(),
        }
    }

    pub(super) fn counts(&self) -> LoginCounts {
        lock(&self.book).counts
    }

    /// Records a failed login; returns how long its answer must be delayed.
    pub(super) fn failed(&self, from: IpAddr, why: Failure) -> Duration {
        let (delay, logs) = lock(&self.book).failed(self.clock.raw(), from, why);
        match logs {
            Logs::Now => lock(&self.book).log(),
            Logs::At(at) => {
                let (wait, book) = ((at - self.clock.raw()).as_duration(), self.book.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(wait).await;
                    lock(&book).log();
                });
            }
            Logs::Later => {}
        }
        delay.as_duration()
    }
}

/// The records of failed logins. They read no clock; only the log is written.
#[derive(Default)]
struct Book {
    counts: LoginCounts,
    addresses: HashMap<IpAddr, Past>,
    /// The number of failed logins that are not logged yet, and the address and kind of the last
    /// one.
    untold: Option<(u64, IpAddr, Failure)>,
    /// When the last log line about failed logins was due.
    logged: Option<Micros>,
}

/// The recent wrong tokens from one address.
struct Past {
    wrong: u32,
    last: Micros,
}

/// When a failed login is logged.
#[derive(Debug, PartialEq, Eq)]
enum Logs {
    Now,
    /// It is logged at this time, together with all further failures until then.
    At(Micros),
    /// It is included in a log line that is already scheduled.
    Later,
}

impl Book {
    fn failed(&mut self, now: Micros, from: IpAddr, why: Failure) -> (Micros, Logs) {
        match why {
            Failure::Missing => self.counts.missing += 1,
            Failure::Wrong => self.counts.wrong += 1,
        }
        // A request without a token is not a guess.
        let delay = match why {
            Failure::Missing => Micros::ZERO,
            Failure::Wrong => self.delay(now, block_of(from)),
        };
        let is_first = self.untold.is_none();
        let untold = self.untold.map_or(0, |(untold, _, _)| untold) + 1;
        self.untold = Some((untold, from, why));
        let logs = match self.logged.map(|at| at + LOG_EVERY) {
            _ if !is_first => Logs::Later,
            Some(next) if next > now => {
                self.logged = Some(next);
                Logs::At(next)
            }
            _ => {
                self.logged = Some(now);
                Logs::Now
            }
        };
        (delay, logs)
    }

    fn delay(&mut self, now: Micros, from: IpAddr) -> Micros {
        if self.addresses.len() >= ADDRESSES && !self.addresses.contains_key(&from) {
            let oldest = self.addresses.iter().min_by_key(|(_, past)| past.last);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.addresses.remove(&oldest);
            }
        }
        let past = self.addresses.entry(from).or_insert(Past {
            wrong: 0,
            last: now,
        });
        if now - past.last > MEMORY {
            past.wrong = 0;
        }
        let factor = 1u64.checked_shl(past.wrong).unwrap_or(u64::MAX);
        past.wrong = past.wrong.saturating_add(1);
        past.last = now;
        Micros(LEAST_DELAY.0.saturating_mul(factor)).min(MOST_DELAY)
    }

    /// Logs the failures that are not logged yet.
    fn log(&mut self) {
        if let Some((failures, from, why)) = self.untold.take() {
            log::warn!(
                "admin login=failed failures={failures} last_address={from} last_token={}",
                why.name()
            );
        }
    }
}

/// Returns the unit that is delayed as one: an IPv4 address, or the /64 block of an IPv6 address,
/// which a single host may own.
fn block_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
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

    fn wrong(book: &mut Book, now: Micros, from: &str) -> u64 {
        let (delay, _) = book.failed(now, address(from), Failure::Wrong);
        delay.as_millis()
    }

    #[test]
    fn each_wrong_token_of_an_address_is_slowed_more_up_to_a_bound() {
        let mut book = Book::default();
        let delays: Vec<u64> = (0..100)
            .map(|_| wrong(&mut book, FIRST, "10.0.0.1"))
            .collect();
        assert_eq!(delays[..6], [50, 100, 200, 400, 800, 1_000]);
        assert!(delays[6..].iter().all(|delay| *delay == 1_000));
        // Another IPv4 address has its own delay; the IPv6 addresses of one /64 block share one.
        assert_eq!(wrong(&mut book, FIRST, "10.0.0.2"), 50);
        assert_eq!(wrong(&mut book, FIRST, "2001:db8::1"), 50);
        assert_eq!(wrong(&mut book, FIRST, "2001:db8::ffff:2"), 100);
        assert_eq!(wrong(&mut book, FIRST, "2001:db8:0:1::1"), 50);
        // A request without a token is not delayed.
        let (delay, _) = book.failed(FIRST, address("10.0.0.1"), Failure::Missing);
        assert_eq!(delay, Micros::ZERO);
        assert_eq!((book.counts.wrong, book.counts.missing), (104, 1));
        // The address is forgotten.
        let later = FIRST + MEMORY;
        assert_eq!(wrong(&mut book, later, "10.0.0.1"), 1_000);
        assert_eq!(wrong(&mut book, later + MEMORY + Micros(1), "10.0.0.1"), 50);
    }

    #[test]
    fn only_so_many_addresses_are_remembered() {
        let mut book = Book::default();
        for n in 0..3 * ADDRESSES as u64 {
            let from = format!("10.0.{}.{}", n / 256, n % 256);
            assert_eq!(wrong(&mut book, FIRST + Micros(n), &from), 50);
            assert!(book.addresses.len() <= ADDRESSES);
        }
        assert_eq!(book.addresses.len(), ADDRESSES);
        let now = FIRST + Micros::from_secs(1);
        assert_eq!(wrong(&mut book, now, "10.0.11.255"), 100, "the newest");
        assert_eq!(wrong(&mut book, now, "10.0.0.0"), 50, "the oldest");
    }

    #[test]
    fn a_flood_is_a_line_a_second_and_each_failure_is_in_one_of_them() {
        let mut book = Book::default();
        let (mut told, mut lines, mut due) = (0, 0, None);
        let mut tell = |book: &mut Book| {
            let (failures, _, _) = book.untold.take().expect("something to say");
            told += failures;
            lines += 1;
        };
        for ms in 0..10_000 {
            let now = FIRST + Micros::from_millis(ms);
            if due.is_some_and(|due| due <= now) {
                due = None;
                tell(&mut book);
            }
            match book.failed(now, address("10.0.0.1"), Failure::Missing).1 {
                Logs::Now => tell(&mut book),
                Logs::At(at) => assert_eq!(due.replace(at), None),
                Logs::Later => assert!(due.is_some()),
            }
        }
        assert!(due.is_some());
        tell(&mut book);
        assert_eq!((told, lines), (10_000, 11));
    }
}
