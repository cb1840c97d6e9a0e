//! The posts to `ALERT_WEBHOOK_URL`. If the receiver is down, posts are retried with longer and
//! longer pauses. Meanwhile only the newest state of each alert is kept, and nothing else waits for
//! the receiver.

use super::alert_settings::{AlertSettings, WebhookUrl};
use super::alert_table::{Alert, AlertOrigin, AlertState};
use super::payload::{self, AlertSource};
use crate::gateway::LogValue;
use crate::side::lock::lock;
use crate::side::outgoing::HttpClient;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// The limit of alerts in one request.
pub(super) const BATCH_MAX: usize = 100;

/// The most alerts that wait to be posted: all active ones, and as many that have ended.
pub(super) const WAITING_MAX: usize = 2 * super::alert_table::ACTIVE_MAX;

/// The timeout of one request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The first pause after a failure; doubled with each further failure, up to `PAUSE_MAX`.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause after failed posts.
const PAUSE_MAX: Duration = Duration::from_secs(60);

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

/// The waiting alerts, each with its position in the queue. An alert that has become one of another
/// rule is still the same.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: BTreeMap<AlertOrigin, (u64, Alert)>,
    sequence: u64,
    lost: u64,
}

impl Outbox {
    /// Queues an alert's new state; replaces an older state that still waits.
    pub(super) fn put(&mut self, alert: Alert) {
        let key = alert.origin.clone();
        self.sequence += 1;
        let sequence = self
            .waiting
            .get(&key)
            .map_or(self.sequence, |(sequence, _)| *sequence);
        self.waiting.insert(key, (sequence, alert));
        if self.waiting.len() > WAITING_MAX {
            self.drop_oldest();
        }
    }

    /// Drops the oldest alert that has ended, or if there is none the oldest one.
    fn drop_oldest(&mut self) {
        let least = self
            .waiting
            .iter()
            .min_by_key(|(_, (sequence, alert))| (alert.state != AlertState::Resolved, *sequence));
        if let Some(key) = least.map(|(key, _)| key.clone()) {
            self.waiting.remove(&key);
            self.lost += 1;
        }
    }

    /// Takes the alerts to post next: all of one name, which also began with one name.
    pub(super) fn take(&mut self) -> Vec<Alert> {
        let names = |alert: &Alert| (alert.origin.name, alert.name);
        let next = self.waiting.values().min_by_key(|(sequence, _)| *sequence);
        let Some(wanted) = next.map(|(_, alert)| names(alert)) else {
            return Vec::new();
        };
        let those = self.waiting.iter();
        let those = those.filter(|(_, (_, alert))| names(alert) == wanted);
        let mut those: Vec<_> = those
            .map(|(key, (sequence, _))| (*sequence, key.clone()))
            .collect();
        those.sort_unstable();
        those.truncate(BATCH_MAX);
        let keys = those.into_iter().map(|(_, key)| key);
        let taken = keys.filter_map(|key| self.waiting.remove(&key));
        taken.map(|(_, alert)| alert).collect()
    }

    /// Queues alerts again that could not be posted, unless they have a newer state.
    pub(super) fn requeue(&mut self, alerts: Vec<Alert>) {
        for alert in alerts {
            if !self.waiting.contains_key(&alert.origin) {
                self.put(alert);
            }
        }
    }
}

/// Posts the alerts.
pub(super) struct Sink {
    settings: Arc<Mutex<AlertSettings>>,
    source: AlertSource,
    http: HttpClient,
    outbox: Mutex<Outbox>,
    stats: Mutex<SinkStats>,
    wake: Notify,
}

impl Sink {
    pub(super) fn new(settings: Arc<Mutex<AlertSettings>>, source: AlertSource) -> Self {
        Sink {
            settings,
            source,
            http: HttpClient::new(TIMEOUT),
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
    pub(super) fn enqueue(&self, alert: Alert) {
        if self.is_configured() {
            lock(&self.outbox).put(alert);
            self.wake.notify_one();
        }
    }

    /// Posts alerts until the process ends.
    pub(super) async fn run(self: Arc<Self>) {
        let mut pause = PAUSE_MIN;
        loop {
            let batch = lock(&self.outbox).take();
            if batch.is_empty() {
                self.wake.notified().await;
                continue;
            }
            // The URL was removed from the settings meanwhile: the alerts are dropped.
            let Some(url) = self.url() else { continue };
            let body = payload::body(&batch, &self.source);
            let error = self.http.post(url.expose(), body, []).await.error();
            let was_failing = self.record_result(error.clone());
            let Some(error) = error else {
                if was_failing {
                    log::info!("alert sink=up");
                }
                pause = PAUSE_MIN;
                continue;
            };
            if !was_failing {
                log::warn!("alert sink=down error={}", LogValue(&error));
            }
            lock(&self.outbox).requeue(batch);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Counts the result of a request; returns whether the previous request had failed.
    fn record_result(&self, error: Option<Box<str>>) -> bool {
        let mut stats = lock(&self.stats);
        match error {
            None => stats.delivered += 1,
            Some(_) => stats.failed += 1,
        }
        std::mem::replace(&mut stats.last_error, error).is_some()
    }
}
