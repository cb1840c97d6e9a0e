//! The order of webhooks: one at a time for each app of each user, a few at a time for each app,
//! and apps take turns.
//!
//! Pure: it takes `now`, jobs and results ([`operations`](super::operations)), and yields requests
//! to send and outcomes to report.

use super::breaker::{Breakers, SendDecision};
use super::webhook_stats::{DOWN_MAX, WebhookCounts, WebhookResult, WebhookStats, WebhookType};
use crate::base::time::{Micros, UnixMillis};
use crate::gateway::{RetryPolicy, StartOutcome, StopReason};
use crate::side::down_app::DownApp;
use crate::side::outgoing::PostResult;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// The limit of concurrent requests.
pub(super) const IN_FLIGHT_MAX: usize = 64;

/// The limit of concurrent requests for one app: its server has other work, and a slow server must
/// not take all places.
pub(super) const IN_FLIGHT_PER_APP_MAX: usize = 16;

/// The limit of webhooks in the queue, including those under way. After a restart there is one for
/// each app of each user; each takes some hundred bytes.
const QUEUED_MAX: usize = 131_072;

/// The limit of webhooks for one app, so that an app that is down leaves room for the others.
const QUEUED_PER_APP_MAX: usize = QUEUED_MAX / 2;

/// A webhook request to send now.
#[derive(Debug, Clone)]
pub(super) struct WebhookRequest {
    pub(super) key: UserApp,
    pub(super) action: WebhookAction,
    pub(super) url: Arc<str>,
    /// The number of the attempt: 1, 2, …
    pub(super) attempt: u32,
}

/// The app of a user that a webhook is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UserApp {
    pub(super) package: Arc<str>,
    pub(super) user: Arc<str>,
}

/// An app of a user and its server, as a job names them.
#[derive(Debug, Clone, Copy)]
pub(super) struct WebhookTarget<'a> {
    pub(super) user: &'a str,
    pub(super) package: &'a str,
    pub(super) url: &'a str,
}

/// What a webhook asks of an app's server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WebhookAction {
    /// To connect the app for a user.
    Start,
    /// To stop the app for a user.
    Stop(StopReason),
}

impl WebhookAction {
    pub(super) fn webhook_type(self) -> WebhookType {
        match self {
            WebhookAction::Start => WebhookType::SessionRequest,
            WebhookAction::Stop(_) => WebhookType::StopRequest,
        }
    }
}

// The meaning of a reply for an app and its user.
impl PostResult {
    pub(super) fn result(&self) -> WebhookResult {
        match self {
            PostResult::Answered(_) => WebhookResult::Answered,
            PostResult::Refused(_) => WebhookResult::Refused,
            PostResult::Timeout => WebhookResult::Timeout,
            PostResult::Unreachable(_) | PostResult::Unsent(_) => WebhookResult::Unreachable,
        }
    }

    /// Returns whether the server is down, or a proxy in front of it says so. Any other answer
    /// shows that the server is up. A request that was not sent says nothing about the server.
    pub(super) fn is_down(&self) -> bool {
        match self {
            PostResult::Answered(_) | PostResult::Unsent(_) => false,
            PostResult::Refused(status) => (502..=504).contains(status),
            PostResult::Timeout | PostResult::Unreachable(_) => true,
        }
    }

    /// Returns the error that the user is told, if there was one. It reveals nothing about the
    /// network behind us: neither the status of the app's server nor why it cannot be reached. The
    /// log and the API have both.
    pub(super) fn user_message(&self) -> Option<&'static str> {
        match self {
            PostResult::Answered(_) => None,
            PostResult::Refused(_) => Some("the app's server has refused the request"),
            PostResult::Timeout => Some("the app's server has not answered in time"),
            PostResult::Unreachable(_) => Some("the app's server cannot be reached"),
            PostResult::Unsent(_) => Some("the gateway cannot send webhooks to the app's server"),
        }
    }
}

