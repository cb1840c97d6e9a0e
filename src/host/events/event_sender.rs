//! The loop's end of the queue of events.

use super::event::{Event, EventKind, EventSubject};
use crate::base::time::Timestamp;
use crate::mail::{self, Limits, LoopSender, Overflow, Receiver};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The limits of the queue; the oldest events are dropped first.
const LIMITS: Limits = Limits {
    count: 16_384,
    bytes: 16 << 20,
};

/// The reader's end of the queue of events, for another thread.
pub type EventReceiver = Receiver<Event>;

/// Numbers events and queues them. The clones belong to the parts of one loop, and only that loop
/// sends, so its lock is always free.
#[derive(Debug, Clone)]
pub(crate) struct EventSender(Arc<EventOutlet>);

#[derive(Debug)]
struct EventOutlet {
    /// Whether anything reads events. Otherwise none is made.
    is_on: AtomicBool,
    queue: Mutex<NumberedQueue>,
}

#[derive(Debug)]
struct NumberedQueue {
    /// The number of the last event.
    last: u64,
    sender: LoopSender<Event>,
}

impl Default for EventSender {
    /// Makes a sender that makes no events until it has a receiver.
    fn default() -> Self {
        let (sender, _) = mail::from_loop(LIMITS, Overflow::DropOldest);
        EventSender(Arc::new(EventOutlet {
            is_on: AtomicBool::new(false),
            queue: Mutex::new(NumberedQueue { last: 0, sender }),
        }))
    }
}

impl EventSender {
    /// Returns the other end. From now on events are made.
    pub(crate) fn receiver(&self) -> EventReceiver {
        self.0.is_on.store(true, Ordering::Relaxed);
        let queue = self.0.queue.lock();
        let queue = queue.unwrap_or_else(PoisonError::into_inner);
        queue.sender.receiver()
    }

    /// Sends an event, which is made only if anything reads events.
    pub(crate) fn send(&self, event: impl FnOnce() -> Option<(EventSubject, EventKind)>) {
        if !self.0.is_on.load(Ordering::Relaxed) {
            return;
        }
        let Some((subject, kind)) = event() else {
            return;
        };
        let queue = self.0.queue.lock();
        let mut queue = queue.unwrap_or_else(PoisonError::into_inner);
        queue.last += 1;
        let event = Event {
            number: queue.last,
            at: Timestamp::now(),
            subject,
            kind,
        };
        // The newest event always finds room: the oldest ones are dropped.
        let _ = queue.sender.send(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::ConnId;
    use crate::engine::Class;

    fn event() -> Option<(EventSubject, EventKind)> {
        let subject = EventSubject::new(ConnId::new(0, 1), Class(0), None);
        Some((subject, EventKind::Identified))
    }

    #[test]
    fn nothing_is_made_before_anything_reads_events() {
        let sender = EventSender::default();
        sender.send(|| panic!("an event was made"));
        let receiver = sender.receiver();
        sender.send(event);
        sender.send(|| None);
        sender.clone().send(event);
        let numbers: Vec<u64> = receiver.take().iter().map(|event| event.number).collect();
        assert_eq!(numbers, [1, 2], "an event that was not made has no number");
    }

    #[test]
    fn the_oldest_are_lost_and_their_numbers_are_missing() {
        let sender = EventSender::default();
        let receiver = sender.receiver();
        let many = LIMITS.count as u64 + 5;
        (0..many).for_each(|_| sender.send(event));
        let events = receiver.take();
        assert_eq!(receiver.lost(), 5);
        assert_eq!((events[0].number, events.len()), (6, LIMITS.count));
        assert_eq!(events.back().map(|event| event.number), Some(many));
    }
}
