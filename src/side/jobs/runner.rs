//! The loop's jobs on the thread `jobs`: takes them, does them, and returns their outcomes to
//! the loop.

use super::state_file::{FlushReply, StateFile, StateFileStats, Store};
use super::webhooks::{WebhookOptions, WebhookSender, WebhookStats};
use crate::engine::Io;
use crate::gateway::{Gateway, GatewayQueries, Job, JobReceiver, Progress, StartOutcome};
use crate::mail::{self, Budget, Limits, LoopReceiver, NoRoom, Overflow, QueueItem, Sender};
use crate::side::lock::lock;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// The most jobs that are done in one slice, before other tasks of the thread run.
const SLICE_JOBS: usize = 1_000;

/// The most outcomes that wait for the loop. Further outcomes wait here until there is room.
const OUTCOMES_MAX: Limits = Limits {
    count: 262_144,
    bytes: 64 << 20,
};

/// The most outcomes that the loop takes in one slice.
const SLICE_OUTCOMES: Limits = Limits {
    count: 32,
    bytes: usize::MAX,
};

/// How long to wait before a retry, if the loop's queue is full or too many outcomes wait for the
/// loop.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// Runs the jobs of the loop on the thread `jobs`.
pub(in crate::side) struct JobRunner {
    jobs: JobReceiver,
    queries: GatewayQueries,
    webhooks: Arc<WebhookSender>,
    store: Option<Arc<Store>>,
    sender: Sender<NumberedOutcome>,
    delivery: Arc<OutcomeDelivery>,
    flushes: Mutex<Vec<FlushReply>>,
    wake: Arc<Notify>,
}

/// The outcome of a job, with the job's number, on its way to the loop.
#[derive(Debug)]
struct NumberedOutcome(u64, StartOutcome);

impl QueueItem for NumberedOutcome {
    fn bytes(&self) -> usize {
        let why = match &self.1 {
            StartOutcome::Failed(why) => why.len(),
            StartOutcome::Answered | StartOutcome::Again { .. } | StartOutcome::Cancelled => 0,
        };
        size_of::<Self>() + why
    }
}

/// The loop's end of the outcome queue.
struct OutcomeDelivery {
    /// The queue of outcomes. Only code that runs on the loop locks it.
    outcomes: Mutex<LoopReceiver<NumberedOutcome>>,
    /// Whether the loop was asked to take outcomes, and has not finished.
    is_scheduled: AtomicBool,
}

impl JobRunner {
    pub(in crate::side) fn new(
        jobs: JobReceiver,
        queries: GatewayQueries,
        webhooks: WebhookOptions,
        state: Option<StateFile>,
    ) -> Self {
        let wake = Arc::new(Notify::new());
        let (sender, delivery) = OutcomeDelivery::new();
        JobRunner {
            jobs,
            queries,
            webhooks: Arc::new(WebhookSender::new(webhooks, wake.clone())),
            store: state.map(|file| Arc::new(Store::new(file))),
            sender,
            delivery: Arc::new(delivery),
            flushes: Mutex::default(),
            wake,
        }
    }

    pub(in crate::side) fn webhooks(&self) -> WebhookStats {
        self.webhooks.stats()
    }

    pub(in crate::side) fn state_file(&self) -> StateFileStats {
        let store = self.store.as_ref();
        store.map_or_else(StateFileStats::default, |store| store.stats())
    }

    /// Returns the number of jobs that were lost.
    pub(in crate::side) fn lost(&self) -> u64 {
        self.jobs.lost()
    }

