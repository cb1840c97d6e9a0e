//! The posts to `ALERT_WEBHOOK_URL`. If the receiver is down, posts are retried with longer and
//! longer pauses. Meanwhile only the newest state of each alert is kept, and nothing else waits for
//! the receiver.

use super::book::{Alert, AlertState};
use super::payload::{self, Sender};
use super::rule::Labels;
use super::settings::{AlertSettings, WebhookUrl};
use crate::gateway::Value;
use crate::side::lock::lock;
use crate::side::outgoing::Http;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// The limit of alerts in one request.
pub(super) const BATCH: usize = 100;

/// The most alerts that wait to be posted: all active ones, and as many that have ended.
pub(super) const WAITING_MAX: usize = 2 * super::book::ACTIVE_MAX;

/// The timeout of one request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The first pause after a failure; doubled with each further failure, up to `MOST_PAUSE`.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause after failed posts.
const MOST_PAUSE: Duration = Duration::from_secs(60);

/// The results of the posts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::side) struct SinkStats {
    /// Requests that were answered with 2xx.
    pub(in crate::side) delivered: u64,
    /// Requests that failed.
    pub(in crate::side) failed: u64,
    /// Alert states that were never posted because too many waited.
    pub(in crate::side) lost: u64,
    /// The error of the last request; `None` if it succeeded.
    pub(in crate::side) last_error: Option<Box<str>>,
}

/// The waiting alerts, each with its position in the queue.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: BTreeMap<(&'static str, Labels), (u64, Alert)>,
    turn: u64,
    lost: u64,
}

impl Outbox {
    /// Queues an alert's new state; replaces an older state that still waits.
    pub(super) fn put(&mut self, alert: Alert) {
        let key = (alert.name, alert.labels.clone());
        self.turn += 1;
        let turn = self.waiting.get(&key).map_or(self.turn, |(turn, _)| *turn);
        self.waiting.insert(key, (turn, alert));
        if self.waiting.len() > WAITING_MAX {
            self.lose_one();
        }
    }

    /// Drops the oldest alert that has ended, or if there is none the oldest one.
    fn lose_one(&mut self) {
        let least = self
            .waiting
            .iter()
            .min_by_key(|(_, (turn, alert))| (alert.state != AlertState::Resolved, *turn));
        if let Some(key) = least.map(|(key, _)| key.clone()) {
            self.waiting.remove(&key);
            self.lost += 1;
        }
    }

    /// Takes the alerts to post next, all of one name.
    pub(super) fn take(&mut self) -> Vec<Alert> {
        let next = self.waiting.values().min_by_key(|(turn, _)| *turn);
        let Some(name) = next.map(|(_, alert)| alert.name) else {
            return Vec::new();
        };
        let those = self.waiting.iter().filter(|((of, _), _)| *of == name);
        let mut those: Vec<_> = those.map(|(key, (turn, _))| (*turn, key.clone())).collect();
        those.sort_unstable();
        those.truncate(BATCH);
        let keys = those.into_iter().map(|(_, key)| key);
        let taken = keys.filter_map(|key| self.waiting.remove(&key));
        taken.map(|(_, alert)| alert).collect()
    }

    /// Queues alerts again that could not be posted, unless they have a newer state.
    pub(super) fn put_back(&mut self, alerts: Vec<Alert>) {
        for alert in alerts {
            if !self
                .waiting
                .contains_key(&(alert.name, alert.labels.clone()))
            {
                self.put(alert);
            }
        }
    }
}

/// Posts the alerts.
pub(super) struct Sink {
    settings: Arc<Mutex<AlertSettings>>,
    sender: Sender,
    http: Http,
    outbox: Mutex<Outbox>,
    stats: Mutex<SinkStats>,
    wake: Notify,
}

impl Sink {
    pub(super) fn new(settings: Arc<Mutex<AlertSettings>>, sender: Sender) -> Self {
        Sink {
            settings,
            sender,
            http: Http::new(TIMEOUT),
            outbox: Mutex::default(),
            stats: Mutex::default(),
            wake: Notify::new(),
        }
    }

    fn url(&self) -> Option<WebhookUrl> {
        lock(&self.settings).webhook.clone()
    }

    pub(super) fn is_configured(&self) -> bool {
        self.url().is_some()
    }

    pub(super) fn stats(&self) -> SinkStats {
        let lost = lock(&self.outbox).lost;
        SinkStats {
            lost,
            ..lock(&self.stats).clone()
        }
    }

    /// Queues an alert for posting, if a URL is set.
    pub(super) fn tell(&self, alert: Alert) {
        if self.is_configured() {
            lock(&self.outbox).put(alert);
            self.wake.notify_one();
        }
    }

    /// Posts alerts until the process ends.
    pub(super) async fn run(self: Arc<Self>) {
        let mut pause = LEAST_PAUSE;
        loop {
            let batch = lock(&self.outbox).take();
            if batch.is_empty() {
                self.wake.notified().await;
                continue;
            }
            // The URL was removed from the settings meanwhile: the alerts are dropped.
            let Some(url) = self.url() else { continue };
            let body = payload::body(&batch, &self.sender);
            let error = self.http.post(url.expose(), body).await.error();
            let was_failing = self.account(error.clone());
            let Some(error) = error else {
                if was_failing {
                    log::info!("alert sink=up");
                }
                pause = LEAST_PAUSE;
                continue;
            };
            if !was_failing {
                log::warn!("alert sink=down error={}", Value(&error));
            }
            lock(&self.outbox).put_back(batch);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MOST_PAUSE);
        }
    }

    /// Counts the result of a request; returns whether the previous request had failed.
    fn account(&self, error: Option<Box<str>>) -> bool {
        let mut stats = lock(&self.stats);
        match error {
            None => stats.delivered += 1,
            Some(_) => stats.failed += 1,
        }
        std::mem::replace(&mut stats.last_error, error).is_some()
    }
}
