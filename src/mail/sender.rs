//! The end at which any thread sends.

use super::limits::{Counts, Limits, Mail, NoRoom};
use super::shelves::Shelves;
use std::fmt;
use std::sync::Arc;

/// Sends to the loop, from any thread. Cheap to clone.
///
/// No call waits for the loop; one that sends may wait for another sender, for as long as that puts one item down.
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

    /// Sends an item for which these limits hold instead of the queue's own.
    ///
    /// # Errors
    /// [`NoRoom`] with the item, if it finds no room within them and the queue refuses.
    pub fn post_within(&self, item: T, limits: Limits) -> Result<(), NoRoom<T>> {
        self.0.put(&mut self.0.shelf(), item, limits)?;
        self.0.tell();
        Ok(())
    }

    /// Sends an item beyond any limit. For what must not be lost, and is sent a few times in a process's life.
    pub fn post_always(&self, item: T) {
        self.0.put_always(&mut self.0.shelf(), item);
        self.0.tell();
    }

    /// Has the receiver find that it was poked ([`LoopReceiver::take_poke`](super::LoopReceiver::take_poke)), behind what this
    /// thread has sent before. Waits for nothing.
    pub fn poke(&self) {
        self.0.poke();
    }

    /// Sets how the receiver is woken, from now on and also for what waits already. Only the first call counts.
    pub fn set_wake(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.0.set_wake(wake);
    }

    /// Returns how the queue is doing.
    pub fn counts(&self) -> Counts {
        self.0.counts()
    }
}

impl<T: Mail> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&self.0.counts()).finish()
    }
}
