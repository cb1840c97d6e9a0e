//! What becomes of a start, a stop and a cancellation, and of those who wait, when a request has come back.
//!
//! For one app of one user there is one request at a time. What is under way is never broken off: the app's server may be
//! in the middle of it. A start joins a start that is there; a stop ends a start that waits; a start ends a stop that waits.

use super::breaker::{Admission, Change};
use super::queue::{App, Job, Key, Kind, Post, Queue, Stands, Waiter};
use super::stats::{WebhookResult, WebhookType};
use crate::base::time::Micros;
use crate::gateway::{Outcome, Patience, StopReason};
use crate::side::outgoing::Reply;

/// Starts that wait for one and the same request. The loop has one at a time, a few if it cancels late.
const SHARED: usize = 16;

/// What the contract says: two attempts, a second apart.
const ATTEMPTS: u32 = 2;
const RETRY: Micros = Micros::from_secs(1);

/// How long it takes at least after an answer of 5xx. The SDK gives it when its app could not connect for 5 s; the session that
/// failed tries once more 2 s later, with no handler listening in it, and would take the place of the one that we ask for anew.
const ORPHAN: Micros = Micros::from_millis(3_500);

/// How long a persistent start waits after those, doubled with each attempt.
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
        // Behind a start there is nothing now.
        let pair = self.pair(&key);
        let last = pair.and_then(|pair| Some((pair.stands, pair.jobs.back_mut()?)));
        // One under way that nobody waits for any more was for somebody who came, and is gone again: its answer says nothing.
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
            // It was cancelled before, or is behind one that is not wanted any more either.
            return;
        }
        if nth == 0 && matches!(stands, Some(Stands::UnderWay { .. })) {
            // It counts as what becomes of it.
            return job.cancelled.push(number);
        }
        if job.waiters.is_empty() {
            self.remove(now, &key, nth);
            self.counts
                .add(WebhookType::SessionRequest, WebhookResult::Cancelled);
        }
        self.tell(number, Outcome::Cancelled);
    }

    /// A request has come back.
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
                // One user's failures must not shut an app out for all.
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

    /// The server is down: whoever has no patience gives up. The first of this pair is ready.
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

    /// Those who wait are told that nobody is asked meanwhile.
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

    /// How long to wait before the next attempt, if there is one.
    fn attempt_failed(&mut self, key: &Key, why: &str) -> Option<Micros> {
        let pair = self.pair(key)?;
        let is_last = pair.jobs.len() == 1;
        let job = pair.jobs.front_mut()?;
        let attempts = job.attempts;
        if job.kind != Kind::Start {
            // Whoever stands behind it wants the contrary.
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

    /// The start of this pair, and which it is.
    fn start_of(&mut self, key: &Key) -> Option<(usize, &mut Job)> {
        let mut jobs = self.pair(key)?.jobs.iter_mut().enumerate();
        jobs.rfind(|(_, job)| job.kind == Kind::Start)
    }

    /// Ends the starts of this pair.
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

    /// Ends the stop of this pair if it is not under way.
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

    /// Drops one unless it is under way. Returns whether it was dropped.
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
            WebhookResult::Shed => "too many webhooks wait",
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

/// How long to wait after so many attempts.
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
