//! The rules for starts, stops, cancellations and their waiters, and for requests that have
//! returned.
//!
//! There is one request at a time for one app of one user. A request under way is never aborted:
//! the app's server may be processing it. A start joins an existing start; a stop ends a waiting
//! start; a start ends a waiting stop.

use super::breaker::{Admission, Change};
use super::queue::{App, Job, Key, Kind, Post, Queue, Stands, Waiter};
use super::stats::{WebhookResult, WebhookType};
use crate::base::time::Micros;
use crate::gateway::{Outcome, Patience, StopReason};
use crate::side::outgoing::Reply;

/// The limit of starts that wait for the same request. The loop has one at a time, or a few if it
/// cancels late.
const SHARED: usize = 16;

/// The most attempts for a start, one second apart, as the contract with apps says.
const ATTEMPTS: u32 = 2;
const RETRY: Micros = Micros::from_secs(1);

/// The least pause after an answer of 5xx. The SDK answers so when its app could not connect for 5
/// s. The failed session tries once more 2 s later, with no handlers attached, and would take the
/// place of the one that we ask for next.
const ORPHAN: Micros = Micros::from_millis(3_500);

/// The pause of a persistent start after its first [`ATTEMPTS`]; doubled with each further attempt.
const LEAST_BACK_OFF: Micros = Micros::from_secs(2);
const MOST_BACK_OFF: Micros = Micros::from_secs(60);

impl Queue {
    pub(super) fn start(
        &mut self,
        now: Micros,
        number: u64,
        app: App<'_>,
        patience: Patience,
        after: Micros,
    ) {
        if self.numbers.contains_key(&number) {
            return;
        }
        self.breakers.found_at(app.package, app.url);
        let is_down = self.breakers.admits(app.package, now) == Admission::No;
        if is_down && patience == Patience::Once {
            return self.give_up(number, WebhookResult::BreakerOpen);
        }
        let due = now + self.jittered(after);
        let (key, url) = self.intern(app);
        self.drop_waiting_stop(now, &key);
        let waiter = Waiter {
            number,
            patience,
            failures: 0,
        };
        // No stop follows the start now.
        let pair = self.pair(&key);
        let last = pair.and_then(|pair| Some((pair.stands, pair.jobs.back_mut()?)));
        // The user of a start under way without waiters has left again: its answer does not count.
        match last.filter(|(_, job)| job.kind == Kind::Start && !job.waiters.is_empty()) {
            Some((_, job)) if job.waiters.len() >= SHARED => {
                return self.give_up(number, WebhookResult::Shed);
            }
            Some((stands, job)) => {
                job.waiters.push(waiter);
                (job.url, job.due) = (url, job.due.min(due));
                if let Stands::Until(at, _) = stands
                    && at > due
                {
                    self.unschedule(&key);
                    self.schedule(now, &key, due);
                }
            }
            None => {
                let job = Job {
                    kind: Kind::Start,
                    url,
                    attempts: 0,
                    due,
                    waiters: vec![waiter],
                    cancelled: Vec::new(),
                };
                if !self.add(now, &key, job) {
                    return self.give_up(number, WebhookResult::Shed);
                }
            }
        }
        self.numbers.insert(number, key);
    }

    pub(super) fn stop(&mut self, now: Micros, app: App<'_>, reason: StopReason) {
        let (key, url) = self.intern(app);
        self.end_starts(now, &key);
        let pair = self.pair(&key);
        if pair.is_some_and(|pair| pair.jobs.iter().any(|job| job.kind != Kind::Start)) {
            return;
        }
        let job = Job {
            kind: Kind::Stop(reason),
            url,
            attempts: 0,
            due: now,
            waiters: Vec::new(),
            cancelled: Vec::new(),
        };
        if !self.add(now, &key, job) {
            self.counts
                .add(WebhookType::StopRequest, WebhookResult::Shed);
        }
    }

