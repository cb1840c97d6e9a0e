//! Errands: what the loop has the errands thread do (webhooks, the state file), and what became of it.
//!
//! The loop only puts errands into a channel, which never waits; the errands thread takes them out when it is told to. What
//! becomes of a start comes back through the [`Desk`](super::Desk).

use crate::time::{Micros, Moment};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Errands that may wait to be taken. The side thread takes all at once and at any time, so more than this means that it
/// stands still. What asks for something new ([`Errand::Start`], [`Errand::Stop`]) finds room up to here.
const CAPACITY: usize = 65_536;

/// What takes something back or keeps it in mind finds room for as many again: without it the errands thread would go on with
/// what nobody wants, or the state file would say what is not so.
const CAPACITY_OF_MEMORIES: usize = 2 * CAPACITY;

/// How often at most lost errands are logged, in ms.
const LOG_EVERY: Micros = Micros::from_secs(1);

/// Something for the errands thread to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Errand {
    /// Ask an app's server for a session of this user: POST `session_request`.
    Start {
        /// Names it, for [`Errand::Cancel`] and for its outcome. Never given twice.
        number: u64,
        /// Whose session.
        user: Box<str>,
        /// Which app.
        package: Box<str>,
        /// Where to.
        url: Box<str>,
        /// When to give up.
        patience: Patience,
        /// How long to wait before the first attempt; up to a quarter of it is added at random.
        after: Micros,
    },
    /// Tell an app's server that a session is over: POST `stop_request`, in at most two attempts. No outcome is told.
    /// A start of the same app of this user that has no outcome yet fails.
    Stop {
        /// Whose session.
        user: Box<str>,
        /// Which app.
        package: Box<str>,
        /// Where to.
        url: Box<str>,
        /// Why.
        reason: StopReason,
    },
    /// A start is not wanted any more. No new attempt is made; one that is under way may still arrive, and its outcome is told
    /// when it is back. If none is, [`Outcome::Cancelled`] is.
    Cancel {
        /// Which start.
        number: u64,
    },
    /// For the state file: this app runs for this user.
    Remember {
        /// For whom.
        user: Box<str>,
        /// Which app.
        package: Box<str>,
    },
    /// For the state file: this app does not run for this user any more.
    Forget {
        /// For whom.
        user: Box<str>,
        /// Which app.
        package: Box<str>,
    },
    /// For the state file: no app runs for this user any more.
    ForgetUser {
        /// For whom.
        user: Box<str>,
    },
}

impl Errand {
    /// Whether it asks for something new, rather than taking something back or keeping it in mind.
    fn is_new(&self) -> bool {
        match self {
            Errand::Start { .. } | Errand::Stop { .. } => true,
            Errand::Cancel { .. }
            | Errand::Remember { .. }
            | Errand::Forget { .. }
            | Errand::ForgetUser { .. } => false,
        }
    }
}

/// When a start gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// After two attempts, a second apart; at once if the app's server is known to be down. For somebody who waits.
    Once,
    /// Never: after those two it goes on, after 2 s, 4 s and so on up to 60 s, until it succeeds or is cancelled.
    Persistent,
}

/// Why an app is stopped, in the words of its SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The user wanted it.
    UserDisabled,
    /// We did, or an operator.
    SystemStop,
    /// Something is wrong with the app.
    Error,
}

impl StopReason {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            StopReason::UserDisabled => "user_disabled",
            StopReason::SystemStop => "system_stop",
            StopReason::Error => "error",
        }
    }
}

/// What became of a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The app's server said yes.
    Answered,
    /// It failed, with 5xx, and is asked again after this time. Until then nobody is on the way who was asked for.
    Again {
        /// How long.
        after: Micros,
    },
    /// It is not asked any more, as was wanted, and no attempt is under way.
    Cancelled,
    /// It did not. Why, in a few words that may be shown and logged.
    Failed(Box<str>),
}

/// Where the errands thread finds its errands. Cheap to clone; all clones are one box.
#[derive(Clone)]
pub struct ErrandBox(Arc<Shared>);

