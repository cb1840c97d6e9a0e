//! A queue with a virtual clock, and the requests that are under way.

use super::super::queue::{WebhookQueue, WebhookRequest, WebhookTarget};
use super::super::webhook_stats::{WebhookResult, WebhookType};
use crate::base::time::Micros;
use crate::gateway::RetryPolicy::UntilCancelled;
use crate::gateway::{RetryPolicy, StartOutcome, StopReason};
use crate::side::outgoing::PostResult;
use std::collections::VecDeque;

pub(super) const OK: PostResult = PostResult::Answered(200);
pub(super) const REFUSED: PostResult = PostResult::Refused(503);

/// The queue, its clock, and the requests that are under way.
pub(super) struct QueueHarness {
    pub(super) queue: WebhookQueue,
    pub(super) now: Micros,
    pub(super) in_flight: VecDeque<WebhookRequest>,
    pub(super) outcomes: Vec<(u64, StartOutcome)>,
}

impl QueueHarness {
    pub(super) fn new() -> Self {
        QueueHarness::with_seed(1)
    }

    pub(super) fn with_seed(seed: u64) -> Self {
        QueueHarness {
            queue: WebhookQueue::new(fastrand::Rng::with_seed(seed)),
            now: Micros::from_secs(1_000),
            in_flight: VecDeque::new(),
            outcomes: Vec::new(),
        }
    }

    pub(super) fn start(&mut self, number: u64, user: &str, package: &str, retry: RetryPolicy) {
        let app = app(user, package);
        self.queue.start(self.now, number, app, retry, Micros::ZERO);
        self.advance();
    }

    pub(super) fn stop(&mut self, user: &str, package: &str) {
        let app = app(user, package);
        self.queue.stop(self.now, app, StopReason::UserDisabled);
        self.advance();
    }

    pub(super) fn cancel(&mut self, number: u64) {
        self.queue.cancel(self.now, number);
        self.advance();
    }

    pub(super) fn advance(&mut self) {
        self.queue.advance(self.now);
        while let Some(request) = self.queue.next_request(self.now) {
            self.in_flight.push_back(request);
        }
        self.outcomes.append(&mut self.queue.take_outcomes());
    }

    /// Answers the oldest request.
    pub(super) fn answer(&mut self, reply: &PostResult) -> WebhookRequest {
        let request = self.in_flight.pop_front().expect("a request");
        self.queue.finish(self.now, &request, reply);
        self.advance();
        request
    }

    pub(super) fn advance_time(&mut self, span: Micros) {
        self.now += span;
        self.advance();
    }

    /// Advances to the next due time; returns how long that was.
    pub(super) fn advance_to_due(&mut self) -> Micros {
        let due = self.queue.due().expect("something due");
        let span = due - self.now;
        self.advance_time(span);
        span
    }

    /// Returns the outcomes since the last call, except pauses.
    pub(super) fn outcomes(&mut self) -> Vec<(u64, StartOutcome)> {
        let outcomes = std::mem::take(&mut self.outcomes).into_iter();
        outcomes
            .filter(|(_, outcome)| !matches!(outcome, StartOutcome::Again { .. }))
            .collect()
    }

    /// Returns the pauses since the last call; asserts that there were no other outcomes.
    pub(super) fn pauses(&mut self) -> Vec<(u64, Micros)> {
        let outcomes = std::mem::take(&mut self.outcomes).into_iter();
        outcomes
            .map(|(number, outcome)| match outcome {
                StartOutcome::Again { after } => (number, after),
                StartOutcome::Answered | StartOutcome::Cancelled | StartOutcome::Failed(_) => {
                    panic!("{number}: {outcome:?}")
                }
            })
            .collect()
    }

    pub(super) fn count(&self, kind: WebhookType, result: WebhookResult) -> u64 {
        self.queue.stats(self.now).counts.get(kind, result)
    }

    /// Fails five attempts in a row.
    pub(super) fn open_breaker(&mut self, package: &str) {
        for n in 0..5 {
            let number = 1_000_000 + n;
            self.start(number, &format!("breaker{n}"), package, UntilCancelled);
            self.answer(&REFUSED);
            self.cancel(number);
            assert_eq!(self.outcomes(), [(number, StartOutcome::Cancelled)]);
        }
        assert_eq!(self.queue.stats(self.now).breakers_open, 1);
    }

    pub(super) fn is_empty(&self) -> bool {
        let stats = self.queue.stats(self.now);
        (stats.waiting, stats.in_flight) == (0, 0)
    }
}

pub(super) fn app<'a>(user: &'a str, package: &'a str) -> WebhookTarget<'a> {
    WebhookTarget {
        user,
        package,
        url: "http://127.0.0.1:1/webhook",
    }
}

pub(super) fn failed(number: u64, why: &str) -> (u64, StartOutcome) {
    (number, StartOutcome::Failed(why.into()))
}

pub(super) fn ms(ms: u64) -> Micros {
    Micros::from_millis(ms)
}
