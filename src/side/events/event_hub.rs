//! Takes events from the loop, and keeps them for their readers.

use super::event_body::{self, EVENT_TYPES, type_index};
use super::event_filter::EventFilter;
use super::event_ring::{EventRing, EventSlice, SliceLimits};
use super::kept_event::KeptEvent;
use crate::gateway::{BootId, Classes, Event, EventReceiver};
use crate::side::lock::lock;
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// The time from one collection to the next: the loop wakes this thread at most once in it.
const PAUSE: Duration = Duration::from_millis(20);

/// The most events that are written down before other threads may read.
const SLICE: usize = 256;

/// What is called with each event, in order, before readers see it.
pub(in crate::side) struct EventTap(pub(in crate::side) Box<dyn Fn(&Event) + Send + Sync>);

impl fmt::Debug for EventTap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventTap")
    }
}

/// The events of the gateway.
#[derive(Debug)]
pub(in crate::side) struct EventHub {
    boot: BootId,
    classes: Classes,
    receiver: EventReceiver,
    /// Held from the receipt of events until they are in the ring, so that they stay in order.
    collecting: Mutex<VecDeque<Event>>,
    ring: Mutex<EventRing>,
    /// The number after the newest event.
    news: watch::Sender<u64>,
    counts: [AtomicU64; EVENT_TYPES.len()],
    tap: EventTap,
}

impl EventHub {
    /// Makes a hub that keeps at most `kept` events.
    pub(in crate::side) fn new(
        receiver: EventReceiver,
        kept: usize,
        boot: BootId,
        classes: Classes,
    ) -> Self {
        EventHub {
            boot,
            classes,
            receiver,
            collecting: Mutex::default(),
            ring: Mutex::new(EventRing::new(kept)),
            news: watch::Sender::new(1),
            counts: Default::default(),
            tap: EventTap(Box::new(|_| ())),
        }
    }

    /// Calls `tap` with each event, too.
    #[must_use]
    pub(in crate::side) fn with_tap(self, tap: EventTap) -> Self {
        EventHub { tap, ..self }
    }

    pub(in crate::side) fn boot(&self) -> BootId {
        self.boot
    }

    /// Takes the events that the loop has made since the last call.
    pub(in crate::side) fn collect(&self) {
        let mut events = lock(&self.collecting);
        self.receiver.take_into(&mut events);
        while !events.is_empty() {
            let many = events.len().min(SLICE);
            let mut ring = lock(&self.ring);
            events
                .drain(..many)
                .for_each(|event| ring.push(self.keep(event)));
            let next = ring.next();
            drop(ring);
            self.news.send_replace(next);
        }
        events.shrink_to(SLICE);
    }

    fn keep(&self, event: Event) -> KeptEvent {
        (self.tap.0)(&event);
        let kind = type_index(&event.kind);
        self.counts[kind].fetch_add(1, Ordering::Relaxed);
        let json = event_body::to_json(&event, self.boot, &self.classes);
        let subject = event.subject;
        KeptEvent {
            number: event.number,
            kind: EVENT_TYPES[kind],
            json,
            class: subject.class,
            route: subject.target.map(|target| target.route),
            user: subject.user,
            package: subject.package,
        }
    }

    /// Returns events from this number on.
    pub(in crate::side) fn slice(
        &self,
        from: u64,
        filter: &EventFilter,
        limits: SliceLimits,
    ) -> EventSlice {
        lock(&self.ring).slice(from, filter, limits)
    }

    /// Returns the number of the oldest event that is kept, and the number after the newest one.
    pub(in crate::side) fn bounds(&self) -> (u64, u64) {
        let ring = lock(&self.ring);
        (ring.oldest(), ring.next())
    }

    /// Returns how many events are kept.
    pub(in crate::side) fn kept(&self) -> usize {
        lock(&self.ring).len()
    }

    /// Returns a watch of the number after the newest event.
    pub(in crate::side) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Returns the number of events of each type, by [`EVENT_TYPES`].
    pub(in crate::side) fn counts(&self) -> [u64; EVENT_TYPES.len()] {
        std::array::from_fn(|kind| self.counts[kind].load(Ordering::Relaxed))
    }

    /// Returns how many events were lost before they came here.
    pub(in crate::side) fn lost(&self) -> u64 {
        self.receiver.lost()
    }
}

/// Collects events until the process ends.
pub(in crate::side) async fn run(hub: Arc<EventHub>) {
    let wake = Arc::new(Notify::new());
    let waker = wake.clone();
    hub.receiver.set_wake(Box::new(move || waker.notify_one()));
    loop {
        wake.notified().await;
        hub.collect();
        tokio::time::sleep(PAUSE).await;
    }
}
