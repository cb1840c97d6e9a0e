//! The latest events, as they are written, for readers that come back.

use super::event_filter::EventFilter;
use super::kept_event::KeptEvent;
use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The most bytes that an event may take on average when all places are used.
const BYTES_EACH: usize = 1_024;

/// The most events that one slice looks at, so that a filter that admits few does not keep others
/// from the ring.
const SCANNED_MAX: usize = 4_096;

/// The numbers of events, the first and the last.
pub(in crate::side) type EventRange = RangeInclusive<u64>;

/// A ring of the latest events, bounded by count and bytes.
#[derive(Debug)]
pub(super) struct EventRing {
    events: VecDeque<Arc<KeptEvent>>,
    bytes: usize,
    count_max: usize,
    /// The number of the event after the newest one.
    next: u64,
}

/// The limits of one slice.
#[derive(Debug, Clone, Copy)]
pub(in crate::side) struct SliceLimits {
    /// The most events; at least 1.
    pub(in crate::side) count: usize,
    /// The most bytes of JSON. A single event may be larger.
    pub(in crate::side) bytes: usize,
}

/// Events that follow one another.
#[derive(Debug, Default)]
pub(in crate::side) struct EventSlice {
    /// The events before these that are lost or not kept any more.
    pub(in crate::side) missed: Option<EventRange>,
    pub(in crate::side) events: Vec<Arc<KeptEvent>>,
    /// The number from which the next slice begins.
    pub(in crate::side) next: u64,
    /// Whether more may follow now.
    pub(in crate::side) has_more: bool,
}

impl EventRing {
    pub(super) fn new(count_max: usize) -> Self {
        EventRing {
            events: VecDeque::new(),
            bytes: 0,
            count_max: count_max.max(1),
            next: 1,
        }
    }

    /// Adds an event, which has a larger number than all before. Drops the oldest events that have
    /// no room any more.
    pub(super) fn push(&mut self, event: KeptEvent) {
        self.next = event.number + 1;
        self.bytes += event.bytes();
        self.events.push_back(Arc::new(event));
        while self.events.len() > self.count_max
            || self.bytes > self.count_max * BYTES_EACH && self.events.len() > 1
        {
            let Some(oldest) = self.events.pop_front() else {
                return;
            };
            self.bytes -= oldest.bytes();
        }
    }

    /// Returns the number that the next event gets, if none is lost before it.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Returns the number of the oldest event that is kept, or of the next one.
    pub(super) fn oldest(&self) -> u64 {
        self.events.front().map_or(self.next, |event| event.number)
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Returns events from this number on: those that the filter admits, up to the next gap.
    pub(super) fn slice(&self, from: u64, filter: &EventFilter, limits: SliceLimits) -> EventSlice {
        let first = self.events.partition_point(|event| event.number < from);
        let mut slice = EventSlice {
            next: from,
            ..EventSlice::default()
        };
        let mut bytes = 0;
        for (scanned, event) in self.events.range(first..).enumerate() {
            let is_gap = event.number > slice.next;
            let is_full = slice.events.len() >= limits.count
                || bytes + event.json.len() > limits.bytes && !slice.events.is_empty();
            if scanned > 0 && is_gap || scanned >= SCANNED_MAX || is_full {
                slice.has_more = true;
                break;
            }
            if is_gap {
                slice.missed = Some(slice.next..=event.number - 1);
            }
            slice.next = event.number + 1;
            if filter.admits(event) {
                bytes += event.json.len();
                slice.events.push(event.clone());
            }
        }
        slice
    }
}