/// The queue of all webhooks that wait or are being sent.
pub(super) struct WebhookQueue {
    apps: HashMap<Arc<str>, AppQueue>,
    /// The apps that have requests to send, in the order of their turns, each once.
    rotation: VecDeque<Arc<str>>,
    timers: BTreeMap<(Micros, u64), QueueTimer>,
    /// The app and user of each start, by the number of the start.
    pub(super) starts: HashMap<u64, UserApp>,
    pub(super) breakers: Breakers,
    queued: usize,
    in_flight: usize,
    /// The next sequence number; it orders webhooks that become ready, or due, at the same time.
    next: u64,
    pub(super) outcomes: Vec<(u64, StartOutcome)>,
    pub(super) counts: WebhookCounts,
    pub(super) rng: fastrand::Rng,
}

/// The webhooks of one app. It exists while it has any, or while it is in the rotation.
#[derive(Default)]
struct AppQueue {
    users: HashMap<Arc<str>, UserQueue>,
    /// Users with a request that may be sent now, in order.
    ready: BTreeMap<u64, Arc<str>>,
    queued: usize,
    in_flight: usize,
    is_in_rotation: bool,
    /// The URL of the last webhook, to share its memory: most webhooks of an app have the same.
    url: Option<Arc<str>>,
}

/// The webhooks for an app of a user, in order: two at most.
pub(super) struct UserQueue {
    pub(super) webhooks: VecDeque<PendingWebhook>,
    /// The state of the first webhook.
    pub(super) front: FrontState,
}

/// The state of the first webhook of a user's queue; a number is its key in the order of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrontState {
    /// It may be sent now.
    Ready(u64),
    /// It may be sent from this time on.
    Delayed(Micros, u64),
    /// It was sent, and its answer has not come.
    InFlight {
        /// Whether this request is the probe: the single test request to a server that is down.
        is_probe: bool,
    },
}

/// A webhook that waits or was sent.
pub(super) struct PendingWebhook {
    pub(super) action: WebhookAction,
    pub(super) url: Arc<str>,
    /// The number of attempts so far.
    pub(super) attempts: u32,
    /// The earliest time of the next attempt.
    pub(super) due: Micros,
    /// The starts that wait for this request; empty if they were cancelled after it was sent.
    pub(super) waiters: Vec<Waiter>,
    /// Starts that were cancelled after this request was sent: they get its outcome.
    pub(super) cancelled: Vec<u64>,
}

/// A start that waits for the outcome of a webhook.
pub(super) struct Waiter {
    pub(super) number: u64,
    pub(super) retry: RetryPolicy,
    /// The number of failed attempts since this start began to wait for the request.
    pub(super) failures: u32,
}

/// What is due at a time.
enum QueueTimer {
    /// The first webhook of this queue may be sent.
    UserQueue(UserApp),
    /// The breaker of an app allows a probe.
    AppQueue(Arc<str>),
}

impl WebhookQueue {
    pub(super) fn new(rng: fastrand::Rng) -> Self {
        WebhookQueue {
            apps: HashMap::new(),
            rotation: VecDeque::new(),
            timers: BTreeMap::new(),
            starts: HashMap::new(),
            breakers: Breakers::default(),
            queued: 0,
            in_flight: 0,
            next: 0,
            outcomes: Vec::new(),
            counts: WebhookCounts::default(),
            rng,
        }
    }

    /// Processes all webhooks and breakers that are due.
    pub(super) fn advance(&mut self, now: Micros) {
        while let Some(entry) = self.timers.first_entry().filter(|e| e.key().0 <= now) {
            match entry.remove() {
                QueueTimer::UserQueue(key) => self.make_ready(now, &key),
                QueueTimer::AppQueue(package) => self.update_rotation(now, &package),
            }
        }
    }

    // ---- requests and outcomes ----

    /// Returns the next request to send; call it until there is none.
    pub(super) fn next_request(&mut self, now: Micros) -> Option<WebhookRequest> {
        while self.in_flight < IN_FLIGHT_MAX {
            let package = self.rotation.pop_front()?;
            let Some(app_queue) = self.apps.get_mut(&package) else {
                continue;
            };
            app_queue.is_in_rotation = false;
            let is_allowed = app_queue.in_flight < IN_FLIGHT_PER_APP_MAX
                && self.breakers.decide(&package, now) == SendDecision::Send;
            let user = if is_allowed {
                app_queue.ready.pop_first()
            } else {
                None
            };
            let mut request = None;
            if let Some((_, user)) = user
                && let Some(user_queue) = app_queue.users.get_mut(&user)
                && let Some(webhook) = user_queue.webhooks.front_mut()
            {
                webhook.attempts += 1;
                user_queue.front = FrontState::InFlight {
                    is_probe: self.breakers.begin_attempt(&package),
                };
                app_queue.in_flight += 1;
                self.in_flight += 1;
                let package = package.clone();
                request = Some(WebhookRequest {
                    key: UserApp { package, user },
                    action: webhook.action,
                    url: webhook.url.clone(),
                    attempt: webhook.attempts,
                });
            }
            self.update_rotation(now, &package);
            if request.is_some() {
                return request;
            }
        }
        None
    }

