//! Sends webhooks and reports their outcomes.

use super::breaker::Change;
use super::client::Client;
use super::queue::{App, Post, Queue};
use super::settings::WebhookSettings;
use super::stats::WebhookStats;
use crate::base::time::{Clock, Micros};
use crate::gateway::{Outcome, Value, WebhookErrand};
use crate::side::lock::lock;
use crate::side::outgoing::Reply;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// The options of webhooks.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    /// How long one request may take, from the connection to the answer.
    pub timeout: Duration,
    /// The URL to which apps connect: `ws://…/app-ws`.
    pub websocket_url: Box<str>,
    /// The allowed networks and the signing keys; a reload may change them.
    pub settings: Arc<Mutex<WebhookSettings>>,
}

/// The webhooks, and the HTTP client that sends them.
pub(in crate::side) struct Webhooks {
    clock: Clock,
    client: Client,
    queue: Mutex<Queue>,
    returned: Mutex<Vec<Returned>>,
    /// Notified when a request was answered or has failed.
    wake: Arc<Notify>,
}

/// A request that was answered or has failed.
struct Returned {
    post: Post,
    reply: Reply,
    took: Micros,
}

impl Webhooks {
    pub(in crate::side) fn new(options: WebhookOptions, wake: Arc<Notify>) -> Self {
        Webhooks {
            clock: Clock::start(),
            client: Client::new(options.timeout, options.websocket_url, options.settings),
            queue: Mutex::new(Queue::new(fastrand::Rng::new())),
            returned: Mutex::default(),
            wake,
        }
    }

    pub(in crate::side) fn stats(&self) -> WebhookStats {
        lock(&self.queue).stats(self.clock.raw())
    }

    /// Queues an errand.
    pub(in crate::side) fn run(&self, errand: WebhookErrand) {
        let now = self.clock.raw();
        let mut queue = lock(&self.queue);
        match &errand {
            WebhookErrand::Start {
                number,
                user,
                package,
                url,
                patience,
                after,
            } => {
                let app = App { user, package, url };
                queue.start(now, *number, app, *patience, *after);
            }
            WebhookErrand::Stop {
                user,
                package,
                url,
                reason,
            } => queue.stop(now, App { user, package, url }, *reason),
            WebhookErrand::Cancel { number } => queue.cancel(now, *number),
        }
    }

    /// Processes the requests that have returned and those that are due, and sends what may be
    /// sent. Returns outcomes to report, and when to call again if `wake` is not notified before.
    pub(in crate::side) fn turn(self: &Arc<Self>) -> (Vec<(u64, Outcome)>, Option<Duration>) {
        let returned = std::mem::take(&mut *lock(&self.returned));
        let now = self.clock.raw();
        let mut queue = lock(&self.queue);
        for Returned { post, reply, took } in returned {
            let change = queue.done(now, &post, &reply);
            log_reply(&post, &reply, took);
            if let Some(change) = change {
                log_change(&post, &reply, change, now);
            }
        }
        queue.turn(now);
        while let Some(post) = queue.next_post(now) {
            tokio::spawn(self.clone().send(post));
        }
        let wait = queue.due().map(|at| (at - now).as_duration());
        (queue.take_outcomes(), wait)
    }

    async fn send(self: Arc<Self>, post: Post) {
        let begun = self.clock.raw();
        let reply = self.client.post(&post).await;
        let took = self.clock.raw() - begun;
        lock(&self.returned).push(Returned { post, reply, took });
        self.wake.notify_one();
    }
}

fn log_reply(post: &Post, reply: &Reply, took: Micros) {
    let (level, status) = match reply {
        Reply::Answered(status) => (log::Level::Debug, Some(status)),
        Reply::Refused(status) => (log::Level::Info, Some(status)),
        Reply::Timeout | Reply::Unreachable(_) | Reply::Unsent(_) => (log::Level::Info, None),
    };
    if !log::log_enabled!(level) {
        return;
    }
    let status = status.map_or_else(|| "-".to_owned(), u16::to_string);
    let error = reply.error();
    log::log!(
        level,
        "webhook type={} user={} package={} outcome={} status={status} attempt={} ms={} error={}",
        post.kind.name().name(),
        Value(&post.key.user),
        Value(&post.key.package),
        reply.result().name(),
        post.attempt,
        took.as_millis(),
        Value(error.as_deref().unwrap_or("-")),
    );
}

fn log_change(post: &Post, reply: &Reply, change: Change, now: Micros) {
    let package = Value(&post.key.package);
    match change {
        Change::Opened(until) => log::warn!(
            "webhook package={package} breaker=open for_ms={} error={}",
            (until - now).as_millis(),
            Value(reply.error().as_deref().unwrap_or("-")),
        ),
        Change::Closed => log::info!("webhook package={package} breaker=closed"),
    }
}
