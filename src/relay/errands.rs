//! Errands: what the loop has the errands thread do (webhooks, the state file), and what became of it.
//!
//! What becomes of a start comes back in a queue, which work at the [`Desk`](crate::desk::Desk) empties.

use crate::base::time::{Micros, Moment};
use crate::mail::{self, Limits, LoopSender, Mail, Overflow, Receiver};

/// The most errands that wait to be taken. The errands thread takes all at once and at any time, so more than this means that
/// it stands still. What asks for something new ([`Errand::is_new`]) finds room up to [`LIMITS_OF_NEW`] only: without what takes
/// something back or keeps it in mind the errands thread would go on with what nobody wants, or the state file would say what is
/// not so.
const LIMITS: Limits = Limits {
    count: 2 * LIMITS_OF_NEW.count,
    bytes: 2 * LIMITS_OF_NEW.bytes,
};

/// The most errands that wait when a new start or stop finds room.
const LIMITS_OF_NEW: Limits = Limits {
    count: 65_536,
    bytes: 64 << 20,
};

/// How often at most lost errands are logged, in ms.
const LOG_EVERY: Micros = Micros::from_secs(1);

/// Something for the errands thread to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Errand {
    /// For an app's server.
    Webhook(WebhookErrand),
    /// For the state file.
    State(StateErrand),
}

/// Something for an app's server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookErrand {
    /// Ask for a session of this user: POST `session_request`.
    Start {
        /// Names it, for [`WebhookErrand::Cancel`] and for its outcome. Never given twice.
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
    /// Tell that a session is over: POST `stop_request`, in at most two attempts. No outcome is told.
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
}

/// Something for the state file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateErrand {
    /// This app runs for this user.
    Remember {
        /// For whom.
        user: Box<str>,
        /// Which app.
        package: Box<str>,
    },
    /// This app does not run for this user any more.
    Forget {
        /// For whom.
        user: Box<str>,
        /// Which app.
        package: Box<str>,
    },
    /// No app runs for this user any more.
    ForgetUser {
        /// For whom.
        user: Box<str>,
    },
}

impl Errand {
    /// Returns whether it asks for something new, rather than taking something back or keeping it in mind.
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

impl Mail for Errand {
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
pub type ErrandBox = Receiver<Errand>;

/// The loop's side of the box.
pub(crate) struct Errands {
    sender: LoopSender<Errand>,
    logged: Option<Moment>,
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

    /// Returns whether it will be done; otherwise it is lost, because too many wait. Of a lost start no outcome will be told.
    pub(crate) fn push(&mut self, errand: impl Into<Errand>) -> bool {
        let errand = errand.into();
        let limits = if errand.is_new() {
            LIMITS_OF_NEW
        } else {
            LIMITS
        };
        let is_taken = self.sender.post_within(errand, limits).is_ok();
        if !is_taken {
            self.log_lost();
        }
        is_taken
    }

    fn log_lost(&mut self) {
        let lost = self.sender.counts().lost;
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
