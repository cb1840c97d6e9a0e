//! The order of webhooks: one at a time for each app of each user, a few at a time for each app,
//! and apps take turns.
//!
//! Pure: it takes `now`, errands and results ([`rules`](super::rules)), and yields requests to send
//! and outcomes to report.

use super::breaker::{Admission, Breakers};
use super::stats::{DOWN_MAX, WebhookCounts, WebhookResult, WebhookStats, WebhookType};
use crate::base::time::{Micros, UnixMillis};
use crate::gateway::{Outcome, Patience, StopReason};
use crate::side::down::DownApp;
use crate::side::outgoing::Reply;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// The limit of concurrent requests.
pub(super) const IN_FLIGHT: usize = 64;

/// The limit of concurrent requests for one app: its server has other work, and a slow server must
/// not take all places.
pub(super) const IN_FLIGHT_PER_APP: usize = 16;

/// The limit of webhooks in the queue, including those under way. After a restart there is one for
/// each app of each user; each takes some hundred bytes.
const HELD: usize = 131_072;

/// The limit of webhooks for one app, so that an app that is down leaves room for the others.
const HELD_PER_APP: usize = HELD / 2;

/// A webhook request to send now.
#[derive(Debug, Clone)]
pub(super) struct Post {
    pub(super) key: Key,
    pub(super) kind: Kind,
    pub(super) url: Arc<str>,
    /// The number of the attempt: 1, 2, …
    pub(super) attempt: u32,
}

/// The app of a user that a webhook is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) package: Arc<str>,
    pub(super) user: Arc<str>,
}

/// An app of a user and its server, as an errand names them.
#[derive(Debug, Clone, Copy)]
pub(super) struct App<'a> {
    pub(super) user: &'a str,
    pub(super) package: &'a str,
    pub(super) url: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Start,
    Stop(StopReason),
}

impl Kind {
    pub(super) fn name(self) -> WebhookType {
        match self {
            Kind::Start => WebhookType::SessionRequest,
            Kind::Stop(_) => WebhookType::StopRequest,
        }
    }
}

// The meaning of a reply for an app and its user.
impl Reply {
    pub(super) fn result(&self) -> WebhookResult {
        match self {
            Reply::Answered(_) => WebhookResult::Answered,
            Reply::Refused(_) => WebhookResult::Refused,
            Reply::Timeout => WebhookResult::Timeout,
            Reply::Unreachable(_) | Reply::Unsent(_) => WebhookResult::Unreachable,
        }
    }

    /// Returns whether the server is down, or a proxy in front of it says so. Any other answer
    /// shows that the server is up. A request that was not sent says nothing about the server.
    pub(super) fn is_down(&self) -> bool {
        match self {
            Reply::Answered(_) | Reply::Unsent(_) => false,
            Reply::Refused(status) => (502..=504).contains(status),
            Reply::Timeout | Reply::Unreachable(_) => true,
        }
    }

    /// Returns the error that the user is told, if there was one. It reveals nothing about the
    /// network behind us: neither the status of the app's server nor why it cannot be reached. The
    /// log and the API have both.
    pub(super) fn told(&self) -> Option<&'static str> {
        match self {
            Reply::Answered(_) => None,
            Reply::Refused(_) => Some("the app's server has refused the request"),
            Reply::Timeout => Some("the app's server has not answered in time"),
            Reply::Unreachable(_) => Some("the app's server cannot be reached"),
            Reply::Unsent(_) => Some("the gateway cannot send webhooks to the app's server"),
        }
    }
}

/// The queue of all webhooks that wait or are being sent.
pub(super) struct Queue {
    lanes: HashMap<Arc<str>, Lane>,
    /// The lanes (one for each app) that have requests to send, in the order of their turns, each
    /// once.
    ring: VecDeque<Arc<str>>,
    timers: BTreeMap<(Micros, u64), Due>,
    /// The app and user of each start, by the number of the start.
    pub(super) numbers: HashMap<u64, Key>,
    pub(super) breakers: Breakers,
    held: usize,
    under_way: usize,
    /// The next sequence number; it orders webhooks that become ready, or due, at the same time.
    next: u64,
    pub(super) outcomes: Vec<(u64, Outcome)>,
    pub(super) counts: WebhookCounts,
    pub(super) rng: fastrand::Rng,
}

/// A lane: the webhooks of one app. It exists while it has any, or while it is in the ring.
#[derive(Default)]
struct Lane {
    pairs: HashMap<Arc<str>, Pair>,
    /// Users with a request that may be sent now, in order.
    ready: BTreeMap<u64, Arc<str>>,
    held: usize,
    under_way: usize,
    is_in_ring: bool,
    /// The URL of the last webhook, to share its memory: most webhooks of an app have the same.
    url: Option<Arc<str>>,
}

