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
            // The listener ends a connection that takes no bytes.
            if sender.send_data(piece.into()).await.is_err() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::ConnId;
    use crate::engine::Class;
    use crate::gateway::{Classes, EventKind, EventSubject, RELAY_CLASSES};
    use crate::host::EventSender;
    use http_body_util::BodyExt;

    /// Returns streams of a hub that keeps `kept` events, and the loop's end.
    fn streams(kept: usize) -> (EventSender, EventStreams) {
        let (sender, boot) = (EventSender::default(), BootId::default());
        let hub = EventHub::new(sender.receiver(), kept, boot, Classes::new(RELAY_CLASSES));
        (sender, EventStreams::new(Arc::new(hub)))
    }

    fn tell(sender: &EventSender, many: usize) {
        let subject = EventSubject::new(ConnId::new(0, 1), Class(0), None);
        for _ in 0..many {
            sender.send(|| Some((subject.clone(), EventKind::Identified)));
        }
    }

    /// Returns the next piece of a stream.
    async fn piece(body: &mut Body) -> String {
        let piece = body.frame().await.expect("a piece").expect("no error");
        String::from_utf8(piece.into_data().expect("data").to_vec()).expect("UTF-8")
    }

    fn block_on(work: impl Future<Output = ()>) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build();
        runtime.expect("a runtime").block_on(work);
    }

    /// Returns the numbers of the ids in a piece, and those that it says were missed.
    fn numbers(piece: &str) -> (Vec<u64>, Vec<std::ops::RangeInclusive<u64>>) {
        let (mut told, mut missed) = (Vec::new(), Vec::new());
        for block in piece.split_terminator("\n\n") {
            let id = block.lines().find_map(|line| line.strip_prefix("id: "));
            let (_, number) = id.and_then(parse_event_id).expect("an id");
            match block.contains("event: missed") {
                true => {
                    let count = block.split("\"count\":").nth(1).expect("a count");
                    let count = count.split(',').next().expect("a count");
                    let count: u64 = count.parse().expect("a number");
                    missed.push(number + 1 - count..=number);
                }
                false => told.push(number),
            }
        }
        (told, missed)
    }

    #[test]
    fn a_slow_reader_is_told_what_it_missed_and_gets_the_rest_in_order() {
        block_on(async {
            let (sender, streams) = streams(100);
            let body = streams.open(None, EventFilter::default());
            let mut body = body.expect("a stream");
            assert!(piece(&mut body).await.contains("event: start"));
            // It takes nothing, while some thousand events come.
            for _ in 0..50 {
                tell(&sender, 60);
                streams.hub.collect();
                tokio::task::yield_now().await;
            }
            let (mut next, mut all_missed) = (1, 0);
            while next <= 3_000 {
                let (told, missed) = numbers(&piece(&mut body).await);
                for range in missed {
                    assert_eq!(*range.start(), next);
                    next = range.end() + 1;
                    all_missed += range.count() as u64;
                }
                for number in told {
                    assert_eq!(number, next);
                    next += 1;
                }
            }
            // Two pieces wait for it at most, and the ring has 100 events.
            assert!(all_missed >= 2_000, "{all_missed}");
            assert_eq!(streams.missed(), all_missed);
        });
    }

    #[test]
    fn a_place_is_free_when_its_reader_has_gone() {
        block_on(async {
            let (sender, streams) = streams(100);
            let open = || streams.open(None, EventFilter::default());
            let mut bodies: Vec<Body> = (0..READERS_MAX).filter_map(|_| open().ok()).collect();
            assert_eq!(streams.readers(), READERS_MAX);
            assert_eq!(open().err(), Some(NoStream::Full));
            bodies.truncate(3);
            tell(&sender, 1);
            streams.hub.collect();
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert_eq!(streams.readers(), 3);
        });
    }

    /// The sign of life moves the place from which a reader comes back.
    #[test]
    fn a_sign_of_life_has_the_id_of_the_last_event() {
        let (sender, streams) = streams(100);
        tell(&sender, 5);
        streams.hub.collect();
        let mut stream = EventStream {
            hub: streams.hub.clone(),
            filter: EventFilter {
                kind: Some("closed".to_owned()),
                ..EventFilter::default()
            },
            next: 1,
            greeting: None,
            news: streams.hub.news(),
            missed: Arc::default(),
        };
        assert_eq!(stream.piece_now(), (String::new(), false));
        assert_eq!(stream.sign(), "id: 00000000-5\n\n");
    }
}
