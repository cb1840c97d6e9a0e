//! The loop's errands on the errands thread: takes them, does them, and returns their outcomes to
//! the loop.

use super::state_file::{Flush, StateFile, StateFileStats, Store};
use super::webhooks::{WebhookOptions, WebhookStats, Webhooks};
use crate::engine::Io;
use crate::gateway::{Desk, Errand, ErrandBox, Gateway, Outcome, Progress};
use crate::mail::{self, Budget, Limits, LoopReceiver, NoRoom, Overflow, QueueItem, Sender};
use crate::side::lock::lock;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// The most errands that are done in one slice, before other tasks of the thread run.
const SLICE: usize = 1_000;

/// The most outcomes that wait for the loop. Further outcomes wait here until there is room.
const OUTCOMES_MAX: Limits = Limits {
    count: 262_144,
    bytes: 64 << 20,
};

/// The most outcomes that the loop takes in one slice.
const OUTCOMES: Limits = Limits {
    count: 32,
    bytes: usize::MAX,
};

/// How long to wait before a retry, if the loop's queue is full or too many outcomes wait for the
/// loop.
const DESK_RETRY: Duration = Duration::from_millis(10);

/// Runs the errands of the loop on the errands thread.
pub(in crate::side) struct Runner {
    errands: ErrandBox,
    desk: Desk,
    webhooks: Arc<Webhooks>,
    store: Option<Arc<Store>>,
    told: Sender<Told>,
    delivery: Arc<Delivery>,
    flushes: Mutex<Vec<Flush>>,
    wake: Arc<Notify>,
}

/// The outcome of an errand, with the errand's number, on its way to the loop.
#[derive(Debug)]
struct Told(u64, Outcome);

impl QueueItem for Told {
    fn bytes(&self) -> usize {
        let why = match &self.1 {
            Outcome::Failed(why) => why.len(),
            Outcome::Answered | Outcome::Again { .. } | Outcome::Cancelled => 0,
        };
        size_of::<Self>() + why
    }
}

/// The loop's end of the outcome queue.
struct Delivery {
    /// The queue of outcomes. Only code that runs on the loop locks it.
    outcomes: Mutex<LoopReceiver<Told>>,
    /// Whether the loop was asked to take outcomes, and has not finished.
    is_asked: AtomicBool,
}