struct Shared {
    errands: Mutex<Receiver<Errand>>,
    waiting: AtomicUsize,
    lost: AtomicU64,
    /// Whether the errands thread was told of what waits.
    told: AtomicBool,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl ErrandBox {
    /// Takes out what has come in since the last time, oldest first.
    pub fn take(&self) -> Vec<Errand> {
        // Before the look: whatever comes behind it tells anew.
        self.0.told.swap(false, Ordering::AcqRel);
        let errands = self.0.errands.lock();
        let errands = errands.unwrap_or_else(PoisonError::into_inner);
        let taken: Vec<Errand> = errands.try_iter().collect();
        self.0.waiting.fetch_sub(taken.len(), Ordering::Relaxed);
        taken
    }

    /// How the errands thread is told that something waits, from now on and also of what waits already. It must not wait for
    /// anything. Only the first one counts.
    pub fn set_wake(&self, wake: Box<dyn Fn() + Send + Sync>) {
        if self.0.wake.set(wake).is_ok() {
            self.0.tell();
        }
    }

    /// Errands that were lost because too many waited.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for ErrandBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrandBox")
            .field("waiting", &self.0.waiting)
            .field("lost", &self.0.lost)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn tell(&self) {
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }
}

/// The loop's side of the box.
pub(crate) struct Errands {
    shared: Arc<Shared>,
    sender: Sender<Errand>,
    logged: Option<Moment>,
}

impl Default for Errands {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel();
        let shared = Shared {
            errands: Mutex::new(receiver),
            waiting: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            told: AtomicBool::new(false),
            wake: OnceLock::new(),
        };
        Errands {
            shared: Arc::new(shared),
            sender,
            logged: None,
        }
    }
}

impl Errands {
    pub(crate) fn shared(&self) -> ErrandBox {
        ErrandBox(self.shared.clone())
    }

    /// `false`: it is lost, too many wait. Of a lost start no outcome will be told.
    pub(crate) fn push(&mut self, errand: Errand) -> bool {
        let most = if errand.is_new() {
            CAPACITY
        } else {
            CAPACITY_OF_MEMORIES
        };
        // Only here the number grows. It has grown before the errand can be taken.
        let is_room = self.shared.waiting.load(Ordering::Relaxed) < most;
        if is_room {
            self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        }
        // The receiver lives as long as we do.
        if !is_room || self.sender.send(errand).is_err() {
            self.count_lost();
            return false;
        }
        if !self.shared.told.swap(true, Ordering::AcqRel) {
            self.shared.tell();
        }
        true
    }

    fn count_lost(&mut self) {
        let lost = self.shared.lost.fetch_add(1, Ordering::Relaxed) + 1;
        let now = Moment::now();
        if self.logged.is_none_or(|at| now.since(at) >= LOG_EVERY) {
            self.logged = Some(now);
            log::error!("errands lost={lost} reason=\"the errands thread does not take them\"");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cancel(number: u64) -> Errand {
        Errand::Cancel { number }
    }

    fn start(number: u64) -> Errand {
        Errand::Start {
            number,
            user: "alice".into(),
            package: "p".into(),
            url: "http://127.0.0.1/webhook".into(),
            patience: Patience::Once,
            after: Micros::ZERO,
        }
    }

    #[test]
    fn errands_arrive_in_order_and_whoever_takes_them_is_told_once() {
        let mut errands = Errands::default();
        let taker = errands.shared();
        assert!(errands.push(cancel(0)), "before anybody listens");
        let told = Arc::new(AtomicUsize::new(0));
        let counter = told.clone();
        taker.set_wake(Box::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        }));
        assert_eq!(told.load(Ordering::Relaxed), 1, "of what waits already");
        for number in 1..10 {
            assert!(errands.push(cancel(number)));
        }
        assert_eq!(told.load(Ordering::Relaxed), 1);
        assert_eq!(taker.take(), (0..10).map(cancel).collect::<Vec<_>>());
        assert!(errands.push(start(10)));
        assert_eq!(told.load(Ordering::Relaxed), 2, "of what came behind");
        assert_eq!(taker.take(), [start(10)]);
    }

    #[test]
    fn what_is_too_much_is_lost_and_said_and_cancelling_is_still_possible() {
        let mut errands = Errands::default();
        let taker = errands.shared();
        for number in 0..CAPACITY as u64 {
            assert!(errands.push(start(number)));
        }
        assert!(!errands.push(start(0)));
        for number in 0..CAPACITY as u64 {
            assert!(errands.push(cancel(number)));
        }
        assert!(!errands.push(cancel(0)));
        assert_eq!(taker.lost(), 2);
        assert_eq!(taker.take().len(), CAPACITY_OF_MEMORIES);
        assert!(errands.push(start(1)));
        assert_eq!(taker.take(), [start(1)]);
    }

    #[test]
    fn nothing_is_forgotten_between_two_threads() {
        let mut errands = Errands::default();
        let taker = errands.shared();
        let (wake, woken) = mpsc::channel();
        taker.set_wake(Box::new(move || wake.send(()).expect("a listener")));
        let pushing = std::thread::spawn(move || {
            for number in 0..200_000 {
                while !errands.push(cancel(number)) {
                    std::thread::yield_now();
                }
            }
            errands
        });
        let mut next = 0;
        while next < 200_000 {
            let patience = std::time::Duration::from_secs(20);
            woken.recv_timeout(patience).expect("to be told");
            for errand in taker.take() {
                assert_eq!(errand, cancel(next));
                next += 1;
            }
        }
        drop(pushing.join().expect("no panic"));
    }
}
