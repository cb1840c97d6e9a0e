//! The posts to `EVENTS_URL`: events in batches, in order, each until the receiver has accepted it.
//!
//! The poster is a reader of the hub. While its receiver is down, it tries the same batch again
//! with longer and longer pauses. What the hub does not keep until then is lost; the next batch
//! says so.

use super::event_body::{event_id, missed_json};
use super::event_filter::EventFilter;
use super::event_hub::EventHub;
use super::event_ring::{EventSlice, SliceLimits};
use super::event_settings::EventSettings;
use crate::base::time::UnixMillis;
use crate::gateway::{BootId, LogValue};
use crate::side::lock::lock;
use crate::side::outgoing::HttpClient;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// The limits of one batch.
const BATCH: SliceLimits = SliceLimits {
    count: 500,
    bytes: 512 << 10,
};

/// How long the first event of a batch waits for others.
const LINGER: Duration = Duration::from_millis(100);

/// The timeout of one request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The first pause after a failure; doubled with each further failure, up to `PAUSE_MAX`.
const PAUSE_MIN: Duration = Duration::from_millis(500);

/// The longest pause after failed posts.
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// The pause after a failed post while the process waits for the last batches.
const PAUSE_LAST: Duration = Duration::from_millis(100);

/// The header with the signature, as webhooks for apps have it.
const SIGNATURE: &str = "x-pulsegate-signature";

/// The header with the id of the batch: the same in each attempt.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The results of the posts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::side) struct PosterStats {
    /// Requests that were answered with 2xx.
    pub(in crate::side) answered: u64,
    /// Requests that failed.
    pub(in crate::side) failed: u64,
    /// Events that were never posted, because they were not kept for long enough.
    pub(in crate::side) lost: u64,
    /// Events that wait to be posted.
    pub(in crate::side) waiting: u64,
}

/// Posts the events.
pub(in crate::side) struct EventPoster {
    hub: Arc<EventHub>,
    settings: Arc<Mutex<EventSettings>>,
    http: HttpClient,
    /// All events before this number were accepted, or are lost.
    delivered: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
    /// Whether the process is about to end and waits for the last batches.
    is_closing: AtomicBool,
    hurry: Notify,
    /// The callers that wait until everything before a number is delivered.
    flushes: Mutex<Vec<(u64, Sender<()>)>>,
}

/// Some events, as they are posted.
struct Batch {
    id: String,
    body: Vec<u8>,
    /// The number after its last event.
    next: u64,
}

impl EventPoster {
    pub(in crate::side) fn new(hub: Arc<EventHub>, settings: Arc<Mutex<EventSettings>>) -> Self {
        EventPoster {
            hub,
            settings,
            http: HttpClient::new(TIMEOUT),
            delivered: AtomicU64::new(1),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            is_closing: AtomicBool::new(false),
            hurry: Notify::new(),
            flushes: Mutex::default(),
        }
    }

    /// Returns the settings, if events are to be posted.
    fn target(&self) -> Option<EventSettings> {
        let settings = lock(&self.settings);
        settings.url.is_some().then(|| settings.clone())
    }

    pub(in crate::side) fn stats(&self) -> PosterStats {
        let (_, next) = self.hub.bounds();
        let delivered = self.delivered.load(Ordering::Relaxed);
        PosterStats {
            answered: self.answered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            waiting: match self.target() {
                Some(_) => next.saturating_sub(delivered),
                None => 0,
            },
        }
    }

    /// Waits until the receiver has accepted all events that the loop has made, at most for
    /// `patience`. Returns how many it has not accepted. Call it from another thread, after the
    /// loop has ended.
    pub(in crate::side) fn flush(&self, patience: Duration) -> u64 {
        self.hub.collect();
        let (_, next) = self.hub.bounds();
        let (flush, flushed) = mpsc::channel();
        lock(&self.flushes).push((next, flush));
        self.is_closing.store(true, Ordering::Relaxed);
        if self.target().is_none() {
            return 0;
        }
        self.hurry.notify_one();
        self.finish_flushes();
        // Whichever comes first.
        let _ = flushed.recv_timeout(patience);
        next.saturating_sub(self.delivered.load(Ordering::Acquire))
    }