impl Runner {
    pub(in crate::side) fn new(
        errands: ErrandBox,
        desk: Desk,
        webhooks: WebhookOptions,
        state: Option<StateFile>,
    ) -> Self {
        let wake = Arc::new(Notify::new());
        let (told, delivery) = Delivery::new();
        Runner {
            errands,
            desk,
            webhooks: Arc::new(Webhooks::new(webhooks, wake.clone())),
            store: state.map(|file| Arc::new(Store::new(file))),
            told,
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

    /// Returns the number of errands that were lost.
    pub(in crate::side) fn lost(&self) -> u64 {
        self.errands.lost()
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

    /// Runs errands until the process ends.
    pub(in crate::side) async fn run(self: Arc<Self>) {
        let wake = self.wake.clone();
        self.errands.set_wake(Box::new(move || wake.notify_one()));
        if let Some(store) = &self.store {
            tokio::spawn(store.clone().keep());
        }
        let (mut errands, mut flushes) = (VecDeque::new(), Vec::new());
        let mut untold = VecDeque::new();
        loop {
            // Flushes are taken first: what was recorded before a flush was requested is then
            // written before it.
            flushes.append(&mut lock(&self.flushes));
            if errands.is_empty() || !flushes.is_empty() {
                errands.extend(self.errands.take());
            }
            for _ in 0..SLICE.min(errands.len()) {
                if let Some(errand) = errands.pop_front() {
                    self.run_one(errand);
                }
            }
            if errands.is_empty()
                && let Some(store) = &self.store
            {
                flushes.drain(..).for_each(|flush| store.flush(flush));
            }
            let (outcomes, mut wait) = self.webhooks.turn();
            untold.extend(outcomes.into_iter().map(|(n, outcome)| Told(n, outcome)));
            if !self.tell(&mut untold) {
                wait = Some(wait.map_or(DESK_RETRY, |wait| wait.min(DESK_RETRY)));
            }
            if !errands.is_empty() {
                tokio::task::yield_now().await;
            } else if let Some(wait) = wait {
                // Whichever comes first.
                let _ = tokio::time::timeout(wait, self.wake.notified()).await;
            } else {
                self.wake.notified().await;
            }
        }
    }

    fn run_one(&self, errand: Errand) {
        match errand {
            Errand::Webhook(errand) => self.webhooks.run(errand),
            Errand::State(errand) => {
                if let Some(store) = &self.store {
                    store.run(errand);
                }
            }
        }
    }

    /// Queues these outcomes for the loop, behind earlier ones. Returns whether the loop will take
    /// them; if not, this must be called again later.
    fn tell(&self, untold: &mut VecDeque<Told>) -> bool {
        while let Some(told) = untold.pop_front() {
            if let Err(NoRoom(told)) = self.told.send(told) {
                untold.push_front(told);
                break;
            }
        }
        if self.told.counts().waiting > 0 && !self.delivery.is_asked.swap(true, Ordering::AcqRel) {
            let delivery = self.delivery.clone();
            let work = Box::new(move |gateway: &mut Gateway, io: &mut Io<'_>| {
                delivery.step(|number, outcome| gateway.errand_done(io, number, outcome))
            });
            if self.desk.send_sliced(work).is_err() {
                self.delivery.is_asked.store(false, Ordering::Release);
                return false;
            }
        }
        untold.is_empty()
    }
}

impl Delivery {
    fn new() -> (Sender<Told>, Self) {
        let (told, outcomes) = mail::to_loop(OUTCOMES_MAX, Overflow::Refuse);
        let delivery = Delivery {
            outcomes: Mutex::new(outcomes),
            is_asked: AtomicBool::new(false),
        };
        (told, delivery)
    }

    /// Runs on the loop: delivers some outcomes, and continues while there are any.
    fn step(&self, mut tell: impl FnMut(u64, &Outcome)) -> Progress {
        let mut outcomes = lock(&self.outcomes);
        outcomes.collect();
        let mut some = Budget::new(OUTCOMES);
        while let Some(Told(number, outcome)) = outcomes.take(&mut some) {
            tell(number, &outcome);
        }
        if outcomes.has_leftovers() {
            return Progress::More;
        }
        // Reset before the last check: for outcomes sent after it, the loop is asked again.
        self.is_asked.swap(false, Ordering::AcqRel);
        outcomes.collect();
        if outcomes.has_leftovers() && !self.is_asked.swap(true, Ordering::AcqRel) {
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
        let (told, delivery) = Delivery::new();
        let many = 2 * OUTCOMES.count as u64 + 1;
        for number in 0..many {
            assert!(told.send(Told(number, Outcome::Answered)).is_ok());
        }
        delivery.is_asked.store(true, Ordering::Relaxed);
        let mut heard = Vec::new();
        for expected in [Progress::More, Progress::More, Progress::Done] {
            assert!(delivery.is_asked.load(Ordering::Relaxed));
            let progress = delivery.step(|number, _| heard.push(number));
            assert_eq!(progress, expected);
        }
        let is_asked = delivery.is_asked.load(Ordering::Relaxed);
        assert!(!is_asked, "a caller with more must ask again");
        assert_eq!(heard, (0..many).collect::<Vec<_>>());
    }

    #[test]
    fn an_outcome_that_comes_while_the_loop_hears_of_the_last_one_is_not_forgotten() {
        let (told, delivery) = Delivery::new();
        assert!(told.send(Told(1, Outcome::Answered)).is_ok());
        delivery.is_asked.store(true, Ordering::Relaxed);
        let progress = delivery.step(|number, _| {
            assert_eq!(number, 1);
            // The sender sees that the loop was asked already, and does not ask again.
            assert!(told.send(Told(2, Outcome::Cancelled)).is_ok());
        });
        assert_eq!(progress, Progress::More);
        let progress = delivery.step(|number, outcome| {
            assert_eq!((number, outcome), (2, &Outcome::Cancelled));
        });
        assert_eq!(progress, Progress::Done);
    }
}
