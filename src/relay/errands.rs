//! Errands: the jobs that the loop gives to the errands thread (webhooks, the state file), and
//! their outcomes.
//!
//! The outcome of a start comes back through the [`QuerySender`](crate::query::QuerySender).

use crate::base::time::{Micros, Timestamp};
use crate::mail::{self, Limits, LoopSender, Overflow, QueueItem, Receiver};

/// The limits of the queue of errands. The errands thread takes the whole queue at once and at any
/// time, so a full queue means that the thread is stalled.
///
/// Errands that ask for something new ([`Errand::is_new`]) are limited to [`LIMITS_OF_NEW`]. The
/// rest of the room is for those that cancel or record something. Without them the thread would do
/// work that was cancelled, or the state file would be wrong.
const LIMITS: Limits = Limits {
    count: 2 * LIMITS_OF_NEW.count,
    bytes: 2 * LIMITS_OF_NEW.bytes,
};

/// The limits of the queue for errands that begin something new.
const LIMITS_OF_NEW: Limits = Limits {
    count: 65_536,
    bytes: 64 << 20,
};

/// The shortest time between two log lines about lost errands.
const LOG_EVERY: Micros = Micros::from_secs(1);

/// A job for the errands thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Errand {
    /// A webhook to an app's server.
    Webhook(WebhookErrand),
    /// A change of the state file.
    State(StateErrand),
}

/// A webhook to an app's server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookErrand {
    /// Ask the app's server to connect to a session of this user: POST `session_request`.
    Start {
        /// The number of this start, for [`WebhookErrand::Cancel`] and for its outcome. Never
        /// reused.
        number: u64,
        /// The user of the session.
        user: Box<str>,
        /// The package of the app.
        package: Box<str>,
        /// The URL of the webhook.
        url: Box<str>,
        /// When to give up.
        patience: Patience,
        /// The delay before the first attempt; up to a quarter of it is added at random.
        after: Micros,
    },
    /// Tell the app's server that its session has ended: POST `stop_request`, in at most two
    /// attempts. It has no outcome. A start of the same app for this user that has no outcome yet
    /// fails.
    Stop {
        /// The user of the session.
        user: Box<str>,
        /// The package of the app.
        package: Box<str>,
        /// The URL of the webhook.
        url: Box<str>,
        /// Why the session has ended.
        reason: StopReason,
    },
    /// Cancel a start. No new attempt is made. An attempt that was sent already may still arrive,
    /// and its outcome is reported. If none was, the outcome is [`Outcome::Cancelled`].
    Cancel {
        /// The number of the start.
        number: u64,
    },
}

/// A change of the state file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateErrand {
    /// Record that this app runs for this user.
    Remember {
        /// The user.
        user: Box<str>,
        /// The package of the app.
        package: Box<str>,
    },
    /// Record that this app no longer runs for this user.
    Forget {
        /// The user.
        user: Box<str>,
        /// The package of the app.
        package: Box<str>,
    },
    /// Record that no app runs for this user any more.
    ForgetUser {
        /// The user.
        user: Box<str>,
    },
}

impl Errand {
    /// Returns whether the errand begins something new. Others cancel or record something.
    fn is_new(&self) -> bool {
        match self {
            Errand::Webhook(WebhookErrand::Start { .. } | WebhookErrand::Stop { .. }) => true,
            Errand::Webhook(WebhookErrand::Cancel { .. }) | Errand::State(_) => false,
        }
    }
}

impl From<WebhookErrand> for Errand {
    fn from(errand: WebhookErrand) -> Self {
        Errand::Webhook(errand)
    }
}

impl From<StateErrand> for Errand {
    fn from(errand: StateErrand) -> Self {
        Errand::State(errand)
    }
}

impl QueueItem for Errand {
    fn bytes(&self) -> usize {
        let text = match self {
            Errand::Webhook(errand) => match errand {
                WebhookErrand::Start {
                    user, package, url, ..
                }
                | WebhookErrand::Stop {
                    user, package, url, ..
                } => user.len() + package.len() + url.len(),
                WebhookErrand::Cancel { .. } => 0,
            },
            Errand::State(errand) => match errand {
                StateErrand::Remember { user, package } | StateErrand::Forget { user, package } => {
                    user.len() + package.len()
                }
                StateErrand::ForgetUser { user } => user.len(),
            },
        };
        size_of::<Self>() + text
    }
}

