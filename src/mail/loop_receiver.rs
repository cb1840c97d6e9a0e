//! The loop's receiving end of a queue.

use super::limits::{Budget, Counts, Limits, Overflow, QueueItem};
use super::sender::Sender;
use super::swap_queue::{SwapQueue, shrink};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// Receives in the loop with a budget per turn, and never waits.
///
/// Each turn calls [`collect`](LoopReceiver::collect) once, and then [`take`](LoopReceiver::take)
/// as often as its budget allows. If items [are left over](LoopReceiver::has_leftovers), the loop
/// must start the next turn by itself: the queue does not wake it for them.
pub struct LoopReceiver<T> {
    queue: Arc<SwapQueue<T>>,
    /// Collected items that were not taken yet. They count as waiting.
    collected: VecDeque<T>,
    /// A buffer that could not be emptied because a sender held it.
    uncollected: Option<usize>,
    /// Whether a notification waits until all items sent before it are collected.
    early_notification: bool,
    notified: bool,
}

/// Creates a queue from any number of threads to the loop.
pub fn to_loop<T: QueueItem>(limits: Limits, overflow: Overflow) -> (Sender<T>, LoopReceiver<T>) {
    let queue = Arc::new(SwapQueue::new(limits, overflow));
    let receiver = LoopReceiver {
        queue: queue.clone(),
        collected: VecDeque::new(),
        uncollected: None,
        early_notification: false,
        notified: false,
    };
    (Sender(queue), receiver)
}

impl<T: QueueItem> LoopReceiver<T> {
    /// Collects the sent items. Returns whether these are all; if not, a sender is just adding an
    /// item, and the next call collects the rest.
    ///
    /// If nothing was sent since the last call, this only reads a flag.
    pub fn collect(&mut self) -> bool {
        if self.uncollected.is_none() && !self.queue.is_woken() {
            return true;
        }
        if !self.collect_rest() {
            return false;
        }
        if self.queue.is_woken() {
            self.early_notification |= self.queue.clear_wake();
            self.uncollected = Some(self.queue.swap());
            if !self.collect_rest() {
                return false;
            }
        }
        self.notified |= std::mem::take(&mut self.early_notification);
        true
    }

    /// Empties the buffer that is still to be emptied, if any. Returns whether none is left.
    fn collect_rest(&mut self) -> bool {
        let Some(at) = self.uncollected else {
            return true;
        };
        let Some(mut buffer) = self.queue.try_lock(at) else {
            return false;
        };
        SwapQueue::move_items(&mut buffer, &mut self.collected);
        self.uncollected = None;
        true
    }

    /// Takes the oldest collected item, if there is one and the budget allows it.
    pub fn take(&mut self, budget: &mut Budget) -> Option<T> {
        if !budget.is_left() {
            return None;
        }
        let item = self.take_held()?;
        let bytes = item.bytes();
        budget.spend(bytes);
        self.release(bytes);
        Some(item)
    }

    /// Takes the oldest collected item. It counts as waiting until its bytes are
    /// [released](LoopReceiver::release), or it is [put back](LoopReceiver::put_back).
    pub fn take_held(&mut self) -> Option<T> {
        let item = self.collected.pop_front();
        if self.collected.is_empty() {
            shrink(&mut self.collected);
        }
        item
    }

    /// Releases the `bytes` of an item that was [held](LoopReceiver::take_held).
    pub fn release(&self, bytes: usize) {
        self.queue.count_out(bytes);
    }

    /// Puts an item that was [held](LoopReceiver::take_held) behind the collected items.
    pub fn put_back(&mut self, item: T) {
        self.collected.push_back(item);
    }

    /// Adds an item of the loop itself behind the collected items, without any limit. It does not
    /// wake the loop.
    pub fn add(&mut self, item: T) {
        self.queue.count_in(item.bytes());
        self.collected.push_back(item);
    }

    /// Returns whether a sender [has notified](Sender::notify) this receiver since the last call.
    /// All items that it sent before are collected.
    pub fn take_notification(&mut self) -> bool {
        std::mem::take(&mut self.notified)
    }

    /// Returns whether work is left without new items: items not taken yet, or a buffer that a
    /// sender held.
    pub fn has_leftovers(&self) -> bool {
        self.uncollected.is_some() || !self.collected.is_empty()
    }

    /// Returns the state of the queue.
    pub fn counts(&self) -> Counts {
        self.queue.counts()
    }
}

impl<T: QueueItem> fmt::Debug for LoopReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.queue.counts();
        f.debug_tuple("LoopReceiver").field(&counts).finish()
    }
}