/// The webhooks for an app of a user, in order: two at most.
pub(super) struct Pair {
    pub(super) jobs: VecDeque<Job>,
    /// The state of the first webhook of the pair.
    pub(super) stands: Stands,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stands {
    Ready(u64),
    Until(Micros, u64),
    UnderWay {
        /// Whether this request is the probe: the single test request to a server that is down.
        is_probe: bool,
    },
}

pub(super) struct Job {
    pub(super) kind: Kind,
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

pub(super) struct Waiter {
    pub(super) number: u64,
    pub(super) patience: Patience,
    /// Failed attempts since the waiter joined.
    pub(super) failures: u32,
}

enum Due {
    Pair(Key),
    /// The breaker of a lane allows a probe.
    Lane(Arc<str>),
}

impl Queue {
    pub(super) fn new(rng: fastrand::Rng) -> Self {
        Queue {
            lanes: HashMap::new(),
            ring: VecDeque::new(),
            timers: BTreeMap::new(),
            numbers: HashMap::new(),
            breakers: Breakers::default(),
            held: 0,
            under_way: 0,
            next: 0,
            outcomes: Vec::new(),
            counts: WebhookCounts::default(),
            rng,
        }
    }

    /// Processes all webhooks and breakers that are due.
    pub(super) fn turn(&mut self, now: Micros) {
        while let Some(entry) = self.timers.first_entry().filter(|e| e.key().0 <= now) {
            match entry.remove() {
                Due::Pair(key) => self.make_ready(now, &key),
                Due::Lane(package) => self.settle(now, &package),
            }
        }
    }

    // ---- requests and outcomes ----

    /// Returns the next request to send; call it until there is none.
    pub(super) fn next_post(&mut self, now: Micros) -> Option<Post> {
        while self.under_way < IN_FLIGHT {
            let package = self.ring.pop_front()?;
            let Some(lane) = self.lanes.get_mut(&package) else {
                continue;
            };
            lane.is_in_ring = false;
            let may = lane.under_way < IN_FLIGHT_PER_APP
                && self.breakers.admits(&package, now) == Admission::Yes;
            let user = if may { lane.ready.pop_first() } else { None };
            let mut post = None;
            if let Some((_, user)) = user
                && let Some(pair) = lane.pairs.get_mut(&user)
                && let Some(job) = pair.jobs.front_mut()
            {
                job.attempts += 1;
                pair.stands = Stands::UnderWay {
                    is_probe: self.breakers.begun(&package),
                };
                lane.under_way += 1;
                self.under_way += 1;
                let package = package.clone();
                post = Some(Post {
                    key: Key { package, user },
                    kind: job.kind,
                    url: job.url.clone(),
                    attempt: job.attempts,
                });
            }
            self.settle(now, &package);
            if post.is_some() {
                return post;
            }
        }
        None
    }

    /// Takes the outcomes that were not reported yet.
    pub(super) fn take_outcomes(&mut self) -> Vec<(u64, Outcome)> {
        std::mem::take(&mut self.outcomes)
    }

    /// Returns when [`Queue::turn`] must be called next.
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
            in_flight: self.under_way,
            waiting: self.held - self.under_way,
            breakers_open,
            down,
        }
    }

    // ---- primitives for the rules ----

    /// Returns the span plus up to a quarter, so that requests that failed together are not retried
    /// together.
    pub(super) fn jittered(&mut self, span: Micros) -> Micros {
        span + Micros(self.rng.u64(0..=span.0 / 4))
    }

    pub(super) fn pair(&mut self, key: &Key) -> Option<&mut Pair> {
        self.lanes.get_mut(&key.package)?.pairs.get_mut(&key.user)
    }

    /// Returns the key of an app, and its URL, sharing strings that exist already.
    pub(super) fn intern(&self, app: App<'_>) -> (Key, Arc<str>) {
        let lane = self.lanes.get_key_value(app.package);
        let pair = lane.and_then(|(_, lane)| lane.pairs.get_key_value(app.user));
        let url = lane.and_then(|(_, lane)| lane.url.clone());
        let key = Key {
            package: lane.map_or_else(|| app.package.into(), |(package, _)| package.clone()),
            user: pair.map_or_else(|| app.user.into(), |(user, _)| user.clone()),
        };
        let url = url.filter(|url| **url == *app.url);
        (key, url.unwrap_or_else(|| app.url.into()))
    }