    fn finish_flushes(&self) {
        let delivered = self.delivered.load(Ordering::Acquire);
        lock(&self.flushes).retain(|(next, flush)| {
            let is_done = *next <= delivered;
            // A caller that has lost its patience is gone.
            let _ = is_done.then(|| flush.send(()));
            !is_done
        });
    }

    fn advance_to(&self, next: u64) {
        self.delivered.store(next, Ordering::Release);
        self.finish_flushes();
    }

    /// Posts events until the process ends.
    pub(in crate::side) async fn run(self: Arc<Self>) {
        let mut news = self.hub.news();
        let mut was_failing = false;
        loop {
            let next = *news.borrow_and_update();
            if self.target().is_none() {
                self.advance_to(next);
            }
            let waiting = next.saturating_sub(self.delivered.load(Ordering::Relaxed));
            if waiting == 0 {
                // The hub outlives this task.
                let _ = news.changed().await;
                continue;
            }
            if waiting < BATCH.count as u64 && !self.is_closing.load(Ordering::Relaxed) {
                self.pause(LINGER).await;
            }
            let batch = self.next_batch();
            self.deliver(&batch, &mut was_failing).await;
            self.advance_to(batch.next);
        }
    }

    /// Waits for this time, unless the process is about to end.
    async fn pause(&self, pause: Duration) {
        // Whichever comes first.
        let _ = tokio::time::timeout(pause, self.hurry.notified()).await;
    }

    /// Posts a batch until it is accepted.
    async fn deliver(&self, batch: &Batch, was_failing: &mut bool) {
        let mut pause = PAUSE_MIN;
        // The URL may be removed from the settings meanwhile: the batch is dropped.
        while let Some(target) = self.target() {
            let error = self.post(&target, batch).await;
            let is_failing = error.is_some();
            match (&error, *was_failing) {
                (Some(error), false) => {
                    log::warn!("events sink=down error={}", LogValue(error));
                }
                (None, true) => log::info!("events sink=up"),
                _ => {}
            }
            *was_failing = is_failing;
            if !is_failing {
                self.answered.fetch_add(1, Ordering::Relaxed);
                return;
            }
            self.failed.fetch_add(1, Ordering::Relaxed);
            if self.is_closing.load(Ordering::Relaxed) {
                tokio::time::sleep(PAUSE_LAST).await;
            } else {
                self.pause(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }

    /// Posts a batch once. Returns the error, if there was one.
    async fn post(&self, target: &EventSettings, batch: &Batch) -> Option<Box<str>> {
        let url = target.url.as_ref()?;
        let seconds = UnixMillis::now().0 / 1_000;
        let signer = target.signer.as_ref();
        let signature = signer.map(|signer| (SIGNATURE, signer.sign(seconds, &batch.body)));
        let headers = [(IDEMPOTENCY_KEY, batch.id.clone())].into_iter();
        let headers = headers.chain(signature);
        let posted = self.http.post(url.expose(), batch.body.clone(), headers);
        posted.await.error()
    }

    fn next_batch(&self) -> Batch {
        let from = self.delivered.load(Ordering::Relaxed);
        let slice = self.hub.slice(from, &EventFilter::default(), BATCH);
        if let Some(missed) = &slice.missed {
            let count = missed.end() + 1 - missed.start();
            self.lost.fetch_add(count, Ordering::Relaxed);
            log::warn!(
                "events sink=behind lost={count} first={} last={} effect=\"the receiver of \
                 EVENTS_URL is told\"",
                event_id(self.hub.boot(), *missed.start()),
                event_id(self.hub.boot(), *missed.end())
            );
        }
        Batch::new(self.hub.boot(), from, &slice)
    }
}

impl Batch {
    fn new(boot: BootId, from: u64, slice: &EventSlice) -> Self {
        let id = event_id(boot, from);
        let mut body = format!("{{\"version\":1,\"boot\":\"{boot}\",\"batch\":\"{id}\"");
        if let Some(missed) = &slice.missed {
            let _ = write!(body, ",\"missed\":{}", missed_json(boot, missed));
        }
        body.push_str(",\"events\":[");
        for (nth, event) in slice.events.iter().enumerate() {
            if nth > 0 {
                body.push(',');
            }
            body.push_str(&event.json);
        }
        body.push_str("]}");
        Batch {
            id,
            body: body.into_bytes(),
            next: slice.next,
        }
    }
}
