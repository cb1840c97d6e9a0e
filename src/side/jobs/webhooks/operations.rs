//! The operations of the queue: start, stop, cancel, and what follows from a request that has
//! returned.
//!
//! There is one request at a time for one app of one user. A request under way is never aborted:
//! the app's server may be processing it. A start joins an existing start; a stop ends a waiting
//! start; a start ends a waiting stop.

use super::breaker::{BreakerChange, SendDecision};
use super::queue::{
    FrontState, PendingWebhook, UserApp, Waiter, WebhookAction, WebhookQueue, WebhookRequest,
    WebhookTarget,
};
use super::webhook_stats::{WebhookResult, WebhookType};
use crate::base::time::Micros;
use crate::gateway::{RetryPolicy, StartOutcome, StopReason};
use crate::side::outgoing::PostResult;

/// The limit of starts that wait for the same request. The loop has one at a time, or a few if it
/// cancels late.
const WAITERS_MAX: usize = 16;

/// The most attempts for a start, one second apart, as the contract with apps says.
const ATTEMPTS_MAX: u32 = 2;
const RETRY_PAUSE: Micros = Micros::from_secs(1);

/// The least pause after an answer of 5xx. The SDK answers so when its app could not connect for 5
/// s. The failed session tries once more 2 s later, with no handlers attached, and would take the
/// place of the one that we ask for next.
const PAUSE_AFTER_5XX: Micros = Micros::from_millis(3_500);

/// The pause of a persistent start after its first [`ATTEMPTS_MAX`]; doubled with each further
/// attempt.
const BACK_OFF_MIN: Micros = Micros::from_secs(2);
const BACK_OFF_MAX: Micros = Micros::from_secs(60);

impl WebhookQueue {
    pub(super) fn start(
        &mut self,
        now: Micros,
        number: u64,
        app: WebhookTarget<'_>,
        retry: RetryPolicy,
        after: Micros,
    ) {
        if self.starts.contains_key(&number) {
            return;
        }
        self.breakers.set_url(app.package, app.url);
        let is_down = self.breakers.decide(app.package, now) == SendDecision::Refuse;
        if is_down && retry == RetryPolicy::TwoAttempts {
            return self.reject_start(number, WebhookResult::BreakerOpen);
        }
        let due = now + self.jittered(after);
        let (key, url) = self.shared_key(app);
        self.cancel_waiting_stop(now, &key);
        let waiter = Waiter {
            number,
            retry,
            failures: 0,
        };
        // No stop follows the start now.
        let user_queue = self.user_queue(&key);
        let last = user_queue
            .and_then(|user_queue| Some((user_queue.front, user_queue.webhooks.back_mut()?)));
        // The user of a start under way without waiters has left again: its answer does not count.
        match last.filter(|(_, webhook)| {
            webhook.action == WebhookAction::Start && !webhook.waiters.is_empty()
        }) {
            Some((_, webhook)) if webhook.waiters.len() >= WAITERS_MAX => {
                return self.reject_start(number, WebhookResult::Shed);
            }
            Some((front, webhook)) => {
                webhook.waiters.push(waiter);
                (webhook.url, webhook.due) = (url, webhook.due.min(due));
                if let FrontState::Delayed(at, _) = front
                    && at > due
                {
                    self.unschedule(&key);
                    self.schedule(now, &key, due);
                }
            }
            None => {
                let webhook = PendingWebhook {
                    action: WebhookAction::Start,
                    url,
                    attempts: 0,
                    due,
                    waiters: vec![waiter],
                    cancelled: Vec::new(),
                };
                if !self.add(now, &key, webhook) {
                    return self.reject_start(number, WebhookResult::Shed);
                }
            }
        }
        self.starts.insert(number, key);
    }

    pub(super) fn stop(&mut self, now: Micros, app: WebhookTarget<'_>, reason: StopReason) {
        let (key, url) = self.shared_key(app);
        self.end_starts(now, &key);
        let user_queue = self.user_queue(&key);
        if user_queue.is_some_and(|user_queue| {
            user_queue
                .webhooks
                .iter()
                .any(|webhook| webhook.action != WebhookAction::Start)
        }) {
            return;
        }
        let webhook = PendingWebhook {
            action: WebhookAction::Stop(reason),
            url,
            attempts: 0,
            due: now,
            waiters: Vec::new(),
            cancelled: Vec::new(),
        };
        if !self.add(now, &key, webhook) {
            self.counts
                .add(WebhookType::StopRequest, WebhookResult::Shed);
        }
    }

