//! Streams of events: server-sent events, from the hub, as fast as each reader takes them.
//!
//! A reader that is slower than the events come misses some, and is told which. Nothing is queued
//! for it but one piece of the stream. One that disappears silently is noticed when its socket
//! takes no more bytes, or at the end of its time.

use crate::gateway::BootId;
use crate::side::events::{
    EventFilter, EventHub, SliceLimits, event_id, missed_json, parse_event_id,
};
use axum::body::{Body, Bytes};
use http_body_util::channel::{Channel, Sender};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// The limit of concurrent readers: a quarter of the admin connections.
pub(super) const READERS_MAX: usize = 16;

/// The limits of one piece of a stream.
const PIECE: SliceLimits = SliceLimits {
    count: 256,
    bytes: 64 << 10,
};

/// How long one stream lasts; then its reader must send a new request.
const STREAM_TIME: Duration = Duration::from_secs(60 * 60);

/// A reader that takes nothing for this long is given up.
const TAKE_TIME: Duration = Duration::from_secs(60);

/// After this time without an event a reader hears something.
const SIGN_TIME: Duration = Duration::from_secs(15);

/// How long a reader waits before it requests a stream again, in ms.
const RETRY_MS: u64 = 1_000;

/// Why a stream cannot begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoStream {
    /// The limit of readers is reached.
    Full,
    /// The last event that the reader names is not one of this gateway.
    NoSuchEvent,
}

/// The streams of events.
#[derive(Debug)]
pub(in crate::side) struct EventStreams {
    hub: Arc<EventHub>,
    permits: Arc<Semaphore>,
    missed: Arc<AtomicU64>,
}

/// One stream.
struct EventStream {
    hub: Arc<EventHub>,
    filter: EventFilter,
    /// The number of the next event.
    next: u64,
    /// The text that is sent before anything else.
    greeting: Option<String>,
    news: watch::Receiver<u64>,
    missed: Arc<AtomicU64>,
}

impl EventStreams {
    pub(in crate::side) fn new(hub: Arc<EventHub>) -> Self {
        EventStreams {
            hub,
            permits: Arc::new(Semaphore::new(READERS_MAX)),
            missed: Arc::default(),
        }
    }

    /// Returns the hub from which the streams come.
    pub(super) fn hub(&self) -> &EventHub {
        &self.hub
    }

    /// Returns how many readers there are.
    pub(super) fn readers(&self) -> usize {
        READERS_MAX - self.permits.available_permits()
    }

    /// Returns how many events readers have missed, summed over all readers.
    pub(super) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// Starts a stream of the events that the filter admits: those after `last`, or only new ones.
    pub(super) fn open(&self, last: Option<&str>, filter: EventFilter) -> Result<Body, NoStream> {
        let permit = self.permits.clone().try_acquire_owned();
        let permit = permit.map_err(|_| NoStream::Full)?;
        // What has happened by now is no news to a reader that begins.
        self.hub.collect();
        let boot = self.hub.boot();
        let (oldest, newest) = self.hub.bounds();
        let (next, greeting) = match last.map(parse_event_id) {
            None => (newest, start(boot, newest)),
            Some(Some((its, number))) if its == boot && number < newest => {
                (number + 1, String::new())
            }
            Some(Some((its, _))) if its != boot => (oldest, reset(its, boot, oldest)),
            Some(_) => return Err(NoStream::NoSuchEvent),
        };
        let mut stream = EventStream {
            hub: self.hub.clone(),
            filter,
            next,
            greeting: Some(format!("retry: {RETRY_MS}\n{greeting}\n")),
            news: self.hub.news(),
            missed: self.missed.clone(),
        };
        let (sender, body) = Channel::<Bytes, Infallible>::new(1);
        tokio::spawn(async move {
            // Timeout or not, the answer ends here.
            let _ = tokio::time::timeout(STREAM_TIME, stream.send_all(sender)).await;
            drop(permit);
        });
        Ok(Body::new(body))
    }
}

impl EventStream {
    /// Sends events until the reader has gone.
    async fn send_all(&mut self, mut sender: Sender<Bytes>) {
        loop {
            let piece = self.next_piece().await;
            let taken = tokio::time::timeout(TAKE_TIME, sender.send_data(piece.into())).await;
            if !matches!(taken, Ok(Ok(()))) {
                return;
            }
        }
    }

    /// Waits for the next piece of the stream.
    async fn next_piece(&mut self) -> String {
        if let Some(greeting) = self.greeting.take() {
            return greeting;
        }
        loop {
            self.news.mark_unchanged();
            let (text, has_more) = self.piece_now();
            if !text.is_empty() {
                return text;
            }
            if has_more {
                tokio::task::yield_now().await;
                continue;
            }
            let news = tokio::time::timeout(SIGN_TIME, self.news.changed()).await;
            if news.is_err() {
                return self.sign();
            }
        }
    }

    /// Returns what is there to send now, and whether more may follow.
    fn piece_now(&mut self) -> (String, bool) {
        let slice = self.hub.slice(self.next, &self.filter, PIECE);
        let boot = self.hub.boot();
        let mut text = String::new();
        if let Some(missed) = &slice.missed {
            let count = missed.end() + 1 - missed.start();
            self.missed.fetch_add(count, Ordering::Relaxed);
            let (id, data) = (event_id(boot, *missed.end()), missed_json(boot, missed));
            // Writing to a string cannot fail.
            let _ = write!(text, "id: {id}\nevent: missed\ndata: {data}\n\n");
        }
        for event in &slice.events {
            let (id, kind, json) = (event_id(boot, event.number), event.kind, &event.json);
            let _ = write!(text, "id: {id}\nevent: {kind}\ndata: {json}\n\n");
        }
        self.next = slice.next;
        (text, slice.has_more)
    }

    /// Returns a sign of life. It has the id of the last event, whether the filter admits that or
    /// not: a reader that comes back with it has missed nothing.
    fn sign(&self) -> String {
        format!("id: {}\n\n", event_id(self.hub.boot(), self.next - 1))
    }
}

/// Returns the first event of a reader that begins: it gives the reader an id to come back with.
fn start(boot: BootId, newest: u64) -> String {
    let id = event_id(boot, newest - 1);
    format!("id: {id}\nevent: start\ndata: {{\"boot\":\"{boot}\"}}\n")
}

/// Returns the first event of a reader that comes back from another run of the gateway.
fn reset(before: BootId, boot: BootId, oldest: u64) -> String {
    let id = event_id(boot, oldest - 1);
    let data = format!("{{\"boot\":\"{boot}\",\"before\":\"{before}\"}}");
    format!("id: {id}\nevent: reset\ndata: {data}\n")
}