/// When the attempts to start an app are given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// The start is given up after two attempts, a second apart; at once if the app's server is
    /// known to be down. For starts that a user waits for.
    Once,
    /// The start is never given up: after two attempts it is repeated after 2 s, 4 s and so on up
    /// to 60 s, until it succeeds or is cancelled.
    Persistent,
}

/// Why an app is stopped, in the terms of its SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The user stopped the app.
    UserDisabled,
    /// The gateway or an operator stopped the app.
    SystemStop,
    /// The app has an error.
    Error,
}

impl StopReason {
    /// Returns the reason as it is written in the webhook.
    pub fn name(self) -> &'static str {
        match self {
            StopReason::UserDisabled => "user_disabled",
            StopReason::SystemStop => "system_stop",
            StopReason::Error => "error",
        }
    }
}

/// The outcome of a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The app's server accepted the request.
    Answered,
    /// The attempt failed with HTTP 5xx, and the server is asked again after this time. Until then
    /// the app is not expected to connect.
    Again {
        /// The delay.
        after: Micros,
    },
    /// The start was cancelled, and no attempt is waiting for an answer.
    Cancelled,
    /// The start failed, for this reason: a few words that may be shown and logged.
    Failed(Box<str>),
}

/// The errands thread's end of the queue. Cheap to clone; all clones share one queue.
pub type ErrandBox = Receiver<Errand>;

/// The loop's end of the queue.
pub(crate) struct Errands {
    sender: LoopSender<Errand>,
    logged: Option<Timestamp>,
}

impl Default for Errands {
    fn default() -> Self {
        Errands {
            sender: mail::from_loop(LIMITS, Overflow::Refuse).0,
            logged: None,
        }
    }
}

impl Errands {
    pub(crate) fn shared(&self) -> ErrandBox {
        self.sender.receiver()
    }

    /// Queues an errand. Returns `false` if it is lost because the queue is full; a lost start has
    /// no outcome.
    pub(crate) fn push(&mut self, errand: impl Into<Errand>) -> bool {
        let errand = errand.into();
        let limits = if errand.is_new() {
            LIMITS_OF_NEW
        } else {
            LIMITS
        };
        let is_taken = self.sender.send_within(errand, limits).is_ok();
        if !is_taken {
            self.log_lost();
        }
        is_taken
    }

    fn log_lost(&mut self) {
        let lost = self.sender.counts().lost;
        let now = Timestamp::now();
        if self.logged.is_none_or(|at| now.since(at) >= LOG_EVERY) {
            self.logged = Some(now);
            log::error!(
                "errands lost={lost} reason=\"the queue of webhooks and state file changes is \
                 full\""
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, mpsc};

    fn cancel(number: u64) -> Errand {
        Errand::Webhook(WebhookErrand::Cancel { number })
    }

    fn start(number: u64) -> Errand {
        Errand::Webhook(WebhookErrand::Start {
            number,
            user: "alice".into(),
            package: "p".into(),
            url: "http://127.0.0.1/webhook".into(),
            patience: Patience::Once,
            after: Micros::ZERO,
        })
    }

    #[test]
    fn errands_arrive_in_order_and_wake_their_taker_once() {
        let mut errands = Errands::default();
        let taker = errands.shared();
        assert!(errands.push(cancel(0)), "before a listener exists");
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
        for number in 0..LIMITS_OF_NEW.count as u64 {
            assert!(errands.push(start(number)));
        }
        assert!(!errands.push(start(0)));
        for number in 0..LIMITS_OF_NEW.count as u64 {
            assert!(errands.push(cancel(number)));
        }
        assert!(!errands.push(cancel(0)));
        assert_eq!(taker.lost(), 2);
        assert_eq!(taker.take().len(), LIMITS.count);
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
