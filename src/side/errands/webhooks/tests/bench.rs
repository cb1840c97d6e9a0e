//! A queue with a virtual clock, and the requests that are under way.

use super::super::queue::{App, Post, Queue};
use super::super::stats::{WebhookResult, WebhookType};
use crate::base::time::Micros;
use crate::gateway::Patience::Persistent;
use crate::gateway::{Outcome, Patience, StopReason};
use crate::side::outgoing::Reply;
use std::collections::VecDeque;

pub(super) const OK: Reply = Reply::Answered(200);
pub(super) const REFUSED: Reply = Reply::Refused(503);

/// The queue, its clock, and the requests that are under way.
pub(super) struct Bench {
    pub(super) queue: Queue,
    pub(super) now: Micros,
    pub(super) under_way: VecDeque<Post>,
    pub(super) told: Vec<(u64, Outcome)>,
}

impl Bench {
    pub(super) fn new() -> Self {
        Bench::with_seed(1)
    }

    pub(super) fn with_seed(seed: u64) -> Self {
        Bench {
            queue: Queue::new(fastrand::Rng::with_seed(seed)),
            now: Micros::from_secs(1_000),
            under_way: VecDeque::new(),
            told: Vec::new(),
        }
    }

    pub(super) fn start(&mut self, number: u64, user: &str, package: &str, patience: Patience) {
        let app = app(user, package);
        self.queue
            .start(self.now, number, app, patience, Micros::ZERO);
        self.turn();
    }

    pub(super) fn stop(&mut self, user: &str, package: &str) {
        let app = app(user, package);
        self.queue.stop(self.now, app, StopReason::UserDisabled);
        self.turn();
    }

    pub(super) fn cancel(&mut self, number: u64) {
        self.queue.cancel(self.now, number);
        self.turn();
    }

    pub(super) fn turn(&mut self) {
        self.queue.turn(self.now);
        while let Some(post) = self.queue.next_post(self.now) {
            self.under_way.push_back(post);
        }
        self.told.append(&mut self.queue.take_outcomes());
    }

    /// Answers the oldest request.
    pub(super) fn answer(&mut self, reply: &Reply) -> Post {
        let post = self.under_way.pop_front().expect("a request");
        self.queue.done(self.now, &post, reply);
        self.turn();
        post
    }

    pub(super) fn pass(&mut self, span: Micros) {
        self.now += span;
        self.turn();
    }

    /// Advances to the next due time; returns how long that was.
    pub(super) fn pass_to_due(&mut self) -> Micros {
        let due = self.queue.due().expect("something due");
        let span = due - self.now;
        self.pass(span);
        span
    }

    /// Returns the outcomes since the last call, except pauses.
    pub(super) fn told(&mut self) -> Vec<(u64, Outcome)> {
        let told = std::mem::take(&mut self.told).into_iter();
        told.filter(|(_, outcome)| !matches!(outcome, Outcome::Again { .. }))
            .collect()
    }

    /// Returns the pauses since the last call; asserts that there were no other outcomes.
    pub(super) fn pauses(&mut self) -> Vec<(u64, Micros)> {
        let told = std::mem::take(&mut self.told).into_iter();
        told.map(|(number, outcome)| match outcome {
            Outcome::Again { after } => (number, after),
            Outcome::Answered | Outcome::Cancelled | Outcome::Failed(_) => {
                panic!("{number}: {outcome:?}")
            }
        })
        .collect()
    }

    pub(super) fn count(&self, kind: WebhookType, result: WebhookResult) -> u64 {
        self.queue.stats(self.now).counts.get(kind, result)
    }

    /// Fails five attempts in a row.
    pub(super) fn break_down(&mut self, package: &str) {
        for n in 0..5 {
            let number = 1_000_000 + n;
            self.start(number, &format!("breaker{n}"), package, Persistent);
            self.answer(&REFUSED);
            self.cancel(number);
            assert_eq!(self.told(), [(number, Outcome::Cancelled)]);
        }
        assert_eq!(self.queue.stats(self.now).breakers_open, 1);
    }

    pub(super) fn is_empty(&self) -> bool {
        let stats = self.queue.stats(self.now);
        (stats.waiting, stats.in_flight) == (0, 0)
    }
}

pub(super) fn app<'a>(user: &'a str, package: &'a str) -> App<'a> {
    App {
        user,
        package,
        url: "http://127.0.0.1:1/webhook",
    }
}

pub(super) fn failed(number: u64, why: &str) -> (u64, Outcome) {
    (number, Outcome::Failed(why.into()))
}

pub(super) fn ms(ms: u64) -> Micros {
    Micros::from_millis(ms)
}