    /// Adds a job after those for the same app of the same user. Returns `false` if there is no
    /// room.
    pub(super) fn add(&mut self, now: Micros, key: &Key, job: Job) -> bool {
        let of_app = self.lanes.get(&key.package).map_or(0, |lane| lane.held);
        if self.held >= HELD || of_app >= HELD_PER_APP {
            return false;
        }
        let due = job.due;
        let lane = self.lanes.entry(key.package.clone()).or_default();
        lane.url = Some(job.url.clone());
        lane.held += 1;
        self.held += 1;
        if let Some(pair) = lane.pairs.get_mut(&key.user) {
            pair.jobs.push_back(job);
        } else {
            let pair = Pair {
                jobs: VecDeque::from([job]),
                stands: Stands::Until(due, 0),
            };
            lane.pairs.insert(key.user.clone(), pair);
            self.schedule(now, key, due);
        }
        true
    }

    /// Removes a job. If it was the first, the next one takes its place.
    pub(super) fn remove(&mut self, now: Micros, key: &Key, nth: usize) {
        if nth == 0 {
            self.unschedule(key);
        }
        let Some(lane) = self.lanes.get_mut(&key.package) else {
            return;
        };
        let Some(pair) = lane.pairs.get_mut(&key.user) else {
            return;
        };
        if pair.jobs.remove(nth).is_some() {
            lane.held -= 1;
            self.held -= 1;
        }
        match pair.jobs.front() {
            Some(job) if nth == 0 => {
                let due = job.due;
                self.schedule(now, key, due);
            }
            Some(_) => {}
            None => {
                lane.pairs.remove(&key.user);
                self.settle(now, &key.package);
            }
        }
    }

    /// Delays the first job until `due`.
    pub(super) fn schedule(&mut self, now: Micros, key: &Key, due: Micros) {
        if due <= now {
            return self.make_ready(now, key);
        }
        let number = self.number();
        if let Some(pair) = self.pair(key) {
            pair.stands = Stands::Until(due, number);
            self.timers.insert((due, number), Due::Pair(key.clone()));
        }
    }

    pub(super) fn unschedule(&mut self, key: &Key) {
        let Some(lane) = self.lanes.get_mut(&key.package) else {
            return;
        };
        match lane.pairs.get(&key.user).map(|pair| pair.stands) {
            Some(Stands::Ready(number)) => {
                lane.ready.remove(&number);
            }
            Some(Stands::Until(at, number)) => {
                self.timers.remove(&(at, number));
            }
            Some(Stands::UnderWay { .. }) | None => {}
        }
    }

    fn make_ready(&mut self, now: Micros, key: &Key) {
        let number = self.number();
        let Some(lane) = self.lanes.get_mut(&key.package) else {
            return;
        };
        if let Some(pair) = lane.pairs.get_mut(&key.user) {
            pair.stands = Stands::Ready(number);
            lane.ready.insert(number, key.user.clone());
        }
        if self.breakers.admits(&key.package, now) == Admission::No {
            self.refuse(now, key);
        }
        self.settle(now, &key.package);
    }

    /// Records that a request was answered or has failed. Returns whether it was the breaker's
    /// probe; `None` if the request is unknown.
    pub(super) fn came_back(&mut self, key: &Key) -> Option<bool> {
        let lane = self.lanes.get_mut(&key.package)?;
        let Stands::UnderWay { is_probe } = lane.pairs.get(&key.user)?.stands else {
            return None;
        };
        lane.under_way -= 1;
        self.under_way -= 1;
        Some(is_probe)
    }

    /// Sends nothing for this app until this time, because its server is considered down.
    pub(super) fn pause(&mut self, now: Micros, package: &Arc<str>, until: Micros) {
        let number = self.number();
        self.timers
            .insert((until, number), Due::Lane(package.clone()));
        let ready = self.lanes.get(package).map(|lane| &lane.ready);
        let users: Vec<Arc<str>> = ready.map_or_else(Vec::new, |r| r.values().cloned().collect());
        for user in users {
            let package = package.clone();
            self.refuse(now, &Key { package, user });
        }
    }

    /// Puts a lane into the ring if it has something to send, and removes it if it is empty. Call
    /// it after every change.
    pub(super) fn settle(&mut self, now: Micros, package: &Arc<str>) {
        let Some(lane) = self.lanes.get_mut(package) else {
            return;
        };
        if !lane.is_in_ring
            && !lane.ready.is_empty()
            && lane.under_way < IN_FLIGHT_PER_APP
            && self.breakers.admits(package, now) == Admission::Yes
        {
            lane.is_in_ring = true;
            self.ring.push_back(package.clone());
        }
        if lane.held == 0 && !lane.is_in_ring {
            self.lanes.remove(package);
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Returns whether the queue is empty and nothing is left of earlier jobs.
    #[cfg(test)]
    pub(super) fn holds_nothing(&self) -> bool {
        self.lanes.is_empty()
            && self.ring.is_empty()
            && self.timers.is_empty()
            && self.numbers.is_empty()
            && (self.held, self.under_way) == (0, 0)
    }
}
