//! Sends webhooks and reports their outcomes.

use super::breaker::BreakerChange;
use super::client::WebhookClient;
use super::queue::{WebhookQueue, WebhookRequest, WebhookTarget};
use super::webhook_settings::WebhookSettings;
use super::webhook_stats::WebhookStats;
use crate::base::time::{Clock, Micros};
use crate::gateway::{LogValue, StartOutcome, WebhookJob};
use crate::side::lock::lock;
use crate::side::outgoing::PostResult;
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
pub(in crate::side) struct WebhookSender {
    clock: Clock,
    client: WebhookClient,
    queue: Mutex<WebhookQueue>,
    finished: Mutex<Vec<FinishedRequest>>,
    /// Notified when a request was answered or has failed.
    wake: Arc<Notify>,
}

/// A request that was answered or has failed.
struct FinishedRequest {
    request: WebhookRequest,
    reply: PostResult,
    took: Micros,
}

impl WebhookSender {
    pub(in crate::side) fn new(options: WebhookOptions, wake: Arc<Notify>) -> Self {
        WebhookSender {
            clock: Clock::start(),
            client: WebhookClient::new(options.timeout, options.websocket_url, options.settings),
            queue: Mutex::new(WebhookQueue::new(fastrand::Rng::new())),
            finished: Mutex::default(),
            wake,
        }
    }

    pub(in crate::side) fn stats(&self) -> WebhookStats {
        lock(&self.queue).stats(self.clock.raw())
    }

    /// Queues a job.
    pub(in crate::side) fn enqueue(&self, job: WebhookJob) {
        let now = self.clock.raw();
        let mut queue = lock(&self.queue);
        match &job {
            WebhookJob::Start {
                number,
                user,
                package,
                url,
                retry,
                after,
            } => {
                let app = WebhookTarget { user, package, url };
                queue.start(now, *number, app, *retry, *after);
            }
            WebhookJob::Stop {
                user,
                package,
                url,
                reason,
            } => queue.stop(now, WebhookTarget { user, package, url }, *reason),
            WebhookJob::Cancel { number } => queue.cancel(now, *number),
        }
    }

    /// Processes the requests that have returned and those that are due, and sends what may be
    /// sent. Returns outcomes to report, and when to call again if `wake` is not notified before.
    pub(in crate::side) fn advance(
        self: &Arc<Self>,
    ) -> (Vec<(u64, StartOutcome)>, Option<Duration>) {
        let finished = std::mem::take(&mut *lock(&self.finished));
        let now = self.clock.raw();
        let mut queue = lock(&self.queue);
        for FinishedRequest {
            request,
            reply,
            took,
        } in finished
        {
            let change = queue.finish(now, &request, &reply);
            log_reply(&request, &reply, took);
            if let Some(change) = change {
                log_change(&request, &reply, change, now);
            }
        }
        queue.advance(now);
        while let Some(request) = queue.next_request(now) {
            tokio::spawn(self.clone().send(request));
        }
        let wait = queue.due().map(|at| (at - now).as_duration());
        (queue.take_outcomes(), wait)
    }

    async fn send(self: Arc<Self>, request: WebhookRequest) {
        let begun = self.clock.raw();
        let reply = self.client.send(&request).await;
        let took = self.clock.raw() - begun;
        lock(&self.finished).push(FinishedRequest {
            request,
            reply,
            took,
        });
        self.wake.notify_one();
    }
}

fn log_reply(request: &WebhookRequest, reply: &PostResult, took: Micros) {
    let (level, status) = match reply {
        PostResult::Answered(status) => (log::Level::Debug, Some(status)),
        PostResult::Refused(status) => (log::Level::Info, Some(status)),
        PostResult::Timeout | PostResult::Unreachable(_) | PostResult::Unsent(_) => {
            (log::Level::Info, None)
        }
    };
    if !log::log_enabled!(level) {
        return;
    }
    let status = status.map_or_else(|| "-".to_owned(), u16::to_string);
    let error = reply.error();
    log::log!(
        level,
        "webhook type={} user={} package={} outcome={} status={status} attempt={} ms={} error={}",
        request.action.webhook_type().name(),
        LogValue(&request.key.user),
        LogValue(&request.key.package),
        reply.result().name(),
        request.attempt,
        took.as_millis(),
        LogValue(error.as_deref().unwrap_or("-")),
    );
}

fn log_change(request: &WebhookRequest, reply: &PostResult, change: BreakerChange, now: Micros) {
    let package = LogValue(&request.key.package);
    match change {
        BreakerChange::Opened(until) => log::warn!(
            "webhook package={package} breaker=open for_ms={} error={}",
            (until - now).as_millis(),
            LogValue(reply.error().as_deref().unwrap_or("-")),
        ),
        BreakerChange::Closed => log::info!("webhook package={package} breaker=closed"),
    }
}