    pub(super) fn cancel(&mut self, now: Micros, number: u64) {
        let Some(key) = self.numbers.get(&number).cloned() else {
            return;
        };
        let stands = self.pair(&key).map(|pair| pair.stands);
        let Some((nth, job)) = self.start_of(&key) else {
            return;
        };
        let waiting = job.waiters.len();
        job.waiters.retain(|waiter| waiter.number != number);
        if job.waiters.len() == waiting {
            // It was cancelled before, or it follows a start that is no longer wanted either.
            return;
        }
        if nth == 0 && matches!(stands, Some(Stands::UnderWay { .. })) {
            // It gets the outcome of the request under way.
            return job.cancelled.push(number);
        }
        if job.waiters.is_empty() {
            self.remove(now, &key, nth);
            self.counts
                .add(WebhookType::SessionRequest, WebhookResult::Cancelled);
        }
        self.tell(number, Outcome::Cancelled);
    }

    /// Records that a request has returned.
    pub(super) fn done(&mut self, now: Micros, post: &Post, reply: &Reply) -> Option<Change> {
        let key = &post.key;
        self.counts.add(post.kind.name(), reply.result());
        let is_probe = self.came_back(key)?;
        let (again, change) = match reply.error() {
            None => {
                self.answered(key);
                (None, self.breakers.succeeded(&key.package))
            }
            Some(why) => {
                let again = self.attempt_failed(key, reply.told().unwrap_or_default());
                let package = &key.package;
                // Failures for one user must not block an app for all users.
                let change = if reply.is_down() {
                    self.breakers
                        .failed(package, &post.url, now, is_probe, &why)
                } else {
                    self.breakers.succeeded(package)
                };
                (again, change)
            }
        };
        match again {
            Some(mut span) => {
                let orphan = post.kind == Kind::Start && matches!(reply, Reply::Refused(500..));
                if orphan {
                    span = span.max(ORPHAN);
                }
                let due = now + self.jittered(span);
                if orphan {
                    self.pausing(key, due - now);
                }
                self.schedule(now, key, due);
            }
            None => self.remove(now, key, 0),
        }
        if let Some(Change::Opened(until)) = change {
            self.pause(now, &key.package, until);
        }
        self.settle(now, &key.package);
        change
    }

    /// Records that the server is down: waiters with `Patience::Once` give up. The first webhook
    /// of this pair is ready.
    pub(super) fn refuse(&mut self, now: Micros, key: &Key) {
        let pair = self.pair(key);
        let Some(job) = pair.and_then(|pair| pair.jobs.front_mut()) else {
            return;
        };
        let mut impatient = Vec::new();
        match job.kind {
            Kind::Start => job.waiters.retain(|waiter| match waiter.patience {
                Patience::Persistent => true,
                Patience::Once => {
                    impatient.push(waiter.number);
                    false
                }
            }),
            Kind::Stop(_) => self
                .counts
                .add(WebhookType::StopRequest, WebhookResult::BreakerOpen),
        }
        let pair = self.pair(key);
        let is_over =
            pair.is_none_or(|pair| pair.jobs.front().is_none_or(|j| j.waiters.is_empty()));
        for number in impatient {
            self.give_up(number, WebhookResult::BreakerOpen);
        }
        if is_over {
            self.remove(now, key, 0);
        }
    }

    /// Tells the starts that wait for this request that no request is sent for this time.
    fn pausing(&mut self, key: &Key, span: Micros) {
        let job = self.pair(key).and_then(|pair| pair.jobs.front());
        let numbers = job.map_or_else(Vec::new, |job| {
            job.waiters.iter().map(|waiter| waiter.number).collect()
        });
        let outcomes = numbers
            .into_iter()
            .map(|number| (number, Outcome::Again { after: span }));
        self.outcomes.extend(outcomes);
    }

    fn answered(&mut self, key: &Key) {
        let pair = self.pair(key);
        let Some(job) = pair.and_then(|pair| pair.jobs.front_mut()) else {
            return;
        };
        let cancelled = std::mem::take(&mut job.cancelled);
        for waiter in std::mem::take(&mut job.waiters) {
            self.tell(waiter.number, Outcome::Answered);
        }
        for number in cancelled {
            self.tell(number, Outcome::Answered);
        }
    }

