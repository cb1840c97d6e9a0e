//! Jobs: the work that the loop gives to the thread `jobs` (webhooks, the state file), and their
//! outcomes.
//!
//! The outcome of a start comes back through the [`QuerySender`](crate::query::QuerySender).

use crate::base::time::{Micros, Timestamp};
use crate::mail::{self, Limits, LoopSender, Overflow, QueueItem, Receiver};

/// The limits of the queue of jobs. The jobs thread takes the whole queue at once and at any
/// time, so a full queue means that the thread is stalled.
///
/// Jobs that ask for something new ([`Job::is_new`]) are limited to [`NEW_JOB_LIMITS`]. The
/// rest of the room is for those that cancel or record something. Without them the thread would do
/// work that was cancelled, or the state file would be wrong.
const LIMITS: Limits = Limits {
    count: 2 * NEW_JOB_LIMITS.count,
    bytes: 2 * NEW_JOB_LIMITS.bytes,
};

/// The limits of the queue for jobs that begin something new.
const NEW_JOB_LIMITS: Limits = Limits {
    count: 65_536,
    bytes: 64 << 20,
};

/// The shortest time between two log lines about lost jobs.
const LOG_EVERY: Micros = Micros::from_secs(1);

/// A job for the jobs thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// A webhook to an app's server.
    Webhook(WebhookJob),
    /// A change of the state file.
    State(StateJob),
}

/// A webhook to an app's server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookJob {
    /// Ask the app's server to connect to a session of this user: POST `session_request`.
    Start {
        /// The number of this start, for [`WebhookJob::Cancel`] and for its outcome. Never
        /// reused.
        number: u64,
        /// The user of the session.
        user: Box<str>,
        /// The package of the app.
        package: Box<str>,
        /// The URL of the webhook.
        url: Box<str>,
        /// When to give up.
        retry: RetryPolicy,
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
    /// and its outcome is reported. If none was, the outcome is [`StartOutcome::Cancelled`].
    Cancel {
        /// The number of the start.
        number: u64,
    },
}

/// A change of the state file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateJob {
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

impl Job {
    /// Returns whether the job begins something new. Others cancel or record something.
    fn is_new(&self) -> bool {
        match self {
            Job::Webhook(WebhookJob::Start { .. } | WebhookJob::Stop { .. }) => true,
            Job::Webhook(WebhookJob::Cancel { .. }) | Job::State(_) => false,
        }
    }
}

impl From<WebhookJob> for Job {
    fn from(job: WebhookJob) -> Self {
        Job::Webhook(job)
    }
}

impl From<StateJob> for Job {
    fn from(job: StateJob) -> Self {
        Job::State(job)
    }
}

impl QueueItem for Job {
    fn bytes(&self) -> usize {
        let text = match self {
            Job::Webhook(job) => match job {
                WebhookJob::Start {
                    user, package, url, ..
                }
                | WebhookJob::Stop {
                    user, package, url, ..
                } => user.len() + package.len() + url.len(),
                WebhookJob::Cancel { .. } => 0,
            },
            Job::State(job) => match job {
                StateJob::Remember { user, package } | StateJob::Forget { user, package } => {
                    user.len() + package.len()
                }
                StateJob::ForgetUser { user } => user.len(),
            },
        };
        size_of::<Self>() + text
    }
}

/// When the attempts to start an app are given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryPolicy {
    /// The start is given up after two attempts, a second apart; at once if the app's server is
    /// known to be down. For starts that a user waits for.
    TwoAttempts,
    /// The start is never given up: after two attempts it is repeated after 2 s, 4 s and so on up
    /// to 60 s, until it succeeds or is cancelled.
    UntilCancelled,
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
pub enum StartOutcome {
    /// The app's server accepted the request.
    Answered,
    /// The attempt failed with HTTP 5xx, and the server is asked again after this time. Until then
    /// the app is not expected to connect.
    Again {
        /// The delay until the next attempt.
        after: Micros,
    },
    /// The start was cancelled, and no attempt is waiting for an answer.
    Cancelled,
    /// The start failed, for this reason: a few words that may be shown and logged.
    Failed(Box<str>),
}