    pub(super) fn cancel(&mut self, now: Micros, number: u64) {
        let Some(key) = self.starts.get(&number).cloned() else {
            return;
        };
        let front = self.user_queue(&key).map(|user_queue| user_queue.front);
        let Some((nth, webhook)) = self.find_start(&key) else {
            return;
        };
        let waiting = webhook.waiters.len();
        webhook.waiters.retain(|waiter| waiter.number != number);
        if webhook.waiters.len() == waiting {
            // It was cancelled before, or it follows a start that is no longer wanted either.
            return;
        }
        if nth == 0 && matches!(front, Some(FrontState::InFlight { .. })) {
            // It gets the outcome of the request under way.
            return webhook.cancelled.push(number);
        }
        if webhook.waiters.is_empty() {
            self.remove(now, &key, nth);
            self.counts
                .add(WebhookType::SessionRequest, WebhookResult::Cancelled);
        }
        self.push_outcome(number, StartOutcome::Cancelled);
    }

    /// Records that a request was answered or has failed.
    pub(super) fn finish(
        &mut self,
        now: Micros,
        request: &WebhookRequest,
        reply: &PostResult,
    ) -> Option<BreakerChange> {
        let key = &request.key;
        self.counts
            .add(request.action.webhook_type(), reply.result());
        let is_probe = self.finish_request(key)?;
        let (again, change) = match reply.error() {
            None => {
                self.succeed(key);
                (None, self.breakers.record_success(&key.package))
            }
            Some(why) => {
                let again = self.fail_attempt(key, reply.user_message().unwrap_or_default());
                let package = &key.package;
                // Failures for one user must not block an app for all users.
                let change = if reply.is_down() {
                    self.breakers
                        .record_failure(package, &request.url, now, is_probe, &why)
                } else {
                    self.breakers.record_success(package)
                };
                (again, change)
            }
        };
        match again {
            Some(mut span) => {
                let is_5xx = request.action == WebhookAction::Start
                    && matches!(reply, PostResult::Refused(500..));
                if is_5xx {
                    span = span.max(PAUSE_AFTER_5XX);
                }
                let due = now + self.jittered(span);
                if is_5xx {
                    self.report_delay(key, due - now);
                }
                self.schedule(now, key, due);
            }
            None => self.remove(now, key, 0),
        }
        if let Some(BreakerChange::Opened(until)) = change {
            self.pause(now, &key.package, until);
        }
        self.update_rotation(now, &key.package);
        change
    }

    /// Handles the first webhook of this queue, which is ready to be sent, while the server counts
    /// as down: starts with `RetryPolicy::TwoAttempts` are given up.
    pub(super) fn fail_at_open_breaker(&mut self, now: Micros, key: &UserApp) {
        let user_queue = self.user_queue(key);
        let Some(webhook) = user_queue.and_then(|user_queue| user_queue.webhooks.front_mut())
        else {
            return;
        };
        let mut impatient = Vec::new();
        match webhook.action {
            WebhookAction::Start => webhook.waiters.retain(|waiter| match waiter.retry {
                RetryPolicy::UntilCancelled => true,
                RetryPolicy::TwoAttempts => {
                    impatient.push(waiter.number);
                    false
                }
            }),
            WebhookAction::Stop(_) => self
                .counts
                .add(WebhookType::StopRequest, WebhookResult::BreakerOpen),
        }
        let user_queue = self.user_queue(key);
        let is_finished = user_queue.is_none_or(|user_queue| {
            user_queue
                .webhooks
                .front()
                .is_none_or(|j| j.waiters.is_empty())
        });
        for number in impatient {
            self.reject_start(number, WebhookResult::BreakerOpen);
        }
        if is_finished {
            self.remove(now, key, 0);
        }
    }

    /// Tells the starts that wait for this request that no request is sent for this time.
    fn report_delay(&mut self, key: &UserApp, span: Micros) {
        let webhook = self
            .user_queue(key)
            .and_then(|user_queue| user_queue.webhooks.front());
        let starts = webhook.map_or_else(Vec::new, |webhook| {
            webhook.waiters.iter().map(|waiter| waiter.number).collect()
        });
        let outcomes = starts
            .into_iter()
            .map(|number| (number, StartOutcome::Again { after: span }));
        self.outcomes.extend(outcomes);
    }

