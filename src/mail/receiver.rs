//! The receiving end of a queue for a thread other than the loop.

use super::limits::{Counts, QueueItem};
use super::swap_queue::SwapQueue;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, PoisonError};

/// Receives from the loop, on any thread. Cheap to clone; all clones share one queue.
pub struct Receiver<T>(Arc<SwapQueue<T>>);

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Receiver(self.0.clone())
    }
}

impl<T: QueueItem> Receiver<T> {
    pub(super) fn new(queue: Arc<SwapQueue<T>>) -> Self {
        Receiver(queue)
    }

    /// Takes the items sent since the last call, oldest first.
    pub fn take(&self) -> VecDeque<T> {
        let mut items = VecDeque::new();
        self.take_into(&mut items);
        items
    }

    /// Takes the items sent since the last call and appends them to `items`, oldest first. If
    /// `items` is empty nothing is copied, and its memory is used for the next items.
    pub fn take_into(&self, items: &mut VecDeque<T>) {
        // Of two takers the second one waits, because a buffer must be empty before it is filled
        // again.
        let _one_taker = self.0.takers.lock().unwrap_or_else(PoisonError::into_inner);
        let before = items.len();
        self.0.clear_wake();
        let at = self.0.swap();
        SwapQueue::move_items(&mut self.0.lock(at), items);
        for item in items.range(before..) {
            self.0.count_out(item.bytes());
        }
    }

    /// Sets the callback that wakes the receiving thread, also for items that already wait. The
    /// callback must not block. Only the first call has an effect.
    pub fn set_wake(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.0.set_wake(wake);
    }

    /// Returns how many items were lost because they did not fit.
    pub fn lost(&self) -> u64 {
        self.0.counts().lost
    }

    /// Returns the state of the queue.
    pub fn counts(&self) -> Counts {
        self.0.counts()
    }

    #[cfg(test)]
    pub(super) fn queue(&self) -> &SwapQueue<T> {
        &self.0
    }
}

impl<T: QueueItem> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receiver").field(&self.0.counts()).finish()
    }
}