/// The jobs thread's end of the queue. Cheap to clone; all clones share one queue.
pub type JobReceiver = Receiver<Job>;

/// The loop's end of the queue.
pub(crate) struct JobSender {
    sender: LoopSender<Job>,
    logged: Option<Timestamp>,
}

impl Default for JobSender {
    fn default() -> Self {
        JobSender {
            sender: mail::from_loop(LIMITS, Overflow::Refuse).0,
            logged: None,
        }
    }
}

impl JobSender {
    pub(crate) fn shared(&self) -> JobReceiver {
        self.sender.receiver()
    }

    /// Queues a job. Returns `false` if it is lost because the queue is full; a lost start has
    /// no outcome.
    pub(crate) fn push(&mut self, job: impl Into<Job>) -> bool {
        let job = job.into();
        let limits = if job.is_new() { NEW_JOB_LIMITS } else { LIMITS };
        let is_taken = self.sender.send_within(job, limits).is_ok();
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
                "jobs lost={lost} reason=\"the queue of webhooks and state file changes is \
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

    fn cancel(number: u64) -> Job {
        Job::Webhook(WebhookJob::Cancel { number })
    }

    fn start(number: u64) -> Job {
        Job::Webhook(WebhookJob::Start {
            number,
            user: "alice".into(),
            package: "p".into(),
            url: "http://127.0.0.1/webhook".into(),
            retry: RetryPolicy::TwoAttempts,
            after: Micros::ZERO,
        })
    }

    #[test]
    fn jobs_arrive_in_order_and_wake_their_taker_once() {
        let mut jobs = JobSender::default();
        let taker = jobs.shared();
        assert!(jobs.push(cancel(0)), "before a listener exists");
        let told = Arc::new(AtomicUsize::new(0));
        let counter = told.clone();
        taker.set_wake(Box::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        }));
        assert_eq!(told.load(Ordering::Relaxed), 1, "of what waits already");
        for number in 1..10 {
            assert!(jobs.push(cancel(number)));
        }
        assert_eq!(told.load(Ordering::Relaxed), 1);
        assert_eq!(taker.take(), (0..10).map(cancel).collect::<Vec<_>>());
        assert!(jobs.push(start(10)));
        assert_eq!(told.load(Ordering::Relaxed), 2, "of what came behind");
        assert_eq!(taker.take(), [start(10)]);
    }

    #[test]
    fn what_is_too_much_is_lost_and_said_and_cancelling_is_still_possible() {
        let mut jobs = JobSender::default();
        let taker = jobs.shared();
        for number in 0..NEW_JOB_LIMITS.count as u64 {
            assert!(jobs.push(start(number)));
        }
        assert!(!jobs.push(start(0)));
        for number in 0..NEW_JOB_LIMITS.count as u64 {
            assert!(jobs.push(cancel(number)));
        }
        assert!(!jobs.push(cancel(0)));
        assert_eq!(taker.lost(), 2);
        assert_eq!(taker.take().len(), LIMITS.count);
        assert!(jobs.push(start(1)));
        assert_eq!(taker.take(), [start(1)]);
    }

    #[test]
    fn nothing_is_forgotten_between_two_threads() {
        let mut jobs = JobSender::default();
        let taker = jobs.shared();
        let (wake, woken) = mpsc::channel();
        taker.set_wake(Box::new(move || wake.send(()).expect("a listener")));
        let pushing = std::thread::spawn(move || {
            for number in 0..200_000 {
                while !jobs.push(cancel(number)) {
                    std::thread::yield_now();
                }
            }
            jobs
        });
        let mut next = 0;
        while next < 200_000 {
            let limit = std::time::Duration::from_secs(20);
            woken.recv_timeout(limit).expect("to be told");
            for job in taker.take() {
                assert_eq!(job, cancel(next));
                next += 1;
            }
        }
        drop(pushing.join().expect("no panic"));
    }
}