    /// Returns how long to wait before the next attempt; `None` if there is none.
    fn attempt_failed(&mut self, key: &Key, why: &str) -> Option<Micros> {
        let pair = self.pair(key)?;
        let is_last = pair.jobs.len() == 1;
        let job = pair.jobs.front_mut()?;
        let attempts = job.attempts;
        if job.kind != Kind::Start {
            // The job after it asks for the opposite.
            return (is_last && attempts < ATTEMPTS).then_some(RETRY);
        }
        let mut given_up = std::mem::take(&mut job.cancelled);
        job.waiters.retain_mut(|waiter| {
            waiter.failures += 1;
            let is_over = waiter.patience == Patience::Once && waiter.failures >= ATTEMPTS;
            if is_over {
                given_up.push(waiter.number);
            }
            !is_over
        });
        let somebody_waits = job.waiters.iter().any(|w| w.patience == Patience::Once);
        let again = (!job.waiters.is_empty()).then(|| match somebody_waits {
            true => RETRY,
            false => back_off(attempts),
        });
        for number in given_up {
            self.tell(number, Outcome::Failed(why.into()));
        }
        again
    }

    /// Returns the start (`session_request`) of this pair, with its position.
    fn start_of(&mut self, key: &Key) -> Option<(usize, &mut Job)> {
        let mut jobs = self.pair(key)?.jobs.iter_mut().enumerate();
        jobs.rfind(|(_, job)| job.kind == Kind::Start)
    }

    /// Ends the start (`session_request`) of this pair.
    fn end_starts(&mut self, now: Micros, key: &Key) {
        let Some((nth, job)) = self.start_of(key) else {
            return;
        };
        for waiter in std::mem::take(&mut job.waiters) {
            self.counts
                .add(WebhookType::SessionRequest, WebhookResult::Cancelled);
            self.tell(waiter.number, Outcome::Failed("the app was stopped".into()));
        }
        self.remove_waiting(now, key, nth);
    }

    /// Removes the stop (`stop_request`) of this pair, unless it was sent already.
    fn drop_waiting_stop(&mut self, now: Micros, key: &Key) {
        let Some(pair) = self.pair(key) else {
            return;
        };
        let stop = pair.jobs.iter().position(|job| job.kind != Kind::Start);
        if let Some(nth) = stop
            && self.remove_waiting(now, key, nth)
        {
            self.counts
                .add(WebhookType::StopRequest, WebhookResult::Cancelled);
        }
    }

    /// Removes a job, unless it was sent already; returns whether it was removed.
    fn remove_waiting(&mut self, now: Micros, key: &Key, nth: usize) -> bool {
        let stands = self.pair(key).map(|pair| pair.stands);
        let is_under_way = nth == 0 && matches!(stands, Some(Stands::UnderWay { .. }));
        if !is_under_way {
            self.remove(now, key, nth);
        }
        !is_under_way
    }

    fn give_up(&mut self, number: u64, result: WebhookResult) {
        self.counts.add(WebhookType::SessionRequest, result);
        let why = match result {
            WebhookResult::BreakerOpen => "the app's server is down",
            WebhookResult::Shed => "the queue of webhooks is full",
            WebhookResult::Answered
            | WebhookResult::Refused
            | WebhookResult::Timeout
            | WebhookResult::Unreachable
            | WebhookResult::Cancelled => result.name(),
        };
        self.tell(number, Outcome::Failed(why.into()));
    }

    fn tell(&mut self, number: u64, outcome: Outcome) {
        self.numbers.remove(&number);
        self.outcomes.push((number, outcome));
    }
}

/// Returns the pause after this many attempts.
fn back_off(attempts: u32) -> Micros {
    match attempts.checked_sub(ATTEMPTS) {
        None => RETRY,
        Some(doublings) => {
            let longest = MOST_BACK_OFF.0.div_ceil(LEAST_BACK_OFF.0);
            let factor = 1u64.checked_shl(doublings).unwrap_or(longest);
            Micros(LEAST_BACK_OFF.0 * factor.min(longest)).min(MOST_BACK_OFF)
        }
    }
}