    /// Waits until the state that the loop has recorded is on disk. Call it from another thread.
    pub(in crate::side) fn flush(&self, patience: Duration) -> io::Result<()> {
        if self.store.is_none() {
            return Ok(());
        }
        let (flush, flushed) = mpsc::channel();
        lock(&self.flushes).push(flush);
        self.wake.notify_one();
        match flushed.recv_timeout(patience) {
            Ok(result) => result.map_err(|why| io::Error::other(why.into_string())),
            Err(RecvTimeoutError::Timeout) => Err(io::ErrorKind::TimedOut.into()),
            Err(RecvTimeoutError::Disconnected) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Runs jobs until the process ends.
    pub(in crate::side) async fn run(self: Arc<Self>) {
        let wake = self.wake.clone();
        self.jobs.set_wake(Box::new(move || wake.notify_one()));
        if let Some(store) = &self.store {
            tokio::spawn(store.clone().run());
        }
        let (mut jobs, mut flushes) = (VecDeque::new(), Vec::new());
        let mut unsent = VecDeque::new();
        loop {
            // Flushes are taken first: what was recorded before a flush was requested is then
            // written before it.
            flushes.append(&mut lock(&self.flushes));
            if jobs.is_empty() || !flushes.is_empty() {
                jobs.extend(self.jobs.take());
            }
            for _ in 0..SLICE_JOBS.min(jobs.len()) {
                if let Some(job) = jobs.pop_front() {
                    self.dispatch(job);
                }
            }
            if jobs.is_empty()
                && let Some(store) = &self.store
            {
                flushes.drain(..).for_each(|flush| store.flush(flush));
            }
            let (outcomes, mut wait) = self.webhooks.advance();
            unsent.extend(
                outcomes
                    .into_iter()
                    .map(|(n, outcome)| NumberedOutcome(n, outcome)),
            );
            if !self.send_outcomes(&mut unsent) {
                wait = Some(wait.map_or(RETRY_PAUSE, |wait| wait.min(RETRY_PAUSE)));
            }
            if !jobs.is_empty() {
                tokio::task::yield_now().await;
            } else if let Some(wait) = wait {
                // Whichever comes first.
                let _ = tokio::time::timeout(wait, self.wake.notified()).await;
            } else {
                self.wake.notified().await;
            }
        }
    }

    fn dispatch(&self, job: Job) {
        match job {
            Job::Webhook(job) => self.webhooks.enqueue(job),
            Job::State(job) => {
                if let Some(store) = &self.store {
                    store.apply(job);
                }
            }
        }
    }

    /// Queues these outcomes for the loop, behind earlier ones. Returns whether the loop will take
    /// them; if not, this must be called again later.
    fn send_outcomes(&self, unsent: &mut VecDeque<NumberedOutcome>) -> bool {
        while let Some(outcome) = unsent.pop_front() {
            if let Err(NoRoom(outcome)) = self.sender.send(outcome) {
                unsent.push_front(outcome);
                break;
            }
        }
        if self.sender.counts().waiting > 0
            && !self.delivery.is_scheduled.swap(true, Ordering::AcqRel)
        {
            let delivery = self.delivery.clone();
            let work = Box::new(move |gateway: &mut Gateway, io: &mut Io<'_>| {
                delivery.step(|number, outcome| gateway.finish_start(io, number, outcome))
            });
            if self.queries.send_sliced(work).is_err() {
                self.delivery.is_scheduled.store(false, Ordering::Release);
                return false;
            }
        }
        unsent.is_empty()
    }
}

impl OutcomeDelivery {
    fn new() -> (Sender<NumberedOutcome>, Self) {
        let (sender, outcomes) = mail::to_loop(OUTCOMES_MAX, Overflow::Refuse);
        let delivery = OutcomeDelivery {
            outcomes: Mutex::new(outcomes),
            is_scheduled: AtomicBool::new(false),
        };
        (sender, delivery)
    }

    /// Runs on the loop: delivers some outcomes, and continues while there are any.
    fn step(&self, mut deliver: impl FnMut(u64, &StartOutcome)) -> Progress {
        let mut outcomes = lock(&self.outcomes);
        outcomes.collect();
        let mut budget = Budget::new(SLICE_OUTCOMES);
        while let Some(NumberedOutcome(number, outcome)) = outcomes.take(&mut budget) {
            deliver(number, &outcome);
        }
        if outcomes.has_leftovers() {
            return Progress::More;
        }
        // Reset before the last check: for outcomes sent after it, the loop is asked again.
        self.is_scheduled.swap(false, Ordering::AcqRel);
        outcomes.collect();
        if outcomes.has_leftovers() && !self.is_scheduled.swap(true, Ordering::AcqRel) {
            Progress::More
        } else {
            Progress::Done
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_hears_of_some_at_a_time_and_never_waits() {
        let (sender, delivery) = OutcomeDelivery::new();
        let many = 2 * SLICE_OUTCOMES.count as u64 + 1;
        for number in 0..many {
            assert!(
                sender
                    .send(NumberedOutcome(number, StartOutcome::Answered))
                    .is_ok()
            );
        }
        delivery.is_scheduled.store(true, Ordering::Relaxed);
        let mut delivered = Vec::new();
        for expected in [Progress::More, Progress::More, Progress::Done] {
            assert!(delivery.is_scheduled.load(Ordering::Relaxed));
            let progress = delivery.step(|number, _| delivered.push(number));
            assert_eq!(progress, expected);
        }
        let is_scheduled = delivery.is_scheduled.load(Ordering::Relaxed);
        assert!(!is_scheduled, "a caller with more must ask again");
        assert_eq!(delivered, (0..many).collect::<Vec<_>>());
    }

    #[test]
    fn an_outcome_that_comes_while_the_loop_hears_of_the_last_one_is_not_forgotten() {
        let (sender, delivery) = OutcomeDelivery::new();
        assert!(
            sender
                .send(NumberedOutcome(1, StartOutcome::Answered))
                .is_ok()
        );
        delivery.is_scheduled.store(true, Ordering::Relaxed);
        let progress = delivery.step(|number, _| {
            assert_eq!(number, 1);
            // The sender sees that the loop was asked already, and does not ask again.
            assert!(
                sender
                    .send(NumberedOutcome(2, StartOutcome::Cancelled))
                    .is_ok()
            );
        });
        assert_eq!(progress, Progress::More);
        let progress = delivery.step(|number, outcome| {
            assert_eq!((number, outcome), (2, &StartOutcome::Cancelled));
        });
        assert_eq!(progress, Progress::Done);
    }
}
