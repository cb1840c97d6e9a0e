//! The sending end of a queue for any thread.

use super::limits::{Counts, Limits, Mail, NoRoom};
use super::shelves::Shelves;
use std::fmt;
use std::sync::Arc;

/// Sends to the loop, from any thread. Cheap to clone.
///
/// No call waits for the loop. A call that sends may wait for another sender, for as long as that
/// one adds one item.
pub struct Sender<T>(pub(super) Arc<Shelves<T>>);

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender(self.0.clone())
    }
}

impl<T: Mail> Sender<T> {
    /// Sends an item.
    ///
    /// # Errors
    /// [`NoRoom`] with the item, if the queue is full and refuses.
    pub fn post(&self, item: T) -> Result<(), NoRoom<T>> {
        self.post_within(item, self.0.limits)
    }

    /// Sends an item with these limits instead of the queue's own.
    ///
    /// # Errors [`NoRoom`] with the item, if it does not fit and the queue refuses.
    pub fn post_within(&self, item: T, limits: Limits) -> Result<(), NoRoom<T>> {
        self.0.put(&mut self.0.shelf(), item, limits)?;
        self.0.tell();
        Ok(())
    }

    /// Sends an item without any limit. For rare items that must not be lost.
    pub fn post_always(&self, item: T) {
        self.0.put_always(&mut self.0.shelf(), item);
        self.0.tell();
    }

    /// Pokes the receiver ([`LoopReceiver::take_poke`](super::LoopReceiver::take_poke)), after all
    /// items that this thread has sent before. Does not wait.
    pub fn poke(&self) {
        self.0.poke();
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

impl<T: Mail> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&self.0.counts()).finish()
    }
}
