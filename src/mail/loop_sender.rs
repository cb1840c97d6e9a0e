//! The loop's sending end of a queue.

use super::limits::{Counts, Limits, NoRoom, Overflow, QueueItem};
use super::receiver::Receiver;
use super::swap_queue::SwapQueue;
use std::fmt;
use std::sync::Arc;

/// Sends to another thread as the only sender of its queue, and never waits.
pub struct LoopSender<T>(Arc<SwapQueue<T>>);

/// Creates a queue from the loop to another thread.
pub fn from_loop<T: QueueItem>(limits: Limits, overflow: Overflow) -> (LoopSender<T>, Receiver<T>) {
    let queue = Arc::new(SwapQueue::new(limits, overflow));
    (LoopSender(queue.clone()), Receiver::new(queue))
}

impl<T: QueueItem> LoopSender<T> {
    /// Sends an item.
    ///
    /// # Errors
    /// [`NoRoom`] with the item, if the queue is full and refuses.
    pub fn send(&mut self, item: T) -> Result<(), NoRoom<T>> {
        self.send_within(item, self.0.limits)
    }

    /// Sends an item with these limits instead of the queue's own.
    ///
    /// # Errors [`NoRoom`] with the item, if it does not fit and the queue refuses.
    pub fn send_within(&mut self, item: T, limits: Limits) -> Result<(), NoRoom<T>> {
        self.0.push(&mut self.0.lock_active_sole(), item, limits)?;
        self.0.wake_receiver();
        Ok(())
    }

    /// Returns the other end.
    pub fn receiver(&self) -> Receiver<T> {
        Receiver::new(self.0.clone())
    }

    /// Returns the state of the queue.
    pub fn counts(&self) -> Counts {
        self.0.counts()
    }
}

impl<T: QueueItem> fmt::Debug for LoopSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LoopSender").field(&self.0.counts()).finish()
    }
}