    fn succeed(&mut self, key: &UserApp) {
        let user_queue = self.user_queue(key);
        let Some(webhook) = user_queue.and_then(|user_queue| user_queue.webhooks.front_mut())
        else {
            return;
        };
        let cancelled = std::mem::take(&mut webhook.cancelled);
        for waiter in std::mem::take(&mut webhook.waiters) {
            self.push_outcome(waiter.number, StartOutcome::Answered);
        }
        for number in cancelled {
            self.push_outcome(number, StartOutcome::Answered);
        }
    }

    /// Returns how long to wait before the next attempt; `None` if there is none.
    fn fail_attempt(&mut self, key: &UserApp, why: &str) -> Option<Micros> {
        let user_queue = self.user_queue(key)?;
        let is_last = user_queue.webhooks.len() == 1;
        let webhook = user_queue.webhooks.front_mut()?;
        let attempts = webhook.attempts;
        if webhook.action != WebhookAction::Start {
            // The webhook after it asks for the opposite.
            return (is_last && attempts < ATTEMPTS_MAX).then_some(RETRY_PAUSE);
        }
        let mut given_up = std::mem::take(&mut webhook.cancelled);
        webhook.waiters.retain_mut(|waiter| {
            waiter.failures += 1;
            let is_finished =
                waiter.retry == RetryPolicy::TwoAttempts && waiter.failures >= ATTEMPTS_MAX;
            if is_finished {
                given_up.push(waiter.number);
            }
            !is_finished
        });
        let is_awaited = webhook
            .waiters
            .iter()
            .any(|w| w.retry == RetryPolicy::TwoAttempts);
        let again = (!webhook.waiters.is_empty()).then(|| match is_awaited {
            true => RETRY_PAUSE,
            false => back_off(attempts),
        });
        for number in given_up {
            self.push_outcome(number, StartOutcome::Failed(why.into()));
        }
        again
    }

    /// Returns the start (`session_request`) in this queue, with its position.
    fn find_start(&mut self, key: &UserApp) -> Option<(usize, &mut PendingWebhook)> {
        let mut webhooks = self.user_queue(key)?.webhooks.iter_mut().enumerate();
        webhooks.rfind(|(_, webhook)| webhook.action == WebhookAction::Start)
    }

    /// Ends the start (`session_request`) in this queue.
    fn end_starts(&mut self, now: Micros, key: &UserApp) {
        let Some((nth, webhook)) = self.find_start(key) else {
            return;
        };
        for waiter in std::mem::take(&mut webhook.waiters) {
            self.counts
                .add(WebhookType::SessionRequest, WebhookResult::Cancelled);
            self.push_outcome(
                waiter.number,
                StartOutcome::Failed("the app was stopped".into()),
            );
        }
        self.remove_waiting(now, key, nth);
    }

    /// Removes the stop (`stop_request`) in this queue, unless it was sent already.
    fn cancel_waiting_stop(&mut self, now: Micros, key: &UserApp) {
        let Some(user_queue) = self.user_queue(key) else {
            return;
        };
        let stop = user_queue
            .webhooks
            .iter()
            .position(|webhook| webhook.action != WebhookAction::Start);
        if let Some(nth) = stop
            && self.remove_waiting(now, key, nth)
        {
            self.counts
                .add(WebhookType::StopRequest, WebhookResult::Cancelled);
        }
    }

    /// Removes a webhook, unless it was sent already; returns whether it was removed.
    fn remove_waiting(&mut self, now: Micros, key: &UserApp, nth: usize) -> bool {
        let front = self.user_queue(key).map(|user_queue| user_queue.front);
        let is_in_flight = nth == 0 && matches!(front, Some(FrontState::InFlight { .. }));
        if !is_in_flight {
            self.remove(now, key, nth);
        }
        !is_in_flight
    }

    fn reject_start(&mut self, number: u64, result: WebhookResult) {
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
        self.push_outcome(number, StartOutcome::Failed(why.into()));
    }

    fn push_outcome(&mut self, number: u64, outcome: StartOutcome) {
        self.starts.remove(&number);
        self.outcomes.push((number, outcome));
    }
}

/// Returns the pause after this many attempts.
fn back_off(attempts: u32) -> Micros {
    match attempts.checked_sub(ATTEMPTS_MAX) {
        None => RETRY_PAUSE,
        Some(doublings) => {
            let longest = BACK_OFF_MAX.0.div_ceil(BACK_OFF_MIN.0);
            let factor = 1u64.checked_shl(doublings).unwrap_or(longest);
            Micros(BACK_OFF_MIN.0 * factor.min(longest)).min(BACK_OFF_MAX)
        }
    }
}