    /// Takes the outcomes that were not reported yet.
    pub(super) fn take_outcomes(&mut self) -> Vec<(u64, StartOutcome)> {
        std::mem::take(&mut self.outcomes)
    }

    /// Returns when [`WebhookQueue::advance`] must be called next.
    pub(super) fn due(&self) -> Option<Micros> {
        self.timers.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn stats(&self, now: Micros) -> WebhookStats {
        let wall = UnixMillis::now();
        let mut down: Vec<DownApp> = self
            .breakers
            .down()
            .map(|down| DownApp {
                package: down.package.into(),
                since: UnixMillis(wall.0.saturating_sub((now - down.since).as_millis())),
                last_error: down.last_error.into(),
            })
            .collect();
        let breakers_open = down.len();
        down.sort_unstable_by(|a, b| a.package.cmp(&b.package));
        down.truncate(DOWN_MAX);
        WebhookStats {
            counts: self.counts,
            in_flight: self.in_flight,
            waiting: self.queued - self.in_flight,
            breakers_open,
            down,
        }
    }

    // ---- primitives for the operations ----

    /// Returns the span plus up to a quarter, so that requests that failed together are not retried
    /// together.
    pub(super) fn jittered(&mut self, span: Micros) -> Micros {
        span + Micros(self.rng.u64(0..=span.0 / 4))
    }

    pub(super) fn user_queue(&mut self, key: &UserApp) -> Option<&mut UserQueue> {
        self.apps.get_mut(&key.package)?.users.get_mut(&key.user)
    }

    /// Returns the key of an app and its URL. Both share the memory of equal strings in the queue.
    pub(super) fn shared_key(&self, app: WebhookTarget<'_>) -> (UserApp, Arc<str>) {
        let app_queue = self.apps.get_key_value(app.package);
        let user_queue =
            app_queue.and_then(|(_, app_queue)| app_queue.users.get_key_value(app.user));
        let url = app_queue.and_then(|(_, app_queue)| app_queue.url.clone());
        let key = UserApp {
            package: app_queue.map_or_else(|| app.package.into(), |(package, _)| package.clone()),
            user: user_queue.map_or_else(|| app.user.into(), |(user, _)| user.clone()),
        };
        let url = url.filter(|url| **url == *app.url);
        (key, url.unwrap_or_else(|| app.url.into()))
    }

    /// Adds a webhook after those for the same app of the same user. Returns `false` if there is no
    /// room.
    pub(super) fn add(&mut self, now: Micros, key: &UserApp, webhook: PendingWebhook) -> bool {
        let of_app = self
            .apps
            .get(&key.package)
            .map_or(0, |app_queue| app_queue.queued);
        if self.queued >= QUEUED_MAX || of_app >= QUEUED_PER_APP_MAX {
            return false;
        }
        let due = webhook.due;
        let app_queue = self.apps.entry(key.package.clone()).or_default();
        app_queue.url = Some(webhook.url.clone());
        app_queue.queued += 1;
        self.queued += 1;
        if let Some(user_queue) = app_queue.users.get_mut(&key.user) {
            user_queue.webhooks.push_back(webhook);
        } else {
            let user_queue = UserQueue {
                webhooks: VecDeque::from([webhook]),
                front: FrontState::Delayed(due, 0),
            };
            app_queue.users.insert(key.user.clone(), user_queue);
            self.schedule(now, key, due);
        }
        true
    }

    /// Removes a webhook. If it was the first, the next one takes its place.
    pub(super) fn remove(&mut self, now: Micros, key: &UserApp, nth: usize) {
        if nth == 0 {
            self.unschedule(key);
        }
        let Some(app_queue) = self.apps.get_mut(&key.package) else {
            return;
        };
        let Some(user_queue) = app_queue.users.get_mut(&key.user) else {
            return;
        };
        if user_queue.webhooks.remove(nth).is_some() {
            app_queue.queued -= 1;
            self.queued -= 1;
        }
        match user_queue.webhooks.front() {
            Some(webhook) if nth == 0 => {
                let due = webhook.due;
                self.schedule(now, key, due);
            }
            Some(_) => {}
            None => {
                app_queue.users.remove(&key.user);
                self.update_rotation(now, &key.package);
            }
        }
    }

    /// Delays the first webhook until `due`.
    pub(super) fn schedule(&mut self, now: Micros, key: &UserApp, due: Micros) {
        if due <= now {
            return self.make_ready(now, key);
        }
        let number = self.number();
        if let Some(user_queue) = self.user_queue(key) {
            user_queue.front = FrontState::Delayed(due, number);
            self.timers
                .insert((due, number), QueueTimer::UserQueue(key.clone()));
        }
    }

    pub(super) fn unschedule(&mut self, key: &UserApp) {
        let Some(app_queue) = self.apps.get_mut(&key.package) else {
            return;
        };
        match app_queue
            .users
            .get(&key.user)
            .map(|user_queue| user_queue.front)
        {
            Some(FrontState::Ready(number)) => {
                app_queue.ready.remove(&number);
            }
            Some(FrontState::Delayed(at, number)) => {
                self.timers.remove(&(at, number));
            }
            Some(FrontState::InFlight { .. }) | None => {}
        }
    }

    fn make_ready(&mut self, now: Micros, key: &UserApp) {
        let number = self.number();
        let Some(app_queue) = self.apps.get_mut(&key.package) else {
            return;
        };
        if let Some(user_queue) = app_queue.users.get_mut(&key.user) {
            user_queue.front = FrontState::Ready(number);
            app_queue.ready.insert(number, key.user.clone());
        }
        if self.breakers.decide(&key.package, now) == SendDecision::Refuse {
            self.fail_at_open_breaker(now, key);
        }
        self.update_rotation(now, &key.package);
    }

    /// Records that a request was answered or has failed. Returns whether it was the breaker's
    /// probe; `None` if the request is unknown.
    pub(super) fn finish_request(&mut self, key: &UserApp) -> Option<bool> {
        let app_queue = self.apps.get_mut(&key.package)?;
        let FrontState::InFlight { is_probe } = app_queue.users.get(&key.user)?.front else {
            return None;
        };
        app_queue.in_flight -= 1;
        self.in_flight -= 1;
        Some(is_probe)
    }

    /// Sends nothing for this app until this time, because its server is considered down.
    pub(super) fn pause(&mut self, now: Micros, package: &Arc<str>, until: Micros) {
        let number = self.number();
        self.timers
            .insert((until, number), QueueTimer::AppQueue(package.clone()));
        let ready = self.apps.get(package).map(|app_queue| &app_queue.ready);
        let users: Vec<Arc<str>> = ready.map_or_else(Vec::new, |r| r.values().cloned().collect());
        for user in users {
            let package = package.clone();
            self.fail_at_open_breaker(now, &UserApp { package, user });
        }
    }

    /// Puts an app into the rotation if it has something to send, and removes it if it is empty.
    /// Call it after every change.
    pub(super) fn update_rotation(&mut self, now: Micros, package: &Arc<str>) {
        let Some(app_queue) = self.apps.get_mut(package) else {
            return;
        };
        if !app_queue.is_in_rotation
            && !app_queue.ready.is_empty()
            && app_queue.in_flight < IN_FLIGHT_PER_APP_MAX
            && self.breakers.decide(package, now) == SendDecision::Send
        {
            app_queue.is_in_rotation = true;
            self.rotation.push_back(package.clone());
        }
        if app_queue.queued == 0 && !app_queue.is_in_rotation {
            self.apps.remove(package);
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Returns whether the queue is empty and nothing is left of earlier webhooks.
    #[cfg(test)]
    pub(super) fn is_clear(&self) -> bool {
        self.apps.is_empty()
            && self.rotation.is_empty()
            && self.timers.is_empty()
            && self.starts.is_empty()
            && (self.queued, self.in_flight) == (0, 0)
    }
}
