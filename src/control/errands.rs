//! The loop's errands on the errands thread: taken, done, and what became of them brought back.

use super::lock;
use super::state_file::{Flush, StateFile, StateFileStats, Store};
use super::webhooks::{WebhookOptions, WebhookStats, Webhooks};
use crate::engine::Io;
use crate::gateway::{Desk, Errand, ErrandBox, Gateway, Outcome, Progress};
use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;
use tokio::sync::Notify;

/// Errands that are done at a time, before others have their turn on the thread.
const SLICE: usize = 1_000;

/// Outcomes that the loop hears in one slice.
const OUTCOMES: usize = 32;

/// How long to wait if the desk is full.
const DESK_RETRY: Duration = Duration::from_millis(10);

/// Whoever does the errands.
pub(super) struct Runner {
    errands: ErrandBox,
    desk: Desk,
    webhooks: Arc<Webhooks>,
    store: Option<Arc<Store>>,
    outbox: Arc<Mutex<Outbox>>,
    flushes: Mutex<Vec<Flush>>,
    wake: Arc<Notify>,
}

/// Outcomes on their way to the loop.
#[derive(Default)]
struct Outbox {
    outcomes: VecDeque<(u64, Outcome)>,
    /// Whether the loop was asked to take them.
    is_asked: bool,
}

impl Runner {
    pub(super) fn new(
        errands: ErrandBox,
        desk: Desk,
        webhooks: WebhookOptions,
        state: Option<StateFile>,
    ) -> Self {
        let wake = Arc::new(Notify::new());
        Runner {
            errands,
            desk,
            webhooks: Arc::new(Webhooks::new(webhooks, wake.clone())),
            store: state.map(|file| Arc::new(Store::new(file))),
            outbox: Arc::default(),
            flushes: Mutex::default(),
            wake,
        }
    }

    pub(super) fn webhooks(&self) -> WebhookStats {
        self.webhooks.stats()
    }

    pub(super) fn state_file(&self) -> StateFileStats {
        let store = self.store.as_ref();
        store.map_or_else(StateFileStats::default, |store| store.stats())
    }

    /// Errands that were lost.
    pub(super) fn lost(&self) -> u64 {
        self.errands.lost()
    }

    /// Waits until what the loop has had remembered is on disk. From another thread.
    pub(super) fn flush(&self, patience: Duration) -> io::Result<()> {
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

    /// Does errands for ever.
    pub(super) async fn run(self: Arc<Self>) {
        let wake = self.wake.clone();
        self.errands.set_wake(Box::new(move || wake.notify_one()));
        if let Some(store) = &self.store {
            tokio::spawn(store.clone().keep());
        }
        let (mut errands, mut flushes) = (VecDeque::new(), Vec::new());
        loop {
            // In this order: what was to be remembered before somebody asked for a flush is done before it.
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
            if !self.tell(outcomes) {
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

    /// Has the loop told of them, and of those before. `false`: it must be tried again.
    fn tell(&self, outcomes: Vec<(u64, Outcome)>) -> bool {
        let mut outbox = lock(&self.outbox);
        outbox.outcomes.extend(outcomes);
        if outbox.is_asked || outbox.outcomes.is_empty() {
            return true;
        }
        let shared = self.outbox.clone();
        let work = Box::new(move |gateway: &mut Gateway, io: &mut Io<'_>| {
            deliver(&shared, |number, outcome| {
                gateway.errand_done(io, number, outcome);
            })
        });
        // The loop may begin before this returns; it finds the outbox locked then, and comes again.
        outbox.is_asked = self.desk.leave(work).is_ok();
        outbox.is_asked
    }
}

/// In the loop: some outcomes, as long as there are any.
fn deliver(outbox: &Mutex<Outbox>, mut tell: impl FnMut(u64, &Outcome)) -> Progress {
    let mut outbox = match outbox.try_lock() {
        Ok(outbox) => outbox,
        Err(TryLockError::Poisoned(e)) => e.into_inner(),
        Err(TryLockError::WouldBlock) => return Progress::More,
    };
    let some = OUTCOMES.min(outbox.outcomes.len());
    let outcomes: Vec<(u64, Outcome)> = outbox.outcomes.drain(..some).collect();
    outbox.is_asked = !outbox.outcomes.is_empty();
    let progress = if outbox.is_asked {
        Progress::More
    } else {
        Progress::Done
    };
    drop(outbox);
    for (number, outcome) in outcomes {
        tell(number, &outcome);
    }
    progress
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_hears_of_some_at_a_time_and_never_waits() {
        let mut outbox = Outbox::default();
        let many = 2 * OUTCOMES as u64 + 1;
        outbox
            .outcomes
            .extend((0..many).map(|n| (n, Outcome::Answered)));
        outbox.is_asked = true;
        let outbox = Mutex::new(outbox);
        let held = outbox.lock().expect("not poisoned");
        let progress = deliver(&outbox, |_, _| panic!("it is locked"));
        assert_eq!(progress, Progress::More);
        drop(held);
        let mut told = Vec::new();
        for expected in [Progress::More, Progress::More, Progress::Done] {
            assert!(lock(&outbox).is_asked);
            let progress = deliver(&outbox, |number, _| told.push(number));
            assert_eq!(progress, expected);
        }
        assert!(!lock(&outbox).is_asked, "whoever has more must ask again");
        assert_eq!(told, (0..many).collect::<Vec<_>>());
    }
}
