//! The sending end of a queue for any thread.

use super::limits::{Counts, Limits, NoRoom, QueueItem};
use super::swap_queue::SwapQueue;
use std::fmt;
use std::sync::Arc;

/// Sends to the loop, from any thread. Cheap to clone.
///
/// No call waits for the loop. A call that sends may wait for another sender, for as long as that
/// one adds one item.
pub struct Sender<T>(pub(super) Arc<SwapQueue<T>>);

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender(self.0.clone())
    }
}

impl<T: QueueItem> Sender<T> {
    /// Sends an item.
    ///
    /// # Errors
    /// [`NoRoom`] with the item, if the queue is full and refuses.
    pub fn send(&self, item: T) -> Result<(), NoRoom<T>> {
        self.send_within(item, self.0.limits)
    }

    /// Sends an item with these limits instead of the queue's own.
    ///
    /// # Errors [`NoRoom`] with the item, if it does not fit and the queue refuses.
    pub fn send_within(&self, item: T, limits: Limits) -> Result<(), NoRoom<T>> {
        self.0.push(&mut self.0.lock_active(), item, limits)?;
        self.0.wake_receiver();
        Ok(())
    }

    /// Sends an item without any limit. For rare items that must not be lost.
    pub fn send_unlimited(&self, item: T) {
        self.0.push_unlimited(&mut self.0.lock_active(), item);
        self.0.wake_receiver();
    }

    /// Notifies the receiver, after all items that this thread has sent before
    /// ([`LoopReceiver::take_notification`](super::LoopReceiver::take_notification)). Does not
    /// wait.
    pub fn notify(&self) {
        self.0.notify();
    }

    /// Sets the callback that wakes the receiver, also for items that already wait. Only the first
    /// call has an effect.
    pub fn set_wake(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.0.set_wake(wake);
    }

    /// Returns the state of the queue.
    pub fn counts(&self) -> Counts {
        self.0.counts()
    }
}

impl<T: QueueItem> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&self.0.counts()).finish()
    }
}
